/* SPDX-License-Identifier: Apache-2.0 */
/* Where the daemon's control socket is, for the commands that talk to it. */
#ifndef PENSTOCK_CLI_SOCKET_PATH_H
#define PENSTOCK_CLI_SOCKET_PATH_H

#include "base/attr.h"

/*
 * Returns a path that the caller frees, or NULL if memory is out: 'given', if it is
 * not NULL; else $PENSTOCK_SOCKET; else control.sock in $RUNTIME_DIRECTORY; else
 * penstock/control.sock below configure's runstatedir.  Empty variables do not count.
 */
NODISCARD char *socket_path(const char *given);

#endif
