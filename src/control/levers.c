/* SPDX-License-Identifier: Apache-2.0 */
/* POST /v1/control/pause, resume and drain. */
#include "control/change.h"
#include "control/order.h"
#include "control/problem.h"

#include <errno.h>
#include <string.h>

/* --- pause and resume -------------------------------------------------------------- */

/* What is paused or resumed is base.base.id: an origin, or NULL for everything. */
struct lever {
	struct order base;
	bool pauses;
	bool moves; /* it was the other way before, so that it can be moved back */
};

static void refuse_bare(struct lever *l, const char *text)
{
	struct reply *reply = &l->base.base.task.reply;
	struct buf name = { 0 };

	url_add_redacted(&name, text, false);
	if (name.failed)
		reply->body.failed = true;
	else
		problem(reply, PROBLEM_BAD_BODY,
		        "%.*s is no origin without its scheme: write http://%.*s or https://%.*s",
		        (int) name.len, name.data, (int) name.len, name.data, (int) name.len, name.data);
	buf_done(&name);
}

/* Takes the origin of a URL. */
static bool take_url(struct lever *l, const char *url)
{
	struct asker *a = &l->base.base;
	struct url_origin origin;
	const char *why = NULL;

	if (!strstr(url, "://")) {
		refuse_bare(l, url);
		return false;
	}
	int r = url_parse(a->task.desk->parser, url, &origin, &why);
	if (r == 0 && !(a->id = strdup(origin.text)))
		r = -ENOMEM;
	if (r == -ENOMEM)
		problem_reply(&a->task.reply, a->task.desk->engine, r);
	else if (r < 0)
		problem(&a->task.reply, PROBLEM_BAD_BODY, "the origin cannot be read: %s", why);
	return r == 0;
}

/* Reads {"origin": "…"} or {}; otherwise the reply says what is wrong. */
static bool read_origin(struct lever *l, json_t *body)
{
	json_t *origin = json_object_get(body, "origin");
	const char *url = json_string_value(origin);
	size_t members = origin ? 1 : 0;

	if (!json_is_object(body) || json_object_size(body) != members || (origin && !url)) {
		problem(&l->base.base.task.reply, PROBLEM_BAD_BODY,
		        "the body must be {\"origin\": \"http://host:port\"}, or {} for everything");
		return false;
	}
	return !url || take_url(l, url);
}

/* Whether it would change anything; of a lane that cannot be told while all is paused. */
static bool would_move(const struct lever *l)
{
	struct engine *engine = l->base.base.task.desk->engine;
	const char *origin = l->base.base.id;
	struct engine_stats stats;
	struct queue_lane lane;

	engine_stats(engine, &stats);
	if (!origin)
		return stats.queue.paused != l->pauses;
	if (stats.queue.paused)
		return false;
	engine_lane(engine, origin, &lane);
	return (lane.obstacle.why == WAIT_PAUSED) != l->pauses;
}

static int move(const struct lever *l, bool pauses)
{
	struct engine *engine = l->base.base.task.desk->engine;

	if (pauses)
		return engine_pause(engine, l->base.base.id);
	engine_resume(engine, l->base.base.id);
	return 0;
}

/* At once; and then the backlog is asked to remember it. */
static void pull(struct lever *l, json_t *body)
{
	struct task *t = &l->base.base.task;

	if (!read_origin(l, body))
		return;
	l->moves = would_move(l);
	int r = move(l, l->pauses);
	if (r == 0)
		asker_ask(&l->base.base, l->pauses ? QUERY_PAUSE : QUERY_RESUME);
	else if (r == -ENOSPC)
		problem(&t->reply, PROBLEM_TOO_MANY_PAUSED,
		        "%d lanes are paused, which is the limit; resume some, or pause "
		                        "everything", QUEUE_MAX_PAUSED_LANES);
	else
		problem_reply(&t->reply, t->desk->engine, r);
}

static void act_pause(struct order *o, json_t *body)
{
	struct lever *l = (struct lever *) o;

	l->pauses = true;
	pull(l, body);
}

static void act_resume(struct order *o, json_t *body) { pull((struct lever *) o, body); }

static void say_moved(struct lever *l, bool durable)
{
	struct reply *reply = &l->base.base.task.reply;
	const char *origin = l->base.base.id;

	change_log(&l->base.base.task, NULL, origin, "%s is %s", origin ? origin : "everything",
	           l->pauses ? "paused" : "resumed");
	reply->status = 200;
	reply->type = "application/json";
	buf_printf(&reply->body, "{\"paused\": %s, \"origin\": ", l->pauses ? "true" : "false");
	buf_add_json_str(&reply->body, origin);
	buf_printf(&reply->body, ", \"durable\": %s}\n", durable ? "true" : "false");
}

/* What is not remembered is not done. */
static void remembered(struct order *o, int error)
{
	struct lever *l = (struct lever *) o;
	struct task *t = &o->base.task;

	if (error == 0 || error == -EOPNOTSUPP) {
		say_moved(l, error == 0);
		return;
	}
	if (l->moves && move(l, !l->pauses) < 0)
		error = -ENOMEM;
	problem_reply(&t->reply, t->desk->engine, error);
}

struct task *pause_begin(const struct view *view, const struct request *request,
                         struct reply *reply)
{
	static const struct order_kind kind = {
		.act = act_pause, .answered = remembered, .may_be_empty = true,
	};

	return order_begin(view, request, &kind, sizeof(struct lever), reply);
}

struct task *resume_begin(const struct view *view, const struct request *request,
                          struct reply *reply)
{
	static const struct order_kind kind = {
		.act = act_resume, .answered = remembered, .may_be_empty = true,
	};

	return order_begin(view, request, &kind, sizeof(struct lever), reply);
}

/* --- drain ------------------------------------------------------------------------- */

static void act_drain(struct order *o, json_t *body)
{
	struct task *t = &o->base.task;

	if (!json_is_object(body) || json_object_size(body) > 0) {
		problem(&t->reply, PROBLEM_BAD_BODY, "the body must be {}, or nothing");
		return;
	}
	change_log(t, NULL, NULL, "a drain is begun");
	engine_drain(t->desk->engine);
	t->reply.status = 200;
	t->reply.type = "application/json";
	buf_add_str(&t->reply.body, "{\"draining\": true}\n");
}

struct task *drain_begin(const struct view *view, const struct request *request,
                         struct reply *reply)
{
	static const struct order_kind kind = { .act = act_drain, .may_be_empty = true };

	return order_begin(view, request, &kind, sizeof(struct order), reply);
}
