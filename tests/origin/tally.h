/* SPDX-License-Identifier: Apache-2.0
 *
 * Counts by name, in bounded memory: a hash table that remembers how often each name came and,
 * on demand, when it came the last times.
 *
 * A zeroed struct with its limit set is an empty tally. */
#ifndef ORIGIN_TALLY_H
#define ORIGIN_TALLY_H

#include "attr.h"
#include "text.h"

#include <stddef.h>
#include <stdint.h>

/* Arrivals that are remembered of each name: the last ones. */
enum { TALLY_ARRIVALS_MAX = 64 };

/* One name. */
struct entry {
	struct entry *next; /* in the same bucket */
	uint64_t hash;
	uint64_t count;
	uint64_t first_ms;     /* CLOCK_MONOTONIC, like the next two */
	uint64_t last_ms;
	uint64_t *arrivals_ms; /* a ring: the arrival with number i is at i modulo its size */
	size_t ring_size;      /* a power of two; 0 while arrivals are not kept */
	size_t name_len;
	char name[];
};

struct tally {
	size_t names_max;       /* the limit */
	size_t names;           /* remembered now */
	uint64_t dropped;       /* arrivals of names that found no room */
	struct entry **buckets; /* owned */
	size_t buckets_len;     /* 0, or a power of two */
};

/* Counts one arrival of 'name', without its time.
 * Returns its entry, borrowed until tally_clear(), or NULL if there is no room. */
NONNULL(1) struct entry *tally_count(struct tally *t, struct slice name);

/* The same, and notes the time.  Without memory for it, the arrival is counted only. */
NONNULL(1) struct entry *tally_note(struct tally *t, struct slice name, uint64_t now_ms);

/* The entry of 'name', or NULL if it never came. */
NONNULL(1) struct entry *tally_find(const struct tally *t, struct slice name);

/* Forgets every name and keeps the limit.  Idempotent. */
NONNULL(1) void tally_clear(struct tally *t);

#endif
