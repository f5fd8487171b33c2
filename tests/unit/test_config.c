/* SPDX-License-Identifier: Apache-2.0 */
/* config.h: values, their origins, printing what was loaded, and damaged files. */
#include "config/config.h"

#include "base/attr.h"
#include "base/random.h"
#include "config_example.h"
#include "unit.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* libconfig 1.5 loses the string at which it finds an error of syntax: a few bytes for
 * each such file, which nobody outside of it can free. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:strbuf_append\nleak:libconfig_yylex\n";
}

static void test_without_a_file_there_are_the_defaults(void)
{
	struct buf errors = { 0 };
	struct config *c = NULL;
	struct settings s;

	CU_ASSERT_EQUAL_FATAL(config_load(&table, NULL, NULL, NULL, 0, &s, &c, &errors), 0);
	CU_ASSERT_EQUAL(s.workers, 64);
	CU_ASSERT_EQUAL(s.capacity, 1000);
	CU_ASSERT_EQUAL(s.max_bytes, UINT64_C(64) << 20);
	CU_ASSERT_EQUAL(s.wait, UINT64_C(30000000000));
	CU_ASSERT_FALSE(s.follow);
	CU_ASSERT_STRING_EQUAL(s.path, "results.jsonl");
	CU_ASSERT_EQUAL(s.bodies, 0);
	CU_ASSERT_EQUAL_FATAL(s.deny.n, 2);
	CU_ASSERT_STRING_EQUAL(s.deny.items[0], "link-local");
	CU_ASSERT_STRING_EQUAL(s.deny.items[1], "loopback");
	CU_ASSERT_EQUAL(s.sources.n, 0);
	CU_ASSERT_STRING_EQUAL(config_origin_of(c, "workers"), "default");
	c = config_free(c);
	CU_ASSERT_PTR_NULL(config_free(NULL));
	buf_done(&errors);
}

static void test_reads_every_type(void)
{
	struct settings s;
	struct config *c = load("workers = 8;\n"
	                        "queue: { capacity = 10; max_bytes = \"1G\";\n"
	                        "         wait = \"1.5s\" }\n"
	                        "results = { path = \"a\\\"b\\x41\\n\"; bodies = \"files\";\n"
	                        "  files: { follow = TRUE } };\n"
	                        "guard: { deny = [ \"a,b\", \"c\" ] }\n"
	                        "sources = ( { path = \"p\" },\n"
	                        "  { type = \"schedule\"; path = \"q\"; every = \"2m\";\n"
	                        "    tags = ( \"x\" ); retry: { tries = 3; };\n"
	                        "    hours = ( { from = 7; } ) } );\n"
	                        "size = 4096; span = 0; rate = \"100/m\"; // the end without a newline",
	                        &s);
	const struct source *sources = s.sources.items;

	CU_ASSERT_EQUAL(s.workers, 8);
	CU_ASSERT_EQUAL(s.capacity, 10);
	CU_ASSERT_EQUAL(s.max_bytes, UINT64_C(1) << 30);
	CU_ASSERT_EQUAL(s.wait, UINT64_C(1500000000));
	CU_ASSERT_STRING_EQUAL(s.path, "a\"bA\n");
	CU_ASSERT_EQUAL(s.bodies, 2);
	CU_ASSERT_TRUE(s.follow);
	CU_ASSERT_EQUAL_FATAL(s.deny.n, 2);
	CU_ASSERT_STRING_EQUAL(s.deny.items[0], "a,b");
	CU_ASSERT_EQUAL(s.size, 4096);
	CU_ASSERT_EQUAL(s.rate, UINT64_C(600000000));
	CU_ASSERT_EQUAL_FATAL(s.sources.n, 2);
	CU_ASSERT_EQUAL(sources[0].type, 0);
	CU_ASSERT_STRING_EQUAL(sources[0].path, "p");
	CU_ASSERT_EQUAL(sources[0].tries, 5);
	CU_ASSERT_EQUAL(sources[1].type, 2);
	CU_ASSERT_EQUAL(sources[1].every, UINT64_C(120000000000));
	CU_ASSERT_EQUAL_FATAL(sources[1].tags.n, 1);
	CU_ASSERT_STRING_EQUAL(sources[1].tags.items[0], "x");
	CU_ASSERT_EQUAL(sources[1].tries, 3);
	CU_ASSERT_EQUAL_FATAL(sources[1].hours.n, 1);
	CU_ASSERT_EQUAL(((const struct hour *) sources[1].hours.items)->from, 7);
	c = config_free(c);
}

static void test_one_string_is_a_list_of_one(void)
{
	struct settings s;
	struct config *c = load("guard: { deny = \"private, and more\" }", &s);

	CU_ASSERT_EQUAL_FATAL(s.deny.n, 1);
	CU_ASSERT_STRING_EQUAL(s.deny.items[0], "private, and more");
	c = config_free(c);

	c = load("guard: { deny = \"\" }", &s);
	CU_ASSERT_EQUAL(s.deny.n, 0);
	c = config_free(c);

	c = load("guard: { deny = ( ) }", &s);
	CU_ASSERT_EQUAL(s.deny.n, 0);
	c = config_free(c);
}

static void test_the_ends_of_a_range_are_in_it(void)
{
	struct settings s;
	struct config *c = load("workers = 1; least = 2;\r\n"
	                        "queue: { burst = 10; wait = \"1h\"; };",
	                        &s);

	CU_ASSERT_EQUAL(s.workers, 1);
	CU_ASSERT_EQUAL(s.least, 2);
	CU_ASSERT_EQUAL(s.burst, 10);
	CU_ASSERT_EQUAL(s.wait, UINT64_C(3600000000000));
	c = config_free(c);
}

static void test_knows_where_values_come_from(void)
{
	const char *const overrides[] = { "queue.capacity=7", "queue.burst=2" };
	struct buf errors = { 0 };
	struct config *c = NULL;
	struct settings s;

	write_text(FILE_NAME,
	           "# first line\nworkers = 8;\n@include \"sub/more.conf\"\nspan = \"1s\";\n"
	           "sources = ( {\n  path = \"p\" } );\n");
	write_text("sub/more.conf", "queue: {\n@include \"deep/queue.conf\"\n};\n\nsize = 5;");
	write_text("sub/deep/queue.conf", "\n\ncapacity = 9; wait = \"9s\";\n");
	CU_ASSERT_EQUAL_FATAL(config_load(&table, "./" FILE_NAME, NULL, overrides, 2, &s, &c, &errors),
	                      0);

	CU_ASSERT_EQUAL(s.capacity, 7);
	CU_ASSERT_EQUAL(s.burst, 2);
	CU_ASSERT_STRING_EQUAL(config_origin_of(c, "workers"), "./penstock.conf:2");
	CU_ASSERT_STRING_EQUAL(config_origin_of(c, "queue.wait"), "./sub/deep/queue.conf:3");
	CU_ASSERT_STRING_EQUAL(config_origin_of(c, "size"), "./sub/more.conf:5");
	CU_ASSERT_STRING_EQUAL(config_origin_of(c, "span"), "./penstock.conf:4");
	CU_ASSERT_STRING_EQUAL(config_origin_of(c, "sources"), "./penstock.conf:5");
	CU_ASSERT_STRING_EQUAL(config_origin_of(c, "sources[0].path"), "./penstock.conf:6");
	CU_ASSERT_STRING_EQUAL(config_origin_of(c, "sources[0].type"), "default");
	CU_ASSERT_STRING_EQUAL(config_origin_of(c, "queue.capacity"), "--set");
	CU_ASSERT_STRING_EQUAL(config_origin_of(c, "queue.burst"), "--set");
	c = config_free(c);
	buf_done(&errors);
}

static void test_overrides_read_every_type(void)
{
	static const char *const overrides[] = {
		"workers=9",
		"queue.max_bytes=1M",
		"queue.wait=2s",
		"results.path=a=b",
		"results.bodies=inline",
		"results.files.follow=True",
		"guard.deny=a , b",
		"rate=1.5/s",
		"workers=10",
	};
	struct buf errors = { 0 };
	struct config *c = NULL;
	struct settings s;

	int r = config_load(&table, NULL, NULL, overrides, ARRAY_LEN(overrides), &s, &c, &errors);
	CU_ASSERT_EQUAL_FATAL(r, 0);
	CU_ASSERT_EQUAL(s.workers, 10);
	CU_ASSERT_EQUAL(s.max_bytes, 1 << 20);
	CU_ASSERT_EQUAL(s.wait, UINT64_C(2000000000));
	CU_ASSERT_STRING_EQUAL(s.path, "a=b");
	CU_ASSERT_EQUAL(s.bodies, 1);
	CU_ASSERT_TRUE(s.follow);
	CU_ASSERT_EQUAL(s.rate, 666666667);
	CU_ASSERT_EQUAL_FATAL(s.deny.n, 2);
	CU_ASSERT_STRING_EQUAL(s.deny.items[0], "a");
	CU_ASSERT_STRING_EQUAL(s.deny.items[1], "b");
	c = config_free(c);
	buf_done(&errors);
}

static void test_prints_groups_and_origins(void)
{
	struct settings s;
	struct config *c = load("workers = 8;\nqueue: { max_bytes = 5000000000;\n burst = 3 };\n"
	                        "anything = 5000000000;\n"
	                        "sources = ( { path = \"a\\\\x41\\\"\\n\\x01\";\n"
	                        " tags = ( \"x\", \"y\" ); hours = ( { } ) }, { path = \"\" } );",
	                        &s);
	struct buf b = { 0 };

	config_print(&table, c, &s, &b);
	buf_add_char(&b, '\0');
	CU_ASSERT_FALSE_FATAL(b.failed);
	CU_ASSERT_STRING_EQUAL(
	        b.data, "workers = 8;                              # penstock.conf:1\n"
	                "queue: {\n"
	                "    capacity = 1000;                      # default\n"
	                "    max_bytes = \"5000000000\";             # penstock.conf:2\n"
	                "    wait = \"30s\";                         # default\n"
	                "    burst = 3;                            # penstock.conf:3\n"
	                "};\n"
	                "results: {\n"
	                "    path = \"results.jsonl\";               # default\n"
	                "    bodies = \"none\";                      # default\n"
	                "    files: {\n"
	                "        follow = false;                   # default\n"
	                "    };\n"
	                "};\n"
	                "guard: {\n"
	                "    deny = ( \"link-local\", \"loopback\" );  # default\n"
	                "};\n"
	                "sources = (                               # penstock.conf:5\n"
	                "    {                                     # penstock.conf:5\n"
	                "        type = \"file\";                    # default\n"
	                "        path = \"a\\\\x41\\\"\\n\\x01\";          # penstock.conf:5\n"
	                "        every = \"10s\";                    # default\n"
	                "        tags = ( \"x\", \"y\" );              # penstock.conf:6\n"
	                "        retry: {\n"
	                "            tries = 5;                    # default\n"
	                "        };\n"
	                "        hours = (                         # penstock.conf:6\n"
	                "            {                             # penstock.conf:6\n"
	                "                from = 0;                 # default\n"
	                "            }\n"
	                "        );\n"
	                "    },\n"
	                "    {                                     # penstock.conf:6\n"
	                "        type = \"file\";                    # default\n"
	                "        path = \"\";                        # penstock.conf:6\n"
	                "        every = \"10s\";                    # default\n"
	                "        tags = ( );                       # default\n"
	                "        retry: {\n"
	                "            tries = 5;                    # default\n"
	                "        };\n"
	                "        hours = ( );                      # default\n"
	                "    }\n"
	                ");\n"
	                "least = 3;                                # default\n"
	                "anything = 5000000000L;                   # penstock.conf:4\n"
	                "size = \"0\";                               # default\n"
	                "span = \"0\";                               # default\n"
	                "rate = \"0\";                               # default\n");
	c = config_free(c);
	buf_done(&b);
}

static void test_a_long_line_does_not_move_the_comments(void)
{
	struct settings s;
	struct config *c = load("results: { path = \"a path that is longer than all of the other "
	                        "values, and than a line should be\" }",
	                        &s);
	struct buf b = { 0 };

	config_print(&table, c, &s, &b);
	buf_add_char(&b, '\0');
	CU_ASSERT_FALSE_FATAL(b.failed);
	CU_ASSERT_PTR_NOT_NULL(
	        strstr(b.data, "workers = 64;                             # default\n"));
	CU_ASSERT_PTR_NOT_NULL(strstr(b.data, "a line should be\"; # penstock.conf:1\n"));
	c = config_free(c);
	buf_done(&b);
}

/* Random bytes without NUL, among them many that need escaping. */
static void some_string(struct random *r, char *text, size_t size)
{
	static const char special[] = "\\\"\n\r\t\f\x01\x7f x41@#/*{};,\xc3\xa9";
	size_t n = random_up_to(r, size - 1);

	for (size_t i = 0; i < n; i++)
		text[i] = random_up_to(r, 1) > 0 ? special[random_up_to(r, sizeof(special) - 2)]
		                                 : (char) (1 + random_up_to(r, 254));
	text[n] = '\0';
}

static bool same_strings(const struct config_strings *a, const struct config_strings *b)
{
	bool same = a->n == b->n;

	for (size_t i = 0; same && i < a->n; i++)
		same = strcmp(a->items[i], b->items[i]) == 0;
	return same;
}

static bool same_source(const struct source *a, const struct source *b)
{
	return a->type == b->type && strcmp(a->path, b->path) == 0 && a->every == b->every &&
	       same_strings(&a->tags, &b->tags) && a->tries == b->tries && a->hours.n == b->hours.n;
}

static bool same_settings(const struct settings *a, const struct settings *b)
{
	const struct source *left = a->sources.items, *right = b->sources.items;
	bool same = a->workers == b->workers && a->capacity == b->capacity &&
	            a->max_bytes == b->max_bytes && a->wait == b->wait && a->follow == b->follow &&
	            strcmp(a->path, b->path) == 0 && a->bodies == b->bodies &&
	            same_strings(&a->deny, &b->deny) && a->sources.n == b->sources.n &&
	            a->burst == b->burst && a->least == b->least && a->anything == b->anything &&
	            a->size == b->size && a->span == b->span && a->rate == b->rate;

	for (size_t i = 0; same && i < a->sources.n; i++)
		same = same_source(&left[i], &right[i]);
	return same;
}

/* Prints the settings, loads the text, and compares. */
static void check_print_reads_back(const struct config *c, const struct settings *s, uint64_t seed)
{
	struct buf b = { 0 };
	struct settings again;

	config_print(&table, c, s, &b);
	buf_add_char(&b, '\0');
	CU_ASSERT_FALSE_FATAL(b.failed);
	struct config *d = load(b.data, &again);
	bool same = same_settings(s, &again);
	if (!same)
		printf("\nseed %" PRIu64 ": other values from\n%s", seed, b.data);
	CU_ASSERT_TRUE(same);
	d = config_free(d);
	buf_done(&b);
}

static void test_what_is_printed_reads_back(void)
{
	uint64_t seed = random_seed();
	struct random r = { .state = seed };
	struct settings s;
	struct config *c = load("", &s);

	for (int i = 0; i < 300; i++) {
		char texts[4][40];
		for (size_t k = 0; k < ARRAY_LEN(texts); k++)
			some_string(&r, texts[k], sizeof(texts[k]));
		const char *const items[] = { texts[0], texts[1] };
		const struct source sources[] = {
			{ .type = 2,
			  .path = texts[2],
			  .every = random_up_to(&r, UINT64_MAX),
			  .tries = 3 },
			{ .type = 1, .path = texts[3], .tags = { items, 2 }, .tries = 9 },
		};
		s = (struct settings) {
			.workers = 1 + random_up_to(&r, 1023),
			.capacity = 1 + random_up_to(&r, 999999),
			.max_bytes = 1024 + random_up_to(&r, UINT64_C(1) << 39),
			.wait = UINT64_C(1000000000) + random_up_to(&r, UINT64_C(3599000000000)),
			.follow = random_up_to(&r, 1) > 0,
			.path = texts[0],
			.bodies = (int) random_up_to(&r, 2),
			.deny = { items, random_up_to(&r, 2) },
			.sources = { sources, random_up_to(&r, 2) },
			.least = 2 + random_up_to(&r, 5000),
			.anything = random_up_to(&r, INT64_MAX) >> random_up_to(&r, 62),
			.size = random_up_to(&r, UINT64_MAX) >> random_up_to(&r, 63),
			.span = random_up_to(&r, UINT64_MAX) >> random_up_to(&r, 63),
			.rate = random_up_to(&r, UINT64_C(100000000000)) >> random_up_to(&r, 36),
		};
		check_print_reads_back(c, &s, seed);
	}
	c = config_free(c);
}

static const char valid[] = "workers = 8; # comment\n"
                            "queue: { capacity = 10; max_bytes = \"1G\"; wait = \"1.5s\" }\n"
                            "@include \"sub/more.conf\"\n"
                            "results = { path = \"a\\\"b\\x41\\n\"; bodies = \"files\";\n"
                            "  files: { follow = TRUE } }; /* comment */\n"
                            "guard: { deny = [ \"a,b\", \"c\" ] } // comment\n"
                            "sources = ( { path = \"p\" },\n"
                            "  { type = \"schedule\"; path = \"q\"; every = \"2m\";\n"
                            "    tags = ( \"x\" ); retry: { tries = 3; }; } );\n"
                            "anything = 5000000000;\n";

/* Changes, removes, or repeats a few bytes of 'text', often into ones that mean something. */
static void mutate(struct random *r, char *text, size_t *n)
{
	static const char tokens[] = "\"\\{}()[]=:;,@#/*.-+L0x\n\0";

	for (uint64_t k = random_up_to(r, 4); k < 5 && *n > 1; k++) {
		size_t at = random_up_to(r, *n - 1);
		uint64_t how = random_up_to(r, 4);
		if (how == 0) {
			text[at] = (char) random_up_to(r, 255);
		} else if (how == 1) {
			text[at] = tokens[random_up_to(r, sizeof(tokens) - 2)];
		} else if (how == 2) {
			memmove(text + at, text + at + 1, --*n - at);
		} else if (how == 3) {
			*n = at + 1;
		} else {
			size_t from = random_up_to(r, *n - 1);
			text[at] = text[from];
		}
	}
}

/* Whether each problem is one line, without control characters. */
static bool is_tidy(const struct buf *errors)
{
	for (size_t i = 0; i < errors->len; i++)
		if (errors->data[i] != '\n' && (unsigned char) errors->data[i] < 0x20)
			return false;
	return errors->len > 0 && errors->data[errors->len - 1] == '\n';
}

static void test_damaged_files_never_crash(void)
{
	uint64_t seed = random_seed();
	struct random r = { .state = seed };
	unsigned good = 0, bad = 0;

	/* Printed first: a crash leaves no other chance. */
	printf("seed %" PRIu64 " ", seed);
	(void) fflush(stdout);
	write_text("sub/more.conf", "size = 5;\n");
	for (int i = 0; i < 3000 / UNIT_STRIDE; i++) {
		char text[sizeof(valid)];
		size_t n = sizeof(valid) - 1;
		struct buf errors = { 0 };
		struct config *c = NULL;
		struct settings s;

		memcpy(text, valid, sizeof(valid));
		mutate(&r, text, &n);
		write_file(FILE_NAME, text, n);
		int e = config_load(&table, FILE_NAME, NULL, NULL, 0, &s, &c, &errors);
		if (e == 0) {
			good++;
			check_print_reads_back(c, &s, seed);
		} else {
			bad++;
			CU_ASSERT_EQUAL(e, -EINVAL);
			CU_ASSERT_PTR_NULL(c);
			CU_ASSERT_TRUE(is_tidy(&errors));
		}
		c = config_free(c);
		buf_done(&errors);
	}
	CU_ASSERT(good > 0 && bad > 0);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "without a file there are the defaults",
		  test_without_a_file_there_are_the_defaults },
		{ "reads every type", test_reads_every_type },
		{ "one string is a list of one", test_one_string_is_a_list_of_one },
		{ "the ends of a range are in it", test_the_ends_of_a_range_are_in_it },
		{ "knows where values come from", test_knows_where_values_come_from },
		{ "overrides read every type", test_overrides_read_every_type },
		{ "prints groups and origins", test_prints_groups_and_origins },
		{ "a long line does not move the comments",
		  test_a_long_line_does_not_move_the_comments },
		{ "what is printed reads back", test_what_is_printed_reads_back },
		{ "damaged files never crash", test_damaged_files_never_crash },
		CU_TEST_INFO_NULL,
	};

	return run_in_directory("config", tests);
}
