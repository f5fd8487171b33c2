/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table with a key of every type, and what the tests of config.h do with it.
 *
 * They run in a temporary directory, so that messages can be compared whole.
 */
#ifndef PENSTOCK_TESTS_CONFIG_EXAMPLE_H
#define PENSTOCK_TESTS_CONFIG_EXAMPLE_H

#include "base/attr.h"
#include "base/buf.h"
#include "config/config.h"
#include "unit.h"

#include <ftw.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_NAME "penstock.conf"

struct source {
	int type;
	const char *path;
	uint64_t every;
	struct config_strings tags;
	uint64_t tries;
	struct config_groups hours;
};

struct hour {
	uint64_t from;
};

struct settings {
	uint64_t workers;
	uint64_t capacity;
	uint64_t max_bytes;
	uint64_t wait;
	bool follow;
	const char *path;
	int bodies;
	struct config_strings deny;
	struct config_groups sources;
	uint64_t burst;
	uint64_t least;
	uint64_t anything;
	uint64_t size;
	uint64_t span;
	uint64_t rate;
};

static const char *const types[] = { "file", "directory", "schedule", NULL };
static const char *const bodies[] = { "none", "inline", "files", NULL };

#define KEY(where, member, ...) { .offset = offsetof(struct where, member), __VA_ARGS__ }

static const struct config_key hour_keys[] = {
	KEY(hour, from, .path = "from", .type = CONFIG_COUNT, .preset = "0", .max = 23),
};
static const struct config_table hour_table = {
	.keys = hour_keys,
	.n = ARRAY_LEN(hour_keys),
	.size = sizeof(struct hour),
};

static const struct config_key source_keys[] = {
	KEY(source, type, .path = "type", .type = CONFIG_CHOICE, .preset = "file",
	    .choices = types),
	KEY(source, path, .path = "path", .type = CONFIG_STRING),
	KEY(source, every, .path = "every", .type = CONFIG_DURATION, .preset = "10s"),
	KEY(source, tags, .path = "tags", .type = CONFIG_STRINGS, .preset = ""),
	KEY(source, tries, .path = "retry.tries", .type = CONFIG_COUNT, .preset = "5", .min = 1,
	    .max = 10),
	KEY(source, hours, .path = "hours", .type = CONFIG_GROUPS, .preset = "",
	    .element = &hour_table),
};
static const struct config_table source_table = {
	.keys = source_keys,
	.n = ARRAY_LEN(source_keys),
	.size = sizeof(struct source),
};

/* The keys of "queue" are apart on purpose. */
static const struct config_key keys[] = {
	KEY(settings, workers, .path = "workers", .type = CONFIG_COUNT, .preset = "64", .min = 1,
	    .max = 1024, .unit = ""),
	KEY(settings, capacity, .path = "queue.capacity", .type = CONFIG_COUNT, .preset = "1000",
	    .min = 1, .max = 1000000, .unit = "jobs"),
	KEY(settings, max_bytes, .path = "queue.max_bytes", .type = CONFIG_SIZE, .preset = "64M",
	    .min = 1024, .max = UINT64_C(1) << 40, .unit = "bytes"),
	KEY(settings, wait, .path = "queue.wait", .type = CONFIG_DURATION, .preset = "30s",
	    .min = UINT64_C(1000000000), .max = UINT64_C(3600000000000), .unit = "time"),
	KEY(settings, path, .path = "results.path", .type = CONFIG_STRING,
	    .preset = "results.jsonl"),
	KEY(settings, bodies, .path = "results.bodies", .type = CONFIG_CHOICE, .preset = "none",
	    .choices = bodies),
	KEY(settings, follow, .path = "results.files.follow", .type = CONFIG_BOOL,
	    .preset = "false"),
	KEY(settings, deny, .path = "guard.deny", .type = CONFIG_STRINGS,
	    .preset = "link-local, loopback"),
	KEY(settings, sources, .path = "sources", .type = CONFIG_GROUPS, .preset = "",
	    .element = &source_table),
	KEY(settings, burst, .path = "queue.burst", .type = CONFIG_COUNT, .preset = "0", .max = 10),
	KEY(settings, least, .path = "least", .type = CONFIG_COUNT, .preset = "3", .min = 2),
	KEY(settings, anything, .path = "anything", .type = CONFIG_COUNT, .preset = "0"),
	KEY(settings, size, .path = "size", .type = CONFIG_SIZE, .preset = "0"),
	KEY(settings, span, .path = "span", .type = CONFIG_DURATION, .preset = "0"),
	KEY(settings, rate, .path = "rate", .type = CONFIG_RATE, .preset = "0"),
};
static const struct config_table table = {
	.keys = keys,
	.n = ARRAY_LEN(keys),
	.size = sizeof(struct settings),
};

static inline void write_file(const char *name, const char *text, size_t n)
{
	(void) unlink(name); /* ext4 writes a file that is overwritten to the disk at once */
	FILE *f = fopen(name, "we");

	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	CU_ASSERT_EQUAL_FATAL(fwrite(text, 1, n, f), n);
	CU_ASSERT_EQUAL_FATAL(fclose(f), 0);
}

static inline void write_text(const char *name, const char *text)
{
	write_file(name, text, strlen(text));
}

/* Loads 'text' as FILE_NAME; the settings and the config are those of a success. */
static inline struct config *load(const char *text, struct settings *ret_settings)
{
	struct buf errors = { 0 };
	struct config *c = NULL;

	write_text(FILE_NAME, text);
	int r = config_load(&table, FILE_NAME, NULL, NULL, 0, ret_settings, &c, &errors);
	if (r < 0)
		printf("\n%.*s", (int) errors.len, errors.data);
	CU_ASSERT_EQUAL_FATAL(r, 0);
	CU_ASSERT_EQUAL(errors.len, 0);
	buf_done(&errors);
	return c;
}

static inline int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void) st, (void) type, (void) at;
	return remove(path);
}

/* Runs the tests in a directory that has the folder "sub/deep". */
static inline int run_in_directory(const char *suite, CU_TestInfo *tests)
{
	char dir[] = "/tmp/penstock-config-XXXXXX";

	if (!mkdtemp(dir) || chdir(dir) < 0 || mkdir("sub", 0700) < 0 ||
	    mkdir("sub/deep", 0700) < 0)
		return EXIT_FAILURE;
	int status = unit_run(suite, tests);
	return nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS) == 0 ? status : EXIT_FAILURE;
}

#endif
