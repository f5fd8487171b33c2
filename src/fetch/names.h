/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The names that a resolver knows or is asking for: a bounded cache.
 *
 *     names_add()           names_answer()            expired or evicted
 *   ──────────────► pending ──────────────► answered ────────────────────► gone
 *
 * A name is answered once and never changes again; when it has expired, the
 * next lookup makes a new one, so that those who waited for the old one keep
 * its answer.  Pending names are never evicted, answered ones in the order of
 * their last use.
 *
 * The caller's lock guards everything here.
 */
#ifndef PENSTOCK_FETCH_NAMES_H
#define PENSTOCK_FETCH_NAMES_H

#include "base/attr.h"
#include "base/sync.h"
#include "fetch/dns.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct name {
	struct dns_query query; /* first, so that the answer to it finds the name */
	struct name *chained;   /* next of the same bucket */
	struct name *older, *newer; /* among the answered ones in the cache */
	struct cond answered;       /* !pending, or whoever waits shall give up */
	unsigned references; /* the cache's, the query's while pending, one a waiter */
	bool pending;
	struct dns_answer answer; /* once !pending */
	uint64_t expires_ns;      /* CLOCK_MONOTONIC, once !pending */
	char text[];              /* in lower case */
};

struct names {
	struct name **buckets;
	size_t mask;     /* number of buckets - 1, which is 2^k - 1 */
	uint64_t seed;   /* of the hash */
	size_t n, limit; /* names in the cache, and how many at most */
	struct name *newest, *oldest; /* of the answered ones, by last use */
};

/* Returns 0 or -ENOMEM. */
NODISCARD NONNULL(1) int names_init(struct names *names, size_t limit);

/* No name may be pending. */
NONNULL(1) void names_destroy(struct names *names);

/* Finds a name that is pending or has an answer still good at 'now_ns'; else
 * NULL.  Makes it the last to be evicted.  Takes no reference. */
NODISCARD NONNULL(1, 2)
struct name *names_find(struct names *names, const char *text, uint64_t now_ns);

/*
 * Adds a pending name, which names_find() has just not found.  The caller gets
 * two references: its own, and the one that goes to names_answer().
 *
 * Returns 0, -ENOMEM, or -EBUSY if all names in the cache are pending.
 */
NODISCARD NONNULL(1, 2, 3)
int names_add(struct names *names, const char *text, struct name **ret_name);

/* Answers a pending name, good until 'expires_ns', and wakes those who wait for
 * it.  Takes over a reference to 'name', and 'answer->addresses'. */
NONNULL(1, 2, 3)
void names_answer(struct names *names, struct name *name, const struct dns_answer *answer,
                  uint64_t expires_ns);

/* Wakes all who wait for any name. */
NONNULL(1) void names_wake_all(struct names *names);

NONNULL(1) void name_unref(struct name *name);

#endif
