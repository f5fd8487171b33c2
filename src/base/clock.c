/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include "base/digits.h"
#include "base/sync.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>

uint64_t clock_now_ns(void)
{
	struct timespec ts;
	(void) clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t) ts.tv_sec * NS_PER_S + (uint64_t) ts.tv_nsec;
}

int64_t clock_wall_us(void)
{
	struct timespec ts;
	(void) clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

struct timespec clock_timespec(uint64_t ns)
{
	return (struct timespec) {
		.tv_sec = (time_t) (ns / NS_PER_S),
		.tv_nsec = (long) (ns % NS_PER_S),
	};
}

uint64_t clock_after(uint64_t now_ns, uint64_t span_ns)
{
	return span_ns > NEVER - now_ns ? NEVER : now_ns + span_ns;
}

int clock_poll_ms(uint64_t deadline_ns)
{
	if (deadline_ns == NEVER)
		return -1;

	uint64_t now = clock_now_ns();
	if (deadline_ns <= now)
		return 0;
	uint64_t ms = (deadline_ns - now + NS_PER_MS - 1) / NS_PER_MS;
	return ms > INT_MAX ? INT_MAX : (int) ms;
}

/* The date of a day since 1970: "2026-11-23". */
static void format_day(int64_t day, char text[static 10])
{
	time_t s = (time_t) (day * 86400);
	struct tm tm = { 0 };
	(void) gmtime_r(&s, &tm);
	unsigned year = (unsigned) (tm.tm_year + 1900);

	digits_put2(text, year / 100 % 100);
	digits_put2(text + 2, year % 100);
	text[4] = '-';
	digits_put2(text + 5, (unsigned) (tm.tm_mon + 1));
	text[7] = '-';
	digits_put2(text + 8, (unsigned) tm.tm_mday);
}

void clock_format(int64_t wall_us, char text[static CLOCK_TEXT_SIZE])
{
	/* Three times of a record are nearly always of one day, and the day is most of the work.
	 * Each thread has its own: no lock. */
	static _Thread_local int64_t known_day = INT64_MIN;
	static _Thread_local char known_date[10];
	const int64_t day_us = INT64_C(86400) * 1000000;
	int64_t day = wall_us / day_us, us = wall_us % day_us;

	if (us < 0) {
		us += day_us;
		day--;
	}
	unsigned s = (unsigned) (us / 1000000);

	if (day != known_day) {
		format_day(day, known_date);
		known_day = day;
	}
	memcpy(text, known_date, 10);
	text[10] = 'T';
	digits_put2(text + 11, s / 3600);
	text[13] = ':';
	digits_put2(text + 14, s / 60 % 60);
	text[16] = ':';
	digits_put2(text + 17, s % 60);
	text[19] = '.';
	digits_put6(text + 20, (unsigned) (us % 1000000));
	memcpy(text + 26, "Z", 2);
}

/* These three read one thing at '*p' and move it behind that. */
static bool take_char(const char **p, const char *any)
{
	for (; *any != '\0'; any++) {
		if (**p == *any) {
			++*p;
			return true;
		}
	}
	return false;
}

static bool take_number(const char **p, int digits, int max, int *ret_value)
{
	int value = 0;

	for (; digits > 0; digits--, ++*p) {
		if (**p < '0' || **p > '9')
			return false;
		value = value * 10 + (**p - '0');
	}
	*ret_value = value;
	return value <= max;
}

/* ".25", or nothing. */
static bool take_fraction(const char **p, int *ret_us)
{
	int us = 0, unit = 100000;

	if (take_char(p, ".")) {
		if (**p < '0' || **p > '9')
			return false;
		for (; **p >= '0' && **p <= '9'; ++*p, unit /= 10)
			us += (**p - '0') * unit;
	}
	*ret_us = us;
	return true;
}

/* "Z", "+02:00" or "-00:30" in seconds. */
static bool take_offset(const char **p, int *ret_s)
{
	int hours = 0, minutes = 0;
	bool west = **p == '-';

	if (take_char(p, "Zz")) {
		*ret_s = 0;
		return true;
	}
	if (!take_char(p, "+-") || !take_number(p, 2, 23, &hours) || !take_char(p, ":") ||
	    !take_number(p, 2, 59, &minutes))
		return false;
	*ret_s = (hours * 60 + minutes) * (west ? -60 : 60);
	return true;
}

static int days_in_month(int year, int month)
{
	static const signed char days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

	return days[month - 1] + (month == 2 && leap);
}

/* The date and the time of day; the second may be 60. */
static bool take_time(const char **p, struct tm *tm)
{
	int year = 0, month = 0;

	if (!take_number(p, 4, 9999, &year) || !take_char(p, "-") ||
	    !take_number(p, 2, 12, &month) || month < 1 || !take_char(p, "-") ||
	    !take_number(p, 2, days_in_month(year, month), &tm->tm_mday) || tm->tm_mday < 1)
		return false;
	tm->tm_year = year - 1900;
	tm->tm_mon = month - 1;
	return take_char(p, "Tt") && take_number(p, 2, 23, &tm->tm_hour) && take_char(p, ":") &&
	       take_number(p, 2, 59, &tm->tm_min) && take_char(p, ":") &&
	       take_number(p, 2, 60, &tm->tm_sec);
}

/* A leap second ends a month in UTC (RFC 3339, section 5.7), so the next one begins one. */
static bool begins_month(time_t s)
{
	struct tm tm = { 0 };

	return s % 86400 == 0 && gmtime_r(&s, &tm) && tm.tm_mday == 1;
}

int clock_parse(const char *text, int64_t *ret_wall_us)
{
	const time_t first = -INT64_C(62167219200), last = INT64_C(253402300799);
	const char *p = text;
	struct tm tm = { 0 };
	int us = 0, offset_s = 0;

	if (!take_time(&p, &tm) || !take_fraction(&p, &us) || !take_offset(&p, &offset_s) ||
	    *p != '\0')
		return -EINVAL;

	bool leap_second = tm.tm_sec == 60;
	time_t s = timegm(&tm) - offset_s;
	if (leap_second && !begins_month(s))
		return -EINVAL;
	if (s < first || s > last)
		return -ERANGE;

	*ret_wall_us = (int64_t) s * 1000000 + us;
	return 0;
}
