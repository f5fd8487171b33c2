/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/engine.h"

#include "backlog/memory.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "engine/feeder.h"
#include "engine/retry.h"
#include "source/schedule.h"
#include "source/urlfile.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct engine {
	struct engine_options options;

	/* In the order of their start. */
	struct ledger *ledger;
	struct fetcher *fetcher;
	struct backlog *backlog;
	struct queue *queue;
	struct recorder *recorder;
	struct workers *workers;
	struct feeder *feeder;
	struct intake *intake;
	struct log_limit *limits; /* of the complaints about each source */

	int event_fd;
	atomic_bool stopping;
	atomic_bool workers_left;
	atomic_bool source_failed;
	atomic_int record_error;
	atomic_int trouble;
};

/* --- what the threads report ------------------------------------------------------- */

static void notify(struct engine *e)
{
	const uint64_t one = 1;

	if (write(e->event_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		abort(); /* an eventfd takes 8 bytes unless its counter is full */
}

static bool all_final(struct engine *e)
{
	struct ledger_balance b;

	ledger_balance(e->ledger, &b);
	return b.accepted ==
	       b.jobs[LEDGER_DONE] + b.jobs[LEDGER_DEAD] + b.jobs[LEDGER_CANCELLED];
}

static bool is_finished(struct engine *e)
{
	return intake_has_ended(e->intake) && all_final(e);
}

static void on_settled(void *arg, int error)
{
	struct engine *e = arg;
	int none = 0;

	if (error < 0 && atomic_compare_exchange_strong(&e->record_error, &none, error))
		notify(e);
	else if (atomic_load(&e->stopping) || is_finished(e))
		notify(e);
}

static void on_trouble(void *arg, int error)
{
	struct engine *e = arg;

	if (error < 0)
		log_error("results cannot be written: %s; nothing is lost, fetching waits until they can",
		          strerror(-error));
	else
		log_info("results can be written again");
	atomic_store(&e->trouble, error);
}

static void on_source_ended(void *arg, const char *source, int error)
{
	struct engine *e = arg;

	if (error < 0) {
		log_about(LOG_LEVEL_ERROR, &(struct log_fields) { .source = source },
		          "%s: reading failed: %s; what was read so far goes on", source,
		          strerror(-error));
		atomic_store(&e->source_failed, true);
	}
	notify(e);
}

static void on_workers_left(void *arg)
{
	struct engine *e = arg;

	atomic_store(&e->workers_left, true);
	notify(e);
}

static void on_dead(void *arg, const struct job *job, const char *reason)
{
	struct engine *e = arg;

	e->options.dead(e->options.arg, job, reason);
}

static void on_complaint(void *arg, const struct source_complaint *c)
{
	struct log_limit *limit = arg;
	uint64_t held_back = 0;

	if (!log_allowed(limit, clock_now_ns()))
		return;
	held_back = log_take_held_back(limit);
	const struct log_fields about = { .source = c->source };
	if (held_back > 0)
		log_about(LOG_LEVEL_WARNING, &about, "%s: %llu more bad lines, not shown", c->source,
		          (unsigned long long) held_back);
	if (c->line > 0)
		log_about(LOG_LEVEL_WARNING, &about, "%s:%llu: skipped: %s", c->source,
		          (unsigned long long) c->line, c->why);
	else
		log_about(LOG_LEVEL_WARNING, &about, "%s: skipped: %s", c->source, c->why);
}

/* --- starting ---------------------------------------------------------------------- */

static int start_fetcher(struct engine *e, struct buf *errors)
{
	const struct settings *s = e->options.settings;
	struct buf servers = { 0 };

	for (size_t i = 0; i < s->fetch.dns_servers.n; i++)
		buf_printf(&servers, "%s%s", i > 0 ? "," : "", s->fetch.dns_servers.items[i]);
	buf_add_char(&servers, '\0');

	const struct fetch_options options = {
		.connect_timeout_ns = s->fetch.connect_timeout_ns,
		.max_redirects = (unsigned) s->fetch.max_redirects,
		.max_body_bytes = s->fetch.max_body,
		.user_agent = s->fetch.user_agent,
		.max_idle = s->fetch.idle_connections,
		.resolver = {
			.servers = servers.data,
			.max_waiters = (unsigned) (s->workers > 1 ? s->workers / 2 : 1),
			.max_cached = 4096 + s->workers,
			.min_ttl_ns = 1 * NS_PER_S,
			.max_ttl_ns = 300 * NS_PER_S,
			.failure_ttl_ns = 2 * NS_PER_S,
		},
	};
	int r = servers.failed ? -ENOMEM : fetcher_create(&options, &e->fetcher);
	if (r == -EINVAL)
		buf_printf(errors, "fetch.dns_servers: %s: not a list of addresses\n", servers.data);
	buf_done(&servers);
	return r;
}

static int start_middle(struct engine *e)
{
	const struct settings *s = e->options.settings;

	int r = memory_backlog_create(settings_max_jobs(s), s->backlog.max_bytes, &e->backlog);
	if (r == 0)
		r = queue_create(s->queue.capacity, s->queue.max_bytes, &e->queue);
	if (r == 0)
		r = recorder_create(
			&(struct recorder_options) {
				.results = e->options.results,
				.backlog = e->backlog,
				.ledger = e->ledger,
				.stalls = e->options.stalls,
				.trouble = on_trouble,
				.settled = on_settled,
				.arg = e,
			},
			&e->recorder);
	return r;
}

static struct workers_policy policy_of(const struct settings *s)
{
	struct workers_policy policy = {
		.retry = {
			.max_attempts = s->retry.max_attempts,
			.base_ns = s->retry.base_ns,
			.max_ns = s->retry.max_ns,
			.max_retry_after_ns = s->retry.max_retry_after_ns,
		},
		.timeout_ns = s->fetch.timeout_ns,
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
		.fetcher = e->fetcher,
		.recorder = e->recorder,
		.ledger = e->ledger,
		.policy = policy_of(s),
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

static int start_feeder(struct engine *e)
{
	return feeder_create(
		&(struct feeder_options) {
			.backlog = e->backlog,
			.queue = e->queue,
			.ledger = e->ledger,
		},
		&e->feeder);
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

static int open_file(struct engine *e, const struct source_settings *s,
                     const struct source_listener *listener, struct source **ret_source)
{
	const struct urlfile_options options = {
		.path = s->path,
		.follow = s->follow,
		.stop_fd = intake_stop_fd(e->intake),
		.listener = *listener,
	};
	return urlfile_create(&options, ret_source);
}

static int open_source(struct engine *e, const struct source_settings *s, struct log_limit *limit,
                       struct buf *errors)
{
	const struct source_listener listener = { .complain = on_complaint, .arg = limit };
	struct source *source = NULL;

	int r = s->type == SOURCE_FILE ? open_file(e, s, &listener, &source)
	                               : open_schedule(e, s, &listener, &source);
	if (r < 0) {
		buf_printf(errors, "%s: cannot be read: %s\n",
		           s->type == SOURCE_FILE ? s->path : "schedule", strerror(-r));
		return r;
	}
	return intake_add(e->intake, source);
}

/* Opens every source, so that all that cannot be read are named, then starts them. */
static int start_intake(struct engine *e, const struct engine_options *options, struct buf *errors)
{
	uint64_t quarter = settings_max_jobs(e->options.settings) / 4;
	const struct intake_options intake_options = {
		.backlog = e->backlog,
		.ledger = e->ledger,
		.max_batch = quarter > 0 ? quarter : 1,
		.ended = on_source_ended,
		.arg = e,
	};

	e->limits = calloc(options->n_sources, sizeof(*e->limits));
	int first = !e->limits && options->n_sources > 0 ? -ENOMEM
	                                                 : intake_create(&intake_options, &e->intake);
	for (size_t i = 0; e->intake && i < options->n_sources; i++) {
		int r = open_source(e, &options->sources[i], &e->limits[i], errors);
		first = first < 0 ? first : r;
	}
	return first < 0 ? first : intake_start(e->intake);
}

static int start_all(struct engine *e, const struct engine_options *options, struct buf *errors)
{
	e->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int r = e->event_fd < 0 ? -errno : ledger_create(&e->ledger);
	if (r == 0)
		r = start_fetcher(e, errors);
	if (r == 0)
		r = start_middle(e);
	if (r == 0)
		r = start_workers(e, errors);
	if (r == 0)
		r = start_feeder(e);
	if (r == 0)
		r = start_intake(e, options, errors);
	if (r < 0 && errors->len == 0)
		buf_printf(errors, "cannot start: %s\n", strerror(-r));
	return r;
}

int engine_start(const struct engine_options *options, struct engine **ret_engine,
                 struct buf *errors)
{
	struct engine *e = calloc(1, sizeof(*e));
	if (!e)
		return -ENOMEM;

	e->event_fd = -1;
	e->options = *options;

	int r = start_all(e, options, errors);
	if (r < 0) {
		engine_free(e);
		return r;
	}
	*ret_engine = e;
	return 0;
}

/* --- state ------------------------------------------------------------------------- */

int engine_event_fd(const struct engine *e) { return e->event_fd; }

/* Every worker has left, and what they handed to the recorder is settled. */
static bool is_stopped(struct engine *e)
{
	struct ledger_balance b;

	ledger_balance(e->ledger, &b);
	return atomic_load(&e->workers_left) && b.jobs[LEDGER_RUNNING] == 0;
}

void engine_state(struct engine *e, struct engine_state *ret_state)
{
	uint64_t count = 0;

	/* Emptied first: whatever changes after this makes it readable again. */
	if (read(e->event_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		abort();

	bool stopping = atomic_load(&e->stopping);
	bool ended = stopping ? is_stopped(e) : is_finished(e);
	*ret_state = (struct engine_state) {
		.phase = ended ? ENGINE_ENDED : stopping ? ENGINE_STOPPING : ENGINE_RUNNING,
		.record_error = atomic_load(&e->record_error),
		.stalled = atomic_load(&e->trouble),
		.source_failed = atomic_load(&e->source_failed),
	};
}

void engine_stats(struct engine *e, struct engine_stats *ret_stats)
{
	ledger_balance(e->ledger, &ret_stats->ledger);
	queue_stats(e->queue, &ret_stats->queue);
	backlog_stats(e->backlog, &ret_stats->backlog);
	intake_stats(e->intake, &ret_stats->intake);
	workers_stats(e->workers, &ret_stats->workers);
	recorder_stats(e->recorder, &ret_stats->recorder);
	fetch_stats(e->fetcher, &ret_stats->fetch);
}

int engine_apply(struct engine *e)
{
	const struct settings *s = e->options.settings;
	const struct workers_policy policy = policy_of(s);

	workers_set_policy(e->workers, &policy);
	if (queue_set_capacity(e->queue, s->queue.capacity, s->queue.max_bytes) < 0)
		abort(); /* neither can be 0: the table of keys says so */
	return workers_resize(e->workers, (unsigned) s->workers);
}

bool engine_is_healthy(struct engine *e, struct buf *why)
{
	const char *doing = NULL;
	unsigned stuck = 0;

	if (workers_are_healthy(e->workers, clock_now_ns(), &stuck, &doing))
		return true;
	buf_printf(why, "%u workers are stuck, %s past their bound", stuck, doing);
	return false;
}

void engine_each_source(struct engine *e,
                        void (*visit)(void *arg, const struct intake_source *source), void *arg)
{
	intake_each(e->intake, visit, arg);
}

/* --- stopping ---------------------------------------------------------------------- */

/* Gives what stands in the queue back to the backlog. */
static void evict_queue(struct engine *e)
{
	struct job_list jobs = { 0 };
	struct verdict verdicts[64];

	queue_evict(e->queue, &jobs);
	while (jobs.len > 0) {
		size_t n = 0;
		for (; n < ARRAY_LEN(verdicts) && jobs.len > 0; n++)
			verdicts[n] = (struct verdict) { .job = job_list_take(&jobs),
				                         .kind = VERDICT_RETURN };
		ledger_move(e->ledger, LEDGER_QUEUED, LEDGER_WAITING, n);
		backlog_settle(e->backlog, verdicts, n);
	}
}

/* Records 'jobs', which were taken from the backlog, as cancelled. */
static void cancel_jobs(struct engine *e, struct job *const *jobs, size_t n, const char *reason)
{
	const struct response none = { 0 };
	struct buf line = { 0 };
	uint64_t now_ns = clock_now_ns();

	ledger_move(e->ledger, LEDGER_WAITING, LEDGER_RUNNING, n);
	for (size_t i = 0; i < n; i++) {
		const struct verdict verdict = { .job = jobs[i], .kind = VERDICT_FINAL };
		const struct result result = {
			.job = jobs[i],
			.outcome = OUTCOME_CANCELLED,
			.reason = reason,
			.response = &none,
			.finished_wall_us = clock_wall_us(),
			.queued_us = jobs[i]->ready_ns < now_ns
			                     ? (now_ns - jobs[i]->ready_ns) / NS_PER_US : 0,
		};
		buf_clear(&line);
		result_add_members(&result, &line);
		recorder_put(e->recorder, &verdict, OUTCOME_CANCELLED, &line);
	}
	buf_done(&line);
}

void engine_cancel_left(struct engine *e, const char *reason)
{
	struct job *jobs[64];
	uint64_t due_ns = 0;

	e->feeder = feeder_free(e->feeder); /* which may still hold some */
	for (size_t n; (n = backlog_take(e->backlog, NEVER - 1, ARRAY_LEN(jobs), jobs, &due_ns)) > 0;)
		cancel_jobs(e, jobs, n, reason);
}

/* Upstream first.  Parts may be missing if the start has failed half-way. */
void engine_stop(struct engine *e)
{
	if (atomic_exchange(&e->stopping, true))
		return;

	if (e->intake)
		intake_stop(e->intake);
	if (e->backlog)
		backlog_close(e->backlog);
	if (e->feeder)
		feeder_stop(e->feeder);
	if (e->queue) {
		queue_close(e->queue);
		evict_queue(e);
	}
}

void engine_abort(struct engine *e)
{
	fetcher_cancel(e->fetcher);
	results_cancel(e->options.results);
	if (e->recorder)
		recorder_abandon(e->recorder);
}

struct engine *engine_free(struct engine *e)
{
	if (!e)
		return NULL;

	engine_stop(e);
	if (e->workers && !is_stopped(e))
		engine_abort(e);
	feeder_free(e->feeder);
	workers_free(e->workers);
	recorder_free(e->recorder);
	intake_free(e->intake); /* jobs name their source until they are recorded */
	queue_free(e->queue);
	backlog_free(e->backlog);
	fetcher_free(e->fetcher);
	ledger_free(e->ledger);
	free(e->limits);
	if (e->event_fd >= 0)
		(void) close(e->event_fd);
	free(e);
	return NULL;
}
