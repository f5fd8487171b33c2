/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes as text: base64 with padding (RFC 4648, section 4). */
#ifndef PENSTOCK_BASE_BASE64_H
#define PENSTOCK_BASE_BASE64_H

#include "base/attr.h"
#include "base/buf.h"

#include <stddef.h>

/*
 * Appends the bytes that 'n' characters stand for.  Nothing but the 64 characters and the
 * padding is taken, neither line ends nor padding left out, and no bits that say nothing but
 * zeros: each run of bytes has one text.
 *
 * Returns 0, or -EINVAL (it is no such text) or -ENOMEM, which append nothing.
 */
NODISCARD NONNULL(1, 3) int base64_decode(const char *text, size_t n, struct buf *b);

/* Appends 'n' bytes as text. */
NONNULL(1) void base64_add(struct buf *b, const void *data, size_t n);

#endif
