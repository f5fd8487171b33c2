/* SPDX-License-Identifier: Apache-2.0 */
/* settings.h: every key of the table, the checks across keys, what follows from
 * them, and that the documentation knows every key. */
#include "engine/settings.h"

#include "base/attr.h"
#include "base/units.h"
#include "sink/bodies.h"
#include "unit.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* --- helpers ----------------------------------------------------------------------- */

/* Loads with these overrides; what was wrong is in 'errors'. */
static int try_load(const char *path, const char *const *overrides, size_t n, struct settings *s,
                    struct config **ret_config, struct buf *errors)
{
	buf_clear(errors);
	int r = settings_load(SETTINGS_DAEMON, path, overrides, n, s, ret_config, errors);
	CU_ASSERT_EQUAL(r == 0, errors->len == 0);
	buf_add_char(errors, '\0');
	return r;
}

static struct settings load(const char *const *overrides, size_t n, struct config **ret_config)
{
	struct settings s = { 0 };
	struct buf errors = { 0 };

	CU_ASSERT_EQUAL_FATAL(try_load(NULL, overrides, n, &s, ret_config, &errors), 0);
	buf_done(&errors);
	return s;
}

/* Whether an override is taken. */
static bool takes(const char *override)
{
	struct settings s;
	struct config *c = NULL;
	struct buf errors = { 0 };

	bool taken = try_load(NULL, &override, 1, &s, &c, &errors) == 0;
	c = config_free(c);
	buf_done(&errors);
	return taken;
}

/* Writes a configuration file and loads it; expects 'complaint' within what is said. */
static void expect_complaint(const char *text, const char *complaint)
{
	char path[] = "/tmp/penstock-test-XXXXXX";
	struct settings s;
	struct config *c = NULL;
	struct buf errors = { 0 };

	int fd = mkstemp(path);
	CU_ASSERT_TRUE_FATAL(fd >= 0);
	CU_ASSERT_EQUAL(write(fd, text, strlen(text)), (ssize_t) strlen(text));
	(void) close(fd);
	int r = try_load(path, NULL, 0, &s, &c, &errors);
	CU_ASSERT_EQUAL(r, complaint ? -EINVAL : 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(errors.data, complaint ? complaint : ""));
	if (complaint && !strstr(errors.data, complaint))
		(void) fprintf(stderr, "%s", errors.data);
	c = config_free(c);
	buf_done(&errors);
	(void) unlink(path);
}

/* --- single keys ------------------------------------------------------------------- */

/* Whether the key has the same value in both. */
static bool same_value(const struct config_key *key, const struct settings *a,
                       const struct settings *b)
{
	const char *at_a = (const char *) a + key->offset, *at_b = (const char *) b + key->offset;
	const char *text_a = NULL, *text_b = NULL;
	struct config_strings list_a, list_b;

	switch (key->type) {
	case CONFIG_COUNT:
	case CONFIG_SIZE:
	case CONFIG_DURATION:
	case CONFIG_RATE:
		return memcmp(at_a, at_b, sizeof(uint64_t)) == 0;
	case CONFIG_BOOL:
		return memcmp(at_a, at_b, sizeof(bool)) == 0;
	case CONFIG_CHOICE:
		return memcmp(at_a, at_b, sizeof(int)) == 0;
	case CONFIG_STRING:
		memcpy(&text_a, at_a, sizeof(text_a));
		memcpy(&text_b, at_b, sizeof(text_b));
		return strcmp(text_a, text_b) == 0;
	case CONFIG_STRINGS:
		memcpy(&list_a, at_a, sizeof(list_a));
		memcpy(&list_b, at_b, sizeof(list_b));
		return list_a.n == list_b.n;
	case CONFIG_GROUPS:
		return true;
	}
	return false;
}

static void test_every_default_reads_back_as_itself(void)
{
	struct config *presets = NULL;
	const struct settings s = load(NULL, 0, &presets);

	for (size_t i = 0; i < settings_table.n; i++) {
		const struct config_key *key = &settings_table.keys[i];
		struct config *c = NULL;
		char override[256];

		if (key->type == CONFIG_GROUPS)
			continue; /* has no text form */
		const char *text = key->preset ? key->preset : key->choices[0];
		(void) snprintf(override, sizeof(override), "%s=%s", key->path, text);
		const char *overrides[] = { override };
		const struct settings again = load(overrides, 1, &c);
		CU_ASSERT_TRUE(same_value(key, &s, &again));
		CU_ASSERT_STRING_EQUAL(config_origin_of(c, key->path), "--set");
		c = config_free(c);
	}
	presets = config_free(presets);
}

static void add_number(struct buf *b, const char *base, const struct config_key *key,
                       uint64_t value)
{
	buf_clear(b);
	buf_printf(b, "%s%s=", base, key->path);
	if (key->type == CONFIG_DURATION)
		units_add_duration(b, value);
	else if (key->type == CONFIG_SIZE)
		units_add_size(b, value);
	else
		buf_add_u64(b, value);
	buf_add_char(b, '\0');
}

/* A value that may be no greater than another is tested with the ends of both. */
static bool takes_number(const char *base, const struct config_key *key, uint64_t value)
{
	struct buf b = { 0 };
	struct buf errors = { 0 };
	struct settings s;
	struct config *c = NULL;

	add_number(&b, base, key, value);
	const char *overrides[] = { "retry.base=1ms", "retry.max=365d", "origins[*].breaker_pause=1ms",
		                    "origins[*].breaker_max=365d", "results.max_inline=1",
		                    "results.inline_memory=1T", b.data };
	bool taken = try_load(NULL, overrides, ARRAY_LEN(overrides), &s, &c, &errors) == 0;
	c = config_free(c);
	buf_done(&b);
	buf_done(&errors);
	return taken;
}

static void expect_ranges(const struct config_table *table, const char *base)
{
	for (size_t i = 0; i < table->n; i++) {
		const struct config_key *key = &table->keys[i];
		if (key->type != CONFIG_COUNT && key->type != CONFIG_SIZE &&
		    key->type != CONFIG_DURATION)
			continue;
		CU_ASSERT_TRUE(key->max > key->min); /* nothing is without a bound */
		CU_ASSERT_TRUE(takes_number(base, key, key->min));
		CU_ASSERT_TRUE(takes_number(base, key, key->max));
		CU_ASSERT_FALSE(takes_number(base, key, key->max + 1));
		if (key->min > 0)
			CU_ASSERT_FALSE(takes_number(base, key, key->min - 1));
	}
}

static void test_every_range_holds(void)
{
	expect_ranges(&settings_table, "");
	for (size_t i = 0; i < settings_table.n; i++)
		if (settings_table.keys[i].name_key)
			expect_ranges(settings_table.keys[i].element, "origins[*].");
}

static void expect_documented(const struct config_table *table)
{
	for (size_t i = 0; i < table->n; i++) {
		const struct config_key *key = &table->keys[i];
		CU_ASSERT_TRUE(key->help && strlen(key->help) > 8);
		CU_ASSERT_PTR_NOT_NULL(key->unit);
		if (key->type == CONFIG_DURATION)
			CU_ASSERT_STRING_EQUAL(key->unit, "time");
		if (key->type == CONFIG_SIZE)
			CU_ASSERT_STRING_EQUAL(key->unit, "bytes");
		if (key->type == CONFIG_RATE)
			CU_ASSERT_STRING_EQUAL(key->unit, "rate");
		if (key->element)
			expect_documented(key->element);
	}
}

static void test_every_key_explains_itself(void) { expect_documented(&settings_table); }

static void test_the_defaults_are_those_of_the_manual(void)
{
	struct config *c = NULL;
	struct settings s = load(NULL, 0, &c);

	CU_ASSERT_EQUAL(s.workers, 64);
	CU_ASSERT_EQUAL(s.queue.capacity, 1000);
	CU_ASSERT_EQUAL(s.queue.max_bytes, UINT64_C(64) << 20);
	CU_ASSERT_EQUAL(s.backlog.type, BACKLOG_SQLITE);
	CU_ASSERT_STRING_EQUAL(s.backlog.path, "backlog.db");
	CU_ASSERT_EQUAL(s.backlog.min_free, UINT64_C(64) << 20);
	CU_ASSERT_EQUAL(s.results.remember_ns, 24 * 3600 * UINT64_C(1000000000));
	CU_ASSERT_EQUAL(s.fetch.timeout_ns, UINT64_C(30000000000));
	CU_ASSERT_EQUAL(s.fetch.max_redirects, 5);
	CU_ASSERT_EQUAL(s.fetch.success.n, 1);
	CU_ASSERT_EQUAL(s.fetch.dns_servers.n, 0);
	CU_ASSERT_EQUAL_FATAL(s.guard.deny.n, 2);
	CU_ASSERT_STRING_EQUAL(s.guard.deny.items[0], "link-local");
	CU_ASSERT_STRING_EQUAL(s.guard.deny.items[1], "metadata");
	CU_ASSERT_EQUAL(s.guard.allow.n, 0);
	CU_ASSERT_EQUAL(s.retry.max_attempts, 5);
	CU_ASSERT_EQUAL(s.sources.n, 0);
	CU_ASSERT_EQUAL_FATAL(s.origins.n, 1);
	const struct origin_settings *all = s.origins.items;
	CU_ASSERT_STRING_EQUAL(all->match, "*");
	CU_ASSERT_EQUAL(all->concurrency, 8);
	CU_ASSERT_EQUAL(all->interval_ns, 0);
	CU_ASSERT_EQUAL(all->burst, 1);
	CU_ASSERT_EQUAL(all->gap_ns, 0);
	CU_ASSERT_EQUAL(all->breaker, 5);
	CU_ASSERT_EQUAL(all->breaker_pause_ns, UINT64_C(10000000000));
	CU_ASSERT_EQUAL(all->breaker_max_ns, UINT64_C(300000000000));
	CU_ASSERT_STRING_EQUAL(s.results.path, "");
	CU_ASSERT_STRING_EQUAL(s.control.socket, "control.sock");
	CU_ASSERT_STRING_EQUAL(s.control.mode, "0660");
	CU_ASSERT_EQUAL(strncmp(s.fetch.user_agent, "penstock/", 9), 0);
	c = config_free(c);
}

/* --- across keys ------------------------------------------------------------------- */

static void test_a_source_needs_what_its_type_needs(void)
{
	expect_complaint("sources = ( { type = \"file\"; path = \"urls\"; } );", NULL);
	expect_complaint("sources = ( { type = \"file\"; } );",
	                 "sources[0]: a file source needs a path");
	expect_complaint(
	        "sources = ( { type = \"schedule\"; every = \"1s\"; urls = \"http://a/\"; } );",
	        NULL);
	expect_complaint("sources = ( { type = \"file\"; path = \"-\"; },"
	                 " { type = \"schedule\"; urls = ( \"http://a/\" ); } );",
	                 "sources[1]: a schedule needs every");
	expect_complaint("sources = ( { type = \"schedule\"; every = \"1s\"; } );",
	                 "sources[0]: a schedule needs urls");
	expect_complaint("sources = ( { path = \"x\"; } );", "type");
	expect_complaint("sources = ( { type = \"socket\"; path = \"x\"; } );", "type");
	expect_complaint("sources = ( { type = \"directory\"; path = \"x\"; } );", NULL);
	expect_complaint("sources = ( { type = \"directory\"; } );",
	                 "sources[0]: a directory source needs a path");
	expect_complaint("sources = ( { type = \"file\"; path = \"a\"; },\n"
	                 " { type = \"directory\"; path = \"a\"; } );",
	                 ":2: sources[1]: a is read by sources[0] already");
}

static void test_a_source_has_nothing_that_its_type_has_no_use_for(void)
{
	expect_complaint("sources = ( { type = \"directory\"; path = \"x\";\n follow = true; } );",
	                 ":2: sources[0].follow: a directory source has none; remove it");
	expect_complaint("sources = ( { type = \"directory\"; path = \"x\"; follow = false; } );", NULL);
	expect_complaint("sources = ( { type = \"file\"; path = \"x\";\n every = \"1s\"; } );",
	                 ":2: sources[0].every: a file source has none");
	expect_complaint("sources = ( { type = \"file\"; path = \"x\"; jitter = \"1s\"; } );",
	                 ":1: sources[0].jitter: a file source has none");
	expect_complaint("sources = ( { type = \"directory\"; path = \"x\"; urls = \"http://a/\"; } );",
	                 ":1: sources[0].urls: a directory source has none");
	expect_complaint("sources = ( { type = \"schedule\"; every = \"1s\"; urls = \"http://a/\";\n"
	                 " path = \"x\"; } );", ":2: sources[0].path: a schedule source has none");
}

static void test_a_schedule_has_jobs_that_can_be_made(void)
{
	static const char before[] = "sources = ( { type = \"schedule\"; every = \"1s\";\n urls = ";
	static const struct {
		const char *urls;
		const char *complaint;
	} cases[] = {
		{ "( \"http://a/\", \"{\\\"url\\\": \\\"https://b/\\\", \\\"method\\\": \\\"HEAD\\\"}\" )", NULL },
		{ "\"nothing\"", ":2: sources[0].urls: entry 1: " },
		{ "( \"http://a/\", \"ftp://a/\" )", ":2: sources[0].urls: entry 2: " },
		{ "( \"http://me:secret@\" )", ":2: sources[0].urls: entry 1: " },
		{ "\"{\\\"url\\\": 5}\"", ":2: sources[0].urls: entry 1: " },
		{ "\"{\\\"url\\\": \\\"http://a/\\\", \\\"body_file\\\": \\\"x\\\"}\"",
		  "entry 1: body_file: there is no fetch.body_dir" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char text[512];
		(void) snprintf(text, sizeof(text), "%s%s; } );", before, cases[i].urls);
		expect_complaint(text, cases[i].complaint);
	}
}

static void test_an_origin_is_matched_by_what_can_match(void)
{
	expect_complaint("origins = ( { match = \"a.example\"; }, { match = \"*.b:8080\"; },"
	                 " { match = \"http://[::1]:80\"; } );", NULL);
	expect_complaint("origins = (\n { match = \"API.example\"; } );",
	                 ":2: origins[0].match: \"API.example\": must be in lower case");
	expect_complaint("origins = ( { match = \"a\"; },\n { match = \"b, c\"; } );",
	                 ":2: origins[1].match: \"b, c\": must have no blanks");
	expect_complaint("origins = ( { match = \"\"; } );",
	                 ":1: origins[0].match: \"\": must not be empty");
	expect_complaint("origins = ( { match = \"http://a/b\"; } );", "must have no path");
	expect_complaint("origins = ( { match = \"a/\"; } );", "must have no path");
	expect_complaint("origins = ( { match = \"https://a\"; } );", "must have a port");
	expect_complaint("origins = ( { match = \"https://[::1]\"; } );", "must have a port");
	expect_complaint("origins = ( { match = \"https://a*\"; }, { match = \"http://[::1]:80\"; } );",
	                 NULL);
	CU_ASSERT_TRUE(takes("origins[https://a.example:8443].rate=5/s"));
	CU_ASSERT_FALSE(takes("origins[A].rate=5/s"));
	CU_ASSERT_FALSE(takes("origins[a b].rate=5/s"));
}

static void test_what_an_origin_is_reached_by_goes_together(void)
{
	expect_complaint("origins = ( { match = \"a\"; client_key = \"x\"; } );",
	                 "origins[0].client_key: of \"a\": needs client_cert");
	expect_complaint("origins = ( { match = \"a\"; proxy_login = \"x\"; } );",
	                 "origins[0].proxy_login: of \"a\": needs proxy");
	expect_complaint("origins = ( { match = \"a\"; guard = \"proxy\"; } );",
	                 "origins[0].guard: of \"a\": \"proxy\" needs proxy");
	expect_complaint("origins = ( { match = \"a\"; proxy = \"a:1\"; } );",
	                 "of \"a\": must be http://host:port");
	expect_complaint("origins = ( { match = \"a\"; bearer = \"x\"; } );",
	                 "origins[0].bearer: of \"a\": match must be as https://host:port");
	static const char *const too_many[] = { "https://*:443", "https://*.:443", "https://a*:443",
		                                "https://a.example*", "https://*a.example:443",
		                                "https://[::1*" };
	for (size_t i = 0; i < ARRAY_LEN(too_many); i++) {
		char line[128];
		(void) snprintf(line, sizeof(line), "origins = ( { match = \"%s\"; login = \"x\"; } );",
		                too_many[i]);
		expect_complaint(line, "match must be as https://host:port");
	}
	expect_complaint("origins = ( { match = \"https://*.a.example:*\"; login = \"x\"; },\n"
	                 "{ match = \"https://[::1]:443\"; bearer = \"x\"; } );", NULL);
	expect_complaint("origins = ( { match = \"https://a:443\"; login = \"x\"; bearer = \"y\"; } );",
	                 "only one of them");
	expect_complaint("origins = ( { match = \"https://a:443\"; bearer = \"x\";\n"
	                 "client_cert = \"y\"; proxy = \"http://p:1\"; proxy_login = \"z\";\n"
	                 "guard = \"proxy\"; } );", NULL);
}

static void test_a_breaker_s_pause_has_its_bound(void)
{
	CU_ASSERT_TRUE(takes("origins[*].breaker_max=10s"));
	CU_ASSERT_FALSE(takes("origins[*].breaker_max=9s"));
	expect_complaint("origins = ( { match = \"a\"; breaker_pause = \"6m\"; } );",
	                 ":1: origins[0].breaker_pause: of \"a\": breaker_pause must not be longer");
	expect_complaint("origins = ( { match = \"a\";\nbreaker_max = \"1s\"; } );",
	                 ":2: origins[0].breaker_max: of \"a\": breaker_pause must not be longer");
}

static void test_fetch_has_its_own_defaults_for_origins(void)
{
	static const char *const overrides[] = { "origins[a].breaker=3", "origins[b].concurrency=8" };
	struct settings s;
	struct config *c = NULL;
	struct buf errors = { 0 };

	CU_ASSERT_EQUAL_FATAL(settings_load(SETTINGS_FETCH, NULL, overrides, ARRAY_LEN(overrides), &s,
	                                    &c, &errors), 0);
	const struct origin_settings *o = s.origins.items;
	CU_ASSERT_EQUAL_FATAL(s.origins.n, 3);
	CU_ASSERT_STRING_EQUAL(o[0].match, "b");
	CU_ASSERT_EQUAL(o[0].concurrency, 8);
	CU_ASSERT_EQUAL(o[0].breaker, 0);
	CU_ASSERT_EQUAL(o[1].concurrency, 0);
	CU_ASSERT_EQUAL(o[1].breaker, 3);
	CU_ASSERT_STRING_EQUAL(o[2].match, "*");
	CU_ASSERT_EQUAL(o[2].concurrency, 0);
	CU_ASSERT_EQUAL(o[2].breaker, 0);
	CU_ASSERT_STRING_EQUAL(config_origin_of(c, "origins[2].breaker"), "default");
	c = config_free(c);
	buf_done(&errors);
}

static int amend(const struct settings *s, const struct config *c, const char *override,
                 struct settings *ret_settings, struct config **ret_config, struct buf *errors)
{
	buf_clear(errors);
	int r = settings_amend(s, c, &override, 1, ret_settings, ret_config, errors);
	buf_add_char(errors, '\0');
	return r;
}

static void test_amendments_are_checked_against_what_is_in_force(void)
{
	struct config *c1 = NULL, *c2 = NULL, *c3 = NULL;
	struct settings first = load(NULL, 0, &c1), second = { 0 }, third = { 0 };
	struct buf errors = { 0 };

	CU_ASSERT_EQUAL(amend(&first, c1, "retry.base=6m", &second, &c2, &errors), -EINVAL);
	CU_ASSERT_STRING_EQUAL(errors.data,
	                       "set: retry.base: must not be longer than retry.max\n");
	CU_ASSERT_EQUAL_FATAL(amend(&first, c1, "retry.max=1h", &second, &c2, &errors), 0);
	CU_ASSERT_EQUAL_FATAL(amend(&second, c2, "retry.base=6m", &third, &c3, &errors), 0);
	CU_ASSERT_EQUAL(third.retry.base_ns, UINT64_C(360000000000));
	CU_ASSERT_EQUAL(third.retry.max_ns, UINT64_C(3600000000000));
	config_free(c1);
	config_free(c2);
	config_free(c3);
	buf_done(&errors);
}

static void test_success_is_a_list_of_statuses(void)
{
	CU_ASSERT_TRUE(takes("fetch.success=200"));
	CU_ASSERT_TRUE(takes("fetch.success=200-299,404"));
	CU_ASSERT_FALSE(takes("fetch.success=2xx"));
	CU_ASSERT_FALSE(takes("fetch.success=200-299,99"));
	expect_complaint("fetch: { success = ( \"200\", \"300-200\" ); };",
	                 "\"300-200\" is no status");
}

static void test_the_guard_takes_networks_and_names(void)
{
	expect_complaint("guard: { deny = \"private\"; allow = ( \"10.1.2.3\", \"fd00::/8\" ); };",
	                 NULL);
	expect_complaint("guard: { deny = ( ); };", NULL);
	expect_complaint("guard: {\n deny = ( \"private\", \"10.1.2.3/8\" ); };",
	                 ":2: guard.deny: \"10.1.2.3/8\": there are bits set behind the prefix");
	expect_complaint("guard: {\n allow = \"example.com\"; };",
	                 ":2: guard.allow: \"example.com\": no IPv4 or IPv6 address");
}

static void test_the_back_off_has_its_order(void)
{
	CU_ASSERT_TRUE(takes("retry.base=5m"));
	CU_ASSERT_FALSE(takes("retry.base=301s"));
	CU_ASSERT_FALSE(takes("retry.max=999ms"));
	expect_complaint("retry: { base = \"10s\"; max = \"1s\"; };",
	                 "retry.base: must not be longer than retry.max");
}

static void test_the_socket_s_mode_is_octal(void)
{
	static const struct {
		const char *text;
		unsigned mode; /* 0: refused */
	} cases[] = {
		{ "0600", 0600 }, { "0660", 0660 }, { "777", 0777 }, { "0666", 0666 },
		{ "0577", 0 },    { "01000", 0 },   { "0680", 0 },   { "", 0 },
		{ "rw", 0 },      { "0660 ", 0 },
	};
	char override[64];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		unsigned mode = 0;
		CU_ASSERT_EQUAL(settings_control_mode(cases[i].text, &mode), cases[i].mode != 0);
		CU_ASSERT_EQUAL(mode, cases[i].mode);
		(void) snprintf(override, sizeof(override), "control.mode=%s", cases[i].text);
		CU_ASSERT_EQUAL(takes(override), cases[i].mode != 0);
	}
}

static void test_all_problems_are_named_at_once(void)
{
	static const char text[] = "fetch: { success = ( \"abc\", \"def\" ); };\n"
	                           "retry: { base = \"10s\"; max = \"1s\"; };\n"
	                           "sources = ( { type = \"file\"; } );\n";

	expect_complaint(text, "\"abc\"");
	expect_complaint(text, "\"def\"");
	expect_complaint(text, "retry.base");
	expect_complaint(text, "sources[0]");
}

static void test_nothing_is_stored_on_failure(void)
{
	static const char *const overrides[] = { "workers=7", "fetch.success=2xx" };
	struct settings s = { .workers = 99 };
	struct config *c = NULL;
	struct buf errors = { 0 };

	CU_ASSERT_EQUAL(try_load(NULL, overrides, ARRAY_LEN(overrides), &s, &c, &errors), -EINVAL);
	CU_ASSERT_EQUAL(s.workers, 99);
	CU_ASSERT_PTR_NULL(c);
	buf_done(&errors);
}

/* --- what follows ------------------------------------------------------------------ */

static void test_the_backlog_s_bounds_follow_its_type(void)
{
	struct settings s = { .queue.capacity = 30, .backlog.type = BACKLOG_MEMORY };

	CU_ASSERT_EQUAL(settings_max_jobs(&s), 300);
	CU_ASSERT_EQUAL(settings_max_backlog_bytes(&s), UINT64_C(64) << 20);
	s.backlog.type = BACKLOG_SQLITE;
	CU_ASSERT_EQUAL(settings_max_jobs(&s), 1000000);
	CU_ASSERT_EQUAL(settings_max_backlog_bytes(&s), UINT64_C(1) << 30);
	s.backlog.max_jobs = 7;
	s.backlog.max_bytes = 4 << 20;
	CU_ASSERT_EQUAL(settings_max_jobs(&s), 7);
	CU_ASSERT_EQUAL(settings_max_backlog_bytes(&s), 4 << 20);

	CU_ASSERT_TRUE(takes("backlog.max_bytes=0"));
	CU_ASSERT_TRUE(takes("backlog.max_bytes=4M"));
	CU_ASSERT_FALSE(takes("backlog.max_bytes=4194303"));
	CU_ASSERT_FALSE(takes("backlog.path="));
}

static void test_bodies_fit_into_their_memory(void)
{
	CU_ASSERT_TRUE(takes("results.bodies=files"));
	CU_ASSERT_FALSE(takes("results.bodies=database"));
	CU_ASSERT_FALSE(takes("results.bodies_dir="));
	CU_ASSERT_TRUE(takes("results.inline_memory=64K"));
	expect_complaint("results: {\n inline_memory = \"63K\"; };",
	                 ":2: results.inline_memory: results.inline_memory must be at least "
	                 "results.max_inline");
	expect_complaint("results: { inline_memory = \"1M\";\n max_inline = \"2M\"; };",
	                 ":2: results.max_inline: results.inline_memory must be at least");
}

/* Only the mode that needs it is charged. */
static void test_the_ceilings_grow_with_bodies(void)
{
	struct config *c = NULL;
	struct settings none = load(NULL, 0, &c), s = none;
	const uint64_t memory = settings_memory_ceiling(&none, 1);
	const uint64_t files = settings_descriptors(&none, 1);

	s.results.inline_memory *= 2;
	CU_ASSERT_EQUAL(settings_memory_ceiling(&s, 1), memory);
	s.results.bodies = BODIES_INLINE;
	const uint64_t more = settings_memory_ceiling(&s, 1);
	CU_ASSERT_TRUE(more >= memory + 3 * s.results.inline_memory);
	CU_ASSERT_EQUAL(settings_descriptors(&s, 1), files);
	s.results.max_inline++;
	CU_ASSERT_TRUE(settings_memory_ceiling(&s, 1) > more);
	s.results.bodies = BODIES_FILES;
	CU_ASSERT_EQUAL(settings_memory_ceiling(&s, 1), memory);
	CU_ASSERT_TRUE(settings_descriptors(&s, 1) >= files + s.workers);
	c = config_free(c);
}

static void test_the_ceilings_grow_with_what_needs_room(void)
{
	struct config *c = NULL;
	struct settings s = load(NULL, 0, &c);
	s.backlog.type = BACKLOG_MEMORY;
	s.backlog.max_bytes = 64 << 20;
	const uint64_t memory = settings_memory_ceiling(&s, 1), files = settings_descriptors(&s, 1);
	struct settings more = s;

	CU_ASSERT_TRUE(memory > s.backlog.max_bytes);
	CU_ASSERT_TRUE(files > 2 * s.workers + s.fetch.idle_connections);
	more.workers++;
	CU_ASSERT_TRUE(settings_memory_ceiling(&more, 1) > memory);
	CU_ASSERT_TRUE(settings_descriptors(&more, 1) > files);
	more = s;
	more.fetch.idle_connections++;
	CU_ASSERT_TRUE(settings_memory_ceiling(&more, 1) > memory);
	CU_ASSERT_TRUE(settings_descriptors(&more, 1) > files);
	more = s;
	more.backlog.max_bytes++;
	CU_ASSERT_TRUE(settings_memory_ceiling(&more, 1) > memory);
	CU_ASSERT_EQUAL(settings_descriptors(&more, 1), files);
	more = s;
	more.queue.capacity++;
	CU_ASSERT_TRUE(settings_memory_ceiling(&more, 1) > memory);
	more = s;
	more.results.headers.n = 1;
	CU_ASSERT_TRUE(settings_memory_ceiling(&more, 1) > memory);
	more = s;
	more.fetch.encodings.n = 0;
	CU_ASSERT_TRUE(settings_memory_ceiling(&more, 1) < memory);
	CU_ASSERT_TRUE(settings_memory_ceiling(&s, 2) > memory);
	CU_ASSERT_TRUE(settings_descriptors(&s, 2) > files);

	/* On disk the backlog may be as large as it likes; what is out of it counts. */
	s.backlog.type = BACKLOG_SQLITE;
	const uint64_t durable = settings_memory_ceiling(&s, 1);
	more = s;
	more.backlog.max_jobs = 100000000;
	more.backlog.max_bytes = UINT64_C(1) << 40;
	CU_ASSERT_EQUAL(settings_memory_ceiling(&more, 1), durable);
	more.queue.max_bytes++;
	CU_ASSERT_TRUE(settings_memory_ceiling(&more, 1) > durable);
	c = config_free(c);
}

/* --- documentation ----------------------------------------------------------------- */

/* Reads a file of the source tree, NUL-terminated; false if there is none. */
static bool read_source(const char *name, struct buf *b)
{
	const char *root = getenv("PENSTOCK_SRC");
	char path[4096];
	size_t n = 0;

	(void) snprintf(path, sizeof(path), "%s/%s", root ? root : ".", name);
	FILE *file = fopen(path, "re");
	if (!file)
		return false;
	while ((n = fread(path, 1, sizeof(path), file)) > 0)
		buf_add(b, path, n);
	(void) fclose(file);
	buf_add_char(b, '\0');
	return true;
}

static bool is_word_char(char c) { return isalnum((unsigned char) c) || c == '_'; }

/* Whether 'text' has the last part of the path as a word, which 'setting' asks to
 * be followed by "=" or ":". */
static bool mentions(const char *text, const char *path, bool setting)
{
	const char *dot = strrchr(path, '.');
	const char *word = dot ? dot + 1 : path;
	size_t len = strlen(word);

	for (const char *at = strstr(text, word); at; at = strstr(at + 1, word)) {
		const char *behind = at + len + strspn(at + len, " \t");
		if ((at > text && is_word_char(at[-1])) || is_word_char(at[len]))
			continue;
		if (!setting || *behind == '=' || *behind == ':')
			return true;
	}
	return false;
}

static void expect_mentioned(const struct config_table *table, const char *text, bool setting)
{
	for (size_t i = 0; i < table->n; i++) {
		const struct config_key *key = &table->keys[i];
		bool found = mentions(text, key->path, setting);
		CU_ASSERT_TRUE(found);
		if (!found)
			(void) fprintf(stderr, "not documented: %s\n", key->path);
		if (key->element)
			expect_mentioned(key->element, text, setting);
	}
}

static void test_the_example_shows_every_key(void)
{
	struct buf text = { 0 };

	if (read_source("etc/penstock.conf", &text))
		expect_mentioned(&settings_table, text.data, true);
	buf_done(&text);
}

static void test_the_manual_has_every_key(void)
{
	struct buf text = { 0 };

	if (read_source("doc/penstock.conf.5", &text))
		expect_mentioned(&settings_table, text.data, false);
	buf_done(&text);
}

static void test_the_example_can_be_loaded(void)
{
	const char *root = getenv("PENSTOCK_SRC");
	struct buf text = { 0 }, errors = { 0 };
	struct settings s;
	struct config *c = NULL;
	char path[4096];

	if (read_source("etc/penstock.conf", &text)) {
		(void) snprintf(path, sizeof(path), "%s/etc/penstock.conf", root ? root : ".");
		CU_ASSERT_EQUAL(try_load(path, NULL, 0, &s, &c, &errors), 0);
		if (errors.len > 1)
			(void) fprintf(stderr, "%s", errors.data);
	}
	c = config_free(c);
	buf_done(&text);
	buf_done(&errors);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "every default reads back as itself", test_every_default_reads_back_as_itself },
		{ "every range holds at both ends", test_every_range_holds },
		{ "every key explains itself", test_every_key_explains_itself },
		{ "the defaults are those that are promised",
		  test_the_defaults_are_those_of_the_manual },
		{ "a source needs what its type needs", test_a_source_needs_what_its_type_needs },
		{ "a source has nothing that its type has no use for",
		  test_a_source_has_nothing_that_its_type_has_no_use_for },
		{ "a schedule has jobs that can be made", test_a_schedule_has_jobs_that_can_be_made },
		{ "an origin is matched by what can match",
		  test_an_origin_is_matched_by_what_can_match },
		{ "what an origin is reached by goes together",
		  test_what_an_origin_is_reached_by_goes_together },
		{ "a breaker's pause has its bound", test_a_breaker_s_pause_has_its_bound },
		{ "fetch has its own defaults for origins",
		  test_fetch_has_its_own_defaults_for_origins },
		{ "amendments are checked against what is in force",
		  test_amendments_are_checked_against_what_is_in_force },
		{ "success is a list of statuses", test_success_is_a_list_of_statuses },
		{ "the guard takes networks and names", test_the_guard_takes_networks_and_names },
		{ "the back-off has its order", test_the_back_off_has_its_order },
		{ "the socket's mode is octal", test_the_socket_s_mode_is_octal },
		{ "all problems are named at once", test_all_problems_are_named_at_once },
		{ "nothing is stored on failure", test_nothing_is_stored_on_failure },
		{ "the backlog's bounds follow its type", test_the_backlog_s_bounds_follow_its_type },
		{ "bodies fit into their memory", test_bodies_fit_into_their_memory },
		{ "the ceilings grow with bodies", test_the_ceilings_grow_with_bodies },
		{ "the ceilings grow with what needs room",
		  test_the_ceilings_grow_with_what_needs_room },
		{ "the example shows every key", test_the_example_shows_every_key },
		{ "the manual has every key", test_the_manual_has_every_key },
		{ "the example can be loaded", test_the_example_can_be_loaded },
		CU_TEST_INFO_NULL,
	};
	return unit_run("settings", tests);
}
