/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/results.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct results {
	int fd;
	int cancel_fd; /* an eventfd; readable for ever once cancelled */
	bool owned;    /* 'fd' is ours to close: not standard output */
	bool regular;
	off_t end;     /* of a regular file: behind the last whole line */
	char *path;
	atomic_bool reopen;
};

/* Ends the last line of a regular file if something cut it short. */
static int mend_last_line(struct results *r)
{
	char last = '\n';

	r->end = lseek(r->fd, 0, SEEK_END);
	if (r->end < 0)
		return -errno;
	if (r->end > 0 && pread(r->fd, &last, 1, r->end - 1) < 0 && errno != EBADF)
		return -errno; /* EBADF: it may be written but not read */
	return last == '\n' ? 0 : results_append(r, "\n", 1);
}

/* Opens r->path. */
static int open_file(struct results *r)
{
	const char *path = r->path;
	struct stat st;

	r->owned = true;
	r->fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
	if (r->fd < 0 && errno == EACCES)
		r->fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC); /* /dev/stderr and the like */
	if (r->fd < 0 || fstat(r->fd, &st) < 0)
		return -errno;

	r->regular = S_ISREG(st.st_mode);
	if (!r->regular)
		return 0;
	if (flock(r->fd, LOCK_EX | LOCK_NB) < 0)
		return -errno;
	return mend_last_line(r);
}

static int open_stdout(struct results *r)
{
	struct stat st;
	int flags = fcntl(STDOUT_FILENO, F_GETFL);

	r->fd = STDOUT_FILENO;
	if (flags < 0 || fstat(r->fd, &st) < 0)
		return -errno;

	/* ">" leaves the offset at the end of what others wrote, ">>" at 0. */
	r->regular = S_ISREG(st.st_mode);
	if (r->regular)
		r->end = lseek(r->fd, 0, flags & O_APPEND ? SEEK_END : SEEK_CUR);
	return 0;
}

static void free_results(struct results *r)
{
	if (r->owned && r->fd >= 0)
		(void) close(r->fd);
	if (r->cancel_fd >= 0)
		(void) close(r->cancel_fd);
	free(r->path);
	free(r);
}

int results_open(const char *path, struct results **ret_results)
{
	struct results *r = malloc(sizeof(*r));
	if (!r)
		return -ENOMEM;

	*r = (struct results) {
		.fd = -1,
		.cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
		.path = strdup(path),
	};
	int err = r->cancel_fd < 0 ? -errno : r->path ? 0 : -ENOMEM;
	if (err == 0)
		err = strcmp(path, "-") == 0 ? open_stdout(r) : open_file(r);
	if (err < 0) {
		free_results(r);
		return err;
	}
	*ret_results = r;
	return 0;
}

/* Waits until a pipe, socket or terminal takes PIPE_BUF bytes without blocking (pipe(7)). */
static int wait_writable(const struct results *r)
{
	struct pollfd set[] = {
		{ .fd = r->fd, .events = POLLOUT },
		{ .fd = r->cancel_fd, .events = POLLIN },
	};

	if (poll(set, ARRAY_LEN(set), -1) < 0)
		return errno == EINTR ? 0 : -errno;
	return set[0].revents == 0 ? -ECANCELED : 0;
}

static int write_all(struct results *r, const char *data, size_t len)
{
	while (len > 0) {
		size_t piece = len;
		if (!r->regular) {
			int err = wait_writable(r);
			if (err < 0)
				return err;
			piece = len < PIPE_BUF ? len : PIPE_BUF;
		}

		ssize_t n = write(r->fd, data, piece);
		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return -errno;
		if (n > 0) {
			data += n;
			len -= (size_t) n;
		}
	}
	return 0;
}

/* Goes over to a file opened anew.  On failure the old one stays, and the next
 * append tries again. */
static int change_file(struct results *r)
{
	struct results fresh = { .fd = -1, .cancel_fd = r->cancel_fd, .path = r->path };

	/* Locks belong to open files: were the path not changed, ours would be in our way. */
	(void) flock(r->fd, LOCK_UN);
	int err = open_file(&fresh);
	if (err == 0 && r->regular && fdatasync(r->fd) < 0)
		err = -errno;
	if (err < 0) {
		if (fresh.fd >= 0)
			(void) close(fresh.fd);
		(void) flock(r->fd, LOCK_EX | LOCK_NB);
		atomic_store(&r->reopen, true);
		return err;
	}
	(void) close(r->fd);
	r->fd = fresh.fd;
	r->regular = fresh.regular;
	r->end = fresh.end;
	return 0;
}

int results_append(struct results *r, const char *data, size_t len)
{
	int err = r->owned && atomic_exchange(&r->reopen, false) ? change_file(r) : 0;
	if (err < 0)
		return err;

	err = write_all(r, data, len);
	if (!r->regular)
		return err;
	if (err == 0) {
		r->end += (off_t) len;
	} else if (ftruncate(r->fd, r->end) == 0) {
		(void) lseek(r->fd, r->end, SEEK_SET);
	}
	return err;
}

void results_reopen(struct results *r) { atomic_store(&r->reopen, true); }

void results_cancel(struct results *r)
{
	const uint64_t one = 1;

	if (write(r->cancel_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		abort(); /* an eventfd takes 8 bytes unless its counter is full */
}

int results_close(struct results *r)
{
	if (!r)
		return 0;

	int err = r->regular && fdatasync(r->fd) < 0 ? -errno : 0;
	free_results(r);
	return err;
}
