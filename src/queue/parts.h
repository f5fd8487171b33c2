/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A queue, for the files that it is made of: queue.c, what all of it shares and what consumers
 * do, push.c, what producers do, and levers.c, what people do to it and ask about it.
 *
 * Whatever changes anything ends in queue_release(), which looks at all that somebody may be
 * waiting for and sends the wakeups that are due.  Invariants, true whenever 'lock' is free:
 *
 *   - 'bytes' and 'depth' are sums over the jobs of all lanes, and within the capacity unless
 *     it was lowered below them;
 *   - if a waiting consumer could go on (has_work()), a wakeup is in flight to one: to an
 *     ordinary one, or to the timer if there is no other.  Whoever is woken goes on or finds
 *     that another has, and ends in queue_release(), which wakes the next if there is more;
 *   - if there are timed lanes and a consumer waits, one of those waiting is the timer, and
 *     sleeps no longer than until the first of them may run; or a wakeup is in flight to one,
 *     which finds that there is no timer, or a better time, and becomes it.  The timer leaves
 *     with a job, late or dismissed: queue_release() then wakes another to be the timer;
 *   - if there is room enough for a waiting producer, a wakeup is in flight to one;
 *   - if there are opened lanes, 'opened' was called after the first of them came up, or
 *     is about to be;
 *   - 'closed' never goes back to false.
 */
#ifndef PENSTOCK_QUEUE_PARTS_H
#define PENSTOCK_QUEUE_PARTS_H

#include "base/heap.h"
#include "base/sync.h"
#include "base/wake.h"
#include "queue/lanes.h"
#include "queue/queue.h"

/* Producers of one kind that wait for room. */
struct queue_producers {
	struct wake wake;
	size_t enough; /* the least room that one of them goes on with */
};

struct queue {
	struct mutex lock;
	void (*opened)(void *arg);
	void *arg;

	struct wake consumers GUARDED_BY(lock); /* has_work() || no timer though lanes are timed */
	struct wake timer GUARDED_BY(lock); /* at most one consumer; the same || an earlier time */
	uint64_t timer_ns GUARDED_BY(lock); /* until when it sleeps */
	/* room enough || room, and nothing ready || closed || nudged */
	struct queue_producers pushing GUARDED_BY(lock);
	/* (room enough || closed) && not paused || nudged */
	struct queue_producers asking GUARDED_BY(lock);

	struct lanes lanes GUARDED_BY(lock);
	struct heap deadlines GUARDED_BY(lock); /* of the queued jobs that have one, by it */
	size_t depth GUARDED_BY(lock);
	size_t bytes GUARDED_BY(lock);
	size_t capacity_jobs GUARDED_BY(lock);
	size_t capacity_bytes GUARDED_BY(lock);
	unsigned dismissals GUARDED_BY(lock); /* consumers that shall leave */
	bool paused GUARDED_BY(lock);         /* as a whole */
	bool closed GUARDED_BY(lock);
	bool nudged GUARDED_BY(lock);         /* who is pushing or asking, or will be */
	bool told_opened GUARDED_BY(lock); /* since there were no opened lanes */
	uint64_t stops GUARDED_BY(lock);   /* of lanes, ever */

	size_t high_water_jobs GUARDED_BY(lock);
	size_t high_water_bytes GUARDED_BY(lock);
	uint64_t pushed GUARDED_BY(lock);
	uint64_t popped GUARDED_BY(lock);
};

/* Locks the queue, and forgets what time it was. */
void queue_lock(struct queue *q) ACQUIRES(q->lock);

/* Wakes whom there is something for, unlocks the queue, and tells of opened lanes. */
void queue_release(struct queue *q) RELEASES(q->lock);

/* Wakes one whom there is something for, before the lock is given up in a wait. */
void queue_wake_consumer(struct queue *q) REQUIRES(q->lock);

/* How many more jobs it may hold; bytes are looked at only if there is no room for any. */
static inline size_t queue_room(const struct queue *q) REQUIRES(q->lock)
{
	if (q->bytes >= q->capacity_bytes || q->depth >= q->capacity_jobs)
		return 0;
	return q->capacity_jobs - q->depth;
}

/* Whether nothing may start. */
static inline bool queue_is_paused(const struct queue *q) REQUIRES(q->lock)
{
	return q->paused && !q->closed;
}

/* Whether nothing may start in the lane for a while: paused, cooling, or its breaker open. */
bool queue_is_stopped(struct queue *q, const struct lane *lane) REQUIRES(q->lock);

/* Of a job that is leaving the queue. */
static inline void queue_count_out(struct queue *q, const struct job *job) REQUIRES(q->lock)
{
	q->depth--;
	q->bytes -= job->bytes;
	if (job_deadline(job) != 0)
		heap_remove(&q->deadlines, &job->deadline_at);
}

/* Moves all jobs of a lane to the end of 'to' and settles it. */
void queue_evict_lane(struct queue *q, struct lane *lane, struct job_list *to) REQUIRES(q->lock);

#endif
