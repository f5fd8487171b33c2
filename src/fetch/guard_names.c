/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/guard_names.h"

#include <string.h>

/* What connect(2) takes for the own host: "this network" and the unspecified address, too. */
#define LOOPBACK "127.0.0.0/8", "0.0.0.0/8", "::1/128", "::/128"

/* RFC 3927; RFC 4291, section 2.5.6 */
#define LINK_LOCAL "169.254.0.0/16", "fe80::/10"

/* RFC 5771; RFC 4291, section 2.7 */
#define MULTICAST "224.0.0.0/4", "ff00::/8"

static const char *const loopback[] = { LOOPBACK, NULL };
static const char *const link_local[] = { LINK_LOCAL, NULL };
static const char *const multicast[] = { MULTICAST, NULL };

/*
 * Where clouds give their machines credentials and user data, as their documents say, unless
 * it is link-local.  Azure's looks like a public address, and is the machine's own host.
 */
#define METADATA                                                                                   \
	"fd00:ec2::254/128",      /* Amazon EC2: instance metadata */                              \
	"fd00:ec2::23/128",       /* Amazon EKS: Pod Identity Agent */                             \
	"fd20:ce::254/128",       /* Google Compute Engine */                                      \
	"168.63.129.16/32",       /* Microsoft Azure: WireServer */                                \
	"100.100.100.200/32",     /* Alibaba Cloud, … */                                           \
	"fd00:100::100:200/128",  /* … over IPv6 */                                                \
	"192.0.0.192/32",         /* Oracle Cloud at Customer */                                   \
	"fd00:c1::a9fe:a9fe/128", /* Oracle Cloud Infrastructure */                                \
	"fd00:a9fe:a9fe::1/128",  /* Akamai (Linode) */                                            \
	"fd00:42::42/128"         /* Scaleway */

static const char *const metadata[] = { METADATA, NULL };

/*
 * What is not globally reachable according to IANA's registries of special-purpose addresses
 * (RFC 6890, RFC 8190), as of October 2025; what these say is neither, deprecated 6to4 and
 * Teredo, is not.  Of IPv6, only 2000::/3 is given to networks (RFC 4291, section 2.4; IANA's
 * registry of the address space), and what is written within others is IPv4.
 */
static const char *const private[] = {
	LOOPBACK,
	LINK_LOCAL,
	MULTICAST,
	METADATA,

	"10.0.0.0/8",      /* private use, RFC 1918 */
	"100.64.0.0/10",   /* shared by a provider's customers, RFC 6598 */
	"172.16.0.0/12",   /* private use */
	"192.0.0.0/24",    /* protocol assignments, RFC 6890 … */
	"!192.0.0.9/32",   /* … but PCP anycast, RFC 7723, */
	"!192.0.0.10/32",  /* and TURN anycast, RFC 8155 */
	"192.0.2.0/24",    /* documentation, RFC 5737 */
	"192.88.99.0/24",  /* 6to4 relays, RFC 7526 */
	"192.168.0.0/16",  /* private use */
	"198.18.0.0/15",   /* benchmarking, RFC 2544 */
	"198.51.100.0/24", /* documentation */
	"203.0.113.0/24",  /* documentation */
	"240.0.0.0/4",     /* reserved, RFC 1112, and the broadcast address, RFC 919 */

	"fc00::/7",         /* unique local, RFC 4193 */
	"fec0::/10",        /* site-local, RFC 3879 */
	"2001::/23",        /* protocol assignments, RFC 2928, with Teredo; … */
	"!2001:1::1/128",   /* … but PCP anycast, RFC 7723, */
	"!2001:1::2/128",   /* TURN anycast, RFC 8155, */
	"!2001:1::3/128",   /* DNS-SD registration anycast, RFC 9665, */
	"!2001:3::/32",     /* AMT, RFC 7450, */
	"!2001:4:112::/48", /* AS112, RFC 7535, */
	"!2001:20::/28",    /* ORCHIDv2, RFC 7343, */
	"!2001:30::/28",    /* and drones' remote IDs, RFC 9374 */
	"2001:db8::/32",    /* documentation, RFC 3849 */
	"2002::/16",        /* 6to4, RFC 3056 */
	"3fff::/20",        /* documentation, RFC 9637 */
	"64:ff9b:1::/48",   /* local NAT64, RFC 8215 */
	"::/3",             /* not given to networks: discard-only, RFC 6666, and others; … */
	"!::ffff:0:0/96",   /* … but IPv4-mapped, RFC 4291, */
	"!64:ff9b::/96",    /* and NAT64, RFC 6052 */
	"4000::/2",         /* not given to networks: segment routing, RFC 9602, and others, … */
	"8000::/1",         /* … and neither is this */
	NULL,
};

const char *const *guard_named(const char *name)
{
	static const struct {
		const char *name;
		const char *const *networks;
	} sets[] = {
		{ "loopback", loopback },   { "private", private },   { "link-local", link_local },
		{ "metadata", metadata },   { "multicast", multicast },
	};

	for (size_t i = 0; i < ARRAY_LEN(sets); i++)
		if (strcmp(sets[i].name, name) == 0)
			return sets[i].networks;
	return NULL;
}
