/* SPDX-License-Identifier: Apache-2.0 */
#include "backlog/backlog.h"

#include "base/sync.h"

#include <errno.h>

/* --- waiting ----------------------------------------------------------------------- */

/* A submission whose caller waits. */
struct waiter {
	struct submission submission;
	struct mutex lock;
	struct cond ended_cond; /* ended */
	bool ended GUARDED_BY(lock);
	int error GUARDED_BY(lock);
};

static void end_wait(struct submission *s, int error)
{
	struct waiter *w = (struct waiter *) s;

	mutex_lock(&w->lock);
	w->error = error;
	w->ended = true;
	cond_signal(&w->ended_cond);
	mutex_unlock(&w->lock);
}

int backlog_submit_and_wait(struct backlog *b, struct submission *s)
{
	struct waiter w = { .submission = *s };

	int r = mutex_init(&w.lock);
	if (r < 0)
		return r;
	r = cond_init(&w.ended_cond);
	if (r < 0)
		goto destroy_lock;

	w.submission.done = end_wait;
	backlog_submit(b, &w.submission);
	mutex_lock(&w.lock);
	while (!w.ended)
		(void) cond_wait(&w.ended_cond, &w.lock, NEVER);
	r = w.error;
	mutex_unlock(&w.lock);

	cond_destroy(&w.ended_cond);
destroy_lock:
	mutex_destroy(&w.lock);
	return r;
}

/* --- what only a durable backlog can ----------------------------------------------- */

void backlog_query(struct backlog *b, struct query *q)
{
	if (b->ops->query)
		b->ops->query(b, q);
	else
		q->done(q, -EOPNOTSUPP);
}

int backlog_cursor(struct backlog *b, const char *source, struct buf *cursor)
{
	return b->ops->cursor ? b->ops->cursor(b, source, cursor) : 0;
}

int backlog_history(struct backlog *b, uint64_t after_seq, struct buf *lines,
                    uint64_t *ret_last_seq)
{
	return b->ops->history ? b->ops->history(b, after_seq, lines, ret_last_seq) : -EOPNOTSUPP;
}

int backlog_mark(struct backlog *b, uint64_t seq, const char *text)
{
	return b->ops->mark ? b->ops->mark(b, seq, text) : 0;
}

int backlog_marked(struct backlog *b, uint64_t *ret_seq, struct buf *text)
{
	if (b->ops->marked)
		return b->ops->marked(b, ret_seq, text);
	*ret_seq = 0;
	return 0;
}
