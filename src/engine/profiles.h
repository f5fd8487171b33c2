/* SPDX-License-Identifier: Apache-2.0 */
/* How each origin is spoken to, as the settings and the files that they name say. */
#ifndef PENSTOCK_ENGINE_PROFILES_H
#define PENSTOCK_ENGINE_PROFILES_H

#include "base/attr.h"
#include "base/buf.h"
#include "engine/settings.h"
#include "fetch/rules.h"

/*
 * Makes a profile of each element of 'origins'.  Warns, in the log, of those whose certificates
 * are not checked, and of secrets that others can read.  Free with profiles_free().
 *
 * Returns 0; or -EINVAL with one line a problem, each ended by '\n', appended to 'errors'; or
 * -ENOMEM.
 */
NODISCARD NONNULL(1, 2, 3)
int profiles_make(const struct config_groups *origins, struct fetch_profile **ret_profiles,
                  struct buf *errors);

/* The same, but where there are no credentials, as in a shell, those that are named are left out,
 * with a warning: for settings that are checked and not used. */
NODISCARD NONNULL(1, 2, 3)
int profiles_check(const struct config_groups *origins, struct fetch_profile **ret_profiles,
                   struct buf *errors);

/* Overwrites what was read from files.  Ignores NULL, returns NULL. */
struct fetch_profile *profiles_free(struct fetch_profile *profiles, size_t n);

/* What is wrong with a proxy's URL, a text of static lifetime; NULL if nothing is. */
NODISCARD NONNULL(1) const char *profiles_proxy_trouble(const char *url);

#endif
