/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connections, and how long each may take.  A client is either timed, or it is
 * suspended while its task waits.  All of it belongs to the socket's thread.
 */
#ifndef PENSTOCK_CONTROL_CLIENTS_H
#define PENSTOCK_CONTROL_CLIENTS_H

#include "base/attr.h"
#include "control/task.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/socket.h>

struct MHD_Connection;

struct client {
	TAILQ_ENTRY(client) entry;
	struct clients *all; /* whose this one is */
	struct MHD_Connection *connection;
	int fd;
	struct ucred peer;   /* who has connected */
	uint64_t since_ns;   /* when it connected, had its last answer, or made progress */
	size_t target_bytes; /* of the request at hand */
	bool target_has_nul; /* "%00", behind which libmicrohttpd's copy of it ends */
	bool asks_for_head;  /* HEAD: its answer has no body */
	bool in_excess;      /* there were too many when it came */
	bool expects;        /* an answer: it has begun a request, or has just come */
	bool is_answered;    /* the answer is on its way */
	bool suspended;
	struct task *task;   /* of the request at hand, owned; NULL: it has none */
};

TAILQ_HEAD(client_list, client);

/* Initialise with clients_init(). */
struct clients {
	uint64_t total_ns;           /* how long each may go on without progress */
	struct client_list timed;    /* the one without progress for the longest time first */
	struct client_list suspended;
	unsigned n;                  /* in both */
};

NONNULL(1) void clients_init(struct clients *clients, uint64_t total_ns);

/* Returns NULL if there is no memory. */
NODISCARD NONNULL(1, 2)
struct client *clients_add(struct clients *clients, struct MHD_Connection *connection, int fd);
NONNULL(1) void clients_remove(struct clients *clients, struct client *client);

/* Its time starts anew. */
NONNULL(1, 2) void clients_renew(struct clients *clients, struct client *client);

/* Its task waits now. */
NONNULL(1, 2) void clients_suspend(struct clients *clients, struct client *client);

/* Frees the task of a request that is over. */
NONNULL(1) void clients_end_task(struct client *client);

/* Hands the inbox's answers to their tasks, and goes on with the clients of those that
 * wait no longer.  Returns whether there were any. */
NONNULL(1, 2) bool clients_collect(struct clients *clients, struct desk *desk);

/* Takes back what has waited for too long; everything, if the desk is closing. */
NONNULL(1, 2) void clients_expire(struct clients *clients, struct desk *desk, uint64_t now_ns);

/* Ends the connections that make no progress, and tells those whose request is not complete:
 * libmicrohttpd says nothing, and its own timeout starts anew with every byte. */
NONNULL(1) void clients_cut_slow(struct clients *clients, uint64_t now_ns);

/* When one of the last two will have something to do; NEVER if there are no clients. */
NONNULL(1) uint64_t clients_next_ns(const struct clients *clients);

/* Whether anyone waits for an answer. */
NONNULL(1) bool clients_expect(const struct clients *clients);

/* After clients_expire() for a desk that is closing: whether the backlog still owes an
 * answer.  Who asks later has it in the inbox already. */
NONNULL(1) bool clients_are_owed(const struct clients *clients);

#endif
