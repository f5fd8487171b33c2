/* SPDX-License-Identifier: Apache-2.0 */
/* random.h: the sequence of a seed never changes, so nothing here is left to chance. */
#include "base/random.h"

#include "unit.h"

static void test_a_seed_gives_the_published_sequence(void)
{
	/* The first numbers of splitmix64 for the seeds 0 and 1234567. */
	struct random zero = { .state = 0 }, other = { .state = 1234567 };

	CU_ASSERT_EQUAL(random_up_to(&zero, UINT64_MAX), UINT64_C(0xe220a8397b1dcdaf));
	CU_ASSERT_EQUAL(random_up_to(&zero, UINT64_MAX), UINT64_C(0x6e789e6aa1b965f4));
	CU_ASSERT_EQUAL(random_up_to(&zero, UINT64_MAX), UINT64_C(0x06c45d188009454f));
	CU_ASSERT_EQUAL(random_up_to(&other, UINT64_MAX), UINT64_C(6457827717110365317));
	CU_ASSERT_EQUAL(random_up_to(&other, UINT64_MAX), UINT64_C(3203168211198807973));
}

static void test_equal_seeds_give_equal_numbers(void)
{
	struct random a = { .state = 42 }, b = { .state = 42 }, c = { .state = 43 };
	unsigned differences = 0;

	for (uint64_t i = 0; i < 1000; i++) {
		uint64_t value = random_up_to(&a, 1000 + i);
		CU_ASSERT_EQUAL(value, random_up_to(&b, 1000 + i));
		differences += value != random_up_to(&c, 1000 + i);
	}
	CU_ASSERT_TRUE(differences > 900);
}

static void test_numbers_stay_within_their_limit(void)
{
	struct random r = { .state = 7 };

	for (unsigned bits = 0; bits < 64; bits++) {
		uint64_t limit = (UINT64_C(1) << bits) - (bits % 2);
		for (int i = 0; i < 1000; i++)
			CU_ASSERT_TRUE(random_up_to(&r, limit) <= limit);
	}
	CU_ASSERT_EQUAL(random_up_to(&r, 0), 0);
}

static void test_small_limits_reach_every_number(void)
{
	struct random r = { .state = 9 };

	for (uint64_t limit = 0; limit < 32; limit++) {
		uint32_t seen = 0;
		for (int i = 0; i < 2000; i++)
			seen |= UINT32_C(1) << random_up_to(&r, limit);
		CU_ASSERT_EQUAL(seen, (uint32_t) ((UINT64_C(2) << limit) - 1));
	}
}

/* The sum of squared deviations of 'n' equally likely counts (Pearson). */
static double chi_squared(const unsigned *counts, size_t n, double expected)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += (counts[i] - expected) * (counts[i] - expected) / expected;
	return sum;
}

static void test_numbers_are_spread_evenly(void)
{
	enum { PLACES = 100, DRAWS = 100000 };
	struct random r = { .state = 11 };
	unsigned small[PLACES] = { 0 }, large[PLACES] = { 0 };
	const uint64_t span = UINT64_C(600000000000); /* ten minutes of jitter */

	for (int i = 0; i < DRAWS; i++) {
		small[random_up_to(&r, PLACES - 1)]++;
		large[random_up_to(&r, span - 1) / (span / PLACES)]++;
	}

	/* 99 degrees of freedom: 61 to 149 holds for all but one seed in a thousand. */
	double s = chi_squared(small, PLACES, DRAWS / PLACES);
	double l = chi_squared(large, PLACES, DRAWS / PLACES);
	CU_ASSERT_TRUE(s > 61 && s < 149);
	CU_ASSERT_TRUE(l > 61 && l < 149);
}

static void test_seeds_differ(void)
{
	uint64_t first = random_seed();
	CU_ASSERT_NOT_EQUAL(first, random_seed());
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "a seed gives the published sequence", test_a_seed_gives_the_published_sequence },
		{ "equal seeds give equal numbers", test_equal_seeds_give_equal_numbers },
		{ "numbers stay within their limit", test_numbers_stay_within_their_limit },
		{ "small limits reach every number", test_small_limits_reach_every_number },
		{ "numbers are spread evenly", test_numbers_are_spread_evenly },
		{ "seeds differ", test_seeds_differ },
		CU_TEST_INFO_NULL,
	};
	return unit_run("random", tests);
}
