/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way of a value:
 *
 *   a file ──text.c──► one text ──libconfig──► settings ──read.c──┐
 *   table's defaults, overrides ──────────────────────────────────┴─value.c──► caller's struct
 *
 * drop_ins.c finds the files that go the same way after the first.  elements.c knows the lists
 * whose elements have names; copy.c takes values that were loaded before in the place of
 * defaults and files.  load.c keeps what all of them share, names.c
 * knows what is like what, print.c goes the way back, and change.c tells two sets of
 * values apart.
 */
#include "config/config.h"

#include "config/copy.h"
#include "config/drop_ins.h"
#include "config/elements.h"
#include "config/load.h"
#include "config/names.h"
#include "config/read.h"
#include "config/text.h"
#include "config/value.h"

#include <errno.h>
#include <libconfig.h>
#include <stdlib.h>
#include <string.h>

const char *config_origin_of(const struct config *c, const char *key_path)
{
	const struct config_origin *origin = config_find_origin(c, key_path);

	return origin ? origin->text : "default";
}

/* libconfig stops at the first error of syntax. */
static void report_syntax(struct loading *l, const config_t *tree, const struct config_text *t)
{
	int line = config_error_line(tree);
	const struct place place = {
		.where = config_text_where(l, t, line > 0 ? (unsigned) line : 1),
	};
	const char *text = config_error_text(tree);

	if (!text)
		text = "syntax error";
	if (strcmp(text, "syntax error") == 0)
		config_problem(l, &place, "%s; look at this line and the end of the one before",
		               text);
	else if (strcmp(text, "duplicate setting name") == 0)
		config_problem(l, &place, "%s; a key can be given once in its group, remove one",
		               text);
	else
		config_problem(l, &place, "%s; correct this line", text);
}

/* Reads the file into 'target'.  An error is one of opening it; *ret_whole is false if
 * keys may be missing only because the file could not be read to its end. */
static int read_file(struct loading *l, const char *path, const struct config_target *target,
                     bool *ret_whole)
{
	struct config_text text;
	config_t tree;
	size_t n_problems = l->n_problems;

	int r = config_text_read(l, path, &text);
	*ret_whole = r == 0 && l->n_problems == n_problems && !l->no_memory;
	if (!*ret_whole)
		goto free_text;

	config_init(&tree);
	*ret_whole = config_read_string(&tree, text.text.data) == CONFIG_TRUE;
	if (*ret_whole)
		config_target_read(l, target, config_root_setting(&tree), &text);
	else
		report_syntax(l, &tree, &text);
	config_destroy(&tree);

free_text:
	config_text_done(&text);
	config_sort_origins(l->config);
	l->config->files[l->config->n_files++] = config_copy(l, path, strlen(path));
	return r;
}

/* Reads the file, and its drop-ins over it.  Returns the first error of opening one, or 0. */
static int read_files(struct loading *l, const char *path, const char *folder,
                      const struct config_target *target, bool *ret_whole)
{
	struct drop_ins drop_ins = { 0 };

	*ret_whole = false;
	l->config->files = config_alloc(l, MAX_DROP_INS + 1, sizeof(*l->config->files));
	if (!l->config->files)
		return -ENOMEM;
	int first = read_file(l, path, target, ret_whole);
	if (first == 0 && folder)
		first = config_find_drop_ins(l, folder, &drop_ins);
	for (size_t i = 0; i < drop_ins.n; i++) {
		bool whole = false;
		int r = read_file(l, drop_ins.paths[i], target, &whole);
		first = first < 0 ? first : r;
		*ret_whole = *ret_whole && whole;
	}
	return first;
}

/* The list of groups that 'path' is or is in ("sources[0].path"), or NULL. */
static const struct config_key *find_list(const struct config_table *table, const char *path)
{
	for (size_t i = 0; i < table->n; i++) {
		const struct config_key *key = &table->keys[i];
		size_t n = strlen(key->path);
		if (key->type == CONFIG_GROUPS && strncmp(path, key->path, n) == 0 &&
		    (path[n] == '\0' || path[n] == '[' || path[n] == '.'))
			return key;
	}
	return NULL;
}

/* Says why nothing at 'path' can be overridden. */
static void report_override(struct loading *l, const struct config_table *table, const char *path,
                            const struct place *place)
{
	const struct config_key *list = find_list(table, path);

	if (list)
		config_problem(l, place, "%s is a list of groups; change it in the file",
		               list->path);
	else if (config_is_group(table, path))
		config_problem(l, place, "%s is a group; give one of its keys", path);
	else
		config_unknown_key(l, table, path, place);
}

static void apply_override(struct loading *l, const struct config_target *target, const char *text)
{
	const struct place place = { .where = config_format(l, "%s %.200s", l->override, text) };
	const char *equals = strchr(text, '=');

	if (!equals) {
		config_problem(l, &place, "no value; write KEY=VALUE");
		return;
	}
	const char *path = config_copy(l, text, (size_t) (equals - text));
	const struct config_key *key = config_find_key(target->table, path);
	const struct config_key *list = find_list(target->table, path);
	if (list && list->name_key) {
		config_element_override(l, list, path, equals + 1, &place, target->values);
		return;
	}
	if (!key || key->type == CONFIG_GROUPS) {
		report_override(l, target->table, path, &place);
		return;
	}
	target->given[key - target->table->keys] = true;
	config_value_parse(l, key, equals + 1, &place, target->values);
	config_set_origin(l, path, l->override);
}

/* Returns what to return, once everything has been tried. */
static int verdict(struct loading *l, int file_error)
{
	if (l->no_memory || l->errors->failed) {
		buf_add_str(l->errors, "out of memory\n");
		return -ENOMEM;
	}
	if (file_error < 0)
		return file_error;
	return l->n_problems > 0 ? -EINVAL : 0;
}

/* Starts a run whose values go to zeroed memory, with the defaults.  False if there is no
 * memory. */
static bool begin(struct loading *l, const struct config_table *table,
                  struct config_target *ret_target)
{
	void *values = calloc(1, table->size);

	l->config = calloc(1, sizeof(*l->config));
	l->no_memory = !values || !l->config;
	*ret_target = (struct config_target) { .values = values };
	return !l->no_memory && config_target_start(l, table, values, "", ret_target);
}

/* Ends a run: hands over what is loaded if all of it is good. */
static int end(struct loading *l, const struct config_table *table, void *values, int r,
               void *ret_values, struct config **ret_config)
{
	r = verdict(l, r);
	if (r == 0) {
		memcpy(ret_values, values, table->size);
		*ret_config = l->config;
		l->config = NULL;
	}
	config_free(l->config);
	free(values);
	return r;
}

int config_load(const struct config_table *table, const char *path, const char *drop_ins,
                const char *const *overrides, size_t n_overrides, void *ret_values,
                struct config **ret_config, struct buf *errors)
{
	struct loading l = { .errors = errors, .override = "--set" };
	struct config_target target;
	bool whole = true;
	int r = 0;

	if (begin(&l, table, &target)) {
		if (path)
			r = read_files(&l, path, drop_ins, &target, &whole);
		for (size_t i = 0; i < n_overrides; i++)
			apply_override(&l, &target, overrides[i]);
		if (whole)
			config_target_finish(&l, &target, path ? path : "configuration");
	}
	return end(&l, table, target.values, r, ret_values, ret_config);
}

static void copy_origins(struct loading *l, const struct config *from)
{
	for (size_t i = 0; i < from->n_origins; i++) {
		const struct config_origin *origin = &from->origins[i];
		config_add_origin(l, config_copy(l, origin->path, strlen(origin->path)),
		                  config_copy(l, origin->text, strlen(origin->text)));
	}
	config_sort_origins(l->config);
}

int config_amend(const struct config_table *table, const void *values, const struct config *config,
                 const char *const *overrides, size_t n_overrides, const char *name,
                 void *ret_values, struct config **ret_config, struct buf *errors)
{
	struct loading l = { .errors = errors };
	struct config_target target;

	if (begin(&l, table, &target)) {
		l.override = config_copy(&l, name, strlen(name));
		config_copy_values(&l, table, values, target.values);
		copy_origins(&l, config);
		for (size_t i = 0; i < n_overrides; i++)
			apply_override(&l, &target, overrides[i]);
	}
	return end(&l, table, target.values, 0, ret_values, ret_config);
}
