/* SPDX-License-Identifier: Apache-2.0 */
/* One daemon, from its start to its exit code; src/daemon/main.c reads the command line. */
#ifndef PENSTOCK_DAEMON_DAEMON_H
#define PENSTOCK_DAEMON_DAEMON_H

#include "base/attr.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

/* Exit codes: sysexits.h(3head). */
enum daemon_exit {
	DAEMON_OK = 0,
	DAEMON_USAGE = 64,
	DAEMON_NO_INPUT = 66,
	DAEMON_INTERNAL = 70,
	DAEMON_CANNOT_CREATE = 73,
	DAEMON_IO = 74,
	DAEMON_NO_PERMISSION = 77,
	DAEMON_CONFIG = 78,
};

/* For a file or a socket that there cannot be, for a negative errno. */
static inline int daemon_cannot_create(int error)
{
	return error == -EACCES || error == -EPERM ? DAEMON_NO_PERMISSION : DAEMON_CANNOT_CREATE;
}

struct daemon_options {
	const char *config_path; /* read at the start and at each reload */
	char *const *overrides;  /* "key=value" */
	size_t n_overrides;
	bool check;              /* print the settings and leave */
};

/* Runs in the foreground until it is told to stop.  Returns the exit code. */
NONNULL(1) int daemon_run(const struct daemon_options *options);

#endif
