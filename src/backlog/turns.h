/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose turn it is: what a take knows of lanes without asking the database.
 *
 *                        ┌──────────── it may have more ────────────┐
 *                        ▼                                          │
 *     available ──► LISTED ──turns_next()──► VISITED ──no more──► EXHAUSTED
 *                        ▲                      │
 *                        └── opened, over ── RESTING ◄── no room
 *
 * A lane is kept as long as jobs of it are out or it is in one of these states; a lane that
 * is exhausted and has none out is forgotten, and known again when it has jobs.  A lane that
 * rests until a time is 'unwritten' until the database says so too: then it is forgotten here.
 *
 * Not thread-safe; zero-initialised is empty.
 */
#ifndef PENSTOCK_BACKLOG_TURNS_H
#define PENSTOCK_BACKLOG_TURNS_H

#include "base/attr.h"
#include "job/wait.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where a job stands in the order of its lane. */
struct place {
	int64_t rank;
	uint64_t number;
};

static const struct place place_first = { INT64_MIN, 0 };
static const struct place place_none = { INT64_MAX, UINT64_MAX };

static inline bool place_before(struct place a, struct place b)
{
	return a.rank != b.rank ? a.rank < b.rank : a.number < b.number;
}

enum turn_state {
	TURN_UNKNOWN, /* not visited yet: kept for a job that is out only, a scan may find more */
	TURN_LISTED,
	TURN_VISITED,
	TURN_EXHAUSTED,
	TURN_RESTING,
};

struct turn {
	uint64_t lane;         /* its row's id */
	enum turn_state state;
	enum wait_reason why;  /* TURN_RESTING… */
	uint64_t until_ns;     /* …until then (CLOCK_MONOTONIC); NEVER: until it is opened */
	struct place next;     /* where the next visit goes on */
	struct place earliest; /* what has become available since the last one began */
	uint64_t heard;        /* the take during or after which that was */
	size_t out;            /* jobs of it */
	size_t rows;           /* that wait, those that are out included; as far as it is known */
	bool pinned;           /* never forgotten: 'next' is behind a row that cannot be read */

	/* The table's own. */
	struct turn *bucket_next;
	struct turn *list_next;
	struct turn *unwritten_next, *unwritten_prev;
	bool unwritten;
};

/* Lanes without jobs out that are listed at most; further ones are found by a scan. */
enum { TURNS_MAX_LISTED = 4096 };

struct turns {
	bool scan; /* lanes of the database shall be looked through: some are not listed */
	uint64_t take; /* counted up when one begins */
	size_t n_unwritten;
	size_t n_urgent; /* of them, those that are to outlive the process: the origin has asked */
	size_t listed;

	/* The table's own. */
	struct turn **buckets;
	size_t size; /* a power of two, or 0 */
	size_t len;
	struct turn *first, *last;
	struct turn *unwritten;
	uint64_t unwritten_ns; /* if there are any: none of these rests is over before */
};

NONNULL(1) void turns_done(struct turns *t);

/* The lane, if it is kept; and it in any case, NULL if there is no memory. */
NONNULL(1) struct turn *turns_find(const struct turns *t, uint64_t lane);
NODISCARD NONNULL(1) struct turn *turns_get(struct turns *t, uint64_t lane);

/* A job at 'place' has become available.  Returns whether a take may find something now. */
NONNULL(1) bool turns_available(struct turns *t, uint64_t lane, struct place place);

/* The listed lane that is next, now VISITED; there must be one. */
NODISCARD NONNULL(1) struct turn *turns_next(struct turns *t);

/* A lane that a scan has found, if nothing is known of it yet: now VISITED.  Returns NULL if
 * something is, with '*ret_no_memory' as it says. */
NODISCARD NONNULL(1, 3)
struct turn *turns_visit(struct turns *t, uint64_t lane, bool *ret_no_memory);

/* The end of a visit that has come to 'next'; with 'more' the lane goes to the end of the
 * list, and otherwise is exhausted if it was 'looked' through.  It may be gone afterwards, as
 * after turns_forget(). */
NONNULL(1, 2)
void turns_leave(struct turns *t, struct turn *turn, struct place next, bool more, bool looked);

/* The lane rests from now on. */
NONNULL(1, 2)
void turns_rest(struct turns *t, struct turn *turn, enum wait_reason why, uint64_t until_ns);

/* The rest is over: listed again. */
NONNULL(1, 2) void turns_open(struct turns *t, struct turn *turn);
NONNULL(1) void turns_open_all(struct turns *t);

/* Opens those whose time has come and that are unwritten.  Returns when to look again. */
NONNULL(1) uint64_t turns_open_due(struct turns *t, uint64_t now_ns);

/* The first unwritten one after 'turn' (NULL: of all). */
NONNULL(1) struct turn *turns_unwritten(const struct turns *t, const struct turn *turn);

/* The database knows of its rest: it need not be kept here. */
NONNULL(1, 2) void turns_written(struct turns *t, struct turn *turn);

/* The lane is gone: neither its rest nor a row that could not be read keeps it. */
NONNULL(1, 2) void turns_end(struct turns *t, struct turn *turn);

/* Forgets the lane unless something keeps it. */
NONNULL(1, 2) void turns_forget(struct turns *t, struct turn *turn);

/* Adds the waiting rows of resting lanes that are not out, by reason. */
NONNULL(1, 2) void turns_count(const struct turns *t, size_t by_reason[WAIT_REASONS]);

#endif
