/* SPDX-License-Identifier: Apache-2.0 */
#include "control/metrics_parts.h"

#include "base/clock.h"

static void add_results(struct exposition *x, const struct view *view,
                        const struct recorder_stats *r)
{
	const struct metric_row rows[] = {
		COUNTER("penstock_results_recorded", "Records written to the results log.", r->recorded),
		COUNTER("penstock_results_recorded_bytes", "Bytes written to the results log.",
		        r->recorded_bytes),
		GAUGE("penstock_results_pending", "Verdicts that wait for the recorder.", r->pending),
		GAUGE("penstock_results_pending_capacity", "Verdicts that may wait at most.",
		      RECORDER_MAX_RECORDS),
		SECONDS("penstock_results_busy_seconds",
		        "Time that the recorder was writing and settling.", r->busy_ns),
		SECONDS("penstock_results_blocked_seconds",
		        "Time that workers waited for the results log.", r->workers_blocked_ns),
		GAUGE("penstock_results_failing", "1 while the results log cannot be written.",
		      view->results_error < 0),
	};
	exposition_add(x, rows, ARRAY_LEN(rows));
	exposition_add_histogram(x, &(struct metric_row) {
		"penstock_results_append_seconds", METRIC_HISTOGRAM,
		"How long a batch of records took to be written to the log.", NULL, NULL, 0, false,
	}, &r->appends);
	exposition_add_histogram(x, &(struct metric_row) {
		"penstock_results_sync_seconds", METRIC_HISTOGRAM,
		"How long the log took to be on disk, with a database once a second.", NULL, NULL, 0,
		false,
	}, &r->syncs);
}

static void add_bodies(struct exposition *x, const struct bodies_stats *b)
{
	const struct metric_row rows[] = {
		COUNTER("penstock_results_bodies", "Bodies of responses that were kept.", b->kept),
		COUNTER("penstock_results_bodies_bytes", "Bytes of them.", b->kept_bytes),
		COUNTER("penstock_results_bodies_duplicates",
		        "Of them, those whose file was there already.", b->duplicates),
		GAUGE("penstock_results_bodies_memory_bytes",
		      "In use of results.inline_memory.", b->memory_bytes),
		GAUGE("penstock_results_bodies_waiting_workers",
		      "Workers that wait for some of results.inline_memory.", b->waiting),
		SECONDS("penstock_results_bodies_waited_seconds",
		        "Time that workers waited for it.", b->waited_ns),
		GAUGE("penstock_results_bodies_failing", "1 while bodies cannot be written.",
		      b->error < 0),
	};
	exposition_add(x, rows, ARRAY_LEN(rows));
	exposition_add_histogram(x, &(struct metric_row) {
		"penstock_results_bodies_publish_seconds", METRIC_HISTOGRAM,
		"How long a file of a body took to be on disk with its name.", NULL, NULL, 0, false,
	}, &b->publications);
}

void metrics_add_results(struct exposition *x, const struct view *view,
                         const struct engine_stats *stats)
{
	add_results(x, view, &stats->recorder);
	add_bodies(x, &stats->bodies);
}
