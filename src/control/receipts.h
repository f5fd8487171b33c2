/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is to be answered once a request's body has ended, however much it is: small
 * amounts in memory, the rest in a file without a name.
 */
#ifndef PENSTOCK_CONTROL_RECEIPTS_H
#define PENSTOCK_CONTROL_RECEIPTS_H

#include "base/attr.h"
#include "control/reply.h"

#include <stdint.h>

enum { RECEIPTS_MEMORY_BYTES = 64 * 1024 };

/* Zero-initialised is empty. */
struct receipts {
	struct buf memory; /* append here, some KiB at a time, and call receipts_spill() */
	int file;          /* if file_bytes > 0 */
	uint64_t file_bytes;
};

/* Moves to a file in 'folder' (NULL: to memory that has the form of a file) what is more
 * than shall be held.  Returns 0, -ENOMEM or what write(2) says. */
NODISCARD NONNULL(1) int receipts_spill(struct receipts *r, const char *folder);

/* Hands all of it to the reply as its body.  Returns as receipts_spill() does. */
NODISCARD NONNULL(1, 3)
int receipts_finish(struct receipts *r, const char *folder, struct reply *reply);

/* Releases what 'r' owns and makes it empty.  Idempotent. */
NONNULL(1) void receipts_done(struct receipts *r);

#endif
