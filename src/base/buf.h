/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growing byte buffer, with a small JSON writer on it.
 *
 * Appending never reports: the first failed allocation makes the buffer
 * 'failed', later appends do nothing, and whoever built the text asks once, at
 * the end.  Not thread-safe; zero-initialised is empty.
 */
#ifndef PENSTOCK_BASE_BUF_H
#define PENSTOCK_BASE_BUF_H

#include "base/attr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct buf {
	char *data; /* owned; not NUL-terminated; NULL while nothing was appended */
	size_t len;
	size_t size;
	bool failed; /* an append ran out of memory; the contents are not whole */
};

/* Frees the memory and makes 'b' empty.  Idempotent. */
void buf_done(struct buf *b);

/* Empties 'b' and keeps its memory. */
void buf_clear(struct buf *b);

/* Makes room for 'n' more bytes.  Returns 0 or -ENOMEM. */
NODISCARD int buf_reserve(struct buf *b, size_t n);

/* These three make most of every record, so they are inline: the length of a
 * literal is then known to the compiler, and a copy is a few instructions. */
static inline void buf_add(struct buf *b, const void *data, size_t n)
{
	if (b->failed || (n > b->size - b->len && buf_reserve(b, n) < 0))
		return;
	if (n > 0) {
		memcpy(b->data + b->len, data, n);
		b->len += n;
	}
}

static inline void buf_add_str(struct buf *b, const char *text) { buf_add(b, text, strlen(text)); }
static inline void buf_add_char(struct buf *b, char c) { buf_add(b, &c, 1); }

/* Appends text with its ASCII letters in lower case. */
NONNULL(1, 2) void buf_add_lower(struct buf *b, const char *text);

void buf_add_u64(struct buf *b, uint64_t value);
void buf_add_i64(struct buf *b, int64_t value);
PRINTF_LIKE(2, 3) void buf_printf(struct buf *b, const char *format, ...);

/* Microseconds as a decimal number of seconds: 1234567 gives "1.234567". */
void buf_add_seconds(struct buf *b, uint64_t us);

/* The length, 2 to 4, of the UTF-8 sequence (RFC 3629, section 4) that the 'n' bytes of
 * 'text' begin with; 0 if they begin with none.  'n' must not be 0. */
size_t buf_utf8_length(const char *text, size_t n);

/* Whether all of the 'n' bytes are UTF-8. */
bool buf_is_utf8(const char *text, size_t n);

/* Appends 'n' bytes as a JSON string (RFC 8259, section 7).  Bytes that are not
 * UTF-8 (RFC 3629) become U+FFFD, so that the result is always valid JSON. */
void buf_add_json(struct buf *b, const char *text, size_t n);

/* How many bytes buf_add_json() appends for this text.  Returns false if that is not UTF-8. */
NODISCARD NONNULL(3) bool buf_measure_json(const char *text, size_t n, size_t *ret_len);

/* Appends a C string as buf_add_json() does; null for NULL. */
void buf_add_json_str(struct buf *b, const char *text);

#endif
