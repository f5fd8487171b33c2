/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The results log: where finished records go, whole lines only.  It only grows.
 *
 * One thread appends; results_cancel() may be called from any.
 */
#ifndef PENSTOCK_SINK_RESULTS_H
#define PENSTOCK_SINK_RESULTS_H

#include "base/attr.h"

#include <stddef.h>

struct results;

/*
 * Opens 'path' for appending, and creates it if need be; "-" is standard output.
 * A last line that a crash has torn is ended, so that the next begins on its own.
 *
 * Returns 0, -ENOMEM, -EWOULDBLOCK (another process appends to this file), or
 * what open(2) says.  Close with results_close().
 */
NODISCARD NONNULL(1, 2) int results_open(const char *path, struct results **ret_results);

/*
 * Appends 'len' bytes, which are whole lines.
 *
 * Returns 0, or -EPIPE (the reader has gone), -ENOSPC, -EIO, -ECANCELED
 * (results_cancel() while the reader was not reading) or what else write(2)
 * says.  In a regular file none of the bytes are left then; a pipe or terminal may
 * have got some of the lines, each of them whole unless it is longer than PIPE_BUF.
 */
NODISCARD NONNULL(1, 2) int results_append(struct results *r, const char *data, size_t len);

/* Ends a write to a reader that does not read.  Idempotent. */
NONNULL(1) void results_cancel(struct results *r);

/*
 * Has the next append go to the file that the path leads to now, after the old one
 * was made durable: for rotation.  Does nothing if that is the same file, and on
 * standard output and pipes.  Called by one thread at a time, beside the appending one.
 *
 * Returns 0 or what results_open() returns; the old file then stays in use.
 */
NODISCARD NONNULL(1) int results_reopen(struct results *r);

/* Makes a regular file durable and closes it.  Returns 0 or what fdatasync(2)
 * says; '*r' is gone in any case.  Ignores NULL. */
NODISCARD int results_close(struct results *r);

#endif
