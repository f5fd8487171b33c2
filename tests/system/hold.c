/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hold PID NAME: makes one thread of a process hang, and leaves the others alone.
 *
 * The thread is stopped by ptrace(2) wherever it is, says "held" on standard output, and stays
 * so until the process or this program ends: a thread that hangs in some library or the
 * kernel looks the same to the others.  NAME is what the thread calls itself (comm in proc(5));
 * of several the first one found.  Exits with 0 once the process is gone, or with 1.
 */
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

static bool has_name(const char *pid, const char *tid, const char *name)
{
	char path[300], text[32] = "";

	(void) snprintf(path, sizeof(path), "/proc/%s/task/%s/comm", pid, tid);
	FILE *file = fopen(path, "re");
	if (!file)
		return false;
	if (fgets(text, sizeof(text), file))
		text[strcspn(text, "\n")] = '\0';
	(void) fclose(file);
	return strcmp(text, name) == 0;
}

/* Returns the thread's number, or 0. */
static pid_t find(const char *pid, const char *name)
{
	char path[64];
	struct dirent *entry = NULL;
	pid_t found = 0;

	(void) snprintf(path, sizeof(path), "/proc/%s/task", pid);
	DIR *tasks = opendir(path);
	while (tasks && found == 0 && (entry = readdir(tasks)))
		if (entry->d_name[0] != '.' && has_name(pid, entry->d_name, name))
			found = (pid_t) strtol(entry->d_name, NULL, 10);
	if (tasks)
		(void) closedir(tasks);
	return found;
}

/* Returns whether there is a stop to wait for; a thread that has ended has none. */
static bool await_stop(pid_t tid)
{
	int status = 0;

	return waitpid(tid, &status, __WALL) == tid && WIFSTOPPED(status);
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		(void) fprintf(stderr, "usage: hold PID NAME\n");
		return 64;
	}
	pid_t tid = find(argv[1], argv[2]);
	if (tid == 0) {
		(void) fprintf(stderr, "hold: %s has no thread %s\n", argv[1], argv[2]);
		return 1;
	}
	if (ptrace(PTRACE_SEIZE, tid, NULL, NULL) < 0 ||
	    ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) < 0 || !await_stop(tid)) {
		(void) fprintf(stderr, "hold: ptrace: %s\n", strerror(errno));
		return 1;
	}
	(void) printf("held\n");
	(void) fflush(stdout);
	/* It is not let go; but its end has to be waited for, or the process stays a zombie. */
	while (await_stop(tid))
		;
	return 0;
}
