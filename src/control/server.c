/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread that serves the socket, and what it refuses.
 *
 *     poll ──► MHD_run ──► accept: connect_client ──► answer ──► request_done ─┐
 *      ▲                                                 ▲                     │ next request
 *      │                                                 └─────────────────────┤
 *      └── cut_slow ◄───────────────────────────── disconnect_client ◄─────────┘
 *
 * libmicrohttpd is driven from a loop of our own rather than from its internal
 * thread: so clients and their deadlines belong to one thread and need no lock,
 * and the loop can be left without racing a request.
 */
#include "control/control.h"

#include "base/clock.h"
#include "base/sync.h"
#include "base/thread.h"
#include "control/problem.h"
#include "control/routes.h"

#include <errno.h>
#include <microhttpd.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	CONNECTION_BYTES = 16 * 1024, /* for a request's head, and its answer's */
	EXCESS_IDLE_SECONDS = 2,      /* for those who come when all places are taken */
};

#define LAST_NS (100 * NS_PER_MS) /* for answers that are due when serving stops */

/* A connection. */
struct client {
	TAILQ_ENTRY(client) entry;
	int fd;
	uint64_t since_ns;   /* when it connected, or its last answer was complete */
	size_t target_bytes; /* of the request at hand */
	bool in_excess;      /* there were too many when it came */
	bool expects;        /* an answer: it has begun a request, or has just come */
};

TAILQ_HEAD(client_list, client);

struct control {
	struct control_options options;
	uint64_t started_ns; /* CLOCK_MONOTONIC */
	uint64_t total_ns;
	_Atomic(enum control_phase) phase;
	atomic_int results_error;

	struct MHD_Daemon *daemon;
	int epoll_fd; /* libmicrohttpd's */
	int stop_fd;  /* an eventfd; readable once the thread shall end */
	pthread_t thread;

	/* Of the serving thread; longest without an answer first. */
	struct client_list clients;
	unsigned n_clients;
};

/* --- connections ------------------------------------------------------------------- */

static void connect_client(struct control *c, struct MHD_Connection *connection, void **ret_client)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct client *client = info ? calloc(1, sizeof(*client)) : NULL;

	if (!client)
		return; /* its first request is refused */
	client->fd = info->connect_fd;
	client->since_ns = clock_now_ns();
	client->expects = true;
	client->in_excess = c->n_clients >= CONTROL_MAX_CONNECTIONS;
	if (client->in_excess)
		(void) MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT,
		                                 (unsigned) EXCESS_IDLE_SECONDS);
	TAILQ_INSERT_TAIL(&c->clients, client, entry);
	c->n_clients++;
	*ret_client = client;
}

static void disconnect_client(struct control *c, struct client *client)
{
	if (!client)
		return;
	TAILQ_REMOVE(&c->clients, client, entry);
	c->n_clients--;
	free(client);
}

/* libmicrohttpd closes the descriptor only after the second of these calls. */
static void on_connection(void *arg, struct MHD_Connection *connection, void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
	if (code == MHD_CONNECTION_NOTIFY_STARTED)
		connect_client(arg, connection, socket_context);
	else
		disconnect_client(arg, *socket_context);
}

static struct client *client_of(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	return info ? info->socket_context : NULL;
}

static void on_request_done(void *arg, struct MHD_Connection *connection, void **request,
                            enum MHD_RequestTerminationCode code)
{
	struct control *c = arg;
	struct client *client = client_of(connection);

	(void) request, (void) code;
	if (!client)
		return;
	client->since_ns = clock_now_ns();
	client->expects = false;
	TAILQ_REMOVE(&c->clients, client, entry);
	TAILQ_INSERT_TAIL(&c->clients, client, entry);
}

/* Ends the connections whose request, or answer, takes too long: libmicrohttpd's own
 * timeout starts anew with every byte.  It then sees an end of file. */
static void cut_slow(struct control *c, uint64_t now_ns)
{
	struct client *client = NULL;

	while ((client = TAILQ_FIRST(&c->clients)) &&
	       clock_after(client->since_ns, c->total_ns) <= now_ns) {
		(void) shutdown(client->fd, SHUT_RDWR);
		client->since_ns = now_ns;
		TAILQ_REMOVE(&c->clients, client, entry);
		TAILQ_INSERT_TAIL(&c->clients, client, entry);
	}
}

/* --- requests ---------------------------------------------------------------------- */

static void *on_target(void *arg, const char *target, struct MHD_Connection *connection)
{
	struct client *client = client_of(connection);

	(void) arg;
	if (client) {
		client->target_bytes = strlen(target);
		client->expects = true;
	}
	return NULL; /* what on_request() finds at its first call */
}

static const char *header(struct MHD_Connection *connection, const char *name)
{
	const char *value = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
	return value ? value : "";
}

static bool has_body(struct MHD_Connection *connection)
{
	const char *length = header(connection, MHD_HTTP_HEADER_CONTENT_LENGTH);

	return length[strspn(length, "0")] != '\0' ||
	       *header(connection, MHD_HTTP_HEADER_TRANSFER_ENCODING) != '\0';
}

static void compose(struct control *c, const struct client *client, const struct request *request,
                    bool body, struct reply *reply)
{
	const struct view view = {
		.options = &c->options,
		.phase = atomic_load(&c->phase),
		.results_error = atomic_load(&c->results_error),
		.uptime_us = (clock_now_ns() - c->started_ns) / NS_PER_US,
	};

	if (client->in_excess)
		problem(reply, 503, "%d connections are open, which is the limit; close one or try again",
		        CONTROL_MAX_CONNECTIONS);
	else if (client->target_bytes > CONTROL_MAX_TARGET_BYTES)
		problem(reply, 414, "the request's target has %zu bytes; %d are allowed",
		        client->target_bytes, CONTROL_MAX_TARGET_BYTES);
	else
		routes_answer(&view, request, reply);

	if (body && reply->status == 200) {
		buf_clear(&reply->body);
		problem(reply, 413, "%s takes no body; send the request without one", request->path);
	}
}

/* Takes over the reply's body. */
static enum MHD_Result send_reply(struct MHD_Connection *connection, struct reply *reply, bool last)
{
	struct MHD_Response *response =
		reply->body.failed ? NULL
		                   : MHD_create_response_from_buffer(reply->body.len, reply->body.data,
		                                                     MHD_RESPMEM_MUST_FREE);
	if (!response) {
		buf_done(&reply->body);
		return MHD_NO; /* no memory: the connection is closed */
	}

	bool ok = MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, reply->type) &&
	          MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	if (ok && reply->allow)
		ok = MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, reply->allow);
	if (ok && last)
		ok = MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
	enum MHD_Result r = ok ? MHD_queue_response(connection, reply->status, response) : MHD_NO;
	MHD_destroy_response(response);
	return r;
}

/* libmicrohttpd calls this with the request's head, with each part of its body, and at
 * its end.  A request is answered at its end, one with a body before it is read. */
static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *path,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **seen)
{
	struct client *client = client_of(connection);
	bool body = has_body(connection);
	struct request request = {
		.method = method,
		.path = path,
		.accept = header(connection, MHD_HTTP_HEADER_ACCEPT),
	};
	struct reply reply = { 0 };

	(void) version, (void) upload, (void) upload_size;
	if (!client)
		return MHD_NO;
	if (!body && !*seen) {
		*seen = client;
		return MHD_YES;
	}
	compose(arg, client, &request, body, &reply);
	return send_reply(connection, &reply, body || client->in_excess);
}

/* --- the thread -------------------------------------------------------------------- */

/* Until libmicrohttpd or the slowest client wants something done. */
static int wait_ms(struct control *c)
{
	const struct client *slowest = TAILQ_FIRST(&c->clients);
	uint64_t until_ns = slowest ? clock_after(slowest->since_ns, c->total_ns) : NEVER;
	MHD_UNSIGNED_LONG_LONG mhd_ms = 0;

	if (MHD_get_timeout(c->daemon, &mhd_ms) == MHD_YES) {
		uint64_t mhd_ns = clock_after(clock_now_ns(), mhd_ms * NS_PER_MS);
		until_ns = mhd_ns < until_ns ? mhd_ns : until_ns;
	}
	return clock_poll_ms(until_ns);
}

static bool is_expected(const struct control *c)
{
	const struct client *client = NULL;

	TAILQ_FOREACH(client, &c->clients, entry)
		if (client->expects)
			return true;
	return false;
}

/* Takes nobody in any more (who comes now waits in the listening socket for the next
 * daemon), and answers those who are there, if they do not dawdle. */
static void serve_last(struct control *c)
{
	struct pollfd set = { .fd = c->epoll_fd, .events = POLLIN };
	uint64_t until_ns = clock_after(clock_now_ns(), LAST_NS);

	(void) MHD_quiesce_daemon(c->daemon);
	while (is_expected(c) && clock_now_ns() < until_ns) {
		(void) poll(&set, 1, clock_poll_ms(until_ns));
		(void) MHD_run(c->daemon);
	}
}

static void *serve(void *arg)
{
	struct control *c = arg;
	struct pollfd set[] = {
		{ .fd = c->stop_fd, .events = POLLIN },
		{ .fd = c->epoll_fd, .events = POLLIN },
	};

	for (;;) {
		(void) poll(set, ARRAY_LEN(set), wait_ms(c));
		if (set[0].revents != 0)
			break;
		(void) MHD_run(c->daemon);
		cut_slow(c, clock_now_ns());
	}
	serve_last(c);
	return NULL;
}

/* --- life -------------------------------------------------------------------------- */

static int start_daemon(struct control *c)
{
	errno = 0;
	c->daemon = MHD_start_daemon(
		MHD_USE_EPOLL, 0, NULL, NULL, on_request, c,
		MHD_OPTION_LISTEN_SOCKET, c->options.listen_fd,
		MHD_OPTION_CONNECTION_LIMIT,
		(unsigned) (CONTROL_MAX_CONNECTIONS + CONTROL_SPARE_CONNECTIONS),
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t) CONNECTION_BYTES,
		MHD_OPTION_CONNECTION_TIMEOUT, (unsigned) CONTROL_IDLE_SECONDS,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, c,
		MHD_OPTION_NOTIFY_COMPLETED, on_request_done, c,
		MHD_OPTION_URI_LOG_CALLBACK, on_target, c,
		MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1,
		MHD_OPTION_END);
	if (!c->daemon)
		return errno == ENOMEM || errno == EMFILE ? -errno : -EIO;

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

int control_start(const struct control_options *options, struct control **ret_control)
{
	struct control *c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;

	int64_t age_us = clock_wall_us() - options->started_wall_us;
	c->options = *options;
	c->started_ns = clock_now_ns() - (age_us > 0 ? (uint64_t) age_us * NS_PER_US : 0);
	c->total_ns = options->total_ns > 0 ? options->total_ns : CONTROL_TOTAL_SECONDS * NS_PER_S;
	atomic_store(&c->phase, CONTROL_STARTING);
	TAILQ_INIT(&c->clients);

	c->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int r = c->stop_fd < 0 ? -errno : 0;
	if (r < 0)
		goto free_control;
	r = start_daemon(c);
	if (r == 0)
		r = thread_start(&c->thread, "control", THREAD_STACK_SMALL, serve, c);
	if (r < 0)
		goto stop_daemon;

	*ret_control = c;
	return 0;

stop_daemon:
	stop_daemon(c);
	(void) close(c->stop_fd);
free_control:
	free(c);
	return r;
}

void control_set_phase(struct control *c, enum control_phase phase)
{
	atomic_store(&c->phase, phase);
}

void control_set_results_error(struct control *c, int error)
{
	atomic_store(&c->results_error, error);
}

struct control *control_free(struct control *c)
{
	const uint64_t one = 1;

	if (!c)
		return NULL;
	if (write(c->stop_fd, &one, sizeof(one)) < 0)
		abort(); /* an eventfd takes 8 bytes unless its counter is full */
	thread_join(c->thread);
	stop_daemon(c);
	(void) close(c->stop_fd);
	free(c);
	return NULL;
}
