/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The backlog: where accepted jobs wait, and where they come back to.
 *
 *     submit ──► waiting ──take──► out (queue, worker, recorder) ──settle──► gone
 *                   ▲                                              │
 *                   └────── delayed until due ◄── RETRY, RETURN ───┘
 *
 * A job holds its place (one job, its bytes) from backlog_submit() to its final
 * verdict, so settling never needs room and nothing downstream can lock up.
 * backlog_submit() is the only call that blocks, and the only way in.
 *
 * One interface, several implementations; memory.h is the first.  Every call is
 * safe from any thread.
 */
#ifndef PENSTOCK_BACKLOG_BACKLOG_H
#define PENSTOCK_BACKLOG_BACKLOG_H

#include "base/attr.h"
#include "job/job.h"

#include <stddef.h>
#include <stdint.h>

enum verdict_kind {
	VERDICT_FINAL,  /* settled for good; the job's place is free again */
	VERDICT_RETRY,  /* make another attempt, not before 'due_ns' */
	VERDICT_RETURN, /* not attempted, or aborted by a stop: back to the front, or at 'due_ns' */
};

struct verdict {
	struct job *job;
	enum verdict_kind kind;
	uint64_t due_ns; /* CLOCK_MONOTONIC; 0: at once.  Ignored by VERDICT_FINAL */
};

struct backlog_stats {
	size_t waiting;     /* could be taken now */
	size_t delayed;     /* not due yet */
	size_t held_jobs;   /* all that hold a place: waiting, delayed and out */
	size_t held_bytes;
	size_t max_jobs;
	size_t max_bytes;
	uint64_t submitters_blocked_ns; /* summed over threads, those blocked now included */
	unsigned submitters_blocked;    /* now */
};

/* What is called, outside of every lock, when backlog_take() may have something
 * that it had not before: new jobs, a new due time, or a job that came back. */
struct backlog_listener {
	void (*ready)(void *arg);
	void *arg;
};

struct backlog;

/* One implementation; the functions below say what each must do. */
struct backlog_ops {
	int (*submit)(struct backlog *b, struct job *const *jobs, size_t n);
	size_t (*take)(struct backlog *b, uint64_t now_ns, size_t room, struct job **ret_jobs,
	               uint64_t *ret_next_due_ns);
	void (*settle)(struct backlog *b, const struct verdict *verdicts, size_t n);
	void (*close)(struct backlog *b);
	void (*stats)(struct backlog *b, struct backlog_stats *ret_stats);
	void (*free)(struct backlog *b);
};

/* The head of every implementation's own struct. */
struct backlog {
	const struct backlog_ops *ops;
	struct backlog_listener listener; /* set before the first submit */
};

/*
 * Accepts 'n' jobs, all or none, waiting for room; numbers them and sets
 * 'accepted_wall_us' and 'ready_ns'.  Durable when it returns, where the backlog is.
 *
 * Returns 0 and owns the jobs, or, leaving them to the caller, -ENOMEM, -EPIPE (closed)
 * or -EMSGSIZE (so many, or so large, that they can never fit together: split the batch).
 */
NODISCARD static inline int backlog_submit(struct backlog *b, struct job *const *jobs, size_t n)
{
	return b->ops->submit(b, jobs, n);
}

/*
 * Hands out up to 'room' jobs that are due at 'now_ns', oldest first.  Returns
 * their number, and in '*ret_next_due_ns' when the next delayed one falls due
 * (NEVER if there is none).  Never blocks.
 */
NODISCARD static inline size_t backlog_take(struct backlog *b, uint64_t now_ns, size_t room,
                                            struct job **ret_jobs, uint64_t *ret_next_due_ns)
{
	return b->ops->take(b, now_ns, room, ret_jobs, ret_next_due_ns);
}

/* Takes back the jobs of 'n' verdicts and acts on each.  Never fails, never blocks. */
static inline void backlog_settle(struct backlog *b, const struct verdict *verdicts, size_t n)
{
	b->ops->settle(b, verdicts, n);
}

/* Refuses further jobs; blocked submitters return.  Jobs can still be taken and
 * settled.  Idempotent. */
static inline void backlog_close(struct backlog *b) { b->ops->close(b); }

static inline void backlog_stats(struct backlog *b, struct backlog_stats *ret_stats)
{
	b->ops->stats(b, ret_stats);
}

/* Frees the backlog and every job in it; none may be out.  Ignores NULL, returns NULL. */
static inline struct backlog *backlog_free(struct backlog *b)
{
	if (b)
		b->ops->free(b);
	return NULL;
}

#endif
