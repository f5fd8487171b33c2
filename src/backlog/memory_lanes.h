/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lanes of the backlog in memory: where its waiting jobs stand, one lane for each origin.
 *
 *                 its first job           memory_lanes_next()
 *     no job waits ──────────► in the ring ─────────► visited ──► the ring's end, or none waits
 *                                  ▲                     │ memory_lanes_rest()
 *                                  └── time, opened ── resting
 *
 * A lane is there as long as one of its jobs is anywhere in the backlog, so that a job that
 * comes back finds its lane and needs no memory: only a hop to an origin without a lane does.
 *
 * A job is in one lane, job->lane, from memory_lanes_enter() to memory_lanes_leave(), whether it waits
 * or not.  Not thread-safe; but the lane that is visited stays, as only its visitor takes jobs
 * from it.
 */
#ifndef PENSTOCK_BACKLOG_MEMORY_LANES_H
#define PENSTOCK_BACKLOG_MEMORY_LANES_H

#include "backlog/backlog.h"
#include "base/heap.h"

/* In each lane, a list for each priority, and one for jobs that a redirect has led there. */
enum { LANE_HOPS = JOB_PRIORITIES, LANE_LISTS };

struct memory_lane {
	struct memory_lane *in_bucket; /* the next one there */
	struct memory_lane *next;      /* in the ring, or among those that rest */
	struct memory_lane *before;
	struct job_list waiting[LANE_LISTS];
	size_t waiting_jobs;
	size_t jobs;           /* that are in this lane, those that do not wait included */
	size_t away;           /* of this origin, but in another's lane now */
	bool resting;
	struct lane_rest rest; /* if so */
	size_t rests_at;       /* in lanes.rests, unless it rests until it is opened */
	uint64_t hash;
	char name[];           /* immutable */
};

struct lane_list {
	struct memory_lane *first;
	struct memory_lane *last;
	size_t len;
};

struct memory_lanes {
	int64_t ageing_us; /* immutable, as the next one is */
	uint64_t seed;
	struct memory_lane **buckets; /* of a hash table by name, which never shrinks */
	size_t n_buckets;             /* a power of two */
	size_t len;                   /* lanes in it */
	size_t with_jobs;             /* of these */
	struct lane_list ring;        /* they have waiting jobs; the first is next */
	struct lane_list resting;
	struct heap rests;            /* the resting ones that have a time, by it; room for 'len' */
	size_t waiting;               /* jobs, in all lanes */
	size_t resting_jobs[WAIT_REASONS]; /* those of them whose lane rests, by the reason */
};

/* 'ageing_us' is that of struct memory_backlog_options. */
NONNULL(1) void memory_lanes_init(struct memory_lanes *l, int64_t ageing_us);

/* Frees the lanes and the jobs that wait in them. */
NONNULL(1) void memory_lanes_done(struct memory_lanes *l);

/* --- jobs -------------------------------------------------------------------------- */

/* Makes a new job, which has no hop, one of its origin's lane.  Returns 0 or -ENOMEM. */
NODISCARD NONNULL(1, 2) int memory_lanes_enter(struct memory_lanes *l, struct job *job);

/* Ends that, of a job that does not wait. */
NONNULL(1, 2) void memory_lanes_leave(struct memory_lanes *l, const struct job *job);

/* Moves a job that does not wait to the lane of job_lane_origin().  Returns 0 or -ENOMEM; never
 * fails without a hop, or if the job is in that lane already. */
NODISCARD NONNULL(1, 2) int memory_lanes_move(struct memory_lanes *l, struct job *job);

/* Lets it wait in its lane: behind the others of its priority, or before them. */
NONNULL(1, 2) void memory_lanes_append(struct memory_lanes *l, struct job *job);
NONNULL(1, 2) void memory_lanes_prepend(struct memory_lanes *l, struct job *job);

/* Takes a job out that waits in its lane, whether that rests or not.  No lane may be visited. */
NONNULL(1, 2) void memory_lanes_pull(struct memory_lanes *l, struct job *job);

/* --- visits ------------------------------------------------------------------------ */

/* Takes the next lane out of the ring, which must not be empty.  The visit ends with one of the
 * two that follow. */
NODISCARD NONNULL(1) struct memory_lane *memory_lanes_next(struct memory_lanes *l);

/* Hands out up to 'max' (>= 1) jobs by priority and age; a lane that has more goes to the end
 * of the ring.  Returns their number. */
NODISCARD NONNULL(1, 2, 4)
size_t memory_lanes_hand_out(struct memory_lanes *l, struct memory_lane *lane, size_t max, struct job **ret_jobs);

NONNULL(1, 2)
void memory_lanes_rest(struct memory_lanes *l, struct memory_lane *lane, const struct lane_rest *rest);

/* When the first rest ends by itself; NEVER if none does. */
NODISCARD NONNULL(1) uint64_t memory_lanes_next_ns(const struct memory_lanes *l);

/* Ends the rests whose time has come. */
NONNULL(1) void memory_lanes_wake(struct memory_lanes *l, uint64_t now_ns);

/* Ends the rest of the lane 'origin', or of every lane if that is NULL.  Returns whether there
 * was one. */
NONNULL(1) bool memory_lanes_open(struct memory_lanes *l, const char *origin);

/* --- figures ----------------------------------------------------------------------- */

/* Answers QUERY_LANES.  Looks at every lane.  Returns 0 or -ENOMEM. */
NODISCARD NONNULL(1, 2) int memory_lanes_list(const struct memory_lanes *l, struct query *q);

#endif
