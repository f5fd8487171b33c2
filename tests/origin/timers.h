/* SPDX-License-Identifier: Apache-2.0
 *
 * Timers in a binary heap: arming, cancelling and firing cost O(log n).
 *
 * The caller owns each timer and must cancel it before its memory goes away. */
#ifndef ORIGIN_TIMERS_H
#define ORIGIN_TIMERS_H

#include "attr.h"

#include <stddef.h>
#include <stdint.h>

struct timer {
	void (*fire)(struct timer *t); /* set by the owner */
	uint64_t due_ns;               /* CLOCK_MONOTONIC; valid while armed */
	size_t slot;                   /* its place in the heap, or 0 while not armed */
};

/* A zeroed struct is an empty heap.  heap[1] is due first; heap[0] is not used. */
struct timers {
	struct timer **heap; /* borrows the timers */
	size_t len;
	size_t cap;
};

/* Arms 't', or moves it if it is armed already.  Returns 0 or -ENOMEM. */
NODISCARD NONNULL(1, 2) int timers_arm(struct timers *ts, struct timer *t, uint64_t due_ns);

/* Disarms 't'; does nothing if it is not armed. */
NONNULL(1, 2) void timers_cancel(struct timers *ts, struct timer *t);

/* Disarms and returns the first timer that is due at 'now_ns', or returns NULL. */
NONNULL(1) struct timer *timers_pop_due(struct timers *ts, uint64_t now_ns);

/* When the first timer is due, or UINT64_MAX. */
NONNULL(1) uint64_t timers_next_due_ns(const struct timers *ts);

/* Frees the heap, not the timers.  Idempotent. */
NONNULL(1) void timers_done(struct timers *ts);

#endif
