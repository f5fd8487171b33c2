/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/tail.h"

#include "base/clock.h"
#include "base/event.h"
#include "base/sync.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct record {
	uint64_t at; /* where it begins, of all bytes ever; in 'bytes' it is in one piece */
	size_t len;
	int64_t settled_us;
	enum outcome outcome;
};

struct tail {
	int event_fd;

	struct mutex lock;
	bool awaited GUARDED_BY(lock); /* the next record: the event is to be raised */
	uint64_t first_seq GUARDED_BY(lock); /* last_seq + 1: none is here */
	uint64_t last_seq GUARDED_BY(lock);
	uint64_t end GUARDED_BY(lock); /* of the last record, of all bytes ever */
	struct record records[TAIL_MAX_RECORDS] GUARDED_BY(lock); /* by seq */
	char bytes[TAIL_MAX_BYTES] GUARDED_BY(lock);
};

int tail_create(uint64_t last_seq, struct tail **ret_tail)
{
	struct tail *t = calloc(1, sizeof(*t)); /* its pages become real as they are used */
	if (!t)
		return -ENOMEM;

	t->event_fd = event_create();
	int r = t->event_fd < 0 ? t->event_fd : mutex_init(&t->lock);
	if (r < 0) {
		if (t->event_fd >= 0)
			(void) close(t->event_fd);
		free(t);
		return r;
	}
	mutex_lock(&t->lock);
	t->first_seq = last_seq + 1;
	t->last_seq = last_seq;
	mutex_unlock(&t->lock);
	*ret_tail = t;
	return 0;
}

struct tail *tail_free(struct tail *t)
{
	if (t) {
		mutex_destroy(&t->lock);
		(void) close(t->event_fd);
		free(t);
	}
	return NULL;
}

static struct record *record_of(struct tail *t, uint64_t seq) REQUIRES(t->lock)
{
	return &t->records[seq % TAIL_MAX_RECORDS];
}

/* Where a record of this length, which fits, will begin: it does not go around the end. */
static uint64_t place_for(const struct tail *t, size_t len) REQUIRES(t->lock)
{
	size_t left = TAIL_MAX_BYTES - t->end % TAIL_MAX_BYTES;

	return len <= left ? t->end : t->end + left;
}

/* One that is too long is not kept, and so neither is any before it. */
static void add(struct tail *t, const struct verdict *v, int64_t now_us) REQUIRES(t->lock)
{
	uint64_t at = place_for(t, v->line_len);

	t->last_seq = v->seq;
	if (v->line_len > TAIL_MAX_BYTES) {
		t->first_seq = v->seq + 1;
		return;
	}
	while (t->first_seq < v->seq &&
	       (v->seq - t->first_seq >= TAIL_MAX_RECORDS ||
	        at + v->line_len - record_of(t, t->first_seq)->at > TAIL_MAX_BYTES))
		t->first_seq++;
	*record_of(t, v->seq) = (struct record) {
		.at = at, .len = v->line_len, .settled_us = now_us, .outcome = v->outcome };
	memcpy(t->bytes + at % TAIL_MAX_BYTES, v->line, v->line_len);
	t->end = at + v->line_len;
}

void tail_add(struct tail *t, const struct verdict *verdicts, size_t n)
{
	int64_t now_us = clock_wall_us();

	mutex_lock(&t->lock);
	uint64_t before = t->last_seq;
	for (size_t i = 0; i < n; i++)
		if (verdicts[i].kind == VERDICT_FINAL)
			add(t, &verdicts[i], now_us);
	/* With the lock held: so nobody can find it raised and nothing there.  An eventfd does not
	 * block. */
	if (t->awaited && t->last_seq > before) {
		t->awaited = false;
		event_raise(t->event_fd);
	}
	mutex_unlock(&t->lock);
}

int tail_event_fd(const struct tail *t) { return t->event_fd; }

void tail_event_clear(struct tail *t) { event_clear(t->event_fd); }

static void read_records(struct tail *t, struct record_range *range, struct buf *page)
	REQUIRES(t->lock)
{
	bool goes_on = !record_range_is_over(range);

	while (goes_on && range->next_seq <= t->last_seq) {
		const struct record *r = record_of(t, range->next_seq);
		goes_on = record_range_add(range, r->outcome, t->bytes + r->at % TAIL_MAX_BYTES,
		                           r->len, page);
	}
}

int tail_read(struct tail *t, struct record_range *range, struct buf *page)
{
	int r = 0;

	mutex_lock(&t->lock);
	if (range->next_seq == 0)
		range->next_seq = t->first_seq;
	range->first_seq = t->first_seq;
	if (range->next_seq < t->first_seq) {
		r = -ENOENT;
	} else if (range->next_seq <= t->last_seq) {
		read_records(t, range, page);
		r = page->failed ? -ENOMEM : 1;
	} else {
		t->awaited = true;
	}
	mutex_unlock(&t->lock);
	return r;
}

void tail_seek(struct tail *t, struct record_range *range)
{
	uint64_t n = 0;

	mutex_lock(&t->lock);
	uint64_t seq = (t->last_seq < range->until_seq ? t->last_seq : range->until_seq) + 1;
	while (seq > t->first_seq &&
	       record_range_reaches(range, record_of(t, seq - 1)->outcome,
	                            record_of(t, seq - 1)->settled_us, &n))
		seq--;
	mutex_unlock(&t->lock);
	if (seq > range->next_seq)
		range->next_seq = seq;
}

uint64_t tail_last_seq(struct tail *t)
{
	mutex_lock(&t->lock);
	uint64_t seq = t->last_seq;
	mutex_unlock(&t->lock);
	return seq;
}
