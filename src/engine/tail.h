/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The newest records, in memory, for those who follow the results: bounded in number and
 * bytes, whoever reads and however slowly.  The recorder adds what is settled, and waits for no
 * reader; one who falls behind the oldest record that is left here looks for it in the backlog,
 * if that remembers it.  The lock is held for a copy.
 */
#ifndef PENSTOCK_ENGINE_TAIL_H
#define PENSTOCK_ENGINE_TAIL_H

#include "backlog/backlog.h"
#include "base/attr.h"
#include "base/buf.h"

#include <stddef.h>
#include <stdint.h>

enum {
	TAIL_MAX_RECORDS = 4096,
	TAIL_MAX_BYTES = 2 * 1024 * 1024,

	/* For those who read, from here and from the backlog. */
	TAIL_MAX_READERS = 64,
	TAIL_PAGE_BYTES = 32 * 1024, /* of each */
};

struct tail;

/* 'last_seq' is the number of the last record that there is already.  Returns 0, -ENOMEM,
 * -EAGAIN or -EMFILE.  Free with tail_free(). */
NODISCARD NONNULL(2) int tail_create(uint64_t last_seq, struct tail **ret_tail);

/* Ignores NULL, returns NULL. */
struct tail *tail_free(struct tail *t);

/* Adds the records of those verdicts that are final; they follow those before.  Called by one
 * thread. */
NONNULL(1, 2) void tail_add(struct tail *t, const struct verdict *verdicts, size_t n);

/* The functions below are safe from any thread. */

/* Readable once there are records that tail_read() has found missing; tail_event_clear() makes
 * it unreadable. */
NONNULL(1) int tail_event_fd(const struct tail *t);
NONNULL(1) void tail_event_clear(struct tail *t);

/*
 * Appends a page of records to the empty 'page', and moves 'range' behind what it has looked at.
 *
 * Returns 1, also if none of them was wanted; 0 if there are none yet, or the range is over;
 * -ENOENT if the next one is not here any more; -ENOMEM.
 */
NODISCARD NONNULL(1, 2, 3)
int tail_read(struct tail *t, struct record_range *range, struct buf *page);

/* Moves range->next_seq to where its search, back from range->until_seq, begins among the records
 * that are here. */
NONNULL(1, 2) void tail_seek(struct tail *t, struct record_range *range);

/* Of the last record that there is. */
NODISCARD NONNULL(1) uint64_t tail_last_seq(struct tail *t);

#endif
