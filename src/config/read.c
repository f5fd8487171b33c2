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
			config_elements_clear(l, key, values);
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

/* Reads into a new element, which is zeroed; or into one of an earlier file, whose other keys
 * stay as they are. */
static void read_element(struct loading *l, const struct config_table *table,
                         const config_setting_t *element, const struct config_text *t,
                         const struct place *place, bool is_new, void *values)
{
	const char *base = config_format(l, "%s.", place->path);
	struct config_target target = { .table = table, .values = values, .base = base };

	config_add_origin(l, place->path, place->where);
	if (!config_setting_is_group(element)) {
		config_problem(l, place, "must be a group, not %s; write { … }",
		               config_type_name(element));
	} else if (is_new) {
		if (!config_target_start(l, table, values, base, &target))
			return;
		config_target_read(l, &target, element, t);
		config_target_finish(l, &target, place->where);
	} else {
		target.given = config_alloc(l, table->n, sizeof(*target.given));
		if (target.given)
			config_target_read(l, &target, element, t);
	}
}

/* The element of an earlier file that 'element' is about; before->n: none, it is a new one. */
static size_t find_known(const struct config_key *key, const struct config_groups *before,
                         const config_setting_t *element)
{
	const config_setting_t *name = key->name_key && config_setting_is_group(element)
	                                       ? config_setting_get_member(element, key->name_key)
	                                       : NULL;

	if (!name || config_setting_type(name) != CONFIG_TYPE_STRING)
		return before->n;
	return config_element_find(key, before, config_setting_get_string(name));
}

/* Those that the list has more than it had 'before'. */
static size_t count_new(const struct config_key *key, const struct config_groups *before,
                        const config_setting_t *list)
{
	size_t n = 0;

	for (unsigned i = 0; i < (unsigned) config_setting_length(list); i++)
		n += find_known(key, before, config_setting_get_elem(list, i)) == before->n;
	return n;
}

/* Adds the elements of 'list' to those that were there 'before', as config_load() has it. */
static void merge_groups(struct loading *l, const struct config_key *key,
                         const config_setting_t *list, const struct config_text *t,
                         const char *path, const struct config_groups *before, void *values)
{
	size_t n_new = count_new(key, before, list), n = (size_t) config_setting_length(list);
	size_t next_new = key->name_key ? 0 : before->n, first_known = key->name_key ? n_new : 0;
	size_t *indices = config_alloc(l, n, sizeof(*indices));
	struct config_groups groups;
	char *items = config_elements_extend(l, key, n_new, values, &groups);

	for (unsigned i = 0; items && indices && i < n; i++) {
		const config_setting_t *element = config_setting_get_elem(list, i);
		size_t known = find_known(key, before, element);
		bool is_new = known == before->n;
		indices[i] = is_new ? next_new++ : first_known + known;
		const struct place at = {
			.where = config_text_where(l, t, config_setting_source_line(element)),
			.path = config_format(l, "%s[%zu]", path, indices[i]),
		};
		read_element(l, key->element, element, t, &at, is_new,
		             items + indices[i] * key->element->size);
		if (key->name_key)
			config_element_check(l, key, &groups, indices, i + 1, at.where);
	}
}

static void read_groups(struct loading *l, const struct config_key *key,
                        const config_setting_t *list, const struct config_text *t,
                        const struct place *place, void *values)
{
	struct config_groups before = { 0 };

	memcpy(&before, (const char *) values + key->offset, sizeof(before));
	if (!config_setting_is_list(list)) {
		config_wrong_type(l, key, list, place);
	} else if (config_setting_length(list) > 0) {
		merge_groups(l, key, list, t, place->path, &before, values);
	} else {
		config_drop_origins(l->config, place->path);
		config_elements_clear(l, key, values);
	}
}
