/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/interval.h"

#include "base/clock.h"
#include "base/units.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define MIN_INTERVAL_NS (100 * NS_PER_MS)

int interval_parse(const char *text, uint64_t *ret_ns)
{
	char with_unit[32];
	size_t len = strlen(text);
	bool bare = len > 0 && text[len - 1] >= '0' && text[len - 1] <= '9';
	uint64_t ns = 0;

	if (len + sizeof("s") > sizeof(with_unit))
		return -EINVAL;
	(void) snprintf(with_unit, sizeof(with_unit), "%s%s", text, bare ? "s" : "");
	int r = units_parse_duration(with_unit, &ns);
	if (r == 0 && ns < MIN_INTERVAL_NS)
		r = -EINVAL;
	if (r == 0)
		*ret_ns = ns;
	return r;
}
