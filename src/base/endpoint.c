/* SPDX-License-Identifier: Apache-2.0 */
#include "base/endpoint.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static bool read_port(const char *text, in_port_t *ret_port)
{
	unsigned port = 0;
	size_t len = strspn(text, "0123456789");

	if (len == 0 || len > 5 || text[len] != '\0')
		return false;
	for (; *text != '\0'; text++)
		port = 10 * port + (unsigned) (*text - '0');
	*ret_port = htons((in_port_t) port);
	return port <= UINT16_MAX;
}

bool endpoint_parse(const char *text, struct endpoint *ret_endpoint)
{
	struct endpoint e = { 0 };
	struct sockaddr_in *v4 = (struct sockaddr_in *) &e.address;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *) &e.address;
	const char *colon = strrchr(text, ':');
	bool has_brackets = *text == '[' && colon && colon > text && colon[-1] == ']';
	char host[INET6_ADDRSTRLEN];
	bool ok = false;

	size_t len = colon ? (size_t) (colon - text) : 0;
	if (has_brackets)
		text++, len -= 2;
	if (len == 0 || len >= sizeof(host))
		return false;
	memcpy(host, text, len);
	host[len] = '\0';

	if (has_brackets) {
		v6->sin6_family = AF_INET6;
		e.size = sizeof(*v6);
		ok = inet_pton(AF_INET6, host, &v6->sin6_addr) == 1 &&
		     read_port(colon + 1, &v6->sin6_port);
	} else {
		v4->sin_family = AF_INET;
		e.size = sizeof(*v4);
		ok = inet_pton(AF_INET, host, &v4->sin_addr) == 1 &&
		     read_port(colon + 1, &v4->sin_port);
	}
	if (ok)
		*ret_endpoint = e;
	return ok;
}

void endpoint_format(const struct endpoint *e, char text[static ENDPOINT_TEXT_SIZE])
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *) &e->address;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *) &e->address;
	bool is_v6 = e->address.ss_family == AF_INET6;
	char host[INET6_ADDRSTRLEN] = "?";

	(void) inet_ntop(e->address.ss_family, is_v6 ? (const void *) &v6->sin6_addr : &v4->sin_addr,
	                 host, sizeof(host));
	(void) snprintf(text, ENDPOINT_TEXT_SIZE, is_v6 ? "[%s]:%u" : "%s:%u", host,
	                ntohs(is_v6 ? v6->sin6_port : v4->sin_port));
}
