/* SPDX-License-Identifier: Apache-2.0 */
/* units.h: what is read, what is refused, and that written values read back. */
#include "base/units.h"

#include "base/attr.h"
#include "base/clock.h"
#include "base/random.h"
#include "unit.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define UNTOUCHED UINT64_C(0x5a5a5a5a5a5a5a5a)
#define S         NS_PER_S

typedef int parse_fn(const char *text, uint64_t *ret_value);
typedef void add_fn(struct buf *b, uint64_t value);

struct sample {
	const char *text;
	uint64_t value;
	int error;
};

static void check_parsing(parse_fn *parse, const struct sample *samples, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct sample *s = &samples[i];
		uint64_t value = UNTOUCHED;
		int r = parse(s->text, &value);
		uint64_t wanted = s->error ? UNTOUCHED : s->value;
		if (r != s->error || value != wanted)
			printf("\n\"%s\" gives %d, %" PRIu64 "\n", s->text, r, value);
		CU_ASSERT_EQUAL(r, s->error);
		CU_ASSERT_EQUAL(value, wanted);
	}
}

struct spelling {
	uint64_t value;
	const char *text;
};

static void check_writing(add_fn *add, const struct spelling *spellings, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct buf b = { 0 };
		add(&b, spellings[i].value);
		buf_add_char(&b, '\0');
		CU_ASSERT_FALSE_FATAL(b.failed);
		if (strcmp(b.data, spellings[i].text) != 0)
			printf("\n%" PRIu64 " gives \"%s\"\n", spellings[i].value, b.data);
		CU_ASSERT_STRING_EQUAL(b.data, spellings[i].text);
		buf_done(&b);
	}
}

static void test_reads_durations_exactly(void)
{
	static const struct sample samples[] = {
		{ "0", 0, 0 },
		{ "0s", 0, 0 },
		{ "30s", 30 * S, 0 },
		{ "250ms", 250 * NS_PER_MS, 0 },
		{ "1.5s", 1500 * NS_PER_MS, 0 },
		{ "2m", 120 * S, 0 },
		{ "1h", 3600 * S, 0 },
		{ "1d", 86400 * S, 0 },
		{ "0.000000001s", 1, 0 },
		{ "1.000000001s", S + 1, 0 },
		{ "0.000000001d", 86400, 0 },
		{ "0.999999999d", UINT64_C(86399999913600), 0 },
		{ "0.000001ms", 1, 0 },
		{ "0.100000000ms", 100000, 0 },
		{ "007s", 7 * S, 0 },
		{ "18446744073.709551615s", UINT64_MAX, 0 },
		{ "18446744073709.551615ms", UINT64_MAX, 0 },
	};
	check_parsing(units_parse_duration, samples, ARRAY_LEN(samples));
}

static void test_refuses_what_is_no_duration(void)
{
	static const struct sample samples[] = {
		{ "", 0, -EINVAL },
		{ "s", 0, -EINVAL },
		{ "5", 0, -EINVAL },
		{ "00", 0, -EINVAL },
		{ "0.0", 0, -EINVAL },
		{ "5 s", 0, -EINVAL },
		{ " 5s", 0, -EINVAL },
		{ "5s ", 0, -EINVAL },
		{ "+5s", 0, -EINVAL },
		{ "-5s", 0, -EINVAL },
		{ "5S", 0, -EINVAL },
		{ "5M", 0, -EINVAL },
		{ "5sec", 0, -EINVAL },
		{ "1h30m", 0, -EINVAL },
		{ ".5s", 0, -EINVAL },
		{ "5.s", 0, -EINVAL },
		{ "1.2.3s", 0, -EINVAL },
		{ "1,5s", 0, -EINVAL },
		{ "1e3s", 0, -EINVAL },
		{ "0x5s", 0, -EINVAL },
		{ "0.0000000001s", 0, -EINVAL },
		{ "1.0000000000s", 0, -EINVAL },
		{ "0.0000001ms", 0, -EINVAL },
		{ "99999999999999999999", 0, -EINVAL },
		{ "99999999999999999999x", 0, -EINVAL },
	};
	check_parsing(units_parse_duration, samples, ARRAY_LEN(samples));
}

static void test_reports_durations_that_are_too_long(void)
{
	static const struct sample samples[] = {
		{ "18446744073.709551616s", 0, -ERANGE },
		{ "18446744074s", 0, -ERANGE },
		{ "213504d", 0, -ERANGE },
		{ "18446744073709551616ms", 0, -ERANGE },
		{ "99999999999999999999999999h", 0, -ERANGE },
	};
	check_parsing(units_parse_duration, samples, ARRAY_LEN(samples));
}

static void test_reads_sizes(void)
{
	static const struct sample samples[] = {
		{ "0", 0, 0 },
		{ "1", 1, 0 },
		{ "4096", 4096, 0 },
		{ "64M", UINT64_C(64) << 20, 0 },
		{ "64MB", UINT64_C(64) << 20, 0 },
		{ "64MiB", UINT64_C(64) << 20, 0 },
		{ "1K", 1024, 0 },
		{ "5G", UINT64_C(5) << 30, 0 },
		{ "2T", UINT64_C(2) << 40, 0 },
		{ "0G", 0, 0 },
		{ "16777215T", UINT64_C(16777215) << 40, 0 },
		{ "18446744073709551615", UINT64_MAX, 0 },
		{ "18446744073709551616", 0, -ERANGE },
		{ "16777216T", 0, -ERANGE },
		{ "18446744073709551616K", 0, -ERANGE },
		{ "", 0, -EINVAL },
		{ "M", 0, -EINVAL },
		{ "64m", 0, -EINVAL },
		{ "64 M", 0, -EINVAL },
		{ "1.5G", 0, -EINVAL },
		{ "-1", 0, -EINVAL },
		{ "64Mi", 0, -EINVAL },
		{ "64MBs", 0, -EINVAL },
		{ "64B", 0, -EINVAL },
		{ "64iB", 0, -EINVAL },
		{ "0x10", 0, -EINVAL },
		{ "99999999999999999999s", 0, -EINVAL },
	};
	check_parsing(units_parse_size, samples, ARRAY_LEN(samples));
}

static void test_writes_the_largest_unit_without_a_fraction(void)
{
	static const struct spelling durations[] = {
		{ 0, "0" },
		{ 90 * S, "90s" },
		{ 1500 * NS_PER_MS, "1500ms" },
		{ 60 * S, "1m" },
		{ 7200 * S, "2h" },
		{ 86400 * S, "1d" },
		{ 250000, "0.25ms" },
		{ 1, "0.000001ms" },
		{ 1000001, "1.000001ms" },
		{ UINT64_MAX, "18446744073709.551615ms" },
	};
	static const struct spelling sizes[] = {
		{ 0, "0" },
		{ 1, "1" },
		{ 1023, "1023" },
		{ 1024, "1K" },
		{ 1536, "1536" },
		{ UINT64_C(64) << 20, "64M" },
		{ UINT64_C(1025) << 10, "1025K" },
		{ UINT64_C(1) << 50, "1024T" },
		{ UINT64_MAX, "18446744073709551615" },
	};
	check_writing(units_add_duration, durations, ARRAY_LEN(durations));
	check_writing(units_add_size, sizes, ARRAY_LEN(sizes));
}

/* A random value of a random magnitude, often a multiple of a unit. */
static uint64_t some_value(struct random *r)
{
	static const uint64_t units[] = { 1, 1, 1024, 1 << 20, NS_PER_MS, S, 60 * S, 3600 * S };
	uint64_t value = random_up_to(r, UINT64_MAX) >> random_up_to(r, 63);
	uint64_t unit = units[random_up_to(r, ARRAY_LEN(units) - 1)];

	return value / unit * unit;
}

static void check_round_trip(parse_fn *parse, add_fn *add, uint64_t value, uint64_t seed)
{
	struct buf b = { 0 };
	uint64_t again = ~value;

	add(&b, value);
	buf_add_char(&b, '\0');
	CU_ASSERT_FALSE_FATAL(b.failed);
	int r = parse(b.data, &again);
	if (r != 0 || again != value)
		printf("\nseed %" PRIu64 ": %" PRIu64 " was written as \"%s\"\n", seed, value,
		       b.data);
	CU_ASSERT_EQUAL(r, 0);
	CU_ASSERT_EQUAL(again, value);
	buf_done(&b);
}

static void test_written_values_read_back(void)
{
	uint64_t seed = random_seed();
	struct random r = { .state = seed };

	for (int i = 0; i < 20000; i++) {
		uint64_t value = some_value(&r);
		check_round_trip(units_parse_duration, units_add_duration, value, seed);
		check_round_trip(units_parse_size, units_add_size, value, seed);
	}
}

/* --- rates ------------------------------------------------------------------------- */

static void test_reads_rates(void)
{
	static const struct sample samples[] = {
		{ "0", 0, 0 },
		{ "5/s", 200 * NS_PER_MS, 0 },
		{ "3/s", 333333333, 0 },
		{ "1.5/s", 666666667, 0 },
		{ "0.5/s", 2 * S, 0 },
		{ "100/m", 600 * NS_PER_MS, 0 },
		{ "1000/h", 3600 * NS_PER_MS, 0 },
		{ "10/d", 8640 * S, 0 },
		{ "1000000000/s", 1, 0 },
		{ "0.000000001/s", 0, -ERANGE },
		{ "2000000000/s", 1, 0 },
		{ "2000000001/s", 0, -ERANGE },
		{ "99999999999999999999/d", 0, -ERANGE },
		{ "0.002739727/d", UINT64_C(31535988804723974), 0 },
		{ "0.002739726/d", 0, -ERANGE },
		{ "0/s", 0, -EINVAL },
		{ "0.0/s", 0, -EINVAL },
		{ "", 0, -EINVAL },
		{ "5", 0, -EINVAL },
		{ "5/", 0, -EINVAL },
		{ "5s", 0, -EINVAL },
		{ "/s", 0, -EINVAL },
		{ "5/ms", 0, -EINVAL },
		{ "5/sec", 0, -EINVAL },
		{ "5 /s", 0, -EINVAL },
		{ "5/s ", 0, -EINVAL },
		{ "-5/s", 0, -EINVAL },
		{ "5/1s", 0, -EINVAL },
		{ "0.0000000001/s", 0, -EINVAL },
		{ "99999999999999999999", 0, -EINVAL },
	};
	check_parsing(units_parse_rate, samples, ARRAY_LEN(samples));
}

static void test_writes_rates_as_people_would(void)
{
	static const struct spelling rates[] = {
		{ 0, "0" },
		{ 200 * NS_PER_MS, "5/s" },
		{ 333333333, "3/s" },
		{ 600 * NS_PER_MS, "100/m" },
		{ 2 * S, "30/m" },
		{ 3600 * NS_PER_MS, "1000/h" },
		{ 8640 * S, "10/d" },
		{ 86400 * S * 2, "0.5/d" },
		{ 666666667, "90/m" },
		{ 1, "1000000000/s" },
	};
	check_writing(units_add_rate, rates, ARRAY_LEN(rates));
}

/* Rates of any magnitude and any number of decimals. */
static void test_written_rates_read_back(void)
{
	static const char *const units[] = { "s", "m", "h", "d" };
	uint64_t seed = random_seed();
	struct random r = { .state = seed };
	unsigned good = 0;

	for (int i = 0; i < 20000; i++) {
		char text[64];
		uint64_t interval = 0;
		uint64_t whole = random_up_to(&r, 1000000000) >> random_up_to(&r, 31);
		(void) snprintf(text, sizeof(text), "%" PRIu64 ".%0*" PRIu64 "/%s", whole,
		                (int) random_up_to(&r, 3) + 6, random_up_to(&r, 999999),
		                units[random_up_to(&r, ARRAY_LEN(units) - 1)]);
		if (units_parse_rate(text, &interval) < 0)
			continue;
		good++;
		check_round_trip(units_parse_rate, units_add_rate, interval, seed);
	}
	CU_ASSERT(good > 10000);
}

/* --- for people -------------------------------------------------------------------- */

static void test_rounds_for_people(void)
{
	static const struct spelling durations[] = {
		{ 0, "0s" },
		{ 1, "0.0ms" },
		{ 250000, "0.3ms" },
		{ 3200 * NS_PER_US, "3.2ms" },
		{ 9949999, "9.9ms" },
		{ 9950000, "10ms" },
		{ 250 * NS_PER_MS, "250ms" },
		{ 999499999, "999ms" },
		{ 999500000, "1.0s" },
		{ 3200 * NS_PER_MS, "3.2s" },
		{ 59949 * NS_PER_MS, "59.9s" },
		{ 59950 * NS_PER_MS, "1m 00s" },
		{ 64 * S, "1m 04s" },
		{ 3599499 * NS_PER_MS, "59m 59s" },
		{ 3599500 * NS_PER_MS, "1h 00m" },
		{ 7500 * S, "2h 05m" },
		{ 86369 * S, "23h 59m" },
		{ 86370 * S, "1d 00h" },
		{ 86400 * S * 3 + 3600 * S * 4, "3d 04h" },
		{ UINT64_MAX, "213504d 00h" },
	};
	static const struct spelling sizes[] = {
		{ 0, "0 B" },
		{ 1023, "1023 B" },
		{ 1024, "1.0 KiB" },
		{ 1536, "1.5 KiB" },
		{ 1048524, "1023.9 KiB" },
		{ 1048525, "1.0 MiB" },
		{ 1572864, "1.5 MiB" },
		{ UINT64_C(5) << 30, "5.0 GiB" },
		{ UINT64_C(3) << 39, "1.5 TiB" },
		{ UINT64_C(1) << 50, "1.0 PiB" },
		{ UINT64_C(1) << 60, "1.0 EiB" },
		{ UINT64_MAX, "16.0 EiB" },
	};
	check_writing(units_add_duration_rough, durations, ARRAY_LEN(durations));
	check_writing(units_add_size_rough, sizes, ARRAY_LEN(sizes));
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "reads durations exactly", test_reads_durations_exactly },
		{ "refuses what is no duration", test_refuses_what_is_no_duration },
		{ "reports durations that are too long", test_reports_durations_that_are_too_long },
		{ "reads sizes, and refuses what is none", test_reads_sizes },
		{ "writes the largest unit without a fraction",
		  test_writes_the_largest_unit_without_a_fraction },
		{ "written values read back", test_written_values_read_back },
		{ "reads rates", test_reads_rates },
		{ "writes rates as people would", test_writes_rates_as_people_would },
		{ "written rates read back", test_written_rates_read_back },
		{ "rounds for people", test_rounds_for_people },
		CU_TEST_INFO_NULL,
	};

	return unit_run("units", tests);
}
