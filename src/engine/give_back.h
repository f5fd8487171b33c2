/* SPDX-License-Identifier: Apache-2.0 */
/* Queued jobs on their way back to the backlog. */
#ifndef PENSTOCK_ENGINE_GIVE_BACK_H
#define PENSTOCK_ENGINE_GIVE_BACK_H

#include "backlog/backlog.h"
#include "base/attr.h"
#include "engine/ledger.h"

/* Gives the backlog all jobs of the list, which the ledger has as queued, in such an order
 * that they wait there in the order of the list.  Does not block. */
NONNULL(1, 2, 3)
void give_back(struct backlog *backlog, struct ledger *ledger, struct job_list *jobs);

#endif
