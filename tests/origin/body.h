/* SPDX-License-Identifier: Apache-2.0
 *
 * The body of a request, counted, with a limited part kept on demand.
 *
 *     with a length:  DATA
 *     chunked:        SIZE -> (EXTENSION) -> SIZE_LF -> DATA -> DATA_CR -> DATA_LF -> SIZE ...
 *                     after the chunk of size 0: TRAILER -> (TRAILER_LINE) ... -> END_LF
 */
#ifndef ORIGIN_BODY_H
#define ORIGIN_BODY_H

#include "attr.h"
#include "buf.h"
#include "request.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of a body that are kept at most. */
enum { BODY_KEPT_MAX = 1 << 20 };

struct body {
	enum body_state {
		BODY_SIZE,
		BODY_EXTENSION,
		BODY_SIZE_LF,
		BODY_DATA,
		BODY_DATA_CR,
		BODY_DATA_LF,
		BODY_TRAILER,
		BODY_TRAILER_LINE,
		BODY_END_LF,
		BODY_COMPLETE,
	} state;
	uint64_t left;   /* bytes still to come of this chunk, or of the whole body */
	uint64_t total;  /* bytes so far, without the framing */
	bool is_chunked;
	bool has_digits; /* the size line has a digit */
	bool is_kept;    /* copy the bytes into 'kept' */
	struct buf kept; /* owned; its memory is reused from request to request */
};

/* Prepares for the body of 'req', which may have none. */
NONNULL(1, 2) void body_begin(struct body *b, const struct request *req, bool is_kept);

/*
 * Consumes bytes from the connection and stores how many in '*ret_used', whatever it returns.
 *
 * Returns 0 once the body is complete, -EAGAIN if it needs more (everything is used then), or
 * -EBADMSG for broken chunking.
 */
NODISCARD NONNULL(1, 3) int body_feed(struct body *b, struct slice bytes, size_t *ret_used);

/* Releases what 'b' owns.  Idempotent. */
NONNULL(1) void body_done(struct body *b);

#endif
