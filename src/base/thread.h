/* SPDX-License-Identifier: Apache-2.0 */
/* Threads with a name and a stack of the size it needs. */
#ifndef PENSTOCK_BASE_THREAD_H
#define PENSTOCK_BASE_THREAD_H

#include "base/attr.h"

#include <pthread.h>
#include <stddef.h>

/* Stacks.  A fetch over TLS was measured to touch 13 KiB of its stack. */
enum {
	THREAD_STACK_SMALL = 64 * 1024,
	THREAD_STACK_PARSER = 2 * 1024 * 1024, /* jansson recurses, 2048 levels at most */
};

/*
 * Starts 'run(arg)' on a thread called 'name' (up to 15 bytes, pthread_setname_np(3))
 * with all signals blocked but for those of a crash; the caller joins it with thread_join().
 *
 * Returns 0, -EAGAIN (a limit on threads) or -ENOMEM.
 */
NODISCARD NONNULL(1, 2, 4)
int thread_start(pthread_t *ret_thread, const char *name, size_t stack_bytes,
                 void *(*run)(void *), void *arg);

/* Gives the system back the memory below the calling thread's stack pointer, before a wait that
 * may be long: what the stack has once touched would stay resident.  It is there again, and zero,
 * when it is touched. */
void thread_trim_stack(void);

/* Waits for the end of a thread. */
void thread_join(pthread_t thread);

#endif
