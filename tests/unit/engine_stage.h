/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the engine's parts share: a folder with a results log, a backlog,
 * a ledger, and jobs on their way through them. */
#ifndef PENSTOCK_TESTS_ENGINE_STAGE_H
#define PENSTOCK_TESTS_ENGINE_STAGE_H

#include "base/sync.h"
#include "engine/ledger.h"
#include "engine/recorder.h"
#include "backlog_calls.h"
#include "unit.h"

#include <fcntl.h>
#include <jansson.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct stage {
	char folder[32];
	char path[64]; /* of the results log */
	struct url_parser *parser;
	struct backlog *backlog;
	struct ledger *ledger;
	struct results *results;
	struct recorder *recorder;
	atomic_int error;    /* the first that the recorder reported */
	atomic_uint batches; /* that it has settled */
};

static inline void on_settled(void *arg, int error)
{
	struct stage *s = arg;
	int none = 0;

	if (error < 0)
		(void) atomic_compare_exchange_strong(&s->error, &none, error);
	(void) atomic_fetch_add(&s->batches, 1);
}

/* Records to 'path', or to a file in the stage's folder if that is NULL. */
static inline void stage_init(struct stage *s, const char *path)
{
	*s = (struct stage) { .folder = "/tmp/penstock-test-XXXXXX" };
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(s->folder));
	(void) snprintf(s->path, sizeof(s->path), "%s/results", s->folder);
	CU_ASSERT_EQUAL_FATAL(url_parser_create(&s->parser), 0);
	CU_ASSERT_EQUAL_FATAL(create_memory_backlog(100000, 256 << 20, &s->backlog), 0);
	CU_ASSERT_EQUAL_FATAL(ledger_create(&(struct ledger_balance) { 0 }, &s->ledger), 0);
	CU_ASSERT_EQUAL_FATAL(results_open(path ? path : s->path, &s->results), 0);

	const struct recorder_options options = {
		.results = s->results,
		.backlog = s->backlog,
		.ledger = s->ledger,
		.settled = on_settled,
		.arg = s,
	};
	CU_ASSERT_EQUAL_FATAL(recorder_create(&options, &s->recorder), 0);
}

/* Ends the recorder, so that everything is written and settled. */
static inline void stage_flush(struct stage *s) { s->recorder = recorder_free(s->recorder); }

static inline void stage_done(struct stage *s)
{
	stage_flush(s);
	CU_ASSERT_EQUAL(results_close(s->results), 0);
	s->backlog = backlog_free(s->backlog);
	s->ledger = ledger_free(s->ledger);
	s->parser = url_parser_free(s->parser);
	(void) unlink(s->path);
	CU_ASSERT_EQUAL(rmdir(s->folder), 0);
}

/* Submits a job, and books it. */
static inline void submit_job(struct stage *s, const char *line)
{
	struct buf why = { 0 };
	struct job *job = NULL;

	CU_ASSERT_EQUAL_FATAL(job_parse(s->parser, line, strlen(line), &job, &why), 0);
	CU_ASSERT_EQUAL_FATAL(submit_jobs(s->backlog, &job, 1), 0);
	ledger_accept(s->ledger, 1);
	buf_done(&why);
}

/* Takes the next job out of the backlog, and books it as in 'account'; NULL if there
 * is none that is due. */
static inline struct job *take_job(struct stage *s, enum ledger_account account)
{
	struct job *job = NULL;
	uint64_t due_ns = 0;

	if (backlog_take(s->backlog, NEVER - 1, 1, NULL, &job, &due_ns) == 0)
		return NULL;
	ledger_move(s->ledger, LEDGER_WAITING, account, 1);
	return job;
}

static inline uint64_t booked(struct stage *s, enum ledger_account account)
{
	struct ledger_balance b;

	ledger_balance(s->ledger, &b);
	return b.jobs[account];
}

/* Reads the results log: each line must be an object, with "seq" counting up from 1.
 * Returns the number of lines, or -1 if one is not as it should be.  Calls 'visit'
 * with each, if it is not NULL. */
static inline long read_log(const char *path, void (*visit)(void *arg, json_t *record), void *arg)
{
	FILE *file = fopen(path, "re");
	char *line = NULL;
	size_t size = 0;
	long n = 0;

	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	for (ssize_t len; n >= 0 && (len = getline(&line, &size, file)) > 0;) {
		json_t *record = line[len - 1] == '\n' ? json_loads(line, 0, NULL) : NULL;
		bool sound = json_integer_value(json_object_get(record, "seq")) == n + 1;
		n = sound ? n + 1 : -1;
		if (sound && visit)
			visit(arg, record);
		json_decref(record);
	}
	free(line);
	(void) fclose(file);
	return n;
}

#endif
