/* SPDX-License-Identifier: Apache-2.0 */
/* Errors as people and programs can read them: application/problem+json (RFC 9457). */
#ifndef PENSTOCK_CONTROL_PROBLEM_H
#define PENSTOCK_CONTROL_PROBLEM_H

#include "base/attr.h"
#include "control/reply.h"

/* The kinds of problems; problem.c has their names, titles and statuses in one table.  A name
 * stays what it is, for programs tell the kinds apart by it. */
enum problem_kind {
	PROBLEM_BAD_TARGET,
	PROBLEM_BAD_PARAMETER,
	PROBLEM_BAD_JSON,
	PROBLEM_BAD_BODY,
	PROBLEM_BAD_JOB,
	PROBLEM_BAD_SETTINGS,
	PROBLEM_NOT_HERE,
	PROBLEM_UNKNOWN_PATH,
	PROBLEM_UNKNOWN_JOB,
	PROBLEM_UNKNOWN_RECORD,
	PROBLEM_WRONG_METHOD,
	PROBLEM_TOO_SLOW,
	PROBLEM_ID_CONFLICT,
	PROBLEM_WRONG_STATE,
	PROBLEM_TOO_MANY_PAUSED,
	PROBLEM_SETTINGS_CONFLICT,
	PROBLEM_FORGOTTEN,
	PROBLEM_BODY_TOO_LARGE,
	PROBLEM_BODY_NOT_TAKEN,
	PROBLEM_JOB_TOO_LARGE,
	PROBLEM_TARGET_TOO_LONG,
	PROBLEM_WRONG_HOST,
	PROBLEM_BACKLOG_FULL,
	PROBLEM_NOT_SUPPORTED,
	PROBLEM_TOO_MANY_CONNECTIONS,
	PROBLEM_BUSY,
	PROBLEM_STARTING,
	PROBLEM_DRAINING,
	PROBLEM_STOPPING,
	PROBLEM_UNHEALTHY,
	PROBLEM_NOT_READY,
	PROBLEM_BACKLOG_SILENT,
	PROBLEM_BACKLOG_BROKEN,
	PROBLEM_RECEIPTS_LOST,
	PROBLEM_OUT_OF_MEMORY,
	PROBLEM_DISK_FULL,
	PROBLEM_KINDS,
};

/* What "type" is, with the kind's name behind it: a URI that is only a name (RFC 9457, section
 * 3.1.1), for there is no server that all daemons' problems could be described on. */
#define PROBLEM_TYPE "urn:penstock:problem:"

NODISCARD const char *problem_name(enum problem_kind kind);
NODISCARD unsigned problem_status(enum problem_kind kind);

/* Makes the empty 'reply' a problem of a kind; the detail says what is wrong and what to do.
 * Bytes of it that are not UTF-8 are replaced.  Where it may well work in a moment, the reply
 * has Retry-After, and the problem "retry_after". */
NONNULL(1, 3) PRINTF_LIKE(3, 4)
void problem(struct reply *reply, enum problem_kind kind, const char *detail, ...);

/* Adds to the problem where the body went wrong, as "line" and "column"; both begin with 1. */
NONNULL(1) void problem_at(struct reply *reply, int line, int column);

/* For an id with two contents. */
#define PROBLEM_TEXT_CONFLICT \
	"a job with this id and other content was accepted before; give this one another id"

/* For a daemon that takes no jobs any more. */
#define PROBLEM_TEXT_DRAINING "the daemon is draining and takes no more jobs"
#define PROBLEM_TEXT_STOPPING "the daemon is stopping and takes no more jobs"

/* Appends why the backlog has refused a job, with its figures; 'error' is as in struct
 * submission and struct query, or -ETIMEDOUT.  Returns its kind. */
NONNULL(1, 3)
enum problem_kind problem_of(struct engine *engine, int error, struct buf *why);

/* Makes the empty 'reply' a problem of that. */
NONNULL(1, 2) void problem_reply(struct reply *reply, struct engine *engine, int error);

#endif
