/* SPDX-License-Identifier: Apache-2.0 */
/* The sources and the failures on the screen of penstock top. */
#include "cli/top_view.h"

#include "base/sync.h"
#include "base/units.h"
#include "cli/safe_text.h"
#include "cli/top_member.h"

#include <stdio.h>
#include <string.h>

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
	const json_t *now = json_array_get(top_member(d, "sources"), i);
	const json_t *before = json_array_get(json_object_get(d->before, "sources"), i);
	double span = json_number_value(top_member(d, "uptime_seconds")) -
	              json_number_value(json_object_get(d->before, "uptime_seconds"));
	double part = json_number_value(json_object_get(now, "blocked_seconds")) -
	              json_number_value(json_object_get(before, "blocked_seconds"));

	return !before || span <= 0 || part <= 0 ? 0 : part >= span ? 1 : part / span;
}

static void draw_source(struct top_view *v, const struct top_data *d, int row, size_t i)
{
	const json_t *source = json_array_get(top_member(d, "sources"), i);
	double part = blocked_part(d, i);
	struct painter *p = &v->painter;
	char jobs[24], bad[24], now[24];
	struct buf blocked = { 0 };

	(void) snprintf(jobs, sizeof(jobs), "%llu", top_count(source, "jobs"));
	(void) snprintf(bad, sizeof(bad), "%llu", top_count(source, "bad_lines"));
	if (json_is_true(json_object_get(source, "ended")))
		(void) snprintf(now, sizeof(now), "ended");
	else
		(void) snprintf(now, sizeof(now), "%.0f %%", part * 100);
	units_add_duration_rough(&blocked, top_span_ns(source, "blocked_seconds"));
	buf_add_char(&blocked, '\0');
	put_source(v, row, part > 0.5 ? TOP_WARNING : 0,
	           (const char *const[]) { jobs, bad, blocked.failed ? "" : blocked.data, now });
	buf_done(&blocked);
	top_add_string(&p->text, source, "name");
	paint(p, row, 0, p->columns - JOBS_WIDTH - BAD_WIDTH - BLOCKED_WIDTH - NOW_WIDTH, 0);
}

void top_view_draw_sources(struct top_view *v, const struct top_data *d, int row, int rows)
{
	size_t n = json_array_size(top_member(d, "sources"));
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
	top_add_string(&p->text, record, "reason");
	paint(p, row, TIME_WIDTH, width, TOP_BAD);
	top_add_string(&p->text, record, "url");
	paint(p, row, TIME_WIDTH + width + 1, p->columns, 0);
}

void top_view_draw_failures(struct top_view *v, const struct top_data *d, int row, int rows)
{
	struct painter *p = &v->painter;

	if (rows == 0)
		return;
	buf_printf(&p->text, "FAILURES (UTC), %llu dead", top_count(top_member(d, "ledger"), "dead"));
	paint(p, row, 0, p->columns, TOP_TITLE | PAINT_BOLD);
	for (int i = 0; i < rows - 1; i++)
		draw_failure(v, json_array_get(d->failures, (size_t) i), row + 1 + i);
}
