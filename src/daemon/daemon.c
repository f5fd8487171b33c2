/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "daemon/daemon.h"

#include "base/clock.h"
#include "base/crash.h"
#include "base/log.h"
#include "control/control.h"
#include "control/socket.h"
#include "daemon/dead_log.h"
#include "daemon/live.h"
#include "daemon/orders.h"
#include "daemon/paths.h"
#include "daemon/listeners.h"
#include "daemon/service.h"
#include "engine/engine.h"

#include <curl/curl.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

/*
 * The lifecycle:
 *
 *     settings ─► results ─► signals ─► sockets ─► database ─► engine ─► control ─► READY
 *        loop: signals, the engine's events, orders, the service manager's clock
 *     STOPPING ─► engine_stop ─► workers leave, or are aborted ─► what is left in memory
 *     is cancelled ─► control ─► engine ─► results ─► sockets
 */
struct daemon {
	struct live live;

	char *database;    /* NULL: jobs wait in memory */
	char *work_folder; /* the database's; NULL without one */
	uint64_t blamed;
	char *results_path;
	char *bodies_dir;
	struct results *results;
	struct control_socket socket;
	struct listeners listeners;
	struct engine *engine;
	struct control *control;
	struct orders orders; /* from the control socket */
	struct service service;
	int signal_fd;
	int64_t started_wall_us;

	struct dead_log dead_log;

	bool draining;
	bool drained;
	bool stopping;
	bool cancelled;       /* what was left has been recorded as such */
	uint64_t abort_at_ns; /* while stopping; NEVER once aborted */
	int exit_code;
};

/* --- settings ---------------------------------------------------------------------- */

static int say_cannot(const char *what, int error)
{
	log_error("%s: %s", what, strerror(-error));
	return daemon_cannot_create(error);
}

/* Whether there can be a folder for bodies, if there shall be one. */
static int check_bodies(struct daemon *d)
{
	const struct settings *s = &d->live.settings;

	if (s->results.bodies != BODIES_FILES)
		return DAEMON_OK;
	char *path = paths_state(s->results.bodies_dir);
	if (!path)
		return DAEMON_INTERNAL;
	int r = bodies_check_dir(path);
	int code = r < 0 ? say_cannot(path, r) : DAEMON_OK;
	free(path);
	return code;
}

static int show_settings(struct daemon *d)
{
	const struct live *live = &d->live;

	int code = check_bodies(d);
	if (code != DAEMON_OK)
		return code;
	if (!engine_check_rules(&live->settings))
		return DAEMON_CONFIG;
	const struct settings_others needs = listeners_needs(&live->settings);
	return settings_show(&live->settings, live->first, live->n_sources, &needs) < 0 ? DAEMON_IO
	                                                                                : DAEMON_OK;
}

/* For the workers' threads, which may not look at what this one changes. */
static void publish(struct daemon *d)
{
	atomic_store(&d->dead_log.queries, d->live.settings.fetch.log_queries);
}

/* Returns what live_reload() does; whoever asked for it, the log says so, too. */
static unsigned reload(struct daemon *d, struct buf *answer)
{
	service_reloading(&d->service);
	unsigned status = live_reload(&d->live, d->engine, false, answer);
	publish(d);
	service_ready(&d->service);
	if (status != 200) {
		log_error_lines(answer->data, answer->len);
		log_event(LOG_LEVEL_ERROR, LOG_EVENT_RELOAD_REFUSED, "reload: nothing has changed");
	}
	return status;
}

/* For a signal, which nobody waits for the answer of. */
static void reload_unasked(struct daemon *d)
{
	struct buf answer = { 0 };

	(void) reload(d, &answer);
	buf_done(&answer);
}

static void on_order(void *arg, struct control_order *order)
{
	struct daemon *d = arg;

	orders_put(&d->orders, order);
}

static void carry_out(struct daemon *d, struct control_order *order)
{
	unsigned status = 0;

	if (order->kind == CONTROL_SET)
		status = live_set(&d->live, d->engine, order->settings, order->n_settings,
		                  order->dry_run, &order->answer);
	else if (order->dry_run)
		status = live_reload(&d->live, d->engine, true, &order->answer);
	else
		status = reload(d, &order->answer);
	publish(d);
	orders_answer(order, status);
}

static void on_orders(struct daemon *d)
{
	struct control_order *order = NULL;

	while ((order = orders_take(&d->orders)))
		carry_out(d, order);
}

/* --- start ------------------------------------------------------------------------- */

static int catch_signals(struct daemon *d)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2 };
	sigset_t caught;

	(void) sigemptyset(&caught);
	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		(void) sigaddset(&caught, signals[i]);
	(void) sigprocmask(SIG_BLOCK, &caught, NULL);
	d->signal_fd = signalfd(-1, &caught, SFD_CLOEXEC | SFD_NONBLOCK);
	return d->signal_fd < 0 ? DAEMON_INTERNAL : DAEMON_OK;
}

static int open_results(struct daemon *d)
{
	const char *path = *d->live.settings.results.path != '\0' ? d->live.settings.results.path
	                                                     : "results.jsonl";

	d->results_path = paths_state(path);
	d->bodies_dir = paths_state(d->live.settings.results.bodies_dir);
	if (!d->results_path || !d->bodies_dir)
		return DAEMON_INTERNAL;
	int r = results_open(d->results_path, &d->results);
	if (r == -EWOULDBLOCK) {
		log_error("%s: another process appends to it", d->results_path);
		return DAEMON_CANNOT_CREATE;
	}
	return r < 0 ? say_cannot(d->results_path, r) : DAEMON_OK;
}

/* The socket that systemd listens on already, or one of our own. */
static int open_socket(struct daemon *d)
{
	unsigned mode = 0;
	char *path = NULL;
	int code = DAEMON_INTERNAL;

	int given_fd = service_listen_fd();
	if (given_fd >= 0) {
		d->socket = (struct control_socket) { .listen_fd = given_fd, .lock_fd = -1 };
		return DAEMON_OK;
	}
	if (!settings_control_mode(d->live.settings.control.mode, &mode) ||
	    !(path = paths_runtime(d->live.settings.control.socket)))
		return DAEMON_INTERNAL;

	int r = control_socket_open(path, mode, &d->socket);
	if (r == -EADDRINUSE) {
		log_error("%s: another penstockd serves this socket", path);
		code = DAEMON_CANNOT_CREATE;
	} else {
		code = r < 0 ? say_cannot(path, r) : DAEMON_OK;
	}
	free(path);
	return code;
}

static int open_listeners(struct daemon *d) { return listeners_open(&d->live.settings, &d->listeners); }

static char *folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return strdup(".");
	return strndup(path, slash > path ? (size_t) (slash - path) : 1);
}

/* Where the jobs are, and what the last daemon crashed with, if it did. */
static int find_database(struct daemon *d)
{
	char *crash_path = NULL;

	if (d->live.settings.backlog.type != BACKLOG_SQLITE)
		return DAEMON_OK;
	d->database = paths_state(d->live.settings.backlog.path);
	d->work_folder = d->database ? folder_of(d->database) : NULL;
	if (!d->work_folder || asprintf(&crash_path, "%s.crash", d->database) < 0)
		return DAEMON_INTERNAL;
	int r = crash_catch(crash_path, &d->blamed);
	int code = r < 0 ? say_cannot(crash_path, r) : DAEMON_OK;
	free(crash_path);
	return code;
}

/* Called by any worker. */
static void on_dead(void *arg, const struct job *job, const char *reason)
{
	struct daemon *d = arg;

	dead_log_tell(&d->dead_log, job, reason);
}

static int start_engine(struct daemon *d)
{
	struct buf errors = { 0 };
	const struct engine_options options = {
		.settings = &d->live.settings,
		.sources = d->live.settings.sources.items,
		.n_sources = d->live.n_sources,
		.results = d->results,
		.bodies_dir = d->bodies_dir,
		.database = d->database,
		.blamed = d->blamed,
		.is_read = true,
		.stalls = true,
		.dead = on_dead,
		.arg = d,
	};

	int r = engine_start(&options, &d->engine, &errors);
	if (r < 0)
		log_error_lines(errors.data, errors.len);
	buf_done(&errors);
	return r == 0 ? DAEMON_OK
	       : r == -ENXIO                  ? DAEMON_NO_INPUT
	       : r == -EBADFD                 ? DAEMON_IO
	       : r == -ENOTDIR                ? DAEMON_CANNOT_CREATE
	       : r == -EINVAL || r == -EAGAIN ? DAEMON_CONFIG
	                                      : DAEMON_INTERNAL;
}

static bool is_healthy(void *arg, char *why, size_t size)
{
	struct daemon *d = arg;
	struct buf text = { 0 };
	bool healthy = engine_is_healthy(d->engine, &text);

	(void) snprintf(why, size, "%.*s", (int) text.len, text.data ? text.data : "");
	buf_done(&text);
	return healthy;
}

static int start_control(struct daemon *d)
{
	const struct control_options options = {
		.listen_fd = d->socket.listen_fd,
		.readers = d->listeners.items,
		.n_readers = d->listeners.n,
		.host_names = &d->live.settings.control.host_names,
		.engine = d->engine,
		.version = PACKAGE_VERSION,
		.results_path = d->results_path,
		.work_folder = d->work_folder,
		.started_wall_us = d->started_wall_us,
		.healthy = is_healthy,
		.order = on_order,
		.arg = d,
	};

	int r = control_start(&options, &d->control);
	if (r < 0)
		log_error("the control socket cannot be served: %s", strerror(-r));
	return r < 0 ? DAEMON_INTERNAL : DAEMON_OK;
}

static int start(struct daemon *d)
{
	/* Opening a FIFO for results waits for its reader; a signal has to end that, so
	 * none is caught before. */
	static int (*const steps[])(struct daemon *d) = {
		check_bodies, open_results, catch_signals, open_socket, open_listeners,
		find_database, start_engine, start_control,
	};

	d->started_wall_us = clock_wall_us();
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		int code = steps[i](d);
		if (code != DAEMON_OK)
			return code;
	}
	control_set_phase(d->control, CONTROL_READY);
	service_ready(&d->service);
	log_event(LOG_LEVEL_INFO, LOG_EVENT_READY,
	          "ready: workers %llu, queue.capacity %llu, sources %zu",
	         (unsigned long long) d->live.settings.workers,
	         (unsigned long long) d->live.settings.queue.capacity, d->live.n_sources);
	return DAEMON_OK;
}

/* --- the loop ---------------------------------------------------------------------- */

static void begin_stop(struct daemon *d)
{
	d->stopping = true;
	d->abort_at_ns = clock_after(clock_now_ns(), d->live.settings.stop_timeout_ns);
	control_set_phase(d->control, CONTROL_STOPPING); /* who reads that it stops may rely on it */
	log_event(LOG_LEVEL_INFO, LOG_EVENT_STOPPING, "stopping");
	service_stopping(&d->service, d->live.settings.stop_timeout_ns);
	engine_stop(d->engine);
	orders_close(&d->orders);
}

static void abort_now(struct daemon *d)
{
	d->abort_at_ns = NEVER;
	engine_abort(d->engine);
}

static void log_state(struct daemon *d)
{
	struct engine_stats stats;
	const uint64_t *jobs = stats.ledger.jobs;

	engine_stats(d->engine, &stats);
	log_info("queue %zu/%zu; accepted %llu = waiting %llu + queued %llu + running %llu + done %llu "
	         "+ dead %llu + cancelled %llu",
	         stats.queue.depth_jobs, stats.queue.capacity_jobs,
	         (unsigned long long) stats.ledger.accepted,
	         (unsigned long long) jobs[LEDGER_WAITING], (unsigned long long) jobs[LEDGER_QUEUED],
	         (unsigned long long) jobs[LEDGER_RUNNING], (unsigned long long) jobs[LEDGER_DONE],
	         (unsigned long long) jobs[LEDGER_DEAD],
	         (unsigned long long) jobs[LEDGER_CANCELLED]);
}

static void reopen_results(struct daemon *d)
{
	int r = results_reopen(d->results);

	if (r < 0)
		log_error("%s: cannot be opened anew: %s; the old file stays in use", d->results_path,
		          strerror(-r));
	else
		log_event(LOG_LEVEL_INFO, LOG_EVENT_RESULTS_REOPENED, "%s: opened anew", d->results_path);
}

static void on_signal(struct daemon *d)
{
	struct signalfd_siginfo info;

	if (read(d->signal_fd, &info, sizeof(info)) != sizeof(info))
		return;
	switch (info.ssi_signo) {
	case SIGHUP:
		if (!d->stopping)
			reload_unasked(d);
		break;
	case SIGUSR1:
		reopen_results(d);
		break;
	case SIGUSR2:
		log_state(d);
		break;
	default:
		if (d->stopping)
			abort_now(d);
		else
			begin_stop(d);
		break;
	}
}

/* Without its results the daemon is of no use.  While it stops, this is a full disk
 * that it has not waited for any longer. */
static void on_record_error(struct daemon *d, int error)
{
	log_event(LOG_LEVEL_ERROR, LOG_EVENT_RESULTS_FAILING, "%s: results cannot be written: %s; %s",
	          d->results_path, strerror(-error),
	          d->database ? "the next start makes up for it" : "what is left has no record");
	if (!d->stopping)
		begin_stop(d);
	d->exit_code = DAEMON_IO;
	abort_now(d);
}

/* Somebody has asked for it over the socket; it goes on until the daemon is stopped. */
static void on_draining(struct daemon *d, const struct engine_state *state)
{
	if (!d->draining)
		log_event(LOG_LEVEL_INFO, LOG_EVENT_DRAINING,
		          "draining: no more jobs are taken, those that were accepted are finished");
	d->draining = true;
	if (state->drained && !d->drained)
		log_event(LOG_LEVEL_INFO, LOG_EVENT_DRAINED, "drained: every accepted job is final");
	d->drained = state->drained;
	control_set_phase(d->control, d->drained ? CONTROL_DRAINED : CONTROL_DRAINING);
}

/* Returns whether all is over. */
static bool on_state(struct daemon *d)
{
	struct engine_state state;

	engine_state(d->engine, &state);
	control_set_results_error(d->control, state.record_error < 0 ? state.record_error
	                                                             : state.stalled);
	if (state.record_error < 0 && d->exit_code == DAEMON_OK)
		on_record_error(d, state.record_error);
	if (state.draining && !d->stopping)
		on_draining(d, &state);
	if (!d->stopping || state.phase != ENGINE_ENDED)
		return false;
	if (d->cancelled || d->database)
		return true; /* what a database holds is fetched by the next daemon */
	d->cancelled = true;
	if (state.record_error < 0)
		return true; /* nothing more can be recorded */
	if (engine_cancel_left(d->engine, "shutdown") < 0) {
		log_error("what is left cannot be recorded as cancelled: no thread for it");
		return true;
	}
	return false;
}

static void loop(struct daemon *d)
{
	struct pollfd set[] = {
		{ .fd = engine_event_fd(d->engine), .events = POLLIN },
		{ .fd = d->signal_fd, .events = POLLIN },
		{ .fd = d->orders.event_fd, .events = POLLIN },
	};

	while (!on_state(d)) {
		uint64_t tick_ns = service_next_ns(&d->service);
		uint64_t until_ns = d->abort_at_ns < tick_ns ? d->abort_at_ns : tick_ns;

		int n = poll(set, ARRAY_LEN(set), clock_poll_ms(until_ns));
		if (n > 0 && set[1].revents != 0)
			on_signal(d);
		if (n > 0 && set[2].revents != 0)
			on_orders(d);
		if (d->abort_at_ns <= clock_now_ns())
			abort_now(d);
		service_tick(&d->service, d->engine);
	}
	log_state(d);
}

/* --- the end ----------------------------------------------------------------------- */

static void end(struct daemon *d)
{
	orders_close(&d->orders);
	d->control = control_free(d->control);
	service_progress(&d->service);
	d->engine = engine_free(d->engine);
	service_progress(&d->service);
	int r = results_close(d->results);
	if (r < 0) {
		log_error("%s: results may not be on disk: %s", d->results_path, strerror(-r));
		d->exit_code = DAEMON_IO;
	}
	listeners_close(&d->listeners);
	control_socket_close(&d->socket);
	if (d->signal_fd >= 0)
		(void) close(d->signal_fd);
	free(d->results_path);
	free(d->bodies_dir);
	free(d->database);
	free(d->work_folder);
	live_done(&d->live);
	orders_destroy(&d->orders);
	dead_log_destroy(&d->dead_log);
}

int daemon_run(const struct daemon_options *options)
{
	struct daemon d = {
		.socket = { .listen_fd = -1, .lock_fd = -1 },
		.listeners = LISTENERS_NONE,
		.signal_fd = -1,
		.abort_at_ns = NEVER,
	};

	service_init(&d.service);
	if (dead_log_init(&d.dead_log) < 0)
		return DAEMON_INTERNAL;
	if (orders_init(&d.orders) < 0) {
		dead_log_destroy(&d.dead_log);
		return DAEMON_INTERNAL;
	}
	d.exit_code = live_init(&d.live, options) ? DAEMON_OK : DAEMON_CONFIG;
	publish(&d);
	if (d.exit_code == DAEMON_OK && options->check) {
		d.exit_code = show_settings(&d);
	} else if (d.exit_code == DAEMON_OK && curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		log_error("libcurl cannot be initialised");
		d.exit_code = DAEMON_INTERNAL;
	} else if (d.exit_code == DAEMON_OK) {
		d.exit_code = start(&d);
		if (d.exit_code == DAEMON_OK)
			loop(&d);
	}
	end(&d);
	return d.exit_code;
}
