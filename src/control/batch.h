/* SPDX-License-Identifier: Apache-2.0 */
/* Some lines of an upload, on their way from text to receipts in the order of the lines. */
#ifndef PENSTOCK_CONTROL_BATCH_H
#define PENSTOCK_CONTROL_BATCH_H

#include "base/attr.h"
#include "base/buf.h"
#include "control/control.h"
#include "control/problem.h"
#include "engine/engine.h"

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* So many that jobs of 1,000 origins come to some of each: the durable backlog writes a page for
 * each origin that a transaction has jobs of. */
enum {
	BATCH_MAX_LINES = 4096,
	BATCH_MAX_BYTES = 1024 * 1024, /* of jobs and twice the texts, without the last line's */
	BATCH_KEPT_BYTES = 256 * 1024, /* for texts: so much memory is not given back */
};

/* Why a line is no job. */
struct batch_refusal {
	enum problem_kind kind;
	int column; /* where it ceases to be JSON, from 1; 0: it does not */
};

/* A line that gets a receipt. */
struct batch_line {
	uint64_t number;
	bool is_job;
	struct batch_refusal refusal; /* of one that is none */
	uint32_t text_at;   /* in 'texts': its id, and why it is refused */
	uint32_t id_len;    /* 0: it has no id of its own */
	uint32_t why_len;
};

/* Zero-initialised is empty. */
struct batch {
	struct batch_line lines[BATCH_MAX_LINES];
	struct job *jobs[BATCH_MAX_LINES]; /* those of the lines that are jobs, in their order */
	struct receipt receipts[BATCH_MAX_LINES]; /* of these, as are the errors */
	int errors[BATCH_MAX_LINES];
	size_t n_lines, n_jobs;
	size_t bytes;
	size_t n_settled;   /* jobs that are the backlog's, or refused */
	size_t lines_answered, jobs_answered;
	struct buf texts;
};

/* What came of the lines of a whole upload. */
struct batch_tally {
	uint64_t lines;         /* that got a receipt */
	uint64_t taken;         /* of these, jobs that were accepted or known */
	unsigned first_refusal; /* its status; 0: none was refused */
};

NONNULL(1) bool batch_is_full(const struct batch *b);

/* Appends a job, which the batch owns then, or a line that is refused, with its id if it has
 * one; the batch must not be full.  Returns 0 or -ENOMEM. */
NODISCARD NONNULL(1, 3) int batch_add_job(struct batch *b, uint64_t line, struct job *job);
NODISCARD NONNULL(1, 3, 5)
int batch_refuse(struct batch *b, uint64_t line, const struct batch_refusal *refusal,
                 const char *id, const char *why, size_t len);

/* Says what became of the next 'n' jobs: 0, and the receipts are filled in, or the
 * backlog's error.  Frees them if they are still ours. */
NONNULL(1) void batch_settle(struct batch *b, size_t n, int error);

/* Once every job is settled: appends receipts, RECEIPTS_MEMORY_BYTES and the last of them, and
 * counts their lines.  Returns whether there are more; else the batch is empty. */
NODISCARD NONNULL(1, 2, 3, 4)
bool batch_answer(struct batch *b, struct engine *engine, struct buf *receipts,
                  struct batch_tally *tally);

/* Frees what the batch owns.  Idempotent. */
NONNULL(1) void batch_done(struct batch *b);

static_assert(sizeof(struct batch) + BATCH_MAX_BYTES <= CONTROL_BATCH_BYTES, "the ceiling");

#endif
