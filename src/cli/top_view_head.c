/* SPDX-License-Identifier: Apache-2.0 */
/* The head of the screen of penstock top: the figures of this moment, and what is wrong. */
#include "cli/top_view.h"

#include "base/clock.h"
#include "base/sync.h"
#include "base/units.h"
#include "cli/safe_text.h"
#include "cli/top_member.h"

#include <errno.h>

enum { MANY_ROWS = 30 };

#define SLOW_NS (3 * NS_PER_S)

typedef unsigned long long ull; /* for %llu */

/* Puts the text, with its label in front. */
static void put_line(struct top_view *v, int row, const char *label, int look)
{
	paint(&v->painter, row, TOP_LABEL, v->painter.columns - TOP_LABEL, look);
	paint_str(&v->painter, row, 0, TOP_LABEL, TOP_TITLE, label);
}

/* What is wrong with the daemon itself, or with the way to it.  Returns whether anything is. */
static bool add_absence(struct buf *b, const struct top_view *v, const struct top_data *d,
                        uint64_t now_ns)
{
	uint64_t silent_ns = now_ns > d->answered_ns ? now_ns - d->answered_ns : 0;

	if (d->error == 0 && silent_ns < SLOW_NS)
		return false;
	if (d->error == 0 || d->error == -ETIMEDOUT)
		buf_add_str(b, "THE DAEMON DOES NOT ANSWER: ");
	else if (d->error == -ENOMEM)
		buf_add_str(b, "OUT OF MEMORY: ");
	else
		buf_add_str(b, "THE DAEMON HAS GONE: ");
	buf_add_str(b, "this is ");
	units_add_duration_rough(b, silent_ns);
	buf_printf(b, " old; asking again: %s", v->socket);
	return true;
}

static void add_state(struct buf *b, const struct top_data *d)
{
	ull paused = top_count(d->status, "paused_lanes");

	buf_add_str(b, "penstockd ");
	top_add_string(b, d->status, "version");
	buf_add_str(b, ": ");
	top_add_string(b, d->status, "state");
	if (json_is_true(top_member(d, "paused")))
		buf_add_str(b, ", all paused");
	else if (paused > 0)
		buf_printf(b, ", %llu lane%s paused", paused, paused == 1 ? "" : "s");
	buf_add_str(b, ", up ");
	units_add_duration_rough(b, top_span_ns(d->status, "uptime_seconds"));
	buf_printf(b, ", process %llu", top_count(d->status, "pid"));
}

static void draw_title(struct top_view *v, const struct top_data *d, int row, uint64_t now_ns)
{
	struct painter *p = &v->painter;
	bool was_grey = p->is_grey;

	p->is_grey = false;
	if (add_absence(&p->text, v, d, now_ns)) {
		paint(p, row, 0, p->columns, TOP_BAD | PAINT_BOLD | PAINT_REVERSED);
	} else {
		add_state(&p->text, d);
		paint(p, row, 0, p->columns, TOP_TITLE | PAINT_BOLD | PAINT_REVERSED);
	}
	p->is_grey = was_grey;
}

/* The equation that always holds; what is 0 is left out. */
static void draw_jobs(struct top_view *v, const struct top_data *d, int row)
{
	static const char *const accounts[] = { "waiting", "delayed", "queued",   "running",
		                                "done",    "dead",    "cancelled" };
	const json_t *ledger = top_member(d, "ledger");
	struct buf *b = &v->painter.text;
	const char *before = " = ";

	buf_printf(b, "%llu", top_count(ledger, "accepted"));
	for (size_t i = 0; i < ARRAY_LEN(accounts); i++) {
		ull n = top_count(ledger, accounts[i]);
		if (n == 0)
			continue;
		buf_printf(b, "%s%llu %s", before, n, accounts[i]);
		before = " + ";
	}
	put_line(v, row, "accepted", 0);
}

static void draw_reasons(struct top_view *v, const struct top_data *d, int row)
{
	struct buf *b = &v->painter.text;
	const char *name = NULL, *before = "";
	json_t *n = NULL;

	json_object_foreach(json_object_get(d->status, "waiting_by_reason"), name, n) {
		buf_printf(b, "%s%.0f ", before, json_number_value(n));
		safe_text_add(b, name);
		before = ", ";
	}
	if (b->len == 0)
		buf_add_str(b, "none");
	put_line(v, row, "waiting", 0);
}

static void draw_workers(struct top_view *v, const struct top_data *d, int row)
{
	const json_t *workers = top_member(d, "workers"), *queue = top_member(d, "queue");
	ull alive = top_count(workers, "alive"), idle = top_count(queue, "consumers_idle");
	ull names = top_count(json_object_get(top_member(d, "fetch"), "dns"), "waiting");
	ull bodies = top_count(json_object_get(top_member(d, "results"), "bodies"), "waiting");
	struct buf *b = &v->painter.text;

	buf_printf(b, "%llu busy, %llu idle", alive > idle ? alive - idle : 0, idle);
	if (alive != top_count(workers, "wanted"))
		buf_printf(b, ", %llu wanted", top_count(workers, "wanted"));
	if (names > 0)
		buf_printf(b, "; %llu names are waited for", names);
	if (bodies > 0)
		buf_printf(b, "; %llu wait for memory for bodies", bodies);
	buf_printf(b, "; %llu results pending", top_count(top_member(d, "results"), "pending"));
	put_line(v, row, "workers", 0);
}

static void draw_backlog(struct top_view *v, const struct top_data *d, int row)
{
	const json_t *backlog = top_member(d, "backlog");
	ull blocked = top_count(backlog, "submitters_blocked");
	struct buf *b = &v->painter.text;

	buf_printf(b, "%llu of %llu jobs, ", top_count(backlog, "held_jobs"),
	           top_count(backlog, "max_jobs"));
	units_add_size_rough(b, top_count(backlog, "held_bytes"));
	buf_add_str(b, " of ");
	units_add_size_rough(b, top_count(backlog, "max_bytes"));
	if (blocked > 0)
		buf_printf(b, "; %ssources waiting: %llu",
		           top_count(backlog, "held_jobs") > 0 ? "full, " : "", blocked);
	put_line(v, row, "backlog", blocked > 0 ? TOP_WARNING : 0);
}

static void draw_fetches(struct top_view *v, const struct top_data *d, int row)
{
	const json_t *fetch = top_member(d, "fetch");
	struct buf *b = &v->painter.text;

	buf_printf(b, "%llu made, %llu failed, ", top_count(fetch, "attempts"),
	           top_count(fetch, "failed"));
	units_add_size_rough(b, top_count(fetch, "body_bytes"));
	buf_printf(b, " received, %llu connections kept", top_count(fetch, "idle_connections"));
	put_line(v, row, "fetches", 0);
}

int top_view_draw_head(struct top_view *v, const struct top_data *d, int row, uint64_t now_ns)
{
	draw_title(v, d, row++, now_ns);
	draw_jobs(v, d, row++);
	draw_reasons(v, d, row++);
	draw_workers(v, d, row++);
	if (v->painter.rows >= MANY_ROWS) {
		draw_backlog(v, d, row++);
		draw_fetches(v, d, row++);
	}
	return row;
}

/* --- what is wrong ----------------------------------------------------------------- */

static bool add_error(struct buf *b, const json_t *store, const char *what)
{
	if (!json_is_string(json_object_get(store, "error")))
		return false;
	buf_printf(b, "%s CANNOT BE WRITTEN: ", what);
	top_add_string(b, store, "error");
	return true;
}

bool top_view_add_trouble(struct buf *b, const struct top_data *d)
{
	const json_t *backlog = top_member(d, "backlog"), *results = top_member(d, "results");

	if (add_error(b, backlog, "BACKLOG") || add_error(b, results, "RESULTS") ||
	    add_error(b, json_object_get(results, "bodies"), "BODIES"))
		return true;
	if (top_count(backlog, "free_bytes") < top_count(backlog, "min_free_bytes")) {
		buf_add_str(b, "THE BACKLOG TAKES NO JOBS: its disk has ");
		units_add_size_rough(b, top_count(backlog, "free_bytes"));
		buf_add_str(b, " free, less than backlog.min_free");
		return true;
	}
	if (!json_is_string(top_member(d, "blocked")))
		return false;
	buf_add_str(b, "blocked: ");
	top_add_string(b, d->status, "blocked");
	return true;
}
