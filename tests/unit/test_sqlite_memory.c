/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sqlite.h without memory: in each step of a life of the backlog, each allocation in turn
 * fails, ours or SQLite's, alone or with all that follow it in this step.  A step
 * that fails has changed nothing and succeeds when it is repeated.
 */
#include "no_sync.h"
#include "sqlite_steps.h"

#include "failing_malloc.h"

#include <limits.h>

/* --- SQLite's allocations --------------------------------------------------------------- */

static sqlite3_mem_methods real;

static void *failing_malloc(int size) { return faults_next() ? NULL : real.xMalloc(size); }

static void *failing_realloc(void *p, int size)
{
	return faults_next() ? NULL : real.xRealloc(p, size);
}

/* Without its lookaside memory, from which it would serve most small ones itself. */
static void fail_in_sqlite(void)
{
	if (sqlite3_config(SQLITE_CONFIG_GETMALLOC, &real) != SQLITE_OK)
		abort();
	sqlite3_mem_methods failing = real;
	failing.xMalloc = failing_malloc;
	failing.xRealloc = failing_realloc;
	if (sqlite3_config(SQLITE_CONFIG_MALLOC, &failing) != SQLITE_OK ||
	    sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0) != SQLITE_OK)
		abort();
}

/* --- which one fails -------------------------------------------------------------------- */

/*
 * Once in a life for most steps, as an attempt that failed leaves memory behind that the next
 * one need not allocate.  Opening begins anew each time, so it is repeated at once; it
 * allocates so much that only every OPEN_STRIDE-th fails.
 */
enum { OPEN_STRIDE = 9 };

static struct {
	long times; /* how many fail from there on */
	struct {
		long next; /* to fail in this step */
		bool failed; /* in this life */
		bool ended;
	} steps[64];
	long tried;
	bool opening;
	bool go_on; /* another life is needed */
} plan;

static bool is_no_memory(int error) { return error == -ENOMEM; }

static void arm(size_t step)
{
	if (step >= ARRAY_LEN(plan.steps))
		abort();
	if (!plan.steps[step].ended && (plan.opening || !plan.steps[step].failed))
		faults_arm(plan.steps[step].next, plan.times, 1);
}

static void disarm(size_t step, bool succeeded)
{
	bool failed = faults.failed > 0;

	faults_end();
	faults.failed = 0;
	if (failed) {
		plan.steps[step].next += plan.opening ? OPEN_STRIDE * UNIT_STRIDE : UNIT_STRIDE;
		plan.steps[step].failed = true;
		plan.tried++;
		plan.go_on = plan.go_on || succeeded || !plan.opening;
	} else if (succeeded && (plan.opening || !plan.steps[step].failed)) {
		plan.steps[step].ended = true;
	}
}

static void open_again(struct stage *s)
{
	plan.opening = true;
	step_open(s);
	plan.opening = false;
}

/* --- more steps ------------------------------------------------------------------------- */

static void step_close(struct stage *s)
{
	step_attempt();
	stage_close(s);
	(void) step_again(0);
}

static void expect_source(const struct job *job)
{
	CU_ASSERT_TRUE(job->source && strcmp(job->source, "s") == 0);
}

static int by_number(const void *a, const void *b)
{
	const struct job *const *left = a, *const *right = b;

	return (*left)->number < (*right)->number ? -1 : 1;
}

/* Which lane comes first depends on what has failed: in the order of their numbers. */
static void step_take(struct stage *s, struct job **jobs, size_t n)
{
	size_t taken = 0;
	uint64_t due = 0;

	do {
		step_attempt();
		taken += backlog_take(s->b, clock_now_ns(), n - taken, NULL, jobs + taken, &due);
		CU_ASSERT_TRUE(due == NEVER || stage_stats(s).error == -ENOMEM);
	} while (step_again(due == NEVER ? 0 : -ENOMEM));
	CU_ASSERT_EQUAL_FATAL(taken, n);
	qsort(jobs, n, sizeof(*jobs), by_number);
	for (size_t i = 0; i < n; i++)
		expect_source(jobs[i]);
}

static void step_mark(struct stage *s, uint64_t seq, const char *text)
{
	do
		step_attempt();
	while (step_again(backlog_mark(s->b, seq, text)));
	steps.mark = seq;
	steps.mark_text = text;
}

static void expect_text(const struct buf *b, const char *text)
{
	size_t n = strlen(text);

	CU_ASSERT_TRUE(b->len == n && (n == 0 || memcmp(b->data, text, n) == 0));
}

static void step_cursor(struct stage *s, const char *text)
{
	struct buf b = { 0 };

	do {
		buf_done(&b);
		step_attempt();
	} while (step_again(backlog_cursor(s->b, "s", &b)));
	expect_text(&b, text);
	buf_done(&b);
}

static void step_marked(struct stage *s, uint64_t seq, const char *text)
{
	struct buf b = { 0 };
	uint64_t at = UINT64_MAX;

	do {
		buf_done(&b);
		step_attempt();
	} while (step_again(backlog_marked(s->b, &at, &b)));
	CU_ASSERT_EQUAL(at, seq);
	expect_text(&b, text);
	buf_done(&b);
}

static void step_history(struct stage *s, uint64_t after, int answer, uint64_t last,
                         const char *lines)
{
	struct buf b = { 0 };
	uint64_t seq = 0;
	int r;

	do {
		buf_done(&b);
		step_attempt();
		r = backlog_history(s->b, after, &b, &seq);
		CU_ASSERT_TRUE(r == 0 || (b.len == 0 && seq == 0));
	} while (step_again(r == answer ? 0 : r));
	CU_ASSERT_EQUAL(seq, last);
	expect_text(&b, lines);
	buf_done(&b);
}

static void step_find(struct stage *s, const char *id, uint64_t number, enum job_state state)
{
	struct asked a;

	step_ask(s, &a, QUERY_FIND, id, 0);
	CU_ASSERT_EQUAL(a.query.number, number);
	CU_ASSERT_EQUAL(a.query.state, state);
	asked_free(&a);
}

static void step_miss(struct stage *s, const char *id)
{
	struct asked a;

	step_ask(s, &a, QUERY_FIND, id, -ENOENT);
	asked_free(&a);
}

static void step_requeue(struct stage *s, const char *id, uint64_t number)
{
	struct asked a;

	step_ask(s, &a, QUERY_REQUEUE, id, 0);
	CU_ASSERT_EQUAL(a.query.requeued, 1);
	CU_ASSERT_TRUE(!id || a.query.new_number == number);
	asked_free(&a);
	CU_ASSERT_EQUAL(stage_stats(s).accepted, number);
}

static struct verdict final(struct job *job, enum outcome outcome, uint64_t seq, const char *line)
{
	return (struct verdict) { .job = job, .kind = VERDICT_FINAL, .outcome = outcome, .seq = seq,
		                  .line = line, .line_len = strlen(line) };
}

/* --- a life ----------------------------------------------------------------------------- */

static const char with_id[] = "{\"url\":\"http://a/\",\"id\":\"x\",\"headers\":{\"A\":\"b\"}}";
static const char other[] = "{\"url\":\"http://a/?other\",\"id\":\"x\"}";
static const char urgent[] = "{\"url\":\"http://d/\",\"id\":\"y\",\"priority\":\"high\"}";
static const char later[] = "{\"url\":\"http://c/\",\"not_before\":\"2099-01-01T00:00:00Z\"}";

static void expect_receipt(const struct receipt *receipt, enum receipt_kind kind, uint64_t number)
{
	CU_ASSERT_EQUAL(receipt->kind, kind);
	CU_ASSERT_EQUAL(receipt->number, number);
}

static void submit_all(struct stage *s)
{
	struct receipt receipts[3];

	step_submit(s, (const char *const[]) { with_id, "http://b/", later }, 3, "1", receipts);
	for (size_t i = 0; i < 3; i++)
		expect_receipt(&receipts[i], RECEIPT_ACCEPTED, i + 1);
	step_submit(s, (const char *const[]) { with_id, other, urgent }, 3, "2", receipts);
	expect_receipt(&receipts[0], RECEIPT_KNOWN, 1);
	expect_receipt(&receipts[1], RECEIPT_CONFLICT, 1);
	expect_receipt(&receipts[2], RECEIPT_ACCEPTED, 4);
	stage_expect(s, 3, 1, 4);
	step_cursor(s, "2");
	step_find(s, "x", 1, JOB_WAITING);
	step_find(s, "p-3", 3, JOB_DELAYED);
	step_miss(s, "z");
}

/* x and y are dead afterwards, the other two wait for their time. */
static void settle_all(struct stage *s)
{
	struct job *jobs[3];
	struct asked a;
	uint64_t due_ns = clock_now_ns() + 3600 * NS_PER_S;

	step_ask(s, &a, QUERY_TAKE, "p-3", 0);
	expect_source(a.query.job);
	step_take(s, jobs, 3);
	CU_ASSERT_EQUAL(jobs[0]->number, 1);
	CU_ASSERT_EQUAL(jobs[1]->number, 2);
	CU_ASSERT_EQUAL(jobs[2]->number, 4);
	stage_expect(s, 0, 0, 4);
	const struct verdict v[] = {
		final(jobs[2], OUTCOME_DEAD, 1, "one\n"),
		final(jobs[0], OUTCOME_DEAD, 2, "two\n"),
		{ .job = jobs[1], .kind = VERDICT_RETRY, .due_ns = due_ns },
		{ .job = a.query.job, .kind = VERDICT_RETURN, .due_ns = due_ns },
	};
	step_settle(s, v, 4);
	asked_free(&a);
	stage_expect(s, 0, 2, 2);
	step_find(s, "y", 4, JOB_SETTLED);
}

static void repeat_dead_jobs(struct stage *s)
{
	struct job *jobs[2];

	step_requeue(s, "y", 5);
	step_requeue(s, NULL, 6);
	stage_expect(s, 2, 2, 4);
	step_take(s, jobs, 2);
	const struct verdict back[] = { { .job = jobs[0], .kind = VERDICT_RETURN },
		                        { .job = jobs[1], .kind = VERDICT_RETURN } };
	step_settle(s, back, 2);
	step_take(s, jobs, 2);
	const struct verdict v[] = { { .job = jobs[0], .kind = VERDICT_RETRY },
		                     final(jobs[1], OUTCOME_CANCELLED, 3, "three\n") };
	step_settle(s, v, 2);
	stage_expect(s, 1, 2, 3);
}

/* After a crash that is blamed on job 5, and with nothing to be remembered for long. */
static void start_again(struct stage *s)
{
	struct job *job = NULL;
	struct receipt receipt;

	s->options.blamed = 5;
	s->options.remember_ns = 0;
	open_again(s);
	s->options.blamed = 0;
	step_history(s, 1, 0, 3, "two\nthree\n");
	step_take(s, &job, 1);
	CU_ASSERT_EQUAL(job->number, 5);
	CU_ASSERT_EQUAL(job->attempts, 1);
	step_settle(s, &(struct verdict) { .job = job, .kind = VERDICT_RETRY }, 1);
	step_take(s, &job, 1);
	const struct verdict v = final(job, OUTCOME_DONE, 4, "four\n");
	step_settle(s, &v, 1);
	step_mark(s, 3, "at three");
	step_history(s, 2, -ENOENT, 0, "");
	step_history(s, 3, 0, 4, "four\n");
	step_miss(s, "x");
	step_submit(s, (const char *const[]) { with_id }, 1, "3", &receipt);
	expect_receipt(&receipt, RECEIPT_ACCEPTED, 7);
}

/* The books, when there is memory again. */
static void expect_all(struct stage *s)
{
	static const uint64_t settled[OUTCOMES] = { [OUTCOME_DONE] = 1, [OUTCOME_DEAD] = 2,
		                                    [OUTCOME_CANCELLED] = 1 };
	struct job *job = NULL;

	steps.before = NULL;
	stage_open(s);
	struct backlog_stats stats = stage_stats(s);
	CU_ASSERT_EQUAL(stats.accepted, 7);
	CU_ASSERT_EQUAL(stats.last_seq, 4);
	CU_ASSERT_EQUAL(stats.error, 0);
	for (int i = 0; i < OUTCOMES; i++)
		CU_ASSERT_EQUAL(stats.settled[i], settled[i]);
	stage_expect(s, 1, 2, 3);
	step_cursor(s, "3");
	step_marked(s, 3, "at three");
	step_history(s, 3, 0, 4, "four\n");
	step_find(s, "p-2", 2, JOB_DELAYED);
	step_find(s, "p-3", 3, JOB_DELAYED);
	step_find(s, "p-5", 5, JOB_SETTLED);
	step_take(s, &job, 1);
	CU_ASSERT_STRING_EQUAL(job->id, "x");
	stage_settle(s, job, VERDICT_RETURN, 0);
	steps.before = arm;
}

static void live(void)
{
	struct stage s;

	stage_init(&s);
	steps_begin_life();
	open_again(&s);
	submit_all(&s);
	settle_all(&s);
	repeat_dead_jobs(&s);
	step_mark(&s, 1, "at one");
	step_marked(&s, 1, "at one");
	step_history(&s, 0, 0, 3, "one\ntwo\nthree\n");
	step_close(&s);
	start_again(&s);
	step_close(&s);
	expect_all(&s);
	stage_done(&s);
}

static void fail_everywhere(long times)
{
	memset(&plan, 0, sizeof(plan));
	plan.times = times;
	for (size_t i = 0; i < ARRAY_LEN(plan.steps); i++)
		plan.steps[i].next = 1;
	do {
		plan.go_on = false;
		for (size_t i = 0; i < ARRAY_LEN(plan.steps); i++)
			plan.steps[i].failed = false;
		live();
	} while (plan.go_on);
	CU_ASSERT_TRUE(plan.tried > 600 / UNIT_STRIDE); /* there are as many allocations at least */
}

static void test_one_failure_leaves_nothing_half_done(void) { fail_everywhere(1); }

static void test_a_lasting_lack_leaves_nothing_half_done(void) { fail_everywhere(LONG_MAX); }

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "one allocation that fails leaves nothing half done",
		  test_one_failure_leaves_nothing_half_done },
		{ "a lasting lack of memory leaves nothing half done",
		  test_a_lasting_lack_leaves_nothing_half_done },
		CU_TEST_INFO_NULL,
	};

	(void) alarm(600); /* a hang is a failure */
	fail_in_sqlite();
	if (!failing_malloc_install())
		return 77; /* skipped: not linked as it must be */
	steps.may_be = is_no_memory;
	steps.before = arm;
	steps.after = disarm;
	int status = unit_run("sqlite_memory", tests);
	curl_global_cleanup();
	return status;
}
