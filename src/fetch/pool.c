/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/pool.h"

#include "base/sync.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/*
 * A hash table whose chains are the handles themselves, newest first, so the
 * first match in a chain is the one that was given last; and a list of all of
 * them by age.
 */
struct pool {
	size_t max_idle;  /* immutable */
	size_t n_buckets; /* immutable; a power of two */

	struct mutex lock;
	size_t idle GUARDED_BY(lock);
	struct handle *oldest GUARDED_BY(lock);
	struct handle *newest GUARDED_BY(lock);
	struct handle *buckets[] GUARDED_BY(lock);
};

int pool_create(size_t max_idle, struct pool **ret_pool)
{
	size_t n_buckets = 16;
	while (n_buckets < max_idle)
		n_buckets *= 2;

	struct pool *p = calloc(1, sizeof(*p) + n_buckets * sizeof(struct handle *));
	if (!p)
		return -ENOMEM;
	p->max_idle = max_idle;
	p->n_buckets = n_buckets;

	int r = mutex_init(&p->lock);
	if (r < 0) {
		free(p);
		return r;
	}
	*ret_pool = p;
	return 0;
}

/* FNV-1a: Fowler, Noll, Vo. */
static struct handle **bucket_of(struct pool *p, const char *origin) REQUIRES(p->lock)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (; *origin != '\0'; origin++)
		hash = (hash ^ (unsigned char) *origin) * UINT64_C(0x100000001b3);
	return &p->buckets[(hash ^ (hash >> 32)) & (p->n_buckets - 1)];
}

static void link_handle(struct pool *p, struct handle *h) REQUIRES(p->lock)
{
	struct handle **bucket = bucket_of(p, h->origin);

	h->bucket_prev = NULL;
	h->bucket_next = *bucket;
	if (*bucket)
		(*bucket)->bucket_prev = h;
	*bucket = h;

	h->newer = NULL;
	h->older = p->newest;
	if (p->newest)
		p->newest->newer = h;
	else
		p->oldest = h;
	p->newest = h;
	p->idle++;
}

static void unlink_handle(struct pool *p, struct handle *h) REQUIRES(p->lock)
{
	if (h->bucket_prev)
		h->bucket_prev->bucket_next = h->bucket_next;
	else
		*bucket_of(p, h->origin) = h->bucket_next;
	if (h->bucket_next)
		h->bucket_next->bucket_prev = h->bucket_prev;

	if (h->newer)
		h->newer->older = h->older;
	else
		p->newest = h->older;
	if (h->older)
		h->older->newer = h->newer;
	else
		p->oldest = h->newer;
	p->idle--;
}

struct pool *pool_free(struct pool *p)
{
	if (!p)
		return NULL;

	mutex_lock(&p->lock);
	struct handle *all = p->newest;
	mutex_unlock(&p->lock);

	for (struct handle *older; all; all = older) {
		older = all->older;
		handle_free(all);
	}
	mutex_destroy(&p->lock);
	free(p);
	return NULL;
}

struct handle *pool_take(struct pool *p, const char *origin)
{
	mutex_lock(&p->lock);
	struct handle *h = *bucket_of(p, origin);
	while (h && strcmp(h->origin, origin) != 0)
		h = h->bucket_next;
	if (h)
		unlink_handle(p, h);
	mutex_unlock(&p->lock);
	return h;
}

void pool_give(struct pool *p, struct handle *h)
{
	struct handle *excess = NULL;

	mutex_lock(&p->lock);
	link_handle(p, h);
	if (p->idle > p->max_idle) {
		excess = p->oldest;
		unlink_handle(p, excess);
	}
	mutex_unlock(&p->lock);

	handle_free(excess); /* closes a connection: not under the lock */
}

size_t pool_idle(struct pool *p)
{
	mutex_lock(&p->lock);
	size_t idle = p->idle;
	mutex_unlock(&p->lock);
	return idle;
}
