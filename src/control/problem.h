/* SPDX-License-Identifier: Apache-2.0 */
/* Errors as people and programs can read them: application/problem+json (RFC 9457). */
#ifndef PENSTOCK_CONTROL_PROBLEM_H
#define PENSTOCK_CONTROL_PROBLEM_H

#include "base/attr.h"
#include "control/reply.h"

/* Makes the empty 'reply' a problem; the detail says what is wrong and what to do.
 * Bytes of it that are not UTF-8 are replaced. */
NONNULL(1, 3) PRINTF_LIKE(3, 4)
void problem(struct reply *reply, unsigned status, const char *detail, ...);

/* For an id with two contents. */
#define PROBLEM_CONFLICT \
	"a job with this id and other content was accepted before; give this one another id"

/* For a daemon that takes no jobs any more. */
#define PROBLEM_DRAINING "the daemon is draining and takes no more jobs"
#define PROBLEM_STOPPING "the daemon is stopping and takes no more jobs"

/* Appends why the backlog has refused a job, with its figures; 'error' is as in struct
 * submission and struct query, or -ETIMEDOUT.  Returns the status for it. */
NONNULL(1, 3)
unsigned problem_of(struct engine *engine, int error, struct buf *why);

/* Makes the empty 'reply' a problem of that. */
NONNULL(1, 2) void problem_reply(struct reply *reply, struct engine *engine, int error);

#endif
