/* SPDX-License-Identifier: Apache-2.0 */
/* job.h: what a line means, what may be tried again, and lists.  What is wrong with a
 * JSON job is in test_job_refusals.c. */
#include "job/job.h"

#include "job_maker.h"

#include <errno.h>

#define LONG_URL_BYTES 2000

static void test_a_plain_url_is_a_job(void)
{
	struct job_maker m;

	job_maker_init(&m);
	struct job *job = make_job(&m, "HTTP://Example.com/a?b#c");
	CU_ASSERT_STRING_EQUAL(job->url, "HTTP://Example.com/a?b#c");
	CU_ASSERT_STRING_EQUAL(job->origin.text, "http://example.com:80");
	CU_ASSERT_STRING_EQUAL(job->origin.host, "example.com");
	CU_ASSERT_EQUAL(job->origin.port, 80);
	CU_ASSERT_FALSE(job->origin.tls);
	CU_ASSERT_PTR_NULL(job->extra);
	CU_ASSERT_PTR_NULL(job->id);
	CU_ASSERT_STRING_EQUAL(job_method(job), "GET");
	CU_ASSERT_EQUAL(job_priority(job), JOB_PRIORITY_NORMAL);
	CU_ASSERT_EQUAL(job_not_before(job), 0);
	CU_ASSERT_EQUAL(job_deadline(job), 0);

	/* Nothing has happened to it yet. */
	CU_ASSERT_PTR_NULL(job->next);
	CU_ASSERT_PTR_NULL(job->source);
	CU_ASSERT_EQUAL(job->number, 0);
	CU_ASSERT_EQUAL(job->attempts, 0);
	CU_ASSERT_EQUAL(job->due_ns, 0);
	CU_ASSERT_PTR_NULL(job_free(job));
	CU_ASSERT_PTR_NULL(job_free(NULL));
	job_maker_done(&m);
}

static void test_blanks_around_a_line_are_ignored(void)
{
	struct job_maker m;

	job_maker_init(&m);
	struct job *plain = make_job(&m, " \t\r\n http://a/ \r\n\t");
	struct job *json = make_job(&m, "\t {\"url\":\"http://a/\"} \r\n");
	CU_ASSERT_STRING_EQUAL(plain->url, "http://a/");
	CU_ASSERT_STRING_EQUAL(json->url, "http://a/");
	CU_ASSERT_PTR_NULL(json->extra);
	CU_ASSERT_EQUAL(plain->bytes, json->bytes);
	job_free(plain);
	job_free(json);

	refuse_line(&m, "", -EINVAL, "an empty line is no job");
	refuse_line(&m, " \t\r\n", -EINVAL, "an empty line is no job");
	job_maker_done(&m);
}

static void test_a_json_job_may_say_everything(void)
{
	static const char line[] =
	        "{\"url\":\"https://example.com:8443/x\",\"id\":\"my-1\",\"method\":\"patch\","
	        "\"headers\":{\"X-One\":\"1\",\"x-two\":\"a, b\",\"X-Empty\":\"\"},"
	        "\"body\":\"a\\u0000b\",\"timeout\":\"1.5s\",\"retry\":true,"
	        "\"meta\":{\"z\": [1, 2.5, null, true],  \"a\": \"\\u00e4\\n\"},"
	        "\"priority\":\"high\",\"not_before\":\"2026-11-23T17:04:05.25+02:00\","
	        "\"deadline\":\"2026-11-24T15:04:05Z\","
	        "\"requeued_from\":\"p-7\"}";
	static const char headers[] = "X-One: 1\0x-two: a, b\0X-Empty;\0";
	struct job_maker m;

	job_maker_init(&m);
	struct job *job = make_job(&m, line);
	CU_ASSERT_STRING_EQUAL(job->url, "https://example.com:8443/x");
	CU_ASSERT_STRING_EQUAL(job->origin.text, "https://example.com:8443");
	CU_ASSERT_TRUE(job->origin.tls);
	CU_ASSERT_STRING_EQUAL(job->id, "my-1");
	CU_ASSERT_PTR_NOT_NULL_FATAL(job->extra);
	CU_ASSERT_STRING_EQUAL(job->extra->method, "PATCH");
	CU_ASSERT_STRING_EQUAL(job_method(job), "PATCH");
	CU_ASSERT_EQUAL(job->extra->body_bytes, 3);
	CU_ASSERT_EQUAL(memcmp(job->extra->body, "a\0b", 3), 0);
	CU_ASSERT_EQUAL(memcmp(job->extra->headers, headers, sizeof(headers)), 0);
	CU_ASSERT_STRING_EQUAL(job->extra->meta, "{\"z\":[1,2.5,null,true],\"a\":\"\xc3\xa4\\n\"}");
	CU_ASSERT_EQUAL(job->extra->timeout_ns, UINT64_C(1500000000));
	CU_ASSERT_EQUAL(job->extra->retry, 1);
	CU_ASSERT_EQUAL(job_priority(job), JOB_PRIORITY_HIGH);
	CU_ASSERT_EQUAL(job_not_before(job), INT64_C(1795446245250000));
	CU_ASSERT_EQUAL(job_deadline(job), INT64_C(1795532645000000));
	CU_ASSERT_STRING_EQUAL(job->extra->requeued_from, "p-7");
	job_free(job);
	job_maker_done(&m);
}

static void test_meta_may_be_any_json_value(void)
{
	static const char *const values[] = {
		"null", "true",   "0",  "-9223372036854775808", "\"\"",
		"[]",   "[[{}]]", "{}", "\"a\\u0000b\""
	};
	struct job_maker m;
	char line[128];

	job_maker_init(&m);
	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		(void) snprintf(line, sizeof(line), "{\"meta\":%s,\"url\":\"http://a/\"}",
		                values[i]);
		struct job *job = make_job(&m, line);
		CU_ASSERT_PTR_NOT_NULL_FATAL(job->extra);
		CU_ASSERT_STRING_EQUAL(job->extra->meta, values[i]);
		job_free(job);
	}
	job_maker_done(&m);
}

static void test_the_method_follows_from_the_body(void)
{
	static const struct {
		const char *members;
		const char *method;
	} cases[] = {
		{ "", "GET" },
		{ ",\"body\":\"\"", "POST" },
		{ ",\"body\":\"x\"", "POST" },
		{ ",\"headers\":{}", "GET" },
		{ ",\"body\":\"x\",\"method\":\"get\"", "GET" },
		{ ",\"method\":\"Head\"", "HEAD" },
		{ ",\"method\":\"purge-all\"", "PURGE-ALL" },
	};
	struct job_maker m;
	char line[128];

	job_maker_init(&m);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		(void) snprintf(line, sizeof(line), "{\"url\":\"http://a/\"%s}", cases[i].members);
		struct job *job = make_job(&m, line);
		CU_ASSERT_STRING_EQUAL(job_method(job), cases[i].method);
		job_free(job);
	}
	job_maker_done(&m);
}

static void test_a_job_has_one_of_three_priorities(void)
{
	static const struct {
		const char *name;
		enum job_priority priority;
	} cases[] = {
		{ "high", JOB_PRIORITY_HIGH },
		{ "normal", JOB_PRIORITY_NORMAL },
		{ "low", JOB_PRIORITY_LOW },
	};
	struct job_maker m;
	char line[128];

	job_maker_init(&m);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		(void) snprintf(line, sizeof(line), "{\"url\":\"http://a/\",\"priority\":\"%s\"}",
		                cases[i].name);
		struct job *job = make_job(&m, line);
		CU_ASSERT_EQUAL(job_priority(job), cases[i].priority);
		CU_ASSERT_EQUAL(job_not_before(job), 0);
		job_free(job);
	}
	job_maker_done(&m);
}

static void test_a_time_before_1970_is_as_good_as_none(void)
{
	static const char *const times[] = { "1970-01-01T00:00:00Z", "1969-12-31T23:59:59.9Z",
		                             "0000-01-01T00:00:00Z" };
	struct job_maker m;
	char line[128];

	job_maker_init(&m);
	for (size_t i = 0; i < ARRAY_LEN(times); i++) {
		(void) snprintf(line, sizeof(line), "{\"url\":\"http://a/\",\"not_before\":\"%s\"}",
		                times[i]);
		struct job *job = make_job(&m, line);
		CU_ASSERT_EQUAL(job_not_before(job), 0);
		CU_ASSERT_PTR_NULL(job->extra);
		job_free(job);
	}
	job_maker_done(&m);
}

/* Whoever knows it for the same job later shall find it so. */
static void test_a_deadline_that_has_passed_is_one(void)
{
	static const struct {
		const char *text;
		int64_t wall_us;
	} cases[] = {
		{ "2020-01-01T00:00:00Z", INT64_C(1577836800000000) },
		{ "1970-01-01T00:00:00Z", 1 },
		{ "0000-01-01T00:00:00Z", 1 },
	};
	struct job_maker m;
	char line[128];

	job_maker_init(&m);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		(void) snprintf(line, sizeof(line), "{\"url\":\"http://a/\",\"deadline\":\"%s\"}",
		                cases[i].text);
		struct job *job = make_job(&m, line);
		CU_ASSERT_EQUAL(job_deadline(job), cases[i].wall_us);
		job_free(job);
	}
	job_maker_done(&m);
}

/* What goes without saying takes no memory. */
static void test_defaults_spelled_out_are_as_good_as_absent(void)
{
	static const char *const members[] = {
		"\"method\":\"get\"",      "\"retry\":true", "\"retry\":true,\"method\":\"GET\"",
		"\"priority\":\"normal\"", "\"headers\":{}"
	};
	struct job_maker m;
	char line[128];

	job_maker_init(&m);
	for (size_t i = 0; i < ARRAY_LEN(members); i++) {
		(void) snprintf(line, sizeof(line), "{\"url\":\"http://a/\",%s}", members[i]);
		struct job *job = make_job(&m, line);
		CU_ASSERT_PTR_NULL(job->extra);
		job_free(job);
	}

	struct job *post = make_job(&m, "{\"url\":\"http://a/\",\"method\":\"Post\",\"body\":\"\","
	                                "\"retry\":false}");
	CU_ASSERT_PTR_NULL(post->extra->method);
	CU_ASSERT_EQUAL(post->extra->retry, 0);
	CU_ASSERT_STRING_EQUAL(job_method(post), "POST");
	CU_ASSERT_FALSE(job_may_retry(post));
	job_free(post);
	job_maker_done(&m);
}

/* --- memory ---------------------------------------------------------------------------- */

/* Strings are in the job's own memory, so 'bytes' covers them. */
static bool owns(const struct job *job, const char *text, size_t size)
{
	uintptr_t start = (uintptr_t) job, at = (uintptr_t) text;
	return at >= start && at + size <= start + job->bytes;
}

static void test_a_job_counts_for_all_its_memory(void)
{
	static const char line[] =
	        "{\"url\":\"http://a/\",\"id\":\"i\",\"body\":\"body\",\"method\":\"PUT\","
	        "\"headers\":{\"A\":\"b\"},\"meta\":[1],\"requeued_from\":\"p-12\"}";
	struct job_maker m;

	job_maker_init(&m);
	struct job *job = make_job(&m, line);
	const struct job_extra *extra = job->extra;
	CU_ASSERT_TRUE(owns(job, job->url, sizeof("http://a/")));
	CU_ASSERT_TRUE(owns(job, job->origin.text, sizeof("http://a:80")));
	CU_ASSERT_TRUE(owns(job, job->origin.host, sizeof("a")));
	CU_ASSERT_TRUE(owns(job, job->id, sizeof("i")));
	CU_ASSERT_TRUE(owns(job, (const char *) extra, sizeof(*extra)));
	CU_ASSERT_TRUE(owns(job, extra->body, extra->body_bytes));
	CU_ASSERT_TRUE(owns(job, extra->method, sizeof("PUT")));
	CU_ASSERT_TRUE(owns(job, extra->headers, sizeof("A: b\0")));
	CU_ASSERT_TRUE(owns(job, extra->meta, sizeof("[1]")));
	CU_ASSERT_TRUE(owns(job, extra->requeued_from, sizeof("p-12")));

	/* It has what it needs and no more. */
	CU_ASSERT_EQUAL(job->bytes, sizeof(*job) + sizeof(*extra) + sizeof("http://a/") +
	                                    sizeof("http://a:80") + sizeof("a") + sizeof("i") + 4 +
	                                    sizeof("PUT") + sizeof("A: b\0") + sizeof("[1]") +
	                                    sizeof("p-12"));
	job_free(job);
	job_maker_done(&m);
}

static void test_a_longer_job_counts_for_more(void)
{
	char line[LONG_URL_BYTES + 1];
	struct job_maker m;

	job_maker_init(&m);
	struct job *small = make_job(&m, "http://a/x");
	CU_ASSERT_TRUE(small->bytes < 256);
	memset(line, 'x', LONG_URL_BYTES);
	memcpy(line, "http://a/", strlen("http://a/"));
	line[LONG_URL_BYTES] = '\0';
	struct job *large = make_job(&m, line);
	CU_ASSERT_STRING_EQUAL(large->url, line);
	CU_ASSERT_EQUAL(large->bytes - small->bytes, LONG_URL_BYTES - strlen("http://a/x"));
	job_free(small);
	job_free(large);
	job_maker_done(&m);
}

static void test_a_job_outlives_its_line_and_the_next_one(void)
{
	struct job_maker m;

	job_maker_init(&m);
	struct job *first = make_job(&m, "http://first.example/1");
	struct job *second = make_job(&m, "https://second.example/2");
	job_maker_done(&m);
	CU_ASSERT_STRING_EQUAL(first->url, "http://first.example/1");
	CU_ASSERT_STRING_EQUAL(first->origin.text, "http://first.example:80");
	CU_ASSERT_STRING_EQUAL(first->origin.host, "first.example");
	CU_ASSERT_STRING_EQUAL(second->origin.text, "https://second.example:443");
	job_free(first);
	job_free(second);
}

/* --- ids and attempts ------------------------------------------------------------------ */

static void expect_id(const struct job *job, const char *id)
{
	struct buf b = { 0 };

	buf_add_char(&b, '>');
	job_add_id(job, &b);
	buf_add_char(&b, '\0');
	CU_ASSERT_STRING_EQUAL(b.data + 1, id);
	CU_ASSERT_EQUAL(b.data[0], '>');
	buf_done(&b);
}

static void test_a_job_without_an_id_is_called_by_its_number(void)
{
	struct job_maker m;

	job_maker_init(&m);
	struct job *plain = make_job(&m, "http://a/");
	struct job *named = make_job(&m, "{\"url\":\"http://a/\",\"id\":\"P-1 \xc3\xa4\"}");
	plain->number = named->number = UINT64_MAX;
	expect_id(plain, "p-18446744073709551615");
	expect_id(named, "P-1 \xc3\xa4");
	job_free(plain);
	job_free(named);
	job_maker_done(&m);
}

static void test_only_idempotent_methods_are_tried_again_unasked(void)
{
	static const struct {
		const char *method;
		bool may_retry;
	} cases[] = {
		{ "GET", true },   { "head", true },   { "OPTIONS", true }, { "TRACE", true },
		{ "PUT", true },   { "delete", true }, { "POST", false },   { "PATCH", false },
		{ "LOCK", false }, { "GETX", false },  { "GE", false },
	};
	struct job_maker m;
	char line[128];

	job_maker_init(&m);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		for (int retry = -1; retry <= 1; retry++) {
			(void) snprintf(line, sizeof(line),
			                "{\"url\":\"http://a/\",\"method\":\"%s\"%s}",
			                cases[i].method,
			                retry == 0  ? ""
			                : retry > 0 ? ",\"retry\":true"
			                            : ",\"retry\":false");
			struct job *job = make_job(&m, line);
			CU_ASSERT_EQUAL(job_may_retry(job),
			                retry == 0 ? cases[i].may_retry : retry > 0);
			job_free(job);
		}
	}
	struct job *plain = make_job(&m, "http://a/");
	struct job *post = make_job(&m, "{\"url\":\"http://a/\",\"body\":\"\"}");
	CU_ASSERT_TRUE(job_may_retry(plain));
	CU_ASSERT_FALSE(job_may_retry(post));
	job_free(plain);
	job_free(post);
	job_maker_done(&m);
}

/* --- lists ----------------------------------------------------------------------------- */

static void test_a_list_is_first_in_first_out(void)
{
	struct job jobs[4] = { { .number = 0 }, { .number = 1 }, { .number = 2 }, { .number = 3 } };
	struct job_list list = { 0 };

	CU_ASSERT_PTR_NULL(job_list_take(&list));
	for (int round = 0; round < 2; round++) {
		job_list_append(&list, &jobs[1]);
		job_list_append(&list, &jobs[2]);
		job_list_prepend(&list, &jobs[0]);
		job_list_append(&list, &jobs[3]);
		CU_ASSERT_EQUAL(list.len, 4);
		for (size_t i = 0; i < ARRAY_LEN(jobs); i++) {
			CU_ASSERT_PTR_EQUAL(job_list_take(&list), &jobs[i]);
			CU_ASSERT_PTR_NULL(jobs[i].next);
			CU_ASSERT_EQUAL(list.len, 3 - i);
		}
		CU_ASSERT_PTR_NULL(job_list_take(&list));
		CU_ASSERT_EQUAL(list.len, 0);
	}

	/* A first job may also come from the front. */
	job_list_prepend(&list, &jobs[0]);
	job_list_append(&list, &jobs[1]);
	CU_ASSERT_PTR_EQUAL(job_list_take(&list), &jobs[0]);
	CU_ASSERT_PTR_EQUAL(job_list_take(&list), &jobs[1]);
	CU_ASSERT_PTR_NULL(job_list_take(&list));
}

static void test_a_list_frees_its_jobs(void)
{
	struct job_list list = { 0 };
	struct job_maker m;

	job_maker_init(&m);
	for (int i = 0; i < 10; i++)
		job_list_append(&list, make_job(&m, "http://a/")); /* a leak checker looks on */
	job_list_done(&list);
	CU_ASSERT_EQUAL(list.len, 0);
	CU_ASSERT_PTR_NULL(list.first);
	CU_ASSERT_PTR_NULL(list.last);
	job_list_done(&list);
	job_maker_done(&m);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "a plain URL is a job", test_a_plain_url_is_a_job },
		{ "blanks around a line are ignored", test_blanks_around_a_line_are_ignored },
		{ "a JSON job may say everything", test_a_json_job_may_say_everything },
		{ "meta may be any JSON value", test_meta_may_be_any_json_value },
		{ "the method follows from the body", test_the_method_follows_from_the_body },
		{ "a job has one of three priorities", test_a_job_has_one_of_three_priorities },
		{ "a deadline that has passed is one", test_a_deadline_that_has_passed_is_one },
		{ "a time before 1970 is as good as none",
		  test_a_time_before_1970_is_as_good_as_none },
		{ "defaults spelled out are as good as absent",
		  test_defaults_spelled_out_are_as_good_as_absent },
		{ "a job counts for all its memory", test_a_job_counts_for_all_its_memory },
		{ "a longer job counts for more", test_a_longer_job_counts_for_more },
		{ "a job outlives its line and the next one",
		  test_a_job_outlives_its_line_and_the_next_one },
		{ "a job without an id is called by its number",
		  test_a_job_without_an_id_is_called_by_its_number },
		{ "only idempotent methods are tried again unasked",
		  test_only_idempotent_methods_are_tried_again_unasked },
		{ "a list is first in, first out", test_a_list_is_first_in_first_out },
		{ "a list frees its jobs", test_a_list_frees_its_jobs },
		CU_TEST_INFO_NULL,
	};
	return unit_run("job", tests);
}
