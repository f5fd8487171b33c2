/* SPDX-License-Identifier: Apache-2.0 */
#include "control/problem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const struct {
	unsigned status;
	const char *title;
} titles[] = {
	{ 404, "Not Found" },           { 405, "Method Not Allowed" }, { 413, "Content Too Large" },
	{ 414, "URI Too Long" },        { 503, "Service Unavailable" },
};

/* With the type "about:blank" the title is the status' own phrase. */
static const char *title_of(unsigned status)
{
	for (size_t i = 0; i < ARRAY_LEN(titles); i++)
		if (titles[i].status == status)
			return titles[i].title;
	return "Error";
}

void problem(struct reply *reply, unsigned status, const char *detail, ...)
{
	char *text = NULL;
	va_list args;

	va_start(args, detail);
	int n = vasprintf(&text, detail, args);
	va_end(args);
	if (n < 0) {
		reply->body.failed = true;
		return;
	}

	reply->status = status;
	reply->type = "application/problem+json";
	buf_add_str(&reply->body, "{\"type\": \"about:blank\", \"title\": ");
	buf_add_json_str(&reply->body, title_of(status));
	buf_printf(&reply->body, ", \"status\": %u, \"detail\": ", status);
	buf_add_json_str(&reply->body, text);
	buf_add_str(&reply->body, "}\n");
	free(text);
}
