/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server on loopback that keeps every byte it is sent, for tests of what goes
 * over the wire.  Each request gets the answer that wire_answer_next() put in
 * line, else an empty 200; connections are kept alive, but for an answer of no bytes, in whose
 * place the connection ends.
 */
#ifndef PENSTOCK_TESTS_WIRE_SERVER_H
#define PENSTOCK_TESTS_WIRE_SERVER_H

#include "base/buf.h"
#include "base/sync.h"
#include "base/thread.h"

#include <CUnit/Basic.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WIRE_CONNECTIONS = 16, WIRE_ANSWERS = 16, WIRE_ANSWER_SIZE = 512 };

struct wire_server {
	int listener;
	uint16_t port;
	pthread_t thread;
	atomic_bool stopping;
	atomic_uint connections; /* ever accepted */

	struct mutex lock;
	struct buf wire GUARDED_BY(lock); /* since wire_take() */
	char answers[WIRE_ANSWERS][WIRE_ANSWER_SIZE] GUARDED_BY(lock);
	size_t sizes[WIRE_ANSWERS] GUARDED_BY(lock);
	size_t first GUARDED_BY(lock), n GUARDED_BY(lock);
};

/* Bytes of the request's body, by its Content-Length. */
static inline size_t wire_body_bytes(const char *head)
{
	const char *at = strcasestr(head, "\r\nContent-Length:");

	return at ? strtoul(at + strlen("\r\nContent-Length:"), NULL, 10) : 0;
}

/* Reads one whole request; returns false at the end of the connection. */
static inline bool wire_read(int fd, struct buf *request)
{
	char piece[4096];
	size_t whole = 0;

	buf_clear(request);
	while (whole == 0 || request->len < whole) {
		ssize_t n = recv(fd, piece, sizeof(piece), 0);
		if (n <= 0)
			return false;
		buf_add(request, piece, (size_t) n);
		buf_add_char(request, '\0');
		request->len--;
		const char *end = strstr(request->data, "\r\n\r\n");
		if (whole == 0 && end)
			whole = (size_t) (end + 4 - request->data) + wire_body_bytes(request->data);
	}
	return true;
}

/* Returns whether the connection goes on. */
static inline bool wire_serve(struct wire_server *s, int fd, const struct buf *request)
{
	char answer[WIRE_ANSWER_SIZE] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
	size_t size = strlen(answer);

	mutex_lock(&s->lock);
	buf_add(&s->wire, request->data, request->len);
	if (s->n > 0) {
		size = s->sizes[s->first];
		memcpy(answer, s->answers[s->first], size);
		s->first = (s->first + 1) % WIRE_ANSWERS;
		s->n--;
	}
	mutex_unlock(&s->lock);
	return size > 0 && send(fd, answer, size, MSG_NOSIGNAL) > 0;
}

static inline void *wire_run(void *arg)
{
	struct wire_server *s = arg;
	struct pollfd fds[1 + WIRE_CONNECTIONS] = { { .fd = s->listener, .events = POLLIN } };
	struct buf request = { 0 };
	nfds_t n = 1;

	while (!atomic_load(&s->stopping)) {
		(void) poll(fds, n, -1);
		for (nfds_t i = n - 1; i >= 1; i--) {
			if (fds[i].revents == 0)
				continue;
			if (wire_read(fds[i].fd, &request) &&
			    wire_serve(s, fds[i].fd, &request))
				continue;
			(void) close(fds[i].fd);
			fds[i] = fds[--n];
		}
		int fd = fds[0].revents & POLLIN ? accept(s->listener, NULL, NULL) : -1;
		if (fd >= 0 && n == 1 + WIRE_CONNECTIONS) {
			(void) close(fd);
		} else if (fd >= 0) {
			(void) atomic_fetch_add(&s->connections, 1);
			fds[n++] = (struct pollfd) { .fd = fd, .events = POLLIN };
		}
	}
	for (nfds_t i = 1; i < n; i++)
		(void) close(fds[i].fd);
	buf_done(&request);
	return NULL;
}

/* A socket that listens on a free port of an IPv4 address. */
static inline int wire_listen_at(const char *address, int backlog, uint16_t *ret_port)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t len = sizeof(at);

	CU_ASSERT_EQUAL_FATAL(inet_pton(AF_INET, address, &at.sin_addr), 1);

	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CU_ASSERT_TRUE_FATAL(fd >= 0);
	CU_ASSERT_EQUAL_FATAL(bind(fd, (struct sockaddr *) &at, len), 0);
	CU_ASSERT_EQUAL_FATAL(listen(fd, backlog), 0);
	CU_ASSERT_EQUAL_FATAL(getsockname(fd, (struct sockaddr *) &at, &len), 0);
	*ret_port = ntohs(at.sin_port);
	return fd;
}

/* A socket that listens on a free port of loopback. */
static inline int wire_listen(int backlog, uint16_t *ret_port)
{
	return wire_listen_at("127.0.0.1", backlog, ret_port);
}

static inline void wire_start_at(struct wire_server *s, const char *address)
{
	memset(s, 0, sizeof(*s));
	s->listener = wire_listen_at(address, 64, &s->port);
	CU_ASSERT_EQUAL_FATAL(mutex_init(&s->lock), 0);
	CU_ASSERT_EQUAL_FATAL(thread_start(&s->thread, "wire", THREAD_STACK_SMALL, wire_run, s), 0);
}

static inline void wire_start(struct wire_server *s)
{
	wire_start_at(s, "127.0.0.1");
}

static inline void wire_stop(struct wire_server *s)
{
	atomic_store(&s->stopping, true);
	(void) shutdown(s->listener, SHUT_RDWR); /* wakes poll() */
	thread_join(s->thread);
	(void) close(s->listener);
	buf_done(&s->wire);
	mutex_destroy(&s->lock);
}

/* Puts an answer of 'n' bytes in line. */
static inline void wire_answer_bytes(struct wire_server *s, const char *answer, size_t n)
{
	CU_ASSERT_TRUE_FATAL(n <= WIRE_ANSWER_SIZE);

	mutex_lock(&s->lock);
	bool fits = s->n < WIRE_ANSWERS;
	if (fits) {
		size_t at = (s->first + s->n++) % WIRE_ANSWERS;
		memcpy(s->answers[at], answer, n);
		s->sizes[at] = n;
	}
	mutex_unlock(&s->lock);
	CU_ASSERT_TRUE_FATAL(fits);
}

static inline void wire_answer_next(struct wire_server *s, const char *answer)
{
	wire_answer_bytes(s, answer, strlen(answer));
}

/* Moves what has come so far into 'ret_wire', NUL-terminated. */
static inline void wire_take(struct wire_server *s, struct buf *ret_wire)
{
	buf_clear(ret_wire);
	mutex_lock(&s->lock);
	buf_add(ret_wire, s->wire.data, s->wire.len);
	buf_clear(&s->wire);
	mutex_unlock(&s->lock);
	buf_add_char(ret_wire, '\0');
	CU_ASSERT_FALSE_FATAL(ret_wire->failed);
}

#endif
