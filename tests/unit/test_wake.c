/* SPDX-License-Identifier: Apache-2.0 */
/* wake.h: no thread is forgotten, and the time spent waiting is known while it passes. */
#include "base/wake.h"

#include "base/clock.h"
#include "base/thread.h"
#include "seed.h"
#include "unit.h"

#include <sched.h>
#include <unistd.h>

/* Tokens that threads wait for.  A lost wakeup leaves one lying, and hangs the test. */
struct table {
	struct mutex lock;
	struct wake takers; /* tokens > 0 || closed */
	struct cond empty;  /* tokens == 0 */
	unsigned tokens GUARDED_BY(lock);
	unsigned taken GUARDED_BY(lock);
	bool closed GUARDED_BY(lock);
};

static void table_init(struct table *t)
{
	*t = (struct table) { 0 };
	CU_ASSERT_EQUAL_FATAL(mutex_init(&t->lock), 0);
	CU_ASSERT_EQUAL_FATAL(wake_init(&t->takers), 0);
	CU_ASSERT_EQUAL_FATAL(cond_init(&t->empty), 0);
}

static void table_destroy(struct table *t)
{
	cond_destroy(&t->empty);
	wake_destroy(&t->takers);
	mutex_destroy(&t->lock);
}

static void table_close(struct table *t)
{
	mutex_lock(&t->lock);
	t->closed = true;
	wake_all(&t->takers);
	mutex_unlock(&t->lock);
}

static unsigned waiters(struct table *t)
{
	mutex_lock(&t->lock);
	unsigned n = t->takers.waiters;
	mutex_unlock(&t->lock);
	return n;
}

static bool is_in_flight(struct table *t)
{
	mutex_lock(&t->lock);
	bool in_flight = t->takers.in_flight;
	mutex_unlock(&t->lock);
	return in_flight;
}

static void await_waiters(struct table *t, unsigned n)
{
	while (waiters(t) != n)
		(void) sched_yield();
}

static uint64_t waited_ns(struct table *t)
{
	mutex_lock(&t->lock);
	uint64_t ns = wake_waited_ns(&t->takers);
	mutex_unlock(&t->lock);
	return ns;
}

/* Takes one token; false once the deadline has passed or the table is closed. */
static bool take(struct table *t, uint64_t deadline_ns)
{
	bool in_time = true;

	mutex_lock(&t->lock);
	while (t->tokens == 0 && !t->closed && in_time)
		in_time = wake_wait(&t->takers, &t->lock, deadline_ns);
	bool got = t->tokens > 0;
	if (got) {
		t->taken++;
		if (--t->tokens == 0)
			cond_signal(&t->empty);
	}
	if (t->tokens > 0)
		wake_one(&t->takers);
	mutex_unlock(&t->lock);
	return got;
}

static void put(struct table *t, unsigned n)
{
	mutex_lock(&t->lock);
	for (unsigned i = 0; i < n; i++) {
		t->tokens++;
		wake_one(&t->takers);
	}
	mutex_unlock(&t->lock);
}

static void await_empty(struct table *t)
{
	mutex_lock(&t->lock);
	while (t->tokens > 0)
		(void) cond_wait(&t->empty, &t->lock, NEVER);
	mutex_unlock(&t->lock);
}

static void *take_until_closed(void *arg)
{
	struct table *t = arg;

	while (take(t, NEVER))
		;
	return NULL;
}

/* --- one thread ----------------------------------------------------------------------- */

static void test_a_past_deadline_ends_the_wait(void)
{
	struct table t;

	table_init(&t);
	uint64_t deadline = clock_now_ns() + NS_PER_MS;
	CU_ASSERT_FALSE(take(&t, 1));
	CU_ASSERT_FALSE(take(&t, deadline));
	CU_ASSERT_TRUE(clock_now_ns() >= deadline);
	CU_ASSERT_EQUAL(waiters(&t), 0);
	table_destroy(&t);
}

static void test_without_waiters_no_wakeup_is_in_flight(void)
{
	struct table t;

	table_init(&t);
	put(&t, 3);
	CU_ASSERT_FALSE(t.takers.in_flight);
	table_close(&t);
	CU_ASSERT_FALSE(t.takers.in_flight);
	CU_ASSERT_TRUE(take(&t, 1));
	table_destroy(&t);
}

/* --- several -------------------------------------------------------------------------- */

static void test_one_wakeup_is_in_flight_until_it_is_answered(void)
{
	pthread_t threads[3];
	struct table t;

	table_init(&t);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		CU_ASSERT_EQUAL_FATAL(thread_start(&threads[i], "taker", THREAD_STACK_SMALL,
		                                   take_until_closed, &t),
		                      0);
	await_waiters(&t, ARRAY_LEN(threads));

	mutex_lock(&t.lock);
	t.tokens = 2;
	CU_ASSERT_FALSE(t.takers.in_flight);
	wake_one(&t.takers);
	CU_ASSERT_TRUE(t.takers.in_flight);
	wake_one(&t.takers);
	CU_ASSERT_EQUAL(t.takers.waiters, ARRAY_LEN(threads));
	mutex_unlock(&t.lock);

	/* Also a wakeup that finds nothing left, because another was faster, is answered. */
	await_empty(&t);
	while (is_in_flight(&t))
		(void) sched_yield();
	mutex_lock(&t.lock);
	CU_ASSERT_EQUAL(t.taken, 2);
	mutex_unlock(&t.lock);

	table_close(&t);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		thread_join(threads[i]);
	table_destroy(&t);
}

/* The one waiter is past its deadline, but still counts: it needs the mutex to leave. */
struct leaver {
	struct table *table;
	uint64_t deadline_ns;
};

static void *take_in_time(void *arg)
{
	const struct leaver *l = arg;

	(void) take(l->table, l->deadline_ns);
	return NULL;
}

static void test_whoever_leaves_answers_the_wakeup(void)
{
	for (int i = 0; i < 20; i++) {
		struct table t;
		struct leaver l = { .table = &t, .deadline_ns = clock_now_ns() + 2 * NS_PER_MS };
		pthread_t thread;

		table_init(&t);
		CU_ASSERT_EQUAL_FATAL(
		        thread_start(&thread, "taker", THREAD_STACK_SMALL, take_in_time, &l), 0);
		while (waiters(&t) == 0 && clock_now_ns() < l.deadline_ns)
			(void) sched_yield();
		mutex_lock(&t.lock);
		while (clock_now_ns() < l.deadline_ns + NS_PER_MS / 2)
			;
		wake_one(&t.takers);
		mutex_unlock(&t.lock);
		thread_join(thread);

		CU_ASSERT_FALSE(is_in_flight(&t));
		table_destroy(&t);
	}
}

static void test_the_waited_time_counts_those_who_wait_now(void)
{
	const uint64_t span = 2 * NS_PER_MS;
	uint64_t start = clock_now_ns();
	pthread_t threads[2];
	struct table t;

	table_init(&t);
	CU_ASSERT_EQUAL(waited_ns(&t), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		CU_ASSERT_EQUAL_FATAL(thread_start(&threads[i], "taker", THREAD_STACK_SMALL,
		                                   take_until_closed, &t),
		                      0);
	await_waiters(&t, 2);
	uint64_t both_wait = clock_now_ns();
	while (clock_now_ns() < both_wait + span)
		;

	uint64_t first = waited_ns(&t);
	CU_ASSERT_TRUE(first >= 2 * span);
	CU_ASSERT_TRUE(first <= 2 * (clock_now_ns() - start));
	CU_ASSERT_TRUE(waited_ns(&t) >= first);

	table_close(&t);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		thread_join(threads[i]);
	uint64_t last = waited_ns(&t);
	CU_ASSERT_TRUE(last >= first);
	CU_ASSERT_TRUE(last <= 2 * (clock_now_ns() - start));
	CU_ASSERT_EQUAL(waited_ns(&t), last); /* stands still now */
	table_destroy(&t);
}

/* --- stress --------------------------------------------------------------------------- */

struct taker {
	struct table *table;
	struct random random;
	bool impatient; /* gives up and comes again, at a bad moment if there is one */
};

static void *take_as_told(void *arg)
{
	struct taker *taker = arg;
	struct table *t = taker->table;
	bool closed = false;

	while (!closed) {
		uint64_t deadline = taker->impatient
		                            ? clock_now_ns() + random_up_to(&taker->random, 60000)
		                            : NEVER;
		(void) take(t, deadline);
		mutex_lock(&t->lock);
		closed = t->closed && t->tokens == 0;
		mutex_unlock(&t->lock);
	}
	return NULL;
}

/* Each burst is taken before the next is put: nothing comes later that would make
 * good for a wakeup that was lost. */
static void stress(size_t n_takers, size_t n_impatient, unsigned bursts)
{
	struct random r = seeded();
	struct taker takers[8];
	pthread_t threads[8];
	struct table t;
	unsigned total = 0;

	table_init(&t);
	for (size_t i = 0; i < n_takers; i++) {
		takers[i] = (struct taker) { .table = &t,
			                    .random.state = random_up_to(&r, UINT64_MAX),
			                    .impatient = i < n_impatient };
		CU_ASSERT_EQUAL_FATAL(thread_start(&threads[i], "taker", THREAD_STACK_SMALL,
		                                   take_as_told, &takers[i]),
		                      0);
	}
	for (unsigned i = 0; i < bursts; i++) {
		unsigned n = (unsigned) below(&r, 6);
		put(&t, n);
		total += n;
		await_empty(&t);
	}
	table_close(&t);
	for (size_t i = 0; i < n_takers; i++)
		thread_join(threads[i]);
	mutex_lock(&t.lock);
	CU_ASSERT_EQUAL(t.taken, total);
	CU_ASSERT_EQUAL(t.takers.waiters, 0);
	mutex_unlock(&t.lock);
	table_destroy(&t);
}

static void test_patient_threads_take_everything(void)
{
	stress(1, 0, 5000);
	stress(2, 0, 5000);
	stress(8, 0, 5000);
}

static void test_a_wakeup_that_hits_a_leaving_thread_is_not_lost(void)
{
	stress(2, 1, 5000);
	stress(6, 3, 5000);
	stress(8, 7, 5000);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "a past deadline ends the wait", test_a_past_deadline_ends_the_wait },
		{ "without waiters no wakeup is in flight",
		  test_without_waiters_no_wakeup_is_in_flight },
		{ "one wakeup is in flight until it is answered",
		  test_one_wakeup_is_in_flight_until_it_is_answered },
		{ "whoever leaves answers the wakeup", test_whoever_leaves_answers_the_wakeup },
		{ "the waited time counts those who wait now",
		  test_the_waited_time_counts_those_who_wait_now },
		{ "patient threads take everything", test_patient_threads_take_everything },
		{ "a wakeup that hits a leaving thread is not lost",
		  test_a_wakeup_that_hits_a_leaving_thread_is_not_lost },
		CU_TEST_INFO_NULL,
	};

	(void) alarm(600); /* a hang is a failure */
	return unit_run("wake", tests);
}
