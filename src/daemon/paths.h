/* SPDX-License-Identifier: Apache-2.0 */
/* Where the daemon's files are: as systemd says, else as configured. */
#ifndef PENSTOCK_DAEMON_PATHS_H
#define PENSTOCK_DAEMON_PATHS_H

#include "base/attr.h"

/*
 * Each returns a path that the caller frees, or NULL if memory is out.
 * An absolute path is taken as it is; a relative one starts from the directory
 * that systemd made ($STATE_DIRECTORY, $RUNTIME_DIRECTORY: systemd.exec(5)), or
 * from the working directory.
 */
NONNULL(1) char *paths_state(const char *path);
NONNULL(1) char *paths_runtime(const char *path);

/* penstock.conf in $CONFIGURATION_DIRECTORY, or below configure's sysconfdir. */
char *paths_config(void);

#endif
