/* SPDX-License-Identifier: Apache-2.0 */
/* Members of the daemon's answers, as penstock top shows them: what is not there is 0. */
#ifndef PENSTOCK_CLI_TOP_MEMBER_H
#define PENSTOCK_CLI_TOP_MEMBER_H

#include "base/attr.h"
#include "base/buf.h"
#include "cli/top_ask.h"

#include <jansson.h>
#include <stdint.h>

/* Of the last status; borrowed, NULL if it is not there. */
NONNULL(1, 2) const json_t *top_member(const struct top_data *d, const char *name);

/* Takes NULL for the object, as the others do. */
NONNULL(2) unsigned long long top_count(const json_t *object, const char *name);

/* Of a number of seconds. */
NONNULL(2) uint64_t top_span_ns(const json_t *object, const char *name);

/* Appends a string as safe_text_add() does; "?" if there is none. */
NONNULL(1, 3) void top_add_string(struct buf *b, const json_t *object, const char *name);

#endif
