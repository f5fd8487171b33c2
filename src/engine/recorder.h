/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The recorder: one thread that settles jobs with the backlog and appends their
 * results to the log.
 *
 * What is durable comes first.  With a backlog in memory the record is appended, and
 * then the job is settled.  A durable backlog keeps the record itself: there the job is
 * settled, and then the record is appended; the log is synced and marked in the backlog
 * each second, so that after a crash it can be made whole from there.
 *
 * Its inlet is bounded in records and bytes, so that a slow disk slows the
 * workers rather than filling the memory.  It has two batches: workers fill one
 * while the thread writes the other, so a record is copied once, and whatever
 * came meanwhile is written together.
 */
#ifndef PENSTOCK_ENGINE_RECORDER_H
#define PENSTOCK_ENGINE_RECORDER_H

#include "backlog/backlog.h"
#include "base/attr.h"
#include "base/buf.h"
#include "base/histogram.h"
#include "base/pulse.h"
#include "engine/ledger.h"
#include "engine/tail.h"
#include "job/result.h"
#include "sink/bodies.h"
#include "sink/results.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bounds of each of the two batches. */
enum { RECORDER_MAX_RECORDS = 1024, RECORDER_MAX_BYTES = 512 * 1024 };

struct recorder_options {
	struct results *results; /* these four are borrowed for the recorder's life */
	struct backlog *backlog;
	struct ledger *ledger;
	struct bodies *bodies;   /* made durable before records are; may be NULL */
	struct tail *tail;       /* gets the records that are settled; borrowed; NULL: nobody reads */
	uint64_t last_seq;       /* of the records that there are already */

	/* A disk that is full or fails: try again each second, and let the inlet fill
	 * meanwhile, rather than give up.  'trouble' is called by the recorder's thread
	 * with the error when that begins, and with 0 when it is over. */
	bool stalls;
	void (*trouble)(void *arg, int error);

	/* Called by the recorder's thread after each batch that it has settled, with 0, or,
	 * then and also before, with why records cannot be written.  From the first failure
	 * on nothing more is: jobs that were final go back to the backlog instead, unless it
	 * is durable and has their records. */
	void (*settled)(void *arg, int error);
	void *arg;
};

/* Has a durable backlog remember that the log has every record up to 'seq', and stands at
 * 'position' then.  Returns what backlog_mark() does, or -ENOMEM. */
NODISCARD NONNULL(1, 3)
int recorder_mark(struct backlog *b, uint64_t seq, const struct results_position *position);

struct recorder;

/* Starts the thread.  Returns 0, -ENOMEM or -EAGAIN.  Free with recorder_free(). */
NODISCARD NONNULL(1, 2)
int recorder_create(const struct recorder_options *options, struct recorder **ret_recorder);

/* Ends a stall: what cannot be written now is given up.  Idempotent. */
NONNULL(1) void recorder_abandon(struct recorder *r);

/* Writes and settles what is left, and ends the thread.  Ignores NULL, returns NULL. */
struct recorder *recorder_free(struct recorder *r);

/*
 * Takes over the verdict's job, waiting for room in the inlet.  A final verdict
 * comes with its outcome and 'line', from result_add_members().  Safe from any thread.
 */
NONNULL(1, 2, 4)
void recorder_put(struct recorder *r, const struct verdict *verdict, enum outcome outcome,
                  const struct buf *line);

/* The same if there is room now.  Returns false, having done nothing, if not. */
NODISCARD NONNULL(1, 2, 4)
bool recorder_offer(struct recorder *r, const struct verdict *verdict, enum outcome outcome,
                    const struct buf *line);

/* What its thread is doing. */
NONNULL(1) const struct pulse *recorder_pulse(const struct recorder *r);

struct recorder_stats {
	size_t pending;              /* in the inlet, not yet taken up */
	uint64_t recorded;           /* records written */
	uint64_t recorded_bytes;
	uint64_t workers_blocked_ns; /* summed over workers that waited for room */
	uint64_t busy_ns;            /* with batches, waits for a disk that fails included */
	struct histogram_figures appends; /* of batches to the log */
	struct histogram_figures syncs;   /* of the log: fdatasync(2) */
};
NONNULL(1, 2) void recorder_stats(struct recorder *r, struct recorder_stats *ret_stats);

#endif
