/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The durable backlog: a SQLite database (WAL, synchronous=FULL) that one process
 * owns.  It is the truth about every job; the results log is made from it.
 *
 * One thread writes.  Whatever waits for it is committed together, so throughput
 * grows with the load while a lone job is committed at once.
 */
#ifndef PENSTOCK_BACKLOG_SQLITE_H
#define PENSTOCK_BACKLOG_SQLITE_H

#include "backlog/backlog.h"

struct sqlite_backlog_options {
	const char *path;        /* of the database; beside it PATH-wal, PATH-shm, PATH.lock */
	size_t max_jobs;
	uint64_t max_bytes;      /* of the database and its log */
	uint64_t min_free_bytes; /* of the disk: below, nothing is accepted */
	uint64_t max_out_bytes;  /* of jobs that are taken and not settled; one job is always let out */
	uint64_t remember_ns;    /* how long a settled job is known, if max_bytes allows */
	uint64_t ageing_ns;      /* a waiting job outranks those of the next higher priority after this */
	uint64_t blamed;         /* number of the job that the last process crashed with; 0: none */
	struct backlog_listener listener;
};

/* A job that was blamed so often is handed out by QUERY_TAKE only. */
enum { SQLITE_BACKLOG_MAX_CRASHES = 2 };

/*
 * Opens the database, or makes one.  Free with backlog_free().
 *
 * Returns 0; or, with one line for a person appended to 'errors', -EWOULDBLOCK
 * (another process owns it), -EUCLEAN (damaged, or no database), -EPROTO (made by a
 * newer penstock), -EINVAL (a bound is 0), -ENOMEM, -EAGAIN (no more threads), or
 * what open(2) says.  A damaged database is left as it is.
 */
NODISCARD NONNULL(1, 2, 3)
int sqlite_backlog_open(const struct sqlite_backlog_options *options,
                        struct backlog **ret_backlog, struct buf *errors);

/* The next number after 'after' of a job that was blamed too often and is not settled; 0 if there
 * is none. */
NONNULL(1) uint64_t sqlite_backlog_poisoned(struct backlog *b, uint64_t after);

#endif
