/* SPDX-License-Identifier: Apache-2.0 */
/* What is said of a fetch that has failed. */
#include "fetch/transfer.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int transfer_fail(struct transfer *t, int r, CURLcode code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void) vsnprintf(t->response->reason, sizeof(t->response->reason), format, args);
	va_end(args);
	t->response->curl_code = (int) code;
	return r;
}

int transfer_fail_memory(struct transfer *t)
{
	return transfer_fail(t, -ENOMEM, CURLE_OUT_OF_MEMORY, "out of memory");
}

int transfer_fail_redirected(struct transfer *t)
{
	return transfer_fail(t, -ETIMEDOUT, CURLE_OPERATION_TIMEDOUT, "timeout: redirected");
}

/* What the fetch was doing when its time was up; 'h' is its handle. */
static const char *phase(const struct transfer *t, const struct handle *h)
{
	curl_off_t ready = 0, answered = 0, sent = 0;

	/* libcurl 7.88 tells the connecting time only after the TLS handshake, but the
	 * peer's address as soon as it has accepted. */
	(void) curl_easy_getinfo(h->easy, CURLINFO_PRETRANSFER_TIME_T, &ready);
	(void) curl_easy_getinfo(h->easy, CURLINFO_STARTTRANSFER_TIME_T, &answered);
	if (ready == 0)
		return *t->response->remote_ip == '\0' ? "connecting" : "tls handshake";
	(void) curl_easy_getinfo(h->easy, CURLINFO_SIZE_UPLOAD_T, &sent);
	/* The first byte of an answer is, for libcurl, also the first of a body that is sent. */
	if (answered == 0 || (t->head.bytes == 0 && t->hop.body_bytes > 0))
		return (uint64_t) sent < t->hop.body_bytes ? "sending the request"
		                                           : "waiting for the response";
	return t->head.is_complete ? "reading the body" : "reading the headers";
}

int transfer_fail_timeout(struct transfer *t, const struct handle *h)
{
	return transfer_fail(t, -ETIMEDOUT, CURLE_OPERATION_TIMEDOUT, "timeout: %s", phase(t, h));
}

/* Where libcurl's parsers of headers and chunks give up, its code may be that of a connection
 * that is lost, of a bad call, or of missing memory. */
static bool is_malformed(const struct transfer *t, const struct handle *h, CURLcode code)
{
	curl_off_t answered = 0;

	(void) curl_easy_getinfo(h->easy, CURLINFO_STARTTRANSFER_TIME_T, &answered);
	if (code == CURLE_RECV_ERROR)
		return strstr(h->error, "chunk") != NULL;
	if (code == CURLE_OUT_OF_MEMORY) /* a line of more than 100 KiB */
		return answered > 0 && !t->head.is_complete;
	return code == CURLE_BAD_FUNCTION_ARGUMENT && answered > 0;
}

/* The head was refused by our own callback, of which libcurl complains. */
static int fail_head(struct transfer *t)
{
	buf_clear(&t->response->error);
	return transfer_fail(t, -EPROTO, CURLE_WEIRD_SERVER_REPLY, "bad response: %s",
	                     t->head.fault);
}

/* The body was refused by our own callback, of which libcurl complains. */
static int fail_body(struct transfer *t)
{
	buf_clear(&t->response->error);
	if (t->response->body_error < 0)
		return transfer_fail(t, -ENOSPC, CURLE_WRITE_ERROR, "the body cannot be kept: %s",
		                     strerror(-t->response->body_error));
	return transfer_fail(t, -EFBIG, CURLE_FILESIZE_EXCEEDED, "body larger than %llu bytes",
	                     (unsigned long long) t->req->max_body_bytes);
}

int transfer_fail_curl(struct transfer *t, const struct handle *h, CURLcode code)
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
		{ CURLE_BAD_CONTENT_ENCODING, EPROTO, "bad response: unknown or broken coding" },
		{ CURLE_HTTP2, EPROTO, "bad response: http/2" },
		{ CURLE_HTTP2_STREAM, EPROTO, "bad response: http/2 stream" },
	};

	if (code == CURLE_OPERATION_TIMEDOUT) /* the attempt's own timeout is not libcurl's affair */
		return transfer_fail(t, -ETIMEDOUT, code, "timeout: %s (fetch.connect_timeout)",
		                     phase(t, h));
	if (t->head.fault)
		return fail_head(t);
	if (!t->head.is_complete && (code == CURLE_OK || code == CURLE_PARTIAL_FILE))
		return transfer_fail(t, -ECONNRESET, CURLE_PARTIAL_FILE,
		                     "connection closed within the headers");
	if (code == CURLE_ABORTED_BY_CALLBACK && h->once) {
		buf_clear(&t->response->error); /* libcurl wanted to ask once more */
		code = CURLE_GOT_NOTHING;
	}
	if (code == CURLE_WRITE_ERROR && (t->body_too_big || t->response->body_error < 0))
		return fail_body(t);
	if (is_malformed(t, h, code))
		return transfer_fail(t, -EPROTO, code, "bad response");
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (known[i].code == code)
			return transfer_fail(t, -known[i].err, code, "%s", known[i].reason);
	return transfer_fail(t, -EIO, code, "%s", curl_easy_strerror(code));
}

int transfer_fail_lookup(struct transfer *t, int r, const char *why)
{
	/* -EBUSY says that nothing was attempted, which holds for the call's first hop only. */
	if (r == -EBUSY && t->has_asked)
		r = -EIO;
	if (r == -ETIMEDOUT)
		return transfer_fail(t, r, CURLE_OPERATION_TIMEDOUT, "timeout: resolving (%s)", why);
	return transfer_fail(t, r, CURLE_COULDNT_RESOLVE_HOST, "name: %s", why);
}
