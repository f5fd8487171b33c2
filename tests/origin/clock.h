/* SPDX-License-Identifier: Apache-2.0
 *
 * The one clock of the origin: CLOCK_MONOTONIC. */
#ifndef ORIGIN_CLOCK_H
#define ORIGIN_CLOCK_H

#include <stdint.h>
#include <time.h>

#define NS_PER_SECOND UINT64_C(1000000000)
#define NS_PER_MS     UINT64_C(1000000)

static inline uint64_t clock_now_ns(void)
{
	struct timespec ts;
	(void) clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail for this clock */
	return (uint64_t) ts.tv_sec * NS_PER_SECOND + (uint64_t) ts.tv_nsec;
}

#endif
