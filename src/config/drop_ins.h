/* SPDX-License-Identifier: Apache-2.0 */
/* Drop-ins: the files of one folder that are read over the configuration file. */
#ifndef PENSTOCK_CONFIG_DROP_INS_H
#define PENSTOCK_CONFIG_DROP_INS_H

#include "base/attr.h"
#include "config/load.h"

#include <stddef.h>

/* More are a mistake, such as a folder that something else writes to. */
enum { MAX_DROP_INS = 1000 };

/* Paths in the order in which they are to be read; owned by the config. */
struct drop_ins {
	const char **paths;
	size_t n;
};

/*
 * Finds the files in 'folder' whose names end in ".conf" and do not begin with a dot, in the
 * order of their names, byte by byte whatever the locale.  A folder that is not there has none.
 * Problems are reported to 'l'.
 *
 * Returns 0, or what config_load() returns for a folder that cannot be read.
 */
NODISCARD NONNULL(1, 2, 3)
int config_find_drop_ins(struct loading *l, const char *folder, struct drop_ins *ret_drop_ins);

#endif
