/* SPDX-License-Identifier: Apache-2.0 */
/* lane.h: rules, the rate, the gap, the breaker, room, and what is forgotten. */
#include "job/url.h"
#include "queue/lane.h"

#include "base/clock.h"
#include "base/sync.h"
#include "seed.h"
#include "unit.h"

#include <limits.h>

enum { START = 1000 }; /* seconds: when these tests begin */

static uint64_t at_ms(uint64_t ms) { return START * NS_PER_S + ms * NS_PER_MS; }

static void expect_obstacle(const struct lane_limits *limits, const struct lane_state *s,
                            uint64_t running, uint64_t now_ns, enum wait_reason why,
                            uint64_t until_ns)
{
	struct lane_obstacle o = lane_look(limits, s, running, now_ns);

	CU_ASSERT_EQUAL(o.why, why);
	if (why != WAIT_WORKER)
		CU_ASSERT_EQUAL(o.until_ns, until_ns);
}

/* Starts if it may, and says whether it did. */
static bool start(const struct lane_limits *limits, struct lane_state *s, uint64_t now_ns)
{
	if (lane_look(limits, s, 0, now_ns).why != WAIT_WORKER)
		return false;
	lane_start(limits, s, now_ns);
	return true;
}

static void test_rules_fit_hosts_ports_and_origins(void)
{
	static const struct {
		const char *match, *origin;
		bool fits;
	} cases[] = {
		{ "api.example.com", "https://api.example.com:443", true },
		{ "api.example.com", "http://api.example.com:8080", true },
		{ "api.example.com", "http://xapi.example.com:80", false },
		{ "api.example.com", "http://api.example.com.net:80", false },
		{ "api.example.com:8080", "http://api.example.com:8080", true },
		{ "api.example.com:8080", "http://api.example.com:80", false },
		{ "api.example.com:80", "http://api.example.com:8080", false },
		{ "https://api.example.com:443", "https://api.example.com:443", true },
		{ "https://api.example.com:443", "http://api.example.com:443", false },
		{ "*", "http://a:80", true },
		{ "**", "http://a:80", true },
		{ "", "http://a:80", false },
		{ "a*", "http://a:80", true },
		{ "*.example.com", "http://a.example.com:80", true },
		{ "*.example.com", "http://a.b.example.com:80", true },
		{ "*.example.com", "http://example.com:80", false },
		{ "*example.com", "http://example.com:80", true },
		{ "a*b*c", "http://a-b-b-c:80", true },
		{ "a*b*c", "http://acb:80", false },
		{ "*ab", "http://aab:80", true },
		{ "*:80*", "http://a:8080", true },
		{ "*:443", "http://a:80", false },
		{ "http*", "http://a:80", false }, /* of a host */
		{ "http://*", "http://a:80", true },
		{ "https://*", "http://a:80", false },
		{ "[2001:db8::1]", "http://[2001:db8::1]:80", true },
		{ "[2001:db8::1]:80", "http://[2001:db8::1]:80", true },
		{ "[2001:db8::1]:81", "http://[2001:db8::1]:80", false },
		{ "[2001:db8:*]", "http://[2001:db8::1]:80", true },
		{ "[2001:db8:*", "http://[2001:db8::1]:80", true },
		{ "*::1]", "http://[2001:db8::1]:80", true },
		{ "[abc]", "http://a:80", false }, /* no set of characters */
		{ "a?c", "http://abc:80", false },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		bool fits = url_match_origin(cases[i].match, cases[i].origin);
		CU_ASSERT_EQUAL(fits, cases[i].fits);
		if (fits != cases[i].fits)
			(void) printf("\n%s %s\n", cases[i].match, cases[i].origin);
	}
}

static void test_many_stars_take_no_time(void)
{
	char origin[8192] = "http://";

	for (size_t i = 7; i + 1 < sizeof(origin); i++)
		origin[i] = 'a';
	origin[sizeof(origin) - 1] = '\0';
	CU_ASSERT_FALSE(url_match_origin("*a*a*a*a*a*a*a*a*a*a*b", origin));
	CU_ASSERT_TRUE(url_match_origin("*a*a*a*a*a*a*a*a*a*a*", origin));
}

static void test_the_first_rule_that_fits_counts(void)
{
	const struct lane_rule rules[] = {
		{ "a.example", { .concurrency = 1 } },
		{ "*.example", { .concurrency = 2 } },
	};

	CU_ASSERT_EQUAL(lane_find_limits(rules, 2, "http://a.example:80")->concurrency, 1);
	CU_ASSERT_EQUAL(lane_find_limits(rules, 2, "http://b.example:80")->concurrency, 2);
	CU_ASSERT_EQUAL(lane_find_limits(rules + 1, 1, "http://a.example:80")->concurrency, 2);
	CU_ASSERT_EQUAL(lane_find_limits(rules, 2, "http://b.test:80")->concurrency, 0);
	CU_ASSERT_EQUAL(lane_find_limits(NULL, 0, "http://b.test:80")->breaker, 0);
}

static void test_a_burst_comes_at_once_and_then_one_an_interval(void)
{
	const struct lane_limits limits = { .interval_ns = 100 * NS_PER_MS, .burst = 3 };
	struct lane_state s = { 0 };

	for (int i = 0; i < 3; i++)
		CU_ASSERT_TRUE(start(&limits, &s, at_ms(0)));
	expect_obstacle(&limits, &s, 3, at_ms(0), WAIT_RATE, at_ms(100));
	expect_obstacle(&limits, &s, 3, at_ms(100) - 1, WAIT_RATE, at_ms(100));
	CU_ASSERT_TRUE(start(&limits, &s, at_ms(100)));
	CU_ASSERT_FALSE(start(&limits, &s, at_ms(199)));
	CU_ASSERT_TRUE(start(&limits, &s, at_ms(250)));
	CU_ASSERT_TRUE(start(&limits, &s, at_ms(300))); /* being late takes nothing away */
	CU_ASSERT_FALSE(start(&limits, &s, at_ms(399)));

	/* The bucket holds three, however long it was left alone. */
	for (int i = 0; i < 3; i++)
		CU_ASSERT_TRUE(start(&limits, &s, at_ms(10000)));
	CU_ASSERT_FALSE(start(&limits, &s, at_ms(10099)));
}

static void test_in_no_time_more_starts_than_the_rate_allows(void)
{
	enum { STARTS = 400 };
	struct random r = seeded();

	for (int round = 0; round < 50; round++) {
		const struct lane_limits limits = { .interval_ns = 1 + below(&r, 1000),
			                            .burst = 1 + below(&r, 8),
			                            .gap_ns = below(&r, 2) * below(&r, 1500) };
		struct lane_state s = { 0 };
		uint64_t now_ns = at_ms(0), starts[STARTS];

		for (size_t n = 0; n < STARTS; now_ns += below(&r, 500)) {
			if (start(&limits, &s, now_ns))
				starts[n++] = now_ns;
			else
				now_ns = below(&r, 2) ? lane_look(&limits, &s, 0, now_ns).until_ns
				                      : now_ns;
		}
		bool too_many = false, too_close = false;
		for (size_t i = 0; i < STARTS; i++) {
			for (size_t k = i; k < STARTS; k++)
				too_many = too_many ||
				           k - i + 1 > limits.burst + (starts[k] - starts[i]) /
				                                              limits.interval_ns;
			too_close = too_close ||
			            (i > 0 && starts[i] - starts[i - 1] < limits.gap_ns);
		}
		CU_ASSERT_FALSE(too_many);
		CU_ASSERT_FALSE(too_close);
	}
}

static void test_the_gap_holds_beside_the_rate(void)
{
	const struct lane_limits gap = { .gap_ns = 50 * NS_PER_MS, .burst = 1 };
	const struct lane_limits both = { .gap_ns = 50 * NS_PER_MS,
		                          .interval_ns = 100 * NS_PER_MS,
		                          .burst = 2 };
	struct lane_state s = { 0 }, t = { 0 };

	CU_ASSERT_TRUE(start(&gap, &s, at_ms(0)));
	expect_obstacle(&gap, &s, 1, at_ms(49), WAIT_RATE, at_ms(50));
	CU_ASSERT_TRUE(start(&gap, &s, at_ms(60)));
	expect_obstacle(&gap, &s, 1, at_ms(60), WAIT_RATE, at_ms(110));

	CU_ASSERT_TRUE(start(&both, &t, at_ms(0)));
	expect_obstacle(&both, &t, 1, at_ms(0), WAIT_RATE, at_ms(50));
	CU_ASSERT_TRUE(start(&both, &t, at_ms(50)));
	expect_obstacle(&both, &t, 1, at_ms(50), WAIT_RATE, at_ms(100));
	CU_ASSERT_TRUE(start(&both, &t, at_ms(100)));
	expect_obstacle(&both, &t, 1, at_ms(100), WAIT_RATE, at_ms(200));
}

static void test_a_start_that_was_none_is_given_back(void)
{
	const struct lane_limits limits = { .interval_ns = 100 * NS_PER_MS, .burst = 1 };
	struct lane_state s = { 0 };

	CU_ASSERT_TRUE(start(&limits, &s, at_ms(0)));
	CU_ASSERT_FALSE(start(&limits, &s, at_ms(1)));
	lane_unstart(&limits, &s, true);
	CU_ASSERT_TRUE(start(&limits, &s, at_ms(1)));

	/* Another one came after it: those two must not come closer. */
	CU_ASSERT_TRUE(start(&limits, &s, at_ms(101)));
	lane_unstart(&limits, &s, false);
	expect_obstacle(&limits, &s, 1, at_ms(102), WAIT_RATE, at_ms(201));

	/* Out of a bucket with more, it is given back whole. */
	const struct lane_limits burst = { .interval_ns = 100 * NS_PER_MS, .burst = 3 };
	struct lane_state t = { 0 };
	for (int i = 0; i < 3; i++)
		CU_ASSERT_TRUE(start(&burst, &t, at_ms(0)));
	lane_unstart(&burst, &t, false);
	CU_ASSERT_TRUE(start(&burst, &t, at_ms(0)));
	CU_ASSERT_FALSE(start(&burst, &t, at_ms(0)));

	struct lane_state fresh = { 0 };
	lane_unstart(&burst, &fresh, true);
	CU_ASSERT_EQUAL(fresh.full_ns, 0);
}

static void test_obstacles_come_in_their_order(void)
{
	const struct lane_limits limits = { .concurrency = 2,
		                            .interval_ns = NS_PER_S,
		                            .burst = 1,
		                            .breaker = 1,
		                            .breaker_pause_ns = NS_PER_S,
		                            .breaker_max_ns = 10 * NS_PER_S };
	struct lane_state s = { 0 };

	lane_start(&limits, &s, at_ms(0));
	expect_obstacle(&limits, &s, 1, at_ms(0), WAIT_RATE, at_ms(1000));
	expect_obstacle(&limits, &s, 2, at_ms(0), WAIT_CONCURRENCY, NEVER);
	CU_ASSERT_TRUE(lane_failed(&limits, &s, at_ms(0)));
	expect_obstacle(&limits, &s, 2, at_ms(0), WAIT_BREAKER, at_ms(1000));
	lane_cool(&s, at_ms(500));
	expect_obstacle(&limits, &s, 2, at_ms(0), WAIT_RETRY_AFTER, at_ms(500));
	lane_cool(&s, at_ms(400)); /* the longer one stays */
	expect_obstacle(&limits, &s, 2, at_ms(0), WAIT_RETRY_AFTER, at_ms(500));
	expect_obstacle(&limits, &s, 2, at_ms(500), WAIT_BREAKER, at_ms(1000));
	s.paused = true;
	expect_obstacle(&limits, &s, 2, at_ms(0), WAIT_PAUSED, NEVER);

	CU_ASSERT_TRUE(lane_resume(&limits, &s, at_ms(0)));
	expect_obstacle(&limits, &s, 1, at_ms(0), WAIT_BREAKER, NEVER); /* half open */
	expect_obstacle(&limits, &s, 0, at_ms(0), WAIT_RATE, at_ms(1000));
	CU_ASSERT_FALSE(lane_resume(&limits, &s, at_ms(0)));
}

static void test_the_breaker_opens_probes_and_closes(void)
{
	const struct lane_limits limits = { .breaker = 3,
		                            .breaker_pause_ns = NS_PER_S,
		                            .breaker_max_ns = 3 * NS_PER_S };
	struct lane_state s = { 0 };

	CU_ASSERT_FALSE(lane_failed(&limits, &s, at_ms(0)));
	CU_ASSERT_FALSE(lane_failed(&limits, &s, at_ms(0)));
	lane_answered(&s); /* in a row, they have to be */
	CU_ASSERT_FALSE(lane_failed(&limits, &s, at_ms(0)));
	CU_ASSERT_FALSE(lane_failed(&limits, &s, at_ms(0)));
	expect_obstacle(&limits, &s, 9, at_ms(0), WAIT_WORKER, 0);
	CU_ASSERT_TRUE(lane_failed(&limits, &s, at_ms(0)));
	expect_obstacle(&limits, &s, 0, at_ms(0), WAIT_BREAKER, at_ms(1000));

	/* What was under way beside it changes nothing. */
	CU_ASSERT_FALSE(lane_failed(&limits, &s, at_ms(10)));
	expect_obstacle(&limits, &s, 0, at_ms(10), WAIT_BREAKER, at_ms(1000));

	/* One probe; each failure of it doubles the pause, up to the longest. */
	expect_obstacle(&limits, &s, 0, at_ms(1000), WAIT_WORKER, 0);
	expect_obstacle(&limits, &s, 1, at_ms(1000), WAIT_BREAKER, NEVER);
	CU_ASSERT_TRUE(lane_failed(&limits, &s, at_ms(1000)));
	expect_obstacle(&limits, &s, 0, at_ms(1000), WAIT_BREAKER, at_ms(3000));
	CU_ASSERT_TRUE(lane_failed(&limits, &s, at_ms(3000)));
	expect_obstacle(&limits, &s, 0, at_ms(3000), WAIT_BREAKER, at_ms(6000));
	CU_ASSERT_TRUE(lane_failed(&limits, &s, at_ms(6000)));
	expect_obstacle(&limits, &s, 0, at_ms(6000), WAIT_BREAKER, at_ms(9000));

	lane_answered(&s);
	expect_obstacle(&limits, &s, 9, at_ms(9000), WAIT_WORKER, 0);
	for (int i = 0; i < 2; i++)
		CU_ASSERT_FALSE(lane_failed(&limits, &s, at_ms(9000)));
	CU_ASSERT_TRUE(lane_failed(&limits, &s, at_ms(9000)));
	expect_obstacle(&limits, &s, 0, at_ms(9000), WAIT_BREAKER, at_ms(10000));
}

static void test_no_number_is_too_large(void)
{
	const struct lane_limits limits = { .concurrency = UINT64_MAX,
		                            .interval_ns = UINT64_MAX,
		                            .burst = UINT64_MAX,
		                            .gap_ns = UINT64_MAX,
		                            .breaker = 1,
		                            .breaker_pause_ns = UINT64_MAX / 2 + 1,
		                            .breaker_max_ns = UINT64_MAX };
	struct lane_state s = { .trips = UINT_MAX, .failures = UINT_MAX };
	struct lane_obstacle o;

	lane_start(&limits, &s, at_ms(0));
	CU_ASSERT_EQUAL(s.full_ns, NEVER);
	expect_obstacle(&limits, &s, 0, at_ms(0), WAIT_RATE, NEVER);
	CU_ASSERT_EQUAL(lane_room(&limits, &s, 0, 0, at_ms(0), &o), 0);
	CU_ASSERT_TRUE(lane_failed(&limits, &s, at_ms(0)));
	CU_ASSERT_EQUAL(s.failures, UINT_MAX);
	CU_ASSERT_EQUAL(s.trips, UINT_MAX);
	CU_ASSERT_EQUAL(s.open_until_ns, NEVER);
	CU_ASSERT_EQUAL(lane_forget_ns(&limits, &s), NEVER);
	lane_unstart(&limits, &s, false);
	lane_adopt(&limits, &s, at_ms(0));
	lane_cool(&s, NEVER);
	CU_ASSERT_EQUAL(lane_look(&limits, &s, UINT64_MAX, UINT64_MAX).why, WAIT_BREAKER);

	const struct lane_limits fast = { .interval_ns = 1, .burst = UINT64_MAX };
	struct lane_state t = { 0 };
	CU_ASSERT_EQUAL(lane_room(&fast, &t, UINT64_MAX, 0, at_ms(0), &o), SIZE_MAX);
	CU_ASSERT_FALSE(lane_is_low(&fast, UINT64_MAX));
}

static void expect_room(const struct lane_limits *limits, const struct lane_state *s,
                        uint64_t running, uint64_t queued, uint64_t now_ns, size_t room,
                        enum wait_reason why, uint64_t until_ns)
{
	struct lane_obstacle o;

	CU_ASSERT_EQUAL(lane_room(limits, s, running, queued, now_ns, &o), room);
	if (room == 0) {
		CU_ASSERT_EQUAL(o.why, why);
		CU_ASSERT_EQUAL(o.until_ns, until_ns);
	}
}

static void test_room_is_what_concurrency_leaves_and_a_few_more(void)
{
	const struct lane_limits one = { .concurrency = 1 }, eight = { .concurrency = 8 };
	const struct lane_limits none = { 0 };
	const struct lane_state s = { 0 };

	expect_room(&one, &s, 0, 0, at_ms(0), 3, 0, 0);
	expect_room(&one, &s, 1, 1, at_ms(0), 1, 0, 0);
	expect_room(&one, &s, 1, 2, at_ms(0), 0, WAIT_CONCURRENCY, NEVER);
	expect_room(&one, &s, 5, 9, at_ms(0), 0, WAIT_CONCURRENCY, NEVER);
	expect_room(&eight, &s, 0, 0, at_ms(0), 12, 0, 0);
	expect_room(&eight, &s, 8, 4, at_ms(0), 0, WAIT_CONCURRENCY, NEVER);
	expect_room(&none, &s, 1000, 0, at_ms(0), SIZE_MAX, 0, 0);
	expect_room(&none, &s, 1000, 1000, at_ms(0), SIZE_MAX - 1000, 0, 0);

	CU_ASSERT_TRUE(lane_is_low(&one, 1));
	CU_ASSERT_FALSE(lane_is_low(&one, 2));
	CU_ASSERT_TRUE(lane_is_low(&eight, 2));
	CU_ASSERT_FALSE(lane_is_low(&eight, 3));
}

static void test_room_is_what_starts_within_a_second(void)
{
	const struct lane_limits ten = { .interval_ns = 100 * NS_PER_MS, .burst = 1 };
	const struct lane_limits burst = { .interval_ns = 100 * NS_PER_MS, .burst = 5 };
	const struct lane_limits gap = { .gap_ns = 400 * NS_PER_MS };
	const struct lane_limits slow = { .interval_ns = 10 * NS_PER_S, .burst = 1 };
	struct lane_state s = { 0 };

	expect_room(&ten, &s, 0, 0, at_ms(0), 11, 0, 0); /* at 0, 100… and 1000 ms */
	expect_room(&ten, &s, 0, 11, at_ms(0), 0, WAIT_RATE, NEVER);
	expect_room(&burst, &s, 0, 1, at_ms(0), 14, 0, 0);
	expect_room(&gap, &s, 0, 0, at_ms(0), 3, 0, 0);
	lane_start(&ten, &s, at_ms(0));
	expect_room(&ten, &s, 1, 0, at_ms(0), 10, 0, 0);
	expect_room(&gap, &s, 1, 0, at_ms(0), 2, 0, 0);

	s = (struct lane_state){ 0 };
	expect_room(&slow, &s, 0, 0, at_ms(0), 1, 0, 0);
	lane_start(&slow, &s, at_ms(0));
	expect_room(&slow, &s, 1, 0, at_ms(0), 0, WAIT_RATE, at_ms(9000));
	expect_room(&slow, &s, 1, 1, at_ms(0), 0, WAIT_RATE, NEVER);
	expect_room(&slow, &s, 0, 0, at_ms(9000) - 1, 0, WAIT_RATE, at_ms(9000));
	expect_room(&slow, &s, 0, 0, at_ms(9000), 1, 0, 0);
	CU_ASSERT_TRUE(lane_is_low(&ten, 5));
	CU_ASSERT_FALSE(lane_is_low(&ten, 6));
	CU_ASSERT_TRUE(lane_is_low(&slow, 0));
	CU_ASSERT_FALSE(lane_is_low(&slow, 1));
	CU_ASSERT_TRUE(lane_is_low(&gap, 1));
	CU_ASSERT_FALSE(lane_is_low(&gap, 2));
}

/* However many are queued as room was told, all of them start within the second. */
static void test_what_there_is_room_for_starts_in_time(void)
{
	struct random r = seeded();

	for (int round = 0; round < 300; round++) {
		const struct lane_limits limits = { .interval_ns = below(&r, 3) * NS_PER_MS * 37,
			                            .burst = 1 + below(&r, 5),
			                            .gap_ns = below(&r, 3) * NS_PER_MS * 41 };
		struct lane_state s = { 0 };
		struct lane_obstacle o;
		uint64_t now_ns = at_ms(0);

		for (int i = 0; i < 8; i++, now_ns += below(&r, 60 * NS_PER_MS))
			(void) start(&limits, &s, now_ns);
		size_t room = lane_room(&limits, &s, 0, 0, now_ns, &o), starts = 0;
		if (limits.interval_ns == 0 && limits.gap_ns == 0) {
			CU_ASSERT_EQUAL(room, SIZE_MAX);
			continue;
		}
		for (uint64_t t = now_ns; t <= now_ns + NS_PER_S;) {
			o = lane_look(&limits, &s, 0, t);
			if (o.why == WAIT_WORKER) {
				lane_start(&limits, &s, t);
				starts++;
			} else {
				t = o.until_ns;
			}
		}
		if (limits.interval_ns == 0 || limits.gap_ns == 0)
			CU_ASSERT_EQUAL(room, starts); /* exactly */
		CU_ASSERT_TRUE(room >= starts);
	}
}

static void test_a_lane_that_is_stopped_has_no_room(void)
{
	const struct lane_limits limits = { .breaker = 1,
		                            .breaker_pause_ns = NS_PER_S,
		                            .breaker_max_ns = NS_PER_S };
	struct lane_state s = { 0 };

	CU_ASSERT_TRUE(lane_failed(&limits, &s, at_ms(0)));
	expect_room(&limits, &s, 0, 0, at_ms(0), 0, WAIT_BREAKER, at_ms(1000));
	expect_room(&limits, &s, 0, 0, at_ms(1000), 1, 0, 0);
	expect_room(&limits, &s, 1, 0, at_ms(1000), 0, WAIT_BREAKER, NEVER);
	expect_room(&limits, &s, 0, 1, at_ms(1000), 0, WAIT_BREAKER, NEVER);
	lane_cool(&s, at_ms(1500));
	expect_room(&limits, &s, 0, 0, at_ms(1000), 0, WAIT_RETRY_AFTER, at_ms(1500));
	s.paused = true;
	expect_room(&limits, &s, 0, 0, at_ms(1000), 0, WAIT_PAUSED, NEVER);
}

static void test_what_is_forgotten_would_have_changed_nothing(void)
{
	const struct lane_limits limits = { .interval_ns = 100 * NS_PER_MS,
		                            .burst = 2,
		                            .gap_ns = 50 * NS_PER_MS,
		                            .breaker = 2,
		                            .breaker_pause_ns = NS_PER_S,
		                            .breaker_max_ns = 8 * NS_PER_S };
	struct random r = seeded();

	for (int round = 0; round < 2000; round++) {
		struct lane_state s = { 0 }, fresh = { 0 };
		uint64_t now_ns = at_ms(0);

		CU_ASSERT_EQUAL(lane_forget_ns(&limits, &s), 0);
		for (int i = 0; i < 12; i++, now_ns += below(&r, 2 * NS_PER_S)) {
			switch (below(&r, 5)) {
			case 0:
				(void) lane_failed(&limits, &s, now_ns);
				break;
			case 1:
				lane_cool(&s, now_ns + below(&r, NS_PER_S));
				break;
			case 2:
				lane_answered(&s);
				break;
			default:
				(void) start(&limits, &s, now_ns);
				break;
			}
		}
		now_ns = lane_forget_ns(&limits, &s);
		for (uint64_t i = 0, running = 0; i < 12; i++, now_ns += below(&r, NS_PER_S / 5)) {
			struct lane_obstacle a = lane_look(&limits, &s, running, now_ns);
			expect_obstacle(&limits, &fresh, running, now_ns, a.why, a.until_ns);
			CU_ASSERT_EQUAL(lane_room(&limits, &s, running, 0, now_ns, &a),
			                lane_room(&limits, &fresh, running, 0, now_ns, &a));
			if (running > 0 && below(&r, 2)) {
				CU_ASSERT_EQUAL(lane_failed(&limits, &s, now_ns),
				                lane_failed(&limits, &fresh, now_ns));
				running--;
			} else if (lane_look(&limits, &s, running, now_ns).why == WAIT_WORKER) {
				lane_start(&limits, &s, now_ns);
				lane_start(&limits, &fresh, now_ns);
				running++;
			}
		}
	}
}

static void test_what_no_limit_asks_for_is_not_remembered(void)
{
	const struct lane_limits none = { .burst = 1 };
	struct lane_state s = { 0 };

	lane_start(&none, &s, at_ms(0));
	CU_ASSERT_FALSE(lane_failed(&none, &s, at_ms(0)));
	CU_ASSERT_FALSE(lane_failed(&none, &s, at_ms(0)));
	CU_ASSERT_EQUAL(s.failures, 2);
	CU_ASSERT_FALSE(lane_is_timed(&none, &s));
	CU_ASSERT_EQUAL(lane_forget_ns(&none, &s), 0);
	lane_cool(&s, at_ms(100));
	CU_ASSERT_TRUE(lane_is_timed(&none, &s));
	CU_ASSERT_EQUAL(lane_forget_ns(&none, &s), at_ms(100));
	s.paused = true;
	CU_ASSERT_EQUAL(lane_forget_ns(&none, &s), NEVER);
}

static void test_a_faster_rate_is_there_at_once(void)
{
	const struct lane_limits slow = { .interval_ns = 3600 * NS_PER_S, .burst = 1 };
	const struct lane_limits fast = { .interval_ns = 100 * NS_PER_MS, .burst = 2 };
	struct lane_state s = { 0 };

	CU_ASSERT_TRUE(start(&slow, &s, at_ms(0)));
	lane_adopt(&fast, &s, at_ms(0));
	expect_obstacle(&fast, &s, 0, at_ms(0), WAIT_RATE, at_ms(100));
	lane_adopt(&slow, &s, at_ms(0)); /* and nothing is given for free */
	expect_obstacle(&slow, &s, 0, at_ms(0), WAIT_RATE, at_ms(200));
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "rules fit hosts, ports and origins", test_rules_fit_hosts_ports_and_origins },
		{ "many stars take no time", test_many_stars_take_no_time },
		{ "the first rule that fits counts", test_the_first_rule_that_fits_counts },
		{ "a burst comes at once, and then one an interval",
		  test_a_burst_comes_at_once_and_then_one_an_interval },
		{ "in no time more starts than the rate allows",
		  test_in_no_time_more_starts_than_the_rate_allows },
		{ "the gap holds beside the rate", test_the_gap_holds_beside_the_rate },
		{ "a start that was none is given back", test_a_start_that_was_none_is_given_back },
		{ "obstacles come in their order", test_obstacles_come_in_their_order },
		{ "the breaker opens, probes and closes",
		  test_the_breaker_opens_probes_and_closes },
		{ "no number is too large", test_no_number_is_too_large },
		{ "room is what concurrency leaves, and a few more",
		  test_room_is_what_concurrency_leaves_and_a_few_more },
		{ "room is what starts within a second", test_room_is_what_starts_within_a_second },
		{ "what there is room for starts in time",
		  test_what_there_is_room_for_starts_in_time },
		{ "a lane that is stopped has no room", test_a_lane_that_is_stopped_has_no_room },
		{ "what is forgotten would have changed nothing",
		  test_what_is_forgotten_would_have_changed_nothing },
		{ "what no limit asks for is not remembered",
		  test_what_no_limit_asks_for_is_not_remembered },
		{ "a faster rate is there at once", test_a_faster_rate_is_there_at_once },
		CU_TEST_INFO_NULL,
	};
	return unit_run("lane", tests);
}
