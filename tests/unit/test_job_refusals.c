/* SPDX-License-Identifier: Apache-2.0 */
/* job.h: each thing that can be wrong with a line has its own words, and no line,
 * whatever it holds, does harm. */
#include "job/job.h"

#include "job_maker.h"
#include "seed.h"

#include <errno.h>

#define URL "\"url\":\"http://a/\""

static void refuse_all(const char *const (*cases)[2], size_t n)
{
	struct job_maker m;

	job_maker_init(&m);
	for (size_t i = 0; i < n; i++)
		refuse_line(&m, cases[i][0], -EINVAL, cases[i][1]);
	job_maker_done(&m);
}

static void test_what_is_no_json_object_is_refused(void)
{
	static const char *const cases[][2] = {
		{ "{", "not a JSON object: " },
		{ "{}x", "not a JSON object: " },
		{ "{" URL "}{" URL "}", "not a JSON object: " },
		{ "{'url':1}", "not a JSON object: " },
		{ "{" URL "," URL "}", "not a JSON object: duplicate object key" },
		{ "{\"a\\u0000b\":1}", "not a JSON object: " },
		{ "{\"url\":\"http://a/\xff\"}", "not a JSON object: " },
		{ "[\"http://a/\"]", "not an absolute http or https URL: [\"http://a/\"]" },
		{ "{}", "\"url\" is missing" },
		{ "{\"id\":\"x\"}", "\"url\" is missing" },
		{ "{\"uri\":\"http://a/\"}",
		  "unknown key \"uri\"; a job has url, id, method, headers, body, body_base64, "
		  "body_file, timeout, max_redirects, max_body, retry, meta, priority, not_before, "
		  "deadline, requeued_from" },
		{ "{\"\":1}", "unknown key \"\"; " },
		{ "{\"URL\":\"http://a/\"}", "unknown key \"URL\"; " },
	};
	refuse_all(cases, ARRAY_LEN(cases));
}

static void test_values_of_the_wrong_kind_are_refused(void)
{
	static const char *const cases[][2] = {
		{ "{\"url\":1}", "\"url\" must be a string" },
		{ "{\"url\":null}", "\"url\" must be a string" },
		{ "{\"url\":\"http://a/\\u0000\"}", "\"url\" must not hold a NUL character" },
		{ "{" URL ",\"id\":1}", "\"id\" must be a string" },
		{ "{" URL ",\"id\":\"a\\u0000\"}", "\"id\" must not hold a NUL character" },
		{ "{" URL ",\"method\":[]}", "\"method\" must be a string" },
		{ "{" URL ",\"method\":\"\\u0000\"}", "\"method\" must not hold a NUL character" },
		{ "{" URL ",\"headers\":\"A: b\"}",
		  "\"headers\" must be an object of names and strings" },
		{ "{" URL ",\"headers\":[]}",
		  "\"headers\" must be an object of names and strings" },
		{ "{" URL ",\"headers\":{\"A\":1}}",
		  "\"headers\": A must be a string, or a list of strings" },
		{ "{" URL ",\"headers\":{\"A\":[]}}", "\"headers\": the list of A is empty" },
		{ "{" URL ",\"headers\":{\"A\":[\"b\",1]}}",
		  "\"headers\": A must be a string, or a list of strings" },
		{ "{" URL ",\"headers\":{\"A\":[[\"b\"]]}}",
		  "\"headers\": A must be a string, or a list of strings" },
		{ "{" URL ",\"headers\":{\"A\":\"\\u0000\"}}",
		  "\"headers\" must not hold a NUL character" },
		{ "{" URL ",\"body\":{}}", "\"body\" must be a string" },
		{ "{" URL ",\"body_base64\":1}", "\"body_base64\" must be a string" },
		{ "{" URL ",\"body_base64\":\"YQ\"}", "\"body_base64\" is no base64" },
		{ "{" URL ",\"body_base64\":\"YR==\"}", "\"body_base64\" is no base64" },
		{ "{" URL ",\"body_base64\":\"YWE=\\n\"}", "\"body_base64\" is no base64" },
		{ "{" URL ",\"body_base64\":\"\\u0000\"}", "\"body_base64\" is no base64" },
		{ "{" URL ",\"body_file\":[]}", "\"body_file\" must be a string" },
		{ "{" URL ",\"body_file\":\"\"}", "\"body_file\" must have 1 to 4095 bytes" },
		{ "{" URL ",\"body_file\":\"a\\u0000\"}",
		  "\"body_file\" must not hold a NUL character" },
		{ "{" URL ",\"body\":\"\",\"body_base64\":\"\"}",
		  "only one of \"body\", \"body_base64\" and \"body_file\" can be" },
		{ "{" URL ",\"body_file\":\"a\",\"body_base64\":\"\"}", "only one of \"body\"" },
		{ "{" URL ",\"max_redirects\":\"5\"}",
		  "\"max_redirects\" must be a number, 0 to 50" },
		{ "{" URL ",\"max_redirects\":51}", "\"max_redirects\" must be a number, 0 to 50" },
		{ "{" URL ",\"max_redirects\":-1}", "\"max_redirects\" must be a number, 0 to 50" },
		{ "{" URL ",\"max_redirects\":1.0}", "\"max_redirects\" must be a number, 0 to" },
		{ "{" URL ",\"max_body\":0}", "\"max_body\" must be a number of bytes, or a size" },
		{ "{" URL ",\"max_body\":-1}", "\"max_body\" must be a number of bytes, or a" },
		{ "{" URL ",\"max_body\":\"0\"}", "\"max_body\" must be a number of bytes, or a" },
		{ "{" URL ",\"max_body\":\"1.5M\"}", "\"max_body\" must be a number of bytes, or" },
		{ "{" URL ",\"max_body\":\"16777215T\"}", "\"max_body\" must be a number of bytes" },
		{ "{" URL ",\"max_body\":true}", "\"max_body\" must be a number of bytes, or a" },
		{ "{" URL ",\"timeout\":30}", "\"timeout\" must be a string" },
		{ "{" URL ",\"timeout\":\"30\"}", "\"timeout\" must be a time such as \"30s\"" },
		{ "{" URL ",\"timeout\":\"0\"}", "\"timeout\" must be a time such as \"30s\"" },
		{ "{" URL ",\"timeout\":\"-1s\"}", "\"timeout\" must be a time such as \"30s\"" },
		{ "{" URL ",\"timeout\":\"99999999999d\"}", "\"timeout\" must be a time such as" },
		{ "{" URL ",\"retry\":1}", "\"retry\" must be true or false" },
		{ "{" URL ",\"retry\":null}", "\"retry\" must be true or false" },
		{ "{" URL ",\"priority\":1}", "\"priority\" must be a string" },
		{ "{" URL ",\"priority\":\"\"}",
		  "\"priority\" must be \"high\", \"normal\" or \"low\"" },
		{ "{" URL ",\"priority\":\"High\"}", "\"priority\" must be \"high\", " },
		{ "{" URL ",\"not_before\":1795446245}", "\"not_before\" must be a string" },
		{ "{" URL ",\"not_before\":\"tomorrow\"}",
		  "\"not_before\" must be a date and time such as \"2026-11-23T15:04:05Z\"" },
		{ "{" URL ",\"not_before\":\"2026-11-23\"}", "\"not_before\" must be a date and" },
		{ "{" URL ",\"not_before\":\"9999-12-31T23:59:59-00:01\"}",
		  "\"not_before\" must be a date and time" },
		{ "{" URL ",\"deadline\":1795446245}", "\"deadline\" must be a string" },
		{ "{" URL ",\"deadline\":\"5m\"}",
		  "\"deadline\" must be a date and time such as \"2026-11-23T15:04:05Z\"" },
		{ "{" URL ",\"not_before\":\"2026-11-23T15:04:05Z\","
		  "\"deadline\":\"2026-11-23T17:04:05+02:00\"}",
		  "\"deadline\" must be later than \"not_before\"" },
		{ "{" URL ",\"deadline\":\"2026-11-23T15:04:05Z\","
		  "\"not_before\":\"2026-11-23T15:04:06Z\"}",
		  "\"deadline\" must be later than \"not_before\"" },
		{ "{" URL ",\"requeued_from\":17}", "\"requeued_from\" must be a string" },
		{ "{" URL ",\"requeued_from\":\"a\\u0000\"}",
		  "\"requeued_from\" must not hold a NUL character" },
		{ "{" URL ",\"requeued_from\":\"\"}",
		  "\"requeued_from\" must have 1 to 256 bytes" },
		{ "{" URL ",\"requeued_from\":\"p-\\n\"}",
		  "\"requeued_from\" must not hold control characters" },
	};
	refuse_all(cases, ARRAY_LEN(cases));
}

static void test_methods_and_headers_that_would_harm_the_request_are_refused(void)
{
	static const char *const cases[][2] = {
		{ "{" URL ",\"method\":\"\"}", "\"method\" is no HTTP method" },
		{ "{" URL ",\"method\":\"GET /\"}", "\"method\" is no HTTP method" },
		{ "{" URL ",\"method\":\"G\\u00c4T\"}", "\"method\" is no HTTP method" },
		{ "{" URL ",\"method\":\"GET\\r\\nX: y\"}", "\"method\" is no HTTP method" },
		{ "{" URL ",\"method\":\"A12345678901234567890123456789012\"}",
		  "\"method\" is no HTTP method" },
		{ "{" URL ",\"method\":\"Head\",\"body\":\"\"}",
		  "a HEAD request has no \"body\"" },
		{ "{" URL ",\"method\":\"connect\"}",
		  "\"method\" CONNECT makes a tunnel, not a fetch" },
		{ "{" URL ",\"headers\":{\"\":\"x\"}}", "\"headers\": \"\" is no header name" },
		{ "{" URL ",\"headers\":{\"A B\":\"x\"}}",
		  "\"headers\": \"A\" is no header name" }, /* what follows may be its value */
		{ "{" URL ",\"headers\":{\"A:\":\"x\"}}", "\"headers\": \"A\" is no header name" },
		{ "{" URL ",\"headers\":{\"A\\n\":\"x\"}}",
		  "\"headers\": \"A\" is no header name" },
		{ "{" URL ",\"headers\":{\"A\":\"x\\r\\nB: y\"}}",
		  "\"headers\": A has a line break" },
		{ "{" URL ",\"headers\":{\"A\":\"x\\n\"}}", "\"headers\": A has a line break" },
		{ "{" URL ",\"headers\":{\"B\":\"x\",\"host\":\"b\"}}",
		  "\"headers\": host is set by penstock" },
		{ "{" URL ",\"headers\":{\"Content-LENGTH\":\"1\"}}",
		  "\"headers\": Content-LENGTH is set by penstock" },
		{ "{" URL ",\"headers\":{\"Transfer-Encoding\":\"chunked\"}}",
		  "\"headers\": Transfer-Encoding is set by penstock" },
		{ "{" URL ",\"headers\":{\"Connection\":\"close\"}}",
		  "\"headers\": Connection is set by penstock" },
		{ "{" URL ",\"headers\":{\"expect\":\"\"}}",
		  "\"headers\": expect is set by penstock" },
		{ "{" URL ",\"headers\":{\"Upgrade\":\"h2c\"}}",
		  "\"headers\": Upgrade is set by penstock" },
		{ "{" URL ",\"headers\":{\"TE\":\"trailers\"}}",
		  "\"headers\": TE is set by penstock" },
		{ "{" URL ",\"headers\":{\"Trailer\":\"x\"}}",
		  "\"headers\": Trailer is set by penstock" },
	};
	refuse_all(cases, ARRAY_LEN(cases));
}

static void test_urls_are_refused_with_the_url_itself(void)
{
	struct job_maker m;

	job_maker_init(&m);
	refuse_line(&m, "ftp://a/x", -EPROTONOSUPPORT,
	            "only http and https are fetched: ftp://a/x");
	refuse_line(&m, "{\"url\":\"file:///etc/passwd\"}", -EPROTONOSUPPORT,
	            "only http and https are fetched: file:///etc/passwd");
	refuse_line(&m, "ftp://user:secret@a/x", -EPROTONOSUPPORT,
	            "only http and https are fetched: ftp://***@a/x");
	refuse_line(&m, "example.com", -EINVAL, "not an absolute http or https URL: example.com");
	refuse_line(&m, "{\"url\":\"\"}", -EINVAL, "not an absolute http or https URL: ");
	refuse_line(&m, "http://a:0/", -EINVAL, "the port must be 1 to 65535: http://a:0/");
	refuse_line(&m, "http://\xff/", -EINVAL, "the host is no international domain name: http://");

	/* Also when a good one has just been read. */
	job_free(make_job(&m, "http://good.example/a"));
	refuse_line(&m, "not/absolute", -EINVAL, "not an absolute http or https URL: not/absolute");
	job_maker_done(&m);
}

static void test_nul_bytes_are_refused(void)
{
	static const char url[] = "http://a/\0b", json[] = "{" URL "\0}", first[] = "\0http://a/";
	struct job_maker m;

	job_maker_init(&m);
	refuse_bytes(&m, url, sizeof(url) - 1, -EINVAL, "a URL must not hold a NUL character");
	refuse_bytes(&m, first, sizeof(first) - 1, -EINVAL, "a URL must not hold a NUL character");
	refuse_bytes(&m, json, sizeof(json) - 1, -EINVAL, "not a JSON object: ");
	job_maker_done(&m);
}

static void test_ids_have_1_to_256_bytes_and_a_form(void)
{
	static const struct {
		const char *id;
		const char *why;
	} bad[] = {
		{ "", "\"id\" must have 1 to 256 bytes" },
		{ "p-", "\"id\" must not begin with \"p-\"" },
		{ "p-1", "\"id\" must not begin with \"p-\"" },
		{ "a\\n", "\"id\" must not hold control characters" },
		{ "a\\u001f", "\"id\" must not hold control characters" },
		{ "\\u007f", "\"id\" must not hold control characters" },
	};
	char line[512], id[258];
	struct job_maker m;

	job_maker_init(&m);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		(void) snprintf(line, sizeof(line), "{" URL ",\"id\":\"%s\"}", bad[i].id);
		refuse_line(&m, line, -EINVAL, bad[i].why);
	}
	for (size_t n = 1; n < sizeof(id); n += n < 255 ? 127 : 1) {
		memset(id, 'p', n);
		id[n] = '\0';
		(void) snprintf(line, sizeof(line), "{" URL ",\"id\":\"%s\"}", id);
		if (n > 256) {
			refuse_line(&m, line, -EINVAL, "\"id\" must have 1 to 256 bytes");
			continue;
		}
		struct job *job = make_job(&m, line);
		CU_ASSERT_STRING_EQUAL(job->id, id);
		job_free(job);
	}

	/* Those of requeued jobs may be of both kinds. */
	for (size_t n = 256; n <= 257; n++) {
		memset(id, 'p', n);
		memcpy(id, "p-", 2);
		id[n] = '\0';
		(void) snprintf(line, sizeof(line), "{" URL ",\"requeued_from\":\"%s\"}", id);
		if (n > 256)
			refuse_line(&m, line, -EINVAL,
			            "\"requeued_from\" must have 1 to 256 bytes");
		else
			job_free(make_job(&m, line));
	}
	job_maker_done(&m);
}

/* --- sizes ------------------------------------------------------------------------------ */

/* A line of 'len' bytes: "http://a/xxx…", or a JSON job with a body that fills it. */
static char *long_line(size_t len, bool json)
{
	const char *head = json ? "{" URL ",\"body\":\"" : "http://a/";
	const char *tail = json ? "\"}" : "";
	char *line = malloc(len + 1);

	CU_ASSERT_PTR_NOT_NULL_FATAL(line);
	memset(line, 'x', len);
	memcpy(line, head, strlen(head));
	memcpy(line + len - strlen(tail), tail, strlen(tail));
	line[len] = '\0';
	return line;
}

static void test_a_line_has_at_most_one_mebibyte(void)
{
	struct job_maker m;

	job_maker_init(&m);
	for (int json = 0; json < 2; json++) {
		char *line = long_line(JOB_MAX_LINE_BYTES, json);
		struct job *job = make_job(&m, line);
		CU_ASSERT_TRUE(job->bytes > JOB_MAX_LINE_BYTES);
		CU_ASSERT_TRUE(job->bytes < 2 * JOB_MAX_LINE_BYTES);
		job_free(job);
		free(line);

		line = long_line(JOB_MAX_LINE_BYTES + 1, json);
		refuse_line(&m, line, -EINVAL, "longer than 1 MiB");
		line[JOB_MAX_LINE_BYTES] = ' '; /* blanks at the ends do not count */
		if (!json)
			job_free(make_job(&m, line));
		free(line);
	}
	for (size_t len = 500; len < 525; len++) { /* around the buffer on the stack */
		char *line = long_line(len, false);
		struct job *job = make_job(&m, line);
		CU_ASSERT_STRING_EQUAL(job->url, line);
		job_free(job);
		free(line);
	}
	job_maker_done(&m);
}

static void test_reasons_stay_short_whatever_the_line(void)
{
	struct job_maker m;
	char *line = long_line(JOB_MAX_LINE_BYTES, false);

	job_maker_init(&m);
	memcpy(line, "ftpx", 4);
	refuse_line(&m, line, -EPROTONOSUPPORT, "only http and https are fetched: ftpx://a/x");
	CU_ASSERT_TRUE(m.why.len < 512);
	memcpy(line, "xxxxxxxx", 8);
	refuse_line(&m, line, -EINVAL, "not an absolute http or https URL: xxx");
	CU_ASSERT_TRUE(m.why.len < 512);
	line[0] = '{';
	line[1] = '"';
	memcpy(line + JOB_MAX_LINE_BYTES - 4, "\":1}", 4);
	refuse_line(&m, line, -EINVAL, "unknown key \"");
	CU_ASSERT_TRUE(m.why.len < 512);
	free(line);
	job_maker_done(&m);
}

/* "{URL,"meta":[[[…]]]}" with 'depth' brackets. */
static void add_nested(struct buf *b, size_t depth)
{
	buf_clear(b);
	buf_add_str(b, "{" URL ",\"meta\":");
	for (size_t i = 0; i < depth; i++)
		buf_add_char(b, '[');
	for (size_t i = 0; i < depth; i++)
		buf_add_char(b, ']');
	buf_add_char(b, '}');
}

static void test_meta_may_nest_deeply_but_not_without_end(void)
{
	struct buf line = { 0 };
	struct job_maker m;
	struct job *job = NULL;

	job_maker_init(&m);
	add_nested(&line, 2000);
	CU_ASSERT_EQUAL_FATAL(try_bytes(&m, line.data, line.len, &job), 0);
	CU_ASSERT_EQUAL(strlen(job->extra->meta), 4000);
	job_free(job);

	add_nested(&line, 2049);
	refuse_bytes(&m, line.data, line.len, -EINVAL, "not a JSON object: ");
	add_nested(&line, 500000);
	refuse_bytes(&m, line.data, line.len, -EINVAL, "more than 10000 JSON values");
	buf_done(&line);
	job_maker_done(&m);
}

/* "{URL,"meta":[0,0,…]}" with 'n' values in all, the object and the array included. */
static void add_values(struct buf *b, size_t n)
{
	buf_clear(b);
	buf_add_str(b, "{" URL ",\"meta\":[\"\\\",[{\"");
	for (size_t i = 4; i < n; i++)
		buf_add_str(b, ",0");
	buf_add_str(b, "]}");
}

static void test_a_job_has_a_bounded_number_of_values(void)
{
	struct buf line = { 0 };
	struct job_maker m;
	struct job *job = NULL;

	job_maker_init(&m);
	add_values(&line, JOB_MAX_VALUES);
	CU_ASSERT_EQUAL(try_bytes(&m, line.data, line.len, &job), 0);
	job_free(job);
	add_values(&line, JOB_MAX_VALUES + 2);
	refuse_bytes(&m, line.data, line.len, -EINVAL, "more than 10000 JSON values");
	buf_done(&line);

	/* What only looks like values, because it stands in a string, is none. */
	char *text = long_line(JOB_MAX_LINE_BYTES, true);
	for (size_t i = 64; i < 64 + 3 * JOB_MAX_VALUES; i++)
		text[i] = ",[{"[i % 3];
	job_free(make_job(&m, text));
	free(text);
	job_maker_done(&m);
}

/* --- random lines ------------------------------------------------------------------------ */

static const char *const corpus[] = {
	"http://user:pw@example.com:8080/a%20b?c=d#e",
	"https://[2001:db8::1]:443/",
	"http://0x7f.1/",
	"http://\xc3\xa4.example/",
	"{\"url\":\"http://a/\",\"id\":\"x\",\"method\":\"POST\",\"body\":\"b\\u0000\\n\"}",
	"{\"url\":\"http://a/\",\"headers\":{\"A\":\"b\",\"C\":\"\"},\"timeout\":\"1.5s\"}",
	"{\"url\":\"http://a/\",\"priority\":\"low\",\"not_before\":\"2026-11-23T15:04:05+02:00\"}",
	"{\"url\":\"http://a/\",\"id\":\"y\",\"requeued_from\":\"p-1\"}",
	"{\"url\":\"http://a/\",\"retry\":false,\"meta\":{\"a\":[1,2e3,null,\"\\ud83d\\ude00\"]}}",
};

static const char *const fragments[] = { "\"",   "{",     "}",        ":",        ",",
	                                 "[",    "]",     "\\u0000",  "\\ud800",  "://",
	                                 "@",    "\xff",  "\xc3\xa4", "\"url\":", "\"meta\":",
	                                 "http", "1e999", "%00",      " ",        "\n" };

static void mutate(struct buf *line, struct random *r)
{
	size_t at = below(r, line->len + 1);

	if (line->len > 0 && below(r, 3) == 0) { /* cut something out */
		size_t n = 1 + below(r, 8);
		at = at < line->len ? at : line->len - 1;
		n = n < line->len - at ? n : line->len - at;
		memmove(line->data + at, line->data + at + n, line->len - at - n);
		line->len -= n;
	} else if (line->len > 0 && below(r, 2) == 0) { /* change a byte */
		line->data[at < line->len ? at : 0] = (char) random_up_to(r, 255);
	} else { /* put something in */
		const char *piece = fragments[below(r, ARRAY_LEN(fragments))];
		size_t n = strlen(piece);
		if (buf_reserve(line, n) < 0)
			abort();
		memmove(line->data + at + n, line->data + at, line->len - at);
		memcpy(line->data + at, piece, n);
		line->len += n;
	}
}

static void expect_sound(struct job_maker *m, const struct job *job)
{
	struct buf id = { 0 }, line = { 0 };
	struct job *copy = NULL;

	CU_ASSERT_TRUE(job->bytes >= sizeof(*job) && job->bytes < 4096);
	CU_ASSERT_TRUE(strlen(job->url) > 0);
	CU_ASSERT_EQUAL(strncmp(job->origin.text, job->origin.tls ? "https://" : "http://", 7), 0);
	CU_ASSERT_TRUE(job->origin.port > 0);
	CU_ASSERT_TRUE(strlen(job_method(job)) > 0);
	(void) job_may_retry(job);
	job_add_id(job, &id);
	CU_ASSERT_TRUE(id.len > 0 && id.len <= 256);
	buf_done(&id);
	job_write(job, &line);
	CU_ASSERT_EQUAL(try_bytes(m, line.data, line.len, &copy), 0);
	CU_ASSERT_TRUE(copy && copy->bytes == job->bytes);
	job_free(copy);
	buf_done(&line);
	if (job->extra && job->extra->headers) {
		const char *h = job->extra->headers;
		while (*h != '\0')
			h += strlen(h) + 1;
		CU_ASSERT_TRUE(h < (const char *) job + job->bytes);
	}
}

static void test_random_lines_give_a_job_or_a_reason(void)
{
	struct random r = seeded();
	struct buf line = { 0 };
	struct job_maker m;
	unsigned jobs = 0;

	job_maker_init(&m);
	for (int i = 0; i < 30000 / UNIT_STRIDE; i++) {
		const char *text = corpus[below(&r, ARRAY_LEN(corpus))];
		struct job *job = NULL;

		buf_clear(&line);
		buf_add_str(&line, text);
		for (size_t n = below(&r, 6); n > 0; n--)
			mutate(&line, &r);

		int error = try_bytes(&m, line.data, line.len, &job);
		if (error == 0) {
			expect_sound(&m, job);
			jobs++;
		} else {
			CU_ASSERT_TRUE(error == -EINVAL || error == -EPROTONOSUPPORT);
			CU_ASSERT_PTR_NULL(job);
			CU_ASSERT_TRUE(m.why.len > 1 && m.why.len < 512);
		}
		job_free(job);
	}
	CU_ASSERT_TRUE(jobs > 1000 / UNIT_STRIDE && jobs < 29000 / UNIT_STRIDE); /* or the test would not say much */
	buf_done(&line);
	job_maker_done(&m);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "what is no JSON object is refused", test_what_is_no_json_object_is_refused },
		{ "values of the wrong kind are refused",
		  test_values_of_the_wrong_kind_are_refused },
		{ "methods and headers that would harm the request are refused",
		  test_methods_and_headers_that_would_harm_the_request_are_refused },
		{ "URLs are refused with the URL itself",
		  test_urls_are_refused_with_the_url_itself },
		{ "NUL bytes are refused", test_nul_bytes_are_refused },
		{ "ids have 1 to 256 bytes and a form", test_ids_have_1_to_256_bytes_and_a_form },
		{ "a line has at most one mebibyte", test_a_line_has_at_most_one_mebibyte },
		{ "reasons stay short whatever the line",
		  test_reasons_stay_short_whatever_the_line },
		{ "meta may nest deeply, but not without end",
		  test_meta_may_nest_deeply_but_not_without_end },
		{ "a job has a bounded number of values",
		  test_a_job_has_a_bounded_number_of_values },
		{ "random lines give a job or a reason", test_random_lines_give_a_job_or_a_reason },
		CU_TEST_INFO_NULL,
	};
	return unit_run("job_refusals", tests);
}
