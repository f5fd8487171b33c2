/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Origins that libcurl has found before, by how their URLs begin.
 *
 * To ask libcurl takes eight of the nine thousand instructions that reading a line takes, and a
 * list often has many URLs of an origin.  What follows the authority has no say in what the
 * origin is; libcurl refuses some characters there, of which none is printable ASCII.  A URL with
 * others is not looked up.
 */
#ifndef PENSTOCK_JOB_URL_KNOWN_H
#define PENSTOCK_JOB_URL_KNOWN_H

#include "base/attr.h"
#include "job/url.h"

struct url_known;

/* At most so many origins, each with the scheme and authority, of at most so many bytes, of one
 * URL: some 200 KiB with common names, never more than 1.2 MiB.  Zero-initialised is empty.  Not thread-safe. */
enum { URL_KNOWN_MAX = 1024, URL_KNOWN_MAX_BEGIN = 512 };
struct url_known_table {
	struct url_known **slots; /* NULL before the first */
};

/* The origin of the URL, NUL-terminated, until the next call; NULL if it is not known. */
NONNULL(1, 2)
const struct url_origin *url_known_find(const struct url_known_table *t, const char *url);

/* Remembers what libcurl found, in place of another.  Returns 0 or -ENOMEM. */
NODISCARD NONNULL(1, 2, 3)
int url_known_add(struct url_known_table *t, const char *url, const struct url_origin *origin);

/* Empties it.  Idempotent. */
NONNULL(1) void url_known_done(struct url_known_table *t);

#endif
