/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs to lines. */
#include "job/job.h"

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

/* "Name: value" and "Name;": a name has neither a colon nor a semicolon. */
static void add_headers(struct buf *b, const char *headers)
{
	char before = '{';

	buf_add_str(b, ",\"headers\":");
	for (const char *at = headers; *at != '\0'; at += strlen(at) + 1) {
		size_t name_len = strcspn(at, ":;");
		buf_add_char(b, before);
		buf_add_json(b, at, name_len);
		buf_add_char(b, ':');
		buf_add_json_str(b, at[name_len] == ':' ? at + name_len + strlen(": ") : "");
		before = ',';
	}
	buf_add_char(b, '}');
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
	if (extra->body) {
		buf_add_str(b, ",\"body\":");
		buf_add_json(b, extra->body, extra->body_bytes);
	}
	if (extra->timeout_ns > 0) {
		buf_add_str(b, ",\"timeout\":\"");
		units_add_duration(b, extra->timeout_ns);
		buf_add_char(b, '"');
	}
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
