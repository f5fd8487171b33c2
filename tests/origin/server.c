/* SPDX-License-Identifier: Apache-2.0 */
#include "server.h"

#include "clock.h"
#include "conn.h"
#include "loop.h"
#include "origin.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ACCEPTS_PER_TURN = 64 };

/* How long the listener rests when the process is out of descriptors. */
#define ACCEPT_REST_NS (50 * NS_PER_MS)

struct server {
	struct origin origin;
	struct loop loop;
	struct conns conns;
	int listen_fd;
	int signal_fd;
	struct watch on_connection;
	struct watch on_signal;
	struct watch on_stdin;
	struct timer accept_again;
};

/* Room for every kind of address. */
union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

/* Reads a loopback address.  Returns its length, or 0 for any other. */
static socklen_t parse_loopback(const char *text, uint16_t port, union address *ret_address)
{
	union address a = { .any.sa_family = AF_UNSPEC };

	if (inet_pton(AF_INET, text, &a.v4.sin_addr) == 1) {
		a.v4.sin_family = AF_INET;
		a.v4.sin_port = htons(port);
		*ret_address = a;
		return ntohl(a.v4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET ? sizeof(a.v4) : 0;
	}
	a = (union address) { .v6.sin6_family = AF_INET6, .v6.sin6_port = htons(port) };
	if (inet_pton(AF_INET6, text, &a.v6.sin6_addr) == 1) {
		*ret_address = a;
		return IN6_IS_ADDR_LOOPBACK(&a.v6.sin6_addr) ? sizeof(a.v6) : 0;
	}
	return 0;
}

/* What stands for all of 127.0.0.0/8 at once: sixteen million origins.  Nobody but this machine
 * can connect, as the socket is bound to the loopback device. */
static const char all_of_loopback[] = "127.0.0.0/8";

static socklen_t any_address(uint16_t port, union address *ret_address)
{
	*ret_address = (union address) { .v4.sin_family = AF_INET, .v4.sin_port = htons(port),
		                         .v4.sin_addr.s_addr = htonl(INADDR_ANY) };
	return sizeof(ret_address->v4);
}

/* Opens the listening socket; connections inherit TCP_NODELAY from it. */
static int open_listener(struct server *s, const struct server_options *options)
{
	const int on = 1;
	union address address;
	bool all = strcmp(options->address, all_of_loopback) == 0;
	socklen_t len = all ? any_address(options->port, &address)
	                    : parse_loopback(options->address, options->port, &address);
	if (len == 0)
		return -EINVAL;

	int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	s->listen_fd = fd;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ||
	    (all && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", sizeof("lo")) < 0) ||
	    bind(fd, &address.any, len) < 0 || listen(fd, options->backlog) < 0)
		return -errno;
	return 0;
}

static uint16_t port_of(const struct server *s)
{
	union address address = { .any.sa_family = AF_UNSPEC };
	socklen_t len = sizeof(address);

	if (getsockname(s->listen_fd, &address.any, &len) < 0)
		return 0;
	return ntohs(address.any.sa_family == AF_INET ? address.v4.sin_port
						      : address.v6.sin6_port);
}

/* Out of descriptors or memory: lets the backlog wait rather than spin on it. */
static void rest(struct server *s)
{
	uint64_t due_ns = clock_now_ns() + ACCEPT_REST_NS;

	if (timers_arm(&s->loop.timers, &s->accept_again, due_ns) == 0)
		loop_rewatch(&s->loop, s->listen_fd, 0, &s->on_connection);
}

static void on_rested(struct timer *t)
{
	struct server *s = CONTAINER_OF(t, struct server, accept_again);
	loop_rewatch(&s->loop, s->listen_fd, EPOLLIN, &s->on_connection);
}

static bool is_shortage(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

static void on_connection(struct watch *w, uint32_t events)
{
	struct server *s = CONTAINER_OF(w, struct server, on_connection);
	(void) events;

	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		int fd = accept4(s->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0) {
			if (is_shortage(errno))
				rest(s);
			return;
		}
		if (conns_open(&s->conns, fd) < 0)
			(void) close(fd);
	}
}

static void on_signal(struct watch *w, uint32_t events)
{
	(void) events;
	loop_stop(&CONTAINER_OF(w, struct server, on_signal)->loop);
}

static void on_stdin(struct watch *w, uint32_t events)
{
	char ignored[256];
	ssize_t n = read(STDIN_FILENO, ignored, sizeof(ignored));
	(void) events;

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		loop_stop(&CONTAINER_OF(w, struct server, on_stdin)->loop);
}

/* Thousands of connections need as many descriptors; a refusal leaves what there is. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void) setrlimit(RLIMIT_NOFILE, &limit);
}

static int open_signals(struct server *s)
{
	sigset_t stops;

	(void) sigemptyset(&stops);
	(void) sigaddset(&stops, SIGTERM);
	(void) sigaddset(&stops, SIGINT);
	if (sigprocmask(SIG_BLOCK, &stops, NULL) < 0)
		return -errno;
	s->signal_fd = signalfd(-1, &stops, SFD_NONBLOCK | SFD_CLOEXEC);
	return s->signal_fd < 0 ? -errno : 0;
}

static int open_all(struct server *s, const struct server_options *options)
{
	int r = loop_init(&s->loop);
	if (r < 0)
		return r;
	r = open_listener(s, options);
	if (r < 0)
		return r;
	r = open_signals(s);
	if (r < 0)
		return r;
	r = loop_watch(&s->loop, s->listen_fd, EPOLLIN, &s->on_connection);
	if (r < 0)
		return r;
	r = loop_watch(&s->loop, s->signal_fd, EPOLLIN, &s->on_signal);
	if (r < 0 || !options->exits_with_stdin)
		return r;
	return loop_watch(&s->loop, STDIN_FILENO, EPOLLIN, &s->on_stdin);
}

static void close_all(struct server *s)
{
	conns_done(&s->conns);
	if (s->signal_fd >= 0)
		(void) close(s->signal_fd);
	if (s->listen_fd >= 0)
		(void) close(s->listen_fd);
	loop_done(&s->loop);
	origin_done(&s->origin);
}

int server_run(const struct server_options *options, void (*on_listening)(uint16_t port))
{
	struct server s = {
		.conns = { .loop = &s.loop, .origin = &s.origin },
		.loop.epoll_fd = -1,
		.listen_fd = -1,
		.signal_fd = -1,
		.on_connection.ready = on_connection,
		.on_signal.ready = on_signal,
		.on_stdin.ready = on_stdin,
		.accept_again.fire = on_rested,
	};

	raise_descriptor_limit();
	origin_init(&s.origin, options->seed, options->remembers);
	int r = open_all(&s, options);
	if (r == 0) {
		on_listening(port_of(&s));
		r = loop_run(&s.loop);
	}
	close_all(&s);
	return r;
}
