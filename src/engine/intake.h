/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The intake: a thread for each source, which reads a batch, submits it to the backlog
 * together with the source's position, and waits there as long as there is no room.
 */
#ifndef PENSTOCK_ENGINE_INTAKE_H
#define PENSTOCK_ENGINE_INTAKE_H

#include "backlog/backlog.h"
#include "base/attr.h"
#include "source/source.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct intake_options {
	struct backlog *backlog; /* borrowed for the intake's life */
	size_t max_batch;        /* jobs submitted together; >= 1 */

	/* Called by a source's thread when it has ended: with 0 at the source's end or
	 * a stop, or with the error that ended it. */
	void (*ended)(void *arg, const char *source, int error);
	void *arg;
};

struct intake;

/* Returns 0, -ENOMEM or -EMFILE.  Free with intake_free(). */
NODISCARD NONNULL(1, 2)
int intake_create(const struct intake_options *options, struct intake **ret_intake);

/* The descriptor for the stop_fd of the sources of this intake. */
NONNULL(1) int intake_stop_fd(const struct intake *in);

/* Adds a source and owns it from now on, also on failure.  Not after
 * intake_start().  Returns 0 or -ENOMEM. */
NODISCARD NONNULL(1, 2) int intake_add(struct intake *in, struct source *source);

/* Starts a thread for each source.  Returns 0, -EAGAIN or -ENOMEM. */
NODISCARD NONNULL(1) int intake_start(struct intake *in);

/* Stops all sources; the backlog must be closed.  Does not wait.  Idempotent. */
NONNULL(1) void intake_stop(struct intake *in);

/* Stops the sources and ends their threads.  Ignores NULL, returns NULL. */
struct intake *intake_free(struct intake *in);

/* Whether every source's thread is through; and whether each was because the source
 * had come to its own end, not by a stop or an error. */
NONNULL(1) bool intake_has_ended(struct intake *in);
NONNULL(1) bool intake_is_complete(struct intake *in);

/* Calls 'visit' with the counters of each source, in the order they were added. */
struct intake_source {
	const char *name;
	struct source_stats stats;
	uint64_t blocked_ns; /* it waited for room */
	int64_t read_wall_us; /* when it last had jobs; 0: not yet */
	bool ended;
};
NONNULL(1, 2)
void intake_each(struct intake *in, void (*visit)(void *arg, const struct intake_source *source),
                 void *arg);

/* Summed over all sources. */
struct intake_stats {
	struct source_stats sources;
	size_t reading;      /* sources that have not ended */
	size_t unmeasured;   /* of all sources, those whose bytes_total is unknown */
	uint64_t blocked_ns; /* they waited for room */
};
NONNULL(1, 2) void intake_stats(struct intake *in, struct intake_stats *ret_stats);

#endif
