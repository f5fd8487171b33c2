/* SPDX-License-Identifier: Apache-2.0 */
/* Which origins a pattern means. */
#include "job/url.h"

#include <string.h>

/* Whether 'pattern' with its '*' fits all of the 'len' characters of 'text'.  Only the last '*'
 * is ever tried again: what stands before it has been fitted as early as possible. */
static bool fits(const char *pattern, const char *text, size_t len)
{
	const char *end = text + len, *after_star = NULL, *retry = NULL;

	while (text < end) {
		if (*pattern == '*') {
			after_star = ++pattern;
			retry = text;
		} else if (*pattern == *text) {
			pattern++;
			text++;
		} else if (after_star) {
			pattern = after_star;
			text = ++retry;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}

/* Where the port begins, with its colon; NULL if there is none.  The colons of an IPv6 address
 * stand in brackets. */
static const char *find_port(const char *host)
{
	const char *bracket = strrchr(host, ']');

	return strrchr(bracket ? bracket : host, ':');
}

bool url_match_origin(const char *match, const char *origin)
{
	if (strstr(match, "://"))
		return fits(match, origin, strlen(origin));

	const char *scheme_end = strstr(origin, "://");
	const char *host = scheme_end ? scheme_end + 3 : origin;
	const char *port = find_port(host);
	if (port && !find_port(match))
		return fits(match, host, (size_t) (port - host));
	return fits(match, host, strlen(host));
}
