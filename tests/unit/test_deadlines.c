/* SPDX-License-Identifier: Apache-2.0 */
/* backlog.h: a job whose deadline has passed is handed out wherever it stands; in memory and in a
 * database.  Time is told, not waited for. */
#include "backlog/memory.h"
#include "sqlite_stage.h"

#include <string.h>

/* Deadlines are so many seconds after this: 2040-01-01. */
#define BEGIN_US INT64_C(2208988800000000)
#define AT(seconds) (BEGIN_US + (seconds) * INT64_C(1000000))

#define BOTH(test) \
	static void test##_in_memory(void) { test(false); } \
	static void test##_in_a_database(void) { test(true); }

#define TABLE(name, test) \
	{ name " (memory)", test##_in_memory }, { name " (sqlite)", test##_in_a_database }

static void open_backlog(struct stage *s, bool durable)
{
	if (durable) {
		stage_open(s);
		return;
	}
	CU_ASSERT_EQUAL_FATAL(memory_backlog_create(
		                      &(struct memory_backlog_options) {
			                      .max_jobs = s->options.max_jobs,
			                      .max_bytes = s->options.max_bytes,
			                      .listener = s->options.listener,
		                      },
		                      &s->b), 0);
}

static void begin(struct stage *s, bool durable)
{
	stage_init(s);
	open_backlog(s, durable);
}

static void submit(struct stage *s, const char *origin, const char *path, int seconds,
                   const char *more)
{
	char text[CLOCK_TEXT_SIZE], line[256];

	clock_format(AT(seconds), text);
	(void) snprintf(line, sizeof(line), "{\"url\":\"%s/%s\",\"deadline\":\"%s\"%s}", origin, path,
	                text, more);
	stage_submit_line(s, line);
}

/* How often the listener was told, once the backlog's thread has come by. */
static unsigned told(struct stage *s)
{
	struct query q = { .kind = QUERY_LANES };

	CU_ASSERT_EQUAL(backlog_query_and_wait(s->b, &q), 0);
	CU_ASSERT_EQUAL(backlog_query_and_wait(s->b, &q), 0);
	query_done(&q);
	return s->expiring;
}

/* Expects jobs of these paths at that time, in that order; which are the caller's then. */
static void expire(struct stage *s, int seconds, const char *paths, struct job **jobs, int next)
{
	size_t n = strlen(paths);
	int64_t next_us = 0;

	CU_ASSERT_EQUAL_FATAL(backlog_take_expired(s->b, AT(seconds), 10, jobs, &next_us), n);
	for (size_t i = 0; i < n; i++)
		CU_ASSERT_EQUAL(strrchr(jobs[i]->url, '/')[1], paths[i]);
	CU_ASSERT_EQUAL(next_us, next > 0 ? AT(next) : INT64_MAX);
}

static void expect(struct stage *s, size_t waiting, size_t delayed, size_t held)
{
	struct backlog_stats stats = stage_stats(s);

	CU_ASSERT_EQUAL(stats.waiting, waiting);
	CU_ASSERT_EQUAL(stats.delayed, delayed);
	CU_ASSERT_EQUAL(stats.held_jobs, held);
}

static void settle_all(struct stage *s, struct job *const *jobs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		stage_final(s, jobs[i], OUTCOME_DEAD);
}

static size_t no_room(void *arg, const char *origin, struct lane_rest *ret_rest)
{
	(void) arg;
	*ret_rest = (struct lane_rest) {
		.why = WAIT_PAUSED,
		.until_ns = strstr(origin, "timed") ? clock_after(clock_now_ns(), 3600 * NS_PER_S)
		                                    : NEVER,
	};
	return 0;
}

/* All lanes come to rest. */
static void rest(struct stage *s)
{
	const struct backlog_gate gate = { .room = no_room };
	struct job *jobs[10];
	uint64_t due = 0;

	CU_ASSERT_EQUAL(backlog_take(s->b, clock_now_ns(), 10, &gate, jobs, &due), 0);
}

/* --- both ---------------------------------------------------------------------------------- */

static void jobs_expire_in_the_order_of_their_deadlines(bool durable)
{
	struct stage s;
	struct job *jobs[10];

	begin(&s, durable);
	submit(&s, "http://a", "1", 30, "");
	submit(&s, "http://b", "2", 10, "");
	submit(&s, "http://a", "3", 20, ",\"priority\":\"high\"");
	submit(&s, "http://a", "4", 21, "");
	stage_submit_line(&s, "http://a/5");
	expire(&s, 9, "", jobs, 10);
	expire(&s, 10, "2", jobs, 20);
	expect(&s, 4, 0, 5);
	expire(&s, 29, "34", jobs + 1, 30);
	expire(&s, 1000, "1", jobs + 3, 0);
	expire(&s, 2000, "", jobs + 4, 0);
	expect(&s, 1, 0, 5);
	settle_all(&s, jobs, 4);
	CU_ASSERT_EQUAL(stage_drain(&s, OUTCOME_DONE), 1);
	expect(&s, 0, 0, 0);
	stage_done(&s);
}
BOTH(jobs_expire_in_the_order_of_their_deadlines)

static void no_rest_and_no_delay_keeps_a_job_from_it(bool durable)
{
	static const char delay[] = ",\"not_before\":\"2039-01-01T00:00:00Z\"";
	struct stage s;
	struct job *jobs[10];

	begin(&s, durable);
	submit(&s, "http://opened", "1", 10, "");
	submit(&s, "http://opened", "2", 20, "");
	submit(&s, "http://timed", "3", 11, "");
	submit(&s, "http://late", "4", 12, delay);
	rest(&s);
	expect(&s, 3, 1, 4);
	expire(&s, 12, "134", jobs, 20);
	expect(&s, 1, 0, 4);
	settle_all(&s, jobs, 3);
	CU_ASSERT_EQUAL(stage_stats(&s).by_reason[WAIT_PAUSED], 1);

	/* The lanes are as they were: one rests, one has no jobs, and a new one is asked for. */
	rest(&s);
	stage_submit_line(&s, "http://timed/5");
	stage_submit_line(&s, "http://late/6");
	backlog_open(s.b, NULL);
	CU_ASSERT_EQUAL(stage_drain(&s, OUTCOME_DONE), 3);
	expect(&s, 0, 0, 0);
	stage_done(&s);
}
BOTH(no_rest_and_no_delay_keeps_a_job_from_it)

static void a_full_hand_comes_again_at_once(bool durable)
{
	struct stage s;
	struct job *jobs[10];
	int64_t next_us = 0;

	begin(&s, durable);
	for (int i = 0; i < 5; i++)
		submit(&s, "http://a", "x", i, "");
	CU_ASSERT_EQUAL(backlog_take_expired(s.b, AT(9), 2, jobs, &next_us), 2);
	CU_ASSERT_TRUE(next_us <= AT(9));
	CU_ASSERT_EQUAL(backlog_take_expired(s.b, AT(9), 2, jobs + 2, &next_us), 2);
	CU_ASSERT_TRUE(next_us <= AT(9));
	CU_ASSERT_EQUAL(backlog_take_expired(s.b, AT(9), 2, jobs + 4, &next_us), 1);
	CU_ASSERT_EQUAL(next_us, INT64_MAX);
	settle_all(&s, jobs, 5);
	stage_done(&s);
}
BOTH(a_full_hand_comes_again_at_once)

static void what_is_out_expires_once_it_is_back(bool durable)
{
	static const enum verdict_kind kinds[] = { VERDICT_RETURN, VERDICT_RETURN, VERDICT_RETRY,
		                                   VERDICT_RETRY, VERDICT_HOP };
	const struct job_hop hop = { .url = "http://b/x",
		                     .origin = { "http://b:80", "b", 80, false } };
	struct stage s;
	struct job *job = NULL, *jobs[10];

	begin(&s, durable);
	submit(&s, "http://a", "x", 10, "");
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (i == 0)
			job = stage_take_one(&s);
		expire(&s, 11, "", jobs, 0);
		unsigned before = told(&s);
		if (kinds[i] == VERDICT_HOP)
			CU_ASSERT_EQUAL(job_set_hop(job, &hop), 0);
		stage_settle(&s, job, kinds[i], i % 2 ? clock_now_ns() + 3600 * NS_PER_S : 0);
		CU_ASSERT_EQUAL(told(&s), before + 1);
		expect(&s, i % 2 ? 0 : 1, i % 2, 1);
		expire(&s, 11, "x", &job, 0);
		expect(&s, 0, 0, 1);
	}
	CU_ASSERT_PTR_NOT_NULL(job->hop);
	stage_final(&s, job, OUTCOME_DEAD);
	expect(&s, 0, 0, 0);
	expire(&s, 12, "", jobs, 0);
	stage_done(&s);
}
BOTH(what_is_out_expires_once_it_is_back)

static void what_has_been_taken_does_not_expire_and_the_other_way_round(bool durable)
{
	struct stage s;
	struct job *jobs[10];

	begin(&s, durable);
	submit(&s, "http://a", "1", 10, "");
	submit(&s, "http://a", "2", 11, "");
	submit(&s, "http://a", "3", 12, "");
	jobs[0] = stage_take_one(&s);
	expire(&s, 11, "2", jobs + 1, 12);
	jobs[2] = stage_take_one(&s);
	CU_ASSERT_STRING_EQUAL(jobs[2]->url, "http://a/3");
	expire(&s, 12, "", jobs + 3, 0);
	settle_all(&s, jobs, 3);
	stage_done(&s);
}
BOTH(what_has_been_taken_does_not_expire_and_the_other_way_round)

static void an_earlier_deadline_is_told(bool durable)
{
	struct stage s;
	struct job *jobs[10];

	begin(&s, durable);
	expire(&s, 0, "", jobs, 0);
	stage_submit_line(&s, "http://a/0");
	CU_ASSERT_EQUAL(told(&s), 0);
	submit(&s, "http://a", "1", 20, "");
	CU_ASSERT_EQUAL(told(&s), 1);
	submit(&s, "http://a", "2", 30, "");
	CU_ASSERT_EQUAL(told(&s), 1);
	submit(&s, "http://b", "3", 10, "");
	CU_ASSERT_EQUAL(told(&s), 2);
	expire(&s, 0, "", jobs, 10);
	expire(&s, 10, "3", jobs, 20);
	submit(&s, "http://a", "4", 25, "");
	CU_ASSERT_EQUAL(told(&s), 2);
	submit(&s, "http://a", "5", 15, ",\"not_before\":\"2039-01-01T00:00:00Z\"");
	CU_ASSERT_EQUAL(told(&s), 3);
	expire(&s, 100, "5142", jobs + 1, 0);
	settle_all(&s, jobs, 5);
	CU_ASSERT_EQUAL(told(&s), 3);
	CU_ASSERT_EQUAL(stage_drain(&s, OUTCOME_DONE), 1);
	stage_done(&s);
}
BOTH(an_earlier_deadline_is_told)

static void of_a_batch_the_first_deadline_counts(bool durable)
{
	static const char *const lines[] = {
		"{\"url\":\"http://a/1\",\"deadline\":\"2040-01-01T00:00:20Z\"}",
		"{\"url\":\"http://a/2\",\"deadline\":\"2040-01-01T00:00:10Z\"}",
		"{\"url\":\"http://a/3\",\"deadline\":\"2040-01-01T00:00:30Z\"}",
	};
	struct stage s;
	struct job *jobs[10];

	begin(&s, durable);
	expire(&s, 0, "", jobs, 0);
	CU_ASSERT_EQUAL(stage_submit(&s, lines, 3, false, NULL), 0);
	CU_ASSERT_EQUAL(told(&s), 1);
	expire(&s, 15, "2", jobs, 20);
	expire(&s, 30, "13", jobs + 1, 0);
	settle_all(&s, jobs, 3);
	stage_done(&s);
}
BOTH(of_a_batch_the_first_deadline_counts)

static void an_expired_job_makes_room(bool durable)
{
	struct stage s;
	struct job *job = NULL;
	const char *more = "http://b/";

	stage_init(&s);
	s.options.max_jobs = 1;
	open_backlog(&s, durable);
	submit(&s, "http://a", "x", 10, "");
	rest(&s);
	CU_ASSERT_EQUAL(stage_submit(&s, &more, 1, false, NULL), -EAGAIN);
	expire(&s, 10, "x", &job, 0);
	stage_final(&s, job, OUTCOME_DEAD);
	CU_ASSERT_EQUAL(stage_submit(&s, &more, 1, false, NULL), 0);
	CU_ASSERT_EQUAL(stage_drain(&s, OUTCOME_DONE), 1);
	stage_done(&s);
}
BOTH(an_expired_job_makes_room)

/* --- a database alone ------------------------------------------------------------------------ */

static void test_a_deadline_outlives_the_process(void)
{
	struct stage s;
	struct asked a;
	struct job *jobs[10];

	begin(&s, true);
	submit(&s, "http://a", "1", 20, ",\"id\":\"one\"");
	submit(&s, "http://a", "2", 10, ",\"not_before\":\"2039-01-01T00:00:00Z\"");
	stage_reopen(&s);
	CU_ASSERT_EQUAL(stage_ask(&s, &a, QUERY_FIND, "one"), 0);
	CU_ASSERT_EQUAL(a.query.deadline_wall_us, AT(20));
	asked_free(&a);
	expire(&s, 20, "21", jobs, 0);
	CU_ASSERT_EQUAL(job_deadline(jobs[1]), AT(20));
	stage_settle(&s, jobs[0], VERDICT_RETURN, 0);
	stage_settle(&s, jobs[1], VERDICT_RETURN, 0);
	stage_reopen(&s);
	expire(&s, 10, "2", jobs, 20);
	expire(&s, 20, "1", jobs + 1, 0);
	settle_all(&s, jobs, 2);
	stage_done(&s);
}

static void test_a_database_that_knows_no_deadlines_learns_them(void)
{
	struct stage s;
	struct job *jobs[10];

	begin(&s, true);
	stage_submit_line(&s, "http://a/1");
	stage_submit_line(&s, "{\"url\":\"http://a/2\",\"not_before\":\"2039-01-01T00:00:00Z\"}");
	stage_close(&s);
	stage_sql(&s, "DROP INDEX job_deadline; ALTER TABLE job DROP COLUMN deadline;"
	              "PRAGMA user_version = 2");
	stage_open(&s);
	expect(&s, 1, 1, 2);
	submit(&s, "http://a", "3", 10, "");
	stage_reopen(&s);
	expire(&s, 9, "", jobs, 10);
	expire(&s, 10, "3", jobs, 0);
	settle_all(&s, jobs, 1);
	expect(&s, 1, 1, 2);
	stage_done(&s);
}

static void test_expired_jobs_wait_while_too_much_is_out(void)
{
	struct stage s;
	struct job *big = NULL, *jobs[10];

	stage_init(&s);
	s.options.max_out_bytes = 1;
	stage_open(&s);
	stage_submit_line(&s, "http://a/big");
	big = stage_take_one(&s); /* one is always let out */
	submit(&s, "http://a", "1", 10, "");
	submit(&s, "http://a", "2", 10, "");
	expire(&s, 10, "", jobs, 0);
	unsigned before = told(&s);
	stage_final(&s, big, OUTCOME_DONE);
	CU_ASSERT_EQUAL(told(&s), before + 1);
	for (int i = 0; i < 2; i++) {
		expire(&s, 10, i == 0 ? "1" : "2", jobs, 0);
		stage_final(&s, jobs[0], OUTCOME_DEAD);
		CU_ASSERT_EQUAL(told(&s), before + 2);
	}
	expire(&s, 10, "", jobs, 0);
	stage_done(&s);
}

static void test_a_row_that_cannot_be_read_holds_up_no_other(void)
{
	struct stage s;
	struct job *jobs[10];

	begin(&s, true);
	submit(&s, "http://a", "1", 10, "");
	submit(&s, "http://a", "2", 11, "");
	submit(&s, "http://a", "3", 30, "");
	stage_sql(&s, "UPDATE job SET spec = x'7b' WHERE number = 1");
	expire(&s, 20, "2", jobs, 30);
	CU_ASSERT_EQUAL(s.trouble, -EUCLEAN);
	settle_all(&s, jobs, 1);
	stage_done(&s);
}

/* It is taken by its number, and said to be dead of that. */
static void test_a_job_that_is_set_aside_does_not_expire(void)
{
	struct stage s;
	struct job *jobs[10];

	begin(&s, true);
	submit(&s, "http://a", "1", 10, "");
	s.options.blamed = 1;
	for (int i = 0; i < SQLITE_BACKLOG_MAX_CRASHES; i++)
		stage_reopen(&s);
	CU_ASSERT_EQUAL(sqlite_backlog_poisoned(s.b, 0), 1);
	expire(&s, 20, "", jobs, 0);
	stage_done(&s);
}

static void test_a_dead_job_is_repeated_without_its_deadline(void)
{
	struct stage s;
	struct asked a;
	struct job *jobs[10];

	begin(&s, true);
	submit(&s, "http://a", "1", 10, ",\"method\":\"PUT\"");
	expire(&s, 10, "1", jobs, 0);
	settle_all(&s, jobs, 1);
	CU_ASSERT_EQUAL(stage_ask(&s, &a, QUERY_REQUEUE, "p-1"), 0);
	asked_free(&a);
	expire(&s, 20, "", jobs, 0);
	struct job *job = stage_take_one(&s);
	CU_ASSERT_STRING_EQUAL(job->extra->requeued_from, "p-1");
	CU_ASSERT_STRING_EQUAL(job_method(job), "PUT");
	CU_ASSERT_EQUAL(job_deadline(job), 0);
	stage_final(&s, job, OUTCOME_DONE);
	stage_done(&s);
}

static void test_an_id_is_known_though_the_deadline_has_passed(void)
{
	static const char line[] = "{\"url\":\"http://a/x\",\"id\":\"one\",\"deadline\":"
	                           "\"2020-01-01T00:00:00Z\"}";
	static const char other[] = "{\"url\":\"http://a/x\",\"id\":\"one\",\"deadline\":"
	                            "\"2020-01-01T00:00:01Z\"}";
	const char *again = line, *changed = other;
	struct receipt receipt;
	struct stage s;
	struct job *jobs[10];

	begin(&s, true);
	stage_submit_line(&s, line);
	for (int settled = 0; settled < 2; settled++) {
		CU_ASSERT_EQUAL(stage_submit(&s, &again, 1, false, &receipt), 0);
		CU_ASSERT_EQUAL(receipt.kind, RECEIPT_KNOWN);
		CU_ASSERT_EQUAL(stage_submit(&s, &changed, 1, false, &receipt), 0);
		CU_ASSERT_EQUAL(receipt.kind, RECEIPT_CONFLICT);
		expire(&s, 0, settled ? "" : "x", jobs, 0);
		if (!settled)
			settle_all(&s, jobs, 1);
	}
	stage_done(&s);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		TABLE("jobs expire in the order of their deadlines",
		      jobs_expire_in_the_order_of_their_deadlines),
		TABLE("no rest and no delay keeps a job from it",
		      no_rest_and_no_delay_keeps_a_job_from_it),
		TABLE("a full hand comes again at once", a_full_hand_comes_again_at_once),
		TABLE("what is out expires once it is back", what_is_out_expires_once_it_is_back),
		TABLE("what has been taken does not expire and the other way round",
		      what_has_been_taken_does_not_expire_and_the_other_way_round),
		TABLE("an earlier deadline is told", an_earlier_deadline_is_told),
		TABLE("of a batch the first deadline counts", of_a_batch_the_first_deadline_counts),
		TABLE("an expired job makes room", an_expired_job_makes_room),
		{ "a deadline outlives the process", test_a_deadline_outlives_the_process },
		{ "a database that knows no deadlines learns them",
		  test_a_database_that_knows_no_deadlines_learns_them },
		{ "expired jobs wait while too much is out",
		  test_expired_jobs_wait_while_too_much_is_out },
		{ "a row that cannot be read holds up no other",
		  test_a_row_that_cannot_be_read_holds_up_no_other },
		{ "a job that is set aside does not expire",
		  test_a_job_that_is_set_aside_does_not_expire },
		{ "a dead job is repeated without its deadline",
		  test_a_dead_job_is_repeated_without_its_deadline },
		{ "an id is known though the deadline has passed",
		  test_an_id_is_known_though_the_deadline_has_passed },
		CU_TEST_INFO_NULL,
	};
	return unit_run("deadlines", tests);
}
