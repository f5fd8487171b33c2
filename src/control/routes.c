/* SPDX-License-Identifier: Apache-2.0 */
#include "control/routes.h"

#include "control/metrics.h"
#include "control/problem.h"
#include "control/status.h"

#include <stdbool.h>
#include <string.h>

/* --- handlers ---------------------------------------------------------------------- */

static void say(struct reply *reply, const char *text)
{
	reply->status = 200;
	reply->type = "text/plain; charset=utf-8";
	buf_add_str(&reply->body, text);
}

static void get_health(const struct view *view, const struct request *request, struct reply *reply)
{
	const struct control_options *o = view->options;
	char why[512] = "";

	(void) request;
	if (!o->healthy || o->healthy(o->arg, why, sizeof(why)))
		say(reply, "ok\n");
	else
		problem(reply, 503, "%s", why[0] != '\0' ? why : "a thread is stuck; see the log");
}

static void get_ready(const struct view *view, const struct request *request, struct reply *reply)
{
	(void) request;
	switch (view->phase) {
	case CONTROL_READY:
		say(reply, "ready\n");
		break;
	case CONTROL_STARTING:
		problem(reply, 503, "the daemon is starting; ask again in a moment");
		break;
	case CONTROL_STOPPING:
		problem(reply, 503, "the daemon is stopping and takes no more jobs");
		break;
	}
}

static void get_status(const struct view *view, const struct request *request, struct reply *reply)
{
	(void) request;
	reply->status = 200;
	reply->type = "application/json";
	status_write(view, &reply->body);
}

static void get_metrics(const struct view *view, const struct request *request, struct reply *reply)
{
	enum metrics_format format = metrics_choose_format(request->accept);

	reply->status = 200;
	reply->type = metrics_content_type(format);
	metrics_write(view, format, &reply->body);
}

/* --- the table --------------------------------------------------------------------- */

/* HEAD is answered as GET is; libmicrohttpd leaves out the body. */
static const struct route {
	const char *method;
	const char *path;
	void (*handle)(const struct view *view, const struct request *request, struct reply *reply);
} routes[] = {
	{ "GET", "/v1/status", get_status },
	{ "GET", "/metrics", get_metrics },
	{ "GET", "/healthz", get_health },
	{ "GET", "/readyz", get_ready },
};

static bool takes(const struct route *route, const char *method)
{
	return strcmp(method, route->method) == 0 ||
	       (strcmp(method, "HEAD") == 0 && strcmp(route->method, "GET") == 0);
}

static void refuse_path(const struct request *request, struct reply *reply)
{
	struct buf paths = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(routes); i++)
		buf_printf(&paths, "%s%s", i > 0 ? ", " : "", routes[i].path);
	if (paths.failed)
		reply->body.failed = true;
	else
		problem(reply, 404, "there is no %s; there are %.*s", request->path, (int) paths.len,
		        paths.data);
	buf_done(&paths);
}

void routes_answer(const struct view *view, const struct request *request, struct reply *reply)
{
	bool found = false;

	for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
		if (strcmp(request->path, routes[i].path) != 0)
			continue;
		if (takes(&routes[i], request->method)) {
			routes[i].handle(view, request, reply);
			return;
		}
		found = true;
	}
	if (!found) {
		refuse_path(request, reply);
		return;
	}
	problem(reply, 405, "%s takes GET or HEAD, not %s", request->path, request->method);
	reply->allow = "GET, HEAD";
}
