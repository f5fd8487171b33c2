/* SPDX-License-Identifier: Apache-2.0 */
/* The stage for the tests of fetch.h: a fetcher, and what its last fetch gave. */
#ifndef PENSTOCK_TESTS_FETCH_STAGE_H
#define PENSTOCK_TESTS_FETCH_STAGE_H

#include "base/clock.h"
#include "fetch/fetch.h"
#include "job/url.h"
#include "unit.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct stage {
	struct fetch_options options;
	struct fetcher *fetcher;
	struct url_parser *parser;
	struct response response;
	struct fetch_request usual; /* what a request has that says nothing else */
	uint64_t took_ns;    /* the last one */
};

/* Long enough for every fetch that shall not time out. */
#define PLENTY (60 * NS_PER_S)

static inline void stage_init(struct stage *s)
{
	*s = (struct stage) {
		.options = {
			.connect_timeout_ns = PLENTY,
			.user_agent = "test/1",
			.max_idle = 8,
			.resolver = {
				.max_waiters = 8,
				.max_cached = 64,
				.max_ttl_ns = PLENTY,
				.failure_ttl_ns = PLENTY,
			},
		},
		.usual = {
			.method = "GET",
			.timeout_ns = PLENTY,
			.max_redirects = 5,
			.max_body_bytes = 1024 * 1024,
		},
	};
	CU_ASSERT_EQUAL_FATAL(fetch_rules_create(&(struct fetch_rules_options) { 0 },
	                                         &s->options.rules), 0);
	CU_ASSERT_EQUAL_FATAL(url_parser_create(&s->parser), 0);
}

static inline void stage_create(struct stage *s)
{
	CU_ASSERT_EQUAL_FATAL(fetcher_create(&s->options, &s->fetcher), 0);
}

static inline void stage_done(struct stage *s)
{
	s->fetcher = fetcher_free(s->fetcher);
	s->options.rules = fetch_rules_unref(s->options.rules);
	s->parser = url_parser_free(s->parser);
	response_done(&s->response);
}

/* Fills in what the request lacks, and performs it. */
static inline int stage_fetch(struct stage *s, struct fetch_request *req)
{
	struct url_origin origin;
	const char *why = NULL;

	CU_ASSERT_EQUAL_FATAL(url_parse(s->parser, req->url, &origin, &why), 0);
	req->origin = &origin;
	if (!req->method)
		req->method = s->usual.method;
	if (req->timeout_ns == 0)
		req->timeout_ns = s->usual.timeout_ns;
	if (req->deadline_ns == 0)
		req->deadline_ns = s->usual.deadline_ns;
	if (req->max_body_bytes == 0)
		req->max_body_bytes = s->usual.max_body_bytes;
	req->max_redirects = s->usual.max_redirects;

	uint64_t start_ns = clock_now_ns();
	int r = fetch(s->fetcher, req, &s->response);
	s->took_ns = clock_now_ns() - start_ns;
	CU_ASSERT_EQUAL(s->response.complete, r == 0);
	CU_ASSERT_EQUAL(*s->response.reason == '\0', r == 0);
	CU_ASSERT_EQUAL(s->response.curl_code == 0, r == 0);
	return r;
}

/* Gets a URL, which is given as for printf(3). */
PRINTF_LIKE(2, 3) static inline int stage_get(struct stage *s, const char *format, ...)
{
	char url[1024];
	va_list args;

	va_start(args, format);
	(void) vsnprintf(url, sizeof(url), format, args);
	va_end(args);
	return stage_fetch(s, &(struct fetch_request) { .url = url });
}

/* Whether a buffer holds this text. */
static inline bool holds(const struct buf *b, const char *text)
{
	return b->len == strlen(text) && memcmp(b->data, text, b->len) == 0;
}

static inline void stage_begin_all(void)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		abort();
}

#endif
