/* SPDX-License-Identifier: Apache-2.0 */
/* A line in the log for each job that is dead, but no flood of them. */
#ifndef PENSTOCK_DAEMON_DEAD_LOG_H
#define PENSTOCK_DAEMON_DEAD_LOG_H

#include "base/attr.h"
#include "base/log.h"
#include "base/sync.h"
#include "job/job.h"

#include <stdatomic.h>
#include <stdbool.h>

struct dead_log {
	atomic_bool queries; /* whether URLs are shown with theirs (fetch.log_queries) */

	struct mutex lock;
	struct log_limit limit GUARDED_BY(lock);
};

/* Returns 0, -ENOMEM or -EAGAIN. */
NODISCARD NONNULL(1) int dead_log_init(struct dead_log *d);
NONNULL(1) void dead_log_destroy(struct dead_log *d);

/* Says that the job is dead, and why.  Safe from any thread. */
NONNULL(1, 2, 3)
void dead_log_tell(struct dead_log *d, const struct job *job, const char *reason);

#endif
