/* SPDX-License-Identifier: Apache-2.0 */
/* Lanes of the durable backlog: turns, rests, hops, pauses; over restarts, and against a model. */
#include "no_sync.h"
#include "sqlite_stage.h"

#include "seed.h"

/* --- a gate ------------------------------------------------------------------------------- */

enum { LANES = 6 };

struct gate {
	size_t room[LANES];      /* of http://h0:80, http://h1:80, … */
	struct lane_rest rest[LANES];
	size_t asked[LANES];
	size_t out[LANES];
	bool limits_out;         /* room is what may be out, not what may come */
	struct stage *interrupted; /* gets a job of h1 while h0 is asked for its room, once */
};

static size_t lane_of(const char *origin)
{
	CU_ASSERT_FATAL(strncmp(origin, "http://h", 8) == 0);
	return (size_t) (origin[8] - '0');
}

static size_t gate_room(void *arg, const char *origin, struct lane_rest *ret_rest)
{
	struct gate *g = arg;
	size_t lane = lane_of(origin);
	size_t room = g->room[lane];

	g->asked[lane]++;
	if (g->interrupted && lane == 0) {
		struct stage *s = g->interrupted;
		g->interrupted = NULL;
		stage_submit_line(s, "http://h1/late");
	}
	if (g->limits_out)
		room = room > g->out[lane] ? room - g->out[lane] : 0;
	if (room == 0)
		*ret_rest = g->rest[lane];
	return room;
}

static struct gate open_gate(size_t room)
{
	struct gate g = { 0 };

	for (size_t i = 0; i < LANES; i++) {
		g.room[i] = room;
		g.rest[i] = (struct lane_rest) { WAIT_CONCURRENCY, NEVER };
	}
	return g;
}

static size_t take(struct stage *s, struct gate *g, size_t room, struct job **jobs, uint64_t *ret_due)
{
	const struct backlog_gate gate = { .room = gate_room, .arg = g };
	uint64_t due_ns = 0;
	size_t n = backlog_take(s->b, clock_now_ns(), room, &gate, jobs, &due_ns);

	for (size_t i = 0; i < n; i++)
		g->out[lane_of(job_lane_origin(jobs[i])->text)]++;
	if (ret_due)
		*ret_due = due_ns;
	return n;
}

/* 'n' jobs for each of the first 'lanes' hosts, all of one after all of the other. */
static void submit(struct stage *s, size_t lanes, size_t n)
{
	for (size_t lane = 0; lane < lanes; lane++) {
		for (size_t i = 0; i < n; i++) {
			char line[64];
			(void) snprintf(line, sizeof(line), "http://h%zu/%zu", lane, i);
			stage_submit_line(s, line);
		}
	}
}

static void give_back(struct stage *s, struct job *const *jobs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		stage_settle(s, jobs[n - 1 - i], VERDICT_RETURN, 0);
}

static void expect_lane(const struct job *job, size_t lane, const char *path)
{
	char url[64];

	(void) snprintf(url, sizeof(url), "http://h%zu/%s", lane, path);
	CU_ASSERT_STRING_EQUAL(job->url, url);
}

static void expect_rows(struct stage *s, const char *sql, int64_t expected)
{
	sqlite3_stmt *statement = NULL;
	sqlite3 *db = NULL;

	CU_ASSERT_EQUAL(sqlite3_open(s->path, &db), SQLITE_OK);
	(void) sqlite3_busy_timeout(db, 60000);
	CU_ASSERT_EQUAL(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
	CU_ASSERT_EQUAL(sqlite3_step(statement), SQLITE_ROW);
	CU_ASSERT_EQUAL(sqlite3_column_int64(statement, 0), expected);
	(void) sqlite3_finalize(statement);
	(void) sqlite3_close(db);
}

/* Whatever the writer still has to do for what was asked before is done afterwards. */
static void await_writer(struct stage *s)
{
	CU_ASSERT_EQUAL(backlog_mark(s->b, 0, ""), 0);
}

/* --- turns -------------------------------------------------------------------------------- */

static void test_lanes_are_served_in_turn(void)
{
	struct gate g = open_gate(2);
	struct job *jobs[12];
	struct stage s;

	stage_init(&s);
	stage_open(&s);
	submit(&s, 3, 10);
	CU_ASSERT_EQUAL_FATAL(take(&s, &g, 5, jobs, NULL), 5); /* each lane once */
	CU_ASSERT_EQUAL_FATAL(take(&s, &g, 12, jobs + 5, NULL), 6);
	for (size_t i = 0; i < 5; i++) {
		char path[8];
		(void) snprintf(path, sizeof(path), "%zu", i % 2);
		expect_lane(jobs[i], i / 2, path);
	}
	expect_lane(jobs[5], 0, "2"); /* it goes on where it stopped */
	expect_lane(jobs[7], 1, "2");
	expect_lane(jobs[9], 2, "1");
	give_back(&s, jobs, 11);
	stage_done(&s);
}

static void test_a_lane_without_room_rests_and_the_others_go_on(void)
{
	struct gate g = open_gate(100);
	struct job *jobs[40];
	struct stage s;
	uint64_t due_ns = 0;

	stage_init(&s);
	stage_open(&s);
	submit(&s, 3, 10);
	g.room[0] = 0;
	CU_ASSERT_EQUAL_FATAL(take(&s, &g, 40, jobs, &due_ns), 20);
	CU_ASSERT_EQUAL(due_ns, NEVER);
	for (size_t i = 0; i < 20; i++)
		expect_lane(jobs[i], 1 + i / 10, (char[]) { (char) ('0' + i % 10), '\0' });
	CU_ASSERT_EQUAL(stage_stats(&s).by_reason[WAIT_CONCURRENCY], 10);
	CU_ASSERT_EQUAL(stage_stats(&s).by_reason[WAIT_QUEUE], 0);

	/* It is not asked again before it is opened, whatever comes. */
	submit(&s, 1, 1);
	CU_ASSERT_EQUAL(take(&s, &g, 40, jobs + 20, NULL), 0);
	CU_ASSERT_EQUAL(g.asked[0], 1);
	CU_ASSERT_EQUAL(stage_stats(&s).by_reason[WAIT_CONCURRENCY], 11);
	g.room[0] = 20;
	backlog_open(s.b, "http://h0:80");
	CU_ASSERT_EQUAL(take(&s, &g, 40, jobs + 20, NULL), 11);
	give_back(&s, jobs, 31);
	backlog_open(s.b, "http://nobody:80");
	backlog_open(s.b, NULL);
	CU_ASSERT_EQUAL(take(&s, &g, 40, jobs, NULL), 31);
	give_back(&s, jobs, 31);
	stage_done(&s);
}

static void test_what_is_new_or_comes_back_is_found_in_its_order(void)
{
	struct gate g = open_gate(100);
	struct job *jobs[8], *job = NULL;
	struct stage s;

	stage_init(&s);
	stage_open(&s);
	submit(&s, 1, 4);
	CU_ASSERT_EQUAL_FATAL(take(&s, &g, 3, jobs, NULL), 3);
	stage_settle(&s, jobs[1], VERDICT_RETURN, 0);
	CU_ASSERT_EQUAL_FATAL(take(&s, &g, 1, &job, NULL), 1);
	expect_lane(job, 0, "1");
	CU_ASSERT_EQUAL_FATAL(take(&s, &g, 8, jobs + 3, NULL), 1);
	expect_lane(jobs[3], 0, "3");
	CU_ASSERT_EQUAL(take(&s, &g, 8, jobs + 4, NULL), 0);
	submit(&s, 2, 1);
	CU_ASSERT_EQUAL_FATAL(take(&s, &g, 8, jobs + 4, NULL), 2);
	stage_settle(&s, jobs[0], VERDICT_RETRY, 0);
	CU_ASSERT_EQUAL_FATAL(take(&s, &g, 8, jobs, NULL), 1);
	expect_lane(jobs[0], 0, "0");
	jobs[1] = job;
	give_back(&s, jobs, 6);
	stage_done(&s);
}

/* More than are listed at a time. */
static void test_thousands_of_lanes_come_and_go(void)
{
	enum { N = 6000 };
	static struct job *jobs[N];
	static bool seen[N];
	struct stage s;
	size_t n = 0;

	stage_init(&s);
	s.options.max_jobs = N;
	s.options.max_out_bytes = UINT64_MAX;
	stage_open(&s);
	for (size_t i = 0; i < N; i++) {
		char line[64];
		(void) snprintf(line, sizeof(line), "http://host-%zu/", i);
		jobs[i] = make_job(&s.maker, line);
	}
	CU_ASSERT_EQUAL(backlog_submit_and_wait(s.b, &(struct submission) { .jobs = jobs, .n = N / 2 }), 0);
	CU_ASSERT_EQUAL(backlog_submit_and_wait(s.b, &(struct submission) { .jobs = jobs + N / 2, .n = N / 2 }), 0);
	for (uint64_t due_ns = 0; n < N && due_ns != NEVER;)
		n += backlog_take(s.b, clock_now_ns(), N - n, NULL, jobs + n, &due_ns);
	CU_ASSERT_EQUAL_FATAL(n, N);
	for (size_t i = 0; i < N; i++) {
		CU_ASSERT_FALSE(seen[jobs[i]->number - 1]);
		seen[jobs[i]->number - 1] = true;
	}
	for (size_t i = 0; i < N; i += 2)
		stage_settle(&s, jobs[i], VERDICT_RETURN, 0);
	for (size_t i = 1; i < N; i += 2)
		stage_settle(&s, jobs[i], VERDICT_RETURN, 0);
	stage_reopen(&s);
	CU_ASSERT_EQUAL(stage_drain(&s, OUTCOME_DONE), N);
	expect_rows(&s, "SELECT count(*) FROM lane", 0);
	stage_done(&s);
}

/* Right after the start, when lanes are still looked for. */
static void test_a_lane_is_found_though_one_of_its_jobs_is_out(void)
{
	struct gate g = open_gate(8);
	struct job *jobs[2];
	struct asked a;
	struct stage s;

	stage_init(&s);
	stage_open(&s);
	submit(&s, 1, 3);
	stage_reopen(&s);
	CU_ASSERT_EQUAL_FATAL(stage_ask(&s, &a, QUERY_TAKE, "p-1"), 0);
	CU_ASSERT_EQUAL_FATAL(take(&s, &g, 8, jobs, NULL), 2);
	stage_settle(&s, a.query.job, VERDICT_RETURN, 0);
	asked_free(&a);
	give_back(&s, jobs, 2);
	stage_done(&s);
}

/* The take's snapshot does not show it. */
static void test_what_comes_while_a_take_reads_is_found_by_the_next(void)
{
	struct gate g = open_gate(8);
	struct job *jobs[3];
	struct stage s;

	stage_init(&s);
	stage_open(&s);
	submit(&s, 2, 1);
	g.interrupted = &s;
	CU_ASSERT_EQUAL_FATAL(take(&s, &g, 8, jobs, NULL), 2);
	CU_ASSERT_PTR_NULL(g.interrupted);
	CU_ASSERT_EQUAL_FATAL(take(&s, &g, 8, jobs + 2, NULL), 1);
	expect_lane(jobs[2], 1, "late");
	give_back(&s, jobs, 3);
	stage_done(&s);
}

/* A reload opens all while a job of the lane is still being fetched. */
static void test_a_lane_that_rests_is_opened_though_a_job_of_it_is_out(void)
{
	struct gate g = open_gate(1);
	struct job *jobs[3];
	struct stage s;

	stage_init(&s);
	stage_open(&s);
	submit(&s, 1, 3);
	CU_ASSERT_EQUAL_FATAL(take(&s, &g, 1, jobs, NULL), 1);
	g.room[0] = 0;
	g.rest[0] = (struct lane_rest) { WAIT_RETRY_AFTER, clock_now_ns() + 3600 * NS_PER_S };
	CU_ASSERT_EQUAL(take(&s, &g, 1, jobs + 1, NULL), 0);
	await_writer(&s);
	await_writer(&s); /* it is written now, and known to be */
	g.room[0] = 8;
	backlog_open(s.b, NULL);
	await_writer(&s);
	await_writer(&s);
	CU_ASSERT_EQUAL_FATAL(take(&s, &g, 8, jobs + 1, NULL), 2);
	give_back(&s, jobs, 3);
	stage_done(&s);
}

/* --- rests until a time ------------------------------------------------------------------- */

static void test_a_rest_with_a_time_ends_with_it(void)
{
	struct gate g = open_gate(0);
	struct job *jobs[8];
	struct stage s;
	uint64_t due_ns = 0, until_ns = clock_now_ns() + 3600 * NS_PER_S;
	const struct backlog_gate gate = { .room = gate_room, .arg = &g };

	stage_init(&s);
	stage_open(&s);
	submit(&s, 2, 2);
	g.rest[0] = (struct lane_rest) { WAIT_RATE, until_ns };
	CU_ASSERT_EQUAL(take(&s, &g, 8, jobs, &due_ns), 0);
	CU_ASSERT_EQUAL(due_ns, until_ns); /* which the database need not know */
	CU_ASSERT_EQUAL(stage_stats(&s).by_reason[WAIT_RATE], 2);
	CU_ASSERT_EQUAL(stage_stats(&s).by_reason[WAIT_CONCURRENCY], 2);

	g.room[0] = 8;
	CU_ASSERT_EQUAL(backlog_take(s.b, until_ns - 1, 8, &gate, jobs, &due_ns), 0);
	CU_ASSERT_EQUAL(g.asked[0], 1);
	CU_ASSERT_EQUAL_FATAL(backlog_take(s.b, until_ns, 8, &gate, jobs, &due_ns), 2);
	give_back(&s, jobs, 2);
	stage_done(&s);
}

static void test_a_rest_with_a_time_outlives_the_process(void)
{
	struct gate g = open_gate(0);
	struct job *jobs[8];
	struct stage s;
	uint64_t due_ns = 0;

	stage_init(&s);
	stage_open(&s);
	submit(&s, 2, 2);
	g.room[1] = 8;
	g.rest[0] = (struct lane_rest) { WAIT_RETRY_AFTER, clock_now_ns() + 3600 * NS_PER_S };
	CU_ASSERT_EQUAL_FATAL(take(&s, &g, 8, jobs, &due_ns), 2);
	give_back(&s, jobs, 2);
	while (stage_stats(&s).commits < 5) /* that of its own: nothing else is to be written */
		(void) sched_yield();
	expect_rows(&s, "SELECT count(*) FROM lane WHERE opens > 0", 1);
	stage_reopen(&s);
	CU_ASSERT_EQUAL(stage_stats(&s).by_reason[WAIT_RETRY_AFTER], 2);
	CU_ASSERT_EQUAL(stage_stats(&s).by_reason[WAIT_QUEUE], 2);

	/* Not even new jobs have it asked. */
	g.room[0] = 8;
	submit(&s, 1, 1);
	CU_ASSERT_EQUAL(take(&s, &g, 8, jobs, &due_ns), 2);
	expect_lane(jobs[0], 1, "0");
	CU_ASSERT_EQUAL(g.asked[0], 1);
	CU_ASSERT_EQUAL(stage_stats(&s).by_reason[WAIT_RETRY_AFTER], 3);

	unsigned ready = s.ready;
	backlog_open(s.b, "http://h0:80");
	while (s.ready == ready) /* told after everything else */
		(void) sched_yield();
	CU_ASSERT_EQUAL(stage_stats(&s).by_reason[WAIT_RETRY_AFTER], 0);
	CU_ASSERT_EQUAL(take(&s, &g, 8, jobs + 2, &due_ns), 3);
	give_back(&s, jobs, 5);
	stage_done(&s);
}

static void test_the_writer_ends_a_rest_when_its_time_has_come(void)
{
	struct gate g = open_gate(0);
	struct job *jobs[8];
	struct stage s;

	stage_init(&s);
	stage_open(&s);
	submit(&s, 1, 2);
	g.rest[0] = (struct lane_rest) { WAIT_RETRY_AFTER, clock_now_ns() + 3600 * NS_PER_S };
	CU_ASSERT_EQUAL(take(&s, &g, 8, jobs, NULL), 0);
	await_writer(&s);
	stage_close(&s);
	stage_sql(&s, "UPDATE lane SET opens = 5");
	stage_open(&s);
	await_writer(&s);
	CU_ASSERT_EQUAL(stage_stats(&s).by_reason[WAIT_RETRY_AFTER], 0);
	g.room[0] = 8;
	CU_ASSERT_EQUAL(take(&s, &g, 8, jobs, NULL), 2);
	stage_final(&s, jobs[0], OUTCOME_DONE);
	stage_final(&s, jobs[1], OUTCOME_DONE);
	expect_rows(&s, "SELECT count(*) FROM lane", 0);
	stage_done(&s);
}

/* They follow from settings that may have changed, and from what has been seen. */
static void test_a_rest_that_no_origin_has_asked_for_ends_with_the_process(void)
{
	struct gate g = open_gate(0);
	struct job *jobs[8];
	struct stage s;

	stage_init(&s);
	stage_open(&s);
	submit(&s, 2, 1);
	g.rest[0] = (struct lane_rest) { WAIT_RATE, clock_now_ns() + 3600 * NS_PER_S };
	g.rest[1] = (struct lane_rest) { WAIT_BREAKER, clock_now_ns() + 3600 * NS_PER_S };
	CU_ASSERT_EQUAL(take(&s, &g, 8, jobs, NULL), 0);
	await_writer(&s);
	expect_rows(&s, "SELECT count(*) FROM lane WHERE opens > 0", 2);
	stage_reopen(&s);
	g = open_gate(8);
	CU_ASSERT_EQUAL(take(&s, &g, 8, jobs, NULL), 2);
	give_back(&s, jobs, 2);
	stage_done(&s);
}

/* Its row stays as long as it rests: a job that comes meanwhile waits as well. */
static void test_a_lane_may_rest_without_jobs(void)
{
	struct gate g = open_gate(1);
	struct job *jobs[8];
	struct stage s;

	stage_init(&s);
	stage_open(&s);
	submit(&s, 1, 2);
	g.limits_out = true;
	CU_ASSERT_EQUAL_FATAL(take(&s, &g, 8, jobs, NULL), 1); /* the other is asked for, and none */
	g.rest[0] = (struct lane_rest) { WAIT_RETRY_AFTER, clock_now_ns() + 3600 * NS_PER_S };
	backlog_open(s.b, "http://h0:80");
	CU_ASSERT_EQUAL(take(&s, &g, 8, jobs + 1, NULL), 0);
	stage_final(&s, jobs[0], OUTCOME_DONE);
	struct asked a;
	CU_ASSERT_EQUAL_FATAL(stage_ask(&s, &a, QUERY_TAKE, "p-2"), 0);
	stage_final(&s, a.query.job, OUTCOME_CANCELLED);
	asked_free(&a);
	expect_rows(&s, "SELECT count(*) FROM lane WHERE jobs = 0 AND opens > 0", 1);

	g = open_gate(8);
	submit(&s, 1, 1);
	CU_ASSERT_EQUAL(take(&s, &g, 8, jobs, NULL), 0);
	CU_ASSERT_EQUAL_FATAL(stage_ask(&s, &a, QUERY_TAKE, "p-3"), 0);
	stage_final(&s, a.query.job, OUTCOME_CANCELLED);
	asked_free(&a);
	backlog_open(s.b, NULL);
	await_writer(&s);
	expect_rows(&s, "SELECT count(*) FROM lane", 0);
	stage_done(&s);
}

/* --- hops --------------------------------------------------------------------------------- */

static void hop(struct stage *s, struct job *job, const char *url, const char *origin)
{
	const struct job_hop next = { .url = url, .redirects = 1, .spent_us = 1000,
		                      .origin = { .text = origin, .host = "h1", .port = 80 } };

	CU_ASSERT_EQUAL_FATAL(job_set_hop(job, &next), 0);
	stage_settle(s, job, VERDICT_HOP, 0);
}

static void test_a_hop_waits_in_its_own_lane_and_outlives_the_process(void)
{
	struct gate g = open_gate(8);
	struct job *job = NULL;
	struct stage s;

	stage_init(&s);
	stage_open(&s);
	submit(&s, 1, 1);
	CU_ASSERT_EQUAL_FATAL(take(&s, &g, 1, &job, NULL), 1);
	hop(&s, job, "http://h1/next", "http://h1:80");
	expect_rows(&s, "SELECT count(*) FROM lane", 1);
	stage_reopen(&s);
	CU_ASSERT_EQUAL_FATAL(take(&s, &g, 1, &job, NULL), 1);
	CU_ASSERT_PTR_NOT_NULL_FATAL(job->hop);
	CU_ASSERT_STRING_EQUAL(job->hop->url, "http://h1/next");
	CU_ASSERT_EQUAL(job->hop->spent_us, 1000);
	CU_ASSERT_EQUAL(job->attempts, 0);
	CU_ASSERT_EQUAL(g.asked[1], 1);

	/* Given back it goes on there; another attempt begins at its own URL. */
	stage_settle(&s, job, VERDICT_RETURN, 0);
	CU_ASSERT_EQUAL_FATAL(take(&s, &g, 1, &job, NULL), 1);
	CU_ASSERT_PTR_NOT_NULL(job->hop);
	stage_settle(&s, job, VERDICT_RETRY, 0);
	CU_ASSERT_EQUAL_FATAL(take(&s, &g, 1, &job, NULL), 1);
	CU_ASSERT_PTR_NULL(job->hop);
	CU_ASSERT_EQUAL(g.asked[0], 2);
	stage_final(&s, job, OUTCOME_DONE);
	expect_rows(&s, "SELECT count(*) FROM lane", 0);
	stage_done(&s);
}

/* --- questions ---------------------------------------------------------------------------- */

static void test_a_job_is_found_with_its_lane_and_what_is_before_it(void)
{
	struct gate g = open_gate(2);
	struct job *jobs[2];
	struct stage s;
	struct asked a;

	stage_init(&s);
	stage_open(&s);
	submit(&s, 2, 6);
	CU_ASSERT_EQUAL_FATAL(take(&s, &g, 2, jobs, NULL), 2);
	CU_ASSERT_EQUAL(stage_ask(&s, &a, QUERY_FIND, "p-6"), 0);
	CU_ASSERT_EQUAL(a.query.state, JOB_WAITING);
	CU_ASSERT_EQUAL(a.query.ahead, 3);
	CU_ASSERT_STRING_EQUAL(a.query.lane.data, "http://h0:80");
	asked_free(&a);
	CU_ASSERT_EQUAL(stage_ask(&s, &a, QUERY_FIND, "p-1"), 0);
	CU_ASSERT_EQUAL(a.query.state, JOB_OUT);
	CU_ASSERT_STRING_EQUAL(a.query.lane.data, "http://h0:80");
	asked_free(&a);
	stage_settle(&s, jobs[0], VERDICT_RETURN, 0);
	struct verdict later = { .job = jobs[1], .kind = VERDICT_RETRY, .why = WAIT_RETRY,
		                 .due_ns = clock_now_ns() + 3600 * NS_PER_S };
	CU_ASSERT_EQUAL(backlog_settle(s.b, &later, 1), 0);
	CU_ASSERT_EQUAL(stage_ask(&s, &a, QUERY_FIND, "p-2"), 0);
	CU_ASSERT_EQUAL(a.query.state, JOB_DELAYED);
	CU_ASSERT_EQUAL(a.query.why, WAIT_RETRY);
	CU_ASSERT_EQUAL(stage_stats(&s).by_reason[WAIT_RETRY], 1);
	asked_free(&a);
	stage_done(&s);
}

static void test_the_deepest_lanes_are_listed(void)
{
	struct backlog_lane lanes[2];
	struct asked a = { .query = { .kind = QUERY_LANES, .lanes = lanes, .max_lanes = 2,
		                      .done = asked_done } };
	struct job *job = NULL;
	struct gate g = open_gate(1);
	struct stage s;

	stage_init(&s);
	stage_open(&s);
	submit(&s, 1, 1);
	CU_ASSERT_EQUAL_FATAL(take(&s, &g, 1, &job, NULL), 1);
	submit(&s, 3, 1);
	submit(&s, 2, 1);
	backlog_query(s.b, &a.query);
	while (!a.ended)
		(void) sched_yield();
	CU_ASSERT_EQUAL(a.error, 0);
	CU_ASSERT_EQUAL(a.query.all_lanes, 3);
	CU_ASSERT_EQUAL_FATAL(a.query.n_lanes, 2);
	CU_ASSERT_STRING_EQUAL(a.query.line.data + lanes[0].origin_at, "http://h0:80");
	CU_ASSERT_EQUAL(lanes[0].jobs, 3);
	CU_ASSERT_EQUAL(lanes[0].waiting, 2);
	CU_ASSERT_TRUE(lanes[0].oldest_wall_us > 0);
	CU_ASSERT_STRING_EQUAL(a.query.line.data + lanes[1].origin_at, "http://h1:80");
	CU_ASSERT_EQUAL(lanes[1].waiting, 2);
	asked_free(&a);
	stage_settle(&s, job, VERDICT_RETURN, 0);
	stage_done(&s);
}

static void expect_paused(struct stage *s, const char *names, size_t n)
{
	struct buf b = { 0 };

	CU_ASSERT_EQUAL(backlog_paused(s->b, &b), 0);
	CU_ASSERT_TRUE(b.len == n && (n == 0 || memcmp(b.data, names, n) == 0));
	buf_done(&b);
}

static void ask(struct stage *s, enum query_kind kind, const char *id)
{
	struct asked a;

	CU_ASSERT_EQUAL(stage_ask(s, &a, kind, id), 0);
	asked_free(&a);
}

static void test_pauses_are_remembered(void)
{
	struct stage s;

	stage_init(&s);
	stage_open(&s);
	expect_paused(&s, "", 0);
	ask(&s, QUERY_PAUSE, "http://b:80");
	ask(&s, QUERY_PAUSE, "http://b:80");
	ask(&s, QUERY_PAUSE, NULL);
	stage_reopen(&s);
	expect_paused(&s, "\0http://b:80", 13);
	ask(&s, QUERY_RESUME, NULL);
	expect_paused(&s, "http://b:80", 12);
	ask(&s, QUERY_RESUME, "http://b:80");
	ask(&s, QUERY_RESUME, "http://c:80");
	expect_paused(&s, "", 0);
	stage_done(&s);
}

/* --- against a model ---------------------------------------------------------------------- */

enum { MODEL_JOBS = 400, MODEL_STEPS = 3000 };

/* What must hold for each job: it is out once at most, and never lost. */
struct model {
	struct stage stage;
	struct gate gate;
	struct random random;
	struct job *out[MODEL_JOBS];
	size_t n_out;
	bool is_out[MODEL_JOBS + 1]; /* by number */
	size_t submitted, settled;
};

static void model_take(struct model *m)
{
	struct job *jobs[16];
	size_t n = take(&m->stage, &m->gate, 1 + below(&m->random, 16), jobs, NULL);

	for (size_t i = 0; i < n; i++) {
		CU_ASSERT_FALSE_FATAL(m->is_out[jobs[i]->number]);
		m->is_out[jobs[i]->number] = true;
		m->out[m->n_out++] = jobs[i];
	}
	for (size_t i = 0; i < LANES; i++)
		CU_ASSERT_TRUE(m->gate.out[i] <= 8);
}

/* What has room again is opened, as the feeder does. */
static void model_left(struct model *m, size_t lane)
{
	char origin[32];

	m->gate.out[lane]--;
	(void) snprintf(origin, sizeof(origin), "http://h%zu:80", lane);
	backlog_open(m->stage.b, origin);
}

static void model_settle(struct model *m)
{
	if (m->n_out == 0)
		return;
	size_t at = below(&m->random, m->n_out);
	struct job *job = m->out[at];
	size_t lane = lane_of(job_lane_origin(job)->text);
	char url[32], origin[32];

	m->out[at] = m->out[--m->n_out];
	m->is_out[job->number] = false;
	(void) snprintf(url, sizeof(url), "http://h%u/hop", (unsigned) below(&m->random, LANES));
	(void) snprintf(origin, sizeof(origin), "%.9s:80", url);
	switch (below(&m->random, 5)) {
	case 0:
		stage_settle(&m->stage, job, VERDICT_RETRY, 0);
		break;
	case 1:
		stage_settle(&m->stage, job, VERDICT_RETURN, 0);
		break;
	case 2:
		hop(&m->stage, job, url, origin);
		break;
	default:
		stage_final(&m->stage, job, OUTCOME_DONE);
		m->settled++;
		break;
	}
	model_left(m, lane);
}

static void model_submit(struct model *m)
{
	char line[64];

	if (m->submitted == MODEL_JOBS)
		return;
	m->submitted++;
	(void) snprintf(line, sizeof(line), "http://h%u/%zu", (unsigned) below(&m->random, LANES), m->submitted);
	stage_submit_line(&m->stage, line);
}

static void model_change(struct model *m)
{
	size_t lane = below(&m->random, LANES);
	bool timed = below(&m->random, 2) == 0;

	m->gate.room[lane] = below(&m->random, 9);
	m->gate.rest[lane] = (struct lane_rest) { timed ? WAIT_RATE : WAIT_CONCURRENCY,
		timed ? clock_now_ns() + below(&m->random, 2) * 3600 * NS_PER_S : NEVER };
	if (below(&m->random, 4) == 0)
		backlog_open(m->stage.b, NULL);
}

static void model_restart(struct model *m)
{
	give_back(&m->stage, m->out, m->n_out);
	m->n_out = 0;
	memset(m->is_out, 0, sizeof(m->is_out));
	memset(m->gate.out, 0, sizeof(m->gate.out));
	stage_reopen(&m->stage);
}

static void test_nothing_is_lost_or_out_twice_whatever_happens_to_lanes(void)
{
	static struct model m;

	m.random = seeded();
	m.gate = open_gate(4);
	m.gate.limits_out = true;
	stage_init(&m.stage);
	stage_open(&m.stage);
	for (size_t i = 0; i < MODEL_STEPS; i++) {
		switch (below(&m.random, 12)) {
		case 0: case 1: case 2: case 3:
			model_submit(&m);
			break;
		case 4: case 5: case 6:
			model_take(&m);
			break;
		case 7: case 8: case 9: case 10:
			model_settle(&m);
			break;
		default:
			below(&m.random, 20) == 0 ? model_restart(&m) : model_change(&m);
			break;
		}
	}
	model_restart(&m);
	m.gate = open_gate(100);
	backlog_open(m.stage.b, NULL);
	await_writer(&m.stage);
	await_writer(&m.stage); /* what it was asked to do for the first */
	CU_ASSERT_EQUAL(stage_drain(&m.stage, OUTCOME_DONE), m.submitted - m.settled);
	await_writer(&m.stage);
	stage_expect(&m.stage, 0, 0, 0);
	expect_rows(&m.stage, "SELECT count(*) FROM lane", 0);
	stage_done(&m.stage);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "lanes are served in turn", test_lanes_are_served_in_turn },
		{ "a lane without room rests, and the others go on",
		  test_a_lane_without_room_rests_and_the_others_go_on },
		{ "what is new or comes back is found in its order",
		  test_what_is_new_or_comes_back_is_found_in_its_order },
		{ "thousands of lanes come and go", test_thousands_of_lanes_come_and_go },
		{ "a lane is found though one of its jobs is out",
		  test_a_lane_is_found_though_one_of_its_jobs_is_out },
		{ "what comes while a take reads is found by the next",
		  test_what_comes_while_a_take_reads_is_found_by_the_next },
		{ "a lane that rests is opened though a job of it is out",
		  test_a_lane_that_rests_is_opened_though_a_job_of_it_is_out },
		{ "a rest with a time ends with it", test_a_rest_with_a_time_ends_with_it },
		{ "a rest with a time outlives the process",
		  test_a_rest_with_a_time_outlives_the_process },
		{ "the writer ends a rest when its time has come",
		  test_the_writer_ends_a_rest_when_its_time_has_come },
		{ "a rest that no origin has asked for ends with the process",
		  test_a_rest_that_no_origin_has_asked_for_ends_with_the_process },
		{ "a lane may rest without jobs", test_a_lane_may_rest_without_jobs },
		{ "a hop waits in its own lane, and outlives the process",
		  test_a_hop_waits_in_its_own_lane_and_outlives_the_process },
		{ "a job is found with its lane and what is before it",
		  test_a_job_is_found_with_its_lane_and_what_is_before_it },
		{ "the deepest lanes are listed", test_the_deepest_lanes_are_listed },
		{ "pauses are remembered", test_pauses_are_remembered },
		{ "nothing is lost or out twice, whatever happens to lanes",
		  test_nothing_is_lost_or_out_twice_whatever_happens_to_lanes },
		CU_TEST_INFO_NULL,
	};

	(void) alarm(600); /* a hang is a failure */
	return unit_run("sqlite_lanes", tests);
}
