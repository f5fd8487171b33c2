/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs to lines. */
#include "job/job.h"

#include "base/base64.h"
#include "base/clock.h"
#include "base/units.h"

#include <string.h>

/* Whether job_parse() reads 'url', as a line, as that URL. */
static bool is_line(const char *url)
{
	return !strchr("{ \t\r\n", *url) && !strchr(" \t\r\n", url[strlen(url) - 1]);
}

/* 'name' is a member's name as it stands in the text: ",\"id\":". */
static void add_str(struct buf *b, const char *name, const char *value)
{
	if (value) {
		buf_add_str(b, name);
		buf_add_json_str(b, value);
	}
}

/* Whether the field of this header is that of the one before, which stands right before it:
 * a list has brought them. */
static bool goes_on(const char *before, const char *header, size_t name_len)
{
	return before && strncmp(before, header, name_len) == 0 &&
	       (before[name_len] == ':' || before[name_len] == ';');
}

/* "Name: value" and "Name;": a name has neither a colon nor a semicolon. */
static const char *value_of(const char *header, size_t name_len)
{
	return header[name_len] == ':' ? header + name_len + strlen(": ") : "";
}

/* Names with one value, or a list of the values that stand in a row. */
static void add_headers(struct buf *b, const char *headers)
{
	const char *before = NULL;
	bool in_list = false;

	buf_add_str(b, ",\"headers\":{");
	for (const char *at = headers; *at != '\0'; at += strlen(at) + 1) {
		size_t name_len = strcspn(at, ":;");
		const char *next = at + strlen(at) + 1;
		bool begins = !goes_on(before, at, name_len);
		bool more = goes_on(at, next, strcspn(next, ":;"));

		if (before)
			buf_add_char(b, ',');
		if (begins) {
			in_list = more;
			buf_add_json(b, at, name_len);
			buf_add_str(b, in_list ? ":[" : ":");
		}
		buf_add_json_str(b, value_of(at, name_len));
		if (in_list && !more)
			buf_add_char(b, ']');
		before = at;
	}
	buf_add_char(b, '}');
}

static void add_body(struct buf *b, const struct job_extra *extra)
{
	if (extra->body && buf_is_utf8(extra->body, extra->body_bytes)) {
		buf_add_str(b, ",\"body\":");
		buf_add_json(b, extra->body, extra->body_bytes);
	} else if (extra->body) {
		buf_add_str(b, ",\"body_base64\":\"");
		base64_add(b, extra->body, extra->body_bytes);
		buf_add_char(b, '"');
	}
	add_str(b, ",\"body_file\":", extra->body_file);
}

static void add_limits(struct buf *b, const struct job_extra *extra)
{
	if (extra->timeout_ns > 0) {
		buf_add_str(b, ",\"timeout\":\"");
		units_add_duration(b, extra->timeout_ns);
		buf_add_char(b, '"');
	}
	if (extra->has_max_redirects) {
		buf_add_str(b, ",\"max_redirects\":");
		buf_add_u64(b, extra->max_redirects);
	}
	if (extra->max_body_bytes > 0) {
		buf_add_str(b, ",\"max_body\":");
		buf_add_u64(b, extra->max_body_bytes);
	}
}

/* 0: not at all. */
static void add_time(struct buf *b, const char *name, int64_t wall_us)
{
	char text[CLOCK_TEXT_SIZE];

	if (wall_us != 0) {
		clock_format(wall_us, text);
		add_str(b, name, text);
	}
}

static void add_when(struct buf *b, const struct job_extra *extra)
{
	if (extra->priority != JOB_PRIORITY_NORMAL)
		add_str(b, ",\"priority\":", extra->priority == JOB_PRIORITY_HIGH ? "high" : "low");
	add_time(b, ",\"not_before\":", extra->not_before_wall_us);
	add_time(b, ",\"deadline\":", extra->deadline_wall_us);
}

static void add_extra(struct buf *b, const struct job_extra *extra)
{
	add_str(b, ",\"method\":", extra->method);
	if (extra->headers)
		add_headers(b, extra->headers);
	add_body(b, extra);
	add_limits(b, extra);
	if (extra->retry != 0)
		buf_add_str(b, extra->retry > 0 ? ",\"retry\":true" : ",\"retry\":false");
	if (extra->meta) {
		buf_add_str(b, ",\"meta\":");
		buf_add_str(b, extra->meta);
	}
	add_when(b, extra);
	add_str(b, ",\"requeued_from\":", extra->requeued_from);
}

void job_write(const struct job *job, struct buf *b)
{
	if (!job->id && !job->extra && is_line(job->url)) {
		buf_add_str(b, job->url);
		return;
	}
	buf_add_str(b, "{\"url\":");
	url_add_json(b, job->url);
	add_str(b, ",\"id\":", job->id);
	if (job->extra)
		add_extra(b, job->extra);
	buf_add_char(b, '}');
}
