/* SPDX-License-Identifier: Apache-2.0 */
/* One value: from a setting or a text to the caller's struct, checked. */
#ifndef PENSTOCK_CONFIG_VALUE_H
#define PENSTOCK_CONFIG_VALUE_H

#include "config/config.h"
#include "config/load.h"

#include <libconfig.h>

/* Reads a setting of the file; not for CONFIG_GROUPS. */
void config_value_read(struct loading *l, const struct config_key *key,
                       const config_setting_t *setting, const struct place *place, void *values);

/* Reads a text as it is given on a command line or as a default; of CONFIG_GROUPS
 * only the empty list. */
void config_value_parse(struct loading *l, const struct config_key *key, const char *text,
                        const struct place *place, void *values);

/* Reports that 'setting' is not of the type that 'key' has. */
void config_wrong_type(struct loading *l, const struct config_key *key,
                       const config_setting_t *setting, const struct place *place);

/* "a string", "a list", … */
const char *config_type_name(const config_setting_t *setting);

/* Stores the 'size' bytes at 'value' as the value of 'key'. */
void config_store(void *values, const struct config_key *key, const void *value, size_t size);

#endif
