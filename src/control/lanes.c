/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/lanes: what waits in the backlog and what the queue knows, joined by origin. */
#include "control/asker.h"
#include "control/problem.h"
#include "control/text.h"

#include "base/units.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_LANES = 100, MAX_LANES = 1000 };

struct listing {
	struct asker base;
	size_t limit;
	struct backlog_lane lanes[]; /* 'limit' of them */
};

/* One lane in the answer. */
struct row {
	const char *origin;          /* borrowed */
	struct backlog_lane backlog; /* zero if nothing is known there */
	struct queue_lane queue;
	size_t depth;
};

/* Both lists joined. */
struct rows {
	struct row *items; /* owned */
	size_t n;
	size_t all;        /* lanes that there are, at least */
	struct buf names;  /* of those that only the queue has */
};

/* --- joining ----------------------------------------------------------------------- */

static void add_row(struct rows *rows, const char *origin, struct backlog_lane backlog,
                    const struct queue_lane *queue)
{
	size_t out = queue->queued + queue->running; /* may be ahead of what the backlog said */

	rows->items[rows->n++] = (struct row) {
		.origin = origin,
		.backlog = backlog,
		.queue = *queue,
		.depth = backlog.jobs > out ? backlog.jobs : out,
	};
}

static int compare_origins(const void *a, const void *b)
{
	return strcmp(((const struct row *) a)->origin, ((const struct row *) b)->origin);
}

/* The deepest first. */
static int compare_depths(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	return x->depth != y->depth ? (x->depth < y->depth) - (x->depth > y->depth)
	                            : compare_origins(a, b);
}

static void add_backlog_lanes(struct rows *rows, struct engine *engine, const struct query *q)
{
	struct queue_lane lane;

	for (size_t i = 0; i < q->n_lanes; i++) {
		const char *origin = q->line.data + q->lanes[i].origin_at;
		engine_lane(engine, origin, &lane);
		engine_lane_adopt(&lane, &q->lanes[i].rest);
		add_row(rows, origin, q->lanes[i], &lane);
	}
	qsort(rows->items, rows->n, sizeof(*rows->items), compare_origins);
}

/* Those that the backlog has not named: it has no jobs of them, or fewer than of any that it has
 * named, and then they are among the deepest only if all of those are out. */
static int add_queue_lanes(struct rows *rows, struct engine *engine, size_t limit)
{
	size_t known = rows->n, all = 0;
	struct queue_lane *lanes = calloc(limit, sizeof(*lanes));
	if (!lanes)
		return -ENOMEM;

	size_t n = engine_list_lanes(engine, lanes, limit, &rows->names, &all);
	if (rows->names.failed)
		n = 0;
	for (size_t i = 0; i < n; i++) {
		const struct row wanted = { .origin = rows->names.data + lanes[i].origin_at };
		if (!bsearch(&wanted, rows->items, known, sizeof(wanted), compare_origins))
			add_row(rows, wanted.origin, (struct backlog_lane) { 0 }, &lanes[i]);
	}
	rows->all = all > rows->all ? all : rows->all;
	rows->all = rows->n > rows->all ? rows->n : rows->all;
	free(lanes);
	return rows->names.failed ? -ENOMEM : 0;
}

/* Returns 0 or -ENOMEM; the rows are to be released in either case. */
static int join(struct engine *engine, const struct query *q, size_t limit, struct rows *rows)
{
	*rows = (struct rows) { .items = calloc(2 * limit, sizeof(struct row)), .all = q->all_lanes };
	if (!rows->items)
		return -ENOMEM;

	add_backlog_lanes(rows, engine, q);
	int r = add_queue_lanes(rows, engine, limit);
	qsort(rows->items, rows->n, sizeof(*rows->items), compare_depths);
	rows->n = rows->n < limit ? rows->n : limit;
	return r;
}

/* --- the answer -------------------------------------------------------------------- */

static void add_limits(struct buf *b, const struct lane_limits *limits)
{
	struct buf rate = { 0 };

	buf_add_str(b, ", \"concurrency\": ");
	if (limits->concurrency > 0)
		buf_add_u64(b, limits->concurrency);
	else
		buf_add_str(b, "null");
	buf_add_str(b, ", \"rate\": ");
	if (limits->interval_ns > 0)
		units_add_rate(&rate, limits->interval_ns);
	if (rate.len > 0)
		buf_add_json(b, rate.data, rate.len);
	else
		buf_add_str(b, "null");
	b->failed |= rate.failed;
	buf_done(&rate);
	buf_printf(b, ", \"burst\": %llu", (unsigned long long) limits->burst);
}

/* A moment of CLOCK_MONOTONIC as a date. */
static void add_moment(struct buf *b, uint64_t at_ns, uint64_t now_ns, int64_t now_wall_us)
{
	char text[CLOCK_TEXT_SIZE];

	if (at_ns == NEVER || at_ns <= now_ns) {
		buf_add_str(b, "null");
		return;
	}
	clock_format(now_wall_us + (int64_t) ((at_ns - now_ns) / NS_PER_US), text);
	buf_printf(b, "\"%s\"", text);
}

static void add_wait(struct buf *b, int64_t since_wall_us, int64_t now_wall_us)
{
	if (since_wall_us == 0)
		buf_add_str(b, "null");
	else
		buf_add_seconds(b, now_wall_us > since_wall_us ? (uint64_t) (now_wall_us - since_wall_us)
		                                               : 0);
}

static void write_row(struct buf *b, const struct row *row)
{
	uint64_t now_ns = clock_now_ns();
	int64_t now_wall_us = clock_wall_us();
	enum wait_reason state = row->queue.obstacle.why;

	buf_add_str(b, "{\"origin\": ");
	buf_add_json_str(b, row->origin);
	buf_printf(b, ", \"depth\": %zu, \"waiting\": %zu, \"queued\": %zu, \"running\": %zu",
	           row->depth, row->backlog.waiting, row->queue.queued, row->queue.running);
	buf_add_str(b, ", \"wait_seconds\": ");
	add_wait(b, row->backlog.oldest_wall_us, now_wall_us);
	add_limits(b, &row->queue.limits);
	buf_printf(b, ", \"state\": \"%s\", \"until\": ",
	           state == WAIT_WORKER ? "open" : wait_reason_name(state));
	add_moment(b, row->queue.obstacle.until_ns, now_ns, now_wall_us);
	buf_printf(b, ", \"failures\": %u}", row->queue.failures);
}

static void write_rows(struct buf *b, const struct rows *rows)
{
	buf_add_str(b, "{\"lanes\": [");
	for (size_t i = 0; i < rows->n; i++) {
		buf_add_str(b, i > 0 ? ",\n " : "\n ");
		write_row(b, &rows->items[i]);
	}
	buf_printf(b, "%s], \"total\": %zu}\n", rows->n > 0 ? "\n" : "", rows->all);
}

static void answered(struct task *t, int error)
{
	struct listing *l = (struct listing *) t;
	struct rows rows = { 0 };

	if (error == 0)
		error = join(t->desk->engine, &l->base.query, l->limit, &rows);
	if (error < 0) {
		problem_reply(&t->reply, t->desk->engine, error);
	} else {
		t->reply.status = 200;
		t->reply.type = "application/json";
		write_rows(&t->reply.body, &rows);
	}
	free(rows.items);
	buf_done(&rows.names);
}

/* --- the question ------------------------------------------------------------------ */

static void finish(struct task *t)
{
	struct listing *l = (struct listing *) t;

	l->base.query.lanes = l->lanes;
	l->base.query.max_lanes = l->limit;
	asker_ask(&l->base, QUERY_LANES);
}

static void free_task(struct task *t)
{
	t->desk->lists--;
	asker_free(t);
}

bool lists_have_room(const struct view *view, struct reply *reply)
{
	const unsigned max =
		view->reach == CONTROL_ALL ? CONTROL_MAX_LISTS : CONTROL_READER_LISTS;

	if (view->desk->lists < max)
		return true;
	problem(reply, PROBLEM_BUSY, "%u lists are under way, which is the limit; try again", max);
	return false;
}

struct task *lanes_begin(const struct view *view, const struct request *request,
                         struct reply *reply)
{
	static const struct task_ops ops = {
		.finish = finish,
		.answered = answered,
		.take_back = asker_take_back,
		.free = free_task,
	};
	uint64_t limit = DEFAULT_LANES;

	if (request->limit &&
	    (!text_number(request->limit, &limit) || limit < 1 || limit > MAX_LANES)) {
		problem(reply, PROBLEM_BAD_PARAMETER, "limit=%s must be a number of 1 to %d",
		        request->limit, MAX_LANES);
		return NULL;
	}
	if (!lists_have_room(view, reply))
		return NULL;
	struct task *task = asker_create(view, &ops, sizeof(struct listing) +
	                                 limit * sizeof(struct backlog_lane), NULL, reply);
	if (task) {
		((struct listing *) task)->limit = limit;
		view->desk->lists++;
	}
	return task;
}
