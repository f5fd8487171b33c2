/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The head of an answer, line by line as it comes: what libcurl lets pass although it
 * is no proper HTTP/1.1 (RFC 9112), and what would take too much memory.
 */
#ifndef PENSTOCK_FETCH_HEAD_H
#define PENSTOCK_FETCH_HEAD_H

#include "base/attr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * libcurl keeps each line until the next request.  For each, 32 bytes are added, as HTTP/2
 * does (RFC 9113, section 6.5.2).  To find one field, curl_easy_header(3) goes through all, and
 * who looks at each so takes 7 s for 4000, within one call.
 */
enum { HEAD_MAX_BYTES = 256 * 1024, HEAD_LINE_COST = 32, HEAD_MAX_FIELDS = 512 };

/* Zero-initialised: nothing has come. */
struct head {
	size_t bytes;      /* interim answers and trailers included */
	unsigned fields;   /* the same; lines, as one may be continued on others */
	bool is_first;     /* the next line is the first one behind a status line */
	bool is_interim;   /* the last status line was 1xx, not to be the last one */
	bool has_codings;  /* some field is a Content-Encoding or Transfer-Encoding */
	bool is_complete;  /* the end of the final head has come */
	bool has_length;   /* a Content-Length, which is… */
	uint64_t length;
	const char *fault; /* what is wrong, in a text of static lifetime; NULL if nothing is */
};

/* Looks at a line, or a piece of one, before it is taken.  Returns false if it is the first and
 * begins as those do that continue another (RFC 9112, section 2.2): there is a fault. */
NONNULL(1, 2) bool head_preview(struct head *head, const char *line, size_t n);

/* Takes a line with its end: what CURLOPT_HEADERFUNCTION(3) gives.  'tls': it came over TLS.
 * Returns false once there is a fault. */
NONNULL(1, 2) bool head_take(struct head *head, const char *line, size_t n, bool tls);

#endif
