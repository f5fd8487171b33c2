/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The backlog in memory: bounded, not durable; for pipelines and `penstock fetch`.
 *
 * Within a lane a job for another attempt goes behind the others of its priority, one that is
 * returned before them, and one that a redirect has led there goes by its age.  A lane is asked
 * for its room once in each take, and left with what it has beyond that until the next.
 * A take without a gate ends every rest.
 *
 * Of the queries it answers QUERY_LANES alone, also once closed, and looks at every lane with
 * its lock held: some 10 ms for 100,000 of them.
 */
#ifndef PENSTOCK_BACKLOG_MEMORY_H
#define PENSTOCK_BACKLOG_MEMORY_H

#include "backlog/backlog.h"

struct memory_backlog_options {
	size_t max_jobs;    /* waiting, delayed and out */
	size_t max_bytes;   /* of all their memory; what lanes take comes on top */
	uint64_t ageing_ns; /* a waiting job outranks those of the next higher priority after this */
	struct backlog_listener listener;
};

/* Creates an empty backlog.  Free with backlog_free().  Returns 0, -EINVAL if a bound
 * is 0, or -ENOMEM. */
NODISCARD NONNULL(1, 2)
int memory_backlog_create(const struct memory_backlog_options *options,
                          struct backlog **ret_backlog);

#endif
