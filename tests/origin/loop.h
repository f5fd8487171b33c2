/* SPDX-License-Identifier: Apache-2.0
 *
 * The event loop: epoll for descriptors, a heap for timers, one thread.
 *
 * A ready() or fire() callback may free what it belongs to, and nothing else that is watched:
 * the loop may hold an event for the others already. */
#ifndef ORIGIN_LOOP_H
#define ORIGIN_LOOP_H

#include "attr.h"
#include "timers.h"

#include <stdbool.h>
#include <stdint.h>

/* Embedded in whatever owns a descriptor. */
struct watch {
	void (*ready)(struct watch *w, uint32_t events); /* 'events' as epoll_wait() gives them */
};

struct loop {
	int epoll_fd;
	bool stopping;
	struct timers timers;
};

/* Returns 0, or the -errno of epoll_create1(). */
NODISCARD NONNULL(1) int loop_init(struct loop *l);

/* Releases the loop; descriptors stay with their owners.  Idempotent. */
NONNULL(1) void loop_done(struct loop *l);

/* Calls w->ready() for 'events' (EPOLLIN, ...) on 'fd' until the descriptor is closed.
 * Returns 0, or the -errno of epoll_ctl(). */
NODISCARD NONNULL(1, 4) int loop_watch(struct loop *l, int fd, uint32_t events, struct watch *w);

/* Changes the events of a descriptor that is watched; this cannot fail. */
NONNULL(1, 4) void loop_rewatch(struct loop *l, int fd, uint32_t events, struct watch *w);

/* Runs until loop_stop().  Returns 0, or the -errno of epoll_wait(). */
NODISCARD NONNULL(1) int loop_run(struct loop *l);

/* Makes loop_run() return after the current round.  For callbacks. */
NONNULL(1) void loop_stop(struct loop *l);

#endif
