/* SPDX-License-Identifier: Apache-2.0 */
/* url.h: which server a URL means, and which texts mean none. */
#include "job/url.h"

#include "job/url_known.h"
#include "unit.h"

#include <errno.h>
#include <locale.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>

static struct url_parser *new_parser(void)
{
	struct url_parser *p = NULL;

	CU_ASSERT_EQUAL_FATAL(url_parser_create(&p), 0);
	return p;
}

struct good {
	const char *url;
	const char *origin;
};

static void expect_origin(struct url_parser *p, const struct good *g)
{
	struct url_origin o = { 0 };
	const char *why = NULL;
	char text[256];

	int r = url_parse(p, g->url, &o, &why);
	CU_ASSERT_EQUAL_FATAL(r, 0);
	CU_ASSERT_PTR_NULL(why);
	CU_ASSERT_STRING_EQUAL(o.text, g->origin);

	/* The parts say the same as the whole. */
	(void) snprintf(text, sizeof(text), "%s://%s:%u", o.tls ? "https" : "http", o.host,
	                (unsigned) o.port);
	CU_ASSERT_STRING_EQUAL(text, g->origin);
}

static void expect_origins(const struct good *cases, size_t n)
{
	struct url_parser *p = new_parser();

	for (size_t i = 0; i < n; i++)
		expect_origin(p, &cases[i]);
	CU_ASSERT_PTR_NULL(url_parser_free(p));
}

static void test_the_origin_has_a_port_and_lower_case(void)
{
	static const struct good cases[] = {
		{ "http://example.com", "http://example.com:80" },
		{ "http://example.com/", "http://example.com:80" },
		{ "https://example.com/a/b?c#d", "https://example.com:443" },
		{ "http://example.com:443/", "http://example.com:443" },
		{ "https://example.com:80", "https://example.com:80" },
		{ "http://a:", "http://a:80" },
		{ "http://a:00080/", "http://a:80" },
		{ "http://a:1/", "http://a:1" },
		{ "http://a:65535/", "http://a:65535" },
		{ "http://a?b", "http://a:80" },
		{ "http://a#b", "http://a:80" },
		{ "HTTPS://EXAMPLE.Com:8443/Path", "https://example.com:8443" },
		{ "http://a.%45xample/", "http://a.example:80" },
		{ "http://under_score.example./", "http://under_score.example.:80" },
	};
	expect_origins(cases, ARRAY_LEN(cases));
}

static void test_addresses_have_one_form(void)
{
	static const struct good cases[] = {
		{ "http://127.0.0.1:8080/", "http://127.0.0.1:8080" },
		{ "http://127.1/", "http://127.0.0.1:80" },
		{ "http://10.1.2/", "http://10.1.0.2:80" },
		{ "http://2130706433/", "http://127.0.0.1:80" },
		{ "http://0x7f000001/", "http://127.0.0.1:80" },
		{ "http://0x7F.0.0.0x1/", "http://127.0.0.1:80" },
		{ "http://0177.0.0.01/", "http://127.0.0.1:80" },
		{ "http://1.2.3.256/", "http://1.2.3.256:80" }, /* a name, if a strange one */
		{ "http://4294967296/", "http://4294967296:80" },
		{ "http://[::1]/", "http://[::1]:80" },
		{ "https://[FE80::A]:8443/", "https://[fe80::a]:8443" },
		{ "http://[::ffff:1.2.3.4]/", "http://[::ffff:1.2.3.4]:80" },
	};
	expect_origins(cases, ARRAY_LEN(cases));
}

static void test_names_of_all_languages_become_punycode(void)
{
	static const struct good cases[] = {
		{ "http://b\xc3\xbc"
		  "cher.example/",
		  "http://xn--bcher-kva.example:80" },
		{ "http://B\xc3\x9c"
		  "CHER.example/",
		  "http://xn--bcher-kva.example:80" },
		{ "http://xn--bcher-kva.example/", "http://xn--bcher-kva.example:80" },
		{ "https://\xe4\xbe\x8b\xe3\x81\x88.\xe3\x83\x86\xe3\x82\xb9\xe3\x83\x88/",
		  "https://xn--r8jz45g.xn--zckzah:443" },
	};
	expect_origins(cases, ARRAY_LEN(cases));
}

static void test_users_and_passwords_are_no_part_of_the_origin(void)
{
	static const struct good cases[] = {
		{ "http://user@h.example/", "http://h.example:80" },
		{ "http://user:pass@h.example:81/", "http://h.example:81" },
		{ "http://evil.example%40@h.example/", "http://h.example:80" },
		{ "http://h.example/@evil.example/", "http://h.example:80" },
		{ "http://h.example?@evil.example/", "http://h.example:80" },
		{ "http://h.example#@evil.example/", "http://h.example:80" },
	};
	expect_origins(cases, ARRAY_LEN(cases));
}

/* --- refusals ------------------------------------------------------------------------- */

static void expect_refusal(struct url_parser *p, const char *url, int error, const char *why)
{
	struct url_origin o = { .text = "untouched", .port = 7 };
	const char *text = NULL;

	CU_ASSERT_EQUAL(url_parse(p, url, &o, &text), error);
	CU_ASSERT_PTR_NOT_NULL_FATAL(text);
	if (why)
		CU_ASSERT_STRING_EQUAL(text, why);
	CU_ASSERT_TRUE(strlen(text) > 0 && strlen(text) < 100);
	CU_ASSERT_STRING_EQUAL(o.text, "untouched");
	CU_ASSERT_EQUAL(o.port, 7);
}

static const char *const not_absolute[] = {
	"",
	"/",
	"/path",
	"//other/path",
	"?query",
	"#fragment",
	"relative/path",
	"example.com",
	"example.com:80/",
	"://a",
	"http",
	"http:",
	"http//a",
	"http://",
	"http://:80/",
	"http://user@/",
	"h ttp://a/",
	"h\xffttp://a/",
	"ht\ntp://a/",
};

static void test_what_is_not_absolute_is_refused(void)
{
	struct url_parser *p = new_parser();

	for (size_t i = 0; i < ARRAY_LEN(not_absolute); i++)
		expect_refusal(p, not_absolute[i], -EINVAL, NULL);
	expect_refusal(p, "example.com", -EINVAL, "not an absolute http or https URL");
	url_parser_free(p);
}

static void test_no_url_is_completed_from_the_one_before(void)
{
	static const struct good before = { "https://before.example:444/a/b?c",
		                            "https://before.example:444" };
	struct url_parser *p = new_parser();

	for (size_t i = 0; i < ARRAY_LEN(not_absolute); i++) {
		expect_origin(p, &before);
		expect_refusal(p, not_absolute[i], -EINVAL, NULL);
		expect_refusal(p, "/again", -EINVAL, NULL);
	}

	/* A part that the next one lacks is not kept either. */
	expect_origin(p, &before);
	expect_origin(p, &(struct good) { "http://after.example", "http://after.example:80" });
	expect_origin(p, &before);
	expect_refusal(p, "ftp://after.example/", -EPROTONOSUPPORT, NULL);
	expect_origin(p, &(struct good) { "https://after.example", "https://after.example:443" });
	url_parser_free(p);
}

/* What a parser that has read no other URL says of this one. */
static void expect_as_alone(struct url_parser *p, const char *url)
{
	struct url_origin o = { 0 }, alone = { 0 };
	const char *why = NULL, *why_alone = NULL;
	struct url_parser *other = new_parser();

	int r = url_parse(p, url, &o, &why), r_alone = url_parse(other, url, &alone, &why_alone);
	CU_ASSERT_EQUAL(r, r_alone);
	if (r < 0 && r_alone < 0)
		CU_ASSERT_STRING_EQUAL(why, why_alone);
	if (r == 0 && r_alone == 0) {
		CU_ASSERT_STRING_EQUAL(o.text, alone.text);
		CU_ASSERT_STRING_EQUAL(o.host, alone.host);
		CU_ASSERT_TRUE(o.port == alone.port && o.tls == alone.tls);
	}
	url_parser_free(other);
}

static void test_a_url_means_the_same_whatever_was_read_before(void)
{
	static const char *const begins[] = {
		"http://a",      "HTTPS://A.Example:8443", "http://a:8", "http://u:p@a", "http://[::1]",
		"http://a:",     "http:/a",                "http:///a",  "http:/a://b",  "http://u%40b@a",
		"http://a.b%63", "http://1",               "ftp://a",    "http://",      "http:",
	};
	static const char *const tails[] = {
		"",    "/",     "/b?c#d", "?b",  "#b",    "/a b", "/\x7f", "/\t",  "/\xc3\xbc", "/\xff", "1",
		":81", "0/",    ".b/",    "b",   "@c/",   ":x/",  "\\c/",  "%2fc/", " ",         "//b",   "/@c",
		"?@c", ":81@c", "://c/",  "/:/", "]/",    "\x80/",
	};
	struct url_parser *p = new_parser();
	char before[64], url[64];

	for (size_t i = 0; i < ARRAY_LEN(begins); i++) {
		for (size_t j = 0; j < ARRAY_LEN(tails) * ARRAY_LEN(tails); j++) {
			(void) snprintf(before, sizeof(before), "%s%s", begins[i], tails[j / ARRAY_LEN(tails)]);
			(void) snprintf(url, sizeof(url), "%s%s", begins[i], tails[j % ARRAY_LEN(tails)]);
			expect_as_alone(p, before);
			expect_as_alone(p, url);
		}
	}
	url_parser_free(p);
}

/* More than a parser remembers, three times. */
static void test_of_many_origins_each_is_its_own(void)
{
	enum { MANY = 3000 };
	struct url_parser *p = new_parser();
	char url[64], origin[64];

	for (int i = 0; i < 3 * MANY; i++) {
		(void) snprintf(url, sizeof(url), "http://Host%d.example/%d", i % MANY, i);
		(void) snprintf(origin, sizeof(origin), "http://host%d.example:80", i % MANY);
		expect_origin(p, &(struct good) { url, origin });
	}
	url_parser_free(p);
}

static bool is_known_once_added(const char *url)
{
	struct url_known_table t = { 0 };

	CU_ASSERT_PTR_NULL(url_known_find(&t, url));
	url_known_add(&t, url, &(struct url_origin) { "http://a:80", "a", 80, false });
	const struct url_origin *found = url_known_find(&t, url);
	if (found)
		CU_ASSERT_STRING_EQUAL(found->text, "http://a:80");
	const bool known = found;
	url_known_done(&t);
	return known;
}

static void test_no_beginning_with_a_user_is_remembered(void)
{
	CU_ASSERT_TRUE(is_known_once_added("http://a"));
	CU_ASSERT_TRUE(is_known_once_added("http://a:80/u:p@b"));
	CU_ASSERT_TRUE(is_known_once_added("http://a?u:p@b"));
	CU_ASSERT_FALSE(is_known_once_added("http://u:p@a/"));
	CU_ASSERT_FALSE(is_known_once_added("http://u@a"));
	CU_ASSERT_FALSE(is_known_once_added("HTTPS://@a?b"));
}

static void test_beginnings_are_remembered_up_to_a_length(void)
{
	struct url_parser *p = new_parser();
	char url[URL_KNOWN_MAX_BEGIN + 4];

	for (int len = URL_KNOWN_MAX_BEGIN; len <= URL_KNOWN_MAX_BEGIN + 1; len++) {
		const char *tails[] = { "/b", "", "/ ", "/\x7f", "/\xc3", "?b" };
		const int zeros = len - (int) strlen("http://a:80");
		for (size_t i = 0; i < 2 * ARRAY_LEN(tails); i++) {
			(void) snprintf(url, sizeof(url), "http://a:%0*d%s", zeros + 2, 80,
			                tails[i % ARRAY_LEN(tails)]);
			expect_as_alone(p, url);
		}
		(void) snprintf(url, sizeof(url), "http://a:%0*d/", zeros + 2, 80);
		CU_ASSERT_EQUAL(is_known_once_added(url), len == URL_KNOWN_MAX_BEGIN);
	}
	url_parser_free(p);
}

/* Adds others, as long as the first, until one takes its place. */
static void find_one_in_its_place(const char *first, char *other, size_t size)
{
	const struct url_origin origin = { "http://a:80", "a", 80, false };
	struct url_known_table t = { 0 };

	url_known_add(&t, first, &origin);
	for (int i = 0; i < 16 * URL_KNOWN_MAX && url_known_find(&t, first); i++) {
		(void) snprintf(other, size, "http://o%05d", i);
		url_known_add(&t, other, &origin);
	}
	CU_ASSERT_PTR_NULL(url_known_find(&t, first));
	CU_ASSERT_PTR_NOT_NULL(url_known_find(&t, other));
	url_known_done(&t);
}

static void test_two_origins_in_one_place_are_told_apart(void)
{
	static const char *const firsts[] = { "http://first1", "https://a:444", "http://oth:81" };
	struct url_parser *p = new_parser();
	char other[64];

	for (size_t i = 0; i < ARRAY_LEN(firsts); i++) {
		find_one_in_its_place(firsts[i], other, sizeof(other));
		for (int j = 0; j < 8; j++) /* each new, known, displaced */
			expect_as_alone(p, j / 2 % 2 ? other : firsts[i]);
	}
	url_parser_free(p);
}

/* With the longest of beginnings and hosts in every place; sanitizers count for themselves. */
static void test_a_full_table_takes_no_more_than_is_said(void)
{
	char host[URL_MAX_HOST_BYTES + 1], text[URL_MAX_HOST_BYTES + sizeof("https://:65535")];
	const struct url_origin origin = { text, host, 65535, true };
	char url[URL_KNOWN_MAX_BEGIN + 1];
	struct url_known_table t = { 0 };

	(void) snprintf(host, sizeof(host), "%0*d", URL_MAX_HOST_BYTES, 1);
	(void) snprintf(text, sizeof(text), "https://%s:65535", host);
	const size_t before = mallinfo2().uordblks;
	for (int i = 0; i < 16 * URL_KNOWN_MAX; i++) {
		(void) snprintf(url, sizeof(url), "https://%0*d", URL_KNOWN_MAX_BEGIN - 8, i);
		url_known_add(&t, url, &origin);
	}
	CU_ASSERT_PTR_NOT_NULL(url_known_find(&t, url));
	CU_ASSERT_TRUE(mallinfo2().uordblks - before <= URL_KNOWN_BYTES);
	url_known_done(&t);
}

static void test_other_schemes_are_called_so(void)
{
	static const char *const cases[] = {
		"ftp://a/",       "FTP://a/",     "file:///etc/passwd",  "ws://a/",
		"gopher://a/",    "ldap://a/",    "unknown-scheme://a/", "httpx://a/",
		"http+unix://a/", "dict://a:80/",
	};
	struct url_parser *p = new_parser();

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		expect_refusal(p, cases[i], -EPROTONOSUPPORT, "only http and https are fetched");
	url_parser_free(p);
}

static void test_malformed_urls_are_refused(void)
{
	static const char *const cases[] = {
		"http://a b/",          "http://a/ b",
		"http://a/\tb",         "http://a/\nb",
		"http://a/\x7f",        "http://a\\b/",
		"http://a%00b/",        "http://a@b@c/",
		"http://a,b/",          "http://*/",
		"http://a\"b/",         "http://a:80:80/",
		"http://a:8a/",         "http://a:-1/",
		"http://a:65536/",      "http://a:99999999999999999999/",
		"http://[::1",          "http://[]/",
		"http://[::g]/",        "http://[1.2.3.4]/",
		"http://[::1]x/",       "http:a",
		"mailto:x@example.com", "javascript:1",
		"data:text/plain,x",
	};
	struct url_parser *p = new_parser();

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		expect_refusal(p, cases[i], -EINVAL, NULL);
	expect_refusal(p, "http://a:0/", -EINVAL, "the port must be 1 to 65535");
	url_parser_free(p);
}

static void test_names_that_idn_refuses_are_no_lack_of_memory(void)
{
	static const char *const cases[] = { "http://\xff\xfe/", "http://a\x80/", "http://\xc3/",
		                             "http://a%ff/", "http://\xed\xa0\x80.example/" };
	const char *why = "the host is no international domain name";
	struct url_parser *p = new_parser();

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		expect_refusal(p, cases[i], -EINVAL, why);

	/* Without a UTF-8 locale libcurl can read none. */
	CU_ASSERT_PTR_NOT_NULL(setlocale(LC_CTYPE, "C"));
	expect_refusal(p,
	               "http://b\xc3\xbc"
	               "cher.example/",
	               -EINVAL, why);
	CU_ASSERT_PTR_NOT_NULL(setlocale(LC_CTYPE, "C.UTF-8"));
	url_parser_free(p);
}

static void test_messages_show_urls_without_their_secrets(void)
{
	static const char *const cases[][2] = {
		{ "http://a/b", "http://a/b" },
		{ "http://user:pw@a/b", "http://***@a/b" },
		{ "http://token@a/b", "http://***@a/b" },
		{ "HTTP://:pw@a:81/b#c", "http://***@a:81/b" },
		{ "ftp://user@a", "ftp://***@a/" },
		{ "http://a@b:c@d/e", "http://***@d/e" },
		{ "http://a/b@c", "http://a/b@c" },
		{ "http://a/?b=c@d&token=x#y", "http://a/?***" },
		{ "http://a?b@c", "http://a/?***" },
		{ "http:/user:pw@a/b?c", "http://***@a/b?***" },
		{ "", "" },
		/* Also what is no URL; a password may have what ends one. */
		{ "user:pw@a/b", "***@a/b" },
		{ "user:pw@a/b?c#d", "***@a/b?***" },
		{ "http://user:p?w@a:x/b", "http://***" },
		{ "http://user:p/w@a:b/c", "http://***@a:b/c" },
		{ "http:\\\\user:p#w@a/b", "http:\\\\***" },
		{ "https:////user:pw@a/b", "https:////***@a/b" },
		{ "http://a:b:c/d?e", "http://a:b:c/d?***" },
		{ "http://a:b:c/d#e", "http://a:b:c/d#***" },
	};
	char url[300] = "http://u:p@";
	struct buf b = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		buf_clear(&b);
		buf_add_char(&b, '>');
		url_add_redacted(&b, cases[i][0], false);
		buf_add_char(&b, '\0');
		CU_ASSERT_STRING_EQUAL(b.data + 1, cases[i][1]);
	}

	memset(url + strlen(url), 'x', sizeof(url) - 1 - strlen(url));
	buf_clear(&b);
	url_add_redacted(&b, url, false);
	CU_ASSERT_EQUAL(b.len, 200); /* only how it begins */

	buf_clear(&b);
	url_add_redacted(&b, "http://u:p@a/b?c=d#e", true);
	CU_ASSERT_TRUE(b.len == strlen("http://***@a/b?c=d#e") &&
	               memcmp(b.data, "http://***@a/b?c=d#e", b.len) == 0);
	buf_done(&b);
}

static void test_records_keep_all_but_user_and_password(void)
{
	static const char *const cases[][2] = {
		{ "http://a/b?c=d@e#f", "\"http://a/b?c=d@e#f\"" },
		{ "HTTP://A?b@c", "\"HTTP://A?b@c\"" }, /* as it was given */
		{ "HTTP://user:pw@A/b?c=d#f", "\"http://***@A/b?c=d#f\"" },
		{ "http://user@a", "\"http://***@a/\"" },
		{ "http://user:p%40w@a/", "\"http://***@a/\"" },
		{ "http://a/\xff", "\"http://a/\xef\xbf\xbd\"" },
		{ "http://a@b:c:d/", "\"http://***@b:c:d/\"" },
	};
	struct buf b = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		buf_clear(&b);
		url_add_json_redacted(&b, cases[i][0], strlen(cases[i][0]));
		buf_add_char(&b, '\0');
		CU_ASSERT_STRING_EQUAL(b.data, cases[i][1]);
	}
	buf_done(&b);
}

static void test_a_redirect_inherits_what_it_lacks(void)
{
	static const struct {
		const char *from, *to;
		const char *same, *other; /* at the same origin, and at another */
	} cases[] = {
		{ "http://a/x", "http://a/y", "http://a/y", "http://a/y" },
		{ "http://u:p@a/x", "http://a/y", "http://u:p@a/y", "http://a/y" },
		{ "http://u@a/x", "http://a/y", "http://u@a/y", "http://a/y" },
		{ "http://u:p@a/x", "http://v@a/y", "http://v@a/y", "http://v@a/y" },
		{ "http://u%3a:p%40@a/x", "http://a/y", "http://u%3a:p%40@a/y", "http://a/y" },
		{ "http://a/x#f", "http://a/y", "http://a/y#f", "http://a/y#f" },
		{ "http://a/x#f", "http://a/y#g", "http://a/y#g", "http://a/y#g" },
		{ "http://u:p@a/x#f", "http://a/y?q", "http://u:p@a/y?q#f", "http://a/y?q#f" },
	};
	struct buf url = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		for (int same = 0; same < 2; same++) {
			buf_clear(&url);
			buf_add(&url, cases[i].to, strlen(cases[i].to) + 1);
			url_inherit(&url, cases[i].from, same);
			CU_ASSERT_FALSE(url.failed);
			CU_ASSERT_STRING_EQUAL(url.data, same ? cases[i].same : cases[i].other);
		}
	}
	buf_done(&url);
}

static void test_long_urls_are_taken_whole(void)
{
	enum { LENGTH = 1024 * 1024 };
	struct url_parser *p = new_parser();
	char *url = malloc(LENGTH + 1);

	CU_ASSERT_PTR_NOT_NULL_FATAL(url);
	memset(url, 'x', LENGTH);
	memcpy(url, "http://a/", strlen("http://a/"));
	url[LENGTH] = '\0';
	expect_origin(p, &(struct good) { url, "http://a:80" });
	free(url);
	url_parser_free(p);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "the origin has a port and lower case",
		  test_the_origin_has_a_port_and_lower_case },
		{ "addresses have one form", test_addresses_have_one_form },
		{ "names of all languages become punycode",
		  test_names_of_all_languages_become_punycode },
		{ "users and passwords are no part of the origin",
		  test_users_and_passwords_are_no_part_of_the_origin },
		{ "what is not absolute is refused", test_what_is_not_absolute_is_refused },
		{ "no URL is completed from the one before",
		  test_no_url_is_completed_from_the_one_before },
		{ "a URL means the same whatever was read before",
		  test_a_url_means_the_same_whatever_was_read_before },
		{ "of many origins each is its own", test_of_many_origins_each_is_its_own },
		{ "no beginning with a user is remembered",
		  test_no_beginning_with_a_user_is_remembered },
		{ "beginnings are remembered up to a length",
		  test_beginnings_are_remembered_up_to_a_length },
		{ "two origins in one place are told apart",
		  test_two_origins_in_one_place_are_told_apart },
		{ "a full table takes no more than is said",
		  test_a_full_table_takes_no_more_than_is_said },
		{ "other schemes are called so", test_other_schemes_are_called_so },
		{ "malformed URLs are refused", test_malformed_urls_are_refused },
		{ "names that IDN refuses are no lack of memory",
		  test_names_that_idn_refuses_are_no_lack_of_memory },
		{ "messages show URLs without their secrets",
		  test_messages_show_urls_without_their_secrets },
		{ "records keep all of a URL but user and password",
		  test_records_keep_all_but_user_and_password },
		{ "a redirect inherits what it lacks", test_a_redirect_inherits_what_it_lacks },
		{ "long URLs are taken whole", test_long_urls_are_taken_whole },
		CU_TEST_INFO_NULL,
	};

	/* As main() of the programs does: libcurl takes names for text in the locale's encoding. */
	if (!setlocale(LC_CTYPE, "C.UTF-8"))
		return EXIT_FAILURE;
	return unit_run("url", tests);
}
