/* SPDX-License-Identifier: Apache-2.0 */
/* tail.h: the newest records, and who reads them. */
#include "engine/tail.h"

#include "base/clock.h"
#include "unit.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

static struct tail *tail;
static struct buf page;

static void begin(uint64_t last_seq)
{
	CU_ASSERT_EQUAL_FATAL(tail_create(last_seq, &tail), 0);
}

static void end(void)
{
	tail = tail_free(tail);
	buf_done(&page);
}

static void add_line(uint64_t seq, enum outcome outcome, const char *line, size_t len)
{
	const struct verdict verdicts[] = {
		{ .kind = VERDICT_RETRY },
		{ .kind = VERDICT_FINAL, .outcome = outcome, .seq = seq, .line = line, .line_len = len },
	};

	tail_add(tail, verdicts, ARRAY_LEN(verdicts));
}

/* "N\n" */
static void add(uint64_t seq, enum outcome outcome)
{
	char line[32];
	int n = snprintf(line, sizeof(line), "%llu\n", (unsigned long long) seq);

	add_line(seq, outcome, line, (size_t) n);
}

static void add_long(uint64_t seq, size_t len)
{
	char *line = malloc(len);

	CU_ASSERT_PTR_NOT_NULL_FATAL(line);
	memset(line, 'x', len);
	add_line(seq, OUTCOME_DONE, line, len);
	free(line);
}

static struct record_range range_from(uint64_t seq)
{
	return (struct record_range) { .outcomes = 7, .until_seq = UINT64_MAX, .left = UINT64_MAX,
		                       .page_bytes = 1024, .next_seq = seq };
}

/* Reads a page, which must be this. */
static void expect_page(struct record_range *range, const char *text)
{
	buf_clear(&page);
	CU_ASSERT_EQUAL(tail_read(tail, range, &page), 1);
	CU_ASSERT_EQUAL(page.len, strlen(text));
	CU_ASSERT_TRUE(page.len == strlen(text) && memcmp(page.data, text, page.len) == 0);
}

static int read_page(struct record_range *range)
{
	buf_clear(&page);
	return tail_read(tail, range, &page);
}

static bool is_raised(void)
{
	struct pollfd set = { .fd = tail_event_fd(tail), .events = POLLIN };

	return poll(&set, 1, 0) == 1;
}

static void test_records_come_in_their_order_and_once(void)
{
	struct record_range range = range_from(6);

	begin(5);
	CU_ASSERT_EQUAL(tail_last_seq(tail), 5);
	CU_ASSERT_EQUAL(read_page(&range), 0);
	add(6, OUTCOME_DONE);
	add(7, OUTCOME_DEAD);
	CU_ASSERT_EQUAL(tail_last_seq(tail), 7);
	expect_page(&range, "6\n7\n");
	CU_ASSERT_EQUAL(read_page(&range), 0);
	add(8, OUTCOME_CANCELLED);
	expect_page(&range, "8\n");
	range = range_from(0);
	expect_page(&range, "6\n7\n8\n");
	range = range_from(5);
	CU_ASSERT_EQUAL(read_page(&range), -ENOENT);
	CU_ASSERT_EQUAL(range.first_seq, 6);
	end();
}

static void test_only_those_wanted_come_up_to_the_last_one(void)
{
	struct record_range range = range_from(1);

	begin(0);
	for (uint64_t seq = 1; seq <= 9; seq++)
		add(seq, seq % 3 == 0 ? OUTCOME_DEAD : OUTCOME_DONE);
	range.outcomes = 1U << OUTCOME_DEAD;
	expect_page(&range, "3\n6\n9\n");
	CU_ASSERT_EQUAL(range.next_seq, 10);
	range.outcomes = 1U << OUTCOME_CANCELLED;
	range.next_seq = 1;
	expect_page(&range, ""); /* looked at, and not wanted */

	range = range_from(4);
	range.until_seq = 5;
	expect_page(&range, "4\n5\n");
	CU_ASSERT_TRUE(record_range_is_over(&range));
	range = range_from(4);
	range.left = 1;
	expect_page(&range, "4\n");
	CU_ASSERT_TRUE(record_range_is_over(&range));
	end();
}

static void test_pages_are_bounded_and_long_records_come_in_pieces(void)
{
	struct record_range range = range_from(1);

	begin(0);
	range.page_bytes = 10;
	add_long(1, 7);
	add_long(2, 4);
	add_long(3, 25);
	add_long(4, 5);
	static const size_t sizes[] = { 7, 4, 10, 10, 10 };
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		CU_ASSERT_EQUAL(read_page(&range), 1);
		CU_ASSERT_EQUAL(page.len, sizes[i]);
	}
	CU_ASSERT_EQUAL(range.next_seq, 5); /* the last page had the end of 3, and 4 */
	CU_ASSERT_EQUAL(range.offset, 0);
	end();
}

static void test_old_records_make_room_for_new_ones(void)
{
	struct record_range range = range_from(1);

	begin(0);
	for (uint64_t seq = 1; seq <= TAIL_MAX_RECORDS + 3; seq++)
		add(seq, OUTCOME_DONE);
	CU_ASSERT_EQUAL(read_page(&range), -ENOENT);
	CU_ASSERT_EQUAL(range.first_seq, 4);
	range.next_seq = 4;
	range.left = 2;
	expect_page(&range, "4\n5\n");

	/* By bytes: three of these do not fit, wherever the first one begins. */
	for (uint64_t seq = TAIL_MAX_RECORDS + 4; seq <= TAIL_MAX_RECORDS + 20; seq++) {
		add_long(seq, TAIL_MAX_BYTES / 3 + 1);
		range = range_from(seq);
		range.page_bytes = TAIL_MAX_BYTES;
		CU_ASSERT_EQUAL(read_page(&range), 1);
		CU_ASSERT_EQUAL(page.len, TAIL_MAX_BYTES / 3 + 1);
	}
	CU_ASSERT_TRUE(range.first_seq >= TAIL_MAX_RECORDS + 19);
	end();
}

static void test_a_record_that_does_not_fit_is_missing(void)
{
	struct record_range range = range_from(2);

	begin(0);
	add(1, OUTCOME_DONE);
	add_long(2, TAIL_MAX_BYTES + 1);
	CU_ASSERT_EQUAL(read_page(&range), -ENOENT);
	CU_ASSERT_EQUAL(range.first_seq, 3);
	add_long(3, TAIL_MAX_BYTES);
	add(4, OUTCOME_DONE);
	range = range_from(0);
	expect_page(&range, "4\n");
	end();
}

static void test_a_search_begins_with_the_newest_or_by_time(void)
{
	struct record_range range = range_from(0);

	begin(0);
	for (uint64_t seq = 1; seq <= 9; seq++)
		add(seq, seq % 3 == 0 ? OUTCOME_DEAD : OUTCOME_DONE);
	range.newest = 2;
	tail_seek(tail, &range);
	CU_ASSERT_EQUAL(range.next_seq, 8);
	range = range_from(0);
	range.newest = 2;
	range.outcomes = 1U << OUTCOME_DEAD;
	tail_seek(tail, &range);
	expect_page(&range, "6\n9\n");
	range = range_from(9);
	range.newest = 2;
	tail_seek(tail, &range);
	CU_ASSERT_EQUAL(range.next_seq, 9); /* the later of both */
	range = range_from(0);
	range.newest = 100;
	tail_seek(tail, &range);
	CU_ASSERT_EQUAL(range.next_seq, 1);
	range = range_from(0);
	range.newest = 2;
	range.until_seq = 5; /* the others have come since it was asked */
	tail_seek(tail, &range);
	expect_page(&range, "4\n5\n");

	range = range_from(0);
	range.since_us = clock_wall_us() + 3600 * INT64_C(1000000);
	tail_seek(tail, &range);
	CU_ASSERT_EQUAL(range.next_seq, 10);
	range = range_from(0);
	range.since_us = clock_wall_us() - 3600 * INT64_C(1000000);
	tail_seek(tail, &range);
	CU_ASSERT_EQUAL(range.next_seq, 1);
	end();
}

static void test_news_are_told_to_those_who_wait(void)
{
	struct record_range range = range_from(1);

	begin(0);
	add(1, OUTCOME_DONE);
	CU_ASSERT_FALSE(is_raised()); /* nobody waits */
	expect_page(&range, "1\n");
	CU_ASSERT_EQUAL(read_page(&range), 0);
	CU_ASSERT_FALSE(is_raised());
	add(2, OUTCOME_DONE);
	CU_ASSERT_TRUE(is_raised());
	tail_event_clear(tail);
	CU_ASSERT_FALSE(is_raised());
	add(3, OUTCOME_DONE);
	CU_ASSERT_FALSE(is_raised()); /* told already: nobody has looked since */
	expect_page(&range, "2\n3\n");
	end();
}

int main(void)
{
	CU_TestInfo tests[] = {
		{ "records come in their order, and once", test_records_come_in_their_order_and_once },
		{ "only those wanted come, up to the last one",
		  test_only_those_wanted_come_up_to_the_last_one },
		{ "pages are bounded, and long records come in pieces",
		  test_pages_are_bounded_and_long_records_come_in_pieces },
		{ "old records make room for new ones", test_old_records_make_room_for_new_ones },
		{ "a record that does not fit is missing", test_a_record_that_does_not_fit_is_missing },
		{ "a search begins with the newest, or by time",
		  test_a_search_begins_with_the_newest_or_by_time },
		{ "news are told to those who wait", test_news_are_told_to_those_who_wait },
		CU_TEST_INFO_NULL,
	};

	return unit_run("tail", tests);
}
