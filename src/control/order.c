/* SPDX-License-Identifier: Apache-2.0 */
/* POST /v1/control/set and /v1/control/reload: what the owner of the engine does. */
#include "control/body.h"
#include "control/problem.h"
#include "control/task.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* Every connection may have so much. */
enum { MAX_BYTES = 16 * 1024 };

static const char too_large[] = "this request has at most 16 KiB";

struct order_task {
	struct task task;
	const struct control_options *options;
	struct body body;
	struct control_order order;
	char **settings; /* owned, as they are; those of the order */
};

static struct order_task *task_of(struct task *t) { return (struct order_task *) t; }

static size_t take(struct task *t, const char *data, size_t n)
{
	body_add(&task_of(t)->body, data, n, MAX_BYTES);
	return n;
}

/* --- the body ---------------------------------------------------------------------- */

/* Appends "KEY=VALUE".  False if that cannot be written so. */
static bool add_setting(struct buf *b, const char *key, json_t *value)
{
	if (strchr(key, '='))
		return false;
	buf_add_str(b, key);
	buf_add_char(b, '=');
	if (json_is_string(value))
		buf_add_str(b, json_string_value(value));
	else if (json_is_integer(value))
		buf_add_i64(b, json_integer_value(value));
	else if (json_is_boolean(value))
		buf_add_str(b, json_is_true(value) ? "true" : "false");
	else
		return false;
	buf_add_char(b, '\0');
	return true;
}

/* Returns whether the object says what to set; otherwise the reply says why not. */
static bool read_settings(struct order_task *o, json_t *object)
{
	struct reply *reply = &o->task.reply;
	const char *key = NULL;
	json_t *value = NULL;

	if (json_object_size(object) == 0) {
		problem(reply, 400, "the body must be {\"KEY\": \"VALUE\", …}");
		return false;
	}
	o->settings = calloc(json_object_size(object), sizeof(char *));
	reply->body.failed = !o->settings;
	json_object_foreach(object, key, value) {
		struct buf b = { 0 };
		if (reply->body.failed)
			return false;
		if (!add_setting(&b, key, value)) {
			problem(reply, 400,
			        "%s: a key has no \"=\", and its value is a string, a whole number, "
			        "true or false", key);
			buf_done(&b);
			return false;
		}
		reply->body.failed = b.failed;
		o->settings[o->order.n_settings++] = b.data;
	}
	return !reply->body.failed;
}

static bool read_body(struct order_task *o)
{
	json_error_t error = { 0 };
	json_auto_t *json = json_loadb(o->body.text.len > 0 ? o->body.text.data : "",
	                               o->body.text.len, JSON_REJECT_DUPLICATES, &error);

	if (json)
		return read_settings(o, json);
	problem(&o->task.reply, 400, "the body is no JSON: %s (line %d, column %d)", error.text,
	        error.line, error.column);
	return false;
}

/* --- the order --------------------------------------------------------------------- */

static void on_done(struct control_order *order)
{
	struct order_task *o =
		(struct order_task *) ((char *) order - offsetof(struct order_task, order));

	inbox_put(&o->task.desk->inbox, &o->task, 0);
}

static void place(struct order_task *o)
{
	o->order.settings = (const char *const *) o->settings;
	o->order.done = on_done;
	if (task_wait(&o->task, NEVER))
		o->options->order(o->options->arg, &o->order);
}

static void finish(struct task *t)
{
	struct order_task *o = task_of(t);

	if (o->body.error < 0)
		body_refuse(&o->body, too_large, &t->reply, t->desk->engine);
	else if (o->order.kind == CONTROL_RELOAD || read_body(o))
		place(o);
	body_done(&o->body);
}

/* The detail is the lines without the end of the last one. */
static void refuse(struct reply *reply, const struct control_order *order)
{
	const struct buf *why = &order->answer;
	size_t n = why->len > 0 && why->data[why->len - 1] == '\n' ? why->len - 1 : why->len;

	problem(reply, order->status, "%.*s", (int) n, n > 0 ? why->data : "");
}

static void answered(struct task *t, int error)
{
	struct control_order *order = &task_of(t)->order;
	struct buf *answer = &order->answer;

	if (error < 0) {
		problem(&t->reply, 503, CONTROL_ORDER_TOO_LATE);
	} else if (answer->failed) {
		t->reply.body.failed = true;
	} else if (order->status != 200) {
		refuse(&t->reply, order);
	} else {
		t->reply.status = 200;
		t->reply.type = "application/json";
		t->reply.body = *answer;
		*answer = (struct buf) { 0 };
	}
}

/* An order is always answered, and only once. */
static bool take_back(struct task *t)
{
	(void) t;
	return false;
}

static void free_task(struct task *t)
{
	struct order_task *o = task_of(t);

	for (size_t i = 0; i < o->order.n_settings; i++)
		free(o->settings[i]);
	free(o->settings);
	buf_done(&o->order.answer);
	body_done(&o->body);
	free(o);
}

static struct task *begin(const struct view *view, enum control_order_kind kind,
                          struct reply *reply)
{
	static const struct task_ops ops = {
		.take = take,
		.finish = finish,
		.answered = answered,
		.take_back = take_back,
		.free = free_task,
	};

	if (!view->options->order) {
		problem(reply, 501, "settings cannot be changed here while the program runs");
		return NULL;
	}
	struct order_task *o = calloc(1, sizeof(*o));
	if (!o) {
		reply->body.failed = true;
		return NULL;
	}
	o->task.ops = &ops;
	o->task.desk = view->desk;
	o->options = view->options;
	o->order.kind = kind;
	return &o->task;
}

struct task *set_begin(const struct view *view, const struct request *request, struct reply *reply)
{
	if (request->body_bytes == BODY_UNKNOWN || request->body_bytes <= MAX_BYTES)
		return begin(view, CONTROL_SET, reply);
	problem(reply, 413, "%s", too_large);
	return NULL;
}

struct task *reload_begin(const struct view *view, const struct request *request,
                          struct reply *reply)
{
	(void) request;
	return begin(view, CONTROL_RELOAD, reply);
}
