/* SPDX-License-Identifier: Apache-2.0 */
/* The store of bodies; private to bodies.c and body.c. */
#ifndef PENSTOCK_SINK_BODIES_PARTS_H
#define PENSTOCK_SINK_BODIES_PARTS_H

#include "base/wake.h"
#include "sink/bodies.h"
#include "sink/bodies_dir.h"

#include <openssl/evp.h>
#include <stdatomic.h>

struct bodies {
	struct bodies_options options;
	struct bodies_dir dir; /* BODIES_FILES */
	EVP_MD *sha256;
	bool sync_failed; /* the last time; bodies_sync()'s own */

	struct mutex lock;
	struct wake memory_wake;  /* has_room() */
	struct wake trouble_wake; /* error == 0, or cancelled; later next_try_ns */
	uint64_t memory_bytes GUARDED_BY(lock);
	bool cancelled GUARDED_BY(lock);
	uint64_t next_try_ns GUARDED_BY(lock); /* of files, while there is an error */
	atomic_int error;                      /* changed under 'lock' */

	_Atomic uint64_t kept, kept_bytes, duplicates;
	struct histogram publications;
};

/* Draws 'n' <= max_inline bytes from the budget, of which the thread must hold nothing, and
 * waits for them if need be.  Returns 0, -ETIMEDOUT or -ECANCELED. */
NODISCARD NONNULL(1) int bodies_draw(struct bodies *b, uint64_t n, uint64_t deadline_ns);
NONNULL(1) void bodies_give_back(struct bodies *b, uint64_t n);

/* See body_admit(). */
NODISCARD NONNULL(1) int bodies_admit(struct bodies *b);

/* What has become of a file: it failed with an error, or it is kept. */
NONNULL(1) void bodies_failed(struct bodies *b, int error);
NONNULL(1) void bodies_succeeded(struct bodies *b);

#endif
