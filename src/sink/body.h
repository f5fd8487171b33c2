/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A body that is being taken in, and kept; its owner uses it again for the next one.
 *
 *     admit ─► [begin ─► take…] ─► finish ─► add_json ─► drop
 *                                └────────── otherwise ──┘
 *
 * Not thread-safe.
 */
#ifndef PENSTOCK_SINK_BODY_H
#define PENSTOCK_SINK_BODY_H

#include "base/attr.h"
#include "base/buf.h"
#include "sink/bodies.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct body;

/* The store is borrowed for the body's life.  Returns 0 or -ENOMEM.  Free with body_free(). */
NODISCARD NONNULL(1, 2) int body_create(struct bodies *store, struct body **ret_body);
struct body *body_free(struct body *body);

/*
 * Asks, before anything is fetched, whether it could be kept.  While files fail that is so
 * about once a second, for whoever is to try again; the others wait for as long as that at
 * most.  Returns 0, -ECANCELED, or why files cannot be written.
 */
NODISCARD NONNULL(1) int body_admit(struct body *body);

/*
 * The first byte is there.  'announced' is the whole length, UINT64_MAX if that is not known.
 * Waits for memory until the deadline (CLOCK_MONOTONIC).  Returns 0, -ETIMEDOUT, -ECANCELED,
 * -ENOMEM, or why a file cannot be made.  'arg' is the body, as in fetch_request.
 */
NODISCARD NONNULL(1) int body_begin(void *arg, uint64_t announced, uint64_t deadline_ns);

/* Takes the next bytes.  Returns 0, or why they cannot be written; -EFBIG: never (setrlimit(2),
 * or the file system). */
NODISCARD NONNULL(1, 2) int body_take(void *arg, const char *data, size_t n);

/* It is whole, or 'truncated'; if it was not begun it is empty.  Returns 0, or why it cannot be
 * kept. */
NODISCARD NONNULL(1) int body_finish(struct body *body, bool truncated);

/*
 * Appends what is said of it in its record, a JSON object: "path", "text" or "base64"; "bytes"
 * and "sha256", of what was kept; "truncated".
 *
 * Text is what is UTF-8, unless it had to be escaped so much (control characters) that it were
 * more than twice as long.  A character that was cut off in its middle is left out of it.
 */
NONNULL(1, 2) void body_add_json(const struct body *body, struct buf *b);

/* Gives back what the body has of memory and files, finished or not.  Idempotent. */
NONNULL(1) void body_drop(struct body *body);

#endif
