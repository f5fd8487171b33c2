/* SPDX-License-Identifier: Apache-2.0 */
#include "config/drop_ins.h"

#include "config/text.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Not hidden, and nothing that an editor or a package manager has left: "a.conf~",
 * "a.conf.dpkg-old", "a.conf.rpmsave". */
static bool is_drop_in(const char *name)
{
	static const char suffix[] = ".conf";
	size_t n = strlen(name), len = sizeof(suffix) - 1;

	return *name != '.' && n > len && strcmp(name + n - len, suffix) == 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *) a, *(const char *const *) b);
}

/* Reads the names to their end.  Returns 0 or an error of readdir(3). */
static int read_names(struct loading *l, const char *folder, DIR *dir, struct drop_ins *found)
{
	const struct place place = { .where = folder };
	const struct dirent *entry = NULL;

	while (errno = 0, (entry = readdir(dir)) != NULL) {
		if (!is_drop_in(entry->d_name))
			continue;
		if (found->n == MAX_DROP_INS) {
			config_problem(l, &place, "more than %d files; merge some", MAX_DROP_INS);
			return 0;
		}
		found->paths[found->n++] = config_format(l, "%s/%s", folder, entry->d_name);
	}
	return -errno;
}

int config_find_drop_ins(struct loading *l, const char *folder, struct drop_ins *ret_drop_ins)
{
	struct drop_ins found = { .paths = config_alloc(l, MAX_DROP_INS, sizeof(*found.paths)) };

	*ret_drop_ins = (struct drop_ins) { 0 };
	if (!found.paths)
		return -ENOMEM;
	DIR *dir = opendir(folder);
	if (!dir && errno == ENOENT)
		return 0;
	int r = dir ? read_names(l, folder, dir, &found) : -errno;
	if (dir)
		(void) closedir(dir);
	if (r < 0)
		return config_text_unreadable(l, folder, -r);
	qsort(found.paths, found.n, sizeof(*found.paths), by_name);
	*ret_drop_ins = found;
	return 0;
}
