/* SPDX-License-Identifier: Apache-2.0 */
/* Lanes, pause, resume and drain over the control socket: asked by a stand-in for engine and
 * backlog. */
#include "control/control.h"

#include "control_mock.h"

#include <jansson.h>

#define PAUSE  "/v1/control/pause"
#define RESUME "/v1/control/resume"
#define DRAIN  "/v1/control/drain"

static const struct control_options usual = { 0 };
static struct stage stage;
static struct wire wire;

static void begin(void)
{
	stage_init(&stage, NULL, 0, usual);
	mock_begin();
	control_set_phase(stage.control, CONTROL_READY);
	wire = wire_open();
}

static void end(void)
{
	wire_close(&wire);
	mock_end();
	stage_done(&stage);
}

/* Posts, and answers the question that must follow. */
static void post_and_answer(const char *target, const char *body, enum query_kind kind,
                            const char *id, int error)
{
	wire_post(&wire, target, ONE, body);
	struct query *q = mock_take_query();
	CU_ASSERT_EQUAL(q->kind, kind);
	CU_ASSERT_STRING_EQUAL(q->id ? q->id : "(all)", id);
	q->done(q, error);
}

static void set_paused(bool paused)
{
	mutex_lock(&mock.lock);
	mock.paused = paused;
	mutex_unlock(&mock.lock);
}

static void add_lane(const char *origin, struct queue_lane lane)
{
	mutex_lock(&mock.lock);
	lane.limits.burst = lane.limits.burst > 0 ? lane.limits.burst : 1;
	mock.origins[mock.n_lanes] = origin;
	mock.lanes[mock.n_lanes++] = lane;
	mutex_unlock(&mock.lock);
}

/* --- pause and resume ----------------------------------------------------------------- */

static void test_a_lane_is_paused_and_resumed_by_any_url_of_it(void)
{
	begin();
	post_and_answer(PAUSE, "{\"origin\": \"HTTP://u:p@A.example/x?y\"}", QUERY_PAUSE,
	                "http://a.example:80", 0);
	expect_body(&wire, 200, "{\"paused\": true, \"origin\": \"http://a.example:80\", "
	                        "\"durable\": true}\n");
	expect_moved("pause http://a.example:80\n");
	post_and_answer(RESUME, "{\"origin\": \"https://a.example:8443\"}", QUERY_RESUME,
	                "https://a.example:8443", 0);
	expect_body(&wire, 200, "{\"paused\": false, \"origin\": \"https://a.example:8443\", "
	                        "\"durable\": true}\n");
	expect_moved("resume https://a.example:8443\n");
	end();
}

static void test_everything_is_paused_and_resumed_without_an_origin(void)
{
	begin();
	post_and_answer(PAUSE, "{}", QUERY_PAUSE, "(all)", 0);
	expect_body(&wire, 200, "{\"paused\": true, \"origin\": null, \"durable\": true}\n");
	expect_moved("pause everything\n");
	post_and_answer(RESUME, "", QUERY_RESUME, "(all)", 0);
	expect_body(&wire, 200, "{\"paused\": false, \"origin\": null, \"durable\": true}\n");
	expect_moved("resume everything\n");
	end();
}

static void test_what_a_backlog_cannot_remember_is_done_all_the_same(void)
{
	begin();
	post_and_answer(PAUSE, "{}", QUERY_PAUSE, "(all)", -EOPNOTSUPP);
	expect_body(&wire, 200, "{\"paused\": true, \"origin\": null, \"durable\": false}\n");
	expect_moved("pause everything\n");
	end();
}

static void test_what_cannot_be_remembered_for_now_is_undone(void)
{
	static const char body[] = "{\"origin\": \"http://a\"}";

	begin();
	post_and_answer(PAUSE, body, QUERY_PAUSE, "http://a:80", -EIO);
	expect_heard(&wire, 503, "Input/output error");
	expect_moved("pause http://a:80\nresume http://a:80\n");
	post_and_answer(RESUME, body, QUERY_RESUME, "http://a:80", -EIO);
	expect_heard(&wire, 503, "Input/output error");
	expect_moved("resume http://a:80\n"); /* it was not paused */

	add_lane("http://a:80", (struct queue_lane) { .obstacle = { WAIT_PAUSED, NEVER } });
	post_and_answer(RESUME, body, QUERY_RESUME, "http://a:80", -ENOSPC);
	expect_heard(&wire, 507, "disk");
	expect_moved("resume http://a:80\npause http://a:80\n");
	post_and_answer(PAUSE, body, QUERY_PAUSE, "http://a:80", -ENOSPC);
	expect_heard(&wire, 507, "disk");
	expect_moved("pause http://a:80\n"); /* it was paused before */

	post_and_answer(PAUSE, "{}", QUERY_PAUSE, "(all)", -EIO);
	expect_heard(&wire, 503, "Input/output error");
	expect_moved("pause everything\nresume everything\n");
	set_paused(true);
	post_and_answer(PAUSE, "{}", QUERY_PAUSE, "(all)", -EIO);
	expect_heard(&wire, 503, "Input/output error");
	expect_moved("pause everything\n");
	post_and_answer(PAUSE, body, QUERY_PAUSE, "http://a:80", -EIO); /* nobody knows */
	expect_heard(&wire, 503, "Input/output error");
	expect_moved("pause http://a:80\n");
	end();
}

static void test_what_the_engine_cannot_pause_is_not_remembered(void)
{
	begin();
	mutex_lock(&mock.lock);
	mock.pause_error = -ENOSPC;
	mutex_unlock(&mock.lock);
	wire_post(&wire, PAUSE, ONE, "{\"origin\": \"http://a\"}");
	expect_heard(&wire, 409, "10000 lanes are paused, which is the limit");
	mutex_lock(&mock.lock);
	mock.pause_error = -ENOMEM;
	mutex_unlock(&mock.lock);
	wire_post(&wire, PAUSE, ONE, "{\"origin\": \"http://a\"}");
	expect_heard(&wire, 503, "out of memory");
	expect_moved("pause http://a:80\npause http://a:80\n");
	end();
}

static void test_other_bodies_move_nothing(void)
{
	static const struct {
		const char *body, *words;
	} cases[] = {
		{ "[]", "the body must be {\\\"origin\\\"" },
		{ "5", "the body is no JSON" },
		{ "{\"origin\": 5}", "the body must be" },
		{ "{\"origin\": null}", "the body must be" },
		{ "{\"origins\": \"http://a\"}", "the body must be" },
		{ "{\"origin\": \"http://a\", \"all\": true}", "the body must be" },
		{ "{", "the body is no JSON" },
		{ "{\"origin\": \"api.example\"}",
		  "api.example is no origin without its scheme: write http://api.example or "
		  "https://api.example\"" },
		{ "{\"origin\": \"api.example:80\"}", "write http://api.example:80 or" },
		{ "{\"origin\": \"\"}", "without its scheme" },
		{ "{\"origin\": \"ftp://a/\"}", "the origin cannot be read: only http and https" },
		{ "{\"origin\": \"http://a:99999/\"}", "the origin cannot be read" },
		{ "{\"origin\": \"http://a\\u0000b/\"}", "the body is no JSON" },
	};

	begin();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		wire_post(&wire, i % 2 == 0 ? PAUSE : RESUME, ONE, cases[i].body);
		expect_heard(&wire, 400, cases[i].words);
	}
	expect_moved("");
	end();
}

static void test_long_bodies_are_refused(void)
{
	char body[4200];

	begin();
	memset(body, ' ', sizeof(body));
	body[sizeof(body) - 1] = '\0';
	wire_post(&wire, PAUSE, ONE, body);
	expect_heard(&wire, 413, "at most 4 KiB");
	expect_moved("");
	end();
}

/* --- drain ---------------------------------------------------------------------------- */

static void expect_state(const char *state)
{
	struct answer a = get("/v1/status");
	char words[64];

	(void) snprintf(words, sizeof(words), "\"state\": \"%s\"", state);
	CU_ASSERT_PTR_NOT_NULL(strstr(a.body.data, words));
	buf_done(&a.body);
}

static void expect_no_jobs_taken(const char *why)
{
	struct answer a = ask("/v1/jobs", (struct question) { .body = NOBODY });

	CU_ASSERT_EQUAL(a.status, 503);
	CU_ASSERT_PTR_NOT_NULL(strstr(a.body.data, why));
	buf_done(&a.body);
	a = get("/readyz");
	CU_ASSERT_EQUAL(a.status, 503);
	CU_ASSERT_PTR_NOT_NULL(strstr(a.body.data, why));
	buf_done(&a.body);
}

static void test_a_drain_takes_no_more_jobs_from_then_on(void)
{
	static const char why[] = "the daemon is draining and takes no more jobs";

	begin();
	expect_state("running");
	wire_post(&wire, DRAIN, ONE, "{\"a\": 1}");
	expect_heard(&wire, 400, "the body must be {}, or nothing");
	wire_post(&wire, DRAIN, ONE, "");
	expect_body(&wire, 200, "{\"draining\": true}\n");
	expect_state("draining");
	expect_no_jobs_taken(why);
	wire_post(&wire, DRAIN, ONE, "{}");
	expect_body(&wire, 200, "{\"draining\": true}\n");
	post_and_answer("/v1/control/requeue", "{\"id\": \"x\"}", QUERY_REQUEUE, "x", -EPIPE);
	expect_heard(&wire, 503, why);
	CU_ASSERT_EQUAL(status_of("/healthz"), 200);

	control_set_phase(stage.control, CONTROL_DRAINING);
	expect_state("draining");
	control_set_phase(stage.control, CONTROL_DRAINED);
	expect_state("drained");
	expect_no_jobs_taken(why);
	control_set_phase(stage.control, CONTROL_STOPPING);
	expect_state("stopping");
	end();
}

static void test_a_pause_is_in_the_status(void)
{
	begin();
	set_paused(true);
	mutex_lock(&mock.lock);
	mock.figures.by_reason[WAIT_RETRY] = 2;
	mock.figures.by_reason[WAIT_QUEUE] = 3;
	mock.figures.by_reason[WAIT_RATE] = 4;
	mutex_unlock(&mock.lock);
	struct answer a = get("/v1/status");
	json_t *json = json_loadb(a.body.data, a.body.len - 1, 0, NULL);
	json_t *expected = json_pack("{s:i, s:i}", "retry", 2, "paused", 7);
	CU_ASSERT_TRUE(json_is_true(json_object_get(json, "paused")));
	CU_ASSERT_TRUE(json_equal(json_object_get(json, "waiting_by_reason"), expected));
	json_decref(json);
	buf_done(&a.body);

	set_paused(false);
	a = get("/v1/status");
	json = json_loadb(a.body.data, a.body.len - 1, 0, NULL);
	json_decref(expected);
	expected = json_pack("{s:i, s:i, s:i}", "retry", 2, "rate", 4, "queue", 3);
	CU_ASSERT_TRUE(json_is_false(json_object_get(json, "paused")));
	CU_ASSERT_TRUE(json_equal(json_object_get(json, "waiting_by_reason"), expected));
	json_decref(expected);
	json_decref(json);
	buf_done(&a.body);
	end();
}

/* --- lanes ---------------------------------------------------------------------------- */

static struct query *ask_for_lanes(const char *target, size_t limit)
{
	struct buf b = { 0 };

	buf_printf(&b, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", target);
	buf_add_char(&b, '\0');
	send_text(wire.fd, b.data);
	buf_done(&b);
	struct query *q = mock_take_query();
	CU_ASSERT_EQUAL(q->kind, QUERY_LANES);
	CU_ASSERT_EQUAL(q->max_lanes, limit);
	return q;
}

/* A lane in the backlog's answer. */
static void give_lane(struct query *q, const char *origin, struct backlog_lane lane)
{
	q->all_lanes++;
	if (q->n_lanes == q->max_lanes)
		return;
	lane.origin_at = q->line.len;
	buf_add(&q->line, origin, strlen(origin) + 1);
	q->lanes[q->n_lanes++] = lane;
}

static json_t *hear_json(void)
{
	struct heard h = wire_hear(&wire);
	json_t *json = json_loads(h.body ? h.body : "", 0, NULL);

	CU_ASSERT_EQUAL(h.status, 200);
	CU_ASSERT_PTR_NOT_NULL_FATAL(json);
	heard_done(&h);
	return json;
}

static void expect_origins(const json_t *json, const char *origins, int total)
{
	struct buf found = { 0 };
	size_t i = 0;
	json_t *lane = NULL;

	json_array_foreach(json_object_get(json, "lanes"), i, lane)
		buf_printf(&found, "%s ", json_string_value(json_object_get(lane, "origin")));
	buf_add_char(&found, '\0');
	CU_ASSERT_STRING_EQUAL(found.data, origins);
	CU_ASSERT_EQUAL(json_integer_value(json_object_get(json, "total")), total);
	buf_done(&found);
}

static void test_a_lane_has_all_its_figures(void)
{
	begin();
	add_lane("http://a:80", (struct queue_lane) {
		.queued = 3, .running = 2, .obstacle = { WAIT_BREAKER, clock_now_ns() + 60 * NS_PER_S },
		.limits = { .concurrency = 8, .interval_ns = NS_PER_S / 5, .burst = 10 },
		.failures = 5 });
	struct query *q = ask_for_lanes("/v1/lanes", 100);
	give_lane(q, "http://a:80", (struct backlog_lane) {
		.jobs = 20, .waiting = 10, .oldest_wall_us = clock_wall_us() - 5000000 });
	q->done(q, 0);
	json_t *json = hear_json();
	json_t *lane = json_array_get(json_object_get(json, "lanes"), 0);
	int64_t until_us = 0;
	double wait = json_real_value(json_object_get(lane, "wait_seconds"));
	CU_ASSERT_TRUE(wait >= 5 && wait < 100);
	CU_ASSERT_EQUAL(clock_parse(json_string_value(json_object_get(lane, "until")), &until_us), 0);
	CU_ASSERT_TRUE(until_us <= clock_wall_us() + 60000000);
	CU_ASSERT_EQUAL(json_object_del(lane, "wait_seconds"), 0);
	CU_ASSERT_EQUAL(json_object_del(lane, "until"), 0);
	json_t *expected = json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:s, s:i, s:s, s:i}",
	                             "origin", "http://a:80", "depth", 20, "waiting", 10,
	                             "queued", 3, "running", 2, "concurrency", 8, "rate", "5/s",
	                             "burst", 10, "state", "breaker", "failures", 5);
	CU_ASSERT_TRUE(json_equal(lane, expected));
	json_decref(expected);
	json_decref(json);
	end();
}

static void test_lanes_of_the_queue_alone_are_listed_too(void)
{
	begin();
	add_lane("http://hop:80", (struct queue_lane) { .running = 4,
	                                                .obstacle.why = WAIT_WORKER });
	add_lane("http://a:80", (struct queue_lane) { .queued = 2, .obstacle = { WAIT_PAUSED, NEVER } });
	add_lane("http://idle:80", (struct queue_lane) { .obstacle.why = WAIT_WORKER });
	struct query *q = ask_for_lanes("/v1/lanes?limit=5", 5);
	give_lane(q, "http://b:80", (struct backlog_lane) { .jobs = 3 });
	give_lane(q, "http://a:80", (struct backlog_lane) { .jobs = 1 });
	q->done(q, 0);
	json_t *json = hear_json();
	expect_origins(json, "http://hop:80 http://b:80 http://a:80 http://idle:80 ", 4);
	json_t *expected = json_pack("{s:s, s:i, s:i, s:i, s:i, s:n, s:n, s:n, s:i, s:s, s:n, s:i}",
	                             "origin", "http://a:80", "depth", 2, "waiting", 0, "queued", 2,
	                             "running", 0, "wait_seconds", "concurrency", "rate", "burst", 1,
	                             "state", "paused", "until", "failures", 0);
	CU_ASSERT_TRUE(json_equal(json_array_get(json_object_get(json, "lanes"), 2), expected));
	const json_t *first = json_array_get(json_object_get(json, "lanes"), 0);
	CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(first, "state")), "open");
	json_decref(expected);
	json_decref(json);
	end();
}

static void test_no_more_lanes_are_listed_than_asked_for(void)
{
	begin();
	add_lane("http://hop:80", (struct queue_lane) { .running = 4 });
	add_lane("http://c:80", (struct queue_lane) { .running = 1 });
	struct query *q = ask_for_lanes("/v1/lanes?limit=2", 2);
	give_lane(q, "http://a:80", (struct backlog_lane) { .jobs = 3 });
	q->done(q, 0);
	json_t *json = hear_json();
	expect_origins(json, "http://hop:80 http://a:80 ", 3);
	json_decref(json);

	/* Those that the backlog has not named have fewer jobs than those that it has, but redirects
	 * may have led there. */
	q = ask_for_lanes("/v1/lanes?limit=2", 2);
	for (int i = 0; i < 7; i++)
		give_lane(q, i == 0 ? "http://x:80" : "http://y:80", (struct backlog_lane) { .jobs = 9 });
	q->done(q, 0);
	json = hear_json();
	expect_origins(json, "http://x:80 http://y:80 ", 7);
	json_decref(json);
	mutex_lock(&mock.lock);
	mock.lanes[0].running = 20;
	mutex_unlock(&mock.lock);
	q = ask_for_lanes("/v1/lanes?limit=1", 1);
	give_lane(q, "http://x:80", (struct backlog_lane) { .jobs = 9 });
	give_lane(q, "http://y:80", (struct backlog_lane) { .jobs = 9 });
	q->done(q, 0);
	json = hear_json();
	expect_origins(json, "http://hop:80 ", 2);
	json_decref(json);
	end();
}

static void test_lanes_that_cannot_be_listed_have_their_reason(void)
{
	static const char *const limits[] = { "0", "1001", "-1", "x", "5x", "",
		                              "99999999999999999999999" };

	begin();
	for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
		char target[64];
		(void) snprintf(target, sizeof(target), "/v1/lanes?limit=%s", limits[i]);
		CU_ASSERT_EQUAL(status_of(target), 400);
	}
	struct query *q = ask_for_lanes("/v1/lanes?limit=1000", 1000);
	q->done(q, -ENOMEM);
	expect_heard(&wire, 503, "out of memory");
	q = ask_for_lanes("/v1/lanes", 100);
	q->done(q, 0);
	expect_body(&wire, 200, "{\"lanes\": [], \"total\": 0}\n");
	end();
}

static void test_only_so_many_lists_are_made_at_once(void)
{
	struct wire wires[CONTROL_MAX_LISTS];
	struct query *queries[CONTROL_MAX_LISTS];

	begin();
	for (size_t i = 0; i < ARRAY_LEN(wires); i++) {
		wires[i] = wire_open();
		send_text(wires[i].fd, "GET /v1/lanes HTTP/1.1\r\nHost: x\r\n\r\n");
		queries[i] = mock_take_query();
	}
	CU_ASSERT_EQUAL(status_of("/v1/lanes"), 503);
	for (size_t i = 0; i < ARRAY_LEN(wires); i++) {
		queries[i]->done(queries[i], 0);
		expect_heard(&wires[i], 200, "\"total\": 0");
		wire_close(&wires[i]);
	}
	struct query *q = ask_for_lanes("/v1/lanes", 100);
	q->done(q, 0);
	expect_heard(&wire, 200, "\"total\": 0");
	end();
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "a lane is paused and resumed by any URL of it",
		  test_a_lane_is_paused_and_resumed_by_any_url_of_it },
		{ "everything is paused and resumed without an origin",
		  test_everything_is_paused_and_resumed_without_an_origin },
		{ "what a backlog cannot remember is done all the same",
		  test_what_a_backlog_cannot_remember_is_done_all_the_same },
		{ "what cannot be remembered for now is undone",
		  test_what_cannot_be_remembered_for_now_is_undone },
		{ "what the engine cannot pause is not remembered",
		  test_what_the_engine_cannot_pause_is_not_remembered },
		{ "other bodies move nothing", test_other_bodies_move_nothing },
		{ "long bodies are refused", test_long_bodies_are_refused },
		{ "a drain takes no more jobs from then on",
		  test_a_drain_takes_no_more_jobs_from_then_on },
		{ "a pause is in the status", test_a_pause_is_in_the_status },
		{ "a lane has all its figures", test_a_lane_has_all_its_figures },
		{ "lanes of the queue alone are listed too",
		  test_lanes_of_the_queue_alone_are_listed_too },
		{ "no more lanes are listed than asked for",
		  test_no_more_lanes_are_listed_than_asked_for },
		{ "lanes that cannot be listed have their reason",
		  test_lanes_that_cannot_be_listed_have_their_reason },
		{ "only so many lists are made at once", test_only_so_many_lists_are_made_at_once },
		CU_TEST_INFO_NULL,
	};
	return mock_init() ? run_in_directory("control_levers", tests) : EXIT_FAILURE;
}
