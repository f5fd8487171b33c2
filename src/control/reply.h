/* SPDX-License-Identifier: Apache-2.0 */
/* What a handler is given and what it makes of it; knows nothing of libmicrohttpd. */
#ifndef PENSTOCK_CONTROL_REPLY_H
#define PENSTOCK_CONTROL_REPLY_H

#include "base/buf.h"
#include "control/control.h"

#include <stdint.h>

/* The daemon at the moment of the request; the engine's figures are read by the handler. */
struct view {
	const struct control_options *options;
	enum control_phase phase;
	int results_error; /* as in control_set_results_error() */
	uint64_t uptime_us;
};

struct request {
	const char *method;
	const char *path;
	const char *accept; /* the header; "" if there is none */
};

struct reply {
	unsigned status;
	const char *type;  /* a literal, as 'allow' */
	const char *allow; /* the header; NULL: none */
	struct buf body;   /* owned by whoever called the handler */
};

#endif
