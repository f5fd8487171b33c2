/* SPDX-License-Identifier: Apache-2.0 */
#include "source/arrivals.h"

#include "source/place.h"
#include "source/source.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	/* Names that are kept of a look at the directory.  With a million files each look takes
	 * a second or two, so that there should not be too many. */
	FOUND_MAX = 16 * 1024,
	/* While looking there may be more, so that sorting them is rare. */
	FOUND_ROOM = FOUND_MAX + 4 * 1024,
	/* Entries between two looks at the stop descriptor. */
	STOP_EVERY = 1024,
	EVENTS_BYTES = 16 * 1024,
};

/* --- names -------------------------------------------------------------------------- */

static bool ends_with(const char *name, const char *suffix)
{
	size_t n = strlen(name), m = strlen(suffix);

	return n >= m && memcmp(name + n - m, suffix, m) == 0;
}

static bool is_ignored(const char *name)
{
	return name[0] == '.' || ends_with(name, ".tmp") || ends_with(name, ".part");
}

/* Oldest first. */
static int compare_to(int64_t modified_ns, const char *name, const struct arrival *b)
{
	if (modified_ns != b->modified_ns)
		return modified_ns < b->modified_ns ? -1 : 1;
	return strcmp(name, b->name);
}

static int compare(const void *left, const void *right)
{
	const struct arrival *a = left;

	return compare_to(a->modified_ns, a->name, right);
}

static void forget(struct arrival *a)
{
	free(a->name);
	a->name = NULL;
}

static void forget_found(struct arrivals *a, size_t from)
{
	for (size_t i = from; i < a->n; i++)
		forget(&a->found[i]);
	a->n = from;
}

static void stop_looking(struct arrivals *a)
{
	forget_found(a, a->next < a->n ? a->next : a->n);
	a->n = 0;
	a->next = 0;
	a->more = false;
	forget(&a->last);
}

/* --- what lies there ---------------------------------------------------------------- */

/* Sorts what was found, and keeps the oldest. */
static void sort_found(struct arrivals *a)
{
	qsort(a->found, a->n, sizeof(a->found[0]), compare);
	if (a->n > FOUND_MAX) {
		forget_found(a, FOUND_MAX);
		a->more = true;
	}
}

static int add_found(struct arrivals *a, const char *name, int64_t modified_ns)
{
	if (a->last.name && compare_to(modified_ns, name, &a->last) <= 0)
		return 0;
	if (a->more && compare_to(modified_ns, name, &a->found[FOUND_MAX - 1]) > 0)
		return 0;

	char *copy = strdup(name);
	if (!copy)
		return -ENOMEM;
	a->found[a->n++] = (struct arrival) { .modified_ns = modified_ns, .name = copy };
	if (a->n == FOUND_ROOM)
		sort_found(a);
	return 0;
}

static int add_entry(struct arrivals *a, const struct dirent *entry)
{
	struct file_state state;

	bool may_be_file = entry->d_type == DT_REG || entry->d_type == DT_UNKNOWN;
	if (!may_be_file || is_ignored(entry->d_name))
		return 0;
	if (file_look(a->fd, entry->d_name, &state) < 0 || state.type != S_IFREG)
		return 0;
	return add_found(a, entry->d_name, state.modified_ns);
}

static int read_entries(struct arrivals *a, DIR *dir)
{
	struct pollfd stop = { .fd = a->stop_fd, .events = POLLIN };

	for (unsigned i = 1;; i++) {
		errno = 0;
		const struct dirent *entry = readdir(dir);
		if (!entry)
			return -errno;
		int r = add_entry(a, entry);
		if (r == 0 && i % STOP_EVERY == 0)
			r = source_poll(&stop, 1, 0);
		if (r < 0)
			return r;
	}
}

/* Finds the oldest files that come behind the one that was handed out last. */
static int look(struct arrivals *a)
{
	int fd = openat(a->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	DIR *dir = fdopendir(fd);
	if (!dir) {
		(void) close(fd);
		return -ENOMEM;
	}

	a->n = 0;
	a->next = 0;
	a->more = false;
	int r = read_entries(a, dir);
	(void) closedir(dir);
	sort_found(a);
	if (r < 0)
		arrivals_look_again(a);
	return r;
}

/* --- what comes --------------------------------------------------------------------- */

/* Takes the next event that is about a file; returns whether there was one. */
static bool next_event(struct arrivals *a, char ret_name[NAME_MAX + 1], bool *ret_closed)
{
	while (a->event < a->events_end) {
		const struct inotify_event *e =
			(const struct inotify_event *) (const void *) (a->events + a->event);
		a->event += sizeof(*e) + e->len;

		if (e->mask & IN_Q_OVERFLOW)
			a->look = true;
		if (!(e->mask & (IN_MOVED_TO | IN_CLOSE_WRITE)) || (e->mask & IN_ISDIR) ||
		    e->len == 0 || is_ignored(e->name))
			continue;
		(void) snprintf(ret_name, NAME_MAX + 1, "%s", e->name);
		*ret_closed = (e->mask & IN_CLOSE_WRITE) != 0;
		return true;
	}
	return false;
}

static bool read_events(struct arrivals *a)
{
	ssize_t n = a->notify_fd >= 0 ? read(a->notify_fd, a->events, EVENTS_BYTES) : -1;

	a->event = 0;
	a->events_end = n > 0 ? (size_t) n : 0;
	return n > 0;
}

int arrivals_next(struct arrivals *a, char ret_name[NAME_MAX + 1], bool *ret_closed)
{
	for (;;) {
		if (a->next < a->n) {
			forget(&a->last);
			a->last = a->found[a->next++];
			(void) snprintf(ret_name, NAME_MAX + 1, "%s", a->last.name);
			*ret_closed = false;
			return 1;
		}
		if (a->more || a->look) {
			if (!a->more)
				stop_looking(a);
			a->look = a->look && a->more;
			int r = look(a);
			if (r < 0)
				return r;
			continue;
		}
		if (next_event(a, ret_name, ret_closed))
			return 1;
		if (!a->look && !read_events(a))
			return 0;
	}
}

/* --- the directory ------------------------------------------------------------------ */

int arrivals_open(struct arrivals *a, const char *path, int stop_fd)
{
	struct arrivals fresh = {
		.path = path,
		.stop_fd = stop_fd,
		.notify_fd = -1,
		.look = true,
	};

	fresh.fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fresh.fd < 0)
		return -errno;
	fresh.found = calloc(FOUND_ROOM, sizeof(*fresh.found));
	fresh.events = malloc(EVENTS_BYTES);
	if (!fresh.found || !fresh.events) {
		arrivals_close(&fresh);
		return -ENOMEM;
	}

	/* By descriptor: the path may lead elsewhere by now.  Before the first look, so that
	 * nothing comes unnoticed in between. */
	char self[sizeof("/proc/self/fd/-2147483648")];
	(void) snprintf(self, sizeof(self), "/proc/self/fd/%d", fresh.fd);
	fresh.notify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (fresh.notify_fd >= 0 && inotify_add_watch(fresh.notify_fd, self,
	                                              IN_MOVED_TO | IN_CLOSE_WRITE) < 0) {
		(void) close(fresh.notify_fd);
		fresh.notify_fd = -1;
	}
	*a = fresh;
	return 0;
}

void arrivals_close(struct arrivals *a)
{
	stop_looking(a);
	free(a->found);
	free(a->events);
	if (a->notify_fd >= 0)
		(void) close(a->notify_fd);
	(void) close(a->fd);
}

int arrivals_check(struct arrivals *a)
{
	struct stat ours, named;
	struct arrivals other;

	if (a->notify_fd < 0)
		a->look = true;
	if (stat(a->path, &named) < 0)
		return -errno;
	if (fstat(a->fd, &ours) == 0 && named.st_dev == ours.st_dev && named.st_ino == ours.st_ino)
		return 0;

	int r = arrivals_open(&other, a->path, a->stop_fd);
	if (r < 0)
		return r;
	arrivals_close(a);
	*a = other;
	return 0;
}

void arrivals_look_again(struct arrivals *a)
{
	stop_looking(a);
	a->look = true;
}
