/* SPDX-License-Identifier: Apache-2.0 */
#include "job/job.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct job *job_free(struct job *job)
{
	if (job)
		job_clear_hop(job);
	free(job);
	return NULL;
}

void job_add_id(const struct job *job, struct buf *b)
{
	if (job->id) {
		buf_add_str(b, job->id);
		return;
	}
	buf_add_str(b, "p-");
	buf_add_u64(b, job->number);
}

enum job_priority job_priority(const struct job *job)
{
	return job->extra ? job->extra->priority : JOB_PRIORITY_NORMAL;
}

int64_t job_not_before(const struct job *job)
{
	return job->extra ? job->extra->not_before_wall_us : 0;
}

bool job_has_body(const struct job *job)
{
	return job->extra && (job->extra->body || job->extra->body_file);
}

const char *job_method(const struct job *job)
{
	if (job->extra && job->extra->method)
		return job->extra->method;
	return job_has_body(job) ? "POST" : "GET";
}

bool job_is_idempotent(const char *method)
{
	static const char *const idempotent[] = {
		"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"
	};

	for (size_t i = 0; i < ARRAY_LEN(idempotent); i++)
		if (strcasecmp(method, idempotent[i]) == 0)
			return true;
	return false;
}

bool job_may_retry(const struct job *job)
{
	if (job->extra && job->extra->retry != 0)
		return job->extra->retry > 0;
	return job_is_idempotent(job_method(job));
}

/* --- lists -------------------------------------------------------------------------- */

void job_list_prepend(struct job_list *list, struct job *job)
{
	job->next = list->first;
	if (list->first)
		list->first->before = job;
	else
		list->last = job;
	list->first = job;
	list->len++;
}

void job_list_move(struct job_list *from, struct job_list *to)
{
	if (from->len == 0)
		return;

	from->first->before = to->last;
	*(to->last ? &to->last->next : &to->first) = from->first;
	to->last = from->last;
	to->len += from->len;
	*from = (struct job_list) { 0 };
}

void job_list_unlink(struct job_list *list, struct job *job)
{
	if (job == list->first) {
		(void) job_list_take(list);
		return;
	}
	job->before->next = job->next;
	if (job->next)
		job->next->before = job->before;
	else
		list->last = job->before;
	list->len--;
	job->next = NULL;
}

struct job *job_list_remove(struct job_list *list, uint64_t number)
{
	struct job *job = list->first;

	while (job && job->number != number)
		job = job->next;
	if (job)
		job_list_unlink(list, job);
	return job;
}

void job_list_done(struct job_list *list)
{
	for (struct job *job; (job = job_list_take(list));)
		job_free(job);
}
