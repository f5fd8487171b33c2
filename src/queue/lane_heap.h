/* SPDX-License-Identifier: Apache-2.0 */
/* The lanes that may not run before a certain time: a binary heap that knows where in it each
 * lane stands.  Not thread-safe; zero-initialised is empty. */
#ifndef PENSTOCK_QUEUE_LANE_HEAP_H
#define PENSTOCK_QUEUE_LANE_HEAP_H

#include "base/attr.h"

#include <stddef.h>
#include <stdint.h>

struct lane;

struct lane_heap {
	struct lane_heap_entry {
		uint64_t at_ns; /* no later than those of entries[2i+1] and entries[2i+2] */
		struct lane *lane;
	} * entries;
	size_t len;
	size_t size;
};

NONNULL(1) void lane_heap_done(struct lane_heap *h);

/* Makes room for 'size' lanes in all.  Returns 0 or -ENOMEM. */
NODISCARD NONNULL(1) int lane_heap_reserve(struct lane_heap *h, size_t size);

/* Adds a lane, for which there must be room; moves one to another time; removes one. */
NONNULL(1, 2) void lane_heap_add(struct lane_heap *h, struct lane *lane, uint64_t at_ns);
NONNULL(1, 2) void lane_heap_move(struct lane_heap *h, const struct lane *lane, uint64_t at_ns);
NONNULL(1, 2) void lane_heap_remove(struct lane_heap *h, const struct lane *lane);

#endif
