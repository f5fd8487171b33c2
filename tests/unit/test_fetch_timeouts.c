/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch.h: a timeout holds in every phase and names it; a fetch can be cancelled.
 *
 * Nothing here waits for a certain time but fetch() itself.  It may never end
 * before its timeout; that it ends soon after is checked generously.  What has not come
 * as far as it should in its time, as the machine is busy, is tried again with more.
 */
#include "fetch/fetch.h"

#include "base/thread.h"
#include "fetch_stage.h"
#include "origin_process.h"
#include "wire_server.h"

#include <poll.h>
#include <sched.h>

#define SHORT (300 * NS_PER_MS)
#define SLACK (5 * NS_PER_S)
#define LONG  (16 * SHORT)

static struct origin_process origin;

static void expect_timeout(struct stage *s, int r, const char *phase)
{
	char reason[64];

	(void) snprintf(reason, sizeof(reason), "timeout: %s", phase);
	CU_ASSERT_EQUAL(r, -ETIMEDOUT);
	CU_ASSERT_EQUAL(strncmp(s->response.reason, reason, strlen(reason)), 0);
	if (strncmp(s->response.reason, reason, strlen(reason)) != 0)
		(void) fprintf(stderr, "'%s', not '%s'\n", s->response.reason, reason);
	CU_ASSERT_EQUAL(s->response.curl_code, CURLE_OPERATION_TIMEDOUT);
	CU_ASSERT_TRUE(s->took_ns >= SHORT);
	CU_ASSERT_TRUE(s->took_ns < LONG + SLACK);
}

static int get(struct stage *s, const char *target)
{
	return stage_get(s, "http://127.0.0.1:%u%s", (unsigned) origin.port, target);
}

static void expect_timeout_of(struct stage *s, const char *target, const char *phase)
{
	uint64_t span_ns = SHORT;
	int r = 0;

	do {
		s->usual.timeout_ns = span_ns;
		r = get(s, target);
		span_ns *= 4;
	} while (!strstr(s->response.reason, phase) && span_ns <= LONG);
	expect_timeout(s, r, phase);
}

static void begin(struct stage *s)
{
	stage_init(s);
	s->usual.timeout_ns = SHORT;
	stage_create(s);
}

/* --- phases ------------------------------------------------------------------------ */

/* A name server that never answers. */
static int open_silent_dns(char *servers, size_t size)
{
	struct sockaddr_in at = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t len = sizeof(at);

	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	CU_ASSERT_TRUE_FATAL(fd >= 0);
	CU_ASSERT_EQUAL_FATAL(bind(fd, (struct sockaddr *) &at, len), 0);
	CU_ASSERT_EQUAL_FATAL(getsockname(fd, (struct sockaddr *) &at, &len), 0);
	(void) snprintf(servers, size, "127.0.0.1:%u", (unsigned) ntohs(at.sin_port));
	return fd;
}

static void test_resolving(void)
{
	struct stage s;
	char servers[32];
	int dns = open_silent_dns(servers, sizeof(servers));

	stage_init(&s);
	s.options.resolver.servers = servers;
	s.usual.timeout_ns = SHORT;
	stage_create(&s);
	expect_timeout(&s, stage_get(&s, "http://silent.test/"), "resolving");
	CU_ASSERT_EQUAL(s.response.status, 0);
	stage_done(&s);
	(void) close(dns);
}

/* A listener that has a connection waiting already, and room for no other. */
static int open_full_listener(int *ret_client, uint16_t *ret_port)
{
	int fd = wire_listen(0, ret_port);
	struct sockaddr_in at;
	socklen_t len = sizeof(at);

	CU_ASSERT_EQUAL_FATAL(getsockname(fd, (struct sockaddr *) &at, &len), 0);
	*ret_client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CU_ASSERT_EQUAL_FATAL(connect(*ret_client, (struct sockaddr *) &at, len), 0);
	CU_ASSERT_EQUAL_FATAL(poll(&(struct pollfd) { .fd = fd, .events = POLLIN }, 1, -1), 1);
	return fd;
}

/* By the attempt's timeout if 'total', else by the connection's. */
static void expect_connect_timeout(const char *scheme, uint16_t port, bool total, const char *phase)
{
	struct stage s;

	stage_init(&s);
	s.usual.timeout_ns = total ? SHORT : PLENTY;
	s.options.connect_timeout_ns = total ? PLENTY : SHORT;
	stage_create(&s);
	expect_timeout(&s, stage_get(&s, "%s://127.0.0.1:%u/", scheme, (unsigned) port), phase);
	CU_ASSERT_EQUAL(s.response.status, 0);
	CU_ASSERT_EQUAL(strstr(s.response.reason, "(fetch.connect_timeout)") == NULL, total);
	stage_done(&s);
}

static void test_connecting(void)
{
	int client = -1;
	uint16_t port = 0;
	int listener = open_full_listener(&client, &port);

	expect_connect_timeout("http", port, true, "connecting");
	expect_connect_timeout("http", port, false, "connecting");
	expect_connect_timeout("https", port, true, "connecting");
	(void) close(client);
	(void) close(listener);
}

static void test_tls_handshake(void)
{
	uint16_t port = 0;
	int listener = wire_listen(8, &port); /* the kernel accepts, and nobody speaks */

	expect_connect_timeout("https", port, true, "tls handshake");
	expect_connect_timeout("https", port, false, "tls handshake");
	(void) close(listener);
}

/* A server that takes no more of the body than fits into the sockets' buffers. */
static void test_sending_the_request(void)
{
	enum { SIZE = 32 * 1024 * 1024 };
	char url[64], *body = calloc(1, SIZE);
	uint16_t port = 0;
	int listener = wire_listen(8, &port);
	struct stage s;

	CU_ASSERT_PTR_NOT_NULL_FATAL(body);
	(void) snprintf(url, sizeof(url), "http://127.0.0.1:%u/", (unsigned) port);
	begin(&s);
	struct fetch_request req = {
		.url = url, .method = "POST", .body = body, .body_bytes = SIZE
	};
	expect_timeout(&s, stage_fetch(&s, &req), "sending the request");
	for (size_t size = 9; size <= 900000; size *= 99999) { /* with the headers, and after them */
		req = (struct fetch_request) {
			.url = url, .method = "POST", .body = body, .body_bytes = size
		};
		expect_timeout(&s, stage_fetch(&s, &req), "waiting for the response");
	}
	stage_done(&s);
	free(body);
	(void) close(listener);
}

static void test_waiting_for_the_response(void)
{
	struct stage s;

	begin(&s);
	expect_timeout_of(&s, "/stall", "waiting for the response");
	CU_ASSERT_EQUAL(s.response.status, 0);
	stage_done(&s);
}

static void test_waiting_on_a_reused_connection(void)
{
	struct stage s;

	begin(&s);
	s.usual.timeout_ns = PLENTY;
	CU_ASSERT_EQUAL(get(&s, "/ok"), 0);
	long long connections = origin_counter(&origin, "connections");
	s.usual.timeout_ns = SHORT; /* a connection that is open needs none of it */
	expect_timeout(&s, get(&s, "/stall"), "waiting for the response");
	CU_ASSERT_EQUAL(origin_counter(&origin, "connections"), connections + 1);
	stage_done(&s);
}

static void test_reading_the_headers(void)
{
	struct stage s;

	begin(&s);
	expect_timeout_of(&s, "/slow-headers/5", "reading the headers");
	stage_done(&s);
}

static void test_reading_the_body(void)
{
	struct stage s;

	begin(&s);
	expect_timeout_of(&s, "/stall-body", "reading the body");
	CU_ASSERT_EQUAL(s.response.status, 200);
	CU_ASSERT_EQUAL(s.response.body_bytes, 10);
	expect_timeout_of(&s, "/drip/1000/5", "reading the body");
	CU_ASSERT_EQUAL(s.response.status, 200);
	CU_ASSERT_TRUE(s.response.body_bytes > 0 && s.response.body_bytes < 1000);
	stage_done(&s);
}

static void test_every_hop_draws_on_one_timeout(void)
{
	struct stage s;

	begin(&s);
	expect_timeout_of(&s, "/redirect-to?url=/redirect-to?url=/stall",
	                  "waiting for the response");
	CU_ASSERT_EQUAL(s.response.redirects, 2);
	stage_done(&s);
}

static void test_a_timed_out_connection_is_not_used_again(void)
{
	struct stage s;
	struct fetch_stats stats;

	begin(&s);
	expect_timeout_of(&s, "/stall-body", "reading the body");
	fetch_stats(s.fetcher, &stats);
	CU_ASSERT_EQUAL(stats.idle_connections, 0);
	s.usual.timeout_ns = PLENTY;
	CU_ASSERT_EQUAL(get(&s, "/bytes/5"), 0);
	CU_ASSERT_EQUAL(s.response.body_bytes, 5);
	stage_done(&s);
}

/* --- deadlines --------------------------------------------------------------------- */

static void expect_deadline(struct stage *s, int r, const char *reason)
{
	CU_ASSERT_EQUAL(r, -ETIME);
	CU_ASSERT_STRING_EQUAL(s->response.reason, reason);
	CU_ASSERT_EQUAL(s->response.curl_code, CURLE_OPERATION_TIMEDOUT);
	CU_ASSERT_TRUE(s->took_ns < LONG + SLACK);
}

static void test_a_deadline_before_the_timeout_ends_a_fetch_by_its_name(void)
{
	static const char *const targets[][2] = {
		{ "/stall", "deadline: waiting for the response" },
		{ "/slow-headers/5", "deadline: reading the headers" },
		{ "/stall-body", "deadline: reading the body" },
		{ "/redirect-to?url=/redirect-to?url=/stall", "deadline: waiting for the response" },
	};
	struct stage s;

	begin(&s);
	s.usual.timeout_ns = PLENTY;
	for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
		uint64_t span_ns = SHORT;
		int r = 0;
		do {
			s.usual.deadline_ns = clock_now_ns() + span_ns;
			r = get(&s, targets[i][0]);
			span_ns *= 4;
		} while (strcmp(s.response.reason, targets[i][1]) != 0 && span_ns <= LONG);
		expect_deadline(&s, r, targets[i][1]);
		CU_ASSERT_TRUE(clock_now_ns() >= s.usual.deadline_ns);
	}
	s.usual.deadline_ns = 1; /* long ago */
	expect_deadline(&s, get(&s, "/stall"), "deadline: connecting");
	CU_ASSERT_EQUAL(s.response.status, 0);
	stage_done(&s);
}

static void test_a_deadline_while_resolving(void)
{
	struct stage s;
	char servers[32];
	int dns = open_silent_dns(servers, sizeof(servers));

	stage_init(&s);
	s.options.resolver.servers = servers;
	s.usual.timeout_ns = PLENTY;
	stage_create(&s);
	s.usual.deadline_ns = clock_now_ns() + SHORT;
	expect_deadline(&s, stage_get(&s, "http://silent.test/"),
	                "deadline: resolving (the name was not resolved in time)");
	stage_done(&s);
	(void) close(dns);
}

static void test_a_timeout_before_the_deadline_is_one(void)
{
	struct stage s;

	begin(&s);
	s.usual.deadline_ns = clock_now_ns() + PLENTY;
	expect_timeout_of(&s, "/stall", "waiting for the response");
	s.usual.timeout_ns = PLENTY;
	CU_ASSERT_EQUAL(get(&s, "/ok"), 0);
	stage_done(&s);
}

/* --- cancelling -------------------------------------------------------------------- */

struct victim {
	pthread_t thread;
	struct stage stage;
	char url[64];
	int result;
};

static void *fetch_url(void *arg)
{
	struct victim *v = arg;
	struct url_origin at;
	const char *why = NULL;

	v->result = url_parse(v->stage.parser, v->url, &at, &why);
	if (v->result == 0)
		v->result = fetch(v->stage.fetcher,
		                  &(struct fetch_request) { .url = v->url,
		                                           .origin = &at,
		                                           .method = "GET",
		                                           .timeout_ns = PLENTY,
		                                           .max_body_bytes = 1024 },
		                  &v->stage.response);
	return NULL;
}

static void start_victim(struct victim *v)
{
	stage_create(&v->stage);
	CU_ASSERT_EQUAL_FATAL(thread_start(&v->thread, "victim", THREAD_STACK_SMALL, fetch_url, v),
	                      0);
}

static void cancel_victim(struct victim *v)
{
	uint64_t start_ns = clock_now_ns();

	fetcher_cancel(v->stage.fetcher);
	thread_join(v->thread);
	CU_ASSERT_TRUE(clock_now_ns() - start_ns < SLACK);
	CU_ASSERT_EQUAL(v->result, -ECANCELED);
	CU_ASSERT_FALSE(v->stage.response.complete);
	CU_ASSERT_TRUE(*v->stage.response.reason != '\0');
}

static void test_a_stalled_fetch_is_cancelled_at_once(void)
{
	static const char *const targets[] = { "/stall", "/stall-body", "/drip/1000/60" };

	for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
		struct victim v;
		stage_init(&v.stage);
		(void) snprintf(v.url, sizeof(v.url), "http://127.0.0.1:%u%s",
		                (unsigned) origin.port, targets[i]);
		origin_await_in_flight(&origin, 0); /* what earlier tests have left */
		start_victim(&v);
		origin_await_in_flight(&origin, 1);
		cancel_victim(&v);
		CU_ASSERT_STRING_EQUAL(v.stage.response.reason, "aborted");
		stage_done(&v.stage);
	}
}

static void test_a_lookup_is_cancelled_at_once(void)
{
	struct victim v;
	struct fetch_stats stats;
	char servers[32];
	int dns = open_silent_dns(servers, sizeof(servers));

	stage_init(&v.stage);
	v.stage.options.resolver.servers = servers;
	(void) snprintf(v.url, sizeof(v.url), "http://silent.test/");
	start_victim(&v);
	do {
		(void) sched_yield();
		fetch_stats(v.stage.fetcher, &stats);
	} while (stats.resolver.waiting == 0);
	cancel_victim(&v);
	stage_done(&v.stage);
	(void) close(dns);
}

static void test_a_cancelled_fetcher_fetches_nothing_more(void)
{
	struct stage s;

	stage_init(&s);
	stage_create(&s);
	fetcher_cancel(s.fetcher);
	fetcher_cancel(s.fetcher);
	CU_ASSERT_EQUAL(get(&s, "/stall"), -ECANCELED);
	CU_ASSERT_EQUAL(stage_get(&s, "http://localhost:%u/stall", (unsigned) origin.port),
	                -ECANCELED);
	stage_done(&s);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "a timeout holds while resolving", test_resolving },
		{ "a timeout holds while connecting", test_connecting },
		{ "a timeout holds during a tls handshake", test_tls_handshake },
		{ "a timeout holds while sending the request", test_sending_the_request },
		{ "a timeout holds while waiting for the response", test_waiting_for_the_response },
		{ "waiting on a reused connection is not called connecting",
		  test_waiting_on_a_reused_connection },
		{ "a timeout holds while reading the headers", test_reading_the_headers },
		{ "a timeout holds while reading the body", test_reading_the_body },
		{ "every hop draws on one timeout", test_every_hop_draws_on_one_timeout },
		{ "a connection that timed out is not used again",
		  test_a_timed_out_connection_is_not_used_again },
		{ "a deadline before the timeout ends a fetch by its name",
		  test_a_deadline_before_the_timeout_ends_a_fetch_by_its_name },
		{ "a deadline while resolving", test_a_deadline_while_resolving },
		{ "a timeout before the deadline is one", test_a_timeout_before_the_deadline_is_one },
		{ "a stalled fetch is cancelled at once",
		  test_a_stalled_fetch_is_cancelled_at_once },
		{ "a lookup is cancelled at once", test_a_lookup_is_cancelled_at_once },
		{ "a cancelled fetcher fetches nothing more",
		  test_a_cancelled_fetcher_fetches_nothing_more },
		CU_TEST_INFO_NULL,
	};

	if (!origin_is_there())
		return ORIGIN_SKIP;
	stage_begin_all();
	if (!origin_start(&origin))
		return EXIT_FAILURE;
	int status = unit_run("fetch: timeouts", tests);
	return origin_stop(&origin) ? status : EXIT_FAILURE;
}
