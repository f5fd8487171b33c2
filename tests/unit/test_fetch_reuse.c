/* SPDX-License-Identifier: Apache-2.0 */
/* fetch.h: what one libcurl handle asks for, and makes of the answers, fetch after fetch. */
#include "fetch/handle.h"
#include "wire_stage.h"

#include <malloc.h>

/* A first header line that continues none: libcurl before 8.2 took it for a continuation of the
 * last one of the answer before, whose memory was free by then. */
static void test_an_answer_does_not_go_on_with_the_one_before(void)
{
	static const char *const starts[] = { "", "HTTP/1.1 100 Continue\r\n\r\n",
		                              "HTTP/1.1 103 Hints\r\n\r\n" };
	static const char *const folded[] = { "  folded: b\r\n", "\tfolded: b\r\n", " folded\r\n" };
	char answer[WIRE_ANSWER_SIZE];
	struct wire_stage s;

	wire_begin(&s);
	for (size_t i = 0; i < 20 * ARRAY_LEN(starts); i++) {
		struct fetch_request req = { .url = s.url, .method = i % 2 ? "GET" : "POST" };
		(void) snprintf(answer, sizeof(answer), "%sHTTP/1.1 200 OK\r\n%sContent-Length: 0\r\n\r\n",
		                starts[i % ARRAY_LEN(starts)], folded[i / 2 % ARRAY_LEN(folded)]);
		wire_answer_next(&s.a, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: a\r\n\r\n");
		wire_answer_next(&s.a, answer);
		CU_ASSERT_EQUAL(stage_fetch(&s.fetch, &req), 0);
		CU_ASSERT_EQUAL(stage_get(&s.fetch, "%s", s.url), -EPROTO);
		CU_ASSERT_EQUAL(strncmp(s.fetch.response.reason, "bad response", 12), 0);
	}
	wire_end(&s);
}

/* libcurl counts what it repeats on a new connection, and gives up at the sixth time, whatever has
 * been answered between. */
static void test_kept_connections_may_end_as_often_as_they_like(void)
{
	enum { FETCHES = 16 };
	struct wire_stage s;

	wire_begin(&s);
	for (unsigned i = 0; i < FETCHES; i++) {
		if (i > 0)
			wire_answer_bytes(&s.a, "", 0);
		CU_ASSERT_EQUAL(stage_get(&s.fetch, "%s", s.url), 0);
		CU_ASSERT_EQUAL(atomic_load(&s.a.connections), i + 1);
	}
	wire_end(&s);
}

/* Lines of a head are no body, whatever is like what. */
static void test_a_head_is_no_body(void)
{
	static const struct {
		const char *answer;
		uint64_t body_bytes;
	} cases[] = {
		{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: a\r\n b\r\n\r\nhello", 5 },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", 19 },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n  hi\r\n", 6 },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0 },
		{ "HTTP/1.1 103 Hints\r\nX: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n\r\n", 2 },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
		  "4\r\n a: \r\n0\r\nX: trailer\r\n more\r\n\r\n", 4 },
		{ "HTTP/1.1 204 No\r\nX: a\r\n\r\n", 0 },
	};
	struct wire_stage s;

	wire_begin(&s);
	for (size_t i = 0; i < 2 * ARRAY_LEN(cases); i++) {
		wire_answer_next(&s.a, cases[i / 2].answer);
		CU_ASSERT_EQUAL(stage_get(&s.fetch, "%s", s.url), 0);
		CU_ASSERT_EQUAL(s.fetch.response.body_bytes, cases[i / 2].body_bytes);
		CU_ASSERT_EQUAL(s.fetch.response.download_bytes, cases[i / 2].body_bytes);
	}
	CU_ASSERT_EQUAL(atomic_load(&s.a.connections), 1);
	wire_end(&s);
}

/* libcurl is given some URLs in parts, and then others as they are. */
static void test_each_url_is_asked_for_as_it_is(void)
{
	static const char *const cases[][3] = {
		/* path, what is asked for, the rest of the effective URL */
		{ "/a?b=c&d", "/a?b=c&d", "/a?b=c&d" },
		{ "/%41?%42", "/%41?%42", "/%41?%42" },
		{ "/", "/", "/" },
		{ "", "/", "/" },
		{ "?b", "/?b", "/?b" },
		{ "//b?/c?d", "//b?/c?d", "//b?/c?d" },
		{ "/a/../b", "/b", "/b" },
		{ "/b?#c", "/b", "/b#c" },
		{ "/a#b?c", "/a", "/a#b?c" },
		{ "/a?b", "/a?b", "/a?b" },
	};
	char wire[256], effective[256];
	struct wire_stage s;

	wire_begin(&s);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CU_ASSERT_EQUAL(stage_get(&s.fetch, "http://127.0.0.1:%u%s", (unsigned) s.a.port,
		                          cases[i][0]), 0);
		(void) snprintf(wire, sizeof(wire), HEAD_OF("GET", "%s") "\r\n", cases[i][1]);
		CU_ASSERT_TRUE(wire_came(&s, &s.a, wire));
		(void) snprintf(effective, sizeof(effective), "http://127.0.0.1:%u%s",
		                (unsigned) s.a.port, cases[i][2]);
		CU_ASSERT_TRUE(holds(&s.fetch.response.effective, effective));
	}
	CU_ASSERT_EQUAL(atomic_load(&s.a.connections), 1);
	wire_end(&s);
}

/* Performs it, and forgets all but what the fetcher keeps.  Returns the bytes that are allocated;
 * with a sanitizer 0. */
static size_t keep_of(struct wire_stage *s, struct fetch_request req)
{
	CU_ASSERT_EQUAL(stage_fetch(&s->fetch, &req), 0);
	wire_take(&s->a, &s->wire);
	response_done(&s->fetch.response);
	s->fetch.response = (struct response) { 0 };
	return mallinfo2().uordblks;
}

/* Whatever a fetch was like, an idle handle is small. */
static void test_what_was_large_is_not_kept(void)
{
	enum { LARGE = 200 * 1024 };
	struct wire_stage s;
	char *parts = malloc(LARGE + 1), *whole = malloc(LARGE + 1), *header = malloc(LARGE + 1);

	wire_begin(&s);
	CU_ASSERT_TRUE_FATAL(parts && whole && header);
	(void) snprintf(parts, LARGE, "%s?%0*d", s.url, LARGE / 2, 1); /* what libcurl is given in parts */
	(void) snprintf(whole, LARGE, "%s%%%0*d", s.url, LARGE / 2, 1);
	(void) snprintf(header, LARGE, "Host: %0*d%c", LARGE / 2, 1, '\0');
	const struct fetch_request large[] = {
		{ .url = parts }, { .url = whole }, { .url = s.url, .headers = header },
	};
	for (size_t i = 0; i < 2 * ARRAY_LEN(large); i++) {
		size_t small = keep_of(&s, (struct fetch_request) { .url = s.url });
		size_t kept = keep_of(&s, large[i % ARRAY_LEN(large)]);
		/* The first time, the server's buffers grow. */
		CU_ASSERT_TRUE(i < ARRAY_LEN(large) || kept < small + HANDLE_KEEPS_BYTES);
	}
	CU_ASSERT_EQUAL(atomic_load(&s.a.connections), 1);
	free(parts);
	free(whole);
	free(header);
	wire_end(&s);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "an answer does not go on with the one before",
		  test_an_answer_does_not_go_on_with_the_one_before },
		{ "kept connections may end as often as they like",
		  test_kept_connections_may_end_as_often_as_they_like },
		{ "a head is no body", test_a_head_is_no_body },
		{ "each URL is asked for as it is", test_each_url_is_asked_for_as_it_is },
		{ "what was large is not kept", test_what_was_large_is_not_kept },
		CU_TEST_INFO_NULL,
	};
	stage_begin_all();
	return unit_run("fetch_reuse", tests);
}
