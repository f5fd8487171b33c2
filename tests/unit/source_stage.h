/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stage for the tests of sources: a folder, a path in it, a source that may read
 * it, and what came of that.
 *
 * No test sleeps: a read waits until what another thread, or the test before it,
 * has written is there.  Threads report through their struct; only the test's own
 * thread asserts.
 */
#ifndef PENSTOCK_TESTS_SOURCE_STAGE_H
#define PENSTOCK_TESTS_SOURCE_STAGE_H

#include "base/buf.h"
#include "base/thread.h"
#include "source/urlfile.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- the stage: a folder, a path in it, a source, and what it said ------------------- */

struct stage {
	char folder[32];
	char path[64];
	char other[64]; /* to be renamed to 'path' */
	int stop_fd;
	struct source *source;
	struct buf complaints; /* "LINE: why\n" each, or "FILE:LINE: why\n" */
	struct buf notices;    /* "why\n" each, or "FILE: why\n" */
	struct buf urls;       /* "URL\n" each */
};

static inline void on_complaint(void *arg, const struct source_complaint *c)
{
	struct stage *s = arg;

	if (c->file)
		buf_printf(&s->complaints, "%s:", c->file);
	buf_printf(&s->complaints, "%llu: %s\n", (unsigned long long) c->line, c->why);
}

static inline void on_notice(void *arg, const struct source_complaint *c)
{
	struct stage *s = arg;

	if (c->file)
		buf_printf(&s->notices, "%s: ", c->file);
	buf_printf(&s->notices, "%s\n", c->why);
}

static inline void stage_init_in(struct stage *s, const char *parent)
{
	*s = (struct stage){ .stop_fd = -1 };
	(void) snprintf(s->folder, sizeof(s->folder), "%s/penstock-test-XXXXXX", parent);
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(s->folder));
	(void) snprintf(s->path, sizeof(s->path), "%s/urls", s->folder);
	(void) snprintf(s->other, sizeof(s->other), "%s/other", s->folder);
	s->stop_fd = eventfd(0, EFD_CLOEXEC);
	CU_ASSERT_TRUE_FATAL(s->stop_fd >= 0);
}

static inline void stage_init(struct stage *s) { stage_init_in(s, "/tmp"); }

static inline void stage_done(struct stage *s)
{
	s->source = source_free(s->source);
	(void) close(s->stop_fd);
	(void) unlink(s->path);
	(void) rmdir(s->path);
	(void) unlink(s->other);
	CU_ASSERT_EQUAL(rmdir(s->folder), 0);
	buf_done(&s->complaints);
	buf_done(&s->notices);
	buf_done(&s->urls);
}

static inline struct source_listener stage_listener(struct stage *s)
{
	return (struct source_listener){
		.complain = on_complaint,
		.notice = on_notice,
		.arg = s,
	};
}

static inline void stage_open_path(struct stage *s, const char *path, bool follow)
{
	const struct urlfile_options options = {
		.path = path,
		.follow = follow,
		.stop_fd = s->stop_fd,
		.listener = stage_listener(s),
	};
	CU_ASSERT_EQUAL_FATAL(urlfile_create(&options, &s->source), 0);
}

static inline void stage_open(struct stage *s, bool follow) { stage_open_path(s, s->path, follow); }

static inline bool try_put(const char *path, int flags, const char *data, size_t n)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC | flags, 0600);
	if (fd < 0)
		return false;

	while (n > 0) {
		ssize_t done = write(fd, data, n);
		if (done <= 0)
			break;
		data += done;
		n -= (size_t) done;
	}
	return close(fd) == 0 && n == 0;
}

static inline void put(const char *path, const char *text)
{
	CU_ASSERT_TRUE(try_put(path, O_CREAT | O_TRUNC, text, strlen(text)));
}

static inline void append(const char *path, const char *text)
{
	CU_ASSERT_TRUE(try_put(path, O_APPEND, text, strlen(text)));
}

/* Reads one batch, which may be empty, adds its URLs to s->urls, and returns how many or
 * what failed. */
static inline int read_batch(struct stage *s, size_t max)
{
	struct job *jobs[64];
	size_t n = 0;

	int r = source_read(s->source, jobs, max < 64 ? max : 64, &n);
	if (r < 0)
		return r;
	CU_ASSERT_TRUE(n <= max);
	for (size_t i = 0; i < n; i++) {
		CU_ASSERT_PTR_EQUAL(jobs[i]->source, s->source->name);
		buf_add_str(&s->urls, jobs[i]->url);
		buf_add_char(&s->urls, '\n');
		job_free(jobs[i]);
	}
	return (int) n;
}

/* The same with at least one job. */
static inline int read_some(struct stage *s, size_t max)
{
	int n = read_batch(s, max);

	CU_ASSERT_NOT_EQUAL(n, 0);
	return n;
}

static inline void read_all(struct stage *s)
{
	int r;
	while ((r = read_some(s, 64)) > 0)
		;
	CU_ASSERT_EQUAL(r, -ENODATA);
	CU_ASSERT_EQUAL(read_some(s, 1), -ENODATA);
}

static inline bool is_text(const struct buf *b, const char *text)
{
	bool same = b->len == strlen(text) && memcmp(b->data ? b->data : "", text, b->len) == 0;
	if (!same)
		printf("\n    got \"%.*s\", not \"%s\"\n", (int) b->len, b->data, text);
	return same;
}

/* Reads on until these URLs, and no others, have come. */
static inline void expect_urls(struct stage *s, const char *text)
{
	while (s->urls.len < strlen(text)) {
		int r = read_some(s, 64);
		CU_ASSERT_TRUE(r > 0);
		if (r < 0)
			return;
	}
	CU_ASSERT_TRUE(is_text(&s->urls, text));
	buf_clear(&s->urls);
}

static inline void expect_complaints(struct stage *s, const char *text)
{
	CU_ASSERT_TRUE(is_text(&s->complaints, text));
	buf_clear(&s->complaints);
}

static inline void expect_notices(struct stage *s, const char *text)
{
	CU_ASSERT_TRUE(is_text(&s->notices, text));
	buf_clear(&s->notices);
}

/* Stores the source's position, NUL-terminated. */
static inline void keep_position(struct stage *s, struct buf *cursor)
{
	buf_clear(cursor);
	source_position(s->source, cursor);
	buf_add_char(cursor, '\0');
}

/* Reads a file with these contents; leaves what came of it in 's'. */
static inline void read_contents(struct stage *s, const char *data, size_t n)
{
	CU_ASSERT_TRUE(try_put(s->path, O_CREAT | O_TRUNC, data, n));
	stage_open(s, false);
	read_all(s);
}

/* Appends a job of exactly 'len' bytes without its line ending. */
static inline void add_long_job(struct buf *b, size_t len)
{
	static const char head[] = "{\"url\": \"http://long/\", \"body\": \"", tail[] = "\"}";

	buf_add_str(b, head);
	for (size_t n = strlen(head) + strlen(tail); n < len; n++)
		buf_add_char(b, 'x');
	buf_add_str(b, tail);
}

static inline void make_fifo(const char *path) { CU_ASSERT_EQUAL_FATAL(mkfifo(path, 0600), 0); }

static inline int open_writer(const char *path)
{
	int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	CU_ASSERT_TRUE_FATAL(fd >= 0);
	return fd;
}

static inline void say(int fd, const char *text)
{
	CU_ASSERT_EQUAL(write(fd, text, strlen(text)), (ssize_t) strlen(text));
}

/* --- another thread ------------------------------------------------------------------- */

/* What another thread does once the test's own thread waits. */
struct helper {
	bool (*act)(const struct helper *h);
	const char *path;
	const char *text;
	int stop_fd;
	pid_t waiter;
	bool ok;
	pthread_t thread;
};

/* Returns once the thread is asleep, in whatever it has been made to wait for. */
static inline void await_asleep(pid_t tid)
{
	char path[64], stat[512];

	(void) snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int) tid);
	for (;;) {
		FILE *file = fopen(path, "re");
		size_t n = file ? fread(stat, 1, sizeof(stat) - 1, file) : 0;
		if (file)
			(void) fclose(file);
		stat[n] = '\0';
		const char *state = strrchr(stat, ')');
		if (!state || state[2] == 'S')
			return;
		(void) sched_yield();
	}
}

static inline void *helper_run(void *arg)
{
	struct helper *h = arg;

	await_asleep(h->waiter);
	h->ok = h->act(h);
	return NULL;
}

static inline bool act_append(const struct helper *h)
{
	return try_put(h->path, O_APPEND, h->text, strlen(h->text));
}

static inline bool act_stop(const struct helper *h) { return eventfd_write(h->stop_fd, 1) == 0; }

static inline void helper_start(struct helper *h, bool (*act)(const struct helper *h))
{
	h->act = act;
	h->waiter = gettid();
	int r = thread_start(&h->thread, "helper", THREAD_STACK_SMALL, helper_run, h);
	CU_ASSERT_EQUAL_FATAL(r, 0);
}

static inline void helper_join(struct helper *h)
{
	thread_join(h->thread);
	CU_ASSERT_TRUE(h->ok);
}

/* Has a thread append the text once this one waits for it, and reads these URLs. */
static inline void expect_urls_after(struct stage *s, const char *text, const char *urls)
{
	struct helper h = { .path = s->path, .text = text };

	helper_start(&h, act_append);
	expect_urls(s, urls);
	helper_join(&h);
}

/* Has a thread stop the source once this one waits, and takes the stop back. */
static inline void stop_while_reading(struct stage *s)
{
	struct helper h = { .stop_fd = s->stop_fd };
	eventfd_t ignored;

	helper_start(&h, act_stop);
	CU_ASSERT_EQUAL(read_some(s, 64), -ECANCELED);
	helper_join(&h);
	CU_ASSERT_EQUAL(read_some(s, 64), -ECANCELED);
	CU_ASSERT_EQUAL(eventfd_read(s->stop_fd, &ignored), 0);
}

#endif
