/* SPDX-License-Identifier: Apache-2.0 */
/* memory.h: lanes, who may have jobs of them, and jobs that go on in another's.  Random
 * histories are in test_memory_backlog_model.c. */
#include "backlog/memory.h"

#include "base/clock.h"
#include "base/sync.h"
#include "backlog_calls.h"
#include "stub_jobs.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { MANY = 64, MAX_BYTES = 10000 };

static const char a[] = "http://a:80", b[] = "http://b:80", c[] = "http://c:80";

/* What the gate says of a lane. */
struct plan {
	const char *origin;
	size_t room;
	struct lane_rest rest;
	unsigned asked;
};

/* The lanes a, b and c; all have room to begin with. */
struct stage {
	struct backlog *backlog;
	struct backlog_gate gate;
	struct plan plans[3];
	unsigned ready;
};

static size_t room_of(void *arg, const char *origin, struct lane_rest *ret_rest)
{
	struct stage *s = arg;
	struct backlog_stats stats;

	backlog_stats(s->backlog, &stats); /* no lock is held */
	for (size_t i = 0; i < ARRAY_LEN(s->plans); i++) {
		struct plan *plan = &s->plans[i];
		if (strcmp(plan->origin, origin) != 0)
			continue;
		plan->asked++;
		if (plan->room == 0)
			*ret_rest = plan->rest;
		return plan->room;
	}
	CU_FAIL("an unknown lane");
	return 0;
}

static void count_ready(void *arg) { ((struct stage *) arg)->ready++; }

static void begin(struct stage *s)
{
	const struct memory_backlog_options options = {
		.max_jobs = MANY,
		.max_bytes = MAX_BYTES,
		.ageing_ns = 3600 * NS_PER_S,
		.listener = { .ready = count_ready, .arg = s },
	};
	const char *const origins[] = { a, b, c };

	*s = (struct stage) { .gate = { .room = room_of, .arg = s } };
	for (size_t i = 0; i < ARRAY_LEN(s->plans); i++)
		s->plans[i] = (struct plan) { .origin = origins[i], .room = SIZE_MAX };
	CU_ASSERT_EQUAL_FATAL(memory_backlog_create(&options, &s->backlog), 0);
}

static struct plan *plan_of(struct stage *s, const char *origin)
{
	struct plan *plan = s->plans;

	while (plan->origin != origin)
		plan++;
	return plan;
}

static void give(struct stage *s, const char *origin, size_t room)
{
	plan_of(s, origin)->room = room;
}

static void close_lane(struct stage *s, const char *origin, enum wait_reason why, uint64_t until_ns)
{
	plan_of(s, origin)->room = 0;
	plan_of(s, origin)->rest = (struct lane_rest) { .why = why, .until_ns = until_ns };
}

static void expect_asked(const struct stage *s, unsigned of_a, unsigned of_b, unsigned of_c)
{
	CU_ASSERT_EQUAL(s->plans[0].asked, of_a);
	CU_ASSERT_EQUAL(s->plans[1].asked, of_b);
	CU_ASSERT_EQUAL(s->plans[2].asked, of_c);
}

/* Submits one job for each origin. */
static void submit_at(struct stage *s, const char *const *origins, struct job **ret_jobs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		ret_jobs[i] = stub_job_at(origins[i], 1);
	CU_ASSERT_EQUAL_FATAL(submit_jobs(s->backlog, ret_jobs, n), 0);
}

#define SUBMIT(s, jobs, ...)                                                                     \
	submit_at((s), (const char *const[]) { __VA_ARGS__ }, (jobs),                            \
	          ARRAY_LEN(((const char *const[]) { __VA_ARGS__ })))

static void expect_jobs(struct stage *s, const struct backlog_gate *gate, uint64_t now_ns,
                        size_t room, struct job *const *expected, size_t n, uint64_t next_due_ns)
{
	struct job *jobs[MANY];
	uint64_t due = 1;

	CU_ASSERT_EQUAL_FATAL(backlog_take(s->backlog, now_ns, room, gate, jobs, &due), n);
	CU_ASSERT_EQUAL(due, next_due_ns);
	for (size_t i = 0; i < n; i++)
		CU_ASSERT_PTR_EQUAL(jobs[i], expected[i]);
}

#define TAKEN(...)                                                                               \
	((struct job *[]) { __VA_ARGS__ }), ARRAY_LEN(((struct job *[]) { __VA_ARGS__ }))

/* What a take with the gate brings. */
#define EXPECT_TAKE(s, now_ns, room, next_due_ns, ...)                                           \
	expect_jobs((s), &(s)->gate, (now_ns), (room), TAKEN(__VA_ARGS__), (next_due_ns))

static void expect_nothing(struct stage *s, uint64_t now_ns, uint64_t next_due_ns)
{
	expect_jobs(s, &s->gate, now_ns, MANY, NULL, 0, next_due_ns);
}

static void settle(struct stage *s, struct job *job, enum verdict_kind kind)
{
	settle_jobs(s->backlog, &(struct verdict) { .job = job, .kind = kind }, 1);
}

static void settle_later(struct stage *s, struct job *job, enum verdict_kind kind, uint64_t due_ns,
                         enum wait_reason why)
{
	settle_jobs(s->backlog,
	            &(struct verdict) { .job = job, .kind = kind, .due_ns = due_ns, .why = why }, 1);
}

static void finish(struct stage *s, struct job *const *jobs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		settle(s, jobs[i], VERDICT_FINAL);
}

/* As a worker does once it was redirected; returns the bytes that it takes. */
static size_t lead(struct job *job, const char *origin)
{
	size_t before = job->bytes;
	const struct job_hop hop = { .url = "http://x/", .origin = { .text = origin, .host = "x" } };

	CU_ASSERT_EQUAL_FATAL(job_set_hop(job, &hop), 0);
	return job->bytes - before;
}

static void hop(struct stage *s, struct job *job, const char *origin)
{
	(void) lead(job, origin);
	settle(s, job, VERDICT_HOP);
}

static struct backlog_stats stats_of(struct stage *s)
{
	struct backlog_stats stats;

	backlog_stats(s->backlog, &stats);
	return stats;
}

static void expect_reason(struct stage *s, enum wait_reason why, size_t jobs)
{
	CU_ASSERT_EQUAL(stats_of(s).by_reason[why], jobs);
}

/* Asks for up to 'max' lanes; they are 'n', of 'all', in this order. */
static void expect_lanes(struct stage *s, size_t max, const char *const *origins,
                         const struct backlog_lane *expected, size_t n, size_t all)
{
	struct backlog_lane lanes[8];
	struct query q = { .kind = QUERY_LANES, .lanes = lanes, .max_lanes = max };

	CU_ASSERT_EQUAL_FATAL(backlog_query_and_wait(s->backlog, &q), 0);
	CU_ASSERT_EQUAL(q.all_lanes, all);
	CU_ASSERT_EQUAL_FATAL(q.n_lanes, n);
	for (size_t i = 0; i < n; i++) {
		CU_ASSERT_STRING_EQUAL(q.line.data + lanes[i].origin_at, origins[i]);
		CU_ASSERT_EQUAL(lanes[i].jobs, expected[i].jobs);
		CU_ASSERT_EQUAL(lanes[i].waiting, expected[i].waiting);
		CU_ASSERT_EQUAL(lanes[i].oldest_wall_us, expected[i].oldest_wall_us);
	}
	buf_done(&q.line);
}

static void expect_no_lanes(struct stage *s) { expect_lanes(s, 8, NULL, NULL, 0, 0); }

/* --- turns ----------------------------------------------------------------------------- */

static void test_lanes_are_served_in_turn_across_takes(void)
{
	struct stage s;
	struct job *j[7];

	begin(&s);
	SUBMIT(&s, j, a, a, a, b, b, c, a);
	for (size_t i = 0; i < 3; i++)
		s.plans[i].room = 1;
	EXPECT_TAKE(&s, 0, 2, NEVER, j[0], j[3]);
	EXPECT_TAKE(&s, 0, 2, NEVER, j[5], j[1]);
	EXPECT_TAKE(&s, 0, 2, NEVER, j[4], j[2]);
	EXPECT_TAKE(&s, 0, 2, NEVER, j[6]);
	expect_nothing(&s, 0, NEVER);
	finish(&s, j, 7);
	backlog_free(s.backlog);
}

static void test_a_visit_brings_as_many_as_the_lane_has_room_for(void)
{
	struct stage s;
	struct job *j[9];

	begin(&s);
	SUBMIT(&s, j, a, a, a, a, a, b, b, b, c);
	give(&s, a, 2);
	give(&s, b, 1);
	EXPECT_TAKE(&s, 0, MANY, NEVER, j[0], j[1], j[5], j[8]);
	expect_asked(&s, 1, 1, 1); /* not again before the taker has told the gate */
	give(&s, b, MANY);
	EXPECT_TAKE(&s, 0, 3, NEVER, j[2], j[3], j[6]); /* b's turn ends with the taker's room */
	EXPECT_TAKE(&s, 0, 3, NEVER, j[4], j[7]);
	expect_asked(&s, 3, 3, 1);
	expect_nothing(&s, 0, NEVER);
	expect_asked(&s, 3, 3, 1); /* nobody waits there */
	finish(&s, j, 9);
	backlog_free(s.backlog);
}

static void test_a_lane_that_gets_jobs_comes_last(void)
{
	struct stage s;
	struct job *j[5];

	begin(&s);
	SUBMIT(&s, j, a, a, b);
	give(&s, a, 1);
	EXPECT_TAKE(&s, 0, 1, NEVER, j[0]);
	SUBMIT(&s, j + 3, c, b);
	EXPECT_TAKE(&s, 0, MANY, NEVER, j[2], j[4], j[1], j[3]);
	finish(&s, j, 5);
	backlog_free(s.backlog);
}

/* A stub with an extra part behind it. */
static struct job *job_with(const char *origin, enum job_priority priority, int64_t not_before_us)
{
	struct job *job = calloc(1, sizeof(*job) + sizeof(struct job_extra));
	struct job_extra *extra = (struct job_extra *) (job + 1);

	*extra = (struct job_extra) { .priority = priority, .not_before_wall_us = not_before_us };
	*job = (struct job) { .bytes = 1, .url = "http://x/", .extra = extra,
		              .origin = { .text = origin } };
	return job;
}

static void test_priorities_count_within_a_lane(void)
{
	struct stage s;
	struct job *j[4];

	begin(&s);
	j[0] = job_with(a, JOB_PRIORITY_LOW, 0);
	j[1] = job_with(a, JOB_PRIORITY_NORMAL, 0);
	j[2] = job_with(b, JOB_PRIORITY_HIGH, 0);
	j[3] = job_with(a, JOB_PRIORITY_HIGH, 0);
	CU_ASSERT_EQUAL(submit_jobs(s.backlog, j, 4), 0);
	give(&s, a, 2);
	EXPECT_TAKE(&s, 0, MANY, NEVER, j[3], j[1], j[2]);
	EXPECT_TAKE(&s, 0, MANY, NEVER, j[0]);
	finish(&s, j, 4);
	backlog_free(s.backlog);
}

/* --- rests ----------------------------------------------------------------------------- */

static void test_a_lane_without_room_rests_until_its_time(void)
{
	struct stage s;
	struct job *j[4];

	begin(&s);
	SUBMIT(&s, j, a, b, c, a);
	close_lane(&s, a, WAIT_RATE, 200);
	close_lane(&s, b, WAIT_RETRY_AFTER, 100);
	EXPECT_TAKE(&s, 50, MANY, 100, j[2]);
	expect_reason(&s, WAIT_RATE, 2);
	expect_reason(&s, WAIT_RETRY_AFTER, 1);
	expect_reason(&s, WAIT_QUEUE, 0);
	CU_ASSERT_EQUAL(stats_of(&s).waiting, 3);

	give(&s, a, 1); /* nobody asks */
	expect_nothing(&s, 99, 100);
	expect_asked(&s, 1, 1, 1);
	close_lane(&s, b, WAIT_BREAKER, 300);
	expect_nothing(&s, 100, 200); /* asked, and sent to rest again */
	expect_asked(&s, 1, 2, 1);
	expect_reason(&s, WAIT_BREAKER, 1);
	give(&s, b, 1);
	EXPECT_TAKE(&s, 200, MANY, 300, j[0]);
	expect_reason(&s, WAIT_RATE, 0);
	expect_reason(&s, WAIT_QUEUE, 1);
	EXPECT_TAKE(&s, 1000, MANY, NEVER, j[3], j[1]);
	finish(&s, j, 4);
	backlog_free(s.backlog);
}

static void test_a_lane_rests_until_it_is_opened(void)
{
	struct stage s;
	struct job *j[4];

	begin(&s);
	SUBMIT(&s, j, a, b, c, a);
	close_lane(&s, a, WAIT_CONCURRENCY, NEVER);
	close_lane(&s, b, WAIT_RATE, 100);
	close_lane(&s, c, WAIT_PAUSED, NEVER);
	expect_nothing(&s, 0, 100);
	expect_nothing(&s, 99, 100);
	expect_asked(&s, 1, 1, 1);

	CU_ASSERT_EQUAL(s.ready, 1);
	backlog_open(s.backlog, "http://other:80");
	CU_ASSERT_EQUAL(s.ready, 1);
	give(&s, a, 1);
	backlog_open(s.backlog, a);
	CU_ASSERT_EQUAL(s.ready, 2);
	backlog_open(s.backlog, a); /* it is */
	CU_ASSERT_EQUAL(s.ready, 2);
	EXPECT_TAKE(&s, 0, MANY, 100, j[0]);
	expect_asked(&s, 2, 1, 1);
	close_lane(&s, a, WAIT_CONCURRENCY, NEVER);
	expect_nothing(&s, 0, 100);

	for (size_t i = 0; i < 3; i++)
		s.plans[i].room = 1;
	backlog_open(s.backlog, NULL);
	CU_ASSERT_EQUAL(s.ready, 3);
	expect_reason(&s, WAIT_QUEUE, 3);
	EXPECT_TAKE(&s, 0, MANY, NEVER, j[1], j[2], j[3]); /* as they came to rest */
	backlog_open(s.backlog, NULL);
	CU_ASSERT_EQUAL(s.ready, 3);
	finish(&s, j, 4);
	backlog_free(s.backlog);
}

static void test_without_a_gate_all_lanes_have_room(void)
{
	struct stage s;
	struct job *j[3];

	begin(&s);
	SUBMIT(&s, j, a, b, c);
	close_lane(&s, a, WAIT_CONCURRENCY, NEVER);
	close_lane(&s, b, WAIT_RATE, 100);
	EXPECT_TAKE(&s, 0, MANY, 100, j[2]);
	expect_jobs(&s, NULL, 0, MANY, TAKEN(j[0], j[1]), NEVER);
	finish(&s, j, 3);
	backlog_free(s.backlog);
}

static void test_jobs_that_come_to_a_lane_rest_with_it(void)
{
	struct stage s;
	struct job *j[4];

	begin(&s);
	SUBMIT(&s, j, a, a, b);
	give(&s, a, 1);
	EXPECT_TAKE(&s, 0, MANY, NEVER, j[0], j[2]);
	close_lane(&s, a, WAIT_CONCURRENCY, NEVER);
	expect_nothing(&s, 0, NEVER);
	SUBMIT(&s, j + 3, a);
	settle(&s, j[0], VERDICT_RETURN);
	settle_later(&s, j[2], VERDICT_RETRY, 10, WAIT_RETRY);
	expect_reason(&s, WAIT_CONCURRENCY, 3);
	expect_nothing(&s, 0, 10);
	expect_asked(&s, 2, 1, 0);

	give(&s, a, MANY);
	backlog_open(s.backlog, a);
	EXPECT_TAKE(&s, 10, MANY, NEVER, j[0], j[1], j[3], j[2]);
	finish(&s, j, 4);
	backlog_free(s.backlog);
}

static void test_the_next_time_is_that_of_a_job_or_of_a_lane(void)
{
	struct stage s;
	struct job *j[3];

	begin(&s);
	SUBMIT(&s, j, a, b, b);
	EXPECT_TAKE(&s, 0, MANY, NEVER, j[0], j[1], j[2]);
	settle_later(&s, j[0], VERDICT_RETRY, 50, WAIT_RETRY);
	settle(&s, j[1], VERDICT_RETURN);
	close_lane(&s, b, WAIT_RATE, 40);
	expect_nothing(&s, 0, 40);
	close_lane(&s, b, WAIT_RATE, 60);
	expect_nothing(&s, 40, 50);
	EXPECT_TAKE(&s, 50, MANY, 60, j[0]);
	give(&s, b, 1);
	EXPECT_TAKE(&s, 60, MANY, NEVER, j[1]);
	finish(&s, j, 3);
	backlog_free(s.backlog);
}

static void test_jobs_that_wait_are_counted_by_the_reason(void)
{
	struct stage s;
	struct job *j[4], *later = job_with(a, JOB_PRIORITY_NORMAL, clock_wall_us() + 3600000000);
	size_t sum = 0;

	begin(&s);
	CU_ASSERT_EQUAL(submit_jobs(s.backlog, &later, 1), 0);
	SUBMIT(&s, j, a, b, b, c);
	EXPECT_TAKE(&s, 0, 1, later->due_ns, j[0]);
	EXPECT_TAKE(&s, 0, 2, later->due_ns, j[1], j[2]);
	settle_later(&s, j[0], VERDICT_RETRY, 10, WAIT_RETRY);
	settle_later(&s, j[1], VERDICT_RETURN, 10, WAIT_NAMES);
	expect_reason(&s, WAIT_NOT_BEFORE, 1);
	expect_reason(&s, WAIT_RETRY, 1);
	expect_reason(&s, WAIT_NAMES, 1);
	expect_reason(&s, WAIT_QUEUE, 1);
	struct backlog_stats stats = stats_of(&s);
	for (size_t i = 0; i < WAIT_REASONS; i++)
		sum += stats.by_reason[i];
	CU_ASSERT_EQUAL(sum, stats.waiting + stats.delayed);

	expect_jobs(&s, NULL, NEVER - 1, 0, NULL, 0, NEVER); /* all are due */
	expect_reason(&s, WAIT_NOT_BEFORE, 0);
	expect_reason(&s, WAIT_QUEUE, 4);
	settle(&s, j[2], VERDICT_FINAL);
	backlog_free(s.backlog);
}

static void test_lanes_are_gone_with_their_jobs(void)
{
	struct stage s;
	struct job *j[2];

	begin(&s);
	expect_no_lanes(&s);
	SUBMIT(&s, j, a, b);
	close_lane(&s, a, WAIT_PAUSED, NEVER);
	EXPECT_TAKE(&s, 0, MANY, NEVER, j[1]);
	expect_jobs(&s, NULL, 0, MANY, TAKEN(j[0]), NEVER);
	finish(&s, j, 2);
	expect_no_lanes(&s);
	backlog_open(s.backlog, a);

	/* Of the rest nothing is left. */
	give(&s, a, 1);
	SUBMIT(&s, j, a);
	EXPECT_TAKE(&s, 0, MANY, NEVER, j[0]);
	finish(&s, j, 1);
	expect_no_lanes(&s);
	backlog_free(s.backlog);
}

/* --- hops ------------------------------------------------------------------------------ */

static void test_a_hop_leads_to_another_lane_by_age(void)
{
	struct stage s;
	struct job *j[4];

	begin(&s);
	SUBMIT(&s, j, a, b, b);
	for (size_t i = 0; i < 3; i++)
		j[i]->accepted_wall_us = 1000 + 10 * (int64_t) i;
	EXPECT_TAKE(&s, 0, 1, NEVER, j[0]);
	close_lane(&s, a, WAIT_PAUSED, NEVER);
	uint64_t before_ns = clock_now_ns();
	hop(&s, j[0], b);
	CU_ASSERT_TRUE(j[0]->ready_ns >= before_ns); /* it was under way until then */
	give(&s, b, 2);
	EXPECT_TAKE(&s, 0, MANY, NEVER, j[0], j[1]); /* it is older than those that were there */
	expect_asked(&s, 1, 1, 0);
	hop(&s, j[0], c);
	j[0]->accepted_wall_us = 5000;
	hop(&s, j[1], c);
	SUBMIT(&s, j + 3, c);
	j[3]->accepted_wall_us = 2000;
	EXPECT_TAKE(&s, 0, MANY, NEVER, j[2], j[3], j[0], j[1]); /* first in, first out among hops */
	finish(&s, j, 4);
	expect_no_lanes(&s);
	backlog_free(s.backlog);
}

static void test_what_becomes_of_a_job_that_has_hopped(void)
{
	struct stage s;
	struct job *j[2];
	const struct backlog_lane one = { .jobs = 1 };

	begin(&s);
	SUBMIT(&s, j, a);
	EXPECT_TAKE(&s, 0, MANY, NEVER, j[0]);
	hop(&s, j[0], b);
	give(&s, a, 0); /* the lane that must not be asked */
	EXPECT_TAKE(&s, 0, MANY, NEVER, j[0]);
	expect_lanes(&s, 8, (const char *[]) { b }, &one, 1, 1);

	/* Returned, at once or later: it goes on where it was. */
	settle(&s, j[0], VERDICT_RETURN);
	EXPECT_TAKE(&s, 0, MANY, NEVER, j[0]);
	settle_later(&s, j[0], VERDICT_RETURN, 10, WAIT_NAMES);
	CU_ASSERT_PTR_NOT_NULL(j[0]->hop);
	EXPECT_TAKE(&s, 10, MANY, NEVER, j[0]);
	expect_lanes(&s, 8, (const char *[]) { b }, &one, 1, 1);
	expect_asked(&s, 1, 3, 0);

	/* Another attempt begins at home. */
	settle(&s, j[0], VERDICT_RETRY);
	CU_ASSERT_PTR_NULL(j[0]->hop);
	give(&s, a, 1);
	EXPECT_TAKE(&s, 0, MANY, NEVER, j[0]);
	expect_asked(&s, 2, 3, 0);
	expect_lanes(&s, 8, (const char *[]) { a }, &one, 1, 1);

	/* By way of another origin back to its own, in the end. */
	hop(&s, j[0], b);
	EXPECT_TAKE(&s, 0, MANY, NEVER, j[0]);
	hop(&s, j[0], c);
	EXPECT_TAKE(&s, 0, MANY, NEVER, j[0]);
	hop(&s, j[0], a);
	EXPECT_TAKE(&s, 0, MANY, NEVER, j[0]);
	expect_lanes(&s, 8, (const char *[]) { a }, &one, 1, 1);
	hop(&s, j[0], c);
	SUBMIT(&s, j + 1, a);
	EXPECT_TAKE(&s, 0, MANY, NEVER, j[0], j[1]);
	settle(&s, j[1], VERDICT_FINAL);
	SUBMIT(&s, j + 1, b);
	EXPECT_TAKE(&s, 0, MANY, NEVER, j[1]);
	finish(&s, j, 2);
	expect_no_lanes(&s);
	backlog_free(s.backlog);
}

static void test_a_hop_counts_in_the_bytes(void)
{
	struct stage s;
	struct job *j[2];

	begin(&s);
	SUBMIT(&s, j, a, a);
	EXPECT_TAKE(&s, 0, MANY, NEVER, j[0], j[1]);
	size_t hop_bytes = lead(j[0], b);
	CU_ASSERT_TRUE(hop_bytes > 0);
	CU_ASSERT_EQUAL(stats_of(&s).held_bytes, 2); /* until it comes back */
	settle(&s, j[0], VERDICT_HOP);
	CU_ASSERT_EQUAL(stats_of(&s).held_bytes, 2 + hop_bytes);
	EXPECT_TAKE(&s, 0, MANY, NEVER, j[0]);
	settle(&s, j[0], VERDICT_RETURN);
	CU_ASSERT_EQUAL(stats_of(&s).held_bytes, 2 + hop_bytes);
	EXPECT_TAKE(&s, 0, MANY, NEVER, j[0]);
	settle(&s, j[0], VERDICT_RETRY);
	CU_ASSERT_EQUAL(stats_of(&s).held_bytes, 2);

	/* Settled for good, with a hop that the backlog has never seen, or no longer. */
	EXPECT_TAKE(&s, 0, MANY, NEVER, j[0]);
	(void) lead(j[1], c);
	settle(&s, j[1], VERDICT_FINAL);
	CU_ASSERT_EQUAL(stats_of(&s).held_bytes, 1);
	hop(&s, j[0], b);
	EXPECT_TAKE(&s, 0, MANY, NEVER, j[0]);
	job_clear_hop(j[0]);
	settle(&s, j[0], VERDICT_FINAL);
	CU_ASSERT_EQUAL(stats_of(&s).held_bytes, 0);
	expect_no_lanes(&s);
	backlog_free(s.backlog);
}

static void on_done(struct submission *submission, int error) { submission->bytes = (size_t) -error; }

static void test_a_hop_that_ends_makes_room(void)
{
	struct stage s;
	struct job *j = NULL, *large = stub_job_at(c, MAX_BYTES - 1);
	struct submission waiting = { .jobs = &large, .n = 1, .waits = true, .done = on_done };

	begin(&s);
	SUBMIT(&s, &j, a);
	EXPECT_TAKE(&s, 0, MANY, NEVER, j);
	hop(&s, j, b);
	backlog_submit(s.backlog, &waiting);
	CU_ASSERT_EQUAL(stats_of(&s).submitters_blocked, 1);
	EXPECT_TAKE(&s, 0, MANY, NEVER, j);
	settle(&s, j, VERDICT_RETRY);
	CU_ASSERT_EQUAL(stats_of(&s).submitters_blocked, 0);
	CU_ASSERT_EQUAL(stats_of(&s).held_bytes, MAX_BYTES);
	EXPECT_TAKE(&s, 0, MANY, NEVER, j, large);
	finish(&s, (struct job *[]) { j, large }, 2);
	backlog_free(s.backlog);
}

static void test_a_hop_without_room_is_forgotten(void)
{
	struct stage s;
	struct job *j = NULL, *large = stub_job_at(c, MAX_BYTES - 1);

	begin(&s);
	SUBMIT(&s, &j, a);
	CU_ASSERT_EQUAL(submit_jobs(s.backlog, &large, 1), 0);
	EXPECT_TAKE(&s, 0, MANY, NEVER, j, large);
	uint64_t before_ns = clock_now_ns();
	hop(&s, j, b);
	CU_ASSERT_PTR_NULL(j->hop);
	CU_ASSERT_TRUE(j->due_ns >= before_ns + NS_PER_S && j->due_ns <= clock_now_ns() + NS_PER_S);
	CU_ASSERT_EQUAL(stats_of(&s).held_bytes, MAX_BYTES);
	expect_reason(&s, WAIT_RETRY, 1);
	expect_nothing(&s, before_ns, j->due_ns);
	settle(&s, large, VERDICT_FINAL);
	EXPECT_TAKE(&s, j->due_ns, MANY, NEVER, j);
	expect_asked(&s, 2, 0, 1); /* it stays in its own lane */

	/* There it may have been led from another's, where it goes on if it is returned. */
	hop(&s, j, b);
	EXPECT_TAKE(&s, 0, MANY, NEVER, j);
	CU_ASSERT_PTR_NOT_NULL(j->hop);
	large = stub_job_at(c, MAX_BYTES - j->bytes);
	CU_ASSERT_EQUAL(submit_jobs(s.backlog, &large, 1), 0);
	EXPECT_TAKE(&s, 0, MANY, NEVER, large);
	settle(&s, j, VERDICT_RETURN);
	EXPECT_TAKE(&s, 0, MANY, NEVER, j);
	hop(&s, j, "http://longer-than-the-first:80");
	CU_ASSERT_PTR_NULL(j->hop);
	CU_ASSERT_EQUAL(stats_of(&s).held_bytes, 1 + large->bytes);
	EXPECT_TAKE(&s, j->due_ns, MANY, NEVER, j);
	expect_asked(&s, 3, 2, 2);
	finish(&s, (struct job *[]) { j, large }, 2);
	expect_no_lanes(&s);
	backlog_free(s.backlog);
}

/* --- queries --------------------------------------------------------------------------- */

static void test_lanes_are_listed_with_most_jobs_first(void)
{
	struct stage s;
	struct job *j[6];

	begin(&s);
	SUBMIT(&s, j, a, c, c, b, b, b);
	for (size_t i = 0; i < 6; i++)
		j[i]->accepted_wall_us = 100 + (int64_t) i;
	const struct backlog_lane first[] = { { .jobs = 3, .waiting = 3, .oldest_wall_us = 103 },
		                              { .jobs = 2, .waiting = 2, .oldest_wall_us = 101 },
		                              { .jobs = 1, .waiting = 1, .oldest_wall_us = 100 } };
	const char *const order[] = { b, c, a };
	expect_lanes(&s, 8, order, first, 3, 3);
	expect_lanes(&s, 2, order, first, 2, 3);
	expect_lanes(&s, 1, order, first, 1, 3);
	expect_lanes(&s, 0, order, first, 0, 3);

	/* Those that are out or delayed are counted, those that have hopped where they are. */
	close_lane(&s, b, WAIT_PAUSED, NEVER);
	EXPECT_TAKE(&s, 0, MANY, NEVER, j[0], j[1], j[2]);
	settle_later(&s, j[1], VERDICT_RETRY, 10, WAIT_RETRY);
	hop(&s, j[0], b);
	const struct backlog_lane then[] = { { .jobs = 4, .waiting = 4, .oldest_wall_us = 100 },
		                             { .jobs = 2 } };
	expect_lanes(&s, 8, order, then, 2, 2);
	settle(&s, j[2], VERDICT_FINAL);

	backlog_close(s.backlog);
	const struct backlog_lane last[] = { then[0], { .jobs = 1 } };
	expect_lanes(&s, 8, order, last, 2, 2);
	backlog_free(s.backlog);
}

static void test_other_queries_are_not_for_a_backlog_in_memory(void)
{
	static const enum query_kind kinds[] = { QUERY_FIND, QUERY_TAKE, QUERY_REQUEUE, QUERY_PAUSE,
		                                 QUERY_RESUME };
	struct buf origins = { 0 };
	struct stage s;

	begin(&s);
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		struct query q = { .kind = kinds[i], .id = "http://a:80" };
		CU_ASSERT_EQUAL(backlog_query_and_wait(s.backlog, &q), -EOPNOTSUPP);
	}
	CU_ASSERT_EQUAL(backlog_paused(s.backlog, &origins), 0);
	CU_ASSERT_EQUAL(origins.len, 0);
	backlog_free(s.backlog);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "lanes are served in turn across takes",
		  test_lanes_are_served_in_turn_across_takes },
		{ "a visit brings as many as the lane has room for",
		  test_a_visit_brings_as_many_as_the_lane_has_room_for },
		{ "a lane that gets jobs comes last", test_a_lane_that_gets_jobs_comes_last },
		{ "priorities count within a lane", test_priorities_count_within_a_lane },
		{ "a lane without room rests until its time",
		  test_a_lane_without_room_rests_until_its_time },
		{ "a lane rests until it is opened", test_a_lane_rests_until_it_is_opened },
		{ "without a gate all lanes have room", test_without_a_gate_all_lanes_have_room },
		{ "jobs that come to a lane rest with it",
		  test_jobs_that_come_to_a_lane_rest_with_it },
		{ "the next time is that of a job or of a lane",
		  test_the_next_time_is_that_of_a_job_or_of_a_lane },
		{ "jobs that wait are counted by the reason",
		  test_jobs_that_wait_are_counted_by_the_reason },
		{ "lanes are gone with their jobs", test_lanes_are_gone_with_their_jobs },
		{ "a hop leads to another lane, by age", test_a_hop_leads_to_another_lane_by_age },
		{ "what becomes of a job that has hopped",
		  test_what_becomes_of_a_job_that_has_hopped },
		{ "a hop counts in the bytes", test_a_hop_counts_in_the_bytes },
		{ "a hop that ends makes room", test_a_hop_that_ends_makes_room },
		{ "a hop without room is forgotten", test_a_hop_without_room_is_forgotten },
		{ "lanes are listed with most jobs first",
		  test_lanes_are_listed_with_most_jobs_first },
		{ "other queries are not for a backlog in memory",
		  test_other_queries_are_not_for_a_backlog_in_memory },
		CU_TEST_INFO_NULL,
	};

	(void) alarm(600); /* a hang is a failure */
	return unit_run("memory_lanes", tests);
}
