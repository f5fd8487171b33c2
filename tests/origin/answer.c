/* SPDX-License-Identifier: Apache-2.0 */
#include "answer.h"

#include <string.h>

#define FILL_LINE "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-\n"

enum {
	FILL_LINE_LEN = sizeof(FILL_LINE) - 1,
	FILL_BLOCK_LEN = 256 * 1024, /* sent by one call at most */
	FILL_IN_TEXT_MAX = 16 * 1024, /* less is copied behind the head: one send instead of two */
	CHUNK_LEN = 16 * 1024,
};

/* Constant after answer_prepare_filling().  The extra line lets a block start anywhere in one. */
static char fill_block[FILL_BLOCK_LEN + FILL_LINE_LEN];

void answer_prepare_filling(void)
{
	for (size_t at = 0; at < sizeof(fill_block); at += FILL_LINE_LEN)
		memcpy(fill_block + at, FILL_LINE, FILL_LINE_LEN);
}

static const char *reason_of(unsigned status)
{
	static const struct {
		unsigned status;
		const char *reason;
	} known[] = {
		{ 200, "OK" },
		{ 201, "Created" },
		{ 202, "Accepted" },
		{ 204, "No Content" },
		{ 206, "Partial Content" },
		{ 301, "Moved Permanently" },
		{ 302, "Found" },
		{ 303, "See Other" },
		{ 304, "Not Modified" },
		{ 307, "Temporary Redirect" },
		{ 308, "Permanent Redirect" },
		{ 400, "Bad Request" },
		{ 401, "Unauthorized" },
		{ 403, "Forbidden" },
		{ 404, "Not Found" },
		{ 408, "Request Timeout" },
		{ 410, "Gone" },
		{ 429, "Too Many Requests" },
		{ 431, "Request Header Fields Too Large" },
		{ 500, "Internal Server Error" },
		{ 502, "Bad Gateway" },
		{ 503, "Service Unavailable" },
		{ 504, "Gateway Timeout" },
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (known[i].status == status)
			return known[i].reason;
	return "Unnamed";
}

void answer_begin_raw(struct answer *a, enum ending ending)
{
	struct buf text = a->text;

	buf_clear(&text);
	*a = (struct answer) { .text = text, .ending = ending };
}

void answer_begin(struct answer *a, const struct request *req, unsigned status)
{
	answer_begin_raw(a, req && req->keeps_alive ? ENDING_KEEP : ENDING_CLOSE);
	a->status = status;
	a->is_http10 = req && req->is_http10;
	buf_puts(&a->text, "HTTP/1.1 ");
	buf_put_number(&a->text, status);
	buf_puts(&a->text, " ");
	buf_puts(&a->text, reason_of(status));
	buf_puts(&a->text, "\r\n");
}

void answer_field(struct answer *a, const char *name, struct slice value)
{
	buf_puts(&a->text, name);
	buf_puts(&a->text, ": ");
	buf_put(&a->text, value);
	buf_puts(&a->text, "\r\n");
}

void answer_field_number(struct answer *a, const char *name, uint64_t value)
{
	buf_puts(&a->text, name);
	buf_puts(&a->text, ": ");
	buf_put_number(&a->text, value);
	buf_puts(&a->text, "\r\n");
}

int answer_field_decoded(struct answer *a, const char *name, struct slice value)
{
	buf_puts(&a->text, name);
	buf_puts(&a->text, ": ");
	int r = buf_put_decoded(&a->text, value);
	buf_puts(&a->text, "\r\n");
	return r;
}

void answer_end_head(struct answer *a)
{
	if (a->ending != ENDING_KEEP)
		buf_puts(&a->text, "Connection: close\r\n");
	else if (a->is_http10)
		buf_puts(&a->text, "Connection: keep-alive\r\n");
	buf_puts(&a->text, "\r\n");
	a->head_len = a->text.len;
}

static const char *filling(const struct answer *a)
{
	return fill_block + a->fill_made % FILL_LINE_LEN;
}

static void put_filling(struct answer *a, size_t len)
{
	buf_put(&a->text, (struct slice) { .at = filling(a), .len = len });
	a->fill_made += len;
	a->fill_left -= len;
}

/* Appends the next chunk, and the end of the body behind the last one (RFC 9112, 7.1). */
static void put_chunk(struct answer *a)
{
	size_t len = a->fill_left < CHUNK_LEN ? (size_t) a->fill_left : CHUNK_LEN;

	if (len > 0) {
		buf_put_hex(&a->text, len);
		buf_puts(&a->text, "\r\n");
		put_filling(a, len);
		buf_puts(&a->text, "\r\n");
	}
	if (a->fill_left == 0)
		buf_puts(&a->text, "0\r\n\r\n");
}

void answer_fill(struct answer *a, uint64_t len)
{
	a->fill_left = len;
	if (a->is_chunked)
		put_chunk(a);
	else if (len <= FILL_IN_TEXT_MAX)
		put_filling(a, (size_t) len);
}

void answer_finish(struct answer *a, uint64_t len)
{
	answer_field(a, "Content-Type", slice_of("text/plain"));
	answer_field_number(a, "Content-Length", len);
	answer_end_head(a);
	answer_fill(a, len);
}

void answer_finish_with(struct answer *a, const char *type, struct slice body)
{
	answer_field(a, "Content-Type", slice_of(type));
	answer_field_number(a, "Content-Length", body.len);
	answer_end_head(a);
	buf_put(&a->text, body);
}

void answer_pace(struct answer *a, uint64_t from, uint64_t to, uint64_t duration_ns)
{
	if (to == from)
		return;
	a->pace_from = from;
	a->pace_to = to;
	a->pace_ns = duration_ns;
}

void answer_omit_body(struct answer *a)
{
	if (a->head_len > 0 && a->head_len < a->text.len)
		a->text.len = a->head_len;
	a->fill_left = 0;
	a->is_chunked = false;
}

bool answer_is_complete(const struct answer *a)
{
	return a->text_sent == a->text.len && a->fill_left == 0;
}

/* How many bytes of the whole answer may be sent by now. */
static uint64_t pace_limit(const struct answer *a, uint64_t now_ns)
{
	uint64_t elapsed_ns = now_ns - a->began_ns;

	if (!answer_is_paced(a) || elapsed_ns >= a->pace_ns)
		return UINT64_MAX;
	double share = (double) elapsed_ns / (double) a->pace_ns;
	return a->pace_from + (uint64_t) (share * (double) (a->pace_to - a->pace_from));
}

uint64_t answer_next_due_ns(const struct answer *a)
{
	double share = (double) (a->sent + 1 - a->pace_from) / (double) (a->pace_to - a->pace_from);
	return a->began_ns + (uint64_t) (share * (double) a->pace_ns);
}

struct slice answer_next(struct answer *a, uint64_t now_ns)
{
	if (a->text_sent == a->text.len && a->is_chunked && a->fill_left > 0) {
		buf_clear(&a->text);
		a->text_sent = 0;
		put_chunk(a);
	}

	struct slice next = { .at = a->text.at + a->text_sent, .len = a->text.len - a->text_sent };
	if (next.len == 0) {
		next.at = filling(a);
		next.len = a->fill_left < FILL_BLOCK_LEN ? (size_t) a->fill_left : FILL_BLOCK_LEN;
	}

	uint64_t limit = pace_limit(a, now_ns) - a->sent;
	if (next.len > limit)
		next.len = (size_t) limit;
	return next;
}

bool answer_has_more(const struct answer *a)
{
	return !answer_is_paced(a) && a->text_sent < a->text.len && a->fill_left > 0;
}

void answer_sent(struct answer *a, size_t len)
{
	a->sent += len;
	if (a->text_sent < a->text.len) {
		a->text_sent += len;
	} else {
		a->fill_made += len;
		a->fill_left -= len;
	}
}

void answer_done(struct answer *a)
{
	buf_done(&a->text);
}
