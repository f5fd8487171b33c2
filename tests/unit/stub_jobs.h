/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs that are nothing but a number and a size: what queues and backlogs see of one. */
#ifndef PENSTOCK_TESTS_STUB_JOBS_H
#define PENSTOCK_TESTS_STUB_JOBS_H

#include "job/job.h"
#include "unit.h"

/* Free with job_free(). */
static inline struct job *stub_job(uint64_t number, size_t bytes)
{
	struct job *job = calloc(1, sizeof(*job));

	if (!job)
		abort();
	job->number = number;
	job->bytes = bytes;
	job->url = "http://stub/";
	job->origin = (struct url_origin) { .text = "http://stub:80", .host = "stub", .port = 80 };
	return job;
}

/* One of 'origin', which is borrowed. */
static inline struct job *stub_job_at(const char *origin, size_t bytes)
{
	struct job *job = stub_job(0, bytes);

	job->origin.text = origin;
	return job;
}

/* One with a deadline. */
static inline struct job *stub_job_until(const char *origin, size_t bytes, int64_t deadline_us)
{
	struct job *job = calloc(1, sizeof(*job) + sizeof(struct job_extra));

	if (!job)
		abort();
	struct job_extra *extra = (struct job_extra *) (job + 1);
	extra->deadline_wall_us = deadline_us;
	*job = (struct job) { .url = "http://stub/", .origin.text = origin, .bytes = bytes,
		              .extra = extra };
	return job;
}

static inline void stub_jobs(struct job **ret_jobs, size_t n, size_t bytes)
{
	for (size_t i = 0; i < n; i++)
		ret_jobs[i] = stub_job(i + 1, bytes);
}

static inline void free_jobs(struct job *const *jobs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		job_free(jobs[i]);
}

#endif
