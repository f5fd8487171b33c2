/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What becomes of a file that was dropped: its name in done/ or failed/, and the report of
 * its bad lines.  Only one report is written at a time; it has its file's name once that
 * file has been moved.  Folders are open descriptors of the drop directory.  Belongs to one
 * thread.
 */
#ifndef PENSTOCK_SOURCE_OUTCOME_H
#define PENSTOCK_SOURCE_OUTCOME_H

#include "base/attr.h"
#include "base/buf.h"
#include "source/place.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

/* Makes done/ and failed/ where they are missing.  Returns 0, -ENOTDIR, or what
 * mkdir(2) says. */
NODISCARD int outcome_make_folders(int dir_fd);

/*
 * Moves the file to "done" or "failed", under its name, or with ".1", ".2" … behind it if
 * that is taken.  Returns 0, -ENOENT if the name leads to this file no longer, or what
 * rename(2) or mkdir(2) says.
 */
NODISCARD NONNULL(2, 3, 4, 5)
int outcome_move(int dir_fd, const char *name, const struct file_id *id, const char *folder,
                 char ret_target[NAME_MAX + 1]);

struct report {
	int fd;          /* -1 until something is written */
	uint64_t length; /* of what is on the disk for good */
	struct buf text; /* what is not there yet */
	bool broken;     /* writing has failed: nothing more is added to it */
};

/* Begins an empty report, or goes on behind what the same file's had after a restart. */
NONNULL(1) void report_begin(struct report *r, uint64_t length);
NONNULL(1) void report_done(struct report *r);

NONNULL(1, 3) void report_add(struct report *r, uint64_t line, const char *why);

/* Makes what was added durable.  Returns 0, or once what has failed; the report stays as
 * long as it was. */
NODISCARD NONNULL(1) int report_sync(struct report *r, int dir_fd);

/* Gives it its name: failed/TARGET.report.  Returns 0, also if there is none, or what
 * open(2) or rename(2) says. */
NODISCARD NONNULL(1, 3) int report_name(struct report *r, int dir_fd, const char *target);

/* After a restart: if the file has been moved to failed/, but its report not yet been named,
 * names it. */
NONNULL(2) void report_name_late(int dir_fd, const struct file_id *id, uint64_t length);

#endif
