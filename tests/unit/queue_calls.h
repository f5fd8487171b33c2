/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of queue.h that most tests make. */
#ifndef PENSTOCK_TESTS_QUEUE_CALLS_H
#define PENSTOCK_TESTS_QUEUE_CALLS_H

#include "queue/queue.h"
#include "unit.h"

static inline struct queue *new_queue(size_t capacity_jobs, size_t capacity_bytes)
{
	const struct queue_options options = { .capacity_jobs = capacity_jobs,
		                               .capacity_bytes = capacity_bytes };
	struct queue *q = NULL;

	CU_ASSERT_EQUAL_FATAL(queue_create(&options, &q), 0);
	return q;
}

/* Leaves a lane after an answer, which evicts nothing. */
static inline void leave_lane(struct queue *q, struct lane *lane)
{
	struct job_list evicted = { 0 };

	queue_leave(q, lane, LANE_ANSWERED, 0, &evicted);
	if (evicted.len > 0)
		abort();
}

/* Pops a job and leaves its lane at once. */
NODISCARD static inline int pop_job(struct queue *q, uint64_t deadline_ns, struct job **ret_job)
{
	struct lane *lane = NULL;
	int r = queue_pop(q, deadline_ns, ret_job, &lane);

	if (r == 0)
		leave_lane(q, lane);
	return r;
}

#endif
