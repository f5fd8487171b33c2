/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/sparkline.h"

enum { LEVELS = 8 };

static const char *const blocks[LEVELS] = { "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" };
static const char *const ascii[LEVELS] = { "_", ".", ":", "-", "=", "+", "*", "#" };

/* The mean of the samples with numbers of from to to-1, -1 if none of them is known. */
static double mean(const struct sparkline *s, size_t n, const double samples[], uint64_t from,
                   uint64_t to)
{
	uint64_t end = s->first + n;
	double sum = 0;
	size_t known = 0;

	for (uint64_t i = from > s->first ? from : s->first; i < to && i < end; i++) {
		bool is_known = samples[i - s->first] >= 0;
		sum += is_known ? samples[i - s->first] : 0;
		known += is_known;
	}
	return known > 0 ? sum / (double) known : -1;
}

/* The mean in a cell, which are counted from the right. */
static double cell(const struct sparkline *s, size_t n, const double samples[], size_t at)
{
	uint64_t last = (s->first + n - 1) / s->per_cell;

	if (n == 0 || at > last)
		return -1;
	uint64_t from = (last - at) * s->per_cell;
	return mean(s, n, samples, from, from + s->per_cell);
}

static size_t level(double value, double max)
{
	if (value <= 0 || max <= 0)
		return 0;
	double part = value < max ? value / max : 1;
	return 1 + (size_t) (part * (LEVELS - 2) + 0.5);
}

void sparkline_add(struct buf *b, const struct sparkline *s, size_t n, const double samples[])
{
	double highest = 0;

	for (size_t at = 0; at < s->width; at++) {
		double value = cell(s, n, samples, at);
		highest = value > highest ? value : highest;
	}
	for (size_t at = s->width; at-- > 0;) {
		double value = cell(s, n, samples, at);
		size_t height = level(value, s->max > 0 ? s->max : highest);
		buf_add_str(b, value < 0 ? " " : s->is_ascii ? ascii[height] : blocks[height]);
	}
}
