/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What penstock top knows of a daemon, and how it asks: round by round, one request after the
 * other, without ever waiting for an answer.  Belongs to one thread.
 */
#ifndef PENSTOCK_CLI_TOP_ASK_H
#define PENSTOCK_CLI_TOP_ASK_H

#include "base/attr.h"
#include "base/buf.h"
#include "cli/lane_text.h"
#include "cli/top_history.h"
#include "cli/unix_http.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is known. */
struct top_data {
	json_t *status; /* the last answer of /v1/status, and the one before; owned */
	json_t *before;
	json_t **lanes; /* in the order that was asked for; borrowed from lanes_answer */
	size_t n_lanes;
	size_t all_lanes; /* that the daemon has */
	json_t *lanes_answer;
	struct top_history history;
	json_t *failures; /* records of dead jobs, the newest first; owned */

	uint64_t answered_ns; /* when it last answered */
	int error;            /* why it cannot be asked now, as of unix_http_perform(); 0: it can */
	struct buf problem;   /* why the last round lacks something */
	struct buf message;   /* what came of the last order */
};

/* How it is asked; 'http', 'interval_ns' and 'order' are to be set, the rest is zero at first. */
struct top_ask {
	struct unix_http *http;
	uint64_t interval_ns;
	const struct lane_order_name *order; /* of the lanes; see top_ask_sort() */

	uint64_t next_ns; /* when the next round begins */
	int question;     /* under way, 0: none is */
	struct buf target, body, answer;
	struct unix_http_request request;
	enum top_has { TOP_MAY_HAVE, TOP_HAS, TOP_LACKS } history, failures; /* the daemon, to ask for */
	json_int_t dead; /* jobs when it was asked for failures */

	/* An order that is to be given. */
	const char *lever; /* "pause", "resume" or "drain"; NULL: none */
	char *origin;      /* owned; NULL: everything */
	const char *given; /* the last one that was */
};

NONNULL(1) void top_ask_done(struct top_ask *t);
NONNULL(1) void top_data_done(struct top_data *d);

/* Goes on as far as it can without waiting.  Returns whether there is something new to see. */
NODISCARD NONNULL(1, 2) bool top_ask_continue(struct top_ask *t, struct top_data *d);

/* When top_ask_continue() has something to do even if no answer comes. */
NODISCARD NONNULL(1) uint64_t top_ask_next_ns(const struct top_ask *t);

/* Gives an order as soon as it can, to a lane or (origin NULL) to all; what comes of it will be
 * the message.  One that has not been sent yet is forgotten.  Returns 0 or -ENOMEM. */
NODISCARD NONNULL(1, 2)
int top_ask_order(struct top_ask *t, const char *lever, const char *origin);

/* Has the lanes in another order, from now on. */
NONNULL(1, 2, 3)
void top_ask_sort(struct top_ask *t, struct top_data *d, const struct lane_order_name *order);

#endif
