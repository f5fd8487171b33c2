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

/* --- verdicts and marks ------------------------------------------------------------------- */

int64_t sqlite_due_us(const struct round *r, const struct verdict *v)
{
	if (v->due_ns <= r->now_ns)
		return 0;
	return r->wall_us + (int64_t) ((v->due_ns - r->now_ns + NS_PER_US - 1) / NS_PER_US);
}

static int check_changed(struct sqlite_backlog *q, const struct job *job)
{
	if (sqlite3_changes(q->db.handle) == 1)
		return 0;
	return db_fail(&q->db, -EUCLEAN, "job p-%llu is out, but no longer in the database",
	               (unsigned long long) job->number);
}

static int settle_for_good(struct sqlite_backlog *q, struct round *r, const struct verdict *v)
{
	struct db *db = &q->db;
	struct totals *t = &r->totals;

	assert(v->seq == t->last_seq + 1);
	db_bind_u64(db, DB_SETTLE, 1, v->job->number);
	db_bind_u64(db, DB_SETTLE, 2, v->seq);
	db_bind_i64(db, DB_SETTLE, 3, v->outcome);
	db_bind_i64(db, DB_SETTLE, 4, r->wall_us);
	db_bind_i64(db, DB_SETTLE, 5, v->job->attempts);
	db_bind_bytes(db, DB_SETTLE, 6, v->line, v->line_len);
	int err = db_run(db, DB_SETTLE);
	if (err == 0)
		err = check_changed(q, v->job);
	db_bind_u64(db, DB_DELETE_JOB, 1, v->job->number);
	if (err == 0)
		err = db_run(db, DB_DELETE_JOB);
	if (err < 0)
		return err;

	t->last_seq = v->seq;
	t->settled[v->outcome]++;
	t->jobs--;
	if (t->remembered_seq == 0)
		t->remembered_seq = v->seq;
	return 0;
}

static int delay_job(struct sqlite_backlog *q, const struct round *r, const struct verdict *v)
{
	struct db *db = &q->db;
	int64_t due_us = sqlite_due_us(r, v);

	db_bind_u64(db, DB_DELAY_JOB, 1, v->job->number);
	db_bind_i64(db, DB_DELAY_JOB, 2, due_us > 0 ? ROW_DELAYED : ROW_WAITING);
	db_bind_i64(db, DB_DELAY_JOB, 3, due_us > 0 ? due_us : r->wall_us);
	db_bind_i64(db, DB_DELAY_JOB, 4, v->job->attempts);
	int err = db_run(db, DB_DELAY_JOB);
	return err < 0 ? err : check_changed(q, v->job);
}

static int apply_request(struct sqlite_backlog *q, struct round *r, const struct request *w)
{
	int err = 0;

	for (size_t i = 0; err == 0 && i < w->n; i++) {
		const struct verdict *v = &w->verdicts[i];
		if (v->kind == VERDICT_FINAL)
			err = settle_for_good(q, r, v);
		else if (v->kind == VERDICT_RETRY || v->due_ns != 0)
			err = delay_job(q, r, v);
	}
	if (err == 0 && w->mark) {
		db_bind_u64(&q->db, DB_SET_MARK, 1, w->mark_seq);
		db_bind_text(&q->db, DB_SET_MARK, 2, w->mark);
		err = db_run(&q->db, DB_SET_MARK);
		r->totals.mark_seq = w->mark_seq;
	}
	return err;
}

/* --- jobs that fall due -------------------------------------------------------------------- */

static int wake_due(struct sqlite_backlog *q, struct round *r)
{
	struct db *db = &q->db;
	int err = 0;

	db_bind_i64(db, DB_DUE_JOBS, 1, r->wall_us);
	db_bind_i64(db, DB_DUE_JOBS, 2, ROUND_MAX_WOKEN);
	while ((err = db_next(db, DB_DUE_JOBS)) == 1)
		r->woken[r->woken_n++] = (struct place) {
			.number = db_u64(db, DB_DUE_JOBS, 0),
			.rank = db_i64(db, DB_DUE_JOBS, 1),
		};
	for (size_t i = 0; err == 0 && i < r->woken_n; i++) {
		db_bind_u64(db, DB_WAKE_JOB, 1, r->woken[i].number);
		err = db_run(db, DB_WAKE_JOB);
		r->totals.delayed--;
	}
	return err;
}

/* The writer sleeps until the next one falls due, so it asks whenever that may have changed. */
static int find_next_due(struct sqlite_backlog *q, int64_t *ret_due_us)
{
	int err = db_next(&q->db, DB_NEXT_DUE);

	if (err == 1) {
		*ret_due_us = db_i64(&q->db, DB_NEXT_DUE, 0);
		db_end(&q->db, DB_NEXT_DUE);
	} else if (err == 0) {
		*ret_due_us = INT64_MAX;
	}
	return err < 0 ? err : 0;
}

/* --- submissions ------------------------------------------------------------------------------ */

static int64_t rank_of(const struct sqlite_backlog *q, const struct job *job, int64_t wall_us)
{
	int64_t ageing_us = (int64_t) (q->options.ageing_ns / NS_PER_US);

	switch (job_priority(job)) {
	case JOB_PRIORITY_HIGH:
		return wall_us - ageing_us;
	case JOB_PRIORITY_LOW:
		return wall_us + ageing_us;
	case JOB_PRIORITY_NORMAL:
	case JOB_PRIORITIES:
		break;
	}
	return wall_us;
}

int sqlite_add_job(struct sqlite_backlog *q, struct round *r, const struct job *job)
{
	struct db *db = &q->db;
	struct totals *t = &r->totals;
	int64_t not_before_us = job_not_before(job);
	bool delayed = not_before_us > r->wall_us;
	struct place place = { rank_of(q, job, r->wall_us), t->last_number + 1 };

	db_bind_u64(db, DB_ADD_JOB, 1, place.number);
	db_bind_i64(db, DB_ADD_JOB, 2, delayed ? ROW_DELAYED : ROW_WAITING);
	db_bind_i64(db, DB_ADD_JOB, 3, place.rank);
	db_bind_i64(db, DB_ADD_JOB, 4, delayed ? not_before_us : r->wall_us);
	db_bind_i64(db, DB_ADD_JOB, 5, r->wall_us);
	db_bind_u64(db, DB_ADD_JOB, 6, job->bytes);
	db_bind_text(db, DB_ADD_JOB, 7, job->source);
	db_bind_text(db, DB_ADD_JOB, 8, job->id);
	db_bind_bytes(db, DB_ADD_JOB, 9, q->spec.data, q->spec.len);
	int err = db_run(db, DB_ADD_JOB);
	if (err < 0)
		return err;

	t->last_number++;
	t->accepted++;
	t->jobs++;
	t->delayed += delayed;
	r->added++;
	if (!delayed && place_before(place, r->earliest))
		r->earliest = place;
	return 0;
}

/* Is this id in use already?  Returns 1 with the receipt, 0 or -Exxx. */
static int find_known(struct sqlite_backlog *q, enum db_statement which, const struct job *job,
                      struct receipt *ret_receipt)
{
	size_t n = 0;

	db_bind_text(&q->db, which, 1, job->id);
	int err = db_next(&q->db, which);
	if (err <= 0)
		return err;

	const void *spec = db_bytes(&q->db, which, 1, &n);
	bool same = n == q->spec.len && memcmp(spec, q->spec.data, n) == 0;
	*ret_receipt = (struct receipt) {
		.kind = same ? RECEIPT_KNOWN : RECEIPT_CONFLICT,
		.number = db_u64(&q->db, which, 0),
	};
	db_end(&q->db, which);
	return 1;
}

static int submit_job(struct sqlite_backlog *q, struct round *r, const struct job *job,
                      struct receipt *ret_receipt)
{
	int err = 0;

	buf_clear(&q->spec);
	job_write(job, &q->spec);
	if (q->spec.failed) {
		buf_done(&q->spec);
		return db_fail(&q->db, -ENOMEM, "out of memory");
	}
	if (job->id)
		err = find_known(q, DB_KNOWN_JOB, job, ret_receipt);
	if (err == 0 && job->id)
		err = find_known(q, DB_KNOWN_SETTLED, job, ret_receipt);
	if (err != 0)
		return err < 0 ? err : 0;

	err = sqlite_add_job(q, r, job);
	*ret_receipt = (struct receipt) { RECEIPT_ACCEPTED, r->totals.last_number };
	return err;
}

static int apply_submission(struct sqlite_backlog *q, struct round *r, const struct submission *s)
{
	struct receipt receipt;
	int err = 0;

	for (size_t i = 0; err == 0 && i < s->n; i++)
		err = submit_job(q, r, s->jobs[i], s->receipts ? &s->receipts[i] : &receipt);
	if (err == 0 && s->source && s->cursor) {
		db_bind_text(&q->db, DB_SET_CURSOR, 1, s->source);
		db_bind_text(&q->db, DB_SET_CURSOR, 2, s->cursor);
		err = db_run(&q->db, DB_SET_CURSOR);
	}
	return err;
}

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
	return db_run(db, DB_SET_STATE);
}

static int apply(struct sqlite_backlog *q, struct round *r, bool crowded, bool probe)
{
	int err = 0;

	/* What frees room goes first. */
	for (const struct request *w = r->requests.first; err == 0 && w; w = w->next)
		err = apply_request(q, r, w);
	if (err == 0 && q->next_due_us <= r->wall_us)
		err = wake_due(q, r);
	for (const struct submission *s = r->accepted.first; err == 0 && s; s = s->next)
		err = apply_submission(q, r, s);
	for (struct query *query = r->queries.first; err == 0 && query; query = query->next)
		if (query->kind == QUERY_REQUEUE)
			err = sqlite_requeue(q, r, query);
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
		err = db_run(&q->db, DB_COMMIT);
	if (err < 0) {
		roll_back(&q->db);
		return err;
	}
	r->changed = sqlite3_total_changes64(q->db.handle) != changes;
	q->next_due_us = next_due_us;

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
