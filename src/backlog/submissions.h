/* SPDX-License-Identifier: Apache-2.0 */
/* A FIFO of submissions, linked through submission->next. */
#ifndef PENSTOCK_BACKLOG_SUBMISSIONS_H
#define PENSTOCK_BACKLOG_SUBMISSIONS_H

#include "backlog/backlog.h"

struct submission_list {
	struct submission *first;
	struct submission *last;
	size_t len;
};

NONNULL(1, 2) void submission_list_append(struct submission_list *list, struct submission *s);

/* Removes the first; NULL if there is none. */
NONNULL(1) struct submission *submission_list_take(struct submission_list *list);

/* Returns whether it was there. */
NONNULL(1, 2) bool submission_list_remove(struct submission_list *list, struct submission *s);

#endif
