/* SPDX-License-Identifier: Apache-2.0 */
#include "control/exposition.h"

#include <string.h>

static const struct {
	const char *text, *openmetrics; /* the type in either format */
	const char *suffix;             /* of its samples */
} types[] = {
	[METRIC_GAUGE] = { "gauge", "gauge", "" },
	[METRIC_COUNTER] = { "counter", "counter", "_total" },
	[METRIC_INFO] = { "gauge", "info", "_info" },
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

static void add_label(struct buf *b, const char *label, const char *value)
{
	buf_printf(b, "{%s=\"", label);
	for (const char *p = value; *p != '\0'; p++) {
		if (*p == '\n') {
			buf_add_str(b, "\\n");
			continue;
		}
		if (*p == '\\' || *p == '"')
			buf_add_char(b, '\\');
		buf_add_char(b, *p);
	}
	buf_add_str(b, "\"}");
}

static void add_row(struct exposition *x, const struct metric_row *row)
{
	if (!x->name || strcmp(x->name, row->name) != 0)
		add_header(x, row);
	x->name = row->name;

	buf_add_str(x->out, row->name);
	buf_add_str(x->out, types[row->type].suffix);
	if (row->label)
		add_label(x->out, row->label, row->label_value);
	buf_add_char(x->out, ' ');
	if (row->is_us)
		buf_add_seconds(x->out, row->value);
	else
		buf_add_u64(x->out, row->value);
	buf_add_char(x->out, '\n');
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
