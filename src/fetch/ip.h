/* SPDX-License-Identifier: Apache-2.0 */
/* IP addresses and networks, IPv4 and IPv6, and the IPv4 addresses within IPv6 ones. */
#ifndef PENSTOCK_FETCH_IP_H
#define PENSTOCK_FETCH_IP_H

#include "base/attr.h"

#include <stdbool.h>
#include <stddef.h>

struct sockaddr;

enum {
	IP_TEXT_SIZE = 46, /* INET6_ADDRSTRLEN */
	IP_MAX_INNER = 8,  /* IPv4 addresses that ip_inner() finds, at most */
};

struct ip {
	unsigned char bytes[16]; /* in network order; of IPv4 the first four */
	unsigned bits;           /* 32 or 128 */
};

/* Reads an address as inet_pton(3) does: no "127.1", no octal.  IPv6 may have brackets.
 * Returns whether it is one. */
NODISCARD NONNULL(1, 2) bool ip_parse(const char *text, struct ip *ret_ip);

/* Returns whether it is an IP address. */
NODISCARD NONNULL(1, 2) bool ip_of_sockaddr(const struct sockaddr *address, struct ip *ret_ip);

NONNULL(1) void ip_format(const struct ip *ip, char text[static IP_TEXT_SIZE]);

/*
 * The IPv4 addresses that whoever connects to an IPv6 address may really come to: mapped and
 * compatible ones (RFC 4291, section 2.5.5), translated (RFC 2765, section 2.1), NAT64 with
 * its well-known and its local prefix (RFC 6052, RFC 8215), 6to4 (RFC 3056), Teredo's client
 * and server (RFC 4380), ISATAP (RFC 5214).  Returns their number; 0 for IPv4.
 */
NODISCARD NONNULL(1) size_t ip_inner(const struct ip *ip, struct ip ret_inner[static IP_MAX_INNER]);

struct network {
	struct ip first;
	unsigned prefix; /* bits that are the same in all of it */
};

/* Reads "192.0.2.0/24", "2001:db8::/32", or an address, which is a network by itself.  Returns
 * NULL, or what is wrong, a text of static lifetime. */
NODISCARD NONNULL(1, 2)
const char *network_parse(const char *text, struct network *ret_network);

/* Whether an address is in it; those of the other version never are. */
NODISCARD NONNULL(1, 2) bool network_has(const struct network *network, const struct ip *ip);

#endif
