/* SPDX-License-Identifier: Apache-2.0 */
/* hop.h: what a redirect changes in the next request (RFC 9110, section 15.4). */
#include "fetch/hop.h"

#include "unit.h"

#include <string.h>

/* --- helpers ----------------------------------------------------------------------- */

static const struct url_origin here = { .text = "http://a.test:80", .host = "a.test", .port = 80 };
static const struct url_origin there = { .text = "http://b.test:80", .host = "b.test", .port = 80 };
static const struct url_origin secure = {
	.text = "https://a.test:443", .host = "a.test", .port = 443, .tls = true
};

#define ALL_HEADERS                                                                                \
	"Accept: text/html\0authorization: Basic x\0COOKIE: a=b\0Proxy-Authorization: y\0"         \
	"content-type: text/plain\0Content-Encoding: gzip\0Content-Language: de\0"                 \
	"Content-Location: /c\0Cookies: not a cookie\0Content-Types: nor this\0X-Empty;\0"

static struct hop hop_of(const char *method, const char *body)
{
	return (struct hop) {
		.url = "http://a.test/",
		.origin = here,
		.method = method,
		.headers = ALL_HEADERS,
		.body = body,
		.body_bytes = body ? strlen(body) : 0,
	};
}

static size_t discard(char *data, size_t size, size_t count, void *arg)
{
	(void) data, (void) arg;
	return size * count;
}

static const struct handle_options handle_options = {
	.user_agent = "test/1",
	.connect_timeout_ns = 1000000,
	.on_body = discard,
};

static struct handle *handle_of(const struct hop *hop)
{
	struct fetch_rules *rules = NULL;
	struct handle *h = NULL;

	CU_ASSERT_EQUAL_FATAL(fetch_rules_create(&(struct fetch_rules_options) { 0 }, &rules), 0);
	CU_ASSERT_EQUAL_FATAL(handle_create(&handle_options, rules, &here, NULL, &h), 0);
	fetch_rules_unref(rules);
	CU_ASSERT_EQUAL_FATAL(hop_prepare(hop, h), 0);
	return h;
}

static bool sends(const struct handle *h, const char *header)
{
	for (const struct curl_slist *at = h->headers; at; at = at->next)
		if (strcmp(at->data, header) == 0)
			return true;
	return false;
}

static size_t headers_sent(const struct handle *h)
{
	size_t n = 0;

	for (const struct curl_slist *at = h->headers; at; at = at->next)
		n++;
	return n;
}

/* Whether the hop would send these headers: what is sound always, and the others. */
static void expect_headers(const struct hop *hop, bool content, bool secrets)
{
	struct handle *h = handle_of(hop);

	CU_ASSERT_TRUE(sends(h, "User-Agent: test/1"));
	CU_ASSERT_TRUE(sends(h, "Accept: text/html"));
	CU_ASSERT_TRUE(sends(h, "Cookies: not a cookie"));
	CU_ASSERT_TRUE(sends(h, "Content-Types: nor this"));
	CU_ASSERT_TRUE(sends(h, "X-Empty;"));
	CU_ASSERT_EQUAL(sends(h, "authorization: Basic x"), secrets);
	CU_ASSERT_EQUAL(sends(h, "COOKIE: a=b"), secrets);
	CU_ASSERT_EQUAL(sends(h, "Proxy-Authorization: y"), secrets);
	CU_ASSERT_EQUAL(sends(h, "content-type: text/plain"), content);
	CU_ASSERT_EQUAL(sends(h, "Content-Encoding: gzip"), content);
	CU_ASSERT_EQUAL(sends(h, "Content-Language: de"), content);
	CU_ASSERT_EQUAL(sends(h, "Content-Location: /c"), content);
	CU_ASSERT_EQUAL(sends(h, "Expect:"), hop->body != NULL);
	CU_ASSERT_EQUAL(headers_sent(h), 5u + (secrets ? 3u : 0) + (content ? 4u : 0) +
	                                         (hop->body ? 1u : 0));
	h = handle_free(h);
}

/* --- tests ------------------------------------------------------------------------- */

static void test_only_some_redirects_become_get(void)
{
	static const struct {
		long status;
		const char *method, *next;
	} cases[] = {
		{ 301, "GET", "GET" },       { 302, "GET", "GET" },     { 303, "GET", "GET" },
		{ 307, "GET", "GET" },       { 308, "GET", "GET" },     { 301, "HEAD", "HEAD" },
		{ 302, "HEAD", "HEAD" },     { 303, "HEAD", "HEAD" },   { 307, "HEAD", "HEAD" },
		{ 308, "HEAD", "HEAD" },     { 301, "POST", "GET" },    { 302, "POST", "GET" },
		{ 303, "POST", "GET" },      { 307, "POST", "POST" },   { 308, "POST", "POST" },
		{ 301, "PUT", "PUT" },       { 302, "PUT", "PUT" },     { 303, "PUT", "GET" },
		{ 307, "PUT", "PUT" },       { 308, "PUT", "PUT" },     { 301, "DELETE", "DELETE" },
		{ 302, "DELETE", "DELETE" }, { 303, "DELETE", "GET" },  { 307, "DELETE", "DELETE" },
		{ 303, "PATCH", "GET" },     { 302, "PATCH", "PATCH" }, { 303, "OPTIONS", "GET" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct hop hop = hop_of(cases[i].method, "body");
		bool changed = strcmp(cases[i].method, cases[i].next) != 0;

		hop_redirect(&hop, cases[i].status, "http://a.test/next", &here);
		CU_ASSERT_STRING_EQUAL(hop.method, cases[i].next);
		CU_ASSERT_EQUAL(hop.body == NULL, changed);
		CU_ASSERT_EQUAL(hop.body_bytes, changed ? 0u : 4u);
		CU_ASSERT_STRING_EQUAL(hop.url, "http://a.test/next");
		CU_ASSERT_PTR_EQUAL(hop.origin.text, here.text);
		expect_headers(&hop, !changed, true);
	}
}

static void test_a_lost_body_stays_lost(void)
{
	struct hop hop = hop_of("POST", "body");

	hop_redirect(&hop, 303, "http://a.test/2", &here);
	hop_redirect(&hop, 307, "http://a.test/3", &here);
	CU_ASSERT_STRING_EQUAL(hop.method, "GET");
	CU_ASSERT_PTR_NULL(hop.body);
	expect_headers(&hop, false, true);
}

static void test_credentials_stay_behind_at_another_origin(void)
{
	static const struct url_origin *const others[] = { &there, &secure };

	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		struct hop hop = hop_of("PUT", "body");

		hop_redirect(&hop, 307, "http://a.test/2", &here);
		expect_headers(&hop, true, true);
		hop_redirect(&hop, 307, "http://b.test/", others[i]);
		CU_ASSERT_PTR_EQUAL(hop.origin.text, others[i]->text);
		expect_headers(&hop, true, false);
	}
}

static void test_credentials_do_not_come_back(void)
{
	struct hop hop = hop_of("GET", NULL);

	hop_redirect(&hop, 302, "http://b.test/", &there);
	hop_redirect(&hop, 302, "http://a.test/back", &here);
	expect_headers(&hop, true, false);
	hop_redirect(&hop, 302, "http://a.test/again", &here);
	expect_headers(&hop, true, false);
}

static void test_a_body_and_credentials_can_both_go(void)
{
	struct hop hop = hop_of("POST", "body");

	hop_redirect(&hop, 301, "http://b.test/", &there);
	expect_headers(&hop, false, false);
}

static void test_a_resumed_hop_is_as_redirects_had_made_it(void)
{
	for (unsigned i = 0; i < 4; i++) {
		const struct job_hop from = {
			.url = "http://b.test/next",
			.origin = there,
			.becomes_get = i & 1,
			.without_secrets = i & 2,
		};
		struct hop hop = hop_of("PUT", "body");

		hop_resume(&hop, &from);
		CU_ASSERT_STRING_EQUAL(hop.url, "http://b.test/next");
		CU_ASSERT_PTR_EQUAL(hop.origin.text, there.text);
		CU_ASSERT_STRING_EQUAL(hop.method, from.becomes_get ? "GET" : "PUT");
		CU_ASSERT_EQUAL(hop.body == NULL, from.becomes_get);
		CU_ASSERT_EQUAL(hop.body_bytes, from.becomes_get ? 0u : 4u);
		expect_headers(&hop, !from.becomes_get, !from.without_secrets);
	}
}

static void test_a_plain_get_leaves_the_handle_alone(void)
{
	struct hop hop = { .url = "http://a.test/", .origin = here, .method = "GET" };
	struct handle *h = handle_of(&hop);

	CU_ASSERT_FALSE(h->needs_reset);
	CU_ASSERT_PTR_NULL(h->headers);
	h = handle_free(h);
}

static void test_anything_else_marks_the_handle_for_a_reset(void)
{
	const struct hop hops[] = {
		{ .url = "http://a.test/", .origin = here, .method = "HEAD" },
		{ .url = "http://a.test/", .origin = here, .method = "DELETE" },
		{ .url = "http://a.test/", .origin = here, .method = "POST" },
		{ .url = "http://a.test/", .origin = here, .method = "GET", .headers = "A: b\0" },
		{ .url = "http://a.test/",
		  .origin = here,
		  .method = "GET",
		  .body = "x",
		  .body_bytes = 1 },
	};

	for (size_t i = 0; i < ARRAY_LEN(hops); i++) {
		struct handle *h = handle_of(&hops[i]);

		CU_ASSERT_TRUE(h->needs_reset);
		CU_ASSERT_EQUAL_FATAL(handle_reset(h, &handle_options, false), 0);
		CU_ASSERT_FALSE(h->needs_reset);
		CU_ASSERT_PTR_NULL(h->headers);
		h = handle_free(h);
	}
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "303 becomes GET, 301 and 302 only after POST, 307 and 308 never",
		  test_only_some_redirects_become_get },
		{ "a body that was lost stays lost", test_a_lost_body_stays_lost },
		{ "credentials stay behind at another host, port or scheme",
		  test_credentials_stay_behind_at_another_origin },
		{ "credentials do not come back with the first origin",
		  test_credentials_do_not_come_back },
		{ "a body and credentials can both go", test_a_body_and_credentials_can_both_go },
		{ "a resumed hop is as redirects had made it",
		  test_a_resumed_hop_is_as_redirects_had_made_it },
		{ "a plain GET leaves the handle alone", test_a_plain_get_leaves_the_handle_alone },
		{ "anything else marks the handle for a reset",
		  test_anything_else_marks_the_handle_for_a_reset },
		CU_TEST_INFO_NULL,
	};

	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return EXIT_FAILURE;
	return unit_run("hop", tests);
}
