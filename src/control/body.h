/* SPDX-License-Identifier: Apache-2.0 */
/* A request's body that is small enough to be held. */
#ifndef PENSTOCK_CONTROL_BODY_H
#define PENSTOCK_CONTROL_BODY_H

#include "base/attr.h"
#include "base/buf.h"
#include "control/reply.h"

/* Zero-initialised is empty. */
struct body {
	struct buf text;
	int error; /* -EMSGSIZE or -ENOMEM: nothing is held any more */
};

/* All of it may have 'max' bytes. */
NONNULL(1) void body_add(struct body *b, const char *data, size_t n, size_t max);

/* Makes the empty 'reply' a problem of the error; the words are for a body that is too large. */
NONNULL(1, 2, 3, 4)
void body_refuse(const struct body *b, const char *too_large, struct reply *reply,
                 struct engine *engine);

/* Frees the memory.  Idempotent. */
NONNULL(1) void body_done(struct body *b);

#endif
