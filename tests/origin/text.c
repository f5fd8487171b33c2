/* SPDX-License-Identifier: Apache-2.0 */
#include "text.h"

#include "clock.h"

#include <errno.h>
#include <strings.h>

bool slice_is(struct slice s, const char *text)
{
	return s.len == strlen(text) && memcmp(s.at, text, s.len) == 0;
}

bool slice_is_nocase(struct slice s, const char *text)
{
	return s.len == strlen(text) && strncasecmp(s.at, text, s.len) == 0;
}

struct slice slice_cut(struct slice *rest, char separator)
{
	struct slice first = *rest;
	const char *found = rest->len > 0 ? memchr(rest->at, separator, rest->len) : NULL;

	if (!found) {
		*rest = (struct slice) { .at = "", .len = 0 };
		return first;
	}
	first.len = (size_t) (found - first.at);
	rest->at = found + 1;
	rest->len -= first.len + 1;
	return first;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

struct slice slice_trim(struct slice s)
{
	while (s.len > 0 && is_blank(s.at[0])) {
		s.at++;
		s.len--;
	}
	while (s.len > 0 && is_blank(s.at[s.len - 1]))
		s.len--;
	return s;
}

int text_number(struct slice s, uint64_t max, uint64_t *ret_number)
{
	uint64_t number = 0;

	if (s.len == 0)
		return -EINVAL;
	for (size_t i = 0; i < s.len; i++) {
		if (s.at[i] < '0' || s.at[i] > '9')
			return -EINVAL;
		uint64_t digit = (uint64_t) (s.at[i] - '0');
		if (digit > max || number > (max - digit) / 10)
			return -EINVAL;
		number = number * 10 + digit;
	}
	*ret_number = number;
	return 0;
}

int text_hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int text_seconds(struct slice s, uint64_t *ret_ns)
{
	const size_t max_decimals = 9; /* nanoseconds */
	struct slice whole = slice_cut(&s, '.');
	uint64_t seconds = 0;
	uint64_t fraction = 0;

	if (whole.len + s.len == 0 || s.len > max_decimals)
		return -EINVAL;
	if (whole.len > 0 && text_number(whole, 1000000, &seconds) < 0)
		return -EINVAL;
	if (s.len > 0 && text_number(s, NS_PER_SECOND, &fraction) < 0)
		return -EINVAL;

	for (size_t decimals = s.len; decimals < max_decimals; decimals++)
		fraction *= 10;
	*ret_ns = seconds * NS_PER_SECOND + fraction;
	return 0;
}

bool text_query(struct slice query, const char *name, struct slice *ret_value)
{
	while (query.len > 0) {
		struct slice value = slice_cut(&query, '&');
		struct slice key = slice_cut(&value, '=');
		if (slice_is(key, name)) {
			*ret_value = value;
			return true;
		}
	}
	return false;
}
