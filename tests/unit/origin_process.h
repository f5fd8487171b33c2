/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The test origin (tests/origin) as a child process, for tests that need a real
 * server: started on a free port of loopback, ended by its process id.  It also
 * ends with its standard input, so that none outlives a test that crashed.
 *
 * The program is named by PENSTOCK_ORIGIN; without it a test is skipped:
 *
 *	if (!origin_is_there())
 *		return ORIGIN_SKIP;
 */
#ifndef PENSTOCK_TESTS_ORIGIN_PROCESS_H
#define PENSTOCK_TESTS_ORIGIN_PROCESS_H

#include "base/buf.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <jansson.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ORIGIN_SKIP = 77 }; /* what automake takes for "skipped" */

struct origin_process {
	pid_t pid;
	int input; /* the writing end of its standard input */
	uint16_t port;
};

static inline bool origin_is_there(void) { return getenv("PENSTOCK_ORIGIN") != NULL; }

static inline int origin_spawn(pid_t *ret_pid, int input, int output)
{
	char name[] = "penstock-origin", option[] = "--exit-with-stdin";
	char *const argv[] = { name, option, NULL };
	posix_spawn_file_actions_t actions;

	int r = posix_spawn_file_actions_init(&actions);
	if (r != 0)
		return r;
	r = posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
	if (r == 0)
		r = posix_spawn(ret_pid, getenv("PENSTOCK_ORIGIN"), &actions, NULL, argv, environ);
	(void) posix_spawn_file_actions_destroy(&actions);
	return r;
}

/* Starts an origin and waits until it listens.  Asserts nothing, because it is also
 * called outside of tests; an origin that did not start needs no stopping. */
static inline bool origin_start(struct origin_process *o)
{
	int input[2], output[2];
	unsigned port = 0;

	if (pipe2(input, O_CLOEXEC) < 0 || pipe2(output, O_CLOEXEC) < 0)
		return false;
	bool started = origin_spawn(&o->pid, input[0], output[1]) == 0;
	(void) close(input[0]);
	(void) close(output[1]);

	FILE *said = fdopen(output[0], "r");
	started = started && said && fscanf(said, "%u", &port) == 1;
	if (said)
		(void) fclose(said);
	o->input = input[1];
	o->port = (uint16_t) port;
	return started;
}

/* Returns whether it ended as it should. */
static inline bool origin_stop(struct origin_process *o)
{
	int status = 0;

	bool ended = kill(o->pid, SIGTERM) == 0 && waitpid(o->pid, &status, 0) == o->pid;
	(void) close(o->input);
	return ended && status == 0;
}

/* Asks for 'target' on a connection of its own and appends the whole answer. */
static inline bool origin_ask(const struct origin_process *o, const char *target, struct buf *b)
{
	const struct sockaddr_in to = {
		.sin_family = AF_INET,
		.sin_port = htons(o->port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	char piece[4096];
	ssize_t n = 0;

	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	(void) snprintf(piece, sizeof(piece),
	                "GET %s HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n", target);
	bool sent = connect(fd, (const struct sockaddr *) &to, sizeof(to)) == 0 &&
	            send(fd, piece, strlen(piece), MSG_NOSIGNAL) == (ssize_t) strlen(piece);
	while (sent && (n = recv(fd, piece, sizeof(piece), 0)) > 0)
		buf_add(b, piece, (size_t) n);
	(void) close(fd);
	return sent && n == 0;
}

/* A number out of /_counters; -1 if there is none.  Asking is itself a connection. */
static inline long long origin_counter(const struct origin_process *o, const char *name)
{
	struct buf answer = { 0 };
	long long value = -1;

	if (origin_ask(o, "/_counters", &answer)) {
		buf_add_char(&answer, '\0');
		const char *body = strstr(answer.data, "\r\n\r\n");
		json_t *json = body ? json_loads(body, 0, NULL) : NULL;
		if (json_is_integer(json_object_get(json, name)))
			value = json_integer_value(json_object_get(json, name));
		json_decref(json);
	}
	buf_done(&answer);
	return value;
}

/* Waits until so many requests are being answered. */
static inline void origin_await_in_flight(const struct origin_process *o, long long n)
{
	while (origin_counter(o, "in_flight") != n)
		(void) sched_yield();
}

#endif
