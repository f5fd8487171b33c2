/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread that serves the socket.
 *
 *     poll ──► history ──► answers of the backlog ──► waits that are over ──► MHD_run ─┐
 *      ▲                                                                              │
 *      └─────────────────────────────────── slow clients ◄────────────────────────────┘
 *
 * libmicrohttpd is driven from a loop of our own rather than from its internal
 * thread: so clients, their tasks and their deadlines belong to one thread and need no
 * lock, and the loop can be left without racing a request.
 */
#include "control/control.h"

#include "base/clock.h"
#include "base/event.h"
#include "base/sync.h"
#include "base/thread.h"
#include "control/http.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#define LAST_NS (1 * NS_PER_S) /* at most, for answers that are due when serving stops */

struct control {
	struct http http;
	struct MHD_Daemon *daemon;
	int epoll_fd; /* libmicrohttpd's */
	int stop_fd;  /* an event; raised once the thread shall end */
	pthread_t thread;
};

/* --- the thread -------------------------------------------------------------------- */

/* Until then, or until libmicrohttpd wants to go on: it may hold what no descriptor shows. */
static int wait_ms(struct control *c, uint64_t until_ns)
{
	MHD_UNSIGNED_LONG_LONG mhd_ms = 0;

	if (MHD_get_timeout(c->daemon, &mhd_ms) == MHD_YES) {
		uint64_t mhd_ns = clock_after(clock_now_ns(), mhd_ms * NS_PER_MS);
		until_ns = mhd_ns < until_ns ? mhd_ns : until_ns;
	}
	return clock_poll_ms(until_ns);
}

/*
 * Takes nobody in any more (who comes now waits in the listening socket for the next
 * daemon), and answers those who are there, if they do not dawdle.  What the backlog
 * was asked is taken back; where it is too late for that, its answer is waited for,
 * however long: the question is in our memory.
 */
static void serve_last(struct control *c)
{
	struct clients *clients = &c->http.clients;
	struct desk *desk = &c->http.desk;
	struct pollfd set[] = {
		{ .fd = c->epoll_fd, .events = POLLIN },
		{ .fd = desk->inbox.event_fd, .events = POLLIN },
	};
	uint64_t now_ns = clock_now_ns();
	uint64_t until_ns = clock_after(now_ns, LAST_NS);

	(void) MHD_quiesce_daemon(c->daemon);
	desk->closing = true;
	clients_expire(clients, desk, now_ns);
	(void) MHD_run(c->daemon); /* with those that wait no longer */
	for (;;) {
		bool owed = clients_are_owed(clients);
		if (!owed && (!clients_expect(clients) || clock_now_ns() >= until_ns))
			break;
		(void) poll(set, ARRAY_LEN(set), wait_ms(c, owed ? NEVER : until_ns));
		if (clients_collect(clients, desk) && owed)
			until_ns = clock_after(clock_now_ns(), LAST_NS);
		(void) MHD_run(c->daemon);
	}
	while (clients_collect(clients, desk)) /* nobody may be suspended when it ends */
		;
}

/* When the thread has something to do that no descriptor tells it of. */
static uint64_t next_ns(struct control *c)
{
	uint64_t client_ns = clients_next_ns(&c->http.clients);
	uint64_t sample_ns = history_next_ns(&c->http.history);

	return client_ns < sample_ns ? client_ns : sample_ns;
}

static void take_sample(struct control *c)
{
	struct history_figures now;
	uint64_t now_ns = clock_now_ns();

	if (now_ns < history_next_ns(&c->http.history))
		return;
	history_read(c->http.desk.engine, &now);
	history_add(&c->http.history, now_ns, &now);
}

static void *serve(void *arg)
{
	struct control *c = arg;
	struct desk *desk = &c->http.desk;
	struct pollfd set[] = {
		{ .fd = c->stop_fd, .events = POLLIN },
		{ .fd = c->epoll_fd, .events = POLLIN },
		{ .fd = desk->inbox.event_fd, .events = POLLIN },
	};

	for (;;) {
		(void) poll(set, ARRAY_LEN(set), wait_ms(c, next_ns(c)));
		if (set[0].revents != 0)
			break;
		take_sample(c);
		if (set[2].revents != 0)
			(void) clients_collect(&c->http.clients, desk);
		clients_expire(&c->http.clients, desk, clock_now_ns());
		(void) MHD_run(c->daemon);
		clients_cut_slow(&c->http.clients, clock_now_ns());
	}
	serve_last(c);
	return NULL;
}

/* --- life -------------------------------------------------------------------------- */

static int start_daemon(struct control *c)
{
	int r = http_start(&c->http, &c->daemon);
	if (r < 0)
		return r;

	const union MHD_DaemonInfo *info = MHD_get_daemon_info(c->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	if (!info)
		return -EIO;
	c->epoll_fd = info->epoll_fd;
	return 0;
}

/* Quiesced first, for it would close the listening descriptor otherwise. */
static void stop_daemon(struct control *c)
{
	if (!c->daemon)
		return;
	(void) MHD_quiesce_daemon(c->daemon);
	MHD_stop_daemon(c->daemon);
}

static int init_http(struct http *h, const struct control_options *options)
{
	int64_t age_us = clock_wall_us() - options->started_wall_us;
	uint64_t total_ns = options->total_ns > 0 ? options->total_ns
	                                          : CONTROL_TOTAL_SECONDS * NS_PER_S;

	struct history_figures now;

	h->options = *options;
	h->started_ns = clock_now_ns() - (age_us > 0 ? (uint64_t) age_us * NS_PER_US : 0);
	atomic_store(&h->phase, CONTROL_STARTING);
	history_read(options->engine, &now);
	history_init(&h->history, h->started_ns, clock_now_ns(), &now);
	clients_init(&h->clients, total_ns);
	h->desk.engine = options->engine;
	h->desk.work_folder = options->work_folder;
	h->desk.bound_ns = total_ns;

	int r = url_parser_create(&h->desk.parser);
	if (r < 0)
		return r;
	r = inbox_init(&h->desk.inbox);
	if (r < 0)
		url_parser_free(h->desk.parser);
	return r;
}

static void done_http(struct http *h)
{
	inbox_destroy(&h->desk.inbox);
	url_parser_free(h->desk.parser);
}

int control_start(const struct control_options *options, struct control **ret_control)
{
	struct control *c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;

	int r = init_http(&c->http, options);
	if (r < 0)
		goto free_control;
	c->stop_fd = event_create();
	r = c->stop_fd < 0 ? c->stop_fd : 0;
	if (r < 0)
		goto done_http;
	r = start_daemon(c);
	if (r == 0)
		r = thread_start(&c->thread, "control", THREAD_STACK_PARSER, serve, c);
	if (r < 0)
		goto stop_daemon;

	*ret_control = c;
	return 0;

stop_daemon:
	stop_daemon(c);
	(void) close(c->stop_fd);
done_http:
	done_http(&c->http);
free_control:
	free(c);
	return r;
}

void control_set_phase(struct control *c, enum control_phase phase)
{
	atomic_store(&c->http.phase, phase);
}

void control_set_results_error(struct control *c, int error)
{
	atomic_store(&c->http.results_error, error);
}

struct control *control_free(struct control *c)
{
	if (!c)
		return NULL;
	event_raise(c->stop_fd);
	thread_join(c->thread);
	stop_daemon(c);
	done_http(&c->http);
	(void) close(c->stop_fd);
	free(c);
	return NULL;
}
