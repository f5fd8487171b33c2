/* SPDX-License-Identifier: Apache-2.0 */
/* job.h: where a redirect has taken a job, kept, written and read again; also when each
 * allocation fails in turn. */
#include "job/job.h"

#include "failing_malloc.h"
#include "job_maker.h"
#include "seed.h"

#include <errno.h>
#include <limits.h>

/* --- helpers ----------------------------------------------------------------------- */

static const struct job_hop plain = {
	.url = "http://b.test/x",
	.origin = { .text = "http://b.test:80", .host = "b.test", .port = 80 },
	.redirects = 1,
	.spent_us = 1234,
};

static const struct job_hop full = {
	.url = "https://c.test:8443/y?q",
	.origin = { .text = "https://c.test:8443", .host = "c.test", .port = 8443, .tls = true },
	.redirects = 7,
	.spent_us = 29999999,
	.becomes_get = true,
	.without_secrets = true,
};

static bool same_origin(const struct url_origin *a, const struct url_origin *b)
{
	return strcmp(a->text, b->text) == 0 && strcmp(a->host, b->host) == 0 &&
	       a->port == b->port && a->tls == b->tls;
}

static bool same_hop(const struct job_hop *a, const struct job_hop *b)
{
	return strcmp(a->url, b->url) == 0 && same_origin(&a->origin, &b->origin) &&
	       a->redirects == b->redirects && a->spent_us == b->spent_us &&
	       a->becomes_get == b->becomes_get && a->without_secrets == b->without_secrets;
}

/* Replaces what is in 'text', and ends it with a NUL character that does not count. */
static void write_text(const struct job_hop *hop, struct buf *text)
{
	buf_clear(text);
	job_write_hop(hop, text);
	buf_add_char(text, '\0');
	CU_ASSERT_FALSE_FATAL(text->failed);
	text->len--;
}

/* Reads exactly 'len' bytes, in memory of just that size, so that a sanitizer sees a read
 * beyond them. */
static int read_bytes(struct job_maker *m, struct job *job, const char *text, size_t len)
{
	char *copy = malloc(len > 0 ? len : 1);

	if (!copy)
		abort();
	memcpy(copy, text, len);
	int r = job_read_hop(job, m->parser, copy, len);
	free(copy);
	return r;
}

/* --- with the job ------------------------------------------------------------------ */

static void test_a_job_owns_its_hop(void)
{
	struct job_maker m;
	char url[] = "http://b.test/x", text[] = "http://b.test:80", host[] = "b.test";
	struct job_hop hop = plain;

	hop.url = url;
	hop.origin.text = text;
	hop.origin.host = host;
	job_maker_init(&m);
	struct job *job = make_job(&m, "http://a.test/");
	CU_ASSERT_PTR_NULL(job->hop);
	CU_ASSERT_EQUAL(job_set_hop(job, &hop), 0);
	*url = *text = *host = '?';
	CU_ASSERT_TRUE(same_hop(job->hop, &plain));
	job_free(job); /* a leak would be found by the sanitizer */
	job_maker_done(&m);
}

static void test_a_hop_counts_for_the_bytes_of_its_job(void)
{
	const size_t strings = sizeof("http://b.test/x") + sizeof("http://b.test:80") +
	                       sizeof("b.test");
	struct job_maker m;

	job_maker_init(&m);
	struct job *job = make_job(&m, "http://a.test/");
	size_t own = job->bytes;
	CU_ASSERT_EQUAL(job_set_hop(job, &plain), 0);
	CU_ASSERT_EQUAL(job->bytes, own + sizeof(struct job_hop) + strings);
	size_t with_plain = job->bytes;
	CU_ASSERT_EQUAL(job_set_hop(job, &full), 0);
	CU_ASSERT_TRUE(same_hop(job->hop, &full));
	CU_ASSERT_TRUE(job->bytes > with_plain);
	CU_ASSERT_EQUAL(job_set_hop(job, &plain), 0);
	CU_ASSERT_EQUAL(job->bytes, with_plain);
	job_clear_hop(job);
	CU_ASSERT_PTR_NULL(job->hop);
	CU_ASSERT_EQUAL(job->bytes, own);
	job_clear_hop(job);
	CU_ASSERT_EQUAL(job->bytes, own);
	CU_ASSERT_EQUAL(job_set_hop(job, &plain), 0);
	CU_ASSERT_EQUAL(job_set_hop(job, NULL), 0);
	CU_ASSERT_PTR_NULL(job->hop);
	CU_ASSERT_EQUAL(job->bytes, own);
	job_free(job);
	job_maker_done(&m);
}

static void test_a_hop_may_be_set_to_itself(void)
{
	struct job_maker m;

	job_maker_init(&m);
	struct job *job = make_job(&m, "http://a.test/");
	CU_ASSERT_EQUAL(job_set_hop(job, &full), 0);
	size_t bytes = job->bytes;
	CU_ASSERT_EQUAL(job_set_hop(job, job->hop), 0);
	CU_ASSERT_TRUE(same_hop(job->hop, &full));
	CU_ASSERT_EQUAL(job->bytes, bytes);
	job_free(job);
	job_maker_done(&m);
}

static void test_the_lane_is_the_origin_that_is_asked_next(void)
{
	struct job_maker m;

	job_maker_init(&m);
	struct job *job = make_job(&m, "http://a.test/");
	CU_ASSERT_STRING_EQUAL(job_lane_origin(job)->text, "http://a.test:80");
	CU_ASSERT_EQUAL(job_set_hop(job, &full), 0);
	CU_ASSERT_STRING_EQUAL(job_lane_origin(job)->text, "https://c.test:8443");
	job_clear_hop(job);
	CU_ASSERT_STRING_EQUAL(job_lane_origin(job)->text, "http://a.test:80");
	job_free(job);
	job_maker_done(&m);
}

/* --- written and read -------------------------------------------------------------- */

static void test_a_hop_is_written_in_one_form(void)
{
	struct buf text = { 0 };
	struct job_hop hop = plain;

	write_text(&plain, &text);
	CU_ASSERT_STRING_EQUAL(text.data,
	                       "{\"url\":\"http://b.test/x\",\"redirects\":1,\"spent_us\":1234}");
	write_text(&full, &text);
	CU_ASSERT_STRING_EQUAL(text.data, "{\"url\":\"https://c.test:8443/y?q\",\"redirects\":7,"
	                                  "\"spent_us\":29999999,\"get\":true,\"no_secrets\":true}");
	hop.url = "http://b.test/\xff\"\xc3\xa4";
	write_text(&hop, &text);
	CU_ASSERT_STRING_EQUAL(text.data, "{\"url\":\"http://b.test/%FF\\\"\xc3\xa4\","
	                                  "\"redirects\":1,\"spent_us\":1234}");
	buf_done(&text);
}

static void test_a_hop_is_appended(void)
{
	struct buf text = { 0 };

	buf_add_str(&text, "before ");
	job_write_hop(&plain, &text);
	buf_add_char(&text, '\0');
	CU_ASSERT_STRING_EQUAL(text.data, "before {\"url\":\"http://b.test/x\",\"redirects\":1,"
	                                  "\"spent_us\":1234}");
	buf_done(&text);
}

/* A URL of any bytes that one may have, and the origin that its parser makes of it. */
static void random_hop(struct random *r, struct job_maker *m, struct buf *url, struct job_hop *hop)
{
	static const char *const begins[] = { "http://b.test/", "https://B.test:444/",
		                              "http://[::1]:8080/?", "http://127.1/" };
	const char *why = NULL;

	buf_clear(url);
	buf_add_str(url, begins[below(r, ARRAY_LEN(begins))]);
	for (size_t n = below(r, 30); n > 0; n--) {
		char c = (char) (0x21 + below(r, 0xdf));
		buf_add_char(url, c == 0x7f ? 'x' : c);
	}
	buf_add_char(url, '\0');
	*hop = (struct job_hop) {
		.url = url->data,
		.redirects = (unsigned) random_up_to(r, UINT_MAX) >> below(r, 32),
		.spent_us = random_up_to(r, INT64_MAX) >> below(r, 63),
		.becomes_get = below(r, 2) > 0,
		.without_secrets = below(r, 2) > 0,
	};
	CU_ASSERT_EQUAL_FATAL(url_parse(m->parser, hop->url, &hop->origin, &why), 0);
}

static void test_random_hops_are_read_as_they_were_written(void)
{
	struct random r = seeded();
	struct job_maker m;
	struct buf url = { 0 }, text = { 0 }, again = { 0 };
	struct job_hop hop;

	job_maker_init(&m);
	struct job *one = make_job(&m, "http://a.test/"), *other = make_job(&m, "http://a.test/");
	for (int i = 0; i < 10000 / UNIT_STRIDE; i++) {
		random_hop(&r, &m, &url, &hop);
		CU_ASSERT_EQUAL_FATAL(job_set_hop(one, &hop), 0);
		write_text(one->hop, &text);
		CU_ASSERT_PTR_NULL(strpbrk(text.data, "\r\n")); /* one line */
		CU_ASSERT_EQUAL_FATAL(read_bytes(&m, other, text.data, text.len), 0);
		write_text(other->hop, &again);
		CU_ASSERT_STRING_EQUAL(again.data, text.data);
		if (!strchr(text.data, '%')) {
			CU_ASSERT_TRUE(same_hop(one->hop, other->hop));
			CU_ASSERT_EQUAL(one->bytes, other->bytes);
		}
		CU_ASSERT_TRUE(same_origin(&one->hop->origin, &other->hop->origin));
	}
	job_free(one);
	job_free(other);
	buf_done(&url);
	buf_done(&text);
	buf_done(&again);
	job_maker_done(&m);
}

static void test_the_longest_hop_is_read_again(void)
{
	struct job_maker m;
	struct buf url = { 0 }, text = { 0 };
	struct job_hop hop = full;

	job_maker_init(&m);
	struct job *job = make_job(&m, "http://a.test/");
	buf_add_str(&url, "https://c.test:8443/");
	while (url.len < JOB_MAX_HOP_URL_BYTES)
		buf_add_char(&url, '\xff'); /* three bytes in JSON */
	buf_add_char(&url, '\0');
	hop.url = url.data;
	write_text(&hop, &text);
	CU_ASSERT_EQUAL(read_bytes(&m, job, text.data, text.len), 0);
	CU_ASSERT_TRUE(same_origin(&job->hop->origin, &full.origin));
	CU_ASSERT_EQUAL(strlen(job->hop->url), 20 + 3 * (JOB_MAX_HOP_URL_BYTES - 20));
	job_free(job);
	buf_done(&url);
	buf_done(&text);
	job_maker_done(&m);
}

#define U "\"url\":\"http://b/\""
#define R "\"redirects\":1"
#define S "\"spent_us\":2"

static void test_nonsense_is_refused_and_changes_nothing(void)
{
	static const char *const bad[] = {
		"",
		" ",
		"null",
		"[]",
		"http://b/",
		"{}",
		"{" U "}",
		"{" U "," R "}",
		"{" U "," S "}",
		"{" R "," S "}",
		"{" U "," R "," S,
		"{" U "," R "," S "}}",
		"{" U "," R "," S ",\"x\":1}",
		"{" U "," U "," R "," S "}",
		"{" U "," R "," S ",\"get\":false}",
		"{" U "," R "," S ",\"get\":1}",
		"{" U "," R "," S ",\"no_secrets\":null}",
		"{" U "," R ",\"spent_us\":-1}",
		"{" U "," R ",\"spent_us\":1.0}",
		"{" U "," R ",\"spent_us\":\"1\"}",
		"{" U "," R ",\"spent_us\":18446744073709551616}",
		"{" U ",\"redirects\":-1," S "}",
		"{" U ",\"redirects\":4294967296," S "}",
		"{\"url\":null," R "," S "}",
		"{\"url\":\"\"," R "," S "}",
		"{\"url\":\"/x\"," R "," S "}",
		"{\"url\":\"ftp://b/\"," R "," S "}",
		"{\"url\":\"http://b/\\u0000\"," R "," S "}",
		"{\"url\":\"http://b/\xff\"," R "," S "}",
	};
	struct job_maker m;

	job_maker_init(&m);
	struct job *job = make_job(&m, "http://a.test/");
	CU_ASSERT_EQUAL(job_set_hop(job, &full), 0);
	size_t bytes = job->bytes;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		int r = read_bytes(&m, job, bad[i], strlen(bad[i]));
		if (r != -EINVAL)
			(void) printf("\n%s: %d\n", bad[i], r);
		CU_ASSERT_EQUAL(r, -EINVAL);
		CU_ASSERT_TRUE(same_hop(job->hop, &full));
		CU_ASSERT_EQUAL(job->bytes, bytes);
	}
	CU_ASSERT_EQUAL(read_bytes(&m, job, "{" U "," R "," S "}", strlen("{" U "," R "," S "}")), 0);
	CU_ASSERT_STRING_EQUAL(job->hop->url, "http://b/");
	job_free(job);
	job_maker_done(&m);
}

/* --- without memory ---------------------------------------------------------------- */

/* Runs 'attempt' on a job that goes on at 'full', with its first allocation failing, then
 * its second, and so on until none does.  Returns how many there were. */
static unsigned fail_each(int (*attempt)(struct job *job, struct url_parser *parser),
                          bool other_errors)
{
	unsigned n = 0;
	int r = 0;

	do {
		struct url_parser *parser = NULL; /* a new one does not remember */
		struct job_maker m;
		job_maker_init(&m);
		struct job *job = make_job(&m, "http://a.test/");
		CU_ASSERT_EQUAL_FATAL(job_set_hop(job, &full), 0);
		CU_ASSERT_EQUAL_FATAL(url_parser_create(&parser), 0);
		size_t bytes = job->bytes;
		faults_arm(++n, 1, 1);
		r = attempt(job, parser);
		faults_end();
		if (faults.failed > 0) {
			CU_ASSERT_TRUE(r == -ENOMEM || (other_errors && r == -EINVAL));
			CU_ASSERT_TRUE(same_hop(job->hop, &full));
			CU_ASSERT_EQUAL(job->bytes, bytes);
		} else {
			CU_ASSERT_EQUAL(r, 0);
		}
		job_free(job);
		url_parser_free(parser);
		job_maker_done(&m);
	} while (faults.failed > 0);
	return n - 1;
}

static int set_plain(struct job *job, struct url_parser *parser)
{
	(void) parser;
	return job_set_hop(job, &plain);
}

static int read_one(struct job *job, struct url_parser *parser)
{
	static const char text[] = "{" U "," R "," S ",\"no_secrets\":true}";

	return job_read_hop(job, parser, text, sizeof(text) - 1);
}

static int write_one(struct job *job, struct url_parser *parser)
{
	struct job_hop hop = plain;
	struct buf b = { 0 };

	(void) job, (void) parser;
	hop.url = "http://b/\xff";
	job_write_hop(&hop, &b);
	int r = b.failed ? -ENOMEM : 0;
	buf_done(&b);
	return r;
}

static void test_without_memory_nothing_changes(void)
{
	CU_ASSERT_EQUAL(fail_each(set_plain, false), 1);
	CU_ASSERT_EQUAL(fail_each(read_one, false), 2); /* one is the origin */
	CU_ASSERT_TRUE(fail_each(write_one, false) > 1);
	in_libraries = true;
	CU_ASSERT_TRUE(fail_each(read_one, true) > 10);
	in_libraries = false;
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "a job owns its hop", test_a_job_owns_its_hop },
		{ "a hop counts for the bytes of its job",
		  test_a_hop_counts_for_the_bytes_of_its_job },
		{ "a hop may be set to itself", test_a_hop_may_be_set_to_itself },
		{ "the lane is the origin that is asked next",
		  test_the_lane_is_the_origin_that_is_asked_next },
		{ "a hop is written in one form", test_a_hop_is_written_in_one_form },
		{ "a hop is appended", test_a_hop_is_appended },
		{ "random hops are read as they were written",
		  test_random_hops_are_read_as_they_were_written },
		{ "the longest hop is read again", test_the_longest_hop_is_read_again },
		{ "nonsense is refused and changes nothing",
		  test_nonsense_is_refused_and_changes_nothing },
		{ "without memory nothing changes", test_without_memory_nothing_changes },
		CU_TEST_INFO_NULL,
	};

	if (!failing_malloc_install())
		return 77; /* skipped: not linked as it must be */
	int status = unit_run("job: hop", tests);
	curl_global_cleanup();
	return status;
}
