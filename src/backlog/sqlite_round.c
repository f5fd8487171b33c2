/* SPDX-License-Identifier: Apache-2.0 */
/* What goes into a round: everything that waits, as far as there is room for it. */
#include "backlog/sqlite_parts.h"

#include "base/clock.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#define LOOK_NS  (100 * NS_PER_MS) /* no look at the disk before this has passed */
#define IDLE_NS  (60 * NS_PER_S)   /* the wall clock may be set at any time */

/* --- measuring -------------------------------------------------------------------------- */

static int ask_pages(struct sqlite_backlog *q, enum db_statement which, uint64_t *ret_pages)
{
	int err = db_next(&q->db, which);
	if (err <= 0)
		return err;
	*ret_pages = db_u64(&q->db, which, 0);
	db_end(&q->db, which);
	return 0;
}

int sqlite_count_pages(struct sqlite_backlog *q, uint64_t *ret_pages)
{
	uint64_t all = 0, unused = 0;

	int err = ask_pages(q, DB_PAGES, &all);
	if (err == 0)
		err = ask_pages(q, DB_FREE_PAGES, &unused);
	if (err < 0)
		return err;
	*ret_pages = all > unused ? all - unused : 0;
	return 0;
}

static uint64_t file_bytes(struct sqlite_backlog *q)
{
	struct stat wal = { 0 };

	(void) stat(q->wal_path, &wal);
	q->wal_bytes = (uint64_t) wal.st_size;
	return q->used_pages * DB_PAGE_BYTES + q->wal_bytes;
}

void sqlite_measure(struct sqlite_backlog *q)
{
	struct statvfs disk;
	uint64_t now_ns = clock_now_ns(), bytes = file_bytes(q);

	mutex_lock(&q->lock);
	q->held_bytes = bytes;
	bool look = now_ns - q->looked_ns >= LOOK_NS;
	mutex_unlock(&q->lock);

	if (!look || statvfs(q->options.path, &disk) < 0)
		return;
	mutex_lock(&q->lock);
	q->free_bytes = (uint64_t) disk.f_bavail * disk.f_frsize;
	q->looked_ns = now_ns;
	mutex_unlock(&q->lock);
}

/* --- room ------------------------------------------------------------------------------- */

int sqlite_room(const struct sqlite_backlog *q, const struct round *r, size_t n, size_t bytes)
{
	const struct sqlite_backlog_options *o = &q->options;
	uint64_t adds = disk_bytes(r->bytes + bytes);

	if (q->closed)
		return -EPIPE;
	if (q->retry_ns > r->now_ns)
		return q->errors[TROUBLE_WRITE];
	if (q->totals.jobs + r->jobs + n > o->max_jobs)
		return -EAGAIN;
	if (q->free_bytes < adds || q->free_bytes - adds < o->min_free_bytes)
		return -ENOSPC;
	return q->held_bytes + adds > o->max_bytes ? -EDQUOT : 0;
}

static void block(struct sqlite_backlog *q, struct submission *s, uint64_t now_ns) REQUIRES(q->lock)
{
	if (s->since_ns != 0)
		return;
	s->since_ns = now_ns;
	q->blocked++;
	q->blocked_ns -= now_ns;
}

void sqlite_unblock(struct sqlite_backlog *q, struct submission *s)
{
	if (s->since_ns == 0)
		return;
	s->since_ns = 0;
	q->blocked--;
	q->blocked_ns += clock_now_ns();
}

void sqlite_put_back(struct sqlite_backlog *q, struct submission_list *list)
{
	struct submission_list others = { 0 }, waiting = { 0 };
	struct submission *s;

	while ((s = submission_list_take(list))) {
		if (s->waits && !s->withdrawn) {
			block(q, s, clock_now_ns());
			submission_list_append(&waiting, s);
		} else {
			submission_list_append(&others, s);
		}
	}
	while ((s = submission_list_take(&q->submissions)))
		submission_list_append(&waiting, s);
	q->submissions = waiting;
	*list = others;
}

/* --- gathering -------------------------------------------------------------------------- */

static bool is_full(const struct round *r)
{
	return r->rows >= ROUND_MAX_ROWS || r->bytes >= ROUND_MAX_BYTES;
}

static void accept_submission(struct sqlite_backlog *q, struct round *r, struct submission *s)
	REQUIRES(q->lock)
{
	sqlite_unblock(q, s);
	r->jobs += s->n;
	r->rows += s->n;
	r->bytes += s->bytes;
	submission_list_append(&r->accepted, s);
}

static void refuse_submission(struct sqlite_backlog *q, struct round *r, struct submission *s,
                              int error) REQUIRES(q->lock)
{
	sqlite_unblock(q, s);
	s->error = error;
	submission_list_append(&r->refused, s);
	if (error == -ENOSPC)
		q->looked_ns = 0; /* the next one is not refused for what is over */
}

/* In their order: what waits behind one that has no room has none either. */
static void admit(struct sqlite_backlog *q, struct round *r) REQUIRES(q->lock)
{
	struct submission_list left = { 0 };
	struct submission *s;
	int blocked = 0;

	while ((s = submission_list_take(&q->submissions))) {
		int error = q->closed ? -EPIPE : blocked;
		if (error == 0)
			error = sqlite_room(q, r, s->n, s->bytes);
		if (error == 0 && is_full(r)) {
			submission_list_append(&left, s); /* the next round takes it */
		} else if (error == 0) {
			accept_submission(q, r, s);
		} else if (error == -EPIPE || !s->waits) {
			refuse_submission(q, r, s, error);
		} else {
			blocked = error;
			block(q, s, r->now_ns);
			submission_list_append(&left, s);
		}
	}
	q->submissions = left;
}

static bool timer_has_come(const struct sqlite_backlog *q, const struct round *r) REQUIRES(q->lock)
{
	if (q->retry_ns != 0)
		return q->retry_ns <= r->now_ns;
	return q->next_due_us <= r->wall_us || q->forget_after_ns <= r->now_ns;
}

static void collect_rests(struct sqlite_backlog *q, struct round *r) REQUIRES(q->lock)
{
	struct turn *turn = NULL;

	while (r->rests_n < ROUND_MAX_LANES && (turn = turns_unwritten(&q->turns, turn)))
		r->rests[r->rests_n++] = (struct rest) {
			.lane = turn->lane, .why = turn->why, .until_ns = turn->until_ns };
}

static void collect_opens(struct sqlite_backlog *q, struct round *r) REQUIRES(q->lock)
{
	r->opens.all = q->opens.all;
	r->opens.n = q->opens.n;
	memcpy(r->opens.ids, q->opens.ids, q->opens.n * sizeof(q->opens.ids[0]));
	q->opens.all = false;
	q->opens.n = 0;
}

/* Returns whether there is anything to do. */
static bool collect(struct sqlite_backlog *q, struct round *r) REQUIRES(q->lock)
{
	/* Everything but the arrays at its end. */
	memset(r, 0, offsetof(struct round, opens));
	r->now_ns = clock_now_ns();
	r->wall_us = clock_wall_us();
	r->totals = q->totals;

	r->requests = q->requests;
	q->requests = (struct request_list) { 0 };
	for (const struct request *w = r->requests.first; w; w = w->next)
		r->rows += w->n;
	r->queries = q->queries;
	q->queries = (struct query_list) { 0 };
	admit(q, r);
	r->timer = timer_has_come(q, r);
	if (q->retry_ns <= r->now_ns) {
		r->rests_due = sqlite_rests_are_due(q);
		collect_opens(q, r);
		collect_rests(q, r);
	} else {
		r->opens.all = false;
		r->opens.n = 0;
	}
	return r->accepted.first || r->refused.first || r->requests.first || r->queries.first ||
	       r->timer || r->opens.all || r->opens.n > 0 || r->rests_due;
}

/* When to look again although nobody signals. */
static uint64_t wake_at(const struct sqlite_backlog *q, const struct round *r) REQUIRES(q->lock)
{
	uint64_t at = r->now_ns + IDLE_NS;

	if (q->submissions.first && at > r->now_ns + RETRY_NS)
		at = r->now_ns + RETRY_NS;
	if (q->retry_ns != 0)
		return q->retry_ns < at ? q->retry_ns : at;
	if (q->forget_after_ns < at)
		at = q->forget_after_ns;
	if (q->next_due_us < INT64_MAX) {
		uint64_t wait_us = (uint64_t) (q->next_due_us - r->wall_us);
		if (wait_us < (at - r->now_ns) / NS_PER_US)
			at = r->now_ns + wait_us * NS_PER_US;
	}
	return at;
}

/* Once stopping, what is to outlive the process is written, unless the disk fails. */
static bool goes_on(const struct sqlite_backlog *q) REQUIRES(q->lock)
{
	return !q->stopping || (q->turns.n_urgent > 0 && q->retry_ns == 0);
}

bool sqlite_gather(struct sqlite_backlog *q, struct round *r)
{
	bool found = false;

	mutex_lock(&q->lock);
	while (!found && goes_on(q)) {
		if (q->submissions.first && clock_now_ns() - q->looked_ns >= LOOK_NS) {
			mutex_unlock(&q->lock);
			sqlite_measure(q);
			mutex_lock(&q->lock);
		}
		found = collect(q, r);
		if (!found)
			(void) cond_wait(&q->work, &q->lock, wake_at(q, r));
	}
	mutex_unlock(&q->lock);
	return found;
}
