/* SPDX-License-Identifier: Apache-2.0 */
/* sqlite.h: in which order jobs are taken, and how they come back. */
#include "no_sync.h"
#include "sqlite_stage.h"

enum { MANY = 64 };

/* --- order ---------------------------------------------------------------------------------- */

static void expect_order(struct stage *s, const uint64_t *numbers, size_t n)
{
	struct job *jobs[MANY];

	CU_ASSERT_EQUAL_FATAL(stage_take(s, jobs, MANY), n);
	for (size_t i = 0; i < n; i++)
		CU_ASSERT_EQUAL(jobs[i]->number, numbers[i]);
	for (size_t i = 0; i < n; i++)
		stage_settle(s, jobs[i], VERDICT_RETURN, 0);
}

static void test_priorities_age(void)
{
	static const char *const lines[] = { "{\"url\":\"http://a/\",\"priority\":\"low\"}",
		                             "http://a/",
		                             "{\"url\":\"http://a/\",\"priority\":\"high\"}" };
	struct stage s;

	stage_init(&s);
	stage_open(&s);
	CU_ASSERT_EQUAL(stage_submit(&s, lines, 3, false, NULL), 0);
	CU_ASSERT_EQUAL(stage_submit(&s, lines, 3, false, NULL), 0);
	expect_order(&s, (const uint64_t[]) { 3, 6, 2, 5, 1, 4 }, 6);

	/* Without ageing all are alike.  Those above are as old as before. */
	stage_close(&s);
	s.options.ageing_ns = 0;
	stage_open(&s);
	CU_ASSERT_EQUAL(stage_submit(&s, lines, 3, false, NULL), 0);
	expect_order(&s, (const uint64_t[]) { 3, 6, 2, 5, 7, 8, 9, 1, 4 }, 9);
	stage_done(&s);
}

static void test_a_job_of_higher_rank_is_taken_first_though_others_were_taken(void)
{
	const char *urgent = "{\"url\":\"http://a/\",\"priority\":\"high\"}";
	struct stage s;
	struct job *jobs[4];

	stage_init(&s);
	stage_open(&s);
	CU_ASSERT_EQUAL(stage_submit_many(&s, 4, false), 0);
	for (int i = 0; i < 3; i++)
		jobs[i] = stage_take_one(&s);
	stage_submit_line(&s, urgent);
	CU_ASSERT_EQUAL(stage_take(&s, jobs + 3, 1), 1);
	CU_ASSERT_EQUAL(jobs[3]->number, 5);
	stage_settle(&s, jobs[1], VERDICT_RETURN, 0);
	jobs[1] = stage_take_one(&s);
	CU_ASSERT_EQUAL(jobs[1]->number, 2); /* back at the front */
	for (int i = 0; i < 4; i++)
		stage_final(&s, jobs[i], OUTCOME_DONE);
	CU_ASSERT_EQUAL(stage_drain(&s, OUTCOME_DONE), 1);
	stage_done(&s);
}

static void test_only_so_many_bytes_are_out(void)
{
	struct stage s;
	struct job *jobs[MANY], *more = NULL;

	stage_init(&s);
	s.options.max_out_bytes = 1;
	stage_open(&s);
	CU_ASSERT_EQUAL(stage_submit_many(&s, 3, false), 0);
	CU_ASSERT_EQUAL(stage_take(&s, jobs, MANY), 1); /* one always */
	CU_ASSERT_EQUAL(stage_take(&s, &more, 1), 0);
	size_t bytes = jobs[0]->bytes;
	unsigned ready = s.ready;
	stage_final(&s, jobs[0], OUTCOME_DONE);
	while (s.ready == ready)
		(void) sched_yield();
	CU_ASSERT_EQUAL(stage_take(&s, jobs, MANY), 1);
	stage_settle(&s, jobs[0], VERDICT_RETURN, 0);
	stage_close(&s);
	s.options.max_out_bytes = 2 * bytes + 1;
	stage_open(&s);
	CU_ASSERT_EQUAL(stage_submit_many(&s, 3, false), 0);
	CU_ASSERT_EQUAL(stage_take(&s, jobs, MANY), 2);
	stage_settle(&s, jobs[1], VERDICT_RETURN, 0);
	stage_settle(&s, jobs[0], VERDICT_RETURN, 0);
	stage_done(&s);
}

/* --- coming back ------------------------------------------------------------------------------ */

static void test_a_retry_waits_for_its_time_also_over_a_restart(void)
{
	struct stage s;

	stage_init(&s);
	stage_open(&s);
	stage_submit_line(&s, "http://a/");
	struct job *job = stage_take_one(&s);
	job->attempts = 3;
	stage_settle(&s, job, VERDICT_RETRY, clock_now_ns() + 3600 * NS_PER_S);
	stage_expect(&s, 0, 1, 1);
	CU_ASSERT_EQUAL(stage_take(&s, &job, 1), 0);
	stage_reopen(&s);
	stage_expect(&s, 0, 1, 1);
	CU_ASSERT_EQUAL(stage_take(&s, &job, 1), 0);

	stage_close(&s);
	stage_sql(&s, "UPDATE job SET ready = 5");
	unsigned ready = s.ready;
	stage_open(&s);
	while (s.ready == ready)
		(void) sched_yield();
	stage_expect(&s, 1, 0, 1);
	job = stage_take_one(&s);
	CU_ASSERT_EQUAL(job->attempts, 3);
	stage_final(&s, job, OUTCOME_DONE);
	stage_done(&s);
}

static void test_a_time_that_comes_is_told(void)
{
	struct stage s;

	stage_init(&s);
	stage_open(&s);
	stage_submit_line(&s, "http://a/");
	stage_submit_line(&s, "http://b/");
	struct job *first = stage_take_one(&s), *second = stage_take_one(&s);
	unsigned ready = s.ready;
	stage_settle(&s, first, VERDICT_RETRY, clock_now_ns() + 20 * NS_PER_MS);
	stage_settle(&s, second, VERDICT_RETURN, clock_now_ns() + 20 * NS_PER_MS);
	struct job *jobs[2];
	size_t n = 0;
	while (n < 2)
		n += stage_take(&s, jobs + n, 2 - n);
	CU_ASSERT_TRUE(s.ready > ready);
	CU_ASSERT_EQUAL(jobs[0]->number + jobs[1]->number, 3);
	stage_final(&s, jobs[0], OUTCOME_DONE);
	stage_settle(&s, jobs[1], VERDICT_RETRY, 0); /* at once */
	stage_expect(&s, 1, 0, 1);
	CU_ASSERT_EQUAL(stage_drain(&s, OUTCOME_CANCELLED), 1);
	stage_done(&s);
}

static void test_not_before_delays(void)
{
	struct stage s;
	struct job *job = NULL;

	stage_init(&s);
	stage_open(&s);
	stage_submit_line(&s, "{\"url\":\"http://a/\",\"not_before\":\"2099-01-01T00:00:00Z\"}");
	stage_expect(&s, 0, 1, 1);
	CU_ASSERT_EQUAL(stage_take(&s, &job, 1), 0);
	stage_submit_line(&s, "{\"url\":\"http://a/\",\"not_before\":\"1999-01-01T00:00:00Z\"}");
	stage_expect(&s, 1, 1, 2);
	job = stage_take_one(&s);
	CU_ASSERT_EQUAL(job->number, 2);
	stage_final(&s, job, OUTCOME_DONE);
	stage_done(&s);
}

static void test_verdicts_of_all_kinds_are_settled_together(void)
{
	struct stage s;
	struct job *j[5];

	stage_init(&s);
	stage_open(&s);
	CU_ASSERT_EQUAL(stage_submit_many(&s, 5, false), 0);
	CU_ASSERT_EQUAL(stage_take(&s, j, 5), 5);
	uint64_t later = clock_now_ns() + 3600 * NS_PER_S;
	struct verdict v[5] = {
		{ .job = j[0], .kind = VERDICT_RETURN },
		{ .job = j[1], .kind = VERDICT_FINAL, .outcome = OUTCOME_DEAD, .seq = 1, .line = "1\n",
		  .line_len = 2 },
		{ .job = j[2], .kind = VERDICT_RETURN, .due_ns = later },
		{ .job = j[3], .kind = VERDICT_FINAL, .outcome = OUTCOME_DONE, .seq = 2, .line = "2\n",
		  .line_len = 2 },
		{ .job = j[4], .kind = VERDICT_RETRY, .due_ns = later },
	};
	CU_ASSERT_EQUAL(backlog_settle(s.b, v, 5), 0);
	stage_expect(&s, 1, 2, 3);
	struct backlog_stats stats = stage_stats(&s);
	CU_ASSERT_EQUAL(stats.settled[OUTCOME_DEAD], 1);
	CU_ASSERT_EQUAL(stats.settled[OUTCOME_DONE], 1);
	CU_ASSERT_EQUAL(stats.last_seq, 2);
	stage_reopen(&s);
	stage_expect(&s, 1, 2, 3);
	j[0] = stage_take_one(&s);
	CU_ASSERT_EQUAL(j[0]->number, 1);
	stage_settle(&s, j[0], VERDICT_RETURN, 0);
	stage_done(&s);
}

static void test_what_was_out_waits_again_after_a_restart(void)
{
	struct stage s;
	struct job *jobs[MANY];

	stage_init(&s);
	stage_open(&s);
	CU_ASSERT_EQUAL(stage_submit_many(&s, 3, false), 0);
	CU_ASSERT_EQUAL(stage_take(&s, jobs, MANY), 3);
	for (int i = 0; i < 3; i++)
		stage_settle(&s, jobs[i], VERDICT_RETURN, 0);
	uint64_t commits = stage_stats(&s).commits;
	CU_ASSERT_TRUE(commits <= 2); /* returning has cost none */
	stage_reopen(&s);
	CU_ASSERT_EQUAL(stage_drain(&s, OUTCOME_DONE), 3);
	stage_done(&s);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "priorities age", test_priorities_age },
		{ "a job of higher rank is taken first, though others were taken",
		  test_a_job_of_higher_rank_is_taken_first_though_others_were_taken },
		{ "only so many bytes are out", test_only_so_many_bytes_are_out },
		{ "a retry waits for its time, also over a restart",
		  test_a_retry_waits_for_its_time_also_over_a_restart },
		{ "a time that comes is told", test_a_time_that_comes_is_told },
		{ "not_before delays", test_not_before_delays },
		{ "verdicts of all kinds are settled together",
		  test_verdicts_of_all_kinds_are_settled_together },
		{ "what was out waits again after a restart",
		  test_what_was_out_waits_again_after_a_restart },
		CU_TEST_INFO_NULL,
	};

	(void) alarm(600); /* a hang is a failure */
	return unit_run("sqlite_order", tests);
}
