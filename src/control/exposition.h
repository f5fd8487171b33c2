/* SPDX-License-Identifier: Apache-2.0 */
/* The two text formats of metrics, written from rows. */
#ifndef PENSTOCK_CONTROL_EXPOSITION_H
#define PENSTOCK_CONTROL_EXPOSITION_H

#include "base/attr.h"
#include "base/buf.h"
#include "control/metrics.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum metric_type { METRIC_GAUGE, METRIC_COUNTER, METRIC_INFO };

/* One sample.  Rows of one metric follow each other; the first has its type and help. */
struct metric_row {
	const char *name; /* without "_total" or "_info", which follow from the type */
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

/* To be called after the last row. */
NONNULL(1) void exposition_end(struct exposition *x);

#endif
