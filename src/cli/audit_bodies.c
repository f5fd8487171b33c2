/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/audit_bodies.h"

#include "sink/bodies_dir.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef unsigned long long ull; /* for %llu */

void audit_bodies_done(struct audit_bodies *b)
{
	free(b->names);
	*b = (struct audit_bodies) { 0 };
}

/* --- one record -------------------------------------------------------------------- */

/* The first 16 digits as a number. */
static uint64_t number_of(const char *hex)
{
	char digits[17];

	(void) snprintf(digits, sizeof(digits), "%.16s", hex);
	return strtoull(digits, NULL, 16);
}

static int remember(struct audit_bodies *b, const char *hex)
{
	if (b->n == b->size) {
		size_t size = b->size > 0 ? 2 * b->size : 1024;
		uint64_t *grown = reallocarray(b->names, size, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		b->names = grown;
		b->size = size;
	}
	b->names[b->n++] = number_of(hex);
	return 0;
}

static void check_file(struct audit_bodies *b, uint64_t seq, const char *id, const char *path,
                       json_int_t bytes)
{
	struct stat st;

	if (stat(path, &st) < 0)
		audit_problem(b->report, AUDIT_BODY, "body: seq %llu (%s): %s: %s", (ull) seq, id, path,
		              strerror(errno));
	else if (!S_ISREG(st.st_mode) || st.st_size != bytes)
		audit_problem(b->report, AUDIT_BODY, "body: seq %llu (%s): %s: has %lld bytes, and should "
		              "have %lld", (ull) seq, id, path, (long long) st.st_size, (long long) bytes);
}

int audit_bodies_take(struct audit_bodies *b, uint64_t seq, const char *id, const json_t *body)
{
	const char *path = json_string_value(json_object_get(body, "path"));
	const char *sha256 = json_string_value(json_object_get(body, "sha256"));
	char *full = NULL;

	if (!path || !sha256)
		return 0;
	if (remember(b, sha256) < 0 ||
	    asprintf(&full, "%s%s", *path == '/' ? "" : b->base, path) < 0)
		return -ENOMEM;
	check_file(b, seq, id, full, json_integer_value(json_object_get(body, "bytes")));
	free(full);
	return 0;
}

/* --- the folder -------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;

	return x < y ? -1 : x > y;
}

static bool is_hex(const char *text, size_t n)
{
	return strlen(text) == n && strspn(text, "0123456789abcdef") == n;
}

static bool is_known(const struct audit_bodies *b, const char *folder, const char *name)
{
	char hex[BODIES_DIR_HEX + 1];

	(void) snprintf(hex, sizeof(hex), "%.2s%.*s", folder, BODIES_DIR_HEX - 2, name);
	uint64_t number = number_of(hex);
	return bsearch(&number, b->names, b->n, sizeof(number), compare) != NULL;
}

/* The files of one folder that no record has named. */
static uint64_t count_unknown(const struct audit_bodies *b, const char *dir, const char *folder)
{
	char *path = NULL;
	uint64_t n = 0;

	DIR *files = asprintf(&path, "%s/%s", dir, folder) < 0 ? NULL : opendir(path);
	for (const struct dirent *file; files && (file = readdir(files));)
		n += is_hex(file->d_name, BODIES_DIR_HEX - 2) && !is_known(b, folder, file->d_name);
	if (files)
		(void) closedir(files);
	free(path);
	return n;
}

void audit_bodies_end(struct audit_bodies *b, const char *dir)
{
	uint64_t orphans = 0;

	if (b->n > 0)
		qsort(b->names, b->n, sizeof(*b->names), compare);
	DIR *folders = opendir(dir);
	for (const struct dirent *folder; folders && (folder = readdir(folders));)
		if (is_hex(folder->d_name, 2))
			orphans += count_unknown(b, dir, folder->d_name);
	if (folders)
		(void) closedir(folders);
	if (b->n > 0)
		audit_say(b->report, "bodies    of %llu records looked for", (ull) b->n);
	if (orphans > 0)
		audit_say(b->report, "bodies    %llu files in %s that none of these records names",
		          (ull) orphans, dir);
}
