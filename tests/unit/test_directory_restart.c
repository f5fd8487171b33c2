/* SPDX-License-Identifier: Apache-2.0 */
/* directory.h: going on where an earlier source left off, whenever that was. */
#include "directory_stage.h"
#include "seed.h"

#include <limits.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

static void restart(struct drops *d)
{
	d->s.source = source_free(d->s.source);
	open_drops(d);
}

/* Reads a batch that is accepted, but the source does not live to be told. */
static void read_and_die(struct drops *d, size_t max, int expected)
{
	CU_ASSERT_EQUAL(read_batch(&d->s, max), expected);
	keep_position(&d->s, &d->cursor);
	restart(d);
}

static void test_reading_goes_on_in_the_file(void)
{
	struct drops d;

	drops_init(&d);
	drop(&d, "a", "http://a/1\nhttp://a/2\n{\nhttp://a/3");
	drop(&d, "b", "http://b/1\n");
	set_time(&d, "b", 1000);
	set_time(&d, "a", 1001);
	open_drops(&d);
	read_and_die(&d, 1, 1);
	CU_ASSERT_EQUAL(read_and_accept(&d, 1), 1);
	CU_ASSERT_TRUE(exists(&d, "done/b"));
	buf_clear(&d.s.complaints);
	read_and_die(&d, 64, 2);
	CU_ASSERT_EQUAL(count(&d, "."), 1);
	expect_urls(&d.s, "http://b/1\nhttp://a/1\nhttp://a/2\nhttp://a/3\n");
	buf_clear(&d.s.complaints);
	CU_ASSERT_EQUAL(read_and_accept(&d, 64), 0);
	expect_complaints(&d.s, "");
	CU_ASSERT_TRUE(exists(&d, "failed/a.report"));
	CU_ASSERT_EQUAL(count(&d, "."), 0);
	expect_notices(&d.s, "");
	drops_done(&d);
}

static void test_a_report_belongs_to_the_file_that_was_told_last(void)
{
	struct drops d;

	drops_init(&d);
	drop(&d, "a", "http://a/1\nx\n");
	open_drops(&d);
	CU_ASSERT_EQUAL(read_and_accept(&d, 64), 1);
	CU_ASSERT_TRUE(exists(&d, "failed/a.report"));
	restart(&d);

	/* Before the next one's report is begun, it is told that 'a' is through. */
	drop(&d, "b", "x\n");
	CU_ASSERT_EQUAL(read_and_accept(&d, 64), 0);
	CU_ASSERT_STRING_EQUAL(d.cursor.data, "directory none");
	CU_ASSERT_EQUAL(read_batch(&d.s, 64), 0);
	CU_ASSERT_TRUE(exists(&d, "failed/.report"));
	restart(&d);
	CU_ASSERT_TRUE(exists(&d, "failed/.report"));
	CU_ASSERT_EQUAL(read_and_accept(&d, 64), 0);
	CU_ASSERT_TRUE(exists(&d, "failed/b.report"));
	CU_ASSERT_EQUAL(count(&d, "failed"), 4);
	drops_done(&d);
}

static void test_a_file_may_get_another_name_meanwhile(void)
{
	struct drops d;

	drops_init(&d);
	drop(&d, "a", "http://a/1\nhttp://a/2\n");
	open_drops(&d);
	CU_ASSERT_EQUAL(read_and_accept(&d, 1), 1);
	CU_ASSERT_EQUAL(rename(in(&d, "a"), in(&d, "new name")), 0);
	restart(&d);
	expect_drops(&d, "http://a/1\nhttp://a/2\n");
	CU_ASSERT_TRUE(exists(&d, "done/new name"));
	drops_done(&d);
}

static void test_a_file_that_looks_the_same_is_another_one(void)
{
	struct drops d;

	drops_init(&d);
	for (unsigned i = 0; i < 20; i++) {
		/* Its inode's number is free again, and it has the same name and contents. */
		drop(&d, "a", "http://a/1\n");
		open_drops(&d);
		expect_drops(&d, "http://a/1\n");
		CU_ASSERT_EQUAL(unlink(in(&d, "done/a")), 0);
		CU_ASSERT_EQUAL(read_and_accept(&d, 64), 0);
		d.s.source = source_free(d.s.source);
	}
	drops_done(&d);
}

static void test_a_file_that_has_changed_is_read_from_its_start(void)
{
	struct drops d;

	drops_init(&d);
	drop(&d, "a", "{\nhttp://a/1\nhttp://a/2\n");
	open_drops(&d);
	CU_ASSERT_EQUAL(read_and_accept(&d, 1), 1);
	d.s.source = source_free(d.s.source);
	put(in(&d, "a"), "http://b/1\nhttp://b/2\n");
	open_drops(&d);
	expect_notices(&d.s, "a: was rewritten; is read from its start\n");
	CU_ASSERT_EQUAL(read_and_accept(&d, 64), 2);
	expect_urls(&d.s, "http://a/1\nhttp://b/1\nhttp://b/2\n");
	CU_ASSERT_TRUE(exists(&d, "done/a"));
	drops_done(&d);
}

static void test_a_damaged_cursor_is_named(void)
{
	static const char *const damaged[] = {
		"none",
		"directory ",
		"directory 0 0 0",
		"directory 0 0 0 1 2 3 4 0 0",
		"directory 0 0 0 1 2 3 4 0 0 ",
		"directory 0 0 0 1 2 3 4 0 0 ../a",
	};

	for (size_t i = 0; i < ARRAY_LEN(damaged); i++) {
		struct drops d;
		drops_init(&d);
		drop(&d, "a", "http://a/1\n");
		buf_add(&d.cursor, damaged[i], strlen(damaged[i]) + 1);
		open_drops(&d);
		CU_ASSERT_TRUE(d.s.notices.len > 0);
		expect_drops(&d, "http://a/1\n");
		drops_done(&d);
	}
}

/* --- any files, any restarts -------------------------------------------------------------- */

enum { FILES = 20 };

/* What shall have come of one file. */
struct expected {
	char name[16];
	bool bad;
	struct buf report;
};

static void make_file(struct drops *d, struct expected *e, unsigned number, struct random *r,
                      struct buf *urls)
{
	struct buf text = { 0 };
	size_t lines = below(r, 8) == 0 ? 3000 + below(r, 6000) : below(r, 40);

	/* The last one makes a batch, so that reading it returns. */
	if (number == FILES - 1)
		lines++;

	*e = (struct expected){ .bad = false };
	(void) snprintf(e->name, sizeof(e->name), "file-%u", number);
	for (size_t line = 1; line <= lines; line++) {
		size_t what = below(r, 50);
		if (what == 0 || (what == 1 && lines < 40)) {
			buf_add(&text, "x\0", 2);
			buf_printf(&e->report, "%zu: line holds a NUL byte\n", line);
			e->bad = true;
		} else if (what < 10) {
			buf_add_str(&text, "# c");
		} else {
			buf_printf(&text, "http://%u/%zu", number, line);
			buf_printf(urls, "http://%u/%zu\n", number, line);
		}
		buf_add_str(&text, line < lines || below(r, 2) == 0 ? "\n" : "");
	}
	buf_add_char(&e->report, '\0');
	CU_ASSERT_TRUE(try_put(in(d, e->name), O_CREAT, text.data ? text.data : "", text.len));
	set_time(d, e->name, 1000 + (time_t) number);
	buf_done(&text);
}

static bool came_true(const struct drops *d, const struct expected *e)
{
	char name[64], report[64];

	(void) snprintf(name, sizeof(name), "%s/%s", e->bad ? "failed" : "done", e->name);
	(void) snprintf(report, sizeof(report), "failed/%s.report", e->name);
	return exists(d, name) && (e->bad ? holds(d, report, e->report.data) : !exists(d, report));
}

/* Reads everything with restarts: before a batch is accepted, before the source is told that
 * it was, and after that. */
static void read_with_restarts(struct drops *d, struct random *r)
{
	while (count(d, ".") > 0) {
		size_t before = d->s.urls.len;
		size_t fate = below(r, 8);

		CU_ASSERT_TRUE(read_batch(&d->s, 1 + below(r, 64)) >= 0);
		if (fate == 0)
			d->s.urls.len = before;
		else
			keep_position(&d->s, &d->cursor);
		if (fate > 1)
			CU_ASSERT_EQUAL(source_accepted(d->s.source), 0);
		if (fate <= 2)
			restart(d);
	}
}

static void test_any_restarts_read_every_line_once(void)
{
	struct random r = seeded();

	for (unsigned i = 0; i < 3; i++) {
		struct expected expected[FILES];
		struct buf urls = { 0 };
		struct drops d;

		drops_init(&d);
		for (unsigned n = 0; n < FILES; n++)
			make_file(&d, &expected[n], n, &r, &urls);
		open_drops(&d);
		read_with_restarts(&d, &r);
		CU_ASSERT_TRUE(d.s.urls.len == urls.len &&
		               memcmp(d.s.urls.data, urls.data, urls.len) == 0);
		for (unsigned n = 0; n < FILES; n++) {
			CU_ASSERT_TRUE(came_true(&d, &expected[n]));
			buf_done(&expected[n].report);
		}
		CU_ASSERT_FALSE(exists(&d, "failed/.report"));
		expect_notices(&d.s, "");
		buf_done(&urls);
		drops_done(&d);
	}
}

/* --- kill -9 between any two system calls ---------------------------------------------- */

/* Makes a batch's URLs and its position durable together, as a backlog does: in a file,
 * ".store", that one write(2) overwrites, up to the end that it always has. */
enum { STORE_BYTES = 4096 };

static bool store(struct drops *d)
{
	char data[STORE_BYTES] = { 0 };
	int n = snprintf(data, sizeof(data), "%s\n%.*s", d->cursor.data, (int) d->s.urls.len,
	                 d->s.urls.data);

	return n < STORE_BYTES && try_put(in(d, ".store"), O_CREAT, data, sizeof(data));
}

static void load(struct drops *d)
{
	char data[STORE_BYTES];
	int fd = open(in(d, ".store"), O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, data, sizeof(data)) : -1;

	buf_clear(&d->cursor);
	buf_clear(&d->s.urls);
	if (fd >= 0)
		(void) close(fd);
	if (n <= 0)
		return;
	const char *end = memchr(data, '\n', (size_t) n);
	buf_add(&d->cursor, data, (size_t) (end - data));
	buf_add_char(&d->cursor, '\0');
	buf_add_str(&d->s.urls, end + 1);
}

/* From a start to the last file's end. */
static bool run(struct drops *d)
{
	bool ok = true;

	load(d);
	open_drops(d);
	while (ok && count(d, ".") > 0) {
		ok = read_batch(&d->s, 2) >= 0;
		keep_position(&d->s, &d->cursor);
		ok = ok && store(d) && source_accepted(d->s.source) == 0;
	}
	d->s.source = source_free(d->s.source);
	return ok;
}

/* Runs in another process, and kills it once its 'calls'th system call is through.  Returns
 * how many it has made: fewer if it came to its end before. */
static unsigned run_and_kill(struct drops *d, unsigned calls)
{
	int status = 0;
	unsigned made = 0;

	pid_t pid = fork();
	if (pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
			_exit(2);
		(void) raise(SIGSTOP);
		_exit(run(d) ? 0 : 1);
	}
	CU_ASSERT_TRUE_FATAL(pid > 0 && waitpid(pid, &status, 0) == pid);
	for (; WIFSTOPPED(status) && made < calls; made++) {
		for (unsigned stop = 0; stop < 2 && WIFSTOPPED(status); stop++) {
			CU_ASSERT_EQUAL(ptrace(PTRACE_SYSCALL, pid, NULL, NULL), 0);
			CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
		}
	}
	if (WIFSTOPPED(status)) {
		CU_ASSERT_EQUAL(kill(pid, SIGKILL), 0);
		while (waitpid(pid, &status, 0) == pid && WIFSTOPPED(status))
			;
		return made;
	}
	CU_ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	return made - 1;
}

static void prepare(struct drops *d)
{
	CU_ASSERT_EQUAL(mkdir(in(d, "done"), 0700) | mkdir(in(d, "failed"), 0700), 0);
	put(in(d, "done/a"), "");
	put(in(d, "failed/b"), "");
	put(in(d, "failed/b.report"), "0: earlier\n");
	put(in(d, "a"), "http://a/1\nhttp://a/2\nhttp://a/3\n");
	put(in(d, "b"), "http://b/1\nx\nhttp://b/2\nhttp://b/3\nx\n");
	put(in(d, "c"), "x\nx");
	put(in(d, "d"), "");
	put(in(d, "e"), "x\nhttp://e/2");
	for (const char *name = "a\0b\0c\0d\0e\0"; *name; name += 2)
		set_time(d, name, 1000 + *name);
}

static bool all_is_right(const struct drops *d)
{
	static const char why[] = "not an absolute http or https URL: x";
	char b[256], c[256], e[256];

	(void) snprintf(b, sizeof(b), "2: %s\n5: %s\n", why, why);
	(void) snprintf(c, sizeof(c), "1: %s\n2: %s\n", why, why);
	(void) snprintf(e, sizeof(e), "1: %s\n", why);
	return is_text(&d->s.urls, "http://a/1\nhttp://a/2\nhttp://a/3\nhttp://b/1\n"
	                           "http://b/2\nhttp://b/3\nhttp://e/2\n") &&
	       count(d, "done") == 3 && exists(d, "done/a.1") && exists(d, "done/d") &&
	       count(d, "failed") == 8 && exists(d, "failed/b.1") && exists(d, "failed/c") &&
	       exists(d, "failed/e") && holds(d, "failed/b.1.report", b) &&
	       holds(d, "failed/c.report", c) && holds(d, "failed/e.report", e) &&
	       !exists(d, "failed/.report");
}

static bool may_trace(void)
{
	int status = 0;

	pid_t pid = fork();
	if (pid == 0)
		_exit(ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0 ? 1 : 0);
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Returns how many calls were made before the kill. */
static unsigned kill_and_check(unsigned calls)
{
	struct drops d;

	drops_init(&d);
	prepare(&d);
	unsigned made = run_and_kill(&d, calls);
	CU_ASSERT_TRUE(run(&d));
	bool right = all_is_right(&d);
	if (!right)
		(void) printf("after %u system calls\n", made);
	CU_ASSERT_TRUE(right);
	drops_done(&d);
	return made;
}

static void test_a_kill_at_any_moment_loses_and_doubles_nothing(void)
{
	unsigned kills = 0;

	if (!may_trace()) {
		(void) printf("(not here: no process can be traced) ");
		return;
	}

	/* After every call; under a sanitizer, which makes many of its own, after some. */
	unsigned all = kill_and_check(UINT_MAX);
	unsigned step = 1 + all / 300;
	for (unsigned calls = 1; calls < all; calls += step) {
		(void) kill_and_check(calls);
		kills++;
	}
	(void) printf("(%u kills in %u calls) ", kills, all);
	CU_ASSERT_TRUE(kills > 100);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "reading goes on in the file", test_reading_goes_on_in_the_file },
		{ "a report belongs to the file that was told last",
		  test_a_report_belongs_to_the_file_that_was_told_last },
		{ "a file may get another name meanwhile",
		  test_a_file_may_get_another_name_meanwhile },
		{ "a file that looks the same is another one",
		  test_a_file_that_looks_the_same_is_another_one },
		{ "a file that has changed is read from its start",
		  test_a_file_that_has_changed_is_read_from_its_start },
		{ "a damaged cursor is named", test_a_damaged_cursor_is_named },
		{ "any restarts read every line once", test_any_restarts_read_every_line_once },
		{ "a kill at any moment loses and doubles nothing",
		  test_a_kill_at_any_moment_loses_and_doubles_nothing },
		CU_TEST_INFO_NULL,
	};
	return unit_run("directory_restart", tests);
}
