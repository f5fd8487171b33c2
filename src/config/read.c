/* SPDX-License-Identifier: Apache-2.0 */
#include "config/read.h"

#include "config/elements.h"
#include "config/names.h"
#include "config/value.h"

#include <string.h>

/* The table's nesting bounds the recursion, never the file's: what the table does not
 * know is reported and not entered. */
static void read_groups(struct loading *l, const struct config_key *key,
                        const config_setting_t *list, const struct config_text *t,
                        const struct place *place, void *values);

bool config_target_start(struct loading *l, const struct config_table *table, void *values,
                         const char *base, struct config_target *ret_target)
{
	bool *given = config_alloc(l, table->n, sizeof(*given));
	if (!given)
		return false;

	for (size_t i = 0; i < table->n; i++) {
		const struct config_key *key = &table->keys[i];
		if (!key->preset)
			continue;
		const struct place place = { .where = "default", .path = key->path };
		config_value_parse(l, key, key->preset, &place, values);
		if (key->name_key)
			config_elements_store(l, key, config_alloc(l, 1, key->element->size), 0,
			                      values);
		given[i] = true;
	}
	*ret_target = (struct config_target) {
		.table = table,
		.values = values,
		.given = given,
		.base = base,
	};
	return true;
}

void config_target_finish(struct loading *l, const struct config_target *target, const char *where)
{
	for (size_t i = 0; i < target->table->n; i++) {
		const char *path = target->table->keys[i].path;
		if (target->given[i])
			continue;
		const struct place place = {
			.where = where,
			.path = config_format(l, "%s%s", target->base, path),
		};
		config_problem(l, &place, "is missing, and there is no default; add it");
	}
}

void config_unknown_key(struct loading *l, const struct config_table *table, const char *path,
                        const struct place *place)
{
	struct buf advice = { 0 };

	config_suggest(table, path, &advice);
	config_problem(l, place, "unknown key; %.*s", (int) advice.len,
	               advice.data ? advice.data : "");
	l->no_memory = l->no_memory || advice.failed;
	buf_done(&advice);
}

static void read_key(struct loading *l, const struct config_key *key,
                     const config_setting_t *setting, const struct config_text *t,
                     const struct place *place, void *values)
{
	config_add_origin(l, place->path, place->where);
	if (key->type == CONFIG_GROUPS)
		read_groups(l, key, setting, t, place, values);
	else
		config_value_read(l, key, setting, place, values);
}

/* Reads the members of 'group', whose path in the table is 'sub' ("", or "queue."). */
static void read_members(struct loading *l, const struct config_target *target,
                         const config_setting_t *group, const struct config_text *t,
                         const char *sub)
{
	int n = config_setting_length(group);

	for (int i = 0; i < n; i++) {
		const config_setting_t *member = config_setting_get_elem(group, (unsigned) i);
		const char *path = config_format(l, "%s%s", sub, config_setting_name(member));
		const struct config_key *key = config_find_key(target->table, path);
		const struct place place = {
			.where = config_text_where(l, t, config_setting_source_line(member)),
			.path = config_format(l, "%s%s", target->base, path),
		};

		if (key) {
			target->given[key - target->table->keys] = true;
			read_key(l, key, member, t, &place, target->values);
		} else if (!config_is_group(target->table, path)) {
			config_unknown_key(l, target->table, path, &place);
		} else if (!config_setting_is_group(member)) {
			config_problem(l, &place,
			               "must be a group, not %s; write { … } around its keys",
			               config_type_name(member));
		} else {
			read_members(l, target, member, t, config_format(l, "%s.", path));
		}
	}
}

void config_target_read(struct loading *l, const struct config_target *target,
                        const config_setting_t *group, const struct config_text *t)
{
	read_members(l, target, group, t, "");
}

static void read_element(struct loading *l, const struct config_table *table,
                         const config_setting_t *element, const struct config_text *t,
                         const struct place *place, void *values)
{
	struct config_target target;

	if (!config_setting_is_group(element))
		config_problem(l, place, "must be a group, not %s; write { … }",
		               config_type_name(element));
	else if (config_target_start(l, table, values, config_format(l, "%s.", place->path),
	                             &target)) {
		config_target_read(l, &target, element, t);
		config_target_finish(l, &target, place->where);
	}
}

static void read_groups(struct loading *l, const struct config_key *key,
                        const config_setting_t *list, const struct config_text *t,
                        const struct place *place, void *values)
{
	if (!config_setting_is_list(list)) {
		config_wrong_type(l, key, list, place);
		return;
	}
	size_t n = (size_t) config_setting_length(list), size = key->element->size;
	char *items = config_alloc(l, n + 1, size); /* one may be added */
	for (unsigned i = 0; items && i < n; i++) {
		const config_setting_t *element = config_setting_get_elem(list, i);
		const struct config_groups groups = { .items = items, .n = i + 1 };
		const struct place at = {
			.where = config_text_where(l, t, config_setting_source_line(element)),
			.path = config_format(l, "%s[%u]", place->path, i),
		};
		read_element(l, key->element, element, t, &at, items + i * size);
		config_element_check(l, key, &groups, &at);
	}
	config_elements_store(l, key, items, n, values);
}
