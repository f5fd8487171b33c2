/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The threads that wait for one predicate of one mutex, woken one at a time.
 *
 * At most one wakeup is in flight: from the signal until some woken thread has
 * the mutex again, further changes need not signal, because that thread looks
 * at the predicate after them.  It must call wake_one() before it lets the mutex
 * go if the predicate still holds for another.  With many waiters and small
 * hand-overs this replaces a context switch per item by one per burst.
 *
 * Also keeps the time that threads have spent waiting, those who wait now
 * included.
 */
#ifndef PENSTOCK_BASE_WAKE_H
#define PENSTOCK_BASE_WAKE_H

#include "base/sync.h"

struct wake {
	struct cond cond;
	unsigned waiters;   /* threads inside wake_wait() */
	bool in_flight;     /* a signal was sent that no waiter has answered yet */
	uint64_t waited_ns; /* ended waits, minus the start of each that goes on (modulo 2^64) */
};

/* Returns 0 or what cond_init() returns. */
NODISCARD int wake_init(struct wake *w);
void wake_destroy(struct wake *w);

/* Waits for wake_one(), wake_all() or the deadline (CLOCK_MONOTONIC).  Returns
 * false once the deadline has passed.  'mu' guards 'w'. */
bool wake_wait(struct wake *w, struct mutex *mu, uint64_t deadline_ns) REQUIRES(*mu);

/* Wakes one waiter unless a wakeup is in flight; wakes all of them.  The mutex
 * that guards 'w' must be held. */
void wake_one(struct wake *w);
void wake_all(struct wake *w);

/* The two halves of wake_one(): whether somebody is to be woken, with the mutex held, and the
 * waking, which the caller then owes, and can do without the mutex: it is a system call. */
NODISCARD static inline bool wake_claim(struct wake *w)
{
	if (w->waiters == 0 || w->in_flight)
		return false;
	w->in_flight = true;
	return true;
}
static inline void wake_send(struct wake *w) { cond_signal(&w->cond); }

/* Nanoseconds that threads have waited, summed over threads.  Mutex held. */
uint64_t wake_waited_ns(const struct wake *w);

#endif
