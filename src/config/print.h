/* SPDX-License-Identifier: Apache-2.0 */
/* Values as text; internal to config/. */
#ifndef PENSTOCK_CONFIG_PRINT_H
#define PENSTOCK_CONFIG_PRINT_H

#include "base/attr.h"
#include "config/config.h"

/* Appends the value of 'key', any but CONFIG_GROUPS, as it stands in a file. */
NONNULL(1, 2, 3)
void config_add_value(struct buf *b, const struct config_key *key, const char *values);

#endif
