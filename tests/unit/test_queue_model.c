/* SPDX-License-Identifier: Apache-2.0 */
/*
 * queue.h against a model of it that is too simple to be wrong: a few lanes, each of which
 * is looked at for every question, and whose state lane.h keeps (test_lane.c).  What the model
 * leaves open is whose turn it is; instead it counts how often a lane was passed over.
 */
#include "queue/queue.h"

#include "base/clock.h"
#include "base/sync.h"
#include "queue_calls.h"
#include "seed.h"
#include "stub_jobs.h"

#include <errno.h>
#include <string.h>

enum { LANES = 12, WORKERS = 20, LANE_JOBS = 64, CAPACITY = 200, STEPS = 20000, ROUNDS = 8 };

struct model_lane {
	char origin[24];
	const struct lane_limits *limits;
	struct lane_state state;
	uint64_t jobs[LANE_JOBS]; /* their numbers */
	size_t queued, running;
	unsigned passed_over; /* pops of others while it could have run all the time */
	bool alone;           /* the latest start was the only one under way */
	bool wanted, opened;
};

struct model {
	struct queue *queue;
	struct random *random;
	struct lane_rule rules[LANES];
	size_t n_rules;
	struct model_lane lanes[LANES];
	struct {
		struct model_lane *lane;
		struct lane *place;
		bool left; /* with the next pop */
	} workers[WORKERS];
	size_t n_workers, depth, n_opened;
	uint64_t number;
	unsigned calls; /* of the listener that there must have been */
	bool paused;
};

static const struct lane_limits no_limits = { .burst = 1 };
static uint64_t now_ns;
static unsigned calls;

static uint64_t test_now_ns(void) { return now_ns; }
static void count_call(void *arg) { (*(unsigned *) arg)++; }

static enum wait_reason why_not(const struct model *m, const struct model_lane *lane)
{
	return m->paused ? WAIT_PAUSED
	                 : lane_look(lane->limits, &lane->state, lane->running, now_ns).why;
}

/* A lane that nothing keeps; what its limits, as they are, do not ask for is lost. */
static void forget(struct model_lane *lane)
{
	if (lane->queued == 0 && lane->running == 0 && !lane->wanted && !lane->opened &&
	    lane_forget_ns(lane->limits, &lane->state) <= now_ns)
		lane->state = (struct lane_state){ 0 };
}

/* What has to come after anything has happened to a lane. */
static void settle(struct model *m, struct model_lane *lane)
{
	struct lane_obstacle o;

	forget(lane);
	if (!lane->wanted)
		return;
	size_t room = lane_room(lane->limits, &lane->state, lane->running, lane->queued, now_ns,
	                        &o);
	if (room > 0 ? !lane_is_low(lane->limits, lane->queued) : o.until_ns == NEVER)
		return;
	lane->wanted = false;
	if (!lane->opened) {
		lane->opened = true;
		m->calls += m->n_opened++ == 0;
	}
}

static void begin(struct model *m, struct model_lane *lane, struct lane *place)
{
	/* When those start whose limits do not depend on it, the queue does not look. */
	lane_start(lane->limits, &lane->state,
	           lane_is_timed(lane->limits, &lane->state) ? now_ns : 0);
	lane->alone = lane->running++ == 0;
	m->workers[m->n_workers].lane = lane;
	m->workers[m->n_workers].left = false;
	m->workers[m->n_workers++].place = place;
}

static void take_first(struct model *m, struct model_lane *lane, size_t at)
{
	lane->queued--;
	m->depth--;
	memmove(lane->jobs + at, lane->jobs + at + 1, (lane->queued - at) * sizeof(lane->jobs[0]));
}

/* Expects that 'list' goes on with all jobs of the lane, and frees those. */
static void expect_evicted(struct model *m, struct model_lane *lane, struct job_list *list)
{
	for (struct job *job; lane->queued > 0 && (job = job_list_take(list));) {
		CU_ASSERT_EQUAL(job->number, lane->jobs[0]);
		take_first(m, lane, 0);
		job_free(job);
	}
	CU_ASSERT_EQUAL_FATAL(lane->queued, 0);
}

static struct model_lane *any_lane(struct model *m) { return &m->lanes[below(m->random, LANES)]; }

static void forget_all(struct model *m)
{
	for (size_t i = 0; i < LANES; i++)
		forget(&m->lanes[i]);
}

/* Every third job has one, and not in their order. */
static bool has_deadline(uint64_t number) { return number % 3 == 0; }
static int64_t deadline_of(uint64_t number) { return 1 + (int64_t) (number ^ 7) * 10; }

/* --- steps: each does the same to both and compares --------------------------------------- */

static void step_push(struct model *m)
{
	size_t n = 1 + below(m->random, 6), pushed = 0, most = 0;
	struct model_lane *lanes[6], *lane = any_lane(m);
	struct job *jobs[6];

	for (size_t i = 0; i < n; i++) {
		lane = below(m->random, 2) ? lane : any_lane(m);
		lanes[i] = lane;
		uint64_t number = m->number + i + 1;
		jobs[i] = has_deadline(number)
		                  ? stub_job_until(lane->origin, 1, deadline_of(number))
		                  : stub_job_at(lane->origin, 1);
		jobs[i]->number = number;
	}
	while (most < n && m->depth + most < CAPACITY && lanes[most]->queued + n < LANE_JOBS)
		most++;
	int r = most > 0 ? queue_push(m->queue, jobs, most, 0, &pushed) : 0;
	CU_ASSERT_EQUAL(r, 0);
	CU_ASSERT_EQUAL_FATAL(pushed, most);
	for (size_t i = 0; i < pushed; i++) {
		lanes[i]->jobs[lanes[i]->queued++] = jobs[i]->number;
		m->depth++;
		if (lanes[i]->queued == 1)
			settle(m, lanes[i]);
	}
	m->number += pushed;
	free_jobs(jobs + pushed, n - pushed);
}

static void pop_of(struct model *m, struct job *job, struct lane *place)
{
	struct model_lane *lane = m->lanes;

	while (strcmp(lane->origin, job->origin.text) != 0)
		lane++;
	CU_ASSERT_EQUAL(why_not(m, lane), WAIT_WORKER);
	CU_ASSERT_TRUE_FATAL(lane->queued > 0);
	CU_ASSERT_EQUAL(job->number, lane->jobs[0]);
	take_first(m, lane, 0);
	begin(m, lane, place);
	settle(m, lane);
	job_free(job);

	lane->passed_over = 0;
	for (size_t i = 0; i < LANES; i++) {
		struct model_lane *other = &m->lanes[i];
		other->passed_over += other != lane && other->queued > 0;
		/* Each comes once; and before that some whose time had come earlier. */
		CU_ASSERT_TRUE(other->passed_over < 2 * LANES);
	}
}

/* Takes out one of the workers that leave with a pop, if there is any; returns its place. */
static struct lane *leave_later(struct model *m)
{
	size_t at = 0;

	while (at < m->n_workers && !m->workers[at].left)
		at++;
	if (at == m->n_workers)
		return NULL;
	struct model_lane *lane = m->workers[at].lane;
	struct lane *place = m->workers[at].place;
	m->workers[at] = m->workers[--m->n_workers];
	lane->running--;
	settle(m, lane);
	return place;
}

static void step_pop(struct model *m)
{
	struct lane *place = NULL, *left = below(m->random, 2) ? leave_later(m) : NULL;
	struct job *job = NULL;
	bool could = false;

	if (m->n_workers == WORKERS)
		return;
	for (size_t i = 0; i < LANES; i++)
		could = could ||
		        (m->lanes[i].queued > 0 && why_not(m, &m->lanes[i]) == WAIT_WORKER);
	int r = queue_leave_and_pop(m->queue, left, 0, &job, &place);
	CU_ASSERT_EQUAL_FATAL(r, could ? 0 : -ETIMEDOUT);
	if (r == 0)
		pop_of(m, job, place);
}

static void step_enter(struct model *m)
{
	struct model_lane *lane = any_lane(m);
	struct lane *place = NULL;

	if (m->n_workers == WORKERS)
		return;
	int r = queue_enter(m->queue, lane->origin, &place);
	CU_ASSERT_EQUAL_FATAL(r, why_not(m, lane) == WAIT_WORKER ? 0 : -EAGAIN);
	if (r == 0) {
		begin(m, lane, place);
		settle(m, lane);
	}
}

/* Nothing that happens in it has consequences. */
static bool is_plain(const struct model_lane *lane)
{
	return lane->limits->concurrency == 0 && lane->state.failures == 0 &&
	       !lane->state.paused && !lane_is_timed(lane->limits, &lane->state);
}

static void step_leave(struct model *m)
{
	struct job_list evicted = { 0 };

	if (m->n_workers == 0)
		return;
	size_t at = below(m->random, m->n_workers);
	struct model_lane *lane = m->workers[at].lane;
	struct lane *place = m->workers[at].place;
	uint64_t cool_ns = below(m->random, 20) ? 0 : 1 + below(m->random, NS_PER_S);
	enum lane_outcome outcome = below(m->random, 3)   ? LANE_ANSWERED
	                            : below(m->random, 4) ? LANE_FAILED
	                                                  : LANE_UNUSED;

	if (m->workers[at].left)
		return;
	if (queue_may_leave_later(place, outcome, cool_ns)) {
		CU_ASSERT_TRUE(outcome != LANE_FAILED && cool_ns == 0 && is_plain(lane));
		m->workers[at].left = below(m->random, 2);
		if (m->workers[at].left)
			return;
	}
	m->workers[at] = m->workers[--m->n_workers];
	queue_leave(m->queue, place, outcome, cool_ns, &evicted);
	lane->running--;
	if (outcome == LANE_ANSWERED)
		lane_answered(&lane->state);
	else if (outcome == LANE_FAILED)
		(void) lane_failed(lane->limits, &lane->state, now_ns);
	else
		lane_unstart(lane->limits, &lane->state, lane->alone);
	if (cool_ns > 0)
		lane_cool(&lane->state, now_ns + cool_ns);
	struct lane_obstacle o = lane_look(lane->limits, &lane->state, lane->running, now_ns);
	if (o.why == WAIT_RETRY_AFTER || (o.why == WAIT_BREAKER && o.until_ns != NEVER))
		expect_evicted(m, lane, &evicted);
	CU_ASSERT_EQUAL(evicted.len, 0);
	settle(m, lane);
}

static void step_room(struct model *m)
{
	struct model_lane *lane = any_lane(m);
	struct lane_obstacle a, b;
	size_t room = queue_lane_room(m->queue, lane->origin, &a);

	CU_ASSERT_EQUAL(room, lane_room(lane->limits, &lane->state, lane->running, lane->queued,
	                                now_ns, &b));
	if (room == 0) {
		CU_ASSERT_EQUAL(a.why, b.why);
		CU_ASSERT_EQUAL(a.until_ns, b.until_ns);
	}
	lane->wanted = room == 0 && b.until_ns == NEVER;
}

static void step_opened(struct model *m)
{
	struct buf names = { 0 };
	size_t n = queue_take_opened(m->queue, &names);

	CU_ASSERT_EQUAL(n, m->n_opened);
	for (const char *name = names.data; name && name < names.data + names.len;
	     name += strlen(name) + 1) {
		struct model_lane *lane = m->lanes;
		while (strcmp(lane->origin, name) != 0)
			lane++;
		CU_ASSERT_TRUE(lane->opened);
		lane->opened = lane->wanted = false;
		settle(m, lane);
	}
	m->n_opened = 0;
	buf_done(&names);
}

static void step_pause(struct model *m)
{
	struct model_lane *lane = below(m->random, 4) ? any_lane(m) : NULL;
	struct job_list evicted = { 0 };

	CU_ASSERT_EQUAL(queue_pause(m->queue, lane ? lane->origin : NULL, &evicted), 0);
	if (!lane) {
		m->paused = true;
	} else if (!lane->state.paused) {
		lane->state.paused = true;
		expect_evicted(m, lane, &evicted);
		settle(m, lane);
	}
	CU_ASSERT_EQUAL(evicted.len, 0);
}

static void step_resume(struct model *m)
{
	struct model_lane *lane = below(m->random, 4) ? any_lane(m) : NULL;
	bool was_stopped = queue_resume(m->queue, lane ? lane->origin : NULL);

	if (lane) {
		CU_ASSERT_EQUAL(was_stopped, lane_resume(lane->limits, &lane->state, now_ns));
		settle(m, lane);
	} else {
		CU_ASSERT_EQUAL(was_stopped, m->paused);
		m->paused = false;
	}
}

static struct lane_limits random_limits(struct random *r)
{
	return (struct lane_limits){
		.concurrency = below(r, 2) * below(r, 6),
		.interval_ns = below(r, 3) ? 0 : 1 + below(r, 1200 * NS_PER_MS),
		.burst = 1 + below(r, 4),
		.gap_ns = below(r, 3) ? 0 : 1 + below(r, 300 * NS_PER_MS),
		.breaker = below(r, 2) * below(r, 5),
		.breaker_pause_ns = below(r, 2 * NS_PER_S),
		.breaker_max_ns = below(r, 9 * NS_PER_S),
	};
}

static void step_rules(struct model *m)
{
	m->n_rules = below(m->random, LANES);
	for (size_t i = 0; i < m->n_rules; i++)
		m->rules[i] = (struct lane_rule){ below(m->random, 6) ? any_lane(m)->origin : "*",
			                          random_limits(m->random) };
	CU_ASSERT_EQUAL(queue_set_rules(m->queue, m->rules, m->n_rules), 0);
	for (size_t i = 0; i < LANES; i++) {
		struct model_lane *lane = &m->lanes[i];
		lane->limits = &no_limits;
		for (size_t k = m->n_rules; k-- > 0;)
			if (url_match_origin(m->rules[k].match, lane->origin))
				lane->limits = &m->rules[k].limits;
		lane_adopt(lane->limits, &lane->state, now_ns);
	}
	for (size_t i = 0; i < LANES; i++)
		settle(m, &m->lanes[i]);
}

static void step_remove(struct model *m)
{
	struct model_lane *lane = any_lane(m);
	size_t ahead = 0;

	if (lane->queued == 0)
		return;
	size_t at = below(m->random, lane->queued);
	CU_ASSERT_TRUE(queue_find(m->queue, lane->jobs[at], &ahead));
	CU_ASSERT_EQUAL(ahead, at);
	struct job *job = queue_remove(m->queue, lane->jobs[at]);
	CU_ASSERT_PTR_NOT_NULL_FATAL(job);
	CU_ASSERT_EQUAL(job->number, lane->jobs[at]);
	job_free(job);
	take_first(m, lane, at);
	settle(m, lane);
}

/* Where the queued job stands that has the first deadline; NULL if none has one. */
static struct model_lane *first_deadline(struct model *m, size_t *ret_at)
{
	struct model_lane *best = NULL;

	for (size_t i = 0; i < LANES; i++)
		for (size_t k = 0; k < m->lanes[i].queued; k++) {
			uint64_t number = m->lanes[i].jobs[k];
			if (!has_deadline(number) ||
			    (best && deadline_of(best->jobs[*ret_at]) < deadline_of(number)))
				continue;
			best = &m->lanes[i];
			*ret_at = k;
		}
	return best;
}

static void step_expire(struct model *m)
{
	/* Some of the last CAPACITY jobs have expired, and some not. */
	int64_t ago_us = (int64_t) below(m->random, 20 * CAPACITY);
	int64_t until_us = (int64_t) (m->number + 8) * 10;
	int64_t wall_us = until_us > ago_us ? until_us - ago_us : 0;
	struct job *jobs[6];
	size_t room = below(m->random, 6), at = 0, n = 0;
	int64_t next_us = 0;

	size_t taken = queue_take_expired(m->queue, wall_us, room, jobs, &next_us);
	struct model_lane *lane = first_deadline(m, &at);
	for (; n < room && lane && deadline_of(lane->jobs[at]) <= wall_us; n++) {
		CU_ASSERT_FATAL(n < taken && jobs[n]->number == lane->jobs[at]);
		job_free(jobs[n]);
		take_first(m, lane, at);
		settle(m, lane);
		lane = first_deadline(m, &at);
	}
	CU_ASSERT_EQUAL_FATAL(taken, n);
	CU_ASSERT_EQUAL(next_us, lane ? deadline_of(lane->jobs[at]) : INT64_MAX);
}

static void compare(struct model *m)
{
	size_t by_reason[WAIT_REASONS] = { 0 }, busy = 0, paused = 0;
	struct queue_stats s;

	queue_stats(m->queue, &s);
	for (size_t i = 0; i < LANES; i++) {
		struct model_lane *lane = &m->lanes[i];
		if (why_not(m, lane) != WAIT_WORKER)
			lane->passed_over = 0; /* it has lost its turn */
		by_reason[why_not(m, lane)] += lane->queued;
		busy += lane->queued + lane->running > 0;
		paused += lane->state.paused;
	}
	CU_ASSERT_EQUAL(memcmp(s.by_reason, by_reason, sizeof(by_reason)), 0);
	CU_ASSERT_EQUAL(s.depth_jobs, m->depth);
	CU_ASSERT_EQUAL(s.depth_bytes, m->depth);
	CU_ASSERT_EQUAL(s.lanes, busy);
	CU_ASSERT_EQUAL(s.paused_lanes, paused);
	CU_ASSERT_TRUE(s.lanes + s.idle_lanes <= LANES);
	CU_ASSERT_EQUAL(calls, m->calls);
}

static void step(struct model *m)
{
	forget_all(m);
	switch (below(m->random, 64)) {
	case 0:
		step_rules(m);
		break;
	case 1:
		step_pause(m);
		break;
	case 2:
	case 3:
	case 4:
		step_resume(m);
		break;
	case 5:
	case 6:
		step_remove(m);
		break;
	case 7:
		step_expire(m);
		break;
	case 8:
	case 9:
	case 10:
		step_opened(m);
		break;
	default:
		switch (below(m->random, 6)) {
		case 0:
			step_push(m);
			break;
		case 1:
			step_enter(m);
			break;
		case 2:
			step_room(m);
			break;
		case 3:
			now_ns += below(m->random,
			                below(m->random, 9) ? 50 * NS_PER_MS : 20 * NS_PER_S);
			break;
		case 4:
			step_leave(m);
			break;
		default:
			step_pop(m);
			break;
		}
	}
	compare(m);
}

static void finish(struct model *m)
{
	struct job_list list = { 0 };

	queue_evict(m->queue, &list);
	CU_ASSERT_EQUAL(list.len, m->depth);
	job_list_done(&list);
	while (m->n_workers > 0)
		leave_lane(m->queue, m->workers[--m->n_workers].place);
	queue_free(m->queue);
}

static void test_a_queue_does_what_its_model_does(void)
{
	struct random r = seeded();

	for (int round = 0; round < ROUNDS; round++) {
		const struct queue_options options = { .capacity_jobs = CAPACITY,
			                               .capacity_bytes = CAPACITY,
			                               .opened = count_call,
			                               .arg = &calls,
			                               .now_ns = test_now_ns };
		struct model m = { .random = &r };

		now_ns = 1000 * NS_PER_S;
		calls = 0;
		CU_ASSERT_EQUAL_FATAL(queue_create(&options, &m.queue), 0);
		for (size_t i = 0; i < LANES; i++) {
			m.lanes[i].limits = &no_limits;
			(void) snprintf(m.lanes[i].origin, sizeof(m.lanes[i].origin),
			                "http://h%zu:80", i % LANES);
		}
		for (int i = 0; i < STEPS && CU_get_number_of_failures() == 0; i++)
			step(&m);
		finish(&m);
	}
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "a queue does what its model does", test_a_queue_does_what_its_model_does },
		CU_TEST_INFO_NULL,
	};
	return unit_run("queue_model", tests);
}
