/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection, its requests, and what is refused before any handler sees it:
 *
 *     accept: on_connection ──► on_target ──► on_request, … ──► on_request_done ─┐
 *                                   ▲                                            │
 *                                   └─────────── the next request ───────────────┤
 *             on_connection ◄────────────────────────────────────────────────────┘
 */
#include "control/http.h"

#include "base/clock.h"
#include "control/problem.h"
#include "control/routes.h"
#include "control/tcp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum {
	CONNECTION_BYTES = 16 * 1024, /* for a request's head, and its answer's */
	EXCESS_IDLE_SECONDS = 2,      /* for those who come when all places are taken */
	FILE_BLOCK_BYTES = 32 * 1024, /* of an answer that is read from a file */
};

/* --- connections ------------------------------------------------------------------- */

static void connect_client(struct listener *l, struct MHD_Connection *connection,
                           void **ret_client)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	bool in_excess = l->n >= l->max_connections;
	struct client *client =
		info ? clients_add(&l->http->clients, connection, info->connect_fd) : NULL;

	if (!client)
		return; /* its first request is refused */
	l->n++;
	client->in_excess = in_excess;
	if (in_excess)
		(void) MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT,
		                                 (unsigned) EXCESS_IDLE_SECONDS);
	*ret_client = client;
}

/* libmicrohttpd closes the descriptor only after the second of these calls. */
static void on_connection(void *arg, struct MHD_Connection *connection, void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
	struct listener *l = arg;

	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		connect_client(l, connection, socket_context);
	} else if (*socket_context) {
		clients_remove(&l->http->clients, *socket_context);
		l->n--;
	}
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
	struct listener *l = arg;
	struct client *client = client_of(connection);

	(void) request, (void) code;
	if (!client)
		return;
	clients_end_task(client);
	client->expects = client->is_answered = false;
	clients_renew(&l->http->clients, client);
}

/* --- the head ---------------------------------------------------------------------- */

static void *on_target(void *arg, const char *target, struct MHD_Connection *connection)
{
	struct client *client = client_of(connection);

	(void) arg;
	if (client) {
		client->target_bytes = strlen(target);
		client->target_has_nul = strstr(target, "%00");
		client->expects = true;
	}
	return NULL; /* what on_request() finds at its first call */
}

static const char *header(struct MHD_Connection *connection, const char *name)
{
	const char *value = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
	return value ? value : "";
}

/* Also without a value. */
static bool has_argument(struct MHD_Connection *connection, const char *name)
{
	return MHD_lookup_connection_value_n(connection, MHD_GET_ARGUMENT_KIND, name, strlen(name),
	                                     NULL, NULL) == MHD_YES;
}

static uint64_t body_bytes(struct MHD_Connection *connection)
{
	if (*header(connection, MHD_HTTP_HEADER_TRANSFER_ENCODING) != '\0')
		return BODY_UNKNOWN;
	return strtoull(header(connection, MHD_HTTP_HEADER_CONTENT_LENGTH), NULL, 10);
}

/* libmicrohttpd takes a body in any other coding to go on until the connection ends, which it
 * then does not notice (RFC 9112, section 6.1). */
static bool is_readable(struct MHD_Connection *connection)
{
	const char *coding = header(connection, MHD_HTTP_HEADER_TRANSFER_ENCODING);

	return *coding == '\0' || strcasecmp(coding, "chunked") == 0;
}

/* The engine's owner tells of a drain only a moment after it was asked for. */
static enum control_phase phase_of(const struct http *h)
{
	enum control_phase phase = atomic_load(&h->phase);

	return phase == CONTROL_READY && engine_is_draining(h->options.engine) ? CONTROL_DRAINING
	                                                                       : phase;
}

/* A browser shows what is read from us to the page whose host it believes us to be. */
static bool is_for_us(const struct listener *l, const struct request *request)
{
	return l->reach != CONTROL_FIGURES ||
	       control_tcp_is_host(request->host, l->http->options.host_names);
}

/* Makes the reply, or a task. */
static struct task *begin(const struct listener *l, const struct client *client,
                          const struct request *request, struct reply *reply)
{
	struct http *h = l->http;
	const struct view view = {
		.options = &h->options,
		.desk = &h->desk,
		.history = &h->history,
		.reach = l->reach,
		.phase = phase_of(h),
		.results_error = atomic_load(&h->results_error),
		.uptime_us = (clock_now_ns() - h->started_ns) / NS_PER_US,
	};

	if (client->in_excess)
		problem(reply, PROBLEM_TOO_MANY_CONNECTIONS,
		        "%u connections are open, which is the limit; close one or try again",
		        l->max_connections);
	else if (client->target_bytes > CONTROL_MAX_TARGET_BYTES)
		problem(reply, PROBLEM_TARGET_TOO_LONG,
		        "the request's target has %zu bytes; %d are allowed",
		        client->target_bytes, CONTROL_MAX_TARGET_BYTES);
	else if (!is_readable(client->connection))
		problem(reply, PROBLEM_NOT_SUPPORTED,
		        "the only Transfer-Encoding that can be read is chunked");
	else if (client->target_has_nul)
		problem(reply, PROBLEM_BAD_TARGET, "the request's target holds a NUL byte, %%00");
	else if (!is_for_us(l, request))
		problem(reply, PROBLEM_WRONG_HOST,
		        "the request is for the host %.255s; if that is this daemon, name it in "
		        "control.host_names, or ask by an address", request->host);
	else
		return routes_answer(&view, request, reply);
	return NULL;
}

/* --- the answer -------------------------------------------------------------------- */

/* An answer that is read from a file while it is sent. */
struct outflow {
	struct http *http;
	struct client *client;
	int file; /* owned */
};

static ssize_t read_outflow(void *arg, uint64_t at, char *to, size_t max)
{
	struct outflow *o = arg;
	ssize_t n = pread(o->file, to, max, (off_t) at);

	clients_renew(&o->http->clients, o->client); /* it has read the part before */
	return n > 0 ? n : MHD_CONTENT_READER_END_WITH_ERROR;
}

static void free_outflow(void *arg)
{
	struct outflow *o = arg;

	(void) close(o->file);
	free(o);
}

/* These two take over the body if they do not return NULL. */
static struct MHD_Response *respond_from_file(struct http *h, struct client *client,
                                              struct reply *reply)
{
	struct outflow *o = malloc(sizeof(*o));
	if (!o)
		return NULL;

	*o = (struct outflow) { .http = h, .client = client, .file = reply->file };
	struct MHD_Response *response = MHD_create_response_from_callback(
		reply->file_bytes, FILE_BLOCK_BYTES, read_outflow, o, free_outflow);
	if (response)
		reply->file_bytes = 0;
	else
		free(o);
	return response;
}

static ssize_t read_stream(void *arg, uint64_t at, char *to, size_t max)
{
	struct client *client = arg;
	struct task *task = client->task;
	ssize_t n = task->ops->read(task, to, max);

	(void) at;
	if (task->waits)
		clients_suspend(client->all, client);
	else
		clients_renew(client->all, client); /* it has read the part before */
	return n == TASK_END      ? MHD_CONTENT_READER_END_OF_STREAM
	       : n == TASK_BROKEN ? MHD_CONTENT_READER_END_WITH_ERROR
	                          : n;
}

static struct MHD_Response *respond_from_stream(struct client *client)
{
	struct MHD_Response *response = MHD_create_response_from_callback(
		MHD_SIZE_UNKNOWN, FILE_BLOCK_BYTES, read_stream, client, NULL);

	/* Without a body libmicrohttpd would send the last chunk all the same. */
	if (response && client->asks_for_head)
		(void) MHD_set_response_options(response, MHD_RF_HTTP_1_0_COMPATIBLE_STRICT,
		                                MHD_RO_END);
	return response;
}

static struct MHD_Response *respond_from_memory(struct reply *reply)
{
	if (reply->body.failed)
		return NULL;

	struct MHD_Response *response = MHD_create_response_from_buffer(
		reply->body.len, reply->body.data, MHD_RESPMEM_MUST_FREE);
	if (response)
		reply->body = (struct buf) { 0 };
	return response;
}

static bool add_headers(struct MHD_Response *response, const struct reply *reply, bool last)
{
	const struct {
		const char *name;
		const char *value; /* NULL: leave it out */
	} headers[] = {
		{ MHD_HTTP_HEADER_CONTENT_TYPE, reply->type },
		{ MHD_HTTP_HEADER_CACHE_CONTROL, "no-store" },
		{ "X-Content-Type-Options", "nosniff" },
		{ "Content-Security-Policy", reply->policy },
		{ MHD_HTTP_HEADER_ALLOW, reply->allow[0] != '\0' ? reply->allow : NULL },
		{ MHD_HTTP_HEADER_LOCATION, reply->location.data },
		{ MHD_HTTP_HEADER_RETRY_AFTER, reply->retries ? REPLY_RETRY_AFTER : NULL },
		{ MHD_HTTP_HEADER_CONNECTION, last ? "close" : NULL },
	};

	for (size_t i = 0; i < ARRAY_LEN(headers); i++)
		if (headers[i].value &&
		    MHD_add_response_header(response, headers[i].name, headers[i].value) == MHD_NO)
			return false;
	return !reply->location.failed;
}

/* Without memory the connection is closed. */
static enum MHD_Result send_reply(struct http *h, struct client *client, struct reply *reply,
                                  bool last)
{
	struct MHD_Response *response = reply->streams          ? respond_from_stream(client)
	                                : reply->file_bytes > 0 ? respond_from_file(h, client, reply)
	                                                        : respond_from_memory(reply);
	enum MHD_Result r = MHD_NO;

	if (response && add_headers(response, reply, last))
		r = MHD_queue_response(client->connection, reply->status, response);
	client->is_answered = true;
	if (response)
		MHD_destroy_response(response);
	reply_done(reply);
	return r;
}

/* --- requests ---------------------------------------------------------------------- */

/* Takes the task's next step: with a part of the body, or without one at its end. */
static enum MHD_Result go_on(struct http *h, struct client *client, const char *data, size_t *size)
{
	struct task *task = client->task;
	bool has_ended = *size == 0;

	if (!has_ended)
		*size -= task->ops->take(task, data, *size);
	else if (task->reply.status == 0)
		task->ops->finish(task);

	if (task->waits) {
		clients_suspend(&h->clients, client);
		return MHD_YES;
	}
	return has_ended ? send_reply(h, client, &task->reply, false) : MHD_YES;
}

/* libmicrohttpd calls this with the request's head, with each part of its body, and at
 * its end.  A request without a body is answered at its end; with a body nobody takes,
 * before it is read. */
static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *path,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **seen)
{
	struct listener *l = arg;
	struct http *h = l->http;
	struct client *client = client_of(connection);
	struct reply reply = { 0 };

	(void) version;
	if (!client)
		return MHD_NO;
	if (client->suspended)
		return MHD_YES; /* it goes through small chunks without looking */
	if (client->task)
		return go_on(h, client, upload, upload_size);

	const struct request request = {
		.method = method,
		.path = path,
		.accept = header(connection, MHD_HTTP_HEADER_ACCEPT),
		.content_type = header(connection, MHD_HTTP_HEADER_CONTENT_TYPE),
		.host = header(connection, MHD_HTTP_HEADER_HOST),
		.wait = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "wait"),
		.limit = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "limit"),
		.dry_run = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "dry_run"),
		.from = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "from"),
		.last = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "last"),
		.since = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "since"),
		.outcome = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "outcome"),
		.follow = has_argument(connection, "follow"),
		.body_bytes = body_bytes(connection),
	};
	bool is_head = !*seen;
	*seen = client;
	client->asks_for_head = strcmp(method, MHD_HTTP_METHOD_HEAD) == 0;
	if (is_head && request.body_bytes == 0)
		return MHD_YES;
	client->task = begin(l, client, &request, &reply);
	if (!client->task)
		return send_reply(h, client, &reply, request.body_bytes > 0 || client->in_excess);
	client->task->client = client;
	return is_head ? MHD_YES : go_on(h, client, upload, upload_size);
}

/* --- the daemon -------------------------------------------------------------------- */

static int start_daemon(struct listener *l)
{
	errno = 0;
	l->daemon = MHD_start_daemon(
		MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, on_request, l,
		MHD_OPTION_LISTEN_SOCKET, l->listen_fd,
		MHD_OPTION_CONNECTION_LIMIT, l->max_connections + l->spare,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t) CONNECTION_BYTES,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, l,
		MHD_OPTION_NOTIFY_COMPLETED, on_request_done, l,
		MHD_OPTION_URI_LOG_CALLBACK, on_target, l,
		MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1,
		MHD_OPTION_END);

	if (l->daemon)
		return 0;
	return errno == ENOMEM || errno == EMFILE ? -errno : -EIO;
}

int http_start(struct listener *l)
{
	int r = start_daemon(l);
	if (r < 0)
		return r;

	const union MHD_DaemonInfo *info = MHD_get_daemon_info(l->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	if (!info) {
		http_stop(l);
		return -EIO;
	}
	l->epoll_fd = info->epoll_fd;
	return 0;
}

/* Quiesced first, for it would close the listening descriptor otherwise. */
void http_stop(struct listener *l)
{
	if (!l->daemon)
		return;
	(void) MHD_quiesce_daemon(l->daemon);
	MHD_stop_daemon(l->daemon);
	l->daemon = NULL;
}
