/* SPDX-License-Identifier: Apache-2.0 */
/* What the attempts of all workers came to, and how long they took. */
#ifndef PENSTOCK_ENGINE_TALLY_H
#define PENSTOCK_ENGINE_TALLY_H

#include "base/attr.h"
#include "base/histogram.h"
#include "engine/retry.h"
#include "job/result.h"

#include <stdatomic.h>
#include <stdint.h>

/* Why an attempt was no success: a bounded set, for counting. */
enum failure {
	FAILURE_HTTP_4XX,
	FAILURE_HTTP_5XX,
	FAILURE_HTTP_OTHER, /* another status that is not in fetch.success */
	FAILURE_TIMEOUT,    /* or too slow */
	FAILURE_DEADLINE,   /* the job's own */
	FAILURE_NAME,       /* there is no such host */
	FAILURE_CONNECT,
	FAILURE_RESET,      /* the connection broke */
	FAILURE_TLS,        /* a certificate that is not trusted */
	FAILURE_PROTOCOL,   /* no valid HTTP, or not in the encoding that it said */
	FAILURE_REDIRECT,   /* too many, or to what is not fetched */
	FAILURE_TOO_LARGE,
	FAILURE_GUARD,      /* an address that is denied, or a proxy that says no */
	FAILURE_BODY,       /* its body could not be read, or that of the answer not be kept */
	FAILURE_OTHER,
	FAILURES,
};

/* As it is in metrics: "http_5xx", "timeout". */
NODISCARD const char *failure_name(enum failure why);

/* The steps of an attempt's last hop. */
enum fetch_phase {
	PHASE_NAME,       /* the look-up of the host's name */
	PHASE_CONNECT,    /* TCP */
	PHASE_TLS,
	PHASE_FIRST_BYTE, /* from the request to the first byte of the answer */
	PHASE_TRANSFER,   /* from there to the last one */
	PHASES,
};
NODISCARD const char *fetch_phase_name(enum fetch_phase phase);

enum { STATUS_CLASSES = 5 }; /* 1xx to 5xx */

/* Zero-initialised is empty.  Safe from any thread. */
struct tally {
	_Atomic uint64_t responses[STATUS_CLASSES];
	_Atomic uint64_t failures[FAILURES];
	_Atomic uint64_t retried[FAILURES];
	struct histogram queue_wait;
	struct histogram duration;
	struct histogram phases[PHASES];
};

/* Counts an attempt that fetch() ended with 'error', and that is judged. */
NONNULL(1, 3, 4)
void tally_attempt(struct tally *t, int error, const struct response *response,
                   const struct judgement *j);

struct tally_figures {
	uint64_t responses[STATUS_CLASSES]; /* attempts with a whole answer, by its status */
	uint64_t failures[FAILURES];        /* attempts that were no success */
	uint64_t retried[FAILURES];         /* of these, those whose job gets another one */
	struct histogram_figures queue_wait;     /* of jobs, from when they could run to a worker */
	struct histogram_figures duration;       /* of attempts, without waits between their hops */
	struct histogram_figures phases[PHASES]; /* of those steps that were taken, to their end */
};
NONNULL(1, 2) void tally_read(struct tally *t, struct tally_figures *ret_figures);

#endif
