/* SPDX-License-Identifier: Apache-2.0 */
/* claims.h: who is out, and what a take that has an old snapshot must not hand out again. */
#include "backlog/claims.h"

#include "unit.h"

static void add(struct claims *c, uint64_t number, size_t bytes, bool delayed)
{
	struct claim claim = { .number = number, .rank = 7, .bytes = bytes, .delayed = delayed };

	CU_ASSERT_EQUAL_FATAL(claims_add(c, &claim), 0);
}

static void release(struct claims *c, uint64_t number)
{
	struct claim *claim = claims_find(c, number);

	CU_ASSERT_PTR_NOT_NULL_FATAL(claim);
	claims_release(c, claim);
}

static void expect(const struct claims *c, size_t jobs, size_t bytes, size_t delayed)
{
	CU_ASSERT_EQUAL(c->jobs, jobs);
	CU_ASSERT_EQUAL(c->bytes, bytes);
	CU_ASSERT_EQUAL(c->delayed, delayed);
}

static void test_many_claims_come_and_go(void)
{
	struct claims c = { 0 };

	CU_ASSERT_PTR_NULL(claims_find(&c, 1));
	CU_ASSERT_TRUE(claims_free_to_take(&c, 1));
	for (uint64_t i = 1; i <= 1000; i++)
		add(&c, i * 64, 2, i % 2 == 0);
	expect(&c, 1000, 2000, 500);
	for (uint64_t i = 1; i <= 1000; i++) {
		CU_ASSERT_EQUAL(claims_find(&c, i * 64)->number, i * 64);
		CU_ASSERT_FALSE(claims_free_to_take(&c, i * 64));
		CU_ASSERT_TRUE(claims_free_to_take(&c, i * 64 + 1));
	}
	for (uint64_t i = 1; i <= 1000; i++)
		release(&c, i * 64);
	expect(&c, 0, 0, 0);
	CU_ASSERT_TRUE(claims_free_to_take(&c, 64));
	claims_done(&c);
}

static void test_what_is_released_lingers_until_the_take_has_ended(void)
{
	struct claims c = { 0 };

	add(&c, 1, 5, true);
	claims_begin_take(&c);
	release(&c, 1);
	expect(&c, 0, 0, 0);
	CU_ASSERT_PTR_NULL(claims_find(&c, 1));
	CU_ASSERT_FALSE(claims_free_to_take(&c, 1));
	claims_end_take(&c);
	CU_ASSERT_TRUE(claims_free_to_take(&c, 1));
	claims_done(&c);
}

static void test_what_lingers_can_be_claimed_anew(void)
{
	struct claims c = { 0 };

	add(&c, 1, 5, false);
	claims_begin_take(&c);
	release(&c, 1);
	add(&c, 1, 6, true);
	release(&c, 1);
	add(&c, 1, 7, false);
	expect(&c, 1, 7, 0);
	claims_end_take(&c);
	CU_ASSERT_PTR_NOT_NULL(claims_find(&c, 1));
	CU_ASSERT_FALSE(claims_free_to_take(&c, 1));
	claims_begin_take(&c);
	release(&c, 1);
	claims_end_take(&c);
	expect(&c, 0, 0, 0);
	CU_ASSERT_TRUE(claims_free_to_take(&c, 1));
	claims_done(&c);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "many claims come and go", test_many_claims_come_and_go },
		{ "what is released lingers until the take has ended",
		  test_what_is_released_lingers_until_the_take_has_ended },
		{ "what lingers can be claimed anew", test_what_lingers_can_be_claimed_anew },
		CU_TEST_INFO_NULL,
	};

	return unit_run("claims", tests);
}
