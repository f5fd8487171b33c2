/* SPDX-License-Identifier: Apache-2.0 */
/*
 * queue.h between threads: who is woken by what, and that no job and no wakeup is
 * ever lost.  Threads only report; a wakeup that is lost hangs the program, which
 * the alarm in main() then ends.
 */
#include "queue/queue.h"

#include "base/clock.h"
#include "base/sync.h"
#include "base/thread.h"
#include "queue/parts.h"
#include "queue_calls.h"
#include "stub_jobs.h"

#include <errno.h>
#include <sched.h>
#include <unistd.h>

static pthread_t start(void *(*run)(void *), void *arg)
{
	pthread_t thread;

	CU_ASSERT_EQUAL_FATAL(thread_start(&thread, "test", THREAD_STACK_SMALL, run, arg), 0);
	return thread;
}

/* --- one call in a thread of its own ---------------------------------------------------- */

struct call {
	struct queue *queue;
	struct job *const *jobs; /* to be pushed; NULL to pop, or to wait for room */
	size_t n;                /* so many jobs, or room for so many; 0 to pop */
	uint64_t deadline_ns;
	pthread_t thread;

	/* What came of it; read after the join. */
	int result;
	size_t pushed;
	size_t room;
	struct job *popped;
};

static void *run_call(void *arg)
{
	struct call *c = arg;

	if (c->jobs)
		c->result = queue_push(c->queue, c->jobs, c->n, c->deadline_ns, &c->pushed);
	else if (c->n > 0)
		c->result = queue_wait_room(c->queue, c->n, c->deadline_ns, &c->room);
	else
		c->result = pop_job(c->queue, c->deadline_ns, &c->popped);
	return NULL;
}

/* Starts the call and waits until it is blocked, beside those that are already. */
static void start_blocked(struct call *c)
{
	struct queue_stats before, s;

	queue_stats(c->queue, &before);
	c->thread = start(run_call, c);
	do {
		(void) sched_yield();
		queue_stats(c->queue, &s);
	} while (s.producers_blocked + s.consumers_idle ==
	         before.producers_blocked + before.consumers_idle);
}

static void expect_end(struct call *c, int result)
{
	thread_join(c->thread);
	CU_ASSERT_EQUAL(c->result, result);
}

static void fill(struct queue *q, struct job *const *jobs, size_t n)
{
	size_t pushed = 0;

	CU_ASSERT_EQUAL_FATAL(queue_push(q, jobs, n, 0, &pushed), 0);
}

static void expect_pops(struct queue *q, struct job *const *jobs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct job *job = NULL;
		CU_ASSERT_EQUAL(pop_job(q, NEVER, &job), 0);
		CU_ASSERT_PTR_EQUAL(job, jobs[i]);
	}
}

static void test_a_push_wakes_a_consumer(void)
{
	struct queue *q = new_queue(1, SIZE_MAX);
	struct call pops[2] = { { .queue = q, .deadline_ns = NEVER },
		                { .queue = q, .deadline_ns = NEVER } };
	struct job *jobs[2];
	size_t pushed = 0;

	stub_jobs(jobs, 2, 1);
	start_blocked(&pops[0]);
	start_blocked(&pops[1]);
	CU_ASSERT_EQUAL(queue_push(q, jobs, 2, NEVER, &pushed), 0);
	CU_ASSERT_EQUAL(pushed, 2);
	expect_end(&pops[0], 0);
	expect_end(&pops[1], 0);
	CU_ASSERT_PTR_NOT_EQUAL(pops[0].popped, pops[1].popped);
	CU_ASSERT_TRUE(pops[0].popped == jobs[0] || pops[0].popped == jobs[1]);
	free_jobs(jobs, 2);
	queue_free(q);
}

static void test_pops_let_a_blocked_batch_in_piece_by_piece(void)
{
	struct queue *q = new_queue(8, SIZE_MAX);
	struct job *jobs[40];
	struct call push = { .queue = q, .jobs = jobs + 8, .n = 32, .deadline_ns = NEVER };

	stub_jobs(jobs, 40, 1);
	fill(q, jobs, 8);
	start_blocked(&push);
	expect_pops(q, jobs, 40);
	expect_end(&push, 0);
	CU_ASSERT_EQUAL(push.pushed, 32);
	free_jobs(jobs, 40);
	queue_free(q);
}

static void test_a_producer_of_one_goes_on_beside_one_of_many(void)
{
	struct queue *q = new_queue(100, SIZE_MAX);
	struct job *jobs[150], *one = stub_job(999, 1), *job = NULL;
	struct call many = { .queue = q, .jobs = jobs + 100, .n = 50, .deadline_ns = NEVER };
	struct call single = { .queue = q, .jobs = &one, .n = 1, .deadline_ns = NEVER };
	struct queue_stats s;

	stub_jobs(jobs, 150, 1);
	fill(q, jobs, 100);
	start_blocked(&many);
	start_blocked(&single);

	/* One place is worth waking for, since one of the two needs no more. */
	CU_ASSERT_EQUAL(pop_job(q, NEVER, &job), 0);
	do {
		(void) sched_yield();
		queue_stats(q, &s);
	} while (s.pushed == 100);
	for (int i = 0; i < 150; i++)
		CU_ASSERT_EQUAL(pop_job(q, NEVER, &job), 0);
	expect_end(&many, 0);
	expect_end(&single, 0);
	free_jobs(jobs, 150);
	job_free(one);
	queue_free(q);
}

static void test_bytes_that_become_free_wake_a_producer(void)
{
	struct queue *q = new_queue(1000, 100);
	struct job *jobs[11], *large = stub_job(99, 100);
	struct call push = { .queue = q, .jobs = &large, .n = 1, .deadline_ns = NEVER };

	stub_jobs(jobs, 11, 10);
	fill(q, jobs, 10);
	start_blocked(&push);
	expect_pops(q, jobs, 10); /* all of them have to go */
	expect_end(&push, 0);
	expect_pops(q, &large, 1);
	free_jobs(jobs, 11);
	job_free(large);
	queue_free(q);
}

static void test_a_larger_capacity_wakes_blocked_producers(void)
{
	struct queue *q = new_queue(1, 10);
	struct job *jobs[7];
	struct call pushes[2] = { { .queue = q, .jobs = jobs + 1, .n = 3, .deadline_ns = NEVER },
		                  { .queue = q, .jobs = jobs + 4, .n = 3, .deadline_ns = NEVER } };
	struct job *job = NULL;

	stub_jobs(jobs, 7, 10);
	fill(q, jobs, 1);
	start_blocked(&pushes[0]);
	start_blocked(&pushes[1]);
	CU_ASSERT_EQUAL(queue_set_capacity(q, 7, 70), 0); /* and nobody pops */
	expect_end(&pushes[0], 0);
	expect_end(&pushes[1], 0);
	for (int i = 0; i < 7; i++)
		CU_ASSERT_EQUAL(pop_job(q, 0, &job), 0);
	free_jobs(jobs, 7);
	queue_free(q);
}

static void test_growing_asks_every_blocked_producer(void)
{
	struct queue *q = new_queue(10, 100);
	struct job *large[2] = { stub_job(1, 100), stub_job(2, 100) }, *small = stub_job(3, 10);
	struct call first = { .queue = q, .jobs = large + 1, .n = 1, .deadline_ns = NEVER };
	struct call second = { .queue = q, .jobs = &small, .n = 1, .deadline_ns = NEVER };
	struct job *job = NULL;

	fill(q, large, 1);
	start_blocked(&first);
	start_blocked(&second);
	CU_ASSERT_EQUAL(queue_set_capacity(q, 10, 110), 0);
	expect_end(&second, 0); /* though there is no room for the first */
	expect_pops(q, large, 1);
	expect_end(&first, 0);
	CU_ASSERT_EQUAL(pop_job(q, 0, &job), 0);
	CU_ASSERT_EQUAL(pop_job(q, 0, &job), 0);
	free_jobs(large, 2);
	job_free(small);
	queue_free(q);
}

static void test_a_capacity_that_shrinks_tells_a_blocked_producer(void)
{
	struct queue *q = new_queue(10, 100);
	struct job *jobs[2];
	struct call push = { .queue = q, .jobs = jobs + 1, .n = 1, .deadline_ns = NEVER };

	stub_jobs(jobs, 2, 60);
	fill(q, jobs, 1);
	start_blocked(&push);
	CU_ASSERT_EQUAL(queue_set_capacity(q, 10, 50), 0);
	expect_end(&push, -EMSGSIZE);
	CU_ASSERT_EQUAL(push.pushed, 0);
	expect_pops(q, jobs, 1);
	free_jobs(jobs, 2);
	queue_free(q);
}

static void test_an_eviction_wakes_a_producer(void)
{
	struct queue *q = new_queue(8, SIZE_MAX);
	struct job *jobs[16];
	struct call push = { .queue = q, .jobs = jobs + 8, .n = 8, .deadline_ns = NEVER };
	struct job_list list = { 0 };

	stub_jobs(jobs, 16, 1);
	fill(q, jobs, 8);
	start_blocked(&push);
	queue_evict(q, &list);
	expect_end(&push, 0);
	expect_pops(q, jobs + 8, 8);
	job_list_done(&list);
	free_jobs(jobs + 8, 8);
	queue_free(q);
}

static void test_a_woken_producer_passes_on_what_it_leaves(void)
{
	struct queue *q = new_queue(2, SIZE_MAX);
	struct job *jobs[4];
	struct call pushes[2] = { { .queue = q, .jobs = jobs + 2, .n = 1, .deadline_ns = NEVER },
		                  { .queue = q, .jobs = jobs + 3, .n = 1, .deadline_ns = NEVER } };
	struct job_list list = { 0 };
	struct job *job = NULL;

	stub_jobs(jobs, 4, 1);
	fill(q, jobs, 2);
	start_blocked(&pushes[0]);
	start_blocked(&pushes[1]);
	queue_evict(q, &list); /* two places at once, and nobody pops */
	expect_end(&pushes[0], 0);
	expect_end(&pushes[1], 0);
	CU_ASSERT_EQUAL(pop_job(q, 0, &job), 0);
	CU_ASSERT_EQUAL(pop_job(q, 0, &job), 0);
	job_list_done(&list);
	free_jobs(jobs + 2, 2);
	queue_free(q);
}

static void test_waiting_for_room_ends_with_a_good_part_of_it(void)
{
	struct queue *q = new_queue(8, SIZE_MAX);
	struct call wait = { .queue = q, .n = 8, .deadline_ns = NEVER };
	struct queue_stats s;
	struct job *jobs[8];

	stub_jobs(jobs, 8, 1);
	fill(q, jobs, 8);
	start_blocked(&wait);
	expect_pops(q, jobs, 1); /* a quarter of the queue is worth waking for, this is not */
	queue_stats(q, &s);
	CU_ASSERT_EQUAL(s.producers_blocked, 1);
	expect_pops(q, jobs + 1, 1);
	expect_end(&wait, 0);
	CU_ASSERT_EQUAL(wait.room, 2);
	expect_pops(q, jobs + 2, 6);
	free_jobs(jobs, 8);
	queue_free(q);
}

static void test_waiting_for_room_leaves_it_to_a_producer(void)
{
	struct queue *q = new_queue(1, SIZE_MAX);
	struct job *jobs[2];
	struct call wait = { .queue = q, .n = 1, .deadline_ns = NEVER };
	struct call push = { .queue = q, .jobs = jobs + 1, .n = 1, .deadline_ns = NEVER };

	stub_jobs(jobs, 2, 1);
	fill(q, jobs, 1);
	start_blocked(&wait);
	start_blocked(&push);
	expect_pops(q, jobs, 2); /* whoever is woken first, the job comes in */
	expect_end(&push, 0);
	expect_end(&wait, 0);
	CU_ASSERT_EQUAL(wait.room, 1);
	free_jobs(jobs, 2);
	queue_free(q);
}

static void test_a_close_ends_every_wait(void)
{
	struct queue *full = new_queue(1, SIZE_MAX), *empty = new_queue(1, SIZE_MAX);
	struct call pushes[3], pops[3];
	struct job *jobs[4];

	stub_jobs(jobs, 4, 1);
	fill(full, jobs, 1);
	for (size_t i = 0; i < 3; i++) {
		pushes[i] = (struct call){
			.queue = full, .jobs = jobs + 1 + i, .n = 1, .deadline_ns = NEVER
		};
		pops[i] = (struct call){ .queue = empty, .deadline_ns = NEVER };
		start_blocked(&pushes[i]);
		start_blocked(&pops[i]);
	}
	struct call wait = { .queue = full, .n = 1, .deadline_ns = NEVER };
	start_blocked(&wait);
	queue_close(full);
	queue_close(empty);
	expect_end(&wait, -EPIPE);
	for (size_t i = 0; i < 3; i++) {
		expect_end(&pushes[i], -EPIPE);
		CU_ASSERT_EQUAL(pushes[i].pushed, 0);
		expect_end(&pops[i], -EPIPE);
	}
	expect_pops(full, jobs, 1);
	free_jobs(jobs, 4);
	queue_free(full);
	queue_free(empty);
}

static void test_dismissals_wake_as_many_consumers(void)
{
	struct queue *q = new_queue(1, SIZE_MAX);
	struct call pops[4];
	struct queue_stats s;
	unsigned dismissed = 0;

	for (size_t i = 0; i < ARRAY_LEN(pops); i++) {
		pops[i] = (struct call){ .queue = q, .deadline_ns = NEVER };
		start_blocked(&pops[i]);
	}
	queue_dismiss(q, 3);
	do {
		(void) sched_yield();
		queue_stats(q, &s);
	} while (s.consumers_idle > 1);
	queue_close(q);
	for (size_t i = 0; i < ARRAY_LEN(pops); i++) {
		thread_join(pops[i].thread);
		dismissed += pops[i].result == -ECANCELED;
		CU_ASSERT_TRUE(pops[i].result == -ECANCELED || pops[i].result == -EPIPE);
	}
	CU_ASSERT_EQUAL(dismissed, 3);
	queue_free(q);
}

static void test_who_waits_now_is_counted(void)
{
	const uint64_t span = NS_PER_MS;
	struct queue *q = new_queue(1, SIZE_MAX);
	struct job *jobs[2];
	struct call pop = { .queue = q, .deadline_ns = NEVER };
	struct call push = { .queue = q, .jobs = jobs + 1, .n = 1, .deadline_ns = NEVER };
	struct queue_stats s, later;
	uint64_t start_ns = clock_now_ns();

	stub_jobs(jobs, 2, 1);
	start_blocked(&pop);
	uint64_t since = clock_now_ns();
	while (clock_now_ns() < since + span)
		;
	queue_stats(q, &s);
	CU_ASSERT_EQUAL(s.consumers_idle, 1);
	CU_ASSERT_EQUAL(s.producers_blocked, 0);
	CU_ASSERT_TRUE(s.consumers_idle_ns >= span);
	CU_ASSERT_TRUE(s.consumers_idle_ns <= clock_now_ns() - start_ns);
	fill(q, jobs, 1);
	expect_end(&pop, 0);

	fill(q, jobs, 1);
	start_blocked(&push);
	since = clock_now_ns();
	while (clock_now_ns() < since + span)
		;
	queue_stats(q, &s);
	CU_ASSERT_EQUAL(s.consumers_idle, 0);
	CU_ASSERT_EQUAL(s.producers_blocked, 1);
	CU_ASSERT_TRUE(s.producers_blocked_ns >= span);
	CU_ASSERT_TRUE(s.producers_blocked_ns <= clock_now_ns() - start_ns);
	expect_pops(q, jobs, 1);
	expect_end(&push, 0);
	queue_stats(q, &s);
	queue_stats(q, &later);
	CU_ASSERT_EQUAL(s.producers_blocked_ns, later.producers_blocked_ns); /* nobody waits */
	CU_ASSERT_EQUAL(s.consumers_idle_ns, later.consumers_idle_ns);
	expect_pops(q, jobs + 1, 1);
	free_jobs(jobs, 2);
	queue_free(q);
}

/* --- lanes --------------------------------------------------------------------------------- */

static void limit(struct queue *q, const char *match, const struct lane_limits *limits)
{
	CU_ASSERT_EQUAL_FATAL(queue_set_rules(q, &(struct lane_rule){ match, *limits }, 1), 0);
}

static void test_a_time_that_comes_wakes_a_consumer(void)
{
	struct queue *q = new_queue(10, SIZE_MAX);
	struct call pops[4];
	struct job *jobs[4];
	const uint64_t start_ns = clock_now_ns(), gap_ns = NS_PER_MS;

	limit(q, "*", &(struct lane_limits){ .gap_ns = gap_ns, .burst = 1 });
	stub_jobs(jobs, 4, 1);
	for (size_t i = 0; i < 4; i++) {
		pops[i] = (struct call){ .queue = q, .deadline_ns = NEVER };
		start_blocked(&pops[i]);
	}
	fill(q, jobs, 4); /* and nothing happens any more but the clock */
	for (size_t i = 0; i < 4; i++)
		expect_end(&pops[i], 0);
	CU_ASSERT_TRUE(clock_now_ns() >= start_ns + 3 * gap_ns);
	free_jobs(jobs, 4);
	queue_free(q);
}

static void test_a_push_wakes_the_timer_if_nobody_else_is_idle(void)
{
	struct queue *q = new_queue(10, SIZE_MAX);
	struct job *late = stub_job_at("http://late:80", 1), *ready = stub_job(1, 1);
	struct call pop = { .queue = q, .deadline_ns = NEVER };
	struct job_list evicted = { 0 };
	struct lane *lane = NULL;

	CU_ASSERT_EQUAL(queue_enter(q, "http://late:80", &lane), 0);
	queue_leave(q, lane, LANE_ANSWERED, 3600 * NS_PER_S, &evicted);
	fill(q, &late, 1);
	start_blocked(&pop);
	fill(q, &ready, 1);
	expect_end(&pop, 0);
	CU_ASSERT_PTR_EQUAL(pop.popped, ready);
	queue_evict(q, &evicted);
	job_list_done(&evicted);
	job_free(ready);
	queue_free(q);
}

static void test_an_earlier_time_wakes_the_timer(void)
{
	struct queue *q = new_queue(10, SIZE_MAX);
	struct job *late = stub_job_at("http://late:80", 1),
	           *soon = stub_job_at("http://soon:80", 1);
	struct call pops[2] = { { .queue = q, .deadline_ns = NEVER },
		                { .queue = q, .deadline_ns = NEVER } };
	struct job_list evicted = { 0 };
	struct lane *lane = NULL;
	struct queue_stats s;

	CU_ASSERT_EQUAL(queue_enter(q, "http://late:80", &lane), 0);
	queue_leave(q, lane, LANE_ANSWERED, 3600 * NS_PER_S, &evicted);
	CU_ASSERT_EQUAL(queue_enter(q, "http://soon:80", &lane), 0);
	queue_leave(q, lane, LANE_ANSWERED, 20 * NS_PER_MS, &evicted);
	fill(q, &late, 1);
	start_blocked(&pops[0]); /* the timer, for an hour */
	start_blocked(&pops[1]);
	fill(q, &soon, 1);
	do {
		(void) sched_yield();
		queue_stats(q, &s);
	} while (s.popped == 0);
	CU_ASSERT_TRUE(queue_resume(q, "http://late:80"));
	expect_end(&pops[0], 0);
	expect_end(&pops[1], 0);
	job_free(late);
	job_free(soon);
	queue_free(q);
}

static void test_whoever_leaves_a_lane_wakes_who_waits_for_it(void)
{
	struct queue *q = new_queue(10, SIZE_MAX);
	struct call pop = { .queue = q, .deadline_ns = NEVER };
	struct lane *lane = NULL;
	struct job *jobs[2], *job = NULL;

	limit(q, "*", &(struct lane_limits){ .concurrency = 1, .burst = 1 });
	stub_jobs(jobs, 2, 1);
	fill(q, jobs, 2);
	CU_ASSERT_EQUAL(queue_pop(q, 0, &job, &lane), 0);
	start_blocked(&pop);
	leave_lane(q, lane);
	expect_end(&pop, 0);
	free_jobs(jobs, 2);
	queue_free(q);
}

/* Whether the only producer is on its way, or there already. */
static bool is_woken(struct queue *q)
{
	mutex_lock(&q->lock);
	bool woken = q->pushing.wake.in_flight || q->pushing.wake.waiters == 0;
	mutex_unlock(&q->lock);
	return woken;
}

/* Otherwise it would wait for half of the queue while workers have nothing to do. */
static void close_queue(void *arg) { queue_close(*(struct queue **) arg); }

/* The feeder waits for the lane's last worker, who waits for the feeder. */
static void test_whoever_leaves_a_lane_late_tells_the_feeder_before_it_waits(void)
{
	struct queue *q = NULL;
	const struct queue_options options = {
		.capacity_jobs = 10, .capacity_bytes = 1000, .opened = close_queue, .arg = &q,
	};
	const struct lane_rule rule = { "*", { .burst = 1, .breaker = 1, .breaker_pause_ns = 1,
		                               .breaker_max_ns = 1 } };
	struct job *jobs[] = { stub_job_at("http://a:80", 1), stub_job_at("http://a:80", 1) };
	struct lane *late = NULL, *failing = NULL;
	struct lane_obstacle obstacle;
	struct job_list evicted = { 0 };
	struct job *job = NULL;
	size_t pushed = 0;

	CU_ASSERT_EQUAL_FATAL(queue_create(&options, &q), 0);
	CU_ASSERT_EQUAL_FATAL(queue_set_rules(q, &rule, 1), 0);
	CU_ASSERT_EQUAL(queue_push(q, jobs, 2, 0, &pushed), 0);
	CU_ASSERT_EQUAL(queue_pop(q, 0, &job, &late), 0);
	job_free(job);
	CU_ASSERT_EQUAL(queue_pop(q, 0, &job, &failing), 0);
	job_free(job);

	CU_ASSERT_TRUE(queue_may_leave_later(late, LANE_ANSWERED, 0));
	queue_leave(q, failing, LANE_FAILED, 0, &evicted);
	while (queue_lane_room(q, "http://a:80", &obstacle) == 0 && obstacle.until_ns != NEVER)
		(void) sched_yield(); /* until the breaker's pause has passed */
	CU_ASSERT_EQUAL(queue_leave_and_pop(q, late, NEVER, &job, &failing), -EPIPE); /* closed */
	queue_free(q);
}

static void test_any_room_wakes_a_producer_while_nothing_may_run(void)
{
	struct queue *q = new_queue(4, SIZE_MAX);
	struct job_list list = { 0 };
	struct job *jobs[6], *job = NULL;
	struct call push = { .queue = q, .jobs = jobs + 5, .n = 1, .deadline_ns = NEVER };
	struct lane *lane = NULL;

	limit(q, "*", &(struct lane_limits){ .concurrency = 1, .burst = 1 });
	stub_jobs(jobs, 6, 1);
	fill(q, jobs, 1);
	CU_ASSERT_EQUAL(queue_pop(q, 0, &job, &lane), 0);
	fill(q, jobs + 1, 4);
	start_blocked(&push);
	CU_ASSERT_PTR_EQUAL(queue_remove(q, 2), jobs[1]);
	CU_ASSERT_TRUE(is_woken(q));
	expect_end(&push, 0);
	leave_lane(q, lane);
	queue_evict(q, &list);
	CU_ASSERT_EQUAL(list.len, 4);
	free_jobs(jobs, 6);
	queue_free(q);
}

static void test_what_is_resumed_or_freed_of_limits_wakes_consumers(void)
{
	struct queue *q = new_queue(10, SIZE_MAX);
	struct call pops[3], wait = { .queue = q, .n = 1, .deadline_ns = NEVER };
	struct job_list evicted = { 0 };
	struct job *jobs[3];
	struct lane *lane = NULL;

	stub_jobs(jobs, 3, 1);
	for (size_t i = 0; i < 3; i++)
		pops[i] = (struct call){ .queue = q, .deadline_ns = NEVER };

	CU_ASSERT_EQUAL(queue_pause(q, NULL, &evicted), 0);
	fill(q, jobs, 1);
	start_blocked(&pops[0]);
	start_blocked(&wait);
	CU_ASSERT_TRUE(queue_resume(q, NULL));
	expect_end(&pops[0], 0);
	expect_end(&wait, 0);

	CU_ASSERT_EQUAL(queue_pause(q, jobs[1]->origin.text, &evicted), 0);
	fill(q, jobs + 1, 1);
	start_blocked(&pops[1]);
	CU_ASSERT_TRUE(queue_resume(q, jobs[1]->origin.text));
	expect_end(&pops[1], 0);

	limit(q, "*", &(struct lane_limits){ .concurrency = 1, .burst = 1 });
	CU_ASSERT_EQUAL(queue_enter(q, jobs[2]->origin.text, &lane), 0);
	fill(q, jobs + 2, 1);
	start_blocked(&pops[2]);
	limit(q, "*", &(struct lane_limits){ .concurrency = 2, .burst = 1 });
	expect_end(&pops[2], 0);
	leave_lane(q, lane);
	free_jobs(jobs, 3);
	queue_free(q);
}

/* One job at a time through all of a chain of hand-overs: each wakeup is needed. */
struct ring {
	struct queue *there;
	struct queue *back;
};

static void *echo(void *arg)
{
	const struct ring *ring = arg;
	struct job *job = NULL;
	size_t pushed = 0;

	while (pop_job(ring->there, NEVER, &job) == 0)
		if (queue_push(ring->back, &job, 1, NEVER, &pushed) < 0)
			break;
	return NULL;
}

static void test_no_hand_over_depends_on_a_later_one(void)
{
	struct ring ring = { .there = new_queue(1, SIZE_MAX), .back = new_queue(1, SIZE_MAX) };
	struct job *job = stub_job(1, 1), *got = NULL;
	pthread_t threads[4];
	size_t pushed = 0;

	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		threads[i] = start(echo, &ring);
	for (int i = 0; i < 5000; i++) {
		CU_ASSERT_EQUAL(queue_push(ring.there, &job, 1, NEVER, &pushed), 0);
		CU_ASSERT_EQUAL(pop_job(ring.back, NEVER, &got), 0);
		CU_ASSERT_PTR_EQUAL_FATAL(got, job);
	}
	queue_close(ring.there);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		thread_join(threads[i]);
	job_free(job);
	queue_free(ring.there);
	queue_free(ring.back);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "a push wakes a consumer", test_a_push_wakes_a_consumer },
		{ "pops let a blocked batch in, piece by piece",
		  test_pops_let_a_blocked_batch_in_piece_by_piece },
		{ "a producer of one goes on beside one of many",
		  test_a_producer_of_one_goes_on_beside_one_of_many },
		{ "bytes that become free wake a producer",
		  test_bytes_that_become_free_wake_a_producer },
		{ "a larger capacity wakes blocked producers",
		  test_a_larger_capacity_wakes_blocked_producers },
		{ "growing asks every blocked producer", test_growing_asks_every_blocked_producer },
		{ "a capacity that shrinks tells a blocked producer",
		  test_a_capacity_that_shrinks_tells_a_blocked_producer },
		{ "an eviction wakes a producer", test_an_eviction_wakes_a_producer },
		{ "a woken producer passes on what it leaves",
		  test_a_woken_producer_passes_on_what_it_leaves },
		{ "waiting for room ends with a good part of it",
		  test_waiting_for_room_ends_with_a_good_part_of_it },
		{ "waiting for room leaves it to a producer",
		  test_waiting_for_room_leaves_it_to_a_producer },
		{ "a close ends every wait", test_a_close_ends_every_wait },
		{ "dismissals wake as many consumers", test_dismissals_wake_as_many_consumers },
		{ "who waits now is counted", test_who_waits_now_is_counted },
		{ "a time that comes wakes a consumer", test_a_time_that_comes_wakes_a_consumer },
		{ "a push wakes the timer if nobody else is idle",
		  test_a_push_wakes_the_timer_if_nobody_else_is_idle },
		{ "an earlier time wakes the timer", test_an_earlier_time_wakes_the_timer },
		{ "whoever leaves a lane wakes who waits for it",
		  test_whoever_leaves_a_lane_wakes_who_waits_for_it },
		{ "whoever leaves a lane late tells the feeder before it waits",
		  test_whoever_leaves_a_lane_late_tells_the_feeder_before_it_waits },
		{ "any room wakes a producer while nothing may run",
		  test_any_room_wakes_a_producer_while_nothing_may_run },
		{ "what is resumed, or freed of limits, wakes consumers",
		  test_what_is_resumed_or_freed_of_limits_wakes_consumers },
		{ "no hand-over depends on a later one", test_no_hand_over_depends_on_a_later_one },
		CU_TEST_INFO_NULL,
	};

	(void) alarm(600); /* a hang is a failure */
	return unit_run("queue_threads", tests);
}
