/* SPDX-License-Identifier: Apache-2.0 */
#include "loop.h"

#include "clock.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { EVENTS_PER_ROUND = 256 };

int loop_init(struct loop *l)
{
	*l = (struct loop) { .epoll_fd = epoll_create1(EPOLL_CLOEXEC) };
	return l->epoll_fd < 0 ? -errno : 0;
}

void loop_done(struct loop *l)
{
	if (l->epoll_fd >= 0)
		(void) close(l->epoll_fd);
	l->epoll_fd = -1;
	timers_done(&l->timers);
}

static int control(struct loop *l, int op, int fd, uint32_t events, struct watch *w)
{
	struct epoll_event event = { .events = events, .data.ptr = w };
	return epoll_ctl(l->epoll_fd, op, fd, &event) < 0 ? -errno : 0;
}

int loop_watch(struct loop *l, int fd, uint32_t events, struct watch *w)
{
	return control(l, EPOLL_CTL_ADD, fd, events, w);
}

void loop_rewatch(struct loop *l, int fd, uint32_t events, struct watch *w)
{
	int r = control(l, EPOLL_CTL_MOD, fd, events, w);
	assert(r == 0);
	(void) r;
}

/* Milliseconds until the first timer, rounded up so that it is due on return; -1 without one. */
static int timeout_ms(const struct loop *l)
{
	uint64_t due_ns = timers_next_due_ns(&l->timers);
	if (due_ns == UINT64_MAX)
		return -1;

	uint64_t now_ns = clock_now_ns();
	if (due_ns <= now_ns)
		return 0;
	uint64_t ms = (due_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS;
	return ms > INT_MAX ? INT_MAX : (int) ms;
}

/* A timer that a callback arms for "at once" is later than 'now_ns', and so waits its turn. */
static void fire_due_timers(struct loop *l)
{
	if (l->timers.len == 0)
		return;

	uint64_t now_ns = clock_now_ns();
	for (struct timer *t; (t = timers_pop_due(&l->timers, now_ns)) != NULL;)
		t->fire(t);
}

int loop_run(struct loop *l)
{
	struct epoll_event events[EVENTS_PER_ROUND];

	while (!l->stopping) {
		int n = epoll_wait(l->epoll_fd, events, EVENTS_PER_ROUND, timeout_ms(l));
		if (n < 0 && errno != EINTR)
			return -errno;
		for (int i = 0; i < n; i++) {
			struct watch *w = events[i].data.ptr;
			w->ready(w, events[i].events);
		}
		fire_due_timers(l);
	}
	return 0;
}

void loop_stop(struct loop *l)
{
	l->stopping = true;
}
