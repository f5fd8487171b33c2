/* SPDX-License-Identifier: Apache-2.0 */
/* The lanes on the screen of penstock top, and which of them is selected. */
#include "cli/top_view.h"

#include "base/sync.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { GAP = 1, MIN_ORIGIN = 16 };

/* Columns behind the origin, which has what they leave; 'from': on screens of so many columns. */
static const struct {
	enum lane_column column;
	int width, wide; /* wide: from WIDE columns on */
	int from;
	size_t order; /* it is sorted by, LANE_ORDERS: never */
} layout[] = {
	{ LANE_JOBS, 8, 8, 0, LANE_BY_DEPTH },    { LANE_WAITING, 8, 8, 100, LANE_ORDERS },
	{ LANE_QUEUED, 7, 7, 100, LANE_ORDERS },  { LANE_RUNNING, 7, 9, 50, LANE_ORDERS },
	{ LANE_OLDEST, 7, 8, 64, LANE_BY_WAIT },  { LANE_RATE, 7, 9, 76, LANE_BY_RATE },
	{ LANE_STATE, 16, 28, 0, LANE_BY_STATE },
};

enum { WIDE = 100 };

static int width_of(const struct painter *p, size_t i)
{
	return p->columns < layout[i].from ? 0 : p->columns < WIDE ? layout[i].width : layout[i].wide;
}

static int origin_width(const struct painter *p)
{
	int width = p->columns;

	for (size_t i = 0; i < ARRAY_LEN(layout); i++)
		width -= width_of(p, i) > 0 ? width_of(p, i) + GAP : 0;
	return width;
}

/* --- the table --------------------------------------------------------------------- */

static void draw_head(struct top_view *v, const struct top_data *d, int row)
{
	struct painter *p = &v->painter;
	int x = origin_width(p);

	buf_printf(&p->text, "LANES, %zu", d->all_lanes);
	paint(p, row, 0, x, TOP_TITLE | PAINT_BOLD);
	for (size_t i = 0; i < ARRAY_LEN(layout); i++) {
		const struct lane_column_head *head = &lane_columns[layout[i].column];
		int width = width_of(p, i);
		int look = layout[i].order == v->order ? PAINT_BOLD | PAINT_UNDERLINED : 0;
		if (width == 0)
			continue;
		paint_str(p, row, x, GAP, 0, "");
		paint_str(p, row, x + GAP, width, TOP_TITLE, "");
		int n = (int) strlen(head->head);
		paint_str(p, row, head->is_text || n > width ? x + GAP : x + GAP + width - n,
		          n < width ? n : width, TOP_TITLE | look, head->head);
		x += GAP + width;
	}
}

static int look_of(const json_t *lane)
{
	const char *state = json_string_value(json_object_get(lane, "state"));

	if (!state)
		return TOP_PLAIN;
	return strcmp(state, "breaker") == 0                                           ? TOP_BAD
	       : strcmp(state, "paused") == 0 || strcmp(state, "retry_after") == 0 ? TOP_WARNING
	                                                                               : TOP_PLAIN;
}

static void draw_lane(struct top_view *v, const json_t *lane, int row, int look)
{
	struct painter *p = &v->painter;
	int x = origin_width(p);

	paint_str(p, row, 0, p->columns, look, "");
	lane_text_add(&p->text, lane, LANE_ORIGIN);
	paint(p, row, 0, x, look);
	for (size_t i = 0; i < ARRAY_LEN(layout); i++) {
		bool is_text = lane_columns[layout[i].column].is_text;
		int width = width_of(p, i);
		if (width == 0)
			continue;
		lane_text_add(&p->text, lane, layout[i].column);
		paint(p, row, x + GAP, width, look | (is_text ? 0 : PAINT_RIGHT) |
		                              (layout[i].column == LANE_STATE ? look_of(lane) : 0));
		x += GAP + width;
	}
}

/* Moves what is seen, so that what is selected is in it. */
static void scroll_to(struct top_view *v, size_t n, size_t rows)
{
	if (v->selected && v->at < v->from)
		v->from = v->at;
	if (v->selected && v->at >= v->from + rows)
		v->from = v->at + 1 - rows;
	if (v->from + rows > n)
		v->from = n > rows ? n - rows : 0;
}

static const char *origin_of(const json_t *lane)
{
	const char *origin = json_string_value(json_object_get(lane, "origin"));
	return origin ? origin : "";
}

/* The lane that is selected, wherever it is by now; NULL if none is, or it is not there. */
static const json_t *find_selected(const struct top_view *v, const struct top_data *d, size_t *ret)
{
	for (size_t i = 0; v->selected && i < d->n_lanes; i++) {
		if (strcmp(origin_of(d->lanes[i]), v->selected) == 0) {
			*ret = i;
			return d->lanes[i];
		}
	}
	return NULL;
}

void top_view_draw_lanes(struct top_view *v, const struct top_data *d, int row, int end)
{
	size_t rows = end > row + 1 ? (size_t) (end - row - 1) : 1;
	const json_t *selected = find_selected(v, d, &v->at);

	v->n_seen = rows;
	scroll_to(v, d->n_lanes, rows);
	draw_head(v, d, row);
	for (size_t i = v->from; i < d->n_lanes && row + 1 < end; i++)
		draw_lane(v, d->lanes[i], ++row, d->lanes[i] == selected ? PAINT_REVERSED : 0);
	if (d->n_lanes == 0)
		paint_str(&v->painter, row + 1, 0, v->painter.columns, 0,
		          d->lanes ? "no origin has jobs, or was asked lately" : "");
}

/* --- the selection ----------------------------------------------------------------- */

void top_view_add_selected(const struct top_view *v, const struct top_data *d, struct buf *b)
{
	static const struct {
		enum lane_column column;
		const char *before, *after;
	} parts[] = {
		{ LANE_ORIGIN, "", ": " },         { LANE_WAITING, "", " waiting, " },
		{ LANE_QUEUED, "", " queued, " },  { LANE_RUNNING, "", " running; " },
		{ LANE_STATE, "", "" },            { LANE_RATE, "; rate ", "" },
		{ LANE_OLDEST, "; oldest ", "" },
	};
	size_t at = 0;
	const json_t *lane = find_selected(v, d, &at);

	for (size_t i = 0; lane && i < ARRAY_LEN(parts); i++) {
		buf_add_str(b, parts[i].before);
		lane_text_add(b, lane, parts[i].column);
		buf_add_str(b, parts[i].after);
	}
}

void top_view_unselect(struct top_view *v)
{
	free(v->selected);
	v->selected = NULL;
}

int top_view_select(struct top_view *v, const struct top_data *d, size_t at)
{
	if (d->n_lanes == 0)
		return 0;
	at = at < d->n_lanes ? at : d->n_lanes - 1;
	char *origin = strdup(origin_of(d->lanes[at]));
	if (!origin)
		return -ENOMEM;
	top_view_unselect(v);
	v->selected = origin;
	v->at = at;
	return 0;
}
