/* SPDX-License-Identifier: Apache-2.0 */
#include "control/page.h"

#include "control/problem.h"

#include <string.h>

#define PREFIX "/page/"

/* Names of hosts and URLs come from strangers: were one ever taken for markup, it could
 * neither run nor load anything. */
#define POLICY \
	"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " \
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

static const char *type_of(const char *name)
{
	static const struct {
		const char *end, *type;
	} types[] = {
		{ ".css", "text/css; charset=utf-8" },
		{ ".html", "text/html; charset=utf-8" },
		{ ".js", "text/javascript; charset=utf-8" },
		{ ".svg", "image/svg+xml" },
	};
	const char *end = strrchr(name, '.');

	for (size_t i = 0; end && i < ARRAY_LEN(types); i++)
		if (strcmp(types[i].end, end) == 0)
			return types[i].type;
	return "application/octet-stream";
}

static const struct page_file *find(const char *name)
{
	for (const struct page_file *file = page_files; file->name; file++)
		if (strcmp(file->name, name) == 0)
			return file;
	return NULL;
}

void page_answer(const struct view *view, const struct request *request, struct reply *reply)
{
	const char *path = request->path;
	const struct page_file *file =
		find(strcmp(path, "/") == 0 ? "index.html" : path + strlen(PREFIX));

	(void) view;
	if (!file) {
		problem(reply, PROBLEM_UNKNOWN_PATH, "there is no %s; the page is at /", path);
		return;
	}
	reply->status = 200;
	reply->type = type_of(file->name);
	reply->policy = POLICY;
	buf_add(&reply->body, file->data, file->size);
}
