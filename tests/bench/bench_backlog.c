/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_backlog [DIRECTORY [WAITING]]
 *
 * The durable backlog in DIRECTORY (a temporary one under TMPDIR): how many jobs a second it
 * accepts, hands out and settles, beside what fdatasync(2) alone allows there; and, with
 * WAITING jobs (1000000) in it, how long it takes to open and how much memory.
 */
#include "backlog/sqlite.h"
#include "base/clock.h"
#include "base/sync.h"
#include "base/thread.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { MAX_BATCH = 1000, MAX_THREADS = 64, SYNC_ROUNDS = 400 };

struct bench {
	char directory[256];
	char path[300];
	struct backlog *b;
	struct url_parser *parser;
	uint64_t seq;
};

static void die(const char *what)
{
	(void) fprintf(stderr, "bench_backlog: %s failed\n", what);
	exit(EXIT_FAILURE);
}

static double seconds_since(uint64_t start_ns) { return (double) (clock_now_ns() - start_ns) / 1e9; }

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

static struct job *new_job(struct url_parser *parser, size_t i)
{
	char line[96];
	struct job *job = NULL;
	struct buf why = { 0 };

	(void) snprintf(line, sizeof(line), "http://www.example.com/some/where/page-%zu.html", i);
	if (job_parse(parser, line, strlen(line), &job, &why) < 0)
		die("job_parse");
	return job;
}

static void submit(struct backlog *b, struct url_parser *parser, size_t n)
{
	struct job *jobs[MAX_BATCH];

	for (size_t i = 0; i < n; i++)
		jobs[i] = new_job(parser, i);
	if (backlog_submit_and_wait(b, &(struct submission) { .jobs = jobs, .n = n }) < 0)
		die("submit");
}

/* --- what the disk can do ------------------------------------------------------------------ */

static void bench_disk(const struct bench *b, bool append)
{
	static const char block[8192];
	char path[320];

	(void) snprintf(path, sizeof(path), "%s/fdatasync", b->directory);
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, block, sizeof(block)) < 0 || fsync(fd) < 0)
		die(path);
	uint64_t start_ns = clock_now_ns();
	for (int i = 0; i < SYNC_ROUNDS; i++)
		if (pwrite(fd, block, sizeof(block), append ? (i + 1) * (off_t) sizeof(block) : 0) < 0 ||
		    fdatasync(fd) < 0)
			die("fdatasync");
	(void) printf("fdatasync, %-31s %9.0f /s\n", append ? "8 KiB appended" : "8 KiB overwritten",
	              SYNC_ROUNDS / seconds_since(start_ns));
	(void) close(fd);
	(void) unlink(path);
}

/* --- submitting ------------------------------------------------------------------------------ */

static void bench_batches(struct bench *b, size_t batch, size_t n)
{
	uint64_t start_ns = clock_now_ns();

	for (size_t i = 0; i < n; i += batch)
		submit(b->b, b->parser, batch);
	(void) printf("accept, batches of %-5zu %18s %9.0f jobs/s\n", batch, "",
	              (double) n / seconds_since(start_ns));
}

struct submitter {
	struct backlog *b;
	size_t n;
	pthread_t thread;
};

static void *run_submitter(void *arg)
{
	struct submitter *s = arg;
	struct url_parser *parser = NULL;

	if (url_parser_create(&parser) < 0)
		die("url_parser_create");
	for (size_t i = 0; i < s->n; i++)
		submit(s->b, parser, 1);
	url_parser_free(parser);
	return NULL;
}

static void bench_submitters(struct bench *b, size_t threads, size_t n)
{
	struct submitter s[MAX_THREADS];
	struct backlog_stats before, after;

	backlog_stats(b->b, &before);
	uint64_t start_ns = clock_now_ns();
	for (size_t i = 0; i < threads; i++) {
		s[i] = (struct submitter) { .b = b->b, .n = n / threads };
		if (thread_start(&s[i].thread, "submitter", THREAD_STACK_PARSER, run_submitter, &s[i]) < 0)
			die("thread_start");
	}
	for (size_t i = 0; i < threads; i++)
		thread_join(s[i].thread);
	double seconds = seconds_since(start_ns);
	backlog_stats(b->b, &after);
	(void) printf("accept one by one, %2zu threads %14s %9.0f jobs/s  %7.0f commits/s\n", threads, "",
	              (double) n / seconds, (double) (after.commits - before.commits) / seconds);
}

/* --- taking and settling ---------------------------------------------------------------------- */

static void bench_settle(struct bench *b, size_t batch, size_t n)
{
	static char line[600];
	struct job *jobs[MAX_BATCH];
	struct verdict v[MAX_BATCH];
	uint64_t take_ns = 0, settle_ns = 0, due;

	memset(line, 'r', sizeof(line));
	for (size_t done = 0; done < n; done += batch) {
		uint64_t start_ns = clock_now_ns();
		if (backlog_take(b->b, start_ns, batch, NULL, jobs, &due) != batch)
			die("take");
		take_ns += clock_now_ns() - start_ns;
		for (size_t i = 0; i < batch; i++)
			v[i] = (struct verdict) { .job = jobs[i], .kind = VERDICT_FINAL,
				                  .seq = ++b->seq, .line = line,
				                  .line_len = sizeof(line) };
		start_ns = clock_now_ns();
		if (backlog_settle(b->b, v, batch) < 0)
			die("settle");
		settle_ns += clock_now_ns() - start_ns;
	}
	(void) printf("batches of %-4zu: take %26.0f jobs/s,  settle (600 B each) %9.0f jobs/s\n", batch,
	              (double) n * 1e9 / (double) take_ns, (double) n * 1e9 / (double) settle_ns);
}

/* --- many waiting -------------------------------------------------------------------------------- */

static long resident_kib(void)
{
	char line[128];
	long kib = 0;
	FILE *f = fopen("/proc/self/status", "re");

	while (f && fgets(line, sizeof(line), f))
		(void) sscanf(line, "VmRSS: %ld", &kib);
	if (f)
		(void) fclose(f);
	return kib;
}

static void bench_many(struct bench *b, size_t n)
{
	struct backlog_stats stats;
	struct job *job = NULL;
	uint64_t due;

	for (size_t i = 0; i < n; i += MAX_BATCH)
		submit(b->b, b->parser, MAX_BATCH);
	backlog_stats(b->b, &stats);
	(void) printf("%zu waiting: %llu bytes of files each, %ld KiB resident\n", stats.waiting,
	              (unsigned long long) (stats.held_bytes / stats.waiting), resident_kib());
	uint64_t start_ns = clock_now_ns();
	b->b = backlog_free(b->b);
	(void) printf("closed in %.1f ms", seconds_since(start_ns) * 1e3);
	start_ns = clock_now_ns();
	open_backlog(b);
	double opened = seconds_since(start_ns);
	if (backlog_take(b->b, clock_now_ns(), 1, NULL, &job, &due) != 1)
		die("take");
	(void) printf(", opened again in %.1f ms, first job after %.1f ms, %ld KiB resident\n",
	              opened * 1e3, seconds_since(start_ns) * 1e3, resident_kib());
	if (backlog_settle(b->b, &(struct verdict) { .job = job, .kind = VERDICT_RETURN }, 1) < 0)
		die("settle");
}

int main(int argc, char **argv)
{
	struct bench b = { 0 };
	const char *tmp = getenv("TMPDIR");
	size_t waiting = argc > 2 ? strtoul(argv[2], NULL, 10) : 1000000;
	bool mine = argc < 2;

	if (mine)
		(void) snprintf(b.directory, sizeof(b.directory), "%.200s/bench-backlog-XXXXXX",
		                tmp ? tmp : "/tmp");
	else
		(void) snprintf(b.directory, sizeof(b.directory), "%.200s", argv[1]);
	if ((mine && !mkdtemp(b.directory)) || url_parser_create(&b.parser) < 0)
		die(b.directory);
	(void) snprintf(b.path, sizeof(b.path), "%s/bench-backlog.db", b.directory);

	bench_disk(&b, false);
	bench_disk(&b, true);
	open_backlog(&b);
	bench_batches(&b, 1, 1000);
	bench_batches(&b, 10, 5000);
	bench_batches(&b, 100, 50000);
	bench_batches(&b, 1000, 200000);
	bench_submitters(&b, 1, 1000);
	bench_submitters(&b, 64, 32000);
	bench_settle(&b, 1, 1000);
	bench_settle(&b, 64, 32000);
	bench_settle(&b, 1000, 100000);
	bench_many(&b, waiting);

	b.b = backlog_free(b.b);
	url_parser_free(b.parser);
	remove_files(&b);
	if (mine)
		(void) rmdir(b.directory);
	return EXIT_SUCCESS;
}
