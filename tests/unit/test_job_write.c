/* SPDX-License-Identifier: Apache-2.0 */
/* job_write(): its line makes the same job again, and is the same for jobs that ask for
 * the same, however they were spelled. */
#include "job/job.h"

#include "base/clock.h"
#include "job_maker.h"
#include "seed.h"

#include <assert.h>
#include <inttypes.h>

/* Replaces what is in 'text', and ends it with a NUL character that does not count. */
static void write_text(const struct job *job, struct buf *text)
{
	buf_clear(text);
	job_write(job, text);
	buf_add_char(text, '\0');
	CU_ASSERT_FALSE_FATAL(text->failed);
	text->len--;
}

static bool same_str(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static size_t headers_size(const char *headers)
{
	const char *at = headers;

	while (at && *at != '\0')
		at += strlen(at) + 1;
	return (size_t) (at - headers);
}

static bool same_extra(const struct job_extra *a, const struct job_extra *b)
{
	size_t headers = headers_size(a->headers);

	return same_str(a->method, b->method) && !a->body == !b->body &&
	       a->body_bytes == b->body_bytes &&
	       (!a->body || memcmp(a->body, b->body, a->body_bytes) == 0) &&
	       !a->headers == !b->headers && headers == headers_size(b->headers) &&
	       (headers == 0 || memcmp(a->headers, b->headers, headers) == 0) &&
	       same_str(a->body_file, b->body_file) && a->max_body_bytes == b->max_body_bytes &&
	       a->has_max_redirects == b->has_max_redirects &&
	       a->max_redirects == b->max_redirects &&
	       same_str(a->meta, b->meta) && a->timeout_ns == b->timeout_ns &&
	       a->retry == b->retry && a->priority == b->priority &&
	       a->not_before_wall_us == b->not_before_wall_us &&
	       a->deadline_wall_us == b->deadline_wall_us &&
	       same_str(a->requeued_from, b->requeued_from);
}

static bool same_job(const struct job *a, const struct job *b)
{
	return same_str(a->url, b->url) && same_str(a->id, b->id) && a->bytes == b->bytes &&
	       same_str(a->origin.text, b->origin.text) && !a->extra == !b->extra &&
	       (!a->extra || same_extra(a->extra, b->extra));
}

/* Expects 'job' to be what its own line makes; leaves that line in 'text'. */
static void expect_round_trip(struct job_maker *m, const struct job *job, struct buf *text)
{
	struct buf again = { 0 };
	struct job *copy = NULL;

	write_text(job, text);
	CU_ASSERT_EQUAL(strlen(text->data), text->len);
	CU_ASSERT_PTR_NULL(strpbrk(text->data, "\r\n")); /* one line */
	if (try_bytes(m, text->data, text->len, &copy) < 0)
		(void) printf("\n%s: %s\n", text->data, m->why.data);
	CU_ASSERT_PTR_NOT_NULL_FATAL(copy);
	if (!same_job(job, copy))
		(void) printf("\nnot the same: %s\n", text->data);
	CU_ASSERT_TRUE(same_job(job, copy));

	write_text(copy, &again);
	CU_ASSERT_STRING_EQUAL(again.data, text->data);
	buf_done(&again);
	job_free(copy);
}

/* --- what stands there ------------------------------------------------------------------ */

static void test_a_job_is_written_in_one_form(void)
{
	static const char full[] =
	        "{\"url\":\"http://a/\",\"id\":\"i\",\"method\":\"PUT\","
	        "\"headers\":{\"B\":\"2\",\"A\":\"\"},\"body\":\"a\\u0000b\xc3\xa4\","
	        "\"timeout\":\"1500ms\",\"retry\":false,\"meta\":{\"z\":[1,2.5],\"a\":null},"
	        "\"priority\":\"high\",\"not_before\":\"2026-11-23T15:04:05.500000Z\","
	        "\"deadline\":\"2026-11-23T15:04:05.500001Z\","
	        "\"requeued_from\":\"p-7\"}";
	static const char *const cases[][2] = {
		{ " http://a/b?c#d \r\n", "http://a/b?c#d" },
		{ "{\"url\":\"http://a/\"}", "http://a/" },
		{ "{ \"url\" : \"http:\\/\\/a\\/\\u00e4\" }", "http://a/\xc3\xa4" },
		{ "http://a/\"\\{}", "http://a/\"\\{}" },
		{ "{\"id\":\"x\",\"url\":\"http://a/\\\"\\\\\"}",
		  "{\"url\":\"http://a/\\\"\\\\\",\"id\":\"x\"}" },
		{ "{\"url\":\"http://a/\",\"retry\":true,\"method\":\"get\","
		  "\"priority\":\"normal\"}",
		  "http://a/" },
		{ "{\"url\":\"http://a/\",\"method\":\"post\",\"body\":\"\",\"retry\":false}",
		  "{\"url\":\"http://a/\",\"body\":\"\"}" },
		{ "{\"url\":\"http://a/\",\"method\":\"get\",\"body\":\"\"}",
		  "{\"url\":\"http://a/\",\"method\":\"GET\",\"body\":\"\"}" },
		{ "{\"priority\":\"low\",\"url\":\"http://a/\"}",
		  "{\"url\":\"http://a/\",\"priority\":\"low\"}" },
		{ "{\"timeout\":\"0.000000123s\",\"url\":\"http://a/\"}",
		  "{\"url\":\"http://a/\",\"timeout\":\"0.000123ms\"}" },
		{ full, full },
		{ "{\"url\":\"http://a/\",\"max_body\":\"1K\",\"max_redirects\":0,"
		  "\"body_base64\":\"/w==\",\"headers\":{\"B\":[\"1\",\" 2\"]}}",
		  "{\"url\":\"http://a/\",\"headers\":{\"B\":[\"1\",\"2\"]},\"body_base64\":\"/w==\","
		  "\"max_redirects\":0,\"max_body\":1024}" },
		{ "{\"url\":\"http://a/\",\"body_base64\":\"YQ==\"}",
		  "{\"url\":\"http://a/\",\"body\":\"a\"}" },
		{ "{\"url\":\"http://a/\",\"body_file\":\"a/b\"}",
		  "{\"url\":\"http://a/\",\"body_file\":\"a/b\"}" },
	};
	struct job_maker m;
	struct buf text = { 0 };

	job_maker_init(&m);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct job *job = make_job(&m, cases[i][0]);
		expect_round_trip(&m, job, &text);
		CU_ASSERT_STRING_EQUAL(text.data, cases[i][1]);
		job_free(job);
	}
	buf_done(&text);
	job_maker_done(&m);
}

static void test_a_url_keeps_its_bytes(void)
{
	static const char url[] = "http://a/\xff?\xc3\xa4\xe2\x82";
	struct job_maker m;
	struct buf text = { 0 };

	job_maker_init(&m);
	struct job *job = make_job(&m, url);
	expect_round_trip(&m, job, &text);
	CU_ASSERT_STRING_EQUAL(text.data, url);

	/* In JSON it has to be a URL to the same effect. */
	const struct job_extra extra = { .requeued_from = "p-1" };
	struct job copy = *job;
	copy.extra = &extra;
	write_text(&copy, &text);
	CU_ASSERT_STRING_EQUAL(text.data, "{\"url\":\"http://a/%FF?\xc3\xa4%E2%82\","
	                                  "\"requeued_from\":\"p-1\"}");
	job_free(job);
	buf_done(&text);
	job_maker_done(&m);
}

static void test_a_url_that_would_be_read_otherwise_is_written_as_json(void)
{
	static const char *const cases[][2] = {
		{ "{}", "{\"url\":\"{}\"}" },
		{ " http://a/", "{\"url\":\" http://a/\"}" },
		{ "http://a/\t", "{\"url\":\"http://a/\\t\"}" },
		{ "\n", "{\"url\":\"\\n\"}" },
	};
	struct buf text = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		write_text(&(struct job) { .url = cases[i][0] }, &text);
		CU_ASSERT_STRING_EQUAL(text.data, cases[i][1]);
	}
	buf_done(&text);
}

static void test_a_line_is_appended(void)
{
	struct buf text = { 0 };

	buf_add_str(&text, "before ");
	job_write(&(struct job) { .url = "http://a/" }, &text);
	job_write(&(struct job) { .url = "http://b/", .id = "x" }, &text);
	buf_add_char(&text, '\0');
	CU_ASSERT_STRING_EQUAL(text.data, "before http://a/{\"url\":\"http://b/\",\"id\":\"x\"}");
	buf_done(&text);
}

/* --- the same, and not the same ----------------------------------------------------------- */

enum { MAX_VALUES = 20, MAX_SPELLINGS = 4 };

/* What a job may ask for: of each aspect one value, in one of its spellings.  The first
 * value of each is what goes without saying. */
static const char *const aspects[][MAX_VALUES][MAX_SPELLINGS] = {
	{
		{ "\"url\":\"http://a/\"", "\"url\":\"http:\\/\\/\\u0061/\"" },
		{ "\"url\":\"http://a\"" },
		{ "\"url\":\"http://A/\"" },
		{ "\"url\":\"https://a/\"" },
		{ "\"url\":\"http://a/\xc3\xa4\"", "\"url\":\"http://a/\\u00e4\"" },
		{ "\"url\":\"http://a/%C3%A4\"" },
		{ "\"url\":\"http://a/\\\"\\\\\"", "\"url\":\"http://a/\\u0022\\u005c\"" },
	},
	{
		{ "" },
		{ "\"id\":\"x\"", "\"id\":\"\\u0078\"" },
		{ "\"id\":\"X\"" },
		{ "\"id\":\"\\u00e4\\\"\"", "\"id\":\"\xc3\xa4\\u0022\"" },
	},
	{ /* The method, the body and retry depend on each other. */
	  { "", "\"method\":\"get\"", "\"retry\":true", "\"retry\":true,\"method\":\"Get\"" },
	  { "\"retry\":false", "\"method\":\"GET\",\"retry\":false" },
	  { "\"method\":\"POST\"", "\"retry\":false,\"method\":\"post\"" },
	  { "\"method\":\"POST\",\"retry\":true" },
	  { "\"body\":\"\"", "\"body\":\"\",\"method\":\"POST\"", "\"body_base64\":\"\"", "\"retry\":false,\"body\":\"\"" },
	  { "\"body\":\"x\"", "\"method\":\"POST\",\"body\":\"\\u0078\"" },
	  { "\"body\":\"x\",\"retry\":true", "\"retry\":true,\"method\":\"post\",\"body\":\"x\"" },
	  { "\"body\":\"x\\u0000\"", "\"method\":\"POST\",\"body\":\"x\\u0000\",\"retry\":false" },
	  { "\"body\":\"x\",\"method\":\"GET\"",
	    "\"body\":\"x\",\"method\":\"GET\",\"retry\":true" },
	  { "\"body\":\"x\",\"method\":\"PUT\"",
	    "\"retry\":true,\"body\":\"x\",\"method\":\"put\"" },
	  { "\"body\":\"x\",\"method\":\"PUT\",\"retry\":false" },
	  { "\"method\":\"PUT\"" },
	  { "\"method\":\"HEAD\"", "\"method\":\"head\",\"retry\":true" },
	  { "\"method\":\"PATCH\"", "\"method\":\"patch\",\"retry\":false" },
	  { "\"body\":\"\xc3\xa4\"", "\"body_base64\":\"w6Q=\"" },
	  { "\"body_base64\":\"/w==\"", "\"body_base64\":\"\\u002fw==\"" },
	  { "\"body_base64\":\"AP8=\"", "\"retry\":false,\"body_base64\":\"AP8=\"" },
	  { "\"body_file\":\"a\"", "\"body_file\":\"\\u0061\",\"method\":\"POST\"" },
	  { "\"body_file\":\"./a\"" },
	  { "\"body_file\":\"a\",\"method\":\"PUT\"" } },
	{
		{ "", "\"headers\":{}" },
		{ "\"headers\":{\"A\":\"b\"}", "\"headers\": {\"\\u0041\" : \"\\u0062\"}",
		  "\"headers\":{\"A\":[\"b\"]}", "\"headers\":{\"A\":\" b\\t\"}" },
		{ "\"headers\":{\"a\":\"b\"}" },
		{ "\"headers\":{\"A\":\"\"}", "\"headers\":{\"A\":\"  \"}" },
		{ "\"headers\":{\"A\":\";\"}" },
		{ "\"headers\":{\"A\":[\"b\",\"c\"]}", "\"headers\":{\"A\":[\"b \",\"\\u0063\"]}" },
		{ "\"headers\":{\"A\":[\"c\",\"b\"]}" },
		{ "\"headers\":{\"A\":[\"\",\"\",\"b\"],\"AB\":[\"c\",\"\"]}" },
		{ "\"headers\":{\"A\":[\"b\",\"c\"],\"a\":\"d\"}" },
		{ "\"headers\":{\"A\":\": b;\"}" },
		{ "\"headers\":{\"A\":\"b\",\"a\":\"c\"}" },
		{ "\"headers\":{\"a\":\"c\",\"A\":\"b\"}" },
	},
	{
		{ "" },
		{ "\"timeout\":\"1.5s\"", "\"timeout\":\"1500ms\"", "\"timeout\":\"0.025m\"" },
		{ "\"timeout\":\"1.500000001s\"", "\"timeout\":\"1500.000001ms\"" },
		{ "\"timeout\":\"24h\"", "\"timeout\":\"1d\"", "\"timeout\":\"86400s\"" },
	},
	{
		{ "" },
		{ "\"max_redirects\":0" },
		{ "\"max_redirects\":50" },
	},
	{
		{ "" },
		{ "\"max_body\":1048576", "\"max_body\":\"1M\"", "\"max_body\":\"1024KiB\"" },
		{ "\"max_body\":1048577" },
		{ "\"max_body\":9223372036854775807" },
	},
	{
		{ "" },
		{ "\"meta\":null", "\"meta\" : null" },
		{ "\"meta\":1", "\"meta\": 1" },
		{ "\"meta\":1.0", "\"meta\":1e0", "\"meta\":10.00E-1" },
		{ "\"meta\":0.1", "\"meta\":0.10000000000000001" },
		{ "\"meta\":[1,2]", "\"meta\":[ 1 , 2 ]" },
		{ "\"meta\":{\"a\":1,\"b\":2}", "\"meta\":{ \"\\u0061\":1, \"b\":2 }" },
		{ "\"meta\":{\"b\":2,\"a\":1}" },
		{ "\"meta\":\"\\u0000\"" },
	},
	{
		{ "", "\"priority\":\"normal\"" },
		{ "\"priority\":\"high\"" },
		{ "\"priority\":\"low\"" },
	},
	{
		{ "", "\"not_before\":\"1970-01-01T00:00:00Z\"",
		  "\"not_before\":\"1960-01-01T00:00:00Z\"" },
		{ "\"not_before\":\"2026-11-23T15:04:05Z\"",
		  "\"not_before\":\"2026-11-23T17:04:05.000+02:00\"" },
		{ "\"not_before\":\"2026-11-23T15:04:05.000001Z\"",
		  "\"not_before\":\"2026-11-23t12:04:05.0000019-03:00\"" },
		{ "\"not_before\":\"2027-01-01T00:00:00Z\"" },
		{ "\"not_before\":\"2027-01-01T00:00:00Z\",\"deadline\":\"2028-01-01T00:00:00Z\"",
		  "\"deadline\":\"2028-01-01T00:00:00Z\",\"not_before\":\"2027-01-01T00:00:00.0Z\"" },
		{ "\"deadline\":\"2027-11-23T15:04:05Z\"",
		  "\"deadline\":\"2027-11-23T17:04:05.000+02:00\"" },
		{ "\"deadline\":\"2028-01-01T00:00:00Z\"" },
	},
	{
		{ "" },
		{ "\"requeued_from\":\"p-1\"", "\"requeued_from\":\"\\u0070-1\"" },
		{ "\"requeued_from\":\"x\"" },
	},
};

/* Which value a job has of each aspect. */
struct wish {
	size_t value[ARRAY_LEN(aspects)];
};

static void change(struct wish *wish, size_t aspect, struct random *r)
{
	size_t n = 1;

	while (n < MAX_VALUES && aspects[aspect][n][0])
		n++;
	wish->value[aspect] = below(r, n);
}

/* A JSON job for 'wish', in a random order and with random spellings. */
static void spell(const struct wish *wish, struct random *r, struct buf *line)
{
	static const char *const blanks[] = { "", " ", "\t", "" };
	static_assert(ARRAY_LEN(aspects) % 2 == 1, "steps of 2 come by every aspect");
	size_t first = below(r, ARRAY_LEN(aspects)), step = 1 + below(r, 2);
	const char *before = "{";

	buf_clear(line);
	for (size_t i = 0; i < ARRAY_LEN(aspects); i++) {
		size_t aspect = (first + i * step) % ARRAY_LEN(aspects), n = 1;
		const char *const *spellings = aspects[aspect][wish->value[aspect]];
		while (n < MAX_SPELLINGS && spellings[n])
			n++;
		const char *spelling = spellings[below(r, n)];
		if (*spelling == '\0')
			continue;
		buf_add_str(line, before);
		buf_add_str(line, blanks[below(r, ARRAY_LEN(blanks))]);
		buf_add_str(line, spelling);
		before = ",";
	}
	buf_add_char(line, '}');
	buf_add_char(line, '\0');
}

static void test_lines_are_equal_if_and_only_if_jobs_are(void)
{
	struct random r = seeded();
	struct job_maker m;
	struct buf line = { 0 }, texts[2] = { { 0 } };
	unsigned same = 0;

	job_maker_init(&m);
	for (int i = 0; i < 20000 / UNIT_STRIDE; i++) {
		struct wish wishes[2] = { 0 };
		for (size_t n = below(&r, 8); n > 0; n--)
			change(&wishes[0], below(&r, ARRAY_LEN(aspects)), &r);
		wishes[1] = wishes[0];
		if (below(&r, 2) == 0)
			change(&wishes[1], below(&r, ARRAY_LEN(aspects)), &r);

		for (size_t j = 0; j < 2; j++) {
			spell(&wishes[j], &r, &line);
			struct job *job = make_job(&m, line.data);
			expect_round_trip(&m, job, &texts[j]);
			job_free(job);
		}
		bool equal = memcmp(&wishes[0], &wishes[1], sizeof(wishes[0])) == 0;
		if (equal != (strcmp(texts[0].data, texts[1].data) == 0))
			(void) printf("\n%s\n%s\n", texts[0].data, texts[1].data);
		CU_ASSERT_EQUAL(strcmp(texts[0].data, texts[1].data) == 0, equal);
		same += equal;
	}
	CU_ASSERT_TRUE(same > 5000 / UNIT_STRIDE && same < 15000 / UNIT_STRIDE); /* or the test would not say much */
	buf_done(&texts[0]);
	buf_done(&texts[1]);
	buf_done(&line);
	job_maker_done(&m);
}

/* --- random jobs -------------------------------------------------------------------------- */

/* Appends up to 'max' characters as a JSON string; control characters only if 'any'. */
static void add_random_json(struct buf *line, struct random *r, size_t max, bool any)
{
	static const char *const pieces[] = { "\xc3\xa4", "\xf0\x9f\x98\x80", "\xef\xbf\xbf", "\"",
		                              "\\",       "/",                ":",            ";",
		                              " ",        "{",                "\xe2\x80\xa8", "," };
	struct buf text = { 0 };

	for (size_t n = below(r, max + 1); n > 0; n--) {
		if (below(r, 3) == 0)
			buf_add_str(&text, pieces[below(r, ARRAY_LEN(pieces))]);
		else
			buf_add_char(&text, (char) (any ? below(r, 128) : 0x20 + below(r, 0x5f)));
	}
	buf_add_json(line, text.data, text.len);
	buf_done(&text);
}

static void add_random_headers(struct buf *line, struct random *r)
{
	const char *before = ",\"headers\":{";

	for (size_t n = below(r, 4); n > 0; n--) {
		buf_printf(line, "%s\"X-%zu\":", before, n);
		add_random_json(line, r, 10, false);
		before = ",";
	}
	if (strcmp(before, ",") == 0)
		buf_add_char(line, '}');
}

/* A timeout to the nanosecond, and times to the microsecond. */
static void add_random_times(struct buf *line, struct random *r)
{
	const uint64_t last_us = UINT64_C(253402300799999999);
	char text[CLOCK_TEXT_SIZE];

	if (below(r, 2)) {
		uint64_t ns = random_up_to(r, UINT64_MAX) >> below(r, 64);
		ns += ns == 0;
		buf_printf(line, ",\"timeout\":\"%" PRIu64 ".%09" PRIu64 "s\"", ns / NS_PER_S,
		           ns % NS_PER_S);
	}
	uint64_t not_before_us = below(r, 2) ? random_up_to(r, last_us) : 0;
	if (not_before_us > 0) {
		clock_format((int64_t) not_before_us, text);
		buf_printf(line, ",\"not_before\":\"%s\"", text);
	}
	if (below(r, 2) && not_before_us < last_us) {
		uint64_t more_us = 1 + random_up_to(r, last_us - not_before_us - 1);
		clock_format((int64_t) (not_before_us + more_us), text);
		buf_printf(line, ",\"deadline\":\"%s\"", text);
	}
}

static void add_random_members(struct buf *line, struct random *r)
{
	static const char *const methods[] = { "GET", "PUT", "POST", "PATCH", "Delete" };

	if (below(r, 2))
		buf_printf(line, ",\"method\":\"%s\"", methods[below(r, ARRAY_LEN(methods))]);
	if (below(r, 2)) {
		buf_add_str(line, ",\"body\":");
		add_random_json(line, r, 40, true);
	}
	if (below(r, 2))
		buf_add_str(line, below(r, 2) ? ",\"retry\":true" : ",\"retry\":false");
	if (below(r, 2)) {
		buf_printf(line, ",\"meta\":[%.15g,%" PRId64 ",",
		           (double) random_up_to(r, UINT64_MAX) / 1e9,
		           (int64_t) random_up_to(r, INT64_MAX) >> below(r, 63));
		add_random_json(line, r, 10, true);
		buf_add_char(line, ']');
	}
	add_random_headers(line, r);
	add_random_times(line, r);
}

/* A plain line, of any bytes that a URL may have, or JSON. */
static void random_line(struct buf *line, struct random *r)
{
	bool json = below(r, 4) > 0;

	buf_clear(line);
	buf_add_str(line, json ? "{\"url\":\"http://a/\xc3\xa4" : "http://a/");
	for (size_t n = below(r, 20); n > 0; n--) {
		char c = (char) (json ? 'a' + below(r, 26) : 0x21 + below(r, 0xdf));
		buf_add_char(line, c == 0x7f ? 'x' : c);
	}
	if (!json)
		return;
	buf_add_str(line, "\"");
	if (below(r, 2)) {
		buf_add_str(line, ",\"id\":");
		size_t at = line->len;
		add_random_json(line, r, 20, false);
		if (line->len - at == strlen("\"\"") || line->data[at + 1] == 'p') {
			line->len = at; /* an id is not empty, and not one of penstock's own */
			buf_add_str(line, "\"x\"");
		}
	}
	add_random_members(line, r);
	buf_add_char(line, '}');
}

static void test_random_jobs_are_read_as_they_were_written(void)
{
	struct random r = seeded();
	struct job_maker m;
	struct buf line = { 0 }, text = { 0 };

	job_maker_init(&m);
	for (int i = 0; i < 20000 / UNIT_STRIDE; i++) {
		struct job *job = NULL;
		random_line(&line, &r);
		if (try_bytes(&m, line.data, line.len, &job) < 0)
			(void) printf("\n%.*s: %s\n", (int) line.len, line.data, m.why.data);
		CU_ASSERT_PTR_NOT_NULL_FATAL(job);
		expect_round_trip(&m, job, &text);
		if (line.data[0] != '{') {
			CU_ASSERT_EQUAL(text.len, line.len);
			CU_ASSERT_EQUAL(memcmp(text.data, line.data, line.len), 0);
		}
		job_free(job);
	}
	buf_done(&line);
	buf_done(&text);
	job_maker_done(&m);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "a job is written in one form", test_a_job_is_written_in_one_form },
		{ "a URL keeps its bytes", test_a_url_keeps_its_bytes },
		{ "a URL that would be read otherwise is written as JSON",
		  test_a_url_that_would_be_read_otherwise_is_written_as_json },
		{ "a line is appended", test_a_line_is_appended },
		{ "lines are equal if and only if jobs are",
		  test_lines_are_equal_if_and_only_if_jobs_are },
		{ "random jobs are read as they were written",
		  test_random_jobs_are_read_as_they_were_written },
		CU_TEST_INFO_NULL,
	};
	return unit_run("job_write", tests);
}
