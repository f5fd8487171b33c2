/* SPDX-License-Identifier: Apache-2.0 */
/* What a handler is given and what it makes of it; knows nothing of libmicrohttpd. */
#ifndef PENSTOCK_CONTROL_REPLY_H
#define PENSTOCK_CONTROL_REPLY_H

#include "base/buf.h"
#include "control/control.h"

#include <stdbool.h>
#include <stdint.h>

struct desk;
struct history;

/* The daemon at the moment of the request; the engine's figures are read by the handler. */
struct view {
	const struct control_options *options;
	struct desk *desk; /* for requests that take more than one step: task.h */
	const struct history *history;
	enum control_reach reach; /* of whoever asks */
	enum control_phase phase;
	int results_error; /* as in control_set_results_error() */
	uint64_t uptime_us;
};

#define BODY_UNKNOWN UINT64_MAX /* chunked: known at its end */

struct request {
	const char *method;
	const char *path;
	const char *accept;       /* the header; "" if there is none, as the next two */
	const char *content_type;
	const char *host;
	const char *wait;         /* of the target's query; NULL if there is none, as the next one */
	const char *limit;
	const char *dry_run;
	const char *from;
	const char *last;
	const char *since;
	const char *outcome;
	bool follow;              /* it is in the target's query, whatever its value */
	uint64_t body_bytes;      /* 0: there is no body */
};

#define REPLY_RETRY_AFTER "1" /* seconds; what Retry-After says */

struct reply {
	unsigned status;     /* 0: there is none yet */
	const char *type;    /* a literal */
	char allow[32];      /* the header; "": none */
	const char *policy;  /* the header Content-Security-Policy, a literal; NULL: none */
	struct buf location; /* the header, NUL-terminated; empty: none */
	bool retries;        /* Retry-After: it may well work in a moment */
	struct buf body;     /* owned by whoever called the handler, as the location and the file */
	int file;            /* the body instead, if it has bytes */
	uint64_t file_bytes;
	bool streams;        /* the body is what the task's read() gives, for as long as it does */
};

/* Releases what the reply owns and makes it empty.  Idempotent. */
NONNULL(1) void reply_done(struct reply *reply);

#endif
