/* SPDX-License-Identifier: Apache-2.0 */
/* thread.h: a stack is trimmed to what is in use. */
#include "base/thread.h"

#include "unit.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PIT_BYTES = 32 * 1024, MAX_PAGES = 1024 };

struct trial {
	size_t page_bytes;
	size_t before, after; /* pages of the stack that are resident, around the trimming */
	bool intact;          /* what was in use is what it was */
	bool again;           /* what was not can be used */
};

static size_t resident_pages(size_t page_bytes)
{
	unsigned char pages[MAX_PAGES] = { 0 };
	pthread_attr_t attr;
	void *low = NULL;
	size_t bytes = 0, n = 0;

	if (pthread_getattr_np(pthread_self(), &attr) != 0)
		return 0;
	if (pthread_attr_getstack(&attr, &low, &bytes) == 0 && bytes <= MAX_PAGES * page_bytes &&
	    mincore(low, bytes, pages) == 0)
		for (size_t i = 0; i < bytes / page_bytes; i++)
			n += pages[i] & 1;
	(void) pthread_attr_destroy(&attr);
	return n;
}

/* Uses stack far below the caller's. */
__attribute__((noinline)) static bool dig(void)
{
	volatile char pit[PIT_BYTES];
	size_t sum = 0;

	for (size_t i = 0; i < sizeof(pit); i++)
		pit[i] = 1;
	for (size_t i = 0; i < sizeof(pit); i++)
		sum += (size_t) pit[i];
	return sum == sizeof(pit);
}

static void *try_it(void *arg)
{
	struct trial *t = arg;
	volatile char mine[PIT_BYTES / 4];

	for (size_t i = 0; i < sizeof(mine); i++)
		mine[i] = (char) i;
	(void) dig();
	t->before = resident_pages(t->page_bytes);
	thread_trim_stack();
	t->after = resident_pages(t->page_bytes);
	t->intact = true;
	for (size_t i = 0; i < sizeof(mine); i++)
		t->intact = t->intact && mine[i] == (char) i;
	t->again = dig();
	return NULL;
}

static void test_a_stack_is_trimmed_to_what_is_in_use(void)
{
	struct trial t = { .page_bytes = (size_t) sysconf(_SC_PAGESIZE) };
	pthread_t thread;

	CU_ASSERT_EQUAL_FATAL(thread_start(&thread, "trimmed", THREAD_STACK_SMALL, try_it, &t), 0);
	thread_join(thread);
	/* The ends of the pit share their pages, and looking takes a little stack, too. */
	CU_ASSERT(t.before >= t.after + PIT_BYTES / t.page_bytes - 3);
	CU_ASSERT(t.after > 0);
	CU_ASSERT_TRUE(t.intact);
	CU_ASSERT_TRUE(t.again);
}

static void test_so_is_that_of_the_main_thread(void)
{
	CU_ASSERT_TRUE(dig());
	thread_trim_stack();
	CU_ASSERT_TRUE(dig());
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "a stack is trimmed to what is in use", test_a_stack_is_trimmed_to_what_is_in_use },
		{ "so is that of the main thread", test_so_is_that_of_the_main_thread },
		CU_TEST_INFO_NULL,
	};

	return unit_run("thread", tests);
}
