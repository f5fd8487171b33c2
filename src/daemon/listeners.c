/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/listeners.h"

#include "base/endpoint.h"
#include "base/log.h"
#include "control/tcp.h"
#include "daemon/daemon.h"
#include "daemon/paths.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

_Static_assert(CONTROL_MAX_READERS == 1 + SETTINGS_MAX_LISTEN, "a place for each");

static void add(struct listeners *listeners, int listen_fd, enum control_reach reach)
{
	listeners->items[listeners->n++] =
		(struct control_reader) { .listen_fd = listen_fd, .reach = reach };
}

static int open_stats(const struct settings *s, struct listeners *listeners)
{
	unsigned mode = 0;

	if (*s->control.stats_socket == '\0')
		return DAEMON_OK;
	char *path = paths_runtime(s->control.stats_socket);
	if (!path || !settings_control_mode(s->control.stats_mode, &mode)) {
		free(path);
		return DAEMON_INTERNAL;
	}
	int r = control_socket_open(path, mode, &listeners->stats);
	if (r < 0)
		log_error("%s: control.stats_socket: %s", path,
		          r == -EADDRINUSE ? "another process serves this socket" : strerror(-r));
	else
		add(listeners, listeners->stats.listen_fd, CONTROL_VIEWS);
	free(path);
	return r < 0 ? daemon_cannot_create(r) : DAEMON_OK;
}

static int open_address(const char *text, struct listeners *listeners)
{
	struct endpoint wanted, bound;
	char at[ENDPOINT_TEXT_SIZE];

	if (!endpoint_parse(text, &wanted))
		return DAEMON_INTERNAL; /* it was looked at when the settings were read */
	int fd = control_tcp_open(&wanted, &bound);
	if (fd < 0) {
		log_error("%s: control.listen: %s", text,
		          fd == -EADDRINUSE      ? "another process listens there"
		          : fd == -EADDRNOTAVAIL ? "this machine has no such address"
		                                 : strerror(-fd));
		return daemon_cannot_create(fd);
	}
	add(listeners, fd, CONTROL_FIGURES);
	endpoint_format(&bound, at);
	log_info("control.listen: figures for all who reach http://%s/", at);
	return DAEMON_OK;
}

int listeners_open(const struct settings *s, struct listeners *listeners)
{
	int code = open_stats(s, listeners);

	for (size_t i = 0; code == DAEMON_OK && i < s->control.listen.n; i++)
		code = open_address(s->control.listen.items[i], listeners);
	return code;
}

void listeners_close(struct listeners *listeners)
{
	for (size_t i = 0; i < listeners->n; i++)
		if (listeners->items[i].listen_fd != listeners->stats.listen_fd)
			(void) close(listeners->items[i].listen_fd);
	control_socket_close(&listeners->stats);
	listeners->n = 0;
}

struct settings_others listeners_needs(const struct settings *s)
{
	size_t n = s->control.listen.n + (*s->control.stats_socket != '\0');

	return (struct settings_others) {
		.descriptors = CONTROL_DESCRIPTORS + n * CONTROL_READER_DESCRIPTORS,
		.bytes = CONTROL_BYTES + n * (uint64_t) CONTROL_READER_BYTES,
	};
}
