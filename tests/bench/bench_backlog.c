/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_backlog [LANES...]
 *
 * What a job costs to accept and to take while so many lanes have jobs (1, 100, 100000 and
 * 1000000), and while all of them but one rest; of both backlogs, the durable one under TMPDIR.
 */
#include "backlog/memory.h"
#include "backlog/sqlite.h"
#include "base/clock.h"
#include "base/sync.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MAX_BATCH = 1000 };

struct bench {
	char directory[256];
	char path[300];
	struct backlog *b;
	struct url_parser *parser;
};

static void die(const char *what)
{
	(void) fprintf(stderr, "bench_backlog: %s failed\n", what);
	exit(EXIT_FAILURE);
}

static void remove_files(const struct bench *b)
{
	static const char *const suffixes[] = { "", "-wal", "-shm", ".lock" };

	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		char path[320];
		(void) snprintf(path, sizeof(path), "%s%s", b->path, suffixes[i]);
		(void) unlink(path);
	}
}

static void open_backlog(struct bench *b)
{
	struct buf why = { 0 };
	struct sqlite_backlog_options options = {
		.path = b->path,
		.max_jobs = 100000000,
		.max_bytes = UINT64_C(1) << 40,
		.max_out_bytes = UINT64_C(1) << 30,
		.remember_ns = 86400 * NS_PER_S,
		.ageing_ns = 600 * NS_PER_S,
	};

	if (sqlite_backlog_open(&options, &b->b, &why) < 0) {
		(void) fprintf(stderr, "bench_backlog: %.*s\n", (int) why.len, why.data);
		exit(EXIT_FAILURE);
	}
}

static struct job *new_job(struct url_parser *parser, size_t lane, size_t i)
{
	char line[96];
	struct job *job = NULL;
	struct buf why = { 0 };

	(void) snprintf(line, sizeof(line), "http://h%zu.example.com/some/where/page-%zu.html",
	                lane, i);
	if (job_parse(parser, line, strlen(line), &job, &why) < 0)
		die("job_parse");
	return job;
}

/* --- many lanes ---------------------------------------------------------------------------------- */

enum { TAKE_BATCH = 64, TAKES = 1500, OUT = TAKE_BATCH * TAKES, EMPTY_TAKES = 1000 };

/* Which lanes there are, and what the gate says of them. */
struct lanes_case {
	size_t lanes;
	bool rest;         /* all but lane 0, which has most of the jobs */
	uint64_t until_ns; /* they rest */
	size_t jobs;
	size_t room;       /* of a lane that does not rest */
	const char *open;  /* which one does not, NULL: none yet */
};

/* Of processor time, so that what else runs on the machine counts less.  The disk does not. */
struct lanes_figures {
	double accept_ns, rest_ns, empty_take_ns, take_ns;
};

static uint64_t spent_ns(clockid_t clock)
{
	struct timespec t;

	if (clock_gettime(clock, &t) < 0)
		die("clock_gettime");
	return (uint64_t) t.tv_sec * NS_PER_S + (uint64_t) t.tv_nsec;
}

/* By the thread that takes; by all, the writer included. */
static uint64_t thread_ns(void) { return spent_ns(CLOCK_THREAD_CPUTIME_ID); }
static uint64_t process_ns(void) { return spent_ns(CLOCK_PROCESS_CPUTIME_ID); }

static size_t room_of(void *arg, const char *origin, struct lane_rest *ret_rest)
{
	const struct lanes_case *c = arg;

	if (!c->rest || (c->open && strcmp(origin, c->open) == 0))
		return c->room;
	*ret_rest = (struct lane_rest) { .why = WAIT_PAUSED, .until_ns = c->until_ns };
	return 0;
}

static double accept_lanes(struct bench *b, const struct lanes_case *c)
{
	struct job *jobs[MAX_BATCH];
	uint64_t accept_ns = 0;

	for (size_t i = 0; i < c->jobs;) {
		size_t n = 0;
		for (; n < MAX_BATCH && i < c->jobs; n++, i++)
			jobs[n] = new_job(b->parser, c->rest && i >= c->lanes ? 0 : i % c->lanes, i);
		uint64_t start_ns = process_ns();
		if (backlog_submit_and_wait(b->b, &(struct submission) { .jobs = jobs, .n = n }) < 0)
			die("submit");
		accept_ns += process_ns() - start_ns;
	}
	return (double) accept_ns / (double) c->jobs;
}

/* Until a backlog with a writer has written all that it was told. */
static void await_silence(struct backlog *b)
{
	struct backlog_stats before, after;

	do {
		backlog_stats(b, &before);
		(void) usleep(1000000);
		backlog_stats(b, &after);
	} while (after.commits > before.commits);
}

/* Has all lanes rest, looks what a take costs then, and opens lane 0. */
static void rest_lanes(struct bench *b, struct lanes_case *c, struct lanes_figures *f)
{
	const struct backlog_gate gate = { .room = room_of, .arg = c };
	struct job *jobs[TAKE_BATCH];
	uint64_t due, start_ns = thread_ns();

	if (backlog_take(b->b, clock_now_ns(), TAKE_BATCH, &gate, jobs, &due) != 0)
		die("resting");
	f->rest_ns = (double) (thread_ns() - start_ns) / (double) c->lanes;
	await_silence(b->b);
	start_ns = thread_ns();
	for (int i = 0; i < EMPTY_TAKES; i++)
		if (backlog_take(b->b, clock_now_ns(), TAKE_BATCH, &gate, jobs, &due) != 0)
			die("resting");
	f->empty_take_ns = (double) (thread_ns() - start_ns) / EMPTY_TAKES;
	c->open = "http://h0.example.com:80";
	backlog_open(b->b, c->open);
	await_silence(b->b);
}

static void give_back(struct backlog *b, struct job **jobs, size_t n)
{
	struct verdict v[TAKE_BATCH];

	for (size_t i = 0; i < n; i += TAKE_BATCH) {
		for (size_t k = 0; k < TAKE_BATCH; k++)
			v[k] = (struct verdict) { .job = jobs[i + k], .kind = VERDICT_RETURN };
		if (backlog_settle(b, v, TAKE_BATCH) < 0)
			die("settle");
	}
}

static double take_lanes(struct bench *b, struct lanes_case *c)
{
	static struct job *jobs[OUT];
	const struct backlog_gate gate = { .room = room_of, .arg = c };
	uint64_t due, start_ns = thread_ns();

	for (size_t n = 0; n < OUT; n += TAKE_BATCH)
		if (backlog_take(b->b, clock_now_ns(), TAKE_BATCH, &gate, &jobs[n], &due) !=
		    TAKE_BATCH)
			die("take");
	uint64_t take_ns = thread_ns() - start_ns;
	give_back(b->b, jobs, OUT);
	return (double) take_ns / OUT;
}

static void open_memory(struct bench *b)
{
	const struct memory_backlog_options options = {
		.max_jobs = 100000000,
		.max_bytes = SIZE_MAX / 2,
		.ageing_ns = 600 * NS_PER_S,
	};

	if (memory_backlog_create(&options, &b->b) < 0)
		die("memory_backlog_create");
}

static void print_figure(double ns, bool known)
{
	if (known)
		(void) printf(" %12.0f", ns);
	else
		(void) printf(" %12s", "-");
}

static void run_lanes(struct bench *b, bool durable, struct lanes_case c)
{
	struct lanes_figures f = { 0 };

	c.jobs = c.rest || c.lanes < OUT ? c.lanes + OUT : c.lanes;
	c.room = c.rest || c.lanes == 1 ? TAKE_BATCH : 1;
	if (durable)
		open_backlog(b);
	else
		open_memory(b);
	f.accept_ns = accept_lanes(b, &c);
	await_silence(b->b);
	if (c.rest)
		rest_lanes(b, &c, &f);
	f.take_ns = take_lanes(b, &c);
	(void) printf("%-7s %9zu %-12s", durable ? "sqlite" : "memory", c.lanes,
	              !c.rest ? "none" : c.until_ns == NEVER ? "until opened" : "for an hour");
	print_figure(f.accept_ns, true);
	print_figure(f.take_ns, true);
	print_figure(f.empty_take_ns, c.rest);
	print_figure(f.rest_ns, c.rest);
	(void) printf("\n");
	(void) fflush(stdout);
	b->b = backlog_free(b->b);
	remove_files(b);
}

static void bench_lanes(struct bench *b, const size_t *lanes, size_t n)
{
	static const size_t resting[] = { 1, 100000 };

	(void) printf("%-7s %9s %-12s %12s %12s %12s %12s  (ns: a job, a job, a take, a lane)\n",
	              "backlog", "lanes", "resting", "accept", "take of 64", "empty take", "go to rest");
	for (int durable = 0; durable < 2; durable++) {
		for (size_t i = 0; i < n; i++)
			run_lanes(b, durable, (struct lanes_case) { .lanes = lanes[i] });
		for (size_t i = 0; i < ARRAY_LEN(resting); i++) {
			struct lanes_case c = { .lanes = resting[i], .rest = true };
			c.until_ns = NEVER;
			run_lanes(b, durable, c);
			c.until_ns = clock_now_ns() + 3600 * NS_PER_S;
			run_lanes(b, durable, c);
		}
	}
}

static void bench_given_lanes(struct bench *b, int argc, char **argv)
{
	static const size_t usual[] = { 1, 100, 100000, 1000000 };
	size_t given[16], n = 0;

	for (int i = 1; i < argc && n < ARRAY_LEN(given); i++) {
		given[n] = strtoul(argv[i], NULL, 10);
		if (given[n] > 0)
			n++;
	}
	if (n > 0)
		bench_lanes(b, given, n);
	else
		bench_lanes(b, usual, ARRAY_LEN(usual));
}

int main(int argc, char **argv)
{
	struct bench b = { 0 };
	const char *tmp = getenv("TMPDIR");

	(void) snprintf(b.directory, sizeof(b.directory), "%.200s/bench-backlog-XXXXXX",
	                tmp ? tmp : "/tmp");
	if (!mkdtemp(b.directory) || url_parser_create(&b.parser) < 0)
		die(b.directory);
	(void) snprintf(b.path, sizeof(b.path), "%s/bench-backlog.db", b.directory);
	bench_given_lanes(&b, argc, argv);

	url_parser_free(b.parser);
	remove_files(&b);
	(void) rmdir(b.directory);
	return EXIT_SUCCESS;
}
