/* SPDX-License-Identifier: Apache-2.0 */
/* config.h: lists whose elements have names, in files, overrides and changes. */
#include "config/config.h"

#include "base/attr.h"
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FILE_NAME "lanes.conf"

struct lane {
	const char *match;
	uint64_t rate;
	uint64_t burst;
};

struct values {
	struct config_groups lanes;
	const char *path;
	struct config_strings tags;
};

static const struct config_key lane_keys[] = {
	{ "match", CONFIG_STRING, offsetof(struct lane, match), .unit = "", .help = "" },
	{ "rate", CONFIG_RATE, offsetof(struct lane, rate), .preset = "0", .unit = "", .help = "" },
	{ "burst", CONFIG_COUNT, offsetof(struct lane, burst), .preset = "1", .min = 1, .max = 9,
	  .unit = "", .help = "" },
};
static const struct config_table lane_table = { lane_keys, ARRAY_LEN(lane_keys),
	                                        sizeof(struct lane) };

static const struct config_key keys[] = {
	{ "lanes", CONFIG_GROUPS, offsetof(struct values, lanes), .preset = "",
	  .element = &lane_table, .name_key = "match", .last_name = "*", .reloads = true,
	  .unit = "", .help = "" },
	{ "path", CONFIG_STRING, offsetof(struct values, path), .preset = "a", .unit = "",
	  .help = "" },
	{ "tags", CONFIG_STRINGS, offsetof(struct values, tags), .preset = "x,y", .reloads = true,
	  .unit = "", .help = "" },
};
static const struct config_table table = { keys, ARRAY_LEN(keys), sizeof(struct values) };

static void write_file(const char *text)
{
	FILE *f = fopen(FILE_NAME, "we");

	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	CU_ASSERT_TRUE_FATAL(fputs(text, f) >= 0);
	CU_ASSERT_EQUAL_FATAL(fclose(f), 0);
}

/* Loads 'text' as the file, unless it is NULL. */
static struct config *load(const char *text, const char *const *overrides, size_t n,
                           struct values *ret_values)
{
	struct config *c = NULL;
	struct buf errors = { 0 };

	if (text)
		write_file(text);
	int r = config_load(&table, text ? FILE_NAME : NULL, NULL, overrides, n, ret_values, &c, &errors);
	if (r < 0)
		printf("\n%.*s", (int) errors.len, errors.data);
	CU_ASSERT_EQUAL_FATAL(r, 0);
	buf_done(&errors);
	return c;
}

static void expect_errors(const char *text, const char *override, const char *messages)
{
	struct values values;
	struct config *c = NULL;
	struct buf errors = { 0 };

	write_file(text);
	CU_ASSERT_EQUAL(config_load(&table, FILE_NAME, NULL, &override, override ? 1 : 0, &values, &c,
	                            &errors), -EINVAL);
	CU_ASSERT_PTR_NULL(c);
	buf_add_char(&errors, '\0');
	CU_ASSERT_STRING_EQUAL(errors.data, messages);
	if (strcmp(errors.data, messages) != 0)
		printf("\n--- got:\n%s--- wanted:\n%s", errors.data, messages);
	buf_done(&errors);
}

/* The lanes as "match rate burst, …", with rates in milliseconds. */
static void expect_lanes(const struct values *values, const char *wanted)
{
	const struct lane *lanes = values->lanes.items;
	struct buf b = { 0 };

	for (size_t i = 0; i < values->lanes.n; i++)
		buf_printf(&b, "%s%s %llu %llu", i > 0 ? ", " : "", lanes[i].match,
		           (unsigned long long) lanes[i].rate / 1000000,
		           (unsigned long long) lanes[i].burst);
	buf_add_char(&b, '\0');
	CU_ASSERT_STRING_EQUAL(b.data, wanted);
	if (strcmp(b.data, wanted) != 0)
		printf("\ngot %s, wanted %s\n", b.data, wanted);
	buf_done(&b);
}

/* --- files ------------------------------------------------------------------------- */

static void test_the_last_element_is_always_there(void)
{
	static const struct {
		const char *text;
		const char *lanes;
	} cases[] = {
		{ NULL, "* 0 1" },
		{ "", "* 0 1" },
		{ "lanes = ( );", "* 0 1" },
		{ "lanes = ( { match = \"a\"; rate = \"5/s\"; } );", "a 200 1, * 0 1" },
		{ "lanes = ( { match = \"*\"; burst = 3; } );", "* 0 3" },
		{ "lanes = ( { match = \"a\"; }, { match = \"*\"; burst = 3; } );", "a 0 1, * 0 3" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct values values;
		struct config *c = load(cases[i].text, NULL, 0, &values);
		expect_lanes(&values, cases[i].lanes);
		config_free(c);
	}
}

static void test_names_are_given_once_and_nothing_comes_after_the_last(void)
{
	expect_errors("lanes = ( { match = \"a\"; },\n { match = \"*\"; },\n { match = \"b\"; },\n"
	              " { match = \"a\"; } );", NULL,
	              "lanes.conf:3: lanes[2]: never matches, because it comes after \"*\"; move it up\n"
	              "lanes.conf:4: lanes[3]: match \"a\" is that of lanes[0] already; remove one\n");
	expect_errors("lanes = ( { burst = 1; },\n { match = 5; }, { match = \"*\"; },\n"
	              " { match = \"*\"; } );", NULL,
	              "lanes.conf:1: lanes[0].match: is missing, and there is no default; add it\n"
	              "lanes.conf:2: lanes[1].match: must be a string, not a whole number; "
	              "give for example \"text\"\n"
	              "lanes.conf:3: lanes[3]: match \"*\" is that of lanes[2] already; remove one\n");
}

/* --- overrides ----------------------------------------------------------------------- */

static const char two[] = "lanes = (\n { match = \"a.example\"; burst = 2; },\n"
                          " { match = \"*\"; } );";

static void test_overrides_find_elements_by_name_and_by_index(void)
{
	static const char *const overrides[] = {
		"lanes[a.example].rate=5/s", "lanes[0].burst=3", "lanes[*].rate=1/s", "lanes[1].burst=4",
	};
	struct values values;
	struct config *c = load(two, overrides, ARRAY_LEN(overrides), &values);

	expect_lanes(&values, "a.example 200 3, * 1000 4");
	CU_ASSERT_STRING_EQUAL(config_origin_of(c, "lanes[0].match"), "lanes.conf:2");
	CU_ASSERT_STRING_EQUAL(config_origin_of(c, "lanes[0].rate"), "--set");
	CU_ASSERT_STRING_EQUAL(config_origin_of(c, "lanes[0].burst"), "--set");
	CU_ASSERT_STRING_EQUAL(config_origin_of(c, "lanes[1].rate"), "--set");
	CU_ASSERT_STRING_EQUAL(config_origin_of(c, "lanes"), "lanes.conf:1");
	config_free(c);
}

static void test_a_new_name_goes_before_the_others(void)
{
	static const char *const overrides[] = {
		"lanes[http://[::1]:80].rate=5/s",
		"lanes[b].burst=2",
		"lanes[http://[::1]:80].burst=7",
	};
	struct values values;
	struct config *c = load(two, overrides, ARRAY_LEN(overrides), &values);

	expect_lanes(&values, "b 0 2, http://[::1]:80 200 7, a.example 0 2, * 0 1");
	CU_ASSERT_STRING_EQUAL(config_origin_of(c, "lanes[0].match"), "--set");
	CU_ASSERT_STRING_EQUAL(config_origin_of(c, "lanes[0].rate"), "default");
	CU_ASSERT_STRING_EQUAL(config_origin_of(c, "lanes[0].burst"), "--set");
	CU_ASSERT_STRING_EQUAL(config_origin_of(c, "lanes[1].rate"), "--set");
	CU_ASSERT_STRING_EQUAL(config_origin_of(c, "lanes[2].match"), "lanes.conf:2");
	CU_ASSERT_STRING_EQUAL(config_origin_of(c, "lanes[2].rate"), "default");
	CU_ASSERT_STRING_EQUAL(config_origin_of(c, "lanes[3].match"), "lanes.conf:3");
	config_free(c);
}

/* As far as tests go: "*" fits all, "*.b" what ends so. */
static bool fits(const char *name, const char *other)
{
	size_t n = strlen(name) - 1, len = strlen(other);

	return *name == '*' && len >= n && strcmp(other + len - n, name + 1) == 0;
}

static void test_a_new_name_has_what_held_for_it(void)
{
	static const char text[] = "lanes = (\n"
				   "  { match = \"*.b\"; rate = \"5/s\"; burst = 2; },\n"
				   "  { match = \"*\"; burst = 3; } );\n";
	static const char *const overrides[] = { "lanes[a.b].burst=4", "lanes[c].rate=1/s",
		                                 "lanes[*.a.b].rate=1/s" };
	struct config_key fitting[ARRAY_LEN(keys)];
	struct config_table table_that_fits = { fitting, ARRAY_LEN(keys), sizeof(struct values) };
	struct values values;
	struct config *c = NULL;
	struct buf errors = { 0 };

	memcpy(fitting, keys, sizeof(keys));
	fitting[0].fits = fits;
	write_file(text);
	CU_ASSERT_EQUAL_FATAL(config_load(&table_that_fits, FILE_NAME, NULL, overrides,
	                                  ARRAY_LEN(overrides), &values, &c, &errors), 0);
	expect_lanes(&values, "*.a.b 1000 2, c 1000 3, a.b 200 4, *.b 200 2, * 0 3");
	CU_ASSERT_STRING_EQUAL(config_origin_of(c, "lanes[0].match"), "--set");
	CU_ASSERT_STRING_EQUAL(config_origin_of(c, "lanes[0].rate"), "--set");
	CU_ASSERT_STRING_EQUAL(config_origin_of(c, "lanes[0].burst"), "lanes.conf:2");
	CU_ASSERT_STRING_EQUAL(config_origin_of(c, "lanes[1].burst"), "lanes.conf:3");
	CU_ASSERT_STRING_EQUAL(config_origin_of(c, "lanes[2].rate"), "lanes.conf:2");
	CU_ASSERT_STRING_EQUAL(config_origin_of(c, "lanes[3].match"), "lanes.conf:2");
	CU_ASSERT_STRING_EQUAL(config_origin_of(c, "lanes[4].rate"), "default");
	config_free(c);
	buf_done(&errors);
}

static void test_wrong_addresses_are_explained(void)
{
	static const struct {
		const char *override;
		const char *message;
	} cases[] = {
		{ "lanes=", "lanes is a list of groups; write lanes[NAME].KEY=VALUE, where NAME is the "
		            "match of one" },
		{ "lanes.rate=1/s", "lanes is a list of groups; write lanes[NAME].KEY=VALUE, where NAME "
		                    "is the match of one" },
		{ "lanes[a]=1", "lanes is a list of groups; write lanes[NAME].KEY=VALUE, where NAME is "
		                "the match of one" },
		{ "lanes[].rate=1/s", "the name is empty; give the match of an element" },
		{ "lanes[2].rate=1/s",
		  "there is no such element; lanes has 2, and the first is lanes[0]" },
		{ "lanes[99999999999999999999].rate=1/s",
		  "there is no such element; lanes has 2, and the first is lanes[0]" },
		{ "lanes[a].raet=1/s", "unknown key; did you mean rate?" },
		{ "lanes[a].colour=1", "unknown key; known here: match, rate, burst" },
		{ "lanes[a].match=b", "match is the element's name; change it in the file" },
		{ "lanes[a].burst=10", "10 is out of range; give 1 to 9" },
		{ "lanes[a].rate=5", "\"5\" is not a rate; give for example \"5/s\" (s, m, h or d)" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char message[256];
		(void) snprintf(message, sizeof(message), "--set %s: %s\n", cases[i].override,
		                cases[i].message);
		expect_errors(two, cases[i].override, message);
	}
}

static void test_what_is_printed_reads_back(void)
{
	static const char *const overrides[] = { "lanes[b].rate=3/s" };
	struct values values, again;
	struct buf b = { 0 };
	struct config *c = load(two, overrides, 1, &values);

	config_print(&table, c, &values, &b);
	buf_add_char(&b, '\0');
	CU_ASSERT_PTR_NOT_NULL(strstr(b.data, "        rate = \"3/s\";         # --set\n"));
	CU_ASSERT_PTR_NOT_NULL(strstr(b.data, "        match = \"a.example\";  # lanes.conf:2\n"));
	struct config *second = load(b.data, NULL, 0, &again);
	expect_lanes(&again, "b 333 1, a.example 0 2, * 0 1");
	config_free(second);
	config_free(c);
	buf_done(&b);
}

/* --- changes ------------------------------------------------------------------------- */

static void note(void *arg, const struct config_difference *d)
{
	CU_ASSERT_PTR_NOT_NULL(d->key);
	buf_printf(arg, "%s: %s -> %s\n", d->path, d->before, d->after);
}

static void expect_differences(const char *before, const char *after, const char *told)
{
	struct values current, fresh;
	struct buf text = { 0 };
	struct config *first = load(before, NULL, 0, &current);
	struct config *second = load(after, NULL, 0, &fresh);

	size_t n = config_change(&table, &current, &fresh, note, &text);
	buf_add_char(&text, '\0');
	CU_ASSERT_STRING_EQUAL(text.data, told);
	if (strcmp(text.data, told) != 0)
		printf("\n--- got:\n%s--- wanted:\n%s", text.data, told);
	CU_ASSERT_EQUAL(n == 0, *told == '\0');
	CU_ASSERT_PTR_EQUAL(current.lanes.items, fresh.lanes.items);
	config_free(first);
	config_free(second);
	buf_done(&text);
}

static void test_a_change_names_only_what_differs(void)
{
	expect_differences(two, two, "");
	expect_differences(two, "lanes = ( { match = \"a.example\"; burst = 3; },"
	                        " { match = \"*\"; rate = \"5/s\"; } );",
	                   "lanes[a.example].burst: 2 -> 3\n"
	                   "lanes[*].rate: \"0\" -> \"5/s\"\n");
	expect_differences(two, "lanes = ( { match = \"b\"; } );",
	                   "lanes[a.example]: { match = \"a.example\"; burst = 2; } -> none\n"
	                   "lanes[b]: none -> { match = \"b\"; }\n");
	expect_differences("lanes = ( { match = \"a\"; }, { match = \"b\"; } );",
	                   "lanes = ( { match = \"c\"; }, { match = \"b\"; }, { match = \"a\"; } );",
	                   "lanes[c]: none -> { match = \"c\"; }\n"
	                   "lanes: ( \"a\", \"b\", \"*\" ) -> ( \"b\", \"a\", \"*\" )\n");
}

static struct config *amend(const struct values *values, const struct config *config,
                            const char *override, struct values *ret_values)
{
	struct config *c = NULL;
	struct buf errors = { 0 };

	int r = config_amend(&table, values, config, &override, 1, "set", ret_values, &c, &errors);
	if (r < 0)
		printf("\n%.*s", (int) errors.len, errors.data);
	CU_ASSERT_EQUAL_FATAL(r, 0);
	buf_done(&errors);
	return c;
}

/* Under the address sanitizer this shows that nothing of the first config is borrowed. */
static void test_amended_values_stand_on_their_own(void)
{
	struct values first, second, third;
	struct config *c1 = load(two, NULL, 0, &first);
	struct config *c2 = amend(&first, c1, "lanes[b].rate=5/s", &second);

	c1 = config_free(c1);
	struct config *c3 = amend(&second, c2, "path=c", &third);
	c2 = config_free(c2);
	expect_lanes(&third, "b 200 1, a.example 0 2, * 0 1");
	CU_ASSERT_STRING_EQUAL(third.path, "c");
	CU_ASSERT_EQUAL_FATAL(third.tags.n, 2);
	CU_ASSERT_STRING_EQUAL(third.tags.items[1], "y");
	CU_ASSERT_STRING_EQUAL(config_origin_of(c3, "path"), "set");
	CU_ASSERT_STRING_EQUAL(config_origin_of(c3, "lanes[0].rate"), "set");
	CU_ASSERT_STRING_EQUAL(config_origin_of(c3, "lanes[1].burst"), "lanes.conf:2");
	CU_ASSERT_STRING_EQUAL(config_origin_of(c3, "tags"), "default");
	c3 = config_free(c3);
}

static void test_a_bad_amendment_stores_nothing(void)
{
	static const char *const overrides[] = { "lanes[b].rate=5/s", "lanes[b].burst=0", "pat=1" };
	struct values values, unchanged = { .path = "untouched" };
	struct config *c = load(two, NULL, 0, &values), *amended = NULL;
	struct buf errors = { 0 };

	CU_ASSERT_EQUAL(config_amend(&table, &values, c, overrides, ARRAY_LEN(overrides), "set",
	                             &unchanged, &amended, &errors), -EINVAL);
	buf_add_char(&errors, '\0');
	CU_ASSERT_STRING_EQUAL(errors.data,
	                       "set lanes[b].burst=0: 0 is out of range; give 1 to 9\n"
	                       "set pat=1: unknown key; did you mean path?\n");
	CU_ASSERT_PTR_NULL(amended);
	CU_ASSERT_STRING_EQUAL(unchanged.path, "untouched");
	buf_done(&errors);
	config_free(c);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "the last element is always there", test_the_last_element_is_always_there },
		{ "names are given once, and nothing comes after the last",
		  test_names_are_given_once_and_nothing_comes_after_the_last },
		{ "overrides find elements by name and by index",
		  test_overrides_find_elements_by_name_and_by_index },
		{ "a new name goes before the others", test_a_new_name_goes_before_the_others },
		{ "a new name has what held for it", test_a_new_name_has_what_held_for_it },
		{ "wrong addresses are explained", test_wrong_addresses_are_explained },
		{ "what is printed reads back", test_what_is_printed_reads_back },
		{ "a change names only what differs", test_a_change_names_only_what_differs },
		{ "amended values stand on their own", test_amended_values_stand_on_their_own },
		{ "a bad amendment stores nothing", test_a_bad_amendment_stores_nothing },
		CU_TEST_INFO_NULL,
	};
	char dir[] = "/tmp/penstock-elements-XXXXXX";

	if (!mkdtemp(dir) || chdir(dir) < 0)
		return EXIT_FAILURE;
	int status = unit_run("config elements", tests);
	return unlink(FILE_NAME) == 0 && rmdir(dir) == 0 ? status : EXIT_FAILURE;
}
