/* SPDX-License-Identifier: Apache-2.0 */
#include "tally.h"

#include <stdlib.h>
#include <string.h>

/* FNV-1a; the names come from our own tests. */
static uint64_t hash_of(struct slice name)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);
	for (size_t i = 0; i < name.len; i++)
		hash = (hash ^ (unsigned char) name.at[i]) * UINT64_C(0x100000001b3);
	return hash;
}

static struct entry **bucket_of(const struct tally *t, uint64_t hash)
{
	return &t->buckets[hash & (t->buckets_len - 1)];
}

static struct entry *find(const struct tally *t, struct slice name, uint64_t hash)
{
	if (t->buckets_len == 0)
		return NULL;
	for (struct entry *e = *bucket_of(t, hash); e; e = e->next)
		if (e->hash == hash && e->name_len == name.len &&
		    memcmp(e->name, name.at, name.len) == 0)
			return e;
	return NULL;
}

/* Doubles the buckets once there are as many names; a table that cannot grow gets slower. */
static void make_buckets(struct tally *t)
{
	if (t->names < t->buckets_len)
		return;

	struct tally grown = *t;
	grown.buckets_len = t->buckets_len > 0 ? t->buckets_len * 2 : 256;
	grown.buckets = calloc(grown.buckets_len, sizeof(struct entry *));
	if (!grown.buckets)
		return;

	for (size_t i = 0; i < t->buckets_len; i++) {
		for (struct entry *e = t->buckets[i], *next; e; e = next) {
			struct entry **bucket = bucket_of(&grown, e->hash);
			next = e->next;
			e->next = *bucket;
			*bucket = e;
		}
	}
	free(t->buckets);
	*t = grown;
}

static struct entry *add(struct tally *t, struct slice name, uint64_t hash)
{
	make_buckets(t);
	if (t->names == t->names_max || t->buckets_len == 0)
		return NULL;

	struct entry *e = malloc(sizeof(*e) + name.len);
	if (!e)
		return NULL;
	struct entry **bucket = bucket_of(t, hash);
	*e = (struct entry) { .next = *bucket, .hash = hash, .name_len = name.len };
	if (name.len > 0)
		memcpy(e->name, name.at, name.len);
	*bucket = e;
	t->names++;
	return e;
}

struct entry *tally_count(struct tally *t, struct slice name)
{
	uint64_t hash = hash_of(name);
	struct entry *e = find(t, name, hash);

	if (!e)
		e = add(t, name, hash);
	if (e)
		e->count++;
	else
		t->dropped++;
	return e;
}

/* Makes room for one more arrival.  While the ring is smaller than its final size it has not
 * wrapped, so growing it moves nothing. */
static bool make_ring(struct entry *e)
{
	if (e->count <= e->ring_size || e->ring_size == TALLY_ARRIVALS_MAX)
		return true;

	size_t size = e->ring_size > 0 ? e->ring_size * 2 : 1;
	uint64_t *ring = reallocarray(e->arrivals_ms, size, sizeof(*ring));
	if (!ring)
		return false;
	e->arrivals_ms = ring;
	e->ring_size = size;
	return true;
}

struct entry *tally_note(struct tally *t, struct slice name, uint64_t now_ms)
{
	struct entry *e = tally_count(t, name);

	if (!e)
		return NULL;
	if (e->count == 1)
		e->first_ms = now_ms;
	e->last_ms = now_ms;
	if (make_ring(e))
		e->arrivals_ms[(e->count - 1) % e->ring_size] = now_ms;
	return e;
}

struct entry *tally_find(const struct tally *t, struct slice name)
{
	return find(t, name, hash_of(name));
}

void tally_clear(struct tally *t)
{
	for (size_t i = 0; i < t->buckets_len; i++) {
		for (struct entry *e = t->buckets[i], *next; e; e = next) {
			next = e->next;
			free(e->arrivals_ms);
			free(e);
		}
	}
	free(t->buckets);
	*t = (struct tally) { .names_max = t->names_max };
}
