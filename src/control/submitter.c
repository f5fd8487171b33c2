/* SPDX-License-Identifier: Apache-2.0 */
#include "control/submitter.h"

#include <errno.h>

static struct submitter *submitter_of(struct submission *submission)
{
	return (struct submitter *) ((char *) submission - offsetof(struct submitter, submission));
}

static void on_done(struct submission *submission, int error)
{
	struct submitter *s = submitter_of(submission);
	inbox_put(&s->task.desk->inbox, &s->task, error);
}

static void submit(struct submitter *s, bool waits)
{
	struct desk *desk = s->task.desk;

	s->submission.waits = waits;
	if (task_wait(&s->task, waits ? s->wait_ns : desk->bound_ns))
		engine_submit(desk->engine, &s->submission);
}

void submitter_submit(struct submitter *s, struct job *const *jobs, size_t n,
                      struct receipt *receipts)
{
	s->submission = (struct submission) {
		.jobs = jobs,
		.n = n,
		.receipts = receipts,
		.done = on_done,
	};
	submit(s, s->wait_ns > 0 && !s->is_late);
}

void submitter_done(struct submitter *s)
{
	s->task.desk->uploads -= s->is_counted;
	s->is_counted = false;
}

bool submitter_take_back(struct task *t)
{
	struct submitter *s = (struct submitter *) t;
	return engine_withdraw(t->desk->engine, &s->submission);
}

bool submitter_tries_again(struct submitter *s, int error)
{
	if (error != -ETIMEDOUT || !s->submission.waits)
		return false;
	s->is_late = true;
	submit(s, false);
	return true;
}
