/* SPDX-License-Identifier: Apache-2.0 */
/* fetch.h: what a redirect takes along and what it leaves behind, as it is on the wire. */
#include "fetch/fetch.h"

#include "wire_stage.h"

/* "user:pass" and "other:word". */
#define BASIC_USER "Authorization: Basic dXNlcjpwYXNz\r\n"
#define BASIC_OTHER "Authorization: Basic b3RoZXI6d29yZA==\r\n"

#define HEAD_WITH(method, target, credentials)                                                     \
	method " " target " HTTP/1.1\r\nHost: @\r\n" credentials                                   \
	"Accept: */*\r\nUser-Agent: test/1\r\n"

static void redirect_to(struct wire_server *from, int status, const char *location)
{
	char answer[WIRE_ANSWER_SIZE];

	(void) snprintf(answer, sizeof(answer),
	                "HTTP/1.1 %d Go\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n", status, location);
	wire_answer_next(from, answer);
}

/* Gets server a's "/x" with a user and password in the URL. */
static int get_as_user(struct wire_stage *s, const char *rest)
{
	return stage_get(&s->fetch, "http://user:pass@127.0.0.1:%u%s", (unsigned) s->a.port, rest);
}

/* --- credentials in URLs ------------------------------------------------------------- */

static void test_a_urls_user_stays_at_its_origin(void)
{
	static const char *const locations[] = { "/y", "y", "http://127.0.0.1:%u/y", "//127.0.0.1:%u/y",
		                                 "HTTP://127.0.0.1:%u/x/../y" };
	struct wire_stage s;
	char location[128];

	wire_begin(&s);
	for (size_t i = 0; i < ARRAY_LEN(locations); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		(void) snprintf(location, sizeof(location), locations[i], (unsigned) s.a.port);
#pragma GCC diagnostic pop
		redirect_to(&s.a, 302, location);
		CU_ASSERT_EQUAL(get_as_user(&s, "/x"), 0);
		CU_ASSERT_TRUE(wire_came(&s, &s.a,
		                         HEAD_WITH("GET", "/x", BASIC_USER) "\r\n"
		                         HEAD_WITH("GET", "/y", BASIC_USER) "\r\n"));
	}
	/* And not with the next job. */
	CU_ASSERT_EQUAL(stage_get(&s.fetch, "%s", s.url), 0);
	CU_ASSERT_TRUE(wire_came(&s, &s.a, HEAD_OF("GET", "/x") "\r\n"));
	wire_end(&s);
}

static void test_a_urls_user_does_not_leave_nor_come_back(void)
{
	struct wire_stage s;
	char location[128];

	wire_begin(&s);
	for (int relative = 0; relative < 2; relative++) {
		(void) snprintf(location, sizeof(location), "%s//127.0.0.1:%u/y",
		                relative ? "" : "http:", (unsigned) s.b.port);
		redirect_to(&s.a, 302, location);
		redirect_to(&s.b, 302, "/z");
		wire_redirect(&s.b, 307, &s.a, "/back");
		CU_ASSERT_EQUAL(get_as_user(&s, "/x"), 0);
		CU_ASSERT_TRUE(wire_came(&s, &s.a, HEAD_WITH("GET", "/x", BASIC_USER) "\r\n"
		                                   HEAD_OF("GET", "/back") "\r\n"));
		CU_ASSERT_TRUE(wire_came(&s, &s.b, HEAD_OF("GET", "/y") "\r\n"
		                                   HEAD_OF("GET", "/z") "\r\n"));
	}
	wire_end(&s);
}

/* As browsers do: who redirects there knows them. */
static void test_a_locations_user_is_taken_to_its_origin(void)
{
	struct wire_stage s;
	char location[128];

	wire_begin(&s);
	(void) snprintf(location, sizeof(location), "http://other:word@127.0.0.1:%u/y",
	                (unsigned) s.b.port);
	redirect_to(&s.a, 302, location);
	redirect_to(&s.b, 302, "z");
	wire_redirect(&s.b, 302, &s.a, "/back");
	CU_ASSERT_EQUAL(get_as_user(&s, "/x"), 0);
	CU_ASSERT_TRUE(wire_came(&s, &s.a, HEAD_WITH("GET", "/x", BASIC_USER) "\r\n"
	                                   HEAD_OF("GET", "/back") "\r\n"));
	CU_ASSERT_TRUE(wire_came(&s, &s.b, HEAD_WITH("GET", "/y", BASIC_OTHER) "\r\n"
	                                   HEAD_WITH("GET", "/z", BASIC_OTHER) "\r\n"));

	/* At the same origin they replace those of the job. */
	(void) snprintf(location, sizeof(location), "http://other:word@127.0.0.1:%u/y",
	                (unsigned) s.a.port);
	redirect_to(&s.a, 302, location);
	CU_ASSERT_EQUAL(get_as_user(&s, "/x"), 0);
	CU_ASSERT_TRUE(wire_came(&s, &s.a, HEAD_WITH("GET", "/x", BASIC_USER) "\r\n"
	                                   HEAD_WITH("GET", "/y", BASIC_OTHER) "\r\n"));
	wire_end(&s);
}

/* --- what else a URL has ----------------------------------------------------------------- */

static void test_fragments_are_inherited_and_never_sent(void)
{
	static const char *const cases[][3] = {
		/* asked, Location, where it ends */
		{ "/x#f", "/y", "/y#f" },
		{ "/x#f", "/y#g", "/y#g" },
		{ "/x#f", "?q", "/x?q#f" },
		{ "/x", "/y#g", "/y#g" },
	};
	struct wire_stage s;
	char expected[128];

	wire_begin(&s);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		redirect_to(&s.a, 301, cases[i][1]);
		CU_ASSERT_EQUAL(stage_get(&s.fetch, "http://127.0.0.1:%u%s", (unsigned) s.a.port,
		                          cases[i][0]), 0);
		(void) snprintf(expected, sizeof(expected), "http://127.0.0.1:%u%s", (unsigned) s.a.port,
		                cases[i][2]);
		if (!holds(&s.fetch.response.effective, expected))
			(void) fprintf(stderr, "%s, not %.*s\n", expected,
			               (int) s.fetch.response.effective.len,
			               s.fetch.response.effective.data);
		CU_ASSERT_TRUE(holds(&s.fetch.response.effective, expected));
		wire_take(&s.a, &s.wire);
		CU_ASSERT_PTR_NULL(strchr(s.wire.data, '#'));
	}
	wire_end(&s);
}

static void test_nobody_is_told_where_it_came_from(void)
{
	struct wire_stage s;

	wire_begin(&s);
	wire_redirect(&s.a, 302, &s.a, "/y");
	wire_redirect(&s.a, 302, &s.b, "/z");
	CU_ASSERT_EQUAL(get_as_user(&s, "/x?secret"), 0);
	CU_ASSERT_TRUE(wire_came(&s, &s.b, HEAD_OF("GET", "/z") "\r\n"));
	wire_take(&s.a, &s.wire);
	CU_ASSERT_PTR_NULL(strcasestr(s.wire.data, "referer"));
	wire_end(&s);
}

/* --- methods and bodies ------------------------------------------------------------------ */

static void test_methods_and_bodies_change_as_they_should(void)
{
	static const struct {
		int status;
		const char *method, *body, *next;
		bool keeps_body;
	} cases[] = {
		{ 301, "POST", "b", "GET", false },   { 302, "POST", "b", "GET", false },
		{ 303, "POST", "b", "GET", false },   { 307, "POST", "b", "POST", true },
		{ 308, "POST", "b", "POST", true },   { 301, "PUT", "b", "PUT", true },
		{ 302, "PATCH", "b", "PATCH", true }, { 303, "PUT", "b", "GET", false },
		{ 302, "DELETE", "b", "DELETE", true }, { 303, "DELETE", "b", "GET", false },
		{ 303, "HEAD", NULL, "HEAD", true },  { 302, "HEAD", NULL, "HEAD", true },
		{ 303, "OPTIONS", NULL, "GET", false }, { 307, "QUERY", "b", "QUERY", true },
	};
	struct wire_stage s;
	char expected[512];

	wire_begin(&s);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct fetch_request req = { .url = s.url, .method = cases[i].method,
			                     .headers = "Content-Type: a/b\0Content-Encoding: c\0",
			                     .body = cases[i].body, .body_bytes = cases[i].body ? 1 : 0 };
		wire_redirect(&s.a, cases[i].status, &s.b, "/y");
		CU_ASSERT_EQUAL(stage_fetch(&s.fetch, &req), 0);
		(void) snprintf(expected, sizeof(expected),
		                "%s /y HTTP/1.1\r\nHost: @\r\nAccept: */*\r\nUser-Agent: test/1\r\n%s%s\r\n%s",
		                cases[i].next,
		                cases[i].keeps_body ? "Content-Type: a/b\r\nContent-Encoding: c\r\n" : "",
		                cases[i].body && cases[i].keeps_body ? "Content-Length: 1\r\n" : "",
		                cases[i].body && cases[i].keeps_body ? "b" : "");
		CU_ASSERT_TRUE(wire_came(&s, &s.b, expected));
	}
	wire_end(&s);
}

static void test_repeated_headers_go_and_stay_together(void)
{
	struct wire_stage s;

	wire_begin(&s);
	struct fetch_request req = { .url = s.url,
		                     .headers = "Cookie: a=1\0Cookie: b=2\0X: 1\0X: 2\0" };
	wire_redirect(&s.a, 302, &s.b, "/y");
	CU_ASSERT_EQUAL(stage_fetch(&s.fetch, &req), 0);
	CU_ASSERT_TRUE(wire_came(&s, &s.a, HEAD_OF("GET", "/x") "Cookie: a=1\r\nCookie: b=2\r\n"
	                                                        "X: 1\r\nX: 2\r\n\r\n"));
	CU_ASSERT_TRUE(wire_came(&s, &s.b, HEAD_OF("GET", "/y") "X: 1\r\nX: 2\r\n\r\n"));
	wire_end(&s);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "a URL's user stays at its origin", test_a_urls_user_stays_at_its_origin },
		{ "a URL's user does not leave, nor come back",
		  test_a_urls_user_does_not_leave_nor_come_back },
		{ "a Location's user is taken to its origin",
		  test_a_locations_user_is_taken_to_its_origin },
		{ "fragments are inherited and never sent",
		  test_fragments_are_inherited_and_never_sent },
		{ "nobody is told where it came from", test_nobody_is_told_where_it_came_from },
		{ "methods and bodies change as they should",
		  test_methods_and_bodies_change_as_they_should },
		{ "repeated headers go and stay together",
		  test_repeated_headers_go_and_stay_together },
		CU_TEST_INFO_NULL,
	};

	stage_begin_all();
	return unit_run("fetch: redirects", tests);
}
