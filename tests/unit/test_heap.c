/* SPDX-License-Identifier: Apache-2.0 */
/* heap.h: whatever goes in, it comes out by its key, or from wherever it stands. */
#include "base/heap.h"

#include "seed.h"
#include "unit.h"

#include <stdlib.h>

struct thing {
	uint64_t key;
	size_t at;
};

static struct thing *first(const struct heap *h)
{
	return HEAP_MEMBER(heap_first(h), struct thing, at);
}

static struct thing *add(struct heap *h, uint64_t key)
{
	struct thing *thing = malloc(sizeof(*thing));

	CU_ASSERT_PTR_NOT_NULL_FATAL(thing);
	CU_ASSERT_EQUAL_FATAL(heap_reserve(h, h->len + 1), 0);
	thing->key = key;
	heap_add(h, &thing->at, key);
	return thing;
}

static void end(struct heap *h, struct thing *thing)
{
	heap_remove(h, &thing->at);
	free(thing);
}

static uint64_t take(struct heap *h)
{
	struct thing *thing = first(h);
	uint64_t key = thing->key;

	CU_ASSERT_EQUAL(key, heap_key(h));
	end(h, thing);
	return key;
}

static void test_an_empty_heap_has_no_first(void)
{
	struct heap h = { 0 };

	CU_ASSERT_EQUAL(heap_key(&h), UINT64_MAX);
	heap_done(&h);
	(void) add(&h, 5);
	CU_ASSERT_EQUAL(take(&h), 5);
	CU_ASSERT_EQUAL(heap_key(&h), UINT64_MAX);
	heap_done(&h);
	heap_done(&h);
}

static void test_reserved_room_is_kept(void)
{
	struct heap h = { 0 };

	CU_ASSERT_EQUAL(heap_reserve(&h, 0), 0);
	CU_ASSERT_EQUAL_FATAL(heap_reserve(&h, 1000), 0);
	const struct heap_entry *entries = h.entries;
	CU_ASSERT_TRUE(h.size >= 1000);
	for (uint64_t i = 0; i < 1000; i++)
		(void) add(&h, 1000 - i);
	CU_ASSERT_PTR_EQUAL(h.entries, entries);
	CU_ASSERT_EQUAL(h.len, 1000);
	for (uint64_t i = 1; i <= 1000; i++)
		CU_ASSERT_EQUAL(take(&h), i);
	heap_done(&h);
}

static void test_members_come_out_in_order(void)
{
	struct random r = seeded();

	for (int round = 0; round < 200; round++) {
		struct heap h = { 0 };
		size_t n = below(&r, 300);
		uint64_t spread = random_up_to(&r, UINT64_MAX) >>
		                  below(&r, 64); /* also many equal */
		uint64_t sum_in = 0, sum_out = 0, last = 0;

		for (size_t i = 0; i < n; i++) {
			uint64_t key = random_up_to(&r, spread);
			sum_in += key;
			(void) add(&h, key);
		}
		CU_ASSERT_EQUAL(h.len, n);
		while (h.len > 0) {
			uint64_t key = take(&h);
			CU_ASSERT_TRUE(key >= last);
			last = key;
			sum_out += key;
		}
		CU_ASSERT_EQUAL(sum_in, sum_out);
		heap_done(&h);
	}
}

/* Beside the heap stands what is in it. */
static void test_the_first_one_is_right_whatever_is_moved_or_removed(void)
{
	enum { THINGS = 64, KEYS = 50 };
	struct random r = seeded();
	struct heap h = { 0 };
	struct thing *things[THINGS] = { NULL };

	for (int i = 0; i < 20000; i++) {
		struct thing **thing = &things[below(&r, THINGS)];
		if (!*thing) {
			*thing = add(&h, below(&r, KEYS));
		} else if (below(&r, 2) == 0) {
			(*thing)->key = below(&r, KEYS);
			heap_move(&h, &(*thing)->at, (*thing)->key);
		} else {
			end(&h, *thing);
			*thing = NULL;
		}

		uint64_t least = UINT64_MAX;
		for (size_t k = 0; k < THINGS; k++)
			if (things[k] && things[k]->key < least)
				least = things[k]->key;
		CU_ASSERT_EQUAL_FATAL(heap_key(&h), least);
		CU_ASSERT_FATAL(h.len == 0 || first(&h)->key == least);
	}
	while (h.len > 0)
		(void) take(&h);
	heap_done(&h);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "an empty heap has no first", test_an_empty_heap_has_no_first },
		{ "reserved room is kept", test_reserved_room_is_kept },
		{ "members come out in order", test_members_come_out_in_order },
		{ "the first one is right whatever is moved or removed",
		  test_the_first_one_is_right_whatever_is_moved_or_removed },
		CU_TEST_INFO_NULL,
	};
	return unit_run("heap", tests);
}
