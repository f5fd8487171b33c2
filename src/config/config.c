/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way of a value:
 *
 *   files ──text.c──► one text ──libconfig──► settings ──read.c──┐
 *   table's defaults, overrides ─────────────────────────────────┴─value.c──► caller's struct
 *
 * load.c keeps what all of them share, names.c knows what is like what, and print.c
 * goes the way back.
 */
#include "config/config.h"

#include "config/load.h"
#include "config/names.h"
#include "config/read.h"
#include "config/text.h"
#include "config/value.h"

#include <errno.h>
#include <libconfig.h>
#include <stdlib.h>
#include <string.h>

static int by_path(const void *a, const void *b)
{
	const struct config_origin *left = a, *right = b;

	return strcmp(left->path, right->path);
}

static struct config_origin *find_origin(const struct config *c, const char *path)
{
	const struct config_origin wanted = { .path = path };

	if (c->n_origins == 0)
		return NULL;
	return bsearch(&wanted, c->origins, c->n_origins, sizeof(wanted), by_path);
}

const char *config_origin_of(const struct config *c, const char *key_path)
{
	const struct config_origin *origin = find_origin(c, key_path);

	return origin ? origin->text : "default";
}

static void sort_origins(struct config *c)
{
	if (c->n_origins > 0)
		qsort(c->origins, c->n_origins, sizeof(*c->origins), by_path);
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

	int r = config_text_read(l, path, &text);
	*ret_whole = r == 0 && l->n_problems == 0 && !l->no_memory;
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
	return r;
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
	struct buf advice = { 0 };

	config_suggest(table, path, &advice);
	if (list)
		config_problem(l, place, "%s is a list of groups; change it in the file",
		               list->path);
	else if (config_is_group(table, path))
		config_problem(l, place, "%s is a group; give one of its keys", path);
	else
		config_problem(l, place, "unknown key; %.*s", (int) advice.len,
		               advice.data ? advice.data : "");
	l->no_memory = l->no_memory || advice.failed;
	buf_done(&advice);
}

static void apply_override(struct loading *l, const struct config_target *target, const char *text)
{
	const struct place place = { .where = config_format(l, "--set %.200s", text) };
	const char *equals = strchr(text, '=');

	if (!equals) {
		config_problem(l, &place, "no value; write KEY=VALUE");
		return;
	}
	const char *path = config_copy(l, text, (size_t) (equals - text));
	const struct config_key *key = config_find_key(target->table, path);
	if (!key || key->type == CONFIG_GROUPS) {
		report_override(l, target->table, path, &place);
		return;
	}

	target->given[key - target->table->keys] = true;
	config_value_parse(l, key, equals + 1, &place, target->values);
	struct config_origin *origin = find_origin(l->config, path);
	if (origin) {
		origin->text = "--set";
	} else {
		config_add_origin(l, path, "--set");
		sort_origins(l->config);
	}
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

int config_load(const struct config_table *table, const char *path, const char *const *overrides,
                size_t n_overrides, void *ret_values, struct config **ret_config,
                struct buf *errors)
{
	struct loading l = { .errors = errors };
	struct config_target target;
	bool whole = true;
	int r = 0;

	void *values = calloc(1, table->size);
	l.config = calloc(1, sizeof(*l.config));
	l.no_memory = !values || !l.config;
	if (l.no_memory || !config_target_start(&l, table, values, "", &target))
		goto finish;

	if (path)
		r = read_file(&l, path, &target, &whole);
	sort_origins(l.config);
	for (size_t i = 0; i < n_overrides; i++)
		apply_override(&l, &target, overrides[i]);
	if (whole)
		config_target_finish(&l, &target, path ? path : "configuration");

finish:
	r = verdict(&l, r);
	if (r == 0) {
		memcpy(ret_values, values, table->size);
		*ret_config = l.config;
		l.config = NULL;
	}
	config_free(l.config);
	free(values);
	return r;
}
