/* SPDX-License-Identifier: Apache-2.0 */
#include "base/crash.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { STACK_BYTES = 16 * 1024, NUMBER_BYTES = 20 };

/* Read by the signal handler. */
static atomic_int crash_fd = -1;
static _Thread_local _Atomic uint64_t work;

/* The number in decimal and a newline; only what signal-safety(7) allows. */
void crash_blame(uint64_t number)
{
	char text[NUMBER_BYTES + 1];
	size_t at = sizeof(text);
	int fd = atomic_load(&crash_fd);

	if (number == 0 || fd < 0)
		return;
	text[--at] = '\n'; /* strtoull() stops there, whatever an earlier number left behind it */
	for (; number > 0; number /= 10)
		text[--at] = (char) ('0' + number % 10);
	(void) !pwrite(fd, text + at, sizeof(text) - at, 0);
}

void crash_pardon(void)
{
	int fd = atomic_load(&crash_fd);

	if (fd >= 0)
		(void) !ftruncate(fd, 0);
}

/* The second signal, which is delivered at the return, ends the process as if this had
 * never been.  Not by SA_RESETHAND: of two threads that crash together the later one would
 * end the process before the first has said a word. */
static void on_crash(int number)
{
	int saved = errno;

	crash_blame(atomic_load(&work));
	(void) signal(number, SIG_DFL);
	(void) raise(number);
	errno = saved;
}

static int read_blamed(int fd, uint64_t *ret_blamed)
{
	char text[NUMBER_BYTES + 2] = "";

	if (pread(fd, text, sizeof(text) - 1, 0) < 0)
		return -errno;
	*ret_blamed = strtoull(text, NULL, 10);
	return 0;
}

int crash_catch(const char *path, uint64_t *ret_blamed)
{
	static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
	struct sigaction action = { .sa_handler = on_crash, .sa_flags = SA_ONSTACK };

	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	int r = read_blamed(fd, ret_blamed);
	if (r < 0) {
		(void) close(fd);
		return r;
	}
	atomic_store(&crash_fd, fd);
	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		(void) sigaction(signals[i], &action, NULL);
	return 0;
}

void crash_enter(struct crash_stack *s)
{
	*s = (struct crash_stack) { .memory = atomic_load(&crash_fd) >= 0 ? malloc(STACK_BYTES)
		                                                         : NULL };
	const stack_t stack = { .ss_sp = s->memory, .ss_size = STACK_BYTES };

	if (s->memory && sigaltstack(&stack, &s->before) < 0) {
		free(s->memory);
		s->memory = NULL;
	}
}

void crash_leave(struct crash_stack *s)
{
	if (!s->memory)
		return;
	(void) sigaltstack(&s->before, NULL);
	free(s->memory);
}

void crash_set_work(uint64_t number) { atomic_store_explicit(&work, number, memory_order_relaxed); }
