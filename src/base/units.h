/* SPDX-License-Identifier: Apache-2.0 */
/* Values with units as people write them: "30s", "64M", "5/s". */
#ifndef PENSTOCK_BASE_UNITS_H
#define PENSTOCK_BASE_UNITS_H

#include "base/attr.h"
#include "base/buf.h"

#include <stdint.h>

/*
 * Reads a span of time: a decimal number and one of ms, s, m, h, d ("1.5s",
 * "250ms"); "0" needs no unit.  Stores nanoseconds, exactly: a text that is not
 * a whole number of them, or has more than nine decimals, is refused.
 *
 * Returns 0, -EINVAL if it is not such a text, or -ERANGE if it is too large.
 */
NODISCARD int units_parse_duration(const char *text, uint64_t *ret_ns);

/*
 * Reads a size: a whole number of bytes, or with K, M, G or T (powers of 1024;
 * "KiB" and "KB" mean the same).
 *
 * Returns 0, -EINVAL if it is not such a text, or -ERANGE if it is too large.
 */
NODISCARD int units_parse_size(const char *text, uint64_t *ret_bytes);

/*
 * Reads a rate: a decimal number with at most nine decimals, a slash, and one of s, m, h, d
 * ("5/s", "0.5/s", "1000/h"); "0" is no rate.  Stores the nanoseconds from one to the next,
 * rounded; 0 for no rate.
 *
 * Returns 0, -EINVAL if it is not such a text, or -ERANGE if it is faster than one a nanosecond
 * or slower than one in 365 days.
 */
NODISCARD int units_parse_rate(const char *text, uint64_t *ret_interval_ns);

/* Appends a text that reads back as the same value, in the largest unit that needs
 * no fraction: "90s", "1500ms", "64M"; below a millisecond with one: "0.25ms". */
void units_add_duration(struct buf *b, uint64_t ns);
void units_add_size(struct buf *b, uint64_t bytes);

/* The same for what was read as a rate, with as few decimals as will do and then in the
 * smallest unit: "3/s" for 333333333 ns. */
void units_add_rate(struct buf *b, uint64_t interval_ns);

/* Appends a rounded value for people: "3.2s", "1m 04s", "2h 05m", "3d 04h"; "1.5 MiB". */
void units_add_duration_rough(struct buf *b, uint64_t ns);
void units_add_size_rough(struct buf *b, uint64_t bytes);

#endif
