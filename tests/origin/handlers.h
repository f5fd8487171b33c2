/* SPDX-License-Identifier: Apache-2.0
 *
 * The handlers behind the table in routes.c.
 *
 * Each builds call->answer and returns 0; or it returns -EINVAL for arguments it cannot use,
 * -ENOENT for what does not exist, or -ENOSPC when a tally is full, and the answer is replaced. */
#ifndef ORIGIN_HANDLERS_H
#define ORIGIN_HANDLERS_H

#include "attr.h"
#include "routes.h"

enum {
	SMALL_BODY_LEN = 128,
};

/* The longest body that is generated. */
#define FILL_MAX (UINT64_C(1) << 30)

typedef int handler(struct call *call);

/* routes_sound.c: answers a client should accept. */
handler handle_ok, handle_bytes, handle_chunked, handle_no_length, handle_content_type;
handler handle_big_headers, handle_status, handle_delay, handle_drip, handle_slow_headers;
handler handle_redirect, handle_redirect_to, handle_redirect_loop, handle_flaky, handle_seen;

/* routes_faulty.c: answers a client must survive. */
handler handle_stall, handle_stall_body, handle_flaky_reset, handle_short, handle_long;
handler handle_bad_chunk, handle_bad_length, handle_garbage, handle_reset, handle_reset_body;
handler handle_close, handle_close_after;

/* routes_report.c: what the origin saw. */
handler handle_echo, handle_counters, handle_path, handle_reset_counters;

/* Copies the Retry-After that the query asks for, if any.  Returns 0 or -EINVAL. */
NODISCARD NONNULL(1) int add_retry_after(struct call *call);

/* Reads the K of "K/ID" and counts a request of that ID.
 * Stores whether it is among the first K; the errors are those of a handler. */
NODISCARD NONNULL(1, 2, 3)
int count_flaky(struct call *call, struct tally *ids, bool *ret_fails);

#endif
