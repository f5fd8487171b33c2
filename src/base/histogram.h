/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long things take: counts of durations in fixed buckets, from a tenth of a
 * millisecond to five minutes.  Zero-initialised is empty.  Counting is two relaxed
 * atomic additions, from any thread.
 */
#ifndef PENSTOCK_BASE_HISTOGRAM_H
#define PENSTOCK_BASE_HISTOGRAM_H

#include "base/attr.h"

#include <stdatomic.h>
#include <stdint.h>

enum { HISTOGRAM_BOUNDS = 19, HISTOGRAM_BUCKETS };

/* A bucket has the durations up to and with its bound that the one before has not; the last
 * bucket has no bound. */
extern const struct histogram_bound {
	uint64_t ns;
	const char *seconds; /* the same as text */
} histogram_bounds[HISTOGRAM_BOUNDS];

struct histogram {
	_Atomic uint64_t counts[HISTOGRAM_BUCKETS];
	_Atomic uint64_t sum_ns;
};

NONNULL(1) void histogram_add(struct histogram *h, uint64_t ns);

struct histogram_figures {
	uint64_t counts[HISTOGRAM_BUCKETS];
	uint64_t sum_ns; /* of nearly the same durations, while more are counted */
};
NONNULL(1, 2) void histogram_read(struct histogram *h, struct histogram_figures *ret_figures);

#endif
