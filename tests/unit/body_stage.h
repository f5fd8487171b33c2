/* SPDX-License-Identifier: Apache-2.0 */
/* A store of bodies in a folder of its own, and what its records say: for the tests of sink/. */
#ifndef PENSTOCK_TESTS_BODY_STAGE_H
#define PENSTOCK_TESTS_BODY_STAGE_H

#include "base/clock.h"
#include "base/sync.h"
#include "sink/bodies.h"
#include "sink/body.h"
#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <jansson.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct stage {
	char folder[32];
	char dir[64]; /* for bodies */
	struct bodies_options options;
	struct bodies *store;
	struct body *body;
	atomic_uint begun, over; /* troubles */
};

static inline void on_trouble(void *arg, int error)
{
	struct stage *s = arg;

	(void) atomic_fetch_add(error < 0 ? &s->begun : &s->over, 1);
}

/* With a budget of 64 bytes and up to 16 of each in records. */
static inline void stage_init(struct stage *s, enum bodies_mode mode)
{
	*s = (struct stage) { .folder = "/tmp/penstock-test-XXXXXX" };
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(s->folder));
	(void) snprintf(s->dir, sizeof(s->dir), "%s/bodies", s->folder);
	s->options = (struct bodies_options) {
		.mode = mode,
		.max_inline = 16,
		.inline_memory = 64,
		.dir = s->dir,
		.trouble = on_trouble,
		.arg = s,
	};
}

static inline void stage_open(struct stage *s)
{
	CU_ASSERT_EQUAL_FATAL(bodies_open(&s->options, &s->store), 0);
	CU_ASSERT_EQUAL_FATAL(body_create(s->store, &s->body), 0);
}

static inline void stage_close(struct stage *s)
{
	s->body = body_free(s->body);
	s->store = bodies_close(s->store);
}

static inline int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void) st, (void) type, (void) ftw;
	return remove(path);
}

static inline void stage_done(struct stage *s)
{
	stage_close(s);
	CU_ASSERT_EQUAL(nftw(s->folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
}

/* Takes a body in pieces of up to 'piece' bytes. */
static inline int take(struct body *body, const char *data, size_t n, size_t piece)
{
	int r = body_begin(body, UINT64_MAX, NEVER);

	for (size_t at = 0; r == 0 && at < n; at += piece)
		r = body_take(body, data + at, n - at < piece ? n - at : piece);
	return r;
}

static inline int keep(struct body *body, const char *data, size_t n)
{
	int r = take(body, data, n, n > 0 ? n : 1);

	return r < 0 ? r : body_finish(body, false);
}

/* What the record says of the finished body; the caller frees it. */
static inline json_t *say(const struct body *body)
{
	struct buf b = { 0 };

	body_add_json(body, &b);
	CU_ASSERT_FALSE_FATAL(b.failed);
	json_t *json = json_loadb(b.data, b.len, 0, NULL);
	CU_ASSERT_PTR_NOT_NULL_FATAL(json);
	buf_done(&b);
	return json;
}

static inline struct bodies_stats stats_of(struct stage *s)
{
	struct bodies_stats stats;

	bodies_stats(s->store, &stats);
	return stats;
}

/* How many entries a folder has; -1 if there is none. */
static inline int count_entries(const char *path)
{
	DIR *dir = opendir(path);
	int n = 0;

	if (!dir)
		return -1;
	for (const struct dirent *entry; (entry = readdir(dir));)
		n += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
	(void) closedir(dir);
	return n;
}

/* Whether the record's file has exactly these bytes. */
static inline bool file_holds(const json_t *record, const char *data, size_t n)
{
	static char found[1 << 20];
	const char *path = json_string_value(json_object_get(record, "path"));

	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	ssize_t got = fd < 0 ? -1 : read(fd, found, sizeof(found));
	if (fd >= 0)
		(void) close(fd);
	return got == (ssize_t) n && memcmp(found, data, n) == 0;
}

#endif
