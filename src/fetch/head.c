/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/head.h"

#include <string.h>
#include <strings.h>

static bool begins_with(const char *line, size_t n, const char *start)
{
	size_t len = strlen(start);

	return n >= len && (*line | 0x20) == (*start | 0x20) && strncasecmp(line, start, len) == 0;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t';
}

/* Reads a number, which must not be followed by anything but space and perhaps a comma. */
static bool read_number(const char **at, const char *end, uint64_t *ret_number)
{
	const char *p = *at;
	uint64_t number = 0;

	while (p < end && is_space(*p))
		p++;
	const char *digits = p;
	for (; p < end && *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(number, 10, &number) ||
		    __builtin_add_overflow(number, (uint64_t) (*p - '0'), &number))
			return false;
	bool any = p > digits;
	while (p < end && is_space(*p))
		p++;
	*at = p;
	*ret_number = number;
	return any && (p == end || *p == ',');
}

/* A Content-Length is a number, or the same one several times (RFC 9110, section 8.6). */
static const char *take_length(struct head *head, const char *at, const char *end)
{
	for (;; at++) {
		uint64_t number = 0;
		if (!read_number(&at, end, &number))
			return "Content-Length is no number";
		if (head->has_length && head->length != number)
			return "Content-Length has several values";
		head->has_length = true;
		head->length = number;
		if (at == end)
			return NULL;
	}
}

/* libcurl takes any version of its own for the server's, and 101 for a final answer. */
static const char *take_status(struct head *head, const char *line, const char *end, bool tls)
{
	const char *code = memchr(line, ' ', (size_t) (end - line));
	size_t n = code ? (size_t) (end - code) : 0;

	head->is_interim = begins_with(code, n, " 1");
	head->is_complete = false;
	head->is_first = true;
	head->has_length = false;
	if (!tls && !begins_with(line, (size_t) (end - line), "HTTP/1."))
		return "a version that was not asked for";
	return begins_with(code, n, " 101") ? "another protocol that was not asked for" : NULL;
}

static const char *take_field(struct head *head, const char *line, const char *end)
{
	static const char length[] = "Content-Length:";
	size_t n = (size_t) (end - line);

	if (++head->fields > HEAD_MAX_FIELDS)
		return "more than 512 lines of headers";
	if (begins_with(line, n, "Content-Encoding:") || begins_with(line, n, "Transfer-Encoding:"))
		head->has_codings = true;
	if (head->is_complete || !begins_with(line, n, length))
		return NULL; /* that of a trailer says nothing */
	return take_length(head, line + strlen(length), end);
}

bool head_preview(struct head *head, const char *line, size_t n)
{
	if (head->is_first && n > 0 && is_space(*line))
		head->fault = "the first header continues none";
	head->is_first = false;
	return !head->fault;
}

bool head_take(struct head *head, const char *line, size_t n, bool tls)
{
	const char *end = line + n;

	while (end > line && (end[-1] == '\n' || end[-1] == '\r'))
		end--;
	head->bytes += n + HEAD_LINE_COST;
	if (head->bytes > HEAD_MAX_BYTES)
		head->fault = "headers of more than 256 KiB";
	else if (end == line)
		head->is_complete = !head->is_interim;
	else if (begins_with(line, n, "HTTP/"))
		head->fault = take_status(head, line, end, tls);
	else
		head->fault = take_field(head, line, end);
	return !head->fault;
}
