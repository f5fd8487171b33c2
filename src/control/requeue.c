/* SPDX-License-Identifier: Apache-2.0 */
/* POST /v1/control/requeue: dead jobs once more. */
#include "control/change.h"
#include "control/order.h"
#include "control/problem.h"

#include <errno.h>
#include <string.h>

/* Reads {"id": "…"} or {"all": true}; *ret_id is NULL for all. */
static bool read_object(json_t *object, const char **ret_id)
{
	json_t *id = json_object_get(object, "id");

	*ret_id = json_string_value(id);
	return json_object_size(object) == 1 &&
	       (*ret_id || json_is_true(json_object_get(object, "all")));
}

static void act(struct order *o, json_t *body)
{
	struct task *t = &o->base.task;
	const char *id = NULL;

	if (!read_object(body, &id))
		problem(&t->reply, PROBLEM_BAD_BODY,
		        "the body must be {\"id\": \"…\"}, with a job's id, or {\"all\": true}");
	else if (id && !(o->base.id = strdup(id)))
		problem_reply(&t->reply, t->desk->engine, -ENOMEM);
	else
		asker_ask(&o->base, QUERY_REQUEUE);
}

static void log_requeued(const struct asker *a)
{
	if (a->id)
		change_log(&a->task, a->id, NULL, "job %s is requeued as p-%llu", a->id,
		           (unsigned long long) a->query.new_number);
	else
		change_log(&a->task, NULL, NULL, "%llu dead jobs are requeued",
		           (unsigned long long) a->query.requeued);
}

static void answered(struct order *o, int error)
{
	struct asker *a = &o->base;
	struct reply *reply = &a->task.reply;

	if (error == -EINVAL) {
		problem(reply, PROBLEM_WRONG_STATE,
		        "job %s is not dead, or was requeued before", a->id);
		return;
	}
	if (error < 0) {
		asker_refuse(a, error);
		return;
	}
	log_requeued(a);
	reply->status = 200;
	reply->type = "application/json";
	buf_printf(&reply->body, "{\"requeued\": %llu", (unsigned long long) a->query.requeued);
	if (a->id)
		buf_printf(&reply->body, ", \"id\": \"p-%llu\"",
		           (unsigned long long) a->query.new_number);
	buf_add_str(&reply->body, "}\n");
}

struct task *requeue_begin(const struct view *view, const struct request *request,
                           struct reply *reply)
{
	static const struct order_kind kind = { .act = act, .answered = answered };

	return order_begin(view, request, &kind, sizeof(struct order), reply);
}
