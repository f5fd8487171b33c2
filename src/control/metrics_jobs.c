/* SPDX-License-Identifier: Apache-2.0 */
#include "control/metrics_parts.h"

#include "base/clock.h"
#include "control/status.h"

/* --- the ledger -------------------------------------------------------------------- */

#define JOBS(state, value) \
	{ "penstock_jobs", METRIC_GAUGE, "Accepted jobs that are not settled.", "state", state, value, \
	  false }
#define SETTLED(outcome, value) \
	{ "penstock_jobs_settled", METRIC_COUNTER, "Jobs that have their final record.", "outcome", \
	  outcome, value, false }

static void add_ledger(struct exposition *x, const struct engine_stats *stats)
{
	const uint64_t *jobs = stats->ledger.jobs;
	struct waiting waiting = status_waiting(stats);
	const struct metric_row rows[] = {
		COUNTER("penstock_jobs_accepted", "Jobs accepted.", stats->ledger.accepted),
		JOBS("waiting", waiting.now),
		JOBS("delayed", waiting.delayed),
		JOBS("queued", jobs[LEDGER_QUEUED]),
		JOBS("running", jobs[LEDGER_RUNNING]),
		SETTLED("done", jobs[LEDGER_DONE]),
		SETTLED("dead", jobs[LEDGER_DEAD]),
		SETTLED("cancelled", jobs[LEDGER_CANCELLED]),
	};
	exposition_add(x, rows, ARRAY_LEN(rows));
}

static void add_reasons(struct exposition *x, const struct engine_stats *stats)
{
	uint64_t waiting[WAIT_REASONS];

	status_waiting_by_reason(stats, waiting);
	for (enum wait_reason why = 0; why < WAIT_REASONS; why++) {
		const struct metric_row row = {
			"penstock_jobs_waiting", METRIC_GAUGE,
			"Accepted jobs that are not being fetched, by what is in their way.", "reason",
			wait_reason_name(why), waiting[why], false,
		};
		exposition_add(x, &row, 1);
	}
}

/* --- the queue --------------------------------------------------------------------- */

static void add_queue(struct exposition *x, const struct queue_stats *q)
{
	const struct metric_row rows[] = {
		GAUGE("penstock_queue_jobs", "Jobs that stand ready for the workers.", q->depth_jobs),
		GAUGE("penstock_queue_bytes", "Memory of the queued jobs.", q->depth_bytes),
		GAUGE("penstock_queue_capacity_jobs", "Jobs that the queue holds at most.",
		      q->capacity_jobs),
		GAUGE("penstock_queue_capacity_bytes", "Bytes of jobs that the queue holds at most.",
		      q->capacity_bytes),
		GAUGE("penstock_queue_high_water_jobs", "Most jobs that were ever queued.",
		      q->high_water_jobs),
		GAUGE("penstock_queue_high_water_bytes", "Most bytes of jobs that were ever queued.",
		      q->high_water_bytes),
		COUNTER("penstock_queue_pushed", "Jobs that entered the queue.", q->pushed),
		COUNTER("penstock_queue_popped", "Jobs that workers took from the queue.", q->popped),
		GAUGE("penstock_queue_producers_blocked", "Threads that wait for room in the queue.",
		      q->producers_blocked),
		SECONDS("penstock_queue_producers_blocked_seconds",
		        "Time that threads waited for room in the queue.", q->producers_blocked_ns),
		SECONDS("penstock_queue_consumers_idle_seconds",
		        "Time that workers waited for a job, summed over workers.",
		        q->consumers_idle_ns),
	};
	exposition_add(x, rows, ARRAY_LEN(rows));
}

#define LANES(state, value) \
	{ "penstock_lanes", METRIC_GAUGE, \
	  "Origins that the queue knows; paused ones are counted twice.", "state", state, value, false }

static void add_lanes(struct exposition *x, const struct queue_stats *q)
{
	const struct metric_row rows[] = {
		LANES("active", q->lanes),
		LANES("idle", q->idle_lanes),
		LANES("paused", q->paused_lanes),
		GAUGE("penstock_paused", "1 while everything is paused.", q->paused),
	};
	exposition_add(x, rows, ARRAY_LEN(rows));
}

/* --- the backlog ------------------------------------------------------------------- */

static void add_backlog(struct exposition *x, const struct backlog_stats *b)
{
	const struct metric_row rows[] = {
		GAUGE("penstock_backlog_jobs", "Jobs that hold a place: accepted and not settled.",
		      b->held_jobs),
		GAUGE("penstock_backlog_bytes", "Bytes that they take, in memory or on disk.",
		      b->held_bytes),
		GAUGE("penstock_backlog_capacity_jobs", "Jobs that the backlog accepts at most.",
		      b->max_jobs),
		GAUGE("penstock_backlog_capacity_bytes", "Bytes of jobs that the backlog accepts at most.",
		      b->max_bytes),
		GAUGE("penstock_backlog_submitters_blocked",
		      "Sources and clients that wait for room in the backlog.", b->submitters_blocked),
		SECONDS("penstock_backlog_submitters_blocked_seconds",
		        "Time that sources and clients waited for room in the backlog.",
		        b->submitters_blocked_ns),
	};
	exposition_add(x, rows, ARRAY_LEN(rows));
}

static void add_durable(struct exposition *x, const struct backlog_stats *b)
{
	const struct metric_row rows[] = {
		COUNTER("penstock_backlog_commits", "Transactions that are on disk.", b->commits),
		COUNTER("penstock_backlog_records", "Final records since the first start.", b->last_seq),
		GAUGE("penstock_backlog_remembered_record",
		      "Number of the oldest record that is remembered, 0 without any.",
		      b->remembered_seq),
		GAUGE("penstock_backlog_free_bytes", "Free room on the disk of the backlog.",
		      b->free_bytes),
		GAUGE("penstock_backlog_min_free_bytes",
		      "Free room below which no job is accepted.", b->min_free_bytes),
		GAUGE("penstock_backlog_failing", "1 while the backlog cannot be written.", b->error < 0),
	};
	exposition_add(x, rows, ARRAY_LEN(rows));
	exposition_add_histogram(x, &(struct metric_row) {
		"penstock_backlog_commit_seconds", METRIC_HISTOGRAM,
		"How long a transaction took to be on disk.", NULL, NULL, 0, false,
	}, &b->commit_times);
}

void metrics_add_jobs(struct exposition *x, const struct engine_stats *stats)
{
	add_ledger(x, stats);
	add_reasons(x, stats);
	add_queue(x, &stats->queue);
	add_lanes(x, &stats->queue);
	add_backlog(x, &stats->backlog);
	if (stats->durable)
		add_durable(x, &stats->backlog);
}
