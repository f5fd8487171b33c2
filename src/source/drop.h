/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one file of a drop directory that is in work:
 *
 *     none ──open──► read, batch by batch ──► ended ──accepted──► moved ──► none
 *                      └───unreadable: given up───┘
 *
 * Only a batch that was accepted is followed by another read, so what has ended and was
 * told can be moved.  'dir_fd' is always the drop directory.  Belongs to one thread.
 */
#ifndef PENSTOCK_SOURCE_DROP_H
#define PENSTOCK_SOURCE_DROP_H

#include "base/attr.h"
#include "base/buf.h"
#include "source/outcome.h"
#include "source/place.h"
#include "source/reader.h"
#include "source/source.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct drop {
	struct source *source; /* whose file it is */
	struct reader reader;

	char name[NAME_MAX + 1]; /* "": none is in work */
	struct file_id id;
	int fd;        /* -1 if it could not be opened */
	uint64_t bad;  /* lines */
	struct report report;
	bool ended;    /* all that can be read of it has been read */
	bool given_up; /* it cannot be opened, or not be read to its end */
	bool moved;    /* to 'target'; but its report is not named yet */
	char target[NAME_MAX + 1];

	/* What the last batch, or the cursor at the start, said of it. */
	uint64_t told_offset, told_bad;
};

/* None is in work then.  Returns 0 or -ENOMEM. */
NODISCARD NONNULL(1, 2) int drop_init(struct drop *f, struct source *source);
NONNULL(1) void drop_done(struct drop *f);

NONNULL(1) bool drop_is_none(const struct drop *f);

/*
 * Takes a file into work, unless the name leads to no regular file, or to one that is
 * still being written; but one that was 'closed' just now is taken.  What cannot be opened is
 * complained of, and given up.  Returns 0, -EMFILE, -ENFILE or -ENOMEM.
 */
NODISCARD NONNULL(1, 3)
int drop_open(struct drop *f, int dir_fd, const char *name, bool closed);

/*
 * Fills a batch from the file, which has not ended.  It may be empty at its end, or once much
 * was skipped.  Returns 0, or -ENOMEM, also if there are jobs: the file cannot be read
 * on then.
 */
NODISCARD NONNULL(1, 2, 4)
int drop_read(struct drop *f, struct job **jobs, size_t max, size_t *n);

/* Whether more has been read than the last batch has told. */
NONNULL(1) bool drop_is_untold(const struct drop *f);

/* The batch is about to be handed over: makes durable what its position says of the report. */
NONNULL(1) void drop_tell(struct drop *f, int dir_fd);

/*
 * Moves the file that has ended, and was told, out of the way: none is in work then.  Or, if
 * it has changed since its end was read, goes on with it.  Returns 0, or what rename(2),
 * mkdir(2) or open(2) says: the file is still there.
 */
NODISCARD NONNULL(1) int drop_put_away(struct drop *f, int dir_fd);

/* Appends the position in the file as text. */
NONNULL(1, 2) void drop_position(const struct drop *f, struct buf *b);

/*
 * Goes on at such a position, unless the file is gone: then it has been dealt with, and none
 * is in work.  Returns 0, -EINVAL if it is no such text, or what open(2), readdir(3) or
 * lseek(2) says.
 */
NODISCARD NONNULL(1, 3) int drop_go_on(struct drop *f, int dir_fd, const char *position);

#endif
