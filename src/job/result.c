/* SPDX-License-Identifier: Apache-2.0 */
#include "job/result.h"

#include "base/clock.h"

#include <string.h>

void response_clear(struct response *response)
{
	const struct response empty = {
		.error = response->error,
		.effective = response->effective,
		.content_type = response->content_type,
		.headers = response->headers,
		.next_text = response->next_text,
	};

	*response = empty;
	buf_clear(&response->error);
	buf_clear(&response->effective);
	buf_clear(&response->content_type);
	buf_clear(&response->headers);
	buf_clear(&response->next_text);
}

void response_done(struct response *response)
{
	buf_done(&response->error);
	buf_done(&response->effective);
	buf_done(&response->content_type);
	buf_done(&response->headers);
	buf_done(&response->next_text);
	*response = (struct response) { 0 };
}

/* 'name' is a member's name as it stands in the text: "\"id\":". */
static inline void add_str(struct buf *b, const char *name, const char *value)
{
	buf_add_str(b, name);
	buf_add_json_str(b, value && *value != '\0' ? value : NULL);
}

static inline void add_buf(struct buf *b, const char *name, const struct buf *value)
{
	buf_add_str(b, name);
	if (value->len > 0)
		buf_add_json(b, value->data, value->len);
	else
		buf_add_str(b, "null");
}

static void add_url(struct buf *b, const char *name, const char *url, size_t n)
{
	buf_add_str(b, name);
	if (n > 0)
		url_add_json_redacted(b, url, n);
	else
		buf_add_str(b, "null");
}

static inline void add_number(struct buf *b, const char *name, uint64_t value)
{
	buf_add_str(b, name);
	buf_add_u64(b, value);
}

static inline void add_seconds(struct buf *b, const char *name, uint64_t us)
{
	buf_add_str(b, name);
	buf_add_seconds(b, us);
}

static inline void add_time(struct buf *b, const char *name, int64_t wall_us)
{
	char text[CLOCK_TEXT_SIZE];

	buf_add_str(b, name);
	if (wall_us == 0) {
		buf_add_str(b, "null");
		return;
	}
	clock_format(wall_us, text);
	buf_add_char(b, '"');
	buf_add_str(b, text);
	buf_add_char(b, '"');
}

/* The forms that curl's %{http_version} has. */
static const char *version_text(long version)
{
	switch (version) {
	case 10:
		return "1.0";
	case 11:
		return "1.1";
	case 20:
		return "2";
	case 30:
		return "3";
	default:
		return NULL;
	}
}

static void add_id(struct buf *b, const struct job *job)
{
	if (job->id) {
		add_str(b, "\"id\":", job->id);
		return;
	}
	buf_add_str(b, "\"id\":\"");
	job_add_id(job, b);
	buf_add_char(b, '"');
}

static void add_tls(struct buf *b, const struct response_tls *tls)
{
	add_str(b, ",\"tls\":{\"version\":", tls->version);
	add_str(b, ",\"cipher\":", tls->cipher);
	buf_add_str(b, tls->verified ? ",\"verified\":true" : ",\"verified\":false");
	add_time(b, ",\"expires_at\":", tls->expires_wall_us);
	buf_add_char(b, '}');
}

/* What is not UTF-8 is taken for ISO-8859-1, as it once was (RFC 9110, section 5.5), so that
 * no byte is lost. */
static void add_field_value(struct buf *b, const char *value)
{
	struct buf text = { 0 };
	size_t n = strlen(value);

	if (buf_is_utf8(value, n)) {
		buf_add_json(b, value, n);
		return;
	}
	for (const unsigned char *p = (const unsigned char *) value; *p != '\0'; p++) {
		if (*p < 0x80)
			buf_add_char(&text, (char) *p);
		else
			buf_add(&text, (char[]) { (char) (0xc0 | *p >> 6), (char) (0x80 | (*p & 0x3f)) }, 2);
	}
	buf_add_json(b, text.data, text.len);
	b->failed = b->failed || text.failed;
	buf_done(&text);
}

/* Where the first, or the next, of the headers stands; its value is behind its name. */
static const char *value_of(const char *name) { return name + strlen(name) + 1; }
static const char *behind(const char *name) { return value_of(name) + strlen(value_of(name)) + 1; }

static bool has_been(const struct response *r, const char *name)
{
	const char *at = r->headers.data;

	while (at < name && strcmp(at, name) != 0)
		at = behind(at);
	return at < name;
}

/* All values of a name together, where it stands first, as in curl's %{header_json}. */
static void add_headers(struct buf *b, const struct response *r)
{
	const char *end = r->n_headers > 0 ? r->headers.data + r->headers.len : NULL;

	buf_add_str(b, ",\"headers\":{");
	for (const char *name = r->headers.data; end && name < end; name = behind(name)) {
		if (has_been(r, name))
			continue;
		if (name > r->headers.data)
			buf_add_char(b, ',');
		buf_add_json_str(b, name);
		buf_add_str(b, ":[");
		add_field_value(b, value_of(name));
		for (const char *at = behind(name); at < end; at = behind(at)) {
			if (strcmp(at, name) == 0) {
				buf_add_char(b, ',');
				add_field_value(b, value_of(at));
			}
		}
		buf_add_char(b, ']');
	}
	buf_add_str(b, r->headers_truncated ? "},\"headers_truncated\":true" : "}");
}

static void add_response(struct buf *b, const struct response *r)
{
	add_url(b, ",\"url_effective\":", r->effective.data, r->effective.len);
	add_number(b, ",\"response_code\":", (uint64_t) r->status);
	add_str(b, ",\"http_version\":", version_text(r->http_version));
	add_buf(b, ",\"content_type\":", &r->content_type);
	add_str(b, ",\"remote_ip\":", r->remote_ip);
	add_number(b, ",\"num_redirects\":", r->redirects);
	add_number(b, ",\"size_download\":", r->download_bytes);
	add_number(b, ",\"size_upload\":", r->upload_bytes);
	add_number(b, ",\"size_header\":", r->header_bytes);
	add_number(b, ",\"size_request\":", r->request_bytes);
	add_seconds(b, ",\"time_namelookup\":", r->namelookup_us);
	add_seconds(b, ",\"time_connect\":", r->connect_us);
	add_seconds(b, ",\"time_appconnect\":", r->appconnect_us);
	add_seconds(b, ",\"time_pretransfer\":", r->pretransfer_us);
	add_seconds(b, ",\"time_starttransfer\":", r->starttransfer_us);
	add_seconds(b, ",\"time_redirect\":", r->redirect_us);
	add_seconds(b, ",\"time_total\":", r->total_us);
	add_number(b, ",\"exitcode\":", (uint64_t) r->curl_code);
	add_buf(b, ",\"errormsg\":", &r->error);
}

const char *outcome_name(enum outcome outcome)
{
	static const char *const names[OUTCOMES] = {
		[OUTCOME_DONE] = "done",
		[OUTCOME_DEAD] = "dead",
		[OUTCOME_CANCELLED] = "cancelled",
	};
	return names[outcome];
}

void result_add_members(const struct result *result, struct buf *b)
{
	const struct job *job = result->job;

	add_id(b, job);
	add_str(b, ",\"outcome\":", outcome_name(result->outcome));
	add_str(b, ",\"reason\":", result->reason);
	add_url(b, ",\"url\":", job->url, strlen(job->url));
	add_str(b, ",\"method\":", job_method(job));
	add_response(b, result->response);
	add_number(b, ",\"attempts\":", job->attempts);
	add_seconds(b, ",\"time_queued\":", result->queued_us);
	add_time(b, ",\"accepted_at\":", job->accepted_wall_us);
	add_time(b, ",\"started_at\":", result->started_wall_us);
	add_time(b, ",\"finished_at\":", result->finished_wall_us);
	add_str(b, ",\"source\":", job->source);
	if (result->response->tls.version[0] != '\0')
		add_tls(b, &result->response->tls);
	if (result->response->n_headers > 0 || result->response->headers_truncated)
		add_headers(b, result->response);
	if (job->extra && job->extra->requeued_from)
		add_str(b, ",\"requeued_from\":", job->extra->requeued_from);
	if (job->extra && job->extra->meta) {
		buf_add_str(b, ",\"meta\":");
		buf_add_str(b, job->extra->meta);
	}
	if (result->add_body) {
		buf_add_str(b, ",\"body\":");
		result->add_body(result->body, b);
	}
	buf_add_str(b, "}\n");
}
