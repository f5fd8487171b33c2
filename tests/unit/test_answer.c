/* SPDX-License-Identifier: Apache-2.0 */
/* fetch.h: what is kept of an answer: its body decoded, its header, its sizes and times. */
#include "fetch/fetch.h"

#include "wire_stage.h"

#include <stdlib.h>
#include <zlib.h>

#define HELLO "hello, hello, hello, hello"
#define CODINGS "Accept-Encoding: gzip, deflate, br, zstd\r\n"

struct taken {
	struct buf body;
};

static int take(void *arg, const char *data, size_t n)
{
	struct taken *taken = arg;

	buf_add(&taken->body, data, n);
	return 0;
}

/* A stage whose fetcher asks for encoded bodies, and keeps these header fields. */
static void begin(struct wire_stage *s, const char *const *headers, size_t n_headers)
{
	static const char *const codings[] = { "gzip", "deflate", "br", "zstd" };
	const struct fetch_rules_options options = {
		.codings = codings, .n_codings = ARRAY_LEN(codings), .headers = headers, .n_headers = n_headers
	};
	struct fetch_rules *rules = NULL;

	wire_begin(s);
	CU_ASSERT_EQUAL_FATAL(fetch_rules_create(&options, &rules), 0);
	fetcher_set_rules(s->fetch.fetcher, rules);
	fetch_rules_unref(rules);
}

static void gzipped(const char *text, size_t n, struct buf *b)
{
	z_stream z = { .next_in = (Bytef *) (uintptr_t) text, .avail_in = (unsigned) n };

	CU_ASSERT_EQUAL_FATAL(deflateInit2(&z, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
	CU_ASSERT_EQUAL_FATAL(buf_reserve(b, n + 100), 0);
	z.next_out = (Bytef *) b->data + b->len;
	z.avail_out = (unsigned) (b->size - b->len);
	CU_ASSERT_EQUAL_FATAL(deflate(&z, Z_FINISH), Z_STREAM_END);
	b->len += z.total_out;
	(void) deflateEnd(&z);
}

/* Puts an answer with these header lines, and this body less its last 'cut' bytes, in line. */
static void answer(struct wire_server *server, const char *status, const char *lines,
                   const struct buf *body, size_t cut)
{
	struct buf b = { 0 };

	buf_printf(&b, "HTTP/1.1 %s\r\n%sContent-Length: %zu\r\n\r\n", status, lines, body->len - cut);
	buf_add(&b, body->data, body->len - cut);
	wire_answer_bytes(server, b.data, b.len);
	buf_done(&b);
}

static int get_taking(struct wire_stage *s, struct taken *taken, struct fetch_request req)
{
	buf_clear(&taken->body);
	req.url = s->url;
	req.take_body = take;
	req.body_arg = taken;
	return stage_fetch(&s->fetch, &req);
}

/* --- encodings --------------------------------------------------------------------- */

static void test_a_body_is_decoded(void)
{
	static const char *const lines[] = {
		"Content-Encoding: gzip\r\n", "Content-Encoding: X-GZIP\r\n",
		"Content-Encoding: identity, gzip\r\n",
		"Content-Encoding:\r\nContent-Encoding: ,gzip ,\r\n"
	};
	struct taken taken = { 0 };
	struct buf body = { 0 };
	struct wire_stage s;

	begin(&s, NULL, 0);
	gzipped(HELLO, strlen(HELLO), &body);
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		answer(&s.a, "200 OK", lines[i], &body, 0);
		CU_ASSERT_EQUAL(get_taking(&s, &taken, (struct fetch_request) { 0 }), 0);
		CU_ASSERT_TRUE(holds(&taken.body, HELLO));
		CU_ASSERT_EQUAL(s.fetch.response.body_bytes, strlen(HELLO));
		CU_ASSERT_EQUAL(s.fetch.response.download_bytes, body.len);
		CU_ASSERT_TRUE(wire_came(&s, &s.a, HEAD_OF("GET", "/x") CODINGS "\r\n"));
	}
	CU_ASSERT_EQUAL(atomic_load(&s.a.connections), 1);
	buf_done(&body);
	buf_done(&taken.body);
	wire_end(&s);
}

static void test_without_a_body_an_encoding_is_only_a_word(void)
{
	static const char *const answers[] = {
		"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Encoding: none-such\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 204 No\r\nContent-Encoding: gzip\r\n\r\n",
		"HTTP/1.1 304 No\r\nContent-Encoding: gzip\r\nContent-Length: 99999999\r\n\r\n",
	};
	struct wire_stage s;

	begin(&s, NULL, 0);
	for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
		wire_answer_next(&s.a, answers[i]);
		CU_ASSERT_EQUAL(stage_get(&s.fetch, "%s", s.url), 0);
		CU_ASSERT_EQUAL(s.fetch.response.download_bytes, 0);
	}
	wire_answer_next(&s.a, answers[3]);
	struct fetch_request head = { .url = s.url, .method = "HEAD" };
	CU_ASSERT_EQUAL(stage_fetch(&s.fetch, &head), 0);
	CU_ASSERT_EQUAL(atomic_load(&s.a.connections), 1);
	wire_end(&s);
}

static void expect_fault(struct wire_stage *s, const char *fault)
{
	char reason[100];

	(void) snprintf(reason, sizeof(reason), "bad response: %s", fault);
	CU_ASSERT_EQUAL(stage_get(&s->fetch, "%s", s->url), -EPROTO);
	CU_ASSERT_STRING_EQUAL(s->fetch.response.reason, reason);
	CU_ASSERT_EQUAL(s->fetch.response.curl_code, CURLE_BAD_CONTENT_ENCODING);
	CU_ASSERT_EQUAL(s->fetch.response.status, 200);
	CU_ASSERT_EQUAL(s->fetch.response.error.len, 0);
}

static void test_a_broken_encoding_has_its_reason(void)
{
	static const char gzip[] = "Content-Encoding: gzip\r\n";
	struct buf body = { 0 }, plain = { 0 };
	struct wire_stage s;

	begin(&s, NULL, 0);
	gzipped(HELLO, strlen(HELLO), &body);
	buf_add_str(&plain, HELLO);
	answer(&s.a, "200 OK", gzip, &plain, 0);
	expect_fault(&s, "content encoding (broken)");
	for (size_t cut = 1; cut < body.len; cut += 3) {
		answer(&s.a, "200 OK", gzip, &body, cut);
		expect_fault(&s, "content encoding (cut short)");
	}
	answer(&s.a, "200 OK", "Content-Encoding: none-such\r\n", &body, 0);
	expect_fault(&s, "content encoding (unknown)");
	answer(&s.a, "200 OK", "Content-Encoding: gzip, gzip\r\n", &body, 0);
	expect_fault(&s, "content encoding (more than one)");
	answer(&s.a, "200 OK", "Content-Encoding: gzip\r\nContent-Encoding: br\r\n", &body, 0);
	expect_fault(&s, "content encoding (more than one)");
	wire_answer_next(&s.a, "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"
	                       "5\r\nhello\r\n0\r\n\r\n");
	expect_fault(&s, "transfer encoding");
	buf_done(&body);
	buf_done(&plain);
	wire_end(&s);
}

static void test_a_request_can_have_codings_of_its_own(void)
{
	static const struct {
		const char *headers, *wire;
	} cases[] = {
		{ "Accept-Encoding: gzip\0", "Accept-Encoding: gzip\r\n" },
		{ "accept-encoding: identity\0", "accept-encoding: identity\r\n" },
		{ "Accept-Encoding;\0", "Accept-Encoding:\r\n" },
		{ "X: 1\0Range: bytes=0-9\0", "X: 1\r\nRange: bytes=0-9\r\n" },
	};
	struct taken taken = { 0 };
	struct buf body = { 0 }, expected = { 0 };
	struct wire_stage s;

	begin(&s, NULL, 0);
	gzipped(HELLO, strlen(HELLO), &body);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		answer(&s.a, "200 OK", "Content-Encoding: gzip\r\n", &body, 5);
		CU_ASSERT_EQUAL(get_taking(&s, &taken, (struct fetch_request) {
						   .headers = cases[i].headers }), 0);
		CU_ASSERT_EQUAL(taken.body.len, body.len - 5); /* as it came */
		CU_ASSERT_EQUAL(memcmp(taken.body.data, body.data, taken.body.len), 0);
		buf_clear(&expected);
		buf_printf(&expected, HEAD_OF("GET", "/x") "%s\r\n", cases[i].wire);
		buf_add_char(&expected, '\0');
		CU_ASSERT_TRUE(wire_came(&s, &s.a, expected.data));

		/* and the next one has not */
		answer(&s.a, "200 OK", "Content-Encoding: gzip\r\n", &body, 0);
		CU_ASSERT_EQUAL(get_taking(&s, &taken, (struct fetch_request) { 0 }), 0);
		CU_ASSERT_TRUE(holds(&taken.body, HELLO));
		CU_ASSERT_TRUE(wire_came(&s, &s.a, HEAD_OF("GET", "/x") CODINGS "\r\n"));
	}
	buf_done(&body);
	buf_done(&expected);
	buf_done(&taken.body);
	wire_end(&s);
}

static void test_without_compression_a_body_is_as_it_came(void)
{
	struct taken taken = { 0 };
	struct buf body = { 0 };
	struct wire_stage s;

	wire_begin(&s);
	gzipped(HELLO, strlen(HELLO), &body);
	answer(&s.a, "200 OK", "Content-Encoding: gzip\r\n", &body, 0);
	CU_ASSERT_EQUAL(get_taking(&s, &taken, (struct fetch_request) { 0 }), 0);
	CU_ASSERT_EQUAL(taken.body.len, body.len);
	buf_done(&body);
	buf_done(&taken.body);
	wire_end(&s);
}

/* --- limits ------------------------------------------------------------------------ */

static void test_the_limit_holds_for_what_is_decoded(void)
{
	enum { ZEROS = 100000 };
	static const char gzip[] = "Content-Encoding: gzip\r\n";
	char *zeros = calloc(1, ZEROS);
	struct taken taken = { 0 };
	struct buf body = { 0 };
	struct wire_stage s;

	CU_ASSERT_PTR_NOT_NULL_FATAL(zeros);
	begin(&s, NULL, 0);
	gzipped(zeros, ZEROS, &body);
	answer(&s.a, "200 OK", gzip, &body, 0);
	CU_ASSERT_EQUAL(get_taking(&s, &taken, (struct fetch_request) { .max_body_bytes = ZEROS }), 0);
	CU_ASSERT_EQUAL(taken.body.len, ZEROS);

	answer(&s.a, "200 OK", gzip, &body, 0);
	CU_ASSERT_EQUAL(get_taking(&s, &taken, (struct fetch_request) {
					   .max_body_bytes = ZEROS - 1 }), -EFBIG);
	CU_ASSERT_TRUE(taken.body.len < ZEROS);

	answer(&s.a, "200 OK", gzip, &body, 0);
	CU_ASSERT_EQUAL(get_taking(&s, &taken, (struct fetch_request) {
					   .max_body_bytes = ZEROS - 1, .truncates = true }), 0);
	CU_ASSERT_EQUAL(taken.body.len, ZEROS - 1);
	CU_ASSERT_TRUE(s.fetch.response.truncated);
	CU_ASSERT_EQUAL(s.fetch.response.download_bytes, body.len);

	free(zeros);
	buf_done(&body);
	buf_done(&taken.body);
	wire_end(&s);
}

/* Empty blocks: the body becomes longer and longer, and what it decodes to does not. */
static void test_the_limit_holds_for_what_comes(void)
{
	struct buf body = { 0 };
	struct wire_stage s;

	begin(&s, NULL, 0);
	for (int i = 0; i < 80; i++)
		buf_add(&body, "\0\0\0\xff\xff", 5);
	for (int truncates = 0; truncates < 2; truncates++) {
		char chunked[WIRE_ANSWER_SIZE] = "HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\n"
		                                 "Content-Length: 10000000\r\n\r\n";
		size_t n = strlen(chunked);
		memcpy(chunked + n, body.data, body.len);
		wire_answer_bytes(&s.a, chunked, n + body.len);
		struct fetch_request req = { .url = s.url, .max_body_bytes = 1000,
			                     .truncates = truncates,
			                     .timeout_ns = truncates ? NS_PER_S / 5 : PLENTY };
		CU_ASSERT_EQUAL(stage_fetch(&s.fetch, &req), truncates ? -ETIMEDOUT : -EFBIG);
	}
	buf_done(&body);
	wire_end(&s);
}

/* The rest never comes: only what the length says can have ended it. */
static void test_an_announced_length_can_be_too_long(void)
{
	struct wire_stage s;

	begin(&s, NULL, 0);
	wire_answer_next(&s.a, "HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 1048577\r\n\r\nx");
	CU_ASSERT_EQUAL(stage_get(&s.fetch, "%s", s.url), -EFBIG);
	CU_ASSERT_STRING_EQUAL(s.fetch.response.reason, "body larger than 1048576 bytes");
	CU_ASSERT_EQUAL(s.fetch.response.status, 200);
	CU_ASSERT_EQUAL(s.fetch.response.body_bytes, 0);
	CU_ASSERT_EQUAL(s.fetch.response.error.len, 0);
	wire_end(&s);
}

static void test_the_body_of_a_redirect_is_of_no_account(void)
{
	struct taken taken = { 0 };
	struct buf body = { 0 };
	struct wire_stage s;

	begin(&s, NULL, 0);
	for (int i = 0; i < 30; i++)
		buf_add_str(&body, "0123456789");
	for (int truncates = 0; truncates < 2; truncates++) { /* it is longer than a body may be */
		answer(&s.a, "302 Go", "Content-Encoding: none-such\r\nLocation: /y\r\n", &body, 0);
		answer(&s.a, "200 OK", "", &body, 280);
		CU_ASSERT_EQUAL(get_taking(&s, &taken, (struct fetch_request) {
						   .max_body_bytes = 100, .truncates = truncates }), 0);
		CU_ASSERT_EQUAL(taken.body.len, 20);
		CU_ASSERT_FALSE(s.fetch.response.truncated);
		CU_ASSERT_EQUAL(s.fetch.response.redirects, 1);
	}
	CU_ASSERT_EQUAL(atomic_load(&s.a.connections), 1);
	buf_done(&body);
	buf_done(&taken.body);
	wire_end(&s);
}

/* What libcurl takes for no Location leads nowhere, and its body is the answer's. */
static void test_an_empty_location_leads_nowhere(void)
{
	static const char *const empty[] = {
		"HTTP/1.1 302 Go\r\nLocation:\r\nContent-Length: 4\r\n\r\nhere",
		"HTTP/1.1 302 Go\r\nLocation: \t \r\nContent-Length: 4\r\n\r\nhere",
	};
	struct wire_stage s;
	struct taken taken = { 0 };

	begin(&s, NULL, 0);
	for (size_t i = 0; i < ARRAY_LEN(empty); i++) {
		wire_answer_next(&s.a, empty[i]);
		CU_ASSERT_EQUAL(get_taking(&s, &taken, (struct fetch_request) { 0 }), 0);
		CU_ASSERT_EQUAL(s.fetch.response.status, 302);
		CU_ASSERT_EQUAL(taken.body.len, 4);
	}

	/* Of several, the first that is not empty counts. */
	wire_answer_next(&s.a, "HTTP/1.1 302 Go\r\nLocation:\r\nLocation: /y\r\n"
	                       "Content-Length: 4\r\n\r\ngone");
	wire_answer_next(&s.a, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nthere");
	CU_ASSERT_EQUAL(get_taking(&s, &taken, (struct fetch_request) { 0 }), 0);
	CU_ASSERT_EQUAL(s.fetch.response.redirects, 1);
	CU_ASSERT_EQUAL(taken.body.len, 5);

	/* libcurl does not see a value in a continued line, which the header has. */
	wire_answer_next(&s.a, "HTTP/1.1 302 Go\r\nLocation:\r\n /y\r\n"
	                       "Content-Length: 5\r\n\r\nwhere");
	CU_ASSERT_EQUAL(get_taking(&s, &taken, (struct fetch_request) { 0 }), -EPROTO);
	CU_ASSERT_STRING_EQUAL(s.fetch.response.reason, "bad response: Location");

	buf_done(&taken.body);
	wire_end(&s);
}

/* --- headers ----------------------------------------------------------------------- */

static bool has_headers(const struct response *r, const char *expected, size_t n)
{
	return r->headers.len == n && memcmp(r->headers.data, expected, n) == 0;
}
#define HAS_HEADERS(r, expected) has_headers(r, expected, sizeof(expected) - 1)

static void test_chosen_headers_are_kept(void)
{
	static const char *const names[] = { "ETag", "set-cookie" };
	struct wire_stage s;

	begin(&s, names, ARRAY_LEN(names));
	wire_answer_next(&s.a, "HTTP/1.1 103 Early\r\nETag: early\r\n\r\n"
	                       "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nX-Other: 1\r\nEtag: \"7\"\r\n"
	                       "SET-COOKIE: b=\xe4\r\nset-cookie:\r\nTransfer-Encoding: chunked\r\n\r\n"
	                       "0\r\nETag: trailer\r\n\r\n");
	CU_ASSERT_EQUAL(stage_get(&s.fetch, "%s", s.url), 0);
	CU_ASSERT_TRUE(HAS_HEADERS(&s.fetch.response,
	                           "set-cookie\0a=1\0etag\0\"7\"\0set-cookie\0b=\xe4\0"
	                           "set-cookie\0\0"));
	CU_ASSERT_EQUAL(s.fetch.response.n_headers, 4);
	CU_ASSERT_FALSE(s.fetch.response.headers_truncated);
	CU_ASSERT_EQUAL(stage_get(&s.fetch, "%s", s.url), 0); /* an answer without */
	CU_ASSERT_EQUAL(s.fetch.response.n_headers, 0);
	CU_ASSERT_EQUAL(s.fetch.response.headers.len, 0);
	wire_end(&s);
}

static void test_headers_are_those_of_the_last_hop(void)
{
	static const char *const all[] = { "*" };
	struct wire_stage s;

	begin(&s, all, 1);
	wire_answer_next(&s.a, "HTTP/1.1 302 Go\r\nLocation: /y\r\nX-A: 1\r\nContent-Type: a/b\r\n"
	                       "Content-Length: 0\r\n\r\n");
	CU_ASSERT_EQUAL(stage_get(&s.fetch, "%s", s.url), 0);
	CU_ASSERT_TRUE(HAS_HEADERS(&s.fetch.response, "content-length\0" "0\0"));
	CU_ASSERT_TRUE(s.fetch.response.redirect_us > 0);

	/* A last hop that gets nowhere has none. */
	wire_answer_next(&s.a, "HTTP/1.1 302 Go\r\nLocation: http://127.0.0.1:1/y\r\nX-A: 1\r\n"
	                       "Content-Type: a/b\r\nContent-Length: 3\r\n\r\nabc");
	CU_ASSERT_EQUAL(stage_get(&s.fetch, "%s", s.url), -ECONNREFUSED);
	CU_ASSERT_EQUAL(s.fetch.response.n_headers, 0);
	CU_ASSERT_EQUAL(s.fetch.response.content_type.len, 0);
	CU_ASSERT_EQUAL(s.fetch.response.download_bytes, 0);
	CU_ASSERT_EQUAL(s.fetch.response.status, 0);
	CU_ASSERT_EQUAL(s.fetch.response.http_version, 0);
	CU_ASSERT_EQUAL(s.fetch.response.header_bytes, 0);
	CU_ASSERT_TRUE(holds(&s.fetch.response.effective, "http://127.0.0.1:1/y"));

	/* One whose name does not exist has not even begun. */
	wire_answer_next(&s.a, "HTTP/1.1 302 Go\r\nLocation: http://-bad-.invalid:1/y\r\nX-A: 1\r\n"
	                       "Content-Type: a/b\r\nContent-Length: 3\r\n\r\nabc");
	CU_ASSERT_TRUE(stage_get(&s.fetch, "%s", s.url) < 0);
	CU_ASSERT_EQUAL(s.fetch.response.n_headers, 0);
	CU_ASSERT_EQUAL(s.fetch.response.content_type.len, 0);
	CU_ASSERT_STRING_EQUAL(s.fetch.response.remote_ip, "");
	CU_ASSERT_EQUAL(s.fetch.response.connect_us, 0);
	CU_ASSERT_TRUE(holds(&s.fetch.response.effective, "http://-bad-.invalid:1/y"));
	wire_end(&s);
}

/* --- figures ----------------------------------------------------------------------- */

static void test_sizes_and_times(void)
{
	static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
	struct wire_stage s;
	char whole[100];

	begin(&s, NULL, 0);
	(void) snprintf(whole, sizeof(whole), "%shello", text);
	wire_answer_next(&s.a, whole);
	struct fetch_request req = { .url = s.url, .method = "PUT", .body = "abc", .body_bytes = 3 };
	CU_ASSERT_EQUAL(stage_fetch(&s.fetch, &req), 0);
	const struct response *r = &s.fetch.response;
	CU_ASSERT_EQUAL(r->download_bytes, 5);
	CU_ASSERT_EQUAL(r->body_bytes, 5);
	CU_ASSERT_EQUAL(r->upload_bytes, 3);
	CU_ASSERT_EQUAL(r->header_bytes, sizeof(text) - 1);
	wire_take(&s.a, &s.wire);
	CU_ASSERT_EQUAL(r->request_bytes, s.wire.len - 1);
	CU_ASSERT_TRUE(r->pretransfer_us >= r->connect_us);
	CU_ASSERT_TRUE(r->starttransfer_us >= r->pretransfer_us);
	CU_ASSERT_EQUAL(r->redirect_us, 0);
	CU_ASSERT_STRING_EQUAL(r->tls.version, "");
	wire_end(&s);
}

static void test_what_is_too_slow_has_failed(void)
{
	struct wire_stage s;

	begin(&s, NULL, 0);
	wire_answer_next(&s.a, "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhello");
	struct fetch_request req = {
		.url = s.url, .least_speed = 1000, .speed_span_ns = 600 * NS_PER_MS
	};
	CU_ASSERT_EQUAL(stage_fetch(&s.fetch, &req), -ETIMEDOUT);
	CU_ASSERT_STRING_EQUAL(s.fetch.response.reason, "too slow: less than 1000 bytes/s for 600ms");
	CU_ASSERT_EQUAL(s.fetch.response.curl_code, CURLE_OPERATION_TIMEDOUT);
	CU_ASSERT_EQUAL(s.fetch.response.status, 200);
	CU_ASSERT_TRUE(s.fetch.took_ns >= 600 * NS_PER_MS);

	/* One that ends in time is not. */
	req.least_speed = 1000000000;
	req.speed_span_ns = PLENTY;
	CU_ASSERT_EQUAL(stage_fetch(&s.fetch, &req), 0);

	/* The header was fewer bytes than this span wants, and so was the silence. */
	wire_answer_next(&s.a, "HTTP/1.1 200 OK\r\nX: y");
	req.least_speed = 1;
	req.speed_span_ns = 100 * NS_PER_MS; /* less than a byte */
	req.timeout_ns = NS_PER_S;
	CU_ASSERT_EQUAL(stage_fetch(&s.fetch, &req), -ETIMEDOUT);
	CU_ASSERT_STRING_EQUAL(s.fetch.response.reason, "timeout: reading the headers");
	wire_end(&s);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "a body is decoded", test_a_body_is_decoded },
		{ "without a body an encoding is only a word",
		  test_without_a_body_an_encoding_is_only_a_word },
		{ "a broken encoding has its reason", test_a_broken_encoding_has_its_reason },
		{ "a request can have codings of its own",
		  test_a_request_can_have_codings_of_its_own },
		{ "without compression a body is as it came",
		  test_without_compression_a_body_is_as_it_came },
		{ "the limit holds for what is decoded", test_the_limit_holds_for_what_is_decoded },
		{ "the limit holds for what comes", test_the_limit_holds_for_what_comes },
		{ "an announced length can be too long", test_an_announced_length_can_be_too_long },
		{ "the body of a redirect is of no account",
		  test_the_body_of_a_redirect_is_of_no_account },
		{ "an empty Location leads nowhere", test_an_empty_location_leads_nowhere },
		{ "chosen headers are kept", test_chosen_headers_are_kept },
		{ "headers are those of the last hop", test_headers_are_those_of_the_last_hop },
		{ "sizes and times", test_sizes_and_times },
		{ "what is too slow has failed", test_what_is_too_slow_has_failed },
		CU_TEST_INFO_NULL,
	};

	stage_begin_all();
	return unit_run("answer", tests);
}
