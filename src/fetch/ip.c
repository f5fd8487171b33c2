/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/ip.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

enum { IPV4_BITS = 32, IPV6_BITS = 128 };

/* --- addresses --------------------------------------------------------------------- */

bool ip_parse(const char *text, struct ip *ret_ip)
{
	char inner[IP_TEXT_SIZE];
	struct ip ip = { .bits = IPV6_BITS };
	size_t length = strlen(text);

	if (*text == '[') {
		if (length < 2 || length - 2 >= sizeof(inner) || text[length - 1] != ']')
			return false;
		memcpy(inner, text + 1, length - 2);
		inner[length - 2] = '\0';
		if (inet_pton(AF_INET6, inner, ip.bytes) != 1)
			return false;
	} else if (inet_pton(AF_INET, text, ip.bytes) == 1) {
		ip.bits = IPV4_BITS;
	} else if (inet_pton(AF_INET6, text, ip.bytes) != 1) {
		return false;
	}
	*ret_ip = ip;
	return true;
}

bool ip_of_sockaddr(const struct sockaddr *address, struct ip *ret_ip)
{
	struct ip ip = { 0 };

	if (address->sa_family == AF_INET) {
		struct sockaddr_in ipv4;
		memcpy(&ipv4, address, sizeof(ipv4));
		memcpy(ip.bytes, &ipv4.sin_addr, sizeof(ipv4.sin_addr));
		ip.bits = IPV4_BITS;
	} else if (address->sa_family == AF_INET6) {
		struct sockaddr_in6 ipv6;
		memcpy(&ipv6, address, sizeof(ipv6));
		memcpy(ip.bytes, &ipv6.sin6_addr, sizeof(ipv6.sin6_addr));
		ip.bits = IPV6_BITS;
	} else {
		return false;
	}
	*ret_ip = ip;
	return true;
}

void ip_format(const struct ip *ip, char text[static IP_TEXT_SIZE])
{
	int family = ip->bits == IPV4_BITS ? AF_INET : AF_INET6;

	if (!inet_ntop(family, ip->bytes, text, IP_TEXT_SIZE))
		text[0] = '\0';
}

/* --- IPv4 within IPv6 -------------------------------------------------------------- */

/* A way to write IPv4 addresses as IPv6 ones. */
struct form {
	unsigned char prefix[12];
	unsigned char prefix_bytes;
	unsigned char at[4];       /* where the bytes of the IPv4 address are */
	unsigned char zeros_from;  /* from there on all bytes are 0; 0: no matter */
	unsigned char others_from; /* from there on not all bytes are 0; 0: no matter */
	bool inverted;
};

/*
 * Within 64:ff9b:1::/48 each site chooses how long its prefix is, which the address does not
 * tell: every reading that leaves a proper address counts (RFC 6052, section 2.2: what is
 * behind the IPv4 address is zero).
 */
static const struct form forms[] = {
	/* ::ffff:0:0/96, mapped: what connect(2) takes for IPv4 */
	{ .prefix = { [10] = 0xff, [11] = 0xff }, .prefix_bytes = 12, .at = { 12, 13, 14, 15 } },
	/* ::/96, compatible */
	{ .prefix_bytes = 12, .at = { 12, 13, 14, 15 } },
	/* ::ffff:0:0:0/96, translated */
	{ .prefix = { [8] = 0xff, [9] = 0xff }, .prefix_bytes = 12, .at = { 12, 13, 14, 15 } },
	/* 64:ff9b::/96, NAT64 */
	{ .prefix = { 0, 0x64, 0xff, 0x9b }, .prefix_bytes = 12, .at = { 12, 13, 14, 15 } },
	/* 64:ff9b:1::/48, NAT64 with a prefix of 48, 56, 64 and 96 bits */
	{ .prefix = { 0, 0x64, 0xff, 0x9b, 0, 1 }, .prefix_bytes = 6, .at = { 6, 7, 9, 10 },
	  .zeros_from = 11 },
	{ .prefix = { 0, 0x64, 0xff, 0x9b, 0, 1 }, .prefix_bytes = 6, .at = { 7, 9, 10, 11 },
	  .zeros_from = 12 },
	{ .prefix = { 0, 0x64, 0xff, 0x9b, 0, 1 }, .prefix_bytes = 6, .at = { 9, 10, 11, 12 },
	  .zeros_from = 13 },
	{ .prefix = { 0, 0x64, 0xff, 0x9b, 0, 1 }, .prefix_bytes = 6, .at = { 12, 13, 14, 15 },
	  .others_from = 13 },
	/* 2002::/16, 6to4 */
	{ .prefix = { 0x20, 0x02 }, .prefix_bytes = 2, .at = { 2, 3, 4, 5 } },
	/* 2001::/32, Teredo: the server, and the client */
	{ .prefix = { 0x20, 0x01 }, .prefix_bytes = 4, .at = { 4, 5, 6, 7 } },
	{ .prefix = { 0x20, 0x01 }, .prefix_bytes = 4, .at = { 12, 13, 14, 15 }, .inverted = true },
};

static bool are_zero(const struct ip *ip, size_t from)
{
	for (size_t i = from; i < sizeof(ip->bytes); i++)
		if (ip->bytes[i] != 0)
			return false;
	return true;
}

static bool has_form(const struct ip *ip, const struct form *form)
{
	return memcmp(ip->bytes, form->prefix, form->prefix_bytes) == 0 &&
	       (form->zeros_from == 0 || are_zero(ip, form->zeros_from)) &&
	       (form->others_from == 0 || !are_zero(ip, form->others_from));
}

/* Whether the lower half is one of ISATAP's: [02]00:5efe and an IPv4 address. */
static bool is_isatap(const struct ip *ip)
{
	static const unsigned char mark[] = { 0, 0x5e, 0xfe };

	return (ip->bytes[8] == 0 || ip->bytes[8] == 2) &&
	       memcmp(ip->bytes + 9, mark, sizeof(mark)) == 0;
}

/* :: and ::1 mean nothing else (RFC 4291, sections 2.5.2 and 2.5.3). */
static bool is_itself(const struct ip *ip)
{
	return memcmp(ip->bytes, &in6addr_any, sizeof(ip->bytes)) == 0 ||
	       memcmp(ip->bytes, &in6addr_loopback, sizeof(ip->bytes)) == 0;
}

static struct ip take_inner(const struct ip *ip, const struct form *form)
{
	struct ip inner = { .bits = IPV4_BITS };

	for (size_t i = 0; i < ARRAY_LEN(form->at); i++) {
		unsigned char byte = ip->bytes[form->at[i]];
		inner.bytes[i] = form->inverted ? (unsigned char) ~byte : byte;
	}
	return inner;
}

size_t ip_inner(const struct ip *ip, struct ip ret_inner[static IP_MAX_INNER])
{
	static const struct form isatap = { .at = { 12, 13, 14, 15 } };
	size_t n = 0;

	if (ip->bits == IPV4_BITS || is_itself(ip))
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(forms); i++)
		if (has_form(ip, &forms[i]))
			ret_inner[n++] = take_inner(ip, &forms[i]);
	if (is_isatap(ip))
		ret_inner[n++] = take_inner(ip, &isatap);
	return n;
}

/* --- networks ---------------------------------------------------------------------- */

/* Reads the bits of a prefix: decimal, without a sign or zeros in front. */
static bool read_prefix(const char *text, unsigned *ret_prefix)
{
	size_t digits = strspn(text, "0123456789");
	unsigned prefix = 0;

	if (digits == 0 || digits > 3 || text[digits] != '\0' || (*text == '0' && digits > 1))
		return false;
	for (; *text != '\0'; text++)
		prefix = prefix * 10 + (unsigned) (*text - '0');
	*ret_prefix = prefix;
	return true;
}

/* The bits of byte 'i' that belong to the prefix. */
static unsigned char mask(const struct network *network, size_t i)
{
	size_t before = i * 8;
	size_t bits = network->prefix > before ? network->prefix - before : 0;

	if (bits >= 8)
		return 0xff;
	return (unsigned char) (0xff00u >> bits & 0xff);
}

static bool begins_with_prefix(const struct network *network)
{
	for (size_t i = 0; i < network->first.bits / 8; i++)
		if ((network->first.bytes[i] & ~mask(network, i) & 0xff) != 0)
			return false;
	return true;
}

const char *network_parse(const char *text, struct network *ret_network)
{
	char address[IP_TEXT_SIZE];
	struct network network;
	size_t length = strcspn(text, "/");

	if (length >= sizeof(address) || *text == '[')
		return "no IPv4 or IPv6 address";
	memcpy(address, text, length);
	address[length] = '\0';
	if (!ip_parse(address, &network.first))
		return "no IPv4 or IPv6 address";

	network.prefix = network.first.bits;
	if (text[length] == '/' && !read_prefix(text + length + 1, &network.prefix))
		return "there must be a number of bits behind the /";
	if (network.prefix > network.first.bits)
		return network.first.bits == IPV4_BITS ? "an IPv4 prefix has at most 32 bits"
		                                       : "an IPv6 prefix has at most 128 bits";
	if (!begins_with_prefix(&network))
		return "there are bits set behind the prefix";
	*ret_network = network;
	return NULL;
}

bool network_has(const struct network *network, const struct ip *ip)
{
	if (network->first.bits != ip->bits)
		return false;
	for (size_t i = 0; i < ip->bits / 8 && mask(network, i) != 0; i++)
		if (((network->first.bytes[i] ^ ip->bytes[i]) & mask(network, i)) != 0)
			return false;
	return true;
}
