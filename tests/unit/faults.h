/* SPDX-License-Identifier: Apache-2.0 */
/* Which of many calls, on whichever threads, fail. */
#ifndef PENSTOCK_TESTS_FAULTS_H
#define PENSTOCK_TESTS_FAULTS_H

#include <stdatomic.h>

static struct {
	atomic_long left;   /* calls that still succeed */
	atomic_long broken; /* calls after them that fail */
	atomic_int code;    /* with this */
	atomic_long failed; /* how many have */
} faults;

/* The calls from the n-th on fail, 'times' of them. */
static inline void faults_arm(long n, long times, int code)
{
	faults.failed = 0;
	faults.code = code;
	faults.left = n - 1;
	faults.broken = times;
}

static inline void faults_end(void) { faults.broken = 0; }

/* Of one call: 0, or the code that it fails with. */
static inline int faults_next(void)
{
	if (faults.broken <= 0 || atomic_fetch_sub(&faults.left, 1) > 0)
		return 0;
	if (atomic_fetch_sub(&faults.broken, 1) <= 0)
		return 0;
	faults.failed++;
	return faults.code;
}

#endif
