/* SPDX-License-Identifier: Apache-2.0 */
/* Lines to jobs. */
#include "job/job.h"

#include "base/base64.h"
#include "base/clock.h"
#include "base/units.h"
#include "job/job_parts.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* What a line asks for, before it is packed into one job. */
struct draft {
	const char *url;
	const char *id;
	const char *method;
	const char *body;
	size_t body_bytes;
	struct buf decoded; /* what 'body' is in, if it was base64 */
	const char *body_file;
	unsigned bodies;    /* how many were given */
	struct buf headers; /* as in struct job_extra */
	char *meta;         /* from json_dumps() */
	uint64_t timeout_ns;
	uint64_t max_body_bytes;
	bool has_max_redirects;
	unsigned max_redirects;
	signed char retry;
	enum job_priority priority;
	int64_t not_before_wall_us;
	int64_t deadline_wall_us;
	const char *requeued_from;
};

static void draft_done(struct draft *d)
{
	buf_done(&d->headers);
	buf_done(&d->decoded);
	free(d->meta);
}

/* --- checking the parts of a JSON job --------------------------------------------- */

static int read_url(json_t *value, struct draft *d, struct buf *why)
{
	return read_string(value, "url", &d->url, why);
}

/* An id of any job, penstock's own names included. */
static int read_any_id(json_t *value, const char *key, const char **ret_id, struct buf *why)
{
	const char *id = NULL;
	int r = read_string(value, key, &id, why);
	if (r < 0)
		return r;

	size_t len = strlen(id);
	if (len < 1 || len > 256)
		return refuse(why, "\"%s\" must have 1 to 256 bytes", key);
	for (const char *c = id; *c != '\0'; c++)
		if ((unsigned char) *c < 0x20 || *c == 0x7f)
			return refuse(why, "\"%s\" must not hold control characters", key);
	*ret_id = id;
	return 0;
}

static int read_id(json_t *value, struct draft *d, struct buf *why)
{
	int r = read_any_id(value, "id", &d->id, why);
	if (r == 0 && strncmp(d->id, "p-", 2) == 0)
		return refuse(why, "\"id\" must not begin with \"p-\": "
		                   "such ids are penstock's own");
	return r;
}

static int read_requeued_from(json_t *value, struct draft *d, struct buf *why)
{
	return read_any_id(value, "requeued_from", &d->requeued_from, why);
}

static int read_method(json_t *value, struct draft *d, struct buf *why)
{
	int r = read_string(value, "method", &d->method, why);
	if (r < 0)
		return r;
	if (!job_is_token(d->method) || strlen(d->method) > 32)
		return refuse(why, "\"method\" is no HTTP method");
	if (strcasecmp(d->method, "CONNECT") == 0)
		return refuse(why, "\"method\" CONNECT makes a tunnel, not a fetch");
	return 0;
}

static int read_headers(json_t *value, struct draft *d, struct buf *why)
{
	return job_read_headers(value, &d->headers, why);
}

static int read_body(json_t *value, struct draft *d, struct buf *why)
{
	if (!json_is_string(value))
		return refuse(why, "\"body\" must be a string");
	d->body = json_string_value(value);
	d->body_bytes = json_string_length(value);
	d->bodies++;
	return 0;
}

static int read_body_base64(json_t *value, struct draft *d, struct buf *why)
{
	if (!json_is_string(value))
		return refuse(why, "\"body_base64\" must be a string");
	int r = base64_decode(json_string_value(value), json_string_length(value), &d->decoded);
	if (r == -EINVAL)
		return refuse(why, "\"body_base64\" is no base64 (RFC 4648, section 4): it has padding "
		                   "and no line breaks");
	d->body = d->decoded.data ? d->decoded.data : "";
	d->body_bytes = d->decoded.len;
	d->bodies++;
	return r;
}

static int read_body_file(json_t *value, struct draft *d, struct buf *why)
{
	int r = read_string(value, "body_file", &d->body_file, why);

	if (r == 0 && (*d->body_file == '\0' || strlen(d->body_file) >= PATH_MAX))
		return refuse(why, "\"body_file\" must have 1 to %d bytes", PATH_MAX - 1);
	d->bodies++;
	return r;
}

static int read_max_redirects(json_t *value, struct draft *d, struct buf *why)
{
	json_int_t n = json_is_integer(value) ? json_integer_value(value) : -1;

	if (n < 0 || n > JOB_MAX_REDIRECTS)
		return refuse(why, "\"max_redirects\" must be a number, 0 to %d", JOB_MAX_REDIRECTS);
	d->has_max_redirects = true;
	d->max_redirects = (unsigned) n;
	return 0;
}

static int read_max_body(json_t *value, struct draft *d, struct buf *why)
{
	const char *text = json_string_value(value);

	d->max_body_bytes = 0;
	if (json_is_integer(value) && json_integer_value(value) > 0)
		d->max_body_bytes = (uint64_t) json_integer_value(value);
	else if (text && units_parse_size(text, &d->max_body_bytes) < 0)
		d->max_body_bytes = 0;
	if (d->max_body_bytes == 0 || d->max_body_bytes > INT64_MAX)
		return refuse(why, "\"max_body\" must be a number of bytes, or a size such as \"1M\"");
	return 0;
}

static int read_timeout(json_t *value, struct draft *d, struct buf *why)
{
	const char *text = NULL;

	if (read_string(value, "timeout", &text, why) < 0)
		return -EINVAL;
	if (units_parse_duration(text, &d->timeout_ns) < 0 || d->timeout_ns == 0)
		return refuse(why, "\"timeout\" must be a time such as \"30s\"");
	return 0;
}

static int read_retry(json_t *value, struct draft *d, struct buf *why)
{
	if (!json_is_boolean(value))
		return refuse(why, "\"retry\" must be true or false");
	d->retry = json_is_true(value) ? 1 : -1;
	return 0;
}

static int read_meta(json_t *value, struct draft *d, struct buf *why)
{
	(void) why;
	d->meta = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
	return d->meta ? 0 : -ENOMEM;
}

static int read_priority(json_t *value, struct draft *d, struct buf *why)
{
	const char *text = NULL;

	if (read_string(value, "priority", &text, why) < 0)
		return -EINVAL;
	if (strcmp(text, "normal") == 0)
		d->priority = JOB_PRIORITY_NORMAL;
	else if (strcmp(text, "high") == 0)
		d->priority = JOB_PRIORITY_HIGH;
	else if (strcmp(text, "low") == 0)
		d->priority = JOB_PRIORITY_LOW;
	else
		return refuse(why, "\"priority\" must be \"high\", \"normal\" or \"low\"");
	return 0;
}

static int read_time(json_t *value, const char *key, int64_t *ret_wall_us, struct buf *why)
{
	const char *text = NULL;

	if (read_string(value, key, &text, why) < 0)
		return -EINVAL;
	if (clock_parse(text, ret_wall_us) < 0)
		return refuse(why, "\"%s\" must be a date and time such as "
		                   "\"2026-11-23T15:04:05Z\"", key);
	return 0;
}

static int read_not_before(json_t *value, struct draft *d, struct buf *why)
{
	int r = read_time(value, "not_before", &d->not_before_wall_us, why);

	if (r == 0 && d->not_before_wall_us < 0)
		d->not_before_wall_us = 0; /* before 1970 */
	return r;
}

static int read_deadline(json_t *value, struct draft *d, struct buf *why)
{
	int r = read_time(value, "deadline", &d->deadline_wall_us, why);

	if (r == 0 && d->deadline_wall_us <= 0)
		d->deadline_wall_us = 1; /* 1970, or before: passed, but there is one */
	return r;
}

static const struct {
	const char *name;
	int (*read)(json_t *value, struct draft *d, struct buf *why);
} keys[] = {
	{ "url", read_url },
	{ "id", read_id },
	{ "method", read_method },
	{ "headers", read_headers },
	{ "body", read_body },
	{ "body_base64", read_body_base64 },
	{ "body_file", read_body_file },
	{ "timeout", read_timeout },
	{ "max_redirects", read_max_redirects },
	{ "max_body", read_max_body },
	{ "retry", read_retry },
	{ "meta", read_meta },
	{ "priority", read_priority },
	{ "not_before", read_not_before },
	{ "deadline", read_deadline },
	{ "requeued_from", read_requeued_from },
};

static int read_key(const char *key, json_t *value, struct draft *d, struct buf *why)
{
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (strcmp(key, keys[i].name) == 0)
			return keys[i].read(value, d, why);

	(void) refuse(why, "unknown key \"%.64s\"; a job has ", key);
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		buf_add_str(why, i > 0 ? ", " : "");
		buf_add_str(why, keys[i].name);
	}
	return -EINVAL;
}

/* Drops what says no more than the rest does, so that jobs that ask for the same are
 * the same. */
static void normalise(struct draft *d)
{
	const char *usual = d->bodies > 0 ? "POST" : "GET";

	if (d->method && strcasecmp(d->method, usual) == 0)
		d->method = NULL;
	if (d->retry == (job_is_idempotent(d->method ? d->method : usual) ? 1 : -1))
		d->retry = 0;
}

static int read_object(json_t *object, struct draft *d, struct buf *why)
{
	const char *key = NULL;
	json_t *value = NULL;

	json_object_foreach(object, key, value) {
		int r = read_key(key, value, d, why);
		if (r < 0)
			return r;
	}
	if (!d->url)
		return refuse(why, "\"url\" is missing");
	if (d->bodies > 1)
		return refuse(why, "only one of \"body\", \"body_base64\" and \"body_file\" can be");
	if (d->bodies > 0 && d->method && strcasecmp(d->method, "HEAD") == 0)
		return refuse(why, "a HEAD request has no \"body\"");
	if (d->deadline_wall_us != 0 && d->deadline_wall_us <= d->not_before_wall_us)
		return refuse(why, "\"deadline\" must be later than \"not_before\"");
	normalise(d);
	return 0;
}

/* --- packing ------------------------------------------------------------------------ */

/* Copies 'n' bytes to '*at', moves it on, and returns the copy. */
static const char *pack(char **at, const void *data, size_t n)
{
	char *copy = *at;
	memcpy(copy, data, n);
	*at += n;
	return copy;
}

static const char *pack_str(char **at, const char *text)
{
	return text ? pack(at, text, strlen(text) + 1) : NULL;
}

static size_t packed_size(const char *text)
{
	return text ? strlen(text) + 1 : 0;
}

static bool has_extra(const struct draft *d)
{
	return d->method || d->bodies > 0 || d->headers.len > 0 || d->meta || d->timeout_ns > 0 ||
	       d->max_body_bytes > 0 || d->has_max_redirects || d->retry != 0 ||
	       d->priority != JOB_PRIORITY_NORMAL || d->not_before_wall_us != 0 ||
	       d->deadline_wall_us != 0 || d->requeued_from;
}

static const struct job_extra *pack_extra(char **at, const struct draft *d, struct job_extra *extra)
{
	*extra = (struct job_extra) {
		.body = d->body ? pack(at, d->body, d->body_bytes) : NULL,
		.body_bytes = d->body_bytes,
		.body_file = pack_str(at, d->body_file),
		.headers = d->headers.len > 0 ? pack(at, d->headers.data, d->headers.len) : NULL,
		.meta = pack_str(at, d->meta),
		.timeout_ns = d->timeout_ns,
		.max_body_bytes = d->max_body_bytes,
		.has_max_redirects = d->has_max_redirects,
		.max_redirects = d->max_redirects,
		.retry = d->retry,
		.priority = d->priority,
		.not_before_wall_us = d->not_before_wall_us,
		.deadline_wall_us = d->deadline_wall_us,
		.requeued_from = pack_str(at, d->requeued_from),
	};
	char *method = *at;
	extra->method = pack_str(at, d->method);
	for (char *c = method; c < *at; c++)
		*c = (char) toupper((unsigned char) *c);
	return extra;
}

/* One allocation: the job, its extra part if it has one, and every string. */
static int make_job(const struct draft *d, const struct url_origin *origin, struct job **ret_job)
{
	size_t head = sizeof(struct job) + (has_extra(d) ? sizeof(struct job_extra) : 0);
	size_t size = head + packed_size(d->url) + packed_size(d->id) + packed_size(origin->text) +
	              packed_size(origin->host) + packed_size(d->method) + d->body_bytes +
	              packed_size(d->body_file) + d->headers.len + packed_size(d->meta) + packed_size(d->requeued_from);
	if (size > JOB_MAX_BYTES)
		return -EMSGSIZE;
	struct job *job = malloc(size);
	if (!job)
		return -ENOMEM;

	char *at = (char *) job + head;
	*job = (struct job) {
		.url = pack_str(&at, d->url),
		.id = pack_str(&at, d->id),
		.origin = *origin,
		.bytes = size,
	};
	job->origin.text = pack_str(&at, origin->text);
	job->origin.host = pack_str(&at, origin->host);
	if (has_extra(d))
		job->extra = pack_extra(&at, d, (struct job_extra *) (job + 1));
	*ret_job = job;
	return 0;
}

static int draft_to_job(struct url_parser *parser, const struct draft *d, struct job **ret_job,
                        struct buf *why)
{
	struct url_origin origin;
	const char *text = NULL;

	int r = url_parse(parser, d->url, &origin, &text);
	if (r < 0) {
		buf_printf(why, "%s: ", text);
		url_add_redacted(why, d->url, false);
		return r;
	}
	r = make_job(d, &origin, ret_job);
	return r == -EMSGSIZE ? refuse(why, "the job takes more than 4 MiB of memory") : r;
}

/* --- lines -------------------------------------------------------------------------- */

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

/* Counts what separates or opens values, outside of strings. */
static size_t count_values(const char *line, size_t len)
{
	bool in_string = false;
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		if (line[i] == '"')
			in_string = !in_string;
		else if (in_string)
			i += line[i] == '\\';
		else
			n += line[i] == ',' || line[i] == '[' || line[i] == '{';
	}
	return n;
}

static int parse_json(struct url_parser *parser, json_t *json, struct job **ret_job,
                      struct buf *why)
{
	struct draft d = { 0 };

	int r = read_object(json, &d, why);
	if (r == 0)
		r = draft_to_job(parser, &d, ret_job, why);
	draft_done(&d);
	return r;
}

/* jansson quotes what it stumbled over, which may be a secret: the column tells, too. */
static int refuse_json(struct buf *why, json_error_t *error)
{
	char *quote = strstr(error->text, " near '");

	if (quote)
		*quote = '\0';
	return refuse(why, "not a JSON object: %s (column %d)", error->text, error->column);
}

static int parse_object(struct url_parser *parser, const char *line, size_t len,
                        struct job **ret_job, struct buf *why)
{
	json_error_t error;
	json_auto_t *json =
		json_loadb(line, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
	if (!json && error.text[0] == '\0')
		return -ENOMEM; /* jansson has words for everything else */
	if (!json)
		return refuse_json(why, &error);
	return parse_json(parser, json, ret_job, why);
}

static int parse_url(struct url_parser *parser, const char *line, size_t len, struct job **ret_job,
                     struct buf *why)
{
	char small[512];
	char *large = NULL;

	if (memchr(line, '\0', len))
		return refuse(why, "a URL must not hold a NUL character");
	char *url = len < sizeof(small) ? small : (large = malloc(len + 1));
	if (!url)
		return -ENOMEM;
	memcpy(url, line, len);
	url[len] = '\0';

	int r = draft_to_job(parser, &(struct draft) { .url = url }, ret_job, why);
	free(large);
	return r;
}

int job_read(struct url_parser *parser, const char *text, size_t len, struct job **ret_job,
             struct buf *why)
{
	if (len == 0)
		return refuse(why, "an empty line is no job");
	return *text == '{' ? parse_object(parser, text, len, ret_job, why)
	                    : parse_url(parser, text, len, ret_job, why);
}

int job_parse(struct url_parser *parser, const char *line, size_t len, struct job **ret_job,
              struct buf *why)
{
	while (len > 0 && is_blank(line[len - 1]))
		len--;
	while (len > 0 && is_blank(*line)) {
		line++;
		len--;
	}
	if (len > JOB_MAX_LINE_BYTES)
		return refuse(why, "longer than 1 MiB");
	if (len > 0 && *line == '{' && count_values(line, len) > JOB_MAX_VALUES)
		return refuse(why, "more than %d JSON values", JOB_MAX_VALUES);

	return job_read(parser, line, len, ret_job, why);
}
