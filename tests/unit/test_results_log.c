/* SPDX-License-Identifier: Apache-2.0 */
/* results.h: whole lines only, whatever happens to the file or to its reader. */
#include "sink/results.h"

#include "base/buf.h"
#include "base/thread.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- helpers ----------------------------------------------------------------------- */

struct place {
	char folder[32];
	char path[64];
};

static void begin(struct place *p)
{
	*p = (struct place) { .folder = "/tmp/penstock-test-XXXXXX" };
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(p->folder));
	(void) snprintf(p->path, sizeof(p->path), "%s/results", p->folder);
}

static void end(struct place *p)
{
	(void) unlink(p->path);
	CU_ASSERT_EQUAL(rmdir(p->folder), 0);
}

static void put(const struct place *p, const char *text)
{
	int fd = open(p->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	CU_ASSERT_TRUE_FATAL(fd >= 0);
	CU_ASSERT_EQUAL(write(fd, text, strlen(text)), (ssize_t) strlen(text));
	(void) close(fd);
}

static bool has(const struct place *p, const char *text)
{
	char found[4096];
	int fd = open(p->path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, found, sizeof(found));

	if (fd >= 0)
		(void) close(fd);
	return n == (ssize_t) strlen(text) && memcmp(found, text, (size_t) n) == 0;
}

static struct results *open_log(const char *path)
{
	struct results *r = NULL;

	CU_ASSERT_EQUAL_FATAL(results_open(path, &r), 0);
	return r;
}

static int append_text(struct results *r, const char *text)
{
	return results_append(r, text, strlen(text));
}

/* Runs 'body' in a child process, which returns its exit status from it. */
static int in_child(int (*body)(const struct place *p), const struct place *p)
{
	int status = -1;

	(void) fflush(NULL);
	pid_t pid = fork();
	if (pid == 0)
		_exit(body(p));
	CU_ASSERT_EQUAL_FATAL(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* --- files ------------------------------------------------------------------------- */

static void test_lines_are_appended(void)
{
	struct place p;

	begin(&p);
	struct results *r = open_log(p.path);
	CU_ASSERT_TRUE(has(&p, ""));
	CU_ASSERT_EQUAL(append_text(r, "one\ntwo\n"), 0);
	CU_ASSERT_TRUE(has(&p, "one\ntwo\n"));
	CU_ASSERT_EQUAL(append_text(r, ""), 0);
	CU_ASSERT_EQUAL(results_close(r), 0);
	CU_ASSERT_EQUAL(results_close(NULL), 0);

	r = open_log(p.path);
	CU_ASSERT_EQUAL(append_text(r, "three\n"), 0);
	CU_ASSERT_EQUAL(results_close(r), 0);
	CU_ASSERT_TRUE(has(&p, "one\ntwo\nthree\n"));
	end(&p);
}

static void test_a_torn_last_line_is_ended(void)
{
	static const struct {
		const char *before, *after;
	} cases[] = {
		{ "", "new\n" },
		{ "\n", "\nnew\n" },
		{ "whole\n", "whole\nnew\n" },
		{ "whole\nto", "whole\nto\nnew\n" },
		{ "t", "t\nnew\n" },
	};
	struct place p;

	begin(&p);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		put(&p, cases[i].before);
		struct results *r = open_log(p.path);
		CU_ASSERT_EQUAL(append_text(r, "new\n"), 0);
		CU_ASSERT_EQUAL(results_close(r), 0);
		CU_ASSERT_TRUE(has(&p, cases[i].after));
	}
	end(&p);
}

static void test_what_cannot_be_opened_is_said(void)
{
	struct results *r = NULL;
	struct place p;

	begin(&p);
	CU_ASSERT_EQUAL(results_open(p.folder, &r), -EISDIR);
	CU_ASSERT_EQUAL(results_open("/dev/null/x", &r), -ENOTDIR);
	CU_ASSERT_EQUAL(results_open("", &r), -ENOENT);
	CU_ASSERT_PTR_NULL(r);
	end(&p);
}

/* 0: refused as it should be. */
static int open_in_vain(const struct place *p)
{
	struct results *r = NULL;

	return results_open(p->path, &r) == -EWOULDBLOCK ? 0 : 1;
}

static void test_two_processes_do_not_share_a_log(void)
{
	struct place p;

	begin(&p);
	put(&p, "torn");
	struct results *r = open_log(p.path);
	CU_ASSERT_EQUAL(in_child(open_in_vain, &p), 0);
	CU_ASSERT_EQUAL(open_in_vain(&p), 0);
	CU_ASSERT_EQUAL(append_text(r, "line\n"), 0);
	CU_ASSERT_EQUAL(results_close(r), 0);
	CU_ASSERT_EQUAL(in_child(open_in_vain, &p), 1); /* free again */
	CU_ASSERT_TRUE(has(&p, "torn\nline\n"));
	end(&p);
}

/* --- no room ----------------------------------------------------------------------- */

static void test_a_full_disk_is_said(void)
{
	struct results *r = open_log("/dev/full");

	CU_ASSERT_EQUAL(append_text(r, "line\n"), -ENOSPC);
	CU_ASSERT_EQUAL(results_close(r), 0);
}

enum { SIZE_LIMIT = 4096 };

/* Limits the size of every file that this process writes, as a full disk would. */
static bool limit_files(void)
{
	return signal(SIGXFSZ, SIG_IGN) != SIG_ERR &&
	       setrlimit(RLIMIT_FSIZE, &(struct rlimit) { SIZE_LIMIT, SIZE_LIMIT }) == 0;
}

/* Appends what fits, what does not, and what fits again; 0 if all that went as it should. */
static int overfill(struct results *r)
{
	static char large[2 * SIZE_LIMIT];

	memset(large, 'x', sizeof(large));
	large[sizeof(large) - 1] = '\n';
	if (append_text(r, "one\n") != 0)
		return 1;
	if (results_append(r, large, sizeof(large)) != -EFBIG)
		return 2;
	if (append_text(r, "two\n") != 0)
		return 3;
	return results_close(r) == 0 ? 0 : 4;
}

static int overfill_file(const struct place *p)
{
	struct results *r = NULL;

	if (!limit_files() || results_open(p->path, &r) != 0)
		return 99;
	return overfill(r);
}

static void test_half_a_line_is_taken_back(void)
{
	struct place p;

	begin(&p);
	put(&p, "zero\n");
	CU_ASSERT_EQUAL(in_child(overfill_file, &p), 0);
	CU_ASSERT_TRUE(has(&p, "zero\none\ntwo\n"));
	end(&p);
}

/* --- standard output --------------------------------------------------------------- */

/* Makes the path the standard output, with 'flags' beside what a shell sets. */
static struct results *redirect_stdout(const struct place *p, int flags)
{
	struct results *r = NULL;

	int fd = open(p->path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0600);
	if (fd < 0 || dup2(fd, STDOUT_FILENO) < 0 || write(STDOUT_FILENO, "before\n", 7) != 7)
		_exit(98);
	if (!limit_files() || results_open("-", &r) != 0)
		_exit(99);
	return r;
}

/* Standard output stays open: others may write there, too. */
static int write_behind(int status)
{
	return status != 0 ? status : write(STDOUT_FILENO, "behind\n", 7) == 7 ? 0 : 5;
}

static int overfill_stdout(const struct place *p)
{
	return write_behind(overfill(redirect_stdout(p, O_TRUNC)));
}

static int overfill_appending_stdout(const struct place *p)
{
	return write_behind(overfill(redirect_stdout(p, O_APPEND)));
}

static void test_standard_output_may_be_a_file(void)
{
	struct place p;

	begin(&p);
	put(&p, "zero\n");
	CU_ASSERT_EQUAL(in_child(overfill_appending_stdout, &p), 0);
	CU_ASSERT_TRUE(has(&p, "zero\nbefore\none\ntwo\nbehind\n"));
	CU_ASSERT_EQUAL(in_child(overfill_stdout, &p), 0);
	CU_ASSERT_TRUE(has(&p, "before\none\ntwo\nbehind\n"));
	end(&p);
}

static int write_to_a_closed_pipe(const struct place *p)
{
	struct results *r = NULL;
	int fds[2];

	(void) p;
	(void) signal(SIGPIPE, SIG_IGN);
	if (pipe(fds) < 0 || dup2(fds[1], STDOUT_FILENO) < 0 || results_open("-", &r) != 0)
		return 99;
	(void) close(fds[1]);
	if (append_text(r, "line\n") != 0)
		return 1;
	(void) close(fds[0]);
	if (append_text(r, "line\n") != -EPIPE)
		return 2;
	return results_close(r) == 0 ? 0 : 3;
}

static void test_a_closed_pipe_is_said(void)
{
	CU_ASSERT_EQUAL(in_child(write_to_a_closed_pipe, &(struct place) { 0 }), 0);
}

/* --- FIFOs ------------------------------------------------------------------------- */

/* Makes the path a FIFO, and returns a reader that does not wait for a writer. */
static int open_reader(const struct place *p)
{
	CU_ASSERT_EQUAL_FATAL(mkfifo(p->path, 0600), 0);
	int fd = open(p->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	CU_ASSERT_TRUE_FATAL(fd >= 0);
	return fd;
}

static int write_to_a_left_fifo(const struct place *p)
{
	struct results *r = NULL;

	(void) signal(SIGPIPE, SIG_IGN);
	int reader = open(p->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (reader < 0 || results_open(p->path, &r) != 0)
		return 99;
	if (append_text(r, "line\n") != 0)
		return 1;
	(void) close(reader);
	if (append_text(r, "line\n") != -EPIPE)
		return 2;
	return results_close(r) == 0 ? 0 : 3;
}

static void test_a_fifo_whose_reader_has_gone_is_said(void)
{
	struct place p;

	begin(&p);
	CU_ASSERT_EQUAL_FATAL(mkfifo(p.path, 0600), 0);
	CU_ASSERT_EQUAL(in_child(write_to_a_left_fifo, &p), 0);
	end(&p);
}

enum { LOAD = 1024 * 1024 }; /* more than a FIFO holds: pipe(7) */

struct writer {
	pthread_t thread;
	struct results *results;
	char *data;
	int result;
};

static void *write_load(void *arg)
{
	struct writer *w = arg;

	w->result = results_append(w->results, w->data, LOAD);
	return NULL;
}

static void start_writer(struct writer *w, const struct place *p)
{
	*w = (struct writer) { .results = open_log(p->path), .data = malloc(LOAD) };
	CU_ASSERT_PTR_NOT_NULL_FATAL(w->data);
	for (size_t i = 0; i < LOAD; i++)
		w->data[i] = (char) ('a' + i % 26);
	CU_ASSERT_EQUAL_FATAL(thread_start(&w->thread, "writer", THREAD_STACK_SMALL, write_load, w),
	                      0);
}

/* Waits until the FIFO takes no further piece. */
static void await_full(int reader)
{
	int held = 0;

	while (held + PIPE_BUF <= fcntl(reader, F_GETPIPE_SZ)) {
		(void) sched_yield();
		CU_ASSERT_EQUAL_FATAL(ioctl(reader, FIONREAD, &held), 0);
	}
}

static void end_writer(struct writer *w, int reader, int result)
{
	thread_join(w->thread);
	CU_ASSERT_EQUAL(w->result, result);
	CU_ASSERT_EQUAL(results_close(w->results), 0);
	free(w->data);
	(void) close(reader);
}

static void test_a_reader_that_does_not_read_can_be_left(void)
{
	struct place p;
	struct writer w;

	begin(&p);
	int reader = open_reader(&p);
	start_writer(&w, &p);
	await_full(reader);
	results_cancel(w.results);
	results_cancel(w.results);
	end_writer(&w, reader, -ECANCELED);
	end(&p);
}

static void test_a_slow_reader_gets_everything(void)
{
	struct place p;
	struct writer w;
	char piece[1000];
	size_t got = 0, wrong = 0;

	begin(&p);
	int reader = open_reader(&p);
	start_writer(&w, &p);
	await_full(reader);
	while (got < LOAD) {
		ssize_t n = read(reader, piece, sizeof(piece));
		for (ssize_t i = 0; i < n; i++)
			wrong += piece[i] != (char) ('a' + (got + (size_t) i) % 26);
		got += n > 0 ? (size_t) n : 0;
	}
	CU_ASSERT_EQUAL(wrong, 0);
	end_writer(&w, reader, 0);
	end(&p);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "lines are appended", test_lines_are_appended },
		{ "a torn last line is ended", test_a_torn_last_line_is_ended },
		{ "what cannot be opened is said", test_what_cannot_be_opened_is_said },
		{ "two processes do not share a log", test_two_processes_do_not_share_a_log },
		{ "a full disk is said", test_a_full_disk_is_said },
		{ "half a line is taken back", test_half_a_line_is_taken_back },
		{ "standard output may be a file", test_standard_output_may_be_a_file },
		{ "a closed pipe is said", test_a_closed_pipe_is_said },
		{ "a FIFO whose reader has gone is said",
		  test_a_fifo_whose_reader_has_gone_is_said },
		{ "a reader that does not read can be left",
		  test_a_reader_that_does_not_read_can_be_left },
		{ "a slow reader gets everything", test_a_slow_reader_gets_everything },
		CU_TEST_INFO_NULL,
	};
	return unit_run("results log", tests);
}
