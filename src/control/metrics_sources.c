/* SPDX-License-Identifier: Apache-2.0 */
#include "control/metrics_parts.h"

#include "base/clock.h"
#include "control/text.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* The counters of all sources of one name: several schedules share theirs, and a series
 * may not come twice. */
struct source_sum {
	json_t *label; /* owned; the name, as UTF-8 */
	uint64_t jobs, bad_lines, bytes_read, blocked_us;
	uint64_t read_us;                   /* when the last of them has read; 0: none has */
	bool has_lag[SOURCE_LAG_DUE + 1];
	uint64_t lag[SOURCE_LAG_DUE + 1];   /* bytes, files; microseconds overdue */
};

struct source_sums {
	struct source_sum *items; /* owned */
	size_t n;
	bool failed; /* there was no memory for all */
};

static struct source_sum *find_sum(struct source_sums *sums, const char *name)
{
	json_t *label = text_json(name);

	for (size_t i = 0; label && i < sums->n; i++) {
		if (json_equal(sums->items[i].label, label)) {
			json_decref(label);
			return &sums->items[i];
		}
	}
	struct source_sum *grown =
		label ? reallocarray(sums->items, sums->n + 1, sizeof(*grown)) : NULL;
	if (!grown) {
		json_decref(label);
		return NULL;
	}
	sums->items = grown;
	grown[sums->n] = (struct source_sum) { .label = label };
	return &grown[sums->n++];
}

static void sum_lag(struct source_sum *sum, const struct source_stats *stats)
{
	uint64_t *lag = &sum->lag[stats->lag_of], now_ns = clock_now_ns();
	uint64_t late_us = now_ns > stats->lag ? (now_ns - stats->lag) / NS_PER_US : 0;

	sum->has_lag[stats->lag_of] = true;
	if (stats->lag_of != SOURCE_LAG_DUE)
		*lag += stats->lag;
	else if (late_us > *lag)
		*lag = late_us;
}

static void sum_source(void *arg, const struct intake_source *source)
{
	struct source_sums *sums = arg;
	struct source_sum *sum = find_sum(sums, source->name);

	if (!sum) {
		sums->failed = true;
		return;
	}
	sum->jobs += source->stats.jobs;
	sum->bad_lines += source->stats.bad_lines;
	sum->bytes_read += source->stats.bytes_read;
	sum->blocked_us += source->blocked_ns / NS_PER_US;
	if ((uint64_t) source->read_wall_us > sum->read_us)
		sum->read_us = (uint64_t) source->read_wall_us;
	if (!source->ended)
		sum_lag(sum, &source->stats);
}

static const struct source_metric {
	struct metric_row row;      /* without a value */
	size_t member;              /* the offset of that in source_sum */
	enum source_lag lag_of;     /* only of those that have it; SOURCE_LAG_NONE: of all */
} source_metrics[] = {
	{ { "penstock_source_jobs", METRIC_COUNTER, "Jobs that a source has read.", "source", NULL, 0,
	    false },
	  offsetof(struct source_sum, jobs), SOURCE_LAG_NONE },
	{ { "penstock_source_bad_lines", METRIC_COUNTER, "Lines of a source that were no jobs.",
	    "source", NULL, 0, false },
	  offsetof(struct source_sum, bad_lines), SOURCE_LAG_NONE },
	{ { "penstock_source_read_bytes", METRIC_COUNTER, "Bytes read from a source.", "source", NULL,
	    0, false },
	  offsetof(struct source_sum, bytes_read), SOURCE_LAG_NONE },
	{ { "penstock_source_blocked_seconds", METRIC_COUNTER,
	    "Time that a source waited for room in the backlog.", "source", NULL, 0, true },
	  offsetof(struct source_sum, blocked_us), SOURCE_LAG_NONE },
	{ { "penstock_source_lag_bytes", METRIC_GAUGE,
	    "What a file had more than was read of it, when it was last read.", "source", NULL, 0,
	    false },
	  offsetof(struct source_sum, lag[SOURCE_LAG_BYTES]), SOURCE_LAG_BYTES },
	{ { "penstock_source_lag_files", METRIC_GAUGE,
	    "Files of a directory that wait or are being read, when it was last looked at.", "source",
	    NULL, 0, false },
	  offsetof(struct source_sum, lag[SOURCE_LAG_FILES]), SOURCE_LAG_FILES },
	{ { "penstock_source_overdue_seconds", METRIC_GAUGE,
	    "For how long the round of a schedule has been due.", "source", NULL, 0, true },
	  offsetof(struct source_sum, lag[SOURCE_LAG_DUE]), SOURCE_LAG_DUE },
	{ { "penstock_source_last_read_timestamp_seconds", METRIC_GAUGE,
	    "When a source last had jobs, in seconds since 1970; 0 without any.", "source", NULL, 0,
	    true },
	  offsetof(struct source_sum, read_us), SOURCE_LAG_NONE },
};

/* One metric for all sources. */
static void add_source_metric(struct exposition *x, const struct source_sums *sums,
                              const struct source_metric *m)
{
	struct metric_row row = m->row;

	for (size_t i = 0; i < sums->n; i++) {
		const struct source_sum *sum = &sums->items[i];
		if (m->lag_of != SOURCE_LAG_NONE && !sum->has_lag[m->lag_of])
			continue;
		memcpy(&row.value, (const char *) sum + m->member, sizeof(row.value));
		row.label_value = json_string_value(sum->label);
		exposition_add(x, &row, 1);
	}
}

void metrics_add_sources(struct exposition *x, struct engine *engine)
{
	struct source_sums sums = { 0 };

	engine_each_source(engine, sum_source, &sums);
	for (size_t i = 0; i < ARRAY_LEN(source_metrics); i++)
		add_source_metric(x, &sums, &source_metrics[i]);
	if (sums.failed)
		x->out->failed = true;

	for (size_t i = 0; i < sums.n; i++)
		json_decref(sums.items[i].label);
	free(sums.items);
}
