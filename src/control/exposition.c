/* SPDX-License-Identifier: Apache-2.0 */
#include "control/exposition.h"

#include "base/clock.h"

#include <inttypes.h>
#include <string.h>

static const struct {
	const char *text, *openmetrics; /* the type in either format */
	const char *suffix;             /* of its samples */
} types[] = {
	[METRIC_GAUGE] = { "gauge", "gauge", "" },
	[METRIC_COUNTER] = { "counter", "counter", "_total" },
	[METRIC_INFO] = { "gauge", "info", "_info" },
	[METRIC_HISTOGRAM] = { "histogram", "histogram", "" },
};

/* The text format knows a metric by the name of its samples, OpenMetrics without the suffix. */
static void add_header(struct exposition *x, const struct metric_row *row)
{
	bool text = x->format == METRICS_TEXT;
	const char *suffix = text ? types[row->type].suffix : "";

	buf_printf(x->out, "# HELP %s%s %s\n", row->name, suffix, row->help);
	buf_printf(x->out, "# TYPE %s%s %s\n", row->name, suffix,
	           text ? types[row->type].text : types[row->type].openmetrics);
}

/* What a name ends in; NULL: it has no unit. */
static const char *unit_of(const char *name)
{
	static const char *const units[] = { "seconds", "bytes" };
	const char *last = strrchr(name, '_');

	for (size_t i = 0; last && i < ARRAY_LEN(units); i++)
		if (strcmp(last + 1, units[i]) == 0)
			return units[i];
	return NULL;
}

static void begin_metric(struct exposition *x, const struct metric_row *row)
{
	const char *unit = x->format == METRICS_OPENMETRICS ? unit_of(row->name) : NULL;

	if (x->name && strcmp(x->name, row->name) == 0)
		return;
	x->name = row->name;
	add_header(x, row);
	if (unit)
		buf_printf(x->out, "# UNIT %s %s\n", row->name, unit);
}

static void add_escaped(struct buf *b, const char *value)
{
	for (const char *p = value; *p != '\0'; p++) {
		if (*p == '\n') {
			buf_add_str(b, "\\n");
			continue;
		}
		if (*p == '\\' || *p == '"')
			buf_add_char(b, '\\');
		buf_add_char(b, *p);
	}
}

/* The row's own label, and 'le' if that is not NULL. */
static void add_labels(struct buf *b, const struct metric_row *row, const char *le)
{
	if (!row->label && !le)
		return;
	buf_add_char(b, '{');
	if (row->label) {
		buf_printf(b, "%s=\"", row->label);
		add_escaped(b, row->label_value);
		buf_add_char(b, '"');
	}
	if (le)
		buf_printf(b, "%sle=\"%s\"", row->label ? "," : "", le);
	buf_add_char(b, '}');
}

static void add_row(struct exposition *x, const struct metric_row *row)
{
	begin_metric(x, row);
	buf_add_str(x->out, row->name);
	buf_add_str(x->out, types[row->type].suffix);
	add_labels(x->out, row, NULL);
	buf_add_char(x->out, ' ');
	if (row->is_us)
		buf_add_seconds(x->out, row->value);
	else
		buf_add_u64(x->out, row->value);
	buf_add_char(x->out, '\n');
}

static void begin_sample(struct exposition *x, const struct metric_row *row, const char *suffix,
                         const char *le)
{
	buf_add_str(x->out, row->name);
	buf_add_str(x->out, suffix);
	add_labels(x->out, row, le);
	buf_add_char(x->out, ' ');
}

void exposition_add_histogram(struct exposition *x, const struct metric_row *row,
                              const struct histogram_figures *figures)
{
	uint64_t n = 0;

	begin_metric(x, row);
	for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
		n += figures->counts[i];
		begin_sample(x, row, "_bucket",
		             i < HISTOGRAM_BOUNDS ? histogram_bounds[i].seconds : "+Inf");
		buf_printf(x->out, "%" PRIu64 "\n", n);
	}
	begin_sample(x, row, "_sum", NULL);
	buf_add_seconds(x->out, figures->sum_ns / NS_PER_US);
	buf_add_char(x->out, '\n');
	begin_sample(x, row, "_count", NULL);
	buf_printf(x->out, "%" PRIu64 "\n", n);
}

void exposition_add(struct exposition *x, const struct metric_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		add_row(x, &rows[i]);
}

void exposition_end(struct exposition *x)
{
	if (x->format == METRICS_OPENMETRICS)
		buf_add_str(x->out, "# EOF\n");
}
