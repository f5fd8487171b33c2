/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/speed.h"

#include "base/clock.h"
#include "base/sync.h"

void speed_start(struct speed *s, uint64_t bytes_per_s, uint64_t span_ns, uint64_t now_ns)
{
	*s = (struct speed) { .next_ns = NEVER };
	if (bytes_per_s == 0 || span_ns == 0)
		return;
	s->least = (uint64_t) ((double) bytes_per_s * ((double) span_ns / NS_PER_S));
	s->part_ns = span_ns / SPEED_PARTS + 1;
	s->next_ns = clock_after(now_ns, s->part_ns);
}

void speed_restart(struct speed *s)
{
	s->n = 0;
	if (s->next_ns != NEVER)
		s->next_ns = clock_after(clock_now_ns(), s->part_ns);
}

bool speed_is_low(struct speed *s, uint64_t bytes, uint64_t now_ns)
{
	uint64_t *part = &s->bytes[s->n % SPEED_PARTS]; /* holds what was a span ago */

	if (s->n >= SPEED_PARTS - 1) {
		uint64_t before = s->n >= SPEED_PARTS ? *part : 0;
		if (bytes - before < s->least)
			return true;
	}
	*part = bytes;
	s->n++;
	s->next_ns = clock_after(now_ns, s->part_ns);
	return false;
}
