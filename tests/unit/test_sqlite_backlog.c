/* SPDX-License-Identifier: Apache-2.0 */
/* sqlite.h: bounds, receipts, ids, and that all of it outlives the process. */
#include "no_sync.h"
#include "sqlite_stage.h"

/* --- submitting ----------------------------------------------------------------------- */

static void test_accepted_jobs_are_numbered_without_gaps_and_told(void)
{
	struct stage s;
	struct receipt receipts[3];
	static const char *const lines[] = { "http://a/1", "http://a/2",
		                             "{\"url\":\"http://a/3\",\"id\":\"x\"}" };

	stage_init(&s);
	stage_open(&s);
	CU_ASSERT_EQUAL(stage_submit(&s, lines, 3, false, receipts), 0);
	for (size_t i = 0; i < 3; i++) {
		CU_ASSERT_EQUAL(receipts[i].kind, RECEIPT_ACCEPTED);
		CU_ASSERT_EQUAL(receipts[i].number, i + 1);
	}
	CU_ASSERT_EQUAL(s.accepted, 3);
	stage_expect(&s, 3, 0, 3);
	stage_reopen(&s);
	stage_submit_line(&s, "http://a/4");
	stage_expect(&s, 4, 0, 4);
	CU_ASSERT_EQUAL(stage_stats(&s).accepted, 4);
	struct job *jobs[4];
	CU_ASSERT_EQUAL(stage_take(&s, jobs, 4), 4);
	for (size_t i = 0; i < 4; i++) {
		CU_ASSERT_EQUAL(jobs[i]->number, i + 1);
		stage_settle(&s, jobs[i], VERDICT_RETURN, 0);
	}
	stage_done(&s);
}

struct early {
	struct stage stage;
	struct job *taken[3];
	size_t taken_n;
};

/* No other thread takes meanwhile. */
static void take_when_told(void *arg, size_t n)
{
	struct early *e = arg;
	uint64_t due = 0;

	(void) n;
	e->taken_n += backlog_take(e->stage.b, clock_now_ns(), 1, NULL, &e->taken[e->taken_n], &due);
}

static void test_no_job_can_be_taken_before_it_is_told(void)
{
	struct early e = { 0 };

	stage_init(&e.stage);
	e.stage.options.listener = (struct backlog_listener) { .accepted = take_when_told, .arg = &e };
	stage_open(&e.stage);
	for (int i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(stage_submit_many(&e.stage, 2, false), 0);
	CU_ASSERT_EQUAL(e.taken_n, 2); /* at the second and the third call: of those before */
	struct job *jobs[6];
	CU_ASSERT_EQUAL(stage_take(&e.stage, jobs, 6), 4);
	CU_ASSERT_EQUAL(jobs[0]->number, 3);
	for (int i = 0; i < 4; i++)
		stage_settle(&e.stage, jobs[i], VERDICT_RETURN, 0);
	for (size_t i = 0; i < e.taken_n; i++)
		stage_settle(&e.stage, e.taken[i], VERDICT_RETURN, 0);
	stage_done(&e.stage);
}

static void test_a_job_comes_back_as_it_was(void)
{
	struct stage s;
	struct buf given = { 0 }, got = { 0 };
	int64_t before_us = clock_wall_us();

	stage_init(&s);
	stage_open(&s);
	struct job *job = make_job(&s.maker, "{\"url\":\"https://u:p@h/\",\"id\":\"i\",\"method\":"
	                                     "\"put\",\"headers\":{\"A\":\"b\"},\"body\":\"x\\u0000"
	                                     "y\",\"meta\":[1],\"timeout\":\"3s\",\"retry\":true,"
	                                     "\"priority\":\"high\"}");
	job->source = "file";
	job_write(job, &given);
	CU_ASSERT_EQUAL(backlog_submit_and_wait(s.b, &(struct submission) { .jobs = &job, .n = 1 }), 0);
	stage_reopen(&s);
	job = stage_take_one(&s);
	job_write(job, &got);
	CU_ASSERT_EQUAL(got.len, given.len);
	CU_ASSERT_EQUAL(memcmp(got.data, given.data, given.len), 0);
	CU_ASSERT_STRING_EQUAL(job->source, "file");
	CU_ASSERT_EQUAL(job->attempts, 0);
	CU_ASSERT_EQUAL(job->due_ns, 0);
	CU_ASSERT_TRUE(job->accepted_wall_us >= before_us);
	CU_ASSERT_TRUE(job->accepted_wall_us <= clock_wall_us());
	CU_ASSERT_TRUE(job->ready_ns <= clock_now_ns());
	stage_final(&s, job, OUTCOME_DONE);
	buf_done(&given);
	buf_done(&got);
	stage_done(&s);
}

/* --- rows that are written and deleted together --------------------------------------------------- */

enum { TOGETHER = 150 };

static void make_together(struct stage *s, struct job **jobs, struct buf *specs)
{
	struct buf line = { 0 };

	for (int i = 0; i < TOGETHER; i++) {
		buf_clear(&line);
		buf_printf(&line, "{\"url\":\"http://h%d/%d\"", i % 5, i);
		if (i % 3 == 0)
			buf_printf(&line, ",\"id\":\"i%d\"", i);
		if (i / 10 == 2) /* large ones in a row */
			buf_printf(&line, ",\"body\":\"%0200000d\"", i);
		buf_printf(&line, "}%c", '\0');
		jobs[i] = make_job(&s->maker, line.data);
		job_write(jobs[i], &specs[i]);
	}
	buf_done(&line);
}

static void expect_spec(const struct job *job, const struct buf *spec)
{
	struct buf got = { 0 };

	job_write(job, &got);
	CU_ASSERT_EQUAL_FATAL(got.len, spec->len);
	CU_ASSERT_EQUAL(memcmp(got.data, spec->data, got.len), 0);
	buf_done(&got);
}

/* In an order that is not that of their numbers. */
static void settle_together(struct stage *s, struct job **jobs)
{
	static const char line[] = "{}\n";
	struct verdict v[TOGETHER];

	for (size_t i = 0; i < TOGETHER; i++) {
		v[i] = (struct verdict) { .job = jobs[i * 7 % TOGETHER] };
		if (i % 10 == 0) {
			v[i].kind = VERDICT_RETURN;
			v[i].due_ns = clock_now_ns() + 3600 * NS_PER_S;
			v[i].why = WAIT_NOT_BEFORE;
			continue;
		}
		v[i].kind = VERDICT_FINAL;
		v[i].outcome = i % 9 == 0 ? OUTCOME_DEAD : OUTCOME_DONE;
		v[i].seq = ++s->seq;
		v[i].line = line;
		v[i].line_len = sizeof(line) - 1;
	}
	CU_ASSERT_EQUAL(backlog_settle(s->b, v, TOGETHER), 0);
}

static void test_many_rows_go_together(void)
{
	struct stage s;
	struct job *jobs[TOGETHER];
	struct buf specs[TOGETHER] = { { 0 } };
	size_t dead = 0;

	stage_init(&s);
	stage_open(&s);
	make_together(&s, jobs, specs);
	CU_ASSERT_EQUAL(backlog_submit_and_wait(s.b, &(struct submission) { .jobs = jobs,
		                                                            .n = TOGETHER }), 0);
	stage_reopen(&s);
	CU_ASSERT_EQUAL_FATAL(stage_take(&s, jobs, TOGETHER), TOGETHER);
	for (size_t i = 0; i < TOGETHER; i++) {
		CU_ASSERT_TRUE_FATAL(jobs[i]->number >= 1 && jobs[i]->number <= TOGETHER);
		expect_spec(jobs[i], &specs[jobs[i]->number - 1]);
	}
	settle_together(&s, jobs);
	for (size_t i = 0; i < TOGETHER; i++)
		dead += i % 10 != 0 && i % 9 == 0;
	for (int life = 0; life < 2; life++) {
		struct backlog_stats stats = stage_stats(&s);
		stage_expect(&s, 0, TOGETHER / 10, TOGETHER / 10);
		CU_ASSERT_EQUAL(stats.settled[OUTCOME_DEAD], dead);
		CU_ASSERT_EQUAL(stats.settled[OUTCOME_DONE], TOGETHER - TOGETHER / 10 - dead);
		stage_reopen(&s);
	}
	for (size_t i = 0; i < TOGETHER; i++)
		buf_done(&specs[i]);
	stage_done(&s);
}

static void test_a_full_backlog_refuses_and_takes_again(void)
{
	struct stage s;

	stage_init(&s);
	s.options.max_jobs = 10;
	stage_open(&s);
	CU_ASSERT_EQUAL(stage_submit_many(&s, 11, false), -EMSGSIZE);
	CU_ASSERT_EQUAL(stage_submit_many(&s, 11, true), -EMSGSIZE);
	CU_ASSERT_EQUAL(stage_submit_many(&s, 8, false), 0);
	CU_ASSERT_EQUAL(stage_submit_many(&s, 3, false), -EAGAIN);
	CU_ASSERT_EQUAL(stage_submit_many(&s, 2, false), 0);
	struct job *job = stage_take_one(&s);
	CU_ASSERT_EQUAL(stage_submit_many(&s, 1, false), -EAGAIN); /* it holds its place */
	stage_final(&s, job, OUTCOME_DONE);
	CU_ASSERT_EQUAL(stage_submit_many(&s, 1, false), 0);
	CU_ASSERT_EQUAL(s.accepted, 11);
	stage_done(&s);
}

struct waiting {
	struct submission sub;
	struct job *job;
	atomic_bool ended;
	int error;
	unsigned turn; /* in which it was told */
	atomic_uint *turns;
};

static void end_waiting(struct submission *sub, int error)
{
	struct waiting *w = (struct waiting *) sub;

	w->error = error;
	w->turn = ++*w->turns;
	w->ended = true;
}

static void submit_waiting(struct stage *s, struct waiting *w, atomic_uint *turns, bool waits)
{
	*w = (struct waiting) { .job = make_job(&s->maker, "http://w/"), .turns = turns };
	w->sub = (struct submission) { .jobs = &w->job, .n = 1, .waits = waits, .done = end_waiting };
	backlog_submit(s->b, &w->sub);
}

static void await_blocked(struct stage *s, unsigned n)
{
	while (stage_stats(s).submitters_blocked != n)
		(void) sched_yield();
}

static void await_end(struct waiting *w)
{
	while (!w->ended)
		(void) sched_yield();
}

static void test_submissions_that_wait_are_served_in_their_order(void)
{
	struct stage s;
	struct waiting w[3], hasty;
	atomic_uint turns = 0;

	stage_init(&s);
	s.options.max_jobs = 2;
	stage_open(&s);
	CU_ASSERT_EQUAL(stage_submit_many(&s, 2, false), 0);
	for (unsigned i = 0; i < 3; i++) {
		submit_waiting(&s, &w[i], &turns, true);
		await_blocked(&s, i + 1);
	}
	submit_waiting(&s, &hasty, &turns, false);
	await_end(&hasty);
	CU_ASSERT_EQUAL(hasty.error, -EAGAIN);
	job_free(hasty.job);

	stage_final(&s, stage_take_one(&s), OUTCOME_DONE);
	await_end(&w[0]);
	CU_ASSERT_FALSE(w[1].ended);
	CU_ASSERT_FALSE(w[2].ended);
	CU_ASSERT_TRUE(backlog_withdraw(s.b, &w[1].sub));
	CU_ASSERT_FALSE(backlog_withdraw(s.b, &w[1].sub));
	CU_ASSERT_FALSE(backlog_withdraw(s.b, &w[0].sub));
	job_free(w[1].job);
	stage_final(&s, stage_take_one(&s), OUTCOME_DONE);
	await_end(&w[2]);
	CU_ASSERT_EQUAL(w[0].error, 0);
	CU_ASSERT_EQUAL(w[2].error, 0);
	struct backlog_stats stats = stage_stats(&s);
	CU_ASSERT_EQUAL(stats.submitters_blocked, 0);
	CU_ASSERT_TRUE(stats.submitters_blocked_ns > 0);
	CU_ASSERT_FALSE(w[1].ended);
	stage_done(&s);
}

static void test_a_small_batch_does_not_overtake_a_large_one(void)
{
	struct stage s;
	struct job *large[2];
	struct waiting w = { 0 }, small, hasty;
	atomic_uint turns = 0;

	stage_init(&s);
	s.options.max_jobs = 3;
	stage_open(&s);
	CU_ASSERT_EQUAL(stage_submit_many(&s, 2, false), 0);
	large[0] = make_job(&s.maker, "http://l/");
	large[1] = make_job(&s.maker, "http://l/");
	w.turns = &turns;
	w.sub = (struct submission) { .jobs = large, .n = 2, .waits = true, .done = end_waiting };
	backlog_submit(s.b, &w.sub);
	await_blocked(&s, 1);
	submit_waiting(&s, &small, &turns, true);
	await_blocked(&s, 2);
	submit_waiting(&s, &hasty, &turns, false); /* there would be room for it */
	await_end(&hasty);
	CU_ASSERT_EQUAL(hasty.error, -EAGAIN);
	job_free(hasty.job);
	CU_ASSERT_FALSE(small.ended);
	stage_final(&s, stage_take_one(&s), OUTCOME_DONE);
	await_end(&w);
	CU_ASSERT_FALSE(small.ended);
	stage_final(&s, stage_take_one(&s), OUTCOME_DONE);
	await_end(&small);
	CU_ASSERT_TRUE(w.turn < small.turn);
	stage_done(&s);
}

static void test_a_close_refuses_but_what_is_there_can_be_finished(void)
{
	struct stage s;
	struct waiting w;
	atomic_uint turns = 0;

	stage_init(&s);
	s.options.max_jobs = 2;
	stage_open(&s);
	CU_ASSERT_EQUAL(stage_submit_many(&s, 2, false), 0);
	submit_waiting(&s, &w, &turns, true);
	await_blocked(&s, 1);
	backlog_close(s.b);
	backlog_close(s.b);
	await_end(&w);
	CU_ASSERT_EQUAL(w.error, -EPIPE);
	job_free(w.job);
	CU_ASSERT_EQUAL(stage_submit_many(&s, 1, true), -EPIPE);
	CU_ASSERT_EQUAL(stage_drain(&s, OUTCOME_DONE), 2);
	stage_done(&s);
}

/* A job with a body of 8000 bytes. */
static char *large_line(void)
{
	char *line = malloc(9000);

	CU_ASSERT_PTR_NOT_NULL_FATAL(line);
	int head = snprintf(line, 32, "{\"url\":\"http://a/\",\"body\":\"");
	memset(line + head, 'x', 8000);
	(void) snprintf(line + head + 8000, 8, "\"}");
	return line;
}

static void test_bytes_on_disk_are_bounded(void)
{
	struct stage s;
	char *line = large_line();
	size_t accepted = 0;
	int r = 0;

	stage_init(&s);
	s.options.max_bytes = 4 * 1024 * 1024;
	stage_open(&s);
	while ((r = stage_submit(&s, (const char *const *) &line, 1, false, NULL)) == 0)
		accepted++;
	CU_ASSERT_EQUAL(r, -EDQUOT);
	CU_ASSERT_TRUE(accepted > 200); /* at least some 40 % of it is put to use */
	struct backlog_stats stats = stage_stats(&s);
	CU_ASSERT_TRUE(stats.held_bytes <= s.options.max_bytes);
	CU_ASSERT_EQUAL(stats.held_jobs, accepted);

	/* What is settled and marked is forgotten, so there is room again: for more, in the end,
	 * than all of it together could ever hold. */
	CU_ASSERT_EQUAL(stage_drain(&s, OUTCOME_DEAD), accepted);
	for (size_t i = 0; i < 600; i++) {
		CU_ASSERT_EQUAL(backlog_mark(s.b, accepted + i, "here"), 0);
		CU_ASSERT_EQUAL(stage_submit(&s, (const char *const *) &line, 1, true, NULL), 0);
		CU_ASSERT_EQUAL(stage_drain(&s, OUTCOME_DEAD), 1);
	}
	CU_ASSERT_TRUE(stage_stats(&s).remembered_seq > 1);
	CU_ASSERT_TRUE(stage_stats(&s).held_bytes <= s.options.max_bytes);
	free(line);
	stage_done(&s);
}

/* Many batches in one transaction make the log long; it is part of what max_bytes bounds. */
static void test_a_log_that_has_grown_does_not_stay_in_the_way(void)
{
	enum { BATCHES = 8, BATCH = 50 };
	struct stage s;
	struct waiting w[BATCHES];
	struct job *jobs[BATCHES][BATCH];
	char *line = large_line();
	atomic_uint turns = 0;

	stage_init(&s);
	s.options.max_bytes = 4 * 1024 * 1024;
	stage_open(&s);
	for (size_t i = 0; i < BATCHES; i++) {
		for (size_t j = 0; j < BATCH; j++)
			jobs[i][j] = make_job(&s.maker, line);
		w[i] = (struct waiting) { .turns = &turns };
		w[i].sub = (struct submission) {
			.jobs = jobs[i], .n = BATCH, .waits = true, .done = end_waiting,
		};
		backlog_submit(s.b, &w[i].sub);
	}
	while (turns < BATCHES) {
		if (stage_drain(&s, OUTCOME_DONE) > 0)
			CU_ASSERT_EQUAL(backlog_mark(s.b, s.seq, ""), 0);
		(void) sched_yield();
	}
	for (size_t i = 0; i < BATCHES; i++)
		CU_ASSERT_EQUAL(w[i].error, 0);
	while (stage_stats(&s).held_bytes >= s.options.max_bytes) /* by one transaction's log */
		CU_ASSERT_EQUAL(backlog_mark(s.b, s.seq, ""), 0);
	free(line);
	stage_done(&s);
}

static void test_a_disk_with_too_little_free_takes_nothing(void)
{
	struct stage s;

	stage_init(&s);
	stage_open(&s);
	CU_ASSERT_EQUAL(stage_submit_many(&s, 1, false), 0);
	s.options.min_free_bytes = UINT64_MAX / 2;
	stage_reopen(&s);
	CU_ASSERT_EQUAL(stage_submit_many(&s, 1, false), -ENOSPC);
	CU_ASSERT_TRUE(stage_stats(&s).free_bytes > 0);
	CU_ASSERT_EQUAL(stage_drain(&s, OUTCOME_DONE), 1); /* settling goes on */
	stage_done(&s);
}

/* --- ids ---------------------------------------------------------------------------------- */

static void test_an_id_is_accepted_once(void)
{
	static const char *const same = "{\"url\":\"http://a/\",\"id\":\"x\"}";
	static const char *const other = "{\"url\":\"http://b/\",\"id\":\"x\"}";
	const char *const lines[] = { same, "http://a/", same, other, "http://a/" };
	struct stage s;
	struct receipt r[5];

	stage_init(&s);
	stage_open(&s);
	CU_ASSERT_EQUAL(stage_submit(&s, lines, 5, false, r), 0);
	CU_ASSERT_EQUAL(r[0].kind, RECEIPT_ACCEPTED);
	CU_ASSERT_EQUAL(r[2].kind, RECEIPT_KNOWN);
	CU_ASSERT_EQUAL(r[2].number, 1);
	CU_ASSERT_EQUAL(r[3].kind, RECEIPT_CONFLICT);
	CU_ASSERT_EQUAL(r[3].number, 1);
	CU_ASSERT_EQUAL(r[4].number, 3);
	CU_ASSERT_EQUAL(s.accepted, 3);

	/* Also once it is settled, and after a restart. */
	CU_ASSERT_EQUAL(stage_drain(&s, OUTCOME_DONE), 3);
	stage_reopen(&s);
	CU_ASSERT_EQUAL(stage_submit(&s, lines + 2, 2, false, r), 0);
	CU_ASSERT_EQUAL(r[0].kind, RECEIPT_KNOWN);
	CU_ASSERT_EQUAL(r[0].number, 1);
	CU_ASSERT_EQUAL(r[1].kind, RECEIPT_CONFLICT);
	stage_expect(&s, 0, 0, 0);
	stage_done(&s);
}

static void test_an_id_is_free_again_once_it_is_forgotten(void)
{
	const char *line = "{\"url\":\"http://a/\",\"id\":\"x\"}";
	struct stage s;
	struct receipt r;

	stage_init(&s);
	s.options.remember_ns = 0;
	stage_open(&s);
	stage_submit_line(&s, line);
	CU_ASSERT_EQUAL(stage_drain(&s, OUTCOME_DONE), 1);
	CU_ASSERT_EQUAL(stage_submit(&s, &line, 1, false, &r), 0);
	CU_ASSERT_EQUAL(r.kind, RECEIPT_KNOWN); /* the log may not have its record yet */
	CU_ASSERT_EQUAL(backlog_mark(s.b, 1, ""), 0);
	while (stage_stats(&s).remembered_seq != 0)
		stage_submit_line(&s, "http://b/"); /* any commit will do */
	CU_ASSERT_EQUAL(stage_submit(&s, &line, 1, false, &r), 0);
	CU_ASSERT_EQUAL(r.kind, RECEIPT_ACCEPTED);
	stage_done(&s);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "accepted jobs are numbered without gaps and told",
		  test_accepted_jobs_are_numbered_without_gaps_and_told },
		{ "no job can be taken before it is told", test_no_job_can_be_taken_before_it_is_told },
		{ "a job comes back as it was", test_a_job_comes_back_as_it_was },
		{ "many rows go together", test_many_rows_go_together },
		{ "a full backlog refuses, and takes again", test_a_full_backlog_refuses_and_takes_again },
		{ "submissions that wait are served in their order",
		  test_submissions_that_wait_are_served_in_their_order },
		{ "a small batch does not overtake a large one",
		  test_a_small_batch_does_not_overtake_a_large_one },
		{ "a close refuses, but what is there can be finished",
		  test_a_close_refuses_but_what_is_there_can_be_finished },
		{ "bytes on disk are bounded", test_bytes_on_disk_are_bounded },
		{ "a log that has grown does not stay in the way",
		  test_a_log_that_has_grown_does_not_stay_in_the_way },
		{ "a disk with too little free takes nothing",
		  test_a_disk_with_too_little_free_takes_nothing },
		{ "an id is accepted once", test_an_id_is_accepted_once },
		{ "an id is free again once it is forgotten",
		  test_an_id_is_free_again_once_it_is_forgotten },
		CU_TEST_INFO_NULL,
	};

	(void) alarm(600); /* a hang is a failure */
	return unit_run("sqlite_backlog", tests);
}
