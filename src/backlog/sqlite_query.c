/* SPDX-License-Identifier: Apache-2.0 */
/* Questions: about one job, about dead ones, about lanes; and pauses. */
#include "backlog/sqlite_parts.h"

#include "base/clock.h"

#include <errno.h>

/* Columns of DB_SETTLED_BY_ID, DB_SETTLED_BY_NUMBER and DB_DEAD. */
enum { SEQ, NUMBER, OUTCOME, ACCEPTED, ATTEMPTS, REQUEUED, SOURCE, ID, SPEC, LINE };

void sqlite_query(struct backlog *b, struct query *query)
{
	struct sqlite_backlog *q = (struct sqlite_backlog *) b;

	query->error = 0;
	query->requeued = 0;
	query->up_to_seq = 0;
	query->job = NULL;
	mutex_lock(&q->lock);
	bool refused = query->kind == QUERY_REQUEUE && q->closed; /* it would accept jobs */
	if (query_reads(query)) {
		query_list_append(&q->reads, query);
		cond_signal(&q->reading);
	} else if (!refused) {
		query_list_append(&q->queries, query);
		cond_signal(&q->work);
	}
	mutex_unlock(&q->lock);
	if (refused)
		query->done(query, -EPIPE);
}

/* --- which job? ----------------------------------------------------------------------------- */

/* "p-NUMBER", as job_add_id() writes it: the number; otherwise 0. */
static uint64_t number_of(const char *id)
{
	uint64_t number = 0;

	if (strncmp(id, "p-", 2) != 0 || id[2] < '1' || id[2] > '9')
		return 0;
	for (const char *c = id + 2; *c != '\0'; c++) {
		if (*c < '0' || *c > '9' || number > (uint64_t) INT64_MAX / 10 - 1)
			return 0;
		number = 10 * number + (uint64_t) (*c - '0');
	}
	return number;
}

/* Finds the row of a query's job with DB_JOB, if it is not settled.  Returns 1 with its
 * number, 0 or -Exxx. */
static int find_job(struct db *db, const struct query *query, uint64_t *ret_number)
{
	uint64_t number = query->id ? number_of(query->id) : query->number;

	if (number == 0 && query->id) {
		db_bind_text(db, DB_JOB_NUMBER, 1, query->id);
		int err = db_next(db, DB_JOB_NUMBER);
		if (err <= 0)
			return err;
		number = db_u64(db, DB_JOB_NUMBER, 0);
		db_end(db, DB_JOB_NUMBER);
	}
	*ret_number = number;
	db_bind_u64(db, DB_JOB, 1, number);
	return db_next(db, DB_JOB);
}

/* Finds the settled row of a query.  Returns 1 with '*ret_which' on it, 0 or -Exxx. */
static int find_settled(struct db *db, const struct query *query, enum db_statement *ret_which)
{
	uint64_t number = query->id ? number_of(query->id) : query->number;

	*ret_which = number > 0 ? DB_SETTLED_BY_NUMBER : DB_SETTLED_BY_ID;
	if (number > 0)
		db_bind_u64(db, *ret_which, 1, number);
	else
		db_bind_text(db, *ret_which, 1, query->id);
	return db_next(db, *ret_which);
}

/* --- find and take ---------------------------------------------------------------------------- */

static int answer_settled(struct db *db, struct query *query)
{
	enum db_statement which;
	size_t n = 0;

	int err = find_settled(db, query, &which);
	if (err <= 0)
		return err < 0 ? err : -ENOENT;
	const void *line = db_bytes(db, which, LINE, &n);
	query->state = JOB_SETTLED;
	query->number = db_u64(db, which, NUMBER);
	query->accepted_wall_us = db_i64(db, which, ACCEPTED);
	query->attempts = (uint32_t) db_u64(db, which, ATTEMPTS);
	query->outcome = (enum outcome) db_i64(db, which, OUTCOME);
	buf_add(&query->line, line, n);
	db_end(db, which);
	if (query->line.failed)
		return -ENOMEM;
	return query->kind == QUERY_TAKE ? -EALREADY : 0;
}

/* Only the writer changes rows, so what DB_JOB found still holds. */
static int hand_out(struct sqlite_backlog *q, struct query *query, const struct claim *wanted)
{
	struct job *job = NULL;

	int err = sqlite_read_job(q, &q->db, q->parser, query->number, &job);
	if (err < 0)
		return err;
	mutex_lock(&q->lock);
	if (claims_find(&q->claims, wanted->number))
		err = -EBUSY;
	else
		err = sqlite_claim(q, wanted);
	mutex_unlock(&q->lock);
	if (err < 0)
		job_free(job);
	else
		query->job = job;
	return err;
}

/* How many rows stand before it in its lane, and are not out as far as is known. */
static int count_ahead(struct sqlite_backlog *q, const struct claim *job, size_t *ret_ahead)
{
	struct db *db = &q->db;

	db_bind_u64(db, DB_AHEAD, 1, job->lane);
	db_bind_i64(db, DB_AHEAD, 2, job->rank);
	db_bind_u64(db, DB_AHEAD, 3, job->number);
	db_bind_i64(db, DB_AHEAD, 4, QUERY_MAX_AHEAD);
	int err = db_next(db, DB_AHEAD);
	if (err <= 0)
		return err;
	size_t ahead = (size_t) db_u64(db, DB_AHEAD, 0);
	db_end(db, DB_AHEAD);

	mutex_lock(&q->lock);
	const struct turn *turn = turns_find(&q->turns, job->lane);
	size_t out = turn ? turn->out : 0;
	mutex_unlock(&q->lock);
	*ret_ahead = ahead > out ? ahead - out : 0;
	return 0;
}

/* From two columns, "opens" and "why"; the clock may have been set since they were written. */
static struct lane_rest read_rest(struct db *db, enum db_statement which, int opens)
{
	int64_t left_us = db_i64(db, which, opens) - clock_wall_us();
	int64_t why = db_i64(db, which, opens + 1);

	if (left_us <= 0 || why < 0 || why >= WAIT_REASONS)
		return (struct lane_rest) { .until_ns = 0 };
	return (struct lane_rest) {
		.why = (enum wait_reason) why,
		.until_ns = clock_after(clock_now_ns(), (uint64_t) left_us * NS_PER_US),
	};
}

static int describe_lane(struct db *db, uint64_t lane, struct query *query)
{
	struct buf *name = &query->lane;

	db_bind_u64(db, DB_LANE, 1, lane);
	int err = db_next(db, DB_LANE);
	if (err <= 0)
		return err < 0 ? err : db_fail(db, -EUCLEAN, "lane %llu is missing",
		                               (unsigned long long) lane);
	buf_add_str(name, db_text(db, DB_LANE, 0));
	buf_add_char(name, '\0');
	query->rest = read_rest(db, DB_LANE, 2);
	db_end(db, DB_LANE);
	return name->failed ? -ENOMEM : 0;
}

static void describe_row(struct db *db, struct query *query, const struct claim *job)
{
	int64_t state = db_i64(db, DB_JOB, 0), delay = db_i64(db, DB_JOB, 10);

	query->number = job->number;
	query->accepted_wall_us = db_i64(db, DB_JOB, 3);
	query->attempts = (uint32_t) db_u64(db, DB_JOB, 4);
	query->due_wall_us = job->delayed ? db_i64(db, DB_JOB, 2) : 0;
	query->deadline_wall_us = job->deadline_us;
	query->state = state == ROW_WAITING ? JOB_WAITING : JOB_DELAYED;
	query->why = state == ROW_ASIDE                       ? WAIT_POISON
	             : delay >= 0 && delay < WAIT_REASONS ? (enum wait_reason) delay
	                                                      : WAIT_RETRY;
}

static int answer_row(struct sqlite_backlog *q, struct query *query, uint64_t number)
{
	struct db *db = &q->db;
	const struct claim wanted = sqlite_claim_on(db, number);

	describe_row(db, query, &wanted);
	int err = query->kind == QUERY_TAKE ? hand_out(q, query, &wanted) : 0;

	mutex_lock(&q->lock);
	if (claims_find(&q->claims, number))
		query->state = JOB_OUT;
	mutex_unlock(&q->lock);
	if (err == 0 && query->kind == QUERY_FIND)
		err = describe_lane(db, wanted.lane, query);
	if (err == 0 && query->kind == QUERY_FIND && query->state == JOB_WAITING)
		err = count_ahead(q, &wanted, &query->ahead);
	return err;
}

/* --- lanes ------------------------------------------------------------------------------------ */

static int find_oldest(struct db *db, uint64_t lane, int64_t *ret_wall_us)
{
	db_bind_u64(db, DB_OLDEST_IN_LANE, 1, lane);
	int err = db_next(db, DB_OLDEST_IN_LANE);
	if (err == 1) {
		*ret_wall_us = db_i64(db, DB_OLDEST_IN_LANE, 0);
		db_end(db, DB_OLDEST_IN_LANE);
	}
	return err < 0 ? err : 0;
}

/* The row that DB_LANES is on. */
static int add_lane(struct sqlite_backlog *q, struct query *query)
{
	struct db *db = &q->db;
	uint64_t id = db_u64(db, DB_LANES, 0);
	struct backlog_lane lane = {
		.origin_at = query->line.len,
		.jobs = (size_t) db_u64(db, DB_LANES, 2),
		.waiting = (size_t) db_u64(db, DB_LANES, 3),
		.rest = read_rest(db, DB_LANES, 4),
	};

	buf_add_str(&query->line, db_text(db, DB_LANES, 1));
	buf_add_char(&query->line, '\0');
	mutex_lock(&q->lock);
	const struct turn *turn = turns_find(&q->turns, id);
	size_t out = turn ? turn->out : 0;
	mutex_unlock(&q->lock);
	lane.waiting -= out < lane.waiting ? out : lane.waiting;
	int err = lane.waiting > 0 ? find_oldest(db, id, &lane.oldest_wall_us) : 0;
	query->lanes[query->n_lanes++] = lane;
	return err;
}

/* Looks through all lanes: some 0.1 s for a million of them. */
static int answer_lanes(struct sqlite_backlog *q, struct query *query)
{
	struct db *db = &q->db;

	query->n_lanes = 0;
	int err = db_next(db, DB_COUNT_LANES);
	if (err <= 0)
		return err;
	query->all_lanes = (size_t) db_u64(db, DB_COUNT_LANES, 0);
	db_end(db, DB_COUNT_LANES);

	db_bind_i64(db, DB_LANES, 1, (int64_t) query->max_lanes);
	while (query->n_lanes < query->max_lanes && (err = db_next(db, DB_LANES)) == 1)
		if ((err = add_lane(q, query)) < 0)
			break;
	db_end(db, DB_LANES);
	return err < 0 ? err : query->line.failed ? -ENOMEM : 0;
}

int sqlite_remember_pause(struct sqlite_backlog *q, const struct query *query)
{
	enum db_statement which = query->kind == QUERY_PAUSE ? DB_PAUSE : DB_RESUME;

	db_bind_text(&q->db, which, 1, query->id ? query->id : "");
	return db_run(&q->db, which);
}

int sqlite_answer(struct sqlite_backlog *q, struct query *query)
{
	uint64_t number = 0;

	if (query->kind == QUERY_LANES)
		return answer_lanes(q, query);
	int err = find_job(&q->db, query, &number);
	if (err == 1) {
		err = answer_row(q, query, number);
		db_end(&q->db, DB_JOB);
		return err;
	}
	return err < 0 ? err : answer_settled(&q->db, query);
}

/* --- requeue ------------------------------------------------------------------------------------ */

/* Adds the job that repeats a dead one. */
static int add_repeat(struct sqlite_backlog *q, struct round *r, const struct job *dead,
                      const char *dead_id)
{
	struct job_extra extra = { 0 };
	struct job job = *dead;

	if (dead->extra)
		extra = *dead->extra;
	extra.requeued_from = dead_id;
	extra.deadline_wall_us = 0; /* it may be what the job is dead of */
	job.id = NULL;
	job.extra = &extra;
	job.bytes += sizeof(extra) + strlen(dead_id) + 1;
	return sqlite_add_job(q, r, &job);
}

/* Repeats the dead job of the row that 'which' is on. */
static int repeat(struct sqlite_backlog *q, struct round *r, enum db_statement which)
{
	struct db *db = &q->db;
	struct job *job = NULL;
	size_t n = 0;
	const char *spec = db_bytes(db, which, SPEC, &n);

	buf_clear(&q->why);
	int err = job_read(q->parser, spec ? spec : "", n, &job, &q->why);
	if (err < 0)
		return err == -ENOMEM ? db_fail(db, err, "out of memory")
		                      : db_fail(db, -EUCLEAN, "dead job p-%llu cannot be read",
		                                (unsigned long long) db_u64(db, which, NUMBER));
	struct buf id = { 0 };
	job->number = db_u64(db, which, NUMBER);
	job->source = db_text(db, which, SOURCE);
	job_add_id(job, &id);
	buf_add_char(&id, '\0');
	err = id.failed ? db_fail(db, -ENOMEM, "out of memory") : add_repeat(q, r, job, id.data);
	buf_done(&id);
	job_free(job);
	if (err < 0)
		return err;

	db_bind_u64(db, DB_SET_REQUEUED, 1, db_u64(db, which, SEQ));
	db_bind_u64(db, DB_SET_REQUEUED, 2, r->totals.last_number);
	return db_run(db, DB_SET_REQUEUED);
}

/* For the repetition of the dead job that 'which' is on. */
static int room_for_one(struct sqlite_backlog *q, struct round *r, enum db_statement which)
{
	size_t bytes = 0;

	(void) db_bytes(&q->db, which, SPEC, &bytes);
	mutex_lock(&q->lock);
	int err = sqlite_room(q, r, 1, bytes);
	mutex_unlock(&q->lock);
	if (err == 0) {
		r->jobs++;
		r->bytes += bytes;
	}
	return err;
}

static int requeue_one(struct sqlite_backlog *q, struct round *r, struct query *query)
{
	enum db_statement which;

	int err = find_settled(&q->db, query, &which);
	if (err < 0)
		return err;
	if (err == 0) {
		uint64_t number = 0;
		err = find_job(&q->db, query, &number);
		if (err < 0)
			return err;
		db_end(&q->db, DB_JOB);
		query->error = err == 1 ? -EINVAL : -ENOENT;
		return 0;
	}
	if (db_i64(&q->db, which, OUTCOME) != OUTCOME_DEAD || db_i64(&q->db, which, REQUEUED) != 0)
		query->error = -EINVAL;
	else
		query->error = room_for_one(q, r, which);
	err = query->error == 0 ? repeat(q, r, which) : 0;
	db_end(&q->db, which);
	query->new_number = r->totals.last_number;
	query->pending = query->error == 0;
	return err;
}

static int requeue_all(struct sqlite_backlog *q, struct round *r, struct query *query)
{
	int err = 0;

	query->error = -EINPROGRESS;
	query->pending = 0;
	if (query->up_to_seq == 0)
		query->up_to_seq = r->totals.last_seq; /* those that die meanwhile are not meant */
	while (query->pending < ROUND_MAX_REQUEUED &&
	       (query->pending == 0 || r->bytes < ROUND_MAX_BYTES)) {
		db_bind_u64(&q->db, DB_DEAD, 1, query->up_to_seq);
		err = db_next(&q->db, DB_DEAD);
		if (err <= 0) {
			query->error = 0;
			return err;
		}
		int full = room_for_one(q, r, DB_DEAD);
		if (full == 0)
			err = repeat(q, r, DB_DEAD);
		db_end(&q->db, DB_DEAD);
		if (full < 0) {
			query->error = full;
			return 0;
		}
		if (err < 0)
			return err;
		query->pending++;
	}
	return 0;
}

int sqlite_requeue(struct sqlite_backlog *q, struct round *r, struct query *query)
{
	return query->id ? requeue_one(q, r, query) : requeue_all(q, r, query);
}
