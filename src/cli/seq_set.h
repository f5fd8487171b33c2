/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A set of numbers that mostly come in order, kept as runs: a log of any length without
 * a gap takes one.  Not thread-safe; zero-initialised is empty.
 */
#ifndef PENSTOCK_CLI_SEQ_SET_H
#define PENSTOCK_CLI_SEQ_SET_H

#include "base/attr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* 32 MiB of them: more gaps than that have no use for a list. */
enum { SEQ_SET_MAX_RUNS = 2 * 1024 * 1024 };

struct seq_run {
	uint64_t first, last;
};

struct seq_set {
	struct seq_run *runs; /* ascending; between two of them something is missing */
	size_t n;
	size_t size;
};

NONNULL(1) void seq_set_done(struct seq_set *s);

/* Returns 1, 0 if it was in the set, -ENOMEM, or -E2BIG (too many runs). */
NODISCARD NONNULL(1) int seq_set_add(struct seq_set *s, uint64_t seq);

/* The first run at or behind 'seq', cut to begin there at the earliest.  Returns false if
 * there is none. */
NONNULL(1, 3) bool seq_set_run_from(const struct seq_set *s, uint64_t seq, struct seq_run *ret_run);

#endif
