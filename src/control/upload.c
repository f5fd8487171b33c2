/* SPDX-License-Identifier: Apache-2.0 */
#include "control/upload.h"

#include "base/units.h"
#include "control/problem.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#define MAX_WAIT_NS (3600 * NS_PER_S)

/* Bodies up to this many bytes are not counted: every connection may have one. */
enum { SMALL_BODY_BYTES = 16 * 1024 };

static bool is_ndjson(const char *content_type)
{
	static const char type[] = "application/x-ndjson";

	return strncasecmp(content_type, type, sizeof(type) - 1) == 0 &&
	       strchr("; \t", content_type[sizeof(type) - 1]); /* or the header's end */
}

/* Whether the request may go on; otherwise the reply says why not. */
static bool is_welcome(const struct view *view, const struct request *request, bool is_large,
                       uint64_t *ret_wait_ns, struct reply *reply)
{
	if (view->phase >= CONTROL_DRAINING) {
		problem_reply(reply, view->options->engine, -EPIPE);
		return false;
	}
	if (request->wait && (units_parse_duration(request->wait, ret_wait_ns) < 0 ||
	                      *ret_wait_ns > MAX_WAIT_NS)) {
		problem(reply, PROBLEM_BAD_PARAMETER,
		        "wait=%s must be a time of up to 1h, such as wait=30s", request->wait);
		return false;
	}
	if (is_large && view->desk->uploads >= CONTROL_MAX_UPLOADS) {
		problem(reply, PROBLEM_BUSY, "%d uploads are under way, which is the limit; try again",
		        CONTROL_MAX_UPLOADS);
		return false;
	}
	return true;
}

struct task *upload_begin(const struct view *view, const struct request *request,
                          struct reply *reply)
{
	bool lines = is_ndjson(request->content_type);
	bool is_large = request->body_bytes > SMALL_BODY_BYTES || (lines && request->body_bytes > 0);
	uint64_t wait_ns = 0;

	if (!is_welcome(view, request, is_large, &wait_ns, reply))
		return NULL;
	if (!lines && request->body_bytes != BODY_UNKNOWN &&
	    request->body_bytes > JOB_MAX_LINE_BYTES) {
		problem(reply, PROBLEM_BODY_TOO_LARGE, UPLOAD_TOO_LARGE);
		return NULL;
	}

	struct submitter *s = lines ? upload_lines_create(request->body_bytes) : upload_job_create();
	if (!s) {
		reply->body.failed = true;
		return NULL;
	}
	s->task.desk = view->desk;
	s->wait_ns = wait_ns;
	s->is_counted = is_large;
	view->desk->uploads += is_large;
	return &s->task;
}
