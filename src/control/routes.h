/* SPDX-License-Identifier: Apache-2.0 */
/* Which path is answered by whom. */
#ifndef PENSTOCK_CONTROL_ROUTES_H
#define PENSTOCK_CONTROL_ROUTES_H

#include "base/attr.h"
#include "control/reply.h"

/* Fills in the empty 'reply'; what no handler answers is a 404 or a 405. */
NONNULL(1, 2, 3)
void routes_answer(const struct view *view, const struct request *request, struct reply *reply);

#endif
