/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/paths.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* 'path' in the first directory that 'variable' lists. */
static char *below(const char *variable, const char *path)
{
	const char *list = getenv(variable);
	char *full = NULL;

	if (*path == '/' || strcmp(path, "-") == 0 || !list || *list == '\0')
		return strdup(path);
	return asprintf(&full, "%.*s/%s", (int) strcspn(list, ":"), list, path) < 0 ? NULL : full;
}

char *paths_state(const char *path) { return below("STATE_DIRECTORY", path); }
char *paths_runtime(const char *path) { return below("RUNTIME_DIRECTORY", path); }

char *paths_config(void)
{
	return getenv("CONFIGURATION_DIRECTORY") ? below("CONFIGURATION_DIRECTORY", "penstock.conf")
	                                         : strdup(PENSTOCK_SYSCONFDIR "/penstock/penstock.conf");
}
