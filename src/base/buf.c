/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include "base/digits.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_done(struct buf *b)
{
	free(b->data);
	*b = (struct buf) { 0 };
}

void buf_clear(struct buf *b)
{
	b->len = 0;
	b->failed = false;
}

int buf_reserve(struct buf *b, size_t n)
{
	if (b->failed)
		return -ENOMEM;
	if (n <= b->size - b->len)
		return 0;

	size_t size = b->size > 0 ? b->size : 256;
	while (size - b->len < n) {
		if (__builtin_mul_overflow(size, (size_t) 2, &size))
			goto fail;
	}
	char *grown = realloc(b->data, size);
	if (!grown)
		goto fail;

	b->data = grown;
	b->size = size;
	return 0;

fail:
	b->failed = true;
	return -ENOMEM;
}

void buf_add_lower(struct buf *b, const char *text)
{
	size_t start = b->len;

	buf_add_str(b, text);
	for (size_t i = start; i < b->len; i++)
		if (b->data[i] >= 'A' && b->data[i] <= 'Z')
			b->data[i] = (char) (b->data[i] | 0x20);
}

void buf_add_u64(struct buf *b, uint64_t value)
{
	char digits[20];
	size_t at = sizeof(digits);

	if (value < 10) { /* as most are */
		buf_add_char(b, (char) ('0' + value));
		return;
	}
	for (; value >= 100; value /= 100)
		digits_put2(digits + (at -= 2), (unsigned) (value % 100));
	if (value >= 10)
		digits_put2(digits + (at -= 2), (unsigned) value);
	else
		digits[--at] = (char) ('0' + value);
	buf_add(b, digits + at, sizeof(digits) - at);
}

void buf_add_i64(struct buf *b, int64_t value)
{
	if (value < 0)
		buf_add_char(b, '-');
	buf_add_u64(b, value < 0 ? 0 - (uint64_t) value : (uint64_t) value);
}

void buf_add_seconds(struct buf *b, uint64_t us)
{
	char text[7] = { '.' };

	buf_add_u64(b, us / 1000000);
	digits_put6(text + 1, (unsigned) (us % 1000000));
	buf_add(b, text, sizeof(text));
}

void buf_printf(struct buf *b, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	int n = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (n < 0 || buf_reserve(b, (size_t) n + 1) < 0)
		return;

	va_start(args, format);
	(void) vsnprintf(b->data + b->len, (size_t) n + 1, format, args);
	va_end(args);
	b->len += (size_t) n;
}

size_t buf_utf8_length(const char *text, size_t n)
{
	const unsigned char *p = (const unsigned char *) text;
	size_t len = p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;
	if (len == 0 || len > n)
		return 0;

	/* The second byte also bars overlong forms, surrogates and what is above U+10FFFF. */
	unsigned low = p[0] == 0xe0 ? 0xa0 : p[0] == 0xf0 ? 0x90 : 0x80;
	unsigned high = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : 0xbf;
	if (p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return len;
}

bool buf_is_utf8(const char *text, size_t n)
{
	for (size_t len = 0; n > 0; text += len, n -= len) {
		len = (unsigned char) *text < 0x80 ? 1 : buf_utf8_length(text, n);
		if (len == 0)
			return false;
	}
	return true;
}

static bool is_plain(unsigned char c) { return c >= 0x20 && c < 0x80 && c != '"' && c != '\\'; }

/* Whether that holds of these eight bytes.  Their high bits are clear then, and none is set by
 * taking away 0x20, or 1 from what is 0 for one of the two characters. */
static bool are_plain(const unsigned char *p)
{
	const uint64_t ones = UINT64_C(0x0101010101010101);
	uint64_t w;

	memcpy(&w, p, sizeof(w));
	uint64_t quotes = (w ^ ones * '"') - ones, backslashes = (w ^ ones * '\\') - ones;
	return ((w | (w - ones * 0x20) | quotes | backslashes) & ones * 0x80) == 0;
}

/* How many of the 'n' bytes come before one that is not plain. */
static size_t plain_length(const unsigned char *p, size_t n)
{
	size_t i = 0;

	while (n - i >= 8 && are_plain(p + i))
		i += 8;
	while (i < n && is_plain(p[i]))
		i++;
	return i;
}

/* The letter that stands for 'c' behind a backslash; 0 if there is none. */
static char escape_letter(unsigned char c)
{
	static const char letters[] = "\"\"\\\\\bb\ff\nn\rr\tt";

	for (size_t i = 0; i + 1 < sizeof(letters); i += 2)
		if ((unsigned char) letters[i] == c)
			return letters[i + 1];
	return 0;
}

/* Appends the ASCII character 'c', which has to be escaped. */
static void add_escaped(struct buf *b, unsigned char c)
{
	static const char hex[] = "0123456789abcdef";
	char letter = escape_letter(c);

	if (letter != 0)
		buf_add(b, (char[]) { '\\', letter }, 2);
	else
		buf_add(b, (char[]) { '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] }, 6);
}

void buf_add_json(struct buf *b, const char *text, size_t n)
{
	const unsigned char *p = (const unsigned char *) text;
	size_t i = 0;

	buf_add_char(b, '"');
	while (i < n) {
		size_t plain = plain_length(p + i, n - i);
		buf_add(b, text + i, plain);
		i += plain;
		if (i == n)
			break;

		size_t len = p[i] < 0x80 ? 1 : buf_utf8_length(text + i, n - i);
		if (len == 1)
			add_escaped(b, p[i]);
		else if (len == 0)
			buf_add_str(b, "\xef\xbf\xbd");
		else
			buf_add(b, text + i, len);
		i += len > 0 ? len : 1;
	}
	buf_add_char(b, '"');
}

bool buf_measure_json(const char *text, size_t n, size_t *ret_len)
{
	const unsigned char *p = (const unsigned char *) text;
	size_t written = 2; /* the quotes */

	for (size_t i = 0, len; i < n; i += len) {
		len = p[i] < 0x80 ? 1 : buf_utf8_length(text + i, n - i);
		if (len == 0)
			return false;
		written += len > 1 || is_plain(p[i]) ? len : escape_letter(p[i]) != 0 ? 2 : 6;
	}
	*ret_len = written;
	return true;
}

void buf_add_json_str(struct buf *b, const char *text)
{
	if (text)
		buf_add_json(b, text, strlen(text));
	else
		buf_add_str(b, "null");
}
