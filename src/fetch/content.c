/* SPDX-License-Identifier: Apache-2.0 */
/* The body of a hop's answer: whether it is wanted, how it is encoded, how long it may be. */
#include "fetch/transfer.h"

#include "base/clock.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

bool transfer_is_redirect(long status)
{
	return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* To libcurl 7.88 the value of an empty header is its line's end. */
static bool is_empty(const struct curl_header *h)
{
	return h->value[strspn(h->value, " \t\r\n")] == '\0';
}

/* Whether there is a Location; libcurl passes over those that are empty. */
static bool has_location(CURL *easy)
{
	struct curl_header *h = NULL;

	for (size_t i = 0;
	     curl_easy_header(easy, "Location", i, CURLH_HEADER, -1, &h) == CURLHE_OK; i++)
		if (!is_empty(h))
			return true;
	return false;
}

/* Whether the answer, whose headers are complete, leads to another hop. */
static bool leads_on(const struct transfer *t)
{
	long status = 0;

	if (t->req->max_redirects == 0)
		return false;
	(void) curl_easy_getinfo(t->handle->easy, CURLINFO_RESPONSE_CODE, &status);
	return transfer_is_redirect(status) && has_location(t->handle->easy);
}

/* --- codings ----------------------------------------------------------------------- */

static int refuse(struct transfer *t, const char *fault)
{
	t->fault = fault;
	return -EPROTO;
}

static int add_content_coding(struct transfer *t, const char *name, size_t n)
{
	if (t->decoder) /* nobody means it, and it takes more time than a timeout can bound */
		return refuse(t, "content encoding (more than one)");
	if (decoder_max_bytes(name, n) == 0)
		return refuse(t, "content encoding (unknown)");
	if (!fetch_rules_take_coding(t->handle->rules, name, n))
		return refuse(t, "content encoding (not asked for)");
	return decoder_create(name, n, &t->decoder);
}

/* We ask for none (RFC 9112, section 7.4), and libcurl is told to leave them alone. */
static int add_transfer_coding(struct transfer *t, const char *name, size_t n)
{
	return n == strlen("chunked") && strncasecmp(name, "chunked", n) == 0
	               ? 0
	               : refuse(t, "transfer encoding");
}

/* Calls 'add' for each coding in a list (RFC 9110, section 5.6.1) but "identity". */
static int each_coding(struct transfer *t, const char *list,
                       int (*add)(struct transfer *t, const char *name, size_t n))
{
	static const char identity[] = "identity";
	int r = 0;

	/* To libcurl 7.88 the value of an empty header is its line's end. */
	while (r == 0 && *(list += strspn(list, ", \t\r\n")) != '\0') {
		size_t n = strcspn(list, ", \t\r\n");
		if (n != strlen(identity) || strncasecmp(list, identity, n) != 0)
			r = add(t, list, n);
		list += n;
	}
	return r;
}

static int each_coding_of(struct transfer *t, const char *header,
                          int (*add)(struct transfer *t, const char *name, size_t n))
{
	struct curl_header *h = NULL;
	int r = 0;

	for (size_t i = 0; r == 0 && curl_easy_header(t->handle->easy, header, i, CURLH_HEADER, -1,
	                                              &h) == CURLHE_OK; i++)
		r = each_coding(t, h->value, add);
	return r;
}

/* --- limits ------------------------------------------------------------------------ */

/* Nobody wants the body of a redirect, but its connection, and so it is read. */
enum { REDIRECT_MAX_BYTES = 64 * 1024 };

/* An encoding shall make it shorter, but what cannot be compressed becomes a little longer. */
static uint64_t max_wire_bytes(const struct transfer *t)
{
	uint64_t max = t->req->max_body_bytes;

	if (t->redirects)
		return max > REDIRECT_MAX_BYTES ? max : REDIRECT_MAX_BYTES;
	return t->decoder ? max + max / 64 + 4096 : max;
}

/* Its length on the wire; UINT64_MAX if that is not known. */
static uint64_t announced_bytes(const struct transfer *t)
{
	curl_off_t length = -1;

	(void) curl_easy_getinfo(t->handle->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
	return length >= 0 ? (uint64_t) length : UINT64_MAX;
}

/* Whether its length, if known, is too much already. */
static bool is_announced_too_long(const struct transfer *t)
{
	uint64_t length = announced_bytes(t);

	return length < UINT64_MAX && length > max_wire_bytes(t);
}

/* Decides what becomes of a body whose first piece has come. */
static int begin_body(struct transfer *t)
{
	t->has_body = true;
	t->redirects = leads_on(t);
	if (t->redirects)
		return 0;

	int r = 0;
	if (t->head.has_codings) /* to look for them takes 1200 instructions */
		r = each_coding_of(t, "Transfer-Encoding", add_transfer_coding);
	if (r == 0 && t->head.has_codings && t->handle->decodes)
		r = each_coding_of(t, "Content-Encoding", add_content_coding);
	if (r == 0 && !t->req->truncates && is_announced_too_long(t))
		r = -EFBIG;
	return r;
}

/* --- taking it --------------------------------------------------------------------- */

/* Gives a piece to whoever takes the body. */
static int give(struct transfer *t, const char *data, size_t n)
{
	const struct fetch_request *req = t->req;
	int error = 0;

	if (req->begin_body && t->response->body_bytes == 0) {
		error = req->begin_body(req->body_arg, t->decoder ? UINT64_MAX : announced_bytes(t),
		                        t->deadline_ns);
		speed_restart(&t->handle->speed); /* that it waited is not the origin's fault */
	}
	return error < 0 ? error : req->take_body(req->body_arg, data, n);
}

static int keep(struct transfer *t, const char *data, size_t n)
{
	struct response *response = t->response;
	uint64_t left = t->req->max_body_bytes - response->body_bytes;
	size_t kept = n <= left ? n : t->req->truncates ? (size_t) left : 0;

	if (kept > 0 && t->req->take_body)
		response->body_error = give(t, data, kept);
	if (response->body_error < 0)
		return -ENOSPC;
	response->body_bytes += kept;
	return n > left ? -EFBIG : 0;
}

/* A few bytes can become many pieces without a look at the clock anywhere else. */
static int keep_decoded(void *arg, const char *data, size_t n)
{
	struct transfer *t = arg;

	int r = keep(t, data, n);
	return r == 0 && t->deadline_ns <= clock_now_ns() ? -ETIMEDOUT : r;
}

static int take(struct transfer *t, const char *data, size_t n)
{
	uint64_t left = max_wire_bytes(t) - t->response->download_bytes;

	t->response->download_bytes += n;
	if (t->redirects)
		return n > left ? -EFBIG : 0;
	if (!t->decoder)
		return keep(t, data, n);

	int r = decoder_feed(t->decoder, data, n, keep_decoded, t);
	if (r == -EPROTO)
		r = refuse(t, "content encoding (broken)");
	return r == 0 && n > left ? -EFBIG : r;
}

size_t transfer_on_body(char *data, size_t size, size_t count, void *arg)
{
	struct transfer *t = arg;
	size_t n = size * count; /* 'size' is always 1: CURLOPT_WRITEFUNCTION(3) */

	if (t->handle->in_head && t->f->handle_options.previews_heads)
		return head_preview(&t->head, data, n) ? n : CURL_WRITEFUNC_ERROR;
	if (!t->has_body)
		t->refusal = begin_body(t);
	if (t->refusal == 0)
		t->refusal = take(t, data, n);
	return t->refusal == 0 ? n : CURL_WRITEFUNC_ERROR;
}

int transfer_finish_body(struct transfer *t)
{
	/* One that we have cut off ourselves need not be whole. */
	if (t->refusal < 0 || !t->decoder || decoder_is_whole(t->decoder))
		return 0;
	t->refusal = refuse(t, "content encoding (cut short)");
	return transfer_fail_body(t, t->handle);
}
