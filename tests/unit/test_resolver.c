/* SPDX-License-Identifier: Apache-2.0 */
/* resolver.h: answers, the cache and its bounds, and deadlines, against a small
 * name server on loopback that answers from a table. */
#include "fetch/resolver.h"

#include "base/clock.h"

#include "dns_server.h"
#include "unit.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { NOW = 0 }; /* a deadline already past: never wait */

/* --- helpers --- */

static struct server server; /* a server and a resolver that asks it, for each test */
static struct resolver_options options;
static struct resolver *resolver;

static void create(void)
{
	CU_ASSERT_EQUAL_FATAL(resolver_create(&options, &resolver), 0);
}

static void begin(void)
{
	server_start(&server);
	options = (struct resolver_options) {
		.servers = server.list,
		.max_waiters = 16,
		.max_cached = 32,
		.max_ttl_ns = 3600 * NS_PER_S,
		.failure_ttl_ns = 3600 * NS_PER_S,
	};
}

static void begin_with_resolver(void)
{
	begin();
	create();
}

static void end(void)
{
	resolver = resolver_free(resolver);
	server_stop(&server);
}

static int lookup(const char *host, uint64_t deadline_ns)
{
	struct addresses *found = NULL;
	const char *why = NULL;
	int r = resolver_lookup(resolver, host, deadline_ns, &found, &why);
	if ((r == 0) != (found != NULL) || (r == 0) != (why == NULL))
		r = -EPROTO; /* outputs do not fit the result */
	(void) addresses_unref(found);
	return r;
}

/* Whether 'host' has just these addresses, in this order. */
static bool gives(const char *host, size_t n, const char *const texts[])
{
	struct addresses *found = NULL;
	const char *why = NULL;
	if (resolver_lookup(resolver, host, NEVER, &found, &why) != 0)
		return false;
	bool same = found->n == n;
	for (size_t i = 0; i < n && same; i++)
		same = strcmp(found->text[i], texts[i]) == 0;
	(void) addresses_unref(found);
	return same;
}

#define GIVES(host, ...)                                                                           \
	gives(host, ARRAY_LEN(((const char *const[]) { __VA_ARGS__ })),                            \
	      (const char *const[]) { __VA_ARGS__ })

static struct resolver_stats stats(void)
{
	struct resolver_stats now;
	resolver_stats(resolver, &now);
	return now;
}

static void until_waiting(unsigned n)
{
	while (stats().waiting != n)
		(void) sched_yield();
}

/* A thread that looks up a name without a deadline. */
struct asker {
	pthread_t thread;
	const char *host;
	int result;
};

static void *ask(void *arg)
{
	struct asker *a = arg;
	a->result = lookup(a->host, NEVER);
	return NULL;
}

static void start_askers(struct asker *askers, unsigned n, const char *host)
{
	for (unsigned i = 0; i < n; i++) {
		askers[i].host = host;
		CU_ASSERT_EQUAL_FATAL(pthread_create(&askers[i].thread, NULL, ask, &askers[i]), 0);
	}
}

static void expect_all(struct asker *askers, unsigned n, int result)
{
	for (unsigned i = 0; i < n; i++) {
		CU_ASSERT_EQUAL(pthread_join(askers[i].thread, NULL), 0);
		CU_ASSERT_EQUAL(askers[i].result, result);
	}
}

/* --- answers --- */

static void test_literals_need_no_server(void)
{
	begin_with_resolver();
	CU_ASSERT_TRUE(GIVES("192.0.2.7", "192.0.2.7"));
	CU_ASSERT_TRUE(GIVES("2001:DB8:0::7", "2001:db8::7"));
	CU_ASSERT_TRUE(GIVES("[2001:db8::7]", "2001:db8::7"));
	CU_ASSERT_EQUAL(lookup("[::1]", NOW), 0);
	CU_ASSERT_EQUAL(stats().queries, 0);
	CU_ASSERT_EQUAL(stats().cached, 0);
	CU_ASSERT_EQUAL(stats().lookups, 4);
	CU_ASSERT_EQUAL(atomic_load(&server.packets), 0);
	end();
}

static void test_what_is_no_name_is_not_asked_for(void)
{
	begin_with_resolver();
	char longest[256];
	memset(longest, 'a', sizeof(longest));
	longest[255] = '\0';

	const char *const hosts[] = { "", "[", "[]", "[192.0.2.7]", "[both.test]", "2001:db8::g",
		                      "both.test:80", longest };
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++)
		CU_ASSERT_EQUAL(lookup(hosts[i], NEVER), -ENOENT);
	CU_ASSERT_EQUAL(stats().queries, 0);
	CU_ASSERT_EQUAL(stats().failures, ARRAY_LEN(hosts));

	CU_ASSERT_EQUAL(lookup("both..test", NEVER), -ENOENT); /* c-ares sees this one */
	CU_ASSERT_EQUAL(atomic_load(&server.packets), 0);
	end();
}

static void test_a_name_gives_ipv4_then_ipv6(void)
{
	begin_with_resolver();
	CU_ASSERT_TRUE(GIVES("both.test", "192.0.2.1", "192.0.2.2", "2001:db8::1"));
	CU_ASSERT_TRUE(GIVES("both.test.", "192.0.2.1", "192.0.2.2", "2001:db8::1"));
	CU_ASSERT_TRUE(GIVES("six.test", "2001:db8::6"));
	CU_ASSERT_TRUE(GIVES("alias.test", "192.0.2.30"));
	end();
}

static void test_one_failed_family_leaves_the_other(void)
{
	begin_with_resolver();
	CU_ASSERT_TRUE(GIVES("half.test", "192.0.2.40"));
	end();
}

static void test_long_answers_come_over_tcp_and_are_cut_evenly(void)
{
	begin_with_resolver();
	struct addresses *found = NULL;
	const char *why = NULL;
	CU_ASSERT_EQUAL_FATAL(resolver_lookup(resolver, "many.test", NEVER, &found, &why), 0);
	CU_ASSERT_EQUAL(found->n, RESOLVER_MAX_ADDRESSES);
	for (size_t i = 0; i < found->n; i++)
		CU_ASSERT_EQUAL(strchr(found->text[i], ':') != NULL, i >= 4);
	CU_ASSERT_TRUE(addresses_include(found, found->text[7]));
	CU_ASSERT_FALSE(addresses_include(found, "192.0.2.99"));
	CU_ASSERT_PTR_NULL(addresses_unref(found));
	CU_ASSERT_PTR_NULL(addresses_unref(NULL));
	end();
}

static void test_names_have_no_case(void)
{
	begin_with_resolver();
	CU_ASSERT_EQUAL(lookup("One.TEST", NEVER), 0);
	CU_ASSERT_EQUAL(lookup("oNE.test", NOW), 0);
	CU_ASSERT_EQUAL(stats().queries, 1);
	CU_ASSERT_EQUAL(stats().hits, 1);
	end();
}

static void test_failures_say_what_failed(void)
{
	begin_with_resolver();
	CU_ASSERT_EQUAL(lookup("missing.test", NEVER), -ENOENT);
	CU_ASSERT_EQUAL(lookup("empty.test", NEVER), -ENOENT);
	CU_ASSERT_EQUAL(lookup("broken.test", NEVER), -EIO);
	CU_ASSERT_EQUAL(stats().failures, 3);
	end();
}

static void test_localhost_needs_no_server(void)
{
	begin();
	server_stop(&server); /* its port is closed now */
	create();
	struct addresses *found = NULL;
	const char *why = NULL;
	CU_ASSERT_EQUAL_FATAL(resolver_lookup(resolver, "LocalHost", NEVER, &found, &why), 0);
	CU_ASSERT_TRUE(addresses_include(found, "127.0.0.1") && addresses_include(found, "::1"));
	found = addresses_unref(found);
	CU_ASSERT_EQUAL(lookup("a.localhost.", NEVER), 0);
	CU_ASSERT_NOT_EQUAL(lookup("notlocalhost", NOW), 0);

	CU_ASSERT_NOT_EQUAL(lookup("one.test", NOW), 0);
	resolver = resolver_free(resolver);
}

/* --- the cache --- */

static void test_answers_are_kept_for_their_ttl(void)
{
	begin_with_resolver();
	CU_ASSERT_EQUAL(lookup("one.test", NEVER), 0);
	CU_ASSERT_EQUAL(lookup("one.test", NOW), 0);
	CU_ASSERT_EQUAL(stats().queries, 1);

	for (unsigned i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(lookup("brief.test", NEVER), 0); /* its TTL is 0 */
	CU_ASSERT_EQUAL(stats().queries, 4);
	CU_ASSERT_EQUAL(stats().cached, 2);
	end();
}

static void test_the_shortest_ttl_allowed_holds(void)
{
	begin();
	options.min_ttl_ns = 3600 * NS_PER_S;
	create();
	CU_ASSERT_EQUAL(lookup("brief.test", NEVER), 0);
	CU_ASSERT_EQUAL(lookup("brief.test", NOW), 0);
	CU_ASSERT_EQUAL(stats().queries, 1);
	end();
}

static void test_the_longest_ttl_allowed_holds(void)
{
	begin();
	options.max_ttl_ns = 0;
	create();
	CU_ASSERT_EQUAL(lookup("one.test", NEVER), 0);
	CU_ASSERT_EQUAL(lookup("one.test", NEVER), 0);
	CU_ASSERT_EQUAL(stats().queries, 2);
	CU_ASSERT_EQUAL(stats().hits, 0);
	end();
}

static void test_failures_are_kept_too(void)
{
	begin_with_resolver();
	const char *const hosts[] = { "missing.test", "empty.test", "broken.test" };
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
		int first = lookup(hosts[i], NEVER);
		CU_ASSERT_EQUAL(lookup(hosts[i], NOW), first);
	}
	CU_ASSERT_EQUAL(stats().queries, 3);
	CU_ASSERT_EQUAL(stats().hits, 3);
	end();
}

static void test_failures_expire(void)
{
	begin();
	options.failure_ttl_ns = 0;
	create();
	CU_ASSERT_EQUAL(lookup("missing.test", NEVER), -ENOENT);
	CU_ASSERT_EQUAL(lookup("missing.test", NEVER), -ENOENT);
	CU_ASSERT_EQUAL(stats().queries, 2);
	end();
}

static void test_the_least_recently_used_name_makes_room(void)
{
	begin();
	options.max_cached = 2;
	create();
	CU_ASSERT_EQUAL(lookup("one.test", NEVER), 0);
	CU_ASSERT_EQUAL(lookup("two.test", NEVER), 0);
	CU_ASSERT_EQUAL(lookup("one.test", NOW), 0);
	CU_ASSERT_EQUAL(lookup("three.test", NEVER), 0); /* instead of two.test */
	CU_ASSERT_EQUAL(stats().cached, 2);
	CU_ASSERT_EQUAL(stats().queries, 3);

	CU_ASSERT_EQUAL(lookup("one.test", NOW), 0);
	CU_ASSERT_EQUAL(lookup("three.test", NOW), 0);
	CU_ASSERT_EQUAL(stats().queries, 3);
	CU_ASSERT_EQUAL(lookup("two.test", NEVER), 0);
	CU_ASSERT_EQUAL(stats().queries, 4);
	end();
}

static void test_pending_names_are_not_evicted(void)
{
	begin();
	options.max_cached = 2;
	create();
	CU_ASSERT_EQUAL(lookup("silent.test", NOW), -ETIMEDOUT);
	CU_ASSERT_EQUAL(lookup("one.test", NEVER), 0);
	CU_ASSERT_EQUAL(lookup("silent2.test", NOW), -ETIMEDOUT); /* instead of one.test */
	CU_ASSERT_EQUAL(lookup("two.test", NEVER), -EBUSY);
	CU_ASSERT_EQUAL(lookup("silent.test", NOW), -ETIMEDOUT);
	CU_ASSERT_EQUAL(stats().cached, 2);
	CU_ASSERT_EQUAL(stats().queries, 3);
	CU_ASSERT_EQUAL(stats().waiting, 0);
	end();
}

/* --- waiting --- */

static void test_lookups_of_one_name_are_one(void)
{
	enum { ASKERS = 8 };
	struct asker askers[ASKERS];
	begin_with_resolver();
	start_askers(askers, ASKERS, "held.test");
	until_waiting(ASKERS);
	server_release(&server);
	expect_all(askers, ASKERS, 0);
	CU_ASSERT_EQUAL(stats().queries, 1);
	CU_ASSERT_EQUAL(stats().lookups, ASKERS);
	CU_ASSERT_EQUAL(stats().waiting, 0);
	end();
}

static void test_a_deadline_holds_with_a_silent_server(void)
{
	begin_with_resolver();
	uint64_t start = clock_now_ns();
	CU_ASSERT_EQUAL(lookup("silent.test", start + 50 * NS_PER_MS), -ETIMEDOUT);
	uint64_t took = clock_now_ns() - start;
	CU_ASSERT_TRUE(took >= 50 * NS_PER_MS);
	CU_ASSERT_TRUE(took < 5 * NS_PER_S);
	end();
}

static void test_who_leaves_disturbs_nobody(void)
{
	struct asker asker[1];
	begin_with_resolver();
	start_askers(asker, 1, "held.test");
	until_waiting(1);
	CU_ASSERT_EQUAL(lookup("held.test", NOW), -ETIMEDOUT);
	CU_ASSERT_EQUAL(stats().waiting, 1);
	server_release(&server);
	expect_all(asker, 1, 0);
	CU_ASSERT_EQUAL(stats().queries, 1);
	end();
}

static void test_an_answer_nobody_waits_for_is_kept(void)
{
	begin_with_resolver();
	CU_ASSERT_EQUAL(lookup("held.test", NOW), -ETIMEDOUT);
	server_release(&server);
	CU_ASSERT_EQUAL(lookup("held.test", NEVER), 0);
	CU_ASSERT_EQUAL(lookup("held.test", NOW), 0);
	CU_ASSERT_EQUAL(stats().queries, 1);
	end();
}

static void test_too_many_waiters_are_refused(void)
{
	enum { ASKERS = 2 };
	struct asker askers[ASKERS];
	begin();
	options.max_waiters = ASKERS;
	create();
	CU_ASSERT_EQUAL(lookup("one.test", NEVER), 0);
	start_askers(askers, ASKERS, "held.test");
	until_waiting(ASKERS);

	CU_ASSERT_EQUAL(lookup("held.test", NEVER), -EBUSY);
	CU_ASSERT_EQUAL(lookup("two.test", NEVER), -EBUSY);
	CU_ASSERT_EQUAL(lookup("one.test", NEVER), 0); /* has not to wait */
	CU_ASSERT_EQUAL(lookup("192.0.2.1", NEVER), 0);
	server_release(&server);
	expect_all(askers, ASKERS, 0);
	CU_ASSERT_EQUAL(lookup("two.test", NEVER), 0);
	end();
}

/* As with a thousand names that nobody answers for, in front of one that has an address. */
static void test_who_is_refused_finds_the_answer_later(void)
{
	struct asker asker;
	begin();
	options.max_waiters = 1;
	create();
	start_askers(&asker, 1, "held.test");
	until_waiting(1);

	int r = lookup("one.test", NEVER);
	CU_ASSERT_EQUAL(r, -EBUSY);
	while (r == -EBUSY) {
		(void) sched_yield();
		r = lookup("one.test", NEVER);
	}
	CU_ASSERT_EQUAL(r, 0);
	CU_ASSERT_EQUAL(stats().queries, 2);
	CU_ASSERT_EQUAL(stats().waiting, 1);
	server_release(&server);
	expect_all(&asker, 1, 0);
	end();
}

/* A flood of names is not passed on to the server at once. */
static void test_names_are_not_asked_for_ahead_all_at_once(void)
{
	enum { NAMES = 2000 };
	struct asker asker;
	begin();
	options.max_waiters = 1;
	options.max_cached = 2 * NAMES;
	create();
	start_askers(&asker, 1, "held.test");
	until_waiting(1);

	uint64_t start_ns = clock_now_ns();
	for (unsigned i = 0; i < NAMES; i++) {
		char host[32];
		(void) snprintf(host, sizeof(host), "%u.silent.test", i);
		CU_ASSERT_EQUAL(lookup(host, NEVER), -EBUSY);
	}
	uint64_t queries = stats().queries;
	uint64_t took_ms = (clock_now_ns() - start_ns) / NS_PER_MS;
	CU_ASSERT_TRUE(queries >= 100);
	CU_ASSERT_TRUE(queries <= 1 + 100 + took_ms + 1);
	server_release(&server);
	expect_all(&asker, 1, 0);
	end();
}

static void test_cancelling_ends_all_waits(void)
{
	enum { ASKERS = 4 };
	struct asker askers[ASKERS];
	begin_with_resolver();
	CU_ASSERT_EQUAL(lookup("one.test", NEVER), 0);
	start_askers(askers, ASKERS / 2, "silent.test");
	start_askers(askers + ASKERS / 2, ASKERS / 2, "silent2.test");
	until_waiting(ASKERS);

	resolver_cancel(resolver);
	resolver_cancel(resolver);
	expect_all(askers, ASKERS, -ECANCELED);
	CU_ASSERT_EQUAL(lookup("silent.test", NEVER), -ECANCELED);
	CU_ASSERT_EQUAL(lookup("two.test", NEVER), -ECANCELED);
	CU_ASSERT_EQUAL(lookup("one.test", NEVER), 0); /* known without a wait */
	CU_ASSERT_EQUAL(stats().queries, 3);
	end();
}

/* --- making, freeing, and all at once --- */

static void test_server_lists_are_checked(void)
{
	static const char *const bad[] = {
		"nonsense", "dns.test:53", "127.1", "192.0.2.1:", "192.0.2.1:0",
		"192.0.2.1:65536", "192.0.2.1:53x", "192.0.2.1:+53", ",", "192.0.2.1,",
		"192.0.2.1, 192.0.2.2", "[192.0.2.1]:53", "[2001:db8::1",
		"[2001:db8::1]53", "2001:db8::g",
	};
	static const char *const good[] = {
		"192.0.2.1", "192.0.2.1:5353,2001:db8::1", "[2001:db8::1],[2001:db8::2]:65535", "",
	};
	begin();
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		options.servers = bad[i];
		CU_ASSERT_EQUAL(resolver_create(&options, &resolver), -EINVAL);
		CU_ASSERT_PTR_NULL(resolver);
	}
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		options.servers = good[i];
		create();
		resolver = resolver_free(resolver);
	}
	options.servers = NULL;
	create();
	end();
	CU_ASSERT_PTR_NULL(resolver_free(NULL));
}

static void test_the_next_server_is_asked(void)
{
	static struct server failing;
	char list[2 * sizeof(server.list)];
	server_start(&failing);
	atomic_store(&failing.failing, true);
	begin();
	(void) snprintf(list, sizeof(list), "%s,%s", failing.list, server.list);
	options.servers = list;
	create();
	CU_ASSERT_EQUAL(lookup("one.test", NEVER), 0);
	CU_ASSERT_TRUE(atomic_load(&failing.packets) > 0);
	end();
	server_stop(&failing);
}

static void test_freeing_ends_open_queries(void)
{
	begin_with_resolver();
	CU_ASSERT_EQUAL(lookup("silent.test", NOW), -ETIMEDOUT);
	CU_ASSERT_EQUAL(lookup("silent2.test", NOW), -ETIMEDOUT);
	(void) lookup("one.test", NOW); /* perhaps answered by now, perhaps not */
	CU_ASSERT_EQUAL(stats().queries, 3);
	end();
}

static void *ask_often(void *arg)
{
	static const char *const hosts[] = { "one.test", "two.test", "brief.test", "missing.test" };
	static const int results[] = { 0, 0, 0, -ENOENT };
	uintptr_t wrong = 0;
	for (unsigned i = 0; i < 400; i++) {
		size_t k = (i / 3 + (uintptr_t) arg) % ARRAY_LEN(hosts);
		int r = lookup(hosts[k], i % 5 == 0 ? NOW : NEVER);
		wrong += r != results[k] && r != -EBUSY && !(i % 5 == 0 && r == -ETIMEDOUT);
	}
	return (void *) wrong;
}

static void test_many_threads_get_right_answers(void)
{
	enum { THREADS = 8 };
	pthread_t threads[THREADS];
	begin();
	options.max_waiters = 4;
	options.max_cached = 3; /* so that answers are evicted while others wait for them */
	create();
	for (uintptr_t i = 0; i < THREADS; i++)
		CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, ask_often, (void *) i), 0);
	for (size_t i = 0; i < THREADS; i++) {
		void *wrong = NULL;
		CU_ASSERT_EQUAL(pthread_join(threads[i], &wrong), 0);
		CU_ASSERT_PTR_NULL(wrong);
	}
	CU_ASSERT_TRUE(stats().cached <= 3);
	CU_ASSERT_EQUAL(stats().waiting, 0);
	end();
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "address literals need no server", test_literals_need_no_server },
		{ "what is no name is not asked for", test_what_is_no_name_is_not_asked_for },
		{ "a name gives its IPv4, then its IPv6 addresses",
		  test_a_name_gives_ipv4_then_ipv6 },
		{ "one failed family leaves the other", test_one_failed_family_leaves_the_other },
		{ "long answers come over TCP and are cut evenly",
		  test_long_answers_come_over_tcp_and_are_cut_evenly },
		{ "names have no case", test_names_have_no_case },
		{ "failures say what failed", test_failures_say_what_failed },
		{ "localhost needs no server", test_localhost_needs_no_server },
		{ "answers are kept for their TTL", test_answers_are_kept_for_their_ttl },
		{ "the shortest TTL allowed holds", test_the_shortest_ttl_allowed_holds },
		{ "the longest TTL allowed holds", test_the_longest_ttl_allowed_holds },
		{ "failures are kept, too", test_failures_are_kept_too },
		{ "failures expire", test_failures_expire },
		{ "the least recently used name makes room",
		  test_the_least_recently_used_name_makes_room },
		{ "pending names are not evicted", test_pending_names_are_not_evicted },
		{ "lookups of one name are one", test_lookups_of_one_name_are_one },
		{ "a deadline holds with a silent server",
		  test_a_deadline_holds_with_a_silent_server },
		{ "who leaves disturbs nobody", test_who_leaves_disturbs_nobody },
		{ "an answer nobody waits for is kept", test_an_answer_nobody_waits_for_is_kept },
		{ "too many waiters are refused", test_too_many_waiters_are_refused },
		{ "who is refused finds the answer later",
		  test_who_is_refused_finds_the_answer_later },
		{ "names are not asked for ahead all at once",
		  test_names_are_not_asked_for_ahead_all_at_once },
		{ "cancelling ends all waits", test_cancelling_ends_all_waits },
		{ "server lists are checked", test_server_lists_are_checked },
		{ "the next server is asked", test_the_next_server_is_asked },
		{ "freeing ends open queries", test_freeing_ends_open_queries },
		{ "many threads get right answers", test_many_threads_get_right_answers },
		CU_TEST_INFO_NULL,
	};
	return unit_run("resolver", tests);
}
