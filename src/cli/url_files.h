/* SPDX-License-Identifier: Apache-2.0 */
/* URLs where files of them are expected: a likely slip. */
#ifndef PENSTOCK_CLI_URL_FILES_H
#define PENSTOCK_CLI_URL_FILES_H

#include "base/attr.h"

#include <stdbool.h>
#include <stddef.h>

/* Whether one of the 'n' names of files is a URL, and no file of that name is there: says so, and
 * how 'command', such as "fetch", takes a URL. */
NODISCARD NONNULL(1) bool url_files_given(const char *command, char *const *files, size_t n);

#endif
