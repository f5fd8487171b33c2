/* SPDX-License-Identifier: Apache-2.0 */
/* The backlog's answers on their way from its threads to the socket's. */
#ifndef PENSTOCK_CONTROL_INBOX_H
#define PENSTOCK_CONTROL_INBOX_H

#include "base/attr.h"
#include "base/sync.h"

struct task;

struct inbox {
	struct mutex lock;
	struct task *first GUARDED_BY(lock); /* linked through task->next; the newest first */
	int event_fd;                        /* readable while there may be one */
};

/* Returns 0, -ENOMEM, -EAGAIN or -EMFILE. */
NODISCARD NONNULL(1) int inbox_init(struct inbox *inbox);
NONNULL(1) void inbox_destroy(struct inbox *inbox);

/* Puts a task's answer in.  Safe from any thread; does not block. */
NONNULL(1, 2) void inbox_put(struct inbox *inbox, struct task *task, int error);

/* Takes all that are in, linked through task->next, in no order. */
NODISCARD NONNULL(1) struct task *inbox_take(struct inbox *inbox);

#endif
