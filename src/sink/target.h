/* SPDX-License-Identifier: Apache-2.0 */
/* One open file, or what else takes the lines of the results log: for results.c and recover.c. */
#ifndef PENSTOCK_SINK_TARGET_H
#define PENSTOCK_SINK_TARGET_H

#include "base/attr.h"
#include "base/sync.h"
#include "sink/results.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct target {
	int fd;
	int cancel_fd; /* borrowed; ends a write to a reader that does not read */
	bool owned;    /* the file is ours alone: not standard output */
	bool regular;
	bool torn;     /* a regular file's last line has no end */
	dev_t device;
	ino_t inode;
	off_t end;     /* of a regular file: behind what was appended whole */
};

/* Opens as results_open() does, but leaves a torn last line as it is.  'cancel_fd' is set
 * before; the rest on success only. */
NODISCARD int target_open(struct target *t, const char *path);
NODISCARD int target_open_stdout(struct target *t);
void target_close(struct target *t);

/* Writes, and stores in any case how much.  Returns 0 or what results_append() returns. */
NODISCARD int target_write(const struct target *t, const char *data, size_t len,
                           size_t *ret_written);

/* Ends a last line that is torn.  Returns 0 or what write(2) says. */
NODISCARD int target_mend(struct target *t);

/* Takes back 'written' bytes behind the end, unless somebody else has written to the file
 * as well. */
void target_cut_back(struct target *t, size_t written);

/* Makes a regular file durable; any other is left alone.  Returns 0 or what fdatasync(2) says. */
NODISCARD int target_sync(const struct target *t);

struct results_position target_position(const struct target *t);

/* Opens the folder of the file that the path leads to, whatever links are on the way.
 * Returns a descriptor, -ENOMEM, or what open(2) says. */
NODISCARD int target_open_folder(const char *path);

/* Makes it durable that the file is in its folder.  Returns 0 or as target_open_folder(). */
NODISCARD int target_sync_folder(const char *path);

/* The log; here because recover.c and results.c share it. */
struct results {
	char *path;
	int cancel_fd;        /* an event; raised for good once cancelled */
	struct target target; /* the appending thread's; replaced under the lock */

	/* The appending thread's. */
	bool kept;    /* the records are kept elsewhere, too: a torn one will be completed */
	size_t begun; /* if kept: how much of the lines whose append failed is in the file */

	struct mutex lock;
	bool reopened GUARDED_BY(lock); /* 'next' is to take the target's place */
	struct target next GUARDED_BY(lock);
};

#endif
