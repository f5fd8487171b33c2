/* SPDX-License-Identifier: Apache-2.0 */
/* Loaded values once more, in the memory of another config. */
#ifndef PENSTOCK_CONFIG_COPY_H
#define PENSTOCK_CONFIG_COPY_H

#include "config/config.h"
#include "config/load.h"

#include <stddef.h>

/* How many bytes a value takes in the caller's struct. */
size_t config_value_size(enum config_type type);

/* Copies the values of all keys, and what they point to. */
void config_copy_values(struct loading *l, const struct config_table *table, const void *from,
                        void *to);

#endif
