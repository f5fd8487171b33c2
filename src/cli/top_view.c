/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/top_view.h"

#include "base/sync.h"
#include "cli/top_member.h"

#include <curses.h>

enum { MIN_ROWS = 12, MIN_COLUMNS = 40 }; /* of a screen */

void top_view_done(struct top_view *v)
{
	top_view_unselect(v);
	buf_done(&v->painter.text);
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
	} else if (d->problem.len > 0 && !d->problem.failed) {
		buf_add(&p->text, d->problem.data, d->problem.len);
		look |= TOP_BAD;
	} else if (top_view_add_trouble(&p->text, d)) {
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
	size_t n_sources = json_array_size(top_member(d, "sources"));
	size_t n_failures = json_array_size(d->failures);
	int spare = end - row - 1 - (int) d->n_lanes - (few > 0 ? 2 * few + 2 : 0);

	int sources = share(n_sources, few, &spare);
	int failures = share(n_failures, none, &spare);
	top_view_draw_sources(v, d, row, sources);
	top_view_draw_lanes(v, d, row + sources, end - failures);
	top_view_draw_failures(v, d, end - failures, failures);
}

static void draw_page(struct top_view *v, const struct top_data *d, uint64_t now_ns)
{
	int rows = v->painter.rows;

	int row = top_view_draw_head(v, d, 0, now_ns);
	row = top_view_draw_past(v, d, row);
	draw_lists(v, d, row, rows - 2);
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
