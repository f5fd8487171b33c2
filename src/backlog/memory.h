/* SPDX-License-Identifier: Apache-2.0 */
/* The backlog in memory: bounded, not durable; for pipelines and `penstock fetch`. */
#ifndef PENSTOCK_BACKLOG_MEMORY_H
#define PENSTOCK_BACKLOG_MEMORY_H

#include "backlog/backlog.h"

struct memory_backlog_options {
	size_t max_jobs;    /* waiting, delayed and out */
	size_t max_bytes;   /* of all their memory */
	uint64_t ageing_ns; /* a waiting job outranks those of the next higher priority after this */
	struct backlog_listener listener;
};

/* Creates an empty backlog.  Free with backlog_free().  Returns 0, -EINVAL if a bound
 * is 0, or -ENOMEM. */
NODISCARD NONNULL(1, 2)
int memory_backlog_create(const struct memory_backlog_options *options,
                          struct backlog **ret_backlog);

#endif
