/* SPDX-License-Identifier: Apache-2.0
 *
 * The head of an HTTP/1.x request (RFC 9112), read strictly: a test origin should notice what a
 * client does wrong. */
#ifndef ORIGIN_REQUEST_H
#define ORIGIN_REQUEST_H

#include "attr.h"
#include "text.h"

#include <stdbool.h>
#include <stdint.h>

/* Every slice borrows from the head that was parsed. */
struct request {
	struct slice method;
	struct slice target;     /* as sent */
	struct slice version;    /* "HTTP/1.1" */
	struct slice path;       /* of the target, without authority and query */
	struct slice query;      /* without the '?'; empty if there is none */
	struct slice fields;     /* the header lines; walk them with request_next_field() */
	uint64_t content_length; /* 0 unless given */
	bool is_http10;
	bool is_head;            /* HEAD: the answer has no body */
	bool keeps_alive;        /* another request may follow */
	bool is_chunked;         /* the body comes in chunks */
	bool has_length;
	bool expects_continue;
};

/*
 * Parses 'head', which ends with its empty line.
 *
 * Returns 0, or -EBADMSG for a request that breaks RFC 9112, including one of HTTP/1.1 without
 * Host and one with an ambiguous body length.
 */
NODISCARD NONNULL(2) int request_parse(struct slice head, struct request *ret_request);

/* Takes the next header line off '*fields'.  False when none is left or it is malformed. */
NONNULL(1, 2, 3)
bool request_next_field(struct slice *fields, struct slice *ret_name, struct slice *ret_value);

#endif
