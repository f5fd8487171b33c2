/* SPDX-License-Identifier: Apache-2.0 */
#include "backlog/due_heap.h"

#include "base/sync.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

void due_heap_done(struct due_heap *h)
{
	for (size_t i = 0; i < h->len; i++)
		job_free(h->jobs[i]);
	free(h->jobs);
	*h = (struct due_heap) { 0 };
}

int due_heap_reserve(struct due_heap *h, size_t size)
{
	if (size <= h->size)
		return 0;

	size_t doubled = h->size > 0 ? h->size * 2 : 64;
	size = size > doubled ? size : doubled;
	struct job **grown = reallocarray(h->jobs, size, sizeof(struct job *));
	if (!grown)
		return -ENOMEM;
	h->jobs = grown;
	h->size = size;
	return 0;
}

void due_heap_add(struct due_heap *h, struct job *job)
{
	assert(h->len < h->size);
	size_t at = h->len++;

	for (; at > 0 && job->due_ns < h->jobs[(at - 1) / 2]->due_ns; at = (at - 1) / 2)
		h->jobs[at] = h->jobs[(at - 1) / 2];
	h->jobs[at] = job;
}

uint64_t due_heap_next_ns(const struct due_heap *h)
{
	return h->len > 0 ? h->jobs[0]->due_ns : NEVER;
}

struct job *due_heap_take(struct due_heap *h)
{
	assert(h->len > 0);
	struct job *first = h->jobs[0];
	struct job *last = h->jobs[--h->len];

	/* Moves the gap at the top down until 'last' fits into it. */
	size_t at = 0;
	for (size_t child = 1; child < h->len; child = 2 * at + 1) {
		if (child + 1 < h->len && h->jobs[child + 1]->due_ns < h->jobs[child]->due_ns)
			child++;
		if (last->due_ns <= h->jobs[child]->due_ns)
			break;
		h->jobs[at] = h->jobs[child];
		at = child;
	}
	h->jobs[at] = last;
	return first;
}
