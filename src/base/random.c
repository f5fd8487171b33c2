/* SPDX-License-Identifier: Apache-2.0 */
#include "base/random.h"

#include "base/clock.h"

#include <sys/random.h>

uint64_t random_seed(void)
{
	uint64_t seed = 0;

	if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != sizeof(seed))
		seed = clock_now_ns();
	return seed;
}

__extension__ typedef unsigned __int128 uint128;

/* Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014. */
static uint64_t next(struct random *r)
{
	uint64_t z = r->state += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

uint64_t random_up_to(struct random *r, uint64_t limit)
{
	if (limit == UINT64_MAX)
		return next(r);

	/* Multiply and take the high half: its bias is below 2^-32 for any span of use here. */
	return (uint64_t) (((uint128) next(r) * (limit + 1)) >> 64);
}
