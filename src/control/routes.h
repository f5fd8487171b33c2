/* SPDX-License-Identifier: Apache-2.0 */
/* Which path is answered by whom. */
#ifndef PENSTOCK_CONTROL_ROUTES_H
#define PENSTOCK_CONTROL_ROUTES_H

#include "base/attr.h"
#include "control/reply.h"
#include "control/task.h"

/* Fills in the empty 'reply' and returns NULL, or begins a task that will make one.  What
 * no handler answers is a 404 or a 405, what the listener may not answer a 403, and a body that
 * nobody takes a 413. */
NODISCARD NONNULL(1, 2, 3)
struct task *routes_answer(const struct view *view, const struct request *request,
                           struct reply *reply);

#endif
