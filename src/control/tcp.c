/* SPDX-License-Identifier: Apache-2.0 */
#include "control/tcp.h"

#include "fetch/ip.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* IPv6 for itself, so that "[::]" and "0.0.0.0" can be had side by side. */
static int listen_at(int fd, const struct endpoint *wanted, struct endpoint *ret_bound)
{
	const int on = 1;
	struct endpoint bound = { .size = sizeof(bound.address) };

	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
		return -errno;
	if (wanted->address.ss_family == AF_INET6 &&
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0)
		return -errno;
	if (bind(fd, (const struct sockaddr *) &wanted->address, wanted->size) < 0 ||
	    listen(fd, SOMAXCONN) < 0 ||
	    getsockname(fd, (struct sockaddr *) &bound.address, &bound.size) < 0)
		return -errno;
	*ret_bound = bound;
	return 0;
}

int control_tcp_open(const struct endpoint *wanted, struct endpoint *ret_bound)
{
	int fd = socket(wanted->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;

	int r = listen_at(fd, wanted, ret_bound);
	if (r < 0) {
		(void) close(fd);
		return r;
	}
	return fd;
}

/* --- Host -------------------------------------------------------------------------- */

/* Without the port, and without the dot that a full name may end in. */
static size_t name_length(const char *host)
{
	const char *end = *host == '[' ? strchr(host, ']') : NULL;
	bool has_brackets = end && (end[1] == ':' || end[1] == '\0');
	size_t len = has_brackets ? (size_t) (end - host) + 1 : strcspn(host, ":");

	return len > 1 && host[len - 1] == '.' ? len - 1 : len;
}

static bool is_name(const char *host, size_t len, const char *name)
{
	return strncasecmp(host, name, len) == 0 && name[len] == '\0';
}

static bool is_address(const char *host, size_t len)
{
	char text[IP_TEXT_SIZE + 2];
	struct ip ip;

	if (len >= sizeof(text))
		return false;
	memcpy(text, host, len);
	text[len] = '\0';
	return ip_parse(text, &ip);
}

bool control_tcp_is_host(const char *host, const struct config_strings *names)
{
	size_t len = name_length(host);
	char machine[HOST_NAME_MAX + 1] = "";

	if (len == 0 || is_address(host, len) || is_name(host, len, "localhost"))
		return true;
	if (gethostname(machine, sizeof(machine) - 1) == 0 && is_name(host, len, machine))
		return true;
	for (size_t i = 0; names && i < names->n; i++)
		if (is_name(host, len, names->items[i]))
			return true;
	return false;
}
