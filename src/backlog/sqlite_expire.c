/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking jobs whose deadline has passed: on the taker's connection, by an index of deadlines.
 *
 * 'expires_us' says when that is worth a look, so that a backlog without deadlines has none.
 * Whoever brings a job in lowers it; a look raises it to the next deadline that it sees.  It sees
 * nothing of the rows that are out: they bring theirs when they come back.
 */
#include "backlog/sqlite_parts.h"

#include <assert.h>
#include <errno.h>

/* One call. */
struct expiry {
	int64_t wall_us;
	uint64_t told; /* rows with a larger number are for later */
	bool stopped;  /* max_out_bytes is reached */
	size_t room, n;
	struct job **jobs;
};

/* Returns 0, also if there may be more, or an error; a row that cannot be read is passed over. */
static int take_rows(struct sqlite_backlog *q, struct expiry *e)
{
	int err = 0, unreadable = 0;

	db_bind_i64(&q->taker, DB_EXPIRED, 1, e->wall_us);
	while (e->n < e->room && (err = db_next(&q->taker, DB_EXPIRED)) == 1) {
		uint64_t number = db_u64(&q->taker, DB_EXPIRED, 0);
		int taken = sqlite_take_job(q, e->told, number, &e->jobs[e->n]);
		e->n += taken == 1;
		e->stopped = taken == -EDQUOT;
		if (taken == -EUCLEAN)
			unreadable = taken;
		else if (taken < 0)
			err = taken;
		if (err < 0)
			break;
	}
	db_end(&q->taker, DB_EXPIRED);
	return err < 0 && !e->stopped ? err : unreadable;
}

static int find_next(struct db *db, int64_t after_us, int64_t *ret_next_us)
{
	db_bind_i64(db, DB_NEXT_DEADLINE, 1, after_us);
	int err = db_next(db, DB_NEXT_DEADLINE);
	if (err == 1) {
		*ret_next_us = db_i64(db, DB_NEXT_DEADLINE, 0);
		db_end(db, DB_NEXT_DEADLINE);
	}
	return err < 0 ? err : 0;
}

/* Stores when there is more to come, as far as this transaction sees. */
static int look(struct sqlite_backlog *q, struct expiry *e, int64_t *ret_next_us)
{
	int next_err = 0, err = db_run(&q->taker, DB_BEGIN_READ);

	if (err == 0)
		err = take_rows(q, e);
	if (e->n == e->room)
		*ret_next_us = e->wall_us;
	else if (err == 0 || err == -EUCLEAN)
		next_err = find_next(&q->taker, e->wall_us, ret_next_us);
	err = next_err < 0 ? next_err : err;
	if (err < 0 && err != -EUCLEAN)
		*ret_next_us = e->wall_us + (int64_t) (NS_PER_S / NS_PER_US);
	if (sqlite3_get_autocommit(q->taker.handle) == 0 && db_run(&q->taker, DB_END_READ) < 0)
		assert(err < 0); /* ending a read fails only if reading did */
	return err;
}

/* Returns whether there is anything to look for. */
static bool begin(struct sqlite_backlog *q, struct expiry *e, int64_t *ret_next_us)
{
	mutex_lock(&q->lock);
	bool due = q->expires_us <= e->wall_us;
	*ret_next_us = q->expires_us;
	if (due) {
		q->expires_us = INT64_MAX; /* before the snapshot: whoever comes later lowers it */
		e->told = q->told;
		claims_begin_take(&q->claims);
	}
	mutex_unlock(&q->lock);
	return due;
}

/* Not with sqlite_expect(): the caller is told by what is returned. */
static int64_t end(struct sqlite_backlog *q, const struct expiry *e, int64_t next_us)
{
	mutex_lock(&q->lock);
	claims_end_take(&q->claims);
	q->expired_wait = e->stopped && q->out_full;
	if (e->stopped && !q->out_full)
		next_us = e->wall_us; /* something has come back since */
	if (next_us < q->expires_us)
		q->expires_us = next_us;
	next_us = q->expires_us;
	mutex_unlock(&q->lock);
	return next_us;
}

size_t sqlite_take_expired(struct backlog *b, int64_t wall_us, size_t room,
                           struct job **ret_jobs, int64_t *ret_next_wall_us)
{
	struct sqlite_backlog *q = (struct sqlite_backlog *) b;
	struct expiry e = { .wall_us = wall_us, .room = room, .jobs = ret_jobs };
	int64_t next_us = INT64_MAX;

	if (!begin(q, &e, ret_next_wall_us))
		return 0;
	int err = look(q, &e, &next_us);
	*ret_next_wall_us = end(q, &e, next_us);
	sqlite_trouble(q, TROUBLE_READ, err, q->taker.text);
	return e.n;
}
