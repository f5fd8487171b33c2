/* SPDX-License-Identifier: Apache-2.0
 *
 * The bytes that came in on one connection and are not yet used.
 *
 *     | head_len bytes: head of the current request | body, or next requests | free |
 *                                                                        len ^
 *
 * The head is neither moved nor overwritten until input_next(), so slices of it stay valid. */
#ifndef ORIGIN_INPUT_H
#define ORIGIN_INPUT_H

#include "attr.h"
#include "text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	INPUT_HEAD_MAX = 64 * 1024,
	INPUT_LEN = INPUT_HEAD_MAX + 16 * 1024, /* pages never touched cost nothing */
};

struct input {
	bool is_readable; /* recv() may give bytes, or the end */
	bool has_ended;   /* the peer said that no more bytes follow what the socket holds */
	size_t head_len;  /* 0 until the head is found */
	size_t scanned;   /* bytes that are known not to hold the end of the head */
	size_t len;
	char bytes[INPUT_LEN];
};

/* Makes it empty, in less time than zeroing it would take. */
NONNULL(1) void input_init(struct input *in);

/*
 * Reads from 'fd' what there is room for, and adds the number of bytes to '*count'.
 *
 * Returns 0 if there is more now, -EAGAIN if the next edge has to come first, -EPIPE at the end,
 * or the -errno of recv().
 */
NODISCARD NONNULL(1, 3) int input_read(struct input *in, int fd, uint64_t *count);

/*
 * Finds the next head and sets 'head_len'.
 *
 * Returns 0; -EAGAIN if more bytes are needed; -EMSGSIZE for a head that is too long; -EBADMSG
 * for bytes that can never become one, as from a client that speaks TLS.
 */
NODISCARD NONNULL(1) int input_find_head(struct input *in);

/* The current head, and what follows it. */
NONNULL(1) struct slice input_head(const struct input *in);
NONNULL(1) struct slice input_rest(const struct input *in);

/* Drops the first 'len' bytes of the rest. */
NONNULL(1) void input_use(struct input *in, size_t len);

/* Drops the head: the rest begins with the next one. */
NONNULL(1) void input_next(struct input *in);

/* Drops everything. */
NONNULL(1) void input_clear(struct input *in);

#endif
