/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lanes of a queue, and whose turn it is.  Nothing here waits, wakes or bounds: that is
 * queue.c.  Not thread-safe.
 *
 * A lane with jobs stands in exactly one place:
 *
 *          ┌─────────────────── a job is popped, and nothing stands in the way ──┐
 *          ▼                                                                     │
 *     ready (FIFO) ──── a job is popped: its concurrency is used up ──► parked   │
 *          │  ▲                                                           │      │
 *          │  └──── somebody leaves it, it is resumed, its limits rise ───┘      │
 *          ├─────────────────────────────────────────────────────────────────────┘
 *          └── a job is popped: not before a certain time ──► timed (heap) ──► ready
 *
 * and one without jobs or workers that something is still remembered of in 'idle'.  Whatever
 * happens to a lane, lanes_settle() then puts it where it belongs, tells the feeder, or frees it.
 */
#ifndef PENSTOCK_QUEUE_LANES_H
#define PENSTOCK_QUEUE_LANES_H

#include "base/attr.h"
#include "base/heap.h"
#include "job/job.h"
#include "queue/lane.h"
#include "queue/queue.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum lane_place {
	LANE_NOWHERE,
	LANE_READY,  /* has jobs, and may run */
	LANE_TIMED,  /* has jobs, and may run later */
	LANE_PARKED, /* has jobs; somebody has to leave it first, or to resume it */
	LANE_IDLE,   /* only remembered */
};

struct lane {
	struct lane *same_bucket; /* link of the hash table */
	uint64_t hash;
	const struct lane_limits *limits; /* of a rule, or none */
	struct job_list queued;
	size_t running; /* workers in it */
	atomic_bool is_plain; /* without limits, pauses or failures: an answer changes nothing */

	struct lane *before, *after; /* links of the list that 'place' is */
	struct lane *opened_after;   /* link of the opened ones */
	size_t heap_at;              /* where it stands in the heap */
	enum lane_place place;
	enum wait_reason why; /* it is not ready, if it has jobs */
	bool is_busy;         /* it has jobs or workers; counted so */
	bool is_wanted;      /* the feeder was told that there is no room until something changes */
	bool is_opened;      /* something has; the feeder does not know yet */
	bool has_overlapped; /* the latest start was not the only one under way */
	struct lane_state state;
	char name[]; /* the origin */
};

struct lane_list {
	struct lane *first, *last;
	size_t len;
};

/* Rules and their strings: one allocation. */
struct lane_rules {
	size_t n;
	struct lane_rule rules[];
};

struct lanes {
	struct lane *
	        *buckets; /* 'size' of them, a power of two; lanes with equal hashes are chained */
	size_t size;
	size_t len;
	uint64_t seed;            /* nobody shall make up names that all fall into one bucket */
	struct lane_rules *rules; /* NULL: none */

	struct lane_list ready, parked, idle;
	struct heap timed; /* has room for all lanes: nothing fails on the way */
	struct lane *opened_first, *opened_last;
	size_t busy;   /* lanes with jobs or workers */
	size_t paused; /* lanes that are themselves */
	bool ignores_pauses;

	uint64_t (*clock_ns)(void);
	uint64_t now_ns; /* read once between two calls of lanes_begin(), when first asked for; 0:
	                    not yet */
};

/* Returns 0 or -ENOMEM. */
NODISCARD NONNULL(1, 2) int lanes_init(struct lanes *l, uint64_t (*clock_ns)(void));

/* Frees the lanes, which have no jobs. */
NONNULL(1) void lanes_done(struct lanes *l);

/* The time may have gone on: forgets what it was. */
NONNULL(1) static inline void lanes_begin(struct lanes *l) { l->now_ns = 0; }
NONNULL(1) uint64_t lanes_now_ns(struct lanes *l);

/* The lane of this origin; NULL if it is not there. */
NODISCARD NONNULL(1, 2) struct lane *lanes_find(struct lanes *l, const char *origin);

/* Makes it if it is not there; NULL: no memory.  To be settled after something was done to it. */
NODISCARD NONNULL(1, 2) struct lane *lanes_obtain(struct lanes *l, const char *origin);

/* All lanes that are there, one after the other in no order: the first for NULL, then that after
 * 'lane'; NULL after the last. */
NODISCARD NONNULL(1) struct lane *lanes_next(const struct lanes *l, const struct lane *lane);

/* What stands in the way of a start in this lane. */
NODISCARD NONNULL(1, 2) struct lane_obstacle lanes_look(struct lanes *l, const struct lane *lane);

/* Puts the lane where it belongs.  It may be gone afterwards. */
NONNULL(1, 2) void lanes_settle(struct lanes *l, struct lane *lane);

/* Appends all of the jobs.  The lane is settled. */
NONNULL(1, 2, 3) void lanes_append(struct lanes *l, struct lane *lane, struct job_list *jobs);

/* Moves timed lanes whose time has come to the ready ones: a few, until there is a ready one. */
NONNULL(1) void lanes_promote(struct lanes *l);

/* When the first of the timed lanes may run; NEVER if there is none. */
NONNULL(1) static inline uint64_t lanes_next_ns(const struct lanes *l)
{
	return heap_key(&l->timed);
}

/* Takes the job whose turn it is, and starts it in '*ret_lane'; there must be a ready lane. */
NODISCARD NONNULL(1, 2) struct job *lanes_take(struct lanes *l, struct lane **ret_lane);

/* Starts something in a lane that lanes_look() has nothing against; settled. */
NONNULL(1, 2) void lanes_start(struct lanes *l, struct lane *lane);

/* Whether it is plain.  A worker in it may ask without the queue's lock: what changes at that
 * moment may as well come later. */
NODISCARD NONNULL(1) static inline bool lane_is_plain(const struct lane *lane)
{
	return atomic_load_explicit(&lane->is_plain, memory_order_relaxed);
}

/* Whether one worker more or less changes nothing else, which is the usual case. */
NODISCARD NONNULL(1) static inline bool lane_goes_on(const struct lane *lane)
{
	return lane->queued.len > 0 && lane_is_plain(lane);
}

/* Notes how something that was started has ended.  To be settled. */
NONNULL(1, 2) void lanes_leave(struct lanes *l, struct lane *lane, enum lane_outcome outcome);

/* Takes a worker out whose leaving was nothing to be noted.  Settled. */
NONNULL(1, 2) static inline void lanes_let_go(struct lanes *l, struct lane *lane)
{
	lane->running--;
	if (!lane_goes_on(lane))
		lanes_settle(l, lane);
}

/* A lane that has jobs; NULL if none has. */
NODISCARD NONNULL(1) struct lane *lanes_any_with_jobs(const struct lanes *l);

/* lane_room(); the feeder is told when there is some again. */
NODISCARD NONNULL(1, 2, 3)
size_t lanes_room(struct lanes *l, const char *origin, struct lane_obstacle *ret);

/* Forgets that the first opened lane is; there must be one.  It may be gone afterwards. */
NONNULL(1) void lanes_take_opened(struct lanes *l);

/* The limits of this origin. */
NODISCARD NONNULL(1, 2)
const struct lane_limits *lanes_limits(const struct lanes *l, const char *origin);

/* Takes the rules over, and frees those before. */
NONNULL(1) void lanes_set_rules(struct lanes *l, struct lane_rules *rules);

/* Nothing is paused any more, now or later. */
NONNULL(1) void lanes_ignore_pauses(struct lanes *l);

#endif
