/* SPDX-License-Identifier: Apache-2.0 */
#include "control/problem.h"

#include "base/units.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	unsigned status;
	const char *title;
} titles[] = {
	{ 400, "Bad Request" },         { 404, "Not Found" },
	{ 405, "Method Not Allowed" },  { 409, "Conflict" },
	{ 410, "Gone" },
	{ 413, "Content Too Large" },   { 414, "URI Too Long" },
	{ 429, "Too Many Requests" },   { 501, "Not Implemented" },
	{ 503, "Service Unavailable" }, { 507, "Insufficient Storage" },
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

/* --- the backlog's refusals -------------------------------------------------------- */

static void add_disk(const struct backlog_stats *b, struct buf *why)
{
	if (b->free_bytes >= b->min_free_bytes) {
		buf_add_str(why, "the disk of the backlog is full");
		return;
	}
	buf_add_str(why, "the disk of the backlog has ");
	units_add_size_rough(why, b->free_bytes);
	buf_add_str(why, " free, of which backlog.min_free, ");
	units_add_size_rough(why, b->min_free_bytes);
	buf_add_str(why, ", are not for new jobs");
}

static void add_jobs(const struct backlog_stats *b, struct buf *why)
{
	buf_printf(why, "%zu jobs of backlog.max_jobs, %zu, are not settled", b->held_jobs, b->max_jobs);
}

static void add_bytes(const struct backlog_stats *b, struct buf *why)
{
	if (b->submitters_blocked > 0) {
		units_add_size_rough(why, b->held_bytes);
		buf_add_str(why, " of ");
	}
	buf_add_str(why, "backlog.max_bytes, ");
	units_add_size_rough(why, b->max_bytes);
	buf_add_str(why, ", are taken");
}

/* What others wait for is not there for who comes later, though it may be enough for him. */
static void add_full(const struct backlog_stats *b, struct buf *why)
{
	if (b->submitters_blocked > 0)
		buf_printf(why, "%u submissions wait for room in the backlog before this one: ",
		           b->submitters_blocked);
	else
		buf_add_str(why, "the backlog is full: ");
}

unsigned problem_of(struct engine *engine, int error, struct buf *why)
{
	struct engine_stats stats;

	engine_stats(engine, &stats);
	switch (error) {
	case -EAGAIN:
		add_full(&stats.backlog, why);
		add_jobs(&stats.backlog, why);
		return 429;
	case -EDQUOT:
		add_full(&stats.backlog, why);
		add_bytes(&stats.backlog, why);
		return 429;
	case -EMSGSIZE:
		buf_add_str(why, "the job is larger than backlog.max_bytes, ");
		units_add_size_rough(why, stats.backlog.max_bytes);
		return 413;
	case -ENOSPC:
		add_disk(&stats.backlog, why);
		return 507;
	case -EOPNOTSUPP:
		buf_printf(why, "the %s backlog cannot do this; set backlog.type to \"sqlite\"",
		           stats.backlog_type);
		return 501;
	case -EPIPE:
		buf_add_str(why, engine_is_draining(engine) ? PROBLEM_DRAINING : PROBLEM_STOPPING);
		return 503;
	case -ETIMEDOUT:
		buf_add_str(why, "the backlog does not answer; its disk may be stuck");
		return 503;
	case -ENOMEM:
		buf_add_str(why, "the daemon is out of memory");
		return 503;
	default:
		buf_printf(why, "the backlog's database cannot be used: %s", strerrordesc_np(-error));
		return 503;
	}
}

void problem_reply(struct reply *reply, struct engine *engine, int error)
{
	struct buf why = { 0 };
	unsigned status = problem_of(engine, error, &why);

	if (why.failed)
		reply->body.failed = true;
	else
		problem(reply, status, "%.*s", (int) why.len, why.data);
	reply->retries = status == 429 || status == 503;
	buf_done(&why);
}
