/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/fetch.h"

#include "base/clock.h"
#include "base/event.h"
#include "fetch/handle.h"
#include "fetch/hop.h"
#include "fetch/pool.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct fetcher {
	struct handle_options handle_options;
	unsigned max_redirects;
	uint64_t max_body_bytes;
	struct resolver *resolver;
	struct pool *pool;
	int cancel_fd; /* an eventfd; readable for ever once fetcher_cancel() was called */
};

/* A fetch in progress, over all its hops. */
struct transfer {
	struct fetcher *f;
	const struct fetch_request *req;
	struct hop hop;
	struct response *response;
	uint64_t start_ns;
	uint64_t deadline_ns;
	uint64_t spent_us;     /* before start_ns, by what 'req' goes on from */
	uint64_t hop_start_us; /* as elapsed_us() */
	bool has_asked;        /* some hop has got as far as a request */
	bool body_too_big;

	/* The target of the last redirect, which 'hop' points into. */
	struct url_parser *parser; /* of its origin; NULL on the first hop */
	struct buf url;
};

/* Since the attempt began. */
static uint64_t elapsed_us(const struct transfer *t)
{
	return t->spent_us + (clock_now_ns() - t->start_ns) / NS_PER_US;
}

/* --- failures ---------------------------------------------------------------------- */

PRINTF_LIKE(4, 5)
static int fail(struct transfer *t, int r, CURLcode code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void) vsnprintf(t->response->reason, sizeof(t->response->reason), format, args);
	va_end(args);
	t->response->curl_code = (int) code;
	return r;
}

static int fail_memory(struct transfer *t)
{
	return fail(t, -ENOMEM, CURLE_OUT_OF_MEMORY, "out of memory");
}

/* The time was up before the redirect's target could be asked. */
static int fail_redirected(struct transfer *t)
{
	return fail(t, -ETIMEDOUT, CURLE_OPERATION_TIMEDOUT, "timeout: redirected");
}

/* What the fetch was doing when its time was up; 'h' is its handle. */
static const char *phase(const struct transfer *t, const struct handle *h)
{
	curl_off_t ready = 0, answered = 0;

	/* libcurl 7.88 tells the connecting time only after the TLS handshake, but the
	 * peer's address as soon as it has accepted. */
	(void) curl_easy_getinfo(h->easy, CURLINFO_PRETRANSFER_TIME_T, &ready);
	(void) curl_easy_getinfo(h->easy, CURLINFO_STARTTRANSFER_TIME_T, &answered);
	if (ready == 0)
		return *t->response->remote_ip == '\0' ? "connecting" : "tls handshake";
	if (answered == 0)
		return "waiting for the response";
	return t->response->body_bytes == 0 ? "reading the headers" : "reading the body";
}

/* libcurl says CURLE_RECV_ERROR of broken chunks and of too large headers, too,
 * but then the system knows of no error.  A TLS connection can be lost without one. */
static bool is_malformed(const struct transfer *t, const struct handle *h, CURLcode code)
{
	long os_errno = 0;

	(void) curl_easy_getinfo(h->easy, CURLINFO_OS_ERRNO, &os_errno);
	return code == CURLE_RECV_ERROR && os_errno == 0 && !t->hop.origin.tls;
}

/* libcurl's verdict as ours (libcurl-errors(3)). */
static int fail_curl(struct transfer *t, const struct handle *h, CURLcode code)
{
	static const struct {
		CURLcode code;
		int err;
		const char *reason;
	} known[] = {
		{ CURLE_URL_MALFORMAT, EINVAL, "bad url" },
		{ CURLE_BAD_FUNCTION_ARGUMENT, EINVAL, "bad request" },
		{ CURLE_OUT_OF_MEMORY, ENOMEM, "out of memory" },
		{ CURLE_COULDNT_CONNECT, ECONNREFUSED, "connect failed" },
		{ CURLE_PEER_FAILED_VERIFICATION, EKEYREJECTED, "tls: certificate not trusted" },
		{ CURLE_SSL_CONNECT_ERROR, ECONNRESET, "tls: handshake failed" },
		{ CURLE_SEND_ERROR, ECONNRESET, "connection lost" },
		{ CURLE_RECV_ERROR, ECONNRESET, "connection lost" },
		{ CURLE_GOT_NOTHING, ECONNRESET, "connection closed without an answer" },
		{ CURLE_PARTIAL_FILE, ECONNRESET, "connection closed within the body" },
		{ CURLE_UNSUPPORTED_PROTOCOL, EPROTO, "bad response: not http" },
		{ CURLE_WEIRD_SERVER_REPLY, EPROTO, "bad response" },
		{ CURLE_HTTP2, EPROTO, "bad response: http/2" },
		{ CURLE_HTTP2_STREAM, EPROTO, "bad response: http/2 stream" },
	};

	if (code == CURLE_OPERATION_TIMEDOUT)
		return fail(t, -ETIMEDOUT, code, "timeout: %s", phase(t, h));
	if (t->body_too_big) {
		buf_clear(&t->response->error); /* libcurl complains of our own callback */
		return fail(t, -EFBIG, CURLE_FILESIZE_EXCEEDED,
		            "body larger than %llu bytes",
		            (unsigned long long) t->f->max_body_bytes);
	}
	if (is_malformed(t, h, code))
		return fail(t, -EPROTO, code, "bad response");
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (known[i].code == code)
			return fail(t, -known[i].err, code, "%s", known[i].reason);
	return fail(t, -EIO, code, "%s", curl_easy_strerror(code));
}

static int fail_lookup(struct transfer *t, int r, const char *why)
{
	/* -EBUSY says that nothing was attempted, which holds for the call's first hop only. */
	if (r == -EBUSY && t->has_asked)
		r = -EIO;
	if (r == -ETIMEDOUT)
		return fail(t, r, CURLE_OPERATION_TIMEDOUT, "timeout: resolving (%s)", why);
	return fail(t, r, CURLE_COULDNT_RESOLVE_HOST, "name: %s", why);
}

/* --- handles ----------------------------------------------------------------------- */

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
	struct transfer *t = arg;
	size_t n = size * count; /* 'size' is always 1: CURLOPT_WRITEFUNCTION(3) */

	(void) data;
	t->body_too_big = n > t->f->max_body_bytes - t->response->body_bytes;
	if (t->body_too_big)
		return CURL_WRITEFUNC_ERROR;
	t->response->body_bytes += n;
	return n;
}

static bool is_address(const char *host)
{
	struct in_addr v4;
	return *host == '[' || inet_pton(AF_INET, host, &v4) == 1;
}

/* Takes an idle handle whose connection is good and still goes to one of
 * 'addresses', or makes a new one. */
static int lend(struct transfer *t, const struct addresses *addresses, struct handle **ret_handle)
{
	struct fetcher *f = t->f;
	struct handle *h;

	while ((h = pool_take(f->pool, t->hop.origin.text))) {
		if (handle_is_quiet(h) &&
		    (!addresses || addresses_include(addresses, h->remote_ip))) {
			*ret_handle = h;
			return 0;
		}
		handle_free(h);
	}
	return handle_create(&f->handle_options, &t->hop.origin, addresses, ret_handle);
}

/* Finds the addresses of the hop's host and a handle that connects to them. */
static int get_handle(struct transfer *t, struct handle **ret_handle)
{
	struct addresses *addresses = NULL;
	const char *why = NULL;

	if (!is_address(t->hop.origin.host)) {
		int r = resolver_lookup(t->f->resolver, t->hop.origin.host, t->deadline_ns,
		                        &addresses, &why);
		if (r < 0)
			return fail_lookup(t, r, why);
		t->response->namelookup_us = elapsed_us(t);
	}

	int r = lend(t, addresses, ret_handle);
	addresses_unref(addresses);
	return r < 0 ? fail_memory(t) : 0;
}

/* A handle goes back to the pool unless its connection is of no more use. */
static void return_handle(struct transfer *t, struct handle *h, bool healthy)
{
	struct fetcher *f = t->f;

	if (!healthy || *h->remote_ip == '\0' ||
	    (h->modified && handle_reset(h, &f->handle_options) < 0)) {
		handle_free(h);
		return;
	}
	pool_give(f->pool, h);
}

/* --- the response ------------------------------------------------------------------ */

static uint64_t since_start(const struct transfer *t, const struct handle *h, CURLINFO info)
{
	curl_off_t us = 0;

	(void) curl_easy_getinfo(h->easy, info, &us);
	return us > 0 ? t->hop_start_us + (uint64_t) us : 0;
}

static void keep_str(struct buf *b, const struct handle *h, CURLINFO info)
{
	char *text = NULL;

	buf_clear(b);
	if (curl_easy_getinfo(h->easy, info, &text) == CURLE_OK && text)
		buf_add_str(b, text);
}

static long http_version(const struct handle *h)
{
	long version = 0;

	(void) curl_easy_getinfo(h->easy, CURLINFO_HTTP_VERSION, &version);
	return version == CURL_HTTP_VERSION_1_0   ? 10
	       : version == CURL_HTTP_VERSION_1_1 ? 11
	       : version == CURL_HTTP_VERSION_2_0 ? 20
	       : version == CURL_HTTP_VERSION_3   ? 30
	                                          : 0;
}

/* Copies what is known of the hop's exchange, whole or not. */
static void collect(struct transfer *t, struct handle *h)
{
	struct response *response = t->response;
	char *ip = NULL;
	curl_off_t retry_after = 0;

	(void) curl_easy_getinfo(h->easy, CURLINFO_RESPONSE_CODE, &response->status);
	(void) curl_easy_getinfo(h->easy, CURLINFO_RETRY_AFTER, &retry_after);
	(void) curl_easy_getinfo(h->easy, CURLINFO_PRIMARY_IP, &ip);
	(void) snprintf(response->remote_ip, sizeof(response->remote_ip), "%s", ip ? ip : "");
	memcpy(h->remote_ip, response->remote_ip, sizeof(h->remote_ip));

	/* libcurl 7.88 counts backwards to a date that has passed. */
	response->retry_after_s = retry_after > 0 ? retry_after : 0;
	response->http_version = http_version(h);
	response->connect_us = since_start(t, h, CURLINFO_CONNECT_TIME_T);
	response->appconnect_us = since_start(t, h, CURLINFO_APPCONNECT_TIME_T);
	response->starttransfer_us = since_start(t, h, CURLINFO_STARTTRANSFER_TIME_T);
	keep_str(&response->effective, h, CURLINFO_EFFECTIVE_URL);
	keep_str(&response->content_type, h, CURLINFO_CONTENT_TYPE);
	buf_clear(&response->error);
	buf_add_str(&response->error, h->error);
}

static bool is_redirect(long status)
{
	return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* Keeps the redirect's target; libcurl has made it absolute. */
static int keep_target(struct transfer *t, const struct handle *h, bool *ret_redirected)
{
	*ret_redirected = false;
	if (t->f->max_redirects == 0 || !is_redirect(t->response->status))
		return 0;

	keep_str(&t->url, h, CURLINFO_REDIRECT_URL);
	buf_add_char(&t->url, '\0');
	if (t->url.failed)
		return fail_memory(t);
	*ret_redirected = t->url.len > 1; /* without a Location it is a response as any other */
	return 0;
}

/* --- hops -------------------------------------------------------------------------- */

/* Performs one hop.  The handle is given back before the next one begins, which
 * may well take it again. */
static int perform_hop(struct transfer *t, bool *ret_redirected)
{
	struct handle *h = NULL;
	CURLcode code = CURLE_OK;

	int r = get_handle(t, &h);
	if (r < 0)
		return r;

	t->hop_start_us = elapsed_us(t);
	t->has_asked = true;
	t->response->body_bytes = 0;
	if (hop_prepare(&t->hop, h) < 0) {
		return_handle(t, h, false);
		return fail_memory(t);
	}

	r = handle_perform(h, t, t->deadline_ns, t->f->cancel_fd, &code);
	collect(t, h);
	if (r == -ECANCELED)
		r = fail(t, r, CURLE_ABORTED_BY_CALLBACK, "aborted");
	else if (r == -ETIMEDOUT)
		r = fail(t, r, CURLE_OPERATION_TIMEDOUT, "timeout: %s", phase(t, h));
	else if (code != CURLE_OK)
		r = fail_curl(t, h, code);
	else
		r = keep_target(t, h, ret_redirected);
	return_handle(t, h, r == 0);
	return r;
}

/* Keeps a hop that may not be made now, with its strings. */
static int keep_next(struct transfer *t, const struct hop *next)
{
	struct buf *text = &t->response->next_text;

	buf_clear(text);
	buf_add(text, next->url, strlen(next->url) + 1);
	size_t origin_at = text->len;
	buf_add(text, next->origin.text, strlen(next->origin.text) + 1);
	size_t host_at = text->len;
	buf_add(text, next->origin.host, strlen(next->origin.host) + 1);
	if (text->failed)
		return fail_memory(t);

	t->response->next = (struct job_hop) {
		.url = text->data,
		.origin = next->origin,
		.redirects = t->response->redirects + 1,
		.spent_us = elapsed_us(t),
		.becomes_get = next->without_content,
		.without_secrets = next->without_secrets,
	};
	t->response->next.origin.text = text->data + origin_at;
	t->response->next.origin.host = text->data + host_at;
	return fail(t, -EXDEV, CURLE_ABORTED_BY_CALLBACK,
	            "redirected to an origin that may not be asked now");
}

/* Asks whether a hop to another origin may be made. */
static int enter(struct transfer *t, const struct hop *next)
{
	if (strlen(next->url) > JOB_MAX_HOP_URL_BYTES)
		return fail(t, -EINVAL, CURLE_URL_MALFORMAT,
		            "redirect refused: the URL is longer than 8 KiB");
	if (t->deadline_ns <= clock_now_ns())
		return fail_redirected(t); /* which is the fault of the origins so far */

	int r = t->req->enter ? t->req->enter(t->req->arg, &next->origin) : 0;
	if (r == -EAGAIN)
		return keep_next(t, next);
	return r < 0 ? fail_memory(t) : 0;
}

static int parse_target(struct transfer *t, struct url_parser *parser,
                        struct url_origin *ret_origin)
{
	const char *why = NULL;

	int r = url_parse(parser, t->url.data, ret_origin, &why);
	if (r == -ENOMEM)
		return fail_memory(t);
	if (r < 0)
		return fail(t, r, r == -EINVAL ? CURLE_URL_MALFORMAT : CURLE_UNSUPPORTED_PROTOCOL,
		            "redirect refused: %s", why);
	return 0;
}

/* Makes the redirect's target the next hop. */
static int follow(struct transfer *t)
{
	struct url_origin origin;
	struct hop next = t->hop;

	if (t->response->redirects >= t->f->max_redirects)
		return fail(t, -ELOOP, CURLE_TOO_MANY_REDIRECTS, "more than %u redirects",
		            t->f->max_redirects);
	/* The hop's origin lives in the parser that made it: each hop has its own. */
	struct url_parser *parser = NULL;
	if (url_parser_create(&parser) < 0)
		return fail_memory(t);

	int r = parse_target(t, parser, &origin);
	if (r == 0) {
		hop_redirect(&next, t->response->status, t->url.data, &origin);
		if (strcmp(t->hop.origin.text, origin.text) != 0)
			r = enter(t, &next);
	}
	if (r < 0) {
		url_parser_free(parser);
		return r;
	}
	t->hop = next;
	url_parser_free(t->parser);
	t->parser = parser;
	t->response->redirects++;
	t->response->status = 0; /* what was said so far, another origin may have said */
	t->response->retry_after_s = 0;
	return 0;
}

/* --- the fetch --------------------------------------------------------------------- */

/* Sets up the first hop, and what is left for it and those that follow. */
static void begin(struct transfer *t)
{
	const struct fetch_request *req = t->req;
	const struct job_hop *from = req->from;
	uint64_t left_ns = req->timeout_ns;

	t->hop = (struct hop) {
		.url = req->url,
		.origin = *req->origin,
		.method = req->method,
		.headers = req->headers,
		.body = req->body,
		.body_bytes = req->body_bytes,
	};
	response_clear(t->response);
	if (from) {
		hop_resume(&t->hop, from);
		t->spent_us = from->spent_us;
		t->response->redirects = from->redirects;
		left_ns = from->spent_us < left_ns / NS_PER_US
		                  ? left_ns - from->spent_us * NS_PER_US
		                  : 0;
	}
	t->start_ns = clock_now_ns();
	t->deadline_ns = clock_after(t->start_ns, left_ns);
}

static int perform(struct transfer *t)
{
	bool redirected = false;

	if (t->req->from && t->deadline_ns == t->start_ns)
		return fail_redirected(t);
	int r = perform_hop(t, &redirected);
	while (r == 0 && redirected) {
		r = follow(t);
		if (r == 0)
			r = perform_hop(t, &redirected);
	}
	return r;
}

int fetch(struct fetcher *f, const struct fetch_request *req, struct response *response)
{
	struct transfer t = { .f = f, .req = req, .response = response };

	begin(&t);
	int r = perform(&t);
	response->complete = r == 0;
	response->total_us = elapsed_us(&t);
	url_parser_free(t.parser);
	buf_done(&t.url);
	return r;
}

/* --- the fetcher ------------------------------------------------------------------- */

int fetcher_create(const struct fetch_options *options, struct fetcher **ret_fetcher)
{
	struct fetcher *f = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;

	*f = (struct fetcher) {
		.handle_options = {
			.user_agent = options->user_agent,
			.connect_timeout_ns = options->connect_timeout_ns,
			.ca_path = curl_version_info(CURLVERSION_NOW)->capath,
			.on_body = on_body,
		},
		.max_redirects = options->max_redirects,
		.max_body_bytes = options->max_body_bytes,
		.cancel_fd = event_create(),
	};
	int r = f->cancel_fd < 0 ? f->cancel_fd : 0;
	if (r == 0)
		r = pool_create(options->max_idle, &f->pool);
	if (r == 0)
		r = resolver_create(&options->resolver, &f->resolver);
	if (r < 0) {
		fetcher_free(f);
		return r;
	}
	*ret_fetcher = f;
	return 0;
}

struct fetcher *fetcher_free(struct fetcher *f)
{
	if (!f)
		return NULL;

	resolver_free(f->resolver);
	pool_free(f->pool);
	if (f->cancel_fd >= 0)
		(void) close(f->cancel_fd);
	free(f);
	return NULL;
}

void fetcher_cancel(struct fetcher *f)
{
	event_raise(f->cancel_fd);
	resolver_cancel(f->resolver);
}

void fetch_stats(struct fetcher *f, struct fetch_stats *ret_stats)
{
	*ret_stats = (struct fetch_stats) { .idle_connections = pool_idle(f->pool) };
	resolver_stats(f->resolver, &ret_stats->resolver);
}
