/* SPDX-License-Identifier: Apache-2.0 */
/* The screen of penstock top: what is known of a daemon, as far as there is room for it. */
#ifndef PENSTOCK_CLI_TOP_VIEW_H
#define PENSTOCK_CLI_TOP_VIEW_H

#include "base/attr.h"
#include "cli/top_ask.h"
#include "cli/top_paint.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TOP_LABEL = 10 }; /* columns in front of the lines above the lists */

/* What the person has chosen to see. */
struct top_view {
	struct painter painter;
	const char *socket;
	size_t order;      /* of lane_orders[] */
	unsigned window_s; /* the past that is shown */
	bool shows_help;
	const char *question; /* waits for y; NULL: none */
	const char *hint;     /* what came of the last key; NULL: nothing */

	char *selected; /* the lane's origin, owned; NULL: none is */
	size_t at;      /* where it is in the list, or was */
	size_t from;    /* the first lane that is seen */
	size_t n_seen;  /* how many are, at most; set when it is drawn */
};

NONNULL(1) void top_view_done(struct top_view *v);

/* Selects the lane at this place in the list, or near it.  Returns 0 or -ENOMEM. */
NODISCARD NONNULL(1, 2)
int top_view_select(struct top_view *v, const struct top_data *d, size_t at);

NONNULL(1) void top_view_unselect(struct top_view *v);

/* Draws all of it. */
NONNULL(1, 2) void top_view_draw(struct top_view *v, const struct top_data *d, uint64_t now_ns);

/* Draws the figures of this moment, and the past, from 'row' on.  Return the row below. */
NONNULL(1, 2)
int top_view_draw_head(struct top_view *v, const struct top_data *d, int row, uint64_t now_ns);
NONNULL(1, 2) int top_view_draw_past(struct top_view *v, const struct top_data *d, int row);

/* Appends what a person must look after.  Returns whether there is anything. */
NONNULL(1, 2) bool top_view_add_trouble(struct buf *b, const struct top_data *d);

/* Draw into so many rows, with their head; 0: nothing. */
NONNULL(1, 2)
void top_view_draw_sources(struct top_view *v, const struct top_data *d, int row, int rows);
NONNULL(1, 2)
void top_view_draw_failures(struct top_view *v, const struct top_data *d, int row, int rows);

/* Draws the lanes into the rows from 'row' to 'end' - 1, the first being their head. */
NONNULL(1, 2)
void top_view_draw_lanes(struct top_view *v, const struct top_data *d, int row, int end);

/* Appends what there is to say of the lane that is selected; nothing if none is. */
NONNULL(1, 2, 3)
void top_view_add_selected(const struct top_view *v, const struct top_data *d, struct buf *b);

#endif
