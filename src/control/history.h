/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What went on in the last ten minutes, one sample a second, so that a view that is opened now
 * shows the past.
 *
 * Seconds are counted from the daemon's start, on a clock that stands still while the machine is
 * suspended.  Sample N is taken when N of them have passed: levels as they are at that moment, and
 * what was counted in the second before it.
 *
 * A second in which no sample could be taken, the machine being too busy, has no levels; what was
 * counted from the last sample to the next is spread evenly over those seconds, so that
 * sums are right.
 *
 * Belongs to the socket's thread.
 */
#ifndef PENSTOCK_CONTROL_HISTORY_H
#define PENSTOCK_CONTROL_HISTORY_H

#include "base/attr.h"
#include "base/buf.h"
#include "engine/engine.h"
#include "engine/tally.h"
#include "job/wait.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HISTORY_SAMPLES = 600 };

enum history_series {
	/* Levels. */
	HISTORY_QUEUE_JOBS,
	HISTORY_WAITING, /* in the backlog, and due */
	HISTORY_DELAYED, /* in the backlog, and not due */
	HISTORY_RUNNING,
	HISTORY_BLOCKED, /* who waits for room: sources and clients, and the feeder */

	/* Counted in a second. */
	HISTORY_ACCEPTED,
	HISTORY_SETTLED,
	HISTORY_DEAD,    /* of these */
	HISTORY_ATTEMPTS,
	HISTORY_FAILURES, /* of these */
	HISTORY_RECEIVED_BYTES,

	HISTORY_SERIES,
};

/* Of one moment; the counters are totals here. */
struct history_figures {
	uint64_t of[HISTORY_SERIES];
	uint64_t waiting[WAIT_REASONS]; /* levels, too */
	uint64_t failed[FAILURES];      /* counted, too: attempts, by why they were no success */
};

/* Initialise with history_init(). */
struct history {
	uint64_t started_ns; /* the daemon's start; CLOCK_MONOTONIC, as all times here */
	uint64_t last;       /* the newest sample's number, or where they begin */
	size_t n;            /* samples that there are */
	struct history_figures totals; /* at the last one */
	struct history_sample {
		bool missed;
		struct history_figures is; /* counters: in that second */
	} ring[HISTORY_SAMPLES];   /* sample N at N % HISTORY_SAMPLES */
};

NONNULL(1, 2) void history_read(struct engine *engine, struct history_figures *ret);

NONNULL(1, 4)
void history_init(struct history *h, uint64_t started_ns, uint64_t now_ns,
                  const struct history_figures *now);

/* When the next sample is due. */
NONNULL(1) uint64_t history_next_ns(const struct history *h);

/* Takes it, and makes up for those that were missed before it.  Nothing, if it is not due. */
NONNULL(1, 3)
void history_add(struct history *h, uint64_t now_ns, const struct history_figures *now);

/* Appends the samples numbered 'since' and later, as one JSON object on one line.
 * 'started_wall_us' tells one daemon's numbers from another's. */
NONNULL(1, 4)
void history_write(const struct history *h, uint64_t since, int64_t started_wall_us,
                   struct buf *b);

#endif
