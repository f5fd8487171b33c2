/* SPDX-License-Identifier: Apache-2.0 */
/* A task that submits jobs: how long it waits for room, and what happens then. */
#ifndef PENSTOCK_CONTROL_SUBMITTER_H
#define PENSTOCK_CONTROL_SUBMITTER_H

#include "base/attr.h"
#include "control/task.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The head of such a task's own struct. */
struct submitter {
	struct task task;
	struct submission submission;
	uint64_t wait_ns; /* for room, for each submission; 0: not at all */
	bool is_late;     /* it has waited in vain: what is submitted now does not wait */
	bool is_counted;  /* among desk->uploads */
};

/* Submits; the task waits then. */
NONNULL(1, 2)
void submitter_submit(struct submitter *s, struct job *const *jobs, size_t n,
                      struct receipt *receipts);

/* Releases what is the submitter's. */
NONNULL(1) void submitter_done(struct submitter *s);

/* For task_ops. */
NODISCARD NONNULL(1) bool submitter_take_back(struct task *t);

/* To be called first by task_ops.answered.  Returns whether the submission was made once
 * more: after its time in vain it is tried for the last time, without waiting, which
 * also tells why there is no room. */
NODISCARD NONNULL(1) bool submitter_tries_again(struct submitter *s, int error);

#endif
