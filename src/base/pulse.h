/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a thread is doing, and until when that may last: published by the thread,
 * read by whoever watches over it.
 *
 * Waiting for work, for room or for a disk has no bound: those are healthy states
 * however long they last.  A thread past its own bound is stuck.
 */
#ifndef PENSTOCK_BASE_PULSE_H
#define PENSTOCK_BASE_PULSE_H

#include "base/sync.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct pulse {
	_Atomic(const char *) doing; /* static text; NULL before the first pulse_set() */
	_Atomic uint64_t bound_ns;   /* CLOCK_MONOTONIC; NEVER for a wait */
};

static inline void pulse_set(struct pulse *p, const char *doing, uint64_t bound_ns)
{
	atomic_store_explicit(&p->doing, doing, memory_order_relaxed);
	atomic_store_explicit(&p->bound_ns, bound_ns, memory_order_relaxed);
}

/* The bound for steps that only compute and take locks: far above what they need. */
#define PULSE_STEP_NS UINT64_C(30000000000)

/* What the thread has been doing past its bound; NULL if it is healthy. */
static inline const char *pulse_overdue(const struct pulse *p, uint64_t now_ns)
{
	const char *doing = atomic_load_explicit(&p->doing, memory_order_relaxed);
	return doing && atomic_load_explicit(&p->bound_ns, memory_order_relaxed) < now_ns ? doing
	                                                                                  : NULL;
}

#endif
