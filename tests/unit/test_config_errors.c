/* SPDX-License-Identifier: Apache-2.0 */
/* config.h: every kind of error, word for word, and that nothing is stored then. */
#include "config/config.h"

#include "base/attr.h"
#include "config_example.h"
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Loads and expects exactly these messages, and that nothing is stored. */
static void expect_failure(const struct config_table *t, const char *path,
                           const char *const *overrides, size_t n, int error, const char *messages)
{
	struct settings settings, before;
	struct buf errors = { 0 };
	struct config *c = NULL;

	memset(&settings, 0x5a, sizeof(settings));
	memcpy(&before, &settings, sizeof(settings));
	int r = config_load(t, path, NULL, overrides, n, &settings, &c, &errors);
	CU_ASSERT_EQUAL(r, error);
	CU_ASSERT_PTR_NULL_FATAL(c);
	CU_ASSERT_EQUAL(memcmp(&settings, &before, sizeof(settings)), 0);
	buf_add_char(&errors, '\0');
	if (strcmp(errors.data, messages) != 0)
		printf("\n--- got:\n%s--- wanted:\n%s", errors.data, messages);
	CU_ASSERT_STRING_EQUAL(errors.data, messages);
	buf_done(&errors);
}

static void expect(const char *text, const char *messages)
{
	write_text(FILE_NAME, text);
	expect_failure(&table, FILE_NAME, NULL, 0, -EINVAL, messages);
}

static void expect_override(const char *override, const char *message)
{
	expect_failure(&table, NULL, &override, 1, -EINVAL, message);
}

static void test_reports_a_file_that_cannot_be_read(void)
{
	expect_failure(&table, "none.conf", NULL, 0, -ENOENT,
	               "none.conf: cannot read it: No such file or directory; check the name\n");
	write_text(FILE_NAME, "");
	expect_failure(
	        &table, FILE_NAME "/none.conf", NULL, 0, -ENOENT,
	        "penstock.conf/none.conf: cannot read it: Not a directory; check the name\n");
	expect_failure(&table, "sub", NULL, 0, -EINVAL,
	               "sub: cannot read it: Is a directory; give a file\n");
	expect_failure(
	        &table, "/dev/zero", NULL, 0, -EINVAL,
	        "/dev/zero: cannot read it: File too large; it is not a configuration file\n");
	write_file(FILE_NAME, "a\0b", 3);
	expect_failure(&table, FILE_NAME, NULL, 0, -EINVAL,
	               "penstock.conf: contains NUL characters; it is not a text file\n");

	if (geteuid() != 0) { /* root may read all */
		CU_ASSERT_EQUAL(chmod(FILE_NAME, 0), 0);
		expect_failure(&table, FILE_NAME, NULL, 0, -EACCES,
		               "penstock.conf: cannot read it: Permission denied; "
		               "let this user read it\n");
		CU_ASSERT_EQUAL(chmod(FILE_NAME, 0600), 0);
	}
}

static void test_reports_overrides_even_without_the_file(void)
{
	const char *override = "workers=0";

	expect_failure(&table, "none.conf", &override, 1, -ENOENT,
	               "none.conf: cannot read it: No such file or directory; check the name\n"
	               "--set workers=0: 0 is out of range; give 1 to 1024\n");
}

static void test_reports_syntax_with_file_and_line(void)
{
	expect("workers = 1;\nqueue: {\n  capacity = ;\n}\n",
	       "penstock.conf:3: syntax error; look at this line and the end of the one before\n");
	expect("workers = 1;\n\nworkers = 2;\n",
	       "penstock.conf:3: duplicate setting name; a key can be given once in its group, "
	       "remove one\n");
	expect("guard: { deny = [ \"a\",\n 1 ] }\n",
	       "penstock.conf:2: mismatched element type in array; correct this line\n");

	write_text("sub/more.conf", "# nothing\nworkers ! 3;\n");
	expect("size = 1;\n@include \"sub/more.conf\"\n",
	       "sub/more.conf:2: syntax error; look at this line and the end of the one before\n");
	write_text("sub/more.conf", "size = 2;\n");
	expect("size = 1;\n@include \"sub/more.conf\"\n",
	       "sub/more.conf:1: duplicate setting name; a key can be given once in its group, "
	       "remove one\n");
}

static void test_reports_what_does_not_end(void)
{
	expect("workers = 1;\nresults: { path = \"abc\n",
	       "penstock.conf:2: a string starts here and does not end; add a quotation mark\n");
	expect("\n/* workers = 1;\n",
	       "penstock.conf:2: a comment starts here and does not end; add */\n");
	expect("results: { path = \"abc\\x00d\" }\n",
	       "penstock.conf:1: a string cannot contain a NUL character (\\x00); remove it\n");
}

static void test_reports_all_includes_that_fail(void)
{
	write_text("sub/self.conf", "@include \"self.conf\"\n@include \"../penstock.conf\"\n");
	expect("@include \"none.conf\"\n"
	       "  @include \"sub\"\n"
	       "@include \"sub/self.conf\"\n"
	       "workers = 1; @include \"none.conf\"\n"
	       "@include \"/dev/zero\"\n"
	       "// @include \"none.conf\"\n"
	       "results: { path = \"\n@include \\\"none.conf\\\"\" };\n"
	       "@include none.conf\n",
	       "penstock.conf:1: cannot include none.conf: No such file or directory; check the name\n"
	       "penstock.conf:2: cannot include sub: Is a directory; give a file\n"
	       "sub/self.conf:1: sub/self.conf would include itself; remove this @include\n"
	       "sub/self.conf:2: sub/../penstock.conf would include itself; remove this @include\n"
	       "penstock.conf:4: unexpected @; to include a file, write on a line: @include \"FILE\"\n"
	       "penstock.conf:5: cannot include /dev/zero: File too large; "
	       "it is not a configuration file\n"
	       "penstock.conf:9: unexpected @; to include a file, write on a line: @include \"FILE\"\n");
}

static void test_includes_nest_only_so_deep(void)
{
	for (unsigned i = 0; i < 20; i++) {
		char name[32], text[64];
		(void) snprintf(name, sizeof(name), "nest%u.conf", i);
		(void) snprintf(text, sizeof(text), "@include \"nest%u.conf\"\n", i + 1);
		write_text(name, i < 19 ? text : "");
	}
	expect_failure(&table, "nest0.conf", NULL, 0, -EINVAL,
	               "nest10.conf:1: cannot include nest11.conf: more than 10 files deep; "
	               "merge some\n");
}

static void test_names_the_nearest_key(void)
{
	expect("wrokers = 1;\n"
	       "queue: { capacty = 1; colour = 2 }\n"
	       "queu: { capacity = 1 }\n"
	       "capacity = 1;\n"
	       "x = 1;\n"
	       "absent: { like = 1 }\n"
	       "sources = ( { path = \"p\"; tpye = \"file\"; retry: { trie = 1 }; z = 1 } );\n",
	       "penstock.conf:1: wrokers: unknown key; did you mean workers?\n"
	       "penstock.conf:2: queue.capacty: unknown key; did you mean queue.capacity?\n"
	       "penstock.conf:2: queue.colour: unknown key; known here: capacity, max_bytes, wait, "
	       "burst\n"
	       "penstock.conf:3: queu: unknown key; did you mean queue?\n"
	       "penstock.conf:4: capacity: unknown key; did you mean queue.capacity?\n"
	       "penstock.conf:5: x: unknown key; known here: workers, queue, results, guard, sources, "
	       "least, anything, size, span, rate\n"
	       "penstock.conf:6: absent: unknown key; known here: workers, queue, results, guard, "
	       "sources, least, anything, size, span, rate\n"
	       "penstock.conf:7: sources[0].tpye: unknown key; did you mean type?\n"
	       "penstock.conf:7: sources[0].retry.trie: unknown key; did you mean retry.tries?\n"
	       "penstock.conf:7: sources[0].z: unknown key; known here: type, path, every, tags, "
	       "retry, hours\n");
}

static void test_reports_every_wrong_type(void)
{
	expect("workers = \"8\";\n"
	       "queue: { capacity = 1.5; max_bytes = true; wait = 30; burst: { a = 1 } };\n"
	       "results: { path = 5; bodies = 5; files = 1; };\n"
	       "guard: { deny = ( \"a\", 5,\n { } ) };\n"
	       "sources: { path = \"p\" };\n"
	       "anything = ( 1 );\n"
	       "size = 1.0;\n"
	       "span = 7;\n"
	       "rate = 7;\n",
	       "penstock.conf:1: workers: must be a whole number, not a string (no quotes); "
	       "give 1 to 1024\n"
	       "penstock.conf:2: queue.capacity: must be a whole number, not a fraction; "
	       "give 1 to 1000000 jobs\n"
	       "penstock.conf:2: queue.max_bytes: must be a size, not true or false; give 1K to 1T\n"
	       "penstock.conf:2: queue.wait: 30 has no unit, write \"30s\" if it is seconds; "
	       "give 1s to 1h\n"
	       "penstock.conf:2: queue.burst: must be a whole number, not a group; give at most 10\n"
	       "penstock.conf:3: results.path: must be a string, not a whole number; "
	       "give for example \"text\"\n"
	       "penstock.conf:3: results.bodies: must be a string, not a whole number; "
	       "give none, inline or files\n"
	       "penstock.conf:3: results.files: must be a group, not a whole number; "
	       "write { … } around its keys\n"
	       "penstock.conf:4: guard.deny[1]: must be a string, not a whole number; "
	       "put it in quotes\n"
	       "penstock.conf:4: guard.deny[2]: must be a string, not a group; put it in quotes\n"
	       "penstock.conf:6: sources: must be a list of groups, not a group; "
	       "give for example ( { … } )\n"
	       "penstock.conf:7: anything: must be a whole number, not a list; give for example 10\n"
	       "penstock.conf:8: size: must be a size, not a fraction; "
	       "give for example \"64M\" (K, M, G, T, or none for bytes)\n"
	       "penstock.conf:9: span: 7 has no unit, write \"7s\" if it is seconds; "
	       "give for example \"30s\" (ms, s, m, h or d)\n"
	       "penstock.conf:10: rate: 7 has no unit, write \"7/s\" if it is in a second; "
	       "give for example \"5/s\" (s, m, h or d)\n");
}

static void test_reports_every_value_out_of_range(void)
{
	expect("workers = 0;\n"
	       "queue: { capacity = 1000001; max_bytes = \"2T\"; wait = \"61m\"; burst = 11; };\n"
	       "results: { bodies = \"file\"; path = \"\x01\t\x7f fine\"; };\n"
	       "anything = -1;\n"
	       "size = \"64m\"; least = 1;\n"
	       "span = \"99999999999d\";\n"
	       "rate = \"9999999999/s\";\n",
	       "penstock.conf:1: workers: 0 is out of range; give 1 to 1024\n"
	       "penstock.conf:2: queue.capacity: 1000001 is out of range; give 1 to 1000000 jobs\n"
	       "penstock.conf:2: queue.max_bytes: 2T is out of range; give 1K to 1T\n"
	       "penstock.conf:2: queue.wait: 61m is out of range; give 1s to 1h\n"
	       "penstock.conf:2: queue.burst: 11 is out of range; give at most 10\n"
	       "penstock.conf:3: results.bodies: \"file\" is not known; give none, inline or files\n"
	       "penstock.conf:4: anything: -1 is negative; give for example 10\n"
	       "penstock.conf:5: size: \"64m\" is not a size; "
	       "give for example \"64M\" (K, M, G, T, or none for bytes)\n"
	       "penstock.conf:5: least: 1 is out of range; give at least 2\n"
	       "penstock.conf:6: span: \"99999999999d\" is too large; "
	       "give for example \"30s\" (ms, s, m, h or d)\n"
	       "penstock.conf:7: rate: \"9999999999/s\" is too fast or too slow; "
	       "give for example \"5/s\" (s, m, h or d)\n");
}

static void test_whole_numbers_do_not_wrap(void)
{
	struct settings s;
	struct config *c = load("anything = 5000000000; size = 0xFFFFFFFF", &s);

	CU_ASSERT_EQUAL(s.anything, UINT64_C(5000000000));
	CU_ASSERT_EQUAL(s.size, UINT64_C(0xffffffff));
	c = config_free(c);

	c = load("anything = 9223372036854775807; size = 2147483648L", &s);
	CU_ASSERT_EQUAL(s.anything, INT64_MAX);
	CU_ASSERT_EQUAL(s.size, UINT64_C(2147483648));
	c = config_free(c);

	/* A name with digits is no number, and neither are digits in a string or a comment. */
	c = load("results: { path = \"5000000000\" } /* 5000000000 */ # 5000000000", &s);
	CU_ASSERT_STRING_EQUAL(s.path, "5000000000");
	c = config_free(c);

	expect("workers = 4294967297;\n"
	       "queue: {\n capacity = 18446744073709551617; max_bytes = 0xFFFFFFFFFFFFFFFFFF; };\n"
	       "results: { path = 99999999999999999999; };\n"
	       "anything = -99999999999999999999;\n"
	       "size = 9223372036854775808LL;\n"
	       "span = 5000000000;\n",
	       "penstock.conf:1: workers: 4294967297 is out of range; give 1 to 1024\n"
	       "penstock.conf:3: queue.capacity: is out of range; give 1 to 1000000 jobs\n"
	       "penstock.conf:3: queue.max_bytes: is out of range; give 1K to 1T\n"
	       "penstock.conf:4: results.path: must be a string, not a fraction; "
	       "give for example \"text\"\n"
	       "penstock.conf:5: anything: is out of range; give for example 10\n"
	       "penstock.conf:6: size: is out of range; "
	       "give for example \"64M\" (K, M, G, T, or none for bytes)\n"
	       "penstock.conf:7: span: 5000000000 has no unit, write \"5000000000s\" if it is "
	       "seconds; give for example \"30s\" (ms, s, m, h or d)\n");
}

static void test_reports_missing_keys(void)
{
	static const struct config_key required[] = {
		KEY(settings, path, .path = "a.path", .type = CONFIG_STRING),
		KEY(settings, workers, .path = "b", .type = CONFIG_COUNT),
	};
	static const struct config_table t = {
		.keys = required,
		.n = 2,
		.size = sizeof(struct settings),
	};
	const char *const overrides[] = { "a.path=x", "b=1" };
	struct buf errors = { 0 };
	struct config *c = NULL;
	struct settings s;

	write_text(FILE_NAME, "b = \"wrong, but there\";\n");
	expect_failure(&t, FILE_NAME, NULL, 0, -EINVAL,
	               "penstock.conf:1: b: must be a whole number, not a string (no quotes); "
	               "give for example 10\n"
	               "penstock.conf: a.path: is missing, and there is no default; add it\n");
	expect_failure(&t, NULL, overrides, 1, -EINVAL,
	               "configuration: b: is missing, and there is no default; add it\n");

	/* What is missing from a file that was not read to its end may be in the rest. */
	write_text(FILE_NAME, "b ! 1;\n");
	expect_failure(&t, FILE_NAME, NULL, 0, -EINVAL,
	               "penstock.conf:1: syntax error; look at this line and the end of the one "
	               "before\n");
	CU_ASSERT_EQUAL(config_load(&t, NULL, NULL, overrides, 2, &s, &c, &errors), 0);
	c = config_free(c);
	expect("sources = ( { path = \"p\" },\n\n {\n every = \"1s\" }, 5 );\n",
	       "penstock.conf:3: sources[1].path: is missing, and there is no default; add it\n"
	       "penstock.conf:4: sources[2]: must be a group, not a whole number; write { … }\n");
}

static void test_overrides_are_checked(void)
{
	expect_override("queue.capacity=x", "--set queue.capacity=x: must be a whole number; "
	                                    "give 1 to 1000000 jobs\n");
	expect_override("queue.capacity=", "--set queue.capacity=: must be a whole number; "
	                                   "give 1 to 1000000 jobs\n");
	expect_override("queue.capacity=-1", "--set queue.capacity=-1: must be a whole number; "
	                                     "give 1 to 1000000 jobs\n");
	expect_override("workers=18446744073709551617",
	                "--set workers=18446744073709551617: is out of range; give 1 to 1024\n");
	expect_override(
	        "anything=9223372036854775808",
	        "--set anything=9223372036854775808: is out of range; give for example 10\n");
	expect_override("queue.wait=30", "--set queue.wait=30: \"30\" is not a time; "
	                                 "give for example \"30s\" (ms, s, m, h or d)\n");
	expect_override(
	        "results.files.follow=1",
	        "--set results.files.follow=1: must be true or false; give for example true\n");
	expect_override("guard.deny=a,,b", "--set guard.deny=a,,b: the list has an empty item; "
	                                   "give for example ( \"text\" )\n");
	expect_override("workers", "--set workers: no value; write KEY=VALUE\n");
	expect_override("queue=1", "--set queue=1: queue is a group; give one of its keys\n");
	expect_override("sources=", "--set sources=: sources is a list of groups; "
	                            "change it in the file\n");
	expect_override("sources[0].path=x",
	                "--set sources[0].path=x: sources is a list of groups; "
	                "change it in the file\n");
	expect_override("queue.capacty=1",
	                "--set queue.capacty=1: unknown key; did you mean queue.capacity?\n");
	expect_override("results.bodies=a\nb\x1b",
	                "--set results.bodies=a?b?: \"a?b?\" is not known; "
	                "give none, inline or files\n");
}

static void test_reports_a_default_that_is_wrong(void)
{
	static const struct config_key wrong[] = {
		KEY(settings, workers, .path = "a", .type = CONFIG_COUNT, .preset = "5", .min = 1,
		    .max = 4, .unit = "jobs"),
	};
	static const struct config_table t = {
		.keys = wrong,
		.n = 1,
		.size = sizeof(struct settings),
	};

	expect_failure(&t, NULL, NULL, 0, -EINVAL,
	               "default: a: 5 is out of range; give 1 to 4 jobs\n");
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "reports a file that cannot be read", test_reports_a_file_that_cannot_be_read },
		{ "reports overrides even without the file",
		  test_reports_overrides_even_without_the_file },
		{ "reports syntax with file and line", test_reports_syntax_with_file_and_line },
		{ "reports what does not end", test_reports_what_does_not_end },
		{ "reports all includes that fail", test_reports_all_includes_that_fail },
		{ "includes nest only so deep", test_includes_nest_only_so_deep },
		{ "names the nearest key", test_names_the_nearest_key },
		{ "reports every wrong type", test_reports_every_wrong_type },
		{ "reports every value out of range", test_reports_every_value_out_of_range },
		{ "whole numbers do not wrap", test_whole_numbers_do_not_wrap },
		{ "reports missing keys", test_reports_missing_keys },
		{ "overrides are checked", test_overrides_are_checked },
		{ "reports a default that is wrong", test_reports_a_default_that_is_wrong },
		CU_TEST_INFO_NULL,
	};

	return run_in_directory("config_errors", tests);
}
