/* SPDX-License-Identifier: Apache-2.0 */
/* Pseudo-random numbers for jitter (never for secrets): splitmix64. */
#ifndef PENSTOCK_BASE_RANDOM_H
#define PENSTOCK_BASE_RANDOM_H

#include <stdint.h>

/* One sequence, owned by one thread; any value is a good seed. */
struct random {
	uint64_t state;
};

/* A seed that differs from run to run (getrandom(2)). */
uint64_t random_seed(void);

/* A uniform number in [0, limit]. */
uint64_t random_up_to(struct random *r, uint64_t limit);

#endif
