/* SPDX-License-Identifier: Apache-2.0 */
/* sqlite.h: where jobs are, taking one by its id, dead jobs again, and what is remembered. */
#include "no_sync.h"
#include "sqlite_stage.h"

#define WITH_ID(id) "{\"url\":\"http://a/\",\"id\":\"" id "\"}"

static void expect_state(struct stage *s, const char *id, enum job_state state)
{
	struct asked a;

	CU_ASSERT_EQUAL(stage_ask(s, &a, QUERY_FIND, id), 0);
	CU_ASSERT_EQUAL(a.query.state, state);
	asked_free(&a);
}

static void expect_error(struct stage *s, enum query_kind kind, const char *id, int error)
{
	struct asked a;

	CU_ASSERT_EQUAL(stage_ask(s, &a, kind, id), error);
	CU_ASSERT_PTR_NULL(a.query.job);
	asked_free(&a);
}

/* --- finding ----------------------------------------------------------------------------- */

static void test_a_job_is_found_wherever_it_is(void)
{
	struct stage s;
	struct asked a;

	stage_init(&s);
	stage_open(&s);
	stage_submit_line(&s, WITH_ID("mine"));
	stage_submit_line(&s, "http://b/");
	expect_state(&s, "mine", JOB_WAITING);
	expect_state(&s, "p-1", JOB_WAITING);
	expect_state(&s, "p-2", JOB_WAITING);
	struct job *first = stage_take_one(&s), *second = stage_take_one(&s);
	expect_state(&s, "mine", JOB_OUT);
	expect_state(&s, "p-2", JOB_OUT);

	first->attempts = 2;
	stage_settle(&s, first, VERDICT_RETRY, clock_now_ns() + 3600 * NS_PER_S);
	CU_ASSERT_EQUAL(stage_ask(&s, &a, QUERY_FIND, "mine"), 0);
	CU_ASSERT_EQUAL(a.query.state, JOB_DELAYED);
	CU_ASSERT_EQUAL(a.query.number, 1);
	CU_ASSERT_EQUAL(a.query.attempts, 2);
	CU_ASSERT_TRUE(a.query.due_wall_us > clock_wall_us());
	CU_ASSERT_TRUE(a.query.accepted_wall_us <= clock_wall_us());
	asked_free(&a);

	stage_final(&s, second, OUTCOME_DEAD);
	stage_reopen(&s);
	CU_ASSERT_EQUAL(stage_ask(&s, &a, QUERY_FIND, "p-2"), 0);
	CU_ASSERT_EQUAL(a.query.state, JOB_SETTLED);
	CU_ASSERT_EQUAL(a.query.outcome, OUTCOME_DEAD);
	CU_ASSERT_EQUAL(a.query.number, 2);
	CU_ASSERT_STRING_EQUAL(a.query.line.data, "{\"seq\":1}\n");
	asked_free(&a);

	memset(&a, 0, sizeof(a)); /* by number */
	a.query = (struct query) { .kind = QUERY_FIND, .number = 1, .done = asked_done };
	backlog_query(s.b, &a.query);
	while (!a.ended)
		(void) sched_yield();
	CU_ASSERT_EQUAL(a.error, 0);
	CU_ASSERT_EQUAL(a.query.state, JOB_DELAYED);
	asked_free(&a);
	stage_done(&s);
}

static void test_what_is_not_there_is_not_found(void)
{
	static const char *const ids[] = { "p-2", "p-0", "p-01", "p-", "p--1", "p-1x", "p-+1", "x", "",
		                           "p-18446744073709551617", "p-99999999999999999999999" };
	struct stage s;

	stage_init(&s);
	stage_open(&s);
	stage_submit_line(&s, "http://a/");
	for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
		expect_error(&s, QUERY_FIND, ids[i], -ENOENT);
		expect_error(&s, QUERY_TAKE, ids[i], -ENOENT);
		expect_error(&s, QUERY_REQUEUE, ids[i], -ENOENT);
	}
	stage_done(&s);
}

/* --- taking -------------------------------------------------------------------------------- */

static void test_a_job_is_taken_by_its_id_once(void)
{
	struct stage s;
	struct asked a;

	stage_init(&s);
	stage_open(&s);
	stage_submit_line(&s, "{\"url\":\"http://a/\",\"id\":\"late\",\"not_before\":"
	                      "\"2099-01-01T00:00:00Z\"}");
	stage_submit_line(&s, "http://b/");
	CU_ASSERT_EQUAL(stage_ask(&s, &a, QUERY_TAKE, "late"), 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(a.query.job);
	CU_ASSERT_STRING_EQUAL(a.query.job->id, "late");
	CU_ASSERT_EQUAL(a.query.job->number, 1);
	stage_expect(&s, 1, 0, 2);
	struct job *late = a.query.job;
	asked_free(&a);
	CU_ASSERT_EQUAL(stage_ask(&s, &a, QUERY_TAKE, "late"), -EBUSY);
	CU_ASSERT_EQUAL(a.query.state, JOB_OUT);
	CU_ASSERT_EQUAL(a.query.number, 1);
	asked_free(&a);

	stage_settle(&s, late, VERDICT_RETURN, 0); /* to where it was */
	expect_state(&s, "late", JOB_DELAYED);
	stage_expect(&s, 1, 1, 2);
	CU_ASSERT_EQUAL(stage_ask(&s, &a, QUERY_TAKE, "late"), 0);
	stage_final(&s, a.query.job, OUTCOME_CANCELLED);
	asked_free(&a);
	stage_expect(&s, 1, 0, 1);
	CU_ASSERT_EQUAL(stage_ask(&s, &a, QUERY_TAKE, "late"), -EALREADY);
	CU_ASSERT_EQUAL(a.query.outcome, OUTCOME_CANCELLED);
	CU_ASSERT_STRING_EQUAL(a.query.line.data, "{\"seq\":1}\n");
	asked_free(&a);

	/* What a query has, a take has not, and the other way round. */
	CU_ASSERT_EQUAL(stage_ask(&s, &a, QUERY_TAKE, "p-2"), 0);
	struct job *job = NULL;
	CU_ASSERT_EQUAL(stage_take(&s, &job, 1), 0);
	stage_settle(&s, a.query.job, VERDICT_RETURN, 0);
	asked_free(&a);
	job = stage_take_one(&s);
	expect_error(&s, QUERY_TAKE, "p-2", -EBUSY);
	stage_final(&s, job, OUTCOME_DONE);
	stage_done(&s);
}

/* --- requeue ------------------------------------------------------------------------------- */

static void test_a_dead_job_is_requeued_once(void)
{
	struct stage s;
	struct asked a;

	stage_init(&s);
	stage_open(&s);
	stage_submit_line(&s, "{\"url\":\"http://a/\",\"id\":\"x\",\"method\":\"PUT\",\"body\":\"b\"}");
	stage_submit_line(&s, "http://b/");
	expect_error(&s, QUERY_REQUEUE, "x", -EINVAL); /* not dead */
	stage_final(&s, stage_take_one(&s), OUTCOME_DEAD);
	stage_final(&s, stage_take_one(&s), OUTCOME_DONE);
	expect_error(&s, QUERY_REQUEUE, "p-2", -EINVAL);
	s.accepted = 0;
	CU_ASSERT_EQUAL(stage_ask(&s, &a, QUERY_REQUEUE, "x"), 0);
	CU_ASSERT_EQUAL(a.query.requeued, 1);
	CU_ASSERT_EQUAL(a.query.new_number, 3);
	asked_free(&a);
	CU_ASSERT_EQUAL(s.accepted, 1);
	expect_error(&s, QUERY_REQUEUE, "x", -EINVAL);

	stage_reopen(&s);
	expect_error(&s, QUERY_REQUEUE, "x", -EINVAL);
	struct job *job = stage_take_one(&s);
	CU_ASSERT_EQUAL(job->number, 3);
	CU_ASSERT_PTR_NULL(job->id);
	CU_ASSERT_PTR_NOT_NULL_FATAL(job->extra);
	CU_ASSERT_STRING_EQUAL(job->extra->requeued_from, "x");
	CU_ASSERT_STRING_EQUAL(job->extra->method, "PUT");
	CU_ASSERT_STRING_EQUAL(job->url, "http://a/");
	stage_final(&s, job, OUTCOME_DEAD);
	CU_ASSERT_EQUAL(stage_ask(&s, &a, QUERY_REQUEUE, "p-3"), 0); /* the repeat may be, too */
	asked_free(&a);
	job = stage_take_one(&s);
	CU_ASSERT_STRING_EQUAL(job->extra->requeued_from, "p-3");
	stage_final(&s, job, OUTCOME_DONE);
	stage_done(&s);
}

static void test_all_dead_jobs_are_requeued_as_far_as_there_is_room(void)
{
	struct stage s;
	struct asked a;

	stage_init(&s);
	stage_open(&s);
	CU_ASSERT_EQUAL(stage_submit_many(&s, 700, false), 0);
	CU_ASSERT_EQUAL(stage_drain(&s, OUTCOME_DEAD), 700);
	CU_ASSERT_EQUAL(stage_submit_many(&s, 500, false), 0);
	CU_ASSERT_EQUAL(stage_ask(&s, &a, QUERY_REQUEUE, NULL), -EAGAIN);
	CU_ASSERT_EQUAL(a.query.requeued, 500);
	asked_free(&a);
	stage_expect(&s, 1000, 0, 1000);
	CU_ASSERT_EQUAL(stage_drain(&s, OUTCOME_DONE), 1000);
	CU_ASSERT_EQUAL(stage_ask(&s, &a, QUERY_REQUEUE, NULL), 0);
	CU_ASSERT_EQUAL(a.query.requeued, 200);
	asked_free(&a);
	CU_ASSERT_EQUAL(stage_ask(&s, &a, QUERY_REQUEUE, NULL), 0);
	CU_ASSERT_EQUAL(a.query.requeued, 0);
	asked_free(&a);
	backlog_close(s.b);
	expect_error(&s, QUERY_REQUEUE, NULL, -EPIPE);
	CU_ASSERT_EQUAL(stage_drain(&s, OUTCOME_DONE), 200);
	stage_done(&s);
}

/* --- cursor, mark, history -------------------------------------------------------------------- */

static void submit_cursor(struct stage *s, const char *source, const char *cursor, size_t n)
{
	struct job *job = n > 0 ? make_job(&s->maker, "http://a/") : NULL;
	struct submission sub = { .jobs = &job, .n = n, .source = source, .cursor = cursor };

	CU_ASSERT_EQUAL(backlog_submit_and_wait(s->b, &sub), 0);
}

static void expect_cursor(struct stage *s, const char *source, const char *expected)
{
	struct buf b = { 0 };

	CU_ASSERT_EQUAL(backlog_cursor(s->b, source, &b), 0);
	buf_add_char(&b, '\0');
	CU_ASSERT_STRING_EQUAL(b.data, expected);
	buf_done(&b);
}

static void test_cursors_are_remembered_with_the_jobs(void)
{
	struct stage s;

	stage_init(&s);
	stage_open(&s);
	expect_cursor(&s, "a", "");
	submit_cursor(&s, "a", "1", 1);
	submit_cursor(&s, "b", "x", 0);
	submit_cursor(&s, "a", "2", 1);
	submit_cursor(&s, "a", NULL, 1);
	stage_reopen(&s);
	expect_cursor(&s, "a", "2");
	expect_cursor(&s, "b", "x");
	expect_cursor(&s, "c", "");
	stage_expect(&s, 3, 0, 3);

	s.options.max_jobs = 3;
	stage_reopen(&s);
	struct job *job = make_job(&s.maker, "http://a/");
	struct submission sub = { .jobs = &job, .n = 1, .source = "a", .cursor = "3" };
	CU_ASSERT_EQUAL(backlog_submit_and_wait(s.b, &sub), -EAGAIN);
	job_free(job);
	expect_cursor(&s, "a", "2"); /* nothing of what is refused */
	stage_done(&s);
}

static void test_the_mark_is_remembered(void)
{
	struct stage s;
	struct buf b = { 0 };
	uint64_t seq = 9;

	stage_init(&s);
	stage_open(&s);
	CU_ASSERT_EQUAL(backlog_marked(s.b, &seq, &b), 0);
	CU_ASSERT_EQUAL(seq, 0);
	CU_ASSERT_EQUAL(b.len, 0);
	stage_submit_line(&s, "http://a/");
	CU_ASSERT_EQUAL(stage_drain(&s, OUTCOME_DONE), 1);
	CU_ASSERT_EQUAL(backlog_mark(s.b, 1, "first"), 0);
	CU_ASSERT_EQUAL(backlog_mark(s.b, 1, "inode 5"), 0);
	stage_reopen(&s);
	CU_ASSERT_EQUAL(backlog_marked(s.b, &seq, &b), 0);
	CU_ASSERT_EQUAL(seq, 1);
	buf_add_char(&b, '\0');
	CU_ASSERT_STRING_EQUAL(b.data, "inode 5");
	buf_done(&b);
	stage_done(&s);
}

static int history(struct stage *s, uint64_t after_seq, struct buf *b, uint64_t *ret_last_seq)
{
	buf_clear(b);
	return backlog_history(s->b, after_seq, b, ret_last_seq);
}

static void test_records_are_read_again_in_their_order(void)
{
	static const char two[] = "{\"seq\":2}\n{\"seq\":3}\n";
	struct stage s;
	struct buf b = { 0 };
	uint64_t last = 9;

	stage_init(&s);
	stage_open(&s);
	CU_ASSERT_EQUAL(history(&s, 0, &b, &last), 0);
	CU_ASSERT_EQUAL(last, 0);
	CU_ASSERT_EQUAL(stage_submit_many(&s, 3, false), 0);
	CU_ASSERT_EQUAL(stage_drain(&s, OUTCOME_DONE), 3);
	CU_ASSERT_EQUAL(history(&s, 1, &b, &last), 0);
	CU_ASSERT_EQUAL(last, 3);
	CU_ASSERT_EQUAL(b.len, strlen(two));
	CU_ASSERT_EQUAL(memcmp(b.data, two, strlen(two)), 0);
	CU_ASSERT_EQUAL(history(&s, 3, &b, &last), 0);
	CU_ASSERT_EQUAL(last, 3);
	CU_ASSERT_EQUAL(b.len, 0);
	buf_done(&b);
	stage_done(&s);
}

static void test_long_histories_come_in_pieces(void)
{
	enum { RECORDS = 10, RECORD = 100000 };
	struct stage s;
	struct buf b = { 0 };
	char *line = malloc(RECORD);
	uint64_t after = 0, last = 0, pieces = 0;

	CU_ASSERT_PTR_NOT_NULL_FATAL(line);
	memset(line, 'r', RECORD);
	stage_init(&s);
	stage_open(&s);
	CU_ASSERT_EQUAL(stage_submit_many(&s, RECORDS, false), 0);
	for (uint64_t i = 1; i <= RECORDS; i++) {
		struct verdict v = { .job = stage_take_one(&s), .kind = VERDICT_FINAL, .seq = i,
			             .line = line, .line_len = RECORD };
		CU_ASSERT_EQUAL(backlog_settle(s.b, &v, 1), 0);
	}
	while (after < RECORDS) {
		CU_ASSERT_EQUAL_FATAL(history(&s, after, &b, &last), 0);
		CU_ASSERT_TRUE_FATAL(last > after);
		CU_ASSERT_EQUAL(b.len, (last - after) * RECORD);
		after = last;
		pieces++;
	}
	CU_ASSERT_EQUAL(pieces, 4);
	free(line);
	buf_done(&b);
	stage_done(&s);
}

static void test_what_is_forgotten_is_missed(void)
{
	struct stage s;
	struct buf b = { 0 };
	uint64_t last = 9;

	stage_init(&s);
	s.options.remember_ns = 0;
	stage_open(&s);
	CU_ASSERT_EQUAL(stage_submit_many(&s, 4, false), 0);
	CU_ASSERT_EQUAL(stage_drain(&s, OUTCOME_DONE), 4);
	CU_ASSERT_EQUAL(backlog_mark(s.b, 2, ""), 0);
	while (stage_stats(&s).remembered_seq != 3)
		stage_submit_line(&s, "http://a/");
	CU_ASSERT_EQUAL(history(&s, 0, &b, &last), -ENOENT);
	CU_ASSERT_EQUAL(history(&s, 1, &b, &last), -ENOENT);
	CU_ASSERT_EQUAL(last, 9);
	CU_ASSERT_EQUAL(history(&s, 2, &b, &last), 0);
	CU_ASSERT_EQUAL(last, 4);
	CU_ASSERT_EQUAL(backlog_mark(s.b, 4, ""), 0);
	while (stage_stats(&s).remembered_seq != 0)
		stage_submit_line(&s, "http://a/");
	CU_ASSERT_EQUAL(history(&s, 3, &b, &last), -ENOENT);
	CU_ASSERT_EQUAL(history(&s, 4, &b, &last), 0);
	CU_ASSERT_EQUAL(last, 4);
	expect_error(&s, QUERY_FIND, "p-1", -ENOENT);
	stage_reopen(&s);
	CU_ASSERT_EQUAL(stage_stats(&s).last_seq, 4);
	CU_ASSERT_EQUAL(stage_stats(&s).remembered_seq, 0);
	buf_done(&b);
	stage_done(&s);
}

/* --- blame ------------------------------------------------------------------------------------ */

static void test_a_job_that_is_blamed_too_often_is_set_aside(void)
{
	struct stage s;
	struct asked a;

	stage_init(&s);
	stage_open(&s);
	CU_ASSERT_EQUAL(stage_submit_many(&s, 4, false), 0);
	s.options.blamed = 2;
	stage_reopen(&s);
	CU_ASSERT_EQUAL(sqlite_backlog_poisoned(s.b, 0), 0);
	CU_ASSERT_EQUAL(stage_ask(&s, &a, QUERY_FIND, "p-2"), 0);
	CU_ASSERT_EQUAL(a.query.attempts, 1);
	asked_free(&a);
	stage_reopen(&s);
	s.options.blamed = 4;
	stage_reopen(&s);
	stage_reopen(&s);
	s.options.blamed = 0;
	stage_reopen(&s);
	CU_ASSERT_EQUAL(sqlite_backlog_poisoned(s.b, 0), 2);
	CU_ASSERT_EQUAL(sqlite_backlog_poisoned(s.b, 2), 4);
	CU_ASSERT_EQUAL(sqlite_backlog_poisoned(s.b, 4), 0);
	struct job *jobs[3];
	CU_ASSERT_EQUAL(stage_take(&s, jobs, 3), 2);
	CU_ASSERT_EQUAL(jobs[0]->number, 1);
	CU_ASSERT_EQUAL(jobs[1]->number, 3);
	CU_ASSERT_EQUAL(stage_ask(&s, &a, QUERY_TAKE, "p-2"), 0);
	CU_ASSERT_EQUAL(a.query.job->attempts, 2);
	stage_final(&s, a.query.job, OUTCOME_DEAD);
	asked_free(&a);
	CU_ASSERT_EQUAL(sqlite_backlog_poisoned(s.b, 0), 4);
	CU_ASSERT_EQUAL(stage_ask(&s, &a, QUERY_TAKE, "p-4"), 0);
	stage_final(&s, a.query.job, OUTCOME_DEAD);
	asked_free(&a);
	for (int i = 0; i < 2; i++)
		stage_final(&s, jobs[i], OUTCOME_DONE);
	s.options.blamed = 2; /* it is settled, and 99 never was */
	stage_reopen(&s);
	s.options.blamed = 99;
	stage_reopen(&s);
	stage_expect(&s, 0, 0, 0);
	stage_done(&s);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "a job is found wherever it is", test_a_job_is_found_wherever_it_is },
		{ "what is not there is not found", test_what_is_not_there_is_not_found },
		{ "a job is taken by its id once", test_a_job_is_taken_by_its_id_once },
		{ "a dead job is requeued once", test_a_dead_job_is_requeued_once },
		{ "all dead jobs are requeued as far as there is room",
		  test_all_dead_jobs_are_requeued_as_far_as_there_is_room },
		{ "cursors are remembered with the jobs", test_cursors_are_remembered_with_the_jobs },
		{ "the mark is remembered", test_the_mark_is_remembered },
		{ "records are read again in their order", test_records_are_read_again_in_their_order },
		{ "long histories come in pieces", test_long_histories_come_in_pieces },
		{ "what is forgotten is missed", test_what_is_forgotten_is_missed },
		{ "a job that is blamed too often is set aside",
		  test_a_job_that_is_blamed_too_often_is_set_aside },
		CU_TEST_INFO_NULL,
	};

	(void) alarm(600); /* a hang is a failure */
	return unit_run("sqlite_queries", tests);
}
