/* SPDX-License-Identifier: Apache-2.0 */
/* The two text formats of metrics, written from rows. */
#ifndef PENSTOCK_CONTROL_EXPOSITION_H
#define PENSTOCK_CONTROL_EXPOSITION_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/histogram.h"
#include "control/metrics.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GAUGE(name, help, value)   { name, METRIC_GAUGE, help, NULL, NULL, value, false }
#define COUNTER(name, help, value) { name, METRIC_COUNTER, help, NULL, NULL, value, false }
#define SECONDS(name, help, ns)    { name, METRIC_COUNTER, help, NULL, NULL, (ns) / NS_PER_US, true }

enum metric_type { METRIC_GAUGE, METRIC_COUNTER, METRIC_INFO, METRIC_HISTOGRAM };

/* One sample.  Rows of one metric follow each other; the first has its type and help. */
struct metric_row {
	const char *name; /* without "_total" or "_info", which follow from the type; ends in its
	                   * unit, "_seconds" or "_bytes", if it has one */
	enum metric_type type;
	const char *help;        /* no backslash, quote or line break */
	const char *label;       /* NULL: none */
	const char *label_value; /* UTF-8 */
	uint64_t value;
	bool is_us; /* the value is in microseconds, to be written in seconds */
};

struct exposition {
	struct buf *out;
	enum metrics_format format;
	const char *name; /* of the row before */
};

NONNULL(1, 2)
void exposition_add(struct exposition *x, const struct metric_row *rows, size_t n);

/* Adds what rows of METRIC_HISTOGRAM are: durations, in seconds.  The row has no value. */
NONNULL(1, 2, 3)
void exposition_add_histogram(struct exposition *x, const struct metric_row *row,
                              const struct histogram_figures *figures);

/* To be called after the last row. */
NONNULL(1) void exposition_end(struct exposition *x);

#endif
