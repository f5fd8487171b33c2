/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/status_text.h"

#include "base/clock.h"
#include "base/units.h"
#include "cli/safe_text.h"

#include <stdbool.h>
#include <string.h>

enum { BAR_CELLS = 20 };

/* --- members ----------------------------------------------------------------------- */

static double number(const json_t *object, const char *name)
{
	return json_number_value(json_object_get(object, name));
}

static double part_of(const json_t *object, const char *name, const char *max)
{
	return number(object, max) > 0 ? number(object, name) / number(object, max) : 0;
}

static uint64_t count(const json_t *object, const char *name)
{
	double value = number(object, name);
	return value > 0 ? (uint64_t) value : 0;
}

static uint64_t span_ns(const json_t *object, const char *name)
{
	return (uint64_t) (number(object, name) * 1e3) * NS_PER_MS;
}

/* --- pieces of text ---------------------------------------------------------------- */

static void add_count(struct buf *b, const json_t *object, const char *name)
{
	buf_add_u64(b, count(object, name));
}

static void add_size(struct buf *b, const json_t *object, const char *name)
{
	units_add_size_rough(b, count(object, name));
}

static void add_span(struct buf *b, const json_t *object, const char *name)
{
	units_add_duration_rough(b, span_ns(object, name));
}

static void add_name(struct buf *b, const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));
	safe_text_add(b, text ? text : "?");
}

static void add_label(struct buf *b, const char *label) { buf_printf(b, "%-9s ", label); }

static void add_bar(struct buf *b, double part)
{
	int full = part >= 1 ? BAR_CELLS : (int) (part * BAR_CELLS);

	if (part > 0 && full == 0)
		full = 1; /* something is not nothing */
	buf_add_char(b, '[');
	for (int i = 0; i < BAR_CELLS; i++)
		buf_add_char(b, i < full ? '#' : '.');
	buf_add_str(b, "]  ");
}

/* --- rates ------------------------------------------------------------------------- */

static double settled(const json_t *status)
{
	const json_t *ledger = json_object_get(status, "ledger");
	return number(ledger, "done") + number(ledger, "dead") + number(ledger, "cancelled");
}

static double accepted(const json_t *status)
{
	return number(json_object_get(status, "ledger"), "accepted");
}

static double received(const json_t *status)
{
	return number(json_object_get(status, "fetch"), "body_bytes");
}

struct status_rates status_rates_between(const json_t *before, const json_t *now)
{
	double seconds = number(now, "uptime_seconds") - number(before, "uptime_seconds");

	if (!before || seconds <= 0 ||
	    !json_equal(json_object_get(before, "started_at"), json_object_get(now, "started_at")))
		return (struct status_rates) { 0 };
	return (struct status_rates) {
		.seconds = seconds,
		.accepted = (accepted(now) - accepted(before)) / seconds,
		.settled = (settled(now) - settled(before)) / seconds,
		.bytes = (received(now) - received(before)) / seconds,
	};
}

/* --- the page ---------------------------------------------------------------------- */

static void add_paused(struct buf *b, const json_t *status)
{
	uint64_t lanes = count(status, "paused_lanes");

	if (json_is_true(json_object_get(status, "paused")))
		buf_add_str(b, "paused:   everything, until penstock resume\n");
	if (lanes > 0)
		buf_printf(b, "paused:   %llu origins; see penstock lanes --sort state\n",
		           (unsigned long long) lanes);
}

static void add_head(struct buf *b, const json_t *status)
{
	buf_add_str(b, "penstockd ");
	add_name(b, status, "version");
	buf_add_str(b, ": ");
	add_name(b, status, "state");
	buf_add_str(b, ", up ");
	add_span(b, status, "uptime_seconds");
	buf_printf(b, ", process %llu\n", (unsigned long long) count(status, "pid"));
	add_paused(b, status);
	if (json_is_string(json_object_get(status, "blocked"))) {
		buf_add_str(b, "blocked:  ");
		add_name(b, status, "blocked");
		buf_add_char(b, '\n');
	}
	buf_add_char(b, '\n');
}

/* "12 of 1000 jobs, 3.0 KiB of 64.0 MiB" of a store, after its bar. */
static void add_fill(struct buf *b, const json_t *store, const char *jobs, const char *bytes,
                     const char *max_jobs, const char *max_bytes)
{
	double by_jobs = part_of(store, jobs, max_jobs);
	double by_bytes = part_of(store, bytes, max_bytes);

	add_bar(b, by_jobs > by_bytes ? by_jobs : by_bytes);
	add_count(b, store, jobs);
	buf_add_str(b, " of ");
	add_count(b, store, max_jobs);
	buf_add_str(b, " jobs, ");
	add_size(b, store, bytes);
	buf_add_str(b, " of ");
	add_size(b, store, max_bytes);
}

static void add_queue(struct buf *b, const json_t *queue)
{
	add_label(b, "queue");
	add_fill(b, queue, "jobs", "bytes", "capacity_jobs", "capacity_bytes");
	buf_add_str(b, "; at most so far ");
	add_count(b, queue, "high_water_jobs");
	if (count(queue, "producers_blocked") > 0 && count(queue, "jobs") > 0) /* else it is paused */
		buf_add_str(b, "; full");
	buf_add_char(b, '\n');
}

static void add_error(struct buf *b, const json_t *store)
{
	if (!json_is_string(json_object_get(store, "error")))
		return;
	add_label(b, "");
	buf_add_str(b, "CANNOT BE WRITTEN: ");
	add_name(b, store, "error");
	buf_add_char(b, '\n');
}

static void add_backlog(struct buf *b, const json_t *backlog)
{
	add_label(b, "backlog");
	add_fill(b, backlog, "held_jobs", "held_bytes", "max_jobs", "max_bytes");
	if (count(backlog, "submitters_blocked") > 0) {
		buf_add_str(b, count(backlog, "held_jobs") > 0 ? "; full, sources waiting: "
		                                               : "; sources waiting: ");
		add_count(b, backlog, "submitters_blocked");
	}
	buf_add_char(b, '\n');
	add_error(b, backlog);
	if (count(backlog, "free_bytes") < count(backlog, "min_free_bytes")) {
		add_label(b, "");
		buf_add_str(b, "TAKES NO JOBS: its disk has ");
		add_size(b, backlog, "free_bytes");
		buf_add_str(b, " free, less than backlog.min_free, ");
		add_size(b, backlog, "min_free_bytes");
		buf_add_char(b, '\n');
	}
}

/* The equation that always holds, with all of its terms. */
static void add_ledger(struct buf *b, const json_t *ledger)
{
	static const char *const accounts[] = { "waiting", "delayed", "queued",   "running",
		                                "done",    "dead",    "cancelled" };

	add_label(b, "jobs");
	add_count(b, ledger, "accepted");
	buf_add_str(b, " accepted =");
	for (size_t i = 0; i < ARRAY_LEN(accounts); i++) {
		buf_add_str(b, i > 0 ? " + " : " ");
		add_count(b, ledger, accounts[i]);
		buf_printf(b, " %s", accounts[i]);
	}
	buf_add_char(b, '\n');
}

/* What is in the way of those that wait, and how many of them. */
static void add_reasons(struct buf *b, json_t *reasons)
{
	const char *name = NULL, *before = "";
	json_t *n = NULL;

	if (json_object_size(reasons) == 0)
		return;
	add_label(b, "waiting");
	json_object_foreach(reasons, name, n) {
		buf_printf(b, "%s%.0f ", before, json_number_value(n));
		safe_text_add(b, name);
		before = ", ";
	}
	buf_add_char(b, '\n');
}

static void add_lanes(struct buf *b, const json_t *lanes)
{
	add_label(b, "lanes");
	add_count(b, lanes, "active");
	buf_add_str(b, " with jobs, ");
	add_count(b, lanes, "idle");
	buf_add_str(b, " idle\n");
}

static void add_rates(struct buf *b, const struct status_rates *rates)
{
	if (rates->seconds <= 0)
		return;
	add_label(b, "rates");
	buf_printf(b, "%.1f jobs/s accepted, %.1f jobs/s settled, ", rates->accepted, rates->settled);
	units_add_size_rough(b, rates->bytes > 0 ? (uint64_t) rates->bytes : 0);
	buf_add_str(b, "/s received\n");
}

static void add_work(struct buf *b, const json_t *status)
{
	const json_t *workers = json_object_get(status, "workers");
	const json_t *fetch = json_object_get(status, "fetch");
	const json_t *dns = json_object_get(fetch, "dns");
	uint64_t alive = count(workers, "alive");
	uint64_t idle = count(json_object_get(status, "queue"), "consumers_idle");

	add_label(b, "workers");
	buf_printf(b, "%llu busy, %llu idle", (unsigned long long) (alive > idle ? alive - idle : 0),
	           (unsigned long long) idle);
	if (alive != count(workers, "wanted")) {
		buf_add_str(b, "; wanted: ");
		add_count(b, workers, "wanted");
	}
	buf_add_char(b, '\n');

	add_label(b, "fetches");
	add_count(b, fetch, "attempts");
	buf_add_str(b, " made, ");
	add_count(b, fetch, "failed");
	buf_add_str(b, " failed, ");
	add_size(b, fetch, "body_bytes");
	buf_add_str(b, " received, ");
	add_count(b, fetch, "idle_connections");
	buf_add_str(b, " connections kept\n");
	if (count(fetch, "insecure_origins") > 0) {
		add_label(b, "insecure");
		buf_add_str(b, "certificates are not checked, by ");
		add_count(b, fetch, "insecure_origins");
		buf_add_str(b, " of the groups in origins\n");
	}

	add_label(b, "names");
	add_count(b, dns, "lookups");
	buf_add_str(b, " lookups, ");
	add_count(b, dns, "hits");
	buf_add_str(b, " from the cache, ");
	add_count(b, dns, "failures");
	buf_add_str(b, " failed, ");
	add_count(b, dns, "waiting");
	buf_add_str(b, " waiting\n");
}

static void add_bodies(struct buf *b, const json_t *bodies)
{
	const char *mode = json_string_value(json_object_get(bodies, "mode"));

	if (!mode || strcmp(mode, "none") == 0)
		return;
	add_label(b, "bodies");
	add_name(b, bodies, "mode");
	buf_add_str(b, ": ");
	add_count(b, bodies, "kept");
	buf_add_str(b, " kept, ");
	add_size(b, bodies, "kept_bytes");
	if (strcmp(mode, "files") == 0) {
		buf_add_str(b, "; were there already: ");
		add_count(b, bodies, "duplicates");
	} else {
		buf_add_str(b, "; memory ");
		add_size(b, bodies, "memory_bytes");
		buf_add_str(b, ", waiting for some: ");
		add_count(b, bodies, "waiting");
	}
	buf_add_char(b, '\n');
	add_error(b, bodies);
}

static void add_results(struct buf *b, const json_t *results)
{
	add_label(b, "results");
	add_name(b, results, "path");
	buf_add_str(b, ": ");
	add_count(b, results, "recorded");
	buf_add_str(b, " recorded, ");
	add_size(b, results, "recorded_bytes");
	buf_add_str(b, ", ");
	add_count(b, results, "pending");
	buf_add_str(b, " pending; workers waited ");
	add_span(b, results, "blocked_seconds");
	buf_add_char(b, '\n');
	add_error(b, results);
	add_bodies(b, json_object_get(results, "bodies"));
}

/* The sources that have not ended. */
static size_t count_readers(const json_t *sources)
{
	size_t n = 0;

	for (size_t i = 0; i < json_array_size(sources); i++)
		n += !json_is_true(json_object_get(json_array_get(sources, i), "ended"));
	return n;
}

static void add_source(struct buf *b, const json_t *source, const char *doing)
{
	add_name(b, source, "name");
	buf_add_str(b, ": ");
	add_count(b, source, "jobs");
	buf_add_str(b, " jobs");
	if (count(source, "bad_lines") > 0) {
		buf_add_str(b, ", ");
		add_count(b, source, "bad_lines");
		buf_add_str(b, " bad lines");
	}
	buf_add_str(b, ", waited ");
	add_span(b, source, "blocked_seconds");
	buf_add_str(b, " for room; ");
	buf_add_str(b, json_is_true(json_object_get(source, "ended")) ? "ended" : doing);
	buf_add_char(b, '\n');
}

/* How many wait is known, but not which: only all or none can be told apart. */
static void add_sources(struct buf *b, const json_t *sources, uint64_t n_blocked)
{
	const char *doing = n_blocked == 0                        ? "reading"
	                    : n_blocked >= count_readers(sources) ? "waiting for room in the backlog"
	                                                          : "reading or waiting for room";

	for (size_t i = 0; i < json_array_size(sources); i++) {
		add_label(b, i == 0 ? "sources" : "");
		add_source(b, json_array_get(sources, i), doing);
	}
	if (json_array_size(sources) == 0) {
		add_label(b, "sources");
		buf_add_str(b, "none\n");
	}
}

void status_text_add_page(struct buf *b, const json_t *status, const struct status_rates *rates)
{
	const json_t *backlog = json_object_get(status, "backlog");

	add_head(b, status);
	add_queue(b, json_object_get(status, "queue"));
	add_backlog(b, backlog);
	add_ledger(b, json_object_get(status, "ledger"));
	add_reasons(b, json_object_get(status, "waiting_by_reason"));
	add_lanes(b, json_object_get(status, "lanes"));
	add_rates(b, rates);
	add_work(b, status);
	add_results(b, json_object_get(status, "results"));
	add_sources(b, json_object_get(status, "sources"), count(backlog, "submitters_blocked"));
}

/* --- the line ---------------------------------------------------------------------- */

void status_text_add_line(struct buf *b, const json_t *status, const struct status_rates *rates)
{
	static const char *const accounts[] = { "waiting", "delayed", "running", "done", "dead" };
	const json_t *queue = json_object_get(status, "queue");
	const json_t *ledger = json_object_get(status, "ledger");

	add_name(b, status, "state");
	if (json_is_true(json_object_get(status, "paused")))
		buf_add_str(b, ", paused");
	buf_add_str(b, "  up ");
	add_span(b, status, "uptime_seconds");
	buf_add_str(b, "  queue ");
	add_count(b, queue, "jobs");
	buf_add_char(b, '/');
	add_count(b, queue, "capacity_jobs");
	for (size_t i = 0; i < ARRAY_LEN(accounts); i++) {
		buf_printf(b, "  %s ", accounts[i]);
		add_count(b, ledger, accounts[i]);
	}
	if (rates->seconds > 0) {
		buf_printf(b, "  %.1f/s  ", rates->settled);
		units_add_size_rough(b, rates->bytes > 0 ? (uint64_t) rates->bytes : 0);
		buf_add_str(b, "/s");
	}
	if (json_is_string(json_object_get(status, "blocked"))) {
		buf_add_str(b, "  blocked: ");
		add_name(b, status, "blocked");
	}
	buf_add_char(b, '\n');
}
