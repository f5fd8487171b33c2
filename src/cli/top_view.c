/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/top_view.h"

#include "base/clock.h"
#include "base/sync.h"
#include "base/units.h"
#include "cli/safe_text.h"
#include "cli/sparkline.h"

#include <curses.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	MIN_ROWS = 12, MIN_COLUMNS = 40, /* of a screen */
	LABEL = 10, FIGURES = 28, FEW_FIGURES = 18, /* columns around a sparkline */
	LINE = 512,
};

#define SLOW_NS (3 * NS_PER_S)

typedef unsigned long long ull; /* for %llu */

void top_view_done(struct top_view *v)
{
	top_view_unselect(v);
	buf_done(&v->painter.text);
}

/* --- members ----------------------------------------------------------------------- */

static const json_t *member(const struct top_data *d, const char *name)
{
	return json_object_get(d->status, name);
}

static ull count(const json_t *object, const char *name)
{
	double value = json_number_value(json_object_get(object, name));
	return value > 0 ? (ull) value : 0;
}

static uint64_t span_ns(const json_t *object, const char *name)
{
	return (uint64_t) count(object, name) * NS_PER_S;
}

static void add_string(struct buf *b, const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));
	safe_text_add(b, text ? text : "?");
}

/* --- the head ---------------------------------------------------------------------- */

/* Puts the text, with its label in front. */
static void put_line(struct top_view *v, int row, const char *label, int look)
{
	paint(&v->painter, row, LABEL, v->painter.columns - LABEL, look);
	paint_str(&v->painter, row, 0, LABEL, TOP_TITLE, label);
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
	ull paused = count(d->status, "paused_lanes");

	buf_add_str(b, "penstockd ");
	add_string(b, d->status, "version");
	buf_add_str(b, ": ");
	add_string(b, d->status, "state");
	if (json_is_true(member(d, "paused")))
		buf_add_str(b, ", all paused");
	else if (paused > 0)
		buf_printf(b, ", %llu lane%s paused", paused, paused == 1 ? "" : "s");
	buf_add_str(b, ", up ");
	units_add_duration_rough(b, span_ns(d->status, "uptime_seconds"));
	buf_printf(b, ", process %llu", count(d->status, "pid"));
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
	const json_t *ledger = member(d, "ledger");
	struct buf *b = &v->painter.text;
	const char *before = " = ";

	buf_printf(b, "%llu", count(ledger, "accepted"));
	for (size_t i = 0; i < ARRAY_LEN(accounts); i++) {
		ull n = count(ledger, accounts[i]);
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
	const json_t *workers = member(d, "workers"), *queue = member(d, "queue");
	ull alive = count(workers, "alive"), idle = count(queue, "consumers_idle");
	ull names = count(json_object_get(member(d, "fetch"), "dns"), "waiting");
	ull bodies = count(json_object_get(member(d, "results"), "bodies"), "waiting");
	struct buf *b = &v->painter.text;

	buf_printf(b, "%llu busy, %llu idle", alive > idle ? alive - idle : 0, idle);
	if (alive != count(workers, "wanted"))
		buf_printf(b, ", %llu wanted", count(workers, "wanted"));
	if (names > 0)
		buf_printf(b, "; %llu names are waited for", names);
	if (bodies > 0)
		buf_printf(b, "; %llu wait for memory for bodies", bodies);
	buf_printf(b, "; %llu results pending", count(member(d, "results"), "pending"));
	put_line(v, row, "workers", 0);
}

static void draw_backlog(struct top_view *v, const struct top_data *d, int row)
{
	const json_t *backlog = member(d, "backlog");
	ull blocked = count(backlog, "submitters_blocked");
	struct buf *b = &v->painter.text;

	buf_printf(b, "%llu of %llu jobs, ", count(backlog, "held_jobs"), count(backlog, "max_jobs"));
	units_add_size_rough(b, count(backlog, "held_bytes"));
	buf_add_str(b, " of ");
	units_add_size_rough(b, count(backlog, "max_bytes"));
	if (blocked > 0)
		buf_printf(b, "; %ssources waiting: %llu", count(backlog, "held_jobs") > 0 ? "full, " : "",
		           blocked);
	put_line(v, row, "backlog", blocked > 0 ? TOP_WARNING : 0);
}

static void draw_fetches(struct top_view *v, const struct top_data *d, int row)
{
	const json_t *fetch = member(d, "fetch");
	struct buf *b = &v->painter.text;

	buf_printf(b, "%llu made, %llu failed, ", count(fetch, "attempts"), count(fetch, "failed"));
	units_add_size_rough(b, count(fetch, "body_bytes"));
	buf_printf(b, " received, %llu connections kept", count(fetch, "idle_connections"));
	put_line(v, row, "fetches", 0);
}

/* --- what is wrong ----------------------------------------------------------------- */

static bool add_error(struct buf *b, const json_t *store, const char *what)
{
	if (!json_is_string(json_object_get(store, "error")))
		return false;
	buf_printf(b, "%s CANNOT BE WRITTEN: ", what);
	add_string(b, store, "error");
	return true;
}

/* What a person must look after.  Returns whether there is anything. */
static bool add_trouble(struct buf *b, const struct top_data *d)
{
	const json_t *backlog = member(d, "backlog"), *results = member(d, "results");

	if (add_error(b, backlog, "BACKLOG") || add_error(b, results, "RESULTS") ||
	    add_error(b, json_object_get(results, "bodies"), "BODIES"))
		return true;
	if (count(backlog, "free_bytes") < count(backlog, "min_free_bytes")) {
		buf_add_str(b, "THE BACKLOG TAKES NO JOBS: its disk has ");
		units_add_size_rough(b, count(backlog, "free_bytes"));
		buf_add_str(b, " free, less than backlog.min_free");
		return true;
	}
	if (!json_is_string(member(d, "blocked")))
		return false;
	buf_add_str(b, "blocked: ");
	add_string(b, d->status, "blocked");
	return true;
}

/* --- the past ---------------------------------------------------------------------- */

static double recent(const struct top_history *h, enum top_series series)
{
	double value = h->n > 0 ? h->values[series][h->n - 1] : 0;
	return value > 0 ? value : 0;
}

/* Of the newest 'n' samples. */
static double highest(const struct top_history *h, enum top_series series, size_t n)
{
	double value = 0;

	for (size_t i = h->n > n ? h->n - n : 0; i < h->n; i++)
		value = h->values[series][i] > value ? h->values[series][i] : value;
	return value;
}

static bool is_full(const json_t *queue)
{
	return count(queue, "jobs") >= count(queue, "capacity_jobs") ||
	       count(queue, "bytes") >= count(queue, "capacity_bytes");
}

static void add_full(struct top_view *v, const struct top_data *d, double max)
{
	const json_t *queue = member(d, "queue");

	(void) max;
	buf_printf(&v->painter.text, " %llu of %llu%s", count(queue, "jobs"),
	           count(queue, "capacity_jobs"), is_full(queue) ? ", full" : "");
}

static void add_running(struct top_view *v, const struct top_data *d, double max)
{
	(void) max;
	buf_printf(&v->painter.text, " %llu; %llu workers", count(member(d, "ledger"), "running"),
	           count(member(d, "workers"), "wanted"));
}

static void add_waiting(struct top_view *v, const struct top_data *d, double max)
{
	buf_printf(&v->painter.text, " %llu, max %.0f", count(member(d, "ledger"), "waiting"), max);
}

static void add_rate(struct top_view *v, const struct top_data *d, enum top_series series,
                     double max)
{
	buf_printf(&v->painter.text, " %.1f/s, max %.1f", recent(&d->history, series), max);
}

static void add_settled(struct top_view *v, const struct top_data *d, double max)
{
	add_rate(v, d, TOP_SETTLED, max);
}

static void add_failed(struct top_view *v, const struct top_data *d, double max)
{
	add_rate(v, d, TOP_FAILURES, max);
}

static void add_dead(struct top_view *v, const struct top_data *d, double max)
{
	add_rate(v, d, TOP_DEAD, max);
}

static void add_received(struct top_view *v, const struct top_data *d, double max)
{
	struct buf *b = &v->painter.text;

	buf_add_char(b, ' ');
	units_add_size_rough(b, (uint64_t) recent(&d->history, TOP_RECEIVED_BYTES));
	buf_add_str(b, "/s, max ");
	units_add_size_rough(b, (uint64_t) max);
}

static const struct past {
	enum top_series series;
	const char *label;
	void (*add_figures)(struct top_view *v, const struct top_data *d, double max);
	int look;
	int from; /* on screens of so many rows */
} pasts[] = {
	{ TOP_QUEUE_JOBS, "queue", add_full, TOP_PLAIN, 0 },
	{ TOP_RUNNING, "running", add_running, TOP_PLAIN, 20 },
	{ TOP_WAITING, "waiting", add_waiting, TOP_PLAIN, 30 },
	{ TOP_SETTLED, "settled", add_settled, TOP_GOOD, 0 },
	{ TOP_FAILURES, "failed", add_failed, TOP_BAD, 0 },
	{ TOP_DEAD, "dead", add_dead, TOP_BAD, 30 },
	{ TOP_RECEIVED_BYTES, "received", add_received, TOP_GOOD, 20 },
};

/* What a full bar is: a full queue, all workers. */
static double scale_of(const struct top_data *d, enum top_series series)
{
	return series == TOP_QUEUE_JOBS ? (double) count(member(d, "queue"), "capacity_jobs")
	       : series == TOP_RUNNING  ? (double) count(member(d, "workers"), "wanted")
	                                : 0;
}

static void draw_past(struct top_view *v, const struct top_data *d, int row, const struct past *past)
{
	struct painter *p = &v->painter;
	const struct top_history *h = &d->history;
	int figures = p->columns < 70 ? FEW_FIGURES : FIGURES;
	size_t width = (size_t) (p->columns - LABEL - figures);
	double samples = h->period_s > 0 ? v->window_s / h->period_s : v->window_s;
	struct sparkline line = {
		.width = width,
		.per_cell = (size_t) (samples / (double) width) + 1,
		.first = h->first,
		.max = scale_of(d, past->series),
		.is_ascii = p->is_ascii,
	};

	paint_str(p, row, 0, LABEL, TOP_TITLE, past->label);
	sparkline_add(&p->text, &line, h->n, h->values[past->series]);
	paint(p, row, LABEL, (int) width, past->look);
	past->add_figures(v, d, highest(h, past->series, line.per_cell * width));
	paint(p, row, LABEL + (int) width, figures, 0);
}

static int draw_pasts(struct top_view *v, const struct top_data *d, int row)
{
	for (size_t i = 0; i < ARRAY_LEN(pasts); i++)
		if (v->painter.rows >= pasts[i].from)
			draw_past(v, d, row++, &pasts[i]);
	return row;
}

/* --- sources ----------------------------------------------------------------------- */

enum { JOBS_WIDTH = 10, BAD_WIDTH = 7, BLOCKED_WIDTH = 9, NOW_WIDTH = 10 };

static void put_source(struct top_view *v, int row, int look, const char *const cells[4])
{
	static const int widths[] = { JOBS_WIDTH, BAD_WIDTH, BLOCKED_WIDTH, NOW_WIDTH };
	struct painter *p = &v->painter;
	int x = p->columns;

	for (size_t i = ARRAY_LEN(widths); i-- > 0;) {
		x -= widths[i];
		paint_str(p, row, x, 1, 0, "");
		paint_str(p, row, x + 1, widths[i] - 1, look | PAINT_RIGHT, cells[i]);
	}
}

/* The part of the time since the last answer in which it waited for room. */
static double blocked_part(const struct top_data *d, size_t i)
{
	const json_t *now = json_array_get(member(d, "sources"), i);
	const json_t *before = json_array_get(json_object_get(d->before, "sources"), i);
	double span = json_number_value(member(d, "uptime_seconds")) -
	              json_number_value(json_object_get(d->before, "uptime_seconds"));
	double part = json_number_value(json_object_get(now, "blocked_seconds")) -
	              json_number_value(json_object_get(before, "blocked_seconds"));

	return !before || span <= 0 || part <= 0 ? 0 : part >= span ? 1 : part / span;
}

static void draw_source(struct top_view *v, const struct top_data *d, int row, size_t i)
{
	const json_t *source = json_array_get(member(d, "sources"), i);
	double part = blocked_part(d, i);
	struct painter *p = &v->painter;
	char jobs[24], bad[24], now[24];
	struct buf blocked = { 0 };

	(void) snprintf(jobs, sizeof(jobs), "%llu", count(source, "jobs"));
	(void) snprintf(bad, sizeof(bad), "%llu", count(source, "bad_lines"));
	if (json_is_true(json_object_get(source, "ended")))
		(void) snprintf(now, sizeof(now), "ended");
	else
		(void) snprintf(now, sizeof(now), "%.0f %%", part * 100);
	units_add_duration_rough(&blocked, span_ns(source, "blocked_seconds"));
	buf_add_char(&blocked, '\0');
	put_source(v, row, part > 0.5 ? TOP_WARNING : 0,
	           (const char *const[]) { jobs, bad, blocked.failed ? "" : blocked.data, now });
	buf_done(&blocked);
	add_string(&p->text, source, "name");
	paint(p, row, 0, p->columns - JOBS_WIDTH - BAD_WIDTH - BLOCKED_WIDTH - NOW_WIDTH, 0);
}

/* Into so many rows, with their head. */
static void draw_sources(struct top_view *v, const struct top_data *d, int row, int rows)
{
	size_t n = json_array_size(member(d, "sources"));
	struct painter *p = &v->painter;

	if (rows == 0)
		return;
	buf_printf(&p->text, "SOURCES, %zu", n);
	paint(p, row, 0, p->columns, TOP_TITLE | PAINT_BOLD);
	put_source(v, row, TOP_TITLE, (const char *const[]) { "JOBS", "BAD", "BLOCKED", "NOW" });
	for (int i = 0; i < rows - 1; i++)
		draw_source(v, d, row + 1 + i, (size_t) i);
}

/* --- failures ---------------------------------------------------------------------- */

enum { TIME_WIDTH = 9, REASON_WIDTH = 28, WIDE_REASON = 48 };

static void draw_failure(struct top_view *v, const json_t *record, int row)
{
	struct painter *p = &v->painter;
	const char *at = json_string_value(json_object_get(record, "finished_at"));
	const char *time = at ? strchr(at, 'T') : NULL;
	int width = p->columns < 100 ? REASON_WIDTH : WIDE_REASON;
	struct buf safe = { 0 };

	safe_text_add(&safe, time ? time + 1 : "?");
	buf_add(&p->text, safe.data, safe.len < TIME_WIDTH - 1 ? safe.len : TIME_WIDTH - 1);
	buf_done(&safe);
	paint(p, row, 0, TIME_WIDTH, 0);
	add_string(&p->text, record, "reason");
	paint(p, row, TIME_WIDTH, width, TOP_BAD);
	add_string(&p->text, record, "url");
	paint(p, row, TIME_WIDTH + width + 1, p->columns, 0);
}

static void draw_failures(struct top_view *v, const struct top_data *d, int row, int rows)
{
	struct painter *p = &v->painter;

	if (rows == 0)
		return;
	buf_printf(&p->text, "FAILURES (UTC), %llu dead", count(member(d, "ledger"), "dead"));
	paint(p, row, 0, p->columns, TOP_TITLE | PAINT_BOLD);
	for (int i = 0; i < rows - 1; i++)
		draw_failure(v, json_array_get(d->failures, (size_t) i), row + 1 + i);
}

/* --- the foot ---------------------------------------------------------------------- */

static void draw_message(struct top_view *v, const struct top_data *d, int row)
{
	struct painter *p = &v->painter;
	int look = PAINT_BOLD;

	if (v->question) {
		buf_add_str(&p->text, v->question);
		look |= TOP_WARNING;
	} else if (v->hint) {
		buf_add_str(&p->text, v->hint);
	} else if (d->message.len > 0 && !d->message.failed) {
		buf_add(&p->text, d->message.data, d->message.len);
	} else if (d->is_odd) {
		buf_add_str(&p->text, "an answer is not understood; is it penstockd's socket?");
		look |= TOP_BAD;
	} else if (add_trouble(&p->text, d)) {
		look |= TOP_BAD;
	} else {
		top_view_add_selected(v, d, &p->text);
		look = 0;
	}
	paint(p, row, 0, p->columns, look);
}

static void draw_keys(struct top_view *v, int row)
{
	struct painter *p = &v->painter;

	buf_printf(&p->text, "q quit  h help  s sort: %s  w last %u m  %s select  p pause  r resume",
	           lane_orders[v->order].name, v->window_s / 60, p->is_ascii ? "j k" : "↑ ↓");
	paint(p, row, 0, p->columns, PAINT_REVERSED);
}

/* --- help -------------------------------------------------------------------------- */

static void draw_help(struct top_view *v)
{
	static const char *const lines[] = {
		"Keys of penstock top",
		"",
		"  q, Ctrl-C      quit; the daemon runs on",
		"  s, S           sort lanes by depth, wait, rate, state; and backwards",
		"  w              show 1, 2, 5 or 10 minutes of the past",
		"  arrows, j, k   select a lane; Page Up, Page Down, Home and End as well",
		"  Esc            select none",
		"  p, r           pause, resume the selected lane",
		"  P, R           pause (asks first), resume everything",
		"  D              drain (asks first): take no more jobs, work off what is there",
		"  Ctrl-L         draw all anew",
		"",
		"Under NOW is how much of the last moment a source waited for room.",
		"A lane's state is what is in the way of its next fetch: see penstock(1).",
		"",
		"Any key goes back.",
	};

	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		paint_str(&v->painter, (int) i, 0, v->painter.columns,
		          i == 0 ? TOP_TITLE | PAINT_BOLD : 0, lines[i]);
}

/* --- the whole --------------------------------------------------------------------- */

/* Rows of a part that has so many things to show, and a head: no more than 'least', unless there
 * are rows to spare. */
static int share(size_t n, int least, int *spare)
{
	int rows = (int) n < least ? (int) n : least;
	int more = (int) n - rows < *spare ? (int) n - rows : *spare;

	if (n == 0 || least == 0)
		return 0;
	more = more > 0 ? more : 0;
	*spare -= more;
	return 1 + rows + more;
}

/* What is below the past: the lanes have what the others leave. */
static void draw_lists(struct top_view *v, const struct top_data *d, int row, int end)
{
	int few = v->painter.rows < 15 ? 0 : v->painter.rows < 20 ? 1 : 2;
	int none = v->painter.rows < 20 ? 0 : few; /* of what is left out first */
	size_t n_sources = json_array_size(member(d, "sources"));
	size_t n_failures = json_array_size(d->failures);
	int spare = end - row - 1 - (int) d->n_lanes - (few > 0 ? 2 * few + 2 : 0);

	int sources = share(n_sources, few, &spare);
	int failures = share(n_failures, none, &spare);
	draw_sources(v, d, row, sources);
	top_view_draw_lanes(v, d, row + sources, end - failures);
	draw_failures(v, d, end - failures, failures);
}

static void draw_page(struct top_view *v, const struct top_data *d, uint64_t now_ns)
{
	int rows = v->painter.rows, row = 0;

	draw_title(v, d, row++, now_ns);
	draw_jobs(v, d, row++);
	draw_reasons(v, d, row++);
	draw_workers(v, d, row++);
	if (rows >= 30) {
		draw_backlog(v, d, row++);
		draw_fetches(v, d, row++);
	}
	draw_lists(v, d, draw_pasts(v, d, row), rows - 2);
	draw_message(v, d, rows - 2);
	draw_keys(v, rows - 1);
}

void top_view_draw(struct top_view *v, const struct top_data *d, uint64_t now_ns)
{
	struct painter *p = &v->painter;

	getmaxyx(stdscr, p->rows, p->columns);
	p->is_grey = d->error != 0;
	(void) erase();
	if (p->rows < MIN_ROWS || p->columns < MIN_COLUMNS) {
		paint_str(p, 0, 0, p->columns, 0, "terminal too small");
		buf_printf(&p->text, "%dx%d needed", MIN_COLUMNS, MIN_ROWS);
		paint(p, 1, 0, p->columns, 0);
	} else if (v->shows_help) {
		draw_help(v);
	} else {
		draw_page(v, d, now_ns);
	}
	(void) refresh();
}
