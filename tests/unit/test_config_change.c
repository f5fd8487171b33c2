/* SPDX-License-Identifier: Apache-2.0 */
/* config.h: what a reload does to the values in force. */
#include "config/config.h"

#include "unit.h"

#include <stdio.h>
#include <string.h>

struct values {
	uint64_t workers;
	struct config_strings success;
	const char *path;
};

static const struct config_key keys[] = {
	{ "workers", CONFIG_COUNT, offsetof(struct values, workers), .preset = "1", .reloads = true,
	  .unit = "", .help = "" },
	{ "success", CONFIG_STRINGS, offsetof(struct values, success), .preset = "200",
	  .reloads = true, .unit = "", .help = "" },
	{ "path", CONFIG_STRING, offsetof(struct values, path), .preset = "a", .unit = "", .help = "" },
};
static const struct config_table table = { keys, ARRAY_LEN(keys), sizeof(struct values) };

static struct config *load(struct values *values, const char *const *overrides, size_t n)
{
	struct config *config = NULL;
	struct buf errors = { 0 };

	CU_ASSERT_EQUAL_FATAL(config_load(&table, NULL, NULL, overrides, n, values, &config, &errors), 0);
	buf_done(&errors);
	return config;
}

static void note(void *arg, const struct config_difference *d)
{
	buf_printf(arg, "%s: %s -> %s\n", d->path, d->before, d->after);
}

/* Loads 'overrides' anew, changes 'current', and compares what was told of it. */
static struct config *change(struct values *current, const char *const *overrides, size_t n,
                             const char *told)
{
	struct values fresh;
	struct buf text = { 0 };
	struct config *config = load(&fresh, overrides, n);

	size_t changes = config_change(&table, current, &fresh, note, &text);
	buf_add_char(&text, '\0');
	CU_ASSERT_STRING_EQUAL(text.data, told);
	CU_ASSERT_EQUAL(changes == 0, *told == '\0');
	buf_done(&text);
	return config;
}

static void test_what_reloads_changes_and_the_rest_is_told_only(void)
{
	static const char *const overrides[] = { "workers=7", "path=b" };
	struct values current;
	struct config *first = load(&current, NULL, 0);

	struct config *second = change(&current, overrides, ARRAY_LEN(overrides),
	                               "workers: 1 -> 7\npath: \"a\" -> \"b\"\n");
	CU_ASSERT_EQUAL(current.workers, 7);
	CU_ASSERT_STRING_EQUAL(current.path, "a");
	config_free(second);
	config_free(first);
}

/* The values that reload must not point into a config that an equal one replaced. */
static void test_each_change_leaves_only_strings_of_the_newest_config(void)
{
	static const char *const overrides[] = { "success=200-399,404" };
	struct values current;
	struct config *first = load(&current, NULL, 0);

	struct config *second = change(&current, overrides, 1,
	                               "success: ( \"200\" ) -> ( \"200-399\", \"404\" )\n");
	struct config *third = change(&current, overrides, 1, "");
	config_free(second);
	CU_ASSERT_STRING_EQUAL(current.success.items[1], "404");
	struct config *fourth = change(&current, NULL, 0,
	                               "success: ( \"200-399\", \"404\" ) -> ( \"200\" )\n");
	config_free(third);
	CU_ASSERT_STRING_EQUAL(current.success.items[0], "200");
	config_free(fourth);
	config_free(first);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "what reloads changes, and the rest is told only",
		  test_what_reloads_changes_and_the_rest_is_told_only },
		{ "each change leaves only strings of the newest config",
		  test_each_change_leaves_only_strings_of_the_newest_config },
		CU_TEST_INFO_NULL,
	};

	return unit_run("config change", tests);
}
