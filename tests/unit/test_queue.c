/* SPDX-License-Identifier: Apache-2.0 */
/* queue.h as one thread sees it: order, bounds, capacity, dismissals, counts.  What
 * threads do to each other is in test_queue_threads.c. */
#include "queue/queue.h"

#include "base/clock.h"
#include "base/sync.h"
#include "queue_calls.h"
#include "stub_jobs.h"

#include <errno.h>
#include <string.h>

enum { NOW = 0 }; /* a deadline that means: do not wait */

static struct queue_stats stats_of(struct queue *q)
{
	struct queue_stats s;

	queue_stats(q, &s);
	return s;
}

/* Pushes without waiting, and expects that 'pushed' of 'n' go in. */
static void expect_push(struct queue *q, struct job *const *jobs, size_t n, size_t pushed,
                        int error)
{
	size_t got = SIZE_MAX;

	CU_ASSERT_EQUAL(queue_push(q, jobs, n, NOW, &got), error);
	CU_ASSERT_EQUAL(got, pushed);
}

static void expect_pop(struct queue *q, const struct job *expected)
{
	struct job *job = NULL;

	CU_ASSERT_EQUAL(pop_job(q, NOW, &job), 0);
	CU_ASSERT_PTR_EQUAL(job, expected);
}

static void expect_no_pop(struct queue *q, int error)
{
	struct job untouched, *job = &untouched;

	CU_ASSERT_EQUAL(pop_job(q, NOW, &job), error);
	CU_ASSERT_PTR_EQUAL(job, &untouched);
}

static void test_a_queue_without_a_bound_is_refused(void)
{
	struct queue *q = NULL;

	CU_ASSERT_EQUAL(queue_create(&(struct queue_options){ .capacity_bytes = 1 }, &q), -EINVAL);
	CU_ASSERT_EQUAL(queue_create(&(struct queue_options){ .capacity_jobs = 1 }, &q), -EINVAL);
	CU_ASSERT_PTR_NULL(q);
	CU_ASSERT_PTR_NULL(queue_free(NULL));

	q = new_queue(3, 30);
	CU_ASSERT_EQUAL(queue_set_capacity(q, 0, 1), -EINVAL);
	CU_ASSERT_EQUAL(queue_set_capacity(q, 1, 0), -EINVAL);
	CU_ASSERT_EQUAL(stats_of(q).capacity_jobs, 3);
	CU_ASSERT_EQUAL(stats_of(q).capacity_bytes, 30);
	CU_ASSERT_PTR_NULL(queue_free(q));
}

static void test_jobs_come_out_in_the_order_in_which_they_went_in(void)
{
	struct queue *q = new_queue(100, SIZE_MAX);
	struct job *jobs[10];

	stub_jobs(jobs, 10, 1);
	expect_push(q, jobs, 0, 0, 0);
	expect_push(q, jobs, 1, 1, 0);
	expect_push(q, jobs + 1, 4, 4, 0);
	expect_pop(q, jobs[0]);
	expect_push(q, jobs + 5, 5, 5, 0);
	for (size_t i = 1; i < 10; i++)
		expect_pop(q, jobs[i]);
	expect_no_pop(q, -ETIMEDOUT);
	free_jobs(jobs, 10);
	queue_free(q);
}

static void test_both_bounds_hold(void)
{
	struct queue *q = new_queue(3, 100);
	struct job *jobs[8];

	stub_jobs(jobs, 4, 1);
	stub_jobs(jobs + 4, 4, 40);

	/* In jobs: a batch goes in as far as there is room. */
	expect_push(q, jobs, 4, 3, -ETIMEDOUT);
	expect_push(q, jobs + 3, 1, 0, -ETIMEDOUT);
	for (size_t i = 0; i < 3; i++)
		expect_pop(q, jobs[i]);

	/* In bytes: two of 40 fit, then one of 1, and then no fourth job. */
	expect_push(q, jobs + 4, 3, 2, -ETIMEDOUT);
	expect_push(q, jobs + 6, 1, 0, -ETIMEDOUT);
	expect_push(q, jobs, 1, 1, 0);
	CU_ASSERT_EQUAL(stats_of(q).depth_bytes, 81);
	expect_pop(q, jobs[4]);
	expect_push(q, jobs + 6, 1, 1, 0); /* 81 again */
	expect_pop(q, jobs[5]);
	expect_pop(q, jobs[0]);
	expect_pop(q, jobs[6]);

	/* Exactly full. */
	jobs[7]->bytes = 60;
	expect_push(q, (struct job *[]){ jobs[4], jobs[7], jobs[0] }, 3, 2, -ETIMEDOUT);
	CU_ASSERT_EQUAL(stats_of(q).depth_bytes, 100);
	expect_pop(q, jobs[4]);
	expect_pop(q, jobs[7]);
	free_jobs(jobs, 8);
	queue_free(q);
}

static void test_a_job_that_can_never_fit_is_refused_at_once(void)
{
	struct queue *q = new_queue(10, 100);
	struct job *small = stub_job(1, 50), *exact = stub_job(2, 100), *large = stub_job(3, 101);
	struct job *batch[] = { small, large, exact };
	size_t pushed = SIZE_MAX;

	CU_ASSERT_EQUAL(queue_push(q, &large, 1, NEVER, &pushed), -EMSGSIZE);
	CU_ASSERT_EQUAL(pushed, 0);
	CU_ASSERT_EQUAL(queue_push(q, batch, 3, NEVER, &pushed), -EMSGSIZE);
	CU_ASSERT_EQUAL(pushed, 1);
	expect_pop(q, small);
	expect_push(q, &exact, 1, 1, 0);
	expect_pop(q, exact);

	/* What fits depends on the capacity of the moment. */
	CU_ASSERT_EQUAL(queue_set_capacity(q, 10, 101), 0);
	expect_push(q, &large, 1, 1, 0);
	expect_pop(q, large);
	free_jobs(batch, 3);
	queue_free(q);
}

static void test_past_deadlines_wait_no_longer(void)
{
	struct queue *q = new_queue(1, SIZE_MAX);
	struct job *jobs[2], *job = NULL;
	size_t pushed = SIZE_MAX;

	stub_jobs(jobs, 2, 1);
	uint64_t deadline = clock_now_ns() + NS_PER_MS;
	CU_ASSERT_EQUAL(pop_job(q, 1, &job), -ETIMEDOUT);
	CU_ASSERT_EQUAL(pop_job(q, deadline, &job), -ETIMEDOUT);
	CU_ASSERT_TRUE(clock_now_ns() >= deadline);

	CU_ASSERT_EQUAL(queue_push(q, jobs, 1, 1, &pushed), 0); /* there is room: never late */
	CU_ASSERT_EQUAL(queue_push(q, jobs + 1, 1, 1, &pushed), -ETIMEDOUT);
	deadline = clock_now_ns() + NS_PER_MS;
	CU_ASSERT_EQUAL(queue_push(q, jobs + 1, 1, deadline, &pushed), -ETIMEDOUT);
	CU_ASSERT_TRUE(clock_now_ns() >= deadline);
	CU_ASSERT_EQUAL(pushed, 0);

	CU_ASSERT_EQUAL(pop_job(q, 1, &job), 0); /* nor here */
	CU_ASSERT_PTR_EQUAL(job, jobs[0]);
	free_jobs(jobs, 2);
	queue_free(q);
}

static void test_a_closed_queue_drains_and_then_ends(void)
{
	struct queue *q = new_queue(10, SIZE_MAX);
	struct job *jobs[3], *job = NULL;
	size_t pushed = SIZE_MAX;

	stub_jobs(jobs, 3, 1);
	expect_push(q, jobs, 2, 2, 0);
	queue_close(q);
	queue_close(q);
	CU_ASSERT_EQUAL(queue_push(q, jobs + 2, 1, NEVER, &pushed), -EPIPE);
	CU_ASSERT_EQUAL(pushed, 0);
	expect_pop(q, jobs[0]);
	CU_ASSERT_EQUAL(pop_job(q, NEVER, &job), 0);
	CU_ASSERT_PTR_EQUAL(job, jobs[1]);
	CU_ASSERT_EQUAL(pop_job(q, NEVER, &job), -EPIPE);
	expect_no_pop(q, -EPIPE);
	CU_ASSERT_EQUAL(queue_set_capacity(q, 20, 20), 0); /* opens nothing */
	CU_ASSERT_EQUAL(queue_push(q, jobs + 2, 1, NEVER, &pushed), -EPIPE);
	free_jobs(jobs, 3);
	queue_free(q);
}

static void test_evicted_jobs_keep_their_order(void)
{
	struct queue *q = new_queue(4, 400);
	struct job *jobs[5];
	struct job_list list = { 0 };

	stub_jobs(jobs, 5, 100);
	job_list_append(&list, jobs[0]); /* what is in the list stays in front */
	expect_push(q, jobs + 1, 4, 4, 0);
	queue_evict(q, &list);
	CU_ASSERT_EQUAL(list.len, 5);
	for (size_t i = 0; i < 5; i++)
		CU_ASSERT_PTR_EQUAL(job_list_take(&list), jobs[i]);
	expect_no_pop(q, -ETIMEDOUT);

	struct queue_stats s = stats_of(q);
	CU_ASSERT_EQUAL(s.depth_jobs, 0);
	CU_ASSERT_EQUAL(s.depth_bytes, 0);
	CU_ASSERT_EQUAL(s.pushed, 4);
	CU_ASSERT_EQUAL(s.popped, 0);
	CU_ASSERT_EQUAL(s.high_water_jobs, 4);

	queue_evict(q, &list); /* of nothing */
	CU_ASSERT_EQUAL(list.len, 0);
	expect_push(q, jobs, 4, 4, 0); /* the room is free again */
	queue_close(q);
	queue_evict(q, &list);
	expect_no_pop(q, -EPIPE);
	CU_ASSERT_EQUAL(list.len, 4);
	job_list_done(&list);
	job_free(jobs[4]);
	queue_free(q);
}

static void test_a_smaller_capacity_drops_nothing(void)
{
	struct queue *q = new_queue(8, 800);
	struct job *jobs[9];

	stub_jobs(jobs, 9, 100);
	expect_push(q, jobs, 8, 8, 0);
	CU_ASSERT_EQUAL(queue_set_capacity(q, 2, 800), 0);
	CU_ASSERT_EQUAL(stats_of(q).depth_jobs, 8);
	for (size_t i = 0; i < 6; i++) {
		expect_push(q, jobs + 8, 1, 0, -ETIMEDOUT);
		expect_pop(q, jobs[i]);
	}
	expect_push(q, jobs + 8, 1, 0, -ETIMEDOUT);
	expect_pop(q, jobs[6]);
	expect_push(q, jobs + 8, 1, 1, 0);

	/* In bytes, two jobs stay above the new bound. */
	CU_ASSERT_EQUAL(queue_set_capacity(q, 8, 100), 0);
	CU_ASSERT_EQUAL(stats_of(q).depth_bytes, 200);
	expect_push(q, jobs, 1, 0, -ETIMEDOUT);
	expect_pop(q, jobs[7]);
	expect_push(q, jobs, 1, 0, -ETIMEDOUT);
	expect_pop(q, jobs[8]);
	expect_push(q, jobs, 1, 1, 0);
	expect_pop(q, jobs[0]);
	free_jobs(jobs, 9);
	queue_free(q);
}

static void test_a_larger_capacity_takes_more_at_once(void)
{
	struct queue *q = new_queue(1, 1);
	struct job *jobs[3];

	stub_jobs(jobs, 3, 1);
	expect_push(q, jobs, 3, 1, -ETIMEDOUT);
	CU_ASSERT_EQUAL(queue_set_capacity(q, 3, 1), 0);
	expect_push(q, jobs + 1, 2, 0, -ETIMEDOUT); /* the other bound still holds */
	CU_ASSERT_EQUAL(queue_set_capacity(q, 3, 3), 0);
	expect_push(q, jobs + 1, 2, 2, 0);
	for (size_t i = 0; i < 3; i++)
		expect_pop(q, jobs[i]);
	free_jobs(jobs, 3);
	queue_free(q);
}

static void test_dismissals_come_before_jobs(void)
{
	struct queue *q = new_queue(10, SIZE_MAX);
	struct job *jobs[2];

	stub_jobs(jobs, 2, 1);
	expect_push(q, jobs, 2, 2, 0);
	queue_dismiss(q, 2);
	expect_no_pop(q, -ECANCELED);
	expect_no_pop(q, -ECANCELED);
	expect_pop(q, jobs[0]);

	/* A later call replaces what is left of an earlier one. */
	queue_dismiss(q, 5);
	expect_no_pop(q, -ECANCELED);
	queue_dismiss(q, 1);
	expect_no_pop(q, -ECANCELED);
	expect_pop(q, jobs[1]);
	queue_dismiss(q, 3);
	queue_dismiss(q, 0);
	expect_no_pop(q, -ETIMEDOUT);

	queue_dismiss(q, 1);
	queue_close(q);
	expect_no_pop(q, -ECANCELED);
	expect_no_pop(q, -EPIPE);
	free_jobs(jobs, 2);
	queue_free(q);
}

static void expect_room(struct queue *q, size_t n, size_t expected)
{
	size_t room = SIZE_MAX;

	CU_ASSERT_EQUAL(queue_wait_room(q, n, NOW, &room), expected > 0 ? 0 : -ETIMEDOUT);
	CU_ASSERT_EQUAL(room, expected > 0 ? expected : SIZE_MAX);
}

static void test_room_is_told_without_taking_it(void)
{
	struct queue *q = new_queue(8, 80);
	struct job *jobs[9];
	size_t room = SIZE_MAX;

	stub_jobs(jobs, 9, 1);
	expect_room(q, 1, 8);
	expect_room(q, 100, 8); /* more than there will ever be: what there is */
	expect_push(q, jobs, 7, 7, 0);
	expect_room(q, 1, 1);
	expect_room(q, 4, 1); /* late, but there is some */
	CU_ASSERT_EQUAL(queue_wait_room(q, 1, NEVER, &room), 0);
	CU_ASSERT_EQUAL(room, 1);
	expect_push(q, jobs + 7, 1, 1, 0);
	expect_room(q, 1, 0);
	expect_pop(q, jobs[0]);
	CU_ASSERT_EQUAL(queue_set_capacity(q, 4, 80), 0); /* below what it holds */
	expect_room(q, 1, 0);
	CU_ASSERT_EQUAL(queue_set_capacity(q, 20, 7), 0); /* full in bytes */
	expect_room(q, 1, 0);
	CU_ASSERT_EQUAL(queue_set_capacity(q, 20, 8), 0);
	expect_room(q, 1, 13);

	queue_close(q);
	room = SIZE_MAX;
	CU_ASSERT_EQUAL(queue_wait_room(q, 1, NEVER, &room), -EPIPE);
	CU_ASSERT_EQUAL(room, SIZE_MAX);
	for (size_t i = 1; i < 8; i++)
		expect_pop(q, jobs[i]);
	free_jobs(jobs, 9);
	queue_free(q);
}

static void test_the_counts_are_those_of_the_moment(void)
{
	struct queue *q = new_queue(4, 1000);
	struct job *jobs[6];
	struct queue_stats s = stats_of(q);

	CU_ASSERT_EQUAL(s.capacity_jobs, 4);
	CU_ASSERT_EQUAL(s.capacity_bytes, 1000);
	CU_ASSERT_EQUAL(s.depth_jobs + s.depth_bytes + s.high_water_jobs + s.high_water_bytes, 0);
	CU_ASSERT_EQUAL(s.pushed + s.popped, 0);
	CU_ASSERT_EQUAL(s.producers_blocked_ns + s.consumers_idle_ns, 0);

	stub_jobs(jobs, 6, 10);
	jobs[0]->bytes = 500;
	expect_push(q, jobs, 2, 2, 0);
	expect_pop(q, jobs[0]);
	expect_push(q, jobs + 2, 4, 3, -ETIMEDOUT);
	s = stats_of(q);
	CU_ASSERT_EQUAL(s.depth_jobs, 4);
	CU_ASSERT_EQUAL(s.depth_bytes, 40);
	CU_ASSERT_EQUAL(s.high_water_jobs, 4);
	CU_ASSERT_EQUAL(s.high_water_bytes, 510);
	CU_ASSERT_EQUAL(s.pushed, 5);
	CU_ASSERT_EQUAL(s.popped, 1);
	CU_ASSERT_EQUAL(s.producers_blocked, 0);
	CU_ASSERT_EQUAL(s.consumers_idle, 0);
	CU_ASSERT_EQUAL(s.producers_blocked_ns, 0); /* who may not wait does not block */

	for (size_t i = 1; i < 5; i++)
		expect_pop(q, jobs[i]);
	expect_no_pop(q, -ETIMEDOUT);
	s = stats_of(q);
	CU_ASSERT_EQUAL(s.depth_jobs + s.depth_bytes, 0);
	CU_ASSERT_EQUAL(s.high_water_jobs, 4);
	CU_ASSERT_EQUAL(s.popped, 5);
	CU_ASSERT_EQUAL(s.consumers_idle_ns, 0);
	free_jobs(jobs, 6);
	queue_free(q);
}

static void test_waits_that_end_at_a_deadline_count(void)
{
	struct queue *q = new_queue(1, SIZE_MAX);
	struct job *jobs[2], *job = NULL;
	size_t pushed = 0;

	stub_jobs(jobs, 2, 1);
	uint64_t start = clock_now_ns();
	CU_ASSERT_EQUAL(pop_job(q, clock_now_ns() + 2 * NS_PER_MS, &job), -ETIMEDOUT);
	struct queue_stats s = stats_of(q);
	/* The deadline was set before the wait began; allow it some time in between. */
	CU_ASSERT_TRUE(s.consumers_idle_ns > 0);
	CU_ASSERT_TRUE(s.consumers_idle_ns <= clock_now_ns() - start);
	CU_ASSERT_EQUAL(s.producers_blocked_ns, 0);

	expect_push(q, jobs, 1, 1, 0);
	start = clock_now_ns();
	CU_ASSERT_EQUAL(queue_push(q, jobs + 1, 1, start + 2 * NS_PER_MS, &pushed), -ETIMEDOUT);
	CU_ASSERT_EQUAL(stats_of(q).consumers_idle_ns, s.consumers_idle_ns);
	CU_ASSERT_TRUE(stats_of(q).producers_blocked_ns > 0);
	CU_ASSERT_TRUE(stats_of(q).producers_blocked_ns <= clock_now_ns() - start);
	expect_pop(q, jobs[0]);
	free_jobs(jobs, 2);
	queue_free(q);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "a queue without a bound is refused", test_a_queue_without_a_bound_is_refused },
		{ "jobs come out in the order in which they went in",
		  test_jobs_come_out_in_the_order_in_which_they_went_in },
		{ "both bounds hold", test_both_bounds_hold },
		{ "a job that can never fit is refused at once",
		  test_a_job_that_can_never_fit_is_refused_at_once },
		{ "past deadlines wait no longer", test_past_deadlines_wait_no_longer },
		{ "a closed queue drains and then ends", test_a_closed_queue_drains_and_then_ends },
		{ "evicted jobs keep their order", test_evicted_jobs_keep_their_order },
		{ "a smaller capacity drops nothing", test_a_smaller_capacity_drops_nothing },
		{ "a larger capacity takes more at once",
		  test_a_larger_capacity_takes_more_at_once },
		{ "dismissals come before jobs", test_dismissals_come_before_jobs },
		{ "room is told without taking it", test_room_is_told_without_taking_it },
		{ "the counts are those of the moment", test_the_counts_are_those_of_the_moment },
		{ "waits that end at a deadline count", test_waits_that_end_at_a_deadline_count },
		CU_TEST_INFO_NULL,
	};
	return unit_run("queue", tests);
}
