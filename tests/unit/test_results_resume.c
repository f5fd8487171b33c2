/* SPDX-License-Identifier: Apache-2.0 */
/* A log whose records are kept elsewhere, too: recoveries and appends that are interrupted
 * anywhere, and rotation. */
#include "sink/results.h"

#include "no_sync.h"
#include "results_stage.h"
#include "unit.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* --- interruptions ----------------------------------------------------------------- */

static void set_up_cut(struct place *p) { make_log(p, 1, begins[2] + 3); }

static void set_up_rotated(struct place *p)
{
	make_log(p, 1, begins[2] + 3);
	CU_ASSERT_EQUAL(rename(p->path, p->other), 0);
	put_text(p->path, "theirs");
}

static void set_up_deleted(struct place *p)
{
	make_log(p, 1, begins[2] + 3);
	CU_ASSERT_EQUAL(unlink(p->path), 0);
}

static void set_up_truncated(struct place *p)
{
	make_log(p, 1, 5);
	p->store.mark.offset = begins[1];
}

static void set_up_unmarked(struct place *p)
{
	make_log(p, 0, 5);
	p->store.marked = false;
}

static void (*const set_ups[])(struct place *p) = {
	set_up_cut, set_up_rotated, set_up_deleted, set_up_truncated, set_up_unmarked,
};

/* Compares with what a recovery without an interruption leaves behind. */
static void check_like_uninterrupted(const struct place *p, void (*set_up)(struct place *p))
{
	struct place whole_one;
	uint64_t missing = 0;
	char found[1024], expected[1024];

	set_up(&whole_one);
	CU_ASSERT_EQUAL(recover(&whole_one, &missing), 0);
	size_t n = get(whole_one.path, expected);
	CU_ASSERT_TRUE(get(p->path, found) == n && memcmp(found, expected, n) == 0);
	n = get(whole_one.other, expected);
	CU_ASSERT_EQUAL(get(p->other, found), n);
	CU_ASSERT_TRUE(n == SIZE_MAX || memcmp(found, expected, n) == 0);
	leave(&whole_one);
}

static void test_a_recovery_may_be_interrupted_between_any_two_calls(void)
{
	for (size_t i = 0; i < ARRAY_LEN(set_ups); i++) {
		bool interrupted = true;
		for (int at = 1; interrupted; at++) {
			struct place p;
			uint64_t missing = 99;
			set_ups[i](&p);
			p.store.page = 1;
			p.store.fail_at = at;
			int err = recover(&p, &missing);
			interrupted = err != 0;
			CU_ASSERT_TRUE(!interrupted || (err == -EIO && missing == 99));
			p.store.fail_at = NOT;
			CU_ASSERT_EQUAL(recover(&p, &missing), 0);
			check_like_uninterrupted(&p, set_ups[i]);
			leave(&p);
		}
	}
}

/* Lets no file grow beyond 'size', as a full disk would; back to 'old' with SIZE_MAX. */
static void limit_files(size_t size)
{
	static struct rlimit old;
	static bool known;

	if (!known) {
		(void) signal(SIGXFSZ, SIG_IGN);
		known = getrlimit(RLIMIT_FSIZE, &old) == 0;
	}
	struct rlimit limit = { size == SIZE_MAX ? old.rlim_cur : size, old.rlim_max };
	CU_ASSERT_EQUAL(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void test_a_recovery_may_be_interrupted_at_any_byte(void)
{
	for (size_t i = 0; i < ARRAY_LEN(set_ups); i++)
		for (size_t limit = 5; limit <= begins[RECORDS] + 8; limit++) {
			struct place p;
			uint64_t missing = 99;
			set_ups[i](&p);
			p.store.page = 2;
			limit_files(limit);
			int err = recover(&p, &missing);
			limit_files(SIZE_MAX);
			CU_ASSERT_TRUE(err == 0 || (err == -EFBIG && missing == 99));
			CU_ASSERT_EQUAL(recover(&p, &missing), 0);
			check_like_uninterrupted(&p, set_ups[i]);
			leave(&p);
		}
}

/* --- afterwards -------------------------------------------------------------------- */

/* An empty log, recovered and open. */
static struct results *start(struct place *p)
{
	uint64_t missing = 0;

	begin(p);
	p->store.seq = RECORDS;
	struct results *r = open_log(p->path);
	CU_ASSERT_EQUAL(recover_open(p, r, &missing), 0);
	return r;
}

static void test_begun_lines_are_finished_by_the_next_append(void)
{
	for (size_t limit = 0; limit < begins[RECORDS]; limit++) {
		struct place p;
		struct results_position at;
		struct results *r = start(&p);
		limit_files(limit);
		CU_ASSERT_EQUAL(results_append(r, all, begins[2]), limit < begins[2] ? -EFBIG : 0);
		if (limit < begins[2])
			CU_ASSERT_EQUAL(results_append(r, all, begins[2]), -EFBIG);
		limit_files(SIZE_MAX);
		CU_ASSERT_TRUE(holds(p.path, "", 0, limit < begins[2] ? limit : begins[2]));
		CU_ASSERT_EQUAL(results_sync(r, &at), 0);
		CU_ASSERT_EQUAL(at.offset, limit < begins[2] ? 0 : begins[2]);
		if (limit < begins[2])
			CU_ASSERT_EQUAL(results_append(r, all, begins[2]), 0);
		CU_ASSERT_EQUAL(results_sync(r, &at), 0);
		CU_ASSERT_EQUAL(at.offset, begins[2]);
		CU_ASSERT_EQUAL(results_close(r), 0);
		CU_ASSERT_TRUE(holds(p.path, "", 0, begins[2]));
		end(&p);
	}
}

static void test_begun_lines_may_be_finished_by_a_recovery(void)
{
	struct place p;
	uint64_t missing = 0;
	char expected[1024];
	struct results *r = start(&p);

	limit_files(begins[1] + 2);
	CU_ASSERT_EQUAL(results_append(r, all, begins[2]), -EFBIG);
	limit_files(SIZE_MAX);
	p.store.seq = 0;
	CU_ASSERT_EQUAL(recover_open(&p, r, &missing), 0);
	CU_ASSERT_EQUAL(missing, RECORDS - 1);
	CU_ASSERT_EQUAL(results_append(r, "{\"seq\":5}\n", 10), 0);
	CU_ASSERT_EQUAL(results_close(r), 0);
	(void) snprintf(expected, sizeof(expected), "%s{\"seq\":5}\n", all);
	CU_ASSERT_TRUE(holds(p.path, expected, 0, 0));
	end(&p);
}

static void test_positions_count_what_others_append(void)
{
	struct place p;
	struct results_position at = { 0 };
	struct results *r = start(&p);

	put_text(p.path, "theirs\n");
	CU_ASSERT_EQUAL(results_append(r, all, begins[1]), 0);
	CU_ASSERT_EQUAL(results_sync(r, &at), 0);
	CU_ASSERT_EQUAL(at.offset, strlen("theirs\n") + begins[1]);
	CU_ASSERT_EQUAL(at.inode, position_of(p.path, 0).inode);
	CU_ASSERT_EQUAL(results_close(r), 0);
	end(&p);
}

static void test_a_turn_tells_where_the_new_file_stands(void)
{
	struct place p;
	struct results_position at = { .offset = 99 };
	struct results *r = start(&p);

	CU_ASSERT_EQUAL(results_append(r, all, begins[1]), 0);
	CU_ASSERT_EQUAL(results_turn(r, &at), 0);
	CU_ASSERT_EQUAL(results_reopen(r), 0);
	CU_ASSERT_EQUAL(results_turn(r, &at), 0); /* it is the same file */
	CU_ASSERT_EQUAL(at.offset, 99);
	CU_ASSERT_EQUAL(rename(p.path, p.other), 0);
	put_text(p.path, "torn");
	CU_ASSERT_EQUAL(results_reopen(r), 0);
	CU_ASSERT_EQUAL(results_turn(r, &at), 1);
	CU_ASSERT_EQUAL(at.inode, position_of(p.path, 0).inode);
	CU_ASSERT_EQUAL(at.offset, strlen("torn\n"));
	CU_ASSERT_EQUAL(results_turn(r, &at), 0);
	CU_ASSERT_EQUAL(results_append(r, all + begins[1], begins[2] - begins[1]), 0);
	CU_ASSERT_EQUAL(results_close(r), 0);
	CU_ASSERT_TRUE(holds(p.other, "", 0, begins[1]));
	CU_ASSERT_TRUE(holds(p.path, "torn\n", begins[1], begins[2]));
	end(&p);
}

static void test_only_a_turn_changes_the_file(void)
{
	struct place p;
	struct results_position at = { 0 };
	struct results *r = start(&p);

	CU_ASSERT_EQUAL(rename(p.path, p.other), 0);
	CU_ASSERT_EQUAL(results_reopen(r), 0);
	CU_ASSERT_EQUAL(results_append(r, all, begins[1]), 0);
	CU_ASSERT_TRUE(holds(p.other, "", 0, begins[1]));
	CU_ASSERT_EQUAL(results_turn(r, &at), 1);
	CU_ASSERT_EQUAL(results_append(r, all + begins[1], begins[2] - begins[1]), 0);
	CU_ASSERT_EQUAL(results_close(r), 0);
	CU_ASSERT_TRUE(holds(p.path, "", begins[1], begins[2]));
	end(&p);
}

/* Has an append fail after 'limit' bytes, and then the log turn. */
static struct results *fail_and_rotate(struct place *p, size_t limit, bool deleted)
{
	struct results *r = start(p);

	limit_files(limit);
	CU_ASSERT_EQUAL(results_append(r, all, begins[2]), -EFBIG);
	limit_files(SIZE_MAX);
	CU_ASSERT_EQUAL(deleted ? unlink(p->path) : rename(p->path, p->other), 0);
	CU_ASSERT_EQUAL(results_reopen(r), 0);
	return r;
}

static void test_begun_lines_are_finished_before_a_turn(void)
{
	for (size_t limit = 0; limit < begins[2]; limit++) {
		struct place p;
		struct results_position at;
		struct results *r = fail_and_rotate(&p, limit, false);
		CU_ASSERT_EQUAL(results_turn(r, &at), limit == 0 ? 1 : 0);
		CU_ASSERT_EQUAL(results_append(r, all, begins[2]), 0);
		CU_ASSERT_EQUAL(results_turn(r, &at), limit == 0 ? 0 : 1);
		CU_ASSERT_EQUAL(results_append(r, all + begins[2], begins[3] - begins[2]), 0);
		CU_ASSERT_EQUAL(results_close(r), 0);
		size_t first = limit == 0 ? 0 : begins[2];
		CU_ASSERT_TRUE(holds(p.other, "", 0, first));
		CU_ASSERT_TRUE(holds(p.path, "", first, begins[3]));
		end(&p);
	}
}

static void test_a_deleted_file_is_left_in_any_case(void)
{
	struct place p;
	struct results_position at = { 0 };
	struct results *r = fail_and_rotate(&p, 7, true);

	CU_ASSERT_EQUAL(results_turn(r, &at), 1);
	CU_ASSERT_EQUAL(at.offset, 0);
	CU_ASSERT_EQUAL(results_append(r, all, begins[2]), 0);
	CU_ASSERT_EQUAL(results_close(r), 0);
	CU_ASSERT_TRUE(holds(p.path, "", 0, begins[2]));
	end(&p);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "a recovery may be interrupted between any two calls",
		  test_a_recovery_may_be_interrupted_between_any_two_calls },
		{ "a recovery may be interrupted at any byte",
		  test_a_recovery_may_be_interrupted_at_any_byte },
		{ "begun lines are finished by the next append",
		  test_begun_lines_are_finished_by_the_next_append },
		{ "begun lines may be finished by a recovery",
		  test_begun_lines_may_be_finished_by_a_recovery },
		{ "positions count what others append", test_positions_count_what_others_append },
		{ "a turn tells where the new file stands",
		  test_a_turn_tells_where_the_new_file_stands },
		{ "only a turn changes the file", test_only_a_turn_changes_the_file },
		{ "begun lines are finished before a turn",
		  test_begun_lines_are_finished_before_a_turn },
		{ "a deleted file is left in any case", test_a_deleted_file_is_left_in_any_case },
		CU_TEST_INFO_NULL,
	};
	join_records();
	return unit_run("results resumed", tests);
}
