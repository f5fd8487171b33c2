/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bounded queue between the feeder and the workers: many producers, many
 * consumers, first in first out.
 *
 * A full queue blocks its producers: this is the back-pressure penstock exists
 * for, so there is no unbounded mode.  It is full when it holds 'capacity_jobs'
 * jobs or 'capacity_bytes' bytes of them, whichever comes first.
 *
 *     open --queue_close()--> draining --last job popped or evicted--> drained
 *
 * Ownership: a job belongs to the queue from a successful push until a pop or
 * queue_evict() hands it out.  Every function may be called from any thread
 * unless it says otherwise, and none from a signal handler.
 */
#ifndef PENSTOCK_QUEUE_QUEUE_H
#define PENSTOCK_QUEUE_QUEUE_H

#include "base/attr.h"
#include "job/job.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct queue;

/*
 * Creates an open, empty queue; free it with queue_free().
 *
 * Returns 0, -EINVAL if a capacity is 0 (a queue without a bound would take in
 * everything before anything is consumed), or -ENOMEM.
 */
NODISCARD NONNULL(3)
int queue_create(size_t capacity_jobs, size_t capacity_bytes, struct queue **ret_queue);

/* Frees a queue that holds nothing.  No thread may be inside any queue function.
 * Ignores NULL, returns NULL. */
struct queue *queue_free(struct queue *q);

/*
 * Appends 'n' jobs in order, waiting for room until 'deadline_ns'
 * (CLOCK_MONOTONIC; 0: do not wait; NEVER: no limit).
 *
 * Stores in '*ret_pushed' how many the queue took over; the caller still owns
 * the others.  Returns 0 once all are in, otherwise -ETIMEDOUT, -EPIPE (closed)
 * or -EMSGSIZE (the next job alone is larger than capacity_bytes).  A producer
 * with many jobs is woken when there is room for a good part of them, not for
 * each single place.
 */
NODISCARD NONNULL(1, 2, 5)
int queue_push(struct queue *q, struct job *const *jobs, size_t n, uint64_t deadline_ns,
               size_t *ret_pushed);

/*
 * Waits until there is room for 'n' jobs, or for a good part of them, until
 * 'deadline_ns'.
 *
 * Returns 0 and in '*ret_room' for how many (>= 1; more than 'n' if there is more),
 * or -ETIMEDOUT or -EPIPE.  Room is not kept: it is a promise only to the queue's
 * one producer, and in jobs, not in bytes.
 */
NODISCARD NONNULL(1, 4)
int queue_wait_room(struct queue *q, size_t n, uint64_t deadline_ns, size_t *ret_room);

/*
 * Removes the oldest job, waiting for one until 'deadline_ns'.
 *
 * Returns 0 and gives the caller '*ret_job', or -ETIMEDOUT, -EPIPE (drained), or
 * -ECANCELED (this consumer was dismissed).
 */
NODISCARD NONNULL(1, 3)
int queue_pop(struct queue *q, uint64_t deadline_ns, struct job **ret_job);

/* Asks 'n' consumers to leave: as many calls of queue_pop() return -ECANCELED
 * before they look for a job.  Replaces what an earlier call asked for. */
NONNULL(1) void queue_dismiss(struct queue *q, unsigned n);

/*
 * Changes the capacity of a running queue.  Growing wakes producers; shrinking
 * drops nothing: pushes wait until the queue has drained below the new bound.
 * Returns 0, or -EINVAL for a 0, which changes nothing.
 */
NODISCARD NONNULL(1)
int queue_set_capacity(struct queue *q, size_t capacity_jobs, size_t capacity_bytes);

/* Refuses further pushes and wakes every waiter; queued jobs can still be
 * popped.  Idempotent. */
NONNULL(1) void queue_close(struct queue *q);

/* Takes out everything that is queued, in order, and appends it to 'ret_jobs'. */
NONNULL(1, 2) void queue_evict(struct queue *q, struct job_list *ret_jobs);

/* Whether the job with this number is queued; and takes it out, NULL if it is not there.
 * Both look through the whole queue. */
NODISCARD NONNULL(1) bool queue_has(struct queue *q, uint64_t number);
NODISCARD NONNULL(1) struct job *queue_remove(struct queue *q, uint64_t number);

/* A consistent snapshot. */
struct queue_stats {
	size_t depth_jobs;
	size_t depth_bytes;
	size_t capacity_jobs;
	size_t capacity_bytes;
	size_t high_water_jobs;
	size_t high_water_bytes;
	uint64_t pushed;
	uint64_t popped; /* evicted jobs not included */
	uint64_t producers_blocked_ns; /* summed over producers, those blocked now included */
	uint64_t consumers_idle_ns;    /* summed over consumers, those idle now included */
	unsigned producers_blocked;    /* now */
	unsigned consumers_idle;       /* now */
};
NONNULL(1, 2) void queue_stats(struct queue *q, struct queue_stats *ret_stats);

#endif
