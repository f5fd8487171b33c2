/* SPDX-License-Identifier: Apache-2.0 */
/* The "headers" of a job. */
#include "job/job.h"
#include "job/job_parts.h"

#include <strings.h>

bool job_is_token(const char *text)
{
	return *text != '\0' && text[token_length(text)] == '\0';
}

/* Header fields that libcurl sets from the connection; a second one would desync the framing. */
static bool is_framing_header(const char *name)
{
	static const char *const names[] = { "Content-Length", "Transfer-Encoding", "Connection",
		                             "Host", "Expect", "Upgrade", "TE", "Trailer" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcasecmp(name, names[i]) == 0)
			return true;
	return false;
}

/* A name is shown as far as it is one: more could be the value, and a secret. */
static int check_header_name(const char *name, struct buf *why)
{
	size_t shown = token_length(name);

	if (!job_is_token(name))
		return refuse(why, "\"headers\": \"%.*s\" is no header name",
		              shown < 64 ? (int) shown : 64, name);
	if (is_framing_header(name))
		return refuse(why, "\"headers\": %s is set by penstock", name);
	return 0;
}

/* Adds a field, without the blanks around its value, which are no part of it (RFC 9110,
 * section 5.5). */
static int add_header(struct buf *headers, const char *name, json_t *value, struct buf *why)
{
	const char *text = NULL;

	if (!json_is_string(value))
		return refuse(why, "\"headers\": %s must be a string, or a list of strings", name);
	if (read_string(value, "headers", &text, why) < 0)
		return -EINVAL;
	text += strspn(text, " \t");
	size_t len = strlen(text);
	while (len > 0 && (text[len - 1] == ' ' || text[len - 1] == '\t'))
		len--;
	if (strpbrk(text, "\r\n"))
		return refuse(why, "\"headers\": %s has a line break", name);

	/* curl(1) and libcurl: "Name;" sends a header without a value. */
	buf_add_str(headers, name);
	buf_add_str(headers, len > 0 ? ": " : ";");
	buf_add(headers, text, len);
	buf_add_char(headers, '\0');
	return 0;
}

/* One value, or one line for each of a list. */
static int read_header(const char *name, json_t *content, struct buf *headers, struct buf *why)
{
	size_t i = 0;
	json_t *value = NULL;

	int r = check_header_name(name, why);
	if (r < 0 || !json_is_array(content))
		return r < 0 ? r : add_header(headers, name, content, why);
	if (json_array_size(content) == 0)
		return refuse(why, "\"headers\": the list of %s is empty", name);
	json_array_foreach(content, i, value) {
		r = add_header(headers, name, value, why);
		if (r < 0)
			return r;
	}
	return 0;
}

int job_read_headers(json_t *value, struct buf *headers, struct buf *why)
{
	const char *name = NULL;
	json_t *content = NULL;

	if (!json_is_object(value))
		return refuse(why, "\"headers\" must be an object of names and strings");
	json_object_foreach(value, name, content) {
		int r = read_header(name, content, headers, why);
		if (r < 0)
			return r;
	}
	if (headers->len > 0)
		buf_add_char(headers, '\0');
	return headers->failed ? -ENOMEM : 0;
}
