/* SPDX-License-Identifier: Apache-2.0 */
/* What the settings' files share; private to settings*.c. */
#ifndef PENSTOCK_ENGINE_SETTINGS_PARTS_H
#define PENSTOCK_ENGINE_SETTINGS_PARTS_H

#include "engine/settings.h"

/* Whether origins[i].MEMBER was not given. */
NODISCARD NONNULL(1, 3)
bool settings_is_default(const struct config *c, size_t i, const char *member);

/* Appends what is wrong, a line each, with its place.  Returns 0 or -EINVAL. */
NODISCARD NONNULL(1, 2, 3)
int settings_check(const struct settings *s, const struct config *c, struct buf *errors);

/* The part of it that concerns the sources. */
NONNULL(1, 2, 3)
void settings_check_sources(const struct settings *s, const struct config *c, struct buf *errors);

#endif
