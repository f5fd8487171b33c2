/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_durable DIRECTORY [numbers|ids LANES BATCH JOBS]
 *
 * For backlog.py: the durable backlog in DIRECTORY beside fdatasync(2) alone there, in turn.  JOBS
 * jobs all in all are accepted in batches, handed out and settled, while LANES origins have jobs,
 * which have ids of their own or none.  Prints a line for each figure: jobs, or syncs, a second.
 */
#include "backlog/sqlite.h"
#include "base/clock.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_BATCH = 1000, SLICES = 10, SYNCS = 400, WARM_UP_JOBS = 50000, RECORD_BYTES = 600 };

/* What is measured, and the seconds that it has taken. */
struct bench {
	const char *directory;
	char path[320]; /* of the database */
	struct backlog *backlog;
	struct url_parser *parser;
	bool ids;
	size_t lanes, batch;
	size_t made;    /* jobs */
	uint64_t seq;
	double disk_s, accept_s, take_s, settle_s;
};

static void die(const char *what)
{
	(void) fprintf(stderr, "bench_durable: %s failed\n", what);
	exit(EXIT_FAILURE);
}

static double seconds_since(uint64_t start_ns)
{
	return (double) (clock_now_ns() - start_ns) / (double) NS_PER_S;
}

static void sync_some(struct bench *b, size_t n)
{
	static const char block[8192];
	char path[320];

	(void) snprintf(path, sizeof(path), "%.300s/fdatasync", b->directory);
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, block, sizeof(block)) < 0 || fsync(fd) < 0)
		die(path);
	uint64_t start_ns = clock_now_ns();
	for (size_t i = 0; i < n; i++)
		if (pwrite(fd, block, sizeof(block), 0) < 0 || fdatasync(fd) < 0)
			die("fdatasync");
	b->disk_s += seconds_since(start_ns);
	(void) close(fd);
	(void) unlink(path);
}

static struct job *new_job(struct bench *b)
{
	char line[160];
	struct job *job = NULL;
	struct buf why = { 0 };
	size_t i = b->made++, lane = i % b->lanes;

	if (b->ids)
		(void) snprintf(line, sizeof(line),
		                "{\"url\":\"http://h%zu.example.com/some/where/page-%zu.html\","
		                "\"id\":\"%016llx\"}", lane, i,
		                (unsigned long long) (i * UINT64_C(0x9e3779b97f4a7c15)));
	else
		(void) snprintf(line, sizeof(line), "http://h%zu.example.com/some/where/page-%zu.html",
		                lane, i);
	if (job_parse(b->parser, line, strlen(line), &job, &why) < 0)
		die("job_parse");
	return job;
}

static void accept_some(struct bench *b, size_t n)
{
	struct job *jobs[MAX_BATCH];

	for (size_t i = 0; i < n; i++)
		jobs[i] = new_job(b);
	uint64_t start_ns = clock_now_ns();
	if (backlog_submit_and_wait(b->backlog, &(struct submission) { .jobs = jobs, .n = n }) < 0)
		die("submit");
	b->accept_s += seconds_since(start_ns);
}

static void settle_some(struct bench *b, size_t n)
{
	static char line[RECORD_BYTES];
	struct job *jobs[MAX_BATCH];
	struct verdict v[MAX_BATCH];
	uint64_t due, start_ns = clock_now_ns();

	memset(line, 'r', sizeof(line));
	if (backlog_take(b->backlog, start_ns, n, NULL, jobs, &due) != n)
		die("take");
	b->take_s += seconds_since(start_ns);
	for (size_t i = 0; i < n; i++)
		v[i] = (struct verdict) { .job = jobs[i], .kind = VERDICT_FINAL, .seq = ++b->seq,
			                  .line = line, .line_len = sizeof(line) };
	start_ns = clock_now_ns();
	if (backlog_settle(b->backlog, v, n) < 0)
		die("settle");
	b->settle_s += seconds_since(start_ns);
}

static void open_backlog(struct bench *b)
{
	struct buf why = { 0 };
	const struct sqlite_backlog_options options = {
		.path = b->path,
		.max_jobs = 100000000,
		.max_bytes = UINT64_C(1) << 40,
		.max_out_bytes = UINT64_C(1) << 30,
		.remember_ns = 86400 * NS_PER_S,
		.ageing_ns = 600 * NS_PER_S,
	};

	if (sqlite_backlog_open(&options, &b->backlog, &why) < 0)
		die(b->path);
}

/* So that all lanes have jobs, and SQLite's log has begun anew, as it has in a daemon that has
 * run for a while: it is written over then, and grows no more. */
static void warm_up(struct bench *b)
{
	while (b->made < b->lanes || b->made < WARM_UP_JOBS)
		accept_some(b, MAX_BATCH);
	b->accept_s = 0;
}

static void bench_backlog(struct bench *b, size_t jobs)
{
	size_t batches = jobs / b->batch / SLICES > 0 ? jobs / b->batch / SLICES : 1;
	double done = (double) (batches * b->batch * SLICES);

	open_backlog(b);
	warm_up(b);
	for (size_t slice = 0; slice < SLICES; slice++) {
		sync_some(b, SYNCS / SLICES);
		for (size_t i = 0; i < batches; i++)
			accept_some(b, b->batch);
		for (size_t i = 0; i < batches; i++)
			settle_some(b, b->batch);
	}
	b->backlog = backlog_free(b->backlog);
	(void) printf("accept %.0f\ntake %.0f\nsettle %.0f\n", done / b->accept_s, done / b->take_s,
	              done / b->settle_s);
}

int main(int argc, char **argv)
{
	struct bench b = { 0 };

	if (argc != 2 && argc != 6)
		die("reading the arguments");
	b.directory = argv[1];
	(void) snprintf(b.path, sizeof(b.path), "%.300s/backlog.db", b.directory);
	if (argc == 2) {
		sync_some(&b, SYNCS);
	} else {
		b.ids = strcmp(argv[2], "ids") == 0;
		b.lanes = strtoul(argv[3], NULL, 10);
		b.batch = strtoul(argv[4], NULL, 10);
		if (b.lanes == 0 || b.batch == 0 || b.batch > MAX_BATCH ||
		    url_parser_create(&b.parser) < 0)
			die("reading the arguments");
		bench_backlog(&b, strtoul(argv[5], NULL, 10));
		url_parser_free(b.parser);
	}
	(void) printf("fdatasync %.0f\n", SYNCS / b.disk_s);
	return EXIT_SUCCESS;
}
