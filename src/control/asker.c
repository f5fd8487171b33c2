/* SPDX-License-Identifier: Apache-2.0 */
#include "control/asker.h"

#include "control/problem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct task *asker_create(const struct view *view, const struct task_ops *ops, size_t size,
                          const char *id, struct reply *reply)
{
	struct asker *a = calloc(1, size);
	char *copy = a && id ? strdup(id) : NULL;

	if (!a || (id && !copy)) {
		free(a);
		reply->body.failed = true;
		return NULL;
	}
	a->task.ops = ops;
	a->task.desk = view->desk;
	a->id = copy;
	return &a->task;
}

static void on_done(struct query *query, int error)
{
	struct asker *a = (struct asker *) ((char *) query - offsetof(struct asker, query));
	inbox_put(&a->task.desk->inbox, &a->task, error);
}

void asker_ask(struct asker *a, enum query_kind kind)
{
	struct desk *desk = a->task.desk;

	a->query.kind = kind;
	a->query.id = a->id;
	a->query.done = on_done;
	if (task_wait(&a->task, NEVER))
		engine_query(desk->engine, &a->query);
}

/* A question is always answered, and only once. */
bool asker_take_back(struct task *t)
{
	(void) t;
	return false;
}

void asker_free(struct task *t)
{
	struct asker *a = (struct asker *) t;

	query_done(&a->query);
	free(a->id);
	free(a);
}

void asker_refuse(struct asker *a, int error)
{
	struct desk *desk = a->task.desk;
	struct engine_stats stats;

	if (error != -ENOENT) {
		problem_reply(&a->task.reply, desk->engine, error);
		return;
	}
	engine_stats(desk->engine, &stats);
	if (stats.backlog.remembered_seq > 0)
		problem(&a->task.reply, PROBLEM_UNKNOWN_JOB,
		        "there is no job %s; settled jobs are remembered back to record %llu", a->id,
		        (unsigned long long) stats.backlog.remembered_seq);
	else
		problem(&a->task.reply, PROBLEM_UNKNOWN_JOB, "there is no job %s; %s", a->id,
		        stats.backlog.last_seq > 0 ? "no settled job is remembered any more"
		                                   : "none was settled so far");
}
