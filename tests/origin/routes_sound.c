/* SPDX-License-Identifier: Apache-2.0
 *
 * Routes whose answers follow HTTP, quick or slow. */
#include "handlers.h"

#include <errno.h>

enum { BIG_HEADERS_MAX = 16 << 20 };

static int begin_ok(struct call *call)
{
	answer_begin(call->answer, call->req, 200);
	return 0;
}

static int finish_small(struct call *call)
{
	answer_finish(call->answer, SMALL_BODY_LEN);
	return 0;
}

/* / and /ok... */
int handle_ok(struct call *call)
{
	(void) begin_ok(call);
	return finish_small(call);
}

/* /seen/ID: its targets are counted like all others. */
int handle_seen(struct call *call)
{
	return handle_ok(call);
}

/* /bytes/N */
int handle_bytes(struct call *call)
{
	uint64_t len = 0;
	int r = text_number(call->rest, FILL_MAX, &len);
	if (r < 0)
		return r;

	(void) begin_ok(call);
	answer_finish(call->answer, len);
	return 0;
}

/* A body without its length: until the connection closes. */
static void finish_unbounded(struct call *call, uint64_t len)
{
	struct answer *a = call->answer;

	a->ending = ENDING_CLOSE;
	answer_field(a, "Content-Type", slice_of("text/plain"));
	answer_end_head(a);
	answer_fill(a, len);
}

/* /chunked/N; HTTP/1.0 knows no chunks. */
int handle_chunked(struct call *call)
{
	struct answer *a = call->answer;
	uint64_t len = 0;
	int r = text_number(call->rest, FILL_MAX, &len);
	if (r < 0)
		return r;

	(void) begin_ok(call);
	if (a->is_http10) {
		finish_unbounded(call, len);
		return 0;
	}
	answer_field(a, "Content-Type", slice_of("text/plain"));
	answer_field(a, "Transfer-Encoding", slice_of("chunked"));
	answer_end_head(a);
	a->is_chunked = true;
	answer_fill(a, len);
	return 0;
}

/* /no-length/N */
int handle_no_length(struct call *call)
{
	uint64_t len = 0;
	int r = text_number(call->rest, FILL_MAX, &len);
	if (r < 0)
		return r;

	(void) begin_ok(call);
	finish_unbounded(call, len);
	return 0;
}

/* /content-type/TYPE, percent-encoded; it may hold slashes. */
int handle_content_type(struct call *call)
{
	struct answer *a = call->answer;

	(void) begin_ok(call);
	int r = answer_field_decoded(a, "Content-Type", call->rest);
	if (r < 0)
		return r;
	answer_field_number(a, "Content-Length", SMALL_BODY_LEN);
	answer_end_head(a);
	answer_fill(a, SMALL_BODY_LEN);
	return 0;
}

/* /big-headers/N: N bytes of lines "X-Big: xxx...\r\n", the last one as long as it has to be. */
int handle_big_headers(struct call *call)
{
	const size_t line_len = 1024;
	const size_t line_min = sizeof("X-Big: \r\n") - 1;
	uint64_t left = 0;
	int r = text_number(call->rest, BIG_HEADERS_MAX, &left);
	if (r < 0)
		return r;

	(void) begin_ok(call);
	while (left >= line_min) {
		size_t len = left < line_len + line_min ? (size_t) left : line_len;
		buf_puts(&call->answer->text, "X-Big: ");
		char *value = buf_grow(&call->answer->text, len - line_min);
		if (value)
			memset(value, 'x', len - line_min);
		buf_puts(&call->answer->text, "\r\n");
		left -= len;
	}
	return finish_small(call);
}

int add_retry_after(struct call *call)
{
	struct slice value = { 0 };

	if (!text_query(call->req->query, "retry_after", &value))
		return 0;
	return answer_field_decoded(call->answer, "Retry-After", value);
}

/* /status/CODE?retry_after=VALUE */
int handle_status(struct call *call)
{
	uint64_t status = 0;
	int r = text_number(call->rest, ORIGIN_STATUS_MAX - 1, &status);
	if (r < 0 || status < 200)
		return -EINVAL;

	answer_begin(call->answer, call->req, (unsigned) status);
	r = add_retry_after(call);
	if (r < 0)
		return r;
	if (status != 204 && status != 304)
		return finish_small(call);
	answer_end_head(call->answer);
	return 0;
}

/* /delay/SECONDS and /delay/MIN-MAX */
int handle_delay(struct call *call)
{
	struct slice longest = call->rest;
	struct slice shortest = slice_cut(&longest, '-');
	uint64_t min_ns = 0;
	uint64_t max_ns = 0;

	if (text_seconds(shortest, &min_ns) < 0)
		return -EINVAL;
	if (shortest.len == call->rest.len)
		max_ns = min_ns;
	else if (text_seconds(longest, &max_ns) < 0 || max_ns < min_ns)
		return -EINVAL;

	(void) handle_ok(call);
	call->answer->wait_ns = min_ns;
	if (max_ns > min_ns)
		call->answer->wait_ns += origin_random(call->origin, max_ns - min_ns);
	return 0;
}

/* /drip/BYTES/SECONDS */
int handle_drip(struct call *call)
{
	struct answer *a = call->answer;
	struct slice seconds = call->rest;
	struct slice bytes = slice_cut(&seconds, '/');
	uint64_t len = 0;
	uint64_t duration_ns = 0;

	if (text_number(bytes, FILL_MAX, &len) < 0 || text_seconds(seconds, &duration_ns) < 0)
		return -EINVAL;

	(void) begin_ok(call);
	answer_finish(a, len);
	answer_pace(a, a->head_len, a->head_len + len, duration_ns);
	return 0;
}

/* /slow-headers/SECONDS */
int handle_slow_headers(struct call *call)
{
	uint64_t duration_ns = 0;
	int r = text_seconds(call->rest, &duration_ns);
	if (r < 0)
		return r;

	(void) handle_ok(call);
	answer_pace(call->answer, 0, call->answer->head_len, duration_ns);
	return 0;
}

/* Begins a redirection with the status that the query asks for, or 302. */
static int begin_redirect(struct call *call, struct slice *ret_code)
{
	uint64_t status = 302;
	struct slice code = { 0 };

	if (text_query(call->req->query, "code", &code) &&
	    (text_number(code, 399, &status) < 0 || status < 300))
		return -EINVAL;
	answer_begin(call->answer, call->req, (unsigned) status);
	*ret_code = code;
	return 0;
}

/* /redirect/N?code=CODE: N steps down to 0, which is the target. */
int handle_redirect(struct call *call)
{
	struct buf *text = &call->answer->text;
	struct slice code = { 0 };
	uint64_t steps = 0;

	if (text_number(call->rest, INT32_MAX, &steps) < 0)
		return -EINVAL;
	if (steps == 0)
		return handle_ok(call);

	int r = begin_redirect(call, &code);
	if (r < 0)
		return r;
	buf_puts(text, "Location: /redirect/");
	buf_put_number(text, steps - 1);
	if (code.len > 0) {
		buf_puts(text, "?code=");
		buf_put(text, code);
	}
	buf_puts(text, "\r\n");
	return finish_small(call);
}

/* /redirect-to?url=URL&code=CODE */
int handle_redirect_to(struct call *call)
{
	struct slice code = { 0 };
	struct slice url = { 0 };

	if (!text_query(call->req->query, "url", &url))
		return -EINVAL;
	int r = begin_redirect(call, &code);
	if (r < 0)
		return r;
	r = answer_field_decoded(call->answer, "Location", url);
	if (r < 0)
		return r;
	return finish_small(call);
}

/* /redirect-loop */
int handle_redirect_loop(struct call *call)
{
	struct slice code = { 0 };
	int r = begin_redirect(call, &code);
	if (r < 0)
		return r;

	answer_field(call->answer, "Location", call->req->target);
	return finish_small(call);
}

int count_flaky(struct call *call, struct tally *ids, bool *ret_fails)
{
	struct slice id = call->rest;
	struct slice times = slice_cut(&id, '/');
	uint64_t failures = 0;

	if (text_number(times, UINT32_MAX, &failures) < 0 || id.len == 0)
		return -EINVAL;
	const struct entry *e = tally_count(ids, id);
	if (!e)
		return -ENOSPC;
	*ret_fails = e->count <= failures;
	return 0;
}

/* /flaky/K/ID?retry_after=VALUE */
int handle_flaky(struct call *call)
{
	bool fails = false;
	int r = count_flaky(call, &call->origin->flaky, &fails);
	if (r < 0)
		return r;
	if (!fails)
		return handle_ok(call);

	answer_begin(call->answer, call->req, 503);
	r = add_retry_after(call);
	if (r < 0)
		return r;
	return finish_small(call);
}
