/* SPDX-License-Identifier: Apache-2.0 */
/* recorder.h: whole lines with gapless numbers, a bounded inlet, and what happens to
 * jobs whose results cannot be written. */
#include "engine/recorder.h"

#include "base/thread.h"
#include "engine_stage.h"

#include <errno.h>
#include <signal.h>

/* --- helpers ----------------------------------------------------------------------- */

/* Hands the recorder a job with its line. */
static void put_line(struct stage *s, struct job *job, enum verdict_kind kind, enum outcome outcome,
                     const struct buf *line)
{
	const struct verdict verdict = { .job = job, .kind = kind };

	recorder_put(s->recorder, &verdict, outcome, line);
}

/* The same with a line that has the job's number and 'filler' bytes more. */
static void put_job(struct stage *s, struct job *job, enum verdict_kind kind, enum outcome outcome,
                    size_t filler)
{
	struct buf line = { 0 };

	if (!job)
		abort(); /* the test has submitted too few */
	buf_printf(&line, "\"number\":%llu,\"filler\":\"%*s\"}\n", (unsigned long long) job->number,
	           (int) filler, "");
	put_line(s, job, kind, outcome, &line);
	buf_done(&line);
}

static void submit_some(struct stage *s, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		submit_job(s, "http://a.test/");
}

/* --- one thread -------------------------------------------------------------------- */

static void test_each_verdict_is_booked(void)
{
	struct stage s;
	struct backlog_stats backlog;
	struct recorder_stats stats;

	stage_init(&s, NULL);
	submit_some(&s, 7);
	put_job(&s, take_job(&s, LEDGER_RUNNING), VERDICT_FINAL, OUTCOME_DONE, 0);
	put_job(&s, take_job(&s, LEDGER_RUNNING), VERDICT_FINAL, OUTCOME_DONE, 0);
	put_job(&s, take_job(&s, LEDGER_RUNNING), VERDICT_FINAL, OUTCOME_DEAD, 0);
	put_job(&s, take_job(&s, LEDGER_RUNNING), VERDICT_FINAL, OUTCOME_CANCELLED, 0);
	struct job *retried = take_job(&s, LEDGER_RUNNING),
	           *returned = take_job(&s, LEDGER_RUNNING);
	put_job(&s, retried, VERDICT_RETRY, OUTCOME_DONE, 0);
	put_job(&s, returned, VERDICT_RETURN, OUTCOME_DONE, 0);
	while (booked(&s, LEDGER_RUNNING) > 0)
		(void) sched_yield();
	recorder_stats(s.recorder, &stats);
	CU_ASSERT_EQUAL(stats.recorded, 4);
	CU_ASSERT_EQUAL(stats.pending, 0);
	stage_flush(&s);

	CU_ASSERT_EQUAL(booked(&s, LEDGER_DONE), 2);
	CU_ASSERT_EQUAL(booked(&s, LEDGER_DEAD), 1);
	CU_ASSERT_EQUAL(booked(&s, LEDGER_CANCELLED), 1);
	CU_ASSERT_EQUAL(booked(&s, LEDGER_WAITING), 3);
	backlog_stats(s.backlog, &backlog);
	CU_ASSERT_EQUAL(backlog.held_jobs, 3);
	CU_ASSERT_EQUAL(backlog.waiting, 3);
	CU_ASSERT_EQUAL(atomic_load(&s.error), 0);
	CU_ASSERT_TRUE(atomic_load(&s.batches) >= 1);
	CU_ASSERT_EQUAL(read_log(s.path, NULL, NULL), 4);
	stage_done(&s);
}

static void test_a_retry_keeps_its_due_time(void)
{
	struct stage s;
	const struct buf none = { 0 };
	struct job *job = NULL;
	uint64_t due_ns = 0;

	stage_init(&s, NULL);
	submit_some(&s, 1);
	const struct verdict verdict = { .job = take_job(&s, LEDGER_RUNNING),
		                         .kind = VERDICT_RETRY,
		                         .due_ns = NEVER - 2 };
	recorder_put(s.recorder, &verdict, OUTCOME_DONE, &none);
	stage_flush(&s);
	CU_ASSERT_EQUAL(backlog_take(s.backlog, NEVER - 3, 1, NULL, &job, &due_ns), 0);
	CU_ASSERT_EQUAL(due_ns, NEVER - 2);
	stage_done(&s);
}

static void note_filler(void *arg, json_t *record)
{
	size_t *longest = arg;
	size_t len = json_string_length(json_object_get(record, "filler"));

	*longest = len > *longest ? len : *longest;
}

static void test_a_line_may_be_larger_than_the_inlet(void)
{
	const size_t huge = 5 * (size_t) RECORDER_MAX_BYTES;
	struct stage s;
	size_t longest = 0;

	stage_init(&s, NULL);
	submit_some(&s, 5);
	for (size_t i = 0; i < 5; i++)
		put_job(&s, take_job(&s, LEDGER_RUNNING), VERDICT_FINAL, OUTCOME_DONE,
		        i % 2 == 0 ? 0 : huge);
	stage_flush(&s);
	CU_ASSERT_EQUAL(read_log(s.path, note_filler, &longest), 5);
	CU_ASSERT_EQUAL(longest, huge);
	stage_done(&s);
}

static void test_an_idle_recorder_ends(void)
{
	struct stage s;

	stage_init(&s, NULL);
	stage_flush(&s);
	CU_ASSERT_PTR_NULL(recorder_free(NULL));
	CU_ASSERT_EQUAL(atomic_load(&s.batches), 0);
	CU_ASSERT_EQUAL(read_log(s.path, NULL, NULL), 0);
	stage_done(&s);
}

/* --- many threads ------------------------------------------------------------------ */

enum { THREADS = 8, JOBS_EACH = 1000, JOBS = THREADS * JOBS_EACH };

struct putter {
	pthread_t thread;
	struct stage *stage;
	size_t filler;
	atomic_uint *put; /* jobs handed over, by all */
};

static void *put_all(void *arg)
{
	struct putter *p = arg;
	struct job *job = NULL;

	while ((job = take_job(p->stage, LEDGER_RUNNING))) {
		put_job(p->stage, job, VERDICT_FINAL, OUTCOME_DONE, p->filler);
		(void) atomic_fetch_add(p->put, 1);
	}
	return NULL;
}

static void start_putters(struct putter *putters, struct stage *s, size_t filler, atomic_uint *put)
{
	submit_some(s, JOBS);
	for (size_t i = 0; i < THREADS; i++) {
		putters[i] = (struct putter) { .stage = s, .filler = filler, .put = put };
		CU_ASSERT_EQUAL_FATAL(thread_start(&putters[i].thread, "putter", THREAD_STACK_SMALL,
		                                   put_all, &putters[i]),
		                      0);
	}
}

static void join_putters(struct putter *putters)
{
	for (size_t i = 0; i < THREADS; i++)
		thread_join(putters[i].thread);
}

static void note_number(void *arg, json_t *record)
{
	unsigned char *seen = arg;
	json_int_t number = json_integer_value(json_object_get(record, "number"));

	if (number >= 1 && number <= JOBS)
		seen[number - 1]++;
}

static void test_lines_stay_whole_and_numbers_gapless(void)
{
	static unsigned char seen[JOBS];
	struct putter putters[THREADS];
	struct stage s;
	atomic_uint put = 0;
	unsigned once = 0;

	memset(seen, 0, sizeof(seen));
	stage_init(&s, NULL);
	start_putters(putters, &s, 300, &put);
	join_putters(putters);
	stage_flush(&s);
	CU_ASSERT_EQUAL(read_log(s.path, note_number, seen), JOBS);
	for (size_t i = 0; i < JOBS; i++)
		once += seen[i] == 1;
	CU_ASSERT_EQUAL(once, JOBS); /* each job has exactly one record */
	CU_ASSERT_EQUAL(booked(&s, LEDGER_DONE), JOBS);
	stage_done(&s);
}

/* --- back-pressure ----------------------------------------------------------------- */

static void read_all(int reader, struct buf *log, size_t n_lines)
{
	char piece[65536];

	for (size_t lines = 0; lines < n_lines;) {
		ssize_t n = read(reader, piece, sizeof(piece));
		for (ssize_t i = 0; i < n; i++)
			lines += piece[i] == '\n';
		if (n > 0)
			buf_add(log, piece, (size_t) n);
		else
			(void) sched_yield(); /* nothing is there yet */
	}
}

static void test_a_reader_that_does_not_read_blocks_the_workers(void)
{
	struct putter putters[THREADS];
	struct stage s;
	struct recorder_stats stats;
	struct buf log = { 0 };
	char path[] = "/tmp/penstock-fifo-XXXXXX", fifo[64];
	atomic_uint put = 0;

	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(path));
	(void) snprintf(fifo, sizeof(fifo), "%s/fifo", path);
	CU_ASSERT_EQUAL_FATAL(mkfifo(fifo, 0600), 0);
	int reader = open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	CU_ASSERT_TRUE_FATAL(reader >= 0);
	stage_init(&s, fifo);
	start_putters(putters, &s, 300, &put);

	/* Two batches and the pipe fill up; then the workers wait. */
	while (recorder_stats(s.recorder, &stats),
	       stats.workers_blocked_ns == 0 || stats.pending == 0)
		(void) sched_yield();
	CU_ASSERT_TRUE(stats.pending <= RECORDER_MAX_RECORDS);
	CU_ASSERT_TRUE(atomic_load(&put) <= 2 * RECORDER_MAX_RECORDS + 65536 / 300 + THREADS);
	CU_ASSERT_TRUE(booked(&s, LEDGER_WAITING) > 0);

	read_all(reader, &log, JOBS);
	join_putters(putters);
	stage_flush(&s);
	CU_ASSERT_EQUAL(booked(&s, LEDGER_DONE), JOBS);
	CU_ASSERT_TRUE(log.len > 0 && log.data[log.len - 1] == '\n');
	buf_done(&log);
	(void) close(reader);
	stage_done(&s);
	(void) unlink(fifo);
	(void) rmdir(path);
}

/* --- failures ---------------------------------------------------------------------- */

static void test_jobs_whose_results_are_lost_come_back(void)
{
	enum { FAILED = 100 };
	struct stage s;
	struct backlog_stats backlog;
	struct recorder_stats stats;

	stage_init(&s, "/dev/full");
	submit_some(&s, FAILED);
	for (int i = 0; i < FAILED; i++)
		put_job(&s, take_job(&s, LEDGER_RUNNING), VERDICT_FINAL,
		        i % 2 == 0 ? OUTCOME_DONE : OUTCOME_DEAD, 0);
	while (booked(&s, LEDGER_RUNNING) > 0)
		(void) sched_yield();
	recorder_stats(s.recorder, &stats);
	CU_ASSERT_EQUAL(stats.recorded, 0);
	CU_ASSERT_EQUAL(stats.recorded_bytes, 0);
	stage_flush(&s);

	CU_ASSERT_EQUAL(atomic_load(&s.error), -ENOSPC);
	CU_ASSERT_EQUAL(booked(&s, LEDGER_WAITING), FAILED);
	CU_ASSERT_EQUAL(booked(&s, LEDGER_DONE) + booked(&s, LEDGER_DEAD), 0);
	backlog_stats(s.backlog, &backlog);
	CU_ASSERT_EQUAL(backlog.held_jobs, FAILED);
	CU_ASSERT_PTR_NULL(take_job(&s, LEDGER_RUNNING)); /* not to be fetched again */
	stage_done(&s);
}

static void test_after_a_failure_nothing_more_is_recorded(void)
{
	struct stage s;
	char path[] = "/tmp/penstock-fifo-XXXXXX", fifo[64];

	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(path));
	(void) snprintf(fifo, sizeof(fifo), "%s/fifo", path);
	CU_ASSERT_EQUAL_FATAL(mkfifo(fifo, 0600), 0);
	int reader = open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	CU_ASSERT_TRUE_FATAL(reader >= 0);
	stage_init(&s, fifo);
	submit_some(&s, 2);
	(void) close(reader);
	put_job(&s, take_job(&s, LEDGER_RUNNING), VERDICT_FINAL, OUTCOME_DONE, 0);
	while (atomic_load(&s.error) == 0)
		(void) sched_yield();
	CU_ASSERT_EQUAL(atomic_load(&s.error), -EPIPE);

	/* A new reader gets nothing: a record is missing already. */
	reader = open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	put_job(&s, take_job(&s, LEDGER_RUNNING), VERDICT_FINAL, OUTCOME_DONE, 0);
	stage_flush(&s);
	CU_ASSERT_EQUAL(booked(&s, LEDGER_WAITING), 2);
	CU_ASSERT_TRUE(read(reader, fifo, 1) <= 0);
	(void) close(reader);
	stage_done(&s);
	(void) snprintf(fifo, sizeof(fifo), "%s/fifo", path);
	(void) unlink(fifo);
	(void) rmdir(path);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "each verdict is booked", test_each_verdict_is_booked },
		{ "a retry keeps its due time", test_a_retry_keeps_its_due_time },
		{ "a line may be larger than the inlet", test_a_line_may_be_larger_than_the_inlet },
		{ "an idle recorder ends", test_an_idle_recorder_ends },
		{ "lines stay whole and their numbers gapless",
		  test_lines_stay_whole_and_numbers_gapless },
		{ "a reader that does not read blocks the workers",
		  test_a_reader_that_does_not_read_blocks_the_workers },
		{ "jobs whose results are lost come back",
		  test_jobs_whose_results_are_lost_come_back },
		{ "after a failure nothing more is recorded",
		  test_after_a_failure_nothing_more_is_recorded },
		CU_TEST_INFO_NULL,
	};

	(void) signal(SIGPIPE, SIG_IGN); /* as the programs do */
	return unit_run("recorder", tests);
}
