/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sqlite.h on a disk that fails: at every single write, sync and truncation of a life of
 * the backlog in turn.  What fails has changed nothing and succeeds when it is repeated.
 */
#include "no_sync.h"
#include "sqlite_steps.h"

#include "faulty_vfs.h"

static bool is_disk_error(int r) { return r == -ENOSPC || r == -EIO; }

static void submit_three(struct stage *s, const char *cursor, enum receipt_kind first)
{
	static const char *const lines[] = { "{\"url\":\"http://a/\",\"id\":\"x\"}", "http://b/",
		                             ("{\"url\":\"http://c/\",\"not_before\":"
		                              "\"2099-01-01T00:00:00Z\"}") };
	struct receipt receipts[3];

	step_submit(s, lines, 3, cursor, receipts);
	CU_ASSERT_EQUAL(receipts[0].kind, first);
	CU_ASSERT_EQUAL(receipts[1].kind, RECEIPT_ACCEPTED);
}

static void requeue_the_dead(struct stage *s)
{
	struct asked a;

	step_ask(s, &a, QUERY_REQUEUE, NULL, 0);
	CU_ASSERT_EQUAL(a.query.requeued, 1);
	asked_free(&a);
}

static void expect_history(struct stage *s, uint64_t records)
{
	struct buf b = { 0 };
	uint64_t last = 0;

	CU_ASSERT_EQUAL(backlog_history(s->b, 0, &b, &last), 0);
	CU_ASSERT_EQUAL(last, records);
	CU_ASSERT_EQUAL(b.len, 2 * records);
	buf_done(&b);
}

/* One life of a backlog, with the n-th call and those after it failing. */
static void live(struct stage *s)
{
	struct job *jobs[2];

	steps_begin_life();
	step_open(s);
	submit_three(s, "1", RECEIPT_ACCEPTED);
	submit_three(s, "2", RECEIPT_KNOWN);
	stage_expect(s, 3, 2, 5);
	CU_ASSERT_EQUAL_FATAL(stage_take(s, jobs, 2), 2);
	struct verdict v[2] = {
		{ .job = jobs[0], .kind = VERDICT_FINAL, .outcome = OUTCOME_DEAD, .seq = 1, .line = "1\n",
		  .line_len = 2 },
		{ .job = jobs[1], .kind = VERDICT_RETRY, .due_ns = clock_now_ns() + 3600 * NS_PER_S },
	};
	step_settle(s, v, 2);
	stage_expect(s, 1, 3, 4);
	requeue_the_dead(s);
	stage_expect(s, 2, 3, 5);
	stage_close(s); /* which may fail to shorten the log, and cannot say so */

	step_open(s);
	stage_expect(s, 2, 3, 5);
	expect_history(s, 1);
	CU_ASSERT_EQUAL_FATAL(stage_take(s, jobs, 2), 2);
	for (size_t i = 0; i < 2; i++)
		v[i] = (struct verdict) { .job = jobs[i], .kind = VERDICT_FINAL, .seq = 2 + i,
			                  .line = "2\n", .line_len = 2 };
	step_settle(s, v, 2);
	stage_close(s);

	step_open(s);
	stage_expect(s, 0, 3, 3);
	expect_history(s, 3);
	CU_ASSERT_EQUAL(stage_stats(s).accepted, 6);
}

static void fail_everywhere(int code, long times)
{
	long n = 1 - UNIT_STRIDE;

	do {
		struct stage s;
		stage_init(&s);
		faults_arm(n += UNIT_STRIDE, times, code);
		live(&s);
		faults_end();
		stage_done(&s);
	} while (faults.failed > 0);
	CU_ASSERT_TRUE(n > 40); /* there are as many calls at least */
}

static void test_a_full_disk_leaves_nothing_half_done(void) { fail_everywhere(SQLITE_FULL, 1); }

static void test_a_failing_disk_leaves_nothing_half_done(void)
{
	fail_everywhere(SQLITE_IOERR_WRITE, 1);
	fail_everywhere(SQLITE_IOERR_FSYNC, 2);
}

static void test_a_submission_that_waits_gets_over_a_failing_disk(void)
{
	struct stage s;

	stage_init(&s);
	stage_open(&s);
	faults_arm(1, 1, SQLITE_FULL);
	CU_ASSERT_EQUAL(stage_submit_many(&s, 5, true), 0);
	CU_ASSERT_EQUAL(faults.failed, 1);
	CU_ASSERT_EQUAL(s.trouble_calls, 2);
	CU_ASSERT_EQUAL(s.trouble, 0);
	CU_ASSERT_EQUAL(s.accepted, 5);
	CU_ASSERT_TRUE(stage_stats(&s).submitters_blocked_ns > 0);
	stage_done(&s);
}

static void test_others_are_refused_while_the_disk_fails(void)
{
	struct stage s;
	struct asked a;

	stage_init(&s);
	stage_open(&s);
	stage_submit_line(&s, "http://a/");
	struct job *job = stage_take_one(&s);
	faults_arm(1, 1000000, SQLITE_IOERR_FSYNC);
	CU_ASSERT_EQUAL(stage_submit_many(&s, 1, false), -EIO);
	CU_ASSERT_EQUAL(stage_stats(&s).error, -EIO);
	CU_ASSERT_EQUAL(stage_submit_many(&s, 1, false), -EIO);
	CU_ASSERT_EQUAL(stage_try_final(&s, job, OUTCOME_DONE), -EIO);
	CU_ASSERT_EQUAL(stage_ask(&s, &a, QUERY_FIND, "p-1"), 0); /* reading goes on */
	CU_ASSERT_EQUAL(a.query.state, JOB_OUT);
	asked_free(&a);
	CU_ASSERT_EQUAL(s.trouble_calls, 1);
	stage_settle(&s, job, VERDICT_RETURN, 0); /* never fails */
	job = stage_take_one(&s);
	faults_end();
	stage_final(&s, job, OUTCOME_DONE);
	while (s.trouble != 0)
		(void) sched_yield();
	CU_ASSERT_EQUAL(stage_submit_many(&s, 1, false), 0);
	stage_done(&s);
}

struct patient {
	struct submission sub;
	struct job *job;
	atomic_int answers;
};

static void count_answer(struct submission *sub, int error)
{
	((struct patient *) sub)->answers++;
	CU_ASSERT_TRUE(is_disk_error(error));
}

static void test_a_withdrawal_holds_though_the_disk_fails(void)
{
	struct stage s;

	stage_init(&s);
	stage_open(&s);
	for (int i = 0; i < 100; i++) {
		struct patient p = { .job = make_job(&s.maker, "http://a/") };
		p.sub = (struct submission) {
			.jobs = &p.job, .n = 1, .waits = true, .done = count_answer,
		};
		faults_arm(1, 1000000, SQLITE_FULL);
		backlog_submit(s.b, &p.sub);
		for (int yields = i % 8; yields > 0; yields--)
			(void) sched_yield();

		/* Either it is back, or it is told; never does it go on waiting. */
		if (!backlog_withdraw(s.b, &p.sub))
			while (p.answers == 0)
				(void) sched_yield();
		else
			CU_ASSERT_EQUAL(p.answers, 0);
		job_free(p.job);
		faults_end();
		step_mend(&s);
	}
	stage_expect(&s, 0, 0, 0);
	stage_done(&s);
}

/* Not by the disk, but by a person: nothing of that batch is kept, and all else goes on. */
static void test_a_row_that_vanished_fails_its_own_batch(void)
{
	struct stage s;
	struct job *jobs[2];

	stage_init(&s);
	stage_open(&s);
	CU_ASSERT_EQUAL(stage_submit_many(&s, 2, false), 0);
	CU_ASSERT_EQUAL_FATAL(stage_take(&s, jobs, 2), 2);
	stage_sql(&s, "DELETE FROM job WHERE number = 2");
	struct verdict v[2] = {
		{ .job = jobs[0], .kind = VERDICT_FINAL, .seq = 1, .line = "1\n", .line_len = 2 },
		{ .job = jobs[1], .kind = VERDICT_FINAL, .seq = 2, .line = "2\n", .line_len = 2 },
	};
	CU_ASSERT_EQUAL(backlog_settle(s.b, v, 2), -EUCLEAN);
	CU_ASSERT_EQUAL(stage_stats(&s).last_seq, 0);
	stage_settle(&s, jobs[1], VERDICT_RETURN, 0);
	CU_ASSERT_EQUAL(backlog_settle(s.b, v, 1), 0);
	expect_history(&s, 1);
	stage_done(&s);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "a full disk leaves nothing half done", test_a_full_disk_leaves_nothing_half_done },
		{ "a failing disk leaves nothing half done",
		  test_a_failing_disk_leaves_nothing_half_done },
		{ "a submission that waits gets over a failing disk",
		  test_a_submission_that_waits_gets_over_a_failing_disk },
		{ "others are refused while the disk fails",
		  test_others_are_refused_while_the_disk_fails },
		{ "a withdrawal holds though the disk fails",
		  test_a_withdrawal_holds_though_the_disk_fails },
		{ "a row that vanished fails its own batch",
		  test_a_row_that_vanished_fails_its_own_batch },
		CU_TEST_INFO_NULL,
	};

	(void) alarm(600); /* a hang is a failure */
	faults_install();
	steps.may_be = is_disk_error;
	steps_begin_life();
	return unit_run("sqlite_faults", tests);
}
