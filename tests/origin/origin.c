/* SPDX-License-Identifier: Apache-2.0 */
#include "origin.h"

enum {
	TARGETS_MAX = 100000,
	FLAKY_IDS_MAX = 1000000,
};

void origin_init(struct origin *o, uint64_t seed, bool remembers)
{
	*o = (struct origin) {
		.targets.names_max = TARGETS_MAX,
		.flaky.names_max = FLAKY_IDS_MAX,
		.flaky_resets.names_max = FLAKY_IDS_MAX,
		.random_state = seed,
		.remembers = remembers,
	};
}

void origin_done(struct origin *o)
{
	tally_clear(&o->targets);
	tally_clear(&o->flaky);
	tally_clear(&o->flaky_resets);
}

void origin_reset(struct origin *o)
{
	const struct counters *c = &o->counters;

	origin_done(o);
	o->counters = (struct counters) {
		.open = c->open,
		.max_open = c->open,
		.in_flight = c->in_flight,
		.max_in_flight = c->in_flight,
	};
}

/* SplitMix64 (Steele, Lea, Flood 2014).  The modulo's bias is far below what a test can see. */
uint64_t origin_random(struct origin *o, uint64_t max)
{
	uint64_t z = o->random_state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	z ^= z >> 31;
	return max == UINT64_MAX ? z : z % (max + 1);
}
