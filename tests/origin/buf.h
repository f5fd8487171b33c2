/* SPDX-License-Identifier: Apache-2.0
 *
 * A growing run of bytes.
 *
 * Appending cannot fail at the call: when memory runs out the buffer turns 'failed' and ignores
 * further bytes, and whoever uses the result asks once.  A zeroed struct is an empty buffer;
 * release it with buf_done(). */
#ifndef ORIGIN_BUF_H
#define ORIGIN_BUF_H

#include "attr.h"
#include "text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
	char *at;    /* owned */
	size_t len;  /* bytes used */
	size_t cap;  /* bytes allocated */
	bool failed; /* an append ran out of memory; sticky until buf_clear() */
};

/* Makes the buffer empty and keeps its memory. */
NONNULL(1) void buf_clear(struct buf *b);

/* Frees the memory and zeroes the struct.  Idempotent. */
NONNULL(1) void buf_done(struct buf *b);

/* Appends 'len' unset bytes and returns their start, or NULL when out of memory. */
NODISCARD NONNULL(1) char *buf_grow(struct buf *b, size_t len);

NONNULL(1) void buf_put(struct buf *b, struct slice bytes);
NONNULL(1, 2) void buf_puts(struct buf *b, const char *text);
NONNULL(1) void buf_put_number(struct buf *b, uint64_t number);
NONNULL(1) void buf_put_hex(struct buf *b, uint64_t number);

/* Appends a JSON string with its quotes.  UTF-8 passes; a byte that is not part of any becomes
 * \u00XX, as if it were Latin-1. */
NONNULL(1) void buf_put_json(struct buf *b, struct slice text);

/* Appends percent-encoded text decoded.
 *
 * Returns 0, or -EINVAL for a broken escape or a control character; some of the text may have
 * been appended by then. */
NODISCARD NONNULL(1) int buf_put_decoded(struct buf *b, struct slice encoded);

static inline struct slice buf_slice(const struct buf *b)
{
	return (struct slice) { .at = b->at, .len = b->len };
}

#endif
