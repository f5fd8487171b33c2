/* SPDX-License-Identifier: Apache-2.0 */
#include "control/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* --- the lock ---------------------------------------------------------------------- */

static int take_lock(const char *path, int *ret_fd)
{
	char *name = NULL;
	if (asprintf(&name, "%s.lock", path) < 0)
		return -ENOMEM;

	int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
	int r = fd < 0 ? -errno : 0;
	free(name);
	if (r < 0)
		return r;

	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		r = errno == EWOULDBLOCK ? -EADDRINUSE : -errno;
		(void) close(fd);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

/* --- the socket -------------------------------------------------------------------- */

static int open_stream(int *ret_fd)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

/* Whether somebody listens at 'address' who has not taken our lock: a daemon that got
 * its socket from systemd, or another program. */
static int look_for_listener(const struct sockaddr_un *address)
{
	int fd = -1;
	int r = open_stream(&fd);
	if (r < 0)
		return r;

	/* -EAGAIN is a listener with a full backlog. */
	if (connect(fd, (const struct sockaddr *) address, sizeof(*address)) == 0 || errno == EAGAIN)
		r = -EADDRINUSE;
	else if (errno != ECONNREFUSED && errno != ENOENT)
		r = -errno;
	(void) close(fd);
	return r;
}

/* Removes a socket that nobody listens on; the lock must be held. */
static int remove_stale(const struct sockaddr_un *address)
{
	struct stat st;

	if (lstat(address->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -ENOTSOCK;

	int r = look_for_listener(address);
	if (r == 0 && unlink(address->sun_path) < 0 && errno != ENOENT)
		r = -errno;
	return r;
}

/* The file gets its permissions from those of the descriptor and from the umask, which
 * other threads share: so it is never more open than 'mode', and is opened up to it
 * before anyone is listened to. */
static int bind_file(int fd, const struct sockaddr_un *address, mode_t mode)
{
	if (fchmod(fd, mode) < 0 ||
	    bind(fd, (const struct sockaddr *) address, sizeof(*address)) < 0)
		return -errno;
	if (fchmodat(AT_FDCWD, address->sun_path, mode, AT_SYMLINK_NOFOLLOW) < 0 ||
	    listen(fd, SOMAXCONN) < 0) {
		int r = -errno;
		(void) unlink(address->sun_path);
		return r;
	}
	return 0;
}

int control_socket_open(const char *path, mode_t mode, struct control_socket *ret_socket)
{
	struct control_socket s = { .listen_fd = -1, .lock_fd = -1 };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t len = strlen(path);

	if (len == 0)
		return -ENOENT; /* bind(2) would invent a name */
	if (len >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, len);

	int r = take_lock(path, &s.lock_fd);
	if (r < 0)
		return r;
	s.path = strdup(path);
	r = s.path ? remove_stale(&address) : -ENOMEM;
	if (r == 0)
		r = open_stream(&s.listen_fd);
	if (r == 0)
		r = bind_file(s.listen_fd, &address, mode);
	if (r < 0)
		goto close_all;

	*ret_socket = s;
	return 0;

close_all:
	if (s.listen_fd >= 0)
		(void) close(s.listen_fd);
	free(s.path);
	(void) close(s.lock_fd);
	return r;
}

void control_socket_close(struct control_socket *s)
{
	if (s->path)
		(void) unlink(s->path);
	if (s->listen_fd >= 0)
		(void) close(s->listen_fd);
	if (s->lock_fd >= 0)
		(void) close(s->lock_fd); /* last: the next daemon begins here */
	free(s->path);
	*s = (struct control_socket) { .listen_fd = -1, .lock_fd = -1 };
}
