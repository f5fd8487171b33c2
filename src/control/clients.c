/* SPDX-License-Identifier: Apache-2.0 */
#include "control/clients.h"

#include "base/sync.h"
#include "control/problem.h"

#include <assert.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <sys/socket.h>

void clients_init(struct clients *clients, uint64_t total_ns)
{
	*clients = (struct clients) { .total_ns = total_ns };
	TAILQ_INIT(&clients->timed);
	TAILQ_INIT(&clients->suspended);
}

/* Of those that the kernel does not know, nobody. */
static struct ucred peer_of(int fd)
{
	struct ucred peer = { .pid = 0, .uid = (uid_t) -1, .gid = (gid_t) -1 };
	socklen_t size = sizeof(peer);

	(void) getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size);
	return peer;
}

struct client *clients_add(struct clients *clients, struct MHD_Connection *connection, int fd)
{
	struct client *client = malloc(sizeof(*client));

	if (!client)
		return NULL;
	*client = (struct client) {
		.all = clients,
		.connection = connection,
		.fd = fd,
		.since_ns = clock_now_ns(),
		.expects = true,
	};
	client->peer = peer_of(fd);
	TAILQ_INSERT_TAIL(&clients->timed, client, entry);
	clients->n++;
	return client;
}

void clients_remove(struct clients *clients, struct client *client)
{
	assert(!client->suspended);
	clients_end_task(client);
	TAILQ_REMOVE(&clients->timed, client, entry);
	clients->n--;
	free(client);
}

void clients_renew(struct clients *clients, struct client *client)
{
	assert(!client->suspended);
	client->since_ns = clock_now_ns();
	TAILQ_REMOVE(&clients->timed, client, entry);
	TAILQ_INSERT_TAIL(&clients->timed, client, entry);
}

/* --- tasks ------------------------------------------------------------------------- */

void clients_suspend(struct clients *clients, struct client *client)
{
	TAILQ_REMOVE(&clients->timed, client, entry);
	TAILQ_INSERT_TAIL(&clients->suspended, client, entry);
	client->suspended = true;
	MHD_suspend_connection(client->connection);
}

/* Its time starts anew: what the backlog takes is not the client's, and an upload has
 * got a batch further. */
static void resume(struct clients *clients, struct client *client)
{
	TAILQ_REMOVE(&clients->suspended, client, entry);
	TAILQ_INSERT_TAIL(&clients->timed, client, entry);
	client->since_ns = clock_now_ns();
	client->suspended = false;
	MHD_resume_connection(client->connection);
}

void clients_end_task(struct client *client)
{
	struct task *task = client->task;

	if (!task)
		return;
	assert(!task->waits);
	client->task = NULL;
	reply_done(&task->reply);
	task->ops->free(task);
}

static void deliver(struct clients *clients, struct task *task, int error)
{
	task->waits = false;
	task->ops->answered(task, error);
	if (!task->waits)
		resume(clients, task->client);
}

bool clients_collect(struct clients *clients, struct desk *desk)
{
	struct task *task = inbox_take(&desk->inbox);
	bool any = task;

	for (struct task *next = NULL; task; task = next) {
		next = task->next; /* which a further question would overwrite */
		deliver(clients, task, task->error);
	}
	return any;
}

void clients_expire(struct clients *clients, struct desk *desk, uint64_t now_ns)
{
	struct client *next = NULL;

	for (struct client *client = TAILQ_FIRST(&clients->suspended); client; client = next) {
		struct task *task = client->task;
		next = TAILQ_NEXT(client, entry);
		if (task->until_ns > now_ns && !desk->closing)
			continue;
		task->until_ns = NEVER;
		if (task->ops->take_back(task))
			deliver(clients, task, desk->closing ? -EPIPE : -ETIMEDOUT);
	}
}

/* --- time -------------------------------------------------------------------------- */

/* A request that is not complete cannot be answered by libmicrohttpd.  Nothing was sent since
 * the last answer, so there is room for this in the socket. */
static void say_too_slow(const struct client *client, uint64_t total_ns)
{
	struct reply reply = { 0 };
	struct buf answer = { 0 };

	problem(&reply, PROBLEM_TOO_SLOW,
	        "the request was not complete after %.3g seconds; jobs of an upload may have been "
	        "accepted", (double) total_ns / NS_PER_S);
	buf_printf(&answer, "HTTP/1.1 408 Request Timeout\r\nContent-Type: %s\r\n"
	                    "Cache-Control: no-store\r\nConnection: close\r\n"
	                    "Content-Length: %zu\r\n\r\n", reply.type, reply.body.len);
	buf_add(&answer, reply.body.data, reply.body.len);
	if (!answer.failed && !reply.body.failed)
		(void) send(client->fd, answer.data, answer.len, MSG_DONTWAIT | MSG_NOSIGNAL);
	buf_done(&answer);
	reply_done(&reply);
}

/* libmicrohttpd then sees an end of file. */
void clients_cut_slow(struct clients *clients, uint64_t now_ns)
{
	struct client *client = NULL;

	while ((client = TAILQ_FIRST(&clients->timed)) &&
	       clock_after(client->since_ns, clients->total_ns) <= now_ns) {
		if (client->expects && !client->is_answered)
			say_too_slow(client, clients->total_ns);
		client->is_answered = true;
		(void) shutdown(client->fd, SHUT_RDWR);
		clients_renew(clients, client);
	}
}

uint64_t clients_next_ns(const struct clients *clients)
{
	const struct client *client = TAILQ_FIRST(&clients->timed);
	uint64_t next_ns = client ? clock_after(client->since_ns, clients->total_ns) : NEVER;

	TAILQ_FOREACH(client, &clients->suspended, entry)
		if (client->task->until_ns < next_ns)
			next_ns = client->task->until_ns;
	return next_ns;
}

bool clients_expect(const struct clients *clients)
{
	const struct client *client = NULL;

	TAILQ_FOREACH(client, &clients->timed, entry)
		if (client->expects)
			return true;
	return !TAILQ_EMPTY(&clients->suspended);
}

bool clients_are_owed(const struct clients *clients)
{
	const struct client *client = NULL;

	TAILQ_FOREACH(client, &clients->suspended, entry)
		if (client->task->until_ns == NEVER)
			return true;
	return false;
}
