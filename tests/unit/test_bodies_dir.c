/* SPDX-License-Identifier: Apache-2.0 */
/* bodies_dir.h and what body.h makes of it: files of bodies, and disks that fail.  Linked with
 * -Wl,--wrap= for the calls below. */
#include "sink/bodies_dir.h"

#include "body_stage.h"
#include "faults.h"

#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <sys/file.h>

#define ABC_PATH "ba/7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

/* --- the calls --------------------------------------------------------------------- */

enum call { NO_CALL, WRITE, SYNC, LINK, OPEN };
static enum call faulty; /* these fail */
static bool no_unnamed;  /* there is no O_TMPFILE */
static atomic_uint syncs, folder_syncs;

int __real_openat64(int dir, const char *path, int flags, ...);
ssize_t __real_write(int fd, const void *data, size_t n);
int __real_fdatasync(int fd);
int __real_fsync(int fd);
int __real_linkat(int from_dir, const char *from, int to_dir, const char *to, int flags);
int __real_renameat(int from_dir, const char *from, int to_dir, const char *to);
int __wrap_openat64(int dir, const char *path, int flags, ...);
ssize_t __wrap_write(int fd, const void *data, size_t n);
int __wrap_fdatasync(int fd);
int __wrap_fsync(int fd);
int __wrap_linkat(int from_dir, const char *from, int to_dir, const char *to, int flags);
int __wrap_renameat(int from_dir, const char *from, int to_dir, const char *to);

static bool fails(enum call call)
{
	int code = faulty == call ? faults_next() : 0;

	if (code != 0)
		errno = code;
	return code != 0;
}

int __wrap_openat64(int dir, const char *path, int flags, ...)
{
	va_list args;

	va_start(args, flags);
	mode_t mode = va_arg(args, mode_t);
	va_end(args);
	if (no_unnamed && (flags & O_TMPFILE) == O_TMPFILE) {
		errno = EOPNOTSUPP;
		return -1;
	}
	if ((flags & O_ACCMODE) == O_WRONLY && fails(OPEN))
		return -1;
	return __real_openat64(dir, path, flags, mode);
}

ssize_t __wrap_write(int fd, const void *data, size_t n)
{
	return fails(WRITE) ? -1 : __real_write(fd, data, n);
}

int __wrap_fdatasync(int fd)
{
	(void) atomic_fetch_add(&syncs, 1);
	return fails(SYNC) ? -1 : __real_fdatasync(fd);
}

int __wrap_fsync(int fd)
{
	(void) atomic_fetch_add(&folder_syncs, 1);
	return fails(SYNC) ? -1 : __real_fsync(fd);
}

int __wrap_linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
	return fails(LINK) ? -1 : __real_linkat(from_dir, from, to_dir, to, flags);
}

int __wrap_renameat(int from_dir, const char *from, int to_dir, const char *to)
{
	return fails(LINK) ? -1 : __real_renameat(from_dir, from, to_dir, to);
}

/* --- helpers ----------------------------------------------------------------------- */

static void begin(struct stage *s)
{
	faulty = NO_CALL;
	faults_end();
	stage_init(s, BODIES_FILES);
}

static void path_in(const struct stage *s, const char *name, char path[static 256])
{
	(void) snprintf(path, 256, "%s/%s", s->dir, name);
}

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	CU_ASSERT_TRUE_FATAL(fd >= 0);
	CU_ASSERT_EQUAL(write(fd, text, strlen(text)), (ssize_t) strlen(text));
	(void) close(fd);
}

/* Keeps a body, whose record and file must say so. */
static void expect_kept(struct stage *s, const char *data, size_t n)
{
	CU_ASSERT_EQUAL(keep(s->body, data, n), 0);
	json_t *record = say(s->body);
	CU_ASSERT_TRUE(file_holds(record, data, n));
	CU_ASSERT_EQUAL(json_integer_value(json_object_get(record, "bytes")), (json_int_t) n);
	CU_ASSERT_TRUE(json_is_false(json_object_get(record, "truncated")));
	json_decref(record);
	body_drop(s->body);
}

/* Runs a test with and without files that have no names. */
static void each_kind(void (*test)(void))
{
	for (int i = 0; i < 2; i++) {
		no_unnamed = i == 1;
		test();
	}
	no_unnamed = false;
}

/* --- files ------------------------------------------------------------------------- */

static void keep_of_each_size(void)
{
	static const size_t sizes[] = { 0, 1, 3, 4096, 65536, 1000000 };
	static char data[1000000];
	struct stage s;

	begin(&s);
	stage_open(&s);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char) (i * i >> 3);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
		expect_kept(&s, data, sizes[i]);
	CU_ASSERT_EQUAL(stats_of(&s).kept, ARRAY_LEN(sizes));
	CU_ASSERT_EQUAL(stats_of(&s).duplicates, 0);
	CU_ASSERT_EQUAL(stats_of(&s).memory_bytes, 0);
	stage_done(&s);
}

static void test_files_hold_what_was_taken(void) { each_kind(keep_of_each_size); }

static void keep_the_same(void)
{
	char path[256];
	struct stat before, after;
	struct stage s;

	begin(&s);
	stage_open(&s);
	expect_kept(&s, "abc", 3);
	path_in(&s, ABC_PATH, path);
	CU_ASSERT_EQUAL_FATAL(stat(path, &before), 0);
	CU_ASSERT_EQUAL(before.st_mode & 0777 & ~0640u, 0);
	expect_kept(&s, "abc", 3);
	CU_ASSERT_EQUAL_FATAL(stat(path, &after), 0);
	CU_ASSERT_EQUAL(after.st_ino, before.st_ino);
	CU_ASSERT_EQUAL(stats_of(&s).duplicates, 1);
	CU_ASSERT_EQUAL(count_entries(s.dir), 1);

	/* One that the power failure has left without its content. */
	put(path, "a");
	expect_kept(&s, "abc", 3);
	CU_ASSERT_EQUAL(stats_of(&s).duplicates, 1);
	stage_done(&s);
}

static void test_the_same_content_is_kept_once(void) { each_kind(keep_the_same); }

static void drop_halves(void)
{
	struct stage s;

	begin(&s);
	stage_open(&s);
	CU_ASSERT_EQUAL(take(s.body, "abc", 3, 3), 0);
	body_drop(s.body);
	CU_ASSERT_EQUAL(take(s.body, "abcd", 4, 3), 0);
	CU_ASSERT_EQUAL(take(s.body, "abcde", 5, 3), 0); /* in place of the other */
	s.body = body_free(s.body);
	CU_ASSERT_EQUAL(count_entries(s.dir), 0);
	CU_ASSERT_EQUAL(stats_of(&s).kept, 0);
	stage_done(&s);
}

static void test_what_is_dropped_leaves_nothing(void) { each_kind(drop_halves); }

static void tidy_up(void)
{
	char path[256];
	struct stage s;

	begin(&s);
	stage_open(&s);
	expect_kept(&s, "abc", 3);
	path_in(&s, ABC_PATH, path);
	CU_ASSERT_EQUAL(unlink(path), 0);
	path_in(&s, "ba", path);
	CU_ASSERT_EQUAL(rmdir(path), 0);
	expect_kept(&s, "abc", 3);
	stage_done(&s);
}

static void test_who_tidies_up_does_no_harm(void) { each_kind(tidy_up); }

/* What a crash has left is removed, but not while another process has the folder. */
static void test_leftovers_are_removed_by_who_is_alone(void)
{
	char left[256], other[256];
	struct stage s;

	begin(&s);
	stage_open(&s);
	stage_close(&s);
	path_in(&s, BODIES_DIR_NEW "1-2", left);
	path_in(&s, "somebody's", other);
	put(left, "x");
	put(other, "x");
	int fd = open(s.dir, O_RDONLY | O_CLOEXEC);
	CU_ASSERT_EQUAL_FATAL(flock(fd, LOCK_SH), 0);
	stage_open(&s);
	CU_ASSERT_EQUAL(access(left, F_OK), 0);
	stage_close(&s);
	(void) close(fd);
	stage_open(&s);
	CU_ASSERT_EQUAL(access(left, F_OK), -1);
	CU_ASSERT_EQUAL(access(other, F_OK), 0);
	stage_done(&s);
}

static void test_a_folder_that_cannot_be_is_refused(void)
{
	struct bodies *store = NULL;
	struct stage s;

	begin(&s);
	CU_ASSERT_EQUAL(bodies_check_dir(s.dir), 0); /* it can be made */
	CU_ASSERT_EQUAL(count_entries(s.dir), -1);
	put(s.dir, "");
	CU_ASSERT_EQUAL(bodies_check_dir(s.dir), -ENOTDIR);
	CU_ASSERT_EQUAL(bodies_open(&s.options, &store), -ENOTDIR);
	CU_ASSERT_EQUAL(unlink(s.dir), 0);
	(void) snprintf(s.dir, sizeof(s.dir), "%s/no/bodies", s.folder);
	CU_ASSERT_EQUAL(bodies_check_dir(s.dir), -ENOENT);
	CU_ASSERT_EQUAL(bodies_open(&s.options, &store), -ENOENT);
	(void) snprintf(s.dir, sizeof(s.dir), "%s/bodies", s.folder);
	stage_open(&s);
	CU_ASSERT_EQUAL(bodies_check_dir(s.dir), 0);
	stage_done(&s);
}

/* --- durability -------------------------------------------------------------------- */

static void test_nothing_is_synced_that_need_not_last(void)
{
	struct stage s;

	begin(&s);
	stage_open(&s);
	syncs = folder_syncs = 0;
	expect_kept(&s, "abc", 3);
	CU_ASSERT_EQUAL(bodies_sync(s.store), 0);
	CU_ASSERT_EQUAL(syncs + folder_syncs, 0);
	stage_done(&s);
}

static void test_files_and_names_are_on_disk(void)
{
	struct stage s;

	begin(&s);
	s.options.durable = true;
	stage_open(&s);
	syncs = folder_syncs = 0;
	expect_kept(&s, "abc", 3);
	CU_ASSERT_EQUAL(syncs, 1);
	CU_ASSERT_EQUAL(folder_syncs, 1); /* of the folder "ba" its own name */
	CU_ASSERT_EQUAL(bodies_sync(s.store), 0);
	CU_ASSERT_EQUAL(folder_syncs, 2);
	CU_ASSERT_EQUAL(bodies_sync(s.store), 0);
	CU_ASSERT_EQUAL(folder_syncs, 2); /* there is nothing new */

	/* Who has put it there may have synced nothing. */
	expect_kept(&s, "abc", 3);
	CU_ASSERT_EQUAL(syncs, 2);
	CU_ASSERT_EQUAL(bodies_sync(s.store), 0);
	CU_ASSERT_EQUAL(folder_syncs, 3);

	faulty = SYNC;
	expect_kept(&s, "", 0);
	faults_arm(1, 1, EIO);
	CU_ASSERT_EQUAL(bodies_sync(s.store), -EIO);
	CU_ASSERT_EQUAL(bodies_error(s.store), -EIO);
	unsigned before = folder_syncs;
	CU_ASSERT_EQUAL(bodies_sync(s.store), 0);
	CU_ASSERT_EQUAL(folder_syncs, before + 1); /* it was not forgotten */
	CU_ASSERT_EQUAL(bodies_error(s.store), 0);
	CU_ASSERT_EQUAL(s.begun, 1);
	CU_ASSERT_EQUAL(s.over, 1);
	stage_done(&s);
}

/* --- disks that fail --------------------------------------------------------------- */

/* A body is not kept, for one reason or another; then another is. */
static void fail(enum call call, int code)
{
	struct stage s;

	begin(&s);
	s.options.durable = true;
	stage_open(&s);
	faulty = call;
	faults_arm(1, 1, code);
	CU_ASSERT_EQUAL(keep(s.body, "abc", 3), -code);
	CU_ASSERT_EQUAL(bodies_error(s.store), -code);
	CU_ASSERT_EQUAL(stats_of(&s).error, -code);
	body_drop(s.body);
	CU_ASSERT_TRUE(count_entries(s.dir) <= 1); /* "ba", with nothing in it */
	CU_ASSERT_EQUAL(stats_of(&s).kept, 0);
	CU_ASSERT_EQUAL(s.begun, 1);
	CU_ASSERT_EQUAL(s.over, 0);

	expect_kept(&s, "abc", 3);
	CU_ASSERT_EQUAL(bodies_error(s.store), 0);
	CU_ASSERT_EQUAL(s.begun, 1);
	CU_ASSERT_EQUAL(s.over, 1);
	stage_done(&s);
}

static void fail_each(void)
{
	static const enum call calls[] = { WRITE, SYNC, LINK, OPEN };

	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		fail(calls[i], ENOSPC);
		fail(calls[i], EIO);
	}
}

static void test_every_failure_is_told_once_and_ends(void) { each_kind(fail_each); }

static void test_a_file_that_is_too_large_is_no_trouble(void)
{
	struct stage s;

	begin(&s);
	stage_open(&s);
	faulty = WRITE;
	faults_arm(1, 1, EFBIG);
	CU_ASSERT_EQUAL(keep(s.body, "abc", 3), -EFBIG);
	CU_ASSERT_EQUAL(bodies_error(s.store), 0);
	CU_ASSERT_EQUAL(s.begun, 0);
	stage_done(&s);
}

/* While files fail, only one thread at a time may fetch, and only if one can be written. */
static void test_while_files_fail_little_is_tried(void)
{
	struct stage s;

	begin(&s);
	stage_open(&s);
	CU_ASSERT_EQUAL(body_admit(s.body), 0);
	faulty = WRITE;
	faults_arm(1, 1000, ENOSPC);
	CU_ASSERT_EQUAL(keep(s.body, "abc", 3), -ENOSPC);
	uint64_t failed_ns = clock_now_ns();
	CU_ASSERT_EQUAL(body_admit(s.body), -ENOSPC); /* has tried, a second later */
	CU_ASSERT_TRUE(clock_now_ns() >= failed_ns + 500 * NS_PER_MS);
	faults_end();
	CU_ASSERT_EQUAL(body_admit(s.body), 0);
	CU_ASSERT_EQUAL(bodies_error(s.store), -ENOSPC); /* one small file is no proof */
	expect_kept(&s, "abc", 3);
	CU_ASSERT_EQUAL(body_admit(s.body), 0);
	CU_ASSERT_EQUAL(s.begun, 1);
	CU_ASSERT_EQUAL(s.over, 1);
	stage_done(&s);
}

static void *admit(void *arg)
{
	struct stage *s = arg;
	struct body *body = NULL;
	int r = body_create(s->store, &body);

	while (r == 0 || r == -EIO)
		r = body_admit(body);
	body_free(body);
	return r == -ECANCELED ? s : NULL;
}

static void test_a_cancellation_ends_the_wait_for_a_disk(void)
{
	pthread_t thread;
	void *result = NULL;
	struct stage s;

	begin(&s);
	stage_open(&s);
	faulty = WRITE;
	faults_arm(1, 1000000, EIO);
	CU_ASSERT_EQUAL(keep(s.body, "abc", 3), -EIO);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, admit, &s), 0);
	bodies_cancel(s.store);
	CU_ASSERT_EQUAL(pthread_join(thread, &result), 0);
	CU_ASSERT_PTR_EQUAL(result, &s);
	stage_done(&s);
}

/* --- many at once ------------------------------------------------------------------ */

enum { THREADS = 8, ROUNDS = 100 };

static void *keep_many(void *arg)
{
	struct stage *s = arg;
	struct body *body = NULL;
	char data[32];

	if (body_create(s->store, &body) < 0)
		return NULL;
	for (int i = 0; i < ROUNDS; i++) {
		int n = snprintf(data, sizeof(data), "body %d", i % 10);
		if (keep(body, data, (size_t) n) < 0)
			s = NULL;
		body_drop(body);
	}
	body_free(body);
	return s;
}

static void keep_the_same_at_once(void)
{
	pthread_t threads[THREADS];
	void *result = NULL;
	struct stage s;

	begin(&s);
	stage_open(&s);
	for (size_t i = 0; i < THREADS; i++)
		CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, keep_many, &s), 0);
	for (size_t i = 0; i < THREADS; i++) {
		CU_ASSERT_EQUAL(pthread_join(threads[i], &result), 0);
		CU_ASSERT_PTR_EQUAL(result, &s);
	}
	CU_ASSERT_EQUAL(stats_of(&s).kept, THREADS * ROUNDS);
	CU_ASSERT_TRUE(stats_of(&s).duplicates >= THREADS * ROUNDS - 10 * THREADS);
	CU_ASSERT_EQUAL(count_entries(s.dir), 9); /* two digests begin with the same digits */
	stage_done(&s);
}

static void test_the_same_may_be_kept_at_once(void) { each_kind(keep_the_same_at_once); }

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "files hold what was taken", test_files_hold_what_was_taken },
		{ "the same content is kept once", test_the_same_content_is_kept_once },
		{ "what is dropped leaves nothing", test_what_is_dropped_leaves_nothing },
		{ "who tidies up does no harm", test_who_tidies_up_does_no_harm },
		{ "leftovers are removed by who is alone",
		  test_leftovers_are_removed_by_who_is_alone },
		{ "a folder that cannot be is refused", test_a_folder_that_cannot_be_is_refused },
		{ "nothing is synced that need not last", test_nothing_is_synced_that_need_not_last },
		{ "files and names are on disk", test_files_and_names_are_on_disk },
		{ "every failure is told once, and ends", test_every_failure_is_told_once_and_ends },
		{ "a file that is too large is no trouble",
		  test_a_file_that_is_too_large_is_no_trouble },
		{ "while files fail little is tried", test_while_files_fail_little_is_tried },
		{ "a cancellation ends the wait for a disk",
		  test_a_cancellation_ends_the_wait_for_a_disk },
		{ "the same may be kept at once", test_the_same_may_be_kept_at_once },
		CU_TEST_INFO_NULL,
	};
	return unit_run("bodies_dir", tests);
}
