/* SPDX-License-Identifier: Apache-2.0 */
#include "base/units.h"

#include "base/clock.h"

#include <errno.h>
#include <string.h>

struct unit {
	const char *name;
	uint64_t size; /* in nanoseconds, or in bytes */
};

/* Largest first, so that the first one that divides a value is the one to write. */
static const struct unit spans[] = {
	{ "d", 86400 * NS_PER_S }, { "h", 3600 * NS_PER_S }, { "m", 60 * NS_PER_S },
	{ "s", NS_PER_S },         { "ms", NS_PER_MS },
};

static const struct unit sizes[] = {
	{ "T", UINT64_C(1) << 40 },
	{ "G", UINT64_C(1) << 30 },
	{ "M", UINT64_C(1) << 20 },
	{ "K", UINT64_C(1) << 10 },
};

enum { DECIMALS = 9 };

/* Of rates: intervals in nanoseconds times 1e9 need more than 64 bits. */
__extension__ typedef unsigned __int128 wide;

#define MAX_INTERVAL_NS (365 * 86400 * NS_PER_S)

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* Reads the digits at '*p' and moves it behind them.  All of them are read even if
 * they are too large, so that a text that is wrong as well is called wrong. */
static int read_whole(const char **p, uint64_t *ret_value)
{
	uint64_t value = 0;
	bool fits = true;

	if (!is_digit(**p))
		return -EINVAL;
	for (; is_digit(**p); (*p)++)
		fits = fits && !__builtin_mul_overflow(value, UINT64_C(10), &value) &&
		       !__builtin_add_overflow(value, (uint64_t) (**p - '0'), &value);
	*ret_value = value;
	return fits ? 0 : -ERANGE;
}

/* Reads ".25", or nothing, and stores it in units of 1e-9. */
static int read_fraction(const char **p, uint64_t *ret_billionths)
{
	uint64_t value = 0;
	int n = 0;

	if (**p == '.') {
		for ((*p)++; is_digit(**p); (*p)++, n++) {
			if (n == DECIMALS)
				return -EINVAL;
			value = value * 10 + (uint64_t) (**p - '0');
		}
		if (n == 0)
			return -EINVAL;
	}
	for (; n < DECIMALS; n++)
		value *= 10;
	*ret_billionths = value;
	return 0;
}

/* 'billionths' of a unit in nanoseconds; a unit is a multiple or a divisor of a second. */
static int scale_fraction(uint64_t billionths, uint64_t unit_ns, uint64_t *ret_ns)
{
	if (unit_ns >= NS_PER_S) {
		*ret_ns = billionths * (unit_ns / NS_PER_S);
		return 0;
	}
	if (billionths % (NS_PER_S / unit_ns) != 0)
		return -EINVAL;
	*ret_ns = billionths / (NS_PER_S / unit_ns);
	return 0;
}

static int find_unit(const struct unit *units, size_t n, const char *name, uint64_t *ret_size)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(units[i].name, name) == 0) {
			*ret_size = units[i].size;
			return 0;
		}
	}
	return -EINVAL;
}

int units_parse_duration(const char *text, uint64_t *ret_ns)
{
	const char *p = text;
	uint64_t whole = 0, billionths = 0, unit = 0, fraction = 0, ns = 0;

	if (strcmp(text, "0") == 0) {
		*ret_ns = 0;
		return 0;
	}
	int large = read_whole(&p, &whole);
	if (large == -EINVAL)
		return large;

	int r = read_fraction(&p, &billionths);
	if (r == 0)
		r = find_unit(spans, ARRAY_LEN(spans), p, &unit);
	if (r == 0)
		r = scale_fraction(billionths, unit, &fraction);
	if (r < 0)
		return r;
	if (large < 0 || __builtin_mul_overflow(whole, unit, &ns) ||
	    __builtin_add_overflow(ns, fraction, &ns))
		return -ERANGE;

	*ret_ns = ns;
	return 0;
}

/* The factor that "", "K", "KB" or "KiB" stands for. */
static int find_size_unit(const char *name, uint64_t *ret_size)
{
	const char letter[] = { name[0], '\0' };

	if (name[0] == '\0') {
		*ret_size = 1;
		return 0;
	}
	if (name[1] != '\0' && strcmp(name + 1, "B") != 0 && strcmp(name + 1, "iB") != 0)
		return -EINVAL;
	return find_unit(sizes, ARRAY_LEN(sizes), letter, ret_size);
}

int units_parse_size(const char *text, uint64_t *ret_bytes)
{
	const char *p = text;
	uint64_t whole = 0, unit = 0, bytes = 0;

	int large = read_whole(&p, &whole);
	if (large == -EINVAL)
		return large;

	int r = find_size_unit(p, &unit);
	if (r < 0)
		return r;
	if (large < 0 || __builtin_mul_overflow(whole, unit, &bytes))
		return -ERANGE;

	*ret_bytes = bytes;
	return 0;
}

/* --- rates ------------------------------------------------------------------------- */

/* Those that rates have: all but the last, the milliseconds. */
enum { N_RATE_UNITS = ARRAY_LEN(spans) - 1 };

static wide divide_wide(wide value, wide by) { return (value + by / 2) / by; }

static int parse_rate(const char *text, uint64_t *ret_interval_ns)
{
	const char *p = text;
	uint64_t whole = 0, billionths = 0, unit = 0;

	int large = read_whole(&p, &whole);
	if (large == -EINVAL)
		return large;
	int r = read_fraction(&p, &billionths);
	if (r == 0 && *p++ != '/')
		r = -EINVAL;
	if (r == 0)
		r = find_unit(spans, N_RATE_UNITS, p, &unit);
	if (r == 0 && whole == 0 && billionths == 0)
		r = -EINVAL;
	if (r < 0 || large < 0)
		return r < 0 ? r : large;

	wide times = (wide) whole * NS_PER_S + billionths;
	wide interval = divide_wide((wide) unit * NS_PER_S, times);
	if (interval == 0 || interval > MAX_INTERVAL_NS)
		return -ERANGE;
	*ret_interval_ns = (uint64_t) interval;
	return 0;
}

int units_parse_rate(const char *text, uint64_t *ret_interval_ns)
{
	if (strcmp(text, "0") != 0)
		return parse_rate(text, ret_interval_ns);
	*ret_interval_ns = 0;
	return 0;
}

/* "1.5/s", of a number in units of 10 to the power of -'decimals'. */
static void write_rate(struct buf *b, uint64_t number, unsigned decimals, const char *unit)
{
	uint64_t scale = 1;

	for (unsigned i = 0; i < decimals; i++)
		scale *= 10;
	buf_add_u64(b, number / scale);
	if (decimals > 0)
		buf_printf(b, ".%0*llu", (int) decimals, (unsigned long long) (number % scale));
	buf_add_char(b, '/');
	buf_add_str(b, unit);
}

/* Appends the rate with so many decimals; false if it would not read back. */
static bool add_rate(struct buf *b, uint64_t interval_ns, unsigned decimals)
{
	for (size_t i = N_RATE_UNITS; i-- > 0;) {
		wide scaled = spans[i].size;
		for (unsigned d = 0; d < decimals; d++)
			scaled *= 10;
		wide number = divide_wide(scaled, interval_ns);
		if (number > 0 && divide_wide(scaled, number) == interval_ns) {
			write_rate(b, (uint64_t) number, decimals, spans[i].name);
			return true;
		}
	}
	return false;
}

/* Whatever was read is found again, in its own unit at the latest: with nine decimals either
 * the rate that is nearest to the interval has that interval, or it is the one that was read. */
void units_add_rate(struct buf *b, uint64_t interval_ns)
{
	unsigned decimals = 0;

	if (interval_ns == 0) {
		buf_add_char(b, '0');
		return;
	}
	while (!add_rate(b, interval_ns, decimals) && decimals < DECIMALS)
		decimals++;
}

/* --- writing ----------------------------------------------------------------------- */

/* Appends 'value' in the largest unit that divides it; false if none does. */
static bool add_exact(struct buf *b, uint64_t value, const struct unit *units, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (value % units[i].size == 0) {
			buf_add_u64(b, value / units[i].size);
			buf_add_str(b, units[i].name);
			return true;
		}
	}
	return false;
}

void units_add_duration(struct buf *b, uint64_t ns)
{
	char decimals[] = ".000000";
	size_t end = sizeof(decimals) - 1;

	if (ns == 0) {
		buf_add_char(b, '0');
		return;
	}
	if (add_exact(b, ns, spans, ARRAY_LEN(spans)))
		return;

	uint64_t fraction = ns % NS_PER_MS;
	for (size_t i = end - 1; i > 0; i--, fraction /= 10)
		decimals[i] = (char) ('0' + fraction % 10);
	while (decimals[end - 1] == '0')
		end--;
	buf_add_u64(b, ns / NS_PER_MS);
	buf_add(b, decimals, end);
	buf_add_str(b, "ms");
}

void units_add_size(struct buf *b, uint64_t bytes)
{
	if (bytes == 0 || !add_exact(b, bytes, sizes, ARRAY_LEN(sizes)))
		buf_add_u64(b, bytes);
}

static uint64_t divide_rounded(uint64_t value, uint64_t by)
{
	return value / by + (value % by >= by - by / 2);
}

/* "1m 04s": 'value' in the smaller of two units, 'ratio' of which make one larger one. */
static void add_pair(struct buf *b, uint64_t value, unsigned ratio, char large, char small)
{
	buf_add_u64(b, value / ratio);
	buf_printf(b, "%c %02u%c", large, (unsigned) (value % ratio), small);
}

static void add_tenths(struct buf *b, uint64_t tenths, const char *unit)
{
	buf_add_u64(b, tenths / 10);
	buf_add(b, (char[]) { '.', (char) ('0' + tenths % 10) }, 2);
	buf_add_str(b, unit);
}

/* Each step rounds first and then looks whether the result still belongs to it:
 * 59.97 s is "1m 00s", never "60.0s". */
void units_add_duration_rough(struct buf *b, uint64_t ns)
{
	if (ns == 0)
		buf_add_str(b, "0s");
	else if (divide_rounded(ns, NS_PER_MS / 10) < 100)
		add_tenths(b, divide_rounded(ns, NS_PER_MS / 10), "ms");
	else if (divide_rounded(ns, NS_PER_MS) < 1000)
		buf_printf(b, "%ums", (unsigned) divide_rounded(ns, NS_PER_MS));
	else if (divide_rounded(ns, NS_PER_S / 10) < 600)
		add_tenths(b, divide_rounded(ns, NS_PER_S / 10), "s");
	else if (divide_rounded(ns, NS_PER_S) < 3600)
		add_pair(b, divide_rounded(ns, NS_PER_S), 60, 'm', 's');
	else if (divide_rounded(ns, 60 * NS_PER_S) < UINT64_C(24) * 60)
		add_pair(b, divide_rounded(ns, 60 * NS_PER_S), 60, 'h', 'm');
	else
		add_pair(b, divide_rounded(ns, 3600 * NS_PER_S), 24, 'd', 'h');
}

void units_add_size_rough(struct buf *b, uint64_t bytes)
{
	static const char *const names[] = { " KiB", " MiB", " GiB", " TiB", " PiB", " EiB" };
	uint64_t unit = UINT64_C(1) << 10;
	size_t i = 0;

	if (bytes < unit) {
		buf_add_u64(b, bytes);
		buf_add_str(b, " B");
		return;
	}
	for (;; i++, unit <<= 10) {
		uint64_t tenths = bytes / unit * 10 + divide_rounded(bytes % unit * 10, unit);
		if (tenths < 10240 || i + 1 == ARRAY_LEN(names)) {
			add_tenths(b, tenths, names[i]);
			return;
		}
	}
}
