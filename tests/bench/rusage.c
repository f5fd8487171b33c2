/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rusage FILE COMMAND [ARGUMENT...]
 *
 * Runs the command and writes to FILE, as one JSON object, what it took: seconds on the clock and
 * of the processors, memory, context switches, how it ended.  The command is killed when this
 * program ends before it.
 *
 * It stands between the benchmark and what is measured because the peak that getrusage(2) tells
 * of a process includes that of the process it was forked from: Python's would hide most others.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_USAGE = 64, EXIT_CANNOT_EXEC = 127 };

static void die(const char *what)
{
	(void) fprintf(stderr, "rusage: %s: %s\n", what, strerror(errno));
	exit(EXIT_FAILURE);
}

static double now(void)
{
	struct timespec t;
	if (clock_gettime(CLOCK_MONOTONIC, &t) < 0)
		die("clock_gettime");
	return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static double seconds(struct timeval t) { return (double) t.tv_sec + (double) t.tv_usec / 1e6; }

/* The child's side: it ends with its parent, and was perhaps orphaned before it could say so. */
static _Noreturn void become(char *argv[], pid_t parent)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent)
		(void) execvp(argv[0], argv);
	(void) fprintf(stderr, "rusage: %s: %s\n", argv[0], strerror(errno));
	_exit(EXIT_CANNOT_EXEC);
}

static void report(FILE *out, double took, int status, const struct rusage *u)
{
	(void) fprintf(out,
		       "{\"seconds\": %.6f, \"user_seconds\": %.6f, \"system_seconds\": %.6f, "
		       "\"peak_kib\": %ld, \"voluntary_switches\": %ld, "
		       "\"involuntary_switches\": %ld, \"exit_status\": %d, \"signal\": %d}\n",
		       took, seconds(u->ru_utime), seconds(u->ru_stime), u->ru_maxrss,
		       u->ru_nvcsw, u->ru_nivcsw, WIFEXITED(status) ? WEXITSTATUS(status) : 0,
		       WIFSIGNALED(status) ? WTERMSIG(status) : 0);
}

int main(int argc, char *argv[])
{
	struct rusage usage;
	int status = 0;

	if (argc < 3) {
		(void) fprintf(stderr, "Usage: rusage FILE COMMAND [ARGUMENT...]\n");
		return EXIT_USAGE;
	}
	FILE *out = fopen(argv[1], "we");
	if (!out)
		die(argv[1]);

	pid_t self = getpid();
	double start = now();
	pid_t child = fork();
	if (child < 0)
		die("fork");
	if (child == 0)
		become(argv + 2, self);
	while (wait4(child, &status, 0, &usage) < 0)
		if (errno != EINTR)
			die("wait4");
	report(out, now() - start, status, &usage);
	if (fclose(out) != 0)
		die(argv[1]);
	return EXIT_SUCCESS;
}
