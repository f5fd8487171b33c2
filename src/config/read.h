/* SPDX-License-Identifier: Apache-2.0 */
/* From the tree of settings to the caller's struct. */
#ifndef PENSTOCK_CONFIG_READ_H
#define PENSTOCK_CONFIG_READ_H

#include "config/config.h"
#include "config/load.h"
#include "config/text.h"

#include <libconfig.h>
#include <stdbool.h>

/* One struct that is being filled. */
struct config_target {
	const struct config_table *table;
	void *values;     /* table->size bytes */
	bool *given;      /* for each key of the table: there is a value, if only a wrong one */
	const char *base; /* goes before the keys' paths: "", or "sources[0]." */
};

/* Stores the defaults.  False if there is no memory. */
NODISCARD bool config_target_start(struct loading *l, const struct config_table *table,
                                   void *values, const char *base,
                                   struct config_target *ret_target);

/* Reads the members of 'group', which came from 't'. */
void config_target_read(struct loading *l, const struct config_target *target,
                        const config_setting_t *group, const struct config_text *t);

/* Reports the unknown 'path', with the name that it resembles. */
void config_unknown_key(struct loading *l, const struct config_table *table, const char *path,
                        const struct place *place);

/* Reports the keys that have no default and were not given; 'where' they could be. */
void config_target_finish(struct loading *l, const struct config_target *target, const char *where);

#endif
