/* SPDX-License-Identifier: Apache-2.0 */
/* `penstock fetch`: the engine in this process, until the list is done. */
#include "base/clock.h"
#include "base/log.h"
#include "base/units.h"
#include "cli/cli.h"
#include "cli/fetch_args.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "cli/url_files.h"
#include "engine/engine.h"

#include <curl/curl.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* A run from its settings to its exit code. */
struct run {
	struct fetch_args args;
	struct settings settings;
	struct config *config;
	struct source_settings *given; /* from the command line; owned */
	const struct source_settings *sources;
	size_t n_sources;

	struct results *results;
	struct engine *engine;
	struct engine_state state;
	struct engine_stats stats; /* of the end */
	int signal_fd;
	struct progress progress;
	bool draws;           /* a progress line is wanted and can be seen */
	bool bodies_failed;
	bool stopping;
	uint64_t abort_at_ns; /* while stopping; NEVER once aborted */
};

/* --- before the start -------------------------------------------------------------- */

static int read_settings(struct run *run)
{
	struct buf errors = { 0 };
	int r = settings_load(SETTINGS_FETCH, run->args.config_path,
	                      (const char *const *) run->args.overrides, run->args.n_overrides,
	                      &run->settings, &run->config, &errors);

	if (r < 0)
		log_error_lines(errors.data, errors.len);
	buf_done(&errors);
	if (r < 0)
		return EXIT_CONFIG;
	log_set_level((enum log_level) run->settings.log.level);
	run->settings.backlog.type = BACKLOG_MEMORY; /* a list is at its end, or begun again */
	return EXIT_OK;
}

/* Files of the command line go before those of the configuration; without either
 * it is standard input, unless a person sits there who did not mean that. */
static int choose_sources(struct run *run)
{
	static char dash[] = "-";
	static char *const standard_input[] = { dash };
	char *const *files = run->args.files;
	size_t n = run->args.n_files;

	run->sources = run->settings.sources.items;
	run->n_sources = run->settings.sources.n;
	if (n == 0 && run->n_sources > 0)
		return EXIT_OK;
	if (url_files_given("fetch", files, n))
		return EXIT_USAGE;
	if (n == 0) {
		if (isatty(STDIN_FILENO) && !run->args.check) {
			log_error("no URLs: name a FILE, or - for standard input; see penstock fetch --help");
			return EXIT_USAGE;
		}
		files = standard_input;
		n = 1;
	}

	run->given = calloc(n, sizeof(*run->given));
	if (!run->given)
		return EXIT_INTERNAL;
	for (size_t i = 0; i < n; i++)
		run->given[i] = (struct source_settings) {
			.type = SOURCE_FILE, .path = files[i], .follow = run->args.follow };
	run->sources = run->given;
	run->n_sources = n;
	return EXIT_OK;
}

/* --- start ------------------------------------------------------------------------- */

/* Where results go: standard output unless something else was asked for. */
static const char *results_path(const struct run *run)
{
	return *run->settings.results.path != '\0' ? run->settings.results.path : "-";
}

static int open_results(struct run *run)
{
	const char *path = results_path(run);
	int r = results_open(path, &run->results);

	if (r == -EWOULDBLOCK)
		log_error("%s: another process appends to it", path);
	else if (r < 0)
		log_error("%s: cannot be opened for results: %s",
		          strcmp(path, "-") == 0 ? "standard output" : path, strerror(-r));
	return r < 0 ? EXIT_CANNOT_CREATE : EXIT_OK;
}

/* Signals are blocked before any thread starts, and read by the main loop. */
static int catch_signals(struct run *run)
{
	sigset_t caught;

	(void) sigemptyset(&caught);
	interrupt_add_unless_ignored(&caught, SIGINT);
	(void) sigaddset(&caught, SIGTERM);
	interrupt_add_unless_ignored(&caught, SIGHUP);
	(void) sigaddset(&caught, SIGUSR2);
	(void) sigprocmask(SIG_BLOCK, &caught, NULL);
	run->signal_fd = signalfd(-1, &caught, SFD_CLOEXEC | SFD_NONBLOCK);
	return run->signal_fd < 0 ? EXIT_INTERNAL : EXIT_OK;
}

static int start_engine(struct run *run)
{
	struct buf errors = { 0 };
	const struct engine_options options = {
		.settings = &run->settings,
		.sources = run->sources,
		.n_sources = run->n_sources,
		.results = run->results,
		.bodies_dir = run->settings.results.bodies_dir,
	};

	int r = engine_start(&options, &run->engine, &errors);
	if (r < 0)
		log_error_lines(errors.data, errors.len);
	buf_done(&errors);
	return r == 0 ? EXIT_OK
	       : r == -ENXIO                  ? EXIT_NO_INPUT
	       : r == -ENOTDIR                ? EXIT_CANNOT_CREATE
	       : r == -EINVAL || r == -EAGAIN ? EXIT_CONFIG
	                                      : EXIT_INTERNAL;
}

/* --- the main loop ----------------------------------------------------------------- */

static void begin_stop(struct run *run)
{
	run->stopping = true;
	run->abort_at_ns = clock_after(clock_now_ns(), run->settings.stop_timeout_ns);
	engine_stop(run->engine);
}

static void abort_now(struct run *run)
{
	run->abort_at_ns = NEVER;
	engine_abort(run->engine);
}

static void say_stopping(const struct run *run)
{
	struct buf text = { 0 };

	buf_add_str(&text, "stopping: the fetches that run have up to ");
	units_add_duration(&text, run->settings.stop_timeout_ns);
	buf_add_str(&text, "; once more to stop now");
	buf_add_char(&text, '\0');
	if (!text.failed)
		log_info("%s", text.data);
	buf_done(&text);
}

static void on_signal(struct run *run)
{
	struct signalfd_siginfo info;
	struct engine_stats stats;

	if (read(run->signal_fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGUSR2) {
		engine_stats(run->engine, &stats);
		progress_log(&run->progress, &stats, clock_now_ns());
	} else if (run->stopping) {
		abort_now(run);
	} else {
		begin_stop(run);
		say_stopping(run);
	}
}

static void say_record_error(const struct run *run)
{
	if (run->state.record_error != -EPIPE && run->state.record_error != -ECANCELED)
		log_error("%s: results cannot be written: %s",
		          strcmp(results_path(run), "-") == 0 ? "standard output"
		                                              : results_path(run),
		          strerror(-run->state.record_error));
}

/* A results log that cannot be written to ends the run: fetching on would lose
 * what is fetched.  So do bodies that cannot be kept, which the engine has logged. */
static void on_state(struct run *run)
{
	bool known = run->state.record_error < 0, bodies_known = run->bodies_failed;

	engine_state(run->engine, &run->state);
	run->bodies_failed = run->bodies_failed || run->state.bodies_error < 0;
	if (run->state.record_error < 0 && !known)
		say_record_error(run);
	else if (run->bodies_failed == bodies_known)
		return;
	if (!run->stopping)
		begin_stop(run);
	abort_now(run);
}

static void draw(struct run *run)
{
	struct engine_stats stats;

	engine_stats(run->engine, &stats);
	progress_draw(&run->progress, &stats, clock_now_ns());
}

static void loop(struct run *run)
{
	struct pollfd set[] = {
		{ .fd = engine_event_fd(run->engine), .events = POLLIN },
		{ .fd = run->signal_fd, .events = POLLIN },
	};

	for (;;) {
		on_state(run);
		if (run->state.phase == ENGINE_ENDED)
			break;

		int wait_ms = run->stopping ? clock_poll_ms(run->abort_at_ns) : -1;
		if (run->draws && (wait_ms < 0 || wait_ms > PROGRESS_INTERVAL_MS))
			wait_ms = PROGRESS_INTERVAL_MS;
		int n = poll(set, ARRAY_LEN(set), wait_ms);
		if (n > 0 && set[1].revents != 0)
			on_signal(run);
		if (run->stopping && run->abort_at_ns <= clock_now_ns())
			abort_now(run);
		if (run->draws && n == 0)
			draw(run);
	}
	if (run->draws)
		progress_wipe();
}

/* --- the end ----------------------------------------------------------------------- */

static int close_results(struct run *run)
{
	int r = results_close(run->results);

	run->results = NULL;
	if (r < 0)
		log_error("%s: results may not be on disk: %s", results_path(run),
		          strerror(-r));
	return r < 0 ? EXIT_IO : EXIT_OK;
}

static int exit_code(const struct run *run, int closed)
{
	const struct ledger_balance *ledger = &run->stats.ledger;
	int record_error = run->state.record_error;

	if (closed != EXIT_OK || run->bodies_failed ||
	    (record_error < 0 && record_error != -EPIPE && record_error != -ECANCELED))
		return EXIT_IO;
	if ((run->stopping && !run->state.finished) || record_error < 0)
		return EXIT_UNFINISHED;
	if (run->state.source_failed)
		return EXIT_IO;
	return ledger->jobs[LEDGER_DEAD] > 0 || run->stats.intake.sources.bad_lines > 0
	               ? EXIT_SOME_FAILED
	               : EXIT_OK;
}

/* Not where results scroll by: they would stand in the middle of the line. */
static bool wants_progress(const struct run *run)
{
	bool results_are_seen = strcmp(results_path(run), "-") == 0 && isatty(STDOUT_FILENO);

	return !run->args.quiet && isatty(STDERR_FILENO) && !results_are_seen;
}

static int perform(struct run *run)
{
	int code = open_results(run);
	if (code == EXIT_OK)
		code = catch_signals(run);
	progress_start(&run->progress, clock_now_ns());
	if (code == EXIT_OK)
		code = start_engine(run);
	if (code != EXIT_OK)
		return code;

	loop(run);
	engine_stats(run->engine, &run->stats);
	run->engine = engine_free(run->engine);
	int closed = close_results(run);
	if (!run->args.quiet && run->state.record_error != -EPIPE)
		progress_summarise(&run->progress, &run->stats, clock_now_ns());
	return exit_code(run, closed);
}

static int show_settings(const struct run *run)
{
	const struct settings *s = &run->settings;
	const char *dir = s->results.bodies_dir;
	int r = s->results.bodies == BODIES_FILES ? bodies_check_dir(dir) : 0;

	if (r < 0) {
		log_error("%s: bodies cannot be kept here: %s", dir, strerror(-r));
		return EXIT_CANNOT_CREATE;
	}
	const struct settings_others none = { 0 };
	return settings_show(s, run->config, run->n_sources, &none) < 0 ? EXIT_IO : EXIT_OK;
}

static int prepare_and_perform(struct run *run)
{
	int code = read_settings(run);
	if (code == EXIT_OK)
		code = choose_sources(run);
	if (code == EXIT_OK && settings_allow_descriptors(&run->settings, run->n_sources, 0) < 0)
		code = EXIT_CONFIG;
	if (code == EXIT_OK && run->args.check && !engine_check_rules(&run->settings))
		code = EXIT_CONFIG;
	if (code == EXIT_OK && run->args.check)
		return show_settings(run);
	if (code != EXIT_OK)
		return code;

	run->draws = wants_progress(run);
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		log_error("libcurl cannot be initialised");
		return EXIT_INTERNAL;
	}
	code = perform(run);
	curl_global_cleanup();
	return code;
}

int cli_fetch(int argc, char **argv)
{
	struct run run = { .signal_fd = -1, .abort_at_ns = NEVER };

	int r = fetch_args_parse(argc, argv, &run.args);
	int code = r == 0 ? prepare_and_perform(&run)
	           : r > 0 ? EXIT_OK
	           : r == -EINVAL ? EXIT_USAGE
	                          : EXIT_INTERNAL;

	if (run.results)
		(void) !results_close(run.results);
	if (run.signal_fd >= 0)
		(void) close(run.signal_fd);
	free(run.given);
	config_free(run.config);
	fetch_args_done(&run.args);
	return code;
}
