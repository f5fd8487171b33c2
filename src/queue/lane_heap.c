/* SPDX-License-Identifier: Apache-2.0 */
#include "queue/lane_heap.h"

#include "queue/lanes.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

void lane_heap_done(struct lane_heap *h)
{
	free(h->entries);
	*h = (struct lane_heap){ 0 };
}

int lane_heap_reserve(struct lane_heap *h, size_t size)
{
	if (size <= h->size)
		return 0;

	size_t doubled = h->size > 0 ? h->size * 2 : 64;
	size = size > doubled ? size : doubled;
	struct lane_heap_entry *grown = reallocarray(h->entries, size, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	h->entries = grown;
	h->size = size;
	return 0;
}

static void put(struct lane_heap *h, size_t at, struct lane_heap_entry entry)
{
	h->entries[at] = entry;
	entry.lane->heap_at = at;
}

/* Puts 'entry' into the gap at 'at', which first moves up or down to where it fits. */
static void fill_gap(struct lane_heap *h, size_t at, struct lane_heap_entry entry)
{
	for (; at > 0 && entry.at_ns < h->entries[(at - 1) / 2].at_ns; at = (at - 1) / 2)
		put(h, at, h->entries[(at - 1) / 2]);

	for (size_t child = 2 * at + 1; child < h->len; child = 2 * at + 1) {
		if (child + 1 < h->len && h->entries[child + 1].at_ns < h->entries[child].at_ns)
			child++;
		if (entry.at_ns <= h->entries[child].at_ns)
			break;
		put(h, at, h->entries[child]);
		at = child;
	}
	put(h, at, entry);
}

void lane_heap_add(struct lane_heap *h, struct lane *lane, uint64_t at_ns)
{
	assert(h->len < h->size);
	size_t at = h->len++;

	fill_gap(h, at, (struct lane_heap_entry){ at_ns, lane });
}

void lane_heap_move(struct lane_heap *h, const struct lane *lane, uint64_t at_ns)
{
	struct lane_heap_entry entry = h->entries[lane->heap_at];

	assert(entry.lane == lane);
	entry.at_ns = at_ns;
	fill_gap(h, lane->heap_at, entry);
}

void lane_heap_remove(struct lane_heap *h, const struct lane *lane)
{
	assert(h->entries[lane->heap_at].lane == lane);
	struct lane_heap_entry last = h->entries[--h->len];

	if (last.lane != lane)
		fill_gap(h, lane->heap_at, last);
}
