/* SPDX-License-Identifier: Apache-2.0 */
#include "control/metrics_parts.h"

#include "base/clock.h"
#include "engine/tally.h"

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
		COUNTER("penstock_fetch_hops",
		        "Redirects that had to wait for their turn at another origin.", w->hops),
		COUNTER("penstock_fetch_received_bytes", "Bytes of bodies received.", w->body_bytes),
		GAUGE("penstock_fetch_idle_connections", "Connections kept open for later fetches.",
		      stats->fetch.idle_connections),
	};
	exposition_add(x, rows, ARRAY_LEN(rows));
}

/* --- what attempts came to --------------------------------------------------------- */

static void add_responses(struct exposition *x, const struct tally_figures *t)
{
	static const char *const classes[STATUS_CLASSES] = { "1xx", "2xx", "3xx", "4xx", "5xx" };

	for (size_t i = 0; i < STATUS_CLASSES; i++)
		exposition_add(x, &(struct metric_row) {
			"penstock_fetch_responses", METRIC_COUNTER,
			"Fetches with a whole response, by the class of its status.", "class",
			classes[i], t->responses[i], false,
		}, 1);
}

static void add_by_reason(struct exposition *x, const char *name, const char *help,
                          const uint64_t counts[static FAILURES])
{
	for (enum failure why = 0; why < FAILURES; why++)
		exposition_add(x, &(struct metric_row) {
			name, METRIC_COUNTER, help, "reason", failure_name(why), counts[why], false,
		}, 1);
}

static void add_times(struct exposition *x, const struct tally_figures *t)
{
	exposition_add_histogram(x, &(struct metric_row) {
		"penstock_queue_wait_seconds", METRIC_HISTOGRAM,
		"How long jobs waited from when they could run until a worker took them.", NULL, NULL, 0,
		false,
	}, &t->queue_wait);
	exposition_add_histogram(x, &(struct metric_row) {
		"penstock_fetch_duration_seconds", METRIC_HISTOGRAM,
		"How long fetches took, with their redirects.", NULL, NULL, 0, false,
	}, &t->duration);
	for (enum fetch_phase phase = 0; phase < PHASES; phase++)
		exposition_add_histogram(x, &(struct metric_row) {
			"penstock_fetch_phase_seconds", METRIC_HISTOGRAM,
			"How long a step of the last hop of a fetch took, of those that came to their end.",
			"phase", fetch_phase_name(phase), 0, false,
		}, &t->phases[phase]);
}

/* --- names ------------------------------------------------------------------------- */

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

void metrics_add_fetches(struct exposition *x, const struct engine_stats *stats,
                         struct engine *engine)
{
	struct tally_figures tally;

	engine_tally(engine, &tally);
	add_workers(x, stats);
	add_responses(x, &tally);
	add_by_reason(x, "penstock_fetch_failures",
	              "Fetches without a successful response, by what was wrong.", tally.failures);
	add_by_reason(x, "penstock_fetch_retried",
	              "Of these, those after which the job is to be fetched again.", tally.retried);
	add_times(x, &tally);
	add_dns(x, &stats->fetch.resolver);
}
