/* SPDX-License-Identifier: Apache-2.0 */
/* How the engine's parts are started, and what their threads report to it. */
#include "engine/parts.h"

#include "base/clock.h"
#include "base/event.h"
#include "base/random.h"
#include "engine/deadline.h"
#include "engine/retry.h"
#include "source/directory.h"
#include "source/schedule.h"
#include "source/urlfile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- what the threads report ------------------------------------------------------- */

static void on_settled(void *arg, int error)
{
	struct engine *e = arg;
	int none = 0;

	if (error < 0 && atomic_compare_exchange_strong(&e->record_error, &none, error))
		event_raise(e->event_fd);
	else if (atomic_load(&e->stopping) || (atomic_load(&e->started) && engine_is_finished(e)))
		event_raise(e->event_fd);
}

static void on_trouble(void *arg, int error)
{
	struct engine *e = arg;

	if (error < 0)
		log_event(LOG_LEVEL_ERROR, LOG_EVENT_RESULTS_FAILING,
		          "results cannot be written: %s; nothing is lost, fetching waits until they can",
		          strerror(-error));
	else
		log_event(LOG_LEVEL_INFO, LOG_EVENT_RESULTS_WELL, "results can be written again");
	atomic_store(&e->trouble, error);
	event_raise(e->event_fd);
}

static void on_workers_left(void *arg)
{
	struct engine *e = arg;

	atomic_store(&e->workers_left, true);
	event_raise(e->event_fd);
}

static void on_dead(void *arg, const struct job *job, const char *reason)
{
	struct engine *e = arg;

	e->options.dead(e->options.arg, job, reason);
}

static void log_held_back(struct complaints *about)
{
	uint64_t n = log_take_held_back(&about->limit);

	if (n > 0)
		log_about(LOG_LEVEL_WARNING, &(struct log_fields) { .source = about->source },
		          "%s: %llu more bad lines, not shown", about->source,
		          (unsigned long long) n);
}

static void tell_about_source(struct complaints *about, const struct source_complaint *c,
                              const char *what)
{
	const struct log_fields fields = { .event = LOG_EVENT_LINE_SKIPPED, .source = c->source };
	const char *slash = c->file ? "/" : "", *file = c->file ? c->file : "";

	if (!log_allowed(&about->limit, clock_now_ns()))
		return;
	log_held_back(about);
	if (c->line > 0)
		log_about(LOG_LEVEL_WARNING, &fields, "%s%s%s:%llu: %s%s", c->source, slash, file,
		          (unsigned long long) c->line, what, c->why);
	else
		log_about(LOG_LEVEL_WARNING, &fields, "%s%s%s: %s%s", c->source, slash, file, what,
		          c->why);
}

static void on_complaint(void *arg, const struct source_complaint *c)
{
	tell_about_source(arg, c, "skipped: ");
}

static void on_notice(void *arg, const struct source_complaint *c) { tell_about_source(arg, c, ""); }

/* Called by the source's own thread, as its complaints are. */
static void on_source_ended(void *arg, const char *source, int error)
{
	struct engine *e = arg;

	for (size_t i = 0; i < e->n_sources; i++)
		if (e->complaints[i].source == source)
			log_held_back(&e->complaints[i]);
	if (error < 0) {
		const struct log_fields about = { .event = LOG_EVENT_SOURCE_FAILED, .source = source };
		log_about(LOG_LEVEL_ERROR, &about, "%s: reading failed: %s; what was read so far goes on",
		          source, strerror(-error));
		atomic_store(&e->source_failed, true);
	}
	event_raise(e->event_fd);
}

/* --- starting ---------------------------------------------------------------------- */

static void on_opened(void *arg)
{
	struct engine *e = arg;
	struct feeder *feeder = atomic_load(&e->feeder);

	if (feeder)
		feeder_wake(feeder);
}

int engine_set_limits(struct engine *e)
{
	const struct config_groups *origins = &e->options.settings->origins;
	const struct origin_settings *s = origins->items;
	struct lane_rule *rules = calloc(origins->n + 1, sizeof(*rules));
	if (!rules)
		return -ENOMEM;

	for (size_t i = 0; i < origins->n; i++)
		rules[i] = (struct lane_rule) {
			.match = s[i].match,
			.limits = {
				.concurrency = s[i].concurrency,
				.interval_ns = s[i].interval_ns,
				.burst = s[i].burst,
				.gap_ns = s[i].gap_ns,
				.breaker = s[i].breaker,
				.breaker_pause_ns = s[i].breaker_pause_ns,
				.breaker_max_ns = s[i].breaker_max_ns,
			},
		};
	int r = queue_set_rules(e->queue, rules, origins->n);
	free(rules);
	return r;
}

/* What the last process was told to leave alone. */
static int pause_lanes(struct engine *e)
{
	struct buf names = { 0 };
	struct job_list none = { 0 };

	int r = backlog_paused(e->backlog, &names);
	for (size_t at = 0; r == 0 && at < names.len; at += strlen(names.data + at) + 1) {
		const char *origin = names.data + at;
		r = queue_pause(e->queue, *origin != '\0' ? origin : NULL, &none);
		if (r == 0)
			log_warning("%s%s paused, as before the restart; see penstock resume",
			            *origin != '\0' ? origin : "everything", " is");
	}
	buf_done(&names);
	return r;
}

static int start_queue(struct engine *e)
{
	const struct settings *s = e->options.settings;
	const struct queue_options options = {
		.capacity_jobs = s->queue.capacity,
		.capacity_bytes = s->queue.max_bytes,
		.opened = on_opened,
		.arg = e,
	};

	int r = queue_create(&options, &e->queue);
	if (r == 0)
		r = engine_set_limits(e);
	return r < 0 ? r : pause_lanes(e);
}

static int start_recorder(struct engine *e)
{
	struct backlog_stats stats;

	backlog_stats(e->backlog, &stats);
	int r = e->options.is_read ? tail_create(stats.last_seq, &e->tail) : 0;
	if (r < 0)
		return r;
	return recorder_create(
		&(struct recorder_options) {
			.results = e->options.results,
			.backlog = e->backlog,
			.ledger = e->ledger,
			.bodies = e->bodies,
			.tail = e->tail,
			.last_seq = stats.last_seq,
			.stalls = e->options.stalls,
			.trouble = on_trouble,
			.settled = on_settled,
			.arg = e,
		},
		&e->recorder);
}

struct workers_policy engine_policy(const struct settings *s)
{
	struct workers_policy policy = {
		.retry = {
			.max_attempts = s->retry.max_attempts,
			.base_ns = s->retry.base_ns,
			.max_ns = s->retry.max_ns,
			.max_retry_after_ns = s->retry.max_retry_after_ns,
		},
		.timeout_ns = s->fetch.timeout_ns,
		.max_redirects = (unsigned) s->fetch.max_redirects,
		.max_body_bytes = s->fetch.max_body,
		.truncates = s->fetch.oversize == OVERSIZE_TRUNCATE,
		.logs_queries = s->fetch.log_queries,
		.least_speed = s->fetch.low_speed,
		.speed_span_ns = s->fetch.low_speed_time_ns,
	};

	for (size_t i = 0; i < s->fetch.success.n; i++)
		if (status_set_add(&policy.retry.success, s->fetch.success.items[i]) < 0)
			abort(); /* settings_load() has checked them */
	return policy;
}

static int start_workers(struct engine *e, struct buf *errors)
{
	const struct settings *s = e->options.settings;
	const struct workers_options options = {
		.queue = e->queue,
		.backlog = e->backlog,
		.fetcher = e->fetcher,
		.recorder = e->recorder,
		.ledger = e->ledger,
		.bodies = e->bodies,
		.policy = engine_policy(s),
		.seed = random_seed(),
		.all_left = on_workers_left,
		.dead = e->options.dead ? on_dead : NULL,
		.arg = e,
	};

	int r = workers_create(&options, &e->workers);
	if (r == 0)
		r = workers_resize(e->workers, (unsigned) s->workers);
	if (r == -EAGAIN)
		buf_printf(errors, "workers = %llu: the system starts no more threads; ask for fewer\n",
		           (unsigned long long) s->workers);
	return r;
}

static void on_expired(void *arg, struct job *job)
{
	struct engine *e = arg;
	const char *reason = deadline_reason(job);

	if (e->options.dead)
		e->options.dead(e->options.arg, job, reason);
	(void) engine_record_unfetched(e, job, OUTCOME_DEAD, reason, true);
}

static int start_feeder(struct engine *e)
{
	struct feeder *feeder = NULL;

	int r = feeder_create(
		&(struct feeder_options) {
			.backlog = e->backlog,
			.queue = e->queue,
			.ledger = e->ledger,
			.expired = on_expired,
			.arg = e,
		},
		&feeder);
	atomic_store(&e->feeder, feeder);
	return r;
}

static int open_schedule(struct engine *e, const struct source_settings *s,
                         const struct source_listener *listener, struct source **ret_source)
{
	const struct schedule_options options = {
		.name = "schedule",
		.every_ns = s->every_ns,
		.jitter_ns = s->jitter_ns,
		.urls = s->urls.items,
		.n_urls = s->urls.n,
		.seed = random_seed(),
		.stop_fd = intake_stop_fd(e->intake),
		.listener = *listener,
	};
	return schedule_create(&options, ret_source);
}

static int open_file(struct engine *e, const struct source_settings *s, const char *cursor,
                     const struct source_listener *listener, struct source **ret_source)
{
	const struct urlfile_options options = {
		.path = s->path,
		.follow = s->follow,
		.resumes = e->backlog->durable,
		.cursor = cursor,
		.stop_fd = intake_stop_fd(e->intake),
		.listener = *listener,
	};
	return urlfile_create(&options, ret_source);
}

static int open_directory(struct engine *e, const struct source_settings *s, const char *cursor,
                          const struct source_listener *listener, struct source **ret_source)
{
	const struct directory_options options = {
		.name = s->path,
		.path = s->path,
		.cursor = cursor,
		.stop_fd = intake_stop_fd(e->intake),
		.listener = *listener,
	};
	return directory_create(&options, ret_source);
}

static int open_by_type(struct engine *e, const struct source_settings *s, const char *cursor,
                        const struct source_listener *listener, struct source **ret_source)
{
	switch (s->type) {
	case SOURCE_FILE:
		return open_file(e, s, cursor, listener, ret_source);
	case SOURCE_DIRECTORY:
		return open_directory(e, s, cursor, listener, ret_source);
	default:
		return open_schedule(e, s, listener, ret_source);
	}
}

/* Goes on where it was, if the backlog knows. */
static int open_source(struct engine *e, const struct source_settings *s, struct complaints *about,
                       struct buf *errors)
{
	const struct source_listener listener = { .complain = on_complaint, .notice = on_notice, .arg = about };
	const char *name = s->type == SOURCE_SCHEDULE ? "schedule" : s->path;
	struct source *source = NULL;
	struct buf cursor = { 0 };

	int r = backlog_cursor(e->backlog, name, &cursor);
	bool known = cursor.len > 0;
	buf_add_char(&cursor, '\0');
	if (r == 0)
		r = cursor.failed ? -ENOMEM
		                  : open_by_type(e, s, known ? cursor.data : NULL, &listener, &source);
	buf_done(&cursor);
	if (r < 0) {
		buf_printf(errors, "%s: cannot be read: %s\n", name, strerror(-r));
		return -ENXIO;
	}
	about->source = source->name;
	return intake_add(e->intake, source);
}

/* Opens every source, so that all that cannot be read are named, then starts them. */
static int start_intake(struct engine *e, const struct engine_options *options, struct buf *errors)
{
	uint64_t quarter = settings_max_jobs(e->options.settings) / 4;
	const struct intake_options intake_options = {
		.backlog = e->backlog,
		.max_batch = quarter > 0 ? quarter : 1,
		.ended = on_source_ended,
		.arg = e,
	};

	e->n_sources = options->n_sources;
	e->complaints = calloc(e->n_sources > 0 ? e->n_sources : 1, sizeof(*e->complaints));
	int first = e->complaints ? intake_create(&intake_options, &e->intake) : -ENOMEM;
	for (size_t i = 0; e->intake && i < options->n_sources; i++) {
		int r = open_source(e, &options->sources[i], &e->complaints[i], errors);
		first = first < 0 ? first : r;
	}
	return first < 0 ? first : intake_start(e->intake);
}

int engine_start_parts(struct engine *e, const struct engine_options *options, struct buf *errors)
{
	e->event_fd = event_create();
	int r = e->event_fd < 0 ? e->event_fd : engine_open_store(e, errors);
	if (r == 0)
		r = engine_open_bodies(e, errors);
	if (r == 0)
		r = engine_start_fetcher(e, errors);
	if (r == 0)
		r = start_queue(e);
	if (r == 0)
		r = start_recorder(e);
	if (r == 0)
		engine_set_aside_poisoned(e);
	if (r == 0)
		r = start_workers(e, errors);
	if (r == 0)
		r = start_feeder(e);
	if (r == 0)
		r = start_intake(e, options, errors);
	atomic_store(&e->started, r == 0);
	if (r < 0 && errors->len == 0)
		buf_printf(errors, "cannot start: %s\n", strerror(-r));
	return r;
}
