/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base64.h"

#include <errno.h>
#include <openssl/evp.h>
#include <string.h>

/* libcrypto counts with int: so much of the text at a time. */
enum { PIECE_CHARS = 1024 * 1024, PIECE_BYTES = PIECE_CHARS / 4 * 3 };

static bool is_alphabet(const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!(text[i] >= 'A' && text[i] <= 'Z') && !(text[i] >= 'a' && text[i] <= 'z') &&
		    !(text[i] >= '0' && text[i] <= '9') && text[i] != '+' && text[i] != '/')
			return false;
	return true;
}

/* The characters of padding that the text ends with. */
static size_t padding(const char *text, size_t n)
{
	return n == 0 || text[n - 1] != '=' ? 0 : text[n - 2] != '=' ? 1 : 2;
}

int base64_decode(const char *text, size_t n, struct buf *b)
{
	size_t pad = n % 4 == 0 ? padding(text, n) : 0;
	size_t start = b->len;

	if (n % 4 != 0 || !is_alphabet(text, n - pad))
		return -EINVAL;
	if (buf_reserve(b, n / 4 * 3) < 0)
		return -ENOMEM;
	for (size_t at = 0; at < n; at += PIECE_CHARS) {
		size_t piece = n - at < PIECE_CHARS ? n - at : PIECE_CHARS;
		(void) EVP_DecodeBlock((unsigned char *) b->data + b->len,
		                       (const unsigned char *) text + at, (int) piece);
		b->len += piece / 4 * 3;
	}
	b->len -= pad; /* EVP_DecodeBlock(3) counts it as zeros */

	/* Bits that say nothing: the last characters must be what the last bytes give. */
	char last[5] = "";
	size_t left = (3 - pad) % 3;
	if (left > 0)
		(void) EVP_EncodeBlock((unsigned char *) last,
		                       (const unsigned char *) b->data + b->len - left, (int) left);
	if (left > 0 && memcmp(last, text + n - 4, 4) != 0) {
		b->len = start;
		return -EINVAL;
	}
	return 0;
}

void base64_add(struct buf *b, const void *data, size_t n)
{
	const unsigned char *from = data;

	/* EVP_EncodeBlock(3) ends what it writes with a NUL character. */
	if (b->failed || buf_reserve(b, (n + 2) / 3 * 4 + 1) < 0)
		return;
	for (size_t at = 0; at < n; at += PIECE_BYTES) {
		size_t piece = n - at < PIECE_BYTES ? n - at : PIECE_BYTES;
		b->len += (size_t) EVP_EncodeBlock((unsigned char *) b->data + b->len, from + at,
		                                   (int) piece);
	}
}
