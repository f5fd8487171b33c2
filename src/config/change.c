/* SPDX-License-Identifier: Apache-2.0 */
#include "config/config.h"

#include "config/copy.h"
#include "config/elements.h"
#include "config/print.h"

#include <string.h>

/* One run of config_compare(). */
struct comparison {
	void (*visit)(void *arg, const struct config_difference *d);
	void *arg;
	const struct config_key *key; /* of the table */
	size_t n;
};

/* Appends the value on one line; elements of groups as "{ key = value; … }", without the keys
 * that have their defaults. */
static void add_text(struct buf *b, const struct config_key *key, const char *values);

/* Whether the text of a value is that of the default, in quotes or not. */
static bool is_preset(const struct config_key *key, const struct buf *text)
{
	if (!key->preset || !text->data || text->failed)
		return false;
	size_t n = strlen(key->preset);
	bool quoted = text->len == n + 2 && text->data[0] == '"';
	return (quoted || text->len == n) && memcmp(text->data + quoted, key->preset, n) == 0;
}

static void add_element(struct buf *b, const struct config_table *table, const char *element)
{
	buf_add_char(b, '{');
	for (size_t i = 0; i < table->n; i++) {
		struct buf text = { 0 };
		add_text(&text, &table->keys[i], element);
		if (!is_preset(&table->keys[i], &text)) {
			buf_printf(b, " %s = ", table->keys[i].path);
			buf_add(b, text.data, text.len);
			buf_add_char(b, ';');
		}
		b->failed = b->failed || text.failed;
		buf_done(&text);
	}
	buf_add_str(b, " }");
}

static const char *element_at(const struct config_key *key, const struct config_groups *groups,
                              size_t i)
{
	return (const char *) groups->items + i * key->element->size;
}

static void add_text(struct buf *b, const struct config_key *key, const char *values)
{
	struct config_groups groups = { 0 };

	if (key->type != CONFIG_GROUPS) {
		config_add_value(b, key, values);
		return;
	}
	memcpy(&groups, values + key->offset, sizeof(groups));
	buf_add_char(b, '(');
	for (size_t i = 0; i < groups.n; i++) {
		buf_add_str(b, i > 0 ? ", " : " ");
		add_element(b, key->element, element_at(key, &groups, i));
	}
	buf_add_str(b, " )");
}

/* A text that is about to be shown; NUL-terminated. */
static const char *finish(struct buf *b)
{
	buf_add_char(b, '\0');
	return b->failed ? "?" : b->data;
}

/* Tells of a difference, unless there is none.  Takes over the texts. */
static void tell(struct comparison *c, const char *path, struct buf *before, struct buf *after)
{
	const struct config_difference d = {
		.key = c->key,
		.path = path,
		.before = finish(before),
		.after = finish(after),
	};

	if (before->failed || after->failed || strcmp(d.before, d.after) != 0) {
		c->visit(c->arg, &d);
		c->n++;
	}
	buf_done(before);
	buf_done(after);
}

static void compare_value(struct comparison *c, const struct config_key *key, const char *path,
                          const char *current, const char *fresh)
{
	struct buf before = { 0 }, after = { 0 };

	add_text(&before, key, current);
	add_text(&after, key, fresh);
	tell(c, path, &before, &after);
}

/* --- elements with names ----------------------------------------------------------- */

static const char none[] = "none";

/* One of the two may be missing, which is NULL. */
static void compare_element(struct comparison *c, const char *name, const char *current,
                            const char *fresh)
{
	const struct config_table *table = c->key->element;
	struct buf path = { 0 }, before = { 0 }, after = { 0 };

	buf_printf(&path, "%s[%s]", c->key->path, name);
	size_t len = path.len;
	if (!current || !fresh) {
		buf_add_str(&before, current ? "" : none);
		buf_add_str(&after, fresh ? "" : none);
		add_element(current ? &before : &after, table, current ? current : fresh);
		tell(c, finish(&path), &before, &after);
		buf_done(&path);
		return;
	}
	for (size_t i = 0; i < table->n; i++) {
		path.len = len;
		buf_printf(&path, ".%s", table->keys[i].path);
		compare_value(c, &table->keys[i], finish(&path), current, fresh);
	}
	buf_done(&path);
}

/* Appends the names of those in 'groups' that are in 'others', too, as a list. */
static void add_common(struct buf *b, const struct config_key *key,
                       const struct config_groups *groups, const struct config_groups *others)
{
	const char *separator = "( ";

	for (size_t i = 0; i < groups->n; i++) {
		const char *name = config_element_name(key, groups, i);
		if (config_element_find(key, others, name) == others->n)
			continue;
		buf_printf(b, "%s\"%s\"", separator, name);
		separator = ", ";
	}
	buf_add_str(b, " )");
}

static void compare_order(struct comparison *c, const struct config_groups *current,
                          const struct config_groups *fresh)
{
	struct buf before = { 0 }, after = { 0 };

	add_common(&before, c->key, current, fresh);
	add_common(&after, c->key, fresh, current);
	tell(c, c->key->path, &before, &after);
}

static void compare_elements(struct comparison *c, const char *current_values,
                             const char *fresh_values)
{
	const struct config_key *key = c->key;
	struct config_groups current = { 0 }, fresh = { 0 };

	memcpy(&current, current_values + key->offset, sizeof(current));
	memcpy(&fresh, fresh_values + key->offset, sizeof(fresh));
	for (size_t i = 0; i < current.n; i++) {
		const char *name = config_element_name(key, &current, i);
		if (config_element_find(key, &fresh, name) == fresh.n)
			compare_element(c, name, element_at(key, &current, i), NULL);
	}
	for (size_t i = 0; i < fresh.n; i++) {
		const char *name = config_element_name(key, &fresh, i);
		size_t at = config_element_find(key, &current, name);
		compare_element(c, name, at < current.n ? element_at(key, &current, at) : NULL,
		                element_at(key, &fresh, i));
	}
	compare_order(c, &current, &fresh);
}

/* --- all ---------------------------------------------------------------------------- */

size_t config_compare(const struct config_table *table, const void *current, const void *fresh,
                      void (*visit)(void *arg, const struct config_difference *d), void *arg)
{
	struct comparison c = { .visit = visit, .arg = arg };

	for (size_t i = 0; i < table->n; i++) {
		c.key = &table->keys[i];
		if (c.key->name_key)
			compare_elements(&c, current, fresh);
		else
			compare_value(&c, c.key, c.key->path, current, fresh);
	}
	return c.n;
}

size_t config_change(const struct config_table *table, void *current, const void *fresh,
                     void (*visit)(void *arg, const struct config_difference *d), void *arg)
{
	size_t n = config_compare(table, current, fresh, visit, arg);

	for (size_t i = 0; i < table->n; i++) {
		const struct config_key *key = &table->keys[i];
		if (key->reloads) /* also if equal: its strings belong to an older config */
			memcpy((char *) current + key->offset, (const char *) fresh + key->offset,
			       config_value_size(key->type));
	}
	return n;
}
