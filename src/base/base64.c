/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base64.h"

#include <openssl/evp.h>

void base64_add(struct buf *b, const void *data, size_t n)
{
	enum { PIECE = 3 << 20 }; /* EVP_EncodeBlock(3) counts in int; pads only the last one */
	const unsigned char *p = data;

	for (size_t at = 0, piece; at < n; at += piece) {
		piece = n - at < PIECE ? n - at : PIECE;
		if (buf_reserve(b, (piece + 2) / 3 * 4 + 1) < 0) /* it ends with a NUL */
			return;
		b->len += (size_t) EVP_EncodeBlock((unsigned char *) b->data + b->len, p + at,
		                                   (int) piece);
	}
}
