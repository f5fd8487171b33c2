/* SPDX-License-Identifier: Apache-2.0 */
#include "control/routes.h"

#include "control/metrics.h"
#include "control/page.h"
#include "control/problem.h"
#include "control/status.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
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
		problem(reply, PROBLEM_UNHEALTHY, "%s",
		        why[0] != '\0' ? why : "a thread is stuck; see the log");
}

/* Why the backlog takes no jobs; 0 if it does, also if it is merely full. */
static int backlog_trouble(struct engine *engine)
{
	struct engine_stats stats;
	const struct backlog_stats *b = &stats.backlog;

	engine_stats(engine, &stats);
	if (b->error < 0)
		return b->error;
	return b->free_bytes < b->min_free_bytes ? -ENOSPC : 0;
}

static void say_ready(const struct view *view, struct reply *reply)
{
	struct engine *engine = view->options->engine;
	struct buf why = { 0 };
	int error = backlog_trouble(engine);

	if (error == 0) {
		say(reply, "ready\n");
		return;
	}
	(void) problem_of(engine, error, &why); /* 507 for some: it is about a request's jobs */
	if (why.failed)
		reply->body.failed = true;
	else
		problem(reply, PROBLEM_NOT_READY, "%.*s", (int) why.len, why.data);
	buf_done(&why);
}

static void get_ready(const struct view *view, const struct request *request, struct reply *reply)
{
	(void) request;
	switch (view->phase) {
	case CONTROL_READY:
		say_ready(view, reply);
		break;
	case CONTROL_STARTING:
		problem(reply, PROBLEM_STARTING, "the daemon is starting; ask again in a moment");
		break;
	case CONTROL_DRAINING:
	case CONTROL_DRAINED:
		problem(reply, PROBLEM_DRAINING, PROBLEM_TEXT_DRAINING);
		break;
	case CONTROL_STOPPING:
		problem(reply, PROBLEM_STOPPING, PROBLEM_TEXT_STOPPING);
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

/* HEAD is answered as GET is; libmicrohttpd leaves out the body.  A path that ends in a
 * slash takes whatever follows it, except for the root. */
static const struct route {
	const char *method;
	const char *path;
	void (*answer)(const struct view *view, const struct request *request, struct reply *reply);
	struct task *(*begin)(const struct view *view, const struct request *request,
	                      struct reply *reply); /* in its place */
	bool takes_body;
	enum control_reach reach; /* the least that a listener must have */
} routes[] = {
	{ "GET", "/v1/status", get_status, NULL, false, CONTROL_FIGURES },
	{ "GET", "/metrics", get_metrics, NULL, false, CONTROL_FIGURES },
	{ "GET", "/healthz", get_health, NULL, false, CONTROL_FIGURES },
	{ "GET", "/readyz", get_ready, NULL, false, CONTROL_FIGURES },
	{ "POST", "/v1/jobs", NULL, upload_begin, true, CONTROL_ALL },
	{ "GET", "/v1/jobs/", NULL, lookup_begin, false, CONTROL_VIEWS },
	{ "DELETE", "/v1/jobs/", NULL, cancel_begin, false, CONTROL_ALL },
	{ "GET", "/v1/results", NULL, results_begin, false, CONTROL_VIEWS },
	{ "GET", "/v1/lanes", NULL, lanes_begin, false, CONTROL_FIGURES },
	{ "GET", "/v1/history", NULL, history_begin, false, CONTROL_FIGURES },
	{ "POST", "/v1/control/requeue", NULL, requeue_begin, true, CONTROL_ALL },
	{ "POST", "/v1/control/pause", NULL, pause_begin, true, CONTROL_ALL },
	{ "POST", "/v1/control/resume", NULL, resume_begin, true, CONTROL_ALL },
	{ "POST", "/v1/control/drain", NULL, drain_begin, true, CONTROL_ALL },
	{ "POST", "/v1/control/set", NULL, set_begin, true, CONTROL_ALL },
	{ "POST", "/v1/control/reload", NULL, reload_begin, true, CONTROL_ALL },
	{ "GET", "/", page_answer, NULL, false, CONTROL_FIGURES },
	{ "GET", "/page/", page_answer, NULL, false, CONTROL_FIGURES },
};

static bool is_at(const struct route *route, const char *path)
{
	size_t len = strlen(route->path);

	if (len > 1 && route->path[len - 1] == '/')
		return strncmp(path, route->path, len) == 0 && path[len] != '\0';
	return strcmp(path, route->path) == 0;
}

static bool is_head(const char *method) { return strcmp(method, "HEAD") == 0; }

static const struct route *find(const char *path, const char *method)
{
	for (size_t i = 0; i < ARRAY_LEN(routes); i++)
		if (is_at(&routes[i], path) &&
		    strcmp(is_head(method) ? "GET" : method, routes[i].method) == 0)
			return &routes[i];
	return NULL;
}

static bool is_open(const struct route *route, enum control_reach reach)
{
	return route->reach >= reach;
}

static bool is_repeated(size_t i)
{
	return i > 0 && strcmp(routes[i].path, routes[i - 1].path) == 0;
}

static void refuse_path(enum control_reach reach, const struct request *request,
                        struct reply *reply)
{
	struct buf paths = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(routes); i++)
		if (is_open(&routes[i], reach) && !(is_repeated(i) && is_open(&routes[i - 1], reach)))
			buf_printf(&paths, "%s%s", paths.len > 0 ? ", " : "", routes[i].path);
	if (paths.failed)
		reply->body.failed = true;
	else
		problem(reply, PROBLEM_UNKNOWN_PATH, "there is no %s; there are %.*s", request->path,
		        (int) paths.len, paths.data);
	buf_done(&paths);
}

/* Appends to the list of methods in a header. */
static void allow(struct reply *reply, const char *method)
{
	size_t len = strlen(reply->allow);

	(void) snprintf(reply->allow + len, sizeof(reply->allow) - len, "%s%s", len > 0 ? ", " : "",
	                method);
}

static void refuse_method(enum control_reach reach, const struct request *request,
                          struct reply *reply)
{
	for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
		if (!is_at(&routes[i], request->path) || !is_open(&routes[i], reach))
			continue;
		allow(reply, routes[i].method);
		if (strcmp(routes[i].method, "GET") == 0)
			allow(reply, "HEAD");
	}
	if (reply->allow[0] == '\0')
		refuse_path(reach, request, reply);
	else
		problem(reply, PROBLEM_WRONG_METHOD, "%s takes %s, not %s", request->path, reply->allow,
		        request->method);
}

static void refuse_reach(const struct route *route, const struct request *request,
                         struct reply *reply)
{
	problem(reply, PROBLEM_NOT_HERE,
	        "this listener is for reading%s: %s %s is answered by control.socket%s",
	        route->reach == CONTROL_VIEWS ? ", without jobs and results" : "", request->method,
	        request->path, route->reach == CONTROL_VIEWS ? " and control.stats_socket" : "");
}

struct task *routes_answer(const struct view *view, const struct request *request,
                           struct reply *reply)
{
	const struct route *route = find(request->path, request->method);

	if (!route)
		refuse_method(view->reach, request, reply);
	else if (!is_open(route, view->reach))
		refuse_reach(route, request, reply);
	else if (request->body_bytes > 0 && !route->takes_body)
		problem(reply, PROBLEM_BODY_NOT_TAKEN,
		        "%s %s takes no body; send the request without one", request->method,
		        request->path);
	else if (route->begin)
		return route->begin(view, request, reply);
	else
		route->answer(view, request, reply);
	return NULL;
}
