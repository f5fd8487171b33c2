/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/addresses.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct addresses *addresses_create(void)
{
	struct addresses *a = calloc(1, sizeof(*a));
	if (a != NULL)
		atomic_init(&a->references, 1);
	return a;
}

struct addresses *addresses_ref(struct addresses *a)
{
	(void) atomic_fetch_add_explicit(&a->references, 1, memory_order_relaxed);
	return a;
}

struct addresses *addresses_unref(struct addresses *a)
{
	/* Whoever frees the list does so after all that the others did with it. */
	if (a != NULL && atomic_fetch_sub_explicit(&a->references, 1, memory_order_acq_rel) == 1)
		free(a);
	return NULL;
}

bool addresses_include(const struct addresses *a, const char *text)
{
	for (size_t i = 0; i < a->n; i++)
		if (strcmp(a->text[i], text) == 0)
			return true;
	return false;
}
