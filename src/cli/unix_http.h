/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to a daemon's control socket, for the commands that talk to it. */
#ifndef PENSTOCK_CLI_UNIX_HTTP_H
#define PENSTOCK_CLI_UNIX_HTTP_H

#include "base/attr.h"
#include "base/buf.h"

enum { UNIX_HTTP_TIMEOUT_MS = 10000 };

/*
 * GETs 'target' ("/v1/status") over the UNIX socket 'path'.  curl_global_init() must
 * have been called.
 *
 * Returns 0 with the HTTP status in '*ret_status' and the body appended to 'body';
 * or -ENOENT, -ECONNREFUSED (no daemon there), -EACCES, -ENAMETOOLONG, -ETIMEDOUT,
 * -ECONNRESET (it broke off), -ENOMEM, -EIO, or what else connect(2) says.
 */
NODISCARD NONNULL(1, 2, 3, 4)
int unix_http_get(const char *path, const char *target, long *ret_status, struct buf *body);

#endif
