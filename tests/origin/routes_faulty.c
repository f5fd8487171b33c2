/* SPDX-License-Identifier: Apache-2.0
 *
 * Routes that break off, lie about lengths, or do not speak HTTP.  Apart from their fault they
 * promise what a sound answer would: only the ending betrays them. */
#include "handlers.h"

#include <errno.h>

/* /stall */
int handle_stall(struct call *call)
{
	answer_begin_raw(call->answer, ENDING_CLOSE);
	call->answer->wait_ns = ANSWER_NEVER_NS;
	return 0;
}

/* Claims 'claimed' bytes, sends 'sent', and ends. */
static void finish_lying(struct call *call, uint64_t claimed, uint64_t sent, enum ending ending)
{
	struct answer *a = call->answer;

	answer_begin(a, call->req, 200);
	answer_field(a, "Content-Type", slice_of("text/plain"));
	answer_field_number(a, "Content-Length", claimed);
	answer_end_head(a);
	answer_fill(a, sent);
	a->ending = ending;
}

/* /stall-body */
int handle_stall_body(struct call *call)
{
	finish_lying(call, 1000, 10, ENDING_HANG);
	return 0;
}

/* /short/N */
int handle_short(struct call *call)
{
	uint64_t len = 0;
	int r = text_number(call->rest, FILL_MAX, &len);
	if (r < 0)
		return r;

	finish_lying(call, len + 100, len, ENDING_CLOSE);
	return 0;
}

/* /long/N */
int handle_long(struct call *call)
{
	uint64_t len = 0;
	int r = text_number(call->rest, FILL_MAX, &len);
	if (r < 0)
		return r;

	finish_lying(call, len, len + 100, ENDING_CLOSE);
	return 0;
}

/* /reset-body/N */
int handle_reset_body(struct call *call)
{
	uint64_t len = 0;
	int r = text_number(call->rest, FILL_MAX, &len);
	if (r < 0)
		return r;

	finish_lying(call, len * 2, len, ENDING_RESET);
	return 0;
}

/* /close-after */
int handle_close_after(struct call *call)
{
	finish_lying(call, SMALL_BODY_LEN, SMALL_BODY_LEN, ENDING_CLOSE);
	return 0;
}

/* A head with one peculiar field, and then 'body' as it is. */
static int finish_broken(struct call *call, const char *name, const char *value, const char *body)
{
	struct answer *a = call->answer;

	answer_begin(a, call->req, 200);
	answer_field(a, "Content-Type", slice_of("text/plain"));
	answer_field(a, name, slice_of(value));
	answer_end_head(a);
	buf_puts(&a->text, body);
	a->ending = ENDING_CLOSE;
	return 0;
}

/* /bad-chunk */
int handle_bad_chunk(struct call *call)
{
	return finish_broken(call, "Transfer-Encoding", "chunked",
			     "5\r\nhello\r\nnot-hex\r\nx\r\n");
}

/* /bad-length */
int handle_bad_length(struct call *call)
{
	return finish_broken(call, "Content-Length", "banana", "hello\n");
}

/* /garbage */
int handle_garbage(struct call *call)
{
	answer_begin_raw(call->answer, ENDING_CLOSE);
	buf_puts(&call->answer->text, "\x16\x03\x01 220 this is no HTTP server\r\n\r\n");
	return 0;
}

/* /reset */
int handle_reset(struct call *call)
{
	answer_begin_raw(call->answer, ENDING_RESET);
	return 0;
}

/* /close */
int handle_close(struct call *call)
{
	answer_begin_raw(call->answer, ENDING_CLOSE);
	return 0;
}

/* /flaky-reset/K/ID */
int handle_flaky_reset(struct call *call)
{
	bool fails = false;
	int r = count_flaky(call, &call->origin->flaky_resets, &fails);
	if (r < 0)
		return r;
	return fails ? handle_reset(call) : handle_ok(call);
}
