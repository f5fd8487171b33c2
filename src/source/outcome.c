/* SPDX-License-Identifier: Apache-2.0 */
#include "source/outcome.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* So much of a name is kept, which leaves room for what is put behind it. */
enum { KEPT_NAME_BYTES = NAME_MAX - 31 };

/* Of a report that is being written. */
static const char unnamed_report[] = "failed/.report";

/* --- moving ------------------------------------------------------------------------- */

static int make_folder(int dir_fd, const char *folder)
{
	struct stat st;

	if (mkdirat(dir_fd, folder, 0777) == 0)
		return 0;
	if (errno != EEXIST)
		return -errno;
	return fstatat(dir_fd, folder, &st, 0) == 0 && S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

int outcome_make_folders(int dir_fd)
{
	int r = make_folder(dir_fd, "done");

	return r < 0 ? r : make_folder(dir_fd, "failed");
}

/* Renames, unless the new name is taken. */
static int rename_to_new(int dir_fd, const char *from, const char *to)
{
	if (renameat2(dir_fd, from, dir_fd, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;

	/* This file system cannot do both at once; but nobody else puts files there. */
	if (faccessat(dir_fd, to, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return -EEXIST;
	return renameat(dir_fd, from, dir_fd, to) < 0 ? -errno : 0;
}

/* Renames 'from' to 'name' in the folder, or to the next such name that is not taken. */
static int move_to(int dir_fd, const char *from, const char *folder, const char *name,
                   char ret_target[NAME_MAX + 1])
{
	char target[NAME_MAX + 1], path[sizeof("failed/") + NAME_MAX];
	int r = -EEXIST;

	(void) snprintf(target, sizeof(target), "%s", name);
	for (unsigned k = 1; r == -EEXIST; k++) {
		(void) snprintf(path, sizeof(path), "%s/%s", folder, target);
		r = rename_to_new(dir_fd, from, path);
		if (r == -EEXIST)
			(void) snprintf(target, sizeof(target), "%.*s.%u", NAME_MAX - 11, name, k);
	}
	if (r == 0)
		(void) snprintf(ret_target, NAME_MAX + 1, "%s", target);
	return r;
}

/* Whether that name leads to the file, and if not, why. */
static int check_is(int dir_fd, const char *path, const struct file_id *id)
{
	struct file_state state;
	int r = file_look(dir_fd, path, &state);

	return r < 0 || file_is_same(&state.id, id) ? r : -ENOENT;
}

int outcome_move(int dir_fd, const char *name, const struct file_id *id, const char *folder,
                 char ret_target[NAME_MAX + 1])
{
	char kept[KEPT_NAME_BYTES + 1], path[sizeof("failed/") + NAME_MAX];

	int r = check_is(dir_fd, name, id);
	if (r == 0)
		r = make_folder(dir_fd, folder);
	if (r < 0)
		return r;
	(void) snprintf(kept, sizeof(kept), "%s", name);
	r = move_to(dir_fd, name, folder, kept, ret_target);
	if (r == -ENOENT && check_is(dir_fd, name, id) == 0)
		return -EAGAIN; /* it is the folder that has gone */
	if (r < 0)
		return r;

	/* Another file may have come by that name since it was checked: it goes back, and
	 * is found as any that is renamed. */
	(void) snprintf(path, sizeof(path), "%s/%s", folder, ret_target);
	if (check_is(dir_fd, path, id) == -ENOENT && rename_to_new(dir_fd, path, name) == 0)
		return -ENOENT;

	/* Or a power failure may bring it back, and it would be read again. */
	(void) fsync(dir_fd);
	return 0;
}

/* --- reports ------------------------------------------------------------------------ */

void report_begin(struct report *r, uint64_t length)
{
	*r = (struct report) { .fd = -1, .length = length };
}

void report_done(struct report *r)
{
	if (r->fd >= 0)
		(void) close(r->fd);
	r->fd = -1;
	buf_done(&r->text);
}

void report_add(struct report *r, uint64_t line, const char *why)
{
	if (r->broken)
		return;
	buf_printf(&r->text, "%" PRIu64 ": %s\n", line, why);
}

/* Opens the report at its end, without what was added but was not accepted. */
static int open_report(struct report *r, int dir_fd)
{
	struct stat st;

	int error = make_folder(dir_fd, "failed");
	if (error < 0)
		return error;
	int fd = openat(dir_fd, unnamed_report, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
	if (fd < 0)
		return -errno;

	if (fstat(fd, &st) < 0 ||
	    (st.st_size > (off_t) r->length && ftruncate(fd, (off_t) r->length) < 0) ||
	    lseek(fd, 0, SEEK_END) < 0) {
		error = -errno;
		(void) close(fd);
		return error;
	}
	r->fd = fd;
	return 0;
}

static int write_all(int fd, const char *data, size_t n)
{
	while (n > 0) {
		ssize_t done = write(fd, data, n);
		if (done < 0 && errno != EINTR)
			return -errno;
		if (done > 0) {
			data += done;
			n -= (size_t) done;
		}
	}
	return 0;
}

int report_sync(struct report *r, int dir_fd)
{
	if ((r->text.len == 0 && !r->text.failed) || r->broken)
		return 0;

	int error = r->text.failed ? -ENOMEM : 0;
	if (error == 0 && r->fd < 0)
		error = open_report(r, dir_fd);
	if (error == 0)
		error = write_all(r->fd, r->text.data, r->text.len);
	if (error == 0 && fdatasync(r->fd) < 0)
		error = -errno;

	r->broken = error < 0;
	if (error == 0)
		r->length += r->text.len;
	buf_clear(&r->text);
	return error;
}

static int name_report(int dir_fd, const char *target)
{
	char name[NAME_MAX + 1], taken[NAME_MAX + 1];

	(void) snprintf(name, sizeof(name), "%.*s.report", NAME_MAX - 7, target);
	return move_to(dir_fd, unnamed_report, "failed", name, taken);
}

int report_name(struct report *r, int dir_fd, const char *target)
{
	int error = 0;

	if (r->length == 0)
		return 0;
	if (r->fd < 0)
		error = open_report(r, dir_fd);
	if (error == 0 && r->broken && ftruncate(r->fd, (off_t) r->length) < 0)
		error = -errno;
	return error < 0 ? error : name_report(dir_fd, target);
}

void report_name_late(int dir_fd, const struct file_id *id, uint64_t length)
{
	char target[NAME_MAX + 1];
	struct report r = { .fd = -1, .length = length };

	if (length == 0 || faccessat(dir_fd, unnamed_report, F_OK, 0) < 0)
		return;
	int failed_fd = openat(dir_fd, "failed", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (failed_fd < 0)
		return;
	if (file_find(failed_fd, id, target) == 0)
		(void) !report_name(&r, dir_fd, target);
	(void) close(failed_fd);
	report_done(&r);
}
