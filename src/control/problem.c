/* SPDX-License-Identifier: Apache-2.0 */
#include "control/problem.h"

#include "base/units.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *name;
	const char *title;
	unsigned status;
	bool retries; /* it may well work in a moment */
} kinds[] = {
	[PROBLEM_BAD_TARGET] = { "bad-target", "The target cannot be read", 400, false },
	[PROBLEM_BAD_PARAMETER] = { "bad-parameter", "A parameter has no such value", 400, false },
	[PROBLEM_BAD_JSON] = { "bad-json", "The body is no JSON", 400, false },
	[PROBLEM_BAD_BODY] = { "bad-body", "The body is not what is taken here", 400, false },
	[PROBLEM_BAD_JOB] = { "bad-job", "This is no job", 400, false },
	[PROBLEM_BAD_SETTINGS] = { "bad-settings", "The settings cannot be used", 400, false },
	[PROBLEM_NOT_HERE] = { "not-here", "This listener does not answer that", 403, false },
	[PROBLEM_UNKNOWN_PATH] = { "unknown-path", "There is no such path", 404, false },
	[PROBLEM_UNKNOWN_JOB] = { "unknown-job", "There is no such job", 404, false },
	[PROBLEM_UNKNOWN_RECORD] = { "unknown-record", "There is no such record yet", 404, false },
	[PROBLEM_WRONG_METHOD] = { "wrong-method", "The path has no such method", 405, false },
	[PROBLEM_TOO_SLOW] = { "too-slow", "The request took too long", 408, false },
	[PROBLEM_ID_CONFLICT] = { "id-conflict", "The id is that of another job", 409, false },
	[PROBLEM_WRONG_STATE] = { "wrong-state", "The job's state does not allow it", 409, false },
	[PROBLEM_TOO_MANY_PAUSED] = { "too-many-paused", "Too many lanes are paused", 409, false },
	[PROBLEM_SETTINGS_CONFLICT] = { "settings-conflict",
	                                "The settings cannot be put in force now", 409, false },
	[PROBLEM_FORGOTTEN] = { "forgotten", "The record is not remembered any more", 410, false },
	[PROBLEM_BODY_TOO_LARGE] = { "body-too-large", "The body is too large", 413, false },
	[PROBLEM_BODY_NOT_TAKEN] = { "body-not-taken", "No body is taken here", 413, false },
	[PROBLEM_JOB_TOO_LARGE] = { "job-too-large", "The job is too large", 413, false },
	[PROBLEM_TARGET_TOO_LONG] = { "target-too-long", "The target is too long", 414, false },
	[PROBLEM_WRONG_HOST] = { "wrong-host", "The request is for another host", 421, false },
	[PROBLEM_BACKLOG_FULL] = { "backlog-full", "The backlog is full", 429, true },
	[PROBLEM_NOT_SUPPORTED] = { "not-supported", "This daemon cannot do it", 501, false },
	[PROBLEM_TOO_MANY_CONNECTIONS] = { "too-many-connections", "Too many connections are open",
	                                   503, true },
	[PROBLEM_BUSY] = { "busy", "Too many such requests are under way", 503, true },
	[PROBLEM_STARTING] = { "starting", "The daemon is starting", 503, true },
	[PROBLEM_DRAINING] = { "draining", "The daemon is draining", 503, true },
	[PROBLEM_STOPPING] = { "stopping", "The daemon is stopping", 503, true },
	[PROBLEM_UNHEALTHY] = { "unhealthy", "A thread is stuck", 503, false },
	[PROBLEM_NOT_READY] = { "not-ready", "The daemon takes no jobs now", 503, false },
	[PROBLEM_BACKLOG_SILENT] = { "backlog-silent", "The backlog does not answer", 503, true },
	[PROBLEM_BACKLOG_BROKEN] = { "backlog-broken", "The backlog cannot be used", 503, true },
	[PROBLEM_RECEIPTS_LOST] = { "receipts-lost", "The receipts cannot be kept", 503, false },
	[PROBLEM_OUT_OF_MEMORY] = { "out-of-memory", "The daemon is out of memory", 503, true },
	[PROBLEM_DISK_FULL] = { "disk-full", "The disk is full", 507, false },
};
static_assert(ARRAY_LEN(kinds) == PROBLEM_KINDS, "each kind has its row");

const char *problem_name(enum problem_kind kind) { return kinds[kind].name; }

unsigned problem_status(enum problem_kind kind) { return kinds[kind].status; }

static void write_problem(struct reply *reply, enum problem_kind kind, const char *detail)
{
	struct buf *b = &reply->body;

	buf_printf(b, "{\"type\": \"" PROBLEM_TYPE "%s\", \"title\": \"%s\", \"status\": %u, "
	              "\"detail\": ", kinds[kind].name, kinds[kind].title, kinds[kind].status);
	buf_add_json_str(b, detail);
	if (reply->retries)
		buf_add_str(b, ", \"retry_after\": " REPLY_RETRY_AFTER);
	buf_add_str(b, "}\n");
}

void problem(struct reply *reply, enum problem_kind kind, const char *detail, ...)
{
	char *text = NULL;
	va_list args;

	assert(kind < PROBLEM_KINDS);
	va_start(args, detail);
	int n = vasprintf(&text, detail, args);
	va_end(args);
	if (n < 0) {
		reply->body.failed = true;
		return;
	}
	reply->status = kinds[kind].status;
	reply->type = "application/problem+json";
	reply->retries = kinds[kind].retries;
	write_problem(reply, kind, text);
	free(text);
}

void problem_at(struct reply *reply, int line, int column)
{
	struct buf *b = &reply->body;

	if (b->failed)
		return;
	b->len -= strlen("}\n");
	buf_printf(b, ", \"line\": %d, \"column\": %d}\n", line, column);
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

enum problem_kind problem_of(struct engine *engine, int error, struct buf *why)
{
	struct engine_stats stats;

	engine_stats(engine, &stats);
	switch (error) {
	case -EAGAIN:
		add_full(&stats.backlog, why);
		add_jobs(&stats.backlog, why);
		return PROBLEM_BACKLOG_FULL;
	case -EDQUOT:
		add_full(&stats.backlog, why);
		add_bytes(&stats.backlog, why);
		return PROBLEM_BACKLOG_FULL;
	case -EMSGSIZE:
		buf_add_str(why, "the job is larger than backlog.max_bytes, ");
		units_add_size_rough(why, stats.backlog.max_bytes);
		return PROBLEM_JOB_TOO_LARGE;
	case -ENOSPC:
		add_disk(&stats.backlog, why);
		return PROBLEM_DISK_FULL;
	case -EOPNOTSUPP:
		buf_printf(why, "the %s backlog cannot do this; set backlog.type to \"sqlite\"",
		           stats.backlog_type);
		return PROBLEM_NOT_SUPPORTED;
	case -EPIPE:
		if (engine_is_draining(engine)) {
			buf_add_str(why, PROBLEM_TEXT_DRAINING);
			return PROBLEM_DRAINING;
		}
		buf_add_str(why, PROBLEM_TEXT_STOPPING);
		return PROBLEM_STOPPING;
	case -ETIMEDOUT:
		buf_add_str(why, "the backlog does not answer; its disk may be stuck");
		return PROBLEM_BACKLOG_SILENT;
	case -ENOMEM:
		buf_add_str(why, "the daemon is out of memory");
		return PROBLEM_OUT_OF_MEMORY;
	default:
		buf_printf(why, "the backlog's database cannot be used: %s", strerrordesc_np(-error));
		return PROBLEM_BACKLOG_BROKEN;
	}
}

void problem_reply(struct reply *reply, struct engine *engine, int error)
{
	struct buf why = { 0 };
	enum problem_kind kind = problem_of(engine, error, &why);

	if (why.failed)
		reply->body.failed = true;
	else
		problem(reply, kind, "%.*s", (int) why.len, why.data);
	buf_done(&why);
}
