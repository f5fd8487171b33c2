/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/handle.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/sync.h"
#include "base/thread.h"
#include "fetch/tls.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* After this a transfer is a slow one. */
#define LONG_WAIT_NS NS_PER_S

/* --- setting up -------------------------------------------------------------------- */

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

/* Lists what a request says of itself where its job does not. */
static int list_usual(struct handle *h, const char *user_agent)
{
	const char *accept = fetch_rules_accept(h->rules);
	struct curl_slist *last = NULL;
	struct buf line = { 0 };

	if (user_agent && *user_agent != '\0') {
		buf_printf(&line, "User-Agent: %s", user_agent);
		buf_add_char(&line, '\0');
		last = line.failed ? NULL : curl_slist_append(NULL, line.data);
		buf_done(&line);
		if (!last)
			return -ENOMEM;
		h->usual = last;
	}
	if (accept && !(last = curl_slist_append(h->usual, accept)))
		return -ENOMEM;
	h->usual = last;
	return 0;
}

int handle_create(const struct handle_options *options, struct fetch_rules *rules,
                  const struct url_origin *origin, const struct addresses *addresses,
                  struct handle **ret_handle)
{
	struct handle *h = calloc(1, sizeof(*h));
	if (!h)
		return -ENOMEM;

	h->quiet_socket = CURL_SOCKET_BAD;
	h->rules = fetch_rules_ref(rules);
	h->profile = fetch_rules_profile(rules, origin->text);
	h->is_tls = origin->tls;
	h->origin = strdup(origin->text);
	h->easy = curl_easy_init();
	h->multi = curl_multi_init();
	if (!h->origin || !h->easy || !h->multi || target_init(&h->target, origin->text) < 0)
		goto fail;
	if (addresses && pin(h, origin, addresses) < 0)
		goto fail;
	if (list_usual(h, options->user_agent) < 0)
		goto fail;
	if (handle_configure(h, options) < 0 ||
	    curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, 1L) != CURLM_OK)
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
	target_done(&h->target);
	curl_slist_free_all(h->pins);
	curl_slist_free_all(h->usual);
	curl_slist_free_all(h->tunnel);
	curl_slist_free_all(h->headers);
	fetch_rules_unref(h->rules);
	free(h->origin);
	free(h);
	return NULL;
}

int handle_reset(struct handle *h, const struct handle_options *options, bool anew)
{
	CURL *fresh = anew ? curl_easy_init() : NULL;

	if (anew && !fresh)
		return -ENOMEM;
	if (anew) {
		curl_easy_cleanup(h->easy);
		target_forget(&h->target);
		h->easy = fresh;
	} else {
		curl_easy_reset(h->easy);
	}
	curl_slist_free_all(h->headers);
	h->headers = NULL;
	h->needs_reset = false;
	return handle_configure(h, options);
}

/* --- performing -------------------------------------------------------------------- */

bool handle_is_cancelled(const struct handle *h)
{
	struct pollfd set = { .fd = h->limits->cancel_fd, .events = POLLIN };

	return poll(&set, 1, 0) > 0;
}

/* Lets libcurl do what it can without waiting.  Returns whether the transfer has ended; then
 * stores its result. */
static bool act(struct handle *h, CURLcode *ret_code)
{
	int running = 0, left = 0;

	if (curl_multi_perform(h->multi, &running) != CURLM_OK) {
		*ret_code = CURLE_OUT_OF_MEMORY;
		return true;
	}
	const CURLMsg *message = curl_multi_info_read(h->multi, &left);
	if (!message || message->msg != CURLMSG_DONE)
		return false;
	*ret_code = message->data.result;
	return true;
}

static uint64_t earlier(uint64_t a, uint64_t b) { return a < b ? a : b; }

/* Waits for a socket, libcurl's timer, the deadline or the cancellation.  Thousands of workers
 * may wait for slow servers: after the first second each does so with 8 KiB of stack less. */
static int wait_ready(struct handle *h, const struct handle_limits *limits)
{
	struct curl_waitfd cancel = { .fd = limits->cancel_fd, .events = CURL_WAIT_POLLIN };
	uint64_t until_ns = earlier(earlier(h->speed.next_ns, h->trim_ns), limits->deadline_ns);

	int ms = clock_poll_ms(until_ns);
	/* Like poll(2), it fails only for lack of memory, which passes. */
	(void) curl_multi_wait(h->multi, &cancel, 1, ms < 0 ? INT_MAX : ms, NULL);
	if (cancel.revents != 0)
		return -ECANCELED;
	uint64_t now_ns = clock_now_ns();
	if (limits->deadline_ns <= now_ns)
		return -ETIMEDOUT; /* also if a peer keeps its socket ready all the time */
	if (h->trim_ns <= now_ns) {
		thread_trim_stack();
		h->trim_ns = NEVER;
	}
	return 0;
}

/* libcurl knows the socket only as long as the handle is in the multi handle. */
static void keep_socket(struct handle *h, bool answered)
{
	long version = 0;

	h->quiet_socket = CURL_SOCKET_BAD;
	(void) curl_easy_getinfo(h->easy, CURLINFO_HTTP_VERSION, &version);
	if (version == CURL_HTTP_VERSION_1_0 || version == CURL_HTTP_VERSION_1_1)
		(void) curl_easy_getinfo(h->easy, CURLINFO_ACTIVESOCKET, &h->quiet_socket);
	/* The connection that has answered is the one that was asked last, if it still lives. */
	h->has_unread = answered && h->ssl && h->quiet_socket != CURL_SOCKET_BAD &&
	                tls_has_unread(h->ssl);
}

bool handle_is_quiet(const struct handle *h)
{
	struct pollfd set = { .fd = h->quiet_socket, .events = POLLIN };

	return !h->has_unread && poll(&set, 1, 0) == 0; /* which also holds for a negative descriptor */
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

/* Whether libcurl was stopped, which it complains of, because of a limit; returns as
 * handle_perform() does. */
static int why_aborted(struct handle *h)
{
	int r = handle_is_cancelled(h)                        ? -ECANCELED
	        : h->limits->deadline_ns <= clock_now_ns() ? -ETIMEDOUT
	                                                   : 0;

	if (r < 0)
		h->error[0] = '\0';
	return r;
}

int handle_perform(struct handle *h, void *arg, const struct handle_limits *limits,
                   CURLcode *ret_code)
{
	uint64_t now_ns = clock_now_ns();
	int r = 0;

	h->error[0] = '\0';
	h->refusal.entry = NULL;
	h->has_asked = false;
	h->limits = limits;
	h->trim_ns = clock_after(now_ns, LONG_WAIT_NS);
	speed_start(&h->speed, limits->least_speed, limits->speed_span_ns, now_ns);
	if (curl_easy_setopt(h->easy, CURLOPT_HEADERDATA, arg) != CURLE_OK ||
	    curl_easy_setopt(h->easy, CURLOPT_WRITEDATA, arg) != CURLE_OK ||
	    curl_multi_add_handle(h->multi, h->easy) != CURLM_OK) {
		*ret_code = CURLE_OUT_OF_MEMORY;
		return 0;
	}

	while (r == 0 && !act(h, ret_code))
		r = is_too_slow(h, limits) ? -ETIME : wait_ready(h, limits);
	if (r == 0 && *ret_code == CURLE_ABORTED_BY_CALLBACK)
		r = why_aborted(h);
	bool answered = r == 0 && *ret_code == CURLE_OK;
	if (answered)
		h->error[0] = '\0'; /* of a kept connection that had ended, before another one */
	keep_socket(h, answered);
	(void) curl_multi_remove_handle(h->multi, h->easy);
	return r;
}
