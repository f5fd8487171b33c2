/* SPDX-License-Identifier: Apache-2.0 */
#include "routes.h"

#include "handlers.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

struct route {
	const char *name; /* the first segment of the path */
	handler *handle;
	bool keeps_body;
	bool is_hidden;
};

/* The most frequent first. */
static const struct route routes[] = {
	{ .name = "ok", .handle = handle_ok },
	{ .name = "bytes", .handle = handle_bytes },
	{ .name = "delay", .handle = handle_delay },
	{ .name = "status", .handle = handle_status },
	{ .name = "seen", .handle = handle_seen },
	{ .name = "chunked", .handle = handle_chunked },
	{ .name = "drip", .handle = handle_drip },
	{ .name = "slow-headers", .handle = handle_slow_headers },
	{ .name = "stall", .handle = handle_stall },
	{ .name = "stall-body", .handle = handle_stall_body },
	{ .name = "redirect", .handle = handle_redirect },
	{ .name = "redirect-to", .handle = handle_redirect_to },
	{ .name = "redirect-loop", .handle = handle_redirect_loop },
	{ .name = "flaky", .handle = handle_flaky },
	{ .name = "flaky-reset", .handle = handle_flaky_reset },
	{ .name = "short", .handle = handle_short },
	{ .name = "long", .handle = handle_long },
	{ .name = "no-length", .handle = handle_no_length },
	{ .name = "bad-chunk", .handle = handle_bad_chunk },
	{ .name = "bad-length", .handle = handle_bad_length },
	{ .name = "garbage", .handle = handle_garbage },
	{ .name = "reset", .handle = handle_reset },
	{ .name = "reset-body", .handle = handle_reset_body },
	{ .name = "close", .handle = handle_close },
	{ .name = "close-after", .handle = handle_close_after },
	{ .name = "big-headers", .handle = handle_big_headers },
	{ .name = "content-type", .handle = handle_content_type },
	{ .name = "echo", .handle = handle_echo, .keeps_body = true },
	{ .name = "_counters", .handle = handle_counters, .is_hidden = true },
	{ .name = "_path", .handle = handle_path, .is_hidden = true },
	{ .name = "_reset", .handle = handle_reset_counters, .is_hidden = true },
	{ .name = "unknown" },
	{ .name = "malformed" },
};

enum {
	ROUTES_LEN = sizeof(routes) / sizeof(routes[0]),
	ROUTE_OK = 0,
	ROUTE_UNKNOWN = ROUTES_LEN - 2,
	ROUTE_MALFORMED = ROUTES_LEN - 1,
};
static_assert(sizeof(routes) / sizeof(routes[0]) <= ORIGIN_ROUTES_MAX, "by_route has room");

/* Takes "/" and the first segment off '*path', with the slash behind it. */
static struct slice cut_segment(struct slice *path)
{
	path->at++;
	path->len--;
	return slice_cut(path, '/');
}

size_t routes_find(struct slice path)
{
	if (slice_is(path, "/"))
		return ROUTE_OK;
	if (path.len == 0 || path.at[0] != '/')
		return ROUTE_UNKNOWN;

	struct slice name = cut_segment(&path);
	if (name.len >= 2 && memcmp(name.at, "ok", 2) == 0)
		return ROUTE_OK;
	for (size_t i = 0; i < ROUTE_UNKNOWN; i++)
		if (slice_is(name, routes[i].name))
			return i;
	return ROUTE_UNKNOWN;
}

size_t routes_malformed(void)
{
	return ROUTE_MALFORMED;
}

const char *routes_name(size_t route)
{
	return route < ROUTES_LEN ? routes[route].name : NULL;
}

bool routes_keep_body(size_t route)
{
	return routes[route].keeps_body;
}

bool routes_are_hidden(size_t route)
{
	return routes[route].is_hidden;
}

/* What a handler's error looks like to the client. */
static void answer_error(struct call *call, int error)
{
	unsigned status = error == -EINVAL ? 400 : error == -ENOENT ? 404 : 500;
	const char *why = error == -EINVAL   ? "penstock-origin cannot use these arguments\n"
			  : error == -ENOENT ? "there is nothing here\n"
					     : "penstock-origin is full; GET /_reset\n";

	answer_begin(call->answer, call->req, status);
	answer_finish_with(call->answer, "text/plain", slice_of(why));
}

void routes_answer(size_t route, struct call *call)
{
	int r = -ENOENT;

	call->rest = call->req->path;
	if (routes[route].handle) {
		(void) cut_segment(&call->rest);
		r = routes[route].handle(call);
	}
	if (r < 0)
		answer_error(call, r);
	if (call->req->is_head)
		answer_omit_body(call->answer);
}

void routes_refuse(struct answer *a, unsigned status, const char *why)
{
	answer_begin(a, NULL, status);
	answer_finish_with(a, "text/plain", slice_of(why));
	a->ending = ENDING_LINGER;
}
