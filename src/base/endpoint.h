/* SPDX-License-Identifier: Apache-2.0 */
/* An IP address and a port, as text: "127.0.0.1:9147", "[::1]:9147". */
#ifndef PENSTOCK_BASE_ENDPOINT_H
#define PENSTOCK_BASE_ENDPOINT_H

#include "base/attr.h"

#include <stdbool.h>
#include <sys/socket.h>

enum { ENDPOINT_TEXT_SIZE = 56 }; /* INET6_ADDRSTRLEN, brackets and a port */

struct endpoint {
	struct sockaddr_storage address; /* AF_INET or AF_INET6 */
	socklen_t size;
};

/* Reads an address as inet_pton(3) does, no name, and its port, 0 to 65535 in decimal.  Returns
 * whether 'text' is that and nothing else. */
NODISCARD NONNULL(1, 2) bool endpoint_parse(const char *text, struct endpoint *ret_endpoint);

/* Writes what endpoint_parse() reads. */
NONNULL(1) void endpoint_format(const struct endpoint *e, char text[static ENDPOINT_TEXT_SIZE]);

#endif
