/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to a daemon's control socket, for the commands that talk to it. */
#ifndef PENSTOCK_CLI_UNIX_HTTP_H
#define PENSTOCK_CLI_UNIX_HTTP_H

#include "base/attr.h"
#include "base/buf.h"

/*
 * GETs 'target' ("/v1/status") over the UNIX socket 'path'.
 *
 * Returns 0 with the HTTP status in '*ret_status' and the body appended to 'body';
 * or -ENOENT, -ECONNREFUSED (no daemon there), -EACCES, -ETIMEDOUT, -ENOMEM or -EIO.
 */
NODISCARD NONNULL(1, 2, 3, 4)
int unix_http_get(const char *path, const char *target, long *ret_status, struct buf *body);

#endif
