/* SPDX-License-Identifier: Apache-2.0 */
/* pool.h: which idle handle is lent, which one has to go, and hand-over between threads. */
#include "fetch/pool.h"

#include "base/random.h"
#include "base/thread.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

/* --- helpers ----------------------------------------------------------------------- */

static size_t discard(char *data, size_t size, size_t count, void *arg)
{
	(void) data, (void) arg;
	return size * count;
}

/* A handle that never connects; NULL without memory. */
static struct handle *try_handle(const char *origin)
{
	static const struct handle_options options = {
		.user_agent = "test/1",
		.connect_timeout_ns = 1000000,
		.on_body = discard,
	};
	const struct url_origin at = { .text = origin, .host = "127.0.0.1", .port = 80 };
	struct fetch_rules *rules = NULL;
	struct handle *h = NULL;

	if (fetch_rules_create(&(struct fetch_rules_options) { 0 }, &rules) < 0)
		return NULL;
	int r = handle_create(&options, rules, &at, NULL, &h);
	fetch_rules_unref(rules);
	return r == 0 ? h : NULL;
}

static struct handle *make_handle(const char *origin)
{
	struct handle *h = try_handle(origin);

	CU_ASSERT_PTR_NOT_NULL_FATAL(h);
	return h;
}

static struct pool *make_pool(size_t max_idle)
{
	struct pool *p = NULL;

	CU_ASSERT_EQUAL_FATAL(pool_create(max_idle, &p), 0);
	CU_ASSERT_EQUAL(pool_idle(p), 0);
	return p;
}

/* Gives a new handle to the pool, and returns it to be compared with. */
static struct handle *give_new(struct pool *p, const char *origin)
{
	struct handle *h = make_handle(origin);

	pool_give(p, h);
	return h;
}

static void expect_and_free(struct pool *p, const char *origin, const struct handle *expected)
{
	struct handle *h = pool_take(p, origin);

	CU_ASSERT_PTR_EQUAL(h, expected);
	h = handle_free(h);
}

/* --- tests ------------------------------------------------------------------------- */

static void test_an_empty_pool_has_nothing(void)
{
	struct pool *p = make_pool(4);

	CU_ASSERT_PTR_NULL(pool_take(p, "http://a:80"));
	CU_ASSERT_PTR_NULL(pool_free(p));
	CU_ASSERT_PTR_NULL(pool_free(NULL));
}

static void test_the_last_given_is_lent_first(void)
{
	struct pool *p = make_pool(8);
	const struct handle *first = give_new(p, "http://a:80");
	const struct handle *other = give_new(p, "http://b:80");
	const struct handle *second = give_new(p, "http://a:80");
	const struct handle *third = give_new(p, "http://a:80");

	CU_ASSERT_EQUAL(pool_idle(p), 4);
	expect_and_free(p, "http://a:80", third);
	expect_and_free(p, "http://a:80", second);
	expect_and_free(p, "http://a:80", first);
	expect_and_free(p, "http://a:80", NULL);
	CU_ASSERT_EQUAL(pool_idle(p), 1);
	expect_and_free(p, "http://b:80", other);
	CU_ASSERT_EQUAL(pool_idle(p), 0);
	p = pool_free(p);
}

static void test_a_handle_can_go_round(void)
{
	struct pool *p = make_pool(2);
	struct handle *h = make_handle("http://a:80");

	for (int i = 0; i < 3; i++) {
		pool_give(p, h);
		CU_ASSERT_EQUAL(pool_idle(p), 1);
		CU_ASSERT_PTR_EQUAL_FATAL(pool_take(p, "http://a:80"), h);
		CU_ASSERT_EQUAL(pool_idle(p), 0);
	}
	h = handle_free(h);
	p = pool_free(p);
}

static void test_the_oldest_makes_room(void)
{
	struct pool *p = make_pool(2);

	(void) give_new(p, "http://a:80");
	const struct handle *b = give_new(p, "http://b:80");
	const struct handle *c = give_new(p, "http://c:80");
	CU_ASSERT_EQUAL(pool_idle(p), 2);
	expect_and_free(p, "http://a:80", NULL);

	/* Being lent makes a handle young again. */
	struct handle *lent = pool_take(p, "http://b:80");
	CU_ASSERT_PTR_EQUAL(lent, b);
	pool_give(p, lent);
	const struct handle *d = give_new(p, "http://d:80");
	expect_and_free(p, "http://c:80", NULL);
	(void) c;
	expect_and_free(p, "http://b:80", b);
	expect_and_free(p, "http://d:80", d);
	p = pool_free(p);
}

static void test_the_oldest_of_one_origin_makes_room(void)
{
	struct pool *p = make_pool(2);

	(void) give_new(p, "http://a:80");
	const struct handle *second = give_new(p, "http://a:80");
	const struct handle *third = give_new(p, "http://a:80");
	expect_and_free(p, "http://a:80", third);
	expect_and_free(p, "http://a:80", second);
	expect_and_free(p, "http://a:80", NULL);
	p = pool_free(p);
}

static void test_a_pool_of_none_keeps_none(void)
{
	struct pool *p = make_pool(0);

	(void) give_new(p, "http://a:80");
	CU_ASSERT_EQUAL(pool_idle(p), 0);
	expect_and_free(p, "http://a:80", NULL);
	p = pool_free(p);
}

enum { MANY = 64 };

/* As many origins as there are buckets: many of them share one (FNV-1a is fixed,
 * so the same ones in each run). */
static void test_origins_that_collide_are_kept_apart(void)
{
	struct pool *p = make_pool(MANY);
	struct handle *handles[MANY];
	struct random random = { .state = 1 };
	char origin[32];

	for (size_t i = 0; i < MANY; i++) {
		(void) snprintf(origin, sizeof(origin), "http://host%zu:80", i);
		handles[i] = give_new(p, origin);
	}
	for (int round = 0; round < 1000; round++) {
		size_t i = (size_t) random_up_to(&random, MANY - 1);
		(void) snprintf(origin, sizeof(origin), "http://host%zu:80", i);
		struct handle *h = pool_take(p, origin);
		CU_ASSERT_PTR_EQUAL_FATAL(h, handles[i]);
		CU_ASSERT_PTR_NULL(pool_take(p, origin));
		pool_give(p, h);
	}
	CU_ASSERT_EQUAL(pool_idle(p), MANY);
	p = pool_free(p);
}

/* --- threads ----------------------------------------------------------------------- */

enum { THREADS = 4, ROUNDS = 2000, ORIGINS = 3, ROOM = 4 };

struct borrower {
	pthread_t thread;
	struct pool *pool;
	uint64_t seed;
	unsigned wrong;
};

/* Writes to the handle while it has it: for TSan, and for whoever else has it. */
static void *borrow(void *arg)
{
	static const char *const origins[ORIGINS] = { "http://a:80", "http://b:80", "http://c:80" };
	struct borrower *b = arg;
	struct random random = { .state = b->seed };

	for (int i = 0; i < ROUNDS; i++) {
		const char *origin = origins[random_up_to(&random, ORIGINS - 1)];
		struct handle *h = pool_take(b->pool, origin);
		if (!h)
			h = try_handle(origin);
		if (!h) {
			b->wrong++;
			continue;
		}
		b->wrong += h->needs_reset || strcmp(h->origin, origin) != 0;
		h->needs_reset = true;
		b->wrong += pool_idle(b->pool) > ROOM;
		h->needs_reset = false;
		pool_give(b->pool, h);
	}
	return NULL;
}

static void test_a_handle_has_one_borrower_at_a_time(void)
{
	struct borrower borrowers[THREADS] = { 0 };
	struct pool *p = make_pool(ROOM);

	for (size_t i = 0; i < THREADS; i++) {
		borrowers[i] = (struct borrower) { .pool = p, .seed = i };
		CU_ASSERT_EQUAL_FATAL(thread_start(&borrowers[i].thread, "borrower",
		                                   THREAD_STACK_PARSER, borrow, &borrowers[i]),
		                      0);
	}
	for (size_t i = 0; i < THREADS; i++) {
		thread_join(borrowers[i].thread);
		CU_ASSERT_EQUAL(borrowers[i].wrong, 0);
	}
	CU_ASSERT_TRUE(pool_idle(p) >= 1 && pool_idle(p) <= ROOM);
	p = pool_free(p);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "an empty pool has nothing", test_an_empty_pool_has_nothing },
		{ "the handle that was given last is lent first",
		  test_the_last_given_is_lent_first },
		{ "a handle can go round", test_a_handle_can_go_round },
		{ "the oldest makes room", test_the_oldest_makes_room },
		{ "the oldest of one origin makes room", test_the_oldest_of_one_origin_makes_room },
		{ "a pool of none keeps none", test_a_pool_of_none_keeps_none },
		{ "origins that collide are kept apart", test_origins_that_collide_are_kept_apart },
		{ "a handle has one borrower at a time", test_a_handle_has_one_borrower_at_a_time },
		CU_TEST_INFO_NULL,
	};

	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return EXIT_FAILURE;
	return unit_run("pool", tests);
}
