/* SPDX-License-Identifier: Apache-2.0
 *
 * Slices of text, and the small parsers that requests and routes share.
 *
 * A slice borrows its bytes and is never NUL-terminated.  Nothing here allocates. */
#ifndef ORIGIN_TEXT_H
#define ORIGIN_TEXT_H

#include "attr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
	const char *at; /* borrowed; may be NULL when len is 0 */
	size_t len;     /* bytes */
};

static inline struct slice slice_of(const char *s)
{
	return (struct slice) { .at = s, .len = strlen(s) };
}

/* Whether 's' is exactly 'text'. */
NONNULL(2) bool slice_is(struct slice s, const char *text);

/* The same, with ASCII letters of either case alike. */
NONNULL(2) bool slice_is_nocase(struct slice s, const char *text);

/* Takes what is before the first 'separator' off '*rest', and the separator with it.  Without
 * one, takes everything. */
NONNULL(1) struct slice slice_cut(struct slice *rest, char separator);

/* 's' without the spaces and tabs at its ends. */
struct slice slice_trim(struct slice s);

/* Decimal digits only, at most 'max': 0, or -EINVAL. */
NODISCARD NONNULL(3) int text_number(struct slice s, uint64_t max, uint64_t *ret_number);

/* Hexadecimal value of one digit, or -1. */
int text_hex_digit(char c);

/* Seconds with or without decimals ("2", "0.25", ".5"), at most a million: 0, or -EINVAL. */
NODISCARD NONNULL(2) int text_seconds(struct slice s, uint64_t *ret_ns);

/* Finds the still encoded value of 'name' in a query "a=1&b=2".  False if it is not there. */
NONNULL(2, 3) bool text_query(struct slice query, const char *name, struct slice *ret_value);

#endif
