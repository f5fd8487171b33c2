/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/handle.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/sync.h"
#include "fetch/tls.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* A connection is closed after so long, so that a name that has moved is noticed. */
enum { CONNECTION_LIFETIME_S = 600 };

/* --- what libcurl asks for --------------------------------------------------------- */

static short poll_events(int what)
{
	return (short) ((what & CURL_POLL_IN ? POLLIN : 0) | (what & CURL_POLL_OUT ? POLLOUT : 0));
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	struct handle *h = arg;
	nfds_t i = 0;

	(void) easy, (void) socket_arg;
	while (i < h->n_sockets && h->sockets[i].fd != fd)
		i++;

	if (what == CURL_POLL_REMOVE) {
		if (i < h->n_sockets)
			h->sockets[i] = h->sockets[--h->n_sockets];
	} else if (i < HANDLE_MAX_SOCKETS) {
		h->sockets[i] = (struct pollfd) { .fd = fd, .events = poll_events(what) };
		h->n_sockets += i == h->n_sockets;
	} else {
		h->overflow = true;
	}
	return 0;
}

static int on_timer(CURLM *multi, long timeout_ms, void *arg)
{
	struct handle *h = arg;

	(void) multi;
	h->timer_ns = timeout_ms < 0 ? NEVER
	                             : clock_now_ns() + (uint64_t) timeout_ms * NS_PER_MS;
	return 0;
}

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
	h->has_asked = true;
	if (h->is_tls && curl_easy_getinfo(h->easy, CURLINFO_NUM_CONNECTS, &connects) == CURLE_OK &&
	    connects > 0)
		tls_read(h->easy, !h->profile->insecure, &h->tls);
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
static CURLcode set_proxy(struct handle *h)
{
	const struct fetch_profile *p = h->profile;
	CURLcode c = CURLE_OK;

	SET(CURLOPT_PROXY, p->proxy ? p->proxy : "");
	SET(CURLOPT_NOPROXY, p->proxy ? "" : "*");
	if (!p->proxy)
		return c;
	SET(CURLOPT_HTTPPROXYTUNNEL, p->proxy_resolves ? 0L : 1L);
	SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
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

static int configure(struct handle *h, const struct handle_options *options)
{
	CURLcode c = CURLE_OK;
	long connect_ms = (long) (options->connect_timeout_ns / NS_PER_MS);

	SET(CURLOPT_NOSIGNAL, 1L); /* required in a threaded program */
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_USERAGENT, options->user_agent);
	SET(CURLOPT_CONNECTTIMEOUT_MS, connect_ms > 0 ? connect_ms : 1L);
	SET(CURLOPT_MAXLIFETIME_CONN, (long) CONNECTION_LIFETIME_S);
	/* We do the decoding (decode.h). */
	SET(CURLOPT_HTTP_CONTENT_DECODING, 0L);
	if (h->codings)
		SET(CURLOPT_HTTPHEADER, h->codings);
	SET(CURLOPT_ERRORBUFFER, h->error);
	SET(CURLOPT_PREREQFUNCTION, on_request);
	SET(CURLOPT_PREREQDATA, h);
	SET(CURLOPT_HEADERFUNCTION, options->on_header);
	SET(CURLOPT_WRITEFUNCTION, options->on_body);
	SET(CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
	SET(CURLOPT_OPENSOCKETDATA, h);
	if (h->pins)
		SET(CURLOPT_RESOLVE, h->pins);
	c = c ? c : set_authorities(h, options);
	c = c ? c : set_tls(h);
	c = c ? c : set_proxy(h);
	c = c ? c : set_login(h);
	return c == CURLE_OK ? 0 : -ENOMEM; /* every option is known to libcurl >= 7.88 */
}

#undef SET

static int configure_multi(struct handle *h)
{
	CURLMcode m = CURLM_OK;

#define SET(option, value) (m = m ? m : curl_multi_setopt(h->multi, option, value))
	SET(CURLMOPT_SOCKETFUNCTION, on_socket);
	SET(CURLMOPT_SOCKETDATA, h);
	SET(CURLMOPT_TIMERFUNCTION, on_timer);
	SET(CURLMOPT_TIMERDATA, h);
	SET(CURLMOPT_MAXCONNECTS, 1L);
#undef SET
	return m == CURLM_OK ? 0 : -ENOMEM;
}

/* Pins who is connected to to its addresses, so that libcurl never resolves a name itself. */
static int pin(struct handle *h, const struct url_origin *origin, const struct addresses *addresses)
{
	const struct fetch_profile *p = h->profile;
	struct buf entry = { 0 };

	buf_printf(&entry, "%s:%u:", p->proxy ? p->proxy_host : origin->host,
	           p->proxy ? p->proxy_port : origin->port);
	for (size_t i = 0; i < addresses->n; i++)
		buf_printf(&entry, strchr(addresses->text[i], ':') ? "%s[%s]" : "%s%s",
		           i > 0 ? "," : "", addresses->text[i]);
	buf_add_char(&entry, '\0');

	if (!entry.failed)
		h->pins = curl_slist_append(NULL, entry.data);
	buf_done(&entry);
	return h->pins ? 0 : -ENOMEM;
}

int handle_create(const struct handle_options *options, struct fetch_rules *rules,
                  const struct url_origin *origin, const struct addresses *addresses,
                  struct handle **ret_handle)
{
	struct handle *h = calloc(1, sizeof(*h));
	if (!h)
		return -ENOMEM;

	h->timer_ns = NEVER;
	h->quiet_socket = CURL_SOCKET_BAD;
	h->rules = fetch_rules_ref(rules);
	h->profile = fetch_rules_profile(rules, origin->text);
	h->is_tls = origin->tls;
	h->origin = strdup(origin->text);
	h->easy = curl_easy_init();
	h->multi = curl_multi_init();
	if (!h->origin || !h->easy || !h->multi)
		goto fail;
	if (addresses && pin(h, origin, addresses) < 0)
		goto fail;
	if (fetch_rules_accept(rules) &&
	    !(h->codings = curl_slist_append(NULL, fetch_rules_accept(rules))))
		goto fail;
	if (configure(h, options) < 0 || configure_multi(h) < 0)
		goto fail;

	*ret_handle = h;
	return 0;

fail:
	handle_free(h);
	return -ENOMEM;
}

int handle_tunnel_to(struct handle *h, const char *address)
{
	bool is_v6 = strchr(address, ':');
	char entry[sizeof("::[]:") + RESOLVER_ADDRESS_SIZE];

	/* Whatever the host and port, in the place of this host and of the same port. */
	(void) snprintf(entry, sizeof(entry), is_v6 ? "::[%s]:" : "::%s:", address);
	h->tunnel = curl_slist_append(NULL, entry);
	if (!h->tunnel || curl_easy_setopt(h->easy, CURLOPT_CONNECT_TO, h->tunnel) != CURLE_OK)
		return -ENOMEM;
	(void) snprintf(h->tunnel_ip, sizeof(h->tunnel_ip), "%s", address);
	return 0;
}

struct handle *handle_free(struct handle *h)
{
	if (!h)
		return NULL;

	curl_easy_cleanup(h->easy);
	curl_multi_cleanup(h->multi);
	curl_slist_free_all(h->pins);
	curl_slist_free_all(h->codings);
	curl_slist_free_all(h->tunnel);
	curl_slist_free_all(h->headers);
	fetch_rules_unref(h->rules);
	free(h->origin);
	free(h);
	return NULL;
}

int handle_reset(struct handle *h, const struct handle_options *options)
{
	if (options->serves_once) {
		CURL *fresh = curl_easy_init();
		if (!fresh)
			return -ENOMEM;
		curl_easy_cleanup(h->easy);
		h->easy = fresh;
	} else {
		curl_easy_reset(h->easy);
	}
	curl_slist_free_all(h->headers);
	h->headers = NULL;
	h->modified = false;
	return configure(h, options);
}

/* --- performing -------------------------------------------------------------------- */

/* Whether the transfer has ended; then stores its result. */
static bool is_done(struct handle *h, CURLcode *ret_code)
{
	int left = 0;
	const CURLMsg *message = curl_multi_info_read(h->multi, &left);

	if (!message || message->msg != CURLMSG_DONE)
		return false;
	*ret_code = message->data.result;
	return true;
}

static bool timer_is_due(const struct handle *h)
{
	return h->timer_ns != NEVER && h->timer_ns <= clock_now_ns();
}

/* Waits for a socket, libcurl's timer, the deadline or the cancellation, and
 * copies the sockets that are ready, because handling one can change the set. */
static int wait_ready(struct handle *h, const struct handle_limits *limits, struct pollfd *ready,
                      nfds_t *ret_n)
{
	struct pollfd set[HANDLE_MAX_SOCKETS + 1];
	uint64_t until_ns = h->timer_ns < limits->deadline_ns ? h->timer_ns : limits->deadline_ns;

	memcpy(set, h->sockets, h->n_sockets * sizeof(set[0]));
	set[h->n_sockets] = (struct pollfd) { .fd = limits->cancel_fd, .events = POLLIN };

	until_ns = h->speed.next_ns < until_ns ? h->speed.next_ns : until_ns;
	int n = poll(set, h->n_sockets + 1, clock_poll_ms(until_ns));
	*ret_n = 0;
	if (n > 0 && set[h->n_sockets].revents != 0)
		return -ECANCELED;
	if (limits->deadline_ns <= clock_now_ns())
		return -ETIMEDOUT; /* also if a peer keeps its socket ready all the time */
	if (n <= 0)
		return 0;

	for (nfds_t i = 0; i < h->n_sockets; i++)
		if (set[i].revents != 0)
			ready[(*ret_n)++] = set[i];
	return 0;
}

static int select_events(short revents)
{
	return (revents & POLLIN ? CURL_CSELECT_IN : 0) |
	       (revents & POLLOUT ? CURL_CSELECT_OUT : 0) |
	       (revents & (POLLERR | POLLHUP | POLLNVAL) ? CURL_CSELECT_ERR : 0);
}

/* Lets libcurl act on its timer and on the ready sockets. */
static void act(struct handle *h, const struct pollfd *ready, nfds_t n)
{
	int running = 0;

	for (nfds_t i = 0; i < n; i++)
		(void) curl_multi_socket_action(h->multi, ready[i].fd,
		                                select_events(ready[i].revents), &running);
	if (timer_is_due(h)) {
		h->timer_ns = NEVER; /* one-shot: libcurl sets it anew inside the call */
		(void) curl_multi_socket_action(h->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	}
}

/* libcurl knows the socket only as long as the handle is in the multi handle. */
static void keep_socket(struct handle *h)
{
	long version = 0;

	h->quiet_socket = CURL_SOCKET_BAD;
	(void) curl_easy_getinfo(h->easy, CURLINFO_HTTP_VERSION, &version);
	if (version == CURL_HTTP_VERSION_1_0 || version == CURL_HTTP_VERSION_1_1)
		(void) curl_easy_getinfo(h->easy, CURLINFO_ACTIVESOCKET, &h->quiet_socket);
}

bool handle_is_quiet(const struct handle *h)
{
	struct pollfd set = { .fd = h->quiet_socket, .events = POLLIN };

	return poll(&set, 1, 0) == 0; /* which also holds for a negative descriptor */
}

/* Whether it is time to look, and too few bytes have gone and come. */
static bool is_too_slow(struct handle *h, const struct handle_limits *limits)
{
	curl_off_t connected = 0, down = 0, up = 0;
	long headers = 0;

	uint64_t now_ns = h->speed.next_ns == NEVER ? 0 : clock_now_ns();
	if (now_ns < h->speed.next_ns)
		return false;
	(void) curl_easy_getinfo(h->easy, CURLINFO_PRETRANSFER_TIME_T, &connected);
	if (connected == 0) {
		speed_start(&h->speed, limits->least_speed, limits->speed_span_ns, now_ns);
		return false;
	}
	(void) curl_easy_getinfo(h->easy, CURLINFO_SIZE_DOWNLOAD_T, &down);
	(void) curl_easy_getinfo(h->easy, CURLINFO_SIZE_UPLOAD_T, &up);
	(void) curl_easy_getinfo(h->easy, CURLINFO_HEADER_SIZE, &headers);
	return speed_is_low(&h->speed, (uint64_t) (down + up + headers), now_ns);
}

int handle_perform(struct handle *h, void *arg, const struct handle_limits *limits,
                   CURLcode *ret_code)
{
	struct pollfd ready[HANDLE_MAX_SOCKETS];
	nfds_t n_ready = 0;
	int r = 0;

	h->error[0] = '\0';
	h->refusal.entry = NULL;
	h->overflow = false;
	h->has_asked = false;
	speed_start(&h->speed, limits->least_speed, limits->speed_span_ns,
	            limits->least_speed > 0 ? clock_now_ns() : 0);
	if (curl_easy_setopt(h->easy, CURLOPT_HEADERDATA, arg) != CURLE_OK ||
	    curl_easy_setopt(h->easy, CURLOPT_WRITEDATA, arg) != CURLE_OK ||
	    curl_multi_add_handle(h->multi, h->easy) != CURLM_OK) {
		*ret_code = CURLE_OUT_OF_MEMORY;
		return 0;
	}

	act(h, NULL, 0);
	while (r == 0 && !is_done(h, ret_code)) {
		if (h->overflow) {
			*ret_code = CURLE_BAD_FUNCTION_ARGUMENT;
			break;
		}
		r = is_too_slow(h, limits) ? -ETIME : wait_ready(h, limits, ready, &n_ready);
		if (r == 0)
			act(h, ready, n_ready);
	}
	keep_socket(h);
	(void) curl_multi_remove_handle(h->multi, h->easy);
	h->timer_ns = NEVER;
	return r;
}
