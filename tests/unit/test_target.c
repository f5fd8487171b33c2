/* SPDX-License-Identifier: Apache-2.0 */
/* target.h: a URL that is given to libcurl in parts is the one that libcurl would make of it. */
#include "fetch/target.h"

#include "odd_urls.h"
#include "seed.h"
#include "unit.h"

#include <string.h>

static struct target target_at(const char *origin)
{
	struct target t;

	CU_ASSERT_EQUAL_FATAL(target_init(&t, origin), 0);
	return t;
}

static bool is_canonical_at(const char *origin, const char *url)
{
	struct target t = target_at(origin);
	bool is = target_is_canonical(&t, url);

	target_done(&t);
	return is;
}

/* --- which ones -------------------------------------------------------------------- */

static void test_usual_urls_are_canonical(void)
{
	static const char *const cases[][2] = {
		{ "http://a.test:80", "http://a.test/" },
		{ "http://a.test:80", "http://a.test/b/c.html?d=e&f=/g" },
		{ "https://a.test:443", "https://a.test/~b/?c" },
		{ "http://a.test:443", "http://a.test:443/" },
		{ "https://a.test:80", "https://a.test:80/" },
		{ "http://a.test:8080", "http://a.test:8080/b" },
		{ "http://127.0.0.1:80", "http://127.0.0.1//" },
		{ "http://[::1]:81", "http://[::1]:81/a" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		CU_ASSERT_TRUE(is_canonical_at(cases[i][0], cases[i][1]));
}

static void test_others_are_left_to_libcurl(void)
{
	static const char *const cases[][2] = {
		{ "http://a.test:80", "http://a.test" },
		{ "http://a.test:80", "http://a.test?b" },
		{ "http://a.test:80", "http://A.test/" },
		{ "http://a.test:80", "HTTP://a.test/" },
		{ "http://a.test:80", "http:/a.test/" },
		{ "http://a.test:80", "http://a.test:80/" },
		{ "http://a.test:80", "http://a.test:/" },
		{ "http://a.test:80", "http://a.test.b/" },
		{ "http://a.test:80", "http://a.test@b/" },
		{ "http://a.test:80", "http://user@a.test/" },
		{ "http://a.test:80", "https://a.test/" },
		{ "http://a.test:80", "http://b.test/" },
		{ "http://a.test:8080", "http://a.test:80800/" },
		{ "http://a.test:8080", "http://a.test:08080/" },
		{ "http://a.test:80", "http://a.test/#b" },
		{ "http://a.test:80", "http://a.test/b?" },
		{ "http://a.test:80", "http://a.test/b??" },
		{ "http://a.test:80", "http://a.test/./b" },
		{ "http://a.test:80", "http://a.test/b/.." },
		{ "http://a.test:80", "http://a.test/b c" },
		{ "http://a.test:80", "http://a.test/?b\tc" },
		{ "http://a.test:80", "http://a.test/%2F" },
		{ "http://a.test:80", "http://a.test/?%2F" },
		{ "http://a.test:80", "http://a.test/\xc3\xbc" },
		{ "http://a.test:80", "http://a.test/\x7f" },
		{ "http://a.test:80", "" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		CU_ASSERT_FALSE(is_canonical_at(cases[i][0], cases[i][1]));
}

/* --- what they are to libcurl ------------------------------------------------------- */

/* The URL that 'to' leads to from what 'base' holds, for curl_free(3); NULL if it is none. */
static char *led_to(CURLU *base, const char *to)
{
	CURLU *parts = curl_url_dup(base);
	char *text = NULL;

	CU_ASSERT_PTR_NOT_NULL_FATAL(parts);
	if (curl_url_set(parts, CURLUPART_URL, to, CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK)
		(void) curl_url_get(parts, CURLUPART_URL, &text, 0);
	curl_url_cleanup(parts);
	return text;
}

static bool is_same_part(CURLU *a, CURLU *b, CURLUPart part)
{
	char *in_a = NULL, *in_b = NULL;

	CURLUcode code_a = curl_url_get(a, part, &in_a, 0), code_b = curl_url_get(b, part, &in_b, 0);
	bool same = code_a == code_b && (code_a != CURLUE_OK || strcmp(in_a, in_b) == 0);
	curl_free(in_a);
	curl_free(in_b);
	return same;
}

/* Whether redirects from the two lead to the same. */
static bool leads_to_the_same(CURLU *a, CURLU *b)
{
	static const char *const tos[] = { "x", "/x", "?x", "../x", "../../x?y", "./?x/../y", "//b.test",
		                           "http://c.test/x", "x#y", "" };
	bool same = true;

	for (size_t i = 0; same && i < ARRAY_LEN(tos); i++) {
		char *from_a = led_to(a, tos[i]), *from_b = led_to(b, tos[i]);
		same = from_a && from_b ? strcmp(from_a, from_b) == 0 : from_a == from_b;
		curl_free(from_a);
		curl_free(from_b);
	}
	return same;
}

/* Whether the parts that libcurl is given are a URL's: this text, to whoever reads it. */
static bool is_understood(struct target *t, const char *url)
{
	static const CURLUPart parts[] = { CURLUPART_SCHEME, CURLUPART_USER, CURLUPART_PASSWORD,
		                           CURLUPART_HOST,   CURLUPART_PORT, CURLUPART_ZONEID,
		                           CURLUPART_FRAGMENT };
	CURL *easy = curl_easy_init();
	CURLU *parsed = curl_url();
	char *text = NULL;

	CU_ASSERT_TRUE_FATAL(easy && parsed);
	bool same = curl_url_set(parsed, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK &&
	            curl_url_get(parsed, CURLUPART_URL, &text, 0) == CURLUE_OK && strcmp(text, url) == 0;
	curl_free(text);
	text = NULL;
	same = same && target_set(t, easy, url) == CURLE_OK &&
	       curl_url_get(t->parts, CURLUPART_URL, &text, 0) == CURLUE_OK && strcmp(text, url) == 0;
	for (size_t i = 0; same && i < ARRAY_LEN(parts); i++)
		same = is_same_part(t->parts, parsed, parts[i]);
	same = same && leads_to_the_same(t->parts, parsed);
	if (!same)
		(void) fprintf(stderr, "%s: libcurl has %s\n", url, text ? text : "nothing");
	curl_free(text);
	curl_url_cleanup(parsed);
	curl_easy_cleanup(easy);
	return same;
}

static unsigned check(struct target *t, const char *url)
{
	if (!target_is_canonical(t, url))
		return 0;
	CU_ASSERT_TRUE(is_understood(t, url));
	return 1;
}

static void test_odd_ones_that_are_canonical_are_understood(void)
{
	struct target t = target_at("http://a.test:80");
	char url[512];
	unsigned n = 0;

	for (size_t i = 0; i < ARRAY_LEN(odd_paths); i++) {
		(void) snprintf(url, sizeof(url), "http://a.test%s", odd_paths[i]);
		n += check(&t, url);
	}
	for (size_t i = 0; i < ARRAY_LEN(odd_authorities); i++) {
		(void) snprintf(url, sizeof(url), "http://%s/", odd_authorities[i]);
		n += check(&t, url);
	}
	for (size_t i = 0; i < ARRAY_LEN(odd_urls); i++)
		n += check(&t, odd_urls[i]);
	CU_ASSERT_TRUE(n > 30);
	target_done(&t);
}

static void test_whatever_is_canonical_is_understood(void)
{
	enum { URLS = 8000 };
	static const char special[] = "//..??##%%::@@[]\\;&=+ ~'\"<>{}|^`*!$(),-_";
	struct target t = target_at("http://a.test:8080");
	struct random random = seeded();
	char url[64] = "http://a.test:8080";
	size_t start = strlen(url);
	unsigned n = 0;

	for (int i = 0; i < URLS; i++) {
		size_t len = start + below(&random, 12);
		for (size_t at = start; at < len; at++)
			url[at] = below(&random, 2) ? special[below(&random, sizeof(special) - 1)]
			          : below(&random, 20) ? (char) ('a' + below(&random, 26))
			                               : (char) (1 + below(&random, 255));
		if (below(&random, 8) > 0)
			url[start] = '/';
		url[len > start ? len : start + 1] = '\0';
		n += check(&t, url);
	}
	CU_ASSERT_TRUE(n > URLS / 20);
	target_done(&t);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "usual URLs are canonical", test_usual_urls_are_canonical },
		{ "others are left to libcurl", test_others_are_left_to_libcurl },
		{ "odd ones that are canonical are understood",
		  test_odd_ones_that_are_canonical_are_understood },
		{ "whatever is canonical is understood", test_whatever_is_canonical_is_understood },
		CU_TEST_INFO_NULL,
	};
	return unit_run("target", tests);
}
