/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/socket_path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *variable(const char *name)
{
	const char *value = getenv(name);
	return value && *value != '\0' ? value : NULL;
}

char *socket_path(const char *given)
{
	const char *directories = variable("RUNTIME_DIRECTORY");
	char *path = NULL;

	if (!given)
		given = variable("PENSTOCK_SOCKET");
	if (!given && directories) /* a list; the daemon uses the first, too */
		return asprintf(&path, "%.*s/control.sock", (int) strcspn(directories, ":"),
		                directories) < 0
		               ? NULL
		               : path;
	return strdup(given ? given : PENSTOCK_RUNSTATEDIR "/penstock/control.sock");
}
