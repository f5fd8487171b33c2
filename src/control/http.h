/* SPDX-License-Identifier: Apache-2.0 */
/* Between libmicrohttpd and the handlers: requests in, replies out. */
#ifndef PENSTOCK_CONTROL_HTTP_H
#define PENSTOCK_CONTROL_HTTP_H

#include "base/attr.h"
#include "control/clients.h"
#include "control/control.h"
#include "control/history.h"
#include "control/task.h"

#include <microhttpd.h>
#include <stdatomic.h>

struct http;

/* Who comes by one listening socket. */
struct listener {
	struct http *http;
	struct MHD_Daemon *daemon; /* NULL: not started */
	int listen_fd;
	int epoll_fd;              /* the daemon's */
	enum control_reach reach;
	unsigned max_connections;  /* those beyond are told so… */
	unsigned spare;            /* …if they are no more than these */
	unsigned n;                /* connections now */
};

/* What requests are answered from; borrowed by the daemons, and their thread's. */
struct http {
	struct control_options options;
	uint64_t started_ns; /* CLOCK_MONOTONIC */
	_Atomic(enum control_phase) phase;
	atomic_int results_error;
	struct clients clients;
	struct desk desk;
	struct history history;
	struct listener listeners[1 + CONTROL_MAX_READERS];
	size_t n_listeners;
};

/* Starts its daemon without a thread, which MHD_run() drives.  Returns 0, -ENOMEM, -EMFILE or
 * -EIO. */
NODISCARD NONNULL(1) int http_start(struct listener *l);

/* Ends it, if it has one; the listening socket stays open. */
NONNULL(1) void http_stop(struct listener *l);

#endif
