/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes jobs of the lines of one file after the other, and knows the place behind
 * the last line that it was asked for.  Who uses it brings the bytes.  Belongs to
 * one thread.
 */
#ifndef PENSTOCK_SOURCE_READER_H
#define PENSTOCK_SOURCE_READER_H

#include "base/attr.h"
#include "base/buf.h"
#include "job/job.h"
#include "source/lines.h"
#include "source/place.h"
#include "source/source.h"

#include <stddef.h>
#include <stdint.h>

struct reader {
	struct source *source; /* whose jobs these are */
	void (*bad_line)(void *arg, uint64_t line, const char *why);
	void *arg;
	struct lines lines;
	struct url_parser *parser;
	struct buf why;     /* of the line that is no job; kept for its memory */
	struct place place; /* its hash is made when it is asked for */
	uint64_t fed;       /* where the bytes that have come end in the file */
	unsigned char head[PLACE_HEAD_BYTES]; /* the first of them */
};

/* Reports each line that is no job to 'bad_line'.  Returns 0 or -ENOMEM. */
NODISCARD NONNULL(1, 2, 3)
int reader_init(struct reader *r, struct source *source,
                void (*bad_line)(void *arg, uint64_t line, const char *why), void *arg);
NONNULL(1) void reader_done(struct reader *r);

/* Begins a file at its start; drops what is left of the one before. */
NONNULL(1, 2) void reader_begin(struct reader *r, const struct file_id *file);

/* The same at a place that place_check() has found in the file, whose first bytes
 * these are. */
NONNULL(1, 2, 3)
void reader_begin_at(struct reader *r, const struct place *place, const unsigned char *head);

/* Gives room for LINES_READ_BYTES, and is told how many came; reader_take() must
 * have given fewer jobs than it might.  Returns 0 or -ENOMEM. */
NODISCARD NONNULL(1, 2) int reader_room(struct reader *r, char **ret_room);
NONNULL(1) void reader_fed(struct reader *r, size_t n);

/* Makes jobs of the whole lines that are there: jobs[*n] and so on, up to jobs[max - 1].
 * Returns 0, or -ENOMEM in front of the line that it stopped at. */
NODISCARD NONNULL(1, 2, 4)
int reader_take(struct reader *r, struct job **jobs, size_t max, size_t *n);

/* The unfinished line, if there is one, has ended.  The same otherwise. */
NODISCARD NONNULL(1, 2, 4)
int reader_take_last(struct reader *r, struct job **jobs, size_t max, size_t *n);

NONNULL(1, 2) void reader_place(const struct reader *r, struct place *ret_place);

#endif
