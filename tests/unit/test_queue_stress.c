/* SPDX-License-Identifier: Apache-2.0 */
/*
 * queue.h under load: many producers, many consumers, and somebody who interferes.
 * Every job must come out exactly once, those of one producer and lane in their order, and
 * nobody may sleep for ever: a lost wakeup hangs the program, which the alarm in
 * main() then ends.
 */
#include "queue/queue.h"

#include "base/clock.h"
#include "base/sync.h"
#include "base/thread.h"
#include "queue_calls.h"
#include "seed.h"
#include "unit.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

enum { MAX_THREADS = 16, MAX_BATCH = 64, MAX_LANES = 8 };

static char origins[MAX_LANES][32];

/* A capacity in bytes that is none. */
#define UNBOUNDED (SIZE_MAX / 8)

/* What is varied.  A wait is "short" if it has a deadline, at a bad moment if there is one. */
struct plan {
	size_t producers, consumers;
	size_t jobs; /* of each producer */
	size_t capacity_jobs;
	size_t capacity_bytes;                   /* at least 'job_bytes' */
	size_t batch;                            /* 1 to so many at once */
	size_t job_bytes;                        /* 1 to so many each */
	size_t short_producers, short_consumers; /* so many of them wait shortly */
	size_t lanes;                            /* 0: one */
	struct lane_limits limits;               /* of all lanes */
	bool interfere;                          /* with capacities, dismissals and evictions… */
};

struct stress {
	const struct plan *plan;
	struct queue *queue;
	struct job *jobs;       /* producer by producer */
	atomic_uint *seen;      /* how often each job came out */
	atomic_size_t out;      /* jobs that came out */
	atomic_bool disordered; /* one consumer saw a producer's jobs in the wrong order */
	atomic_bool failed;     /* a call returned what it never should */
};

struct role {
	struct stress *stress;
	struct random random;
	size_t index;
	bool is_short;
};

static uint64_t some_deadline(struct role *role)
{
	return role->is_short ? clock_now_ns() + random_up_to(&role->random, 50000) : NEVER;
}

static void *produce(void *arg)
{
	struct role *role = arg;
	struct stress *s = role->stress;
	const struct plan *plan = s->plan;
	struct job *first = s->jobs + role->index * plan->jobs;

	for (size_t done = 0; done < plan->jobs;) {
		struct job *batch[MAX_BATCH];
		size_t n = 1 + below(&role->random, plan->batch), pushed = SIZE_MAX;

		n = n < plan->jobs - done ? n : plan->jobs - done;
		for (size_t i = 0; i < n; i++)
			batch[i] = first + done + i;
		int r = queue_push(s->queue, batch, n, some_deadline(role), &pushed);
		if (pushed > n || (r == 0) != (pushed == n) || (r < 0 && r != -ETIMEDOUT) ||
		    (r < 0 && !role->is_short)) {
			atomic_store(&s->failed, true);
			return NULL;
		}
		done += pushed;
	}
	return NULL;
}

static void take_out(struct stress *s, const struct job *job)
{
	atomic_fetch_add(&s->seen[job - s->jobs], 1);
	atomic_fetch_add(&s->out, 1);
}

static void take_all_out(struct stress *s, struct job_list *list)
{
	for (struct job *job; (job = job_list_take(list));)
		take_out(s, job);
}

/* Sometimes goes on to another lane, as after a redirect; sometimes the lane has to cool.  Returns
 * the lane if it is still to be left. */
static struct lane *leave(struct role *role, struct lane *lane)
{
	struct stress *s = role->stress;
	bool breaks = s->plan->lanes > 0 && below(&role->random, 8) == 0;
	struct job_list evicted = { 0 };

	if (!breaks && queue_may_leave_later(lane, LANE_ANSWERED, 0) && below(&role->random, 2))
		return lane;
	queue_leave(s->queue, lane, breaks ? LANE_FAILED : LANE_ANSWERED,
	            breaks ? random_up_to(&role->random, 20000) : 0, &evicted);
	take_all_out(s, &evicted);
	if (!breaks || queue_enter(s->queue, origins[below(&role->random, s->plan->lanes)], &lane))
		return NULL;
	queue_leave(s->queue, lane, LANE_UNUSED, 0, &evicted);
	take_all_out(s, &evicted);
	return NULL;
}

static void *consume(void *arg)
{
	struct role *role = arg;
	struct stress *s = role->stress;
	size_t next[MAX_THREADS][MAX_LANES] = { 0 };
	struct lane *left = NULL;

	for (;;) {
		struct job *job = NULL;
		struct lane *lane = NULL;
		int r = queue_leave_and_pop(s->queue, left, some_deadline(role), &job, &lane);
		left = NULL;
		if (r == -EPIPE)
			return NULL;
		if (r == -ECANCELED || (r == -ETIMEDOUT && role->is_short))
			continue; /* a dismissed consumer comes back */
		if (r < 0) {
			atomic_store(&s->failed, true);
			return NULL;
		}

		size_t at = (size_t) (job - s->jobs), producer = at / s->plan->jobs;
		size_t *next_at = &next[producer][job->origin.port];
		if (at < *next_at)
			atomic_store(&s->disordered, true);
		*next_at = at + 1;
		take_out(s, job);
		left = leave(role, lane);
	}
}

static void interfere_with_lanes(struct role *role)
{
	struct stress *s = role->stress;
	const char *origin = origins[below(&role->random, s->plan->lanes)];
	const struct lane_rule rules[] = { { origin, { .concurrency = 1, .burst = 1 } },
		                           { "*", s->plan->limits } };
	struct job_list list = { 0 };
	struct lane_obstacle obstacle;
	struct buf opened = { 0 };

	switch (below(&role->random, 5)) {
	case 0:
		if (queue_pause(s->queue, below(&role->random, 4) ? origin : NULL, &list) < 0)
			atomic_store(&s->failed, true);
		take_all_out(s, &list);
		break;
	case 1:
		if (queue_set_rules(s->queue, rules, 2) < 0)
			atomic_store(&s->failed, true);
		break;
	case 2:
		(void) (queue_lane_room(s->queue, origin, &obstacle) +
		        queue_take_opened(s->queue, &opened));
		buf_done(&opened);
		break;
	default:
		(void) queue_resume(s->queue, origin);
		(void) queue_resume(s->queue, NULL);
		break;
	}
}

/* Ends long before the jobs do, so that nothing it wakes hides what was lost. */
static void *interfere(void *arg)
{
	struct role *role = arg;
	struct stress *s = role->stress;
	const struct plan *plan = s->plan;
	size_t all = plan->producers * plan->jobs;

	while (atomic_load(&s->out) < all / 2) {
		struct job_list list = { 0 };
		size_t jobs = 1 + below(&role->random, 2 * plan->capacity_jobs);
		size_t bytes = plan->job_bytes + below(&role->random, 2 * plan->capacity_bytes);

		switch (below(&role->random, 4)) {
		case 0:
			queue_dismiss(s->queue, (unsigned) below(&role->random, 4));
			break;
		case 1:
			queue_evict(s->queue, &list);
			take_all_out(s, &list);
			break;
		default:
			if (queue_set_capacity(s->queue, jobs, bytes) < 0)
				atomic_store(&s->failed, true);
			break;
		}
		if (plan->lanes > 0)
			interfere_with_lanes(role);
		(void) sched_yield();
	}
	if (queue_set_capacity(s->queue, plan->capacity_jobs, plan->capacity_bytes) < 0)
		atomic_store(&s->failed, true);
	for (size_t i = 0; i < MAX_LANES; i++)
		(void) queue_resume(s->queue, origins[i]);
	(void) queue_resume(s->queue, NULL);
	return NULL;
}

static void prepare(struct stress *s, const struct plan *plan, struct random *r)
{
	size_t n = plan->producers * plan->jobs;

	*s = (struct stress){ .plan = plan };
	s->queue = new_queue(plan->capacity_jobs, plan->capacity_bytes);
	s->jobs = calloc(n, sizeof(*s->jobs));
	s->seen = calloc(n, sizeof(*s->seen));
	CU_ASSERT_TRUE_FATAL(s->jobs && s->seen);
	for (size_t i = 0; i < n; i++) {
		size_t lane = plan->lanes > 0 ? below(r, plan->lanes) : 0;
		s->jobs[i].bytes = 1 + below(r, plan->job_bytes);
		s->jobs[i].origin = (struct url_origin){ .text = origins[lane],
			                                 .port = (uint16_t) lane };
	}
	const struct lane_rule rule = { "*", plan->limits };
	CU_ASSERT_EQUAL_FATAL(queue_set_rules(s->queue, &rule, 1), 0);
}

static void start(struct role *role, pthread_t *ret_thread, void *(*run)(void *),
                  const struct role *as)
{
	*role = *as;
	CU_ASSERT_EQUAL_FATAL(thread_start(ret_thread, "stress", THREAD_STACK_SMALL, run, role), 0);
}

static void run_threads(struct stress *s, struct random *r)
{
	const struct plan *plan = s->plan;
	pthread_t producers[MAX_THREADS], consumers[MAX_THREADS], other = 0;
	struct role as = { .stress = s }, push[MAX_THREADS], pop[MAX_THREADS], third;

	for (as.index = 0; as.index < plan->consumers; as.index++) {
		as.random.state = random_up_to(r, UINT64_MAX);
		as.is_short = as.index < plan->short_consumers;
		start(&pop[as.index], &consumers[as.index], consume, &as);
	}
	for (as.index = 0; as.index < plan->producers; as.index++) {
		as.random.state = random_up_to(r, UINT64_MAX);
		as.is_short = as.index < plan->short_producers;
		start(&push[as.index], &producers[as.index], produce, &as);
	}
	if (plan->interfere)
		start(&third, &other, interfere, &as);

	for (size_t i = 0; i < plan->producers; i++)
		thread_join(producers[i]);
	if (plan->interfere)
		thread_join(other);

	/* The queue is closed only once it is empty: what is left must be popped unaided. */
	while (atomic_load(&s->out) < plan->producers * plan->jobs && !atomic_load(&s->failed))
		(void) sched_yield();
	queue_close(s->queue);
	for (size_t i = 0; i < plan->consumers; i++)
		thread_join(consumers[i]);
}

static void stress(const struct plan *plan, struct random *r)
{
	size_t n = plan->producers * plan->jobs, once = 0;
	struct queue_stats stats;
	struct stress s;

	prepare(&s, plan, r);
	run_threads(&s, r);
	for (size_t i = 0; i < n; i++)
		once += atomic_load(&s.seen[i]) == 1;
	CU_ASSERT_EQUAL(once, n);
	CU_ASSERT_FALSE(atomic_load(&s.disordered));
	CU_ASSERT_FALSE(atomic_load(&s.failed));

	queue_stats(s.queue, &stats);
	CU_ASSERT_EQUAL(stats.depth_jobs, 0);
	CU_ASSERT_EQUAL(stats.depth_bytes, 0);
	CU_ASSERT_EQUAL(stats.pushed, n);
	CU_ASSERT_EQUAL(stats.producers_blocked + stats.consumers_idle, 0);
	CU_ASSERT_EQUAL(stats.lanes + stats.paused_lanes, 0);
	if (!plan->interfere) {
		if (plan->lanes == 0)
			CU_ASSERT_EQUAL(stats.popped, n);
		CU_ASSERT_TRUE(stats.high_water_jobs <= plan->capacity_jobs);
		CU_ASSERT_TRUE(stats.high_water_bytes <= plan->capacity_bytes);
	}
	queue_free(s.queue);
	free(s.jobs);
	free(s.seen);
}

static void test_one_consumer_sees_each_producer_in_order(void)
{
	struct random r = seeded();

	stress(&(struct plan){ .producers = 1,
	                       .consumers = 1,
	                       .jobs = 20000,
	                       .capacity_jobs = 4,
	                       .capacity_bytes = UNBOUNDED,
	                       .batch = 8,
	                       .job_bytes = 1 },
	       &r);
	stress(&(struct plan){ .producers = 8,
	                       .consumers = 1,
	                       .jobs = 3000,
	                       .capacity_jobs = 16,
	                       .capacity_bytes = UNBOUNDED,
	                       .batch = 8,
	                       .job_bytes = 1 },
	       &r);
	stress(&(struct plan){ .producers = 8,
	                       .consumers = 1,
	                       .jobs = 3000,
	                       .capacity_jobs = 1024,
	                       .capacity_bytes = UNBOUNDED,
	                       .batch = 64,
	                       .job_bytes = 1 },
	       &r);
}

static void test_tiny_queues_pass_everything_on(void)
{
	struct random r = seeded();

	for (size_t capacity = 1; capacity <= 5; capacity++) {
		stress(&(struct plan){ .producers = 4,
		                       .consumers = 4,
		                       .jobs = 1000,
		                       .capacity_jobs = capacity,
		                       .capacity_bytes = UNBOUNDED,
		                       .batch = 1,
		                       .job_bytes = 1 },
		       &r);
		stress(&(struct plan){ .producers = 4,
		                       .consumers = 8,
		                       .jobs = 1000,
		                       .capacity_jobs = capacity,
		                       .capacity_bytes = UNBOUNDED,
		                       .batch = 16,
		                       .job_bytes = 1 },
		       &r);
		stress(&(struct plan){ .producers = 8,
		                       .consumers = 1,
		                       .jobs = 500,
		                       .capacity_jobs = capacity,
		                       .capacity_bytes = UNBOUNDED,
		                       .batch = 16,
		                       .job_bytes = 1 },
		       &r);
	}
}

static void test_many_consumers_empty_a_large_queue(void)
{
	struct random r = seeded();

	stress(&(struct plan){ .producers = 4,
	                       .consumers = 16,
	                       .jobs = 5000,
	                       .capacity_jobs = 1024,
	                       .capacity_bytes = UNBOUNDED,
	                       .batch = 64,
	                       .job_bytes = 1 },
	       &r);
	stress(&(struct plan){ .producers = 1,
	                       .consumers = 16,
	                       .jobs = 20000,
	                       .capacity_jobs = 64,
	                       .capacity_bytes = UNBOUNDED,
	                       .batch = 64,
	                       .job_bytes = 1 },
	       &r);
}

static void test_producers_that_wait_for_bytes_all_go_on(void)
{
	struct random r = seeded();

	stress(&(struct plan){ .producers = 4,
	                       .consumers = 4,
	                       .jobs = 1000,
	                       .capacity_jobs = 1000,
	                       .capacity_bytes = 64,
	                       .batch = 16,
	                       .job_bytes = 64 },
	       &r);
	stress(&(struct plan){ .producers = 8,
	                       .consumers = 2,
	                       .jobs = 1000,
	                       .capacity_jobs = 1000,
	                       .capacity_bytes = 100,
	                       .batch = 64,
	                       .job_bytes = 64 },
	       &r);
	stress(&(struct plan){ .producers = 4,
	                       .consumers = 4,
	                       .jobs = 1000,
	                       .capacity_jobs = 8,
	                       .capacity_bytes = 200,
	                       .batch = 64,
	                       .job_bytes = 100 },
	       &r);
}

static void test_threads_that_give_up_take_no_wakeup_with_them(void)
{
	struct random r = seeded();

	stress(&(struct plan){ .producers = 4,
	                       .consumers = 4,
	                       .jobs = 1500,
	                       .capacity_jobs = 2,
	                       .capacity_bytes = UNBOUNDED,
	                       .batch = 4,
	                       .job_bytes = 1,
	                       .short_producers = 2,
	                       .short_consumers = 2 },
	       &r);
	stress(&(struct plan){ .producers = 4,
	                       .consumers = 8,
	                       .jobs = 1500,
	                       .capacity_jobs = 16,
	                       .capacity_bytes = UNBOUNDED,
	                       .batch = 16,
	                       .job_bytes = 1,
	                       .short_producers = 3,
	                       .short_consumers = 7 },
	       &r);
	stress(&(struct plan){ .producers = 8,
	                       .consumers = 2,
	                       .jobs = 800,
	                       .capacity_jobs = 100,
	                       .capacity_bytes = 64,
	                       .batch = 16,
	                       .job_bytes = 32,
	                       .short_producers = 6,
	                       .short_consumers = 1 },
	       &r);
}

static void test_interference_loses_nothing(void)
{
	struct random r = seeded();

	stress(&(struct plan){ .producers = 4,
	                       .consumers = 1,
	                       .jobs = 2000,
	                       .capacity_jobs = 4,
	                       .capacity_bytes = 100,
	                       .batch = 8,
	                       .job_bytes = 10,
	                       .interfere = true },
	       &r);
	stress(&(struct plan){ .producers = 4,
	                       .consumers = 8,
	                       .jobs = 2000,
	                       .capacity_jobs = 4,
	                       .capacity_bytes = 100,
	                       .batch = 8,
	                       .job_bytes = 10,
	                       .short_producers = 2,
	                       .short_consumers = 2,
	                       .interfere = true },
	       &r);
	stress(&(struct plan){ .producers = 8,
	                       .consumers = 8,
	                       .jobs = 2000,
	                       .capacity_jobs = 64,
	                       .capacity_bytes = 300,
	                       .batch = 64,
	                       .job_bytes = 20,
	                       .interfere = true },
	       &r);
}

/* Very short ones: all that matters is that somebody always is there when a time comes. */
static struct lane_limits some_limits(struct random *r)
{
	return (struct lane_limits){
		.concurrency = below(r, 2) * (1 + below(r, 4)),
		.interval_ns = below(r, 2) * below(r, 20000),
		.burst = 1 + below(r, 4),
		.gap_ns = below(r, 2) * below(r, 20000),
		.breaker = below(r, 2) * (1 + below(r, 3)),
		.breaker_pause_ns = 1 + below(r, 20000),
		.breaker_max_ns = 1 + below(r, 50000),
	};
}

static void test_limits_lose_nothing(void)
{
	struct random r = seeded();

	for (size_t i = 0; i < 24; i++) {
		size_t consumers = 1 + below(&r, MAX_THREADS);
		const struct plan plan = {
			.producers = 1 + below(&r, 4),
			.consumers = consumers,
			.jobs = 400,
			.capacity_jobs = 1 + below(&r, 100),
			.capacity_bytes = UNBOUNDED,
			.batch = 1 + below(&r, 16),
			.job_bytes = 1,
			.short_consumers = below(&r, consumers + 1),
			.lanes = 1 + below(&r, MAX_LANES),
			.limits = some_limits(&r),
			.interfere = i % 2 > 0,
		};
		stress(&plan, &r);
	}
}

static void test_random_plans_lose_nothing(void)
{
	struct random r = seeded();

	for (int i = 0; i < 30; i++) {
		size_t producers = 1 + below(&r, 8), consumers = 1 + below(&r, MAX_THREADS);
		size_t job_bytes = 1 + below(&r, 50);
		const struct plan plan = {
			.producers = producers,
			.consumers = consumers,
			.jobs = 1 + below(&r, 800),
			.capacity_jobs = 1 + (below(&r, 200) >> below(&r, 8)),
			.capacity_bytes = job_bytes + below(&r, 500),
			.batch = 1 + below(&r, MAX_BATCH),
			.job_bytes = job_bytes,
			.short_producers = below(&r, producers + 1),
			.short_consumers = below(&r, consumers + 1),
			.interfere = below(&r, 3) == 0,
		};
		stress(&plan, &r);
	}
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "one consumer sees each producer in order",
		  test_one_consumer_sees_each_producer_in_order },
		{ "tiny queues pass everything on", test_tiny_queues_pass_everything_on },
		{ "many consumers empty a large queue", test_many_consumers_empty_a_large_queue },
		{ "producers that wait for bytes all go on",
		  test_producers_that_wait_for_bytes_all_go_on },
		{ "threads that give up take no wakeup with them",
		  test_threads_that_give_up_take_no_wakeup_with_them },
		{ "interference loses nothing", test_interference_loses_nothing },
		{ "limits lose nothing", test_limits_lose_nothing },
		{ "random plans lose nothing", test_random_plans_lose_nothing },
		CU_TEST_INFO_NULL,
	};

	for (size_t i = 0; i < MAX_LANES; i++)
		(void) snprintf(origins[i], sizeof(origins[i]), "http://lane%zu.test:80", i);
	(void) alarm(600); /* a hang is a failure */
	return unit_run("queue_stress", tests);
}
