/* SPDX-License-Identifier: Apache-2.0 */
/* The lanes in an answer of /v1/lanes: their orders, and their cells in a table for people. */
#ifndef PENSTOCK_CLI_LANE_TEXT_H
#define PENSTOCK_CLI_LANE_TEXT_H

#include "base/attr.h"
#include "base/buf.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* The most that the daemon lists. */
enum { LANE_MAX_LIMIT = 1000 };

/* For qsort() of an array of json_t *. */
typedef int lane_order(const void *a, const void *b);

/* By depth is how the daemon itself lists them. */
enum { LANE_BY_DEPTH, LANE_BY_WAIT, LANE_BY_RATE, LANE_BY_STATE, LANE_ORDERS };

extern const struct lane_order_name {
	const char *name;
	lane_order *order;
} lane_orders[LANE_ORDERS];

enum lane_column {
	LANE_ORIGIN,
	LANE_JOBS,
	LANE_WAITING,
	LANE_QUEUED,
	LANE_RUNNING,
	LANE_OLDEST,
	LANE_RATE,
	LANE_STATE,
	LANE_COLUMNS
};

extern const struct lane_column_head {
	const char *head;
	bool is_text; /* to the left */
} lane_columns[LANE_COLUMNS];

/* Appends the cell.  Members that are missing are empty or -1; text is safe for a terminal. */
NONNULL(1) void lane_text_add(struct buf *b, const json_t *lane, enum lane_column column);

#endif
