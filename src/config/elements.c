/* SPDX-License-Identifier: Apache-2.0 */
#include "config/elements.h"

#include "config/names.h"
#include "config/read.h"
#include "config/value.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- names ------------------------------------------------------------------------- */

const char *config_element_name(const struct config_key *key, const struct config_groups *groups,
                                size_t i)
{
	const struct config_key *name_key = config_find_key(key->element, key->name_key);
	const char *element = (const char *) groups->items + i * key->element->size;
	const char *name = NULL;

	memcpy(&name, element + name_key->offset, sizeof(const char *));
	return name;
}

size_t config_element_find(const struct config_key *key, const struct config_groups *groups,
                           const char *name)
{
	for (size_t i = 0; i < groups->n; i++) {
		const char *other = config_element_name(key, groups, i);
		if (other && strcmp(other, name) == 0)
			return i;
	}
	return groups->n;
}

/* The place among the file's first 'n' elements of one with this name; n: none has it. */
static size_t find_earlier(const struct config_key *key, const struct config_groups *groups,
                           const size_t *indices, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++) {
		const char *other = config_element_name(key, groups, indices[i]);
		if (other && strcmp(other, name) == 0)
			return i;
	}
	return n;
}

void config_element_check(struct loading *l, const struct config_key *key,
                          const struct config_groups *groups, const size_t *indices, size_t n,
                          const char *where)
{
	size_t before = n - 1;
	const char *name = config_element_name(key, groups, indices[before]);
	const struct place place = {
		.where = where,
		.path = config_format(l, "%s[%zu]", key->path, before),
	};

	if (!name)
		return;
	size_t same = find_earlier(key, groups, indices, before, name);
	if (same < before)
		config_problem(l, &place, "%s \"%s\" is that of %s[%zu] already; remove one",
		               key->name_key, name, key->path, same);
	else if (key->last_name &&
	         find_earlier(key, groups, indices, before, key->last_name) < before)
		config_problem(l, &place, "never matches, because it comes after \"%s\"; move it up",
		               key->last_name);
}

/* --- lists ------------------------------------------------------------------------- */

/* The memory is the config's own, which is not const. */
void config_store_element(const struct config_groups *groups, size_t i, const void *element,
                          size_t size)
{
	memcpy((char *) (uintptr_t) groups->items + i * size, element, size);
}

static void name_element(struct loading *l, const struct config_key *key, const char *name,
                         void *values)
{
	const char *copy = config_copy(l, name, strlen(name));
	config_store(values, config_find_key(key->element, key->name_key), &copy,
	             sizeof(const char *));
}

/* Makes a new element in zeroed memory. */
static void make_element(struct loading *l, const struct config_key *key, const char *name,
                         void *values)
{
	struct config_target unused;

	if (config_target_start(l, key->element, values, "", &unused))
		name_element(l, key, name, values);
}

void config_elements_clear(struct loading *l, const struct config_key *key, void *values)
{
	struct config_groups groups = { 0 };

	if (key->last_name) {
		char *items = config_alloc(l, 1, key->element->size);
		if (!items)
			return;
		make_element(l, key, key->last_name, items);
		groups = (struct config_groups) { .items = items, .n = 1 };
	}
	config_store(values, key, &groups, sizeof(groups));
}

char *config_elements_extend(struct loading *l, const struct config_key *key, size_t n,
                             void *values, struct config_groups *ret_groups)
{
	struct config_groups before = { 0 };
	size_t size = key->element->size, front = key->name_key ? n : 0;

	memcpy(&before, (const char *) values + key->offset, sizeof(before));
	char *items = config_alloc(l, before.n + n, size);
	if (!items)
		return NULL;
	if (before.n > 0)
		memcpy(items + front * size, before.items, before.n * size);
	if (front > 0)
		config_shift_origins(l, key->path, front);
	*ret_groups = (struct config_groups) { .items = items, .n = before.n + n };
	config_store(values, key, ret_groups, sizeof(*ret_groups));
	return items;
}

/* --- overrides --------------------------------------------------------------------- */

/* What an override is about. */
struct address {
	const char *name; /* or an index */
	const struct config_key *member;
};

/* The name may hold anything, so it ends at the last "].". */
static const char *find_end(const char *name)
{
	const char *end = NULL;

	for (const char *at = strstr(name, "]."); at; at = strstr(at + 1, "]."))
		end = at;
	return end;
}

static bool read_address(struct loading *l, const struct config_key *key, const char *path,
                         const struct place *place, struct address *ret_address)
{
	const char *rest = path + strlen(key->path);
	const char *end = *rest == '[' ? find_end(rest) : NULL;

	if (!end) {
		config_problem(l, place, "%s is a list of groups; write %s[NAME].KEY=VALUE, where "
		               "NAME is the %s of one", key->path, key->path, key->name_key);
		return false;
	}
	if (end == rest + 1) {
		config_problem(l, place, "the name is empty; give the %s of an element",
		               key->name_key);
		return false;
	}
	const struct config_key *member = config_find_key(key->element, end + 2);
	if (!member)
		config_unknown_key(l, key->element, end + 2, place);
	else if (strcmp(member->path, key->name_key) == 0)
		config_problem(l, place, "%s is the element's name; change it in the file",
		               member->path);
	else if (member->type == CONFIG_GROUPS)
		config_problem(l, place, "%s is a list of groups; change it in the file",
		               member->path);
	else {
		*ret_address = (struct address) {
			.name = config_copy(l, rest + 1, (size_t) (end - rest - 1)),
			.member = member,
		};
		return true;
	}
	return false;
}

/* Reads an index.  False: 'name' is none. */
static bool read_index(const char *name, size_t *ret_index)
{
	if (name[strspn(name, "0123456789")] != '\0')
		return false;
	errno = 0;
	unsigned long index = strtoul(name, NULL, 10);
	*ret_index = errno == ERANGE ? SIZE_MAX : index;
	return true;
}

/* The first element that has held for what 'name' means so far; groups->n: none. */
static size_t find_model(const struct config_key *key, const struct config_groups *groups,
                         const char *name)
{
	for (size_t i = 0; key->fits && i < groups->n; i++) {
		const char *other = config_element_name(key, groups, i);
		if (other && key->fits(other, name))
			return i;
	}
	return groups->n;
}

/* Gives the first element what the element 'model' has, and where that comes from. */
static void copy_model(struct loading *l, const struct config_key *key, char *items, size_t model)
{
	const struct config_table *table = key->element;

	memcpy(items, items + model * table->size, table->size);
	for (size_t i = 0; i < table->n; i++) {
		const char *member = table->keys[i].path;
		const struct config_origin *origin = config_find_origin(
			l->config, config_format(l, "%s[%zu].%s", key->path, model, member));
		if (origin)
			config_set_origin(l, config_format(l, "%s[0].%s", key->path, member),
			                  origin->text);
	}
}

/* In front of the others, where there is room for it. */
static void insert_element(struct loading *l, const struct config_key *key, const char *name,
                           const struct config_groups *groups, char *items)
{
	size_t model = find_model(key, groups, name);

	if (model < groups->n) {
		copy_model(l, key, items, model);
		name_element(l, key, name, items);
	} else {
		make_element(l, key, name, items);
	}
	config_set_origin(l, config_format(l, "%s[0]", key->path), l->override);
	config_set_origin(l, config_format(l, "%s[0].%s", key->path, key->name_key), l->override);
}

void config_element_override(struct loading *l, const struct config_key *key, const char *path,
                             const char *text, const struct place *place, void *values)
{
	struct config_groups groups = { 0 };
	struct address to;
	size_t i = 0;

	if (!read_address(l, key, path, place, &to))
		return;
	memcpy(&groups, (const char *) values + key->offset, sizeof(groups));
	bool is_index = read_index(to.name, &i);
	if (is_index && i >= groups.n) {
		config_problem(l, place,
		               "there is no such element; %s has %zu, and the first is %s[0]",
		               key->path, groups.n, key->path);
		return;
	}
	if (!is_index)
		i = config_element_find(key, &groups, to.name);
	bool is_new = i == groups.n;
	char *items = config_elements_extend(l, key, is_new, values, &groups);
	if (!items)
		return;
	if (is_new) {
		insert_element(l, key, to.name, &groups, items);
		i = 0;
	}
	config_value_parse(l, to.member, text, place, items + i * key->element->size);
	config_set_origin(l, config_format(l, "%s[%zu].%s", key->path, i, to.member->path),
	                  l->override);
}
