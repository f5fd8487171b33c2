/* SPDX-License-Identifier: Apache-2.0
 *
 * The server: a listening socket, and what makes it stop. */
#ifndef ORIGIN_SERVER_H
#define ORIGIN_SERVER_H

#include "attr.h"

#include <stdbool.h>
#include <stdint.h>

struct server_options {
	const char *address; /* borrowed; of 127.0.0.0/8, "127.0.0.0/8" for all of them, or ::1 */
	uint16_t port;       /* 0: the kernel chooses */
	int backlog;
	uint64_t seed;
	bool exits_with_stdin;
	bool remembers;
};

/*
 * Listens, calls 'on_listening' with the port, and serves until SIGTERM, SIGINT, or the end of
 * stdin if that is asked for.  Leaves both signals blocked.
 *
 * Returns 0 after such an end; -EINVAL for an address that is not loopback, -EPERM for a
 * stdin that epoll cannot watch (a file), or the -errno of what failed.
 */
NODISCARD NONNULL(1, 2)
int server_run(const struct server_options *options, void (*on_listening)(uint16_t port));

#endif
