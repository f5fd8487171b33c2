/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Splits bytes into lines in bounded memory.
 *
 * The bytes are read straight into the splitter's own buffer, and lines are
 * handed over where they lie.  Only an unfinished line is moved, to the front.
 * The buffer grows for a long line, up to the longest that can be a job, and
 * shrinks afterwards; the bytes of a line that is longer are dropped as they
 * come.  Belongs to one thread.
 */
#ifndef PENSTOCK_SOURCE_LINES_H
#define PENSTOCK_SOURCE_LINES_H

#include "base/attr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How much room lines_room() gives: the size of a read(2). */
enum { LINES_READ_BYTES = 64 * 1024 };

struct lines {
	char *data;      /* owned */
	size_t size;     /* of 'data' */
	size_t start;    /* of the bytes that are not handed over yet */
	size_t seen;     /* [start, seen) holds no LF */
	size_t end;      /* of the bytes that are there */
	uint64_t number; /* of the line handed over last; the first is 1 */
	bool skipping;   /* inside a line that was too long, and was reported */
};

enum line_kind {
	LINE_NONE,     /* no whole line is left */
	LINE_WHOLE,
	LINE_TOO_LONG, /* longer than JOB_MAX_LINE_BYTES: has a number, but no text */
};

/* Returns 0 or -ENOMEM. */
NODISCARD NONNULL(1) int lines_init(struct lines *l);
NONNULL(1) void lines_done(struct lines *l);

/* Gives room for LINES_READ_BYTES; lines_next() must have said LINE_NONE.
 * Returns 0 or -ENOMEM. */
NODISCARD NONNULL(1, 2) int lines_room(struct lines *l, char **ret_room);

/* Says that 'n' bytes were written to the room. */
NONNULL(1) void lines_fed(struct lines *l, size_t n);

/*
 * Takes the next line, without its LF or CR LF and without a byte order mark
 * before line 1.  Its text is not NUL-terminated, may hold NUL bytes, and is
 * valid until the next call.
 */
NONNULL(1, 2, 3)
enum line_kind lines_next(struct lines *l, const char **ret_text, size_t *ret_len);

/* Takes what is left after lines_next() has said LINE_NONE as a line that lacks
 * its line ending. */
NONNULL(1, 2, 3)
enum line_kind lines_last(struct lines *l, const char **ret_text, size_t *ret_len);

/* Begins another file: drops what is left, and counts lines anew. */
NONNULL(1) void lines_restart(struct lines *l);

/* The same behind line 'number'; 'skipping' if that one was too long, and goes on. */
NONNULL(1) void lines_restart_behind(struct lines *l, uint64_t number, bool skipping);

#endif
