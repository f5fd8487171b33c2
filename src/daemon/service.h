/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the service manager is told (sd_notify(3)), and what it hands over
 * (sd_listen_fds(3)).  Without a service manager all of this does nothing.
 */
#ifndef PENSTOCK_DAEMON_SERVICE_H
#define PENSTOCK_DAEMON_SERVICE_H

#include "base/attr.h"
#include "engine/engine.h"

#include <stdbool.h>
#include <stdint.h>

struct service {
	bool notifies;           /* somebody listens on $NOTIFY_SOCKET */
	uint64_t watchdog_ns;    /* how often it wants to hear from us; 0: it does not */
	uint64_t next_ns;        /* of the next tick; NEVER without a service manager */
	uint64_t last_final;     /* jobs settled at the last tick */
	uint64_t last_ns;        /* of that; 0 before the first */
	bool withheld;           /* the watchdog was last time */
	bool stopping;
	struct ledger_balance last_ledger; /* while stopping */
};

NONNULL(1) void service_init(struct service *s);

/* The listening UNIX socket that was handed over; -1 if none was. */
int service_listen_fd(void);

NONNULL(1) void service_ready(struct service *s);
NONNULL(1) void service_reloading(struct service *s);

/* It stops, and lets what runs go on for up to 'timeout_ns': however short the unit's
 * TimeoutStopSec= is, it is not killed before (EXTEND_TIMEOUT_USEC).  From then on it must make
 * progress, which service_tick() tells: that jobs came to an end, or back to the backlog. */
NONNULL(1) void service_stopping(struct service *s, uint64_t timeout_ns);

/* Another step of the stop begins, which may take its time, too. */
NONNULL(1) void service_progress(struct service *s);

/* When service_tick() wants to be called next (CLOCK_MONOTONIC). */
NONNULL(1) uint64_t service_next_ns(const struct service *s);

/*
 * Tells the status line, and answers the watchdog if the engine's threads are within
 * their own bounds; otherwise says which is not, and leaves the watchdog to the service manager.
 */
NONNULL(1, 2) void service_tick(struct service *s, struct engine *e);

#endif
