/* SPDX-License-Identifier: Apache-2.0 */
/* Why a job that was accepted has not been fetched yet: the codes that answers, metrics and
 * the database share. */
#ifndef PENSTOCK_JOB_WAIT_H
#define PENSTOCK_JOB_WAIT_H

#include <stdbool.h>

/* The numbers stand in databases, which outlive every release. */
enum wait_reason {
	/* It is not due. */
	WAIT_NOT_BEFORE = 0,  /* its not_before */
	WAIT_RETRY = 1,       /* the back-off before its next attempt */
	WAIT_NAMES = 2,       /* too many workers were waiting for names */

	/* Its lane may not run. */
	WAIT_PAUSED = 3,
	WAIT_RETRY_AFTER = 4, /* the origin has asked for a pause */
	WAIT_BREAKER = 5,     /* the origin failed again and again */
	WAIT_RATE = 6,
	WAIT_CONCURRENCY = 7,

	/* Others are before it. */
	WAIT_QUEUE = 8,       /* for its turn to be queued */
	WAIT_WORKER = 9,      /* queued, for its turn to be popped */

	WAIT_POISON = 10,     /* it has crashed the daemon too often */

	WAIT_BODIES = 11,     /* it is not due: its body could not be kept */
	WAIT_REASONS,
};

/* Whether it is the job that waits until a time, rather than for its lane or its turn. */
static inline bool wait_is_delay(enum wait_reason reason)
{
	return reason <= WAIT_NAMES || reason == WAIT_BODIES;
}

/* As in answers and metrics: "not_before", "retry_after". */
const char *wait_reason_name(enum wait_reason reason);

#endif
