/* SPDX-License-Identifier: Apache-2.0 */
/* What comes back for a hop, its body apart. */
#include "fetch/transfer.h"

#include <string.h>

void transfer_forget(struct transfer *t)
{
	struct response *r = t->response;

	r->status = 0;
	r->retry_after_s = 0;
	r->http_version = 0;
	r->remote_ip[0] = '\0';
	r->truncated = false;
	r->body_bytes = r->download_bytes = r->upload_bytes = 0;
	r->header_bytes = r->request_bytes = 0;
	r->namelookup_us = r->connect_us = r->appconnect_us = 0;
	r->pretransfer_us = r->starttransfer_us = 0;
	r->tls = (struct response_tls) { 0 };
	r->n_headers = 0;
	r->headers_truncated = false;
	buf_clear(&r->headers);
	buf_clear(&r->content_type);
}

/* --- headers ----------------------------------------------------------------------- */

size_t transfer_on_header(char *line, size_t size, size_t count, void *arg)
{
	struct transfer *t = arg;
	size_t n = size * count;

	bool is_good = head_take(&t->head, line, n, t->hop.origin.tls);
	t->handle->in_head = !t->head.is_complete;
	return is_good ? n : CURL_WRITEFUNC_ERROR;
}

/* Adds a field if there is room for it. */
static void keep_header(struct response *r, const struct curl_header *h)
{
	/* To libcurl 7.88 the value of an empty header is its line's end. */
	size_t n = *h->value == '\r' || *h->value == '\n' ? 0 : strlen(h->value);
	size_t size = strlen(h->name) + 1 + n + 1;

	if (r->n_headers >= RESPONSE_MAX_HEADERS || r->headers.len + size > RESPONSE_MAX_HEADER_BYTES) {
		r->headers_truncated = true;
		return;
	}
	buf_add_lower(&r->headers, h->name);
	buf_add_char(&r->headers, '\0');
	buf_add(&r->headers, h->value, n);
	buf_add_char(&r->headers, '\0');
	r->n_headers++;
}

/* Those of the final response: 1xx ones and trailers are of other kinds. */
static void keep_headers(struct response *r, const struct handle *h)
{
	struct curl_header *header = NULL;

	r->n_headers = 0;
	r->headers_truncated = false;
	buf_clear(&r->headers);
	while ((header = curl_easy_nextheader(h->easy, CURLH_HEADER, -1, header)))
		if (fetch_rules_keep_header(h->rules, header->name) && job_is_token(header->name))
			keep_header(r, header);
}

/* --- the rest ---------------------------------------------------------------------- */

static uint64_t since_start(const struct transfer *t, const struct handle *h, CURLINFO info)
{
	curl_off_t us = 0;

	(void) curl_easy_getinfo(h->easy, info, &us);
	return us > 0 ? t->hop_start_us + (uint64_t) us : 0;
}

static uint64_t size_of(const struct handle *h, CURLINFO info)
{
	long size = 0;

	(void) curl_easy_getinfo(h->easy, info, &size);
	return size > 0 ? (uint64_t) size : 0;
}

static void keep_str(struct buf *b, const struct handle *h, CURLINFO info)
{
	char *text = NULL;

	buf_clear(b);
	if (curl_easy_getinfo(h->easy, info, &text) == CURLE_OK && text)
		buf_add_str(b, text);
}

/* The hop's URL in libcurl's form, and with the fragment that libcurl is not told. */
static void keep_effective(struct transfer *t, const struct handle *h)
{
	struct buf *b = &t->response->effective;

	keep_str(b, h, CURLINFO_EFFECTIVE_URL);
	if (b->len > 0 && strchr(t->hop.url, '#')) {
		buf_add_char(b, '\0');
		url_inherit(b, t->hop.url, true);
		b->len -= !b->failed;
	}
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

static void collect_figures(struct transfer *t, const struct handle *h)
{
	struct response *response = t->response;
	curl_off_t uploaded = 0;

	(void) curl_easy_getinfo(h->easy, CURLINFO_SIZE_UPLOAD_T, &uploaded);
	response->upload_bytes = uploaded > 0 ? (uint64_t) uploaded : 0;
	response->header_bytes = size_of(h, CURLINFO_HEADER_SIZE);
	response->request_bytes = size_of(h, CURLINFO_REQUEST_SIZE);
	response->connect_us = since_start(t, h, CURLINFO_CONNECT_TIME_T);
	response->appconnect_us = since_start(t, h, CURLINFO_APPCONNECT_TIME_T);
	response->pretransfer_us = since_start(t, h, CURLINFO_PRETRANSFER_TIME_T);
	response->starttransfer_us = since_start(t, h, CURLINFO_STARTTRANSFER_TIME_T);
}

void transfer_collect(struct transfer *t, struct handle *h)
{
	struct response *response = t->response;
	char *ip = NULL;
	curl_off_t retry_after = 0;

	(void) curl_easy_getinfo(h->easy, CURLINFO_RESPONSE_CODE, &response->status);
	(void) curl_easy_getinfo(h->easy, CURLINFO_RETRY_AFTER, &retry_after);
	(void) curl_easy_getinfo(h->easy, CURLINFO_PRIMARY_IP, &ip);
	size_t n = ip ? strnlen(ip, sizeof(response->remote_ip) - 1) : 0;
	memcpy(response->remote_ip, ip ? ip : "", n);
	response->remote_ip[n] = '\0';
	memcpy(h->remote_ip, response->remote_ip, sizeof(h->remote_ip));

	/* libcurl 7.88 counts backwards to a date that has passed. */
	response->retry_after_s = retry_after > 0 ? retry_after : 0;
	response->http_version = http_version(h);
	if (h->has_asked)
		response->tls = h->tls;
	if (fetch_rules_keep_headers(h->rules))
		keep_headers(response, h);
	collect_figures(t, h);
	keep_effective(t, h);
	keep_str(&response->content_type, h, CURLINFO_CONTENT_TYPE);
	buf_clear(&response->error);
	buf_add_str(&response->error, h->error);
}
