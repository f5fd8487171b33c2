/* SPDX-License-Identifier: Apache-2.0
 *
 * What the origin remembers across requests: its counters, its tallies and its random numbers. */
#ifndef ORIGIN_ORIGIN_H
#define ORIGIN_ORIGIN_H

#include "attr.h"
#include "tally.h"

#include <stdbool.h>
#include <stdint.h>

enum {
	ORIGIN_ROUTES_MAX = 48, /* room in by_route */
	ORIGIN_STATUS_MAX = 1000,
};

/*
 * Connections and bytes are counted for all; the rest leaves out requests to "/_...", so that
 * looking changes nothing.  A request is in flight from its complete head until the last byte of
 * its answer is handed to the kernel.
 */
struct counters {
	uint64_t connections; /* accepted */
	uint64_t open;        /* now */
	uint64_t max_open;
	uint64_t requests;
	uint64_t in_flight;   /* now */
	uint64_t max_in_flight;
	uint64_t bytes_in;
	uint64_t bytes_out;
	uint64_t by_route[ORIGIN_ROUTES_MAX];  /* indexed like routes_name() */
	uint64_t by_status[ORIGIN_STATUS_MAX]; /* answers whose sending began */
};

struct origin {
	struct counters counters;
	struct tally targets;        /* arrivals by target; used with 'remembers' only */
	struct tally flaky;          /* requests by ID of /flaky */
	struct tally flaky_resets;   /* requests by ID of /flaky-reset */
	uint64_t random_state;
	uint64_t connections_opened; /* numbers the connections; never reset */
	bool remembers;              /* --remember */
};

NONNULL(1) void origin_init(struct origin *o, uint64_t seed, bool remembers);

/* Releases the tallies.  Idempotent. */
NONNULL(1) void origin_done(struct origin *o);

/* Zeroes the counters and forgets every name; what is open or in flight now stays counted. */
NONNULL(1) void origin_reset(struct origin *o);

/* A random number from 0 to 'max', both included; the sequence follows from the seed. */
NONNULL(1) uint64_t origin_random(struct origin *o, uint64_t max);

#endif
