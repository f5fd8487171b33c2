/* SPDX-License-Identifier: Apache-2.0 */
/* The random numbers of property tests: new in each run, and repeatable. */
#ifndef PENSTOCK_TESTS_SEED_H
#define PENSTOCK_TESTS_SEED_H

#include "base/random.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

/* A sequence from PENSTOCK_SEED, or else from a new seed; prints which, so that a
 * failure can be repeated. */
static inline struct random seeded(void)
{
	const char *given = getenv("PENSTOCK_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 10) : random_seed();

	(void) printf("(PENSTOCK_SEED=%llu) ", (unsigned long long) seed);
	(void) fflush(stdout);
	return (struct random) { .state = seed };
}

/* A number in [0, n); 'n' must not be 0. */
static inline size_t below(struct random *r, size_t n) { return (size_t) random_up_to(r, n - 1); }

#endif
