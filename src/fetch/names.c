/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/names.h"

#include "base/random.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int names_init(struct names *names, size_t limit)
{
	size_t n = 1;
	while (n < limit && n <= SIZE_MAX / 2)
		n *= 2;

	*names = (struct names) {
		.buckets = calloc(n, sizeof(struct name *)),
		.mask = n - 1,
		.seed = random_seed(),
		.limit = limit,
	};
	return names->buckets != NULL ? 0 : -ENOMEM;
}

/* FNV-1a from a random start, as the names come from strangers. */
static struct name **bucket_of(struct names *names, const char *text)
{
	uint64_t hash = names->seed;
	for (; *text != '\0'; text++)
		hash = (hash ^ (unsigned char) *text) * UINT64_C(0x100000001b3);
	return &names->buckets[(hash ^ hash >> 32) & names->mask];
}

static void push_newest(struct names *names, struct name *name)
{
	name->newer = NULL;
	name->older = names->newest;
	if (names->newest != NULL)
		names->newest->newer = name;
	else
		names->oldest = name;
	names->newest = name;
}

static void unlink_used(struct names *names, struct name *name)
{
	if (name->newer != NULL)
		name->newer->older = name->older;
	else
		names->newest = name->older;
	if (name->older != NULL)
		name->older->newer = name->newer;
	else
		names->oldest = name->newer;
}

void name_unref(struct name *name)
{
	if (--name->references > 0)
		return;
	(void) addresses_unref(name->answer.addresses);
	cond_destroy(&name->answered);
	free(name);
}

/* Takes an answered name out of the cache. */
static void drop(struct names *names, struct name *name)
{
	struct name **at = bucket_of(names, name->text);
	while (*at != name)
		at = &(*at)->chained;
	*at = name->chained;

	unlink_used(names, name);
	names->n--;
	name_unref(name);
}

void names_destroy(struct names *names)
{
	while (names->oldest != NULL)
		drop(names, names->oldest);
	assert(names->n == 0);
	free(names->buckets);
}

struct name *names_find(struct names *names, const char *text, uint64_t now_ns)
{
	struct name *name = *bucket_of(names, text);
	while (name != NULL && strcmp(name->text, text) != 0)
		name = name->chained;
	if (name == NULL || name->pending)
		return name;

	if (now_ns >= name->expires_ns) {
		drop(names, name);
		return NULL;
	}
	unlink_used(names, name);
	push_newest(names, name);
	return name;
}

static struct name *create(const char *text)
{
	size_t size = strlen(text) + 1;
	struct name *name = calloc(1, sizeof(*name) + size);
	if (name == NULL)
		return NULL;
	if (cond_init(&name->answered) != 0) {
		free(name);
		return NULL;
	}

	memcpy(name->text, text, size);
	name->query.host = name->text;
	name->pending = true;
	name->references = 3; /* the cache's, and two for the caller */
	return name;
}

int names_add(struct names *names, const char *text, struct name **ret_name)
{
	if (names->n >= names->limit && names->oldest == NULL)
		return -EBUSY;

	struct name *name = create(text);
	if (name == NULL)
		return -ENOMEM;
	if (names->n >= names->limit)
		drop(names, names->oldest);

	struct name **bucket = bucket_of(names, text);
	name->chained = *bucket;
	*bucket = name;
	names->n++;
	*ret_name = name;
	return 0;
}

void names_answer(struct names *names, struct name *name, const struct dns_answer *answer,
                  uint64_t expires_ns)
{
	assert(name->pending);
	name->pending = false;
	name->answer = *answer;
	name->expires_ns = expires_ns;
	push_newest(names, name);
	cond_broadcast(&name->answered);
	name_unref(name);
}

void names_wake_all(struct names *names)
{
	for (size_t i = 0; i <= names->mask; i++)
		for (struct name *name = names->buckets[i]; name != NULL; name = name->chained)
			cond_broadcast(&name->answered);
}
