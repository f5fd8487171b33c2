/* SPDX-License-Identifier: Apache-2.0 */
/* Records read page by page, by 'seq': what a reader wants, and how far it has come. */
#ifndef PENSTOCK_BACKLOG_RECORDS_H
#define PENSTOCK_BACKLOG_RECORDS_H

#include "base/attr.h"
#include "base/buf.h"
#include "job/result.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct record_range {
	unsigned outcomes;  /* those wanted: 1 << OUTCOME_DONE | … */
	uint64_t until_seq; /* none behind this one; UINT64_MAX: there is no end */
	uint64_t left;      /* so many may still come */
	size_t page_bytes;  /* at most, at a time: a longer record comes in pieces */

	uint64_t next_seq;  /* to be looked at next; 0: the oldest that there is */
	size_t offset;      /* so much of it has come already */

	/* To begin with, for a search: from until_seq back, where records end before that. */
	uint64_t newest;    /* the last so many of those wanted; 0: all */
	int64_t since_us;   /* those settled since (wall clock); 0: all */
	atomic_bool given_up; /* nobody waits for it any more; set by any thread */

	/* The searcher's own, zero before. */
	uint64_t reached_seq; /* it has come back to this one… */
	uint64_t reached;     /* …and found so many of those wanted */

	uint64_t first_seq; /* with -ENOENT: of the oldest that is still there */
};

/* Whether nothing more is wanted. */
static inline bool record_range_is_over(const struct record_range *r)
{
	return r->left == 0 || r->next_seq > r->until_seq;
}

/*
 * Looks at the record 'next_seq', and appends what the page has room for, if it is wanted.
 * Returns whether there may be room for the next one: false if the page is full, or the range over.
 */
NODISCARD NONNULL(1, 3, 5)
bool record_range_add(struct record_range *r, enum outcome outcome, const char *line, size_t len,
                      struct buf *page);

/* For a search from the newest record back: whether this one belongs to what is searched, of which
 * '*n' were found before it. */
NODISCARD NONNULL(1, 4)
bool record_range_reaches(const struct record_range *r, enum outcome outcome, int64_t settled_us,
                          uint64_t *n);

#endif
