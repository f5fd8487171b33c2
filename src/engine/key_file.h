/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that settings name: certificates, keys and logins.  A value is a path, or
 * "credential:NAME" for a credential that systemd hands over (systemd.exec(5),
 * LoadCredential=).
 *
 * Text that was read is owned by the caller, who frees it with key_file_free().  What is in a
 * file never gets into a message.  Safe from any thread.
 */
#ifndef PENSTOCK_ENGINE_KEY_FILE_H
#define PENSTOCK_ENGINE_KEY_FILE_H

#include "base/attr.h"
#include "base/buf.h"

#include <stdbool.h>

/* The largest file that is read; systemd's credentials are not larger. */
enum { KEY_FILE_MAX_BYTES = 1024 * 1024 };

/* Whether 'value' is "credential:" with something behind it, a name or not. */
NODISCARD NONNULL(1) bool key_file_is_credential(const char *value);

/*
 * Reads the file that 'value' names.  Appends to 'why' what is wrong and what to do, for people:
 * "/etc/key: cannot be read: Permission denied".  '*ret_exposed' tells whether others than its
 * owner can read it, which is none of systemd's credentials.
 *
 * Returns 0, -EINVAL or -ENOMEM.
 */
NODISCARD NONNULL(1, 2, 3, 4)
int key_file_read(const char *value, char **ret_text, bool *ret_exposed, struct buf *why);

/* The same for a file of one line, a newline at whose end is left out: it must not be empty,
 * nor have control characters.  A relative path where there is no file is not in 'why': it may be
 * the secret itself. */
NODISCARD NONNULL(1, 2, 3, 4)
int key_file_read_line(const char *value, char **ret_text, bool *ret_exposed, struct buf *why);

/* Overwrites the text and frees it.  Ignores NULL, returns NULL. */
char *key_file_free(char *text);

#endif
