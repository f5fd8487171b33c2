/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include "base/sync.h"

#include <limits.h>

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

/* Writes 'digits' decimal digits of 'value' and returns the position behind them. */
static char *put_digits(char *at, unsigned value, int digits)
{
	for (int i = digits - 1; i >= 0; i--, value /= 10)
		at[i] = (char) ('0' + value % 10);
	return at + digits;
}

void clock_format(int64_t wall_us, char text[static CLOCK_TEXT_SIZE])
{
	int64_t us = wall_us % 1000000;
	time_t s = (time_t) (wall_us / 1000000);
	if (us < 0) {
		us += 1000000;
		s--;
	}

	struct tm tm = { 0 };
	(void) gmtime_r(&s, &tm);

	char *at = put_digits(text, (unsigned) (tm.tm_year + 1900), 4);
	*at++ = '-';
	at = put_digits(at, (unsigned) (tm.tm_mon + 1), 2);
	*at++ = '-';
	at = put_digits(at, (unsigned) tm.tm_mday, 2);
	*at++ = 'T';
	at = put_digits(at, (unsigned) tm.tm_hour, 2);
	*at++ = ':';
	at = put_digits(at, (unsigned) tm.tm_min, 2);
	*at++ = ':';
	at = put_digits(at, (unsigned) tm.tm_sec, 2);
	*at++ = '.';
	at = put_digits(at, (unsigned) us, 6);
	*at++ = 'Z';
	*at = '\0';
}
