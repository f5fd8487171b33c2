/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Host names to addresses, with deadlines that hold.
 *
 * One thread owns a c-ares channel.  Whoever asks for a name waits on a condition
 * variable, at most until its own deadline, so that a dead name server cannot
 * hold it longer.  Lookups of the same name at the same time are one lookup.
 * Answers are cached for their TTL (RFC 1035, section 3.2.1), failures for a
 * short time (RFC 2308), both within bounds; the cache is bounded.
 */
#ifndef PENSTOCK_FETCH_RESOLVER_H
#define PENSTOCK_FETCH_RESOLVER_H

#include "base/attr.h"
#include "base/sync.h"
#include "fetch/addresses.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct resolver_options {
	const char *servers;    /* "ADDRESS[:PORT],…"; NULL or "": as in resolv.conf(5); borrowed for the call */
	unsigned max_waiters;   /* threads that may wait for names at the same time */
	size_t max_cached;      /* names; at least max_waiters */
	uint64_t min_ttl_ns, max_ttl_ns; /* answers are kept at least and at most so long */
	uint64_t failure_ttl_ns;         /* and failures so long */
};

struct resolver;

/* Starts the resolver's thread.  Returns 0, -ENOMEM, -EAGAIN (no thread), -EMFILE
 * or -ENFILE (no descriptors), -EINVAL ('servers' is no list of addresses), or -EIO
 * (resolv.conf is unreadable).  Free with resolver_free(). */
NODISCARD NONNULL(1, 2)
int resolver_create(const struct resolver_options *options, struct resolver **ret_resolver);

/* Stops the thread.  Nobody may be inside resolver_lookup().  Ignores NULL, returns NULL. */
struct resolver *resolver_free(struct resolver *r);

/*
 * Finds the addresses of 'host', waiting until 'deadline_ns' (CLOCK_MONOTONIC).
 * It is a name, or an address: IPv4, or IPv6 with or without brackets.  localhost
 * and what lies below it are the loopback's addresses (RFC 6761, section 6.3).
 *
 * Returns 0 and a reference for addresses_unref(); or, with a text of static
 * lifetime in '*ret_why': -ENOENT (there is no such name, or it has no address),
 * -ETIMEDOUT (the deadline, or no server answered), -EBUSY (max_waiters wait
 * already: come back later, by when the name may have been asked for),
 * -ECANCELED (resolver_cancel()), -EIO (the server failed), -ENOMEM.  Safe from any thread.
 */
NODISCARD NONNULL(1, 2, 4, 5)
int resolver_lookup(struct resolver *r, const char *host, uint64_t deadline_ns,
                    struct addresses **ret_addresses, const char **ret_why);

/* Ends every wait, now and from now on, with -ECANCELED.  Idempotent. */
NONNULL(1) void resolver_cancel(struct resolver *r);

struct resolver_stats {
	size_t cached;     /* names in the cache, pending ones included */
	unsigned waiting;  /* threads that wait now */
	uint64_t lookups;  /* calls */
	uint64_t hits;     /* answered from the cache at once */
	uint64_t queries;  /* names asked of c-ares */
	uint64_t failures; /* lookups that did not end with 0 */
};
NONNULL(1, 2) void resolver_stats(struct resolver *r, struct resolver_stats *ret_stats);

#endif
