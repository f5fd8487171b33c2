/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The addresses that may be connected to.  An address is refused if a deny entry has it and no
 * allow entry does; what is in neither is allowed.  Entries are networks, single addresses, or
 * names of sets of networks.
 *
 * An IPv6 address that an IPv4 one is written in stands for both, and both must be allowed.
 *
 * Immutable, so safe from any thread.
 */
#ifndef PENSTOCK_FETCH_GUARD_H
#define PENSTOCK_FETCH_GUARD_H

#include "base/attr.h"
#include "fetch/addresses.h"
#include "fetch/ip.h"

#include <stddef.h>

/* Returns NULL if 'entry' can stand in a list, or what is wrong, a text of static lifetime. */
NODISCARD NONNULL(1) const char *guard_entry_trouble(const char *entry);

struct guard_list {
	const char *const *entries;
	size_t n;
};

struct guard;

/* Copies the entries.  Returns 0, -ENOMEM, or -EINVAL if guard_entry_trouble() has something to
 * say of one.  Free with guard_free(). */
NODISCARD NONNULL(1, 2, 3)
int guard_create(const struct guard_list *deny, const struct guard_list *allow,
                 struct guard **ret_guard);

/* Ignores NULL, returns NULL. */
struct guard *guard_free(struct guard *g);

/* Why an address is refused.  Its strings live as long as the guard. */
struct guard_refusal {
	struct ip address;
	struct ip inner;     /* the IPv4 address in it that is meant; 0 bits: itself is */
	const char *entry;   /* as it was written; NULL: there was no refusal */
	const char *network; /* of the entry's, the one that has the address */
};

enum { GUARD_REFUSAL_SIZE = 160 };

/* Writes: 169.254.1.1 is denied by "link-local" (169.254.0.0/16) */
NONNULL(1) void guard_refusal_format(const struct guard_refusal *refusal,
                                     char text[static GUARD_REFUSAL_SIZE]);

/* Whether 'ip' may be connected to.  Returns 0 or -EACCES. */
NODISCARD NONNULL(1, 2, 3)
int guard_check(const struct guard *g, const struct ip *ip, struct guard_refusal *ret_refusal);

/* Finds those of 'all' that may be connected to.  Returns 0 and a reference, to 'all' itself
 * if that is all of them; -EACCES with the first refusal if there is none; or -ENOMEM. */
NODISCARD NONNULL(1, 2, 3, 4)
int guard_filter(const struct guard *g, struct addresses *all, struct addresses **ret_allowed,
                 struct guard_refusal *ret_refusal);

#endif
