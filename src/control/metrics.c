/* SPDX-License-Identifier: Apache-2.0 */
#include "control/metrics.h"

#include "base/clock.h"
#include "control/exposition.h"
#include "control/status.h"
#include "control/text.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* --- the format -------------------------------------------------------------------- */

/* The weight in thousandths (RFC 9110, section 12.4.2) among the parameters up to 'end'. */
static int weight_of(const char *p, const char *end)
{
	int weight = 1000;

	while (p && p < end) {
		for (; p < end && (*p == ';' || isspace((unsigned char) *p)); p++)
			;
		if (end - p > 2 && strncasecmp(p, "q=", 2) == 0) {
			weight = p[2] == '1' ? 1000 : 0;
			for (int i = 4, unit = 100; p + i < end && p[2] == '0' && unit > 0 &&
			                            isdigit((unsigned char) p[i]); i++, unit /= 10)
				weight += (p[i] - '0') * unit;
		}
		p = memchr(p, ';', (size_t) (end - p));
	}
	return weight;
}

/* The best weight that an Accept header gives to 'type' by name; -1 if it names it not. */
static int find_weight(const char *accept, const char *type)
{
	size_t len = strlen(type);
	int best = -1;

	for (const char *p = accept; *p != '\0'; p += *p == ',') {
		const char *end = strchrnul(p, ',');
		for (; p < end && isspace((unsigned char) *p); p++)
			;
		bool named = (size_t) (end - p) >= len && strncasecmp(p, type, len) == 0 &&
		             strchr(" \t;,", p[len]); /* or the header's end */
		if (named) {
			int weight = weight_of(p + len, end);
			best = weight > best ? weight : best;
		}
		p = end;
	}
	return best;
}

enum metrics_format metrics_choose_format(const char *accept)
{
	int openmetrics = find_weight(accept, "application/openmetrics-text");

	return openmetrics > 0 && openmetrics >= find_weight(accept, "text/plain")
	               ? METRICS_OPENMETRICS
	               : METRICS_TEXT;
}

const char *metrics_content_type(enum metrics_format format)
{
	return format == METRICS_OPENMETRICS
	               ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
	               : "text/plain; version=0.0.4; charset=utf-8";
}

/* --- rows -------------------------------------------------------------------------- */

#define GAUGE(name, help, value)   { name, METRIC_GAUGE, help, NULL, NULL, value, false }
#define COUNTER(name, help, value) { name, METRIC_COUNTER, help, NULL, NULL, value, false }
#define SECONDS(name, help, ns)    { name, METRIC_COUNTER, help, NULL, NULL, (ns) / NS_PER_US, true }

static void add_process(struct exposition *x, const struct view *view)
{
	const struct control_options *o = view->options;
	const struct metric_row rows[] = {
		{ "penstock_build", METRIC_INFO, "The version of penstock.", "version", o->version, 1,
		  false },
		{ "process_start_time_seconds", METRIC_GAUGE,
		  "When the daemon was started, in seconds since 1970.", NULL, NULL,
		  (uint64_t) o->started_wall_us, true },
		GAUGE("penstock_ready", "1 while the daemon takes jobs.", view->phase == CONTROL_READY),
	};
	exposition_add(x, rows, ARRAY_LEN(rows));
}

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

#define JOBS(state, value) \
	{ "penstock_jobs", METRIC_GAUGE, "Accepted jobs that are not settled.", "state", state, value, false }
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

#define LANES(state, value) \
	{ "penstock_lanes", METRIC_GAUGE, "Origins that the queue knows; paused ones are counted twice.", "state", state, value, false }

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

static void add_backlog(struct exposition *x, const struct backlog_stats *b)
{
	const struct metric_row rows[] = {
		GAUGE("penstock_backlog_jobs", "Jobs that hold a place: accepted and not settled.",
		      b->held_jobs),
		GAUGE("penstock_backlog_bytes", "Bytes that they take, in memory or on disk.", b->held_bytes),
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
}

#define WORKERS(state, value) \
	{ "penstock_workers", METRIC_GAUGE, "Worker threads.", "state", state, value, false }

static void add_workers(struct exposition *x, const struct engine_stats *stats)
{
	const struct workers_stats *w = &stats->workers;
	uint64_t idle = stats->queue.consumers_idle < w->alive ? stats->queue.consumers_idle : w->alive;
	const struct metric_row rows[] = {
		WORKERS("idle", idle),
		WORKERS("busy", w->alive - idle),
		GAUGE("penstock_workers_wanted", "Worker threads that there shall be.", w->wanted),
		COUNTER("penstock_fetch_attempts", "Fetches that have ended.", w->attempts),
		COUNTER("penstock_fetch_retries", "Of these, those that were not the first of their job.",
		        w->retries),
		COUNTER("penstock_fetch_failures", "Fetches without a successful response.", w->failed),
		COUNTER("penstock_fetch_received_bytes", "Bytes of bodies received.", w->body_bytes),
		GAUGE("penstock_fetch_idle_connections", "Connections kept open for later fetches.",
		      stats->fetch.idle_connections),
	};
	exposition_add(x, rows, ARRAY_LEN(rows));
}

static void add_dns(struct exposition *x, const struct resolver_stats *r)
{
	const struct metric_row rows[] = {
		GAUGE("penstock_dns_cached_names", "Host names in the cache.", r->cached),
		GAUGE("penstock_dns_waiting_workers", "Workers that wait for a name.", r->waiting),
		COUNTER("penstock_dns_lookups", "Host names that workers asked for.", r->lookups),
		COUNTER("penstock_dns_hits", "Lookups answered from the cache at once.", r->hits),
		COUNTER("penstock_dns_queries", "Host names asked of name servers.", r->queries),
		COUNTER("penstock_dns_failures", "Lookups without an address.", r->failures),
	};
	exposition_add(x, rows, ARRAY_LEN(rows));
}

static void add_results(struct exposition *x, const struct view *view,
                        const struct recorder_stats *r)
{
	const struct metric_row rows[] = {
		COUNTER("penstock_results_recorded", "Records written to the results log.", r->recorded),
		COUNTER("penstock_results_recorded_bytes", "Bytes written to the results log.",
		        r->recorded_bytes),
		GAUGE("penstock_results_pending", "Records that wait to be written.", r->pending),
		SECONDS("penstock_results_blocked_seconds",
		        "Time that workers waited for the results log.", r->workers_blocked_ns),
		GAUGE("penstock_results_failing", "1 while the results log cannot be written.",
		      view->results_error < 0),
	};
	exposition_add(x, rows, ARRAY_LEN(rows));
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
}

/* --- sources ----------------------------------------------------------------------- */

/* The counters of all sources of one name: several schedules share theirs, and a series
 * may not come twice. */
struct source_sum {
	json_t *label; /* owned; the name, as UTF-8 */
	uint64_t jobs, bad_lines, bytes_read, blocked_ns;
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
	sum->blocked_ns += source->blocked_ns;
}

/* One metric for all sources; 'member' is the offset of its value in source_sum. */
static void add_source_metric(struct exposition *x, const struct source_sums *sums,
                              struct metric_row row, size_t member)
{
	row.type = METRIC_COUNTER;
	row.label = "source";
	for (size_t i = 0; i < sums->n; i++) {
		const struct source_sum *sum = &sums->items[i];
		memcpy(&row.value, (const char *) sum + member, sizeof(row.value));
		row.value /= row.is_us ? NS_PER_US : 1;
		row.label_value = json_string_value(sum->label);
		exposition_add(x, &row, 1);
	}
}

static void add_sources(struct exposition *x, struct engine *engine)
{
	static const struct {
		struct metric_row row;
		size_t member;
	} metrics[] = {
		{ { .name = "penstock_source_jobs", .help = "Jobs that a source has read." },
		  offsetof(struct source_sum, jobs) },
		{ { .name = "penstock_source_bad_lines", .help = "Lines of a source that were no jobs." },
		  offsetof(struct source_sum, bad_lines) },
		{ { .name = "penstock_source_read_bytes", .help = "Bytes read from a source." },
		  offsetof(struct source_sum, bytes_read) },
		{ { .name = "penstock_source_blocked_seconds",
		    .help = "Time that a source waited for room in the backlog.",
		    .is_us = true },
		  offsetof(struct source_sum, blocked_ns) },
	};
	struct source_sums sums = { 0 };

	engine_each_source(engine, sum_source, &sums);
	for (size_t i = 0; i < ARRAY_LEN(metrics); i++)
		add_source_metric(x, &sums, metrics[i].row, metrics[i].member);
	if (sums.failed)
		x->out->failed = true;

	for (size_t i = 0; i < sums.n; i++)
		json_decref(sums.items[i].label);
	free(sums.items);
}

/* --- the whole --------------------------------------------------------------------- */

void metrics_write(const struct view *view, enum metrics_format format, struct buf *b)
{
	struct exposition x = { .out = b, .format = format };
	struct engine_stats stats;

	engine_stats(view->options->engine, &stats);
	add_process(&x, view);
	add_ledger(&x, &stats);
	add_reasons(&x, &stats);
	add_queue(&x, &stats.queue);
	add_lanes(&x, &stats.queue);
	add_backlog(&x, &stats.backlog);
	if (stats.durable)
		add_durable(&x, &stats.backlog);
	add_workers(&x, &stats);
	add_dns(&x, &stats.fetch.resolver);
	add_results(&x, view, &stats.recorder);
	add_bodies(&x, &stats.bodies);
	add_sources(&x, view->options->engine);
	exposition_end(&x);
}
