/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stage for the tests of the directory source: on source_stage.h's, whose folder is
 * the drop directory, what lies there and in done/ and failed/, and a keeper of positions,
 * as the engine is one.
 */
#ifndef PENSTOCK_TESTS_DIRECTORY_STAGE_H
#define PENSTOCK_TESTS_DIRECTORY_STAGE_H

#include "source/directory.h"
#include "source_stage.h"

#include <dirent.h>
#include <ftw.h>

struct drops {
	struct stage s;
	struct buf cursor; /* the position that was accepted last; none while it is empty */
};

static inline void open_drops(struct drops *d)
{
	const struct directory_options options = {
		.name = "incoming",
		.path = d->s.folder,
		.cursor = d->cursor.len > 0 ? d->cursor.data : NULL,
		.stop_fd = d->s.stop_fd,
		.listener = stage_listener(&d->s),
	};
	CU_ASSERT_EQUAL_FATAL(directory_create(&options, &d->s.source), 0);
}

static inline void drops_init(struct drops *d)
{
	/* In memory, if possible: each file that is dealt with is synced. */
	*d = (struct drops){ 0 };
	stage_init_in(&d->s, access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
}

static inline int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void) st;
	(void) type;
	return at->level > 0 ? remove(path) : 0;
}

static inline void drops_done(struct drops *d)
{
	CU_ASSERT_EQUAL(nftw(d->s.folder, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
	buf_done(&d->cursor);
	stage_done(&d->s);
}

/* A path in the drop directory; valid until the eighth call after this one. */
static inline const char *in(const struct drops *d, const char *name)
{
	static char paths[8][400];
	static unsigned next;

	char *path = paths[next++ % 8];
	(void) snprintf(path, sizeof(paths[0]), "%s/%s", d->s.folder, name);
	return path;
}

static inline void drop(const struct drops *d, const char *name, const char *text)
{
	put(in(d, ".new"), text);
	CU_ASSERT_EQUAL(rename(in(d, ".new"), in(d, name)), 0);
}

static inline void set_time(const struct drops *d, const char *name, time_t seconds)
{
	const struct timespec times[] = { { .tv_sec = seconds }, { .tv_sec = seconds } };

	CU_ASSERT_EQUAL(utimensat(AT_FDCWD, in(d, name), times, AT_SYMLINK_NOFOLLOW), 0);
}

/* Reads one batch; keeps its position and tells the source, as the engine does. */
static inline int read_and_accept(struct drops *d, size_t max)
{
	int n = read_batch(&d->s, max);

	if (n >= 0) {
		keep_position(&d->s, &d->cursor);
		CU_ASSERT_EQUAL(source_accepted(d->s.source), 0);
	}
	return n;
}

/* Reads on until these URLs, and no others, have come and were accepted. */
static inline void expect_drops(struct drops *d, const char *urls)
{
	while (d->s.urls.len < strlen(urls)) {
		int r = read_and_accept(d, 64);
		CU_ASSERT_TRUE(r >= 0);
		if (r < 0)
			return;
	}
	expect_urls(&d->s, urls);
}

/* Reads on until nothing is in work. */
static inline void read_until_idle(struct drops *d)
{
	struct helper h = { .stop_fd = d->s.stop_fd };
	eventfd_t ignored;
	int r;

	helper_start(&h, act_stop);
	while ((r = read_and_accept(d, 64)) >= 0)
		;
	helper_join(&h);
	CU_ASSERT_EQUAL(r, -ECANCELED);
	CU_ASSERT_EQUAL(eventfd_read(d->s.stop_fd, &ignored), 0);
}

static inline bool exists(const struct drops *d, const char *name)
{
	return access(in(d, name), F_OK) == 0;
}

/* Whether a file holds this. */
static inline bool holds(const struct drops *d, const char *name, const char *text)
{
	struct buf contents = { 0 };
	char data[4096];
	ssize_t n;

	int fd = open(in(d, name), O_RDONLY | O_CLOEXEC);
	while (fd >= 0 && (n = read(fd, data, sizeof(data))) > 0)
		buf_add(&contents, data, (size_t) n);
	bool same = fd >= 0 && is_text(&contents, text);
	if (fd >= 0)
		(void) close(fd);
	buf_done(&contents);
	return same;
}

/* How many there are, other than directories and hidden files. */
static inline size_t count(const struct drops *d, const char *folder)
{
	size_t n = 0;
	DIR *dir = opendir(in(d, folder));

	for (const struct dirent *e; dir && (e = readdir(dir));)
		n += e->d_name[0] != '.' && e->d_type != DT_DIR;
	if (dir)
		(void) closedir(dir);
	return n;
}

#endif
