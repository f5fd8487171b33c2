/* SPDX-License-Identifier: Apache-2.0 */
#include "buf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void buf_clear(struct buf *b)
{
	b->len = 0;
	b->failed = false;
}

void buf_done(struct buf *b)
{
	free(b->at);
	*b = (struct buf) { 0 };
}

static bool reserve(struct buf *b, size_t len)
{
	size_t cap = b->cap > 0 ? b->cap : 512;

	if (b->failed)
		return false;
	while (cap - b->len < len)
		cap *= 2;
	if (cap == b->cap)
		return true;

	char *at = realloc(b->at, cap);
	if (!at) {
		b->failed = true;
		return false;
	}
	b->at = at;
	b->cap = cap;
	return true;
}

char *buf_grow(struct buf *b, size_t len)
{
	if (!reserve(b, len))
		return NULL;
	char *start = b->at + b->len;
	b->len += len;
	return start;
}

void buf_put(struct buf *b, struct slice bytes)
{
	if (bytes.len == 0)
		return;
	char *start = buf_grow(b, bytes.len);
	if (start)
		memcpy(start, bytes.at, bytes.len);
}

void buf_puts(struct buf *b, const char *text)
{
	buf_put(b, slice_of(text));
}

/* Appends 'number' in a base up to 16. */
static void put_in_base(struct buf *b, uint64_t number, unsigned base)
{
	char digits[20]; /* UINT64_MAX in decimal */
	size_t first = sizeof(digits);

	do {
		digits[--first] = "0123456789abcdef"[number % base];
		number /= base;
	} while (number > 0);
	buf_put(b, (struct slice) { .at = digits + first, .len = sizeof(digits) - first });
}

void buf_put_number(struct buf *b, uint64_t number)
{
	put_in_base(b, number, 10);
}

void buf_put_hex(struct buf *b, uint64_t number)
{
	put_in_base(b, number, 16);
}

/* Length of the UTF-8 sequence that starts 's' (RFC 3629), or 0 if there is none. */
static size_t utf8_length(struct slice s)
{
	const unsigned char *p = (const unsigned char *) s.at;
	size_t len = p[0] < 0x80 ? 1 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	unsigned low = 0x80;  /* bounds of the second byte: */
	unsigned high = 0xbf; /* no overlong forms, surrogates or values above 10ffff */

	if ((p[0] >= 0x80 && p[0] < 0xc2) || p[0] > 0xf4 || len > s.len)
		return 0;
	if (p[0] == 0xe0)
		low = 0xa0;
	else if (p[0] == 0xed)
		high = 0x9f;
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f;

	for (size_t i = 1; i < len; i++) {
		if (p[i] < low || p[i] > high)
			return 0;
		low = 0x80;
		high = 0xbf;
	}
	return len;
}

/* Appends one byte that is a character of its own. */
static void put_json_byte(struct buf *b, char c)
{
	unsigned char byte = (unsigned char) c;

	if (c == '"' || c == '\\') {
		buf_put(b, (struct slice) { .at = (const char[]) { '\\', c }, .len = 2 });
	} else if (byte < 0x20 || byte >= 0x7f) {
		buf_puts(b, byte < 0x10 ? "\\u000" : "\\u00");
		buf_put_hex(b, byte);
	} else {
		buf_put(b, (struct slice) { .at = &c, .len = 1 });
	}
}

void buf_put_json(struct buf *b, struct slice text)
{
	buf_puts(b, "\"");
	while (text.len > 0) {
		size_t len = utf8_length(text);
		if (len > 1) {
			buf_put(b, (struct slice) { .at = text.at, .len = len });
		} else {
			put_json_byte(b, text.at[0]);
			len = 1;
		}
		text.at += len;
		text.len -= len;
	}
	buf_puts(b, "\"");
}

int buf_put_decoded(struct buf *b, struct slice encoded)
{
	for (size_t i = 0; i < encoded.len; i++) {
		int c = (unsigned char) encoded.at[i];
		if (c == '%') {
			int high = i + 2 < encoded.len ? text_hex_digit(encoded.at[i + 1]) : -1;
			int low = i + 2 < encoded.len ? text_hex_digit(encoded.at[i + 2]) : -1;
			if (high < 0 || low < 0)
				return -EINVAL;
			c = high * 16 + low;
			i += 2;
		}
		if (c < 0x20 || c == 0x7f)
			return -EINVAL;
		buf_put(b, (struct slice) { .at = (const char[]) { (char) c }, .len = 1 });
	}
	return 0;
}
