/* SPDX-License-Identifier: Apache-2.0 */
#include "timers.h"

#include <errno.h>
#include <stdlib.h>

static void place(struct timers *ts, struct timer *t, size_t slot)
{
	ts->heap[slot] = t;
	t->slot = slot;
}

static void sift_up(struct timers *ts, struct timer *t, size_t slot)
{
	for (; slot > 1 && ts->heap[slot / 2]->due_ns > t->due_ns; slot /= 2)
		place(ts, ts->heap[slot / 2], slot);
	place(ts, t, slot);
}

static void sift_down(struct timers *ts, struct timer *t, size_t slot)
{
	for (size_t child = slot * 2; child <= ts->len; child = slot * 2) {
		if (child < ts->len && ts->heap[child + 1]->due_ns < ts->heap[child]->due_ns)
			child++;
		if (ts->heap[child]->due_ns >= t->due_ns)
			break;
		place(ts, ts->heap[child], slot);
		slot = child;
	}
	place(ts, t, slot);
}

/* Puts 't' where it belongs, starting from a slot whose old owner is gone. */
static void settle(struct timers *ts, struct timer *t, size_t slot)
{
	if (slot > 1 && ts->heap[slot / 2]->due_ns > t->due_ns)
		sift_up(ts, t, slot);
	else
		sift_down(ts, t, slot);
}

static int make_room(struct timers *ts)
{
	if (ts->len + 1 < ts->cap)
		return 0;

	size_t cap = ts->cap > 0 ? ts->cap * 2 : 64;
	struct timer **heap = reallocarray(ts->heap, cap, sizeof(*heap));
	if (!heap)
		return -ENOMEM;
	ts->heap = heap;
	ts->cap = cap;
	return 0;
}

int timers_arm(struct timers *ts, struct timer *t, uint64_t due_ns)
{
	if (t->slot == 0) {
		int r = make_room(ts);
		if (r < 0)
			return r;
		t->slot = ++ts->len;
	}
	t->due_ns = due_ns;
	settle(ts, t, t->slot);
	return 0;
}

void timers_cancel(struct timers *ts, struct timer *t)
{
	size_t slot = t->slot;

	if (slot == 0)
		return;
	t->slot = 0;
	struct timer *last = ts->heap[ts->len--];
	if (last != t)
		settle(ts, last, slot);
}

struct timer *timers_pop_due(struct timers *ts, uint64_t now_ns)
{
	if (timers_next_due_ns(ts) > now_ns || ts->len == 0)
		return NULL;
	struct timer *first = ts->heap[1];
	timers_cancel(ts, first);
	return first;
}

uint64_t timers_next_due_ns(const struct timers *ts)
{
	return ts->len > 0 ? ts->heap[1]->due_ns : UINT64_MAX;
}

void timers_done(struct timers *ts)
{
	free(ts->heap);
	*ts = (struct timers) { 0 };
}
