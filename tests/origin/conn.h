/* SPDX-License-Identifier: Apache-2.0
 *
 * Connections: each reads one request after the other and plays the answers. */
#ifndef ORIGIN_CONN_H
#define ORIGIN_CONN_H

#include "attr.h"
#include "loop.h"
#include "origin.h"

struct conn;

/* All connections of a server. */
struct conns {
	struct loop *loop;     /* borrowed */
	struct origin *origin; /* borrowed */
	struct conn *open;     /* owned; a doubly linked list */
	struct conn *spare;    /* owned; closed connections whose memory waits for the next */
};

/*
 * Serves the nonblocking socket 'fd' until the peer or an answer ends the connection.
 *
 * Takes over 'fd' and returns 0; or returns -ENOMEM or the -errno of epoll_ctl(), and the caller
 * still owns 'fd'.
 */
NODISCARD NONNULL(1) int conns_open(struct conns *cs, int fd);

/* Closes every connection and frees all memory.  Idempotent. */
NONNULL(1) void conns_done(struct conns *cs);

#endif
