/* SPDX-License-Identifier: Apache-2.0 */
/* fetch.h: what goes over the wire, and that a connection is used again while
 * nothing of one job leaks into the next. */
#include "fetch/fetch.h"

#include "base/random.h"
#include "origin_process.h"
#include "wire_stage.h"

#include <fcntl.h>

static struct origin_process origin;

static int get(struct stage *s, const char *target)
{
	return stage_get(s, "http://127.0.0.1:%u%s", (unsigned) origin.port, target);
}

/* --- requests ---------------------------------------------------------------------- */

static void test_a_plain_get(void)
{
	struct wire_stage s;

	wire_begin(&s);
	CU_ASSERT_EQUAL(stage_get(&s.fetch, "%s?q#fragment", s.url), 0);
	CU_ASSERT_TRUE(wire_came(&s, &s.a, HEAD_OF("GET", "/x?q") "\r\n"));
	wire_end(&s);
}

static void test_methods_headers_and_bodies(void)
{
	static const struct {
		struct fetch_request req;
		const char *wire;
	} cases[] = {
		{ { .method = "HEAD" }, HEAD_OF("HEAD", "/x") "\r\n" },
		{ { .method = "DELETE" }, HEAD_OF("DELETE", "/x") "\r\n" },
		{ { .method = "OPTIONS" }, HEAD_OF("OPTIONS", "/x") "\r\n" },
		{ { .method = "GET", .headers = "X-A: 1\0X-B: 2\0X-Empty;\0" },
		  HEAD_OF("GET", "/x") "X-A: 1\r\nX-B: 2\r\nX-Empty:\r\n\r\n" },
		{ { .method = "GET", .headers = "Accept: text/html\0User-Agent: mine\0" },
		  "GET /x HTTP/1.1\r\nHost: @\r\nAccept: text/html\r\nUser-Agent: mine\r\n\r\n" },
		{ { .method = "POST",
		    .headers = "Content-Type: text/plain\0",
		    .body = "a\0b",
		    .body_bytes = 3 },
		  HEAD_OF("POST", "/x") "Content-Type: text/plain\r\nContent-Length: 3\r\n\r\na" },
		{ { .method = "PUT",
		    .headers = "Content-Type: a/b\0",
		    .body = "hello",
		    .body_bytes = 5 },
		  HEAD_OF("PUT", "/x") "Content-Type: a/b\r\nContent-Length: 5\r\n\r\nhello" },
		{ { .method = "POST", .body = "a\nb", .body_bytes = 3 }, /* no form, if it is not said */
		  HEAD_OF("POST", "/x") "Content-Length: 3\r\n\r\na\nb" },
		{ { .method = "QUERY", .body = "", .body_bytes = 0 },
		  HEAD_OF("QUERY", "/x") "Content-Length: 0\r\n\r\n" },
		{ { .method = "PUT" }, HEAD_OF("PUT", "/x") "Content-Length: 0\r\n\r\n" },
		{ { .method = "M-SEARCH" }, HEAD_OF("M-SEARCH", "/x") "\r\n" },
		{ { .method = "GET", .headers = "X-A: 1\0X-A: 2\0X-A;\0" },
		  HEAD_OF("GET", "/x") "X-A: 1\r\nX-A: 2\r\nX-A:\r\n\r\n" },
		{ { .method = "POST", .headers = "Content-Type: a/b\0" },
		  HEAD_OF("POST", "/x") "Content-Type: a/b\r\nContent-Length: 0\r\n\r\n" },
		{ { .method = "DELETE",
		    .headers = "Content-Type: a/b\0",
		    .body = "x",
		    .body_bytes = 1 },
		  HEAD_OF("DELETE", "/x") "Content-Type: a/b\r\nContent-Length: 1\r\n\r\nx" },
	};
	struct wire_stage s;

	wire_begin(&s);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct fetch_request req = cases[i].req;
		req.url = s.url;
		CU_ASSERT_EQUAL(stage_fetch(&s.fetch, &req), 0);
		CU_ASSERT_TRUE(wire_came(&s, &s.a, cases[i].wire));
	}
	CU_ASSERT_EQUAL(atomic_load(&s.a.connections), 1);
	wire_end(&s);
}

static void test_a_large_body_arrives_whole(void)
{
	enum { SIZE = 300000 };
	struct wire_stage s;
	char *body = malloc(SIZE);

	wire_begin(&s);
	CU_ASSERT_PTR_NOT_NULL_FATAL(body);
	memset(body, 'x', SIZE);
	struct fetch_request req = {
		.url = s.url, .method = "POST", .body = body, .body_bytes = SIZE
	};
	CU_ASSERT_EQUAL(stage_fetch(&s.fetch, &req), 0);
	wire_take(&s.a, &s.wire);
	CU_ASSERT_TRUE(s.wire.len > SIZE);
	CU_ASSERT_EQUAL(memcmp(s.wire.data + s.wire.len - 1 - SIZE, body, SIZE), 0);
	free(body);
	wire_end(&s);
}

/* --- redirects --------------------------------------------------------------------- */

static const struct fetch_request secret_post = {
	.method = "POST",
	.headers = "Authorization: secret\0X-Kept: yes\0Content-Type: a/b\0",
	.body = "hello",
	.body_bytes = 5,
};

#define SECRET_POST                                                                                \
	HEAD_OF("POST", "/x")                                                                      \
	"Authorization: secret\r\nX-Kept: yes\r\nContent-Type: a/b\r\n"                            \
	"Content-Length: 5\r\n\r\nhello"

static void test_a_post_becomes_a_get_without_its_body(void)
{
	struct wire_stage s;
	struct fetch_request req = secret_post;

	wire_begin(&s);
	req.url = s.url;
	wire_answer_next(&s.a, "HTTP/1.1 302 Found\r\nLocation: /y\r\nContent-Length: 0\r\n\r\n");
	CU_ASSERT_EQUAL(stage_fetch(&s.fetch, &req), 0);
	CU_ASSERT_EQUAL(s.fetch.response.redirects, 1);
	CU_ASSERT_TRUE(wire_came(
	        &s, &s.a,
	        SECRET_POST HEAD_OF("GET", "/y") "Authorization: secret\r\nX-Kept: yes\r\n\r\n"));
	CU_ASSERT_EQUAL(atomic_load(&s.a.connections), 1);
	wire_end(&s);
}

static void test_credentials_do_not_travel(void)
{
	struct wire_stage s;
	struct fetch_request req = secret_post;

	wire_begin(&s);
	req.url = s.url;
	wire_redirect(&s.a, 307, &s.b, "/y");
	wire_redirect(&s.b, 308, &s.a, "/z");
	CU_ASSERT_EQUAL(stage_fetch(&s.fetch, &req), 0);
	CU_ASSERT_TRUE(wire_came(
	        &s, &s.b,
	        HEAD_OF("POST",
	                "/y") "X-Kept: yes\r\nContent-Type: a/b\r\n"
	                              "Content-Length: 5\r\n\r\nhello"));
	CU_ASSERT_TRUE(wire_came(
	        &s, &s.a,
	        SECRET_POST HEAD_OF(
	                "POST",
	                "/z") "X-Kept: yes\r\nContent-Type: a/b\r\n"
	                              "Content-Length: 5\r\n\r\nhello"));
	wire_end(&s);
}

static void test_cookies_and_credentials_of_a_url_are_not_kept(void)
{
	struct wire_stage s;
	char redirect[128];

	wire_begin(&s);
	(void) snprintf(redirect, sizeof(redirect),
	                "HTTP/1.1 302 Go\r\nLocation: http://user:pass@127.0.0.1:%u/y\r\n"
	                "Set-Cookie: a=b\r\nContent-Length: 0\r\n\r\n",
	                (unsigned) s.a.port);
	wire_answer_next(&s.a, redirect);
	CU_ASSERT_EQUAL(stage_get(&s.fetch, "%s", s.url), 0);
	wire_take(&s.a, &s.wire);
	CU_ASSERT_EQUAL(stage_get(&s.fetch, "%s", s.url), 0);
	CU_ASSERT_TRUE(wire_came(&s, &s.a, HEAD_OF("GET", "/x") "\r\n"));
	wire_end(&s);
}

/* --- Retry-After ------------------------------------------------------------------- */

static void test_a_retry_after_is_never_negative(void)
{
	static const struct {
		const char *text;
		int64_t least_s, most_s;
	} cases[] = {
		{ "17", 17, 17 },
		{ "-17", 0, 0 },
		{ "Thu, 01 Jan 1998 00:00:00 GMT", 0, 0 },
		{ "Fri, 01 Jan 2100 00:00:00 GMT", 1, INT64_MAX },
		{ "soon", 0, 0 },
	};
	struct wire_stage s;
	char answer[WIRE_ANSWER_SIZE];

	wire_begin(&s);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		(void) snprintf(answer, sizeof(answer),
		                "HTTP/1.1 503 No\r\nRetry-After: %s\r\nContent-Length: 0\r\n\r\n",
		                cases[i].text);
		wire_answer_next(&s.a, answer);
		CU_ASSERT_EQUAL(stage_get(&s.fetch, "%s", s.url), 0);
		if (s.fetch.response.retry_after_s < cases[i].least_s)
			(void) fprintf(stderr, "%s: %lld\n", cases[i].text,
			               (long long) s.fetch.response.retry_after_s);
		CU_ASSERT_TRUE(s.fetch.response.retry_after_s >= cases[i].least_s);
		CU_ASSERT_TRUE(s.fetch.response.retry_after_s <= cases[i].most_s);
	}
	wire_end(&s);
}

/* --- connections ------------------------------------------------------------------- */

static void test_one_connection_serves_them_all(void)
{
	enum { FETCHES = 20 };
	struct stage s;
	struct fetch_stats stats;

	stage_init(&s);
	stage_create(&s);
	long long before = origin_counter(&origin, "connections");
	for (int i = 0; i < FETCHES; i++)
		CU_ASSERT_EQUAL(get(&s, i % 4 == 3 ? "/status/404" : "/bytes/100"), 0);
	CU_ASSERT_EQUAL(get(&s, "/redirect/3"), 0);
	CU_ASSERT_EQUAL(origin_counter(&origin, "connections"), before + 2); /* and the asking */
	fetch_stats(s.fetcher, &stats);
	CU_ASSERT_EQUAL(stats.idle_connections, 1);
	stage_done(&s);
}

static void test_a_closed_connection_is_not_missed(void)
{
	struct stage s;

	stage_init(&s);
	stage_create(&s);
	for (int i = 0; i < 20; i++) {
		CU_ASSERT_EQUAL(get(&s, "/close-after"), 0);
		CU_ASSERT_EQUAL(s.response.status, 200);
		CU_ASSERT_EQUAL(get(&s, "/ok"), 0);
		CU_ASSERT_EQUAL(s.response.status, 200);
	}
	stage_done(&s);
}

/* The answer to one request may not become part of the next one's. */
static void test_bytes_behind_an_answer_are_not_the_next_one(void)
{
	struct stage s;

	stage_init(&s);
	stage_create(&s);
	for (int i = 0; i < 5; i++) {
		CU_ASSERT_EQUAL(get(&s, "/long/70000"), 0);
		CU_ASSERT_EQUAL(s.response.body_bytes, 70000);
		while (origin_counter(&origin, "open") > 1) /* all is sent once it has closed */
			(void) sched_yield();
		CU_ASSERT_EQUAL(get(&s, "/close-after"), 0);
		CU_ASSERT_EQUAL(s.response.status, 200);
	}
	stage_done(&s);
}

/* Whoever closes a connection that was kept may have read the request. */
static void test_a_request_goes_out_once(void)
{
	struct stage s;

	stage_init(&s);
	stage_create(&s);
	for (int once = 0; once <= 1; once++) {
		char url[64];
		(void) snprintf(url, sizeof(url), "http://127.0.0.1:%u/close", (unsigned) origin.port);
		CU_ASSERT_EQUAL(get(&s, "/ok"), 0);
		long long before = origin_counter(&origin, "requests");
		struct fetch_request req = { .url = url, .method = "POST", .once = once };
		CU_ASSERT_EQUAL(stage_fetch(&s, &req), -ECONNRESET);
		CU_ASSERT_STRING_EQUAL(s.response.reason, "connection closed without an answer");
		CU_ASSERT_EQUAL(origin_counter(&origin, "requests"), before + (once ? 1 : 2));
	}
	stage_done(&s);
}

static void test_without_room_for_idle_ones_each_fetch_connects(void)
{
	struct stage s;

	stage_init(&s);
	s.options.max_idle = 0;
	stage_create(&s);
	long long before = origin_counter(&origin, "connections");
	for (int i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(get(&s, "/ok"), 0);
	CU_ASSERT_EQUAL(origin_counter(&origin, "connections"), before + 4);
	stage_done(&s);
}

/* --- nothing leaks ----------------------------------------------------------------- */

/* A job that was made up: the request, its strings, and what the server says to it. */
struct made_up {
	struct fetch_request req;
	unsigned max_redirects;
	char url[128];
	char headers[256];
	char body[64];
	char answers[3][WIRE_ANSWER_SIZE];
	size_t n_answers;
};

static void make_up_headers(struct random *random, struct made_up *m)
{
	static const char *const headers[] = {
		"X-Job: 1",    "Accept: a/b", "Authorization: secret", "Content-Type: text/plain",
		"Cookie: a=b", "X-Empty;",    "User-Agent: other",     "Range: bytes=0-1",
		"Cookie: c=d", "Referer: x",  "Accept-Encoding: br",   "If-None-Match: \"e\"",
	};
	size_t len = 0;

	for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
		if (random_up_to(random, 4) > 0)
			continue;
		memcpy(m->headers + len, headers[i], strlen(headers[i]) + 1);
		len += strlen(headers[i]) + 1;
	}
	m->headers[len] = '\0';
	m->req.headers = len > 0 ? m->headers : NULL;
}

static void make_up_body(struct random *random, struct made_up *m)
{
	static const char *const files[] = { "small", "empty", "large" };

	if (random_up_to(random, 2) == 0) {
		m->req.body_file = files[random_up_to(random, ARRAY_LEN(files) - 1)];
		return;
	}
	m->req.body_bytes = (size_t) random_up_to(random, sizeof(m->body));
	memset(m->body, "b\n\xff"[random_up_to(random, 3)], sizeof(m->body));
	m->req.body = m->body;
}

/* Up to two answers that lead elsewhere or ask for something, each at the same server. */
static void make_up_answers(struct random *random, uint16_t port, struct made_up *m)
{
	static const char *const locations[] = { "/y", "?q#f", "//loc:word@127.0.0.1:", "http://127.0.0.1:" };
	static const int statuses[] = { 301, 302, 303, 307, 308 };
	char location[64];

	m->n_answers = (size_t) random_up_to(random, 2);
	for (size_t i = 0; i < m->n_answers; i++) {
		size_t which = (size_t) random_up_to(random, ARRAY_LEN(locations) - 1);
		if (which < 2)
			(void) snprintf(location, sizeof(location), "%s", locations[which]);
		else
			(void) snprintf(location, sizeof(location), "%s%u/z", locations[which],
			                (unsigned) port);
		(void) snprintf(m->answers[i], sizeof(m->answers[i]),
		                "HTTP/1.1 %d Go\r\nLocation: %s\r\nSet-Cookie: kept=no\r\n"
		                "Content-Length: 0\r\n\r\n",
		                statuses[random_up_to(random, ARRAY_LEN(statuses) - 1)], location);
	}
	if (random_up_to(random, 4) == 0)
		(void) snprintf(m->answers[m->n_answers++], WIRE_ANSWER_SIZE,
		                "HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=\"r\"\r\n"
		                "Content-Length: 0\r\n\r\n");
}

/* Makes up a job; a third of them are plain. */
static void make_up(struct random *random, uint16_t port, struct made_up *m)
{
	static const char *const methods[] = { "GET",    "HEAD",    "POST",  "PUT",  "PATCH",
		                               "DELETE", "OPTIONS", "TRACE", "QUERY" };
	static const char *const users[] = { "", "", "user:pass@", "token@", ":word@" };
	static const char *const rests[] = { "", "", "?q", "?q#f", "/../%78", "?%71" };
	bool plain = random_up_to(random, 2) == 0;

	*m = (struct made_up) { .req.method = "GET", .max_redirects = 5 };
	(void) snprintf(m->url, sizeof(m->url), "http://%s127.0.0.1:%u/x%s",
	                plain ? "" : users[random_up_to(random, ARRAY_LEN(users) - 1)],
	                (unsigned) port, rests[random_up_to(random, ARRAY_LEN(rests) - 1)]);
	m->req.url = m->url;
	if (plain)
		return;
	m->req.method = methods[random_up_to(random, ARRAY_LEN(methods) - 1)];
	m->req.timeout_ns = random_up_to(random, 1) ? PLENTY : PLENTY / 2;
	m->max_redirects = (unsigned) random_up_to(random, 3);
	make_up_headers(random, m);
	make_up_answers(random, port, m);
	if (strcmp(m->req.method, "HEAD") != 0 && random_up_to(random, 1) == 0)
		make_up_body(random, m);
}

/* Performs it, and takes what has come to the server. */
static void perform(struct wire_stage *s, struct stage *stage, const struct made_up *m,
                    struct buf *ret_wire)
{
	struct fetch_request req = m->req;
	unsigned usual = stage->usual.max_redirects;

	for (size_t i = 0; i < m->n_answers; i++)
		wire_answer_next(&s->a, m->answers[i]);
	stage->usual.max_redirects = m->max_redirects;
	int r = stage_fetch(stage, &req);
	CU_ASSERT_TRUE(r == 0 || r == -ELOOP);
	stage->usual.max_redirects = usual;
	wire_take(&s->a, ret_wire);
	mutex_lock(&s->a.lock);
	s->a.n = 0; /* answers to hops that were not made */
	mutex_unlock(&s->a.lock);
}

static void make_files(const char *directory)
{
	static const struct {
		const char *name;
		off_t bytes;
	} files[] = { { "small", 10 }, { "empty", 0 }, { "large", 200000 } };
	int at = open(directory, O_PATH | O_DIRECTORY);

	CU_ASSERT_TRUE_FATAL(at >= 0);
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		int fd = openat(at, files[i].name, O_WRONLY | O_CREAT, 0600);
		CU_ASSERT_TRUE_FATAL(fd >= 0 && ftruncate(fd, files[i].bytes) == 0);
		(void) close(fd);
	}
	(void) close(at);
}

static void remove_files(const char *directory)
{
	char command[128];

	(void) snprintf(command, sizeof(command), "rm -r %s", directory);
	CU_ASSERT_EQUAL(system(command), 0);
}

static void test_nothing_leaks_into_the_next_job(void)
{
	enum { JOBS = 400 };
	char directory[] = "/tmp/penstock-wire-XXXXXX";
	struct wire_stage s;
	struct stage fresh;
	struct made_up m;
	struct buf expected = { 0 };
	uint64_t seed = random_seed();
	struct random random = { .state = seed };
	bool same = true;

	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(directory));
	make_files(directory);
	wire_begin(&s);
	s.fetch.fetcher = fetcher_free(s.fetch.fetcher);
	s.fetch.options.body_dir = directory;
	stage_create(&s.fetch);
	stage_init(&fresh);
	fresh.options.body_dir = directory;
	for (int i = 0; i < JOBS && same; i++) {
		make_up(&random, s.a.port, &m);
		perform(&s, &s.fetch, &m, &s.wire);

		stage_create(&fresh);
		perform(&s, &fresh, &m, &expected);
		fresh.fetcher = fetcher_free(fresh.fetcher);
		same = s.wire.len == expected.len &&
		       memcmp(s.wire.data, expected.data, expected.len) == 0;
	}
	CU_ASSERT_TRUE(same);
	if (!same)
		(void) fprintf(stderr, "seed %llu: reused:\n%s\nfresh:\n%s\n",
		               (unsigned long long) seed, s.wire.data, expected.data);
	else
		CU_ASSERT_EQUAL(atomic_load(&s.a.connections), 1 + JOBS); /* really reused */
	buf_done(&expected);
	stage_done(&fresh);
	wire_end(&s);
	remove_files(directory);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "a plain GET has no more than it needs", test_a_plain_get },
		{ "methods, headers and bodies arrive as given", test_methods_headers_and_bodies },
		{ "a large body arrives whole", test_a_large_body_arrives_whole },
		{ "a redirected POST becomes a GET without its body",
		  test_a_post_becomes_a_get_without_its_body },
		{ "credentials do not travel to another origin, nor back",
		  test_credentials_do_not_travel },
		{ "cookies and a URL's credentials are not kept",
		  test_cookies_and_credentials_of_a_url_are_not_kept },
		{ "a Retry-After is never negative", test_a_retry_after_is_never_negative },
		{ "one connection serves them all", test_one_connection_serves_them_all },
		{ "a connection that the origin has closed is not missed",
		  test_a_closed_connection_is_not_missed },
		{ "bytes behind an answer are not the next one",
		  test_bytes_behind_an_answer_are_not_the_next_one },
		{ "a request goes out once if it must", test_a_request_goes_out_once },
		{ "without room for idle ones each fetch connects",
		  test_without_room_for_idle_ones_each_fetch_connects },
		{ "nothing leaks into the next job", test_nothing_leaks_into_the_next_job },
		CU_TEST_INFO_NULL,
	};

	if (!origin_is_there())
		return ORIGIN_SKIP;
	stage_begin_all();
	if (!origin_start(&origin))
		return EXIT_FAILURE;
	int status = unit_run("fetch: wire", tests);
	return origin_stop(&origin) ? status : EXIT_FAILURE;
}
