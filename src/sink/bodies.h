/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bodies that are kept of responses: in their records, up to a limit, or in files that
 * are named after their SHA-256.  See body.h for one of them.
 *
 * Bodies for records are in memory, and share a budget.  Whoever takes a body in draws what
 * it may need from it, once and holding nothing of it before, and waits for that; so all of
 * them get on, whatever is under way.
 *
 * A disk that is full or fails is nobody's fault but this machine's: see body_admit().
 */
#ifndef PENSTOCK_SINK_BODIES_H
#define PENSTOCK_SINK_BODIES_H

#include "base/attr.h"
#include "base/histogram.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum bodies_mode { BODIES_NONE, BODIES_INLINE, BODIES_FILES };

struct bodies_options {
	enum bodies_mode mode;    /* not BODIES_NONE */
	uint64_t max_inline;      /* BODIES_INLINE: bytes of a body; what follows is cut off… */
	uint64_t inline_memory;   /* …and of all of them together; at least max_inline */
	const char *dir;          /* BODIES_FILES: the folder; borrowed for the store's life */
	bool durable;             /* BODIES_FILES: files are on disk before their records are */

	/* Called by any thread when files begin to fail, with the error, and with 0 when that is
	 * over.  May be NULL. */
	void (*trouble)(void *arg, int error);
	void *arg;
};

/* As it is in settings and answers: "none", "inline", "files". */
const char *bodies_mode_name(enum bodies_mode mode);

struct bodies;

/* Returns 0, -ENOMEM, or what bodies_dir_open() does.  Close with bodies_close(). */
NODISCARD NONNULL(1, 2)
int bodies_open(const struct bodies_options *options, struct bodies **ret_bodies);

/* No body may be left.  Ignores NULL, returns NULL. */
struct bodies *bodies_close(struct bodies *b);

/* Says what stands in the way of bodies_open() in a folder, and changes nothing.  Returns 0, or
 * what stat(2) or access(2) say of it, or of where it is to be made. */
NODISCARD NONNULL(1) int bodies_check_dir(const char *path);

/* What follows is safe from any thread. */

/* Ends every wait, now and from now on, with -ECANCELED.  Idempotent. */
NONNULL(1) void bodies_cancel(struct bodies *b);

/* Makes durable what was finished before the call, if the store is; for one thread at a time.
 * Returns 0, or what open(2) or fsync(2) say. */
NODISCARD NONNULL(1) int bodies_sync(struct bodies *b);

/* Why files cannot be written now; 0 if they can. */
NODISCARD NONNULL(1) int bodies_error(const struct bodies *b);

struct bodies_stats {
	enum bodies_mode mode;
	uint64_t kept;         /* bodies */
	uint64_t kept_bytes;
	uint64_t duplicates;   /* of them, those whose content was there already: files only */
	uint64_t memory_bytes; /* of the budget, in use */
	unsigned waiting;      /* threads that wait for the budget */
	uint64_t waited_ns;    /* summed over threads */
	struct histogram_figures publications; /* of files: to be on disk, with their names */
	int error;             /* as bodies_error() */
};
NONNULL(1, 2) void bodies_stats(struct bodies *b, struct bodies_stats *ret_stats);

#endif
