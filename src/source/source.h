/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A source: where jobs come from, read in batches by a thread of its own.
 *
 * A source is pulled: it reads only when source_read() is called, and holds no
 * more than the batch it hands over and a fixed buffer.  What it cannot make a
 * job of it reports through its listener, counts, and skips.
 *
 * One source belongs to one thread at a time, except for source_stats().
 */
#ifndef PENSTOCK_SOURCE_SOURCE_H
#define PENSTOCK_SOURCE_SOURCE_H

#include "base/attr.h"
#include "base/buf.h"
#include "job/job.h"

#include <poll.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* A line that is no job, or what else a person should know. */
struct source_complaint {
	const char *source; /* "urls.txt" */
	const char *file;   /* which one, of a source that has several; NULL otherwise */
	uint64_t line;      /* 1-based; 0 where there are no lines */
	const char *why;
};

/* Both are called by the reading thread, or while the source is created; either may be NULL. */
struct source_listener {
	void (*complain)(void *arg, const struct source_complaint *complaint);
	/* Nothing was skipped: "was truncated; is read from its start". */
	void (*notice)(void *arg, const struct source_complaint *notice);
	void *arg;
};

/* By what it is seen that a source is behind. */
enum source_lag {
	SOURCE_LAG_NONE,
	SOURCE_LAG_BYTES, /* of the file that have not been read */
	SOURCE_LAG_FILES, /* that lie there, as far as they have been looked for */
	SOURCE_LAG_DUE,   /* when the next round is due (CLOCK_MONOTONIC, ns) */
};

struct source_stats {
	uint64_t jobs;        /* handed over */
	uint64_t bad_lines;   /* skipped, with a complaint each */
	uint64_t bytes_read;
	uint64_t bytes_total; /* of a regular file that is not followed; 0 if unknown */
	enum source_lag lag_of;
	uint64_t lag;         /* when it was last read */
};

struct source;

struct source_ops {
	int (*read)(struct source *s, struct job **ret_jobs, size_t max, size_t *ret_n);
	void (*position)(struct source *s, struct buf *b); /* NULL: it cannot be resumed */
	int (*accepted)(struct source *s);                 /* NULL: of no interest */
	void (*free)(struct source *s);
};

/* The head of every kind of source's own struct. */
struct source {
	const struct source_ops *ops;
	const char *name; /* owned by the kind; lives as long as the source */
	int stop_fd;      /* readable once the source shall stop; borrowed */
	enum source_lag lag_of;
	struct source_listener listener;
	/* Written by the reading thread, read by any. */
	_Atomic uint64_t jobs, bad_lines, bytes_read, bytes_total, lag;
};

/*
 * Reads the next batch: waits until there is at least one job, then hands over
 * what is there without waiting for more, up to 'max' jobs.  A source that can be resumed may
 * also hand over none, so that its new position is kept.
 *
 * Returns 0 with '*ret_n' jobs that the caller owns; -ENODATA at the end;
 * -ECANCELED once 'stop_fd' is readable; or another -Exxx if reading failed,
 * after which the source is at its end.
 */
NODISCARD static inline int source_read(struct source *s, struct job **ret_jobs, size_t max,
                                        size_t *ret_n)
{
	return s->ops->read(s, ret_jobs, max, ret_n);
}

/*
 * Appends where reading goes on behind the last batch, as text (no NUL) that its kind's
 * options take as 'cursor' when it is created anew; nothing if it cannot be resumed.
 * For the reading thread.
 */
static inline void source_position(struct source *s, struct buf *b)
{
	if (s->ops->position)
		s->ops->position(s, b);
}

/* Tells the source that its last batch, and its position with it, were accepted for good.
 * For the reading thread, before the next source_read().  Returns 0, or -Exxx after which
 * the source is at its end. */
NODISCARD static inline int source_accepted(struct source *s)
{
	return s->ops->accepted ? s->ops->accepted(s) : 0;
}

/* Ignores NULL, returns NULL. */
static inline struct source *source_free(struct source *s)
{
	if (s)
		s->ops->free(s);
	return NULL;
}

/* Counters at some moment during the call; safe from any thread. */
NONNULL(1, 2) void source_stats(struct source *s, struct source_stats *ret_stats);

/* For the kinds of source: counts a bad line and reports it. */
NONNULL(1, 3) void source_complain(struct source *s, uint64_t line, const char *why);

/* The same for a source with several files. */
NONNULL(1, 4)
void source_complain_of(struct source *s, const char *file, uint64_t line, const char *why);

/* For the kinds of source: tells what is no bad line; 'file' may be NULL. */
NONNULL(1, 3) void source_notice(struct source *s, const char *file, const char *why);

/*
 * For the kinds of source: poll(2), where fds[0] is the stop descriptor.
 *
 * Returns 0 (also at the timeout, or early, with every 'revents' 0, after a
 * signal), -ECANCELED if the stop descriptor has anything to say, or what
 * poll(2) says.
 */
NODISCARD NONNULL(1) int source_poll(struct pollfd *fds, nfds_t n, int timeout_ms);

#endif
