/* SPDX-License-Identifier: Apache-2.0 */
/* A results log, the store it is a copy of, and a reader: for the tests of its recovery. */
#ifndef PENSTOCK_TESTS_RESULTS_STAGE_H
#define PENSTOCK_TESTS_RESULTS_STAGE_H

#include "base/buf.h"
#include "sink/results.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- the records ------------------------------------------------------------------- */

static const char *const records[] = {
	"{\"seq\":1}\n",
	"{\"seq\":2,\"id\":\"bb\"}\n",
	"{\"seq\":3}\n",
	"{\"seq\":4}\n",
};
enum { RECORDS = ARRAY_LEN(records) };

static char all[256];              /* the records, one after another */
static size_t begins[RECORDS + 1]; /* where each begins; the last: where they end */

static inline void join_records(void)
{
	for (size_t i = 0; i < RECORDS; i++) {
		begins[i] = strlen(all);
		strcat(all, records[i]);
	}
	begins[RECORDS] = strlen(all);
}

/* How many records are whole in the first 'len' bytes. */
static inline size_t whole(size_t len)
{
	size_t n = 0;

	while (n < RECORDS && begins[n + 1] <= len)
		n++;
	return n;
}

/* --- the store --------------------------------------------------------------------- */

enum { NOT = 1 << 20 };

struct store {
	size_t page;  /* records a page */
	int fail_at;  /* this call of next() or keep() and all later ones fail */
	int calls;
	uint64_t seq; /* the mark */
	struct results_position mark;
	bool marked;
	int watched;  /* a reader's descriptor of the file, or -1 */
	size_t seen;  /* how much of it the reader has seen that was right */
};

/* No byte of what was right is ever missing, not even for a moment. */
static inline void watch(const struct store *s)
{
	struct stat st;

	if (s->watched >= 0)
		CU_ASSERT_TRUE(fstat(s->watched, &st) == 0 && (size_t) st.st_size >= s->seen);
}

static inline int next(void *arg, uint64_t after_seq, struct buf *lines, uint64_t *ret_last_seq)
{
	struct store *s = arg;

	watch(s);
	if (++s->calls >= s->fail_at)
		return -EIO;
	size_t end = after_seq + s->page < RECORDS ? after_seq + s->page : RECORDS;
	for (size_t i = after_seq; i < end; i++)
		buf_add_str(lines, records[i]);
	*ret_last_seq = end;
	return 0;
}

static inline int keep(void *arg, uint64_t seq, const struct results_position *position)
{
	struct store *s = arg;

	watch(s);
	if (++s->calls >= s->fail_at)
		return -EIO;
	CU_ASSERT_TRUE(seq >= s->seq);
	s->seq = seq;
	s->mark = *position;
	s->marked = true;
	return 0;
}

/* --- the files --------------------------------------------------------------------- */

struct place {
	char folder[32];
	char path[64];  /* the log */
	char other[64]; /* what it was renamed to */
	struct store store;
	struct results_recovery found; /* by the last recovery */
};

static inline void begin(struct place *p)
{
	*p = (struct place) { .folder = "/tmp/penstock-test-XXXXXX" };
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(p->folder));
	(void) snprintf(p->path, sizeof(p->path), "%s/results", p->folder);
	(void) snprintf(p->other, sizeof(p->other), "%s/old", p->folder);
	p->store = (struct store) { .page = RECORDS, .fail_at = NOT, .watched = -1 };
}

static inline void end(struct place *p)
{
	(void) unlink(p->path);
	(void) unlink(p->other);
	CU_ASSERT_EQUAL(rmdir(p->folder), 0);
}

static inline void put(const char *path, const char *data, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	CU_ASSERT_TRUE_FATAL(fd >= 0);
	CU_ASSERT_EQUAL(write(fd, data, len), (ssize_t) len);
	(void) close(fd);
}

static inline void put_text(const char *path, const char *text) { put(path, text, strlen(text)); }

static inline size_t get(const char *path, char found[static 1024])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, found, 1024);

	if (fd >= 0)
		(void) close(fd);
	return n < 0 ? SIZE_MAX : (size_t) n;
}

/* Whether the file holds 'before', and then the records from one to another byte. */
static inline bool holds(const char *path, const char *before, size_t from, size_t to)
{
	char found[1024];
	size_t n = get(path, found), head = strlen(before);

	return n == head + to - from && memcmp(found, before, head) == 0 &&
	       memcmp(found + head, all + from, to - from) == 0;
}

static inline struct results_position position_of(const char *path, size_t offset)
{
	struct stat st;

	CU_ASSERT_EQUAL_FATAL(stat(path, &st), 0);
	return (struct results_position) {
		.regular = true, .device = st.st_dev, .inode = st.st_ino, .offset = offset
	};
}

static inline void mark(struct place *p, size_t seq, size_t offset)
{
	p->store.mark = position_of(p->path, offset);
	p->store.seq = seq;
	p->store.marked = true;
}

/* A log with the first 'len' bytes of the records, marked behind record 'seq', and a reader
 * who has seen them. */
static inline void make_log(struct place *p, size_t seq, size_t len)
{
	begin(p);
	put(p->path, all, len);
	mark(p, seq, begins[seq]);
	p->store.watched = open(p->path, O_RDONLY | O_CLOEXEC);
	p->store.seen = len;
}

static inline void leave(struct place *p)
{
	watch(&p->store);
	(void) close(p->store.watched);
	end(p);
}

static inline struct results *open_log(const char *path)
{
	struct results *r = NULL;

	CU_ASSERT_EQUAL_FATAL(results_open(path, &r), 0);
	return r;
}

static inline int recover_open(struct place *p, struct results *r, uint64_t *ret_missing)
{
	struct results_store store = { .next = next, .keep = keep, .arg = &p->store };
	struct results_position from = p->store.mark; /* keep() writes to the other */

	int err = results_recover(r, p->store.marked ? &from : NULL, p->store.seq, &store,
	                          &p->found);
	if (err == 0)
		*ret_missing = p->found.missing;
	return err;
}

static inline int recover(struct place *p, uint64_t *ret_missing)
{
	struct results *r = open_log(p->path);

	int err = recover_open(p, r, ret_missing);
	CU_ASSERT_EQUAL(results_close(r), 0);
	return err;
}

/* Recovers; 'missing' records must have been missing. */
static inline void recover_well(struct place *p, size_t missing)
{
	uint64_t n = 99;

	CU_ASSERT_EQUAL(recover(p, &n), 0);
	CU_ASSERT_EQUAL(n, missing);
	CU_ASSERT_EQUAL(p->store.seq, RECORDS);
	struct results_position last = position_of(p->path, 0);
	struct stat st;
	CU_ASSERT_EQUAL(stat(p->path, &st), 0);
	CU_ASSERT_EQUAL(p->store.mark.inode, last.inode);
	CU_ASSERT_EQUAL(p->store.mark.offset, (uint64_t) st.st_size);
}

#endif
