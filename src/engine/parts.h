/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's parts; private to engine.c and start.c. */
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
	const char *source; /* its name, which tells it from others; NULL before the first */
};

struct engine {
	struct engine_options options;

	/* In the order of their start. */
	struct ledger *ledger;
	struct fetcher *fetcher;
	struct backlog *backlog;
	struct queue *queue;
	struct recorder *recorder;
	struct workers *workers;
	struct feeder *feeder;
	struct intake *intake;
	struct complaints *complaints; /* about each source */
	size_t n_sources;

	pthread_t canceller; /* of engine_cancel_left() */
	bool has_canceller;
	const char *cancel_reason;
	atomic_bool cancelling;

	int event_fd;
	atomic_bool stopping;
	atomic_bool workers_left;
	atomic_bool source_failed;
	atomic_int record_error;
	atomic_int trouble;
};

/* Starts every part, downstream first; engine_free() clears up after a failure. */
NODISCARD NONNULL(1, 2, 3)
int engine_start_parts(struct engine *e, const struct engine_options *options, struct buf *errors);

/* What an attempt keeps to, as the settings say. */
struct workers_policy engine_policy(const struct settings *s);

/* Whether every source's thread is through and every job final. */
NONNULL(1) bool engine_is_finished(struct engine *e);

#endif
