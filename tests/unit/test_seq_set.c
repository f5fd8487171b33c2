/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/seq_set.h"

#include "base/random.h"

#include "unit.h"

#include <errno.h>
#include <string.h>

static void in_order_it_takes_one_run(void)
{
	struct seq_set s = { 0 };

	for (uint64_t seq = 5; seq < 100005; seq++)
		CU_ASSERT_EQUAL(seq_set_add(&s, seq), 1);
	CU_ASSERT_EQUAL(s.n, 1);
	CU_ASSERT_EQUAL(s.runs[0].first, 5);
	CU_ASSERT_EQUAL(s.runs[0].last, 100004);
	CU_ASSERT_EQUAL(seq_set_add(&s, 5), 0);
	CU_ASSERT_EQUAL(seq_set_add(&s, 100004), 0);
	CU_ASSERT_EQUAL(seq_set_add(&s, 4), 1);
	CU_ASSERT_EQUAL(s.runs[0].first, 4);
	seq_set_done(&s);
}

/* Against a table of flags: any order, any gaps, the ends of the numbers as well. */
static void it_is_the_set_that_was_added(void)
{
	enum { SPAN = 300 };
	struct random random = { .state = 7 };

	for (int round = 0; round < 200; round++) {
		bool in[SPAN + 2] = { false };
		struct seq_set s = { 0 };
		uint64_t base = round % 2 == 0 ? 1 : UINT64_MAX - SPAN - 1;
		for (int i = 0; i < 2 * round; i++) {
			uint64_t at = random_up_to(&random, SPAN - 1);
			CU_ASSERT_EQUAL(seq_set_add(&s, base + at), !in[at]);
			in[at] = true;
		}
		size_t runs = 0;
		for (uint64_t at = 0; at < SPAN; at++) {
			struct seq_run run = { 0 };
			uint64_t first = at, last = at;
			while (first < SPAN && !in[first])
				first++;
			for (last = first; in[last + 1]; last++)
				;
			bool found = seq_set_run_from(&s, base + at, &run);
			CU_ASSERT_EQUAL(found, first < SPAN);
			if (found) {
				CU_ASSERT_EQUAL(run.first, base + first);
				CU_ASSERT_EQUAL(run.last, base + last);
			}
			runs += in[at] && (at == 0 || !in[at - 1]);
		}
		CU_ASSERT_EQUAL(s.n, runs);
		seq_set_done(&s);
	}
}

static void too_many_runs_are_refused(void)
{
	struct seq_set s = { 0 };

	for (uint64_t i = 1; i <= SEQ_SET_MAX_RUNS; i++)
		if (seq_set_add(&s, 2 * i) != 1)
			CU_FAIL("a run was refused");
	CU_ASSERT_EQUAL(seq_set_add(&s, 2 * (uint64_t) SEQ_SET_MAX_RUNS + 2), -E2BIG);
	CU_ASSERT_EQUAL(seq_set_add(&s, 3), 1);
	CU_ASSERT_EQUAL(s.n, SEQ_SET_MAX_RUNS - 1);
	seq_set_done(&s);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "in order it takes one run", in_order_it_takes_one_run },
		{ "it is the set that was added", it_is_the_set_that_was_added },
		{ "too many runs are refused", too_many_runs_are_refused },
		CU_TEST_INFO_NULL,
	};

	return unit_run("seq_set", tests);
}
