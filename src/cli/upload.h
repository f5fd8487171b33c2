/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Job lines on their way to the daemon: a bounded number of them, each kept until it
 * has its final receipt, so that they can be sent again.
 *
 * A line without an id gets one here, the same whenever it is sent: the daemon then knows it
 * again, and nothing is done twice.  Belongs to one thread; zero-initialised is empty.
 */
#ifndef PENSTOCK_CLI_UPLOAD_H
#define PENSTOCK_CLI_UPLOAD_H

#include "base/attr.h"
#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { UPLOAD_MAX_LINES = 10000, UPLOAD_MAX_BYTES = 4 * 1024 * 1024 };

/* Where a line comes from. */
struct upload_place {
	size_t file;     /* the caller's number of the file */
	uint64_t number; /* of the line in it */
	uint64_t serial; /* of the line in all files: what makes its id */
};

struct upload_line {
	struct upload_place place;
	size_t end;    /* of the line, its LF included, in 'text' */
	bool made_id;
	bool repeated; /* sent before, without a final receipt */
	bool settled;  /* has its final receipt */
};

struct upload {
	struct buf text; /* NDJSON: the lines, one behind the other */
	struct upload_line *lines;
	size_t n;
	size_t size;     /* room at 'lines' */
	size_t settled;  /* of the n */
	struct buf rest; /* of a receipt whose end has not come yet */
};

NONNULL(1) void upload_done(struct upload *u);

/* Whether there should be no more lines added before these are sent. */
NONNULL(1) bool upload_is_full(const struct upload *u, size_t max_lines);

/*
 * Adds a job line, without its line ending.  One without an id gets PREFIX-SERIAL.
 *
 * Returns 1, 0 if there is no job in it (blank, or a comment), -ENOMEM, or -EINVAL with
 * the reason appended to 'why'.
 */
NODISCARD NONNULL(1, 2, 4, 5, 6)
int upload_add(struct upload *u, const char *text, size_t len, const struct upload_place *place,
               const char *prefix, struct buf *why);

enum upload_status { UPLOAD_ACCEPTED, UPLOAD_KNOWN, UPLOAD_REFUSED };

struct upload_receipt {
	enum upload_status status;
	const char *id;    /* may be NULL if refused */
	int code;          /* if refused: as an HTTP status */
	const char *error; /* if refused */
};

/* Told of each receipt.  The line is settled unless the daemon may yet accept it: it
 * was full, its disk failed or it stops. */
typedef void upload_listener(void *arg, const struct upload_line *line,
                             const struct upload_receipt *receipt);

/*
 * Takes a piece of the daemon's answer, NDJSON.  Returns 0, -ENOMEM, or -EPROTO if that is
 * no receipt for one of the lines.
 */
NODISCARD NONNULL(1, 2, 4)
int upload_take_receipts(struct upload *u, const char *data, size_t n, upload_listener *listener,
                         void *arg);

/* After an answer, whole or not: drops the lines that are settled; what is left is what
 * is to be sent again. */
NONNULL(1) void upload_compact(struct upload *u);

#endif
