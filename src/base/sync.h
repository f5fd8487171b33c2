/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Annotated mutexes and condition variables.  Creating one can fail; a failure
 * after that is a bug in penstock, and aborts.
 */
#ifndef PENSTOCK_BASE_SYNC_H
#define PENSTOCK_BASE_SYNC_H

#include "base/attr.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* A deadline that never comes. */
#define NEVER UINT64_MAX

struct CAPABILITY("mutex") mutex {
	pthread_mutex_t os;
};

/* A condition variable on CLOCK_MONOTONIC. */
struct cond {
	pthread_cond_t os;
};

/* Returns 0 or -ENOMEM, -EAGAIN (pthread_mutex_init(3)). */
NODISCARD int mutex_init(struct mutex *mu);
void mutex_destroy(struct mutex *mu);
void mutex_lock(struct mutex *mu) ACQUIRES(*mu);
void mutex_unlock(struct mutex *mu) RELEASES(*mu);

/* Returns 0 or -ENOMEM, -EAGAIN (pthread_cond_init(3)). */
NODISCARD int cond_init(struct cond *cv);
void cond_destroy(struct cond *cv);
void cond_signal(struct cond *cv);
void cond_broadcast(struct cond *cv);

/* Waits until signalled, or until 'deadline_ns' (CLOCK_MONOTONIC, nanoseconds;
 * NEVER for none).  Returns false if the deadline has passed.  May wake for no
 * reason: look at the predicate again. */
bool cond_wait(struct cond *cv, struct mutex *mu, uint64_t deadline_ns) REQUIRES(*mu);

#endif
