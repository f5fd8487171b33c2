/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking: on a connection of its own, so that no writer is waited for.  Lanes are visited in
 * turn, those that are listed and those that a scan of the database finds one by one.  Within
 * a lane the rows are read in their order from the place where the last visit stopped, so that
 * what is out need not be passed over again and again; whatever becomes available before that
 * place sets it back.
 */
#include "backlog/sqlite_parts.h"

#include "base/clock.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* One call. */
struct take {
	const struct backlog_gate *gate;
	uint64_t now_ns;
	uint64_t told;    /* rows with a larger number are for later */
	bool stopped;     /* max_out_bytes is reached */
	bool scan_begun;  /* DB_LANES_AFTER has been bound */
	size_t listed;    /* lanes that were listed when it began, and are not visited yet */
	size_t room, n;
	struct job **jobs;
};

/* One lane in it. */
struct visit {
	struct turn *turn;
	uint64_t lane;
	struct place at;  /* the first row that is not dealt with */
	size_t until;     /* as many jobs as the take may have by the end of the visit */
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

static int read_hop(struct db *db, struct url_parser *parser, struct job *job)
{
	const char *hop = db_text(db, DB_JOB, 9);
	int err = hop ? job_read_hop(job, parser, hop, strlen(hop)) : 0;

	if (err == -ENOMEM)
		return db_fail(db, err, "out of memory");
	return err < 0 ? db_fail(db, -EUCLEAN, "the redirect of job p-%llu cannot be read",
	                         (unsigned long long) job->number)
	               : 0;
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
	job->lane = db_u64(db, DB_JOB, 8);
	err = read_hop(db, parser, job);
	if (err < 0) {
		job_free(job);
		return err;
	}
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
		err = fits ? sqlite_claim(q, wanted) : -EDQUOT;
	}
	mutex_unlock(&q->lock);
	return err == -ENOMEM ? db_fail(&q->taker, err, "out of memory") : err;
}

static void unclaim(struct sqlite_backlog *q, uint64_t number)
{
	mutex_lock(&q->lock);
	(void) sqlite_release_claim(q, claims_find(&q->claims, number));
	mutex_unlock(&q->lock);
}

int sqlite_take_job(struct sqlite_backlog *q, uint64_t told, uint64_t number, struct job **ret_job)
{
	struct db *db = &q->taker;

	if (number > told || !is_takeable(q, number))
		return 0;
	db_bind_u64(db, DB_JOB, 1, number);
	int err = db_next(db, DB_JOB);
	if (err <= 0)
		return err < 0 ? err : db_fail(db, -EUCLEAN, "an index names a job that is not there");

	const struct claim wanted = sqlite_claim_on(db, number);
	err = claim(q, &wanted);
	if (err == 0) {
		err = sqlite_read_job(q, db, q->taker_parser, number, ret_job);
		if (err < 0)
			unclaim(q, number);
	}
	db_end(db, DB_JOB);
	return err == 0 ? 1 : err == -EBUSY ? 0 : err;
}

/* --- visiting a lane --------------------------------------------------------------------------- */

/* Takes from the rows of one statement.  Returns 0 or an error. */
static int take_rows(struct sqlite_backlog *q, struct take *t, struct visit *v,
                     enum db_statement rows)
{
	int err = 0;

	while (t->n < v->until && !t->stopped && (err = db_next(&q->taker, rows)) == 1) {
		struct place place = { db_i64(&q->taker, rows, 0), db_u64(&q->taker, rows, 1) };
		v->at = place;
		int taken = sqlite_take_job(q, t->told, place.number, &t->jobs[t->n]);
		t->n += taken == 1;
		err = taken < 0 ? taken : 0;
		if (err == -EDQUOT) {
			t->stopped = true;
			err = 0;
		} else if (err < 0 && err != -EUCLEAN) {
			break;
		} else {
			v->at.number++;
			if (err < 0)
				break; /* the one after it may be sound */
		}
	}
	return err;
}

static int take_from_lane(struct sqlite_backlog *q, struct take *t, struct visit *v)
{
	struct db *db = &q->taker;

	db_bind_i64(db, DB_SAME_RANK, 1, v->at.rank);
	db_bind_u64(db, DB_SAME_RANK, 2, v->at.number);
	db_bind_u64(db, DB_SAME_RANK, 3, v->lane);
	int err = take_rows(q, t, v, DB_SAME_RANK);
	if (err == 0 && t->n < v->until && !t->stopped) {
		db_bind_i64(db, DB_LATER_RANKS, 1, v->at.rank);
		db_bind_u64(db, DB_LATER_RANKS, 2, v->lane);
		err = take_rows(q, t, v, DB_LATER_RANKS);
	}
	db_end(db, DB_SAME_RANK);
	db_end(db, DB_LATER_RANKS);
	return err;
}

/* How many more jobs may the lane have, and if none, why?  Returns 0 or an error; also 0, with
 * a place at the end, if the lane is not there or rests by its row. */
static int ask_for_room(struct sqlite_backlog *q, struct take *t, struct visit *v,
                        size_t *ret_rows, size_t *ret_room, struct lane_rest *ret_rest)
{
	struct db *db = &q->taker;

	*ret_room = SIZE_MAX;
	db_bind_u64(db, DB_LANE, 1, v->lane);
	int err = db_next(db, DB_LANE);
	if (err < 0)
		return err;
	if (err == 0 || (t->gate && db_i64(db, DB_LANE, 2) > 0)) {
		v->at = place_none;
	} else {
		*ret_rows = (size_t) db_u64(db, DB_LANE, 1);
		if (t->gate)
			*ret_room = t->gate->room(t->gate->arg, db_text(db, DB_LANE, 0), ret_rest);
	}
	db_end(db, DB_LANE);
	return 0;
}

/* The turn is guarded by the backlog's lock. */
static void begin_visit(const struct sqlite_backlog *q, struct visit *v, struct turn *turn)
	REQUIRES(q->lock)
{
	*v = (struct visit) { .turn = turn, .lane = turn->lane, .at = turn->next };
	if (place_before(turn->earliest, v->at))
		v->at = turn->earliest;
	if (turn->heard != q->turns.take)
		turn->earliest = place_none; /* otherwise the snapshot may not show it yet */
}

/* Returns 0 or an error.  Whatever happens, the turn is in another state afterwards. */
static int visit(struct sqlite_backlog *q, struct take *t, struct visit *v)
{
	size_t room = 0, rows = 0;
	struct lane_rest rest = { 0 };

	int err = ask_for_room(q, t, v, &rows, &room, &rest);
	bool known = err == 0 && place_before(v->at, place_none);
	v->until = room < t->room - t->n ? t->n + room : t->room;
	if (known && room > 0)
		err = take_from_lane(q, t, v);

	mutex_lock(&q->lock);
	v->turn->rows = rows;
	v->turn->pinned = v->turn->pinned || err == -EUCLEAN; /* so as not to meet that row again */
	if (known && room == 0) {
		if (place_before(v->at, v->turn->earliest))
			v->turn->earliest = v->at; /* nothing of it was looked at */
		turns_rest(&q->turns, v->turn, rest.why, rest.until_ns);
	} else {
		bool more = err < 0 || t->stopped || (known && t->n == v->until);
		turns_leave(&q->turns, v->turn, known ? v->at : place_first, more, known);
	}
	mutex_unlock(&q->lock);
	return err;
}

/* --- all lanes ---------------------------------------------------------------------------------- */

/* A lane is visited once at most: the gate does not know yet what this take has of it. */
static bool next_listed(struct sqlite_backlog *q, struct take *t, struct visit *v)
{
	if (t->listed == 0)
		return false;
	t->listed--;
	mutex_lock(&q->lock);
	begin_visit(q, v, turns_next(&q->turns));
	mutex_unlock(&q->lock);
	return true;
}

/* The next lane that is neither listed nor dealt with.  Returns 1, 0 if there is none, or an
 * error. */
static int next_scanned(struct sqlite_backlog *q, struct take *t, struct visit *v)
{
	struct db *db = &q->taker;
	bool no_memory = false;
	int err = 0;

	if (!q->scanning)
		return 0;
	if (!t->scan_begun)
		db_bind_u64(db, DB_LANES_AFTER, 1, q->scanned);
	t->scan_begun = true;
	while ((err = db_next(db, DB_LANES_AFTER)) == 1) {
		uint64_t lane = db_u64(db, DB_LANES_AFTER, 0);
		mutex_lock(&q->lock);
		struct turn *turn = turns_visit(&q->turns, lane, &no_memory);
		if (turn)
			begin_visit(q, v, turn);
		mutex_unlock(&q->lock);
		if (no_memory)
			return db_fail(db, -ENOMEM, "out of memory"); /* next time it is found again */
		q->scanned = lane;
		if (turn)
			return 1;
	}
	q->scanning = err < 0;
	return err;
}

/* Whether a lane that was listed or one that was scanned comes first alternates, so that neither
 * kind waits for the other. */
static int take_all(struct sqlite_backlog *q, struct take *t)
{
	bool found = true;
	struct visit v;
	int err = 0;

	while (err == 0 && found && t->n < t->room && !t->stopped) {
		found = next_listed(q, t, &v);
		if (found)
			err = visit(q, t, &v);
		if (err < 0 || t->n == t->room || t->stopped)
			break;
		int scanned = next_scanned(q, t, &v);
		if (scanned == 1)
			err = visit(q, t, &v);
		else
			err = scanned;
		found = found || scanned == 1;
	}
	if (t->scan_begun)
		db_end(&q->taker, DB_LANES_AFTER);
	return err;
}

static void begin(struct sqlite_backlog *q, struct take *t)
{
	mutex_lock(&q->lock);
	q->turns.take++;
	t->told = q->told;
	if (!t->gate)
		turns_open_all(&q->turns);
	(void) turns_open_due(&q->turns, t->now_ns);
	t->listed = q->turns.listed;
	if (!q->scanning && q->turns.scan) {
		q->turns.scan = false;
		q->scanning = true;
		q->scanned = 0;
	}
	claims_begin_take(&q->claims);
	mutex_unlock(&q->lock);
}

/* Returns when to look again. */
static uint64_t end(struct sqlite_backlog *q, const struct take *t)
{
	mutex_lock(&q->lock);
	claims_end_take(&q->claims);
	if (sqlite_rests_are_due(q))
		cond_signal(&q->work);
	uint64_t next_ns = turns_open_due(&q->turns, t->now_ns);
	bool again = q->turns.scan && !q->scanning && t->n < t->room && !t->stopped;
	mutex_unlock(&q->lock);
	return again ? t->now_ns : next_ns;
}

size_t sqlite_take(struct backlog *b, uint64_t now_ns, size_t room,
                   const struct backlog_gate *gate, struct job **ret_jobs,
                   uint64_t *ret_next_due_ns)
{
	struct sqlite_backlog *q = (struct sqlite_backlog *) b;
	struct take t = { .gate = gate, .now_ns = now_ns, .room = room, .jobs = ret_jobs };

	begin(q, &t);
	int err = db_run(&q->taker, DB_BEGIN_READ);
	if (err == 0)
		err = take_all(q, &t);
	if (sqlite3_get_autocommit(q->taker.handle) == 0 && db_run(&q->taker, DB_END_READ) < 0)
		assert(err < 0); /* ending a read fails only if reading did */
	*ret_next_due_ns = end(q, &t);
	sqlite_trouble(q, TROUBLE_READ, err, q->taker.text);
	if (err < 0)
		*ret_next_due_ns = clock_after(now_ns, NS_PER_S);
	return t.n;
}

/* --- opening ------------------------------------------------------------------------------------ */

static void open_all(struct sqlite_backlog *q)
{
	mutex_lock(&q->lock);
	turns_open_all(&q->turns);
	q->opens.all = true;
	cond_signal(&q->work);
	mutex_unlock(&q->lock);
}

void sqlite_open_lane(struct backlog *b, const char *origin)
{
	struct sqlite_backlog *q = (struct sqlite_backlog *) b;
	struct db *db = &q->taker;

	if (!origin) {
		open_all(q);
		return;
	}
	db_bind_text(db, DB_LANE_OF, 1, origin);
	int err = db_next(db, DB_LANE_OF);
	if (err < 0)
		open_all(q); /* it is among them; what is wrong with the disk the next take says */
	if (err <= 0)
		return;
	uint64_t lane = db_u64(db, DB_LANE_OF, 0);
	bool rests = db_i64(db, DB_LANE_OF, 1) > 0;
	db_end(db, DB_LANE_OF);

	mutex_lock(&q->lock);
	struct turn *turn = turns_find(&q->turns, lane);
	if (turn)
		turns_open(&q->turns, turn);
	if (rests || !turn) /* its rest may have been written since the row was read */
		sqlite_ask_to_open(q, lane);
	mutex_unlock(&q->lock);
}
