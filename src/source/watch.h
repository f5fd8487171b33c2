/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Notices that a path may lead to another file, or that the file has changed
 * (inotify(7)).  What has happened is for the caller to look at: a watch only
 * wakes, possibly for nothing, and, where inotify does not reach, not at all.
 * Belongs to one thread.
 */
#ifndef PENSTOCK_SOURCE_WATCH_H
#define PENSTOCK_SOURCE_WATCH_H

#include "base/attr.h"

struct watch {
	int fd;        /* readable after something has happened; -1 without inotify */
	char *folder;  /* owned; where the path's last part is looked up */
	int folder_wd; /* -1 while it is not watched */
	int file_wd;   /* -1 while there is no file, or it is not watched */
};

/* Returns 0 or -ENOMEM. */
NODISCARD NONNULL(1, 2) int watch_init(struct watch *w, const char *path);
NONNULL(1) void watch_done(struct watch *w);

/* Watches the folder that has the path's name now, and the open file 'file_fd'
 * (-1 for none).  Cheap where it does already: call it before every look. */
NONNULL(1) void watch_arm(struct watch *w, int file_fd);

/* Forgets what has happened. */
NONNULL(1) void watch_drain(struct watch *w);

#endif
