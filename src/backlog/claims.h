/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which jobs are out: a hash table by job number, in memory only.
 *
 * While a take reads, its snapshot may still show a row that has been changed or deleted
 * since.  So claims that are released meanwhile linger: they are out no more, but keep
 * that take from handing the job out again, until it has ended.
 *
 * Not thread-safe; zero-initialised is empty.
 */
#ifndef PENSTOCK_BACKLOG_CLAIMS_H
#define PENSTOCK_BACKLOG_CLAIMS_H

#include "base/attr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct claim {
	uint64_t number; /* the job's */
	uint64_t lane;   /* its row's */
	int64_t rank;
	size_t bytes;
	bool delayed;    /* its row says that it is not due */
	int64_t deadline_us; /* wall clock; 0: none */

	/* The table's own. */
	bool lingers;
	bool listed;
	struct claim *next;          /* in its bucket */
	struct claim *next_released;
};

struct claims {
	size_t jobs;    /* that are out */
	size_t bytes;   /* of them */
	size_t delayed; /* of them, with a row that is not due */

	/* The table's own. */
	struct claim **buckets;
	size_t size;  /* a power of two, or 0 */
	size_t len;   /* with those that linger */
	bool taking;
	struct claim *released;
};

NONNULL(1) void claims_done(struct claims *c);

/* The claim on a job that is out; NULL if it is not. */
NONNULL(1) struct claim *claims_find(const struct claims *c, uint64_t number);

/* May a take hand this job out? */
NONNULL(1) bool claims_free_to_take(const struct claims *c, uint64_t number);

/* Claims a job that is not out.  Returns 0 or -ENOMEM. */
NODISCARD NONNULL(1) int claims_add(struct claims *c, const struct claim *claim);

/* The job is out no more.  The claim must not be used afterwards. */
NONNULL(1, 2) void claims_release(struct claims *c, struct claim *claim);

/* Around the time in which a take has a snapshot. */
NONNULL(1) void claims_begin_take(struct claims *c);
NONNULL(1) void claims_end_take(struct claims *c);

#endif
