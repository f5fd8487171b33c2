/* SPDX-License-Identifier: Apache-2.0 */
/* The two clocks: monotonic nanoseconds for waiting, wall-clock microseconds for people. */
#ifndef PENSTOCK_BASE_CLOCK_H
#define PENSTOCK_BASE_CLOCK_H

#include "base/attr.h"

#include <stdint.h>
#include <time.h>

#define NS_PER_US UINT64_C(1000)
#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S  UINT64_C(1000000000)

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t clock_now_ns(void);

/* CLOCK_REALTIME in microseconds since 1970-01-01 UTC. */
int64_t clock_wall_us(void);

struct timespec clock_timespec(uint64_t ns);

/* 'now_ns' plus 'span_ns', NEVER on overflow. */
uint64_t clock_after(uint64_t now_ns, uint64_t span_ns);

/* Milliseconds for poll(2) from now until 'deadline_ns', rounded up so that the
 * deadline has passed when poll returns; -1 for NEVER. */
int clock_poll_ms(uint64_t deadline_ns);

/* Room for an RFC 3339 time in UTC with microseconds: "2026-11-23T15:04:05.123456Z". */
enum { CLOCK_TEXT_SIZE = 28 };

/* Writes 'wall_us' in RFC 3339 form, NUL-terminated. */
void clock_format(int64_t wall_us, char text[static CLOCK_TEXT_SIZE]);

/*
 * Reads a time in RFC 3339 form: "2026-11-23T15:04:05Z", with any fraction of the second
 * and any offset.  What is finer than a microsecond is dropped; a leap second is the
 * next minute's first.
 *
 * Returns 0, -EINVAL if it is not such a text or no such time exists, or -ERANGE if the
 * year in UTC is not in 0 to 9999, which has no such form.
 */
NODISCARD int clock_parse(const char *text, int64_t *ret_wall_us);

#endif
