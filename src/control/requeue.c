/* SPDX-License-Identifier: Apache-2.0 */
/* POST /v1/control/requeue: dead jobs once more. */
#include "control/asker.h"
#include "control/body.h"
#include "control/problem.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* Room for any id, however it is escaped.  Every connection may have so much. */
enum { MAX_BYTES = 4096 };

static const char too_large[] = "this request has at most 4 KiB";

struct requeue {
	struct asker base;
	struct body body;
};

static size_t take(struct task *t, const char *data, size_t n)
{
	struct requeue *r = (struct requeue *) t;

	body_add(&r->body, data, n, MAX_BYTES);
	return n;
}

/* --- the body ---------------------------------------------------------------------- */

/* Reads {"id": "…"} or {"all": true}; *ret_id is NULL for all. */
static bool read_object(json_t *object, const char **ret_id)
{
	json_t *id = json_object_get(object, "id");

	*ret_id = json_string_value(id);
	return json_object_size(object) == 1 &&
	       (*ret_id || json_is_true(json_object_get(object, "all")));
}

/* Returns whether the body says what to requeue; otherwise the reply says why not. */
static bool read_body(struct requeue *r)
{
	struct task *t = &r->base.task;
	json_error_t error = { 0 };
	const char *id = NULL;
	json_auto_t *json = json_loadb(r->body.text.len > 0 ? r->body.text.data : "",
	                               r->body.text.len, JSON_REJECT_DUPLICATES, &error);

	if (!json)
		problem(&t->reply, 400, "the body is no JSON: %s (line %d, column %d)", error.text,
		        error.line, error.column);
	else if (!read_object(json, &id))
		problem(&t->reply, 400, "the body must be {\"id\": \"…\"}, with a job's id, or "
		                        "{\"all\": true}");
	else if (id && !(r->base.id = strdup(id)))
		problem_reply(&t->reply, t->desk->engine, -ENOMEM);
	else
		return true;
	return false;
}

static void finish(struct task *t)
{
	struct requeue *r = (struct requeue *) t;

	if (r->body.error < 0)
		body_refuse(&r->body, too_large, &t->reply, t->desk->engine);
	else if (read_body(r))
		asker_ask(&r->base, QUERY_REQUEUE);
	body_done(&r->body);
}

/* --- the answer -------------------------------------------------------------------- */

static void answered(struct task *t, int error)
{
	struct asker *a = (struct asker *) t;

	if (error == -EINVAL) {
		problem(&t->reply, 409, "job %s is not dead, or was requeued before", a->id);
		return;
	}
	if (error < 0) {
		asker_refuse(a, error);
		return;
	}
	t->reply.status = 200;
	t->reply.type = "application/json";
	buf_printf(&t->reply.body, "{\"requeued\": %llu", (unsigned long long) a->query.requeued);
	if (a->id)
		buf_printf(&t->reply.body, ", \"id\": \"p-%llu\"",
		           (unsigned long long) a->query.new_number);
	buf_add_str(&t->reply.body, "}\n");
}

static void free_task(struct task *t)
{
	body_done(&((struct requeue *) t)->body);
	asker_free(t);
}

struct task *requeue_begin(const struct view *view, const struct request *request,
                           struct reply *reply)
{
	static const struct task_ops ops = {
		.take = take,
		.finish = finish,
		.answered = answered,
		.take_back = asker_take_back,
		.free = free_task,
	};

	if (request->body_bytes != BODY_UNKNOWN && request->body_bytes > MAX_BYTES) {
		problem(reply, 413, "%s", too_large);
		return NULL;
	}
	return asker_create(view, &ops, sizeof(struct requeue), NULL, reply);
}
