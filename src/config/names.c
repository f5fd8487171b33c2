/* SPDX-License-Identifier: Apache-2.0 */
#include "config/names.h"

#include <string.h>

enum { MAX_NAME = 63, MAX_DISTANCE = 3 };

const struct config_key *config_find_key(const struct config_table *table, const char *path)
{
	for (size_t i = 0; i < table->n; i++)
		if (strcmp(table->keys[i].path, path) == 0)
			return &table->keys[i];
	return NULL;
}

/* Whether 'path' is in the group of 'n' characters; n = 0: the top, where all is. */
static bool is_in(const char *path, const char *group, size_t n)
{
	return n == 0 || (strncmp(path, group, n) == 0 && path[n] == '.');
}

bool config_is_group(const struct config_table *table, const char *path)
{
	size_t n = strlen(path);

	for (size_t i = 0; i < table->n; i++)
		if (n > 0 && is_in(table->keys[i].path, path, n))
			return true;
	return false;
}

static size_t min(size_t a, size_t b) { return a < b ? a : b; }

/*
 * How many slips (a character too many, missing, wrong, or two swapped) lie between
 * two names of at most MAX_NAME characters: the "optimal string alignment" distance.
 */
static size_t distance(const char *a, size_t n, const char *b, size_t m)
{
	unsigned char d[MAX_NAME + 1][MAX_NAME + 1]; /* between the first i and the first j */

	for (size_t i = 0; i <= n; i++)
		d[i][0] = (unsigned char) i;
	for (size_t j = 0; j <= m; j++)
		d[0][j] = (unsigned char) j;
	for (size_t i = 1; i <= n; i++) {
		for (size_t j = 1; j <= m; j++) {
			size_t best = (size_t) d[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
			best = min(best, min(d[i - 1][j], d[i][j - 1]) + 1U);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				best = min(best, d[i - 2][j - 2] + 1U);
			d[i][j] = (unsigned char) best;
		}
	}
	return d[n][m];
}

/* The name without its group. */
static const char *last_part(const char *path)
{
	const char *dot = strrchr(path, '.');
	return dot ? dot + 1 : path;
}

/* The nearest name so far; 'n' characters of 'path'. */
struct candidate {
	const char *path;
	size_t n;
	size_t distance;
};

static void consider(struct candidate *best, const char *wrong, const char *path, size_t n)
{
	if (n > MAX_NAME || strlen(wrong) > MAX_NAME)
		return;
	size_t d = distance(wrong, strlen(wrong), path, n);
	if (d < best->distance)
		*best = (struct candidate) { .path = path, .n = n, .distance = d };
}

/* Looks at each key and at the groups it stands in; then for a key of that name elsewhere. */
static struct candidate find_nearest(const struct config_table *table, const char *wrong)
{
	size_t allowed = min((strlen(last_part(wrong)) + 1) / 3, MAX_DISTANCE);
	struct candidate best = { .distance = allowed + 1 };

	for (size_t i = 0; i < table->n; i++) {
		const char *path = table->keys[i].path;
		for (const char *dot = strchr(path, '.'); dot; dot = strchr(dot + 1, '.'))
			consider(&best, wrong, path, (size_t) (dot - path));
		consider(&best, wrong, path, strlen(path));
	}
	for (size_t i = 0; i < table->n && !best.path; i++) {
		const char *path = table->keys[i].path;
		if (strcmp(last_part(path), last_part(wrong)) == 0)
			best = (struct candidate) { .path = path, .n = strlen(path) };
	}
	return best;
}

/* Whether an earlier key than 'i' has the same 'n' characters: its group was listed. */
static bool is_listed(const struct config_table *table, size_t i, size_t n)
{
	for (size_t j = 0; j < i; j++)
		if (is_in(table->keys[j].path, table->keys[i].path, n))
			return true;
	return false;
}

/* Appends the names in the group that is the first 'n' characters of 'path'. */
static void add_names(const struct config_table *table, const char *path, size_t n, struct buf *b)
{
	const char *separator = "";

	for (size_t i = 0; i < table->n; i++) {
		const char *key = table->keys[i].path;
		if (!is_in(key, path, n))
			continue;
		size_t start = n > 0 ? n + 1 : 0;
		size_t len = strcspn(key + start, ".");
		if (is_listed(table, i, start + len))
			continue;
		buf_add_str(b, separator);
		buf_add(b, key + start, len);
		separator = ", ";
	}
}

void config_suggest(const struct config_table *table, const char *path, struct buf *b)
{
	const struct candidate nearest = find_nearest(table, path);
	const char *last = last_part(path);
	size_t group = last > path ? (size_t) (last - 1 - path) : 0;

	if (nearest.path) {
		buf_add_str(b, "did you mean ");
		buf_add(b, nearest.path, nearest.n);
		buf_add_char(b, '?');
		return;
	}
	buf_add_str(b, "known here: ");
	size_t start = b->len;
	add_names(table, path, group, b);
	if (b->len == start)
		add_names(table, "", 0, b);
}
