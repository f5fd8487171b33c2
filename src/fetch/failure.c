/* SPDX-License-Identifier: Apache-2.0 */
/* What is said of a fetch that has failed. */
#include "fetch/transfer.h"

#include "base/clock.h"
#include "base/units.h"

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

static bool is_past_deadline(const struct transfer *t)
{
	return t->has_deadline && t->deadline_ns <= clock_now_ns();
}

/* The time was up: the request's deadline has passed, or a timeout. */
PRINTF_LIKE(2, 3) static int fail_late(struct transfer *t, const char *format, ...)
{
	bool is_deadline = is_past_deadline(t);
	char phase[sizeof(t->response->reason)];
	va_list args;

	va_start(args, format);
	(void) vsnprintf(phase, sizeof(phase), format, args);
	va_end(args);
	return transfer_fail(t, is_deadline ? -ETIME : -ETIMEDOUT, CURLE_OPERATION_TIMEDOUT,
	                     "%s: %s", is_deadline ? "deadline" : "timeout", phase);
}

int transfer_fail_redirected(struct transfer *t) { return fail_late(t, "redirected"); }

/* Whether a connection is made and nothing was asked of the origin yet. */
static bool is_getting_ready(const struct handle *h)
{
	curl_off_t ready = 0;

	/* libcurl 7.88 tells the connecting time only after the TLS handshake, but the
	 * peer's address as soon as it has accepted. */
	(void) curl_easy_getinfo(h->easy, CURLINFO_PRETRANSFER_TIME_T, &ready);
	return ready == 0;
}

/* Whether it was not yet the origin, but its proxy, that was spoken to. */
static bool is_with_proxy(const struct handle *h)
{
	long status = 0;

	(void) curl_easy_getinfo(h->easy, CURLINFO_HTTP_CONNECTCODE, &status);
	return h->profile->proxy && is_getting_ready(h) && status / 100 != 2;
}

/* What the fetch was doing when its time was up; 'h' is its handle. */
static const char *phase(const struct transfer *t, const struct handle *h)
{
	uint64_t wanted = t->hop.upload ? t->hop.upload->bytes : t->hop.body_bytes;
	curl_off_t answered = 0, sent = 0;
	long asked = 0;

	(void) curl_easy_getinfo(h->easy, CURLINFO_STARTTRANSFER_TIME_T, &answered);
	(void) curl_easy_getinfo(h->easy, CURLINFO_REQUEST_SIZE, &asked);
	(void) curl_easy_getinfo(h->easy, CURLINFO_SIZE_UPLOAD_T, &sent);
	if (*t->response->remote_ip == '\0')
		return "connecting";
	if (is_getting_ready(h))
		return is_with_proxy(h) && asked > 0 ? "waiting for a tunnel" : "tls handshake";
	/* The first byte of an answer is, for libcurl, also the first of a body that is sent. */
	if (answered == 0 || (t->head.bytes == 0 && wanted > 0))
		return (uint64_t) sent < wanted ? "sending the request" : "waiting for the response";
	return t->head.is_complete ? "reading the body" : "reading the headers";
}

int transfer_fail_timeout(struct transfer *t, const struct handle *h)
{
	return fail_late(t, "%s%s", is_with_proxy(h) ? "proxy: " : "", phase(t, h));
}

/* Where libcurl's parsers of headers and chunks give up, its code may be that of a connection
 * that is lost, or of a bad call. */
static bool is_malformed(const struct handle *h, CURLcode code)
{
	curl_off_t answered = 0;

	(void) curl_easy_getinfo(h->easy, CURLINFO_STARTTRANSFER_TIME_T, &answered);
	if (code == CURLE_RECV_ERROR)
		return strstr(h->error, "chunk") != NULL;
	return code == CURLE_BAD_FUNCTION_ARGUMENT && answered > 0;
}

/* The head was refused by our own callback, of which libcurl complains. */
static int fail_head(struct transfer *t)
{
	buf_clear(&t->response->error);
	return transfer_fail(t, -EPROTO, CURLE_WEIRD_SERVER_REPLY, "bad response: %s",
	                     t->head.fault);
}

/* Reading what shall be sent was given up by our own callback, of which libcurl complains. */
static int fail_upload(struct transfer *t)
{
	buf_clear(&t->response->error);
	return transfer_fail(t, -ENODATA, CURLE_READ_ERROR, "body_file: %s", t->upload.trouble);
}

/* libcurl 7.88 says CURLE_OUT_OF_MEMORY of a line of the header that is longer than it takes. */
static bool is_long_header(const struct transfer *t, const struct handle *h, CURLcode code)
{
	curl_off_t answered = 0;

	(void) curl_easy_getinfo(h->easy, CURLINFO_STARTTRANSFER_TIME_T, &answered);
	return code == CURLE_OUT_OF_MEMORY && answered > 0 && !t->head.is_complete;
}

int transfer_fail_slow(struct transfer *t)
{
	struct buf text = { 0 };

	buf_printf(&text, "too slow: less than %llu bytes/s for ",
	           (unsigned long long) t->req->least_speed);
	units_add_duration(&text, t->req->speed_span_ns);
	int r = text.failed ? transfer_fail_memory(t)
	                    : transfer_fail(t, -ETIMEDOUT, CURLE_OPERATION_TIMEDOUT, "%.*s",
	                                    (int) text.len, text.data);
	buf_done(&text);
	return r;
}

/* Whoever was to take the body could not. */
static int fail_taking(struct transfer *t)
{
	static const char waiting[] = "waiting for memory for the body";
	int error = t->response->body_error;

	if (error == -ECANCELED)
		return transfer_fail(t, error, CURLE_ABORTED_BY_CALLBACK, "aborted");
	if (error == -ETIMEDOUT && is_past_deadline(t))
		return fail_late(t, "%s", waiting);
	if (error == -ETIMEDOUT)
		return transfer_fail(t, -ENOSPC, CURLE_OPERATION_TIMEDOUT, "timeout: %s", waiting);
	return transfer_fail(t, -ENOSPC, CURLE_WRITE_ERROR, "the body cannot be kept: %s",
	                     strerror(-error));
}

int transfer_fail_body(struct transfer *t, const struct handle *h)
{
	buf_clear(&t->response->error); /* libcurl complains of our own callback */
	switch (t->refusal) {
	case -ENOSPC:
		return fail_taking(t);
	case -EFBIG:
		return transfer_fail(t, -EFBIG, CURLE_FILESIZE_EXCEEDED, "body larger than %llu bytes",
		                     (unsigned long long) t->req->max_body_bytes);
	case -EPROTO:
		return transfer_fail(t, -EPROTO, CURLE_BAD_CONTENT_ENCODING, "bad response: %s",
		                     t->fault);
	case -ETIMEDOUT:
		return transfer_fail_timeout(t, h);
	default:
		return transfer_fail_memory(t);
	}
}

int transfer_fail_refused(struct transfer *t, const struct guard_refusal *refusal)
{
	char text[GUARD_REFUSAL_SIZE];

	guard_refusal_format(refusal, text);
	return transfer_fail(t, -EACCES, CURLE_COULDNT_CONNECT, "refused: %s", text);
}

/* OpenSSL's own words on why TLS has failed, at the end of libcurl's; "" if there are none. */
static const char *tls_words(const struct handle *h)
{
	static const char problem[] = "SSL certificate problem: ";
	const char *words = strstr(h->error, "SSL routines:");

	if (strncmp(h->error, problem, sizeof(problem) - 1) == 0)
		return h->error + sizeof(problem) - 1;
	return words ? strrchr(words, ':') + 1 : "";
}

/* Which certificate has been refused why. */
static int fail_certificate(struct transfer *t, const struct handle *h)
{
	const char *words = tls_words(h);

	/* A chain that OpenSSL trusts is refused by libcurl for its names. */
	if (*words == '\0' && strstr(h->error, "subject name"))
		words = "it is for another host";
	return transfer_fail(t, -EKEYREJECTED, CURLE_PEER_FAILED_VERIFICATION,
	                     "tls: certificate not trusted%s%s", *words != '\0' ? ": " : "", words);
}

/* The table's words, and where TLS was broken off, OpenSSL's. */
static int fail_known(struct transfer *t, const struct handle *h, CURLcode code, int err,
                      const char *reason)
{
	const char *words = tls_words(h);

	if (code == CURLE_RECV_ERROR && *words != '\0')
		reason = "tls: connection lost";
	/* libcurl may have added an errno that says nothing. */
	return transfer_fail(t, -err, code, "%s%s%.*s", reason, *words != '\0' ? ": " : "",
	                     (int) strcspn(words, ","), words);
}

/* Where it has failed for an origin's, or a proxy's, fault. */
static int fail_peer(struct transfer *t, const struct handle *h, CURLcode code)
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

	if (code == CURLE_PEER_FAILED_VERIFICATION)
		return fail_certificate(t, h);
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (known[i].code == code)
			return fail_known(t, h, code, known[i].err, known[i].reason);
	return transfer_fail(t, -EIO, code, "%s", curl_easy_strerror(code));
}

bool transfer_is_proxy_login(const struct transfer *t, const struct handle *h)
{
	return t->response->status == 407 && h->profile->proxy && h->profile->proxy_resolves &&
	       !t->hop.origin.tls;
}

/* A proxy that lets some through and not this one will do so again.  What is wrong with itself or
 * its way on, its login included, passes, or is for somebody to mend, and the jobs wait. */
int transfer_fail_proxy(struct transfer *t, const struct handle *h, long status)
{
	bool login = status == 407 || status == 401; /* 401: some answer it to a wrong one */
	bool refuses = status / 100 == 4 && !login && status != 408 && status != 429;

	t->response->status = 0; /* which would be the origin's */
	t->response->retry_after_s = 0;
	if (t->refusal < 0)
		buf_clear(&t->response->error); /* libcurl complains of our own callback */
	if (login)
		return transfer_fail(t, -ECONNREFUSED, CURLE_RECV_ERROR, "proxy: %ld, %s", status,
		                     h->profile->proxy_login ? "does not take its proxy_login"
		                                             : "wants a proxy_login");
	return transfer_fail(t, refuses ? -EACCES : -ECONNREFUSED, CURLE_RECV_ERROR,
	                     "proxy: no tunnel: http %ld", status);
}

/* The way to the origin has failed, as any other would have, before it was spoken to. */
static int fail_with_proxy(struct transfer *t, const struct handle *h, CURLcode code)
{
	char reason[sizeof(t->response->reason)];
	long status = 0;

	(void) curl_easy_getinfo(h->easy, CURLINFO_HTTP_CONNECTCODE, &status);
	if (status > 0)
		return transfer_fail_proxy(t, h, status);
	int r = fail_peer(t, h, code);
	memcpy(reason, t->response->reason, sizeof(reason));
	return transfer_fail(t, r == -EKEYREJECTED ? -ECONNREFUSED : r, code, "proxy: %.150s",
	                     reason);
}

/* libcurl takes an end before the head's for that of an answer without a body, and a second
 * request that was not to go out for the caller's wish. */
static int fail_unanswered(struct transfer *t, const struct handle *h, CURLcode code)
{
	if (code == CURLE_OK || code == CURLE_PARTIAL_FILE)
		return transfer_fail(t, -ECONNRESET, CURLE_PARTIAL_FILE,
		                     "connection closed within the headers");
	if (code == CURLE_ABORTED_BY_CALLBACK && h->once) {
		buf_clear(&t->response->error);
		code = CURLE_GOT_NOTHING;
	}
	return fail_peer(t, h, code);
}

int transfer_fail_curl(struct transfer *t, const struct handle *h, CURLcode code)
{
	if (*t->upload.trouble != '\0')
		return fail_upload(t);
	if (code == CURLE_OPERATION_TIMEDOUT) /* the attempt's own timeout is not libcurl's affair */
		return transfer_fail(t, -ETIMEDOUT, code, "timeout: %s%s (fetch.connect_timeout)",
		                     is_with_proxy(h) ? "proxy: " : "", phase(t, h));
	if (code == CURLE_COULDNT_CONNECT && h->refusal.entry)
		return transfer_fail_refused(t, &h->refusal);
	if (t->head.fault)
		return fail_head(t);
	if (t->refusal < 0)
		return transfer_fail_body(t, h);
	if (is_with_proxy(h) && code != CURLE_OUT_OF_MEMORY)
		return fail_with_proxy(t, h, code);
	if (is_long_header(t, h, code))
		return transfer_fail(t, -EPROTO, code, "bad response: header too large");
	if (is_malformed(h, code))
		return transfer_fail(t, -EPROTO, code, "bad response");
	return t->head.is_complete ? fail_peer(t, h, code) : fail_unanswered(t, h, code);
}

int transfer_fail_lookup(struct transfer *t, int r, const char *whose, const char *why)
{
	/* -EBUSY says that nothing was attempted, which holds for the call's first hop only. */
	if (r == -EBUSY && t->has_asked)
		r = -EIO;
	if (r == -ETIMEDOUT)
		return fail_late(t, "%sresolving (%s)", whose, why);
	/* That there is no such host would end the job; no such proxy is for somebody to mend. */
	if (r == -ENOENT && *whose != '\0')
		r = -ECONNREFUSED;
	return transfer_fail(t, r, CURLE_COULDNT_RESOLVE_HOST, "%sname: %s", whose, why);
}
