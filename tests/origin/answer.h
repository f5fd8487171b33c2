/* SPDX-License-Identifier: Apache-2.0
 *
 * An answer: what a route decided to send, how fast, and how it ends.
 *
 * The bytes are 'text' (the head and small bodies) and then generated filling, which exists only
 * while it is sent.  Filling repeats one line of 64 characters from the start of the body:
 *
 *     0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-\n
 *
 * A route builds: answer_begin(), answer_field()..., answer_end_head(), answer_fill(); then it
 * may change the members.  The connection plays: answer_next(), answer_sent(), until
 * answer_is_complete(). */
#ifndef ORIGIN_ANSWER_H
#define ORIGIN_ANSWER_H

#include "attr.h"
#include "buf.h"
#include "request.h"
#include "text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* As a wait: the answer never comes. */
#define ANSWER_NEVER_NS UINT64_MAX

/* What happens to the connection after the last byte. */
enum ending {
	ENDING_KEEP,   /* wait for the next request */
	ENDING_CLOSE,  /* close */
	ENDING_LINGER, /* close, but first drain what comes, lest a RST destroy the answer */
	ENDING_RESET,  /* close with a RST, once the peer has every byte */
	ENDING_HANG,   /* do nothing until the peer leaves */
};

struct answer {
	/* Decided by the route. */
	struct buf text;      /* owned; reused from request to request */
	size_t head_len;      /* bytes of 'text' that are the head; 0 while it is open */
	unsigned status;      /* 0 when there is no proper head */
	bool is_http10;       /* the request was */
	bool is_chunked;      /* the filling is sent in chunks */
	uint64_t fill_left;   /* bytes of filling not yet made */
	uint64_t wait_ns;     /* before the first byte */
	uint64_t pace_from;   /* the bytes from here ... */
	uint64_t pace_to;     /* ... to here, counted from the start of the answer, ... */
	uint64_t pace_ns;     /* ... are spread evenly over this time */
	enum ending ending;

	/* Kept while playing. */
	size_t text_sent;     /* bytes of 'text' */
	uint64_t sent;        /* bytes of the whole answer */
	uint64_t fill_made;   /* bytes of filling */
	uint64_t began_ns;    /* when sending began */
};

/* Prepares the filling; call it once, first. */
void answer_prepare_filling(void);

/* Starts over with the status line.  'req' may be NULL: then the connection closes afterwards. */
NONNULL(1) void answer_begin(struct answer *a, const struct request *req, unsigned status);

/* Starts over with no bytes at all, for what is not HTTP. */
NONNULL(1) void answer_begin_raw(struct answer *a, enum ending ending);

NONNULL(1, 2) void answer_field(struct answer *a, const char *name, struct slice value);
NONNULL(1, 2) void answer_field_number(struct answer *a, const char *name, uint64_t value);

/* Adds a field whose value is percent-encoded.  Returns 0, or -EINVAL if it cannot be one. */
NODISCARD NONNULL(1, 2)
int answer_field_decoded(struct answer *a, const char *name, struct slice value);

/* Ends the head, with "Connection" as the ending so far asks for it. */
NONNULL(1) void answer_end_head(struct answer *a);

/* Adds 'len' bytes of filling.  Chunked, this is the whole body. */
NONNULL(1) void answer_fill(struct answer *a, uint64_t len);

/* Ends the head for a text/plain body of 'len' bytes of filling, and adds it. */
NONNULL(1) void answer_finish(struct answer *a, uint64_t len);

/* Ends the head for 'body', and adds it. */
NONNULL(1, 2) void answer_finish_with(struct answer *a, const char *type, struct slice body);

/* Spreads what follows byte 'from' up to byte 'to' over 'duration_ns'. */
NONNULL(1)
void answer_pace(struct answer *a, uint64_t from, uint64_t to, uint64_t duration_ns);

/* Reduces the answer to its head, for HEAD. */
NONNULL(1) void answer_omit_body(struct answer *a);

static inline bool answer_is_paced(const struct answer *a)
{
	return a->pace_ns > 0;
}

/* Whether all is sent. */
NONNULL(1) bool answer_is_complete(const struct answer *a);

/* The bytes to send next, borrowed until the next call; none if the pace says to wait. */
NONNULL(1) struct slice answer_next(struct answer *a, uint64_t now_ns);

/* Whether more bytes can follow at once what answer_next() returned. */
NONNULL(1) bool answer_has_more(const struct answer *a);

/* Notes that 'len' of those bytes are sent. */
NONNULL(1) void answer_sent(struct answer *a, size_t len);

/* When the next byte of a paced answer is due. */
NONNULL(1) uint64_t answer_next_due_ns(const struct answer *a);

/* Releases what 'a' owns.  Idempotent. */
NONNULL(1) void answer_done(struct answer *a);

#endif
