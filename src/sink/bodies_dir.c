/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/bodies_dir.h"

#include "sink/target.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* "ab/cdef…" */
enum { PATH_SIZE = BODIES_DIR_HEX + 2 };

/* --- the folder -------------------------------------------------------------------- */

/* Whether files without names can be made here, and be given one by way of /proc. */
static int learn_kind(struct bodies_dir *d)
{
	int fd = openat(d->fd, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0640);
	int error = fd < 0 ? -errno : 0;

	if (fd >= 0)
		(void) close(fd);
	bool cannot = error == -EOPNOTSUPP || error == -EISDIR || error == -ENOENT ||
	              error == -EINVAL;
	d->unnamed = !cannot && access("/proc/self/fd", F_OK) == 0;
	return cannot || error == -ENOSPC || error == -EDQUOT ? 0 : error; /* a full disk passes */
}

static void remove_leftovers(const struct bodies_dir *d)
{
	int fd = openat(d->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir) {
		if (fd >= 0)
			(void) close(fd);
		return;
	}
	for (const struct dirent *entry; (entry = readdir(dir));)
		if (strncmp(entry->d_name, BODIES_DIR_NEW, strlen(BODIES_DIR_NEW)) == 0)
			(void) unlinkat(d->fd, entry->d_name, 0);
	(void) closedir(dir);
}

/* Each process has a shared lock while it uses the folder.  Only who could have it alone, for a
 * moment, knows that what has a temporary name is nobody's. */
static void share(const struct bodies_dir *d)
{
	if (flock(d->fd, LOCK_EX | LOCK_NB) == 0)
		remove_leftovers(d);
	(void) flock(d->fd, LOCK_SH);
}

int bodies_dir_open(struct bodies_dir *d, const char *path, bool durable)
{
	bool made = mkdir(path, 0750) == 0;
	if (!made && errno != EEXIST)
		return -errno;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;

	*d = (struct bodies_dir) { .fd = fd, .durable = durable };
	int error = learn_kind(d);
	if (error == 0 && made && durable)
		error = target_sync_folder(path);
	if (error == 0)
		error = mutex_init(&d->lock);
	if (error < 0) {
		(void) close(fd);
		return error;
	}
	share(d);
	return 0;
}

void bodies_dir_close(struct bodies_dir *d)
{
	(void) close(d->fd);
	mutex_destroy(&d->lock);
}

/* --- the folders in it ------------------------------------------------------------- */

static int sync_fd(int fd)
{
	return fsync(fd) < 0 && errno != EINVAL ? -errno : 0; /* EINVAL: nothing to sync here */
}

static unsigned folder_of(const char *hex)
{
	return (unsigned) strtoul((const char[]) { hex[0], hex[1], '\0' }, NULL, 16);
}

static void name_folder(unsigned folder, char name[static 3])
{
	static const char hex[] = "0123456789abcdef";

	name[0] = hex[folder >> 4 & 15];
	name[1] = hex[folder & 15];
	name[2] = '\0';
}

/* Makes the folder, and its own name durable; once in the life of a process, unless somebody
 * removes it. */
static int make_folder(struct bodies_dir *d, unsigned folder)
{
	char name[3];

	mutex_lock(&d->lock);
	bool known = d->known[folder];
	mutex_unlock(&d->lock);
	if (known)
		return 0;

	name_folder(folder, name);
	if (mkdirat(d->fd, name, 0750) < 0 && errno != EEXIST)
		return -errno;
	int error = d->durable ? sync_fd(d->fd) : 0;
	if (error < 0)
		return error;
	mutex_lock(&d->lock);
	d->known[folder] = true;
	mutex_unlock(&d->lock);
	return 0;
}

static void forget_folder(struct bodies_dir *d, unsigned folder)
{
	mutex_lock(&d->lock);
	d->known[folder] = false;
	mutex_unlock(&d->lock);
}

static void touch_folder(struct bodies_dir *d, unsigned folder)
{
	mutex_lock(&d->lock);
	d->touched[folder] = d->durable;
	mutex_unlock(&d->lock);
}

/* --- files ------------------------------------------------------------------------- */

int bodies_dir_create(struct bodies_dir *d, struct bodies_file *ret_file)
{
	struct bodies_file f = { .fd = -1 };

	if (d->unnamed) {
		f.fd = openat(d->fd, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0640);
	} else {
		(void) snprintf(f.name, sizeof(f.name), BODIES_DIR_NEW "%ld-%llu", (long) getpid(),
		                (unsigned long long) atomic_fetch_add(&d->named, 1));
		f.fd = openat(d->fd, f.name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
	}
	if (f.fd < 0)
		return -errno;
	*ret_file = f;
	return 0;
}

int bodies_file_write(const struct bodies_file *f, const char *data, size_t n)
{
	while (n > 0) {
		ssize_t written = write(f->fd, data, n);
		if (written < 0 && errno != EINTR)
			return -errno;
		data += written > 0 ? written : 0;
		n -= written > 0 ? (size_t) written : 0;
	}
	return 0;
}

void bodies_dir_discard(struct bodies_dir *d, struct bodies_file *f)
{
	if (f->fd < 0)
		return;
	if (*f->name != '\0')
		(void) unlinkat(d->fd, f->name, 0);
	(void) close(f->fd);
	*f = (struct bodies_file) { .fd = -1 };
}

/* --- publishing -------------------------------------------------------------------- */

/* Whether the content is there already: 1, 0, or what open(2) or fdatasync(2) say.  What has its
 * name and another size was not on disk when the power failed, and is removed. */
static int find_same(const struct bodies_dir *d, const char *path, uint64_t size)
{
	struct stat st;
	int fd = openat(d->fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	int found = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t) st.st_size == size;
	if (!found)
		(void) unlinkat(d->fd, path, 0);
	else if (d->durable && fdatasync(fd) < 0) /* who has put it there may not have done it */
		found = -errno;
	(void) close(fd);
	return found;
}

static int give_name(const struct bodies_dir *d, const struct bodies_file *f, const char *path)
{
	char link[32];

	if (*f->name != '\0')
		return renameat(d->fd, f->name, d->fd, path) < 0 ? -errno : 0;
	(void) snprintf(link, sizeof(link), "/proc/self/fd/%d", f->fd);
	return linkat(AT_FDCWD, link, d->fd, path, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

static int publish(struct bodies_dir *d, struct bodies_file *f, const char *path, unsigned folder)
{
	int error = make_folder(d, folder);
	if (error == 0)
		error = give_name(d, f, path);
	if (error != -ENOENT)
		return error;
	forget_folder(d, folder); /* somebody has tidied up */
	error = make_folder(d, folder);
	return error < 0 ? error : give_name(d, f, path);
}

int bodies_dir_publish(struct bodies_dir *d, struct bodies_file *f, const char *hex, uint64_t size)
{
	unsigned folder = folder_of(hex);
	char path[PATH_SIZE];

	(void) snprintf(path, sizeof(path), "%.2s/%s", hex, hex + 2);
	int r = find_same(d, path, size);
	if (r == 0 && d->durable && fdatasync(f->fd) < 0)
		r = -errno;
	if (r == 0)
		r = publish(d, f, path, folder);
	if (r == -EEXIST && (r = find_same(d, path, size)) == 0) /* just now */
		r = publish(d, f, path, folder);
	if (r < 0)
		return r;
	if (r == 0)
		f->name[0] = '\0'; /* that name is gone */
	touch_folder(d, folder);
	bodies_dir_discard(d, f);
	return r;
}

int bodies_dir_try(struct bodies_dir *d)
{
	static const char zeros[4096];
	struct bodies_file f;

	int error = bodies_dir_create(d, &f);
	if (error < 0)
		return error;
	for (int i = 0; error == 0 && i < 16; i++)
		error = bodies_file_write(&f, zeros, sizeof(zeros));
	if (error == 0 && d->durable && fdatasync(f.fd) < 0)
		error = -errno;
	bodies_dir_discard(d, &f);
	return error;
}

/* --- durability -------------------------------------------------------------------- */

static int sync_folder(const struct bodies_dir *d, unsigned folder)
{
	char name[3];

	name_folder(folder, name);
	int fd = openat(d->fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno; /* removed, with all that was in it */
	int error = sync_fd(fd);
	(void) close(fd);
	return error;
}

int bodies_dir_sync(struct bodies_dir *d)
{
	bool touched[BODIES_DIR_FOLDERS];
	int error = 0;

	mutex_lock(&d->lock);
	memcpy(touched, d->touched, sizeof(touched));
	memset(d->touched, 0, sizeof(d->touched));
	mutex_unlock(&d->lock);

	for (unsigned i = 0; i < BODIES_DIR_FOLDERS; i++) {
		if (!touched[i])
			continue;
		if (error == 0)
			error = sync_folder(d, i);
		if (error < 0)
			touch_folder(d, i);
	}
	return error;
}
