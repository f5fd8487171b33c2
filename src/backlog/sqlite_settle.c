/* SPDX-License-Identifier: Apache-2.0 */
/* What verdicts and time do to the rows of jobs. */
#include "backlog/sqlite_parts.h"

#include "base/clock.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* --- rows and their lanes ----------------------------------------------------------------- */

/* As it stands in the table. */
struct row {
	int64_t state;
	uint64_t lane;
	enum wait_reason delay;
};

/* The row that the statement is at; its columns from 'at' on are those of DB_ROW. */
static struct row read_row(struct db *db, enum db_statement which, int at)
{
	int64_t delay = db_i64(db, which, at + 2);

	return (struct row) {
		.state = db_i64(db, which, at),
		.lane = db_u64(db, which, at + 1),
		.delay = delay >= 0 && delay < WAIT_REASONS ? (enum wait_reason) delay : WAIT_RETRY,
	};
}

static int missing(struct db *db, uint64_t number)
{
	return db_fail(db, -EUCLEAN, "job p-%llu is out, but no longer in the database",
	               (unsigned long long) number);
}

static int find_row(struct sqlite_backlog *q, uint64_t number, struct row *ret_row)
{
	struct db *db = &q->db;

	db_bind_u64(db, DB_ROW, 1, number);
	int err = db_next(db, DB_ROW);
	if (err <= 0)
		return err < 0 ? err : missing(db, number);
	*ret_row = read_row(db, DB_ROW, 0);
	db_end(db, DB_ROW);
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

/* --- records ------------------------------------------------------------------------------ */

enum { COLUMNS = 10 }; /* of DB_SETTLE that are bound */

/* All but the spec, which is the last but one. */
static void bind(struct db *db, enum db_statement which, int at, const struct round *r,
                 const struct verdict *v)
{
	const struct job *job = v->job;

	db_bind_u64(db, which, ++at, v->seq);
	db_bind_u64(db, which, ++at, job->number);
	db_bind_i64(db, which, ++at, v->outcome);
	db_bind_i64(db, which, ++at, r->wall_us);
	db_bind_i64(db, which, ++at, job->accepted_wall_us);
	db_bind_i64(db, which, ++at, job->attempts);
	db_bind_text(db, which, ++at, job->source);
	db_bind_text(db, which, ++at, job->id);
	db_bind_text(db, which, ++at, NULL);
	db_bind_bytes(db, which, ++at, v->line, v->line_len);
}

static int flush_records(struct sqlite_backlog *q, const struct round *r)
{
	bool all = q->records_n == DB_ROWS;
	int err = 0;

	for (size_t i = 0; err == 0 && i < q->records_n; i++) {
		bind(&q->db, all ? DB_SETTLE_ROWS : DB_SETTLE, all ? (int) i * COLUMNS : 0, r,
		     q->records[i]);
		if (!all || i == DB_ROWS - 1)
			err = db_run(&q->db, all ? DB_SETTLE_ROWS : DB_SETTLE);
	}
	q->records_n = 0;
	return err;
}

/* Its spec is kept, too.  With bound values, and not from a SELECT: for that SQLite would have a
 * statement of many rows to take back, and copy every page before it is changed. */
static int add_with_spec(struct sqlite_backlog *q, const struct round *r, const struct verdict *v)
{
	struct db *db = &q->db;
	size_t len = 0;

	int err = flush_records(q, r);
	db_bind_u64(db, DB_SPEC, 1, v->job->number);
	if (err == 0)
		err = db_next(db, DB_SPEC);
	if (err <= 0)
		return err < 0 ? err : missing(db, v->job->number);
	const void *spec = db_bytes(db, DB_SPEC, 0, &len);
	bind(db, DB_SETTLE, 0, r, v);
	db_bind_bytes(db, DB_SETTLE, COLUMNS - 1, spec, len);
	err = db_run(db, DB_SETTLE);
	db_end(db, DB_SPEC);
	return err;
}

/* In the order of their 'seq'. */
static int add_record(struct sqlite_backlog *q, const struct round *r, const struct verdict *v)
{
	if (v->job->id || v->outcome == OUTCOME_DEAD)
		return add_with_spec(q, r, v);
	q->records[q->records_n++] = v;
	return q->records_n == DB_ROWS ? flush_records(q, r) : 0;
}

/* --- rows that are settled ---------------------------------------------------------------- */

/* Jobs that follow each other: one SELECT and one DELETE for all costs half of one for each. */
static int delete_run(struct sqlite_backlog *q, struct round *r, uint64_t first, uint64_t last)
{
	struct db *db = &q->db;
	uint64_t number = first;
	int err = 0;

	db_bind_u64(db, DB_RUN, 1, first);
	db_bind_u64(db, DB_RUN, 2, last);
	while ((err = db_next(db, DB_RUN)) == 1 && db_u64(db, DB_RUN, 0) == number) {
		struct row row = read_row(db, DB_RUN, 1);
		err = count_row(q, r, &row, -1);
		if (err < 0)
			break;
		number++;
	}
	db_end(db, DB_RUN);
	if (err < 0)
		return err;
	if (number <= last)
		return missing(db, number);
	db_bind_u64(db, DB_DELETE_RUN, 1, first);
	db_bind_u64(db, DB_DELETE_RUN, 2, last);
	return db_run(db, DB_DELETE_RUN);
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;
	return (x > y) - (x < y);
}

static int delete_rows(struct sqlite_backlog *q, struct round *r)
{
	size_t n = q->gone_n, end = 0;
	int err = 0;

	q->gone_n = 0;
	qsort(q->gone, n, sizeof(q->gone[0]), compare);
	for (size_t i = 0; err == 0 && i < n; i = end) {
		for (end = i + 1; end < n && q->gone[end] == q->gone[end - 1] + 1;)
			end++;
		err = delete_run(q, r, q->gone[i], q->gone[end - 1]);
	}
	return err;
}

static int settle_for_good(struct sqlite_backlog *q, struct round *r, const struct verdict *v)
{
	struct totals *t = &r->totals;

	assert(v->seq == t->last_seq + 1);
	int err = add_record(q, r, v);
	if (err < 0)
		return err;
	t->last_seq = v->seq;
	t->settled[v->outcome]++;
	t->jobs--;
	if (t->remembered_seq == 0)
		t->remembered_seq = v->seq;
	q->gone[q->gone_n++] = v->job->number;
	return q->gone_n == ROUND_MAX_GONE ? delete_rows(q, r) : 0;
}

/* --- rows that stay ----------------------------------------------------------------------- */

int64_t sqlite_due_us(const struct round *r, const struct verdict *v)
{
	return v->kind == VERDICT_HOP || v->due_ns <= r->now_ns ? 0 : sqlite_wall_us(r, v->due_ns);
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
static int delay_job(struct sqlite_backlog *q, struct round *r, const struct verdict *v)
{
	struct db *db = &q->db;
	int64_t due_us = sqlite_due_us(r, v);
	struct row before = { 0 };

	int err = find_row(q, v->job->number, &before);
	if (err < 0)
		return err;
	struct row after = {
		.state = due_us > 0 ? ROW_DELAYED : ROW_WAITING,
		.lane = before.lane,
		.delay = due_us > 0 ? v->why : 0,
	};
	db_bind_u64(db, DB_DELAY_JOB, 1, v->job->number);
	db_bind_i64(db, DB_DELAY_JOB, 2, after.state);
	db_bind_i64(db, DB_DELAY_JOB, 3, due_us > 0 ? due_us : r->wall_us);
	db_bind_i64(db, DB_DELAY_JOB, 4, v->job->attempts);
	db_bind_i64(db, DB_DELAY_JOB, 5, after.delay);
	err = db_run(db, DB_DELAY_JOB);
	if (err == 0 && (v->kind == VERDICT_HOP || (v->kind == VERDICT_RETRY && v->job->hop)))
		err = move_job(q, r, v, &after.lane);
	if (err == 0)
		err = count_row(q, r, &before, -1);
	if (err == 0)
		err = count_row(q, r, &after, 1);
	v->job->lane = after.lane; /* for who makes it known, if this is committed */
	return err;
}

/* --- verdicts ----------------------------------------------------------------------------- */

int sqlite_apply_request(struct sqlite_backlog *q, struct round *r, const struct request *w)
{
	int err = 0;

	q->records_n = q->gone_n = 0;
	for (size_t i = 0; err == 0 && i < w->n; i++) {
		const struct verdict *v = &w->verdicts[i];
		if (v->kind == VERDICT_FINAL)
			err = settle_for_good(q, r, v);
		else if (!is_mere_return(v))
			err = delay_job(q, r, v);
	}
	if (err == 0)
		err = flush_records(q, r);
	if (err == 0)
		err = delete_rows(q, r);
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
