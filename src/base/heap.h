/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A binary heap whose members know where in it they stand, so that any of them can be moved or
 * removed.  Each has a size_t for that, which the heap writes and which stands for the member:
 *
 *     struct job *job = HEAP_MEMBER(heap_first(&h), struct job, due_at);
 *
 * Not thread-safe; zero-initialised is empty.
 */
#ifndef PENSTOCK_BASE_HEAP_H
#define PENSTOCK_BASE_HEAP_H

#include "base/attr.h"

#include <stddef.h>
#include <stdint.h>

struct heap {
	struct heap_entry {
		uint64_t key; /* not above those of entries[2i+1] and entries[2i+2] */
		size_t *at;   /* the member's: i */
	} * entries;
	size_t len;
	size_t size;
};

#define HEAP_MEMBER(at, type, field) ((type *) (void *) ((char *) (at) - offsetof(type, field)))

/* Releases the heap's own memory, but no members. */
NONNULL(1) void heap_done(struct heap *h);

/* Makes room for 'size' members in all.  Returns 0 or -ENOMEM. */
NODISCARD NONNULL(1) int heap_reserve(struct heap *h, size_t size);

/* Adds a member, for which there must be room; gives one another key; removes one. */
NONNULL(1, 2) void heap_add(struct heap *h, size_t *at, uint64_t key);
NONNULL(1, 2) void heap_move(struct heap *h, const size_t *at, uint64_t key);
NONNULL(1, 2) void heap_remove(struct heap *h, const size_t *at);

/* The least key; UINT64_MAX without members. */
NONNULL(1) static inline uint64_t heap_key(const struct heap *h)
{
	return h->len > 0 ? h->entries[0].key : UINT64_MAX;
}

/* The member that has it; there must be one. */
NONNULL(1) static inline size_t *heap_first(const struct heap *h) { return h->entries[0].at; }

#endif
