/* SPDX-License-Identifier: Apache-2.0 */
#include "control/status.h"

#include "base/clock.h"
#include "base/log.h"
#include "control/task.h"
#include "control/text.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- values ------------------------------------------------------------------------ */

static json_int_t integer(uint64_t n) { return (json_int_t) n; }

/* Seconds with the microseconds that people and JSON_REAL_PRECISION can use. */
static double seconds(uint64_t ns) { return (double) (ns / NS_PER_US) / 1e6; }

struct waiting status_waiting(const struct engine_stats *stats)
{
	uint64_t all = stats->ledger.jobs[LEDGER_WAITING];
	uint64_t delayed = stats->backlog.delayed < all ? stats->backlog.delayed : all;

	return (struct waiting) { .now = all - delayed, .delayed = delayed };
}

/* Reasons that are none of the job's own. */
static bool is_about_lanes(enum wait_reason why) { return why >= WAIT_PAUSED && why <= WAIT_WORKER; }

void status_waiting_by_reason(const struct engine_stats *stats, uint64_t ret[WAIT_REASONS])
{
	memset(ret, 0, WAIT_REASONS * sizeof(*ret));
	for (enum wait_reason why = 0; why < WAIT_REASONS; why++) {
		bool is_paused = stats->queue.paused && is_about_lanes(why);
		ret[is_paused ? WAIT_PAUSED : why] +=
			stats->backlog.by_reason[why] + stats->queue.by_reason[why];
	}
}

static const char *state_name(enum control_phase phase)
{
	static const char *const names[] = {
		[CONTROL_STARTING] = "starting",
		[CONTROL_READY] = "running",
		[CONTROL_DRAINING] = "draining",
		[CONTROL_DRAINED] = "drained",
		[CONTROL_STOPPING] = "stopping",
	};
	return names[phase];
}

/* --- members ----------------------------------------------------------------------- */

static json_t *queue_json(const struct queue_stats *q)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:I, s:f}",
	                 "jobs", integer(q->depth_jobs), "bytes", integer(q->depth_bytes),
	                 "capacity_jobs", integer(q->capacity_jobs),
	                 "capacity_bytes", integer(q->capacity_bytes),
	                 "high_water_jobs", integer(q->high_water_jobs),
	                 "high_water_bytes", integer(q->high_water_bytes),
	                 "pushed", integer(q->pushed), "popped", integer(q->popped),
	                 "producers_blocked", integer(q->producers_blocked),
	                 "producers_blocked_seconds", seconds(q->producers_blocked_ns),
	                 "consumers_idle", integer(q->consumers_idle),
	                 "consumers_idle_seconds", seconds(q->consumers_idle_ns));
}

static json_t *lanes_json(const struct queue_stats *q)
{
	return json_pack("{s:I, s:I}", "active", integer(q->lanes), "idle", integer(q->idle_lanes));
}

/* Those that there are; NULL unless all of them are in it. */
static json_t *reasons_json(const struct engine_stats *stats)
{
	uint64_t waiting[WAIT_REASONS];
	json_t *json = json_object();

	status_waiting_by_reason(stats, waiting);
	for (enum wait_reason why = 0; json && why < WAIT_REASONS; why++) {
		if (waiting[why] > 0 && json_object_set_new(json, wait_reason_name(why),
		                                            json_integer(integer(waiting[why]))) < 0) {
			json_decref(json);
			json = NULL;
		}
	}
	return json;
}

static json_t *ledger_json(const struct engine_stats *stats)
{
	const uint64_t *jobs = stats->ledger.jobs;
	struct waiting waiting = status_waiting(stats);

	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
	                 "accepted", integer(stats->ledger.accepted),
	                 "waiting", integer(waiting.now), "delayed", integer(waiting.delayed),
	                 "queued", integer(jobs[LEDGER_QUEUED]),
	                 "running", integer(jobs[LEDGER_RUNNING]),
	                 "done", integer(jobs[LEDGER_DONE]), "dead", integer(jobs[LEDGER_DEAD]),
	                 "cancelled", integer(jobs[LEDGER_CANCELLED]));
}

static json_t *durable_json(const struct backlog_stats *b)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "accepted", integer(b->accepted),
	                 "last_seq", integer(b->last_seq),
	                 "remembered_seq", integer(b->remembered_seq),
	                 "commits", integer(b->commits), "free_bytes", integer(b->free_bytes),
	                 "min_free_bytes", integer(b->min_free_bytes));
}

static json_t *backlog_json(const struct engine_stats *stats)
{
	const struct backlog_stats *b = &stats->backlog;
	const char *error = b->error < 0 ? strerrordesc_np(-b->error) : NULL;
	json_t *json = json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:f, s:s?}",
	                         "type", stats->backlog_type, "held_jobs", integer(b->held_jobs),
	                         "held_bytes", integer(b->held_bytes),
	                         "max_jobs", integer(b->max_jobs),
	                         "max_bytes", integer(b->max_bytes),
	                         "submitters_blocked", integer(b->submitters_blocked),
	                         "submitters_blocked_seconds", seconds(b->submitters_blocked_ns),
	                         "error", error);
	if (!stats->durable || json_object_update_new(json, durable_json(b)) == 0)
		return json;
	json_decref(json);
	return NULL;
}

static json_t *workers_json(const struct workers_stats *w)
{
	return json_pack("{s:I, s:I}", "wanted", integer(w->wanted), "alive", integer(w->alive));
}

static json_t *fetch_json(const struct engine_stats *stats)
{
	const struct workers_stats *w = &stats->workers;
	const struct resolver_stats *dns = &stats->fetch.resolver;

	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:{s:I, s:I, s:I, s:I, s:I, s:I}}",
	                 "attempts", integer(w->attempts), "failed", integer(w->failed),
	                 "body_bytes", integer(w->body_bytes),
	                 "idle_connections", integer(stats->fetch.idle_connections),
	                 "insecure_origins", integer(stats->fetch.insecure_profiles),
	                 "dns", "cached", integer(dns->cached), "waiting", integer(dns->waiting),
	                 "lookups", integer(dns->lookups), "hits", integer(dns->hits),
	                 "queries", integer(dns->queries), "failures", integer(dns->failures));
}

static void add_source(void *arg, const struct intake_source *source)
{
	json_t *object = json_pack("{s:o, s:I, s:I, s:I, s:f, s:b}", "name", text_json(source->name),
	                           "jobs", integer(source->stats.jobs),
	                           "bad_lines", integer(source->stats.bad_lines),
	                           "bytes_read", integer(source->stats.bytes_read),
	                           "blocked_seconds", seconds(source->blocked_ns),
	                           "ended", source->ended);

	/* Appending NULL changes nothing: a source is then missing for want of memory,
	 * which status_write() sees by their number. */
	(void) json_array_append_new(arg, object);
}

static void count_source(void *arg, const struct intake_source *source)
{
	size_t *n = arg;

	(void) source;
	(*n)++;
}

/* NULL unless every source is in it. */
static json_t *sources_json(struct engine *engine)
{
	json_t *array = json_array();
	size_t n = 0;

	if (array)
		engine_each_source(engine, add_source, array);
	engine_each_source(engine, count_source, &n);
	if (json_array_size(array) == n)
		return array;
	json_decref(array);
	return NULL;
}

static json_t *bodies_json(const struct bodies_stats *b)
{
	return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:f, s:s?}",
	                 "mode", bodies_mode_name(b->mode), "kept", integer(b->kept),
	                 "kept_bytes", integer(b->kept_bytes),
	                 "duplicates", integer(b->duplicates),
	                 "memory_bytes", integer(b->memory_bytes),
	                 "waiting", integer(b->waiting), "waited_seconds", seconds(b->waited_ns),
	                 "error", b->error < 0 ? strerrordesc_np(-b->error) : NULL);
}

static json_t *results_json(const struct view *view, const struct engine_stats *stats)
{
	const char *error = view->results_error < 0 ? strerrordesc_np(-view->results_error) : NULL;
	const struct recorder_stats *r = &stats->recorder;

	return json_pack("{s:o, s:I, s:I, s:I, s:I, s:I, s:f, s:o, s:s?}",
	                 "path", text_json(view->options->results_path),
	                 "last_seq", integer(tail_last_seq(engine_tail(view->options->engine))),
	                 "readers", integer(view->desk->readers.n),
	                 "recorded", integer(r->recorded),
	                 "recorded_bytes", integer(r->recorded_bytes),
	                 "pending", integer(r->pending),
	                 "blocked_seconds", seconds(r->workers_blocked_ns),
	                 "bodies", bodies_json(&stats->bodies), "error", error);
}

/* Why nothing moves although nobody is slow. */
static const char *blocked_text(const struct backlog_stats *b)
{
	return backlog_is_blocked(b) ? "backlog full of jobs that may not run now" : NULL;
}

/* --- the whole --------------------------------------------------------------------- */

static json_t *make(const struct view *view)
{
	const struct control_options *o = view->options;
	struct engine_stats stats;
	char started_at[CLOCK_TEXT_SIZE];

	engine_stats(o->engine, &stats);
	clock_format(o->started_wall_us, started_at);
	return json_pack("{s:s, s:s, s:i, s:s, s:f, s:b, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, "
	                 "s:o, s:o, s:s, s:s?}",
	                 "version", o->version, "state", state_name(view->phase),
	                 "pid", (int) getpid(), "started_at", started_at,
	                 "uptime_seconds", (double) view->uptime_us / 1e6,
	                 "paused", stats.queue.paused,
	                 "paused_lanes", integer(stats.queue.paused_lanes),
	                 "queue", queue_json(&stats.queue), "lanes", lanes_json(&stats.queue),
	                 "ledger", ledger_json(&stats),
	                 "waiting_by_reason", reasons_json(&stats),
	                 "backlog", backlog_json(&stats),
	                 "workers", workers_json(&stats.workers), "fetch", fetch_json(&stats),
	                 "sources", sources_json(o->engine),
	                 "results", results_json(view, &stats),
	                 "log_level", log_level_names[log_get_level()],
	                 "blocked", blocked_text(&stats.backlog));
}

void status_write(const struct view *view, struct buf *b)
{
	json_t *json = make(view);
	char *text = json ? json_dumps(json, JSON_REAL_PRECISION(15)) : NULL;

	if (text) {
		buf_add_str(b, text);
		buf_add_char(b, '\n');
	} else {
		b->failed = true;
	}
	free(text);
	json_decref(json);
}
