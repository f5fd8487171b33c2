/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking: on a connection of its own, so that no writer is waited for.  The rows are read
 * in their order from the place where the last take stopped, so that what is out need not
 * be passed over again and again; whatever becomes available before that place sets it back.
 */
#include "backlog/sqlite_parts.h"

#include "base/clock.h"

#include <errno.h>
#include <limits.h>

/* One call. */
struct take {
	struct place at;  /* the first row that is not dealt with */
	uint64_t told;    /* rows with a larger number are for later */
	bool stopped;     /* max_out_bytes is reached */
	size_t room, n;
	struct job **jobs;
};

/* --- reading one job ------------------------------------------------------------------------ */

static uint64_t to_monotonic(int64_t wall_us)
{
	uint64_t now_ns = clock_now_ns();
	int64_t age_us = clock_wall_us() - wall_us;

	if (age_us <= 0)
		return now_ns;
	return (uint64_t) age_us < now_ns / NS_PER_US ? now_ns - (uint64_t) age_us * NS_PER_US : 0;
}

int sqlite_read_job(struct sqlite_backlog *q, struct db *db, struct url_parser *parser,
                    uint64_t number, struct job **ret_job)
{
	struct buf why = { 0 };
	struct job *job = NULL;
	size_t n = 0;
	const char *spec = db_bytes(db, DB_JOB, 7, &n);

	int err = job_read(parser, spec ? spec : "", n, &job, &why);
	if (err == -ENOMEM) {
		err = db_fail(db, -ENOMEM, "out of memory");
	} else if (err < 0) {
		int len = why.len < 100 ? (int) why.len : 100;
		err = db_fail(db, -EUCLEAN, "job p-%llu cannot be read: %.*s",
		              (unsigned long long) number, len, why.data ? why.data : "");
	}
	buf_done(&why);
	if (err < 0)
		return err;

	const char *source = db_text(db, DB_JOB, 6);
	job->source = sqlite_intern(q, source);
	if (source && !job->source) {
		job_free(job);
		return db_fail(db, -ENOMEM, "out of memory");
	}
	job->number = number;
	job->accepted_wall_us = db_i64(db, DB_JOB, 3);
	job->attempts = (uint32_t) db_u64(db, DB_JOB, 4);
	job->ready_ns = to_monotonic(db_i64(db, DB_JOB, 2));
	*ret_job = job;
	return 0;
}

/* --- claiming ------------------------------------------------------------------------------- */

static bool is_takeable(struct sqlite_backlog *q, uint64_t number)
{
	mutex_lock(&q->lock);
	bool takeable = claims_free_to_take(&q->claims, number);
	mutex_unlock(&q->lock);
	return takeable;
}

/* Returns 0, -EBUSY if a query was faster, -EDQUOT if so much is out already, or -ENOMEM. */
static int claim(struct sqlite_backlog *q, const struct claim *wanted)
{
	uint64_t max = q->options.max_out_bytes;
	int err = -EBUSY;

	mutex_lock(&q->lock);
	if (claims_free_to_take(&q->claims, wanted->number)) {
		bool fits = q->claims.jobs == 0 ||
		            (q->claims.bytes <= max && wanted->bytes <= max - q->claims.bytes);
		if (!fits)
			q->out_full = true;
		err = fits ? claims_add(&q->claims, wanted) : -EDQUOT;
	}
	mutex_unlock(&q->lock);
	return err == -ENOMEM ? db_fail(&q->taker, err, "out of memory") : err;
}

static void unclaim(struct sqlite_backlog *q, uint64_t number)
{
	mutex_lock(&q->lock);
	claims_release(&q->claims, claims_find(&q->claims, number));
	mutex_unlock(&q->lock);
}

/* Takes the job of one row.  Returns 0, also if it is out, -EDQUOT or another error. */
static int take_row(struct sqlite_backlog *q, struct take *t, struct place place)
{
	struct db *db = &q->taker;
	struct job *job = NULL;

	if (place.number > t->told || !is_takeable(q, place.number))
		return 0;
	db_bind_u64(db, DB_JOB, 1, place.number);
	int err = db_next(db, DB_JOB);
	if (err <= 0)
		return err < 0 ? err : db_fail(db, -EUCLEAN, "an index names a job that is not there");

	struct claim wanted = { .number = place.number, .rank = place.rank,
		                .bytes = (size_t) db_u64(db, DB_JOB, 5) };
	err = claim(q, &wanted);
	if (err == 0) {
		err = sqlite_read_job(q, db, q->taker_parser, place.number, &job);
		if (err < 0)
			unclaim(q, place.number);
		else
			t->jobs[t->n++] = job;
	}
	db_end(db, DB_JOB);
	return err == -EBUSY ? 0 : err;
}

/* --- reading rows ----------------------------------------------------------------------------- */

/* Takes from the rows of one statement.  Returns 0 or an error. */
static int take_rows(struct sqlite_backlog *q, struct take *t, enum db_statement rows)
{
	int err = 0;

	while (t->n < t->room && !t->stopped && (err = db_next(&q->taker, rows)) == 1) {
		struct place place = { db_i64(&q->taker, rows, 0), db_u64(&q->taker, rows, 1) };
		t->at = place;
		err = take_row(q, t, place);
		if (err == -EDQUOT) {
			t->stopped = true;
			err = 0;
		} else if (err < 0 && err != -EUCLEAN) {
			break;
		} else {
			t->at.number++;
			if (err < 0)
				break; /* the one after it may be sound */
		}
	}
	return err;
}

static int take_all(struct sqlite_backlog *q, struct take *t)
{
	struct db *db = &q->taker;

	db_bind_i64(db, DB_SAME_RANK, 1, t->at.rank);
	db_bind_u64(db, DB_SAME_RANK, 2, t->at.number);
	int err = take_rows(q, t, DB_SAME_RANK);
	if (err == 0 && t->n < t->room && !t->stopped) {
		db_bind_i64(db, DB_LATER_RANKS, 1, t->at.rank);
		err = take_rows(q, t, DB_LATER_RANKS);
	}
	db_end(db, DB_SAME_RANK);
	db_end(db, DB_LATER_RANKS);
	return err;
}

static void begin(struct sqlite_backlog *q, struct take *t)
{
	mutex_lock(&q->lock);
	t->at = place_before(q->earliest, q->next) ? q->earliest : q->next;
	t->told = q->told;
	q->earliest = place_none;
	claims_begin_take(&q->claims);
	mutex_unlock(&q->lock);
}

static void end(struct sqlite_backlog *q, const struct take *t)
{
	mutex_lock(&q->lock);
	q->next = t->at;
	claims_end_take(&q->claims);
	mutex_unlock(&q->lock);
}

size_t sqlite_take(struct backlog *b, uint64_t now_ns, size_t room, struct job **ret_jobs,
                   uint64_t *ret_next_due_ns)
{
	struct sqlite_backlog *q = (struct sqlite_backlog *) b;
	struct take t = { .room = room, .jobs = ret_jobs };

	begin(q, &t);
	int err = take_all(q, &t);
	end(q, &t);
	sqlite_trouble(q, TROUBLE_READ, err, q->taker.text);
	*ret_next_due_ns = err < 0 ? clock_after(now_ns, NS_PER_S) : NEVER;
	return t.n;
}
