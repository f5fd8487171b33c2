/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread that serves the socket.
 *
 *     poll ──► history ──► news ──► answers ──► waits that are over ──► MHD_run, each ─┐
 *      ▲                                                                               │
 *      └──────────────────────────────── slow clients ◄────────────────────────────────┘
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

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#define LAST_NS (1 * NS_PER_S) /* at most, for answers that are due when serving stops */

struct control {
	struct http http;
	int stop_fd; /* an event; raised once the thread shall end */
	pthread_t thread;
};

/* --- the thread -------------------------------------------------------------------- */

/* Until then, or until libmicrohttpd wants to go on: it may hold what no descriptor shows. */
static int wait_ms(struct control *c, uint64_t until_ns)
{
	for (size_t i = 0; i < c->http.n_listeners; i++) {
		MHD_UNSIGNED_LONG_LONG mhd_ms = 0;
		if (MHD_get_timeout(c->http.listeners[i].daemon, &mhd_ms) != MHD_YES)
			continue;
		uint64_t mhd_ns = clock_after(clock_now_ns(), mhd_ms * NS_PER_MS);
		until_ns = mhd_ns < until_ns ? mhd_ns : until_ns;
	}
	return clock_poll_ms(until_ns);
}

static void run_all(struct control *c)
{
	for (size_t i = 0; i < c->http.n_listeners; i++)
		(void) MHD_run(c->http.listeners[i].daemon);
}

/* What the loop waits for: the listeners come last. */
enum { WATCH_STOP, WATCH_INBOX, WATCH_TAIL, WATCH_LISTENERS };
enum { WATCH_MAX = WATCH_LISTENERS + 1 + CONTROL_MAX_READERS };

static nfds_t watch(struct control *c, struct pollfd set[static WATCH_MAX])
{
	set[WATCH_STOP] = (struct pollfd) { .fd = c->stop_fd, .events = POLLIN };
	set[WATCH_INBOX] = (struct pollfd) { .fd = c->http.desk.inbox.event_fd, .events = POLLIN };
	set[WATCH_TAIL] = (struct pollfd) {
		.fd = tail_event_fd(engine_tail(c->http.desk.engine)), .events = POLLIN
	};
	for (size_t i = 0; i < c->http.n_listeners; i++)
		set[WATCH_LISTENERS + i] =
			(struct pollfd) { .fd = c->http.listeners[i].epoll_fd, .events = POLLIN };
	return WATCH_LISTENERS + c->http.n_listeners;
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
	struct pollfd set[WATCH_MAX];
	nfds_t n = watch(c, set);
	uint64_t now_ns = clock_now_ns();
	uint64_t until_ns = clock_after(now_ns, LAST_NS);

	set[WATCH_STOP].fd = -1; /* it has been raised */
	set[WATCH_TAIL].fd = -1; /* readers are told to come again */
	for (size_t i = 0; i < c->http.n_listeners; i++)
		(void) MHD_quiesce_daemon(c->http.listeners[i].daemon);
	desk->closing = true;
	clients_expire(clients, desk, now_ns);
	run_all(c); /* with those that wait no longer */
	for (;;) {
		bool owed = clients_are_owed(clients);
		if (!owed && (!clients_expect(clients) || clock_now_ns() >= until_ns))
			break;
		(void) poll(set, n, wait_ms(c, owed ? NEVER : until_ns));
		if (clients_collect(clients, desk) && owed)
			until_ns = clock_after(clock_now_ns(), LAST_NS);
		run_all(c);
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
	struct pollfd set[WATCH_MAX];
	nfds_t n = watch(c, set);

	for (;;) {
		(void) poll(set, n, wait_ms(c, next_ns(c)));
		if (set[WATCH_STOP].revents != 0)
			break;
		take_sample(c);
		if (set[WATCH_TAIL].revents != 0)
			results_news(desk);
		if (set[WATCH_INBOX].revents != 0 || set[WATCH_TAIL].revents != 0)
			(void) clients_collect(&c->http.clients, desk);
		clients_expire(&c->http.clients, desk, clock_now_ns());
		run_all(c);
		clients_cut_slow(&c->http.clients, clock_now_ns());
	}
	serve_last(c);
	return NULL;
}

/* --- life -------------------------------------------------------------------------- */

static void add_listener(struct http *h, int listen_fd, enum control_reach reach)
{
	bool reads = reach != CONTROL_ALL;

	h->listeners[h->n_listeners++] = (struct listener) {
		.http = h,
		.listen_fd = listen_fd,
		.reach = reach,
		.max_connections = reads ? CONTROL_READER_CONNECTIONS : CONTROL_MAX_CONNECTIONS,
		.spare = reads ? CONTROL_READER_SPARE : CONTROL_SPARE_CONNECTIONS,
	};
}

static void stop_all(struct http *h)
{
	for (size_t i = 0; i < h->n_listeners; i++)
		http_stop(&h->listeners[i]);
}

static int start_all(struct http *h)
{
	const struct control_options *o = &h->options;
	int r = 0;

	assert(o->n_readers <= CONTROL_MAX_READERS);
	add_listener(h, o->listen_fd, CONTROL_ALL);
	for (size_t i = 0; i < o->n_readers; i++)
		add_listener(h, o->readers[i].listen_fd, o->readers[i].reach);
	for (size_t i = 0; r == 0 && i < h->n_listeners; i++)
		r = http_start(&h->listeners[i]);
	return r;
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
	TAILQ_INIT(&h->desk.lookups.waiting);

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
	r = start_all(&c->http);
	if (r == 0)
		r = thread_start(&c->thread, "control", THREAD_STACK_PARSER, serve, c);
	if (r < 0)
		goto stop_all;

	*ret_control = c;
	return 0;

stop_all:
	stop_all(&c->http);
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
	stop_all(&c->http);
	done_http(&c->http);
	(void) close(c->stop_fd);
	free(c);
	return NULL;
}
