/* SPDX-License-Identifier: Apache-2.0 */
/* control.h: what the socket answers, and what it refuses. */
#include "control/control.h"

#include "base/clock.h"
#include "cli/unix_http.h"
#include "control_stage.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>

static const struct control_options usual = { 0 };

static json_t *parse(const struct answer *a)
{
	json_t *json = json_loadb(a->body.data, a->body.len - 1, 0, NULL);

	CU_ASSERT_PTR_NOT_NULL_FATAL(json);
	return json;
}

static json_t *get_status(void)
{
	struct answer a = get("/v1/status");
	CU_ASSERT_EQUAL(a.status, 200);
	CU_ASSERT_STRING_EQUAL(a.type, "application/json");
	json_t *json = parse(&a);
	buf_done(&a.body);
	return json;
}

static json_int_t integer(const json_t *json, const char *object, const char *member)
{
	const json_t *value = json_object_get(json_object_get(json, object), member);

	CU_ASSERT_TRUE(json_is_integer(value));
	return json_integer_value(value);
}

static const char *string(const json_t *json, const char *member)
{
	const char *text = json_string_value(json_object_get(json, member));
	return text ? text : "";
}

static void expect_text(const char *target, const char *text)
{
	struct answer a = get(target);

	CU_ASSERT_EQUAL(a.status, 200);
	CU_ASSERT_STRING_EQUAL(a.type, "text/plain; charset=utf-8");
	CU_ASSERT_STRING_EQUAL(a.body.data, text);
	buf_done(&a.body);
}

/* A whole problem of the kind with that name, whose detail has 'words'. */
static void expect_problem(struct answer a, long status, const char *name, const char *words)
{
	static const char urn[] = "urn:penstock:problem:";

	CU_ASSERT_EQUAL(a.code, CURLE_OK);
	CU_ASSERT_EQUAL(a.status, status);
	CU_ASSERT_STRING_EQUAL(a.type, "application/problem+json");
	json_t *json = parse(&a);
	bool retries = json_is_integer(json_object_get(json, "retry_after"));
	CU_ASSERT_EQUAL(json_object_size(json), 4 + retries);
	CU_ASSERT_EQUAL(strncmp(string(json, "type"), urn, sizeof(urn) - 1), 0);
	CU_ASSERT_STRING_EQUAL(string(json, "type") + sizeof(urn) - 1, name);
	CU_ASSERT_PTR_NOT_NULL(strstr(string(json, "title"), " "));
	CU_ASSERT_EQUAL(json_integer_value(json_object_get(json, "status")), status);
	CU_ASSERT_PTR_NOT_NULL(strstr(string(json, "detail"), words));
	json_decref(json);
	buf_done(&a.body);
}

/* --- routes ------------------------------------------------------------------------- */

static void test_readiness_and_state_follow_the_phase(void)
{
	static const struct {
		enum control_phase phase;
		const char *state;
		long ready;
	} phases[] = {
		{ CONTROL_STARTING, "starting", 503 },
		{ CONTROL_READY, "running", 200 },
		{ CONTROL_DRAINING, "draining", 503 },
		{ CONTROL_DRAINED, "drained", 503 },
		{ CONTROL_STOPPING, "stopping", 503 },
	};
	struct stage s;

	stage_init(&s, NULL, 0, usual);
	CU_ASSERT_EQUAL(status_of("/readyz"), 503); /* as it starts */
	for (size_t i = 0; i < ARRAY_LEN(phases); i++) {
		control_set_phase(s.control, phases[i].phase);
		CU_ASSERT_EQUAL(status_of("/readyz"), phases[i].ready);
		json_t *json = get_status();
		CU_ASSERT_STRING_EQUAL(string(json, "state"), phases[i].state);
		json_decref(json);
		CU_ASSERT_EQUAL(status_of("/healthz"), 200);
	}
	expect_problem(get("/readyz"), 503, "stopping", "stopping");
	control_set_phase(s.control, CONTROL_READY);
	expect_text("/readyz", "ready\n");
	expect_text("/healthz?verbose", "ok\n");
	stage_done(&s);
}

static bool sick(void *arg, char *why, size_t size)
{
	(void) snprintf(why, size, "%s", (const char *) arg);
	return false;
}

static void test_health_says_why_not(void)
{
	char why[] = "worker 3 is stuck";
	struct stage s;

	stage_init(&s, NULL, 0, (struct control_options) { .healthy = sick, .arg = why });
	expect_problem(get("/healthz"), 503, "unhealthy", why);
	stage_done(&s);
}

static void test_head_is_get_without_the_body(void)
{
	static const char *const targets[] = { "/metrics", "/healthz", "/readyz", "/nothing" };
	struct stage s;

	stage_init(&s, NULL, 0, usual);
	for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
		struct answer head = ask(targets[i], (struct question) { .method = "HEAD" });
		struct answer whole = get(targets[i]);
		CU_ASSERT_EQUAL(head.code, CURLE_OK);
		CU_ASSERT_EQUAL(head.status, whole.status);
		CU_ASSERT_STRING_EQUAL(head.type, whole.type);
		CU_ASSERT_TRUE(head.length > 0);
		CU_ASSERT_EQUAL(head.body.len, 1);
		buf_done(&head.body);
		buf_done(&whole.body);
	}
	stage_done(&s);
}

static void test_an_unknown_path_is_told_the_known_ones(void)
{
	struct stage s;

	stage_init(&s, NULL, 0, usual);
	expect_problem(get("/v2/status"), 404, "unknown-path",
	               "there is no /v2/status; there are /v1/status, /metrics, /healthz, /readyz");
	expect_problem(get("/metrics/"), 404, "unknown-path", "/metrics/");
	expect_problem(get("/%22%ff%0a"), 404, "unknown-path", "there is no /\"\xef\xbf\xbd\n;");
	stage_done(&s);
}

static void test_other_methods_are_told_which_are_taken(void)
{
	static const char *const methods[] = { "POST", "DELETE", "OPTIONS", "BREW" };
	struct stage s;

	stage_init(&s, NULL, 0, usual);
	for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
		struct answer a = ask("/metrics", (struct question) { .method = methods[i] });
		CU_ASSERT_STRING_EQUAL(a.allow, "GET, HEAD");
		expect_problem(a, 405, "wrong-method", methods[i]);
	}
	expect_problem(ask("/metrics", (struct question) { .body = "job" }), 405,
	               "wrong-method", "POST");
	stage_done(&s);
}

static void test_a_body_that_nobody_takes_is_refused(void)
{
	struct question q = { .method = "GET", .body = "a=b" };
	struct stage s;

	stage_init(&s, NULL, 0, usual);
	expect_problem(ask("/healthz", q), 413, "body-not-taken", "without one");
	q.header = "Transfer-Encoding: chunked";
	expect_problem(ask("/healthz", q), 413, "body-not-taken", "without one");
	q = (struct question) { .method = "GET", .body = "" };
	struct answer a = ask("/healthz", q);
	CU_ASSERT_EQUAL(a.status, 200); /* a body of no bytes is none */
	buf_done(&a.body);
	stage_done(&s);
}

/* --- status ------------------------------------------------------------------------- */

/* The members in order; what is an object follows in brackets. */
static void list_members(struct buf *b, json_t *object)
{
	const char *name = NULL;
	json_t *value = NULL;

	json_object_foreach(object, name, value) {
		buf_printf(b, "%s ", name);
		if (json_is_array(value))
			value = json_array_get(value, 0);
		if (!json_is_object(value))
			continue;
		buf_add_str(b, "( ");
		list_members(b, value);
		buf_add_str(b, ") ");
	}
}

static void test_status_has_its_members_in_order(void)
{
	static const char expected[] =
		"version state pid started_at uptime_seconds paused paused_lanes "
		"queue ( jobs bytes capacity_jobs capacity_bytes high_water_jobs high_water_bytes "
		"pushed popped producers_blocked producers_blocked_seconds consumers_idle "
		"consumers_idle_seconds ) lanes ( active idle ) "
		"ledger ( accepted waiting delayed queued running done dead cancelled ) "
		"waiting_by_reason ( ) "
		"backlog ( type held_jobs held_bytes max_jobs max_bytes submitters_blocked "
		"submitters_blocked_seconds error ) "
		"workers ( wanted alive ) "
		"fetch ( attempts failed body_bytes idle_connections insecure_origins "
		"dns ( cached waiting lookups hits queries failures ) ) "
		"sources ( name jobs bad_lines bytes_read blocked_seconds ended ) "
		"results ( path last_seq readers recorded recorded_bytes pending blocked_seconds "
		"bodies ( mode kept kept_bytes duplicates memory_bytes waiting waited_seconds error ) "
		"error ) log_level blocked ";
	const struct source_settings source = { .type = SOURCE_FILE, .path = "urls.txt" };
	struct buf members = { 0 };
	struct stage s;

	write_text("urls.txt", NOBODY "a\nno job\n" NOBODY "b\n");
	stage_init(&s, &source, 1, (struct control_options) { .started_wall_us = 1500000 });
	stage_finish(&s);
	json_t *json = get_status();
	list_members(&members, json);
	buf_add_char(&members, '\0');
	CU_ASSERT_STRING_EQUAL(members.data, expected);
	CU_ASSERT_STRING_EQUAL(string(json, "version"), "1.2.3");
	CU_ASSERT_STRING_EQUAL(string(json, "started_at"), "1970-01-01T00:00:01.500000Z");
	CU_ASSERT_TRUE(json_real_value(json_object_get(json, "uptime_seconds")) > 1e6);
	CU_ASSERT_EQUAL(json_integer_value(json_object_get(json, "pid")), getpid());
	CU_ASSERT_TRUE(json_is_false(json_object_get(json, "paused")));
	CU_ASSERT_TRUE(json_is_null(json_object_get(json, "blocked")));
	json_decref(json);
	buf_done(&members);
	stage_done(&s);
}

static void test_status_counts_what_was_done(void)
{
	const struct source_settings source = { .type = SOURCE_FILE, .path = "urls.txt" };
	struct stage s;

	write_text("urls.txt", NOBODY "a\nno job\n" NOBODY "b\n");
	stage_init(&s, &source, 1, usual);
	stage_finish(&s);
	json_t *json = get_status();
	const json_t *first = json_array_get(json_object_get(json, "sources"), 0);
	CU_ASSERT_EQUAL(integer(json, "ledger", "accepted"), 2);
	CU_ASSERT_EQUAL(integer(json, "ledger", "dead"), 2);
	CU_ASSERT_EQUAL(integer(json, "fetch", "attempts"), 6);
	CU_ASSERT_EQUAL(integer(json, "fetch", "failed"), 6);
	CU_ASSERT_EQUAL(integer(json, "queue", "capacity_jobs"), 1000);
	CU_ASSERT_EQUAL(integer(json, "queue", "popped"), 6);
	CU_ASSERT_EQUAL(integer(json, "backlog", "max_jobs"), 1000000);
	CU_ASSERT_EQUAL(integer(json, "workers", "wanted"), 2);
	CU_ASSERT_EQUAL(integer(json, "results", "recorded"), 2);
	CU_ASSERT_STRING_EQUAL(string(first, "name"), "urls.txt");
	CU_ASSERT_EQUAL(json_integer_value(json_object_get(first, "jobs")), 2);
	CU_ASSERT_EQUAL(json_integer_value(json_object_get(first, "bad_lines")), 1);
	CU_ASSERT_TRUE(json_is_true(json_object_get(first, "ended")));
	json_decref(json);
	stage_done(&s);
}

static void test_the_ledger_balances_at_every_moment(void)
{
	static const char *const accounts[] = { "waiting", "delayed", "queued",   "running",
		                                "done",    "dead",    "cancelled" };
	const struct source_settings source = { .type = SOURCE_FILE, .path = "urls.txt" };
	struct buf urls = { 0 };
	struct stage s;
	bool finished = false;

	for (int i = 0; i < 300; i++)
		buf_printf(&urls, NOBODY "%d\n", i);
	buf_add_char(&urls, '\0');
	write_text("urls.txt", urls.data);
	stage_init(&s, &source, 1, usual);
	while (!finished) {
		json_int_t sum = 0;
		json_t *json = get_status();
		for (size_t i = 0; i < ARRAY_LEN(accounts); i++) {
			CU_ASSERT_TRUE(integer(json, "ledger", accounts[i]) >= 0);
			sum += integer(json, "ledger", accounts[i]);
		}
		CU_ASSERT_EQUAL(sum, integer(json, "ledger", "accepted"));
		finished = integer(json, "ledger", "dead") == 300;
		json_decref(json);
	}
	buf_done(&urls);
	stage_done(&s);
}

static void test_a_source_full_of_delayed_jobs_is_called_blocked(void)
{
	/* A retry comes after a random part of a day: not while anyone looks. */
	static const char *const settings[] = { "backlog.max_jobs=2", "retry.base=1d",
		                                "retry.max=1d" };
	const struct source_settings source = { .type = SOURCE_FILE, .path = "urls.txt" };
	struct stage s;
	bool blocked = false;

	write_text("urls.txt", NOBODY "1\n" NOBODY "2\n" NOBODY "3\n");
	stage_init_with(&s, &source, 1, usual, settings, ARRAY_LEN(settings));
	while (!blocked) {
		json_t *json = get_status();
		CU_ASSERT_TRUE(integer(json, "ledger", "waiting") >= 0);
		/* The ledger may learn of the second retry a moment later. */
		blocked = strcmp(string(json, "blocked"), "backlog full of jobs that may not run now") == 0 &&
		          integer(json, "ledger", "delayed") == 2;
		if (blocked) {
			CU_ASSERT_EQUAL(integer(json, "ledger", "waiting"), 0);
			CU_ASSERT_EQUAL(integer(json, "waiting_by_reason", "retry"), 2);
			CU_ASSERT_EQUAL(integer(json, "backlog", "submitters_blocked"), 1);
		}
		json_decref(json);
	}
	stage_done(&s);
}

static void test_status_says_why_results_cannot_be_written(void)
{
	struct stage s;

	stage_init(&s, NULL, 0, (struct control_options) { .results_path = "r\xff\"\n" });
	control_set_results_error(s.control, -ENOSPC);
	json_t *json = get_status();
	const json_t *results = json_object_get(json, "results");
	CU_ASSERT_STRING_EQUAL(string(results, "error"), "No space left on device");
	CU_ASSERT_STRING_EQUAL(string(results, "path"), "r\xef\xbf\xbd\"\n");
	json_decref(json);

	control_set_results_error(s.control, 0);
	json = get_status();
	CU_ASSERT_TRUE(json_is_null(json_object_get(json_object_get(json, "results"), "error")));
	json_decref(json);
	stage_done(&s);
}

/* --- limits ------------------------------------------------------------------------- */

static void expect_long_target(size_t len, long status)
{
	char *target = malloc(len + 1);

	CU_ASSERT_PTR_NOT_NULL_FATAL(target);
	memset(target, 'x', len);
	target[0] = '/';
	target[len] = '\0';
	CU_ASSERT_EQUAL(status_of(target), status);
	free(target);
}

static void test_long_targets_are_refused(void)
{
	struct stage s;

	stage_init(&s, NULL, 0, usual);
	expect_long_target(CONTROL_MAX_TARGET_BYTES, 404);
	expect_long_target(CONTROL_MAX_TARGET_BYTES + 1, 414);
	expect_long_target(100000, 414);
	struct buf header = { 0 };
	buf_add_str(&header, "X: ");
	for (int i = 0; i < 40000; i++)
		buf_add_char(&header, 'x');
	buf_add_char(&header, '\0');
	struct answer a = ask("/healthz", (struct question) { .header = header.data });
	CU_ASSERT_EQUAL(a.status, 431);
	buf_done(&a.body);
	buf_done(&header);
	CU_ASSERT_EQUAL(status_of("/healthz"), 200);
	stage_done(&s);
}

static void test_too_many_connections_are_told_so(void)
{
	int fds[CONTROL_MAX_CONNECTIONS];
	struct stage s;

	stage_init(&s, NULL, 0, usual);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		fds[i] = connect_to(SOCKET_NAME);
	expect_problem(get("/healthz"), 503, "too-many-connections", "256 connections are open");
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		(void) close(fds[i]);
	while (status_of("/healthz") != 200)
		; /* until those have been noticed */
	stage_done(&s);
}

static void test_a_slow_client_holds_up_nobody_and_is_cut_off(void)
{
	const uint64_t total_ns = NS_PER_S / 2;
	struct stage s;
	char answer[1024];

	stage_init(&s, NULL, 0, (struct control_options) { .total_ns = total_ns });
	uint64_t start_ns = clock_now_ns();
	int fd = connect_to(SOCKET_NAME);
	send_text(fd, "GET /healthz HTTP/1.1\r\nHost: x\r\n");
	for (int i = 0; i < 20; i++)
		CU_ASSERT_EQUAL(status_of("/healthz"), 200);

	/* It never falls silent, and yet it ends. */
	while (send(fd, "X", 1, MSG_NOSIGNAL) == 1) {
		struct pollfd set = { .fd = fd, .events = POLLIN };
		if (poll(&set, 1, 10) > 0)
			break;
	}
	CU_ASSERT_TRUE(clock_now_ns() >= start_ns + total_ns);
	ssize_t n = recv(fd, answer, sizeof(answer) - 1, 0);
	CU_ASSERT_TRUE_FATAL(n > 0);
	answer[n] = '\0';
	CU_ASSERT_EQUAL(strncmp(answer, "HTTP/1.1 408 Request Timeout\r\n", 30), 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(answer, "\"type\": \"urn:penstock:problem:too-slow\""));
	CU_ASSERT_PTR_NOT_NULL(strstr(answer, "not complete after 0.5 seconds"));
	CU_ASSERT_TRUE(recv(fd, answer, 1, 0) <= 0);
	CU_ASSERT_EQUAL(status_of("/healthz"), 200);
	(void) close(fd);
	stage_done(&s);
}

static void test_between_two_requests_a_connection_is_closed_without_a_word(void)
{
	static const char request[] = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
	char answer[1024];
	size_t len = 0;
	struct stage s;

	stage_init(&s, NULL, 0, (struct control_options) { .total_ns = NS_PER_S / 2 });
	int fd = connect_to(SOCKET_NAME);
	send_text(fd, request);
	for (ssize_t n = 1; n > 0 && len < sizeof(answer) - 1; len += n > 0 ? (size_t) n : 0)
		n = recv(fd, answer + len, sizeof(answer) - 1 - len, 0);
	answer[len] = '\0';
	CU_ASSERT_EQUAL(strncmp(answer, "HTTP/1.1 200 OK\r\n", 17), 0);
	CU_ASSERT_TRUE(len >= 3 && strcmp(answer + len - 3, "ok\n") == 0);
	(void) close(fd);
	stage_done(&s);
}

static void test_a_connection_serves_many_requests(void)
{
	static const char request[] = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
	char answers[4096] = "";
	size_t len = 0, found = 0;
	struct stage s;

	stage_init(&s, NULL, 0, usual);
	int fd = connect_to(SOCKET_NAME);
	for (int i = 0; i < 5; i++)
		send_text(fd, request); /* pipelined */
	while (found < 5) {
		ssize_t n = recv(fd, answers + len, sizeof(answers) - 1 - len, 0);
		CU_ASSERT_TRUE_FATAL(n > 0);
		len += (size_t) n;
		answers[len] = '\0';
		found = 0;
		for (const char *p = answers; (p = strstr(p, "\r\n\r\nok\n")); p++)
			found++;
	}
	(void) close(fd);
	stage_done(&s);
}

/* --- life --------------------------------------------------------------------------- */

static void test_stopping_leaves_the_socket_to_its_owner(void)
{
	struct stage s;
	int listens = 0;
	socklen_t size = sizeof(listens);

	stage_init(&s, NULL, 0, usual);
	int idle = connect_to(SOCKET_NAME), half = connect_to(SOCKET_NAME);
	int unread = connect_to(SOCKET_NAME);
	send_text(half, "GET /v1/status HT");
	for (int i = 0; i < 200; i++) /* more than it can be answered unread */
		send_text(unread, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
	CU_ASSERT_EQUAL(status_of("/healthz"), 200);
	s.control = control_free(s.control);

	CU_ASSERT_EQUAL(getsockopt(s.socket.listen_fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size), 0);
	CU_ASSERT_EQUAL(listens, 1);
	(void) close(idle), (void) close(half), (void) close(unread);

	const struct control_options again = {
		.listen_fd = s.socket.listen_fd,
		.engine = s.engine,
		.version = "4.5.6",
		.results_path = RESULTS_NAME,
	};
	CU_ASSERT_EQUAL_FATAL(control_start(&again, &s.control), 0);
	CU_ASSERT_EQUAL(status_of("/healthz"), 200);
	stage_done(&s);
}

static void test_a_blocking_socket_is_served_as_well(void)
{
	struct stage s;

	stage_init(&s, NULL, 0, usual);
	s.control = control_free(s.control);
	CU_ASSERT_EQUAL(fcntl(s.socket.listen_fd, F_SETFL, 0), 0); /* as systemd hands it over */
	const struct control_options options = {
		.listen_fd = s.socket.listen_fd,
		.engine = s.engine,
		.version = "1",
		.results_path = RESULTS_NAME,
	};
	CU_ASSERT_EQUAL_FATAL(control_start(&options, &s.control), 0);
	CU_ASSERT_TRUE(fcntl(s.socket.listen_fd, F_GETFL) & O_NONBLOCK);
	CU_ASSERT_EQUAL(status_of("/healthz"), 200);
	CU_ASSERT_EQUAL(status_of("/healthz"), 200);
	stage_done(&s);
}

static void test_the_commands_client_gets_answers_and_errors(void)
{
	char too_long[200];
	struct buf body = { 0 };
	struct stage s;
	long status = 0;

	memset(too_long, 'x', sizeof(too_long));
	too_long[sizeof(too_long) - 1] = '\0';
	CU_ASSERT_EQUAL(unix_http_get(too_long, "/", &status, &body), -ENAMETOOLONG);
	CU_ASSERT_EQUAL(unix_http_get("nothing.sock", "/", &status, &body), -ENOENT);
	write_text("a file", "");
	CU_ASSERT_EQUAL(unix_http_get("a file", "/", &status, &body), -ECONNREFUSED);

	stage_init(&s, NULL, 0, usual);
	CU_ASSERT_EQUAL(unix_http_get(SOCKET_NAME, "/healthz", &status, &body), 0);
	CU_ASSERT_EQUAL(status, 200);
	CU_ASSERT_TRUE(body.len == 3 && memcmp(body.data, "ok\n", 3) == 0);
	CU_ASSERT_EQUAL(unix_http_get(SOCKET_NAME, "/nothing", &status, &body), 0);
	CU_ASSERT_EQUAL(status, 404);
	buf_done(&body);
	stage_done(&s);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "readiness and state follow the phase", test_readiness_and_state_follow_the_phase },
		{ "health says why not", test_health_says_why_not },
		{ "HEAD is GET without the body", test_head_is_get_without_the_body },
		{ "an unknown path is told the known ones", test_an_unknown_path_is_told_the_known_ones },
		{ "other methods are told which are taken", test_other_methods_are_told_which_are_taken },
		{ "a body that nobody takes is refused", test_a_body_that_nobody_takes_is_refused },
		{ "status has its members in order", test_status_has_its_members_in_order },
		{ "status counts what was done", test_status_counts_what_was_done },
		{ "the ledger balances at every moment", test_the_ledger_balances_at_every_moment },
		{ "a source full of delayed jobs is called blocked",
		  test_a_source_full_of_delayed_jobs_is_called_blocked },
		{ "status says why results cannot be written",
		  test_status_says_why_results_cannot_be_written },
		{ "long targets are refused", test_long_targets_are_refused },
		{ "too many connections are told so", test_too_many_connections_are_told_so },
		{ "a slow client holds up nobody and is cut off",
		  test_a_slow_client_holds_up_nobody_and_is_cut_off },
		{ "between two requests a connection is closed without a word",
		  test_between_two_requests_a_connection_is_closed_without_a_word },
		{ "a connection serves many requests", test_a_connection_serves_many_requests },
		{ "stopping leaves the socket to its owner",
		  test_stopping_leaves_the_socket_to_its_owner },
		{ "a blocking socket is served as well", test_a_blocking_socket_is_served_as_well },
		{ "the commands' client gets answers and errors",
		  test_the_commands_client_gets_answers_and_errors },
		CU_TEST_INFO_NULL,
	};
	return run_in_directory("control", tests);
}
