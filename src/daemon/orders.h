/* SPDX-License-Identifier: Apache-2.0 */
/* Orders on their way from the control socket's thread to the main one. */
#ifndef PENSTOCK_DAEMON_ORDERS_H
#define PENSTOCK_DAEMON_ORDERS_H

#include "base/attr.h"
#include "base/sync.h"
#include "control/control.h"

#include <stdbool.h>
#include <sys/queue.h>

STAILQ_HEAD(control_order_list, control_order);

struct orders {
	struct mutex lock;
	struct control_order_list list GUARDED_BY(lock);
	bool closed GUARDED_BY(lock);
	int event_fd; /* readable while there may be one */
};

/* Returns 0, -ENOMEM, -EAGAIN or -EMFILE. */
NODISCARD NONNULL(1) int orders_init(struct orders *orders);

/* They must have been closed, and the socket be gone. */
NONNULL(1) void orders_destroy(struct orders *orders);

/* Puts one in; once closed, answers it that it is too late.  Safe from any thread; does not
 * block. */
NONNULL(1, 2) void orders_put(struct orders *orders, struct control_order *order);

/* Takes the oldest one out, to be answered by orders_answer(); NULL if there is none. */
NODISCARD NONNULL(1) struct control_order *orders_take(struct orders *orders);

/* Hands the answer over; the order is not to be touched any more. */
NONNULL(1) void orders_answer(struct control_order *order, unsigned status);

/* Answers that it is too late to whoever waits, and whoever comes.  Idempotent. */
NONNULL(1) void orders_close(struct orders *orders);

#endif
