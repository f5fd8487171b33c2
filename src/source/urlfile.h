/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Jobs from a file, standard input or a FIFO: one a line, a URL or a JSON object
 * (job.h).  Lines end with LF or CR LF; blank ones and those whose first visible
 * character is '#' are skipped, and so is a UTF-8 byte order mark at the start.
 *
 * Unless the file is followed, its last line needs no line ending.
 */
#ifndef PENSTOCK_SOURCE_URLFILE_H
#define PENSTOCK_SOURCE_URLFILE_H

#include "source/source.h"

#include <stdbool.h>

struct urlfile_options {
	const char *path; /* "-" is standard input; borrowed for the call */

	/* Go on at the end, as `tail -F` does: wait for more lines, read a
	 * truncated file from its start, change over to a file that replaced this
	 * one once it is read to its end, and wait for a file that does not exist
	 * yet.  A FIFO stays open after its last writer has left.
	 *
	 * The last line then waits for its line ending; being truncated or
	 * replaced, or a FIFO's last writer leaving, ends it too.  Lines are
	 * counted anew in a truncated or new file.  Without effect on standard
	 * input. */
	bool follow;

	/* Positions are asked for, and kept: batches may be empty, to tell that the
	 * position has moved on without jobs.  Only a file has positions, standard
	 * input and FIFOs do not. */
	bool resumes;

	/* Go on where this position says (source_position(); borrowed for the call); NULL
	 * at the start.  If the file was replaced, truncated or rewritten since, it is
	 * read from its start, and a notice says so; but a followed file that was only
	 * renamed within its folder is read to its end first. */
	const char *cursor;

	int stop_fd; /* borrowed */
	struct source_listener listener;
};

/*
 * Opens the file, without waiting for a FIFO's first writer.  Returns 0, -ENOMEM,
 * -EISDIR, or what open(2) says.
 */
NODISCARD NONNULL(1, 2)
int urlfile_create(const struct urlfile_options *options, struct source **ret_source);

#endif
