/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/results.h"

#include "base/event.h"
#include "base/sync.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* An open log file, or what else takes the lines. */
struct target {
	int fd;
	bool owned;   /* the file is ours alone: not standard output */
	bool regular;
	dev_t device;
	ino_t inode;
	off_t end;    /* of a regular file: behind the last whole line */
};

struct results {
	char *path;
	int cancel_fd; /* an event; raised for good once cancelled */
	struct target target; /* the appending thread's, but for 'device' and 'inode' */

	struct mutex lock;
	bool reopened GUARDED_BY(lock);        /* 'next' is to take the target's place */
	struct target next GUARDED_BY(lock);
};

static int write_all(const struct results *r, const struct target *t, const char *data, size_t len,
                     size_t *ret_written);

/* --- opening ----------------------------------------------------------------------- */

static void close_target(struct target *t)
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

/* Ends the last line of a regular file if something cut it short. */
static int mend_last_line(const struct results *r, struct target *t)
{
	char last = '\n';
	size_t written = 0;

	t->end = lseek(t->fd, 0, SEEK_END);
	if (t->end < 0)
		return -errno;
	if (t->end > 0 && pread(t->fd, &last, 1, t->end - 1) < 0 && errno != EBADF)
		return -errno; /* EBADF: it may be written but not read */
	if (last == '\n')
		return 0;

	int err = write_all(r, t, "\n", 1, &written);
	t->end += (off_t) written;
	return err;
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

static int open_file(const struct results *r, struct target *t)
{
	*t = (struct target) { .fd = open_fd(r->path), .owned = true };
	if (t->fd < 0)
		return t->fd;

	int err = learn_kind(t);
	if (err == 0 && t->regular && flock(t->fd, LOCK_EX | LOCK_NB) < 0)
		err = -errno;
	if (err == 0 && t->regular)
		err = mend_last_line(r, t);
	if (err == 0 && !t->regular && fcntl(t->fd, F_SETFL, O_APPEND | O_NONBLOCK) < 0)
		err = -errno;
	if (err < 0)
		close_target(t);
	return err;
}

/* Standard output, opened anew where that can be done, so that it can be made not
 * to block without a change to who shares it. */
static int open_stdout(struct target *t)
{
	int flags = fcntl(STDOUT_FILENO, F_GETFL);

	*t = (struct target) { .fd = -1 };
	if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY)
		return -EBADF;
	t->fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	if (t->fd < 0)
		return -errno;
	int err = learn_kind(t);
	if (err < 0) {
		close_target(t);
		return err;
	}

	if (t->regular) { /* ">" leaves the offset where others stopped, ">>" at 0 */
		t->end = lseek(t->fd, 0, flags & O_APPEND ? SEEK_END : SEEK_CUR);
		return 0;
	}
	int fd = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd >= 0) {
		close_target(t);
		t->fd = fd;
	}
	return 0;
}

int results_open(const char *path, struct results **ret_results)
{
	struct results *r = malloc(sizeof(*r));
	if (!r)
		return -ENOMEM;

	*r = (struct results) { .cancel_fd = -1, .target.fd = -1, .next.fd = -1 };
	int err = mutex_init(&r->lock);
	if (err < 0)
		goto free_results;
	r->path = strdup(path);
	r->cancel_fd = event_create();
	err = !r->path ? -ENOMEM : r->cancel_fd < 0 ? r->cancel_fd : 0;
	if (err == 0)
		err = strcmp(path, "-") == 0 ? open_stdout(&r->target) : open_file(r, &r->target);
	if (err < 0)
		goto destroy_lock;

	*ret_results = r;
	return 0;

destroy_lock:
	if (r->cancel_fd >= 0)
		(void) close(r->cancel_fd);
	free(r->path);
	mutex_destroy(&r->lock);
free_results:
	free(r);
	return err;
}

/* --- appending --------------------------------------------------------------------- */

/* Waits until a pipe, socket or terminal takes more. */
static int wait_writable(const struct results *r, const struct target *t)
{
	struct pollfd set[] = {
		{ .fd = t->fd, .events = POLLOUT },
		{ .fd = r->cancel_fd, .events = POLLIN },
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

static int write_all(const struct results *r, const struct target *t, const char *data, size_t len,
                     size_t *ret_written)
{
	*ret_written = 0;
	while (*ret_written < len) {
		const char *at = data + *ret_written;
		if (!t->regular) {
			int err = wait_writable(r, t);
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

/* Takes back what was written of lines that could not be written whole, unless
 * somebody else has written to the file as well. */
static void cut_back(struct target *t, size_t written)
{
	struct stat st;

	if (fstat(t->fd, &st) == 0 && st.st_size == t->end + (off_t) written &&
	    ftruncate(t->fd, t->end) == 0)
		(void) lseek(t->fd, t->end, SEEK_SET);
}

/* Goes over to the file that results_reopen() has opened. */
static int change_target(struct results *r)
{
	struct target old = { .fd = -1 };

	mutex_lock(&r->lock);
	if (r->reopened) {
		old = r->target;
		r->target = r->next;
		r->reopened = false;
	}
	mutex_unlock(&r->lock);

	int err = old.fd >= 0 && old.regular && fdatasync(old.fd) < 0 ? -errno : 0;
	close_target(&old);
	return err;
}

int results_append(struct results *r, const char *data, size_t len)
{
	size_t written = 0;

	int err = change_target(r);
	if (err == 0)
		err = write_all(r, &r->target, data, len, &written);
	if (err == 0)
		r->target.end += (off_t) len;
	else if (r->target.regular && written > 0)
		cut_back(&r->target, written);
	return err;
}

/* --- the rest ---------------------------------------------------------------------- */

void results_cancel(struct results *r) { event_raise(r->cancel_fd); }

/* Whether the path still leads to the file that is appended to. */
static bool is_current(const struct results *r, const struct target *t)
{
	struct stat st;

	return stat(r->path, &st) == 0 && st.st_dev == t->device && st.st_ino == t->inode;
}

int results_reopen(struct results *r)
{
	struct target fresh, unused = { .fd = -1 };

	mutex_lock(&r->lock);
	struct target current = r->reopened ? r->next : r->target;
	mutex_unlock(&r->lock);
	if (!current.owned || !current.regular || is_current(r, &current))
		return 0;

	int err = open_file(r, &fresh);
	if (err < 0)
		return err;
	mutex_lock(&r->lock);
	if (r->reopened)
		unused = r->next;
	r->next = fresh;
	r->reopened = true;
	mutex_unlock(&r->lock);
	close_target(&unused);
	return 0;
}

int results_close(struct results *r)
{
	if (!r)
		return 0;

	int err = change_target(r);
	if (r->target.regular && fdatasync(r->target.fd) < 0 && err == 0)
		err = -errno;
	close_target(&r->target);
	(void) close(r->cancel_fd);
	mutex_destroy(&r->lock);
	free(r->path);
	free(r);
	return err;
}
