/* SPDX-License-Identifier: Apache-2.0 */
#include "control/order.h"

#include "control/problem.h"

#include <errno.h>

/* Room for any id or origin, however it is escaped, and for many settings.  Every connection may have so much. */
enum { MAX_BYTES = 4096 };

static const char too_large[] = "this request has at most 4 KiB";

static size_t take(struct task *t, const char *data, size_t n)
{
	body_add(&((struct order *) t)->body, data, n, MAX_BYTES);
	return n;
}

static void refuse_json(struct reply *reply, const json_error_t *error)
{
	problem(reply, PROBLEM_BAD_JSON, "the body is no JSON: %s (line %d, column %d)", error->text,
	        error->line, error->column);
	problem_at(reply, error->line, error->column);
}

static void read_body(struct order *o)
{
	const struct buf *text = &o->body.text;
	bool is_empty = text->len == 0 && o->kind->may_be_empty;
	json_error_t error = { 0 };
	json_auto_t *json = is_empty ? json_object()
	                             : json_loadb(text->len > 0 ? text->data : "", text->len,
	                                          JSON_REJECT_DUPLICATES, &error);

	if (json)
		o->kind->act(o, json);
	else if (is_empty)
		problem_reply(&o->base.task.reply, o->base.task.desk->engine, -ENOMEM);
	else
		refuse_json(&o->base.task.reply, &error);
}

static void finish(struct task *t)
{
	struct order *o = (struct order *) t;

	if (o->body.error < 0)
		body_refuse(&o->body, too_large, &t->reply, t->desk->engine);
	else
		read_body(o);
	body_done(&o->body);
}

static void answered(struct task *t, int error)
{
	struct order *o = (struct order *) t;
	o->kind->answered(o, error);
}

static void free_task(struct task *t)
{
	struct order *o = (struct order *) t;

	if (o->kind->free)
		o->kind->free(o);
	body_done(&o->body);
	asker_free(t);
}

struct task *order_begin(const struct view *view, const struct request *request,
                         const struct order_kind *kind, size_t size, struct reply *reply)
{
	static const struct task_ops ops = {
		.take = take,
		.finish = finish,
		.answered = answered,
		.take_back = asker_take_back,
		.free = free_task,
	};

	if (request->body_bytes != BODY_UNKNOWN && request->body_bytes > MAX_BYTES) {
		problem(reply, PROBLEM_BODY_TOO_LARGE, "%s", too_large);
		return NULL;
	}
	struct task *task = asker_create(view, &ops, size, NULL, reply);
	if (task)
		((struct order *) task)->kind = kind;
	return task;
}
