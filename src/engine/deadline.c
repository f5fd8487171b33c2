/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/deadline.h"

#include "base/clock.h"
#include "base/sync.h"

uint64_t deadline_left_ns(const struct job *job)
{
	int64_t deadline_us = job_deadline(job);
	if (deadline_us == 0)
		return NEVER;

	int64_t now_us = clock_wall_us();
	return deadline_us > now_us ? (uint64_t) (deadline_us - now_us) * NS_PER_US : 0;
}

const char *deadline_reason(const struct job *job)
{
	if (job->hop)
		return "deadline: waiting to follow a redirect";
	return job->attempts > 0 ? "deadline: waiting for another attempt"
	                         : "deadline: waiting to be fetched";
}
