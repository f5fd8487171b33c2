/* SPDX-License-Identifier: Apache-2.0 */
/* The socket's file: one daemon for each. */
#ifndef PENSTOCK_CONTROL_SOCKET_H
#define PENSTOCK_CONTROL_SOCKET_H

#include "base/attr.h"

#include <sys/types.h>

/* A bound, listening socket and the lock that says whose it is. */
struct control_socket {
	int listen_fd; /* non-blocking, close-on-exec */
	int lock_fd;   /* "PATH.lock", locked as long as the daemon lives; -1 if handed over by systemd */
	char *path;    /* owned; NULL if handed over */
};

/*
 * Binds 'path' with permissions 'mode' and listens.  A socket file that nobody
 * listens on any more is replaced.
 *
 * Returns 0, -EADDRINUSE (another daemon serves it), -ENAMETOOLONG (more than a
 * sockaddr_un holds), -ENOTSOCK (something else has that name, and is left alone),
 * -ELOOP (the lock's file is a symbolic link), -ENOMEM, or what bind(2), open(2)
 * and their like say.
 */
NODISCARD NONNULL(1, 3)
int control_socket_open(const char *path, mode_t mode, struct control_socket *ret_socket);

/* Closes the socket and removes its file, unless systemd handed it over.  The lock's
 * file stays: to remove it would let two daemons each lock one of their own.  Idempotent. */
NONNULL(1) void control_socket_close(struct control_socket *s);

#endif
