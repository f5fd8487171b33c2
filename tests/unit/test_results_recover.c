/* SPDX-License-Identifier: Apache-2.0 */
/*
 * results_recover(): however the log was left, it then holds every record once, and nothing
 * that a reader has seen of them is taken back.
 */
#include "sink/results.h"

#include "base/buf.h"
#include "no_sync.h"
#include "results_stage.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- positions --------------------------------------------------------------------- */

static void test_positions_are_written_and_read(void)
{
	static const struct results_position positions[] = {
		{ .regular = true, .device = 1, .inode = 23, .offset = 456 },
		{ .regular = true, .device = UINT64_MAX, .inode = 0, .offset = UINT64_MAX },
		{ .regular = false },
	};

	for (size_t i = 0; i < ARRAY_LEN(positions); i++) {
		struct results_position p = { 0 };
		struct buf b = { 0 };
		results_position_write(&positions[i], &b);
		buf_add_char(&b, '\0');
		CU_ASSERT_EQUAL(results_position_read(b.data, &p), 0);
		CU_ASSERT_EQUAL(p.regular, positions[i].regular);
		CU_ASSERT_EQUAL(p.device, positions[i].device);
		CU_ASSERT_EQUAL(p.inode, positions[i].inode);
		CU_ASSERT_EQUAL(p.offset, positions[i].offset);
		buf_done(&b);
	}
}

static void test_what_is_no_position_is_refused(void)
{
	static const char *const texts[] = {
		"", "file", "file 1 2", "file 1 2 3 ", "file 1 2 3 4", "file 1 2 -3", "file  1 2 3",
		"file 1 2 99999999999999999999", "fil 1 2 3", "streams", "stream ", "file 1 2 x",
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct results_position p = { .offset = 7 };
		CU_ASSERT_EQUAL(results_position_read(texts[i], &p), -EINVAL);
		CU_ASSERT_EQUAL(p.offset, 7);
	}
}

/* --- the file at the path ---------------------------------------------------------- */

/* Calls 'body' for each mark, each length behind it, and each size of a page. */
static void for_all(void (*body)(size_t seq, size_t len, size_t page))
{
	for (size_t seq = 0; seq <= RECORDS; seq++)
		for (size_t len = begins[seq]; len <= begins[RECORDS]; len++)
			for (size_t page = 1; page <= RECORDS; page += page)
				body(seq, len, page);
}

static void complete(size_t seq, size_t len, size_t page)
{
	struct place p;

	make_log(&p, seq, len);
	p.store.page = page;
	recover_well(&p, RECORDS - whole(len));
	CU_ASSERT_TRUE(!p.found.lost && p.found.cut_bytes == 0);
	CU_ASSERT_TRUE(holds(p.path, "", 0, begins[RECORDS]));
	recover_well(&p, 0);
	CU_ASSERT_TRUE(holds(p.path, "", 0, begins[RECORDS]));
	leave(&p);
}

static void test_a_cut_log_is_completed(void) { for_all(complete); }

static const struct {
	const char *data;
	size_t len;
} garbage[] = {
	{ "\0", 1 },
	{ "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 40 },
	{ "\n", 1 },
	{ "x\n{\"seq\":4}\n", 12 },
	{ "\0{\"seq\":4}\n", 11 },
};

static void cut_garbage(size_t seq, size_t len, size_t page)
{
	for (size_t i = 0; i < ARRAY_LEN(garbage); i++) {
		struct place p;
		make_log(&p, seq, len);
		p.store.page = page;
		put(p.path, garbage[i].data, garbage[i].len);
		if (strncmp(all + len, garbage[i].data, 1) != 0) { /* it is wrong, not right */
			recover_well(&p, RECORDS - whole(len));
			CU_ASSERT_TRUE(!p.found.lost && p.found.cut_bytes > 0);
			CU_ASSERT_TRUE(holds(p.path, "", 0, begins[RECORDS]));
		}
		leave(&p);
	}
}

static void test_garbage_is_cut_off(void) { for_all(cut_garbage); }

static void test_a_wrong_record_is_cut_off(void)
{
	for (size_t seq = 0; seq < RECORDS; seq++) {
		struct place p;
		make_log(&p, seq, begins[seq]);
		put_text(p.path, "{\"seq\":9,\"id\":\"a\"}\n");
		put_text(p.path, records[RECORDS - 1]);
		recover_well(&p, RECORDS - seq);
		CU_ASSERT_TRUE(holds(p.path, "", 0, begins[RECORDS]));
		leave(&p);
	}
}

static void test_records_behind_the_last_known_one_are_left(void)
{
	static const char *const extra[] = { "{\"seq\":5}\n", "{\"seq\":5}\n{\"se", "{" };

	for (size_t i = 0; i < ARRAY_LEN(extra); i++) {
		struct place p;
		char expected[1024];
		make_log(&p, 1, begins[RECORDS]);
		put_text(p.path, extra[i]);
		recover_well(&p, 0);
		(void) snprintf(expected, sizeof(expected), "%s%s%s", all, extra[i],
		                strchr(extra[i], '\0')[-1] == '\n' ? "" : "\n");
		CU_ASSERT_TRUE(holds(p.path, expected, 0, 0));
		leave(&p);
	}
}

static void test_another_device_number_does_not_matter(void)
{
	struct place p;

	make_log(&p, 2, begins[3] + 4);
	p.store.mark.device += 7;
	recover_well(&p, 1);
	CU_ASSERT_TRUE(holds(p.path, "", 0, begins[RECORDS]));
	leave(&p);
}

/* --- another file than the mark's -------------------------------------------------- */

static void test_without_a_mark_everything_is_appended(void)
{
	static const struct {
		const char *before, *after;
	} cases[] = { { "", "" }, { "theirs\n", "theirs\n" }, { "torn", "torn\n" } };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct place p;
		begin(&p);
		put_text(p.path, cases[i].before);
		recover_well(&p, RECORDS);
		CU_ASSERT_TRUE(holds(p.path, cases[i].after, 0, begins[RECORDS]));
		recover_well(&p, 0);
		CU_ASSERT_TRUE(holds(p.path, cases[i].after, 0, begins[RECORDS]));
		end(&p);
	}
}

/* Which record the byte at 'len' is in, or begins. */
static size_t line_end(size_t len) { return whole(len) + (len != begins[whole(len)]); }

static void find_rotated(size_t seq, size_t len, size_t page)
{
	static const char *const before[] = { NULL, "", "theirs\n" };

	for (size_t i = 0; i < ARRAY_LEN(before); i++) {
		struct place p;
		make_log(&p, seq, len);
		p.store.page = page;
		CU_ASSERT_EQUAL(rename(p.path, p.other), 0);
		if (before[i])
			put_text(p.path, before[i]);
		recover_well(&p, RECORDS - whole(len));
		CU_ASSERT_TRUE(!p.found.lost && p.found.cut_bytes == 0);
		size_t to = begins[line_end(len)];
		CU_ASSERT_TRUE(holds(p.other, "", 0, to));
		CU_ASSERT_TRUE(holds(p.path, before[i] ? before[i] : "", to, begins[RECORDS]));
		leave(&p);
	}
}

static void test_a_rotated_file_is_found(void) { for_all(find_rotated); }

static void cut_rotated(size_t seq, size_t len, size_t page)
{
	struct place p;

	if (len < strlen("{\"seq\":"))
		return; /* nothing tells then whose file it is */
	make_log(&p, seq, len);
	p.store.page = page;
	put(p.path, garbage[1].data, garbage[1].len);
	CU_ASSERT_EQUAL(rename(p.path, p.other), 0);
	recover_well(&p, RECORDS - whole(len));
	size_t to = begins[line_end(len)];
	CU_ASSERT_TRUE(holds(p.other, "", 0, to));
	CU_ASSERT_TRUE(holds(p.path, "", to, begins[RECORDS]));
	leave(&p);
}

static void test_garbage_in_a_rotated_file_is_cut_off(void) { for_all(cut_rotated); }

static void replace_deleted(size_t seq, size_t len, size_t page)
{
	struct place p;

	make_log(&p, seq, len);
	p.store.page = page;
	CU_ASSERT_EQUAL(unlink(p.path), 0); /* the reader holds the inode: it is not given again */
	recover_well(&p, RECORDS - seq);
	CU_ASSERT_TRUE(p.found.lost && p.found.cut_bytes == 0);
	CU_ASSERT_TRUE(holds(p.path, "", begins[seq], begins[RECORDS]));
	leave(&p);
}

static void test_a_deleted_file_is_replaced(void) { for_all(replace_deleted); }

static void test_a_truncated_file_is_gone_on_with(void)
{
	for (size_t seq = 1; seq <= RECORDS; seq++)
		for (size_t len = 0; len < begins[seq]; len++) {
			struct place p;
			char before[sizeof(all) + 1];
			make_log(&p, seq, begins[RECORDS]);
			CU_ASSERT_EQUAL(truncate(p.path, (off_t) len), 0);
			p.store.seen = len;
			recover_well(&p, RECORDS - seq);
			CU_ASSERT_TRUE(p.found.lost && p.found.cut_bytes == 0);
			(void) snprintf(before, sizeof(before), "%.*s%s", (int) len, all,
			                len == begins[whole(len)] ? "" : "\n");
			CU_ASSERT_TRUE(holds(p.path, before, begins[seq], begins[RECORDS]));
			leave(&p);
		}
}

static void test_what_is_not_ours_is_not_cut(void)
{
	static const char *const theirs[] = { "hello\nworld\n", "{\"hello\":1}\n", "{\n{\n{\n" };
	static const size_t offsets[] = { 0, 2, 3 };

	for (size_t i = 0; i < ARRAY_LEN(theirs); i++)
		for (size_t j = 0; j < ARRAY_LEN(offsets); j++) {
			struct place p;
			begin(&p);
			put_text(p.path, theirs[i]);
			mark(&p, 1, offsets[j]);
			CU_ASSERT_EQUAL(rename(p.path, p.other), 0);
			recover_well(&p, RECORDS - 1);
			CU_ASSERT_TRUE(holds(p.other, theirs[i], 0, 0));
			CU_ASSERT_TRUE(holds(p.path, "", begins[1], begins[RECORDS]));
			end(&p);
		}
}

static void test_a_mark_within_a_line_is_not_this_files(void)
{
	for (size_t offset = 1; offset < begins[1]; offset++) {
		struct place p;
		make_log(&p, 1, begins[1]);
		p.store.mark.offset = offset;
		recover_well(&p, RECORDS - 1);
		CU_ASSERT_TRUE(holds(p.path, "", 0, begins[RECORDS]));
		leave(&p);
	}
}

static void test_a_pipe_gets_everything_behind_the_mark(void)
{
	struct place p;
	uint64_t missing = 0;
	char found[1024];

	begin(&p);
	CU_ASSERT_EQUAL_FATAL(mkfifo(p.path, 0600), 0);
	int reader = open(p.path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	p.store = (struct store) {
		.page = 2, .fail_at = NOT, .seq = 1, .marked = true, .watched = -1
	};
	CU_ASSERT_EQUAL(recover(&p, &missing), 0);
	CU_ASSERT_EQUAL(missing, RECORDS - 1);
	CU_ASSERT_FALSE(p.store.mark.regular);
	size_t len = begins[RECORDS] - begins[1];
	CU_ASSERT_EQUAL(read(reader, found, sizeof(found)), (ssize_t) len);
	CU_ASSERT_EQUAL(memcmp(found, all + begins[1], len), 0);
	(void) close(reader);
	end(&p);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "positions are written and read", test_positions_are_written_and_read },
		{ "what is no position is refused", test_what_is_no_position_is_refused },
		{ "a cut log is completed", test_a_cut_log_is_completed },
		{ "garbage is cut off", test_garbage_is_cut_off },
		{ "a wrong record is cut off", test_a_wrong_record_is_cut_off },
		{ "records behind the last known one are left",
		  test_records_behind_the_last_known_one_are_left },
		{ "another device number does not matter",
		  test_another_device_number_does_not_matter },
		{ "without a mark everything is appended",
		  test_without_a_mark_everything_is_appended },
		{ "a rotated file is found", test_a_rotated_file_is_found },
		{ "garbage in a rotated file is cut off",
		  test_garbage_in_a_rotated_file_is_cut_off },
		{ "a deleted file is replaced", test_a_deleted_file_is_replaced },
		{ "a truncated file is gone on with", test_a_truncated_file_is_gone_on_with },
		{ "what is not ours is not cut", test_what_is_not_ours_is_not_cut },
		{ "a mark within a line is not this file's",
		  test_a_mark_within_a_line_is_not_this_files },
		{ "a pipe gets everything behind the mark",
		  test_a_pipe_gets_everything_behind_the_mark },
		CU_TEST_INFO_NULL,
	};
	join_records();
	return unit_run("results recovery", tests);
}
