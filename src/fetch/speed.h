/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a transfer has become too slow: fewer bytes than its least speed allows have come or
 * gone within the last span of time.  The span is looked at again with each eighth of it.
 */
#ifndef PENSTOCK_FETCH_SPEED_H
#define PENSTOCK_FETCH_SPEED_H

#include "base/attr.h"

#include <stdbool.h>
#include <stdint.h>

enum { SPEED_PARTS = 8 };

struct speed {
	uint64_t least;   /* bytes in a span; 0: any speed will do */
	uint64_t part_ns; /* an eighth of the span */
	uint64_t next_ns; /* when speed_is_low() wants to be asked again; NEVER for any speed */
	uint64_t bytes[SPEED_PARTS]; /* so far, at the end of each of the last parts */
	unsigned n;       /* parts so far */
};

/* Begins a span. */
NONNULL(1)
void speed_start(struct speed *s, uint64_t bytes_per_s, uint64_t span_ns, uint64_t now_ns);

/* Begins a new span after a time that does not count; what came before counts for the new one. */
NONNULL(1) void speed_restart(struct speed *s);

/* To be asked at 'next_ns' or later, with all bytes since the start. */
NONNULL(1) bool speed_is_low(struct speed *s, uint64_t bytes, uint64_t now_ns);

#endif
