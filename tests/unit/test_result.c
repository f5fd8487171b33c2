/* SPDX-License-Identifier: Apache-2.0 */
/* result.h: the line of the results log is what jansson would make of the same result. */
#include "job/result.h"

#include "seed.h"
#include "unit.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* Every member that all lines have, in the order in which it stands there. */
static const char *const members[] = {
	"seq",
	"id",
	"outcome",
	"reason",
	"url",
	"method",
	"url_effective",
	"response_code",
	"http_version",
	"content_type",
	"remote_ip",
	"num_redirects",
	"size_download",
	"size_upload",
	"size_header",
	"size_request",
	"time_namelookup",
	"time_connect",
	"time_appconnect",
	"time_pretransfer",
	"time_starttransfer",
	"time_redirect",
	"time_total",
	"exitcode",
	"errormsg",
	"attempts",
	"time_queued",
	"accepted_at",
	"started_at",
	"finished_at",
	"source",
};

/* And those that only some lines have, behind them. */
static const char *const more_members[] = {
	"tls", "headers", "headers_truncated", "requeued_from", "meta",
};

static const char *const outcomes[OUTCOMES] = { "done", "dead", "cancelled" };

/* --- what jansson would make --------------------------------------------------------- */

/* Null for nothing; U+FFFD for each byte that jansson does not take for text. */
static json_t *as_text(const char *text, size_t n)
{
	char repaired[4096];
	size_t len = 0;

	for (size_t i = 0; i < n;) {
		json_t *one = NULL;
		size_t size = 0;
		while (!one && ++size <= 4 && i + size <= n)
			one = json_stringn(text + i, size);
		memcpy(repaired + len, one ? text + i : "\xef\xbf\xbd", one ? size : 3);
		len += one ? size : 3;
		i += one ? size : 1;
		json_decref(one);
	}
	return n > 0 ? json_stringn(repaired, len) : json_null();
}

static json_t *as_string(const char *text)
{
	return text ? as_text(text, strlen(text)) : json_null();
}

static json_t *as_buf(const struct buf *b) { return as_text(b->data, b->len); }
static json_t *as_number(uint64_t value) { return json_integer((json_int_t) value); }
static json_t *as_seconds(uint64_t us) { return json_real((double) us / 1e6); }

static json_t *as_time(int64_t wall_us)
{
	char date[32];
	time_t s = (time_t) (wall_us / 1000000);

	if (wall_us == 0)
		return json_null();

	(void) strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", gmtime(&s));
	return json_sprintf("%s.%06dZ", date, (int) (wall_us % 1000000));
}

static json_t *as_version(long version)
{
	return version == 10   ? json_string("1.0")
	       : version == 11 ? json_string("1.1")
	       : version == 20 ? json_string("2")
	       : version == 30 ? json_string("3")
	                       : json_null();
}

static json_t *as_id(const struct job *job)
{
	return job->id ? as_string(job->id)
	               : json_sprintf("p-%llu", (unsigned long long) job->number);
}

static json_t *as_tls(const struct response_tls *tls)
{
	return json_pack("{s:s, s:o, s:b, s:o}", "version", tls->version, "cipher",
	                 as_string(*tls->cipher != '\0' ? tls->cipher : NULL), "verified",
	                 (int) tls->verified, "expires_at", as_time(tls->expires_wall_us));
}

/* As it is, or as if all of it were ISO-8859-1. */
static json_t *as_field_value(const char *value)
{
	char text[4096];
	size_t len = 0;
	json_t *whole = json_string(value);

	if (whole)
		return whole;
	for (; *value != '\0'; value++) {
		unsigned c = (unsigned char) *value;
		if (c >= 0x80)
			text[len++] = (char) (c < 0xc0 ? 0xc2 : 0xc3);
		text[len++] = (char) (c < 0xc0 ? c : c - 0x40);
	}
	return json_stringn(text, len);
}

static json_t *as_headers(const struct response *r)
{
	json_t *o = json_object();
	const char *at = r->headers.data;

	for (size_t i = 0; i < r->n_headers; i++) {
		const char *name = at, *value = name + strlen(name) + 1;
		json_t *values = json_object_get(o, name);
		if (!values) {
			values = json_array();
			(void) json_object_set_new(o, name, values);
		}
		(void) json_array_append_new(values, as_field_value(value));
		at = value + strlen(value) + 1;
	}
	return o;
}

static json_t *expected_object(const struct result *result)
{
	const struct job *job = result->job;
	const struct response *r = result->response;
	json_t *o = json_object();

	(void) json_object_set_new(o, "seq", json_integer(1));
	(void) json_object_set_new(o, "id", as_id(job));
	(void) json_object_set_new(o, "outcome",
	                           json_string(outcomes[result->outcome]));
	(void) json_object_set_new(o, "reason", as_string(result->reason));
	(void) json_object_set_new(o, "url", as_string(job->url));
	(void) json_object_set_new(o, "method", as_string(job_method(job)));
	(void) json_object_set_new(o, "url_effective", as_buf(&r->effective));
	(void) json_object_set_new(o, "response_code", json_integer(r->status));
	(void) json_object_set_new(o, "http_version", as_version(r->http_version));
	(void) json_object_set_new(o, "content_type", as_buf(&r->content_type));
	(void) json_object_set_new(o, "remote_ip", as_string(r->remote_ip));
	(void) json_object_set_new(o, "num_redirects", as_number(r->redirects));
	(void) json_object_set_new(o, "size_download", as_number(r->download_bytes));
	(void) json_object_set_new(o, "size_upload", as_number(r->upload_bytes));
	(void) json_object_set_new(o, "size_header", as_number(r->header_bytes));
	(void) json_object_set_new(o, "size_request", as_number(r->request_bytes));
	(void) json_object_set_new(o, "time_namelookup", as_seconds(r->namelookup_us));
	(void) json_object_set_new(o, "time_connect", as_seconds(r->connect_us));
	(void) json_object_set_new(o, "time_appconnect", as_seconds(r->appconnect_us));
	(void) json_object_set_new(o, "time_pretransfer", as_seconds(r->pretransfer_us));
	(void) json_object_set_new(o, "time_starttransfer", as_seconds(r->starttransfer_us));
	(void) json_object_set_new(o, "time_redirect", as_seconds(r->redirect_us));
	(void) json_object_set_new(o, "time_total", as_seconds(r->total_us));
	(void) json_object_set_new(o, "exitcode", json_integer(r->curl_code));
	(void) json_object_set_new(o, "errormsg", as_buf(&r->error));
	(void) json_object_set_new(o, "attempts", as_number(job->attempts));
	(void) json_object_set_new(o, "time_queued", as_seconds(result->queued_us));
	(void) json_object_set_new(o, "accepted_at", as_time(job->accepted_wall_us));
	(void) json_object_set_new(o, "started_at", as_time(result->started_wall_us));
	(void) json_object_set_new(o, "finished_at", as_time(result->finished_wall_us));
	(void) json_object_set_new(o, "source", as_string(job->source));
	if (*r->tls.version != '\0')
		(void) json_object_set_new(o, "tls", as_tls(&r->tls));
	if (r->n_headers > 0 || r->headers_truncated)
		(void) json_object_set_new(o, "headers", as_headers(r));
	if (r->headers_truncated)
		(void) json_object_set_new(o, "headers_truncated", json_true());
	if (job->extra && job->extra->requeued_from)
		(void) json_object_set_new(o, "requeued_from",
		                           as_string(job->extra->requeued_from));
	if (job->extra && job->extra->meta)
		(void) json_object_set_new(o, "meta",
		                           json_loads(job->extra->meta, JSON_DECODE_ANY, NULL));
	return o;
}

/* --- comparing ------------------------------------------------------------------------- */

static json_t *line_as_json(const struct result *result)
{
	struct buf b = { 0 };
	json_error_t error;

	buf_add_str(&b, "{\"seq\":1,");
	result_add_members(result, &b);
	CU_ASSERT_FALSE_FATAL(b.failed);

	/* One line: its only line feed is its end. */
	CU_ASSERT_PTR_EQUAL(memchr(b.data, '\n', b.len), b.data + b.len - 1);
	json_t *json = json_loadb(b.data, b.len, JSON_REJECT_DUPLICATES, &error);
	if (!json)
		(void) printf("\n%s: %.*s", error.text, (int) b.len, b.data);
	CU_ASSERT_PTR_NOT_NULL_FATAL(json);
	buf_done(&b);
	return json;
}

/* Seconds were divided here and read as decimals there: to the last place of a double. */
static bool equal(const json_t *a, const json_t *b)
{
	if (json_is_real(a) && json_is_real(b))
		return fabs(json_real_value(a) - json_real_value(b)) <=
		       1e-15 * fabs(json_real_value(b));
	return json_equal(a, b);
}

static void expect_equal(const struct result *result)
{
	json_t *line = line_as_json(result), *expected = expected_object(result), *value = NULL;
	const char *name = NULL;
	size_t n = 0, more = 0;

	json_object_foreach(line, name, value)
	{
		if (!equal(value, json_object_get(expected, name))) {
			(void) printf("\ndiffers: %s ", name);
			CU_FAIL("a member differs");
		}
		if (n < ARRAY_LEN(members)) {
			CU_ASSERT_STRING_EQUAL(name, members[n]);
		} else {
			while (more < ARRAY_LEN(more_members) &&
			       strcmp(name, more_members[more]) != 0)
				more++;
			CU_ASSERT_TRUE(more < ARRAY_LEN(more_members));
		}
		n++;
	}
	CU_ASSERT_EQUAL(n, json_object_size(expected));
	CU_ASSERT_TRUE(n >= ARRAY_LEN(members));
	json_decref(line);
	json_decref(expected);
}

static void add_header(struct response *r, const char *name, const char *value)
{
	buf_add(&r->headers, name, strlen(name) + 1);
	buf_add(&r->headers, value, strlen(value) + 1);
	r->n_headers++;
}

/* --- the tests ------------------------------------------------------------------------- */

static void test_a_full_result_has_every_member(void)
{
	static const char line[] =
	        "\"id\":\"my\\\"id\",\"outcome\":\"dead\",\"reason\":\"http 503\","
	        "\"url\":\"http://a/\",\"method\":\"PUT\",\"url_effective\":\"http://a/b\","
	        "\"response_code\":503,\"http_version\":\"1.1\",\"content_type\":\"text/plain\","
	        "\"remote_ip\":\"127.0.0.1\",\"num_redirects\":2,\"size_download\":1234,"
	        "\"size_upload\":77,\"size_header\":300,\"size_request\":88,"
	        "\"time_namelookup\":0.000001,\"time_connect\":0.000020,"
	        "\"time_appconnect\":0.000300,"
	        "\"time_pretransfer\":0.003000,\"time_starttransfer\":0.004000,"
	        "\"time_redirect\":0.000002,\"time_total\":12.345678,\"exitcode\":0,"
	        "\"errormsg\":\"none\",\"attempts\":5,\"time_queued\":1.500000,"
	        "\"accepted_at\":\"1970-01-01T00:00:01.000001Z\","
	        "\"started_at\":\"1970-01-01T00:00:02.000002Z\","
	        "\"finished_at\":\"1970-01-01T00:00:03.000003Z\",\"source\":\"urls.txt\","
	        "\"tls\":{\"version\":\"TLSv1.3\",\"cipher\":\"X\","
	        "\"verified\":true,\"expires_at\":\"1970-01-01T00:00:04.000000Z\"},"
	        "\"headers\":{\"etag\":[\"\\\"1\\\"\"],\"set-cookie\":[\"a=1\",\"b=\xc2\xa7\"]},"
	        "\"headers_truncated\":true,"
	        "\"requeued_from\":\"p-\\\"3\",\"meta\":{\"a\":[1,2]}}\n";
	const struct job_extra extra = { .method = "PUT",
		                         .meta = "{\"a\":[1,2]}",
		                         .requeued_from = "p-\"3" };
	const struct job job = { .url = "http://a/",
		                 .id = "my\"id",
		                 .extra = &extra,
		                 .source = "urls.txt",
		                 .number = 7,
		                 .attempts = 5,
		                 .accepted_wall_us = 1000001 };
	struct response r = { .status = 503,
		              .http_version = 11,
		              .remote_ip = "127.0.0.1",
		              .redirects = 2,
		              .body_bytes = 9999,
		              .download_bytes = 1234,
		              .upload_bytes = 77,
		              .header_bytes = 300,
		              .request_bytes = 88,
		              .tls = { .version = "TLSv1.3",
		                       .cipher = "X",
		                       .verified = true,
		                       .expires_wall_us = 4000000 },
		              .headers_truncated = true,
		              .namelookup_us = 1,
		              .connect_us = 20,
		              .appconnect_us = 300,
		              .pretransfer_us = 3000,
		              .starttransfer_us = 4000,
		              .redirect_us = 2,
		              .total_us = 12345678 };
	const struct result result = { .job = &job,
		                       .outcome = OUTCOME_DEAD,
		                       .reason = "http 503",
		                       .response = &r,
		                       .started_wall_us = 2000002,
		                       .finished_wall_us = 3000003,
		                       .queued_us = 1500000 };
	struct buf b = { 0 };

	buf_add_str(&r.effective, "http://a/b");
	buf_add_str(&r.content_type, "text/plain");
	buf_add_str(&r.error, "none");
	add_header(&r, "etag", "\"1\"");
	add_header(&r, "set-cookie", "a=1");
	add_header(&r, "set-cookie", "b=\xa7");
	result_add_members(&result, &b);
	CU_ASSERT_EQUAL(b.len, strlen(line));
	CU_ASSERT_EQUAL(strncmp(b.data, line, b.len), 0);
	expect_equal(&result);
	buf_done(&b);
	response_done(&r);
}

static void test_users_and_passwords_are_not_shown(void)
{
	const struct job job = { .url = "http://user:secret@a/?q=kept", .number = 1 };
	struct response response = { 0 };
	struct buf b = { 0 };

	buf_add_str(&response.effective, "http://token@a/b");
	result_add_members(&(struct result) { .job = &job, .response = &response }, &b);
	buf_add_char(&b, '\0');
	CU_ASSERT_PTR_NOT_NULL(strstr(b.data, "\"url\":\"http://***@a/?q=kept\""));
	CU_ASSERT_PTR_NOT_NULL(strstr(b.data, "\"url_effective\":\"http://***@a/b\""));
	buf_done(&b);
	response_done(&response);
}

static void test_what_is_unknown_is_null_or_left_out(void)
{
	static const char *const nulls[] = { "reason",       "url_effective", "http_version",
		                             "content_type", "remote_ip",     "errormsg",
		                             "accepted_at",  "started_at",    "finished_at",
		                             "source" };
	const struct job job = { .url = "http://a/", .number = 42 };
	const struct response response = { 0 };
	const struct result result = { .job = &job, .response = &response };

	json_t *line = line_as_json(&result);
	for (size_t i = 0; i < ARRAY_LEN(nulls); i++)
		CU_ASSERT_TRUE(json_is_null(json_object_get(line, nulls[i])));
	CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(line, "id")), "p-42");
	CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(line, "outcome")), "done");
	CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(line, "method")), "GET");
	CU_ASSERT_PTR_NULL(json_object_get(line, "meta"));
	CU_ASSERT_PTR_NULL(json_object_get(line, "requeued_from"));
	json_decref(line);
	expect_equal(&result);
}

static void test_a_response_can_be_used_again(void)
{
	struct response r = { .status = 200, .complete = true, .reason = "x", .remote_ip = "::1" };

	buf_add_str(&r.error, "error");
	buf_add_str(&r.effective, "effective");
	buf_add_str(&r.content_type, "type");
	const char *memory = r.effective.data;
	response_clear(&r);
	CU_ASSERT_EQUAL(r.status, 0);
	CU_ASSERT_FALSE(r.complete);
	CU_ASSERT_STRING_EQUAL(r.reason, "");
	CU_ASSERT_STRING_EQUAL(r.remote_ip, "");
	CU_ASSERT_EQUAL(r.error.len + r.effective.len + r.content_type.len, 0);
	CU_ASSERT_PTR_EQUAL(r.effective.data, memory);
	response_done(&r);
	CU_ASSERT_PTR_NULL(r.effective.data);
	response_done(&r);
}

/* Random text without NUL bytes, often no UTF-8, sometimes empty. */
/* What looks like a user is not shown as it is; that is another test's matter. */
static void replace_at(char *text, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (text[i] == '@')
			text[i] = 'a';
}

static void random_text(struct random *r, char *text, size_t size)
{
	static const char *const pieces[] = {
		"\xc3\xa4", "\xf0\x9f\x98\x80", "\xed\xa0\x80", "\"", "\\", "/", "\n", "\xff",
		"plain",    "\xe2\x82",         "\x7f"
	};
	size_t len = 0;

	for (size_t n = below(r, 20); n > 0; n--) {
		char byte[] = { (char) (1 + random_up_to(r, 254)), '\0' };
		const char *piece = below(r, 2) ? pieces[below(r, ARRAY_LEN(pieces))] : byte;
		if (len + strlen(piece) >= size)
			break;
		memcpy(text + len, piece, strlen(piece));
		len += strlen(piece);
	}
	text[len] = '\0';
}

/* Below 2^63 (jansson's integers), of any magnitude. */
static uint64_t random_number(struct random *r)
{
	return random_up_to(r, INT64_MAX) >> below(r, 63);
}

/* Below what a double holds to the microsecond. */
static uint64_t random_us(struct random *r)
{
	return random_up_to(r, UINT64_C(1) << 52) >> below(r, 52);
}

static void random_buf(struct random *r, struct buf *b)
{
	char text[64];

	random_text(r, text, sizeof(text));
	buf_add_str(b, text);
	if (below(r, 8) == 0)
		buf_add_str(b, "end");
}

static void random_tls(struct random *r, struct response_tls *tls)
{
	static const char *const versions[] = { "", "TLSv1.2", "TLSv1.3" };
	static const char *const ciphers[] = { "", "TLS_AES_256_GCM_SHA384" };

	(void) snprintf(tls->version, sizeof(tls->version), "%s", versions[below(r, 3)]);
	(void) snprintf(tls->cipher, sizeof(tls->cipher), "%s", ciphers[below(r, 2)]);
	tls->verified = below(r, 2);
	tls->expires_wall_us = below(r, 4) ? (int64_t) random_up_to(r, UINT64_C(1) << 50) : 0;
}

static void random_headers(struct random *r, struct response *response)
{
	static const char *const names[] = { "etag", "set-cookie", "x-a", "x-b" };
	char value[64];

	for (size_t n = below(r, 2) * below(r, 8); n > 0; n--) {
		random_text(r, value, sizeof(value));
		add_header(response, names[below(r, ARRAY_LEN(names))], value);
	}
	response->headers_truncated = below(r, 4) == 0;
}

static void random_response(struct random *r, struct response *response)
{
	static const long versions[] = { 0, 10, 11, 20, 30, 99 };

	response_clear(response);
	response->status = (long) below(r, 1000);
	response->curl_code = (int) below(r, 100);
	response->http_version = versions[below(r, ARRAY_LEN(versions))];
	response->redirects = (unsigned) below(r, UINT32_MAX);
	response->body_bytes = random_number(r);
	response->download_bytes = random_number(r);
	response->upload_bytes = random_number(r);
	response->header_bytes = random_number(r);
	response->request_bytes = random_number(r);
	response->pretransfer_us = random_us(r);
	response->redirect_us = random_us(r);
	random_tls(r, &response->tls);
	random_headers(r, response);
	response->namelookup_us = random_us(r);
	response->connect_us = random_us(r);
	response->appconnect_us = random_us(r);
	response->starttransfer_us = random_us(r);
	response->total_us = random_us(r);
	random_text(r, response->remote_ip, sizeof(response->remote_ip));
	random_buf(r, &response->effective);
	replace_at(response->effective.data, response->effective.len);
	random_buf(r, &response->content_type);
	random_buf(r, &response->error);
}

static void test_random_results_equal_what_jansson_makes(void)
{
	static const char *const metas[] = { "null", "1", "[]",
		                             "{\"a\":{\"b\":[\"\xc3\xa4\\n\"]}}" };
	static const char *const methods[] = { NULL, "GET", "PATCH" };
	const uint64_t last_us = UINT64_C(253402300799999999); /* the year 9999 */
	struct random r = seeded();
	struct response response = { 0 };
	char id[80], url[80], source[80], reason[80], dead[80] = "p-";

	for (int i = 0; i < 3000 / UNIT_STRIDE; i++) {
		struct job_extra extra = { .method = methods[below(&r, ARRAY_LEN(methods))],
			                   .body = below(&r, 2) ? "x" : NULL,
			                   .meta = below(&r, 2) ? metas[below(&r, ARRAY_LEN(metas))]
			                                        : NULL,
			                   .requeued_from = below(&r, 2) ? dead : NULL };
		struct job job = { .url = url,
			           .id = below(&r, 2) ? id : NULL,
			           .extra = below(&r, 2) ? &extra : NULL,
			           .source = below(&r, 2) ? source : NULL,
			           .number = random_up_to(&r, UINT64_MAX),
			           .attempts = (uint32_t) random_up_to(&r, UINT32_MAX),
			           .accepted_wall_us = (int64_t) random_up_to(&r, last_us) };
		struct result result = { .job = &job,
			                 .outcome = (enum outcome) below(&r, OUTCOMES),
			                 .reason = below(&r, 2) ? reason : NULL,
			                 .response = &response,
			                 .started_wall_us = below(&r, 4) ? (int64_t) random_up_to(&r, last_us) : 0,
			                 .finished_wall_us = (int64_t) random_up_to(&r, last_us),
			                 .queued_us = random_us(&r) };
		random_text(&r, id, sizeof(id));
		random_text(&r, url, sizeof(url));
		replace_at(url, strlen(url));
		random_text(&r, source, sizeof(source));
		random_text(&r, reason, sizeof(reason));
		random_text(&r, dead + 2, sizeof(dead) - 2);
		random_response(&r, &response);
		expect_equal(&result);
	}
	response_done(&response);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "a full result has every member", test_a_full_result_has_every_member },
		{ "what is unknown is null or left out",
		  test_what_is_unknown_is_null_or_left_out },
		{ "users and passwords are not shown", test_users_and_passwords_are_not_shown },
		{ "a response can be used again", test_a_response_can_be_used_again },
		{ "random results equal what jansson makes",
		  test_random_results_equal_what_jansson_makes },
		CU_TEST_INFO_NULL,
	};
	return unit_run("result", tests);
}
