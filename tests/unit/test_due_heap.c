/* SPDX-License-Identifier: Apache-2.0 */
/* due_heap.h: whatever goes in, it comes out in the order in which it falls due. */
#include "backlog/due_heap.h"

#include "base/sync.h"
#include "seed.h"
#include "stub_jobs.h"

static void add(struct due_heap *h, uint64_t due_ns)
{
	struct job *job = stub_job(due_ns, 1);

	CU_ASSERT_EQUAL_FATAL(due_heap_reserve(h, h->len + 1), 0);
	job->due_ns = due_ns;
	due_heap_add(h, job);
}

static uint64_t take(struct due_heap *h)
{
	uint64_t next = due_heap_next_ns(h);
	struct job *job = due_heap_take(h);
	uint64_t due = job->due_ns;

	CU_ASSERT_EQUAL(due, next);
	CU_ASSERT_EQUAL(job->number, due); /* nobody has changed it */
	job_free(job);
	return due;
}

static void test_an_empty_heap_is_never_due(void)
{
	struct due_heap h = { 0 };

	CU_ASSERT_EQUAL(due_heap_next_ns(&h), NEVER);
	due_heap_done(&h);
	add(&h, 5);
	CU_ASSERT_EQUAL(take(&h), 5);
	CU_ASSERT_EQUAL(due_heap_next_ns(&h), NEVER);
	due_heap_done(&h);
	due_heap_done(&h);
}

static void test_reserved_room_is_kept(void)
{
	struct due_heap h = { 0 };

	CU_ASSERT_EQUAL(due_heap_reserve(&h, 0), 0);
	CU_ASSERT_EQUAL_FATAL(due_heap_reserve(&h, 1000), 0);
	struct job **jobs = h.jobs;
	CU_ASSERT_TRUE(h.size >= 1000);
	for (uint64_t i = 0; i < 1000; i++)
		add(&h, 1000 - i);
	CU_ASSERT_PTR_EQUAL(h.jobs, jobs);
	CU_ASSERT_EQUAL(h.len, 1000);
	CU_ASSERT_EQUAL(take(&h), 1);
	due_heap_done(&h); /* frees the 999 others */
}

static void test_jobs_come_out_in_order(void)
{
	struct random r = seeded();

	for (int round = 0; round < 200; round++) {
		struct due_heap h = { 0 };
		size_t n = below(&r, 300);
		uint64_t spread = random_up_to(&r, UINT64_MAX) >>
		                  below(&r, 64); /* also many equal */
		uint64_t sum_in = 0, sum_out = 0, last = 0;

		for (size_t i = 0; i < n; i++) {
			uint64_t due = random_up_to(&r, spread);
			sum_in += due;
			add(&h, due);
		}
		CU_ASSERT_EQUAL(h.len, n);
		while (h.len > 0) {
			uint64_t due = take(&h);
			CU_ASSERT_TRUE(due >= last);
			last = due;
			sum_out += due;
		}
		CU_ASSERT_EQUAL(sum_in, sum_out);
		due_heap_done(&h);
	}
}

/* Beside the heap stands a count of jobs for each due time. */
static void test_the_first_one_is_right_at_any_moment(void)
{
	enum { TIMES = 64 };
	struct random r = seeded();
	struct due_heap h = { 0 };
	unsigned counts[TIMES] = { 0 };

	for (int i = 0; i < 20000; i++) {
		uint64_t first = 0;
		while (first < TIMES && counts[first] == 0)
			first++;
		CU_ASSERT_EQUAL_FATAL(due_heap_next_ns(&h), first < TIMES ? first : NEVER);

		if (first < TIMES && below(&r, 100) < (i / 1000 % 2 ? 60U : 40U)) {
			CU_ASSERT_EQUAL(take(&h), first);
			counts[first]--;
		} else {
			uint64_t due = below(&r, TIMES);
			add(&h, due);
			counts[due]++;
		}
	}
	due_heap_done(&h);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "an empty heap is never due", test_an_empty_heap_is_never_due },
		{ "reserved room is kept", test_reserved_room_is_kept },
		{ "jobs come out in order", test_jobs_come_out_in_order },
		{ "the first one is right at any moment",
		  test_the_first_one_is_right_at_any_moment },
		CU_TEST_INFO_NULL,
	};
	return unit_run("due_heap", tests);
}
