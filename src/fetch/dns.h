/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The c-ares channel and the one thread that may touch it.
 *
 * Names are looked up in /etc/hosts, then asked of the name servers for IPv4
 * and IPv6 at once.  A question that nobody answers is given up after a bounded
 * time: n times DNS_GIVE_UP_MS with n name servers.
 */
#ifndef PENSTOCK_FETCH_DNS_H
#define PENSTOCK_FETCH_DNS_H

#include "base/attr.h"
#include "fetch/addresses.h"

#include <stdbool.h>
#include <stdint.h>

/* c-ares doubles the time from try to try: 1 s, 2 s, 4 s. */
enum { DNS_TRIES = 3, DNS_FIRST_TRY_MS = 1000, DNS_GIVE_UP_MS = 7000 };

/* One question, embedded by whoever asks; left alone from dns_ask() to its answer. */
struct dns_query {
	const char *host; /* in lower case; borrowed until the answer */
	struct dns_query *next; /* dns.c's: of those not begun yet, */
	struct dns *dns;        /* and where it was asked */
};

struct dns_answer {
	int status;                  /* 0, -ENOENT, -ETIMEDOUT, -EIO, -ENOMEM or -ECANCELED */
	const char *why;             /* static text, if status != 0 */
	struct addresses *addresses; /* if status == 0: one reference, the receiver's */
	uint32_t ttl_s; /* if status == 0: of the shortest-lived address; /etc/hosts: 0 */
};

/* Called once a query, on the DNS thread with no lock held; 'query' is the
 * receiver's again. */
typedef void dns_answered_fn(void *arg, struct dns_query *query, const struct dns_answer *answer);

/* Whether 'server' is an item of dns_create()'s list. */
NONNULL(1) bool dns_is_server(const char *server);

struct dns;

/*
 * Starts the thread.  'servers' is "ADDRESS[:PORT],…" (an IPv6 address with a
 * port in brackets), or NULL or "" for what resolv.conf(5) says now.
 *
 * Returns 0, -ENOMEM, -EAGAIN (no thread), -EMFILE or -ENFILE (no descriptors),
 * -EINVAL ('servers' is no such list), or -EIO (resolv.conf is unreadable).
 */
NODISCARD NONNULL(2, 4)
int dns_create(const char *servers, dns_answered_fn *answered, void *arg, struct dns **ret_dns);

/* Answers what is still open with -ECANCELED and stops the thread.  Nobody may
 * be inside dns_ask().  Ignores NULL, returns NULL. */
struct dns *dns_free(struct dns *dns);

/* Asks for 'query->host'.  Never waits.  Safe from any thread, with no lock held. */
NONNULL(1, 2) void dns_ask(struct dns *dns, struct dns_query *query);

#endif
