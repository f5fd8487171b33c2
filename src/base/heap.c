/* SPDX-License-Identifier: Apache-2.0 */
#include "base/heap.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

void heap_done(struct heap *h)
{
	free(h->entries);
	*h = (struct heap){ 0 };
}

int heap_reserve(struct heap *h, size_t size)
{
	if (size <= h->size)
		return 0;

	size_t doubled = h->size > 0 ? h->size * 2 : 64;
	size = size > doubled ? size : doubled;
	struct heap_entry *grown = reallocarray(h->entries, size, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	h->entries = grown;
	h->size = size;
	return 0;
}

static void put(struct heap *h, size_t at, struct heap_entry entry)
{
	h->entries[at] = entry;
	*entry.at = at;
}

/* Puts 'entry' into the gap at 'at', which first moves up or down to where it fits. */
static void fill_gap(struct heap *h, size_t at, struct heap_entry entry)
{
	for (; at > 0 && entry.key < h->entries[(at - 1) / 2].key; at = (at - 1) / 2)
		put(h, at, h->entries[(at - 1) / 2]);

	for (size_t child = 2 * at + 1; child < h->len; child = 2 * at + 1) {
		if (child + 1 < h->len && h->entries[child + 1].key < h->entries[child].key)
			child++;
		if (entry.key <= h->entries[child].key)
			break;
		put(h, at, h->entries[child]);
		at = child;
	}
	put(h, at, entry);
}

void heap_add(struct heap *h, size_t *at, uint64_t key)
{
	assert(h->len < h->size);
	size_t last = h->len++;

	fill_gap(h, last, (struct heap_entry){ key, at });
}

void heap_move(struct heap *h, const size_t *at, uint64_t key)
{
	struct heap_entry entry = h->entries[*at];

	assert(entry.at == at);
	entry.key = key;
	fill_gap(h, *at, entry);
}

void heap_remove(struct heap *h, const size_t *at)
{
	assert(h->entries[*at].at == at);
	size_t gap = *at;
	struct heap_entry last = h->entries[--h->len];

	if (last.at != at)
		fill_gap(h, gap, last);
}
