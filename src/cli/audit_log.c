/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/audit_log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READ_BYTES = 256 * 1024 };

/* --- files ------------------------------------------------------------------------- */

void audit_log_close(struct audit_log *log)
{
	for (size_t i = 0; i < log->n; i++) {
		(void) close(log->files[i].fd);
		buf_done(&log->files[i].rest);
		free(log->files[i].path);
	}
	free(log->files);
	buf_done(&log->unread);
	*log = (struct audit_log) { 0 };
}

static bool is_open(const struct audit_log *log, const struct stat *st)
{
	for (size_t i = 0; i < log->n; i++)
		if (log->files[i].device == st->st_dev && log->files[i].inode == st->st_ino)
			return true;
	return false;
}

/* So that files are read in the order of their records, which is good for speed, and names
 * the later one of two that are the same. */
static uint64_t peek_seq(int fd)
{
	char head[64];
	unsigned long long seq = 0;

	ssize_t n = pread(fd, head, sizeof(head) - 1, 0);
	head[n > 0 ? n : 0] = '\0';
	return sscanf(head, "{\"seq\":%19llu", &seq) == 1 ? seq : UINT64_MAX;
}

static int by_first_seq(const void *a, const void *b)
{
	uint64_t x = ((const struct audit_file *) a)->first_seq;
	uint64_t y = ((const struct audit_file *) b)->first_seq;

	return x < y ? -1 : x > y;
}

static int add_file(struct audit_log *log, char *path, int fd, const struct stat *st)
{
	struct audit_file *grown = realloc(log->files, (log->n + 1) * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	log->files = grown;
	log->files[log->n++] = (struct audit_file) {
		.path = path, .fd = fd, .device = st->st_dev, .inode = st->st_ino,
		.first_seq = peek_seq(fd) };
	qsort(log->files, log->n, sizeof(*log->files), by_first_seq);
	return 0;
}

/* Takes 'path' over if it succeeds.  A file that has gone meanwhile was renamed or is
 * no more: it will be found missing. */
static int open_file(struct audit_log *log, char *path, bool *ret_taken)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	*ret_taken = false;
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	int r = fstat(fd, &st) < 0 ? -errno : 0;
	if (r == 0 && !S_ISREG(st.st_mode))
		r = S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	if (r == 0 && !is_open(log, &st)) {
		r = add_file(log, path, fd, &st);
		*ret_taken = r == 0;
	}
	if (!*ret_taken)
		(void) close(fd);
	return r;
}

static bool is_compressed(const char *name)
{
	static const char *const endings[] = { ".gz", ".xz", ".zst", ".bz2", ".lz4", ".Z" };
	size_t len = strlen(name);

	for (size_t i = 0; i < sizeof(endings) / sizeof(*endings); i++) {
		size_t n = strlen(endings[i]);
		if (len > n && strcmp(name + len - n, endings[i]) == 0)
			return true;
	}
	return false;
}

static bool is_sibling(const char *name, const char *base)
{
	size_t len = strlen(base);

	return strncmp(name, base, len) == 0 && (name[len] == '.' || name[len] == '-');
}

static int open_sibling(struct audit_log *log, const char *folder, const char *name,
                        char **ret_failed)
{
	bool taken = false;
	char *path = NULL;

	if (is_compressed(name)) {
		buf_add_str(&log->unread, log->unread.len > 0 ? ", " : "");
		buf_add_str(&log->unread, name);
		return 0;
	}
	int n = strcmp(folder, ".") == 0 ? asprintf(&path, "%s", name)
	                                 : asprintf(&path, "%s/%s", folder, name);
	if (n < 0)
		return -ENOMEM;
	int r = open_file(log, path, &taken);
	if (r == -EINVAL || r == -EISDIR)
		r = 0; /* a folder, or whatever else bears such a name */
	if (r < 0)
		*ret_failed = path;
	else if (!taken)
		free(path);
	return r;
}

static int open_siblings(struct audit_log *log, const char *folder, const char *base,
                         char **ret_failed)
{
	const struct dirent *entry = NULL;
	int r = 0;

	DIR *dir = opendir(folder);
	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	buf_clear(&log->unread);
	while (r == 0 && (entry = readdir(dir)) != NULL)
		if (is_sibling(entry->d_name, base))
			r = open_sibling(log, folder, entry->d_name, ret_failed);
	(void) closedir(dir);
	return r == 0 && log->unread.failed ? -ENOMEM : r;
}

static int open_beside(struct audit_log *log, const char *path, char **ret_failed)
{
	char *for_folder = strdup(path), *for_base = strdup(path);
	int r = -ENOMEM;

	if (for_folder && for_base)
		r = open_siblings(log, dirname(for_folder), basename(for_base), ret_failed);
	free(for_folder);
	free(for_base);
	return r;
}

int audit_log_open(struct audit_log *log, const char *path, bool alone, char **ret_failed)
{
	bool taken = false;
	char *copy = strdup(path);

	*ret_failed = NULL;
	int r = copy ? open_file(log, copy, &taken) : -ENOMEM;
	if (r == 0 && alone && !taken && access(path, F_OK) < 0)
		r = -errno;
	if (r < 0) {
		*ret_failed = copy;
		return r;
	}
	if (!taken)
		free(copy);
	return alone ? 0 : open_beside(log, path, ret_failed);
}

/* --- lines ------------------------------------------------------------------------- */

/* The end of the line that began with file->rest, or a whole one. */
static int take_line(struct audit_file *file, const char *text, size_t len, audit_line_fn *take,
                     void *arg)
{
	int r = 0;

	file->lines++;
	if (file->skips) {
		r = take(arg, file, NULL, 0);
	} else if (file->rest.len > 0) {
		buf_add(&file->rest, text, len);
		r = file->rest.failed ? -ENOMEM : take(arg, file, file->rest.data, file->rest.len);
	} else {
		r = take(arg, file, text, len);
	}
	file->skips = false;
	buf_clear(&file->rest);
	return r;
}

/* Keeps the beginning of a line. */
static int keep(struct audit_file *file, const char *text, size_t len)
{
	if (!file->skips)
		buf_add(&file->rest, text, len);
	if (file->rest.failed)
		return -ENOMEM;
	if (file->rest.len > AUDIT_LOG_MAX_LINE_BYTES) {
		file->skips = true;
		buf_done(&file->rest);
	}
	return 0;
}

static int take_piece(struct audit_file *file, const char *data, size_t n, audit_line_fn *take,
                      void *arg)
{
	const char *newline = NULL;
	int r = 0;

	while (r == 0 && (newline = memchr(data, '\n', n)) != NULL) {
		size_t len = (size_t) (newline - data);
		r = take_line(file, data, len, take, arg);
		data += len + 1;
		n -= len + 1;
	}
	return r == 0 && n > 0 ? keep(file, data, n) : r;
}

int audit_file_read(struct audit_file *file, audit_line_fn *take, void *arg)
{
	char *piece = malloc(READ_BYTES);
	ssize_t n = 0;
	int r = piece ? 0 : -ENOMEM;

	while (r == 0 && (n = read(file->fd, piece, READ_BYTES)) != 0) {
		if (n > 0)
			r = take_piece(file, piece, (size_t) n, take, arg);
		else if (errno != EINTR)
			r = -errno;
	}
	free(piece);
	return r;
}
