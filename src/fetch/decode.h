/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Undoes a Content-Encoding (RFC 9110, section 8.4) as the body comes: gzip (RFC 1952),
 * deflate (zlib's form, RFC 1950, or the bare one, RFC 1951, that some servers send), br
 * (RFC 7932) and zstd (RFC 8878).
 *
 * libcurl 7.88 could do it, but takes a stream that was cut short for a whole one, gives
 * each zstd stream up to 128 MiB, and undoes as many encodings in a row as there are within
 * one call, which lasted for seconds on 19 kB.
 *
 * A decoder belongs to one thread at a time.
 */
#ifndef PENSTOCK_FETCH_DECODE_H
#define PENSTOCK_FETCH_DECODE_H

#include "base/attr.h"

#include <stdbool.h>
#include <stddef.h>

/* Bytes that a decoder for a coding, in any case, of 'n' characters takes at most; 0 if it is none
 * of the above. */
NODISCARD NONNULL(1) size_t decoder_max_bytes(const char *coding, size_t n);

struct decoder;

/* Makes a decoder for a coding, in any case, of 'n' characters.  Returns 0, -ENOMEM, or
 * -EOPNOTSUPP if it is not one of the above.  Free with decoder_free(). */
NODISCARD NONNULL(1, 3)
int decoder_create(const char *coding, size_t n, struct decoder **ret_decoder);

/* Ignores NULL, returns NULL. */
struct decoder *decoder_free(struct decoder *d);

/*
 * Decodes a piece of the body, and gives what comes of it to 'sink', in pieces.  Returns 0,
 * -EPROTO if it is not of the coding, or goes on behind its end, or wants too large a window;
 * -ENOMEM; or what 'sink' has returned, if that was not 0, and which has ended it.
 */
NODISCARD NONNULL(1, 2, 4)
int decoder_feed(struct decoder *d, const char *data, size_t n,
                 int (*sink)(void *arg, const char *data, size_t n), void *arg);

/* Whether what was fed so far is whole. */
NONNULL(1) bool decoder_is_whole(const struct decoder *d);

#endif
