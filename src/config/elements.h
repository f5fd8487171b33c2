/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of groups, above all those whose elements have names: the keys with a name_key. */
#ifndef PENSTOCK_CONFIG_ELEMENTS_H
#define PENSTOCK_CONFIG_ELEMENTS_H

#include "config/config.h"
#include "config/load.h"

#include <stddef.h>

/* The name of element 'i'; NULL if it was not given one. */
const char *config_element_name(const struct config_key *key, const struct config_groups *groups,
                                size_t i);

/* Looks an element up.  Returns its index, or groups->n if there is none of that name. */
size_t config_element_find(const struct config_key *key, const struct config_groups *groups,
                           const char *name);

/* Reports what is wrong with the name of the last of the 'n' elements that a file has so far:
 * those of 'groups' at these indices. */
void config_element_check(struct loading *l, const struct config_key *key,
                          const struct config_groups *groups, const size_t *indices, size_t n,
                          const char *where);

/* Stores a list without elements, but for the last one that is always there. */
void config_elements_clear(struct loading *l, const struct config_key *key, void *values);

/* Stores the list with 'n' zeroed elements more: before the others if elements have names, or
 * behind them.  Returns the elements, which may be written to; NULL if there is no memory. */
char *config_elements_extend(struct loading *l, const struct config_key *key, size_t n,
                             void *values, struct config_groups *ret_groups);

/* Gives the key of an element a value: 'path' is "origins[NAME].rate", or has an index for
 * the name.  An element that is not there is put before the others, as config_load() has it. */
void config_element_override(struct loading *l, const struct config_key *key, const char *path,
                             const char *text, const struct place *place, void *values);

#endif
