/* SPDX-License-Identifier: Apache-2.0 */
/* queue.h and its lanes, as one thread sees them at times that the test sets: whose turn it
 * is, what limits hold back, what the feeder is told, what is evicted and what forgotten. */
#include "queue/queue.h"

#include "base/clock.h"
#include "base/sync.h"
#include "failing_malloc.h"
#include "queue_calls.h"
#include "stub_jobs.h"

#include <errno.h>
#include <string.h>

#define A "http://a.test:80"
#define B "http://b.test:80"
#define C "http://c.test:80"

static uint64_t now_ns;
static unsigned opened_calls;

static uint64_t test_now_ns(void) { return now_ns; }
static void count_opened(void *arg) { (*(unsigned *) arg)++; }

static void after_ms(uint64_t ms) { now_ns += ms * NS_PER_MS; }

/* With one rule, for all, unless it is NULL. */
static struct queue *queue_with(const struct lane_limits *limits)
{
	const struct queue_options options = { .capacity_jobs = 1000000,
		                               .capacity_bytes = SIZE_MAX,
		                               .opened = count_opened,
		                               .arg = &opened_calls,
		                               .now_ns = test_now_ns };
	struct queue *q = NULL;

	now_ns = 1000 * NS_PER_S;
	opened_calls = 0;
	CU_ASSERT_EQUAL_FATAL(queue_create(&options, &q), 0);
	if (limits)
		CU_ASSERT_EQUAL_FATAL(queue_set_rules(q, &(struct lane_rule){ "*", *limits }, 1),
		                      0);
	return q;
}

static struct queue_stats stats_of(struct queue *q)
{
	struct queue_stats s;

	queue_stats(q, &s);
	return s;
}

static void push(struct queue *q, const char *origin, int n)
{
	for (int i = 0; i < n; i++) {
		struct job *job = stub_job_at(origin, 10);
		size_t pushed = 0;
		CU_ASSERT_EQUAL_FATAL(queue_push(q, &job, 1, 0, &pushed), 0);
	}
}

/* Pops a job of 'origin' and stays in its lane. */
static struct lane *expect_pop(struct queue *q, const char *origin)
{
	struct lane *lane = NULL;
	struct job *job = NULL;

	CU_ASSERT_EQUAL_FATAL(queue_pop(q, 0, &job, &lane), 0);
	CU_ASSERT_STRING_EQUAL(job_lane_origin(job)->text, origin);
	job_free(job);
	return lane;
}

static void expect_no_pop(struct queue *q)
{
	struct lane *lane = NULL;
	struct job *job = NULL;

	CU_ASSERT_EQUAL(queue_pop(q, 0, &job, &lane), -ETIMEDOUT);
}

/* Leaves the lane, and expects that 'evicted' jobs come out. */
static void leave(struct queue *q, struct lane *lane, enum lane_outcome outcome, uint64_t cool_ns,
                  size_t evicted)
{
	struct job_list list = { 0 };

	queue_leave(q, lane, outcome, cool_ns, &list);
	CU_ASSERT_EQUAL(list.len, evicted);
	job_list_done(&list);
}

static void expect_reason(struct queue *q, enum wait_reason why, size_t jobs)
{
	CU_ASSERT_EQUAL(stats_of(q).by_reason[why], jobs);
}

static void expect_room(struct queue *q, const char *origin, size_t room, enum wait_reason why,
                        uint64_t until_ns)
{
	struct lane_obstacle o;

	CU_ASSERT_EQUAL(queue_lane_room(q, origin, &o), room);
	if (room == 0) {
		CU_ASSERT_EQUAL(o.why, why);
		CU_ASSERT_EQUAL(o.until_ns, until_ns);
	}
}

/* Takes the opened lanes, whose names are expected to be these, each ended by a space. */
static void expect_opened(struct queue *q, const char *expected)
{
	struct buf names = { 0 };

	size_t n = queue_take_opened(q, &names);
	for (size_t i = 0; i < names.len; i++)
		if (names.data[i] == '\0')
			names.data[i] = ' ';
	for (const char *p = expected; *p; p++)
		n -= *p == ' ';
	CU_ASSERT_EQUAL(n, 0);
	CU_ASSERT_EQUAL(names.len, strlen(expected));
	CU_ASSERT_TRUE(names.len == 0 || memcmp(names.data, expected, names.len) == 0);
	buf_done(&names);
}

static void empty(struct queue *q)
{
	struct job_list list = { 0 };

	queue_evict(q, &list);
	job_list_done(&list);
	queue_free(q);
}

static void test_lanes_are_served_in_turn(void)
{
	struct queue *q = queue_with(NULL);

	push(q, A, 3);
	push(q, B, 1);
	push(q, C, 2);
	leave_lane(q, expect_pop(q, A));
	leave_lane(q, expect_pop(q, B));
	push(q, B, 1); /* it comes back behind the others */
	leave_lane(q, expect_pop(q, C));
	leave_lane(q, expect_pop(q, A));
	leave_lane(q, expect_pop(q, B));
	leave_lane(q, expect_pop(q, C));
	leave_lane(q, expect_pop(q, A));
	expect_no_pop(q);
	CU_ASSERT_EQUAL(stats_of(q).lanes, 0);
	queue_free(q);
}

static void test_concurrency_parks_a_lane_until_somebody_leaves(void)
{
	struct queue *q = queue_with(&(struct lane_limits){ .concurrency = 2, .burst = 1 });

	push(q, A, 4);
	push(q, B, 1);
	struct lane *first = expect_pop(q, A);
	leave_lane(q, expect_pop(q, B));
	struct lane *second = expect_pop(q, A);
	CU_ASSERT_PTR_EQUAL(first, second);
	expect_no_pop(q);
	expect_reason(q, WAIT_CONCURRENCY, 2);
	leave_lane(q, second);
	expect_reason(q, WAIT_WORKER, 2);
	second = expect_pop(q, A);
	expect_no_pop(q);
	leave_lane(q, first);
	leave_lane(q, second);
	leave_lane(q, expect_pop(q, A));
	queue_free(q);
}

static void test_a_rate_lets_jobs_out_at_their_times(void)
{
	struct queue *q = queue_with(
	        &(struct lane_limits){ .interval_ns = 100 * NS_PER_MS, .burst = 2 });

	push(q, A, 4);
	push(q, B, 1);
	leave_lane(q, expect_pop(q, A));
	leave_lane(q, expect_pop(q, B));
	leave_lane(q, expect_pop(q, A));
	expect_no_pop(q);
	expect_reason(q, WAIT_RATE, 2);
	after_ms(99);
	expect_no_pop(q);
	after_ms(1);
	expect_reason(q, WAIT_WORKER, 2);
	leave_lane(q, expect_pop(q, A));
	expect_no_pop(q);
	after_ms(100);
	leave_lane(q, expect_pop(q, A));
	CU_ASSERT_EQUAL(stats_of(q).lanes, 0);
	CU_ASSERT_EQUAL(stats_of(q).idle_lanes, 1); /* its bucket is not full; B's is */
	queue_free(q);
}

static void test_lanes_whose_time_comes_are_served_beside_others(void)
{
	struct queue *q = queue_with(&(struct lane_limits){ .gap_ns = NS_PER_MS, .burst = 1 });

	push(q, A, 50);
	push(q, B, 2);
	leave_lane(q, expect_pop(q, A));
	leave_lane(q, expect_pop(q, B));
	after_ms(1);
	leave_lane(q, expect_pop(q, A));
	leave_lane(q, expect_pop(q, B));
	expect_no_pop(q);
	empty(q);
}

static void test_an_unused_start_is_given_back(void)
{
	struct queue *q = queue_with(&(struct lane_limits){ .interval_ns = NS_PER_S, .burst = 1 });

	push(q, A, 3);
	leave(q, expect_pop(q, A), LANE_UNUSED, 0, 0);
	leave(q, expect_pop(q, A), LANE_ANSWERED, 0, 0);
	expect_no_pop(q);
	empty(q);
}

static void test_a_cool_down_evicts_what_waits(void)
{
	struct queue *q = queue_with(NULL);

	push(q, A, 5);
	push(q, B, 1);
	struct lane *slow = expect_pop(q, A);
	leave(q, expect_pop(q, B), LANE_ANSWERED, NS_PER_S, 0);
	leave(q, expect_pop(q, A), LANE_ANSWERED, NS_PER_S, 3);
	CU_ASSERT_EQUAL(stats_of(q).depth_jobs, 0);
	CU_ASSERT_EQUAL(stats_of(q).depth_bytes, 0);
	expect_room(q, A, 0, WAIT_RETRY_AFTER, now_ns + NS_PER_S);

	push(q, A, 2); /* they crossed on the way */
	expect_no_pop(q);
	expect_reason(q, WAIT_RETRY_AFTER, 2);
	leave(q, slow, LANE_ANSWERED, 0, 2);
	push(q, A, 1);
	after_ms(1000);
	leave_lane(q, expect_pop(q, A));
	CU_ASSERT_EQUAL(stats_of(q).idle_lanes, 0); /* nothing is left to remember, of B either */
	queue_free(q);
}

static void test_the_breaker_lets_one_probe_through(void)
{
	struct queue *q = queue_with(&(struct lane_limits){ .burst = 1,
	                                                    .breaker = 2,
	                                                    .breaker_pause_ns = NS_PER_S,
	                                                    .breaker_max_ns = 4 * NS_PER_S });
	struct queue_lane lane;

	push(q, A, 6);
	leave(q, expect_pop(q, A), LANE_FAILED, 0, 0);
	leave(q, expect_pop(q, A), LANE_FAILED, 0, 4);
	queue_lane(q, A, &lane);
	CU_ASSERT_EQUAL(lane.obstacle.why, WAIT_BREAKER);
	CU_ASSERT_EQUAL(lane.failures, 2);
	expect_room(q, A, 0, WAIT_BREAKER, now_ns + NS_PER_S);
	after_ms(1000);
	expect_room(q, A, 1, 0, 0);
	push(q, A, 3);
	struct lane *probe = expect_pop(q, A);
	expect_no_pop(q);
	expect_reason(q, WAIT_BREAKER, 2);
	leave(q, probe, LANE_ANSWERED, 0, 0);
	leave(q, expect_pop(q, A), LANE_FAILED, 0, 0);
	leave(q, expect_pop(q, A), LANE_FAILED, 0, 0);

	after_ms(1000);
	struct lane *entered = NULL;
	CU_ASSERT_EQUAL(queue_enter(q, A, &entered), 0);
	CU_ASSERT_EQUAL(queue_enter(q, A, &entered), -EAGAIN);
	leave(q, entered, LANE_FAILED, 0, 0);
	expect_room(q, A, 0, WAIT_BREAKER, now_ns + 2 * NS_PER_S);
	queue_free(q);
}

static void test_a_lane_can_be_entered_without_a_job(void)
{
	struct queue *q = queue_with(
	        &(struct lane_limits){ .concurrency = 1, .gap_ns = NS_PER_MS, .burst = 1 });
	struct lane *lane = NULL, *other = NULL;
	struct job_list list = { 0 };

	push(q, A, 1);
	CU_ASSERT_EQUAL(queue_enter(q, A, &lane), 0);
	CU_ASSERT_EQUAL(queue_enter(q, A, &other), -EAGAIN);
	expect_no_pop(q);
	leave_lane(q, lane);
	expect_no_pop(q); /* the gap */
	CU_ASSERT_EQUAL(queue_enter(q, A, &other), -EAGAIN);
	after_ms(1);
	leave_lane(q, expect_pop(q, A));

	CU_ASSERT_EQUAL(queue_pause(q, NULL, &list), 0);
	CU_ASSERT_EQUAL(queue_enter(q, B, &other), -EAGAIN);
	CU_ASSERT_TRUE(queue_resume(q, NULL));
	queue_close(q);
	CU_ASSERT_EQUAL(queue_enter(q, B, &other), 0); /* whoever is under way may go on */
	leave_lane(q, other);
	queue_free(q);
}

static void test_a_paused_lane_gives_nothing(void)
{
	struct queue *q = queue_with(NULL);
	struct job_list list = { 0 };

	push(q, A, 3);
	push(q, B, 1);
	CU_ASSERT_EQUAL(queue_pause(q, A, &list), 0);
	CU_ASSERT_EQUAL(list.len, 3);
	CU_ASSERT_EQUAL(queue_pause(q, A, &list), 0); /* again */
	job_list_done(&list);
	CU_ASSERT_EQUAL(queue_pause(q, C, &list), 0); /* of which there is nothing yet */
	CU_ASSERT_EQUAL(stats_of(q).paused_lanes, 2);
	push(q, A, 1);
	leave_lane(q, expect_pop(q, B));
	expect_no_pop(q);
	expect_reason(q, WAIT_PAUSED, 1);
	CU_ASSERT_TRUE(queue_resume(q, A));
	CU_ASSERT_FALSE(queue_resume(q, A));
	CU_ASSERT_FALSE(queue_resume(q, B));
	leave_lane(q, expect_pop(q, A));
	CU_ASSERT_TRUE(queue_resume(q, C));
	CU_ASSERT_EQUAL(stats_of(q).paused_lanes, 0);
	CU_ASSERT_EQUAL(stats_of(q).lanes, 0);
	queue_free(q);
}

static void test_a_resumed_lane_runs_though_it_was_to_cool(void)
{
	struct queue *q = queue_with(NULL);

	push(q, A, 1);
	leave(q, expect_pop(q, A), LANE_ANSWERED, 10 * NS_PER_S, 0);
	push(q, A, 1);
	expect_no_pop(q);
	CU_ASSERT_TRUE(queue_resume(q, A));
	leave_lane(q, expect_pop(q, A));
	queue_free(q);
}

static void test_a_paused_queue_gives_nothing_and_keeps_all(void)
{
	struct queue *q = queue_with(NULL);
	struct job_list list = { 0 };
	size_t room = 0;

	push(q, A, 2);
	CU_ASSERT_EQUAL(queue_pause(q, NULL, &list), 0);
	CU_ASSERT_EQUAL(list.len, 0);
	CU_ASSERT_TRUE(stats_of(q).paused);
	expect_no_pop(q);
	expect_reason(q, WAIT_PAUSED, 2);
	CU_ASSERT_EQUAL(queue_wait_room(q, 1, 0, &room), -ETIMEDOUT);
	push(q, A, 1);
	CU_ASSERT_TRUE(queue_resume(q, NULL));
	CU_ASSERT_FALSE(queue_resume(q, NULL));
	CU_ASSERT_EQUAL(queue_wait_room(q, 1, 0, &room), 0);
	for (int i = 0; i < 3; i++)
		leave_lane(q, expect_pop(q, A));
	queue_free(q);
}

static void test_a_nudge_ends_a_wait_for_room_once(void)
{
	struct queue *q = queue_with(NULL);
	struct job_list none = { 0 };
	size_t room = 0;

	CU_ASSERT_EQUAL(queue_pause(q, NULL, &none), 0);
	queue_nudge(q);
	queue_nudge(q);
	CU_ASSERT_EQUAL(queue_wait_room(q, 1, NEVER, &room), -EINTR);
	CU_ASSERT_EQUAL(queue_wait_room(q, 1, 0, &room), -ETIMEDOUT);
	CU_ASSERT_TRUE(queue_resume(q, NULL));
	queue_nudge(q);
	CU_ASSERT_EQUAL(queue_wait_room(q, 1, NEVER, &room), 0); /* there is room, too */
	CU_ASSERT_TRUE(room > 0);
	queue_free(q);
}

static void test_a_nudge_ends_a_push_without_room_once(void)
{
	struct queue *q = queue_with(NULL);
	struct job *jobs[] = { stub_job_at(A, 10), stub_job_at(A, 10) };
	size_t pushed = 0;

	CU_ASSERT_EQUAL(queue_set_capacity(q, 1, SIZE_MAX), 0);
	queue_nudge(q);
	CU_ASSERT_EQUAL(queue_push(q, jobs, 2, NEVER, &pushed), -EINTR);
	CU_ASSERT_EQUAL(pushed, 1);
	CU_ASSERT_EQUAL(queue_push(q, jobs + 1, 1, 1, &pushed), -ETIMEDOUT);
	leave_lane(q, expect_pop(q, A));
	queue_nudge(q);
	CU_ASSERT_EQUAL(queue_push(q, jobs + 1, 1, NEVER, &pushed), 0); /* there is room */
	leave_lane(q, expect_pop(q, A));
	queue_free(q);
}

static void test_a_closed_queue_ignores_pauses_but_no_limits(void)
{
	struct queue *q = queue_with(&(struct lane_limits){ .gap_ns = NS_PER_MS, .burst = 1 });
	struct job_list list = { 0 };
	struct lane *lane = NULL;
	struct job *job = NULL;

	CU_ASSERT_EQUAL(queue_pause(q, A, &list), 0);
	CU_ASSERT_EQUAL(queue_pause(q, NULL, &list), 0);
	push(q, A, 2);
	queue_close(q);
	leave_lane(q, expect_pop(q, A));
	expect_no_pop(q);
	after_ms(1);
	leave_lane(q, expect_pop(q, A));
	CU_ASSERT_EQUAL(queue_pop(q, NEVER, &job, &lane), -EPIPE);
	queue_free(q);
}

static void test_paused_lanes_are_bounded(void)
{
	struct queue *q = queue_with(NULL);
	struct job_list list = { 0 };
	char origin[48];

	for (int i = 0; i < QUEUE_MAX_PAUSED_LANES; i++) {
		(void) snprintf(origin, sizeof(origin), "http://h%d:80", i);
		CU_ASSERT_EQUAL(queue_pause(q, origin, &list), 0);
	}
	CU_ASSERT_EQUAL(queue_pause(q, A, &list), -ENOSPC);
	CU_ASSERT_EQUAL(queue_pause(q, origin, &list), 0); /* it is already */
	CU_ASSERT_TRUE(queue_resume(q, origin));
	CU_ASSERT_EQUAL(queue_pause(q, A, &list), 0);
	queue_free(q);
}

static void test_what_comes_too_late_into_a_stopped_lane_is_handed_back(void)
{
	struct queue *q = queue_with(&(struct lane_limits){ .concurrency = 4, .burst = 1 });
	struct job_list list = { 0 };
	uint64_t stops = queue_stops(q);

	CU_ASSERT_EQUAL(queue_pause(q, A, &list), 0);
	CU_ASSERT_NOT_EQUAL(queue_stops(q), stops);
	push(q, A, 3);
	push(q, B, 2);
	queue_evict_stopped(q, &list);
	CU_ASSERT_EQUAL(list.len, 3);
	job_list_done(&list);
	leave_lane(q, expect_pop(q, B));
	queue_evict(q, &list);
	CU_ASSERT_EQUAL(list.len, 1);
	job_list_done(&list);
	CU_ASSERT_TRUE(queue_resume(q, A));
	queue_free(q);
}

static void test_the_feeder_is_told_of_lanes_that_have_run_low(void)
{
	struct queue *q = queue_with(&(struct lane_limits){ .concurrency = 4, .burst = 1 });
	struct lane *lane = NULL;

	push(q, A, 6);
	expect_room(q, A, 0, WAIT_QUEUE, NEVER);
	for (int i = 0; i < 4; i++)
		lane = expect_pop(q, A);
	expect_opened(q, ""); /* two are queued: as many as may be */
	leave_lane(q, lane);
	CU_ASSERT_EQUAL(opened_calls, 0);
	lane = expect_pop(q, A);
	CU_ASSERT_EQUAL(opened_calls, 1);
	expect_opened(q, A " ");
	push(q, A, 1);
	expect_room(q, A, 0, WAIT_CONCURRENCY, NEVER);
	push(q, B, 6);
	expect_room(q, B, 0, WAIT_QUEUE, NEVER);
	struct job_list list = { 0 };
	queue_evict(q, &list);            /* both are empty now */
	CU_ASSERT_EQUAL(opened_calls, 2); /* once for both */
	CU_ASSERT_EQUAL(list.len, 8);
	job_list_done(&list);
	expect_opened(q, B " " A " ");
	expect_opened(q, "");
	for (int i = 0; i < 4; i++)
		leave_lane(q, lane);
	CU_ASSERT_EQUAL(opened_calls, 2); /* who does not ask is not told */
	CU_ASSERT_EQUAL(stats_of(q).lanes, 0);
	queue_free(q);
}

static void test_the_feeder_is_told_when_there_is_a_time_to_wait_for(void)
{
	struct queue *q = queue_with(
	        &(struct lane_limits){ .interval_ns = 10 * NS_PER_S, .burst = 1 });

	push(q, A, 1);
	expect_room(q, A, 0, WAIT_RATE, NEVER);
	leave_lane(q, expect_pop(q, A));
	CU_ASSERT_EQUAL(opened_calls, 1);
	expect_opened(q, A " ");
	expect_room(q, A, 0, WAIT_RATE, now_ns + 9 * NS_PER_S);
	after_ms(9000);
	expect_room(q, A, 1, 0, 0);
	CU_ASSERT_EQUAL(opened_calls, 1);
	queue_free(q);
}

static void test_the_feeder_is_told_of_resumed_lanes_and_new_rules(void)
{
	struct queue *q = queue_with(&(struct lane_limits){ .concurrency = 1, .burst = 1 });
	struct job_list list = { 0 };

	CU_ASSERT_EQUAL(queue_pause(q, A, &list), 0);
	expect_room(q, A, 0, WAIT_PAUSED, NEVER);
	CU_ASSERT_TRUE(queue_resume(q, A));
	CU_ASSERT_EQUAL(opened_calls, 1);

	push(q, B, 3);
	expect_room(q, B, 0, WAIT_QUEUE, NEVER);
	const struct lane_rule rule = { "b.test", { .concurrency = 12, .burst = 1 } };
	CU_ASSERT_EQUAL(queue_set_rules(q, &rule, 1), 0);
	CU_ASSERT_EQUAL(opened_calls, 1); /* still that call */
	expect_opened(q, A " " B " ");
	expect_room(q, B, 15, 0, 0);
	expect_room(q, A, SIZE_MAX, 0, 0);
	empty(q);
}

static void test_new_rules_hold_at_once(void)
{
	char match[] = "a.test";
	struct queue *q = queue_with(&(struct lane_limits){ .concurrency = 1, .burst = 1 });
	const struct lane_rule rules[] = {
		{ match, { .concurrency = 2, .burst = 1 } },
		{ "*", { .gap_ns = NS_PER_S, .burst = 1 } },
	};
	struct queue_lane lane;

	push(q, A, 3);
	struct lane *a = expect_pop(q, A);
	push(q, B, 1);
	struct lane *b = expect_pop(q, B);
	expect_no_pop(q);
	CU_ASSERT_EQUAL(queue_set_rules(q, rules, 2), 0);
	(void) memset(match, 'x', sizeof(match) - 1); /* the queue has its own copy */
	CU_ASSERT_PTR_EQUAL(expect_pop(q, A), a);
	push(q, B, 2);
	CU_ASSERT_PTR_EQUAL(expect_pop(q, B), b); /* when it started before, nobody knows */
	expect_no_pop(q);
	queue_lane(q, A, &lane);
	CU_ASSERT_EQUAL(lane.limits.concurrency, 2);
	CU_ASSERT_EQUAL(lane.running, 2);
	CU_ASSERT_EQUAL(lane.queued, 1);
	CU_ASSERT_EQUAL(lane.obstacle.why, WAIT_CONCURRENCY);
	queue_lane(q, C, &lane);
	CU_ASSERT_EQUAL(lane.limits.gap_ns, NS_PER_S);
	CU_ASSERT_EQUAL(lane.obstacle.why, WAIT_WORKER);
	CU_ASSERT_EQUAL(queue_set_rules(q, NULL, 0), 0);
	for (int i = 0; i < 2; i++) { /* both, in any order */
		struct lane *lane_of_it = NULL;
		struct job *job = NULL;
		CU_ASSERT_EQUAL(queue_pop(q, 0, &job, &lane_of_it), 0);
		job_free(job);
	}
	for (int i = 0; i < 3; i++) {
		leave_lane(q, a);
		leave_lane(q, b);
	}
	CU_ASSERT_EQUAL(stats_of(q).lanes + stats_of(q).idle_lanes, 0);
	queue_free(q);
}

static void test_jobs_are_found_and_removed(void)
{
	struct queue *q = queue_with(NULL);
	struct job *jobs[3];
	size_t pushed = 0, ahead = SIZE_MAX;

	stub_jobs(jobs, 3, 10);
	push(q, B, 2);
	CU_ASSERT_EQUAL(queue_push(q, jobs, 3, 0, &pushed), 0);
	CU_ASSERT_FALSE(queue_find(q, 4, &ahead));
	CU_ASSERT_EQUAL(ahead, SIZE_MAX);
	CU_ASSERT_TRUE(queue_find(q, 3, &ahead));
	CU_ASSERT_EQUAL(ahead, 2);
	CU_ASSERT_PTR_NULL(queue_remove(q, 4));
	CU_ASSERT_PTR_EQUAL(queue_remove(q, 2), jobs[1]);
	CU_ASSERT_TRUE(queue_find(q, 3, &ahead));
	CU_ASSERT_EQUAL(ahead, 1);
	CU_ASSERT_PTR_EQUAL(queue_remove(q, 1), jobs[0]);
	CU_ASSERT_PTR_EQUAL(queue_remove(q, 3), jobs[2]);
	CU_ASSERT_EQUAL(stats_of(q).depth_bytes, 20);
	CU_ASSERT_EQUAL(stats_of(q).lanes, 1);
	free_jobs(jobs, 3);
	empty(q);
}

static void test_the_list_begins_with_the_busiest(void)
{
	struct queue *q = queue_with(NULL);
	struct queue_lane lanes[8];
	struct job_list list = { 0 };
	struct buf names = { 0 };
	size_t all = 0;

	buf_add_str(&names, "before");
	push(q, A, 1);
	push(q, B, 3);
	CU_ASSERT_EQUAL(queue_pause(q, "http://p:80", &list), 0);
	push(q, C, 2);
	leave(q, expect_pop(q, A), LANE_ANSWERED, NS_PER_S, 0);
	struct lane *b = expect_pop(q, B);
	CU_ASSERT_EQUAL(queue_list(q, lanes, 8, &names, &all), 4);
	CU_ASSERT_EQUAL(all, 4);
	CU_ASSERT_EQUAL(lanes[0].origin_at, 6);
	CU_ASSERT_STRING_EQUAL(names.data + lanes[0].origin_at, B);
	CU_ASSERT_EQUAL(lanes[0].queued, 2);
	CU_ASSERT_EQUAL(lanes[0].running, 1);
	CU_ASSERT_STRING_EQUAL(names.data + lanes[1].origin_at, C);
	CU_ASSERT_STRING_EQUAL(names.data + lanes[2].origin_at, "http://p:80");
	CU_ASSERT_EQUAL(lanes[2].obstacle.why, WAIT_PAUSED);
	CU_ASSERT_STRING_EQUAL(names.data + lanes[3].origin_at, A);
	CU_ASSERT_EQUAL(lanes[3].obstacle.why, WAIT_RETRY_AFTER);
	buf_clear(&names);
	CU_ASSERT_EQUAL(queue_list(q, lanes, 1, &names, &all), 1);
	CU_ASSERT_EQUAL(all, 4);
	CU_ASSERT_STRING_EQUAL(names.data, B);
	CU_ASSERT_EQUAL(queue_list(q, lanes, 0, &names, &all), 0);
	buf_done(&names);
	leave_lane(q, b);
	empty(q);
}

/* One job each of 'n' origins, after another. */
static void pass_through(struct queue *q, int n)
{
	char origin[48];
	struct job job = { .bytes = 1, .origin.text = origin }, *jobs[] = { &job };
	struct lane *lane = NULL;
	size_t pushed = 0;

	for (int i = 0; i < n; i++) {
		struct job *popped = NULL;
		(void) snprintf(origin, sizeof(origin), "http://h%d.test:80", i);
		if (queue_push(q, jobs, 1, 0, &pushed) < 0 || queue_pop(q, 0, &popped, &lane) < 0)
			CU_FAIL_FATAL("a job did not pass");
		leave_lane(q, lane);
	}
}

static void test_a_million_origins_leave_nothing_behind(void)
{
	struct queue *q = queue_with(NULL);
	struct queue_lane lanes[1];
	struct buf names = { 0 };
	size_t all = SIZE_MAX;

	pass_through(q, 1000000);
	CU_ASSERT_EQUAL(stats_of(q).lanes, 0);
	CU_ASSERT_EQUAL(stats_of(q).idle_lanes, 0);
	CU_ASSERT_EQUAL(queue_list(q, lanes, 1, &names, &all), 0);
	CU_ASSERT_EQUAL(all, 0);
	queue_free(q);
}

static void test_what_is_remembered_is_bounded(void)
{
	struct queue *q = queue_with(&(struct lane_limits){ .gap_ns = NS_PER_S, .burst = 1 });

	pass_through(q, 100000);
	CU_ASSERT_EQUAL(stats_of(q).idle_lanes, QUEUE_MAX_IDLE_LANES);
	expect_room(q, "http://h99999.test:80", 1, 0, 0);
	push(q, "http://h99999.test:80", 1);
	push(q, "http://h5.test:80", 1); /* forgotten */
	leave_lane(q, expect_pop(q, "http://h5.test:80"));
	expect_no_pop(q);
	after_ms(1000);
	leave_lane(q, expect_pop(q, "http://h99999.test:80"));

	/* Those whose time is over go, two for each that comes. */
	pass_through(q, QUEUE_MAX_IDLE_LANES);
	CU_ASSERT_EQUAL(stats_of(q).idle_lanes, QUEUE_MAX_IDLE_LANES);
	after_ms(1000);
	pass_through(q, QUEUE_MAX_IDLE_LANES + 1);
	after_ms(1000);
	for (int i = 0; i < QUEUE_MAX_IDLE_LANES; i++) {
		push(q, A, 1);
		leave_lane(q, expect_pop(q, A));
		after_ms(1000);
	}
	CU_ASSERT_EQUAL(stats_of(q).idle_lanes, 1);
	queue_free(q);
}

/* --- memory ------------------------------------------------------------------------------ */

static void test_without_memory_nothing_changes(void)
{
	const struct lane_rule rule = { "*", { .concurrency = 1, .burst = 1 } };
	struct queue *q = queue_with(NULL);
	struct job *batch[] = { stub_job_at(A, 1), stub_job_at(A, 1), stub_job_at(B, 1) };
	struct job_list list = { 0 };
	struct lane *lane = NULL;
	struct buf names = { 0 };
	struct queue_lane listed[4];
	size_t pushed = SIZE_MAX, all = 0;

	if (!failing_malloc_install())
		CU_FAIL_FATAL("not linked with FAILING_MALLOC");
	faults_arm(1, LONG_MAX, ENOMEM);
	CU_ASSERT_EQUAL(queue_push(q, batch, 3, 0, &pushed), -ENOMEM);
	CU_ASSERT_EQUAL(pushed, 0);
	CU_ASSERT_EQUAL(queue_enter(q, A, &lane), -ENOMEM);
	CU_ASSERT_EQUAL(queue_set_rules(q, &rule, 1), -ENOMEM);
	CU_ASSERT_EQUAL(queue_pause(q, A, &list), -ENOMEM);
	CU_ASSERT_EQUAL(stats_of(q).paused_lanes + stats_of(q).lanes, 0);
	faults_arm(3, LONG_MAX, ENOMEM); /* the heap and the first lane get theirs */
	CU_ASSERT_EQUAL(queue_push(q, batch, 3, 0, &pushed), -ENOMEM);
	CU_ASSERT_EQUAL(pushed, 2);
	faults_end();

	CU_ASSERT_EQUAL(queue_set_rules(q, &rule, 1), 0);
	push(q, A, 1);
	expect_room(q, A, 0, WAIT_QUEUE, NEVER);
	leave_lane(q, expect_pop(q, A));
	leave_lane(q, expect_pop(q, A)); /* one is left */
	CU_ASSERT_EQUAL(opened_calls, 1);
	faults_arm(1, LONG_MAX, ENOMEM);
	CU_ASSERT_EQUAL(queue_take_opened(q, &names), 0);
	CU_ASSERT_TRUE(names.failed);
	CU_ASSERT_EQUAL(queue_list(q, listed, 4, &names, &all), 0);
	faults_end();
	buf_done(&names);
	curl_global_cleanup();
	job_free(batch[2]);
	empty(q);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "lanes are served in turn", test_lanes_are_served_in_turn },
		{ "concurrency parks a lane until somebody leaves",
		  test_concurrency_parks_a_lane_until_somebody_leaves },
		{ "a rate lets jobs out at their times", test_a_rate_lets_jobs_out_at_their_times },
		{ "lanes whose time comes are served beside others",
		  test_lanes_whose_time_comes_are_served_beside_others },
		{ "an unused start is given back", test_an_unused_start_is_given_back },
		{ "a cool-down evicts what waits", test_a_cool_down_evicts_what_waits },
		{ "the breaker lets one probe through", test_the_breaker_lets_one_probe_through },
		{ "a lane can be entered without a job", test_a_lane_can_be_entered_without_a_job },
		{ "a paused lane gives nothing", test_a_paused_lane_gives_nothing },
		{ "a resumed lane runs though it was to cool",
		  test_a_resumed_lane_runs_though_it_was_to_cool },
		{ "a nudge ends a wait for room once", test_a_nudge_ends_a_wait_for_room_once },
		{ "a nudge ends a push without room once", test_a_nudge_ends_a_push_without_room_once },
		{ "a paused queue gives nothing and keeps all",
		  test_a_paused_queue_gives_nothing_and_keeps_all },
		{ "a closed queue ignores pauses but no limits",
		  test_a_closed_queue_ignores_pauses_but_no_limits },
		{ "paused lanes are bounded", test_paused_lanes_are_bounded },
		{ "what comes too late into a stopped lane is handed back",
		  test_what_comes_too_late_into_a_stopped_lane_is_handed_back },
		{ "the feeder is told of lanes that have run low",
		  test_the_feeder_is_told_of_lanes_that_have_run_low },
		{ "the feeder is told when there is a time to wait for",
		  test_the_feeder_is_told_when_there_is_a_time_to_wait_for },
		{ "the feeder is told of resumed lanes and new rules",
		  test_the_feeder_is_told_of_resumed_lanes_and_new_rules },
		{ "new rules hold at once", test_new_rules_hold_at_once },
		{ "jobs are found and removed", test_jobs_are_found_and_removed },
		{ "the list begins with the busiest", test_the_list_begins_with_the_busiest },
		{ "a million origins leave nothing behind",
		  test_a_million_origins_leave_nothing_behind },
		{ "what is remembered is bounded", test_what_is_remembered_is_bounded },
		{ "without memory, nothing changes", test_without_memory_nothing_changes },
		CU_TEST_INFO_NULL,
	};
	return unit_run("queue_lanes", tests);
}
