/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The results log: where finished records go, whole lines only.  It only grows.
 *
 * One thread appends; results_cancel() may be called from any.
 */
#ifndef PENSTOCK_SINK_RESULTS_H
#define PENSTOCK_SINK_RESULTS_H

#include "base/attr.h"
#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct results;

/*
 * Opens 'path' for appending, and creates it if need be; "-" is standard output.
 * A last line that a crash has torn is ended before the first append, so that that begins
 * on its own; or completed by results_recover().
 *
 * Returns 0, -ENOMEM, -EWOULDBLOCK (another process appends to this file), or
 * what open(2) says.  Close with results_close().
 */
NODISCARD NONNULL(1, 2) int results_open(const char *path, struct results **ret_results);

/*
 * Where in which file the log stands: kept beside the records' own store, so that
 * after a crash the log is made whole again.
 */
struct results_position {
	bool regular;    /* a file; a pipe, a terminal and standard output have no position */
	uint64_t device;
	uint64_t inode;
	uint64_t offset; /* everything before it is on disk */
};

/* "file DEVICE INODE OFFSET", or "stream". */
NONNULL(1, 2) void results_position_write(const struct results_position *p, struct buf *b);
/* Returns 0 or -EINVAL. */
NODISCARD NONNULL(1, 2)
int results_position_read(const char *text, struct results_position *ret_position);

/* The records' own store, of which the log is a copy. */
struct results_store {
	/* Appends the records that follow 'after_seq', in order, a page of them at a time, each
	 * "{"seq":N,…}\n" and numbered without a gap, and stores the last one's number; nothing
	 * if there are none.  Returns 0 or -Exxx. */
	int (*next)(void *arg, uint64_t after_seq, struct buf *lines, uint64_t *ret_last_seq);
	/* Remembers for good that the log has every record up to 'seq', and that what follows
	 * begins at 'position': the next mark.  Returns 0 or -Exxx. */
	int (*keep)(void *arg, uint64_t seq, const struct results_position *position);
	void *arg;
};

/* What a recovery has found. */
struct results_recovery {
	uint64_t missing;   /* records that were not there whole, and are now */
	uint64_t cut_bytes; /* that were no records, and stood where some belong */
	bool lost;          /* the log is not as it was at the mark: cut short, replaced or gone */
};

/*
 * Makes the log whole after a crash: from 'mark' on, which is behind the record 'mark_seq',
 * it then holds exactly the records that follow that one in the store.
 *
 * What the log has right is not touched.  A torn last line is completed, what is missing is
 * appended, and what cannot be a record's beginning (the disk lost power) is cut off.  A file
 * that was rotated before the crash is looked for by its inode in the log's folder: its last
 * line is completed there, and what follows goes to the log's end.  Everything behind the
 * mark goes to the log's end if there never was a mark (NULL), if its file is gone or
 * shorter, and if the log is a pipe, a terminal or standard output.
 *
 * Calls store->keep() before the first append at another place than the mark's, and at the
 * end: the caller need not.  May be killed at any moment, and called again after a failure
 * with the mark that was kept last.
 *
 * For the appending thread, before its first append.  From then on lines that were begun stay
 * in the file when an append fails; see results_append().
 *
 * Returns 0 and what it has found; or what the store said, -ENOMEM,
 * -EACCES (the log may not be read), -ECANCELED, or what open(2), read(2), write(2) or
 * fdatasync(2) say.
 */
NODISCARD NONNULL(1, 4, 5)
int results_recover(struct results *r, const struct results_position *mark, uint64_t mark_seq,
                    const struct results_store *store, struct results_recovery *ret_found);

/* Makes what was appended durable, and stores where the log stands now: behind the last
 * append that succeeded.  Returns 0 or what fdatasync(2) says.  For the appending thread. */
NODISCARD NONNULL(1, 2) int results_sync(struct results *r, struct results_position *ret_position);

/*
 * Goes over to the file that results_reopen() has opened, if it has, after the old one was
 * made durable.  Whoever keeps positions (results_recover()) calls it before each append, and
 * keeps the position of the new file before the first append to it.
 *
 * Returns 1 with the position if it went over, 0 if there was nothing to do or the old file
 * holds the beginning of lines that are to be given again, or what fdatasync(2) says, after
 * which the old file is still in use.  For the appending thread.
 */
NODISCARD NONNULL(1, 2) int results_turn(struct results *r, struct results_position *ret_position);

/*
 * Appends 'len' bytes, which are whole lines; to the file that was opened last, as
 * results_turn() does it.  After results_recover() nothing but results_turn() changes the file.
 *
 * Returns 0, or -EPIPE (the reader has gone), -ENOSPC, -EIO, -ECANCELED
 * (results_cancel() while the reader was not reading) or what else write(2)
 * says.  A pipe or terminal may have got some of the lines then, each of them whole unless it
 * is longer than PIPE_BUF.  In a regular file none of the bytes are left; but after
 * results_recover() all stay, since whoever reads the log may have seen them: the next
 * append must begin with the same lines, and goes on where this one stopped.
 */
NODISCARD NONNULL(1, 2) int results_append(struct results *r, const char *data, size_t len);

/* Ends a write to a reader that does not read.  Idempotent. */
NONNULL(1) void results_cancel(struct results *r);

/*
 * Has the next results_turn() or append go over to the file that the path leads to now, after
 * the old one was made durable: for rotation.  Does nothing if that is the same file, and on
 * standard output and pipes.  Called by one thread at a time, beside the appending one.
 *
 * Returns 0 or what results_open() returns; the old file then stays in use.
 */
NODISCARD NONNULL(1) int results_reopen(struct results *r);

/* Makes a regular file durable and closes it.  Returns 0 or what fdatasync(2)
 * says; '*r' is gone in any case.  Ignores NULL. */
NODISCARD int results_close(struct results *r);

#endif
