/* SPDX-License-Identifier: Apache-2.0 */
/* The backlog in memory: bounded, not durable; for pipelines and `penstock fetch`. */
#ifndef PENSTOCK_BACKLOG_MEMORY_H
#define PENSTOCK_BACKLOG_MEMORY_H

#include "backlog/backlog.h"

/*
 * Creates an empty backlog for at most 'max_jobs' jobs of together at most
 * 'max_bytes' bytes, waiting, delayed and out.  Free with backlog_free().
 * Returns 0, -EINVAL if a bound is 0, or -ENOMEM.
 */
NODISCARD NONNULL(3)
int memory_backlog_create(size_t max_jobs, size_t max_bytes, struct backlog **ret_backlog);

#endif
