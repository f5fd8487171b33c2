/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Idle handles, by origin, shared by all workers: whoever fetches from an origin
 * gets the live connection that was used last, so that the connections not
 * needed any more grow old and go.  Bounded: the oldest makes room.
 *
 * Safe from any thread.
 */
#ifndef PENSTOCK_FETCH_POOL_H
#define PENSTOCK_FETCH_POOL_H

#include "base/attr.h"
#include "fetch/handle.h"

#include <stddef.h>

struct pool;

/* Creates an empty pool for at most 'max_idle' handles; 0 keeps none.  Returns 0
 * or -ENOMEM.  Free with pool_free(), which frees the handles in it. */
NODISCARD NONNULL(2) int pool_create(size_t max_idle, struct pool **ret_pool);
struct pool *pool_free(struct pool *p);

/* Takes out the handle of 'origin' that was given last; NULL if there is none. */
NONNULL(1, 2) struct handle *pool_take(struct pool *p, const char *origin);

/* Gives an idle handle to the pool. */
NONNULL(1, 2) void pool_give(struct pool *p, struct handle *h);

/* Idle handles at some moment during the call. */
NONNULL(1) size_t pool_idle(struct pool *p);

#endif
