/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "base/thread.h"

#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#ifdef SANITIZED
enum { STACK_FACTOR = 16 }; /* instrumented frames are several times as large */
#else
enum { STACK_FACTOR = 1 };
#endif

int thread_start(pthread_t *ret_thread, const char *name, size_t stack_bytes,
                 void *(*run)(void *), void *arg)
{
	pthread_attr_t attr;
	int r = pthread_attr_init(&attr);
	if (r != 0)
		return -r;

	/* A new thread inherits the mask; signals belong to the main thread, but for those that
	 * a thread brings upon itself, whose handler would not be called if they were blocked. */
	static const int own[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
	sigset_t all, before;
	(void) sigfillset(&all);
	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		(void) sigdelset(&all, own[i]);
	(void) pthread_sigmask(SIG_SETMASK, &all, &before);

	r = pthread_attr_setstacksize(&attr, stack_bytes * STACK_FACTOR);
	if (r == 0)
		r = pthread_create(ret_thread, &attr, run, arg);
	if (r == 0)
		(void) pthread_setname_np(*ret_thread, name);

	(void) pthread_sigmask(SIG_SETMASK, &before, NULL);
	(void) pthread_attr_destroy(&attr);
	return -r;
}

/* Up to where the pages below the caller's frame are unused, but for a little that calls may
 * need.  As it is not inlined, its own frame begins where the caller's ends. */
__attribute__((noinline)) static uintptr_t end_of_unused(void)
{
	enum { NEEDED = 256 };

	return ((uintptr_t) __builtin_frame_address(0) - NEEDED) &
	       ~((uintptr_t) sysconf(_SC_PAGESIZE) - 1);
}

void thread_trim_stack(void)
{
	pthread_attr_t attr;
	void *low = NULL;
	size_t bytes = 0;

	if (pthread_getattr_np(pthread_self(), &attr) != 0)
		return;
	uintptr_t end = end_of_unused();
	if (pthread_attr_getstack(&attr, &low, &bytes) == 0 && (uintptr_t) low < end)
		(void) madvise(low, end - (uintptr_t) low, MADV_DONTNEED);
	(void) pthread_attr_destroy(&attr);
}

void thread_join(pthread_t thread)
{
	if (pthread_join(thread, NULL) != 0)
		abort();
}
