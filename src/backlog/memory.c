/* SPDX-License-Identifier: Apache-2.0 */
#include "backlog/memory.h"

#include "backlog/due_heap.h"
#include "base/clock.h"
#include "base/sync.h"
#include "base/wake.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

/*
 * Invariants, true whenever 'lock' is free:
 *   - held_jobs and held_bytes count every job between submit and final verdict:
 *     those in 'waiting', those in 'delayed', and those that are out;
 *   - 'delayed' has room for held_jobs entries, so that settling cannot fail.
 */
struct memory_backlog {
	struct backlog base;
	size_t max_jobs;  /* immutable */
	size_t max_bytes; /* immutable */

	struct mutex lock;
	struct wake submitters; /* has_room_for(their batch) || closed */

	struct job_list waiting GUARDED_BY(lock);
	struct due_heap delayed GUARDED_BY(lock);
	size_t held_jobs GUARDED_BY(lock);
	size_t held_bytes GUARDED_BY(lock);
	size_t least_wanted GUARDED_BY(lock); /* jobs of the smallest batch that waits for room */
	uint64_t last_number GUARDED_BY(lock);
	bool closed GUARDED_BY(lock);
};

static void notify(const struct backlog *b)
{
	if (b->listener.ready)
		b->listener.ready(b->listener.arg);
}

/* --- submit ---------------------------------------------------------------------- */

static bool has_room_for(const struct memory_backlog *m, size_t n, size_t bytes) REQUIRES(m->lock)
{
	return n <= m->max_jobs - m->held_jobs && bytes <= m->max_bytes - m->held_bytes;
}

static void wait_for_room(struct memory_backlog *m, size_t n) REQUIRES(m->lock)
{
	if (m->submitters.waiters == 0 || n < m->least_wanted)
		m->least_wanted = n;
	(void) wake_wait(&m->submitters, &m->lock, NEVER);
}

static void accept_jobs(struct memory_backlog *m, struct job *const *jobs, size_t n, size_t bytes,
                        int64_t wall_us, uint64_t now_ns) REQUIRES(m->lock)
{
	for (size_t i = 0; i < n; i++) {
		jobs[i]->number = ++m->last_number;
		jobs[i]->accepted_wall_us = wall_us;
		jobs[i]->ready_ns = now_ns;
		job_list_append(&m->waiting, jobs[i]);
	}
	m->held_jobs += n;
	m->held_bytes += bytes;
}

static int submit(struct backlog *b, struct job *const *jobs, size_t n)
{
	struct memory_backlog *m = (struct memory_backlog *) b;
	size_t bytes = 0;

	for (size_t i = 0; i < n; i++)
		bytes += jobs[i]->bytes;
	if (n > m->max_jobs || bytes > m->max_bytes)
		return -EMSGSIZE;

	mutex_lock(&m->lock);
	while (!m->closed && !has_room_for(m, n, bytes))
		wait_for_room(m, n);
	int r = m->closed ? -EPIPE : due_heap_reserve(&m->delayed, m->held_jobs + n);
	if (r == 0)
		accept_jobs(m, jobs, n, bytes, clock_wall_us(), clock_now_ns());
	mutex_unlock(&m->lock);

	if (r == 0)
		notify(b);
	return r;
}

/* --- take ------------------------------------------------------------------------ */

static void collect_due(struct memory_backlog *m, uint64_t now_ns) REQUIRES(m->lock)
{
	while (due_heap_next_ns(&m->delayed) <= now_ns) {
		struct job *job = due_heap_take(&m->delayed);
		job->ready_ns = job->due_ns;
		job->due_ns = 0;
		job_list_append(&m->waiting, job);
	}
}

static size_t take(struct backlog *b, uint64_t now_ns, size_t room, struct job **ret_jobs,
                   uint64_t *ret_next_due_ns)
{
	struct memory_backlog *m = (struct memory_backlog *) b;
	size_t n = 0;

	mutex_lock(&m->lock);
	collect_due(m, now_ns);
	while (n < room && m->waiting.len > 0)
		ret_jobs[n++] = job_list_take(&m->waiting);
	*ret_next_due_ns = due_heap_next_ns(&m->delayed);
	mutex_unlock(&m->lock);
	return n;
}

/* --- settle ---------------------------------------------------------------------- */

static void put_back(struct memory_backlog *m, const struct verdict *v) REQUIRES(m->lock)
{
	v->job->due_ns = v->due_ns;
	if (v->due_ns > 0)
		due_heap_add(&m->delayed, v->job);
	else if (v->kind == VERDICT_RETURN)
		job_list_prepend(&m->waiting, v->job);
	else
		job_list_append(&m->waiting, v->job);
}

static void release(struct memory_backlog *m, const struct job *job) REQUIRES(m->lock)
{
	assert(m->held_jobs > 0 && m->held_bytes >= job->bytes);
	m->held_jobs--;
	m->held_bytes -= job->bytes;
}

static void settle(struct backlog *b, const struct verdict *verdicts, size_t n)
{
	struct memory_backlog *m = (struct memory_backlog *) b;
	bool came_back = false;

	mutex_lock(&m->lock);
	for (size_t i = 0; i < n; i++) {
		if (verdicts[i].kind == VERDICT_FINAL) {
			release(m, verdicts[i].job);
		} else {
			put_back(m, &verdicts[i]);
			came_back = true;
		}
	}
	if (m->submitters.waiters > 0 && m->max_jobs - m->held_jobs >= m->least_wanted)
		wake_all(&m->submitters);
	mutex_unlock(&m->lock);

	for (size_t i = 0; i < n; i++)
		if (verdicts[i].kind == VERDICT_FINAL)
			job_free(verdicts[i].job);
	if (came_back)
		notify(b);
}

/* --- the rest -------------------------------------------------------------------- */

static void close_backlog(struct backlog *b)
{
	struct memory_backlog *m = (struct memory_backlog *) b;

	mutex_lock(&m->lock);
	m->closed = true;
	wake_all(&m->submitters);
	mutex_unlock(&m->lock);
}

static void stats(struct backlog *b, struct backlog_stats *ret_stats)
{
	struct memory_backlog *m = (struct memory_backlog *) b;

	mutex_lock(&m->lock);
	*ret_stats = (struct backlog_stats) {
		.waiting = m->waiting.len,
		.delayed = m->delayed.len,
		.held_jobs = m->held_jobs,
		.held_bytes = m->held_bytes,
		.max_jobs = m->max_jobs,
		.max_bytes = m->max_bytes,
		.submitters_blocked_ns = wake_waited_ns(&m->submitters),
		.submitters_blocked = m->submitters.waiters,
	};
	mutex_unlock(&m->lock);
}

static void free_backlog(struct backlog *b)
{
	struct memory_backlog *m = (struct memory_backlog *) b;

	mutex_lock(&m->lock);
	assert(m->held_jobs == m->waiting.len + m->delayed.len);
	job_list_done(&m->waiting);
	due_heap_done(&m->delayed);
	mutex_unlock(&m->lock);

	wake_destroy(&m->submitters);
	mutex_destroy(&m->lock);
	free(m);
}

int memory_backlog_create(size_t max_jobs, size_t max_bytes, struct backlog **ret_backlog)
{
	static const struct backlog_ops ops = {
		.submit = submit,
		.take = take,
		.settle = settle,
		.close = close_backlog,
		.stats = stats,
		.free = free_backlog,
	};

	if (max_jobs == 0 || max_bytes == 0)
		return -EINVAL;

	struct memory_backlog *m = malloc(sizeof(*m));
	if (!m)
		return -ENOMEM;
	*m = (struct memory_backlog) {
		.base.ops = &ops,
		.max_jobs = max_jobs,
		.max_bytes = max_bytes,
	};

	int r = mutex_init(&m->lock);
	if (r < 0)
		goto free_memory;
	r = wake_init(&m->submitters);
	if (r < 0)
		goto destroy_lock;

	*ret_backlog = &m->base;
	return 0;

destroy_lock:
	mutex_destroy(&m->lock);
free_memory:
	free(m);
	return r;
}
