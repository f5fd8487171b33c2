/* SPDX-License-Identifier: Apache-2.0 */
/* One transaction: everything that a round has gathered, or nothing of it. */
#include "backlog/sqlite_parts.h"

#include "base/clock.h"

#include <assert.h>
#include <errno.h>

#define FORGET_LOOK_NS  (10 * NS_PER_S)
#define CROWDED_LOOK_NS NS_PER_S

/* For readers to end.  Ours do; somebody else's may stay for hours, such as an audit's, and
 * whoever waits for a commit waits for this. */
enum { CHECKPOINT_PATIENCE_MS = 20 };

/* --- forgetting ------------------------------------------------------------------------------- */

/* Then there may be no room for a batch that could fit, so whatever can go has to. */
static bool is_crowded(const struct sqlite_backlog *q) REQUIRES(q->lock)
{
	return q->held_bytes > q->options.max_bytes / 4 * 3;
}

static bool may_forget(const struct sqlite_backlog *q, const struct round *r, bool crowded,
                       uint64_t seq, int64_t finished_us)
{
	int64_t age_us = r->wall_us - finished_us;

	if (seq > r->totals.mark_seq)
		return false;
	return crowded || (age_us >= 0 && (uint64_t) age_us >= q->options.remember_ns / NS_PER_US);
}

/* Oldest first: what is older than it shall be known, or more if the files grow large. */
static int forget(struct sqlite_backlog *q, struct round *r, bool crowded)
{
	struct db *db = &q->db;
	int err = 0;

	while (r->totals.remembered_seq != 0 && r->forgotten < ROUND_MAX_FORGOTTEN) {
		uint64_t seq = r->totals.remembered_seq;
		db_bind_u64(db, DB_FINISHED, 1, seq);
		err = db_next(db, DB_FINISHED);
		if (err <= 0)
			return err;
		bool old = may_forget(q, r, crowded, seq, db_i64(db, DB_FINISHED, 0));
		db_end(db, DB_FINISHED);
		if (!old)
			return 0;

		db_bind_u64(db, DB_FORGET, 1, seq);
		err = db_run(db, DB_FORGET);
		if (err < 0)
			return err;
		r->totals.remembered_seq = seq < r->totals.last_seq ? seq + 1 : 0;
		r->forgotten++;
	}
	return 0;
}

/* --- all of it -------------------------------------------------------------------------------- */

static int write_state(struct db *db, const struct totals *t)
{
	db_bind_u64(db, DB_SET_STATE, 1, t->last_number);
	db_bind_u64(db, DB_SET_STATE, 2, t->accepted);
	db_bind_u64(db, DB_SET_STATE, 3, t->settled[OUTCOME_DONE]);
	db_bind_u64(db, DB_SET_STATE, 4, t->settled[OUTCOME_DEAD]);
	db_bind_u64(db, DB_SET_STATE, 5, t->settled[OUTCOME_CANCELLED]);
	db_bind_u64(db, DB_SET_STATE, 6, t->last_seq);
	db_bind_u64(db, DB_SET_STATE, 7, t->last_lane);
	return db_run(db, DB_SET_STATE);
}

static int apply_query(struct sqlite_backlog *q, struct round *r, struct query *query)
{
	if (query->kind == QUERY_REQUEUE)
		return sqlite_requeue(q, r, query);
	return query_writes(query) ? sqlite_remember_pause(q, query) : 0;
}

/* The writer sleeps until the next job falls due or lane's rest is over, so it asks whenever
 * that may have changed. */
static int find_next_due(struct sqlite_backlog *q, int64_t *ret_due_us)
{
	static const enum db_statement both[] = { DB_NEXT_DUE, DB_NEXT_LANE };
	int64_t due_us = INT64_MAX;

	for (size_t i = 0; i < ARRAY_LEN(both); i++) {
		int err = db_next(&q->db, both[i]);
		if (err < 0)
			return err;
		if (err == 1 && db_i64(&q->db, both[i], 0) < due_us)
			due_us = db_i64(&q->db, both[i], 0);
		if (err == 1)
			db_end(&q->db, both[i]);
	}
	*ret_due_us = due_us;
	return 0;
}

static int apply(struct sqlite_backlog *q, struct round *r, bool crowded, bool probe)
{
	int err = 0;

	/* What frees room goes first. */
	for (const struct request *w = r->requests.first; err == 0 && w; w = w->next)
		err = sqlite_apply_request(q, r, w);
	if (err == 0 && q->next_due_us <= r->wall_us)
		err = sqlite_wake_due(q, r);
	if (err == 0)
		err = sqlite_turn_lanes(q, r);
	for (const struct submission *s = r->accepted.first; err == 0 && s; s = s->next)
		err = sqlite_apply_submission(q, r, s);
	if (err == 0)
		err = sqlite_flush_jobs(q);
	for (struct query *query = r->queries.first; err == 0 && query; query = query->next)
		err = apply_query(q, r, query);
	if (err == 0)
		err = sqlite_flush_lanes(q, r);
	if (err == 0)
		err = forget(q, r, crowded);

	/* Also when nothing has changed, if it is to be found out whether the disk works. */
	if (err == 0 && (probe || memcmp(&r->totals, &q->before, sizeof(q->before)) != 0))
		err = write_state(&q->db, &r->totals);
	return err;
}

/* Keeps db->text, which says what went wrong; if this fails too, the next BEGIN says so. */
static void roll_back(struct db *db)
{
	if (sqlite3_get_autocommit(db->handle) == 0)
		(void) sqlite3_step(db->statements[DB_ROLLBACK]);
	db_end(db, DB_ROLLBACK);
}

int sqlite_commit(struct sqlite_backlog *q, struct round *r)
{
	int64_t next_due_us = 0;
	uint64_t used_pages = 0;

	mutex_lock(&q->lock);
	bool crowded = is_crowded(q);
	bool probe = q->retry_ns != 0;
	mutex_unlock(&q->lock);
	q->before = r->totals;
	int64_t changes = sqlite3_total_changes64(q->db.handle);

	int err = db_run(&q->db, DB_BEGIN);
	if (err == 0)
		err = apply(q, r, crowded, probe);
	if (err == 0)
		err = find_next_due(q, &next_due_us);
	if (err == 0)
		err = sqlite_count_pages(q, &used_pages);
	uint64_t start_ns = clock_now_ns();
	if (err == 0)
		err = db_run(&q->db, DB_COMMIT);
	if (err < 0) {
		roll_back(&q->db);
		sqlite_forget_jobs(q);
		sqlite_clear_lanes(q, true);
		return err;
	}
	r->changed = sqlite3_total_changes64(q->db.handle) != changes;
	if (r->changed)
		histogram_add(&q->commit_times, clock_now_ns() - start_ns);
	q->next_due_us = next_due_us;
	q->used_pages = used_pages;

	/* There may be more to forget, or nothing for a while. */
	bool more = r->forgotten == ROUND_MAX_FORGOTTEN || (crowded && r->forgotten > 0);
	uint64_t pause_ns = crowded ? CROWDED_LOOK_NS : FORGET_LOOK_NS;
	q->forget_after_ns = more ? 0 : clock_now_ns() + pause_ns;
	return 0;
}

/* --- the log ----------------------------------------------------------------------------------- */

/* Copying leaves the file as long as it is, to be written again from its beginning, once no
 * reader is in the way.  They come and go quickly.  If it grows on nevertheless, or is too
 * much for max_bytes, it is cut, which makes them wait for once. */
static bool must_cut(struct sqlite_backlog *q)
{
	mutex_lock(&q->lock);
	bool crowded = is_crowded(q);
	mutex_unlock(&q->lock);
	return q->wal_bytes > (crowded ? 1 : 4) * q->checkpoint_pages * DB_PAGE_BYTES;
}

bool sqlite_checkpoint(struct sqlite_backlog *q)
{
	struct db *db = &q->db;
	uint64_t now_ns = clock_now_ns();

	if (q->wal_pages < q->copied_pages)
		q->copied_pages = 0; /* it has begun anew */
	bool cut = must_cut(q);
	if (now_ns < q->checkpoint_after_ns ||
	    (!cut && q->wal_pages - q->copied_pages < q->checkpoint_pages))
		return false;

	(void) sqlite3_busy_timeout(db->handle, CHECKPOINT_PATIENCE_MS);
	int code = sqlite3_wal_checkpoint_v2(
		db->handle, "main", cut ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_PASSIVE,
		NULL, NULL);
	(void) sqlite3_busy_timeout(db->handle, DB_PATIENCE_MS);
	bool busy = (code & 0xff) == SQLITE_BUSY;
	int err = code == SQLITE_OK || busy ? 0 : db_error(db, code);
	if (err < 0 || busy)
		q->checkpoint_after_ns = clock_now_ns() + NS_PER_S;
	else
		q->copied_pages = q->wal_pages;
	sqlite_trouble(q, TROUBLE_CHECKPOINT, err, db->text);
	return true;
}

static int note_pages(void *arg, sqlite3 *handle, const char *name, int pages)
{
	struct sqlite_backlog *q = arg;

	(void) handle;
	(void) name;
	q->wal_pages = (uint64_t) pages;
	return SQLITE_OK;
}

void sqlite_prepare_checkpoints(struct sqlite_backlog *q)
{
	uint64_t pages = q->options.max_bytes / 16 / DB_PAGE_BYTES;

	q->checkpoint_pages = pages < 64 ? 64 : pages > 4096 ? 4096 : pages;
	(void) sqlite3_wal_hook(q->db.handle, note_pages, q);
}
