/* SPDX-License-Identifier: Apache-2.0 */
/* What a job's deadline means where it is fetched and where it waits. */
#ifndef PENSTOCK_ENGINE_DEADLINE_H
#define PENSTOCK_ENGINE_DEADLINE_H

#include "base/attr.h"
#include "job/job.h"

#include <stdint.h>

/* How much time the job has left by the wall clock; 0: its deadline has passed; NEVER: it has
 * none, and no clock is asked. */
NONNULL(1) uint64_t deadline_left_ns(const struct job *job);

/* Why a job is dead whose deadline has passed while it waited.  Reasons of those that were being
 * fetched begin with "deadline: ", too: fetch(). */
NONNULL(1) const char *deadline_reason(const struct job *job);

#endif
