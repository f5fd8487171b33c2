/* SPDX-License-Identifier: Apache-2.0 */
/* ledger.h: every job is in exactly one account, whenever one looks. */
#include "engine/ledger.h"

#include "base/random.h"
#include "base/thread.h"
#include "unit.h"

#include <stdatomic.h>
#include <stdbool.h>

/* --- helpers ----------------------------------------------------------------------- */

static struct ledger *make_ledger(void)
{
	struct ledger *l = NULL;

	CU_ASSERT_EQUAL_FATAL(ledger_create(&(struct ledger_balance) { 0 }, &l), 0);
	return l;
}

static uint64_t sum_of(const struct ledger_balance *b)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < LEDGER_ACCOUNTS; i++)
		sum += b->jobs[i];
	return sum;
}

static void expect(struct ledger *l, uint64_t waiting, uint64_t queued, uint64_t running,
                   uint64_t done, uint64_t dead)
{
	struct ledger_balance b;

	ledger_balance(l, &b);
	CU_ASSERT_EQUAL(b.accepted, waiting + queued + running + done + dead);
	CU_ASSERT_EQUAL(b.jobs[LEDGER_WAITING], waiting);
	CU_ASSERT_EQUAL(b.jobs[LEDGER_QUEUED], queued);
	CU_ASSERT_EQUAL(b.jobs[LEDGER_RUNNING], running);
	CU_ASSERT_EQUAL(b.jobs[LEDGER_DONE], done);
	CU_ASSERT_EQUAL(b.jobs[LEDGER_DEAD], dead);
	CU_ASSERT_EQUAL(b.jobs[LEDGER_CANCELLED], 0);
}

/* --- tests ------------------------------------------------------------------------- */

static void test_a_new_ledger_is_empty(void)
{
	struct ledger *l = make_ledger();

	expect(l, 0, 0, 0, 0, 0);
	CU_ASSERT_PTR_NULL(ledger_free(l));
	CU_ASSERT_PTR_NULL(ledger_free(NULL));
}

static void test_jobs_move_from_account_to_account(void)
{
	struct ledger *l = make_ledger();

	ledger_accept(l, 10);
	expect(l, 10, 0, 0, 0, 0);
	ledger_move(l, LEDGER_WAITING, LEDGER_QUEUED, 7);
	expect(l, 3, 7, 0, 0, 0);
	ledger_move(l, LEDGER_QUEUED, LEDGER_RUNNING, 5);
	ledger_move(l, LEDGER_RUNNING, LEDGER_DONE, 2);
	ledger_move(l, LEDGER_RUNNING, LEDGER_DEAD, 1);
	ledger_move(l, LEDGER_RUNNING, LEDGER_WAITING, 1);
	expect(l, 4, 2, 1, 2, 1);
	ledger_accept(l, 1);
	expect(l, 5, 2, 1, 2, 1);
	ledger_move(l, LEDGER_WAITING, LEDGER_QUEUED, 0);
	expect(l, 5, 2, 1, 2, 1);
	l = ledger_free(l);
}

struct mover {
	pthread_t thread;
	struct ledger *ledger;
	uint64_t seed;
};

enum { EARLY = 100 };

static void *move_early(void *arg)
{
	struct mover *m = arg;

	ledger_move(m->ledger, LEDGER_WAITING, LEDGER_QUEUED, EARLY);
	return NULL;
}

static void test_a_move_waits_for_its_jobs_to_be_booked(void)
{
	struct ledger *l = make_ledger();
	struct mover m = { .ledger = l };

	CU_ASSERT_EQUAL_FATAL(thread_start(&m.thread, "mover", THREAD_STACK_SMALL, move_early, &m),
	                      0);
	for (int i = 0; i < EARLY; i++)
		ledger_accept(l, 1);
	thread_join(m.thread);
	expect(l, 0, EARLY, 0, 0, 0);
	l = ledger_free(l);
}

/* --- snapshots under load ---------------------------------------------------------- */

enum { MOVERS = 4, JOBS = 20000 };

static atomic_uint movers_left;

/* Takes its jobs one by one through the accounts, some of them more than once. */
static void *move_all(void *arg)
{
	struct mover *m = arg;
	struct random random = { .state = m->seed };

	for (int i = 0; i < JOBS; i++) {
		ledger_accept(m->ledger, 1);
		for (bool final = false; !final;) {
			uint64_t what = random_up_to(&random, 4);
			ledger_move(m->ledger, LEDGER_WAITING, LEDGER_QUEUED, 1);
			ledger_move(m->ledger, LEDGER_QUEUED, LEDGER_RUNNING, 1);
			final = what > 0;
			ledger_move(m->ledger, LEDGER_RUNNING,
			            what == 0   ? LEDGER_WAITING
			            : what == 1 ? LEDGER_DEAD
			            : what == 2 ? LEDGER_CANCELLED
			                        : LEDGER_DONE,
			            1);
		}
	}
	(void) atomic_fetch_sub(&movers_left, 1);
	return NULL;
}

static void test_the_equation_holds_at_every_moment(void)
{
	struct mover movers[MOVERS];
	struct ledger *l = make_ledger();
	struct ledger_balance b, before = { 0 };
	unsigned wrong = 0;

	atomic_store(&movers_left, MOVERS);
	for (size_t i = 0; i < MOVERS; i++) {
		movers[i] = (struct mover) { .ledger = l, .seed = i };
		CU_ASSERT_EQUAL_FATAL(thread_start(&movers[i].thread, "mover", THREAD_STACK_SMALL,
		                                   move_all, &movers[i]),
		                      0);
	}
	while (atomic_load(&movers_left) > 0) {
		ledger_balance(l, &b);
		wrong += b.accepted != sum_of(&b);
		wrong += b.accepted < before.accepted;
		wrong += b.jobs[LEDGER_DONE] < before.jobs[LEDGER_DONE];
		wrong += b.jobs[LEDGER_DEAD] < before.jobs[LEDGER_DEAD];
		wrong += b.jobs[LEDGER_RUNNING] + b.jobs[LEDGER_QUEUED] + b.jobs[LEDGER_WAITING] >
		         MOVERS;
		before = b;
	}
	for (size_t i = 0; i < MOVERS; i++)
		thread_join(movers[i].thread);

	CU_ASSERT_EQUAL(wrong, 0);
	ledger_balance(l, &b);
	CU_ASSERT_EQUAL(b.accepted, (uint64_t) MOVERS * JOBS);
	CU_ASSERT_EQUAL(b.jobs[LEDGER_DONE] + b.jobs[LEDGER_DEAD] + b.jobs[LEDGER_CANCELLED],
	                (uint64_t) MOVERS * JOBS);
	l = ledger_free(l);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "a new ledger is empty", test_a_new_ledger_is_empty },
		{ "jobs move from account to account", test_jobs_move_from_account_to_account },
		{ "a move waits for its jobs to be booked",
		  test_a_move_waits_for_its_jobs_to_be_booked },
		{ "the equation holds at every moment", test_the_equation_holds_at_every_moment },
		CU_TEST_INFO_NULL,
	};
	return unit_run("ledger", tests);
}
