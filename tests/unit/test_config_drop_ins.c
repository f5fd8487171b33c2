/* SPDX-License-Identifier: Apache-2.0 */
/* config.h: drop-ins, which are read over a file; what of it stays, and which files they are. */
#include "config/config.h"

#include "base/attr.h"
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct source {
	const char *path;
	struct config_strings urls;
};

struct lane {
	const char *match;
	uint64_t rate;
	uint64_t burst;
};

struct values {
	uint64_t workers;
	uint64_t capacity, depth;
	struct config_strings tags;
	struct config_groups sources, lanes;
	uint64_t needed;
};

#define AT(type, member) .offset = offsetof(struct type, member), .unit = "", .help = ""
static const struct config_key source_keys[] = {
	{ "path", CONFIG_STRING, AT(source, path) },
	{ "urls", CONFIG_STRINGS, AT(source, urls), .preset = "" },
};
static const struct config_table source_table = { source_keys, ARRAY_LEN(source_keys),
	                                          sizeof(struct source) };
static const struct config_key lane_keys[] = {
	{ "match", CONFIG_STRING, AT(lane, match) },
	{ "rate", CONFIG_COUNT, AT(lane, rate), .preset = "0" },
	{ "burst", CONFIG_COUNT, AT(lane, burst), .preset = "1" },
};
static const struct config_table lane_table = { lane_keys, ARRAY_LEN(lane_keys),
	                                        sizeof(struct lane) };
static const struct config_key keys[] = {
	{ "workers", CONFIG_COUNT, AT(values, workers), .preset = "64", .max = 99 },
	{ "queue.capacity", CONFIG_COUNT, AT(values, capacity), .preset = "1000" },
	{ "queue.depth", CONFIG_COUNT, AT(values, depth), .preset = "3" },
	{ "tags", CONFIG_STRINGS, AT(values, tags), .preset = "x,y" },
	{ "sources", CONFIG_GROUPS, AT(values, sources), .preset = "", .element = &source_table },
	{ "lanes", CONFIG_GROUPS, AT(values, lanes), .preset = "", .element = &lane_table,
	  .name_key = "match", .last_name = "*" },
	{ "needed", CONFIG_COUNT, AT(values, needed) },
};
static const struct config_table table = { keys, ARRAY_LEN(keys), sizeof(struct values) };

static const char folder[] = "conf.d";

static void write_file(const char *name, const char *text)
{
	FILE *f = fopen(name, "we");

	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	CU_ASSERT_TRUE_FATAL(fputs(text, f) >= 0);
	CU_ASSERT_EQUAL_FATAL(fclose(f), 0);
}

/* Writes main.conf and a drop-in for each further text that is not NULL. */
static void write_files(const char *first, const char *a, const char *b)
{
	write_file("main.conf", first);
	(void) unlink("conf.d/10-a.conf");
	(void) unlink("conf.d/20-b.conf");
	if (a)
		write_file("conf.d/10-a.conf", a);
	if (b)
		write_file("conf.d/20-b.conf", b);
}

static int try(struct values *ret_values, struct config **ret_config, const char *override,
               struct buf *errors)
{
	int r = config_load(&table, "main.conf", folder, &override, override ? 1 : 0, ret_values,
	                    ret_config, errors);

	buf_add_char(errors, '\0');
	return r;
}

static struct config *load(struct values *ret_values)
{
	struct config *c = NULL;
	struct buf errors = { 0 };

	CU_ASSERT_EQUAL_FATAL(try(ret_values, &c, NULL, &errors), 0);
	CU_ASSERT_STRING_EQUAL(errors.data, "");
	buf_done(&errors);
	return c;
}

static void expect_errors(int error, const char *override, const char *messages)
{
	struct values values;
	struct config *c = NULL;
	struct buf errors = { 0 };

	CU_ASSERT_EQUAL(try(&values, &c, override, &errors), error);
	CU_ASSERT_PTR_NULL(c);
	CU_ASSERT_STRING_EQUAL(errors.data, messages);
	if (strcmp(errors.data, messages) != 0)
		printf("\n--- got:\n%s--- wanted:\n%s", errors.data, messages);
	buf_done(&errors);
}

/* Where the value of 'path' comes from. */
static void expect_origin(const struct config *c, const char *path, const char *origin)
{
	CU_ASSERT_STRING_EQUAL(config_origin_of(c, path), origin);
	if (strcmp(config_origin_of(c, path), origin) != 0)
		printf("\n%s: %s\n", path, config_origin_of(c, path));
}

static void expect_lanes(const struct values *values, const char *wanted)
{
	const struct lane *lanes = values->lanes.items;
	struct buf b = { 0 };

	for (size_t i = 0; i < values->lanes.n; i++)
		buf_printf(&b, "%s%s %llu %llu", i > 0 ? ", " : "", lanes[i].match,
		           (unsigned long long) lanes[i].rate, (unsigned long long) lanes[i].burst);
	buf_add_char(&b, '\0');
	CU_ASSERT_STRING_EQUAL(b.data, wanted);
	if (strcmp(b.data, wanted) != 0)
		printf("\ngot %s, wanted %s\n", b.data, wanted);
	buf_done(&b);
}

/* --- values ---------------------------------------------------------------------------- */

static void test_a_later_file_replaces_values_and_leaves_the_others(void)
{
	struct values v;

	write_files("workers = 1; needed = 1; tags = ( \"a\", \"b\" );\n"
	            "queue: { capacity = 5; depth = 6; };",
	            "workers = 2;\nqueue: { depth = 7; };", "\nworkers = 3; tags = \"c\";");
	struct config *c = load(&v);
	CU_ASSERT_EQUAL(v.workers, 3);
	CU_ASSERT_EQUAL(v.capacity, 5);
	CU_ASSERT_EQUAL(v.depth, 7);
	CU_ASSERT_EQUAL_FATAL(v.tags.n, 1);
	CU_ASSERT_STRING_EQUAL(v.tags.items[0], "c");
	expect_origin(c, "workers", "conf.d/20-b.conf:2");
	expect_origin(c, "tags", "conf.d/20-b.conf:2");
	expect_origin(c, "queue.depth", "conf.d/10-a.conf:2");
	expect_origin(c, "queue.capacity", "main.conf:2");
	config_free(c);
}

static void test_overrides_go_before_all_files(void)
{
	static const char override[] = "workers=9";
	struct values v;
	struct config *c = NULL;
	struct buf errors = { 0 };

	write_files("needed = 1;", "workers = 2;", NULL);
	CU_ASSERT_EQUAL_FATAL(try(&v, &c, override, &errors), 0);
	CU_ASSERT_EQUAL(v.workers, 9);
	expect_origin(c, "workers", "--set");
	config_free(c);
	buf_done(&errors);
}

static void test_elements_without_names_are_added(void)
{
	struct values v;

	write_files("needed = 1; sources = ( { path = \"a\"; }, { path = \"b\"; } );",
	            "sources = (\n { path = \"c\"; urls = \"u\"; } );", "sources = ( { path = \"d\"; } );");
	struct config *c = load(&v);
	const struct source *sources = v.sources.items;
	CU_ASSERT_EQUAL_FATAL(v.sources.n, 4);
	for (size_t i = 0; i < 4; i++)
		CU_ASSERT_EQUAL(*sources[i].path, "abcd"[i]);
	CU_ASSERT_EQUAL(sources[2].urls.n, 1);
	expect_origin(c, "sources[0]", "main.conf:1");
	expect_origin(c, "sources[2]", "conf.d/10-a.conf:2");
	expect_origin(c, "sources[2].urls", "conf.d/10-a.conf:2");
	expect_origin(c, "sources[3].path", "conf.d/20-b.conf:1");
	config_free(c);
}

static void test_an_empty_list_drops_what_was_before(void)
{
	struct values v;

	write_files("needed = 1; sources = ( { path = \"a\"; }, { path = \"b\"; urls = \"u\"; } );\n"
	            "lanes = ( { match = \"a\"; rate = 5; }, { match = \"*\"; burst = 3; } );",
	            "sources = ( ); lanes = ( );",
	            "sources = ( { path = \"c\"; } ); lanes = ( { match = \"b\"; } );");
	struct config *c = load(&v);
	CU_ASSERT_EQUAL_FATAL(v.sources.n, 1);
	CU_ASSERT_STRING_EQUAL(((const struct source *) v.sources.items)->path, "c");
	expect_origin(c, "sources[0].urls", "default");
	expect_origin(c, "sources[1].path", "default");
	expect_lanes(&v, "b 0 1, * 0 1");
	expect_origin(c, "lanes[0].rate", "default");
	expect_origin(c, "lanes[1].burst", "default");
	config_free(c);
}

static void test_elements_with_names_are_changed_or_go_before_the_others(void)
{
	struct values v;

	write_files("needed = 1; lanes = ( { match = \"a\"; rate = 1; burst = 2; },\n"
	            "{ match = \"b\"; rate = 3; } );",
	            "lanes = ( { match = \"c\"; },\n { match = \"b\"; burst = 4; },\n"
	            " { match = \"d\"; }, { match = \"*\"; rate = 7; } );",
	            "lanes = ( { match = \"*\"; burst = 8; } );");
	struct config *c = load(&v);
	expect_lanes(&v, "c 0 1, d 0 1, a 1 2, b 3 4, * 7 8");
	expect_origin(c, "lanes[0].match", "conf.d/10-a.conf:1");
	expect_origin(c, "lanes[2].burst", "main.conf:1");
	expect_origin(c, "lanes[3].rate", "main.conf:2");
	expect_origin(c, "lanes[3].burst", "conf.d/10-a.conf:2");
	expect_origin(c, "lanes[4].rate", "conf.d/10-a.conf:3");
	expect_origin(c, "lanes[4].burst", "conf.d/20-b.conf:1");
	config_free(c);
}

static void test_an_override_finds_what_a_drop_in_has_brought(void)
{
	static const char override[] = "lanes[b].burst=5";
	struct values v;
	struct config *c = NULL;
	struct buf errors = { 0 };

	write_files("needed = 1; lanes = ( { match = \"a\"; } );",
	            "lanes = ( { match = \"b\"; rate = 3; } );", NULL);
	CU_ASSERT_EQUAL_FATAL(try(&v, &c, override, &errors), 0);
	expect_lanes(&v, "b 3 5, a 0 1, * 0 1");
	expect_origin(c, "lanes[0].rate", "conf.d/10-a.conf:1");
	expect_origin(c, "lanes[0].burst", "--set");
	config_free(c);
	buf_done(&errors);
}

static void test_what_is_printed_reads_back_and_names_the_files(void)
{
	static const char wanted[] = "# read: main.conf\n"
	                             "# read: conf.d/10-a.conf\n"
	                             "workers = 64;            # default\n"
	                             "queue: {\n"
	                             "    capacity = 1000;     # default\n"
	                             "    depth = 3;           # default\n"
	                             "};\n"
	                             "tags = ( \"x\", \"y\" );     # default\n"
	                             "sources = (              # conf.d/10-a.conf:1\n"
	                             "    {                    # main.conf:1\n"
	                             "        path = \"a\";      # main.conf:1\n"
	                             "        urls = ( );      # default\n"
	                             "    },\n"
	                             "    {                    # conf.d/10-a.conf:1\n"
	                             "        path = \"b\";      # conf.d/10-a.conf:1\n"
	                             "        urls = ( \"u\" );  # conf.d/10-a.conf:1\n"
	                             "    }\n"
	                             ");\n"
	                             "lanes = (                # conf.d/10-a.conf:2\n"
	                             "    {                    # conf.d/10-a.conf:2\n"
	                             "        match = \"a\";     # conf.d/10-a.conf:2\n"
	                             "        rate = 0;        # default\n"
	                             "        burst = 1;       # default\n"
	                             "    },\n"
	                             "    {                    # default\n"
	                             "        match = \"*\";     # default\n"
	                             "        rate = 0;        # default\n"
	                             "        burst = 1;       # default\n"
	                             "    }\n"
	                             ");\n"
	                             "needed = 1;              # main.conf:1\n";
	struct values v, again;
	struct buf b = { 0 };

	write_files("needed = 1; sources = ( { path = \"a\"; } );",
	            "sources = ( { path = \"b\"; urls = \"u\"; } );\nlanes = ( { match = \"a\"; } );",
	            NULL);
	struct config *c = load(&v);
	config_print(&table, c, &v, &b);
	buf_add_char(&b, '\0');
	CU_ASSERT_STRING_EQUAL(b.data, wanted);
	if (strcmp(b.data, wanted) != 0)
		printf("\n--- got:\n%s", b.data);
	config_free(c);

	write_files(b.data, NULL, NULL);
	c = load(&again);
	CU_ASSERT_EQUAL(again.sources.n, 2);
	CU_ASSERT_EQUAL(again.lanes.n, 2);
	config_free(c);
	buf_done(&b);
}

/* --- files ----------------------------------------------------------------------------- */

static void test_names_decide_what_is_read_and_when(void)
{
	static const char *const ignored[] = {
		"conf.d/.hidden.conf", "conf.d/a.conf~",       "conf.d/a.conf.dpkg-old",
		"conf.d/a.conf.rpmsave", "conf.d/.conf", "conf.d/README", "conf.d/a.CONF",
	};
	struct values v;

	write_files("needed = 1;", "workers = 2;", NULL);
	for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
		write_file(ignored[i], "rubbish");
	write_file("conf.d/9.conf", "workers = 9;");   /* not numbers, but names are compared */
	write_file("conf.d/Z.conf", "workers = 26;");
	write_file("conf.d/a.conf", "workers = 27;");  /* behind all capital letters */
	struct config *c = load(&v);
	CU_ASSERT_EQUAL(v.workers, 27);
	expect_origin(c, "workers", "conf.d/a.conf:1");
	config_free(c);
	CU_ASSERT_EQUAL(unlink("conf.d/a.conf"), 0);
	c = load(&v);
	CU_ASSERT_EQUAL(v.workers, 26);
	config_free(c);
	CU_ASSERT_EQUAL(unlink("conf.d/Z.conf"), 0);
	c = load(&v);
	CU_ASSERT_EQUAL(v.workers, 9);
	config_free(c);
	CU_ASSERT_EQUAL(unlink("conf.d/9.conf"), 0);
	for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
		CU_ASSERT_EQUAL(unlink(ignored[i]), 0);
}

static void test_a_folder_that_is_not_there_is_empty(void)
{
	struct values v;

	write_files("needed = 1;", NULL, NULL);
	CU_ASSERT_EQUAL_FATAL(rmdir("conf.d"), 0);
	config_free(load(&v));
	write_file("conf.d", "");
	expect_errors(-ENOENT, NULL,
	              "conf.d: cannot read it: Not a directory; check the name\n");
	CU_ASSERT_EQUAL_FATAL(unlink("conf.d"), 0);
	CU_ASSERT_EQUAL_FATAL(mkdir("conf.d", 0700), 0);
}

static void test_all_problems_are_reported_with_their_file_and_line(void)
{
	write_files("workers = 100;\nneeded = 1;", "\nworkrs = 1;\n", "workers = 2;\nworkers = 3;\n");
	write_file("conf.d/30.conf", "sources = ( { path = \"a\"; }, {\n urls = \"x\"; } );\n"
	                             "lanes = ( { match = \"*\"; },\n { match = \"a\"; },\n"
	                             " { match = \"a\"; } );");
	CU_ASSERT_EQUAL_FATAL(mkdir("conf.d/40.conf", 0700), 0);
	CU_ASSERT_EQUAL_FATAL(symlink("nowhere", "conf.d/50.conf"), 0);
	expect_errors(-EINVAL, "needed=x",
	              "main.conf:1: workers: 100 is out of range; give at most 99\n"
	              "conf.d/10-a.conf:2: workrs: unknown key; did you mean workers?\n"
	              "conf.d/20-b.conf:2: duplicate setting name; a key can be given once in its "
	              "group, remove one\n"
	              "conf.d/30.conf:1: sources[1].path: is missing, and there is no default; add it\n"
	              "conf.d/30.conf:4: lanes[1]: never matches, because it comes after \"*\"; "
	              "move it up\n"
	              "conf.d/30.conf:5: lanes[2]: match \"a\" is that of lanes[1] already; remove one\n"
	              "conf.d/40.conf: cannot read it: Is a directory; give a file\n"
	              "conf.d/50.conf: cannot read it: No such file or directory; check the name\n"
	              "--set needed=x: must be a whole number; give for example 10\n");
	CU_ASSERT_EQUAL(unlink("conf.d/30.conf"), 0);
	CU_ASSERT_EQUAL(rmdir("conf.d/40.conf"), 0);
	CU_ASSERT_EQUAL(unlink("conf.d/50.conf"), 0);
}

static void test_a_drop_in_may_give_what_the_file_has_to(void)
{
	struct values v;

	write_files("", "needed = 4;", NULL);
	config_free(load(&v));
	CU_ASSERT_EQUAL(v.needed, 4);
	write_files("", "", "");
	expect_errors(-EINVAL, NULL,
	              "main.conf: needed: is missing, and there is no default; add it\n");
}

static void test_what_is_read_is_bounded(void)
{
	struct buf name = { 0 };
	static char much[6 << 20];

	write_files("needed = 1;", NULL, NULL);
	for (unsigned i = 0; i < 1001; i++) {
		buf_clear(&name);
		buf_printf(&name, "conf.d/%u.conf", i);
		buf_add_char(&name, '\0');
		CU_ASSERT_EQUAL(symlink("/dev/null", name.data), 0);
	}
	expect_errors(-EINVAL, NULL, "conf.d: more than 1000 files; merge some\n");
	for (unsigned i = 0; i < 1001; i++) {
		buf_clear(&name);
		buf_printf(&name, "conf.d/%u.conf", i);
		buf_add_char(&name, '\0');
		CU_ASSERT_EQUAL(unlink(name.data), 0);
	}
	buf_done(&name);

	memset(much, ' ', sizeof(much) - 1);
	write_files(much, much, much);
	expect_errors(-EINVAL, "needed=1",
	              "conf.d/20-b.conf: more than 16M in all files; take out some\n");
	write_files("", NULL, NULL);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "a later file replaces values, and leaves the others",
		  test_a_later_file_replaces_values_and_leaves_the_others },
		{ "overrides go before all files", test_overrides_go_before_all_files },
		{ "elements without names are added", test_elements_without_names_are_added },
		{ "an empty list drops what was before", test_an_empty_list_drops_what_was_before },
		{ "elements with names are changed, or go before the others",
		  test_elements_with_names_are_changed_or_go_before_the_others },
		{ "an override finds what a drop-in has brought",
		  test_an_override_finds_what_a_drop_in_has_brought },
		{ "what is printed reads back, and names the files",
		  test_what_is_printed_reads_back_and_names_the_files },
		{ "names decide what is read, and when", test_names_decide_what_is_read_and_when },
		{ "a folder that is not there is empty", test_a_folder_that_is_not_there_is_empty },
		{ "all problems are reported with their file and line",
		  test_all_problems_are_reported_with_their_file_and_line },
		{ "a drop-in may give what the file has to", test_a_drop_in_may_give_what_the_file_has_to },
		{ "what is read is bounded", test_what_is_read_is_bounded },
		CU_TEST_INFO_NULL,
	};
	char dir[] = "/tmp/penstock-drop-ins-XXXXXX";

	if (!mkdtemp(dir) || chdir(dir) < 0 || mkdir(folder, 0700) < 0)
		return EXIT_FAILURE;
	int status = unit_run("config drop-ins", tests);
	bool gone = unlink("main.conf") == 0 && rmdir(folder) == 0 && rmdir(dir) == 0;
	return gone ? status : EXIT_FAILURE;
}
