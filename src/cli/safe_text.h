/* SPDX-License-Identifier: Apache-2.0 */
/* Text from elsewhere on its way to a terminal. */
#ifndef PENSTOCK_CLI_SAFE_TEXT_H
#define PENSTOCK_CLI_SAFE_TEXT_H

#include "base/attr.h"
#include "base/buf.h"

/* Appends it; C0 and C1 control characters come out as "?". */
NONNULL(1, 2) void safe_text_add(struct buf *b, const char *text);

#endif
