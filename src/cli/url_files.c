/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/url_files.h"

#include "base/log.h"

#include <string.h>
#include <unistd.h>

bool url_files_given(const char *command, char *const *files, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!strstr(files[i], "://") || access(files[i], F_OK) == 0)
			continue;
		log_error("%s: this is a URL, and no file of URLs: echo '%s' | penstock %s -", files[i],
		          files[i], command);
		return true;
	}
	return false;
}
