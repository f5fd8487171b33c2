/* SPDX-License-Identifier: Apache-2.0 */
#include "config/copy.h"

#include "config/value.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

size_t config_value_size(enum config_type type)
{
	switch (type) {
	case CONFIG_COUNT:
	case CONFIG_SIZE:
	case CONFIG_DURATION:
	case CONFIG_RATE:
		return sizeof(uint64_t);
	case CONFIG_BOOL:
		return sizeof(bool);
	case CONFIG_STRING:
		return sizeof(const char *);
	case CONFIG_CHOICE:
		return sizeof(int);
	case CONFIG_STRINGS:
		return sizeof(struct config_strings);
	case CONFIG_GROUPS:
		return sizeof(struct config_groups);
	}
	return 0;
}

static void copy_string(struct loading *l, const struct config_key *key, const void *value,
                        void *to)
{
	const char *text = NULL;

	memcpy(&text, value, sizeof(const char *));
	text = config_copy(l, text, strlen(text));
	config_store(to, key, &text, sizeof(const char *));
}

static void copy_strings(struct loading *l, const struct config_key *key, const void *value,
                         void *to)
{
	struct config_strings list = { 0 };

	memcpy(&list, value, sizeof(list));
	const char **items = config_alloc(l, list.n, sizeof(*items));
	for (size_t i = 0; items && i < list.n; i++)
		items[i] = config_copy(l, list.items[i], strlen(list.items[i]));
	list.items = items;
	config_store(to, key, &list, sizeof(list));
}

static void copy_groups(struct loading *l, const struct config_key *key, const void *value,
                        void *to)
{
	struct config_groups list = { 0 };
	size_t size = key->element->size;

	memcpy(&list, value, sizeof(list));
	char *items = config_alloc(l, list.n, size);
	for (size_t i = 0; items && i < list.n; i++)
		config_copy_values(l, key->element, (const char *) list.items + i * size,
		                   items + i * size);
	list.items = items;
	config_store(to, key, &list, sizeof(list));
}

void config_copy_values(struct loading *l, const struct config_table *table, const void *from,
                        void *to)
{
	for (size_t i = 0; i < table->n; i++) {
		const struct config_key *key = &table->keys[i];
		const char *value = (const char *) from + key->offset;
		if (key->type == CONFIG_STRING)
			copy_string(l, key, value, to);
		else if (key->type == CONFIG_STRINGS)
			copy_strings(l, key, value, to);
		else if (key->type == CONFIG_GROUPS)
			copy_groups(l, key, value, to);
		else
			config_store(to, key, value, config_value_size(key->type));
	}
}
