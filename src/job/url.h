/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What penstock needs to know of a URL.  libcurl's URL API is the only parser,
 * here and in the fetch itself, so that both always mean the same host.
 */
#ifndef PENSTOCK_JOB_URL_H
#define PENSTOCK_JOB_URL_H

#include "base/attr.h"
#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

/* A parser that is used again and again by one thread. */
struct url_parser;

/* Returns 0 or -ENOMEM.  Free with url_parser_free(). */
NODISCARD NONNULL(1) int url_parser_create(struct url_parser **ret_parser);

/* Ignores NULL, returns NULL. */
struct url_parser *url_parser_free(struct url_parser *parser);

/* No name in the DNS is longer (RFC 1035, section 2.3.4), and a lane keeps its name. */
enum { URL_MAX_HOST_BYTES = 255 };

/* The server part of a URL: scheme, host and port. */
struct url_origin {
	const char *text; /* "https://example.com:443": the origin's name everywhere */
	const char *host; /* lower case, IDN as punycode, numeric IPv4 as a quad, IPv6 in brackets */
	uint16_t port;
	bool tls;
};

/*
 * Parses an absolute http or https URL (RFC 3986).
 *
 * Stores its origin in '*ret_origin', whose strings live in 'parser' until the
 * next call.  On failure '*ret_why' is set to a short text with static lifetime.
 * Returns 0, -EINVAL (not such a URL), -EPROTONOSUPPORT (another scheme) or -ENOMEM.
 */
NODISCARD NONNULL(1, 2, 3, 4)
int url_parse(struct url_parser *parser, const char *url, struct url_origin *ret_origin,
              const char **ret_why);

/*
 * Whether 'match' fits the origin with this name ("http://host:port").  It is a host
 * ("api.example.com"), a host and its port ("api.example.com:8080") or an origin
 * ("https://api.example.com:443"), in lower case; a '*' stands for any characters, none
 * included.
 */
NODISCARD NONNULL(1, 2) bool url_match_origin(const char *match, const char *origin);

/*
 * Completes 'url', NUL-terminated, which a redirect from the URL 'from' leads to: without a
 * fragment of its own it has that of 'from' (RFC 9110, section 10.2.2), and at the same origin,
 * without user and password, it has those of 'from'.  Fails 'url' if there is no memory.
 */
NONNULL(1, 2) void url_inherit(struct buf *url, const char *from, bool same_origin);

/*
 * Appends the beginning of 'url', for a message: without user and password, and unless
 * 'with_query' without query and fragment; "***" stands for them.  Of what is no URL no more
 * is shown than cannot be such.
 */
NONNULL(1, 2) void url_add_redacted(struct buf *b, const char *url, bool with_query);

/* Appends 'url', of 'n' bytes, as a JSON string with "***" for user and password. */
NONNULL(1, 2) void url_add_json_redacted(struct buf *b, const char *url, size_t n);

/* Appends 'url' as a JSON string.  Bytes that are not UTF-8 cannot stand in JSON, and are
 * percent-encoded: that asks for the same. */
NONNULL(1, 2) void url_add_json(struct buf *b, const char *url);

#endif
