/* SPDX-License-Identifier: Apache-2.0 */
/* memory.h: bounds, order, due times and who is woken.  Present time is what the tests
 * say it is.  Random histories are in test_memory_backlog_model.c. */
#include "backlog/memory.h"

#include "base/clock.h"
#include "base/sync.h"
#include "base/thread.h"
#include "backlog_calls.h"
#include "stub_jobs.h"

#include <errno.h>
#include <sched.h>
#include <unistd.h>

enum { MANY = 64 };

static struct backlog *new_backlog(size_t max_jobs, size_t max_bytes)
{
	struct backlog *b = NULL;

	CU_ASSERT_EQUAL_FATAL(create_memory_backlog(max_jobs, max_bytes, &b), 0);
	return b;
}

static struct backlog_stats stats_of(struct backlog *b)
{
	struct backlog_stats s;

	backlog_stats(b, &s);
	return s;
}

static void expect_stats(struct backlog *b, size_t waiting, size_t delayed, size_t held)
{
	struct backlog_stats s = stats_of(b);

	CU_ASSERT_EQUAL(s.waiting, waiting);
	CU_ASSERT_EQUAL(s.delayed, delayed);
	CU_ASSERT_EQUAL(s.held_jobs, held);
}

/* Submits 'n' new jobs of 'bytes' each. */
static void submit_new(struct backlog *b, struct job **ret_jobs, size_t n, size_t bytes)
{
	stub_jobs(ret_jobs, n, bytes);
	CU_ASSERT_EQUAL_FATAL(submit_jobs(b, ret_jobs, n), 0);
}

static void expect_take(struct backlog *b, uint64_t now_ns, struct job *const *expected, size_t n,
                        uint64_t next_due_ns)
{
	struct job *jobs[MANY];
	uint64_t due = 1;

	CU_ASSERT_EQUAL_FATAL(take_jobs(b, now_ns, MANY, jobs, &due), n);
	CU_ASSERT_EQUAL(due, next_due_ns);
	for (size_t i = 0; i < n; i++)
		CU_ASSERT_PTR_EQUAL(jobs[i], expected[i]);
}

static void settle(struct backlog *b, struct job *job, enum verdict_kind kind, uint64_t due_ns)
{
	settle_jobs(b, &(struct verdict) { .job = job, .kind = kind, .due_ns = due_ns }, 1);
}

static void settle_all(struct backlog *b, struct job *const *jobs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		settle(b, jobs[i], VERDICT_FINAL, 0);
}

static void test_a_backlog_without_a_bound_is_refused(void)
{
	struct backlog *b = NULL;

	CU_ASSERT_EQUAL(create_memory_backlog(0, 1, &b), -EINVAL);
	CU_ASSERT_EQUAL(create_memory_backlog(1, 0, &b), -EINVAL);
	CU_ASSERT_PTR_NULL(b);
	CU_ASSERT_PTR_NULL(backlog_free(NULL));
}

static void test_accepted_jobs_are_numbered_and_dated(void)
{
	struct backlog *b = new_backlog(10, 100);
	struct job *jobs[5];
	uint64_t before_ns = clock_now_ns();
	int64_t before_us = clock_wall_us();

	submit_new(b, jobs, 2, 1);
	submit_new(b, jobs + 2, 3, 1);
	for (size_t i = 0; i < 5; i++) {
		CU_ASSERT_EQUAL(jobs[i]->number, i + 1);
		CU_ASSERT_TRUE(jobs[i]->ready_ns >= before_ns &&
		               jobs[i]->ready_ns <= clock_now_ns());
		CU_ASSERT_TRUE(jobs[i]->accepted_wall_us >= before_us);
		CU_ASSERT_EQUAL(jobs[i]->due_ns, 0);
	}
	CU_ASSERT_EQUAL(submit_jobs(b, jobs, 0), 0); /* nothing, and no number used up */

	/* Numbers are never given again. */
	expect_take(b, 0, jobs, 5, NEVER);
	settle_all(b, jobs, 5);
	submit_new(b, jobs, 1, 1);
	CU_ASSERT_EQUAL(jobs[0]->number, 6);
	CU_ASSERT_PTR_NULL(backlog_free(b)); /* with a job in it */
}

static void test_what_can_never_fit_is_refused_whole(void)
{
	struct backlog *b = new_backlog(3, 100);
	struct job *jobs[4];

	stub_jobs(jobs, 4, 10);
	CU_ASSERT_EQUAL(submit_jobs(b, jobs, 4), -EMSGSIZE);
	jobs[2]->bytes = 81;
	CU_ASSERT_EQUAL(submit_jobs(b, jobs, 3), -EMSGSIZE);
	expect_stats(b, 0, 0, 0);
	CU_ASSERT_EQUAL(jobs[0]->accepted_wall_us, 0); /* still the caller's, as they were */

	jobs[2]->bytes = 80;
	CU_ASSERT_EQUAL(submit_jobs(b, jobs, 3), 0);
	CU_ASSERT_EQUAL(jobs[0]->number, 1); /* refusals used up none */
	expect_stats(b, 3, 0, 3);
	CU_ASSERT_EQUAL(stats_of(b).held_bytes, 100);
	job_free(jobs[3]);
	backlog_free(b);
}

static void test_jobs_are_taken_oldest_first_and_as_many_as_asked(void)
{
	struct backlog *b = new_backlog(10, 100);
	struct job *jobs[7], *taken[7];
	uint64_t due = 0;

	submit_new(b, jobs, 7, 1);
	CU_ASSERT_EQUAL(take_jobs(b, 0, 0, taken, &due), 0);
	CU_ASSERT_EQUAL(due, NEVER);
	CU_ASSERT_EQUAL(take_jobs(b, 0, 3, taken, &due), 3);
	CU_ASSERT_EQUAL(take_jobs(b, 0, 7, taken + 3, &due), 4);
	for (size_t i = 0; i < 7; i++)
		CU_ASSERT_PTR_EQUAL(taken[i], jobs[i]);
	expect_take(b, NEVER - 1, NULL, 0, NEVER);
	expect_stats(b, 0, 0, 7); /* out, but they hold their places */
	settle_all(b, taken, 7);
	expect_stats(b, 0, 0, 0);
	backlog_free(b);
}

static void test_jobs_for_another_attempt_go_to_the_end(void)
{
	struct backlog *b = new_backlog(10, 100);
	struct job *jobs[3];

	submit_new(b, jobs, 3, 1);
	uint64_t due = 0;
	struct job *first = NULL;
	CU_ASSERT_EQUAL(take_jobs(b, 0, 1, &first, &due), 1);
	CU_ASSERT_PTR_EQUAL(first, jobs[0]);
	settle(b, first, VERDICT_RETRY, 0);
	expect_stats(b, 3, 0, 3);
	expect_take(b, 0, (struct job *[]) { jobs[1], jobs[2], jobs[0] }, 3, NEVER);
	CU_ASSERT_EQUAL(first->number, 1); /* it stays the same job */
	settle_all(b, jobs, 3);
	backlog_free(b);
}

static void test_returned_jobs_go_to_the_front_last_one_first(void)
{
	struct backlog *b = new_backlog(10, 100);
	struct job *jobs[4], *taken[2];
	uint64_t due = 0;

	submit_new(b, jobs, 4, 1);
	uint64_t ready = jobs[0]->ready_ns;
	CU_ASSERT_EQUAL(take_jobs(b, 0, 2, taken, &due), 2);
	const struct verdict verdicts[] = { { .job = taken[1], .kind = VERDICT_RETURN },
		                            { .job = taken[0], .kind = VERDICT_RETURN } };
	settle_jobs(b, verdicts, 2);
	expect_take(b, 0, jobs, 4, NEVER);
	CU_ASSERT_EQUAL(jobs[0]->ready_ns, ready); /* it could have run all the time */
	settle_all(b, jobs, 4);
	backlog_free(b);
}

static void test_delayed_jobs_come_when_they_are_due(void)
{
	struct backlog *b = new_backlog(10, 100);
	struct job *jobs[5];

	submit_new(b, jobs, 5, 1);
	expect_take(b, 0, jobs, 5, NEVER);
	settle(b, jobs[0], VERDICT_RETRY, 300);
	settle(b, jobs[1], VERDICT_RETURN, 100);
	settle(b, jobs[2], VERDICT_RETRY, 200);
	settle(b, jobs[3], VERDICT_RETRY, NEVER - 1);
	expect_stats(b, 0, 4, 5);
	CU_ASSERT_EQUAL(jobs[0]->due_ns, 300);

	expect_take(b, 99, NULL, 0, 100);
	expect_take(b, 100, &jobs[1], 1, 200);
	CU_ASSERT_EQUAL(jobs[1]->due_ns, 0);
	CU_ASSERT_EQUAL(jobs[1]->ready_ns, 100); /* since then it could run */
	settle(b, jobs[4], VERDICT_RETRY, 0);
	expect_take(b, 1000, (struct job *[]) { jobs[4], jobs[2], jobs[0] }, 3, NEVER - 1);
	CU_ASSERT_EQUAL(jobs[0]->ready_ns, 300);
	expect_stats(b, 0, 1, 5);
	expect_take(b, NEVER - 1, &jobs[3], 1, NEVER);
	settle_all(b, jobs, 5);
	expect_stats(b, 0, 0, 0);
	backlog_free(b);
}

static void test_due_jobs_that_found_no_room_wait_on(void)
{
	struct backlog *b = new_backlog(10, 100);
	struct job *jobs[3], *taken[3];
	uint64_t due = 0;

	submit_new(b, jobs, 3, 1);
	expect_take(b, 0, jobs, 3, NEVER);
	for (size_t i = 0; i < 3; i++)
		settle(b, jobs[i], VERDICT_RETRY, 10 * (i + 1));
	CU_ASSERT_EQUAL(take_jobs(b, 25, 1, taken, &due), 1);
	CU_ASSERT_PTR_EQUAL(taken[0], jobs[0]);
	CU_ASSERT_EQUAL(due, 30);
	expect_stats(b, 1, 1, 3);
	expect_take(b, 26, &jobs[1], 1, 30);
	expect_take(b, 30, &jobs[2], 1, NEVER);
	settle_all(b, jobs, 3);
	backlog_free(b);
}

static void count_ready(void *arg) { ++*(unsigned *) arg; }

static void test_listeners_hear_of_everything_that_can_be_taken(void)
{
	struct backlog *b = new_backlog(2, 100);
	struct job *jobs[3];
	unsigned ready = 0;

	b->listener = (struct backlog_listener) { .ready = count_ready, .arg = &ready };
	submit_new(b, jobs, 2, 1);
	CU_ASSERT_EQUAL(ready, 1);
	stub_jobs(jobs + 2, 1, 101);
	CU_ASSERT_EQUAL(submit_jobs(b, jobs + 2, 1), -EMSGSIZE);
	job_free(jobs[2]);
	expect_take(b, 0, jobs, 2, NEVER);
	CU_ASSERT_EQUAL(ready, 1);
	settle(b, jobs[0], VERDICT_RETRY, 5);
	CU_ASSERT_EQUAL(ready, 2); /* a new due time */
	settle(b, jobs[1], VERDICT_RETURN, 0);
	CU_ASSERT_EQUAL(ready, 3);
	expect_take(b, 5, (struct job *[]) { jobs[1], jobs[0] }, 2, NEVER);

	const struct verdict both[] = { { .job = jobs[0], .kind = VERDICT_FINAL },
		                        { .job = jobs[1], .kind = VERDICT_RETRY } };
	settle_jobs(b, both, 2);
	CU_ASSERT_EQUAL(ready, 4);
	expect_take(b, 5, &jobs[1], 1, NEVER);
	settle(b, jobs[1], VERDICT_FINAL, 0);
	CU_ASSERT_EQUAL(ready, 4);
	backlog_free(b);
}

static void test_a_closed_backlog_is_emptied_but_not_filled(void)
{
	struct backlog *b = new_backlog(10, 100);
	struct job *jobs[3];

	submit_new(b, jobs, 2, 1);
	stub_jobs(jobs + 2, 1, 1);
	backlog_close(b);
	backlog_close(b);
	CU_ASSERT_EQUAL(submit_jobs(b, jobs + 2, 1), -EPIPE);
	CU_ASSERT_EQUAL(jobs[2]->accepted_wall_us, 0);
	expect_take(b, 0, jobs, 2, NEVER);
	settle(b, jobs[0], VERDICT_RETRY, 7);
	settle(b, jobs[1], VERDICT_FINAL, 0);
	expect_take(b, 7, jobs, 1, NEVER);
	settle(b, jobs[0], VERDICT_FINAL, 0);
	expect_stats(b, 0, 0, 0);
	job_free(jobs[2]);
	backlog_free(b);
}

static void test_jobs_that_are_left_are_freed(void)
{
	struct backlog *b = new_backlog(10, 100);
	struct job *jobs[6], *taken[3];
	uint64_t due = 0;

	submit_new(b, jobs, 6, 1); /* a leak checker looks on */
	CU_ASSERT_EQUAL(take_jobs(b, 0, 3, taken, &due), 3);
	settle(b, taken[0], VERDICT_RETRY, 100);
	settle(b, taken[1], VERDICT_RETRY, 50);
	settle(b, taken[2], VERDICT_RETURN, 0);
	expect_stats(b, 4, 2, 6);
	CU_ASSERT_PTR_NULL(backlog_free(b));
}

/* --- submitters that wait ---------------------------------------------------------------- */

struct submitter {
	struct backlog *backlog;
	struct job *jobs[4];
	size_t n;
	pthread_t thread;
	int result; /* read after the join */
};

static void *run_submitter(void *arg)
{
	struct submitter *s = arg;

	s->result = submit_jobs(s->backlog, s->jobs, s->n);
	return NULL;
}

static void start_blocked(struct submitter *s, struct backlog *b, size_t n, size_t bytes)
{
	unsigned before = stats_of(b).submitters_blocked;

	*s = (struct submitter) { .backlog = b, .n = n };
	stub_jobs(s->jobs, n, bytes);
	CU_ASSERT_EQUAL_FATAL(
	        thread_start(&s->thread, "submitter", THREAD_STACK_SMALL, run_submitter, s), 0);
	while (stats_of(b).submitters_blocked == before)
		(void) sched_yield();
}

static void expect_end(struct submitter *s, int result)
{
	thread_join(s->thread);
	CU_ASSERT_EQUAL(s->result, result);
}

static void test_only_a_final_verdict_makes_room(void)
{
	struct backlog *b = new_backlog(2, 100);
	struct submitter s;
	struct job *jobs[2];

	submit_new(b, jobs, 2, 1);
	start_blocked(&s, b, 1, 1);
	expect_take(b, 0, jobs, 2, NEVER);
	settle(b, jobs[0], VERDICT_RETRY, 50);
	settle(b, jobs[1], VERDICT_RETURN, 0);
	expect_take(b, 0, &jobs[1], 1, 50);
	CU_ASSERT_EQUAL(stats_of(b).submitters_blocked, 1);
	CU_ASSERT_EQUAL(stats_of(b).held_jobs, 2);

	settle(b, jobs[1], VERDICT_FINAL, 0);
	expect_end(&s, 0);
	CU_ASSERT_EQUAL(s.jobs[0]->number, 3);
	expect_stats(b, 1, 1, 2);
	CU_ASSERT_EQUAL(stats_of(b).submitters_blocked, 0);
	backlog_free(b);
}

static void test_a_batch_waits_for_room_for_all_of_it(void)
{
	struct backlog *b = new_backlog(3, 100);
	struct submitter s;
	struct job *jobs[3];

	submit_new(b, jobs, 3, 1);
	expect_take(b, 0, jobs, 3, NEVER);
	start_blocked(&s, b, 3, 1);
	settle(b, jobs[0], VERDICT_FINAL, 0);
	settle(b, jobs[1], VERDICT_FINAL, 0);
	expect_stats(b, 0, 0, 1); /* nothing of the batch is in */
	settle(b, jobs[2], VERDICT_FINAL, 0);
	expect_end(&s, 0);
	expect_stats(b, 3, 0, 3);
	backlog_free(b);
}

static void test_bytes_are_waited_for_as_well(void)
{
	struct backlog *b = new_backlog(10, 100);
	struct submitter s;
	struct job *jobs[2];

	submit_new(b, jobs, 2, 50);
	expect_take(b, 0, jobs, 2, NEVER);
	start_blocked(&s, b, 1, 60);
	settle(b, jobs[0], VERDICT_FINAL, 0);
	CU_ASSERT_EQUAL(stats_of(b).held_bytes, 50);
	settle(b, jobs[1], VERDICT_FINAL, 0);
	expect_end(&s, 0);
	CU_ASSERT_EQUAL(stats_of(b).held_bytes, 60);
	backlog_free(b);
}

static void test_those_who_wait_are_served_in_their_order(void)
{
	struct backlog *b = new_backlog(4, 100);
	struct submitter large, small;
	struct job *jobs[4];

	submit_new(b, jobs, 4, 1);
	expect_take(b, 0, jobs, 4, NEVER);
	start_blocked(&large, b, 4, 1);
	start_blocked(&small, b, 1, 1);
	settle(b, jobs[0], VERDICT_FINAL, 0); /* room for the small one, whose turn it is not */
	CU_ASSERT_EQUAL(stats_of(b).submitters_blocked, 2);
	settle_all(b, jobs + 1, 3);
	expect_end(&large, 0);
	CU_ASSERT_EQUAL(stats_of(b).submitters_blocked, 1);
	expect_take(b, 0, large.jobs, 4, NEVER);
	settle(b, large.jobs[0], VERDICT_FINAL, 0);
	expect_end(&small, 0);
	CU_ASSERT_EQUAL(small.jobs[0]->number, 9);
	settle_all(b, large.jobs + 1, 3);
	expect_take(b, 0, small.jobs, 1, NEVER);
	settle_all(b, small.jobs, 1);
	backlog_free(b);
}

/* --- submissions that do not wait, and what becomes of them -------------------------------- */

struct told {
	struct submission submission;
	struct job *job;
	struct receipt receipt;
	unsigned times;
	int error;
};

static void on_done(struct submission *s, int error)
{
	struct told *t = (struct told *) s;

	t->times++;
	t->error = error;
}

static void offer(struct backlog *b, struct told *t, size_t bytes, bool waits)
{
	*t = (struct told) { .job = stub_job(0, bytes) };
	t->submission = (struct submission) { .jobs = &t->job, .n = 1, .receipts = &t->receipt,
		                              .waits = waits, .done = on_done };
	backlog_submit(b, &t->submission);
}

static void expect_refused(struct backlog *b, size_t bytes, int error)
{
	struct told t;

	offer(b, &t, bytes, false);
	CU_ASSERT_EQUAL(t.times, 1);
	CU_ASSERT_EQUAL(t.error, error);
	job_free(t.job);
}

static void test_who_does_not_wait_is_told_which_bound_is_reached(void)
{
	struct backlog *b = new_backlog(2, 100);
	struct told first, second;

	offer(b, &first, 60, false);
	CU_ASSERT_EQUAL(first.times, 1);
	CU_ASSERT_EQUAL(first.error, 0);
	CU_ASSERT_EQUAL(first.receipt.kind, RECEIPT_ACCEPTED);
	CU_ASSERT_EQUAL(first.receipt.number, 1);
	expect_refused(b, 41, -EDQUOT);
	expect_refused(b, 101, -EMSGSIZE);
	offer(b, &second, 40, false);
	CU_ASSERT_EQUAL(second.receipt.number, 2);
	expect_refused(b, 1, -EAGAIN);
	backlog_close(b);
	expect_refused(b, 1, -EPIPE);
	backlog_free(b);
}

static void test_nobody_overtakes_those_who_wait(void)
{
	struct backlog *b = new_backlog(10, 100);
	struct told large;
	struct job *job = NULL;

	submit_new(b, &job, 1, 60);
	offer(b, &large, 90, true);
	CU_ASSERT_EQUAL(large.times, 0);
	expect_refused(b, 1, -EAGAIN);

	/* Once it is withdrawn there is room for others, and it is never told. */
	CU_ASSERT_TRUE(backlog_withdraw(b, &large.submission));
	CU_ASSERT_FALSE(backlog_withdraw(b, &large.submission));
	CU_ASSERT_EQUAL(large.times, 0);
	job_free(large.job);
	expect_take(b, 0, &job, 1, NEVER);
	settle_all(b, &job, 1);
	backlog_free(b);
}

static void test_a_withdrawal_lets_those_behind_go_on(void)
{
	struct backlog *b = new_backlog(10, 100);
	struct told large, small;
	struct job *job = NULL;

	submit_new(b, &job, 1, 60);
	offer(b, &large, 90, true);
	offer(b, &small, 5, true);
	CU_ASSERT_EQUAL(small.times, 0);
	CU_ASSERT_TRUE(backlog_withdraw(b, &large.submission));
	CU_ASSERT_EQUAL(small.times, 1);
	CU_ASSERT_EQUAL(small.error, 0);
	CU_ASSERT_FALSE(backlog_withdraw(b, &small.submission));
	job_free(large.job);
	backlog_free(b);
}

/* --- priority and time ----------------------------------------------------------------- */

/* A stub with an extra part behind it. */
static struct job *job_with(enum job_priority priority, int64_t not_before_wall_us)
{
	struct job *job = calloc(1, sizeof(*job) + sizeof(struct job_extra));
	struct job_extra *extra = (struct job_extra *) (job + 1);

	*extra = (struct job_extra) { .priority = priority,
		                      .not_before_wall_us = not_before_wall_us };
	*job = (struct job) { .bytes = 1, .url = "http://stub/", .extra = extra,
		              .origin = { .text = "http://stub:80", .host = "stub", .port = 80 } };
	return job;
}

static void test_a_higher_priority_goes_first_until_others_have_aged(void)
{
	const struct memory_backlog_options options = { .max_jobs = 10, .max_bytes = 100,
		                                        .ageing_ns = 3600 * NS_PER_S };
	struct backlog *b = NULL;
	struct job *low = job_with(JOB_PRIORITY_LOW, 0), *normal = stub_job(0, 1),
	           *high = job_with(JOB_PRIORITY_HIGH, 0);

	CU_ASSERT_EQUAL_FATAL(memory_backlog_create(&options, &b), 0);
	CU_ASSERT_EQUAL(submit_jobs(b, (struct job *[]) { low, normal, high }, 3), 0);
	struct job *by_priority[] = { high, normal, low };
	expect_take(b, 0, by_priority, 3, NEVER);

	/* The low one is two hours and a bit older than the high one: as if it had come first. */
	low->accepted_wall_us -= (int64_t) (2 * 3600 + 1) * 1000000;
	for (size_t i = 0; i < 3; i++)
		settle(b, by_priority[i], VERDICT_RETURN, 0);
	expect_take(b, 0, (struct job *[]) { low, high, normal }, 3, NEVER);
	settle_all(b, by_priority, 3);
	backlog_free(b);
}

static void test_a_job_waits_for_its_time(void)
{
	struct backlog *b = new_backlog(10, 100);
	struct job *past = job_with(JOB_PRIORITY_NORMAL, clock_wall_us() - 1000000);
	struct job *future = job_with(JOB_PRIORITY_NORMAL, clock_wall_us() + 3600 * INT64_C(1000000));
	struct job *taken[2];
	uint64_t due_ns = 0, now_ns = clock_now_ns();

	CU_ASSERT_EQUAL(submit_jobs(b, (struct job *[]) { future, past }, 2), 0);
	CU_ASSERT_EQUAL(take_jobs(b, clock_now_ns(), 2, taken, &due_ns), 1);
	CU_ASSERT_PTR_EQUAL(taken[0], past);
	CU_ASSERT_TRUE(due_ns > now_ns + 3500 * NS_PER_S && due_ns < now_ns + 3700 * NS_PER_S);
	expect_stats(b, 0, 1, 2);
	settle_all(b, &past, 1);
	expect_take(b, due_ns, &future, 1, NEVER);
	settle_all(b, &future, 1);
	backlog_free(b);
}

/* --- the end of waiting ---------------------------------------------------------------- */

static void test_a_close_ends_the_wait_of_every_submitter(void)
{
	struct backlog *b = new_backlog(1, 100);
	struct submitter s[3];
	struct job *job = NULL;

	submit_new(b, &job, 1, 1);
	for (size_t i = 0; i < ARRAY_LEN(s); i++)
		start_blocked(&s[i], b, 1, 1);
	backlog_close(b);
	for (size_t i = 0; i < ARRAY_LEN(s); i++) {
		expect_end(&s[i], -EPIPE);
		free_jobs(s[i].jobs, 1);
	}
	expect_stats(b, 1, 0, 1);
	backlog_free(b);
}

static void test_submitters_that_wait_now_are_counted(void)
{
	struct backlog *b = new_backlog(1, 100);
	struct submitter s[2];
	struct job *job = NULL;

	submit_new(b, &job, 1, 1);
	CU_ASSERT_EQUAL(stats_of(b).submitters_blocked_ns, 0);
	start_blocked(&s[0], b, 1, 1);
	start_blocked(&s[1], b, 1, 1);
	uint64_t since = clock_now_ns();
	while (clock_now_ns() < since + NS_PER_MS)
		;
	CU_ASSERT_TRUE(stats_of(b).submitters_blocked_ns >= 2 * NS_PER_MS);
	CU_ASSERT_EQUAL(stats_of(b).submitters_blocked, 2);
	CU_ASSERT_EQUAL(stats_of(b).max_jobs, 1);
	CU_ASSERT_EQUAL(stats_of(b).max_bytes, 100);
	backlog_close(b);
	for (size_t i = 0; i < ARRAY_LEN(s); i++) {
		expect_end(&s[i], -EPIPE);
		free_jobs(s[i].jobs, 1);
	}
	backlog_free(b);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "a backlog without a bound is refused",
		  test_a_backlog_without_a_bound_is_refused },
		{ "accepted jobs are numbered and dated",
		  test_accepted_jobs_are_numbered_and_dated },
		{ "what can never fit is refused whole", test_what_can_never_fit_is_refused_whole },
		{ "jobs are taken oldest first, and as many as asked",
		  test_jobs_are_taken_oldest_first_and_as_many_as_asked },
		{ "jobs for another attempt go to the end",
		  test_jobs_for_another_attempt_go_to_the_end },
		{ "returned jobs go to the front, last one first",
		  test_returned_jobs_go_to_the_front_last_one_first },
		{ "delayed jobs come when they are due", test_delayed_jobs_come_when_they_are_due },
		{ "due jobs that found no room wait on", test_due_jobs_that_found_no_room_wait_on },
		{ "listeners hear of everything that can be taken",
		  test_listeners_hear_of_everything_that_can_be_taken },
		{ "a closed backlog is emptied but not filled",
		  test_a_closed_backlog_is_emptied_but_not_filled },
		{ "jobs that are left are freed", test_jobs_that_are_left_are_freed },
		{ "only a final verdict makes room", test_only_a_final_verdict_makes_room },
		{ "a batch waits for room for all of it",
		  test_a_batch_waits_for_room_for_all_of_it },
		{ "bytes are waited for as well", test_bytes_are_waited_for_as_well },
		{ "those who wait are served in their order", test_those_who_wait_are_served_in_their_order },
		{ "who does not wait is told which bound is reached",
		  test_who_does_not_wait_is_told_which_bound_is_reached },
		{ "nobody overtakes those who wait", test_nobody_overtakes_those_who_wait },
		{ "a withdrawal lets those behind go on", test_a_withdrawal_lets_those_behind_go_on },
		{ "a higher priority goes first until others have aged",
		  test_a_higher_priority_goes_first_until_others_have_aged },
		{ "a job waits for its time", test_a_job_waits_for_its_time },
		{ "a close ends the wait of every submitter",
		  test_a_close_ends_the_wait_of_every_submitter },
		{ "submitters that wait now are counted",
		  test_submitters_that_wait_now_are_counted },
		CU_TEST_INFO_NULL,
	};

	(void) alarm(600); /* a hang is a failure */
	return unit_run("memory_backlog", tests);
}
