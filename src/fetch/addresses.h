/* SPDX-License-Identifier: Apache-2.0 */
/* The addresses of one name: immutable, counted references. */
#ifndef PENSTOCK_FETCH_ADDRESSES_H
#define PENSTOCK_FETCH_ADDRESSES_H

#include "base/attr.h"

#include <stdbool.h>
#include <stddef.h>

enum { RESOLVER_ADDRESS_SIZE = 46, RESOLVER_MAX_ADDRESSES = 8 };
struct addresses {
	size_t n; /* >= 1 */
	/* As of inet_ntop(3); IPv6 without brackets. */
	char text[RESOLVER_MAX_ADDRESSES][RESOLVER_ADDRESS_SIZE];
	_Atomic unsigned references;
};

/* Makes an empty list with one reference, for its maker to fill before anybody
 * else sees it.  Returns NULL if memory is out. */
NODISCARD struct addresses *addresses_create(void);

/* Takes another reference; returns 'a'. */
NONNULL(1) struct addresses *addresses_ref(struct addresses *a);

/* Ignores NULL, returns NULL. */
struct addresses *addresses_unref(struct addresses *a);

/* Whether 'text' (inet_ntop form) is one of them. */
NONNULL(1, 2) bool addresses_include(const struct addresses *a, const char *text);

#endif
