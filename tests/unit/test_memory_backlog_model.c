/* SPDX-License-Identifier: Apache-2.0 */
/* memory.h against a model of it that is too simple to be wrong: plain arrays.  And
 * under load, with submitters that wait for what others settle. */
#include "backlog/memory.h"

#include "base/clock.h"
#include "base/sync.h"
#include "base/thread.h"
#include "seed.h"
#include "backlog_calls.h"
#include "stub_jobs.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

enum { MAX_JOBS = 200, MAX_BYTES = 10000, STEPS = 40000, BATCH = 12, AGEING_US = 20 };

/* Of a time that nobody's clock will reach: a forgotten hop, which is timed by the real one, is
 * due at once. */
#define BEGIN_NS (UINT64_C(1) << 62)

static const char *const origins[] = { "http://a:80", "http://b:80",  "http://c:80",
	                               "http://d:80", "https://a:443", "http://a.example:8080" };
enum { ORIGINS = ARRAY_LEN(origins) };

/* Jobs in order.  The delayed ones are found by looking at all of them. */
struct line {
	struct job *jobs[MAX_JOBS];
	size_t len;
};

enum { HOPPED = JOB_PRIORITIES, LINES };

struct model_lane {
	struct line waiting[LINES];
	bool resting;
	struct lane_rest rest;

	/* What the gate says. */
	size_t room;
	struct lane_rest wanted_rest;
	bool asked; /* in this take */
};

struct model {
	struct model_lane lanes[ORIGINS];
	struct model_lane *ring[ORIGINS]; /* that have waiting jobs and do not rest */
	size_t ring_len;
	struct model_lane *resting[ORIGINS]; /* in the order in which they came to rest */
	size_t n_resting;
	struct line delayed, out;
	uint64_t now_ns;
	uint64_t last_ns; /* no time after this was given yet: all times differ */
	uint64_t last_number;
	int64_t wall_us;
	int64_t last_deadline_us; /* so that these differ, too */
	unsigned ready, expiring; /* calls of the listener that there must have been */
};

static void insert(struct line *l, size_t at, struct job *job)
{
	memmove(l->jobs + at + 1, l->jobs + at, (l->len - at) * sizeof(l->jobs[0]));
	l->jobs[at] = job;
	l->len++;
}

static struct job *take_at(struct line *l, size_t at)
{
	struct job *job = l->jobs[at];

	l->len--;
	memmove(l->jobs + at, l->jobs + at + 1, (l->len - at) * sizeof(l->jobs[0]));
	return job;
}

static size_t waiting_in(const struct model_lane *lane)
{
	size_t n = 0;

	for (size_t i = 0; i < LINES; i++)
		n += lane->waiting[i].len;
	return n;
}

static size_t waiting(const struct model *m)
{
	size_t n = 0;

	for (size_t i = 0; i < ORIGINS; i++)
		n += waiting_in(&m->lanes[i]);
	return n;
}

static size_t held(const struct model *m) { return waiting(m) + m->delayed.len + m->out.len; }

static size_t bytes_of(const struct line *l)
{
	size_t bytes = 0;

	for (size_t i = 0; i < l->len; i++)
		bytes += l->jobs[i]->bytes;
	return bytes;
}

static size_t held_bytes(const struct model *m)
{
	size_t bytes = bytes_of(&m->delayed) + bytes_of(&m->out);

	for (size_t i = 0; i < ORIGINS; i++)
		for (size_t k = 0; k < LINES; k++)
			bytes += bytes_of(&m->lanes[i].waiting[k]);
	return bytes;
}

/* Where the job that falls due first stands; due times differ, so there is one. */
static size_t first_due(const struct line *l)
{
	size_t first = 0;

	for (size_t i = 1; i < l->len; i++)
		if (l->jobs[i]->due_ns < l->jobs[first]->due_ns)
			first = i;
	return first;
}

static uint64_t next_due(const struct line *l)
{
	return l->len > 0 ? l->jobs[first_due(l)]->due_ns : NEVER;
}

static size_t index_of(const char *origin)
{
	size_t i = 0;

	while (strcmp(origins[i], origin) != 0)
		i++;
	return i;
}

static struct model_lane *lane_of(struct model *m, const struct job *job)
{
	return &m->lanes[index_of(job->hop ? job->hop->origin.text : job->origin.text)];
}

static void add_waiting(struct model *m, struct job *job, bool first)
{
	struct model_lane *lane = lane_of(m, job);
	struct line *line = &lane->waiting[job->hop ? (size_t) HOPPED : (size_t) job_priority(job)];

	if (waiting_in(lane) == 0)
		m->ring[m->ring_len++] = lane;
	insert(line, first ? 0 : line->len, job);
}

/* By age, a priority being so many microseconds of it. */
static struct job *take_best(struct model_lane *lane)
{
	static const int64_t classes[] = { [JOB_PRIORITY_HIGH] = -AGEING_US,
		                           [JOB_PRIORITY_LOW] = AGEING_US };
	struct line *best = NULL;
	int64_t best_rank = 0;

	for (size_t i = 0; i < LINES; i++) {
		struct line *line = &lane->waiting[i];
		if (line->len == 0)
			continue;
		int64_t rank = line->jobs[0]->accepted_wall_us + classes[job_priority(line->jobs[0])];
		if (!best || rank < best_rank) {
			best = line;
			best_rank = rank;
		}
	}
	return take_at(best, 0);
}

static void end_rest(struct model *m, size_t at)
{
	struct model_lane *lane = m->resting[at];

	m->n_resting--;
	memmove(m->resting + at, m->resting + at + 1,
	        (m->n_resting - at) * sizeof(m->resting[0]));
	lane->resting = false;
	m->ring[m->ring_len++] = lane;
}

/* Which of those that rest has the first time; times differ. */
static size_t first_rest(const struct model *m)
{
	size_t first = 0;

	for (size_t i = 1; i < m->n_resting; i++)
		if (m->resting[i]->rest.until_ns < m->resting[first]->rest.until_ns)
			first = i;
	return first;
}

static uint64_t next_rest(const struct model *m)
{
	return m->n_resting > 0 ? m->resting[first_rest(m)]->rest.until_ns : NEVER;
}

/* A time that was not given before: past, or yet to come. */
static uint64_t new_time(struct model *m, struct random *r)
{
	if (m->last_ns < m->now_ns && below(r, 2))
		m->last_ns = m->now_ns;
	return m->last_ns += 1 + below(r, 100);
}

/* --- deadlines ----------------------------------------------------------------------------- */

struct calls {
	unsigned ready, expiring;
};

static void count_ready(void *arg) { ((struct calls *) arg)->ready++; }

static void count_expiring(void *arg) { ((struct calls *) arg)->expiring++; }

static void look_at(struct line *line, struct line **best, size_t *ret_at)
{
	for (size_t i = 0; i < line->len; i++) {
		int64_t deadline_us = job_deadline(line->jobs[i]);
		if (deadline_us == 0 ||
		    (*best && job_deadline((*best)->jobs[*ret_at]) < deadline_us))
			continue;
		*best = line;
		*ret_at = i;
	}
}

/* Where the job in the backlog stands that has the first deadline; NULL if none has one. */
static struct line *first_deadline(struct model *m, size_t *ret_at)
{
	struct line *best = NULL;

	look_at(&m->delayed, &best, ret_at);
	for (size_t i = 0; i < ORIGINS; i++)
		for (size_t k = 0; k < LINES; k++)
			look_at(&m->lanes[i].waiting[k], &best, ret_at);
	return best;
}

static int64_t next_deadline(struct model *m)
{
	size_t at = 0;
	const struct line *line = first_deadline(m, &at);

	return line ? job_deadline(line->jobs[at]) : INT64_MAX;
}

/* A lane that no job waits in any more is in no list. */
static void leave_lists(struct model *m, const struct model_lane *lane)
{
	for (size_t i = 0; i < m->n_resting; i++)
		if (m->resting[i] == lane) {
			end_rest(m, i); /* to the end of the ring… */
			break;
		}
	size_t at = 0;
	while (m->ring[at] != lane)
		at++;
	m->ring_len--; /* …and out of it */
	memmove(m->ring + at, m->ring + at + 1, (m->ring_len - at) * sizeof(m->ring[0]));
}

static struct job *model_expire(struct model *m)
{
	size_t at = 0;
	struct line *line = first_deadline(m, &at);

	if (!line || job_deadline(line->jobs[at]) > m->wall_us)
		return NULL;
	struct job *job = take_at(line, at);
	struct model_lane *lane = lane_of(m, job);
	if (line != &m->delayed && waiting_in(lane) == 0)
		leave_lists(m, lane);
	return job;
}

static size_t room_of(void *arg, const char *origin, struct lane_rest *ret_rest)
{
	struct model_lane *lane = &((struct model *) arg)->lanes[index_of(origin)];

	CU_ASSERT_FALSE(lane->asked); /* once in each take */
	lane->asked = true;
	*ret_rest = lane->wanted_rest;
	return lane->room;
}

/* --- steps: each does the same to both and compares --------------------------------------- */

/* One that has passed already, or will. */
static int64_t new_deadline(struct model *m, struct random *r)
{
	if (m->last_deadline_us < m->wall_us && below(r, 2))
		m->last_deadline_us = m->wall_us;
	return m->last_deadline_us += 1 + (int64_t) below(r, 20);
}

static struct job *new_job(struct model *m, struct random *r)
{
	struct job *job = calloc(1, sizeof(*job) + sizeof(struct job_extra));
	struct job_extra *extra = (struct job_extra *) (job + 1);

	*extra = (struct job_extra) { .priority = (enum job_priority) below(r, JOB_PRIORITIES) };
	if (below(r, 2))
		extra->deadline_wall_us = new_deadline(m, r);
	*job = (struct job) { .bytes = 1 + below(r, below(r, 200) ? 20 : 2 * MAX_BYTES),
		              .url = "http://stub/", .origin.text = origins[below(r, ORIGINS)],
		              .extra = below(r, 3) ? NULL : extra };
	return job;
}

static void step_submit(struct model *m, struct backlog *b, struct random *r)
{
	struct job *jobs[BATCH];
	size_t n = below(r, BATCH), bytes = 0;
	int64_t deadline_us = next_deadline(m);

	for (size_t i = 0; i < n; i++) {
		jobs[i] = new_job(m, r);
		bytes += jobs[i]->bytes;
	}
	if (bytes > MAX_BYTES) {
		CU_ASSERT_EQUAL(submit_jobs(b, jobs, n), -EMSGSIZE);
	} else if (held(m) + n > MAX_JOBS || held_bytes(m) + bytes > MAX_BYTES) {
		/* It would wait, and here nobody else could make room. */
	} else {
		CU_ASSERT_EQUAL_FATAL(submit_jobs(b, jobs, n), 0);
		m->ready++;
		for (size_t i = 0; i < n; i++) {
			CU_ASSERT_EQUAL(jobs[i]->number, ++m->last_number);
			add_waiting(m, jobs[i], false);
		}
		m->expiring += next_deadline(m) < deadline_us;
		return;
	}
	free_jobs(jobs, n);
}

/* What a take will bring. */
static size_t model_take(struct model *m, size_t room, bool gated, struct job **ret_jobs)
{
	size_t n = 0;

	while (next_due(&m->delayed) <= m->now_ns)
		add_waiting(m, take_at(&m->delayed, first_due(&m->delayed)), false);
	while (gated && next_rest(m) <= m->now_ns)
		end_rest(m, first_rest(m));
	while (!gated && m->n_resting > 0)
		end_rest(m, 0);

	for (size_t visits = m->ring_len; visits > 0 && n < room; visits--) {
		struct model_lane *lane = m->ring[0];
		m->ring_len--;
		memmove(m->ring, m->ring + 1, m->ring_len * sizeof(m->ring[0]));
		if (gated && lane->room == 0) {
			lane->resting = true;
			lane->rest = lane->wanted_rest;
			m->resting[m->n_resting++] = lane;
			continue;
		}
		for (size_t left = gated ? lane->room : SIZE_MAX;
		     left > 0 && n < room && waiting_in(lane) > 0; left--)
			ret_jobs[n++] = take_best(lane);
		if (waiting_in(lane) > 0)
			m->ring[m->ring_len++] = lane;
	}
	return n;
}

static void step_take(struct model *m, struct backlog *b, struct random *r)
{
	const struct backlog_gate gate = { .room = room_of, .arg = m };
	struct job *jobs[BATCH], *expected[BATCH];
	size_t room = below(r, BATCH);
	bool gated = below(r, 20) > 0;
	uint64_t due = 0;

	for (size_t i = 0; i < ORIGINS; i++)
		m->lanes[i].asked = false;
	size_t n = model_take(m, room, gated, expected);
	CU_ASSERT_EQUAL_FATAL(backlog_take(b, m->now_ns, room, gated ? &gate : NULL, jobs, &due), n);
	for (size_t i = 0; i < n; i++) {
		CU_ASSERT_PTR_EQUAL_FATAL(jobs[i], expected[i]);
		CU_ASSERT_EQUAL(jobs[i]->due_ns, 0);
		insert(&m->out, m->out.len, jobs[i]);
	}
	uint64_t due_job = next_due(&m->delayed), due_lane = next_rest(m);
	CU_ASSERT_EQUAL(due, due_job < due_lane ? due_job : due_lane);
}

static void step_expire(struct model *m, struct backlog *b, struct random *r)
{
	struct job *jobs[BATCH], *job = NULL;
	size_t room = below(r, BATCH), n = 0;
	int64_t next_us = 0;

	m->wall_us += (int64_t) below(r, 200);
	size_t taken = backlog_take_expired(b, m->wall_us, room, jobs, &next_us);
	for (; n < room && (job = model_expire(m)); n++) {
		CU_ASSERT_FATAL(n < taken && jobs[n] == job);
		CU_ASSERT_EQUAL(job->due_ns, 0);
		insert(&m->out, m->out.len, job);
	}
	CU_ASSERT_EQUAL_FATAL(taken, n);
	CU_ASSERT_EQUAL_FATAL(next_us, next_deadline(m));
}

static void settle_in_model(struct model *m, struct random *r, const struct verdict *v)
{
	if (v->kind == VERDICT_FINAL)
		return;
	if (v->due_ns > 0 || v->job->due_ns > 0) /* the second: a hop that was forgotten */
		insert(&m->delayed, below(r, m->delayed.len + 1), v->job);
	else
		add_waiting(m, v->job, v->kind == VERDICT_RETURN);
}

static void lead_away(struct job *job, struct random *r)
{
	const struct job_hop hop = {
		.url = "http://stub/", .origin = { .text = origins[below(r, ORIGINS)], .host = "stub" }
	};
	if (job_set_hop(job, &hop) < 0)
		abort(); /* on any thread */
}

/* Whether the hop fits is for the model to say; what is due then, the real clock says. */
static void settle_hop(struct model *m, struct backlog *b, struct random *r)
{
	struct verdict v = { .job = take_at(&m->out, below(r, m->out.len)), .kind = VERDICT_HOP };
	size_t others = held_bytes(m);

	int64_t deadline_us = next_deadline(m);
	lead_away(v.job, r);
	bool fits = others + v.job->bytes <= MAX_BYTES;
	settle_jobs(b, &v, 1);
	CU_ASSERT_EQUAL_FATAL(v.job->hop != NULL, fits);
	CU_ASSERT_EQUAL_FATAL(v.job->due_ns > 0, !fits);
	settle_in_model(m, r, &v);
	m->ready++;
	m->expiring += next_deadline(m) < deadline_us;
}

static void step_settle(struct model *m, struct backlog *b, struct random *r)
{
	struct verdict verdicts[BATCH];
	size_t n = 0;
	bool came_back = false;
	int64_t deadline_us = next_deadline(m);

	for (size_t most = below(r, BATCH); n < most && m->out.len > 0; n++) {
		struct job *job = take_at(&m->out, below(r, m->out.len));
		struct verdict *v = &verdicts[n];

		*v = (struct verdict) { .job = job, .kind = (enum verdict_kind) below(r, 3) };
		if (v->kind != VERDICT_FINAL && below(r, 2)) {
			v->due_ns = new_time(m, r);
			v->why = below(r, 2) ? WAIT_RETRY : WAIT_NAMES;
		}
		came_back |= v->kind != VERDICT_FINAL;
	}
	/* Of those that are freed the model needs nothing any more. */
	settle_jobs(b, verdicts, n);
	for (size_t i = 0; i < n; i++)
		settle_in_model(m, r, &verdicts[i]);
	m->ready += came_back;
	m->expiring += next_deadline(m) < deadline_us;
	if (m->out.len > 0 && below(r, 3) > 0)
		settle_hop(m, b, r);
}

/* Lanes get room, lose it, and are opened. */
static void step_gate(struct model *m, struct backlog *b, struct random *r)
{
	struct model_lane *lane = &m->lanes[below(r, ORIGINS)];
	size_t before = m->n_resting;

	lane->room = below(r, 2) ? below(r, BATCH) : 0;
	lane->wanted_rest = (struct lane_rest) {
		.why = (enum wait_reason) (WAIT_PAUSED + below(r, WAIT_QUEUE - WAIT_PAUSED)),
		.until_ns = below(r, 3) ? new_time(m, r) : NEVER,
	};
	switch (below(r, 10)) {
	case 0:
		backlog_open(b, NULL);
		while (m->n_resting > 0)
			end_rest(m, 0);
		break;
	case 1:
	case 2:
		lane = &m->lanes[below(r, ORIGINS)];
		backlog_open(b, origins[lane - m->lanes]);
		for (size_t i = m->n_resting; i-- > 0;)
			if (m->resting[i] == lane)
				end_rest(m, i);
		break;
	default:
		break;
	}
	m->ready += m->n_resting < before;
}

static void compare_reasons(const struct model *m, const struct backlog_stats *s)
{
	size_t by_reason[WAIT_REASONS] = { 0 };

	for (size_t i = 0; i < m->delayed.len; i++)
		by_reason[m->delayed.jobs[i]->why]++;
	for (size_t i = 0; i < ORIGINS; i++)
		by_reason[m->lanes[i].resting ? m->lanes[i].rest.why : WAIT_QUEUE] +=
		        waiting_in(&m->lanes[i]);
	CU_ASSERT_EQUAL_FATAL(memcmp(by_reason, s->by_reason, sizeof(by_reason)), 0);
}

static void compare(const struct model *m, struct backlog *b, const struct calls *calls)
{
	struct backlog_stats s;

	backlog_stats(b, &s);
	CU_ASSERT_EQUAL_FATAL(s.waiting, waiting(m));
	CU_ASSERT_EQUAL_FATAL(s.delayed, m->delayed.len);
	CU_ASSERT_EQUAL_FATAL(s.held_jobs, held(m));
	CU_ASSERT_EQUAL_FATAL(s.held_bytes, held_bytes(m));
	CU_ASSERT_EQUAL(s.submitters_blocked_ns, 0);
	CU_ASSERT_EQUAL_FATAL(calls->ready, m->ready);
	CU_ASSERT_EQUAL_FATAL(calls->expiring, m->expiring);
	compare_reasons(m, &s);
}

static void count_jobs(struct model *m, const struct line *l, size_t *ret_jobs)
{
	for (size_t i = 0; i < l->len; i++)
		ret_jobs[lane_of(m, l->jobs[i]) - m->lanes]++;
}

static void step_list(struct model *m, struct backlog *b, struct random *r)
{
	struct backlog_lane lanes[ORIGINS];
	struct query q = { .kind = QUERY_LANES, .lanes = lanes, .max_lanes = below(r, ORIGINS + 1) };
	size_t jobs[ORIGINS] = { 0 }, n = 0;

	count_jobs(m, &m->delayed, jobs);
	count_jobs(m, &m->out, jobs);
	for (size_t i = 0; i < ORIGINS; i++) {
		jobs[i] += waiting_in(&m->lanes[i]);
		n += jobs[i] > 0;
	}
	CU_ASSERT_EQUAL_FATAL(backlog_query_and_wait(b, &q), 0);
	CU_ASSERT_EQUAL(q.all_lanes, n);
	n = n < q.max_lanes ? n : q.max_lanes;
	CU_ASSERT_EQUAL_FATAL(q.n_lanes, n);
	for (size_t i = 0; i < n; i++) {
		size_t at = index_of(q.line.data + lanes[i].origin_at);
		CU_ASSERT_EQUAL(lanes[i].jobs, jobs[at]);
		CU_ASSERT_EQUAL(lanes[i].waiting, waiting_in(&m->lanes[at]));
		CU_ASSERT_TRUE(i == 0 || lanes[i].jobs <= lanes[i - 1].jobs);
		jobs[at] = 0; /* not twice */
	}
	for (size_t i = 0; i < ORIGINS && n > 0; i++)
		CU_ASSERT_TRUE(jobs[i] <= lanes[n - 1].jobs); /* of the others none has more */
	buf_done(&q.line);
}

static void step(struct model *m, struct backlog *b, struct random *r)
{
	switch (below(r, 11)) {
	case 0:
	case 1:
		step_submit(m, b, r);
		break;
	case 2:
	case 3:
	case 4:
		m->now_ns += below(r, 200);
		if (below(r, 100) == 0) /* nobody came by for a long time */
			m->now_ns += 1000000;
		step_take(m, b, r);
		break;
	case 5:
	case 6:
	case 7:
		step_settle(m, b, r);
		break;
	case 8:
		step_gate(m, b, r);
		break;
	case 9:
		step_expire(m, b, r);
		break;
	default:
		step_list(m, b, r);
		break;
	}
}

static void test_random_histories_go_as_in_the_model(void)
{
	const struct memory_backlog_options options = {
		.max_jobs = MAX_JOBS, .max_bytes = MAX_BYTES, .ageing_ns = AGEING_US * NS_PER_US
	};
	struct random r = seeded();
	static struct model m;
	struct backlog *b = NULL;
	struct calls calls = { 0 };

	m = (struct model) { .now_ns = BEGIN_NS, .last_ns = BEGIN_NS };
	for (size_t i = 0; i < ORIGINS; i++)
		m.lanes[i].wanted_rest.until_ns = new_time(&m, &r);
	CU_ASSERT_EQUAL_FATAL(memory_backlog_create(&options, &b), 0);
	b->listener = (struct backlog_listener) {
		.ready = count_ready, .expiring = count_expiring, .arg = &calls
	};
	for (int i = 0; i < STEPS; i++) {
		step(&m, b, &r);
		compare(&m, b, &calls);
	}
	while (m.out.len > 0) /* none may be out when it is freed */
		step_settle(&m, b, &r);
	backlog_free(b);
}

/* --- load ---------------------------------------------------------------------------------- */

enum { SUBMITTERS = 4, JOBS_EACH = 3000, WORKERS = 3, LOAD_JOBS = 6, LOAD_BYTES = 2000 };

struct load {
	struct backlog *backlog;
	atomic_size_t settled;
	atomic_bool failed;
	struct mutex taker;   /* held by the one that takes */
	struct random random GUARDED_BY(taker); /* the gate's */
	struct mutex lock;
	struct cond changed; /* ready || finished */
	bool ready GUARDED_BY(lock);
	bool finished GUARDED_BY(lock);
};

struct loader {
	struct load *load;
	struct random random;
};

static void on_ready(void *arg)
{
	struct load *l = arg;

	mutex_lock(&l->lock);
	l->ready = true;
	cond_broadcast(&l->changed);
	mutex_unlock(&l->lock);
}

static void *submit_all(void *arg)
{
	struct loader *me = arg;
	struct job *jobs[BATCH];

	for (size_t done = 0; done < JOBS_EACH;) {
		size_t n = 1 + below(&me->random, 4);
		n = n < JOBS_EACH - done ? n : JOBS_EACH - done;
		for (size_t i = 0; i < n; i++)
			jobs[i] = stub_job_at(origins[below(&me->random, ORIGINS)],
			                      1 + below(&me->random, LOAD_BYTES / 5));
		if (submit_jobs(me->load->backlog, jobs, n) < 0)
			atomic_store(&me->load->failed, true);
		done += n;
	}
	return NULL;
}

/* Most lanes have room, others for a moment not, a few until they are opened. */
static size_t random_room(void *arg, const char *origin, struct lane_rest *ret_rest)
	UNCHECKED_LOCKING /* the taker has its lock */
{
	struct random *r = &((struct load *) arg)->random;

	(void) index_of(origin); /* which it must be one of */
	*ret_rest = (struct lane_rest) {
		.why = WAIT_RATE,
		.until_ns = below(r, 8) ? clock_now_ns() + below(r, 20000) : NEVER,
	};
	return below(r, 4) ? 1 + below(r, 3) : 0;
}

static size_t take_some(struct load *l, struct job **ret_jobs, uint64_t *ret_due_ns)
{
	const struct backlog_gate gate = { .room = random_room, .arg = l };

	mutex_lock(&l->taker);
	if (below(&l->random, 4) == 0)
		backlog_open(l->backlog, below(&l->random, 2) ? NULL : origins[0]);
	size_t n = backlog_take(l->backlog, clock_now_ns(), 1 + below(&l->random, BATCH - 1), &gate,
	                        ret_jobs, ret_due_ns);
	mutex_unlock(&l->taker);
	return n;
}

/* After some two attempts it is the last one. */
static struct verdict decide(struct random *r, struct job *job)
{
	struct verdict v = {
		.job = job,
		.kind = (enum verdict_kind) below(r, 4),
		.due_ns = below(r, 2) ? clock_now_ns() + 20000 : 0,
		.why = WAIT_RETRY,
	};

	/* Without one that is to be forgotten, which takes a second. */
	if (v.kind == VERDICT_HOP && (job->hop || below(r, 10) > 0))
		v.kind = VERDICT_FINAL;
	if (v.kind == VERDICT_HOP)
		lead_away(job, r);
	return v;
}

/* Those that rest until they are opened are opened in time. */
static bool wait_for_more(struct load *l, uint64_t due_ns, bool in_time)
{
	uint64_t latest_ns = clock_now_ns() + NS_PER_MS / 10;

	mutex_lock(&l->lock);
	while (!l->ready && !l->finished && in_time)
		in_time = cond_wait(&l->changed, &l->lock, due_ns < latest_ns ? due_ns : latest_ns);
	l->ready = false;
	bool go_on = !l->finished;
	mutex_unlock(&l->lock);
	return go_on;
}

static void *work(void *arg)
{
	struct loader *me = arg;
	struct load *l = me->load;
	uint64_t due_ns = 0;
	size_t n = 0;

	do {
		struct job *jobs[BATCH];
		struct verdict verdicts[BATCH];
		size_t final = 0;

		n = take_some(l, jobs, &due_ns);
		for (size_t i = 0; i < n; i++) {
			verdicts[i] = decide(&me->random, jobs[i]);
			final += verdicts[i].kind == VERDICT_FINAL;
		}
		if (n > 0)
			settle_jobs(l->backlog, verdicts, n);
		atomic_fetch_add(&l->settled, final);
	} while (wait_for_more(l, due_ns, n == 0));
	return NULL;
}

static void finish(struct load *l)
{
	mutex_lock(&l->lock);
	l->finished = true;
	cond_broadcast(&l->changed);
	mutex_unlock(&l->lock);
}

static void test_under_load_every_job_is_settled_once(void)
{
	struct random r = seeded();
	struct load l = { .random.state = random_up_to(&r, UINT64_MAX) };
	struct loader loaders[SUBMITTERS + WORKERS];
	pthread_t threads[SUBMITTERS + WORKERS];
	struct backlog_stats s;

	CU_ASSERT_EQUAL_FATAL(mutex_init(&l.taker), 0);
	CU_ASSERT_EQUAL_FATAL(mutex_init(&l.lock), 0);
	CU_ASSERT_EQUAL_FATAL(cond_init(&l.changed), 0);
	CU_ASSERT_EQUAL_FATAL(create_memory_backlog(LOAD_JOBS, LOAD_BYTES, &l.backlog), 0);
	l.backlog->listener = (struct backlog_listener) { .ready = on_ready, .arg = &l };
	for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
		loaders[i] = (struct loader) { .load = &l,
			                      .random.state = random_up_to(&r, UINT64_MAX) };
		CU_ASSERT_EQUAL_FATAL(thread_start(&threads[i], "load", THREAD_STACK_SMALL,
		                                   i < SUBMITTERS ? submit_all : work, &loaders[i]),
		                      0);
	}
	for (size_t i = 0; i < SUBMITTERS; i++)
		thread_join(threads[i]);
	do
		backlog_stats(l.backlog, &s);
	while (s.held_jobs > 0);
	finish(&l);
	for (size_t i = SUBMITTERS; i < ARRAY_LEN(threads); i++)
		thread_join(threads[i]);

	CU_ASSERT_FALSE(atomic_load(&l.failed));
	CU_ASSERT_EQUAL(atomic_load(&l.settled), SUBMITTERS * JOBS_EACH);
	backlog_stats(l.backlog, &s);
	CU_ASSERT_EQUAL(s.waiting + s.delayed + s.held_bytes + s.submitters_blocked, 0);
	backlog_free(l.backlog);
	cond_destroy(&l.changed);
	mutex_destroy(&l.lock);
	mutex_destroy(&l.taker);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "random histories go as in the model", test_random_histories_go_as_in_the_model },
		{ "under load every job is settled once",
		  test_under_load_every_job_is_settled_once },
		CU_TEST_INFO_NULL,
	};

	(void) alarm(600); /* a hang is a failure */
	return unit_run("memory_backlog_model", tests);
}
