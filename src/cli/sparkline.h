/* SPDX-License-Identifier: Apache-2.0 */
/* A row of values as a row of bars, one character high. */
#ifndef PENSTOCK_CLI_SPARKLINE_H
#define PENSTOCK_CLI_SPARKLINE_H

#include "base/attr.h"
#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sparkline {
	size_t width;      /* cells */
	size_t per_cell;   /* samples a cell, at least 1 */
	uint64_t first;    /* the number of the first sample: cells begin at multiples of per_cell, so
	                      that a bar keeps its height while it moves to the left */
	double max;        /* what a full bar stands for; 0: the highest of the bars */
	bool is_ascii;     /* "_.:-=+*#" instead of U+2581 to U+2588 */
};

/*
 * Appends 'width' characters: the means of the newest of the 'n' samples, to the right; blanks
 * where there are none, or only negative ones, which are not known.  A bar of 0 is the lowest,
 * and what is not 0 is higher.
 */
NONNULL(1, 2, 4)
void sparkline_add(struct buf *b, const struct sparkline *s, size_t n, const double samples[]);

#endif
