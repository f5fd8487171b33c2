/* SPDX-License-Identifier: Apache-2.0 */
/* What verdicts and time do to the rows of jobs. */
#include "backlog/sqlite_parts.h"

#include "base/clock.h"

#include <assert.h>
#include <errno.h>

/* --- rows and their lanes ----------------------------------------------------------------- */

/* As it stands in the table. */
struct row {
	int64_t state;
	uint64_t lane;
	enum wait_reason delay;
};

enum { ROW_ACCEPTED = 3, ROW_SOURCE, ROW_ID, ROW_SPEC }; /* further columns of DB_ROW */

/* DB_ROW stays at the row, for what else is wanted of it: ROW_SPEC only 'with_spec', or if the
 * job has an id. */
static int find_row(struct sqlite_backlog *q, uint64_t number, bool with_spec, struct row *ret_row)
{
	struct db *db = &q->db;

	db_bind_u64(db, DB_ROW, 1, number);
	db_bind_i64(db, DB_ROW, 2, with_spec);
	int err = db_next(db, DB_ROW);
	if (err <= 0)
		return err < 0 ? err : db_fail(db, -EUCLEAN, "job p-%llu is out, but no longer in the "
		                                             "database", (unsigned long long) number);
	int64_t delay = db_i64(db, DB_ROW, 2);
	*ret_row = (struct row) {
		.state = db_i64(db, DB_ROW, 0),
		.lane = db_u64(db, DB_ROW, 1),
		.delay = delay >= 0 && delay < WAIT_REASONS ? (enum wait_reason) delay : WAIT_RETRY,
	};
	return 0;
}

/* Counts a row 'by' more (or -1: less) in its lane and state. */
static int count_row(struct sqlite_backlog *q, struct round *r, const struct row *row, int by)
{
	struct lane_change *change = sqlite_change_lane(q, row->lane);

	if (!change)
		return -ENOMEM;
	change->jobs += by;
	if (row->state == ROW_WAITING)
		change->waiting += by;
	else if (row->state == ROW_DELAYED)
		r->totals.delayed[row->delay] += (size_t) by;
	return 0;
}

/* --- verdicts ----------------------------------------------------------------------------- */

int64_t sqlite_due_us(const struct round *r, const struct verdict *v)
{
	return v->kind == VERDICT_HOP || v->due_ns <= r->now_ns ? 0 : sqlite_wall_us(r, v->due_ns);
}

/* Of the row that DB_ROW is at.  With bound values, and not from a SELECT: for that SQLite would
 * have a statement of many rows to take back, and copy every page before it is changed. */
static int add_settled(struct db *db, const struct round *r, const struct verdict *v)
{
	size_t spec_len = 0;
	const void *spec = db_bytes(db, DB_ROW, ROW_SPEC, &spec_len);

	db_bind_u64(db, DB_SETTLE, 1, v->job->number);
	db_bind_u64(db, DB_SETTLE, 2, v->seq);
	db_bind_i64(db, DB_SETTLE, 3, v->outcome);
	db_bind_i64(db, DB_SETTLE, 4, r->wall_us);
	db_bind_i64(db, DB_SETTLE, 5, db_i64(db, DB_ROW, ROW_ACCEPTED));
	db_bind_i64(db, DB_SETTLE, 6, v->job->attempts);
	db_bind_text(db, DB_SETTLE, 7, db_text(db, DB_ROW, ROW_SOURCE));
	db_bind_text(db, DB_SETTLE, 8, db_text(db, DB_ROW, ROW_ID));
	if (spec)
		db_bind_bytes(db, DB_SETTLE, 9, spec, spec_len);
	else
		db_bind_text(db, DB_SETTLE, 9, NULL);
	db_bind_bytes(db, DB_SETTLE, 10, v->line, v->line_len);
	return db_run(db, DB_SETTLE);
}

static int settle_for_good(struct sqlite_backlog *q, struct round *r, const struct verdict *v,
                           const struct row *row)
{
	struct db *db = &q->db;
	struct totals *t = &r->totals;

	assert(v->seq == t->last_seq + 1);
	int err = add_settled(db, r, v);
	db_end(db, DB_ROW);
	db_bind_u64(db, DB_DELETE_JOB, 1, v->job->number);
	if (err == 0)
		err = db_run(db, DB_DELETE_JOB);
	if (err == 0)
		err = count_row(q, r, row, -1);
	if (err < 0)
		return err;

	t->last_seq = v->seq;
	t->settled[v->outcome]++;
	t->jobs--;
	if (t->remembered_seq == 0)
		t->remembered_seq = v->seq;
	return 0;
}

/* To the lane that the job goes on in: its hop's, or its own. */
static int move_job(struct sqlite_backlog *q, struct round *r, const struct verdict *v,
                    uint64_t *ret_lane)
{
	struct db *db = &q->db;
	const struct job *job = v->job;
	bool hops = v->kind == VERDICT_HOP;
	struct buf text = { 0 };

	int err = sqlite_lane(q, r, hops ? job->hop->origin.text : job->origin.text, ret_lane);
	if (hops)
		job_write_hop(job->hop, &text);
	buf_add_char(&text, '\0');
	if (err == 0 && text.failed)
		err = db_fail(db, -ENOMEM, "out of memory");
	db_bind_u64(db, DB_MOVE_JOB, 1, job->number);
	db_bind_u64(db, DB_MOVE_JOB, 2, *ret_lane);
	db_bind_text(db, DB_MOVE_JOB, 3, hops ? text.data : NULL);
	if (err == 0)
		err = db_run(db, DB_MOVE_JOB);
	buf_done(&text);
	return err;
}

/* To wait again, from now on or from a time on. */
static int delay_job(struct sqlite_backlog *q, struct round *r, const struct verdict *v,
                     const struct row *before)
{
	struct db *db = &q->db;
	int64_t due_us = sqlite_due_us(r, v);
	struct row after = {
		.state = due_us > 0 ? ROW_DELAYED : ROW_WAITING,
		.lane = before->lane,
		.delay = due_us > 0 ? v->why : 0,
	};

	db_bind_u64(db, DB_DELAY_JOB, 1, v->job->number);
	db_bind_i64(db, DB_DELAY_JOB, 2, after.state);
	db_bind_i64(db, DB_DELAY_JOB, 3, due_us > 0 ? due_us : r->wall_us);
	db_bind_i64(db, DB_DELAY_JOB, 4, v->job->attempts);
	db_bind_i64(db, DB_DELAY_JOB, 5, after.delay);
	int err = db_run(db, DB_DELAY_JOB);
	if (err == 0 && (v->kind == VERDICT_HOP || (v->kind == VERDICT_RETRY && v->job->hop)))
		err = move_job(q, r, v, &after.lane);
	if (err == 0)
		err = count_row(q, r, before, -1);
	if (err == 0)
		err = count_row(q, r, &after, 1);
	v->job->lane = after.lane; /* for who makes it known, if this is committed */
	return err;
}

static int apply_verdict(struct sqlite_backlog *q, struct round *r, const struct verdict *v)
{
	struct row row;

	if (is_mere_return(v))
		return 0;
	bool is_dead = v->kind == VERDICT_FINAL && v->outcome == OUTCOME_DEAD;
	int err = find_row(q, v->job->number, is_dead, &row);
	if (err < 0)
		return err;
	if (v->kind == VERDICT_FINAL)
		return settle_for_good(q, r, v, &row);
	db_end(&q->db, DB_ROW);
	return delay_job(q, r, v, &row);
}

int sqlite_apply_request(struct sqlite_backlog *q, struct round *r, const struct request *w)
{
	int err = 0;

	for (size_t i = 0; err == 0 && i < w->n; i++)
		err = apply_verdict(q, r, &w->verdicts[i]);
	if (err == 0 && w->mark) {
		db_bind_u64(&q->db, DB_SET_MARK, 1, w->mark_seq);
		db_bind_text(&q->db, DB_SET_MARK, 2, w->mark);
		err = db_run(&q->db, DB_SET_MARK);
		r->totals.mark_seq = w->mark_seq;
	}
	return err;
}

/* --- jobs that fall due -------------------------------------------------------------------- */

static int wake(struct sqlite_backlog *q, struct round *r, const struct woken *woken,
                enum wait_reason delay)
{
	struct lane_change *change = sqlite_change_lane(q, woken->lane);

	if (!change)
		return -ENOMEM;
	change->waiting++;
	r->totals.delayed[delay]--;
	db_bind_u64(&q->db, DB_WAKE_JOB, 1, woken->place.number);
	return db_run(&q->db, DB_WAKE_JOB);
}

int sqlite_wake_due(struct sqlite_backlog *q, struct round *r)
{
	struct db *db = &q->db;
	unsigned char delays[ROUND_MAX_WOKEN];
	int err = 0;

	db_bind_i64(db, DB_DUE_JOBS, 1, r->wall_us);
	db_bind_i64(db, DB_DUE_JOBS, 2, ROUND_MAX_WOKEN);
	while ((err = db_next(db, DB_DUE_JOBS)) == 1) {
		int64_t delay = db_i64(db, DB_DUE_JOBS, 3);
		delays[r->woken_n] = delay >= 0 && delay < WAIT_REASONS ? (unsigned char) delay
		                                                        : WAIT_RETRY;
		r->woken[r->woken_n++] = (struct woken) {
			.lane = db_u64(db, DB_DUE_JOBS, 2),
			.place = { db_i64(db, DB_DUE_JOBS, 1), db_u64(db, DB_DUE_JOBS, 0) },
		};
	}
	for (size_t i = 0; err == 0 && i < r->woken_n; i++)
		err = wake(q, r, &r->woken[i], (enum wait_reason) delays[i]);
	return err;
}
