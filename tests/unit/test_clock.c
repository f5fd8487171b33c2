/* SPDX-License-Identifier: Apache-2.0 */
/* clock.h.  What depends on the present is checked against bounds taken around the call. */
#include "base/clock.h"

#include "base/sync.h"
#include "seed.h"
#include "unit.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void test_both_clocks_go_on(void)
{
	uint64_t before_ns = clock_now_ns();
	time_t before_s = time(NULL);
	int64_t wall_us = clock_wall_us();
	time_t after_s = time(NULL);

	CU_ASSERT_TRUE(clock_now_ns() >= before_ns);
	/* time(2) may lag behind by the length of a tick of the kernel. */
	CU_ASSERT_TRUE(wall_us / 1000000 >= before_s);
	CU_ASSERT_TRUE(wall_us / 1000000 <= after_s + 1);
}

static void test_nanoseconds_become_a_timespec(void)
{
	struct timespec ts = clock_timespec(12 * NS_PER_S + 345);

	CU_ASSERT_EQUAL(ts.tv_sec, 12);
	CU_ASSERT_EQUAL(ts.tv_nsec, 345);
	ts = clock_timespec(NS_PER_S - 1);
	CU_ASSERT_EQUAL(ts.tv_sec, 0);
	CU_ASSERT_EQUAL(ts.tv_nsec, 999999999);
	ts = clock_timespec(NEVER);
	CU_ASSERT_EQUAL(ts.tv_sec, (time_t) (UINT64_MAX / NS_PER_S));
	CU_ASSERT_TRUE(ts.tv_nsec < 1000000000);
}

static void test_a_sum_that_is_too_large_is_never(void)
{
	CU_ASSERT_EQUAL(clock_after(0, 0), 0);
	CU_ASSERT_EQUAL(clock_after(5, 7), 12);
	CU_ASSERT_EQUAL(clock_after(5, NEVER - 6), NEVER - 1);
	CU_ASSERT_EQUAL(clock_after(5, NEVER - 5), NEVER);
	CU_ASSERT_EQUAL(clock_after(5, NEVER - 4), NEVER);
	CU_ASSERT_EQUAL(clock_after(5, NEVER), NEVER);
	CU_ASSERT_EQUAL(clock_after(NEVER, 0), NEVER);
	CU_ASSERT_EQUAL(clock_after(NEVER, 1), NEVER);
	CU_ASSERT_EQUAL(clock_after(NEVER, NEVER), NEVER);
}

static uint64_t ms_until(uint64_t deadline_ns, uint64_t now_ns)
{
	return deadline_ns > now_ns ? (deadline_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS : 0;
}

static void test_poll_waits_at_least_until_the_deadline(void)
{
	struct random r = seeded();

	CU_ASSERT_EQUAL(clock_poll_ms(NEVER), -1);
	CU_ASSERT_EQUAL(clock_poll_ms(0), 0);
	CU_ASSERT_EQUAL(clock_poll_ms(clock_now_ns()), 0);
	CU_ASSERT_EQUAL(clock_poll_ms(NEVER - 1), INT_MAX);
	CU_ASSERT_EQUAL(clock_poll_ms(clock_now_ns() + (INT_MAX + UINT64_C(60000)) * NS_PER_MS),
	                INT_MAX);

	for (int i = 0; i < 10000; i++) {
		uint64_t before = clock_now_ns();
		uint64_t deadline = before + (random_up_to(&r, NS_PER_S) >> below(&r, 30));
		int ms = clock_poll_ms(deadline);
		uint64_t after = clock_now_ns();
		CU_ASSERT_TRUE(ms >= 0);
		CU_ASSERT_TRUE((uint64_t) ms <= ms_until(deadline, before));
		CU_ASSERT_TRUE((uint64_t) ms >= ms_until(deadline, after));
	}
}

/* Compares with gmtime(3) and strftime(3), whose %Y does not fill up with zeros. */
static void expect_like_strftime(int64_t wall_us)
{
	char text[CLOCK_TEXT_SIZE], date[40], expected[64];
	time_t s = (time_t) (wall_us / 1000000 - (wall_us % 1000000 < 0));
	struct tm *tm = gmtime(&s);

	CU_ASSERT_PTR_NOT_NULL_FATAL(tm);
	(void) strftime(date, sizeof(date), "-%m-%dT%H:%M:%S", tm);
	(void) snprintf(expected, sizeof(expected), "%04d%s.%06" PRId64 "Z", tm->tm_year + 1900,
	                date, wall_us - (int64_t) s * 1000000);
	clock_format(wall_us, text);
	CU_ASSERT_STRING_EQUAL(text, expected);
}

static void test_times_are_written_like_strftime_does(void)
{
	const int64_t first = INT64_C(-62167219200) * 1000000;    /* 0000-01-01 */
	const int64_t last = INT64_C(253402300800) * 1000000 - 1; /* 9999-12-31 */
	static const int64_t edges[] = { 0,
		                         1,
		                         -1,
		                         999999,
		                         1000000,
		                         -999999,
		                         -1000000,
		                         -1000001,
		                         INT64_C(951782400000000),  /* 2000-02-29 */
		                         INT64_C(4107542399999999), /* 2100-02-28 */
		                         INT64_C(2147483648000000) };
	struct random r = seeded();

	for (size_t i = 0; i < ARRAY_LEN(edges); i++)
		expect_like_strftime(edges[i]);
	expect_like_strftime(first);
	expect_like_strftime(last);
	expect_like_strftime(clock_wall_us());
	for (int i = 0; i < 20000; i++)
		expect_like_strftime(first + (int64_t) random_up_to(&r, (uint64_t) (last - first)));
}

static void test_known_times_have_their_known_form(void)
{
	char text[CLOCK_TEXT_SIZE];

	clock_format(INT64_C(1795446245123456), text);
	CU_ASSERT_STRING_EQUAL(text, "2026-11-23T15:04:05.123456Z");
	clock_format(-1, text);
	CU_ASSERT_STRING_EQUAL(text, "1969-12-31T23:59:59.999999Z");
}

static void test_times_without_a_form_still_fit(void)
{
	static const int64_t beyond[] = { INT64_MIN, INT64_MIN + 1, INT64_MAX };

	for (size_t i = 0; i < ARRAY_LEN(beyond); i++) {
		char text[CLOCK_TEXT_SIZE];
		clock_format(beyond[i], text);
		CU_ASSERT_EQUAL(strnlen(text, sizeof(text)), CLOCK_TEXT_SIZE - 1);
	}
}

/* --- reading --------------------------------------------------------------------------- */

static void expect_us(const char *text, int64_t expected)
{
	int64_t us = -7;
	int r = clock_parse(text, &us);

	if (r != 0 || us != expected)
		(void) printf("\n%s: %d, %" PRId64 " instead of %" PRId64, text, r, us, expected);
	CU_ASSERT_EQUAL(r, 0);
	CU_ASSERT_EQUAL(us, expected);
}

static void expect_error(const char *text, int error)
{
	int64_t us = -7;
	int r = clock_parse(text, &us);

	if (r != error)
		(void) printf("\n%s: %d ", text, r);
	CU_ASSERT_EQUAL(r, error);
	CU_ASSERT_EQUAL(us, -7);
}

static void test_every_rfc_3339_form_is_read(void)
{
	static const struct {
		const char *text;
		int64_t us;
	} cases[] = {
		{ "1970-01-01T00:00:00Z", 0 },
		{ "1969-12-31T23:59:59.999999Z", -1 },
		{ "2026-11-23T15:04:05Z", INT64_C(1795446245000000) },
		{ "2026-11-23t15:04:05z", INT64_C(1795446245000000) },
		{ "2026-11-23T15:04:05.1Z", INT64_C(1795446245100000) },
		{ "2026-11-23T15:04:05.123456Z", INT64_C(1795446245123456) },
		{ "2026-11-23T15:04:05.1234569999999999999Z", INT64_C(1795446245123456) },
		{ "2026-11-23T15:04:05.000000000Z", INT64_C(1795446245000000) },
		{ "2026-11-23T17:04:05+02:00", INT64_C(1795446245000000) },
		{ "2026-11-23T10:34:05.5-04:30", INT64_C(1795446245500000) },
		{ "2026-11-23T15:04:05-00:00", INT64_C(1795446245000000) },
		{ "2026-11-24T15:03:05+23:59", INT64_C(1795446245000000) },
		{ "2026-11-22T15:05:05-23:59", INT64_C(1795446245000000) },
		{ "2000-02-29T00:00:00Z", INT64_C(951782400000000) },
		{ "2024-02-29T23:59:59Z", INT64_C(1709251199000000) },
		{ "0000-01-01T00:00:00Z", INT64_C(-62167219200000000) },
		{ "0000-01-01T00:00:00-00:01", INT64_C(-62167219140000000) },
		{ "9999-12-31T23:59:59.999999Z", INT64_C(253402300799999999) },
		/* Leap seconds, at the end of a month in UTC; the second is RFC 3339's example. */
		{ "1990-12-31T23:59:60Z", INT64_C(662688000000000) },
		{ "1990-12-31T15:59:60-08:00", INT64_C(662688000000000) },
		{ "2017-01-01T00:59:60.25+01:00", INT64_C(1483228800250000) },
		{ "2015-06-30T23:59:60Z", INT64_C(1435708800000000) },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		expect_us(cases[i].text, cases[i].us);
}

static void test_what_is_no_such_time_is_refused(void)
{
	static const char *const invalid[] = {
		"",
		"now",
		"2026-11-23",
		"2026-11-23T15:04:05",
		"2026-11-23T15:04Z",
		"2026-11-23 15:04:05Z",
		" 2026-11-23T15:04:05Z",
		"2026-11-23T15:04:05Z ",
		"2026-11-23T15:04:05ZZ",
		"2026-11-23T15:04:05.Z",
		"2026-11-23T15:04:05,5Z",
		"2026-11-23T15:04:05.5",
		"2026-11-23T15:04:05+02",
		"2026-11-23T15:04:05+0200",
		"2026-11-23T15:04:05+2:00",
		"2026-11-23T15:04:05+24:00",
		"2026-11-23T15:04:05+02:60",
		"2026-11-23T15:04:05 02:00",
		"2026-11-23T24:00:00Z",
		"2026-11-23T15:60:05Z",
		"2026-11-23T15:04:61Z",
		"2026-00-23T15:04:05Z",
		"2026-13-23T15:04:05Z",
		"2026-11-00T15:04:05Z",
		"2026-11-31T15:04:05Z",
		"2026-02-29T15:04:05Z",
		"2100-02-29T15:04:05Z",
		"2000-02-30T15:04:05Z",
		"26-11-23T15:04:05Z",
		"+2026-11-23T15:04:05Z",
		"-026-11-23T15:04:05Z",
		"12026-11-23T15:04:05Z",
		"2026-1-23T15:04:05Z",
		"2026/11/23T15:04:05Z",
		"20261123T150405Z",
		"2026-11-23T15.04.05Z",
		/* No leap second: in the middle of a month, of a day, of an hour. */
		"2026-11-23T23:59:60Z",
		"2016-12-31T15:59:60Z",
		"2016-12-31T23:58:60Z",
		"2016-12-31T23:59:60-08:00",
	};

	for (size_t i = 0; i < ARRAY_LEN(invalid); i++)
		expect_error(invalid[i], -EINVAL);
	expect_error("0000-01-01T00:00:00+00:01", -ERANGE);
	expect_error("9999-12-31T23:59:59-00:01", -ERANGE);
	expect_error("9999-12-31T23:59:60Z", -ERANGE);
}

static void test_every_time_is_read_as_it_was_written(void)
{
	const int64_t first = INT64_C(-62167219200) * 1000000;    /* 0000-01-01 */
	const int64_t last = INT64_C(253402300800) * 1000000 - 1; /* 9999-12-31 */
	struct random r = seeded();

	for (int i = 0; i < 20000; i++) {
		int64_t us = first + (int64_t) random_up_to(&r, (uint64_t) (last - first));
		int offset = (int) below(&r, 2 * 1440 - 1) - 1439; /* in minutes */
		int64_t local = us + offset * INT64_C(60000000);
		char text[CLOCK_TEXT_SIZE], shifted[64];

		clock_format(us, text);
		expect_us(text, us);
		if (local < first || local > last)
			continue;
		clock_format(local, text);
		(void) snprintf(shifted, sizeof(shifted), "%.*s%c%02d:%02d", CLOCK_TEXT_SIZE - 2,
		                text, offset < 0 ? '-' : '+', abs(offset) / 60, abs(offset) % 60);
		expect_us(shifted, us);
	}
}

static void test_texts_cut_short_or_changed_do_no_harm(void)
{
	static const char whole[] = "2026-11-23T15:04:05.123456+02:00";
	struct random r = seeded();
	int64_t us = 0;

	for (size_t n = 0; n < sizeof(whole) - 1; n++) {
		char *cut = strndup(whole, n); /* of just that size, for a sanitizer */
		expect_error(cut, -EINVAL);
		free(cut);
	}
	for (int i = 0; i < 20000; i++) {
		char text[sizeof(whole)];
		memcpy(text, whole, sizeof(text));
		text[below(&r, sizeof(text) - 1)] = (char) random_up_to(&r, 255);
		text[below(&r, sizeof(text) - 1)] = (char) ('0' + below(&r, 10));
		int error = clock_parse(text, &us);
		CU_ASSERT_TRUE(error == 0 || error == -EINVAL);
	}
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "both clocks go on", test_both_clocks_go_on },
		{ "nanoseconds become a timespec", test_nanoseconds_become_a_timespec },
		{ "a sum that is too large is never", test_a_sum_that_is_too_large_is_never },
		{ "poll waits at least until the deadline",
		  test_poll_waits_at_least_until_the_deadline },
		{ "times are written like strftime does",
		  test_times_are_written_like_strftime_does },
		{ "known times have their known form", test_known_times_have_their_known_form },
		{ "times without a form still fit", test_times_without_a_form_still_fit },
		{ "every RFC 3339 form is read", test_every_rfc_3339_form_is_read },
		{ "what is no such time is refused", test_what_is_no_such_time_is_refused },
		{ "every time is read as it was written",
		  test_every_time_is_read_as_it_was_written },
		{ "texts cut short or changed do no harm",
		  test_texts_cut_short_or_changed_do_no_harm },
		CU_TEST_INFO_NULL,
	};
	return unit_run("clock", tests);
}
