/* SPDX-License-Identifier: Apache-2.0 */
/* A task that asks the backlog one question. */
#ifndef PENSTOCK_CONTROL_ASKER_H
#define PENSTOCK_CONTROL_ASKER_H

#include "base/attr.h"
#include "control/task.h"

/* The head of such a task's own struct. */
struct asker {
	struct task task;
	struct query query;
	char *id; /* owned; NULL without */
};

/* Makes a task of 'size' zeroed bytes, with a copy of 'id' unless that is NULL.  Returns
 * NULL if there is no memory, which the reply says then. */
NODISCARD NONNULL(1, 2, 5)
struct task *asker_create(const struct view *view, const struct task_ops *ops, size_t size,
                          const char *id, struct reply *reply);

/* Asks, once, with what stands in the query; the task waits then. */
NONNULL(1) void asker_ask(struct asker *a, enum query_kind kind);

/* For task_ops. */
NODISCARD NONNULL(1) bool asker_take_back(struct task *t);
NONNULL(1) void asker_free(struct task *t);

/* Makes the reply for an error that means the same for every question. */
NONNULL(1) void asker_refuse(struct asker *a, int error);

#endif
