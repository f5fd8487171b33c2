/* SPDX-License-Identifier: Apache-2.0 */
/* Instead of libc's, also for SQLite, in tests with thousands of commits none of which ends in a
 * crash.  To be included once in a program. */
#ifndef PENSTOCK_TESTS_NO_SYNC_H
#define PENSTOCK_TESTS_NO_SYNC_H

#include <unistd.h>

int fsync(int fd)
{
	(void) fd;
	return 0;
}

int fdatasync(int fd)
{
	(void) fd;
	return 0;
}

#endif
