/* SPDX-License-Identifier: Apache-2.0 */
/* The sets of networks that an entry of the guard may name. */
#ifndef PENSTOCK_FETCH_GUARD_NAMES_H
#define PENSTOCK_FETCH_GUARD_NAMES_H

#include "base/attr.h"

/* The networks of the set with this name, up to a NULL; those with a '!' in front are no part
 * of it, although one that they lie in is.  NULL if there is no such set. */
NODISCARD NONNULL(1) const char *const *guard_named(const char *name);

#endif
