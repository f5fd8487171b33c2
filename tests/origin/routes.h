/* SPDX-License-Identifier: Apache-2.0
 *
 * Which path does what.  A route reads one request and builds its answer; it never blocks, and
 * it knows nothing of sockets. */
#ifndef ORIGIN_ROUTES_H
#define ORIGIN_ROUTES_H

#include "answer.h"
#include "attr.h"
#include "origin.h"
#include "request.h"
#include "text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One request on its way to its answer; everything is borrowed. */
struct call {
	struct origin *origin;
	const struct request *req;
	struct slice rest;     /* the path behind "/route/" */
	struct slice body;     /* what was kept of it */
	uint64_t body_bytes;   /* all of it */
	uint64_t connection;   /* number of the TCP connection, from 1 */
	uint64_t number;       /* number of the request on it, from 1 */
	struct answer *answer; /* to be built */
};

/* The route of a path, as an index; unknown paths have one as well. */
size_t routes_find(struct slice path);

/* Counts requests that could not be understood. */
size_t routes_malformed(void);

/* The name under which a route is counted, or NULL past the last one. */
const char *routes_name(size_t route);

/* Whether the route wants to see the body of the request. */
bool routes_keep_body(size_t route);

/* Whether requests of this route stay out of the counters. */
bool routes_are_hidden(size_t route);

/* Builds call->answer; a request that the route refuses gets status 400. */
NONNULL(2) void routes_answer(size_t route, struct call *call);

/* Builds the answer to a request that could not be read: 'status', and the connection closes. */
NONNULL(1, 3) void routes_refuse(struct answer *a, unsigned status, const char *why);

#endif
