/* SPDX-License-Identifier: Apache-2.0 */
#include "config/value.h"

#include "base/units.h"
#include "config/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* libconfig's integers are signed: a larger count could not be written in a file. */
#define MAX_COUNT ((uint64_t) INT64_MAX)

/* As much of a value as a message shows. */
#define SHOWN "%.60s"

/* What each type is called, and how one is written. */
static const struct {
	const char *name;
	const char *example;
} types[] = {
	[CONFIG_COUNT] = { "a whole number", "10" },
	[CONFIG_SIZE] = { "a size", "\"64M\" (K, M, G, T, or none for bytes)" },
	[CONFIG_DURATION] = { "a time", "\"30s\" (ms, s, m, h or d)" },
	[CONFIG_RATE] = { "a rate", "\"5/s\" (s, m, h or d)" },
	[CONFIG_BOOL] = { "true or false", "true" },
	[CONFIG_STRING] = { "a string", "\"text\"" },
	[CONFIG_CHOICE] = { "a string", "" }, /* the choices are the example */
	[CONFIG_STRINGS] = { "a list of strings", "( \"text\" )" },
	[CONFIG_GROUPS] = { "a list of groups", "( { … } )" },
};

const char *config_type_name(const config_setting_t *setting)
{
	static const char *const names[] = {
		[CONFIG_TYPE_NONE] = "nothing",       [CONFIG_TYPE_GROUP] = "a group",
		[CONFIG_TYPE_INT] = "a whole number", [CONFIG_TYPE_INT64] = "a whole number",
		[CONFIG_TYPE_FLOAT] = "a fraction",   [CONFIG_TYPE_STRING] = "a string",
		[CONFIG_TYPE_BOOL] = "true or false", [CONFIG_TYPE_ARRAY] = "an array",
		[CONFIG_TYPE_LIST] = "a list",
	};
	size_t type = (size_t) config_setting_type(setting);

	return type < ARRAY_LEN(names) ? names[type] : "something else";
}

void config_store(void *values, const struct config_key *key, const void *value, size_t size)
{
	memcpy((char *) values + key->offset, value, size);
}

/* Appends "a, b or c". */
static void add_choices(struct buf *b, const char *const *choices)
{
	for (size_t i = 0; choices[i]; i++) {
		buf_add_str(b, i == 0 ? "" : choices[i + 1] ? ", " : " or ");
		buf_add_str(b, choices[i]);
	}
}

static void add_number(struct buf *b, const struct config_key *key, uint64_t value)
{
	if (key->type == CONFIG_SIZE)
		units_add_size(b, value);
	else if (key->type == CONFIG_DURATION)
		units_add_duration(b, value);
	else if (key->type == CONFIG_RATE)
		units_add_rate(b, value);
	else
		buf_add_u64(b, value);
}

/* Appends what 'key' may be: "1 to 100 jobs", "at least 1s", or an example. */
static void add_expected(struct buf *b, const struct config_key *key)
{
	if (key->type == CONFIG_CHOICE) {
		add_choices(b, key->choices);
		return;
	}
	if (key->max == 0 && key->min == 0) {
		buf_add_str(b, "for example ");
		buf_add_str(b, types[key->type].example);
		return;
	}
	if (key->max == 0)
		buf_add_str(b, "at least ");
	else if (key->min == 0)
		buf_add_str(b, "at most ");
	if (key->min > 0)
		add_number(b, key, key->min);
	if (key->min > 0 && key->max > 0)
		buf_add_str(b, " to ");
	if (key->max > 0)
		add_number(b, key, key->max);
	if (key->type == CONFIG_COUNT && key->unit && *key->unit != '\0') {
		buf_add_char(b, ' ');
		buf_add_str(b, key->unit);
	}
}

/* Reports "WHAT; give 1 to 100 jobs". */
static void refuse(struct loading *l, const struct config_key *key, const struct place *place,
                   const char *what)
{
	struct buf expected = { 0 };

	add_expected(&expected, key);
	config_problem(l, place, "%s; give %.*s", what, (int) expected.len,
	               expected.data ? expected.data : "");
	l->no_memory = l->no_memory || expected.failed;
	buf_done(&expected);
}

void config_wrong_type(struct loading *l, const struct config_key *key,
                       const config_setting_t *setting, const struct place *place)
{
	if (config_setting_type(setting) == CONFIG_TYPE_STRING && key->type == CONFIG_COUNT)
		refuse(l, key, place, "must be a whole number, not a string (no quotes)");
	else
		refuse(l, key, place,
		       config_format(l, "must be %s, not %s", types[key->type].name,
		                     config_type_name(setting)));
}

static void put_number(struct loading *l, const struct config_key *key, uint64_t value,
                       const struct place *place, void *values)
{
	struct buf what = { 0 };

	if (value >= key->min && (key->max == 0 || value <= key->max)) {
		config_store(values, key, &value, sizeof(value));
		return;
	}
	add_number(&what, key, value);
	buf_add_str(&what, " is out of range");
	buf_add_char(&what, '\0');
	refuse(l, key, place, what.failed ? "out of range" : what.data);
	buf_done(&what);
}

/* A whole number of the file: a count, or bytes. */
static void read_integer(struct loading *l, const struct config_key *key,
                         const config_setting_t *setting, const struct place *place, void *values)
{
	long long value = config_setting_type(setting) == CONFIG_TYPE_INT
	                          ? config_setting_get_int(setting)
	                          : config_setting_get_int64(setting);

	if (key->type == CONFIG_DURATION && value != 0)
		refuse(l, key, place,
		       config_format(l, "%lld has no unit, write \"%llds\" if it is seconds", value,
		                     value));
	else if (key->type == CONFIG_RATE && value != 0)
		refuse(l, key, place,
		       config_format(l, "%lld has no unit, write \"%lld/s\" if it is in a second",
		                     value, value));
	else if (value < 0)
		refuse(l, key, place, config_format(l, "%lld is negative", value));
	else
		put_number(l, key, (uint64_t) value, place, values);
}

static void read_float(struct loading *l, const struct config_key *key,
                       const config_setting_t *setting, const struct place *place)
{
	double value = config_setting_get_float(setting);
	bool is_number = key->type == CONFIG_COUNT || key->type == CONFIG_SIZE;

	if (is_number && (value >= CONFIG_TOO_LARGE || value <= -CONFIG_TOO_LARGE))
		refuse(l, key, place, "is out of range");
	else
		config_wrong_type(l, key, setting, place);
}

static void parse_count(struct loading *l, const struct config_key *key, const char *text,
                        const struct place *place, void *values)
{
	size_t digits = strspn(text, "0123456789");

	if (digits == 0 || text[digits] != '\0') {
		refuse(l, key, place, "must be a whole number");
		return;
	}
	errno = 0;
	unsigned long long value = strtoull(text, NULL, 10);
	if (errno == ERANGE || value > MAX_COUNT)
		refuse(l, key, place, "is out of range");
	else
		put_number(l, key, value, place, values);
}

static void parse_quantity(struct loading *l, const struct config_key *key, const char *text,
                           const struct place *place, void *values)
{
	uint64_t value = 0;
	int r = key->type == CONFIG_SIZE   ? units_parse_size(text, &value)
	        : key->type == CONFIG_RATE ? units_parse_rate(text, &value)
	                                   : units_parse_duration(text, &value);

	if (r == -ERANGE)
		refuse(l, key, place,
		       config_format(l, "\"" SHOWN "\" is too %s", text,
		                     key->type == CONFIG_RATE ? "fast or too slow" : "large"));
	else if (r < 0)
		config_problem(l, place, "\"" SHOWN "\" is not %s; give for example %s", text,
		               types[key->type].name, types[key->type].example);
	else
		put_number(l, key, value, place, values);
}

static void parse_choice(struct loading *l, const struct config_key *key, const char *text,
                         const struct place *place, void *values)
{
	for (int i = 0; key->choices[i]; i++) {
		if (strcmp(key->choices[i], text) == 0) {
			config_store(values, key, &i, sizeof(i));
			return;
		}
	}
	refuse(l, key, place, config_format(l, "\"" SHOWN "\" is not known", text));
}

static void put_string(struct loading *l, const struct config_key *key, const char *text,
                       void *values)
{
	const char *copy = config_copy(l, text, strlen(text));

	config_store(values, key, &copy, sizeof(const char *));
}

static void parse_bool(struct loading *l, const struct config_key *key, const char *text,
                       const struct place *place, void *values)
{
	/* Letter case is free, as in the file. */
	bool value = strcasecmp(text, "true") == 0;

	if (value || strcasecmp(text, "false") == 0)
		config_store(values, key, &value, sizeof(value));
	else
		refuse(l, key, place, "must be true or false");
}

/* Reads "a, b": blanks around an item do not count, and an empty text is an empty list. */
static void parse_strings(struct loading *l, const struct config_key *key, const char *text,
                          const struct place *place, void *values)
{
	struct config_strings list = { 0 };
	size_t room = 1;

	for (const char *p = text; *p != '\0'; p++)
		room += *p == ',';
	const char **items = config_alloc(l, room, sizeof(*items));
	if (!items)
		return;

	for (bool last = *text == '\0'; !last;) {
		text += strspn(text, " \t");
		size_t n = strcspn(text, ",");
		last = text[n] == '\0';
		const char *next = text + n + 1;
		while (n > 0 && (text[n - 1] == ' ' || text[n - 1] == '\t'))
			n--;
		if (n == 0) {
			refuse(l, key, place, "the list has an empty item");
			return;
		}
		items[list.n++] = config_copy(l, text, n);
		text = next;
	}
	list.items = items;
	config_store(values, key, &list, sizeof(list));
}

static void parse_groups(struct loading *l, const struct config_key *key, const char *text,
                         const struct place *place, void *values)
{
	const struct config_groups none = { 0 };

	if (*text == '\0')
		config_store(values, key, &none, sizeof(none));
	else
		config_problem(l, place, "a list of groups can be given only in a file");
}

void config_value_parse(struct loading *l, const struct config_key *key, const char *text,
                        const struct place *place, void *values)
{
	switch (key->type) {
	case CONFIG_COUNT:
		parse_count(l, key, text, place, values);
		break;
	case CONFIG_SIZE:
	case CONFIG_DURATION:
	case CONFIG_RATE:
		parse_quantity(l, key, text, place, values);
		break;
	case CONFIG_BOOL:
		parse_bool(l, key, text, place, values);
		break;
	case CONFIG_STRING:
		put_string(l, key, text, values);
		break;
	case CONFIG_CHOICE:
		parse_choice(l, key, text, place, values);
		break;
	case CONFIG_STRINGS:
		parse_strings(l, key, text, place, values);
		break;
	case CONFIG_GROUPS:
		parse_groups(l, key, text, place, values);
		break;
	}
}

static void read_string(struct loading *l, const struct config_key *key,
                        const config_setting_t *setting, const struct place *place, void *values)
{
	const char *text = config_setting_get_string(setting);
	struct config_strings list = { 0 };

	if (key->type != CONFIG_STRINGS) {
		config_value_parse(l, key, text, place, values);
		return;
	}
	/* Unlike on a command line commas mean nothing here, since there are lists. */
	const char **items = config_alloc(l, 1, sizeof(*items));
	if (!items)
		return;
	items[0] = config_copy(l, text, strlen(text));
	list = (struct config_strings) { .items = items, .n = *text != '\0' };
	config_store(values, key, &list, sizeof(list));
}

static void read_strings(struct loading *l, const struct config_key *key,
                         const config_setting_t *setting, const struct place *place, void *values)
{
	struct config_strings list = { .n = (size_t) config_setting_length(setting) };
	const char **items = config_alloc(l, list.n, sizeof(*items));

	for (unsigned i = 0; items && i < list.n; i++) {
		const config_setting_t *item = config_setting_get_elem(setting, i);
		if (config_setting_type(item) != CONFIG_TYPE_STRING) {
			const struct place at = {
				.where = place->where,
				.path = config_format(l, "%s[%u]", place->path, i),
			};
			config_problem(l, &at, "must be a string, not %s; put it in quotes",
			               config_type_name(item));
			continue;
		}
		const char *text = config_setting_get_string(item);
		items[i] = config_copy(l, text, strlen(text));
	}
	list.items = items;
	config_store(values, key, &list, sizeof(list));
}

void config_value_read(struct loading *l, const struct config_key *key,
                       const config_setting_t *setting, const struct place *place, void *values)
{
	bool is_quantity = key->type == CONFIG_SIZE || key->type == CONFIG_DURATION ||
	                   key->type == CONFIG_RATE;
	bool is_text = is_quantity || key->type == CONFIG_STRING || key->type == CONFIG_CHOICE ||
	               key->type == CONFIG_STRINGS;
	int type = config_setting_type(setting);

	if (type == CONFIG_TYPE_STRING && is_text)
		read_string(l, key, setting, place, values);
	else if ((type == CONFIG_TYPE_LIST || type == CONFIG_TYPE_ARRAY) &&
	         key->type == CONFIG_STRINGS)
		read_strings(l, key, setting, place, values);
	else if ((type == CONFIG_TYPE_INT || type == CONFIG_TYPE_INT64) &&
	         (key->type == CONFIG_COUNT || is_quantity))
		read_integer(l, key, setting, place, values);
	else if (type == CONFIG_TYPE_FLOAT)
		read_float(l, key, setting, place);
	else if (type == CONFIG_TYPE_BOOL && key->type == CONFIG_BOOL)
		config_store(values, key, &(bool) { config_setting_get_bool(setting) != 0 },
		             sizeof(bool));
	else
		config_wrong_type(l, key, setting, place);
}
