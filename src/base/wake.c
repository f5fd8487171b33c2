/* SPDX-License-Identifier: Apache-2.0 */
#include "base/wake.h"

#include "base/clock.h"

int wake_init(struct wake *w)
{
	*w = (struct wake) { 0 };
	return cond_init(&w->cond);
}

void wake_destroy(struct wake *w) { cond_destroy(&w->cond); }

bool wake_wait(struct wake *w, struct mutex *mu, uint64_t deadline_ns)
{
	w->waiters++;
	w->waited_ns -= clock_now_ns();
	bool in_time = cond_wait(&w->cond, mu, deadline_ns);
	w->waited_ns += clock_now_ns();
	w->waiters--;

	/* Whatever ended this wait, this thread now looks at the predicate, so
	 * no signal is owed to it any more.  Clearing also after a time-out is
	 * what keeps a signal that hit a leaving thread from being the last. */
	w->in_flight = false;
	return in_time;
}

void wake_one(struct wake *w)
{
	if (wake_claim(w))
		wake_send(w);
}

void wake_all(struct wake *w)
{
	if (w->waiters > 0)
		cond_broadcast(&w->cond);
}

uint64_t wake_waited_ns(const struct wake *w)
{
	return w->waited_ns + w->waiters * (w->waiters > 0 ? clock_now_ns() : 0);
}
