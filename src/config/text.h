/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text of a configuration file, made ready for libconfig 1.5.
 *
 * libconfig is not given the files themselves, because it
 *   - ends the process if a file it includes cannot be read (a directory);
 *   - looks for included files in one folder only, whoever includes them;
 *   - wraps whole numbers above 32 bits that do not end in L;
 *   - rejects a comment at the end of a file without a newline.
 * So the files are put together here, without comments and with such numbers
 * marked as long ones.  Lines stay lines, and can be traced back to their file.
 */
#ifndef PENSTOCK_CONFIG_TEXT_H
#define PENSTOCK_CONFIG_TEXT_H

#include "base/attr.h"
#include "base/buf.h"
#include "config/load.h"

#include <stddef.h>

struct config_mark;

struct config_text {
	struct buf text;           /* NUL-terminated */
	unsigned line;             /* the one that the next character goes to */
	struct config_mark *marks; /* where lines come from another file than the one before */
	size_t n_marks;
	size_t marks_size; /* room at 'marks' */
};

/* A whole number that does not fit even 64 bits is written as a decimal number of
 * this size or more, which no key accepts: its key can then be named. */
#define CONFIG_TOO_LARGE 9.3e18

/*
 * Reads 'path' and what it includes; a relative name in @include starts from the
 * folder of the file that it stands in.  Problems are reported to 'l'.
 *
 * Returns 0, or if 'path' itself cannot be read -ENOENT, -EACCES, -EINVAL (it is a
 * directory or far too large), -ENOMEM or -EIO.  *ret_text needs config_text_done() in any case.
 */
NODISCARD int config_text_read(struct loading *l, const char *path, struct config_text *ret_text);

/* Reports that 'path' cannot be read, for the error 'err' (ENOENT) of a system call; returns what
 * config_text_read() does. */
NODISCARD int config_text_unreadable(struct loading *l, const char *path, int err);
void config_text_done(struct config_text *t);

/* "penstock.conf:12" for a line of the text, owned by the config. */
const char *config_text_where(struct loading *l, const struct config_text *t, unsigned line);

#endif
