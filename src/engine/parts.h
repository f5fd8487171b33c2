/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's parts; private to engine.c, start.c, store.c, fetching.c, lanes.c and explain.c. */
#ifndef PENSTOCK_ENGINE_PARTS_H
#define PENSTOCK_ENGINE_PARTS_H

#include "base/attr.h"
#include "base/log.h"
#include "engine/engine.h"
#include "engine/feeder.h"

#include <pthread.h>
#include <stdatomic.h>

/* What is said about one source's bad lines. */
struct complaints {
	struct log_limit limit;
	const char *source; /* its name, which tells it from others; immutable once threads run */
};

struct engine {
	struct engine_options options;

	/* In the order of their start. */
	struct ledger *ledger;
	struct bodies *bodies; /* NULL: none are kept */
	struct fetcher *fetcher;
	struct backlog *backlog;
	struct queue *queue;
	struct tail *tail;
	struct recorder *recorder;
	struct workers *workers;
	_Atomic(struct feeder *) feeder; /* the backlog's thread may call before there is one */
	struct intake *intake;
	struct complaints *complaints; /* about each source */
	size_t n_sources;

	pthread_t canceller; /* of engine_cancel_left() */
	bool has_canceller;
	const char *cancel_reason;
	atomic_bool cancelling;

	int event_fd;
	atomic_bool started; /* the intake is there; a durable backlog's jobs may be settled before */
	atomic_bool stopping;
	atomic_bool draining;
	atomic_bool workers_left;
	atomic_bool source_failed;
	atomic_int record_error;
	atomic_int trouble;
};

/* Records a job that the ledger has as running and that was not fetched; false, without
 * 'waits', if the recorder has no room now. */
NONNULL(1, 2, 4)
bool engine_record_unfetched(struct engine *e, struct job *job, enum outcome outcome,
                             const char *reason, bool waits);

/* Starts every part, downstream first; engine_free() clears up after a failure. */
NODISCARD NONNULL(1, 2, 3)
int engine_start_parts(struct engine *e, const struct engine_options *options, struct buf *errors);

/* Opens the backlog and the ledger, and makes the log of results whole. */
NODISCARD NONNULL(1, 2) int engine_open_store(struct engine *e, struct buf *errors);

/* Opens the store of bodies, if any are to be kept. */
NODISCARD NONNULL(1, 2) int engine_open_bodies(struct engine *e, struct buf *errors);

/* Records the jobs that crashed too often as dead.  The recorder must be there, and idle. */
NONNULL(1) void engine_set_aside_poisoned(struct engine *e);

/* What an attempt keeps to, as the settings say. */
struct workers_policy engine_policy(const struct settings *s);

NODISCARD NONNULL(1, 2) int engine_start_fetcher(struct engine *e, struct buf *errors);

/* Puts the origins' limits in force.  Returns 0 or -ENOMEM. */
NODISCARD NONNULL(1) int engine_set_limits(struct engine *e);

/* Whether every source's thread is through and every job final. */
NONNULL(1) bool engine_is_finished(struct engine *e);

#endif
