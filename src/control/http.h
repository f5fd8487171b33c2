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

/* What requests are answered from; borrowed by the daemon, and its thread's. */
struct http {
	struct control_options options;
	uint64_t started_ns; /* CLOCK_MONOTONIC */
	_Atomic(enum control_phase) phase;
	atomic_int results_error;
	struct clients clients;
	struct desk desk;
	struct history history;
};

/* Starts a daemon without a thread, which MHD_run() drives.  Returns 0, -ENOMEM, -EMFILE or -EIO. */
NODISCARD NONNULL(1, 2)
int http_start(struct http *h, struct MHD_Daemon **ret_daemon);

#endif
