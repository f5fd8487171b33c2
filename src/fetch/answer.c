/* SPDX-License-Identifier: Apache-2.0 */
/* What comes back for a hop. */
#include "fetch/transfer.h"

#include <stdio.h>
#include <string.h>

bool transfer_is_redirect(long status)
{
	return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* Whether the answer, whose headers are complete, leads to another hop. */
static bool leads_on(const struct transfer *t)
{
	struct curl_header *location = NULL;
	long status = 0;

	if (t->req->max_redirects == 0)
		return false;
	(void) curl_easy_getinfo(t->handle->easy, CURLINFO_RESPONSE_CODE, &status);
	return transfer_is_redirect(status) &&
	       curl_easy_header(t->handle->easy, "Location", 0, CURLH_HEADER, -1, &location) == CURLHE_OK;
}

size_t transfer_on_header(char *line, size_t size, size_t count, void *arg)
{
	struct transfer *t = arg;
	size_t n = size * count;

	return head_take(&t->head, line, n, t->hop.origin.tls) ? n : CURL_WRITEFUNC_ERROR;
}

static bool keep(struct transfer *t, const char *data, size_t n)
{
	if (t->req->take_body && !t->redirects)
		t->response->body_error = t->req->take_body(t->req->body_arg, data, n);
	if (t->response->body_error < 0)
		return false;
	t->response->body_bytes += n;
	return true;
}

size_t transfer_on_body(char *data, size_t size, size_t count, void *arg)
{
	struct transfer *t = arg;
	size_t n = size * count; /* 'size' is always 1: CURLOPT_WRITEFUNCTION(3) */
	uint64_t left = t->req->max_body_bytes - t->response->body_bytes;

	if (t->response->body_bytes == 0)
		t->redirects = leads_on(t);
	t->body_too_big = n > left;
	if (!t->body_too_big)
		return keep(t, data, n) ? n : CURL_WRITEFUNC_ERROR;
	if (t->req->truncates && left > 0)
		(void) keep(t, data, (size_t) left);
	return CURL_WRITEFUNC_ERROR;
}

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

void transfer_collect(struct transfer *t, struct handle *h)
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
