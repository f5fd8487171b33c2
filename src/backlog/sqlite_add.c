/* SPDX-License-Identifier: Apache-2.0 */
/* New jobs on their way into the table: several go with one statement. */
#include "backlog/sqlite_parts.h"

#include <errno.h>
#include <string.h>

/* --- rows ----------------------------------------------------------------------------------- */

enum {
	COLUMNS = 11,                   /* of DB_ADD_JOB that are bound */
	MAX_SPEC_BYTES = 256 * 1024,    /* of rows that are yet to be written, without the last */
	KEPT_SPEC_BYTES = 1024 * 1024,  /* so much memory is not given back */
};

static void bind(struct sqlite_backlog *q, enum db_statement which, int at,
                 const struct new_row *row)
{
	struct db *db = &q->db;

	db_bind_u64(db, which, ++at, row->place.number);
	db_bind_i64(db, which, ++at, row->state);
	db_bind_u64(db, which, ++at, row->lane);
	db_bind_i64(db, which, ++at, row->place.rank);
	db_bind_i64(db, which, ++at, row->ready_us);
	db_bind_i64(db, which, ++at, row->accepted_us);
	db_bind_u64(db, which, ++at, row->bytes);
	db_bind_text(db, which, ++at, row->source);
	db_bind_text(db, which, ++at, row->id);
	db_bind_bytes(db, which, ++at, q->specs.data + row->spec_at, row->spec_len);
	if (row->deadline_us != 0)
		db_bind_i64(db, which, ++at, row->deadline_us);
	else
		db_bind_text(db, which, ++at, NULL);
}

int sqlite_flush_jobs(struct sqlite_backlog *q)
{
	bool all = q->new_n == DB_ROWS;
	int err = 0;

	for (size_t i = 0; err == 0 && i < q->new_n; i++) {
		bind(q, all ? DB_ADD_JOBS : DB_ADD_JOB, all ? (int) i * COLUMNS : 0, &q->new[i]);
		if (!all || i == DB_ROWS - 1)
			err = db_run(&q->db, all ? DB_ADD_JOBS : DB_ADD_JOB);
	}
	sqlite_forget_jobs(q);
	return err;
}

void sqlite_forget_jobs(struct sqlite_backlog *q)
{
	q->new_n = 0;
	if (q->specs.failed || q->specs.size > KEPT_SPEC_BYTES)
		buf_done(&q->specs);
	buf_clear(&q->specs);
}

/* --- jobs ----------------------------------------------------------------------------------- */

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

static int add_to_lane(struct sqlite_backlog *q, const struct new_row *row)
{
	struct lane_change *change = sqlite_change_lane(q, row->lane);
	bool waits = row->state == ROW_WAITING;

	if (!change)
		return -ENOMEM;
	change->jobs++;
	change->waiting += waits;
	if (waits && place_before(row->place, change->accepted))
		change->accepted = row->place;
	return 0;
}

static void count(struct round *r, const struct new_row *row)
{
	struct totals *t = &r->totals;

	t->last_number++;
	t->accepted++;
	t->jobs++;
	t->delayed[WAIT_NOT_BEFORE] += row->state == ROW_DELAYED;
	r->added++;
	if (row->deadline_us != 0 && (r->deadline_us == 0 || row->deadline_us < r->deadline_us))
		r->deadline_us = row->deadline_us;
}

/* Of the job whose spec begins at 'spec_at'. */
static int add_row(struct sqlite_backlog *q, struct round *r, const struct job *job, size_t spec_at)
{
	int64_t not_before_us = job_not_before(job);
	bool delayed = not_before_us > r->wall_us;
	struct new_row *row = &q->new[q->new_n];

	*row = (struct new_row) {
		.place = { rank_of(q, job, r->wall_us), r->totals.last_number + 1 },
		.state = delayed ? ROW_DELAYED : ROW_WAITING,
		.ready_us = delayed ? not_before_us : r->wall_us,
		.accepted_us = r->wall_us,
		.deadline_us = job_deadline(job),
		.bytes = job->bytes,
		.source = job->source,
		.id = job->id,
		.spec_at = spec_at,
		.spec_len = q->specs.len - spec_at,
	};
	int err = sqlite_lane(q, r, job->origin.text, &row->lane);
	if (err == 0)
		err = add_to_lane(q, row);
	if (err < 0)
		return err;
	count(r, row);
	q->new_n++;
	return q->new_n == DB_ROWS || q->specs.len >= MAX_SPEC_BYTES ? sqlite_flush_jobs(q) : 0;
}

static int write_spec(struct sqlite_backlog *q, const struct job *job, size_t *ret_at)
{
	*ret_at = q->specs.len;
	job_write(job, &q->specs);
	return q->specs.failed ? db_fail(&q->db, -ENOMEM, "out of memory") : 0;
}

int sqlite_add_job(struct sqlite_backlog *q, struct round *r, const struct job *job)
{
	size_t at = 0;

	int err = write_spec(q, job, &at);
	if (err == 0)
		err = add_row(q, r, job, at);
	return err == 0 ? sqlite_flush_jobs(q) : err;
}

/* --- submissions ---------------------------------------------------------------------------- */

/* Is this id in use already?  Returns 1 with the receipt, 0 or -Exxx. */
static int find_known(struct sqlite_backlog *q, enum db_statement which, const struct job *job,
                      size_t spec_at, struct receipt *ret_receipt)
{
	size_t n = 0, spec_len = q->specs.len - spec_at;

	db_bind_text(&q->db, which, 1, job->id);
	int err = db_next(&q->db, which);
	if (err <= 0)
		return err;

	const void *spec = db_bytes(&q->db, which, 1, &n);
	bool same = n == spec_len && memcmp(spec, q->specs.data + spec_at, n) == 0;
	*ret_receipt = (struct receipt) {
		.kind = same ? RECEIPT_KNOWN : RECEIPT_CONFLICT,
		.number = db_u64(&q->db, which, 0),
	};
	db_end(&q->db, which);
	return 1;
}

static bool is_new(const struct sqlite_backlog *q, const char *id)
{
	for (size_t i = 0; i < q->new_n; i++)
		if (q->new[i].id && strcmp(q->new[i].id, id) == 0)
			return true;
	return false;
}

static int submit_job(struct sqlite_backlog *q, struct round *r, const struct job *job,
                      struct receipt *ret_receipt)
{
	size_t at = 0;
	int err = 0;

	if (job->id && is_new(q, job->id))
		err = sqlite_flush_jobs(q);
	if (err == 0)
		err = write_spec(q, job, &at);
	if (err == 0 && job->id)
		err = find_known(q, DB_KNOWN_JOB, job, at, ret_receipt);
	if (err == 0 && job->id)
		err = find_known(q, DB_KNOWN_SETTLED, job, at, ret_receipt);
	if (err == 1)
		q->specs.len = at; /* it is not needed */
	if (err != 0)
		return err < 0 ? err : 0;

	err = add_row(q, r, job, at);
	*ret_receipt = (struct receipt) { RECEIPT_ACCEPTED, r->totals.last_number };
	return err;
}

int sqlite_apply_submission(struct sqlite_backlog *q, struct round *r, const struct submission *s)
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
