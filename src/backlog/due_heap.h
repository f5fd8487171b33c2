/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs in the order in which they fall due: a binary heap by job->due_ns.
 * Not thread-safe; zero-initialised is empty. */
#ifndef PENSTOCK_BACKLOG_DUE_HEAP_H
#define PENSTOCK_BACKLOG_DUE_HEAP_H

#include "base/attr.h"
#include "job/job.h"

struct due_heap {
	struct job **jobs; /* jobs[i] is due no later than jobs[2i+1] and jobs[2i+2] */
	size_t len;
	size_t size;
};

/* Frees the heap and the jobs in it. */
NONNULL(1) void due_heap_done(struct due_heap *h);

/* Makes room for 'size' jobs in all.  Returns 0 or -ENOMEM. */
NODISCARD NONNULL(1) int due_heap_reserve(struct due_heap *h, size_t size);

/* Adds a job, for which there must be room. */
NONNULL(1, 2) void due_heap_add(struct due_heap *h, struct job *job);

/* When the first job falls due; NEVER if there is none. */
NONNULL(1) uint64_t due_heap_next_ns(const struct due_heap *h);

/* Removes the job that falls due first; the heap must not be empty. */
NONNULL(1) struct job *due_heap_take(struct due_heap *h);

#endif
