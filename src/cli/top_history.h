/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last ten minutes of a daemon, sample by sample: as it tells them itself (/v1/history), or
 * as they were seen from here.  Belongs to one thread.
 */
#ifndef PENSTOCK_CLI_TOP_HISTORY_H
#define PENSTOCK_CLI_TOP_HISTORY_H

#include "base/attr.h"

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

enum top_series {
	TOP_QUEUE_JOBS, /* gauges */
	TOP_RUNNING,
	TOP_WAITING,
	TOP_SETTLED, /* a second, as the next */
	TOP_DEAD,
	TOP_FAILURES,
	TOP_RECEIVED_BYTES,
	TOP_SERIES
};

enum { TOP_SAMPLES = 600 };

/* Zero is empty. */
struct top_history {
	double values[TOP_SERIES][TOP_SAMPLES]; /* the oldest first; negative: not known */
	size_t n;
	uint64_t first;  /* the number of the oldest */
	double period_s; /* from one sample to the next */
};

/*
 * Takes what is new in an answer of /v1/history; samples between those that are known and those
 * in it are known no more.  Returns 0, or -EPROTO, without a change, if it is no such answer.
 */
NODISCARD NONNULL(1) int top_history_take(struct top_history *h, const json_t *answer);

/* Appends a sample from two answers of /v1/status, 'period_s' apart; takes no notice of two that
 * are of different daemons. */
NONNULL(1, 2, 3)
void top_history_observe(struct top_history *h, const json_t *before, const json_t *now,
                         double period_s);

#endif
