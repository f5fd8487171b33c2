/* SPDX-License-Identifier: Apache-2.0 */
/* Backlogs, as most tests call them. */
#ifndef PENSTOCK_TESTS_BACKLOG_CALLS_H
#define PENSTOCK_TESTS_BACKLOG_CALLS_H

#include "backlog/backlog.h"
#include "backlog/memory.h"
#include "unit.h"

static inline int create_memory_backlog(size_t max_jobs, size_t max_bytes, struct backlog **ret)
{
	const struct memory_backlog_options options = {
		.max_jobs = max_jobs,
		.max_bytes = max_bytes,
	};
	return memory_backlog_create(&options, ret);
}

/* Waits for room. */
static inline int submit_jobs(struct backlog *b, struct job *const *jobs, size_t n)
{
	struct submission s = { .jobs = jobs, .n = n, .waits = true };

	return backlog_submit_and_wait(b, &s);
}

/* From every lane, as if all had room. */
static inline size_t take_jobs(struct backlog *b, uint64_t now_ns, size_t room,
                               struct job **ret_jobs, uint64_t *ret_next_due_ns)
{
	return backlog_take(b, now_ns, room, NULL, ret_jobs, ret_next_due_ns);
}

static inline void settle_jobs(struct backlog *b, const struct verdict *verdicts, size_t n)
{
	CU_ASSERT_EQUAL(backlog_settle(b, verdicts, n), 0);
}

#endif
