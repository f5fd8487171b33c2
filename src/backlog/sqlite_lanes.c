/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of lanes.  What a round does to one is summed up and written once, at its end. */
#include "backlog/sqlite_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int out_of_memory(struct sqlite_backlog *q)
{
	return db_fail(&q->db, -ENOMEM, "out of memory");
}

/* --- names ---------------------------------------------------------------------------------- */

/* FNV-1a: Fowler, Noll, Vo. */
static struct lane_name *name_of(struct sqlite_backlog *q, const char *origin)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (; *origin != '\0'; origin++)
		hash = (hash ^ (unsigned char) *origin) * UINT64_C(0x100000001b3);
	return &q->names[(hash ^ (hash >> 32)) % LANE_NAMES];
}

/* Without memory it is looked up again. */
static void keep_name(struct lane_name *name, const char *origin, uint64_t lane)
{
	free(name->origin);
	name->origin = strdup(origin);
	name->lane = lane;
}

static void forget_name(struct sqlite_backlog *q, const char *origin, uint64_t lane)
{
	struct lane_name *name = name_of(q, origin);

	if (name->lane != lane)
		return;
	free(name->origin);
	name->origin = NULL;
}

static int find_or_add(struct sqlite_backlog *q, struct round *r, const char *origin,
                       uint64_t *ret_lane)
{
	struct db *db = &q->db;

	db_bind_text(db, DB_FIND_LANE, 1, origin);
	int err = db_next(db, DB_FIND_LANE);
	if (err == 1) {
		*ret_lane = db_u64(db, DB_FIND_LANE, 0);
		db_end(db, DB_FIND_LANE);
		return 0;
	}
	if (err < 0)
		return err;
	*ret_lane = ++r->totals.last_lane;
	db_bind_u64(db, DB_ADD_LANE, 1, *ret_lane);
	db_bind_text(db, DB_ADD_LANE, 2, origin);
	return db_run(db, DB_ADD_LANE);
}

int sqlite_lane(struct sqlite_backlog *q, struct round *r, const char *origin, uint64_t *ret_lane)
{
	struct lane_name *name = name_of(q, origin);

	if (name->origin && strcmp(name->origin, origin) == 0) {
		*ret_lane = name->lane;
		return 0;
	}
	int err = find_or_add(q, r, origin, ret_lane);
	if (err == 0)
		keep_name(name, origin, *ret_lane);
	return err;
}

/* --- changes -------------------------------------------------------------------------------- */

/* Where the lane stands in the index, or could stand. */
static uint32_t *slot_of(const struct lane_changes *c, uint64_t lane)
{
	size_t at = (size_t) lane & (c->index_size - 1);

	while (c->index[at] != 0 && c->all[c->index[at] - 1].lane != lane)
		at = (at + 1) & (c->index_size - 1);
	return &c->index[at];
}

static bool grow(struct lane_changes *c)
{
	size_t size = c->size > 0 ? 2 * c->size : 64;
	struct lane_change *all = reallocarray(c->all, size, sizeof(*all));
	if (!all)
		return false;
	c->all = all;

	uint32_t *index = calloc(2 * size, sizeof(*index));
	if (!index)
		return false;
	free(c->index);
	c->index = index;
	c->index_size = 2 * size;
	c->size = size;
	for (size_t i = 0; i < c->n; i++)
		*slot_of(c, c->all[i].lane) = (uint32_t) i + 1;
	return true;
}

struct lane_change *sqlite_change_lane(struct sqlite_backlog *q, uint64_t lane)
{
	struct lane_changes *c = &q->changes;

	if (c->n > 0 && c->all[c->n - 1].lane == lane)
		return &c->all[c->n - 1]; /* mostly it is the same again */
	if (c->n == c->size && !grow(c)) {
		(void) out_of_memory(q);
		return NULL;
	}
	uint32_t *slot = slot_of(c, lane);
	if (*slot == 0) {
		c->all[c->n] = (struct lane_change) { .lane = lane, .accepted = place_none };
		*slot = (uint32_t) ++c->n;
	}
	return &c->all[*slot - 1];
}

enum { LANE_ORIGIN, LANE_WAITING, LANE_OPENS, LANE_WHY, LANE_JOBS }; /* columns of DB_LANE */

/* Returns 1 with DB_LANE at the lane's row, 0 or -Exxx. */
static int find_row(struct sqlite_backlog *q, uint64_t lane)
{
	struct db *db = &q->db;

	db_bind_u64(db, DB_LANE, 1, lane);
	int r = db_next(db, DB_LANE);
	if (r == 1 && !db_text(db, DB_LANE, LANE_ORIGIN)) {
		db_end(db, DB_LANE);
		return db_fail(db, -EUCLEAN, "lane %llu has no name", (unsigned long long) lane);
	}
	return r;
}

/* The row that DB_LANE is at. */
static int delete_row(struct sqlite_backlog *q, uint64_t lane)
{
	forget_name(q, db_text(&q->db, DB_LANE, LANE_ORIGIN), lane);
	db_end(&q->db, DB_LANE);
	db_bind_u64(&q->db, DB_DELETE_LANE, 1, lane);
	return db_run(&q->db, DB_DELETE_LANE);
}

static int delete_if_empty(struct sqlite_backlog *q, uint64_t lane)
{
	struct db *db = &q->db;

	int err = find_row(q, lane);
	if (err <= 0)
		return err;
	if (db_i64(db, DB_LANE, LANE_JOBS) == 0 && db_i64(db, DB_LANE, LANE_OPENS) == 0)
		return delete_row(q, lane);
	db_end(db, DB_LANE);
	return 0;
}

/* Read and then written: an UPDATE with RETURNING costs SQLite three times as much as both, as it
 * runs a trigger, and keeps a copy of every page that it changes. */
static int write_change(struct sqlite_backlog *q, struct round *r, struct lane_change *change)
{
	struct db *db = &q->db;

	int err = find_row(q, change->lane);
	if (err <= 0)
		return err < 0 ? err : db_fail(db, -EUCLEAN, "lane %llu is missing",
		                               (unsigned long long) change->lane);
	int64_t jobs = db_i64(db, DB_LANE, LANE_JOBS) + change->jobs;
	int64_t waiting = db_i64(db, DB_LANE, LANE_WAITING) + change->waiting;
	bool rests = db_i64(db, DB_LANE, LANE_OPENS) > 0;
	int64_t why = db_i64(db, DB_LANE, LANE_WHY);

	if (jobs < 0 || waiting < 0 || why < 0 || why >= WAIT_REASONS) {
		db_end(db, DB_LANE);
		return db_fail(db, -EUCLEAN, "lane %llu has wrong numbers",
		               (unsigned long long) change->lane);
	}
	if (rests)
		r->totals.resting[why] += (size_t) change->waiting;
	change->deleted = jobs == 0 && !rests;
	if (change->deleted)
		return delete_row(q, change->lane);
	db_end(db, DB_LANE);
	db_bind_u64(db, DB_CHANGE_LANE, 1, change->lane);
	db_bind_i64(db, DB_CHANGE_LANE, 2, change->jobs);
	db_bind_i64(db, DB_CHANGE_LANE, 3, change->waiting);
	return db_run(db, DB_CHANGE_LANE);
}

static void forget_names(struct sqlite_backlog *q)
{
	for (size_t i = 0; i < LANE_NAMES; i++) {
		free(q->names[i].origin);
		q->names[i].origin = NULL;
	}
}

/* Lanes without jobs were kept as long as they rested. */
static int delete_opened(struct sqlite_backlog *q, const struct round *r)
{
	int err = 0;

	for (size_t i = 0; err == 0 && i < r->opened_n; i++)
		err = delete_if_empty(q, r->opened[i]);
	for (size_t i = 0; err == 0 && i < r->opens.n; i++)
		err = delete_if_empty(q, r->opens.ids[i]);
	if (err == 0 && r->opens.all) {
		forget_names(q);
		err = db_run(&q->db, DB_DELETE_LANES);
	}
	return err;
}

int sqlite_flush_lanes(struct sqlite_backlog *q, struct round *r)
{
	int err = 0;

	for (size_t i = 0; err == 0 && i < q->changes.n; i++)
		err = write_change(q, r, &q->changes.all[i]);
	if (err == 0)
		err = delete_opened(q, r);
	return err;
}

void sqlite_clear_lanes(struct sqlite_backlog *q, bool failed)
{
	struct lane_changes *c = &q->changes;

	for (; c->n > 0; c->n--)
		*slot_of(c, c->all[c->n - 1].lane) = 0; /* the last that came goes first */
	if (failed)
		forget_names(q);
}

void sqlite_free_lanes(struct sqlite_backlog *q)
{
	sqlite_clear_lanes(q, true);
	free(q->changes.all);
	free(q->changes.index);
}

/* --- rests ---------------------------------------------------------------------------------- */

static int begin_rest(struct sqlite_backlog *q, struct round *r, const struct rest *rest)
{
	struct db *db = &q->db;

	db_bind_u64(db, DB_REST_LANE, 1, rest->lane);
	db_bind_i64(db, DB_REST_LANE, 2, sqlite_wall_us(r, rest->until_ns));
	db_bind_i64(db, DB_REST_LANE, 3, rest->why);
	int err = db_next(db, DB_REST_LANE);
	if (err <= 0)
		return err; /* its last job may be gone, and it with it */
	r->totals.resting[rest->why] += (size_t) db_u64(db, DB_REST_LANE, 0);
	db_end(db, DB_REST_LANE);
	return 0;
}

static int end_rest(struct sqlite_backlog *q, struct round *r, uint64_t lane)
{
	struct db *db = &q->db;

	db_bind_u64(db, DB_OPEN_LANE, 1, lane);
	int err = db_next(db, DB_OPEN_LANE);
	if (err <= 0)
		return err;
	int64_t why = db_i64(db, DB_OPEN_LANE, 2);
	if (why >= 0 && why < WAIT_REASONS)
		r->totals.resting[why] -= (size_t) db_u64(db, DB_OPEN_LANE, 1);
	db_end(db, DB_OPEN_LANE);
	return 0;
}

static int end_all_rests(struct sqlite_backlog *q, struct round *r)
{
	memset(r->totals.resting, 0, sizeof(r->totals.resting));
	return db_run(&q->db, DB_OPEN_LANES);
}

static int find_due(struct sqlite_backlog *q, struct round *r)
{
	struct db *db = &q->db;
	int err = 0;

	db_bind_i64(db, DB_DUE_LANES, 1, r->wall_us);
	db_bind_i64(db, DB_DUE_LANES, 2, ROUND_MAX_LANES);
	while ((err = db_next(db, DB_DUE_LANES)) == 1)
		r->opened[r->opened_n++] = db_u64(db, DB_DUE_LANES, 0);
	return err;
}

/* What begins first: a lane may have been opened since. */
int sqlite_turn_lanes(struct sqlite_backlog *q, struct round *r)
{
	int err = 0;

	for (size_t i = 0; err == 0 && i < r->rests_n; i++)
		err = begin_rest(q, r, &r->rests[i]);
	if (err == 0 && r->opens.all)
		err = end_all_rests(q, r);
	for (size_t i = 0; err == 0 && i < r->opens.n; i++)
		err = end_rest(q, r, r->opens.ids[i]);
	if (err == 0 && q->next_due_us <= r->wall_us)
		err = find_due(q, r);
	for (size_t i = 0; err == 0 && i < r->opened_n; i++)
		err = end_rest(q, r, r->opened[i]);
	return err;
}
