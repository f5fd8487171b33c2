/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bounded queue between the feeder and the workers: many producers, many consumers, one
 * lane for each origin.  Lanes are served in turn, each as its limits allow (lane.h); within
 * a lane it is first in, first out.
 *
 * A full queue blocks its producers: this is the back-pressure penstock exists
 * for, so there is no unbounded mode.  It is full when it holds 'capacity_jobs'
 * jobs or 'capacity_bytes' bytes of them, whichever comes first.
 *
 *     open --queue_close()--> draining --last job popped or evicted--> drained
 *
 *     push ─► lane ─► pop: its worker is in the lane ─► queue_leave()
 *                     queue_enter(): so is one that a redirect has led there
 *
 * A lane costs nothing while it may not run: its next moment wakes one idle consumer.  It is
 * there as long as it has jobs, workers or something to remember; what idle lanes remember
 * is bounded (QUEUE_MAX_IDLE_LANES), the longest idle is forgotten first.
 *
 * Ownership: a job belongs to the queue from a successful push until a pop, queue_remove(),
 * queue_take_expired() or being evicted hands it out.  Every function may be called from any thread
 * unless it says otherwise, and none from a signal handler.
 */
#ifndef PENSTOCK_QUEUE_QUEUE_H
#define PENSTOCK_QUEUE_QUEUE_H

#include "base/attr.h"
#include "base/buf.h"
#include "job/job.h"
#include "job/wait.h"
#include "queue/lane.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	QUEUE_MAX_IDLE_LANES = 16384,
	QUEUE_MAX_PAUSED_LANES = 10000,
};

struct queue;

/* A worker's place in a lane; it is in one at most, and perhaps in another that it leaves with its
 * next pop. */
struct lane;

struct queue_options {
	size_t capacity_jobs;
	size_t capacity_bytes;

	/* Called, with no lock held, when queue_take_opened() has something; may be NULL. */
	void (*opened)(void *arg);
	void *arg;

	uint64_t (*now_ns)(void); /* for tests; NULL: clock_now_ns() */
};

/*
 * Creates an open, empty queue whose lanes have no limits; free it with queue_free().
 *
 * Returns 0, -EINVAL if a capacity is 0 (a queue without a bound would take in
 * everything before anything is consumed), or -ENOMEM.
 */
NODISCARD NONNULL(1, 2)
int queue_create(const struct queue_options *options, struct queue **ret_queue);

/* Frees a queue that holds nothing and whose lanes nobody is in.  No thread may be inside any
 * queue function.  Ignores NULL, returns NULL. */
struct queue *queue_free(struct queue *q);

/* --- producers --------------------------------------------------------------------- */

/*
 * Appends 'n' jobs in order to their lanes (job_lane_origin()), waiting for room until
 * 'deadline_ns' (CLOCK_MONOTONIC; 0: do not wait; NEVER: no limit) or queue_nudge().  Lanes'
 * limits are not looked at: that is what queue_lane_room() is for.
 *
 * Stores in '*ret_pushed' how many the queue took over; the caller still owns
 * the others, whose links (job.h) mean nothing then.  Returns 0 once all are in, otherwise -ETIMEDOUT, -EINTR (nudged), -EPIPE
 * (closed), -EMSGSIZE (the next job alone is larger than capacity_bytes) or -ENOMEM.  A producer
 * that waits is woken once half of the queue is free, or nothing in it may run now, not for each
 * single place.
 */
NODISCARD NONNULL(1, 2, 5)
int queue_push(struct queue *q, struct job *const *jobs, size_t n, uint64_t deadline_ns,
               size_t *ret_pushed);

/*
 * Waits until there is room for 'n' jobs, or for a good part of them, and the queue is not
 * paused as a whole, until 'deadline_ns' or queue_nudge().
 *
 * Returns 0 and in '*ret_room' for how many (>= 1; more than 'n' if there is more),
 * or -ETIMEDOUT, -EINTR (nudged) or -EPIPE.  Room is not kept: it is a promise only to the queue's
 * one producer, and in jobs, not in bytes.
 */
NODISCARD NONNULL(1, 4)
int queue_wait_room(struct queue *q, size_t n, uint64_t deadline_ns, size_t *ret_room);

/* Has queue_wait_room() or queue_push() return, though there may be no room; if nobody waits, the
 * next time. */
NONNULL(1) void queue_nudge(struct queue *q);

/* How many more jobs this lane may have in the queue: lane_room().  If it is 0 until the lane
 * changes (NEVER), queue_take_opened() tells once it has. */
NODISCARD NONNULL(1, 2, 3)
size_t queue_lane_room(struct queue *q, const char *origin, struct lane_obstacle *ret);

/* Appends the names, each NUL-terminated, of some of the lanes that may have room again since
 * queue_lane_room() said 0.  Returns how many; 0 if there are none, or no memory for now
 * (origins->failed). */
NODISCARD NONNULL(1, 2) size_t queue_take_opened(struct queue *q, struct buf *origins);

/* --- consumers --------------------------------------------------------------------- */

/*
 * Removes the oldest job of the next lane that may run, waiting for one until 'deadline_ns'.
 *
 * Returns 0, gives the caller '*ret_job', and has it in '*ret_lane', which it leaves with
 * queue_leave(); or -ETIMEDOUT, -EPIPE (drained), or -ECANCELED (this consumer was dismissed).
 */
NODISCARD NONNULL(1, 3, 4)
int queue_pop(struct queue *q, uint64_t deadline_ns, struct job **ret_job, struct lane **ret_lane);

/* Enters the lane of 'origin' without a job of it, if it may run now.  Returns 0, -EAGAIN (it
 * may not) or -ENOMEM. */
NODISCARD NONNULL(1, 2, 3)
int queue_enter(struct queue *q, const char *origin, struct lane **ret_lane);

/* How what was done in a lane has ended. */
enum lane_outcome {
	LANE_ANSWERED,
	LANE_FAILED, /* a failure of the transport */
	LANE_UNUSED, /* nothing was asked of the origin, or it was aborted */
};

/*
 * Leaves a lane, which then cools for 'cool_ns' (0: not at all).  If it may not run for a
 * while now, its queued jobs are appended to 'ret_evicted', the first one first: the caller's, to
 * be given back to the backlog.
 */
NONNULL(1, 2, 5)
void queue_leave(struct queue *q, struct lane *lane, enum lane_outcome outcome, uint64_t cool_ns,
                 struct job_list *ret_evicted);

/* Whether leaving the lane like this changes nothing but the number of workers in it: it has no
 * limits, nor anything to remember.  Then queue_leave_and_pop() may do it, and spares a lock. */
NODISCARD NONNULL(1)
bool queue_may_leave_later(const struct lane *lane, enum lane_outcome outcome, uint64_t cool_ns);

/* queue_pop() by a worker that is still in the lane 'left', which it leaves first, also if it
 * gets no job; NULL: in none. */
NODISCARD NONNULL(1, 4, 5)
int queue_leave_and_pop(struct queue *q, struct lane *left, uint64_t deadline_ns,
                        struct job **ret_job, struct lane **ret_lane);

/* Asks 'n' consumers to leave: as many calls of queue_pop() return -ECANCELED
 * before they look for a job.  Replaces what an earlier call asked for. */
NONNULL(1) void queue_dismiss(struct queue *q, unsigned n);

/* --- levers ------------------------------------------------------------------------ */

/*
 * Changes the capacity of a running queue.  Growing wakes producers; shrinking
 * drops nothing: pushes wait until the queue has drained below the new bound.
 * Returns 0, or -EINVAL for a 0, which changes nothing.
 */
NODISCARD NONNULL(1)
int queue_set_capacity(struct queue *q, size_t capacity_jobs, size_t capacity_bytes);

/* Puts copies of these rules in force for every lane, at once: the first that fits.  Lanes that
 * rest in the backlog are the caller's to open.  Returns 0 or -ENOMEM, which changes nothing. */
NODISCARD NONNULL(1)
int queue_set_rules(struct queue *q, const struct lane_rule *rules, size_t n);

/*
 * Pauses the lane 'origin', or everything if that is NULL: nothing starts there any more, what
 * runs goes on.  Jobs of a paused lane are appended to 'ret_evicted' as by queue_leave(); those
 * of a queue that is paused as a whole stay where they are.  Returns 0, -ENOSPC
 * (QUEUE_MAX_PAUSED_LANES) or -ENOMEM.
 */
NODISCARD NONNULL(1, 3)
int queue_pause(struct queue *q, const char *origin, struct job_list *ret_evicted);

/* Ends that; of a lane also its Retry-After and its breaker's pause.  A lane that is paused
 * itself stays so when everything is resumed.  Returns whether there was anything to end. */
NONNULL(1) bool queue_resume(struct queue *q, const char *origin);

/* Refuses further pushes and wakes every waiter; queued jobs can still be
 * popped, also where a lane or all was paused.  Idempotent. */
NONNULL(1) void queue_close(struct queue *q);

/* Takes out everything that is queued, and appends it to 'ret_jobs', each lane's in order. */
NONNULL(1, 2) void queue_evict(struct queue *q, struct job_list *ret_jobs);

/*
 * Jobs whose lanes were asked for room before a lane was paused, cooled or broken may be pushed
 * after that, and would stand in the queue for as long.  queue_stops() counts such events;
 * queue_evict_stopped() takes out the jobs of those lanes, and appends them to 'ret_evicted', each
 * lane's in order.  It looks at every lane that has jobs or workers.
 */
NODISCARD NONNULL(1) uint64_t queue_stops(struct queue *q);
NONNULL(1, 2) void queue_evict_stopped(struct queue *q, struct job_list *ret_evicted);

/* Takes up to 'room' jobs out whose deadline has passed at 'wall_us', in the order of their
 * deadlines; also of what is paused.  Returns their number, and in '*ret_next_wall_us' when the
 * next deadline passes of those that are queued; INT64_MAX: none has one. */
NODISCARD NONNULL(1, 4, 5)
size_t queue_take_expired(struct queue *q, int64_t wall_us, size_t room, struct job **ret_jobs,
                          int64_t *ret_next_wall_us);

/* Takes the job with this number out; NULL if it is not there.  Looks through the whole queue. */
NODISCARD NONNULL(1) struct job *queue_remove(struct queue *q, uint64_t number);

/* --- figures ----------------------------------------------------------------------- */

/* Whether the job with this number is queued, and how many stand before it in its lane.  Looks
 * through the whole queue. */
NODISCARD NONNULL(1, 3) bool queue_find(struct queue *q, uint64_t number, size_t *ret_ahead);

/* One lane at this moment. */
struct queue_lane {
	size_t origin_at; /* of queue_list(): its name begins there, NUL-terminated */
	size_t queued;
	size_t running;
	struct lane_obstacle obstacle; /* to its next start; WAIT_PAUSED also if all is paused */
	struct lane_limits limits;
	unsigned failures;             /* in a row */
};

/* Also of a lane that is not there: what it would be. */
NONNULL(1, 2, 3)
void queue_lane(struct queue *q, const char *origin, struct queue_lane *ret_lane);

/* Up to 'max' lanes that are there, those with most queued and running first, and their names,
 * appended to 'names'.  Returns their number, and that of all in '*ret_all'. */
NODISCARD NONNULL(1, 2, 4, 5)
size_t queue_list(struct queue *q, struct queue_lane *lanes, size_t max, struct buf *names,
                  size_t *ret_all);

/* A consistent snapshot. */
struct queue_stats {
	size_t depth_jobs;
	size_t depth_bytes;
	size_t capacity_jobs;
	size_t capacity_bytes;
	size_t high_water_jobs;
	size_t high_water_bytes;
	size_t by_reason[WAIT_REASONS]; /* the queued jobs, by their lanes' obstacles */
	size_t lanes;                   /* with jobs or workers */
	size_t idle_lanes;              /* only remembered */
	size_t paused_lanes;
	bool paused;                    /* as a whole */
	uint64_t pushed;
	uint64_t popped; /* evicted jobs not included */
	uint64_t producers_blocked_ns; /* summed over producers, those blocked now included */
	uint64_t consumers_idle_ns;    /* summed over consumers, those idle now included */
	unsigned producers_blocked;    /* now */
	unsigned consumers_idle;       /* now */
};
NONNULL(1, 2) void queue_stats(struct queue *q, struct queue_stats *ret_stats);

#endif
