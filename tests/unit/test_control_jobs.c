/* SPDX-License-Identifier: Apache-2.0 */
/* What the control socket says of single jobs, and does with them: asked by a stand-in
 * for the backlog. */
#include "control/control.h"

#include "control_mock.h"

#include <jansson.h>

static const struct control_options usual = { 0 };
static struct stage stage;

static void begin(void)
{
	stage_init(&stage, NULL, 0, usual);
	mock_begin();
}

static void end(void)
{
	mock_end();
	stage_done(&stage);
}

static struct wire send_request(const char *method, const char *target)
{
	struct wire w = wire_open();
	struct buf b = { 0 };

	buf_printf(&b, "%s %s HTTP/1.1\r\nHost: x\r\n\r\n", method, target);
	buf_add_char(&b, '\0');
	send_text(w.fd, b.data);
	buf_done(&b);
	return w;
}

/* Takes the question, which must be this. */
static struct query *take_question(enum query_kind kind, const char *id)
{
	struct query *q = mock_take_query();

	CU_ASSERT_EQUAL(q->kind, kind);
	if (id)
		CU_ASSERT_STRING_EQUAL(q->id, id)
	else
		CU_ASSERT_PTR_NULL(q->id);
	return q;
}

/* Asks; the backlog answers with an error. */
static void expect_refusal(const char *method, const char *target, enum query_kind kind,
                           const char *id, int error, int status, const char *words)
{
	struct wire w = send_request(method, target);
	struct query *q = take_question(kind, id);

	q->done(q, error);
	expect_heard(&w, status, words);
	wire_close(&w);
}

static void test_the_status_has_what_the_database_says(void)
{
	begin();
	mutex_lock(&mock.lock);
	mock.figures.accepted = 100;
	mock.figures.last_seq = 70;
	mock.figures.remembered_seq = 30;
	mock.figures.commits = 9;
	mock.figures.error = -EROFS;
	mutex_unlock(&mock.lock);
	struct answer a = get("/v1/status");
	json_t *json = json_loadb(a.body.data, a.body.len - 1, 0, NULL);
	json_t *backlog = json_object_get(json, "backlog");
	json_t *expected = json_pack(
		"{s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:s}", "type", "sqlite", "accepted", 100,
		"last_seq", 70, "remembered_seq", 30, "commits", 9, "free_bytes", 1024,
		"min_free_bytes", 2048, "error", "Read-only file system");
	const char *name = NULL;
	json_t *value = NULL;
	json_object_foreach(expected, name, value)
		CU_ASSERT_TRUE(json_equal(json_object_get(backlog, name), value));
	json_decref(expected);
	json_decref(json);
	buf_done(&a.body);
	end();
}

/* What /readyz says of a backlog like this. */
static void expect_ready(struct backlog_stats figures, int status, const char *words)
{
	mutex_lock(&mock.lock);
	mock.figures = figures;
	mutex_unlock(&mock.lock);
	struct wire w = send_request("GET", "/readyz");
	expect_heard(&w, status, words);
	wire_close(&w);
}

static void test_it_is_ready_while_jobs_can_be_taken(void)
{
	struct backlog_stats b = { .held_jobs = 12, .max_jobs = 12, .held_bytes = 4096,
		                   .max_bytes = 4096, .submitters_blocked = 5,
		                   .free_bytes = 2048, .min_free_bytes = 2048 };

	begin();
	control_set_phase(stage.control, CONTROL_READY);
	expect_ready(b, 200, "ready\n"); /* only full */
	b.free_bytes--;
	expect_ready(b, 503, "has 2.0 KiB free, of which backlog.min_free, 2.0 KiB, are not for new");
	b.error = -EROFS;
	expect_ready(b, 503, "\"status\": 503, \"detail\": \"the backlog's database cannot be used: "
	                     "Read-only file system\"");
	b.free_bytes = 2048;
	b.error = -ENOSPC;
	expect_ready(b, 503, "the disk of the backlog is full");
	b.error = 0;
	expect_ready(b, 200, "ready\n");
	control_set_phase(stage.control, CONTROL_STOPPING);
	b.error = -EROFS;
	expect_ready(b, 503, "stopping");
	end();
}

/* --- GET ------------------------------------------------------------------------------ */

static void expect_state(struct query answer, const char *body)
{
	struct wire w = send_request("GET", "/v1/jobs/a%20b%2F%22");
	struct query *q = take_question(QUERY_FIND, "a b/\"");

	q->state = answer.state;
	q->number = 7;
	q->accepted_wall_us = 1500000;
	q->due_wall_us = answer.due_wall_us;
	q->deadline_wall_us = answer.deadline_wall_us;
	q->attempts = answer.attempts;
	q->outcome = answer.outcome;
	q->line = answer.line;
	q->lane = answer.lane;
	q->done(q, 0);
	expect_body(&w, 200, body);
	wire_close(&w);
}

#define HEAD(state) "{\"id\": \"a b/\\\"\", \"state\": \"" state "\", \"attempts\": "
#define ACCEPTED    ", \"accepted_at\": \"1970-01-01T00:00:01.500000Z\""
#define LANE        ", \"lane\": \"http://a:80\""
#define WHY         ", \"why_code\": \"code\", \"why\": \"it is so\""

static struct buf text_of(const char *text, size_t len)
{
	struct buf b = { 0 };
	buf_add(&b, text, len);
	return b;
}

static struct buf line_of(const char *text) { return text_of(text, strlen(text)); }
static struct buf a_lane(void) { return text_of("http://a:80", sizeof("http://a:80")); }

static void test_a_job_that_waits_says_so(void)
{
	begin();
	expect_state((struct query) { .state = JOB_WAITING, .lane = a_lane() },
	             HEAD("waiting") "0" ACCEPTED LANE WHY "}\n");
	expect_state((struct query) { .state = JOB_DELAYED, .attempts = 2, .due_wall_us = 2000000,
	                              .lane = a_lane() },
	             HEAD("delayed") "2" ACCEPTED LANE WHY
	             ", \"due_at\": \"1970-01-01T00:00:02.000000Z\"}\n");
	expect_state((struct query) { .state = JOB_WAITING, .deadline_wall_us = 3000000,
	                              .lane = a_lane() },
	             HEAD("waiting") "0" ACCEPTED LANE WHY
	             ", \"deadline\": \"1970-01-01T00:00:03.000000Z\"}\n");
	end();
}

static void test_a_job_that_is_out_is_looked_for(void)
{
	begin();
	expect_state((struct query) { .state = JOB_OUT, .lane = a_lane() },
	             HEAD("running") "0" ACCEPTED LANE WHY "}\n");
	mutex_lock(&mock.lock);
	mock.at = (struct engine_whereabouts) { .place = ENGINE_QUEUED };
	mutex_unlock(&mock.lock);
	expect_state((struct query) { .state = JOB_OUT, .lane = a_lane() },
	             HEAD("queued") "0" ACCEPTED LANE WHY "}\n");

	uint64_t now_ns = clock_now_ns();
	mutex_lock(&mock.lock);
	mock.at = (struct engine_whereabouts) {
		.place = ENGINE_FETCHING,
		.since_ns = now_ns - 5 * NS_PER_S,
		.bound_ns = now_ns + 1000 * NS_PER_S,
	};
	mutex_unlock(&mock.lock);
	struct wire w = send_request("GET", "/v1/jobs/x");
	struct query *q = take_question(QUERY_FIND, "x");
	q->state = JOB_OUT;
	q->done(q, 0);
	struct heard h = wire_hear(&w);
	json_t *json = json_loads(h.body ? h.body : "", 0, NULL);
	CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(json, "state")), "running");
	CU_ASSERT_TRUE(json_real_value(json_object_get(json, "running_seconds")) >= 5);
	double left = json_real_value(json_object_get(json, "timeout_seconds"));
	CU_ASSERT_TRUE(left > 0 && left <= 1000);
	json_decref(json);
	heard_done(&h);
	wire_close(&w);
	end();
}

static void test_a_settled_job_has_its_record(void)
{
	begin();
	expect_state((struct query) { .state = JOB_SETTLED, .attempts = 1, .outcome = OUTCOME_DONE,
	                              .line = line_of("{\"seq\":3,\"id\":\"x\"}\n") },
	             HEAD("done") "1" ACCEPTED WHY ", \"result\": {\"seq\":3,\"id\":\"x\"}}\n");
	expect_state((struct query) { .state = JOB_SETTLED, .outcome = OUTCOME_DEAD,
	                              .line = line_of("{\"seq\":4,\"reason\":\"http 404\"}\n") },
	             HEAD("dead") "0" ACCEPTED WHY ", \"reason\": \"http 404\", "
	             "\"result\": {\"seq\":4,\"reason\":\"http 404\"}}\n");
	expect_state((struct query) { .state = JOB_SETTLED, .outcome = OUTCOME_CANCELLED,
	                              .line = line_of("{\"seq\":5}\n") },
	             HEAD("cancelled") "0" ACCEPTED WHY ", \"result\": {\"seq\":5}}\n");
	end();
}

static void test_what_cannot_be_said_has_its_reason(void)
{
	static const struct {
		int error;
		int status;
		const char *words;
	} cases[] = {
		{ -ENOENT, 404, "there is no job x; none was settled so far\"" },
		{ -EOPNOTSUPP, 501, "cannot do this; set backlog.type to \\\"sqlite\\\"" },
		{ -EPIPE, 503, "the daemon is stopping" },
		{ -EIO, 503, "the backlog's database cannot be used: Input/output error" },
		{ -EUCLEAN, 503, "Retry-After: 1\r\n" },
	};

	begin();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		expect_refusal("GET", "/v1/jobs/x", QUERY_FIND, "x", cases[i].error, cases[i].status,
		               cases[i].words);
		expect_refusal("DELETE", "/v1/jobs/x", QUERY_TAKE, "x", cases[i].error,
		               cases[i].status, cases[i].words);
	}
	mutex_lock(&mock.lock);
	mock.figures.last_seq = 200;
	mutex_unlock(&mock.lock);
	expect_refusal("GET", "/v1/jobs/x", QUERY_FIND, "x", -ENOENT, 404,
	               "there is no job x; no settled job is remembered any more\"");
	mutex_lock(&mock.lock);
	mock.figures.remembered_seq = 123;
	mutex_unlock(&mock.lock);
	expect_refusal("GET", "/v1/jobs/x", QUERY_FIND, "x", -ENOENT, 404,
	               "there is no job x; settled jobs are remembered back to record 123\"");
	end();
}

static void test_paths_without_an_id_are_unknown(void)
{
	begin();
	CU_ASSERT_EQUAL(status_of("/v1/jobs/"), 404);
	struct answer a = ask("/v1/jobs/x", (struct question) { .method = "PUT" });
	CU_ASSERT_EQUAL(a.status, 405);
	CU_ASSERT_STRING_EQUAL(a.allow, "GET, HEAD, DELETE");
	buf_done(&a.body);
	a = ask("/v1/jobs", (struct question) { 0 });
	CU_ASSERT_EQUAL(a.status, 405);
	CU_ASSERT_STRING_EQUAL(a.allow, "POST");
	buf_done(&a.body);
	a = ask("/v1/jobs/x", (struct question) { .method = "DELETE", .body = "why" });
	CU_ASSERT_EQUAL(a.status, 413);
	buf_done(&a.body);
	end();
}

/* --- DELETE --------------------------------------------------------------------------- */

static struct job *new_job(void)
{
	struct url_parser *parser = NULL;
	struct job *job = NULL;
	struct buf why = { 0 };

	CU_ASSERT_EQUAL_FATAL(url_parser_create(&parser), 0);
	CU_ASSERT_EQUAL_FATAL(job_parse(parser, NOBODY, strlen(NOBODY), &job, &why), 0);
	url_parser_free(parser);
	return job;
}

static unsigned count_cancelled(unsigned *ret_unqueued)
{
	mutex_lock(&mock.lock);
	unsigned n = mock.cancelled;
	*ret_unqueued = mock.cancelled_unqueued;
	mutex_unlock(&mock.lock);
	return n;
}

static void test_a_waiting_job_is_cancelled(void)
{
	unsigned unqueued = 0;

	begin();
	struct wire w = send_request("DELETE", "/v1/jobs/x");
	struct query *q = take_question(QUERY_TAKE, "x");
	q->job = new_job();
	q->done(q, 0);
	expect_body(&w, 202, "{\"id\": \"x\", \"state\": \"cancelled\"}\n");
	CU_ASSERT_EQUAL(count_cancelled(&unqueued), 1);
	CU_ASSERT_EQUAL(unqueued, 0);

	/* The same connection serves on; nothing can be recorded this time. */
	mutex_lock(&mock.lock);
	mock.cancel_error = -EAGAIN;
	mutex_unlock(&mock.lock);
	send_text(w.fd, "DELETE /v1/jobs/y HTTP/1.1\r\nHost: x\r\n\r\n");
	q = take_question(QUERY_TAKE, "y");
	q->job = new_job();
	q->done(q, 0);
	expect_heard(&w, 503, "job y cannot be cancelled now");
	wire_close(&w);
	end();
}

static void test_a_queued_job_is_cancelled_and_a_running_one_not(void)
{
	unsigned unqueued = 0;

	begin();
	mutex_lock(&mock.lock);
	mock.queued = new_job();
	mutex_unlock(&mock.lock);
	expect_refusal("DELETE", "/v1/jobs/x", QUERY_TAKE, "x", -EBUSY, 202, "\"cancelled\"");
	CU_ASSERT_EQUAL(count_cancelled(&unqueued), 1);
	CU_ASSERT_EQUAL(unqueued, 1);
	expect_refusal("DELETE", "/v1/jobs/x", QUERY_TAKE, "x", -EBUSY, 409, "job x is running");
	expect_refusal("DELETE", "/v1/jobs/x", QUERY_TAKE, "x", -EALREADY, 409, "job x is done already");
	CU_ASSERT_EQUAL(count_cancelled(&unqueued), 1);
	end();
}

static void test_who_hangs_up_still_gets_the_job_cancelled(void)
{
	unsigned unqueued = 0;

	begin();
	struct wire w = send_request("DELETE", "/v1/jobs/x");
	struct query *q = take_question(QUERY_TAKE, "x");
	wire_close(&w);
	q->job = new_job();
	q->done(q, 0);
	stage.control = control_free(stage.control);
	CU_ASSERT_EQUAL(count_cancelled(&unqueued), 1);
	end();
}

/* --- requeue -------------------------------------------------------------------------- */

static void test_dead_jobs_are_requeued(void)
{
	static const char target[] = "/v1/control/requeue";

	begin();
	struct wire w = wire_open();
	wire_post(&w, target, ONE, "{\"id\": \"x\"}");
	struct query *q = take_question(QUERY_REQUEUE, "x");
	q->requeued = 1;
	q->new_number = 42;
	q->done(q, 0);
	expect_body(&w, 200, "{\"requeued\": 1, \"id\": \"p-42\"}\n");

	wire_post(&w, target, ONE, " {\"all\": true} ");
	q = take_question(QUERY_REQUEUE, NULL);
	q->requeued = 1000;
	q->done(q, 0);
	expect_body(&w, 200, "{\"requeued\": 1000}\n");

	wire_post(&w, target, ONE, "{\"id\": \"x\"}");
	q = take_question(QUERY_REQUEUE, "x");
	q->done(q, -EINVAL);
	expect_heard(&w, 409, "job x is not dead, or was requeued before");
	wire_post(&w, target, ONE, "{\"id\": \"x\"}");
	q = take_question(QUERY_REQUEUE, "x");
	q->done(q, -ENOENT);
	expect_heard(&w, 404, "there is no job x");
	wire_close(&w);
	end();
}

static void test_other_bodies_requeue_nothing(void)
{
	static const char *const bodies[] = {
		"{}", "[]", "{\"all\": false}", "{\"id\": 5}", "{\"id\": \"x\", \"all\": true}",
	};

	begin();
	struct wire w = wire_open();
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		wire_post(&w, "/v1/control/requeue", ONE, bodies[i]);
		expect_heard(&w, 400, "the body must be {\\\"id\\\"");
	}
	wire_post(&w, "/v1/control/requeue", ONE, "");
	expect_heard(&w, 400, "the body is no JSON");
	wire_post(&w, "/v1/control/requeue", ONE, "{\n \"id\": ]");
	expect_heard(&w, 400, "(line 2, column 8)");
	wire_close(&w);
	end();
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "the status has what the database says",
		  test_the_status_has_what_the_database_says },
		{ "it is ready while jobs can be taken", test_it_is_ready_while_jobs_can_be_taken },
		{ "a job that waits says so", test_a_job_that_waits_says_so },
		{ "a job that is out is looked for", test_a_job_that_is_out_is_looked_for },
		{ "a settled job has its record", test_a_settled_job_has_its_record },
		{ "what cannot be said has its reason", test_what_cannot_be_said_has_its_reason },
		{ "paths without an id are unknown", test_paths_without_an_id_are_unknown },
		{ "a waiting job is cancelled", test_a_waiting_job_is_cancelled },
		{ "a queued job is cancelled, and a running one not",
		  test_a_queued_job_is_cancelled_and_a_running_one_not },
		{ "who hangs up still gets the job cancelled",
		  test_who_hangs_up_still_gets_the_job_cancelled },
		{ "dead jobs are requeued", test_dead_jobs_are_requeued },
		{ "other bodies requeue nothing", test_other_bodies_requeue_nothing },
		CU_TEST_INFO_NULL,
	};
	return mock_init() ? run_in_directory("control_jobs", tests) : EXIT_FAILURE;
}
