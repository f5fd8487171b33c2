/* SPDX-License-Identifier: Apache-2.0 */
#include "backlog/memory.h"

#include "backlog/due_heap.h"
#include "backlog/submissions.h"
#include "base/clock.h"
#include "base/sync.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

/*
 * Invariants, true whenever 'lock' is free:
 *   - held_jobs and held_bytes count every job between its acceptance and its final
 *     verdict: those in 'waiting', those in 'delayed', and those that are out;
 *   - 'delayed' has room for held_jobs entries, so that settling cannot fail;
 *   - the first of 'submissions' does not fit.
 */
struct memory_backlog {
	struct backlog base;
	size_t max_jobs;    /* these are immutable */
	size_t max_bytes;
	int64_t ageing_us;

	struct mutex lock;
	struct job_list waiting[JOB_PRIORITIES] GUARDED_BY(lock);
	struct due_heap delayed GUARDED_BY(lock);
	size_t held_jobs GUARDED_BY(lock);
	size_t held_bytes GUARDED_BY(lock);
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

static void accept_job(struct memory_backlog *m, struct job *job, int64_t wall_us, uint64_t now_ns)
	REQUIRES(m->lock)
{
	int64_t not_before_us = job_not_before(job);

	job->number = ++m->last_number;
	job->accepted_wall_us = wall_us;
	job->ready_ns = now_ns;
	if (not_before_us > wall_us) {
		job->due_ns = clock_after(now_ns, (uint64_t) (not_before_us - wall_us) * NS_PER_US);
		due_heap_add(&m->delayed, job);
	} else {
		job_list_append(&m->waiting[job_priority(job)], job);
	}
}

static int accept_jobs(struct memory_backlog *m, struct submission *s, struct news *news)
	REQUIRES(m->lock)
{
	int64_t wall_us = clock_wall_us();
	uint64_t now_ns = clock_now_ns();

	int r = due_heap_reserve(&m->delayed, m->held_jobs + s->n);
	if (r < 0)
		return r;
	for (size_t i = 0; i < s->n; i++) {
		accept_job(m, s->jobs[i], wall_us, now_ns);
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
	while (due_heap_next_ns(&m->delayed) <= now_ns) {
		struct job *job = due_heap_take(&m->delayed);
		job->ready_ns = job->due_ns;
		job->due_ns = 0;
		job_list_append(&m->waiting[job_priority(job)], job);
	}
}

/* When the job would have been accepted had it the normal priority. */
static int64_t rank_of(const struct memory_backlog *m, const struct job *job)
{
	static const int64_t classes[JOB_PRIORITIES] = {
		[JOB_PRIORITY_HIGH] = -1, [JOB_PRIORITY_NORMAL] = 0, [JOB_PRIORITY_LOW] = 1,
	};
	return job->accepted_wall_us + classes[job_priority(job)] * m->ageing_us;
}

/* The list whose first job is next; all are empty without one. */
static struct job_list *next_list(struct memory_backlog *m) REQUIRES(m->lock)
{
	struct job_list *best = &m->waiting[0];

	for (size_t i = 1; i < JOB_PRIORITIES; i++) {
		struct job_list *list = &m->waiting[i];
		if (list->first &&
		    (!best->first || rank_of(m, list->first) < rank_of(m, best->first)))
			best = list;
	}
	return best;
}

static size_t waiting_jobs(const struct memory_backlog *m) REQUIRES(m->lock)
{
	size_t n = 0;

	for (size_t i = 0; i < JOB_PRIORITIES; i++)
		n += m->waiting[i].len;
	return n;
}

static size_t take(struct backlog *b, uint64_t now_ns, size_t room, struct job **ret_jobs,
                   uint64_t *ret_next_due_ns)
{
	struct memory_backlog *m = (struct memory_backlog *) b;
	size_t n = 0;

	mutex_lock(&m->lock);
	collect_due(m, now_ns);
	for (struct job *job; n < room && (job = job_list_take(next_list(m)));)
		ret_jobs[n++] = job;
	*ret_next_due_ns = due_heap_next_ns(&m->delayed);
	mutex_unlock(&m->lock);
	return n;
}

/* --- settle ---------------------------------------------------------------------- */

static void put_back(struct memory_backlog *m, const struct verdict *v) REQUIRES(m->lock)
{
	struct job_list *list = &m->waiting[job_priority(v->job)];

	v->job->due_ns = v->due_ns;
	if (v->due_ns > 0)
		due_heap_add(&m->delayed, v->job);
	else if (v->kind == VERDICT_RETURN)
		job_list_prepend(list, v->job);
	else
		job_list_append(list, v->job);
}

static void release(struct memory_backlog *m, const struct job *job) REQUIRES(m->lock)
{
	assert(m->held_jobs > 0 && m->held_bytes >= job->bytes);
	m->held_jobs--;
	m->held_bytes -= job->bytes;
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
			put_back(m, &verdicts[i]);
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

static void stats(struct backlog *b, struct backlog_stats *ret_stats)
{
	struct memory_backlog *m = (struct memory_backlog *) b;

	mutex_lock(&m->lock);
	*ret_stats = (struct backlog_stats) {
		.waiting = waiting_jobs(m),
		.delayed = m->delayed.len,
		.held_jobs = m->held_jobs,
		.held_bytes = m->held_bytes,
		.max_jobs = m->max_jobs,
		.max_bytes = m->max_bytes,
		.submitters_blocked_ns = m->blocked_ns + m->submissions.len * clock_now_ns(),
		.submitters_blocked = (unsigned) m->submissions.len,
	};
	mutex_unlock(&m->lock);
}

static void free_backlog(struct backlog *b)
{
	struct memory_backlog *m = (struct memory_backlog *) b;

	mutex_lock(&m->lock);
	assert(m->held_jobs == waiting_jobs(m) + m->delayed.len && m->submissions.len == 0);
	for (size_t i = 0; i < JOB_PRIORITIES; i++)
		job_list_done(&m->waiting[i]);
	due_heap_done(&m->delayed);
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
		.settle = settle,
		.close = close_backlog,
		.stats = stats,
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
		.ageing_us = (int64_t) (options->ageing_ns / NS_PER_US),
	};

	int r = mutex_init(&m->lock);
	if (r < 0) {
		free(m);
		return r;
	}
	*ret_backlog = &m->base;
	return 0;
}
