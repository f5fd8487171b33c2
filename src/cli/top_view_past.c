/* SPDX-License-Identifier: Apache-2.0 */
/* The last minutes on the screen of penstock top. */
#include "cli/top_view.h"

#include "base/sync.h"
#include "base/units.h"
#include "cli/sparkline.h"
#include "cli/top_member.h"

enum { FIGURES = 28, FEW_FIGURES = 18 }; /* columns behind a sparkline */

typedef unsigned long long ull; /* for %llu */

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
	return top_count(queue, "jobs") >= top_count(queue, "capacity_jobs") ||
	       top_count(queue, "bytes") >= top_count(queue, "capacity_bytes");
}

static void add_full(struct top_view *v, const struct top_data *d, double max)
{
	const json_t *queue = top_member(d, "queue");

	(void) max;
	buf_printf(&v->painter.text, " %llu of %llu%s", top_count(queue, "jobs"),
	           top_count(queue, "capacity_jobs"), is_full(queue) ? ", full" : "");
}

static void add_running(struct top_view *v, const struct top_data *d, double max)
{
	(void) max;
	buf_printf(&v->painter.text, " %llu; %llu workers", top_count(top_member(d, "ledger"), "running"),
	           top_count(top_member(d, "workers"), "wanted"));
}

static void add_waiting(struct top_view *v, const struct top_data *d, double max)
{
	buf_printf(&v->painter.text, " %llu, max %.0f",
	           top_count(top_member(d, "ledger"), "waiting"), max);
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
	return series == TOP_QUEUE_JOBS ? (double) top_count(top_member(d, "queue"), "capacity_jobs")
	       : series == TOP_RUNNING  ? (double) top_count(top_member(d, "workers"), "wanted")
	                                : 0;
}

static void draw_past(struct top_view *v, const struct top_data *d, int row,
                      const struct past *past)
{
	struct painter *p = &v->painter;
	const struct top_history *h = &d->history;
	int figures = p->columns < 70 ? FEW_FIGURES : FIGURES;
	size_t width = (size_t) (p->columns - TOP_LABEL - figures);
	double samples = h->period_s > 0 ? v->window_s / h->period_s : v->window_s;
	struct sparkline line = {
		.width = width,
		.per_cell = (size_t) (samples / (double) width) + 1,
		.first = h->first,
		.max = scale_of(d, past->series),
		.is_ascii = p->is_ascii,
	};

	paint_str(p, row, 0, TOP_LABEL, TOP_TITLE, past->label);
	sparkline_add(&p->text, &line, h->n, h->values[past->series]);
	paint(p, row, TOP_LABEL, (int) width, past->look);
	past->add_figures(v, d, highest(h, past->series, line.per_cell * width));
	paint(p, row, TOP_LABEL + (int) width, figures, 0);
}

int top_view_draw_past(struct top_view *v, const struct top_data *d, int row)
{
	for (size_t i = 0; i < ARRAY_LEN(pasts); i++)
		if (v->painter.rows >= pasts[i].from)
			draw_past(v, d, row++, &pasts[i]);
	return row;
}
