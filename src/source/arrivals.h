/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The names of files that were dropped into a directory: first what lies there, oldest
 * first, then what comes (inotify(7)).  Holds a bounded number of names, whatever is
 * in the directory; what does not fit is found by looking again.  Belongs to one thread.
 */
#ifndef PENSTOCK_SOURCE_ARRIVALS_H
#define PENSTOCK_SOURCE_ARRIVALS_H

#include "base/attr.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arrival {
	int64_t modified_ns;
	char *name; /* owned */
};

struct arrivals {
	const char *path; /* borrowed */
	int stop_fd;      /* borrowed */
	int fd;           /* the directory */
	int notify_fd;    /* readable after something has come; -1 without inotify */

	/* What a look at the directory has found, in order: [next, n) is to be handed out. */
	struct arrival *found; /* owned */
	size_t n, next;
	struct arrival last; /* that was handed out since the look at the directory began */
	bool more;           /* there were more than fit */
	bool look;           /* shall begin anew */

	char *events; /* owned; [event, events_end) is to be dealt with */
	size_t event, events_end;
};

/* Opens the directory.  Returns 0, -ENOMEM, or what open(2) says. */
NODISCARD NONNULL(1, 2) int arrivals_open(struct arrivals *a, const char *path, int stop_fd);
NONNULL(1) void arrivals_close(struct arrivals *a);

/*
 * Takes the next name, without waiting; it may have gone, and be no regular file.
 * 'ret_closed' says that a writer has closed the file just now, rather than that it lies
 * there.  Returns 1, 0 if there is none now, -ECANCELED once the stop descriptor is readable,
 * -ENOMEM, or what open(2) or readdir(3) says.
 */
NODISCARD NONNULL(1, 2, 3)
int arrivals_next(struct arrivals *a, char ret_name[NAME_MAX + 1], bool *ret_closed);

/*
 * For now and then, while there are none: finds out whether the path leads to another
 * directory now, and changes over to that.  Where nothing notifies of changes, looks at what
 * lies there again.  Returns 0, or what open(2) says; the old directory is then kept.
 */
NODISCARD NONNULL(1) int arrivals_check(struct arrivals *a);

/* Makes what lies there arrive once more. */
NONNULL(1) void arrivals_look_again(struct arrivals *a);

#endif
