/* SPDX-License-Identifier: Apache-2.0 */
#include "config/config.h"

#include "config/print.h"

#include <string.h>

static size_t value_size(enum config_type type)
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

/* Appends the value on one line; elements of groups as "{ key = value; … }". */
static void add_text(struct buf *b, const struct config_key *key, const char *values)
{
	struct config_groups groups = { 0 };

	if (key->type != CONFIG_GROUPS) {
		config_add_value(b, key, values);
		return;
	}
	memcpy(&groups, values + key->offset, sizeof(groups));
	buf_add_str(b, "(");
	for (size_t i = 0; i < groups.n; i++) {
		const char *element = (const char *) groups.items + i * key->element->size;
		buf_add_str(b, i > 0 ? ", {" : " {");
		for (size_t k = 0; k < key->element->n; k++) {
			buf_printf(b, " %s = ", key->element->keys[k].path);
			add_text(b, &key->element->keys[k], element);
			buf_add_char(b, ';');
		}
		buf_add_str(b, " }");
	}
	buf_add_str(b, " )");
}

static bool has_changed(const struct config_key *key, const void *current, const void *fresh,
                        struct buf *before, struct buf *after)
{
	buf_clear(before);
	buf_clear(after);
	add_text(before, key, current);
	buf_add_char(before, '\0');
	add_text(after, key, fresh);
	buf_add_char(after, '\0');
	return before->failed || after->failed || strcmp(before->data, after->data) != 0;
}

size_t config_change(const struct config_table *table, void *current, const void *fresh,
                     void (*visit)(void *arg, const struct config_key *key, const char *before,
                                   const char *after),
                     void *arg)
{
	struct buf before = { 0 }, after = { 0 };
	size_t changes = 0;

	for (size_t i = 0; i < table->n; i++) {
		const struct config_key *key = &table->keys[i];
		if (has_changed(key, current, fresh, &before, &after)) {
			visit(arg, key, before.failed ? "?" : before.data,
			      after.failed ? "?" : after.data);
			changes++;
		}
		if (key->reloads) /* also if equal: its strings belong to an older config */
			memcpy((char *) current + key->offset, (const char *) fresh + key->offset,
			       value_size(key->type));
	}
	buf_done(&before);
	buf_done(&after);
	return changes;
}
