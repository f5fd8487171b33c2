/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Jobs from a directory into which whole files are dropped: renamed into it, or
 * written there and closed.  What lies there at the start is taken too, in order of
 * modification time, then name; later files in the order in which they come.  Never
 * ends by itself.
 *
 * Only regular files are read, no symbolic links; a name that begins with '.' or ends
 * in ".tmp" or ".part" is ignored until it is renamed.  Their lines are read as
 * urlfile.h says; the last one needs no line ending.
 *
 *     NAME ──all lines good──────────► done/NAME
 *       └───bad lines, unreadable───► failed/NAME and failed/NAME.report, with a
 *                                      line "LINE: why" for each bad line
 *
 * A file is moved once its end was accepted (source_accepted()); one whose name is
 * taken gets ".1", ".2" … behind it.  Nothing else is read before it is moved: a file
 * that lay there and was forgotten would be read again.
 */
#ifndef PENSTOCK_SOURCE_DIRECTORY_H
#define PENSTOCK_SOURCE_DIRECTORY_H

#include "source/source.h"

struct directory_options {
	const char *name;   /* copied */
	const char *path;   /* copied */
	const char *cursor; /* go on there (source_position()); NULL: none; borrowed for the call */
	int stop_fd;        /* borrowed */
	struct source_listener listener;
};

/*
 * Opens the directory, and makes "done" and "failed" in it.  Returns 0, -ENOMEM,
 * -ENOTDIR, or what open(2) or mkdir(2) says.
 */
NODISCARD NONNULL(1, 2)
int directory_create(const struct directory_options *options, struct source **ret_source);

#endif
