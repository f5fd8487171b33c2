/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a request asks for: its URL, as libcurl is told it.
 *
 * libcurl takes each URL apart, writes it anew and takes that for the URL: 11000 instructions
 * for a short one.  A URL at the handle's origin that is written as libcurl would write it is given
 * to it in parts, which it takes as they are: CURLOPT_CURLU(3).
 */
#ifndef PENSTOCK_FETCH_TARGET_H
#define PENSTOCK_FETCH_TARGET_H

#include "base/attr.h"

#include <curl/curl.h>
#include <stdbool.h>

struct target {
	char *prefix;    /* the origin as URLs have it: "http://host", with a port if it needs one */
	CURLU *parts;    /* of the last URL that was given in parts */
};

/* For URLs at 'origin', "http://host:port".  Returns 0 or -ENOMEM. */
NODISCARD NONNULL(1, 2) int target_init(struct target *t, const char *origin);
NONNULL(1) void target_done(struct target *t);

/* Frees what is kept of the last URL. */
NONNULL(1) void target_forget(struct target *t);

/* Whether 'url' is at the origin, and libcurl would write it as it is. */
NODISCARD NONNULL(1, 2) bool target_is_canonical(const struct target *t, const char *url);

/* Has the request ask for 'url'; 't' is borrowed until it has ended. */
NODISCARD NONNULL(1, 2, 3) CURLcode target_set(struct target *t, CURL *easy, const char *url);

#endif
