/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a thread was working on when it crashed the process: kept in a file, so that the
 * next process does not walk into the same trap for ever.
 *
 * Only a crash (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT) is somebody's fault, and only
 * the crashing thread's.  A SIGKILL, or power that fails, blames nobody.
 */
#ifndef PENSTOCK_BASE_CRASH_H
#define PENSTOCK_BASE_CRASH_H

#include "base/attr.h"

#include <signal.h>
#include <stdint.h>

/*
 * Reads the file, creating it if need be, and catches crashes from now on.  The file
 * stays open for the life of the process, and is emptied by crash_pardon(), once what it
 * says has been taken note of.
 *
 * Returns 0 and in '*ret_blamed' what the last process crashed with, 0 for nothing; or
 * what open(2) says.  Called once, before other threads start.
 */
NODISCARD NONNULL(1, 2) int crash_catch(const char *path, uint64_t *ret_blamed);

/* A stack for the calling thread to crash on: its own may be full. */
struct crash_stack {
	void *memory;
	stack_t before;
};

/* Does nothing unless crashes are caught, or without memory.  Left by the same thread. */
NONNULL(1) void crash_enter(struct crash_stack *s);
NONNULL(1) void crash_leave(struct crash_stack *s);

/* Says what the calling thread is working on; 0: nothing that can be blamed. */
void crash_set_work(uint64_t number);

/* Blames 'number' for a hang that is about to end the process; and blames nobody any more. */
void crash_blame(uint64_t number);
void crash_pardon(void);

#endif
