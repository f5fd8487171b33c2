/* SPDX-License-Identifier: Apache-2.0 */
/* What reading a job's keys has in common; private to job_parse.c and job_headers.c. */
#ifndef PENSTOCK_JOB_JOB_PARTS_H
#define PENSTOCK_JOB_JOB_PARTS_H

#include "base/attr.h"
#include "base/buf.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Appends a reason; returns -EINVAL. */
PRINTF_LIKE(2, 3)
static inline int refuse(struct buf *why, const char *format, ...)
{
	va_list args;
	char text[256];

	va_start(args, format);
	(void) vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	buf_add_str(why, text);
	return -EINVAL;
}

/* Reads a string without NUL characters, which stays in 'value'.  Returns 0 or -EINVAL. */
static inline int read_string(const json_t *value, const char *key, const char **ret_text,
                              struct buf *why)
{
	if (!json_is_string(value))
		return refuse(why, "\"%s\" must be a string", key);
	if (strlen(json_string_value(value)) != json_string_length(value))
		return refuse(why, "\"%s\" must not hold a NUL character", key);
	*ret_text = json_string_value(value);
	return 0;
}

/* How many characters of a token (RFC 9110, section 5.6.2) the text begins with. */
static inline size_t token_length(const char *text)
{
	size_t n = 0;

	while (text[n] != '\0' &&
	       (isalnum((unsigned char) text[n]) || strchr("!#$%&'*+-.^_`|~", text[n])))
		n++;
	return n;
}

/* Appends the fields, as in struct job_extra.  Returns 0, -EINVAL or -ENOMEM. */
NODISCARD int job_read_headers(json_t *value, struct buf *headers, struct buf *why);

#endif
