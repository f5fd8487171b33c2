/* SPDX-License-Identifier: Apache-2.0 */
#include "backlog/memory.h"

#include "backlog/memory_lanes.h"
#include "backlog/submissions.h"
#include "base/clock.h"
#include "base/heap.h"
#include "base/sync.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

/* How long the attempt rests whose hop had to be forgotten. */
#define FORGOTTEN_HOP_NS NS_PER_S

/*
 * Invariants, true whenever 'lock' is free:
 *   - held_jobs and held_bytes count every job between its acceptance and its final
 *     verdict: those that wait in 'lanes', those in 'delayed', and those that are out;
 *   - held_bytes is the sum of their job->held_bytes, which is job->bytes as it was when the
 *     job last came in: who has the job may change that;
 *   - 'delayed' has room for held_jobs entries, 'deadlines' for held_deadlines, and each job has
 *     its lane, so that settling cannot fail;
 *   - every job that waits or is delayed and has a deadline is in 'deadlines';
 *   - the first of 'submissions' does not fit.
 */
struct memory_backlog {
	struct backlog base;
	size_t max_jobs;    /* these are immutable */
	size_t max_bytes;

	struct mutex lock;
	struct memory_lanes lanes GUARDED_BY(lock);
	struct heap delayed GUARDED_BY(lock);   /* by due_ns */
	struct heap deadlines GUARDED_BY(lock); /* by job_deadline() */
	size_t delayed_by[WAIT_REASONS] GUARDED_BY(lock); /* by job->why */
	size_t held_jobs GUARDED_BY(lock);
	size_t held_bytes GUARDED_BY(lock);
	size_t held_deadlines GUARDED_BY(lock); /* of held jobs, those that have one */
	uint64_t last_number GUARDED_BY(lock);
	bool closed GUARDED_BY(lock);

	struct submission_list submissions GUARDED_BY(lock); /* that wait for room */
	uint64_t blocked_ns GUARDED_BY(lock); /* ended waits, minus the start of each that goes on */
};

/* What is to be told once the lock is free. */
struct news {
	struct submission_list ended;
	size_t accepted;
	bool ready;
	bool expiring;
};

static void tell(const struct backlog *b, struct news *news)
{
	const struct backlog_listener *l = &b->listener;

	if (news->accepted > 0 && l->accepted)
		l->accepted(l->arg, news->accepted);
	for (struct submission *s; (s = submission_list_take(&news->ended));)
		s->done(s, s->error);
	if (news->ready && l->ready)
		l->ready(l->arg);
	if (news->expiring && l->expiring)
		l->expiring(l->arg);
}

/* --- submit ---------------------------------------------------------------------- */

/* Returns 0, or which bound is in the way. */
static int look_for_room(const struct memory_backlog *m, const struct submission *s)
	REQUIRES(m->lock)
{
	if (s->n > m->max_jobs - m->held_jobs)
		return -EAGAIN;
	return s->bytes > m->max_bytes - m->held_bytes ? -EDQUOT : 0;
}

static void delay(struct memory_backlog *m, struct job *job, uint64_t due_ns, enum wait_reason why)
	REQUIRES(m->lock)
{
	assert(why < WAIT_REASONS);
	job->due_ns = due_ns;
	job->why = why;
	m->delayed_by[why]++;
	heap_add(&m->delayed, &job->due_at, due_ns);
}

static struct job *first_delayed(const struct memory_backlog *m) REQUIRES(m->lock)
{
	return HEAP_MEMBER(heap_first(&m->delayed), struct job, due_at);
}

/* It is delayed no more. */
static void end_delay(struct memory_backlog *m, struct job *job) REQUIRES(m->lock)
{
	heap_remove(&m->delayed, &job->due_at);
	m->delayed_by[job->why]--;
	job->due_ns = 0;
}

/* Of a job that has come in; a deadline before all others is news. */
static void watch_deadline(struct memory_backlog *m, struct job *job, struct news *news)
	REQUIRES(m->lock)
{
	uint64_t deadline_us = (uint64_t) job_deadline(job);

	if (deadline_us == 0)
		return;
	news->expiring = news->expiring || deadline_us < heap_key(&m->deadlines);
	heap_add(&m->deadlines, &job->deadline_at, deadline_us);
}

/* Of a job that goes out. */
static void unwatch_deadline(struct memory_backlog *m, const struct job *job) REQUIRES(m->lock)
{
	if (job_deadline(job) != 0)
		heap_remove(&m->deadlines, &job->deadline_at);
}

/* What settling these jobs needs later, all of it or nothing. */
static int reserve(struct memory_backlog *m, struct job *const *jobs, size_t n) REQUIRES(m->lock)
{
	size_t deadlines = 0;

	for (size_t i = 0; i < n; i++)
		deadlines += job_deadline(jobs[i]) != 0;
	int r = heap_reserve(&m->delayed, m->held_jobs + n);
	if (r == 0)
		r = heap_reserve(&m->deadlines, m->held_deadlines + deadlines);

	for (size_t i = 0; i < n && r == 0; i++) {
		r = memory_lanes_enter(&m->lanes, jobs[i]);
		while (r < 0 && i > 0)
			memory_lanes_leave(&m->lanes, jobs[--i]);
	}
	return r;
}

static void accept_job(struct memory_backlog *m, struct job *job, int64_t wall_us, uint64_t now_ns,
                       struct news *news) REQUIRES(m->lock)
{
	int64_t not_before_us = job_not_before(job);

	job->number = ++m->last_number;
	job->accepted_wall_us = wall_us;
	job->ready_ns = now_ns;
	job->held_bytes = job->bytes;
	m->held_deadlines += job_deadline(job) != 0;
	watch_deadline(m, job, news);
	if (not_before_us > wall_us) {
		uint64_t wait_ns = (uint64_t) (not_before_us - wall_us) * NS_PER_US;
		delay(m, job, clock_after(now_ns, wait_ns), WAIT_NOT_BEFORE);
	} else {
		memory_lanes_append(&m->lanes, job);
	}
}

static int accept_jobs(struct memory_backlog *m, struct submission *s, struct news *news)
	REQUIRES(m->lock)
{
	int64_t wall_us = clock_wall_us();
	uint64_t now_ns = clock_now_ns();

	int r = reserve(m, s->jobs, s->n);
	if (r < 0)
		return r;
	for (size_t i = 0; i < s->n; i++) {
		accept_job(m, s->jobs[i], wall_us, now_ns, news);
		if (s->receipts)
			s->receipts[i] = (struct receipt) { .kind = RECEIPT_ACCEPTED,
				                            .number = s->jobs[i]->number };
	}
	m->held_jobs += s->n;
	m->held_bytes += s->bytes;
	news->accepted += s->n;
	news->ready = true;
	return 0;
}

static void begin_wait(struct memory_backlog *m, struct submission *s) REQUIRES(m->lock)
{
	m->blocked_ns -= clock_now_ns();
	submission_list_append(&m->submissions, s);
}

static void end_wait(struct memory_backlog *m) REQUIRES(m->lock)
{
	m->blocked_ns += clock_now_ns();
}

static int try_submit(struct memory_backlog *m, struct submission *s, struct news *news)
	REQUIRES(m->lock)
{
	if (m->closed)
		return -EPIPE;

	int r = m->submissions.len > 0 ? -EAGAIN : look_for_room(m, s);
	if (r == 0)
		return accept_jobs(m, s, news);
	if (!s->waits)
		return r;
	begin_wait(m, s);
	return -EINPROGRESS;
}

static void submit(struct backlog *b, struct submission *s)
{
	struct memory_backlog *m = (struct memory_backlog *) b;
	struct news news = { 0 };

	s->bytes = 0;
	for (size_t i = 0; i < s->n; i++)
		s->bytes += s->jobs[i]->bytes;

	int r = -EMSGSIZE;
	if (s->n <= m->max_jobs && s->bytes <= m->max_bytes) {
		mutex_lock(&m->lock);
		r = try_submit(m, s, &news);
		mutex_unlock(&m->lock);
	}
	if (r == -EINPROGRESS)
		return;
	s->error = r;
	submission_list_append(&news.ended, s);
	tell(b, &news);
}

/* Takes in those that fit now, in their order.  For one that memory is wanting for, the wait
 * is over, too: nobody might come to try again. */
static void admit_waiting(struct memory_backlog *m, struct news *news) REQUIRES(m->lock)
{
	while (m->submissions.first && look_for_room(m, m->submissions.first) == 0) {
		struct submission *s = submission_list_take(&m->submissions);
		s->error = accept_jobs(m, s, news);
		submission_list_append(&news->ended, s);
		end_wait(m);
	}
}

static bool withdraw(struct backlog *b, struct submission *s)
{
	struct memory_backlog *m = (struct memory_backlog *) b;
	struct news news = { 0 };

	mutex_lock(&m->lock);
	bool found = submission_list_remove(&m->submissions, s);
	if (found) {
		end_wait(m);
		admit_waiting(m, &news); /* a smaller one may have stood behind it */
	}
	mutex_unlock(&m->lock);
	tell(b, &news);
	return found;
}

/* --- take ------------------------------------------------------------------------ */

static void collect_due(struct memory_backlog *m, uint64_t now_ns) REQUIRES(m->lock)
{
	while (m->delayed.len > 0 && heap_key(&m->delayed) <= now_ns) {
		struct job *job = first_delayed(m);
		job->ready_ns = job->due_ns;
		end_delay(m, job);
		memory_lanes_append(&m->lanes, job);
	}
}

/* Frees the lock meanwhile.  The lane stays, with all its waiting jobs: nobody else takes them. */
static size_t ask(struct memory_backlog *m, const struct backlog_gate *gate,
                  const struct memory_lane *lane, struct lane_rest *ret_rest) REQUIRES(m->lock)
{
	mutex_unlock(&m->lock);
	size_t room = gate->room(gate->arg, lane->name, ret_rest);
	mutex_lock(&m->lock);
	return room;
}

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

/* Returns how many jobs the visit has brought. */
static size_t visit(struct memory_backlog *m, struct memory_lane *lane,
                    const struct backlog_gate *gate, size_t room, struct job **ret_jobs)
	REQUIRES(m->lock)
{
	struct lane_rest rest;
	size_t lane_room = gate ? ask(m, gate, lane, &rest) : room;

	if (lane_room > 0)
		return memory_lanes_hand_out(&m->lanes, lane, smaller(room, lane_room), ret_jobs);
	memory_lanes_rest(&m->lanes, lane, &rest);
	return 0;
}

static size_t take(struct backlog *b, uint64_t now_ns, size_t room,
                   const struct backlog_gate *gate, struct job **ret_jobs,
                   uint64_t *ret_next_due_ns)
{
	struct memory_backlog *m = (struct memory_backlog *) b;
	size_t n = 0;

	mutex_lock(&m->lock);
	collect_due(m, now_ns);
	if (gate)
		memory_lanes_wake(&m->lanes, now_ns);
	else
		(void) memory_lanes_open(&m->lanes, NULL);

	/* No lane twice: its gate does not know yet what the lane has just been given. */
	for (size_t visits = m->lanes.ring.len; visits > 0 && n < room; visits--)
		n += visit(m, memory_lanes_next(&m->lanes), gate, room - n, ret_jobs + n);

	for (size_t i = 0; i < n && m->deadlines.len > 0; i++)
		unwatch_deadline(m, ret_jobs[i]);
	uint64_t due_ns = heap_key(&m->delayed), open_ns = memory_lanes_next_ns(&m->lanes);
	mutex_unlock(&m->lock);
	*ret_next_due_ns = due_ns < open_ns ? due_ns : open_ns;
	return n;
}

static size_t take_expired(struct backlog *b, int64_t wall_us, size_t room, struct job **ret_jobs,
                           int64_t *ret_next_wall_us)
{
	struct memory_backlog *m = (struct memory_backlog *) b;
	size_t n = 0;

	mutex_lock(&m->lock);
	while (n < room && m->deadlines.len > 0 && heap_key(&m->deadlines) <= (uint64_t) wall_us) {
		struct job *job = HEAP_MEMBER(heap_first(&m->deadlines), struct job, deadline_at);
		unwatch_deadline(m, job);
		if (job->due_ns > 0)
			end_delay(m, job);
		else
			memory_lanes_pull(&m->lanes, job);
		ret_jobs[n++] = job;
	}
	*ret_next_wall_us = m->deadlines.len > 0 ? (int64_t) heap_key(&m->deadlines) : INT64_MAX;
	mutex_unlock(&m->lock);
	return n;
}

static void open_lanes(struct backlog *b, const char *origin)
{
	struct memory_backlog *m = (struct memory_backlog *) b;

	mutex_lock(&m->lock);
	struct news news = { .ready = memory_lanes_open(&m->lanes, origin) };
	mutex_unlock(&m->lock);
	tell(b, &news);
}

/* --- settle ---------------------------------------------------------------------- */

/* Counts the job as it is now, if it fits so. */
static bool count_bytes(struct memory_backlog *m, struct job *job) REQUIRES(m->lock)
{
	size_t others = m->held_bytes - job->held_bytes;

	if (job->bytes > m->max_bytes - others)
		return false;
	m->held_bytes = others + job->bytes;
	job->held_bytes = job->bytes;
	return true;
}

/* Brings the job to where it goes on.  Without a hop it needs nothing that it has not got. */
static bool bring_to_lane(struct memory_backlog *m, struct job *job) REQUIRES(m->lock)
{
	return count_bytes(m, job) && memory_lanes_move(&m->lanes, job) == 0;
}

static void forget_hop(struct memory_backlog *m, struct job *job) REQUIRES(m->lock)
{
	job_clear_hop(job);
	bool there = bring_to_lane(m, job);
	assert(there);
	(void) there;
	delay(m, job, clock_after(clock_now_ns(), FORGOTTEN_HOP_NS), WAIT_RETRY);
}

static void put_back(struct memory_backlog *m, const struct verdict *v, struct news *news)
	REQUIRES(m->lock)
{
	struct job *job = v->job;

	watch_deadline(m, job, news);

	if (v->kind == VERDICT_RETRY)
		job_clear_hop(job);
	if (!bring_to_lane(m, job)) {
		forget_hop(m, job);
	} else if (v->kind == VERDICT_HOP) {
		job->ready_ns = clock_now_ns();
		memory_lanes_append(&m->lanes, job);
	} else if (v->due_ns > 0) {
		delay(m, job, v->due_ns, v->why);
	} else if (v->kind == VERDICT_RETURN) {
		memory_lanes_prepend(&m->lanes, job);
	} else {
		memory_lanes_append(&m->lanes, job);
	}
}

static void release(struct memory_backlog *m, const struct job *job) REQUIRES(m->lock)
{
	assert(m->held_jobs > 0 && m->held_bytes >= job->held_bytes);
	m->held_jobs--;
	m->held_deadlines -= job_deadline(job) != 0;
	m->held_bytes -= job->held_bytes;
	memory_lanes_leave(&m->lanes, job);
}

static int settle(struct backlog *b, const struct verdict *verdicts, size_t n)
{
	struct memory_backlog *m = (struct memory_backlog *) b;
	struct news news = { 0 };

	mutex_lock(&m->lock);
	for (size_t i = 0; i < n; i++) {
		if (verdicts[i].kind == VERDICT_FINAL) {
			release(m, verdicts[i].job);
		} else {
			put_back(m, &verdicts[i], &news);
			news.ready = true;
		}
	}
	admit_waiting(m, &news);
	mutex_unlock(&m->lock);

	for (size_t i = 0; i < n; i++)
		if (verdicts[i].kind == VERDICT_FINAL)
			job_free(verdicts[i].job);
	tell(b, &news);
	return 0;
}

/* --- the rest -------------------------------------------------------------------- */

static void close_backlog(struct backlog *b)
{
	struct memory_backlog *m = (struct memory_backlog *) b;
	struct news news = { 0 };

	mutex_lock(&m->lock);
	m->closed = true;
	for (struct submission *s; (s = submission_list_take(&m->submissions)); end_wait(m)) {
		s->error = -EPIPE;
		submission_list_append(&news.ended, s);
	}
	mutex_unlock(&m->lock);
	tell(b, &news);
}

static void count_reasons(const struct memory_backlog *m, struct backlog_stats *stats)
	REQUIRES(m->lock)
{
	stats->by_reason[WAIT_QUEUE] = m->lanes.waiting;
	for (size_t i = 0; i < WAIT_REASONS; i++) {
		stats->by_reason[i] += m->delayed_by[i] + m->lanes.resting_jobs[i];
		stats->by_reason[WAIT_QUEUE] -= m->lanes.resting_jobs[i];
	}
}

static void stats(struct backlog *b, struct backlog_stats *ret_stats)
{
	struct memory_backlog *m = (struct memory_backlog *) b;

	mutex_lock(&m->lock);
	*ret_stats = (struct backlog_stats) {
		.waiting = m->lanes.waiting,
		.delayed = m->delayed.len,
		.held_jobs = m->held_jobs,
		.held_bytes = m->held_bytes,
		.max_jobs = m->max_jobs,
		.max_bytes = m->max_bytes,
		.submitters_blocked_ns = m->blocked_ns + m->submissions.len * clock_now_ns(),
		.submitters_blocked = (unsigned) m->submissions.len,
	};
	count_reasons(m, ret_stats);
	mutex_unlock(&m->lock);
}

static void query(struct backlog *b, struct query *q)
{
	struct memory_backlog *m = (struct memory_backlog *) b;
	int r = -EOPNOTSUPP;

	if (q->kind == QUERY_LANES) {
		mutex_lock(&m->lock);
		r = memory_lanes_list(&m->lanes, q);
		mutex_unlock(&m->lock);
	}
	q->done(q, r);
}

static void free_backlog(struct backlog *b)
{
	struct memory_backlog *m = (struct memory_backlog *) b;

	mutex_lock(&m->lock);
	assert(m->held_jobs == m->lanes.waiting + m->delayed.len && m->submissions.len == 0);
	assert(m->held_jobs > 0 || m->lanes.len == 0);
	while (m->delayed.len > 0) {
		struct job *job = first_delayed(m);
		end_delay(m, job);
		job_free(job);
	}
	memory_lanes_done(&m->lanes);
	heap_done(&m->delayed);
	heap_done(&m->deadlines);
	mutex_unlock(&m->lock);

	mutex_destroy(&m->lock);
	free(m);
}

int memory_backlog_create(const struct memory_backlog_options *options,
                          struct backlog **ret_backlog)
{
	static const struct backlog_ops ops = {
		.submit = submit,
		.withdraw = withdraw,
		.take = take,
		.take_expired = take_expired,
		.open = open_lanes,
		.settle = settle,
		.close = close_backlog,
		.stats = stats,
		.query = query,
		.free = free_backlog,
	};

	if (options->max_jobs == 0 || options->max_bytes == 0)
		return -EINVAL;

	struct memory_backlog *m = malloc(sizeof(*m));
	if (!m)
		return -ENOMEM;
	*m = (struct memory_backlog) {
		.base = { .ops = &ops, .type = "memory", .listener = options->listener },
		.max_jobs = options->max_jobs,
		.max_bytes = options->max_bytes,
	};
	memory_lanes_init(&m->lanes, (int64_t) (options->ageing_ns / NS_PER_US));

	int r = mutex_init(&m->lock);
	if (r < 0) {
		free(m);
		return r;
	}
	*ret_backlog = &m->base;
	return 0;
}
