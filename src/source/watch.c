/* SPDX-License-Identifier: Apache-2.0 */
#include "source/watch.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

/* The folder part of a path, as dirname(3) gives it. */
static char *folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return strdup(".");
	return strndup(path, slash > path ? (size_t) (slash - path) : 1);
}

int watch_init(struct watch *w, const char *path)
{
	char *folder = folder_of(path);
	if (!folder)
		return -ENOMEM;

	*w = (struct watch) {
		.fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC),
		.folder = folder,
		.folder_wd = -1,
		.file_wd = -1,
	};
	return 0;
}

void watch_done(struct watch *w)
{
	if (w->fd >= 0)
		(void) close(w->fd);
	free(w->folder);
	*w = (struct watch) { .fd = -1 };
}

/* Adding a watch that exists gives the same number again, so this also finds out
 * that 'path' has become something else. */
static void arm(int fd, int *wd, const char *path, uint32_t mask)
{
	int now = inotify_add_watch(fd, path, mask);

	if (*wd >= 0 && *wd != now)
		(void) inotify_rm_watch(fd, *wd);
	*wd = now;
}

void watch_arm(struct watch *w, int file_fd)
{
	if (w->fd < 0)
		return;
	arm(w->fd, &w->folder_wd, w->folder,
	    IN_CREATE | IN_MOVED_TO | IN_ATTRIB | IN_MOVE_SELF | IN_DELETE_SELF);

	/* By descriptor: the path may lead to another file by now. */
	char path[sizeof("/proc/self/fd/-2147483648")];
	(void) snprintf(path, sizeof(path), "/proc/self/fd/%d", file_fd);
	arm(w->fd, &w->file_wd, path, IN_MODIFY | IN_ATTRIB | IN_MOVE_SELF);
}

void watch_drain(struct watch *w)
{
	/* One read: whatever is left wakes the next wait, and a busy folder
	 * cannot keep the thread here. */
	char events[4096];
	(void) !read(w->fd, events, sizeof(events));
}
