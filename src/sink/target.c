/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/target.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- opening ----------------------------------------------------------------------- */

void target_close(struct target *t)
{
	if (t->fd >= 0)
		(void) close(t->fd);
	t->fd = -1;
}

static int learn_kind(struct target *t)
{
	struct stat st;

	if (fstat(t->fd, &st) < 0)
		return -errno;
	t->regular = S_ISREG(st.st_mode);
	t->device = st.st_dev;
	t->inode = st.st_ino;
	return 0;
}

/* Finds a regular file's end, and whether something cut its last line short. */
static int learn_end(struct target *t)
{
	char last = '\n';

	t->end = lseek(t->fd, 0, SEEK_END);
	if (t->end < 0)
		return -errno;
	if (t->end > 0 && pread(t->fd, &last, 1, t->end - 1) < 0 && errno != EBADF)
		return -errno; /* EBADF: it may be written but not read */
	t->torn = last != '\n';
	return 0;
}

/* A FIFO that is open for reading as well would never lose its reader.  Opening it
 * waits for one. */
static int open_fd(const char *path)
{
	struct stat st;
	bool fifo = stat(path, &st) == 0 && S_ISFIFO(st.st_mode);

	int fd = open(path, (fifo ? O_WRONLY : O_RDWR | O_CREAT) | O_APPEND | O_CLOEXEC, 0666);
	int err = fd < 0 ? -errno : 0;
	if (err == -EACCES)
		fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC); /* /dev/stderr and the like */
	return fd < 0 ? err : fd;
}

int target_open(struct target *ret_target, const char *path)
{
	struct target t = { .fd = open_fd(path),
		            .cancel_fd = ret_target->cancel_fd,
		            .owned = true };
	if (t.fd < 0)
		return t.fd;

	int err = learn_kind(&t);
	if (err == 0 && t.regular && flock(t.fd, LOCK_EX | LOCK_NB) < 0)
		err = -errno;
	if (err == 0 && t.regular)
		err = learn_end(&t);
	if (err == 0 && !t.regular && fcntl(t.fd, F_SETFL, O_APPEND | O_NONBLOCK) < 0)
		err = -errno;
	if (err < 0)
		target_close(&t);
	else
		*ret_target = t;
	return err;
}

/* Opened anew where that can be done, so that it can be made not to block without a
 * change to who shares it. */
int target_open_stdout(struct target *ret_target)
{
	struct target t = { .cancel_fd = ret_target->cancel_fd };
	int flags = fcntl(STDOUT_FILENO, F_GETFL);

	if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY)
		return -EBADF;
	t.fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	if (t.fd < 0)
		return -errno;
	int err = learn_kind(&t);
	if (err < 0) {
		target_close(&t);
		return err;
	}

	if (t.regular) { /* ">" leaves the offset where others stopped, ">>" at 0 */
		t.end = lseek(t.fd, 0, flags & O_APPEND ? SEEK_END : SEEK_CUR);
	} else {
		int fd = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
		if (fd >= 0) {
			target_close(&t);
			t.fd = fd;
		}
	}
	*ret_target = t;
	return 0;
}

/* --- writing ----------------------------------------------------------------------- */

/* Waits until a pipe, socket or terminal takes more. */
static int wait_writable(const struct target *t)
{
	struct pollfd set[] = {
		{ .fd = t->fd, .events = POLLOUT },
		{ .fd = t->cancel_fd, .events = POLLIN },
	};

	if (poll(set, ARRAY_LEN(set), -1) < 0)
		return errno == EINTR ? 0 : -errno;
	return set[0].revents == 0 ? -ECANCELED : 0;
}

/* How much to write at once: whole lines up to PIPE_BUF, which a pipe takes
 * together or not at all (pipe(7)), so that none is torn by a cancellation. */
static size_t piece(const struct target *t, const char *data, size_t len)
{
	if (t->regular || len <= PIPE_BUF)
		return len;

	const char *newline = memrchr(data, '\n', PIPE_BUF);
	return newline ? (size_t) (newline - data) + 1 : PIPE_BUF;
}

int target_write(const struct target *t, const char *data, size_t len, size_t *ret_written)
{
	*ret_written = 0;
	while (*ret_written < len) {
		const char *at = data + *ret_written;
		if (!t->regular) {
			int err = wait_writable(t);
			if (err < 0)
				return err;
		}
		ssize_t n = write(t->fd, at, piece(t, at, len - *ret_written));
		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return -errno;
		*ret_written += n > 0 ? (size_t) n : 0;
	}
	return 0;
}

int target_mend(struct target *t)
{
	size_t written = 0;

	if (!t->torn)
		return 0;
	int err = target_write(t, "\n", 1, &written);
	if (err == 0) {
		t->end += (off_t) written;
		t->torn = false;
	}
	return err;
}

void target_cut_back(struct target *t, size_t written)
{
	struct stat st;

	if (fstat(t->fd, &st) == 0 && st.st_size == t->end + (off_t) written &&
	    ftruncate(t->fd, t->end) == 0)
		(void) lseek(t->fd, t->end, SEEK_SET);
}

/* --- the disk ---------------------------------------------------------------------- */

int target_sync(const struct target *t) { return t->regular && fdatasync(t->fd) < 0 ? -errno : 0; }

struct results_position target_position(const struct target *t)
{
	if (!t->regular || !t->owned)
		return (struct results_position){ .regular = false };
	return (struct results_position){
		.regular = true,
		.device = t->device,
		.inode = t->inode,
		.offset = (uint64_t) t->end,
	};
}

int target_open_folder(const char *path)
{
	char *real = realpath(path, NULL);
	if (!real)
		real = strdup(path); /* it has just been renamed */
	if (!real)
		return -ENOMEM;

	char *slash = strrchr(real, '/');
	if (slash)
		slash[1] = '\0';
	int fd = open(slash ? real : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err = fd < 0 ? -errno : 0;
	free(real);
	return err < 0 ? err : fd;
}

int target_sync_folder(const char *path)
{
	int fd = target_open_folder(path);
	if (fd < 0)
		return fd;

	int err = fsync(fd) < 0 && errno != EINVAL ? -errno : 0; /* EINVAL: nothing to sync here */
	(void) close(fd);
	return err;
}
