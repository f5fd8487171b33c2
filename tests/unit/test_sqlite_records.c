/* SPDX-License-Identifier: Apache-2.0 */
/* sqlite.h: records read page by page, beside the writer. */
#include "backlog/sqlite_parts.h"

#include "no_sync.h"
#include "sqlite_stage.h"

static struct stage stage;
static struct buf page;

/* Settles 'n' jobs, every third one as dead. */
static void begin(size_t n)
{
	stage_init(&stage);
	stage_open(&stage);
	CU_ASSERT_EQUAL(stage_submit_many(&stage, n, false), 0);
	for (size_t i = 1; i <= n; i++)
		stage_final(&stage, stage_take_one(&stage), i % 3 == 0 ? OUTCOME_DEAD : OUTCOME_DONE);
}

static void end(void)
{
	buf_done(&page);
	stage_done(&stage);
}

static int ask(enum query_kind kind, struct record_range *range)
{
	struct query q = { .kind = kind, .range = range };

	int r = backlog_query_and_wait(stage.b, &q);
	buf_done(&page);
	page = q.line;
	return r;
}

static struct record_range range_from(uint64_t seq)
{
	return (struct record_range) { .outcomes = 7, .until_seq = UINT64_MAX, .left = UINT64_MAX,
		                       .page_bytes = 1024, .next_seq = seq };
}

/* The numbers of the next page's records, with blanks between them, must be these. */
static void expect_page(struct record_range *range, const char *numbers)
{
	struct buf seen = { 0 };

	CU_ASSERT_EQUAL(ask(QUERY_RECORDS, range), 0);
	for (size_t i = 0; i < page.len; i++)
		if (page.data[i] >= '0' && page.data[i] <= '9')
			buf_add_char(&seen, page.data[i]);
		else if (page.data[i] == '\n' && i + 1 < page.len)
			buf_add_char(&seen, ' ');
	buf_add_char(&seen, '\0');
	CU_ASSERT_STRING_EQUAL(seen.data, numbers);
	buf_done(&seen);
}

static void test_pages_follow_each_other(void)
{
	struct record_range range = range_from(0);

	begin(7);
	range.page_bytes = 3 * strlen("{\"seq\":1}\n");
	expect_page(&range, "1 2 3");
	expect_page(&range, "4 5 6");
	expect_page(&range, "7");
	expect_page(&range, "");
	CU_ASSERT_EQUAL(range.next_seq, 8);
	range = range_from(2);
	range.page_bytes = 4; /* in pieces */
	for (const char *piece = "{\"seq\":2}\n"; *piece != '\0'; piece += page.len) {
		CU_ASSERT_EQUAL(ask(QUERY_RECORDS, &range), 0);
		CU_ASSERT_TRUE_FATAL(page.len > 0 && page.len <= 4);
		CU_ASSERT_EQUAL(strncmp(page.data, piece, page.len), 0);
	}
	CU_ASSERT_EQUAL(range.next_seq, 3);
	end();
}

static void test_only_those_wanted_come_up_to_the_last_one(void)
{
	struct record_range range = range_from(1);

	begin(9);
	range.outcomes = 1U << OUTCOME_DEAD;
	expect_page(&range, "3 6 9");
	range = range_from(1);
	range.outcomes = 1U << OUTCOME_CANCELLED;
	expect_page(&range, "");
	CU_ASSERT_EQUAL(range.next_seq, 10);
	range = range_from(2);
	range.until_seq = 4;
	expect_page(&range, "2 3 4");
	expect_page(&range, "");
	range = range_from(2);
	range.left = 2;
	expect_page(&range, "2 3");
	expect_page(&range, "");
	end();
}

static void test_without_records_there_are_none_and_none_is_missed(void)
{
	struct record_range range = range_from(0);

	begin(0);
	expect_page(&range, "");
	CU_ASSERT_EQUAL(range.next_seq, 1);
	range = range_from(0);
	range.newest = 3;
	CU_ASSERT_EQUAL(ask(QUERY_SEEK, &range), 0);
	CU_ASSERT_EQUAL(range.next_seq, 1);
	end();
}

static void test_a_search_begins_with_the_newest_or_by_time(void)
{
	begin(9);
	struct record_range range = range_from(0);
	range.newest = 2;
	CU_ASSERT_EQUAL(ask(QUERY_SEEK, &range), 0);
	CU_ASSERT_EQUAL(range.next_seq, 8);
	range = range_from(0);
	range.newest = 2;
	range.outcomes = 1U << OUTCOME_DEAD;
	CU_ASSERT_EQUAL(ask(QUERY_SEEK, &range), 0);
	expect_page(&range, "6 9");
	range = range_from(9);
	range.newest = 5;
	CU_ASSERT_EQUAL(ask(QUERY_SEEK, &range), 0);
	CU_ASSERT_EQUAL(range.next_seq, 9); /* the later of both */
	range = range_from(0);
	range.newest = 2;
	range.until_seq = 5; /* the others have come since it was asked */
	CU_ASSERT_EQUAL(ask(QUERY_SEEK, &range), 0);
	expect_page(&range, "4 5");

	stage_close(&stage);
	stage_sql(&stage, "UPDATE settled SET finished = seq");
	stage_open(&stage);
	range = range_from(0);
	range.since_us = 7;
	CU_ASSERT_EQUAL(ask(QUERY_SEEK, &range), 0);
	expect_page(&range, "7 8 9");
	range = range_from(0);
	range.since_us = 10;
	CU_ASSERT_EQUAL(ask(QUERY_SEEK, &range), 0);
	CU_ASSERT_EQUAL(range.next_seq, 10);
	end();
}

static void test_what_is_forgotten_is_told(void)
{
	struct record_range range = range_from(1);

	stage_init(&stage);
	stage.options.remember_ns = 0;
	stage_open(&stage);
	CU_ASSERT_EQUAL(stage_submit_many(&stage, 4, false), 0);
	CU_ASSERT_EQUAL(stage_drain(&stage, OUTCOME_DONE), 4);
	CU_ASSERT_EQUAL(backlog_mark(stage.b, 2, ""), 0);
	while (stage_stats(&stage).remembered_seq != 3)
		stage_submit_line(&stage, "http://a/");
	CU_ASSERT_EQUAL(ask(QUERY_RECORDS, &range), -ENOENT);
	CU_ASSERT_EQUAL(range.next_seq, 1);
	CU_ASSERT_EQUAL(range.first_seq, 3);
	range = range_from(0);
	expect_page(&range, "3 4");

	CU_ASSERT_EQUAL(backlog_mark(stage.b, 4, ""), 0);
	while (stage_stats(&stage).remembered_seq != 0)
		stage_submit_line(&stage, "http://a/");
	range = range_from(4);
	CU_ASSERT_EQUAL(ask(QUERY_RECORDS, &range), -ENOENT);
	CU_ASSERT_EQUAL(range.first_seq, 5);
	range = range_from(5);
	expect_page(&range, "");
	range = range_from(0);
	expect_page(&range, "");
	CU_ASSERT_EQUAL(range.next_seq, 5);
	end();
}

/* More rows than one transaction looks at; only the first one is done. */
static void begin_with_many(void)
{
	begin(1);
	stage_close(&stage);
	stage_sql(&stage, "WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n "
	                  "LIMIT 10000) INSERT INTO settled "
	                  "(seq, number, outcome, finished, accepted, attempts, line) "
	                  "SELECT i, 1000 + i, 1, 1, 1, 1, "
	                  "CAST('{\"seq\":' || i || '}' || char(10) AS BLOB) FROM n; "
	                  "UPDATE state SET last_seq = 10001, dead = 10000, accepted = 10001, "
	                  "last_number = 20000");
	stage_open(&stage);
	stage.seq = 10001;
}

static void test_long_ways_are_made_in_short_steps(void)
{
	struct record_range range = range_from(0);
	unsigned pages = 0;

	begin_with_many();
	range.outcomes = 1U << OUTCOME_CANCELLED;
	while (range.next_seq != 10002) {
		CU_ASSERT_EQUAL_FATAL(ask(QUERY_RECORDS, &range), 0);
		CU_ASSERT_EQUAL(page.len, 0);
		pages++;
	}
	CU_ASSERT_EQUAL(pages, 3);
	range = range_from(0);
	range.newest = 1;
	range.outcomes = 1U << OUTCOME_DONE;
	CU_ASSERT_EQUAL(ask(QUERY_SEEK, &range), 0); /* the oldest of all */
	CU_ASSERT_EQUAL(range.next_seq, 1);
	end();
}

/* --- many at once ---------------------------------------------------------------------- */

/* A question, and as which of all it was answered. */
struct asked_turn {
	struct query query;
	struct record_range range;
	int error;
	unsigned turn;
};

static atomic_uint n_answered;

static void on_answered(struct query *q, int error)
{
	struct asked_turn *a = (struct asked_turn *) ((char *) q - offsetof(struct asked_turn, query));

	a->error = error;
	a->turn = n_answered + 1;
	n_answered++;
}

/* A search for the only one that is done, and the page of a record. */
static void ask_both(struct asked_turn *search, struct asked_turn *read)
{
	struct sqlite_backlog *q = (struct sqlite_backlog *) stage.b;

	n_answered = 0;
	search->query = (struct query) { .kind = QUERY_SEEK, .range = &search->range,
		                         .done = on_answered };
	search->range.outcomes = 1U << OUTCOME_DONE;
	search->range.newest = 1;
	read->query = (struct query) { .kind = QUERY_RECORDS, .range = &read->range,
		                       .done = on_answered };
	CU_ASSERT_PTR_NOT_NULL(sqlite_begin_asking(q)); /* both are there before one is looked at */
	backlog_query(stage.b, &search->query);
	backlog_query(stage.b, &read->query);
	sqlite_end_asking(q);
	while (n_answered < 2)
		(void) sched_yield();
	query_done(&read->query);
}

static void test_who_reads_does_not_wait_for_the_end_of_a_search(void)
{
	struct asked_turn search = { .range = range_from(0) }, read = { .range = range_from(10001) };

	begin_with_many();
	ask_both(&search, &read);
	CU_ASSERT_EQUAL(read.turn, 1);
	CU_ASSERT_EQUAL(read.error, 0);
	CU_ASSERT_EQUAL(read.range.next_seq, 10002);
	CU_ASSERT_EQUAL(search.error, 0);
	CU_ASSERT_EQUAL(search.range.next_seq, 1);
	end();
}

static void test_a_search_ends_once_nobody_waits_for_it(void)
{
	struct asked_turn search = { .range = range_from(0) }, read = { .range = range_from(10001) };

	begin_with_many();
	search.range.given_up = true;
	ask_both(&search, &read);
	CU_ASSERT_EQUAL(search.turn, 1);
	CU_ASSERT_EQUAL(search.error, -EPIPE);
	CU_ASSERT_EQUAL(read.error, 0);
	end();
}

static atomic_bool accepted;

static void on_accepted(struct submission *s, int error)
{
	(void) s;
	CU_ASSERT_EQUAL(error, 0);
	accepted = true;
}

/* Somebody has the database's write lock: no round can be committed. */
static void test_who_reads_waits_for_no_writer(void)
{
	struct record_range range = range_from(2);
	sqlite3 *db = NULL;

	begin(3);
	CU_ASSERT_EQUAL(sqlite3_open(stage.path, &db), SQLITE_OK);
	CU_ASSERT_EQUAL(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	struct job *job = make_job(&stage.maker, "http://b/");
	struct submission sub = { .jobs = &job, .n = 1, .waits = true, .done = on_accepted };
	backlog_submit(stage.b, &sub);
	expect_page(&range, "2 3");
	CU_ASSERT_FALSE(accepted);
	CU_ASSERT_EQUAL(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
	while (!accepted)
		(void) sched_yield();
	(void) sqlite3_close(db);
	end();
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "pages follow each other", test_pages_follow_each_other },
		{ "only those wanted come, up to the last one",
		  test_only_those_wanted_come_up_to_the_last_one },
		{ "without records there are none, and none is missed",
		  test_without_records_there_are_none_and_none_is_missed },
		{ "a search begins with the newest, or by time",
		  test_a_search_begins_with_the_newest_or_by_time },
		{ "what is forgotten is told", test_what_is_forgotten_is_told },
		{ "long ways are made in short steps", test_long_ways_are_made_in_short_steps },
		{ "who reads does not wait for the end of a search",
		  test_who_reads_does_not_wait_for_the_end_of_a_search },
		{ "a search ends once nobody waits for it", test_a_search_ends_once_nobody_waits_for_it },
		{ "who reads waits for no writer", test_who_reads_waits_for_no_writer },
		CU_TEST_INFO_NULL,
	};

	return unit_run("sqlite_records", tests);
}
