/* SPDX-License-Identifier: Apache-2.0 */
/* A durable backlog in a directory of its own, with what tests do to it again and again. */
#ifndef PENSTOCK_TESTS_SQLITE_STAGE_H
#define PENSTOCK_TESTS_SQLITE_STAGE_H

#include "backlog/sqlite.h"
#include "base/clock.h"
#include "base/sync.h"
#include "job_maker.h"

#include <errno.h>
#include <sched.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <unistd.h>

struct stage {
	char directory[64];
	char path[96];
	struct sqlite_backlog_options options;
	struct backlog *b;
	struct job_maker maker;
	uint64_t seq; /* of the last record that the tests made */

	/* What the listener was told. */
	atomic_uint ready;
	atomic_uint expiring;
	atomic_size_t accepted;
	atomic_int trouble;      /* the last error, or 0 */
	atomic_uint trouble_calls;
};

static inline void stage_ready(void *arg) { ((struct stage *) arg)->ready++; }

static inline void stage_expiring(void *arg) { ((struct stage *) arg)->expiring++; }

static inline void stage_accepted(void *arg, size_t n) { ((struct stage *) arg)->accepted += n; }

static inline void stage_trouble(void *arg, int error, const char *text)
{
	struct stage *s = arg;

	if (!text)
		abort();
	s->trouble = error;
	s->trouble_calls++;
}

static inline void stage_file(const struct stage *s, const char *suffix, char *path, size_t size)
{
	(void) snprintf(path, size, "%s%s", s->path, suffix);
}

static inline void stage_init(struct stage *s)
{
	const char *tmp = getenv("TMPDIR");

	memset(s, 0, sizeof(*s));
	(void) snprintf(s->directory, sizeof(s->directory), "%.30s/penstock-test-XXXXXX",
	                tmp ? tmp : "/tmp");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(s->directory));
	(void) snprintf(s->path, sizeof(s->path), "%s/backlog.db", s->directory);
	s->options = (struct sqlite_backlog_options) {
		.path = s->path,
		.max_jobs = 1000,
		.max_bytes = 64 * 1024 * 1024,
		.max_out_bytes = SIZE_MAX,
		.remember_ns = 3600 * NS_PER_S,
		.ageing_ns = 60 * NS_PER_S,
		.listener = {
			.ready = stage_ready, .expiring = stage_expiring,
			.accepted = stage_accepted,
			.trouble = stage_trouble, .arg = s,
		},
	};
	job_maker_init(&s->maker);
}

/* Expects 'error'; the reason is in 'why' if it is wanted. */
static inline void stage_fail_to_open(struct stage *s, int error, const char *words)
{
	struct buf why = { 0 };
	struct backlog *b = NULL;

	CU_ASSERT_EQUAL(sqlite_backlog_open(&s->options, &b, &why), error);
	CU_ASSERT_PTR_NULL(b);
	buf_add_char(&why, '\0');
	CU_ASSERT_PTR_NOT_NULL_FATAL(why.data);
	if (why.data && !strstr(why.data, words))
		(void) printf("\n  why: %s\n  not: %s\n", why.data, words);
	CU_ASSERT_PTR_NOT_NULL(strstr(why.data, words));
	buf_done(&why);
}

static inline void stage_open(struct stage *s)
{
	struct buf why = { 0 };

	int r = sqlite_backlog_open(&s->options, &s->b, &why);
	if (r < 0)
		(void) printf("\n%.*s\n", (int) why.len, why.data);
	CU_ASSERT_EQUAL_FATAL(r, 0);
	buf_done(&why);
}

static inline void stage_close(struct stage *s) { s->b = backlog_free(s->b); }

static inline void stage_reopen(struct stage *s)
{
	stage_close(s);
	stage_open(s);
}

static inline void stage_done(struct stage *s)
{
	static const char *const suffixes[] = { "", "-wal", "-shm", ".lock", "-journal" };

	stage_close(s);
	job_maker_done(&s->maker);
	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		char path[128];
		stage_file(s, suffixes[i], path, sizeof(path));
		(void) unlink(path);
	}
	CU_ASSERT_EQUAL(rmdir(s->directory), 0);
}

/* Runs SQL on the database beside the backlog, or without it. */
static inline void stage_sql(struct stage *s, const char *sql)
{
	sqlite3 *db = NULL;
	char *why = NULL;

	CU_ASSERT_EQUAL(sqlite3_open(s->path, &db), SQLITE_OK);
	(void) sqlite3_busy_timeout(db, 60000);
	if (sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK) {
		(void) printf("\n%s: %s\n", sql, why);
		CU_ASSERT_TRUE(false);
	}
	sqlite3_free(why);
	(void) sqlite3_close(db);
}

/* --- submitting ------------------------------------------------------------------------- */

/* Makes a job of each line and submits them together; frees them if they are refused. */
static inline int stage_submit(struct stage *s, const char *const *lines, size_t n, bool waits,
                               struct receipt *receipts)
{
	struct job **jobs = calloc(n + 1, sizeof(struct job *));
	if (!jobs)
		abort();
	for (size_t i = 0; i < n; i++)
		jobs[i] = make_job(&s->maker, lines[i]);

	struct submission sub = { .jobs = jobs, .n = n, .receipts = receipts, .waits = waits };
	int r = backlog_submit_and_wait(s->b, &sub);
	for (size_t i = 0; r < 0 && i < n; i++)
		job_free(jobs[i]);
	free(jobs);
	return r;
}

static inline void stage_submit_line(struct stage *s, const char *line)
{
	CU_ASSERT_EQUAL_FATAL(stage_submit(s, &line, 1, false, NULL), 0);
}

/* Submits 'n' plain jobs: http://a/0, http://a/1, … */
static inline int stage_submit_many(struct stage *s, size_t n, bool waits)
{
	struct job **jobs = calloc(n, sizeof(struct job *));
	if (!jobs)
		abort();
	for (size_t i = 0; i < n; i++) {
		char line[64];
		(void) snprintf(line, sizeof(line), "http://a/%zu", i);
		jobs[i] = make_job(&s->maker, line);
	}
	int r = backlog_submit_and_wait(s->b,
	                                &(struct submission) { .jobs = jobs, .n = n, .waits = waits });
	for (size_t i = 0; r < 0 && i < n; i++)
		job_free(jobs[i]);
	free(jobs);
	return r;
}

/* --- taking and settling ------------------------------------------------------------------ */

static inline size_t stage_take(struct stage *s, struct job **jobs, size_t room)
{
	uint64_t due = 0;
	size_t n = backlog_take(s->b, clock_now_ns(), room, NULL, jobs, &due);

	CU_ASSERT_EQUAL(due, NEVER);
	return n;
}

static inline struct job *stage_take_one(struct stage *s)
{
	struct job *job = NULL;

	CU_ASSERT_EQUAL_FATAL(stage_take(s, &job, 1), 1);
	return job;
}

static inline int stage_try_final(struct stage *s, struct job *job, enum outcome outcome)
{
	char line[64];
	int len = snprintf(line, sizeof(line), "{\"seq\":%llu}\n", (unsigned long long) s->seq + 1);
	struct verdict v = { .job = job, .kind = VERDICT_FINAL, .outcome = outcome,
		             .seq = s->seq + 1, .line = line, .line_len = (size_t) len };

	int r = backlog_settle(s->b, &v, 1);
	s->seq += r == 0;
	return r;
}

static inline void stage_final(struct stage *s, struct job *job, enum outcome outcome)
{
	CU_ASSERT_EQUAL_FATAL(stage_try_final(s, job, outcome), 0);
}

static inline void stage_settle(struct stage *s, struct job *job, enum verdict_kind kind,
                                uint64_t due_ns)
{
	struct verdict v = { .job = job, .kind = kind, .due_ns = due_ns };

	CU_ASSERT_EQUAL_FATAL(backlog_settle(s->b, &v, 1), 0);
}

/* Takes and settles whatever there is; returns how many. */
static inline size_t stage_drain(struct stage *s, enum outcome outcome)
{
	struct job *jobs[64];
	size_t all = 0, n;
	uint64_t due = 0; /* of a lane, too, that was opened, and of which the writer has not heard yet */

	while ((n = backlog_take(s->b, clock_now_ns(), ARRAY_LEN(jobs), NULL, jobs, &due)) > 0) {
		for (size_t i = 0; i < n; i++)
			stage_final(s, jobs[i], outcome);
		all += n;
	}
	return all;
}

/* --- asking ------------------------------------------------------------------------------- */

struct asked {
	struct query query;
	atomic_bool ended;
	int error;
};

static inline void asked_done(struct query *query, int error)
{
	struct asked *a = (struct asked *) query;

	a->error = error;
	a->ended = true;
}

/* Asks and waits; the line is NUL-terminated. */
static inline int stage_ask(struct stage *s, struct asked *a, enum query_kind kind, const char *id)
{
	memset(a, 0, sizeof(*a));
	a->query.kind = kind;
	a->query.id = id;
	a->query.done = asked_done;
	backlog_query(s->b, &a->query);
	while (!a->ended)
		(void) sched_yield();
	buf_add_char(&a->query.line, '\0');
	return a->error;
}

static inline void asked_free(struct asked *a) { query_done(&a->query); }

static inline struct backlog_stats stage_stats(struct stage *s)
{
	struct backlog_stats stats;

	backlog_stats(s->b, &stats);
	return stats;
}

static inline void stage_expect(struct stage *s, size_t waiting, size_t delayed, size_t held)
{
	struct backlog_stats stats = stage_stats(s);

	CU_ASSERT_EQUAL(stats.waiting, waiting);
	CU_ASSERT_EQUAL(stats.delayed, delayed);
	CU_ASSERT_EQUAL(stats.held_jobs, held);
	CU_ASSERT_EQUAL(stats.accepted, stats.settled[OUTCOME_DONE] + stats.settled[OUTCOME_DEAD] +
	                                        stats.settled[OUTCOME_CANCELLED] + held);
}

#endif
