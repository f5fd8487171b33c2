/* SPDX-License-Identifier: Apache-2.0 */
/* The names in a table: keys, the groups that their paths imply, and likely slips. */
#ifndef PENSTOCK_CONFIG_NAMES_H
#define PENSTOCK_CONFIG_NAMES_H

#include "base/buf.h"
#include "config/config.h"

#include <stdbool.h>
#include <stddef.h>

/* The key at 'path', or NULL. */
const struct config_key *config_find_key(const struct config_table *table, const char *path);

/* Whether keys stand in the group 'path': "queue" for "queue.capacity". */
bool config_is_group(const struct config_table *table, const char *path);

/* Appends what to do about the unknown 'path': the name that it resembles, or the
 * names that its group has. */
void config_suggest(const struct config_table *table, const char *path, struct buf *b);

#endif
