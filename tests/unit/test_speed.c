/* SPDX-License-Identifier: Apache-2.0 */
/* speed.h: too slow is what stays below a speed for a span of time; time is made up here. */
#include "fetch/speed.h"

#include "base/clock.h"
#include "base/sync.h"
#include "unit.h"

#include <CUnit/Basic.h>

#define SPAN (8 * NS_PER_S) /* with parts of a second */

/* How many seconds it takes until it is low, at so many bytes a second at first and afterwards. */
static unsigned low_after(uint64_t least, uint64_t first, unsigned first_s, uint64_t then)
{
	struct speed s;
	uint64_t now_ns = 1000, bytes = 0;

	speed_start(&s, least, SPAN, now_ns);
	for (unsigned second = 1; second <= 1000; second++) {
		CU_ASSERT_TRUE(s.next_ns > now_ns && s.next_ns <= now_ns + NS_PER_S + 1);
		now_ns = s.next_ns;
		bytes += second <= first_s ? first : then;
		if (speed_is_low(&s, bytes, now_ns))
			return second;
	}
	return 0;
}

static void test_without_a_least_speed_nothing_is_low(void)
{
	struct speed s;

	speed_start(&s, 0, SPAN, 1);
	CU_ASSERT_EQUAL(s.next_ns, NEVER);
	speed_start(&s, 100, 0, 1);
	CU_ASSERT_EQUAL(s.next_ns, NEVER);
}

static void test_it_takes_the_whole_span(void)
{
	CU_ASSERT_EQUAL(low_after(100, 0, 0, 0), 8);
	CU_ASSERT_EQUAL(low_after(100, 99, 0, 99), 8);
	CU_ASSERT_EQUAL(low_after(100, 100, 0, 100), 0);
	CU_ASSERT_EQUAL(low_after(100, 0, 7, 800), 0); /* it comes at last */
}

static void test_a_good_start_does_not_help_for_ever(void)
{
	CU_ASSERT_EQUAL(low_after(100, 1000000, 1, 0), 9);
	CU_ASSERT_EQUAL(low_after(100, 1000000, 5, 0), 13);
	CU_ASSERT_EQUAL(low_after(100, 100, 20, 99), 21); /* an average of 99.9 is less, too */
}

static void test_the_largest_values_fit(void)
{
	struct speed s;

	speed_start(&s, UINT64_C(1) << 40, 86400 * NS_PER_S, 1);
	CU_ASSERT_TRUE(s.least > UINT64_C(1) << 56);
	CU_ASSERT_FALSE(speed_is_low(&s, UINT64_MAX, s.next_ns));
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "without a least speed nothing is low", test_without_a_least_speed_nothing_is_low },
		{ "it takes the whole span", test_it_takes_the_whole_span },
		{ "a good start does not help for ever", test_a_good_start_does_not_help_for_ever },
		{ "the largest values fit", test_the_largest_values_fit },
		CU_TEST_INFO_NULL,
	};
	return unit_run("speed", tests);
}
