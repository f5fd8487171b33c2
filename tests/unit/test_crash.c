/* SPDX-License-Identifier: Apache-2.0 */
/* crash.h: children crash, and what they leave behind is read. */
#include "base/crash.h"

#include "base/thread.h"
#include "unit.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[] = "/tmp/penstock-test-XXXXXX";
static char path[64];

/* A thread that works on 'number' and then gets the signal, or waits for the end. */
struct work {
	uint64_t number;
	int signal;
	pthread_barrier_t *barrier;
};

static void *run_work(void *arg)
{
	const struct work *w = arg;
	struct crash_stack stack;

	crash_enter(&stack);
	crash_set_work(w->number);
	(void) pthread_barrier_wait(w->barrier);
	if (w->signal == SIGTERM)
		(void) kill(getpid(), SIGTERM); /* which threads leave to the main one */
	else if (w->signal > 0)
		(void) raise(w->signal);
	else
		for (;;)
			(void) pause();
	return NULL;
}

/* In a child: a thread that is innocent, and one that crashes. */
static void crash(int signal)
{
	const struct rlimit none = { 0 };
	pthread_barrier_t barrier;
	pthread_t threads[2];
	uint64_t blamed = 0;
	struct work works[] = {
		{ .number = 7, .barrier = &barrier },
		{ .number = 42, .signal = signal, .barrier = &barrier },
	};

	(void) setrlimit(RLIMIT_CORE, &none);
	if (crash_catch(path, &blamed) < 0)
		_exit(1);
	(void) pthread_barrier_init(&barrier, NULL, 3);
	for (size_t i = 0; i < 2; i++)
		if (thread_start(&threads[i], "work", THREAD_STACK_SMALL, run_work, &works[i]) < 0)
			_exit(1);
	(void) pthread_barrier_wait(&barrier);
	for (;;)
		(void) pause();
}

/* Returns the signal that ended a child which runs 'run'; 0 if it exited with 0. */
static int in_child(void (*run)(int signal), int signal)
{
	int status = 0;
	pid_t pid = fork();

	CU_ASSERT_TRUE_FATAL(pid >= 0);
	if (pid == 0) {
		run(signal);
		_exit(0);
	}
	CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status) == 0 ? 0 : -1;
}

static long size_of_file(void)
{
	struct stat st;

	return stat(path, &st) == 0 ? (long) st.st_size : -1;
}

/* In a child, because crashes can only be caught once in a process. */
static void expect_blamed_in_child(int expected)
{
	uint64_t blamed = 0;
	bool as_expected = crash_catch(path, &blamed) == 0 && blamed == (uint64_t) expected;

	crash_pardon();
	_exit(as_expected ? 0 : 1);
}

static void test_the_crashing_thread_s_work_is_blamed(void)
{
	static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };

	for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
		CU_ASSERT_EQUAL(in_child(crash, signals[i]), signals[i]);
		CU_ASSERT_EQUAL(in_child(expect_blamed_in_child, 42), 0);
		CU_ASSERT_EQUAL(size_of_file(), 0); /* once read, it is forgotten */
		CU_ASSERT_EQUAL(in_child(expect_blamed_in_child, 0), 0);
	}
}

static void test_a_kill_blames_nobody(void)
{
	CU_ASSERT_EQUAL(in_child(crash, SIGKILL), SIGKILL);
	CU_ASSERT_EQUAL(in_child(expect_blamed_in_child, 0), 0);
	CU_ASSERT_EQUAL(in_child(crash, SIGTERM), SIGTERM);
	CU_ASSERT_EQUAL(in_child(expect_blamed_in_child, 0), 0);
}

static void blame_and_pardon(int pardon)
{
	uint64_t blamed = 0;

	if (crash_catch(path, &blamed) < 0)
		_exit(1);
	crash_blame(UINT64_MAX);
	crash_blame(9);
	crash_blame(0); /* nobody: changes nothing */
	if (pardon)
		crash_pardon();
}

static void test_a_hang_is_blamed_and_pardoned(void)
{
	CU_ASSERT_EQUAL(in_child(blame_and_pardon, 0), 0);
	CU_ASSERT_TRUE(size_of_file() > 0);
	CU_ASSERT_EQUAL(in_child(expect_blamed_in_child, 9), 0);
	CU_ASSERT_EQUAL(in_child(blame_and_pardon, 1), 0);
	CU_ASSERT_EQUAL(size_of_file(), 0);
}

static void try_paths(int unused)
{
	char link_path[80];
	uint64_t blamed = 5;

	(void) unused;
	(void) snprintf(link_path, sizeof(link_path), "%s/link", folder);
	if (crash_catch("/nonexistent/crash", &blamed) != -ENOENT || symlink(path, link_path) < 0)
		_exit(1);
	int r = crash_catch(link_path, &blamed);
	(void) unlink(link_path);
	_exit(r == -ELOOP && blamed == 5 ? 0 : 1);
}

static void test_a_file_that_cannot_be_had_is_an_error(void)
{
	CU_ASSERT_EQUAL(in_child(try_paths, 0), 0);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "the crashing thread's work is blamed", test_the_crashing_thread_s_work_is_blamed },
		{ "a kill blames nobody", test_a_kill_blames_nobody },
		{ "a hang is blamed and pardoned", test_a_hang_is_blamed_and_pardoned },
		{ "a file that cannot be had is an error", test_a_file_that_cannot_be_had_is_an_error },
		CU_TEST_INFO_NULL,
	};

	if (!mkdtemp(folder))
		return EXIT_FAILURE;
	(void) snprintf(path, sizeof(path), "%s/crash", folder);
	int status = unit_run("crash", tests);
	(void) unlink(path);
	(void) rmdir(folder);
	return status;
}
