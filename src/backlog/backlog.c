/* SPDX-License-Identifier: Apache-2.0 */
#include "backlog/backlog.h"

#include "base/sync.h"

#include <errno.h>

/* --- waiting ----------------------------------------------------------------------- */

/* A submission or a query whose caller waits. */
struct waiter {
	struct submission submission;
	struct query query;
	struct mutex lock;
	struct cond ended_cond; /* ended */
	bool ended GUARDED_BY(lock);
	int error GUARDED_BY(lock);
};

static int begin_wait(struct waiter *w)
{
	int r = mutex_init(&w->lock);
	if (r < 0)
		return r;
	r = cond_init(&w->ended_cond);
	if (r < 0)
		mutex_destroy(&w->lock);
	return r;
}

static void end_wait(struct waiter *w, int error)
{
	mutex_lock(&w->lock);
	w->error = error;
	w->ended = true;
	cond_signal(&w->ended_cond);
	mutex_unlock(&w->lock);
}

static void on_submitted(struct submission *s, int error)
{
	end_wait((struct waiter *) ((char *) s - offsetof(struct waiter, submission)), error);
}

static void on_answered(struct query *q, int error)
{
	end_wait((struct waiter *) ((char *) q - offsetof(struct waiter, query)), error);
}

static int wait_end(struct waiter *w)
{
	mutex_lock(&w->lock);
	while (!w->ended)
		(void) cond_wait(&w->ended_cond, &w->lock, NEVER);
	int error = w->error;
	mutex_unlock(&w->lock);
	cond_destroy(&w->ended_cond);
	mutex_destroy(&w->lock);
	return error;
}

int backlog_submit_and_wait(struct backlog *b, struct submission *s)
{
	struct waiter w = { .submission = *s };

	int r = begin_wait(&w);
	if (r < 0)
		return r;
	w.submission.done = on_submitted;
	backlog_submit(b, &w.submission);
	return wait_end(&w);
}

int backlog_query_and_wait(struct backlog *b, struct query *q)
{
	struct waiter w = { .query = *q };

	int r = begin_wait(&w);
	if (r < 0)
		return r;
	w.query.done = on_answered;
	backlog_query(b, &w.query);
	r = wait_end(&w);
	*q = w.query;
	return r;
}

void backlog_query(struct backlog *b, struct query *q) { b->ops->query(b, q); }

/* --- what only a durable backlog can ----------------------------------------------- */

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

int backlog_paused(struct backlog *b, struct buf *origins)
{
	return b->ops->paused ? b->ops->paused(b, origins) : 0;
}
