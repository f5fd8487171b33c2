/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The feeder: the thread that brings jobs from the backlog to the queue, the
 * queue's only producer.  A full queue blocks it, and so fills the backlog, which
 * blocks the sources: that is how back-pressure travels upstream.
 *
 * It also takes out of both what has expired there, to be recorded as dead.
 *
 * It takes for those lanes only that have room in the queue, and has the backlog open the
 * others once they have: so whether a lane rests is decided by one thread.
 */
#ifndef PENSTOCK_ENGINE_FEEDER_H
#define PENSTOCK_ENGINE_FEEDER_H

#include "backlog/backlog.h"
#include "base/attr.h"
#include "base/pulse.h"
#include "engine/ledger.h"
#include "queue/queue.h"

/* All borrowed for the feeder's life. */
struct feeder_options {
	struct backlog *backlog;
	struct queue *queue;
	struct ledger *ledger;

	/* Takes over a job whose deadline has passed, which the ledger has as running.  It may
	 * block as recorder_put() does: nobody whom that waits for waits for the feeder. */
	void (*expired)(void *arg, struct job *job);
	void *arg;
};

struct feeder;

/* Starts the thread, before the first job is submitted.  Returns 0, -ENOMEM or
 * -EAGAIN.  Free with feeder_free(). */
NODISCARD NONNULL(1, 2)
int feeder_create(const struct feeder_options *options, struct feeder **ret_feeder);

/* Tells it that the backlog may have something new, or a lane of the queue room again.  Safe
 * from any thread. */
NONNULL(1) void feeder_wake(struct feeder *f);

/* Tells it that backlog_take_expired() may have something earlier than it has said.  Safe from any
 * thread. */
NONNULL(1) void feeder_expire(struct feeder *f);

/* Has it open the lane 'origin', or every lane if that is NULL: something has changed that
 * they rest for.  Safe from any thread. */
NONNULL(1) void feeder_open(struct feeder *f, const char *origin);

/* Makes the feeder stop, once the queue is closed; what it could not push goes back. */
NONNULL(1) void feeder_stop(struct feeder *f);

/* What its thread is doing. */
NONNULL(1) const struct pulse *feeder_pulse(const struct feeder *f);

/* Waits for the end of the thread: then it holds no job any more.  Idempotent. */
NONNULL(1) void feeder_join(struct feeder *f);

/* Stops the feeder and ends its thread; the queue must be closed, and nobody may
 * submit to or settle with the backlog any more.  Ignores NULL, returns NULL. */
struct feeder *feeder_free(struct feeder *f);

#endif
