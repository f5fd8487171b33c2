/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Origins that libcurl has found before, by how their URLs begin.
 *
 * To ask libcurl takes eight of the nine thousand instructions that reading a line takes, and a
 * list often has many URLs of an origin.  What follows the authority has no say in what the
 * origin is; libcurl refuses some characters there, of which none is printable ASCII.  A URL with
 * others is not looked up.  One with a user is not remembered: its password would stay in memory.
 */
#ifndef PENSTOCK_JOB_URL_KNOWN_H
#define PENSTOCK_JOB_URL_KNOWN_H

#include "base/attr.h"
#include "job/url.h"

struct url_known;

/* At most so many origins, each with the scheme and authority, of at most so many bytes, of one
 * URL: some 150 KiB with common names. */
enum {
	URL_KNOWN_MAX = 1024,
	URL_KNOWN_MAX_BEGIN = 300,   /* longer ones have a host or port in a strange form */
	URL_KNOWN_STRUCT_BYTES = 64, /* with what malloc() adds */

	/* All that a table takes at most: settings_memory_ceiling() counts with it. */
	URL_KNOWN_BYTES = URL_KNOWN_MAX * (sizeof(void *) + URL_KNOWN_STRUCT_BYTES +
	                                   URL_KNOWN_MAX_BEGIN + sizeof("https://:65535") +
	                                   URL_MAX_HOST_BYTES + URL_MAX_HOST_BYTES + 1),
};

/* Zero-initialised is empty.  Not thread-safe. */
struct url_known_table {
	struct url_known **slots; /* NULL before the first */
};

/* The origin of the URL, NUL-terminated, until the next call; NULL if it is not known. */
NONNULL(1, 2)
const struct url_origin *url_known_find(const struct url_known_table *t, const char *url);

/* Remembers what libcurl found, in place of another; without memory for it, it does not. */
NONNULL(1, 2, 3)
void url_known_add(struct url_known_table *t, const char *url, const struct url_origin *origin);

/* Empties it.  Idempotent. */
NONNULL(1) void url_known_done(struct url_known_table *t);

#endif
