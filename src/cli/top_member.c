/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/top_member.h"

#include "base/clock.h"
#include "cli/safe_text.h"

const json_t *top_member(const struct top_data *d, const char *name)
{
	return json_object_get(d->status, name);
}

unsigned long long top_count(const json_t *object, const char *name)
{
	double value = json_number_value(json_object_get(object, name));
	return value > 0 && value < 0x1p64 ? (unsigned long long) value : 0;
}

uint64_t top_span_ns(const json_t *object, const char *name)
{
	return (uint64_t) top_count(object, name) * NS_PER_S;
}

void top_add_string(struct buf *b, const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));
	safe_text_add(b, text ? text : "?");
}
