/* SPDX-License-Identifier: Apache-2.0 */
/* engine.h: the whole engine in this process, against the test origin. */
#include "engine/engine.h"

#include "base/log.h"
#include "origin_process.h"
#include "unit.h"

#include <curl/curl.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/stat.h>

static struct origin_process origin;

/* --- the stage --------------------------------------------------------------------- */

struct stage {
	char folder[32];
	char urls[64];
	char path[64]; /* of the results log */
	struct settings settings;
	struct config *config;
	struct results *results;
	struct engine *engine;
	atomic_uint dead;
};

static void load_settings(struct stage *s)
{
	static const char *const overrides[] = {
		"workers=4",     "queue.capacity=10",         "retry.base=1ms",
		"retry.max=2ms", "fetch.connect_timeout=60s", "fetch.timeout=60s"
	};
	struct buf errors = { 0 };

	CU_ASSERT_EQUAL_FATAL(settings_load(SETTINGS_DAEMON, NULL, overrides, ARRAY_LEN(overrides), &s->settings,
	                                    &s->config, &errors),
	                      0);
	buf_done(&errors);
}

static void begin(struct stage *s)
{
	*s = (struct stage) { .folder = "/tmp/penstock-test-XXXXXX" };
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(s->folder));
	(void) snprintf(s->urls, sizeof(s->urls), "%s/urls", s->folder);
	(void) snprintf(s->path, sizeof(s->path), "%s/results", s->folder);
	load_settings(s);
}

/* Appends 'n' lines: "@" in a line stands for the origin, "#" for the line's number. */
static void add_urls(struct stage *s, const char *line, unsigned n)
{
	FILE *file = fopen(s->urls, "ae");

	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	for (unsigned i = 0; i < n; i++) {
		for (const char *at = line; *at != '\0'; at++) {
			if (*at == '@')
				(void) fprintf(file, "http://127.0.0.1:%u", (unsigned) origin.port);
			else if (*at == '#')
				(void) fprintf(file, "%u", i);
			else
				(void) fputc(*at, file);
		}
		(void) fputc('\n', file);
	}
	(void) fclose(file);
}

static void on_dead(void *arg, const struct job *job, const char *reason)
{
	struct stage *s = arg;

	(void) job, (void) reason;
	(void) atomic_fetch_add(&s->dead, 1);
}

static void start(struct stage *s)
{
	const struct source_settings source = { .type = SOURCE_FILE, .path = s->urls };
	struct buf errors = { 0 };

	CU_ASSERT_EQUAL_FATAL(results_open(s->path, &s->results), 0);
	const struct engine_options options = {
		.settings = &s->settings,
		.sources = &source,
		.n_sources = 1,
		.results = s->results,
		.dead = on_dead,
		.arg = s,
	};
	CU_ASSERT_EQUAL_FATAL(engine_start(&options, &s->engine, &errors), 0);
	CU_ASSERT_EQUAL(errors.len, 0);
	buf_done(&errors);
}

static void end(struct stage *s)
{
	s->engine = engine_free(s->engine);
	CU_ASSERT_EQUAL(results_close(s->results), 0);
	s->config = config_free(s->config);
	(void) unlink(s->urls);
	(void) unlink(s->path);
	CU_ASSERT_EQUAL(rmdir(s->folder), 0);
}

static uint64_t sum_of(const struct ledger_balance *b)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < LEDGER_ACCOUNTS; i++)
		sum += b->jobs[i];
	return sum;
}

/* The counters now, which must balance and keep to their bounds. */
static struct engine_stats stats_of(struct stage *s)
{
	struct engine_stats stats;

	engine_stats(s->engine, &stats);
	CU_ASSERT_EQUAL(stats.ledger.accepted, sum_of(&stats.ledger));
	CU_ASSERT_TRUE(stats.queue.depth_jobs <= s->settings.queue.capacity);
	CU_ASSERT_TRUE(stats.backlog.held_jobs <= stats.backlog.max_jobs);
	return stats;
}

/* Waits until the engine has ended; returns its state. */
static struct engine_state await_end(struct stage *s)
{
	struct pollfd event = { .fd = engine_event_fd(s->engine), .events = POLLIN };
	struct engine_state state;

	while (engine_state(s->engine, &state), state.phase != ENGINE_ENDED) {
		(void) poll(&event, 1, -1);
		(void) stats_of(s);
	}
	return state;
}

static void expect_ledger(struct stage *s, uint64_t done, uint64_t dead, uint64_t waiting)
{
	const struct engine_stats stats = stats_of(s);

	CU_ASSERT_EQUAL(stats.ledger.accepted, done + dead + waiting);
	CU_ASSERT_EQUAL(stats.ledger.jobs[LEDGER_DONE], done);
	CU_ASSERT_EQUAL(stats.ledger.jobs[LEDGER_DEAD], dead);
	CU_ASSERT_EQUAL(stats.ledger.jobs[LEDGER_WAITING], waiting);
	CU_ASSERT_EQUAL(atomic_load(&s->dead), dead);
}

/* What the records of a log say. */
struct log_sums {
	long lines;
	long done, dead, cancelled;
	long attempts; /* summed */
	bool sound;    /* each line is an object, and their numbers are gapless */
};

static struct log_sums read_log(const char *path)
{
	struct log_sums t = { .sound = true };
	FILE *file = fopen(path, "re");
	char *line = NULL;
	size_t size = 0;

	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	while (getline(&line, &size, file) > 0) {
		json_t *record = json_loads(line, 0, NULL);
		const char *outcome = json_string_value(json_object_get(record, "outcome"));
		t.sound = t.sound && outcome &&
		          json_integer_value(json_object_get(record, "seq")) == ++t.lines;
		t.done += outcome && strcmp(outcome, "done") == 0;
		t.dead += outcome && strcmp(outcome, "dead") == 0;
		t.cancelled += outcome && strcmp(outcome, "cancelled") == 0;
		t.attempts += (long) json_integer_value(json_object_get(record, "attempts"));
		json_decref(record);
	}
	free(line);
	(void) fclose(file);
	return t;
}

/* --- finishing --------------------------------------------------------------------- */

static void test_a_file_of_urls_is_finished(void)
{
	struct stage s;

	begin(&s);
	add_urls(&s, "@/ok?#", 300);
	add_urls(&s, "@/status/404?#", 30);
	add_urls(&s, "@/redirect/2", 10);
	add_urls(&s, "no url", 5);
	start(&s);
	const struct engine_state state = await_end(&s);
	CU_ASSERT_EQUAL(state.record_error, 0);
	CU_ASSERT_FALSE(state.source_failed);
	expect_ledger(&s, 310, 30, 0);

	const struct engine_stats stats = stats_of(&s);
	CU_ASSERT_EQUAL(stats.recorder.recorded, 340);
	CU_ASSERT_EQUAL(stats.workers.attempts, 340);
	CU_ASSERT_EQUAL(stats.intake.sources.jobs, 340);
	CU_ASSERT_EQUAL(stats.intake.sources.bad_lines, 5);
	CU_ASSERT_EQUAL(stats.backlog.held_jobs, 0);
	CU_ASSERT_TRUE(stats.queue.high_water_jobs <= 10);

	const struct log_sums log = read_log(s.path);
	CU_ASSERT_TRUE(log.sound);
	CU_ASSERT_EQUAL(log.lines, 340);
	CU_ASSERT_EQUAL(log.done, 310);
	CU_ASSERT_EQUAL(log.dead, 30);
	end(&s);
}

static void test_an_empty_file_is_finished(void)
{
	struct stage s;

	begin(&s);
	add_urls(&s, "", 0);
	start(&s);
	(void) await_end(&s);
	expect_ledger(&s, 0, 0, 0);
	end(&s);
}

static void test_failures_that_pass_are_retried(void)
{
	struct stage s;

	begin(&s);
	add_urls(&s, "@/flaky/2/engine-#", 20);
	add_urls(&s, "@/status/503?#", 10); /* five attempts each, and dead */
	start(&s);
	(void) await_end(&s);
	expect_ledger(&s, 20, 10, 0);
	CU_ASSERT_EQUAL(stats_of(&s).workers.attempts, 20 * 3 + 10 * 5);
	CU_ASSERT_EQUAL(stats_of(&s).workers.retries, 20 * 2 + 10 * 4);

	const struct log_sums log = read_log(s.path);
	CU_ASSERT_TRUE(log.sound);
	CU_ASSERT_EQUAL(log.lines, 30);
	CU_ASSERT_EQUAL(log.attempts, 20 * 3 + 10 * 5);
	end(&s);
}

static void test_a_source_that_cannot_be_opened_is_named(void)
{
	struct stage s;
	struct buf errors = { 0 };

	begin(&s);
	const struct source_settings sources[] = {
		{ .type = SOURCE_FILE, .path = "/nowhere/one" },
		{ .type = SOURCE_FILE, .path = "/nowhere/two" },
	};
	CU_ASSERT_EQUAL_FATAL(results_open(s.path, &s.results), 0);
	const struct engine_options options = {
		.settings = &s.settings,
		.sources = sources,
		.n_sources = 2,
		.results = s.results,
	};
	CU_ASSERT_EQUAL(engine_start(&options, &s.engine, &errors), -ENXIO);
	CU_ASSERT_PTR_NULL(s.engine);
	buf_add_char(&errors, '\0');
	CU_ASSERT_PTR_NOT_NULL(strstr(errors.data, "/nowhere/one: "));
	CU_ASSERT_PTR_NOT_NULL(strstr(errors.data, "/nowhere/two: "));
	buf_done(&errors);
	end(&s);
}

/* --- stopping ---------------------------------------------------------------------- */

static void test_a_stop_lets_running_fetches_finish(void)
{
	struct stage s;
	struct engine_state state;

	begin(&s);
	add_urls(&s, "@/delay/0.3?#", 100);
	origin_await_in_flight(&origin, 0);
	start(&s);
	origin_await_in_flight(&origin, 4);
	engine_stop(s.engine);
	engine_stop(s.engine);
	engine_state(s.engine, &state);
	CU_ASSERT_NOT_EQUAL(state.phase, ENGINE_RUNNING);
	CU_ASSERT_EQUAL(stats_of(&s).queue.depth_jobs, 0);
	(void) await_end(&s);

	const struct engine_stats stats = stats_of(&s);
	CU_ASSERT_TRUE(stats.ledger.jobs[LEDGER_DONE] >= 4);
	CU_ASSERT_TRUE(stats.ledger.jobs[LEDGER_WAITING] > 0);
	CU_ASSERT_EQUAL(stats.ledger.jobs[LEDGER_QUEUED] + stats.ledger.jobs[LEDGER_RUNNING], 0);
	CU_ASSERT_EQUAL(stats.workers.alive, 0);
	CU_ASSERT_EQUAL(read_log(s.path).done, (long) stats.ledger.jobs[LEDGER_DONE]);
	end(&s);
}

static void test_an_abort_ends_stalled_fetches(void)
{
	struct stage s;
	struct engine_state state;

	begin(&s);
	add_urls(&s, "@/stall?#", 20);
	origin_await_in_flight(&origin, 0);
	start(&s);
	origin_await_in_flight(&origin, 4);
	engine_stop(s.engine);
	engine_state(s.engine, &state);
	CU_ASSERT_EQUAL(state.phase, ENGINE_STOPPING);
	engine_abort(s.engine);
	engine_abort(s.engine);
	(void) await_end(&s);

	/* An aborted attempt does not count, and its job is not final. */
	const struct engine_stats stats = stats_of(&s);
	CU_ASSERT_EQUAL(stats.ledger.jobs[LEDGER_WAITING], stats.ledger.accepted);
	CU_ASSERT_TRUE(stats.ledger.accepted >= 4 && stats.ledger.accepted <= 20);
	CU_ASSERT_EQUAL(stats.workers.attempts, 0);
	CU_ASSERT_EQUAL(read_log(s.path).lines, 0);
	end(&s);
}

static void test_what_is_left_can_be_recorded_as_cancelled(void)
{
	struct stage s;

	begin(&s);
	add_urls(&s, "@/stall?#", 20);
	origin_await_in_flight(&origin, 0);
	start(&s);
	origin_await_in_flight(&origin, 4);
	engine_stop(s.engine);
	engine_abort(s.engine);
	(void) await_end(&s);
	CU_ASSERT_EQUAL(engine_cancel_left(s.engine, "shutdown"), 0);
	(void) await_end(&s);

	const struct engine_stats stats = stats_of(&s);
	CU_ASSERT_EQUAL(stats.ledger.jobs[LEDGER_CANCELLED], stats.ledger.accepted);
	const struct log_sums log = read_log(s.path);
	CU_ASSERT_TRUE(log.sound);
	CU_ASSERT_EQUAL(log.cancelled, (long) stats.ledger.accepted);
	end(&s);
}

static void test_a_running_engine_can_be_freed(void)
{
	struct stage s;

	begin(&s);
	add_urls(&s, "@/stall?#", 20);
	origin_await_in_flight(&origin, 0);
	start(&s);
	origin_await_in_flight(&origin, 4);
	end(&s);
	CU_ASSERT_PTR_NULL(engine_free(NULL));
}

/* --- results that cannot be written ------------------------------------------------ */

/* Makes the results log a FIFO; returns its reader. */
static int make_fifo(struct stage *s)
{
	CU_ASSERT_EQUAL_FATAL(mkfifo(s->path, 0600), 0);
	int reader = open(s->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	CU_ASSERT_TRUE_FATAL(reader >= 0);
	return reader;
}

/* Of jobs that are not fetched: the feeder records them. */
#define EXPIRED ",\"deadline\":\"2020-01-01T00:00:00Z\""

/* Fills the file with jobs whose records are some 16 KiB each; with 'more' members. */
static void add_bulky_urls(struct stage *s, unsigned n, const char *more)
{
	enum { META = 16 * 1024 };
	struct buf line = { 0 };

	buf_add_str(&line, "{\"url\":\"@/ok?#\",\"meta\":\"");
	for (int i = 0; i < META; i++)
		buf_add_char(&line, 'm');
	buf_add_char(&line, '"');
	buf_add_str(&line, more);
	buf_add_str(&line, "}");
	buf_add_char(&line, '\0');
	add_urls(s, line.data, n);
	buf_done(&line);
}

static void await_blocked(struct stage *s)
{
	while (stats_of(s).recorder.workers_blocked_ns == 0)
		(void) sched_yield();
}

enum { BULKY = 200 };

static void hold_up(struct stage *s, const char *more)
{
	char piece[65536];
	unsigned lines = 0;

	begin(s);
	int reader = make_fifo(s);
	add_bulky_urls(s, BULKY, more);
	start(s);
	await_blocked(s);
	CU_ASSERT_TRUE(stats_of(s).ledger.accepted < BULKY);
	while (lines < BULKY) {
		ssize_t n = read(reader, piece, sizeof(piece));
		for (ssize_t i = 0; i < n; i++)
			lines += piece[i] == '\n';
		if (n <= 0)
			(void) sched_yield();
	}
	(void) await_end(s);
	(void) close(reader);
}

static void test_a_reader_that_does_not_read_holds_everything_up(void)
{
	struct stage s;

	hold_up(&s, "");
	expect_ledger(&s, BULKY, 0, 0);
	end(&s);
	hold_up(&s, EXPIRED);
	expect_ledger(&s, 0, BULKY, 0);
	end(&s);
}

static void test_an_abort_leaves_a_reader_that_does_not_read(void)
{
	static const char *const kinds[] = { "", EXPIRED };

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		struct stage s;
		begin(&s);
		int reader = make_fifo(&s);
		add_bulky_urls(&s, BULKY, kinds[i]);
		start(&s);
		await_blocked(&s);
		engine_stop(s.engine);
		engine_abort(s.engine);
		const struct engine_state state = await_end(&s);
		CU_ASSERT_EQUAL(state.record_error, -ECANCELED);
		end(&s);
		(void) close(reader);
	}
}

static void test_a_lost_reader_is_reported(void)
{
	static const char *const kinds[] = { "@/ok?#", "{\"url\":\"@/ok?#\"" EXPIRED "}" };

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		struct stage s;
		struct engine_state state;

		begin(&s);
		int reader = make_fifo(&s);
		add_urls(&s, kinds[i], 100);
		start(&s);
		(void) close(reader);
		struct pollfd event = { .fd = engine_event_fd(s.engine), .events = POLLIN };
		do {
			(void) poll(&event, 1, -1);
			engine_state(s.engine, &state);
		} while (state.phase == ENGINE_RUNNING && state.record_error == 0);
		engine_stop(s.engine);
		(void) await_end(&s);
		end(&s);
	}
}

/* --- changing ---------------------------------------------------------------------- */

static void apply(struct stage *s)
{
	struct fetch_rules *rules = NULL;
	struct buf errors = { 0 };

	CU_ASSERT_EQUAL_FATAL(engine_make_rules(&s->settings, &rules, &errors), 0);
	CU_ASSERT_EQUAL(engine_apply(s->engine, rules), 0);
	CU_ASSERT_EQUAL(errors.len, 0);
	fetch_rules_unref(rules);
}

static void test_limits_change_while_it_runs(void)
{
	static const unsigned sizes[] = { 1, 12, 3, 8, 2 };
	struct stage s;

	begin(&s);
	add_urls(&s, "@/ok?#", 1000);
	start(&s);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		s.settings.workers = sizes[i];
		apply(&s);
		CU_ASSERT_EQUAL(stats_of(&s).workers.wanted, sizes[i]);
	}
	s.settings.queue.capacity = 20;
	apply(&s);
	CU_ASSERT_EQUAL(stats_of(&s).queue.capacity_jobs, 20);
	(void) await_end(&s);
	expect_ledger(&s, 1000, 0, 0);
	end(&s);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "a file of URLs is finished", test_a_file_of_urls_is_finished },
		{ "an empty file is finished", test_an_empty_file_is_finished },
		{ "failures that pass are retried", test_failures_that_pass_are_retried },
		{ "a source that cannot be opened is named",
		  test_a_source_that_cannot_be_opened_is_named },
		{ "a stop lets running fetches finish", test_a_stop_lets_running_fetches_finish },
		{ "an abort ends stalled fetches", test_an_abort_ends_stalled_fetches },
		{ "what is left can be recorded as cancelled",
		  test_what_is_left_can_be_recorded_as_cancelled },
		{ "a running engine can be freed", test_a_running_engine_can_be_freed },
		{ "a reader that does not read holds everything up",
		  test_a_reader_that_does_not_read_holds_everything_up },
		{ "an abort leaves a reader that does not read",
		  test_an_abort_leaves_a_reader_that_does_not_read },
		{ "a lost reader is reported", test_a_lost_reader_is_reported },
		{ "limits change while it runs", test_limits_change_while_it_runs },
		CU_TEST_INFO_NULL,
	};

	if (!origin_is_there())
		return ORIGIN_SKIP;
	(void) signal(SIGPIPE, SIG_IGN); /* as the programs do */
	log_open("test_engine", LOG_LEVEL_ERROR);
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || !origin_start(&origin))
		return EXIT_FAILURE;
	int status = unit_run("engine", tests);
	return origin_stop(&origin) ? status : EXIT_FAILURE;
}
