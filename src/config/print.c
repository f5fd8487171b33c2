/* SPDX-License-Identifier: Apache-2.0 */
#include "config/print.h"

#include "base/units.h"
#include "config/load.h"

#include <limits.h>
#include <string.h>

enum { INDENT = 4, GAP = 2, WIDEST = 60 };

/*
 * The whole is printed twice: first only to learn how wide the lines are, so that
 * all comments can stand in one column.
 */
struct printer {
	const struct config *config;
	struct buf *b;
	size_t line;    /* where in 'b' the line starts */
	size_t column;  /* where comments stand */
	size_t widest;  /* of the lines with comments, except very long ones */
	unsigned depth; /* of groups */
};

static void print_members(struct printer *p, const struct config_table *table, const char *values,
                          const char *base, const char *group, size_t group_len);

static void start_line(struct printer *p)
{
	p->line = p->b->len;
	for (unsigned i = 0; i < p->depth * INDENT; i++)
		buf_add_char(p->b, ' ');
}

/* The comment says where the value of "BASE" "PATH" comes from. */
static void end_line(struct printer *p, const char *base, const char *path)
{
	struct buf full = { 0 };
	size_t width = p->b->len - p->line;

	if (width > p->widest && width <= WIDEST)
		p->widest = width;
	do
		buf_add_char(p->b, ' ');
	while (++width < p->column);

	buf_printf(&full, "%s%s", base, path);
	buf_add_char(&full, '\0');
	p->b->failed = p->b->failed || full.failed;
	buf_add_str(p->b, "# ");
	buf_add_str(p->b, full.failed ? "" : config_origin_of(p->config, full.data));
	buf_add_char(p->b, '\n');
	buf_done(&full);
}

static void print_line(struct printer *p, const char *text)
{
	start_line(p);
	buf_add_str(p->b, text);
	buf_add_char(p->b, '\n');
}

/* A string with the few escapes that libconfig has. */
static void add_string(struct buf *b, const char *text)
{
	static const char escapes[] = "\"\"\\\\\nn\rr\tt\ff";

	buf_add_char(b, '"');
	for (; *text != '\0'; text++) {
		const char *escape = escapes;
		while (*escape != '\0' && *escape != *text)
			escape += 2;
		if (*escape != '\0')
			buf_add(b, (char[]) { '\\', escape[1] }, 2);
		else if ((unsigned char) *text < 0x20 || *text == 0x7f)
			buf_printf(b, "\\x%02X", (unsigned) *text);
		else
			buf_add_char(b, *text);
	}
	buf_add_char(b, '"');
}

static void add_strings(struct buf *b, const struct config_strings *list)
{
	buf_add_str(b, "( ");
	for (size_t i = 0; i < list->n; i++) {
		buf_add_str(b, i > 0 ? ", " : "");
		add_string(b, list->items[i]);
	}
	buf_add_str(b, list->n > 0 ? " )" : ")");
}

static void add_quantity(struct buf *b, enum config_type type, uint64_t value)
{
	buf_add_char(b, '"');
	if (type == CONFIG_SIZE)
		units_add_size(b, value);
	else if (type == CONFIG_RATE)
		units_add_rate(b, value);
	else
		units_add_duration(b, value);
	buf_add_char(b, '"');
}

static void add_count(struct buf *b, uint64_t value)
{
	buf_add_u64(b, value);
	if (value > INT_MAX)
		buf_add_char(b, 'L'); /* config_load() needs no suffix, but libconfig does */
}

/* Copies the value of 'key' out of the caller's struct. */
#define GET(into, values, key) memcpy(&(into), (values) + (key)->offset, sizeof(into))

static void add_number(struct buf *b, const struct config_key *key, const char *values)
{
	uint64_t value = 0;

	GET(value, values, key);
	if (key->type == CONFIG_COUNT)
		add_count(b, value);
	else
		add_quantity(b, key->type, value);
}

void config_add_value(struct buf *b, const struct config_key *key, const char *values)
{
	struct config_strings list = { 0 };
	const char *text = NULL;
	bool is_set = false;
	int choice = 0;

	switch (key->type) {
	case CONFIG_COUNT:
	case CONFIG_SIZE:
	case CONFIG_DURATION:
	case CONFIG_RATE:
		add_number(b, key, values);
		break;
	case CONFIG_BOOL:
		GET(is_set, values, key);
		buf_add_str(b, is_set ? "true" : "false");
		break;
	case CONFIG_STRING:
		GET(text, values, key);
		add_string(b, text);
		break;
	case CONFIG_CHOICE:
		GET(choice, values, key);
		add_string(b, key->choices[choice]);
		break;
	case CONFIG_STRINGS:
		GET(list, values, key);
		add_strings(b, &list);
		break;
	case CONFIG_GROUPS: /* takes several lines: print_groups() */
		break;
	}
}

static void print_element(struct printer *p, const struct config_key *key,
                          const struct config_groups *list, size_t i, const char *base)
{
	struct buf path = { 0 };

	buf_printf(&path, "%s%s[%zu]", base, key->path, i);
	buf_add_char(&path, '\0');
	start_line(p);
	buf_add_char(p->b, '{');
	end_line(p, "", path.failed ? "" : path.data);

	path.len--;
	buf_add(&path, ".", 2);
	p->b->failed = p->b->failed || path.failed;
	p->depth++;
	print_members(p, key->element, (const char *) list->items + i * key->element->size,
	              path.failed ? "" : path.data, "", 0);
	p->depth--;
	print_line(p, i + 1 < list->n ? "}," : "}");
	buf_done(&path);
}

static void print_groups(struct printer *p, const struct config_key *key, const char *name,
                         const char *values, const char *base)
{
	struct config_groups list = { 0 };

	GET(list, values, key);
	start_line(p);
	buf_printf(p->b, list.n > 0 ? "%s = (" : "%s = ( );", name);
	end_line(p, base, key->path);
	if (list.n == 0)
		return;

	p->depth++;
	for (size_t i = 0; i < list.n; i++)
		print_element(p, key, &list, i, base);
	p->depth--;
	print_line(p, ");");
}

static void print_key(struct printer *p, const struct config_key *key, const char *name,
                      const char *values, const char *base)
{
	if (key->type == CONFIG_GROUPS) {
		print_groups(p, key, name, values, base);
		return;
	}
	start_line(p);
	buf_printf(p->b, "%s = ", name);
	config_add_value(p->b, key, values);
	buf_add_char(p->b, ';');
	end_line(p, base, key->path);
}

/* Whether one of the first 'n' keys is in the same group as 'path' up to 'len': the
 * group was printed there, and a second one of its name would be an error. */
static bool is_printed(const struct config_table *table, size_t n, const char *path, size_t len)
{
	for (size_t i = 0; i < n; i++)
		if (strncmp(table->keys[i].path, path, len) == 0)
			return true;
	return false;
}

/* Prints the keys whose paths begin with the 'group_len' characters of 'group' ("",
 * "queue."), of the struct at 'values', whose own path is 'base' ("", "sources[0]."). */
static void print_members(struct printer *p, const struct config_table *table, const char *values,
                          const char *base, const char *group, size_t group_len)
{
	for (size_t i = 0; i < table->n; i++) {
		const struct config_key *key = &table->keys[i];
		if (strncmp(key->path, group, group_len) != 0)
			continue;

		const char *name = key->path + group_len;
		const char *dot = strchr(name, '.');
		if (!dot) {
			print_key(p, key, name, values, base);
			continue;
		}
		size_t len = (size_t) (dot + 1 - key->path);
		if (is_printed(table, i, key->path, len))
			continue;
		start_line(p);
		buf_printf(p->b, "%.*s: {\n", (int) (dot - name), name);
		p->depth++;
		print_members(p, table, values, base, key->path, len);
		p->depth--;
		print_line(p, "};");
	}
}

void config_print(const struct config_table *table, const struct config *c, const void *values,
                  struct buf *b)
{
	struct buf draft = { 0 };
	struct printer p = { .config = c, .b = &draft };

	print_members(&p, table, values, "", "", 0);
	b->failed = b->failed || draft.failed;
	buf_done(&draft);

	for (size_t i = 0; c->n_files > 1 && i < c->n_files; i++)
		buf_printf(b, "# read: %s\n", c->files[i]);
	p.b = b;
	p.column = p.widest + GAP;
	print_members(&p, table, values, "", "", 0);
}
