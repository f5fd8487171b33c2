/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/status: the daemon's figures as one JSON object on one line. */
#ifndef PENSTOCK_CONTROL_STATUS_H
#define PENSTOCK_CONTROL_STATUS_H

#include "base/attr.h"
#include "base/buf.h"
#include "control/reply.h"

#include <stdint.h>

NONNULL(1, 2) void status_write(const struct view *view, struct buf *b);

/* The ledger's 'waiting', parted into what could be taken up and what is not due yet.
 * The backlog was read a moment after it, so its word counts only as far as that goes. */
struct waiting {
	uint64_t now;
	uint64_t delayed;
};
NONNULL(1) struct waiting status_waiting(const struct engine_stats *stats);

/* Why accepted jobs wait, be it in the backlog or in the queue.  While everything is paused,
 * that is in the way of all that are due. */
NONNULL(1, 2)
void status_waiting_by_reason(const struct engine_stats *stats, uint64_t ret[WAIT_REASONS]);

#endif
