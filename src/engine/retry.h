/* SPDX-License-Identifier: Apache-2.0 */
/* What an attempt's answer means for its job: done, another attempt, or dead. */
#ifndef PENSTOCK_ENGINE_RETRY_H
#define PENSTOCK_ENGINE_RETRY_H

#include "backlog/backlog.h"
#include "base/attr.h"
#include "base/random.h"
#include "job/result.h"
#include "job/wait.h"

#include <stdbool.h>
#include <stdint.h>

/* A set of HTTP status codes, 100 to 599. */
struct status_set {
	uint64_t bits[8];
};

/* Reads "200" or "200-399" and adds it to 'set'.  Returns 0 or -EINVAL. */
NODISCARD NONNULL(1, 2) int status_set_add(struct status_set *set, const char *text);
NONNULL(1) bool status_set_has(const struct status_set *set, long status);

struct retry_policy {
	uint64_t max_attempts;       /* >= 1 */
	uint64_t base_ns;            /* the first back-off is up to so long, and doubles with each attempt */
	uint64_t max_ns;             /* but is never longer than this */
	uint64_t max_retry_after_ns; /* a server that wants a longer pause gets no further attempt */
	struct status_set success;
};

struct judgement {
	enum verdict_kind kind;
	enum outcome outcome; /* of VERDICT_FINAL */
	uint64_t delay_ns;    /* of the others: from now */
	enum wait_reason why; /* of a delay: WAIT_RETRY, WAIT_NAMES or WAIT_BODIES */
	char reason[224];     /* of OUTCOME_DEAD: "retries exhausted: http 503"; "" otherwise */

	/* About the origin that was asked last, whatever becomes of the job. */
	uint64_t cool_ns;      /* from now on it wants to be left alone; at most max_retry_after_ns */
	bool transport_failed; /* there was no whole answer, but there may be one another time */
};

/*
 * Judges an attempt that fetch() ended with 'error', but for -EXDEV, and 'response'; counts
 * it in job->attempts unless it was not made or was aborted, or is made again because its
 * body could not be kept (-ENOSPC).
 *
 * Transport failures and 408, 425, 429, 500, 502, 503 and 504 are worth another
 * attempt.  The back-off is exponential with full jitter (uniform between 0 and
 * its bound), and never shorter than the server's Retry-After.  That of a 429 or 503 is
 * meant for every job of its origin.
 *
 * 'left_ns' is deadline_left_ns(): a job whose next attempt would begin after that is dead now.
 * One that was ended by it is dead, too; of the origin that says nothing, as it may have had
 * hardly any time.
 */
NONNULL(1, 2, 5, 6, 7)
void retry_judge(const struct retry_policy *policy, struct job *job, int error, uint64_t left_ns,
                 const struct response *response, struct random *random,
                 struct judgement *ret_judgement);

#endif
