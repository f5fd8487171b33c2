/* SPDX-License-Identifier: Apache-2.0 */
/* Base64 (RFC 4648, section 4), with padding and without line breaks. */
#ifndef PENSTOCK_BASE_BASE64_H
#define PENSTOCK_BASE_BASE64_H

#include "base/attr.h"
#include "base/buf.h"

#include <stddef.h>

/* Appends 'n' bytes, encoded: 4 characters for each 3 bytes that are begun. */
NONNULL(1) void base64_add(struct buf *b, const void *data, size_t n);

#endif
