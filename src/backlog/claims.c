/* SPDX-License-Identifier: Apache-2.0 */
#include "backlog/claims.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

enum { FIRST_SIZE = 64 };

static size_t bucket_of(uint64_t number, size_t size)
{
	/* Numbers are dense, so their low bits spread them. */
	return (size_t) number & (size - 1);
}

static struct claim *find(const struct claims *c, uint64_t number)
{
	if (c->size == 0)
		return NULL;
	struct claim *claim = c->buckets[bucket_of(number, c->size)];
	while (claim && claim->number != number)
		claim = claim->next;
	return claim;
}

struct claim *claims_find(const struct claims *c, uint64_t number)
{
	struct claim *claim = find(c, number);
	return claim && !claim->lingers ? claim : NULL;
}

bool claims_free_to_take(const struct claims *c, uint64_t number) { return !find(c, number); }

static int grow(struct claims *c)
{
	size_t size = c->size > 0 ? 2 * c->size : FIRST_SIZE;
	struct claim **buckets = calloc(size, sizeof(struct claim *));
	if (!buckets)
		return -ENOMEM;

	for (size_t i = 0; i < c->size; i++) {
		for (struct claim *claim = c->buckets[i], *next; claim; claim = next) {
			next = claim->next;
			struct claim **bucket = &buckets[bucket_of(claim->number, size)];
			claim->next = *bucket;
			*bucket = claim;
		}
	}
	free(c->buckets);
	c->buckets = buckets;
	c->size = size;
	return 0;
}

static void count(struct claims *c, const struct claim *claim)
{
	c->jobs++;
	c->bytes += claim->bytes;
	c->delayed += claim->delayed;
}

int claims_add(struct claims *c, const struct claim *claim)
{
	struct claim *mine = find(c, claim->number);

	if (!mine) {
		if (c->len >= c->size && grow(c) < 0)
			return -ENOMEM;
		mine = calloc(1, sizeof(*mine));
		if (!mine)
			return -ENOMEM;
		struct claim **bucket = &c->buckets[bucket_of(claim->number, c->size)];
		mine->number = claim->number;
		mine->next = *bucket;
		*bucket = mine;
		c->len++;
	} else {
		assert(mine->lingers); /* it stays in the list, which will find it in use */
	}
	mine->lane = claim->lane;
	mine->rank = claim->rank;
	mine->bytes = claim->bytes;
	mine->delayed = claim->delayed;
	mine->deadline_us = claim->deadline_us;
	mine->lingers = false;
	count(c, mine);
	return 0;
}

static void drop(struct claims *c, struct claim *claim)
{
	struct claim **at = &c->buckets[bucket_of(claim->number, c->size)];

	while (*at != claim)
		at = &(*at)->next;
	*at = claim->next;
	c->len--;
	free(claim);
}

void claims_release(struct claims *c, struct claim *claim)
{
	assert(!claim->lingers && c->jobs > 0 && c->bytes >= claim->bytes);
	c->jobs--;
	c->bytes -= claim->bytes;
	c->delayed -= claim->delayed;
	if (!c->taking) {
		drop(c, claim);
		return;
	}
	claim->lingers = true;
	if (!claim->listed) {
		claim->listed = true;
		claim->next_released = c->released;
		c->released = claim;
	}
}

void claims_begin_take(struct claims *c)
{
	assert(!c->taking);
	c->taking = true;
}

void claims_end_take(struct claims *c)
{
	struct claim *next;

	c->taking = false;
	for (struct claim *claim = c->released; claim; claim = next) {
		next = claim->next_released;
		claim->listed = false;
		if (claim->lingers)
			drop(c, claim);
	}
	c->released = NULL;
}

void claims_done(struct claims *c)
{
	for (size_t i = 0; i < c->size; i++) {
		for (struct claim *claim = c->buckets[i], *next; claim; claim = next) {
			next = claim->next;
			free(claim);
		}
	}
	free(c->buckets);
	*c = (struct claims) { 0 };
}
