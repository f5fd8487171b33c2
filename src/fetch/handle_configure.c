/* SPDX-License-Identifier: Apache-2.0 */
/* What libcurl is told of a handle, anew after each reset, and what it then asks. */
#include "fetch/handle.h"

#include "base/clock.h"
#include "fetch/tls.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* A connection is closed after so long, so that a name that has moved is noticed. */
enum { CONNECTION_LIFETIME_S = 600 };

/* --- what libcurl asks ------------------------------------------------------------- */

/* Called with the address that is connected to next, wherever libcurl has it from.  A proxy was
 * chosen by who has chosen the rules, so they do not hold for it. */
static curl_socket_t on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct handle *h = arg;
	struct ip ip;

	(void) purpose; /* there is only one, for IP */
	if (!h->profile->proxy &&
	    (!ip_of_sockaddr(&address->addr, &ip) ||
	     guard_check(fetch_rules_guard(h->rules), &ip, &h->refusal) < 0))
		return CURL_SOCKET_BAD;
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* Of what a proxy sends in place of a tunnel, libcurl 7.88 reads byte for byte to its end without a
 * return to us, but asks this for each.  A CURLOPT_XFERINFOFUNCTION(3). */
static int on_progress(void *arg, curl_off_t down_all, curl_off_t down, curl_off_t up_all,
                       curl_off_t up)
{
	const struct handle *h = arg;

	(void) down_all, (void) down, (void) up_all, (void) up;
	return h->limits->deadline_ns <= clock_now_ns() || handle_is_cancelled(h);
}

/* A request is about to go out, perhaps not for the first time: libcurl repeats one that has got
 * no answer on a kept connection, whatever its method (RFC 9110, section 9.2.2, forbids it).  A
 * CURLOPT_PREREQFUNCTION(3). */
static int on_request(void *arg, char *remote, char *local, int remote_port, int local_port)
{
	struct handle *h = arg;
	long connects = 0;

	(void) remote, (void) local, (void) remote_port, (void) local_port;
	if (h->has_asked && h->once)
		return CURL_PREREQFUNC_ABORT;
	if (h->has_asked) /* libcurl counts repetitions until it is reset, and gives up at the sixth */
		h->needs_reset = true;
	h->has_asked = h->in_head = true;
	if (h->is_tls && curl_easy_getinfo(h->easy, CURLINFO_NUM_CONNECTS, &connects) == CURLE_OK &&
	    connects > 0)
		h->ssl = tls_read(h->easy, !h->profile->insecure, &h->tls);
	return CURL_PREREQFUNC_OK;
}

/* --- setting up -------------------------------------------------------------------- */

#define SET(option, value) (c = c ? c : curl_easy_setopt(h->easy, option, value))

/* CURLOPT_SSL_CTX_FUNCTION(3): of the origin, and of a proxy. */
static CURLcode on_tls(CURL *easy, void *context, void *arg)
{
	const struct fetch_profile *p = arg;

	(void) easy;
	SSL_CTX_set1_cert_store(context, p->authorities);
	return CURLE_OK;
}

static CURLcode set_authorities(struct handle *h, const struct handle_options *options)
{
	const char *path = h->profile->authorities ? NULL : options->ca_path;
	CURLcode c = CURLE_OK;

	if (path || h->profile->authorities) {
		SET(CURLOPT_CAINFO, NULL);
		SET(CURLOPT_CAPATH, path);
		SET(CURLOPT_PROXY_CAINFO, NULL);
		SET(CURLOPT_PROXY_CAPATH, path);
	}
	if (h->profile->authorities) {
		SET(CURLOPT_SSL_CTX_FUNCTION, on_tls);
		SET(CURLOPT_SSL_CTX_DATA, h->profile);
	}
	return c;
}

/* Text that libcurl is to read where it is. */
static struct curl_blob blob(const char *text)
{
	return (struct curl_blob) {
		.data = (char *) (uintptr_t) text,
		.len = strlen(text),
		.flags = CURL_BLOB_NOCOPY,
	};
}

static CURLcode set_tls(struct handle *h)
{
	static const long versions[] = {
		[FETCH_TLS_1_0] = CURL_SSLVERSION_TLSv1_0,
		[FETCH_TLS_1_1] = CURL_SSLVERSION_TLSv1_1,
		[FETCH_TLS_1_2] = CURL_SSLVERSION_TLSv1_2,
		[FETCH_TLS_1_3] = CURL_SSLVERSION_TLSv1_3,
	};
	const struct fetch_profile *p = h->profile;
	CURLcode c = CURLE_OK;

	SET(CURLOPT_SSLVERSION, versions[p->tls_min]);
	SET(CURLOPT_PROXY_SSLVERSION, versions[p->tls_min]);
	if (p->insecure) {
		SET(CURLOPT_SSL_VERIFYPEER, 0L);
		SET(CURLOPT_SSL_VERIFYHOST, 0L);
	}
	if (p->client_cert) {
		struct curl_blob cert = blob(p->client_cert), key = blob(p->client_key);
		SET(CURLOPT_SSLCERT_BLOB, &cert);
		SET(CURLOPT_SSLKEY_BLOB, &key);
	}
	return c;
}

/* libcurl decodes what it is given for a proxy: CURLOPT_PROXYUSERPWD(3). */
static CURLcode set_proxy_login(struct handle *h)
{
	const char *login = h->profile->proxy_login;
	size_t n = 0;
	CURLcode c = CURLE_OK;

	char *encoded = malloc(3 * strlen(login) + 1);
	if (!encoded)
		return CURLE_OUT_OF_MEMORY;
	for (const char *at = login; *at != '\0'; at++) {
		encoded[n++] = *at;
		if (*at == '%') {
			encoded[n++] = '2';
			encoded[n++] = '5';
		}
	}
	encoded[n] = '\0';
	SET(CURLOPT_PROXYUSERPWD, encoded);
	explicit_bzero(encoded, n);
	free(encoded);
	return c;
}

/* Never one from the environment.  Whatever goes through a proxy goes through a tunnel; only one
 * that finds addresses itself may read and relay what is in the clear. */
static CURLcode set_proxy(struct handle *h, const struct handle_options *options)
{
	const struct fetch_profile *p = h->profile;
	CURLcode c = CURLE_OK;

	SET(CURLOPT_PROXY, p->proxy ? p->proxy : "");
	SET(CURLOPT_NOPROXY, p->proxy ? "" : "*");
	if (!p->proxy)
		return c;
	SET(CURLOPT_HTTPPROXYTUNNEL, p->proxy_resolves ? 0L : 1L);
	SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	SET(CURLOPT_USERAGENT, options->user_agent); /* when a tunnel is asked for */
	SET(CURLOPT_NOPROGRESS, 0L);
	SET(CURLOPT_XFERINFOFUNCTION, on_progress);
	SET(CURLOPT_XFERINFODATA, h);
	if (h->tunnel)
		SET(CURLOPT_CONNECT_TO, h->tunnel);
	return c == CURLE_OK && p->proxy_login ? set_proxy_login(h) : c;
}

static CURLcode set_login(struct handle *h)
{
	const struct fetch_profile *p = h->profile;
	CURLcode c = CURLE_OK;

	if (p->login)
		SET(CURLOPT_USERPWD, p->login);
	if (p->bearer) {
		SET(CURLOPT_HTTPAUTH, CURLAUTH_BEARER);
		SET(CURLOPT_XOAUTH2_BEARER, p->bearer);
	}
	return c;
}

int handle_configure(struct handle *h, const struct handle_options *options)
{
	CURLcode c = CURLE_OK;
	/* libcurl may take a time that is a part of a millisecond less for this one. */
	long connect_ms = (long) (options->connect_timeout_ns / NS_PER_MS) + 1;

	SET(CURLOPT_NOSIGNAL, 1L); /* required in a threaded program */
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_CONNECTTIMEOUT_MS, connect_ms);
	SET(CURLOPT_MAXLIFETIME_CONN, (long) CONNECTION_LIFETIME_S);
	/* There is one host, whose addresses are pinned, or an address: nothing grows old, and
	 * 500 instructions a request go into looking for what does. */
	SET(CURLOPT_DNS_CACHE_TIMEOUT, -1L);
	/* We do the decoding (decode.h). */
	SET(CURLOPT_HTTP_CONTENT_DECODING, 0L);
	if (h->usual)
		SET(CURLOPT_HTTPHEADER, h->usual);
	SET(CURLOPT_ERRORBUFFER, h->error);
	SET(CURLOPT_PREREQFUNCTION, on_request);
	SET(CURLOPT_PREREQDATA, h);
	SET(CURLOPT_HEADERFUNCTION, options->on_header);
	SET(CURLOPT_WRITEFUNCTION, options->on_body);
	SET(CURLOPT_HEADER, options->previews_heads ? 1L : 0L);
	SET(CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
	SET(CURLOPT_OPENSOCKETDATA, h);
	if (h->pins)
		SET(CURLOPT_RESOLVE, h->pins);
	c = c ? c : set_authorities(h, options);
	c = c ? c : set_tls(h);
	c = c ? c : set_proxy(h, options);
	c = c ? c : set_login(h);
	return c == CURLE_OK ? 0 : -ENOMEM; /* every option is known to libcurl >= 7.88 */
}
