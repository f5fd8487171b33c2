/* SPDX-License-Identifier: Apache-2.0 */
#include "queue/queue.h"

#include "base/sync.h"
#include "base/wake.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

/*
 * Invariants, true whenever 'lock' is free:
 *   - 'bytes' is the sum over 'jobs', and both are within the capacity unless it
 *     was lowered below them;
 *   - if a waiting consumer could go on (a job, a dismissal, closed), a wakeup is
 *     in flight to one; the same holds for producers and room enough for them;
 *   - 'closed' never goes back to false.
 */
struct queue {
	struct mutex lock;
	struct wake consumers; /* jobs.len > 0 || dismissals > 0 || closed */
	struct wake producers; /* has_room_for(enough jobs) || closed */

	struct job_list jobs GUARDED_BY(lock);
	size_t bytes GUARDED_BY(lock);
	size_t capacity_jobs GUARDED_BY(lock);
	size_t capacity_bytes GUARDED_BY(lock);
	size_t wanted GUARDED_BY(lock);      /* the least room that some waiting producer goes on with */
	unsigned dismissals GUARDED_BY(lock); /* consumers that shall leave */
	bool closed GUARDED_BY(lock);

	size_t high_water_jobs GUARDED_BY(lock);
	size_t high_water_bytes GUARDED_BY(lock);
	uint64_t pushed GUARDED_BY(lock);
	uint64_t popped GUARDED_BY(lock);
};

int queue_create(size_t capacity_jobs, size_t capacity_bytes, struct queue **ret_queue)
{
	if (capacity_jobs == 0 || capacity_bytes == 0)
		return -EINVAL;

	struct queue *q = malloc(sizeof(*q));
	if (!q)
		return -ENOMEM;
	*q = (struct queue) { .capacity_jobs = capacity_jobs, .capacity_bytes = capacity_bytes };

	int r = mutex_init(&q->lock);
	if (r < 0)
		goto free_queue;
	r = wake_init(&q->consumers);
	if (r < 0)
		goto destroy_lock;
	r = wake_init(&q->producers);
	if (r < 0)
		goto destroy_consumers;

	*ret_queue = q;
	return 0;

destroy_consumers:
	wake_destroy(&q->consumers);
destroy_lock:
	mutex_destroy(&q->lock);
free_queue:
	free(q);
	return r;
}

struct queue *queue_free(struct queue *q)
{
	if (!q)
		return NULL;

	mutex_lock(&q->lock);
	assert(q->jobs.len == 0);
	mutex_unlock(&q->lock);
	wake_destroy(&q->producers);
	wake_destroy(&q->consumers);
	mutex_destroy(&q->lock);
	free(q);
	return NULL;
}

/* --- producers ------------------------------------------------------------------- */

static size_t room(const struct queue *q) REQUIRES(q->lock)
{
	if (q->bytes >= q->capacity_bytes || q->jobs.len >= q->capacity_jobs)
		return 0;
	return q->capacity_jobs - q->jobs.len;
}

static bool has_room_for(const struct queue *q, const struct job *job) REQUIRES(q->lock)
{
	return room(q) > 0 && job->bytes <= q->capacity_bytes - q->bytes;
}

/* How much room is worth waking a producer of 'n' jobs for: all it needs, or a
 * quarter of the queue, so that it is not woken for each single place. */
static size_t enough(const struct queue *q, size_t n) REQUIRES(q->lock)
{
	size_t quarter = q->capacity_jobs / 4;
	return n < quarter ? n : quarter > 0 ? quarter : 1;
}

/* An empty queue always wakes: bytes may stand in the way of jobs that were 'wanted'. */
static void wake_producer(struct queue *q) REQUIRES(q->lock)
{
	if (room(q) >= q->wanted || q->jobs.len == 0 || q->closed)
		wake_one(&q->producers);
}

static bool wait_for_room(struct queue *q, size_t n, uint64_t deadline_ns) REQUIRES(q->lock)
{
	size_t least = enough(q, n);

	if (q->producers.waiters == 0 || least < q->wanted)
		q->wanted = least;
	return wake_wait(&q->producers, &q->lock, deadline_ns);
}

static void append(struct queue *q, struct job *job) REQUIRES(q->lock)
{
	job_list_append(&q->jobs, job);
	q->bytes += job->bytes;
	q->pushed++;
	if (q->jobs.len > q->high_water_jobs)
		q->high_water_jobs = q->jobs.len;
	if (q->bytes > q->high_water_bytes)
		q->high_water_bytes = q->bytes;
	wake_one(&q->consumers);
}

int queue_push(struct queue *q, struct job *const *jobs, size_t n, uint64_t deadline_ns,
               size_t *ret_pushed)
{
	size_t pushed = 0;
	bool in_time = deadline_ns > 0;
	int r = 0;

	mutex_lock(&q->lock);
	while (pushed < n) {
		if (q->closed) {
			r = -EPIPE;
		} else if (jobs[pushed]->bytes > q->capacity_bytes) {
			r = -EMSGSIZE;
		} else if (has_room_for(q, jobs[pushed])) {
			append(q, jobs[pushed++]);
			continue;
		} else if (in_time) {
			in_time = wait_for_room(q, n - pushed, deadline_ns);
			continue;
		} else {
			r = -ETIMEDOUT;
		}
		break;
	}
	wake_producer(q); /* passes a wakeup on that this one has not used up */
	mutex_unlock(&q->lock);

	*ret_pushed = pushed;
	return r;
}

int queue_wait_room(struct queue *q, size_t n, uint64_t deadline_ns, size_t *ret_room)
{
	bool in_time = deadline_ns > 0;

	mutex_lock(&q->lock);
	while (!q->closed && in_time && room(q) < enough(q, n))
		in_time = wait_for_room(q, n, deadline_ns);
	size_t found = room(q);
	int r = q->closed ? -EPIPE : found > 0 ? 0 : -ETIMEDOUT;
	wake_producer(q); /* the room is still there for another */
	mutex_unlock(&q->lock);

	if (r == 0)
		*ret_room = found;
	return r;
}

/* --- consumers ------------------------------------------------------------------- */

static bool concerns_consumers(const struct queue *q) REQUIRES(q->lock)
{
	return q->jobs.len > 0 || q->dismissals > 0 || q->closed;
}

static int take(struct queue *q, struct job **ret_job) REQUIRES(q->lock)
{
	if (q->dismissals > 0) {
		q->dismissals--;
		return -ECANCELED;
	}
	if (q->jobs.len == 0)
		return q->closed ? -EPIPE : -ETIMEDOUT;

	struct job *job = job_list_take(&q->jobs);
	q->bytes -= job->bytes;
	q->popped++;
	wake_producer(q);
	*ret_job = job;
	return 0;
}

int queue_pop(struct queue *q, uint64_t deadline_ns, struct job **ret_job)
{
	bool in_time = deadline_ns > 0;

	mutex_lock(&q->lock);
	while (!concerns_consumers(q) && in_time)
		in_time = wake_wait(&q->consumers, &q->lock, deadline_ns);
	int r = take(q, ret_job);
	if (concerns_consumers(q))
		wake_one(&q->consumers);
	mutex_unlock(&q->lock);
	return r;
}

void queue_dismiss(struct queue *q, unsigned n)
{
	mutex_lock(&q->lock);
	q->dismissals = n;
	if (n > 0)
		wake_one(&q->consumers);
	mutex_unlock(&q->lock);
}

/* --- everyone -------------------------------------------------------------------- */

int queue_set_capacity(struct queue *q, size_t capacity_jobs, size_t capacity_bytes)
{
	if (capacity_jobs == 0 || capacity_bytes == 0)
		return -EINVAL;

	mutex_lock(&q->lock);
	q->capacity_jobs = capacity_jobs;
	q->capacity_bytes = capacity_bytes;
	q->wanted = 1; /* what was enough depends on the capacity: let all look again */
	wake_all(&q->producers);
	mutex_unlock(&q->lock);
	return 0;
}

void queue_close(struct queue *q)
{
	mutex_lock(&q->lock);
	q->closed = true;
	wake_all(&q->consumers);
	wake_all(&q->producers);
	mutex_unlock(&q->lock);
}

void queue_evict(struct queue *q, struct job_list *ret_jobs)
{
	mutex_lock(&q->lock);
	struct job_list evicted = q->jobs;
	q->jobs = (struct job_list) { 0 };
	q->bytes = 0;
	wake_producer(q);
	mutex_unlock(&q->lock);

	for (struct job *job; (job = job_list_take(&evicted));)
		job_list_append(ret_jobs, job);
}

bool queue_has(struct queue *q, uint64_t number)
{
	mutex_lock(&q->lock);
	const struct job *job = q->jobs.first;
	while (job && job->number != number)
		job = job->next;
	mutex_unlock(&q->lock);
	return job != NULL;
}

struct job *queue_remove(struct queue *q, uint64_t number)
{
	mutex_lock(&q->lock);
	struct job *job = job_list_remove(&q->jobs, number);
	if (job) {
		q->bytes -= job->bytes;
		wake_producer(q);
	}
	mutex_unlock(&q->lock);
	return job;
}

void queue_stats(struct queue *q, struct queue_stats *ret_stats)
{
	mutex_lock(&q->lock);
	*ret_stats = (struct queue_stats) {
		.depth_jobs = q->jobs.len,
		.depth_bytes = q->bytes,
		.capacity_jobs = q->capacity_jobs,
		.capacity_bytes = q->capacity_bytes,
		.high_water_jobs = q->high_water_jobs,
		.high_water_bytes = q->high_water_bytes,
		.pushed = q->pushed,
		.popped = q->popped,
		.producers_blocked_ns = wake_waited_ns(&q->producers),
		.consumers_idle_ns = wake_waited_ns(&q->consumers),
		.producers_blocked = q->producers.waiters,
		.consumers_idle = q->consumers.waiters,
	};
	mutex_unlock(&q->lock);
}
