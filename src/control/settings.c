/* SPDX-License-Identifier: Apache-2.0 */
/* POST /v1/control/set and /v1/control/reload: what the owner of the engine does. */
#include "control/change.h"
#include "control/order.h"
#include "control/problem.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

struct settings_order {
	struct order base;
	const struct control_options *options;
	struct control_order order;
	char **settings; /* owned, as they are; those of the order */
};

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
static bool read_settings(struct settings_order *o, json_t *object)
{
	struct reply *reply = &o->base.base.task.reply;
	const char *key = NULL;
	json_t *value = NULL;

	if (json_object_size(object) == 0) {
		problem(reply, PROBLEM_BAD_BODY, "the body must be {\"KEY\": \"VALUE\", …}");
		return false;
	}
	o->settings = calloc(json_object_size(object), sizeof(char *));
	reply->body.failed = !o->settings;
	json_object_foreach(object, key, value) {
		struct buf b = { 0 };
		if (reply->body.failed)
			return false;
		if (!add_setting(&b, key, value)) {
			problem(reply, PROBLEM_BAD_BODY,
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

/* --- the order --------------------------------------------------------------------- */

static void on_done(struct control_order *order)
{
	struct settings_order *o =
		(struct settings_order *) ((char *) order - offsetof(struct settings_order, order));
	struct task *t = &o->base.base.task;

	inbox_put(&t->desk->inbox, t, 0);
}

static void place(struct settings_order *o, enum control_order_kind kind)
{
	o->order.kind = kind;
	o->order.settings = (const char *const *) o->settings;
	o->order.done = on_done;
	if (task_wait(&o->base.base.task, NEVER))
		o->options->order(o->options->arg, &o->order);
}

static void set(struct order *base, json_t *body)
{
	struct settings_order *o = (struct settings_order *) base;

	if (read_settings(o, body))
		place(o, CONTROL_SET);
}

static void reload(struct order *base, json_t *body)
{
	if (json_object_size(body) > 0 || !json_is_object(body))
		problem(&base->base.task.reply, PROBLEM_BAD_BODY,
		        "a reload takes no settings; the body must be {}");
	else
		place((struct settings_order *) base, CONTROL_RELOAD);
}

static enum problem_kind kind_of(unsigned status)
{
	return status == 400   ? PROBLEM_BAD_SETTINGS
	       : status == 409 ? PROBLEM_SETTINGS_CONFLICT
	       : status == 503 ? PROBLEM_STOPPING
	                       : PROBLEM_OUT_OF_MEMORY;
}

/* The detail is the lines without the end of the last one. */
static void refuse(struct reply *reply, const struct control_order *order)
{
	const struct buf *why = &order->answer;
	size_t n = why->len > 0 && why->data[why->len - 1] == '\n' ? why->len - 1 : why->len;

	problem(reply, kind_of(order->status), "%.*s", (int) n, n > 0 ? why->data : "");
}

static void answered(struct order *base, int error)
{
	struct reply *reply = &base->base.task.reply;
	struct control_order *order = &((struct settings_order *) base)->order;
	struct buf *answer = &order->answer;

	if (error < 0) {
		problem(reply, PROBLEM_STOPPING, CONTROL_ORDER_TOO_LATE);
	} else if (answer->failed) {
		reply->body.failed = true;
	} else if (order->status != 200) {
		refuse(reply, order);
	} else {
		if (!order->dry_run)
			change_log(&base->base.task, NULL, NULL, "%s: asked for",
			           order->kind == CONTROL_SET ? "set" : "reload");
		reply->status = 200;
		reply->type = "application/json";
		reply->body = *answer;
		*answer = (struct buf) { 0 };
	}
}

static void free_order(struct order *base)
{
	struct settings_order *o = (struct settings_order *) base;

	for (size_t i = 0; i < o->order.n_settings; i++)
		free(o->settings[i]);
	free(o->settings);
	buf_done(&o->order.answer);
}

static struct task *begin(const struct view *view, const struct request *request,
                          const struct order_kind *kind, struct reply *reply)
{
	if (!view->options->order) {
		problem(reply, PROBLEM_NOT_SUPPORTED,
		        "settings cannot be changed here while the program runs");
		return NULL;
	}
	bool dry_run = request->dry_run && strcmp(request->dry_run, "true") == 0;
	if (request->dry_run && !dry_run && strcmp(request->dry_run, "false") != 0) {
		problem(reply, PROBLEM_BAD_PARAMETER, "dry_run=%s must be true or false",
		        request->dry_run);
		return NULL;
	}
	struct task *task = order_begin(view, request, kind, sizeof(struct settings_order), reply);
	if (task) {
		((struct settings_order *) task)->options = view->options;
		((struct settings_order *) task)->order.dry_run = dry_run;
	}
	return task;
}

struct task *set_begin(const struct view *view, const struct request *request, struct reply *reply)
{
	static const struct order_kind kind = {
		.act = set, .answered = answered, .free = free_order,
	};

	return begin(view, request, &kind, reply);
}

struct task *reload_begin(const struct view *view, const struct request *request,
                          struct reply *reply)
{
	static const struct order_kind kind = {
		.act = reload, .answered = answered, .free = free_order, .may_be_empty = true,
	};

	return begin(view, request, &kind, reply);
}
