/* SPDX-License-Identifier: Apache-2.0 */
/* GET and DELETE /v1/jobs/ID. */
#include "control/asker.h"
#include "control/change.h"
#include "control/problem.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

/* Of a path, which begins so. */
static const char *id_of(const struct request *request)
{
	return request->path + strlen("/v1/jobs/");
}

static void begin_reply(struct asker *a, unsigned status, const char *state)
{
	struct reply *reply = &a->task.reply;

	reply->status = status;
	reply->type = "application/json";
	buf_add_str(&reply->body, "{\"id\": ");
	buf_add_json_str(&reply->body, a->id);
	buf_printf(&reply->body, ", \"state\": \"%s\"", state);
}

/* --- turns ------------------------------------------------------------------------- */

/* As in struct lookups. */
enum turn { TURN_OVER, TURN_WAITING, TURN_MINE };

struct lookup {
	struct asker base;
	TAILQ_ENTRY(lookup) entry;
	enum turn turn;
	unsigned max; /* turns at a time, its own among them */
};

/* The answers up to this size need no turn to be sent: every connection may have one. */
enum { SMALL_ANSWER_BYTES = 16 * 1024 };

static void wait_for_turn(struct lookup *l)
{
	struct lookups *all = &l->base.task.desk->lookups;

	if (!task_wait(&l->base.task, l->base.task.desk->bound_ns))
		return;
	l->turn = TURN_WAITING;
	TAILQ_INSERT_TAIL(&all->waiting, l, entry);
}

static void take_turn(struct lookup *l)
{
	l->turn = TURN_MINE;
	l->base.task.desk->lookups.n++;
	asker_ask(&l->base, QUERY_FIND);
}

static bool may_take_turn(const struct lookup *l)
{
	return l->base.task.desk->lookups.n < l->max;
}

/* Gives it to who has waited longest, of those who may have it. */
static void end_turn(struct lookup *l)
{
	struct lookups *all = &l->base.task.desk->lookups;
	struct lookup *next = NULL;

	if (l->turn != TURN_MINE)
		return;
	l->turn = TURN_OVER;
	all->n--;
	TAILQ_FOREACH(next, &all->waiting, entry)
		if (may_take_turn(next))
			break;
	if (next) {
		TAILQ_REMOVE(&all->waiting, next, entry);
		take_turn(next);
	}
}

/* Who waits for his turn has asked nothing yet. */
static bool take_back_lookup(struct task *t)
{
	struct lookup *l = (struct lookup *) t;

	if (l->turn != TURN_WAITING)
		return false;
	l->turn = TURN_OVER;
	TAILQ_REMOVE(&t->desk->lookups.waiting, l, entry);
	return true;
}

static void free_lookup(struct task *t)
{
	end_turn((struct lookup *) t);
	asker_free(t);
}

/* --- where it is ------------------------------------------------------------------- */

static void add_time(struct buf *b, const char *name, int64_t wall_us)
{
	char text[CLOCK_TEXT_SIZE];

	clock_format(wall_us, text);
	buf_printf(b, ", \"%s\": \"%s\"", name, text);
}

static void add_history(struct buf *b, const struct query *q)
{
	buf_printf(b, ", \"attempts\": %u", (unsigned) q->attempts);
	add_time(b, "accepted_at", q->accepted_wall_us);
}

static void add_span(struct buf *b, const char *name, uint64_t from_ns, uint64_t to_ns)
{
	buf_printf(b, ", \"%s\": ", name);
	buf_add_seconds(b, from_ns < to_ns ? (to_ns - from_ns) / NS_PER_US : 0);
}

/* A job between two places has mostly been fetched and waits for its record. */
static const char *state_name(const struct query *q, const struct explanation *why)
{
	switch (q->state) {
	case JOB_WAITING:
		return "waiting";
	case JOB_DELAYED:
		return "delayed";
	case JOB_OUT:
		return why->at.place == ENGINE_QUEUED ? "queued" : "running";
	case JOB_SETTLED:
		break;
	}
	return outcome_name(q->outcome);
}

static void add_why(struct buf *b, const struct query *q, const struct explanation *why)
{
	if (q->lane.len > 0) {
		buf_add_str(b, ", \"lane\": ");
		buf_add_json_str(b, q->lane.data);
	}
	buf_printf(b, ", \"why_code\": \"%s\", \"why\": ", why->code);
	buf_add_json_str(b, why->text.data);
	b->failed |= why->text.failed || q->lane.failed;
}

static void add_running(struct buf *b, const struct engine_whereabouts *at)
{
	uint64_t now_ns = clock_now_ns();

	add_span(b, "running_seconds", at->since_ns, now_ns);
	add_span(b, "timeout_seconds", now_ns, at->bound_ns);
}

/* The record goes out as it is in the log; of a dead job also the reason in it. */
static void add_record(struct buf *b, const struct query *q)
{
	size_t len = q->line.len;

	while (len > 0 && q->line.data[len - 1] == '\n')
		len--;
	if (q->outcome == OUTCOME_DEAD) {
		json_auto_t *record = json_loadb(q->line.data, len, 0, NULL);
		buf_add_str(b, ", \"reason\": ");
		buf_add_json_str(b, json_string_value(json_object_get(record, "reason")));
	}
	buf_add_str(b, ", \"result\": ");
	buf_add(b, q->line.data, len);
}

static void write_whereabouts(struct asker *a)
{
	struct task *t = &a->task;
	const struct query *q = &a->query;
	struct buf *b = &t->reply.body;
	struct explanation why;

	engine_explain(t->desk->engine, q, &why);
	begin_reply(a, 200, state_name(q, &why));
	add_history(b, q);
	add_why(b, q, &why);
	if (q->state == JOB_DELAYED)
		add_time(b, "due_at", q->due_wall_us);
	if (q->deadline_wall_us != 0)
		add_time(b, "deadline", q->deadline_wall_us);
	if (q->state == JOB_OUT && why.at.place == ENGINE_FETCHING)
		add_running(b, &why.at);
	if (q->state == JOB_SETTLED)
		add_record(b, q);
	buf_add_str(b, "}\n");
	buf_done(&why.text);
}

static void lookup_answered(struct task *t, int error)
{
	struct lookup *l = (struct lookup *) t;
	struct asker *a = &l->base;

	if (error == -ETIMEDOUT)
		problem(&t->reply, PROBLEM_BUSY, "%u large records are being read, which is the limit; "
		                                 "try again", l->max);
	else if (error < 0)
		asker_refuse(a, error);
	else
		write_whereabouts(a);
	buf_done(&a->query.line);
	if (t->reply.body.len <= SMALL_ANSWER_BYTES)
		end_turn(l);
}

static void lookup_finish(struct task *t)
{
	struct lookup *l = (struct lookup *) t;

	if (may_take_turn(l))
		take_turn(l);
	else
		wait_for_turn(l);
}

struct task *lookup_begin(const struct view *view, const struct request *request,
                          struct reply *reply)
{
	static const struct task_ops ops = {
		.finish = lookup_finish,
		.answered = lookup_answered,
		.take_back = take_back_lookup,
		.free = free_lookup,
	};
	struct task *t = asker_create(view, &ops, sizeof(struct lookup), id_of(request), reply);
	if (t)
		((struct lookup *) t)->max =
			view->reach == CONTROL_ALL ? SETTINGS_MAX_RECORDS : CONTROL_READER_RECORDS;
	return t;
}

/* --- cancelling -------------------------------------------------------------------- */

static void record_cancelled(struct asker *a, struct job *job, bool unqueued)
{
	struct reply *reply = &a->task.reply;

	if (engine_cancel(a->task.desk->engine, job, unqueued, "cancelled by request") < 0) {
		problem(reply, PROBLEM_BUSY,
		        "job %s cannot be cancelled now: its record has no room; try again", a->id);
		return;
	}
	change_log(&a->task, a->id, NULL, "job %s is cancelled", a->id);
	begin_reply(a, 202, "cancelled");
	buf_add_str(&reply->body, "}\n");
}

static void cancel_queued(struct asker *a)
{
	struct job *job = engine_unqueue(a->task.desk->engine, a->query.number);

	if (job)
		record_cancelled(a, job, true);
	else
		problem(&a->task.reply, PROBLEM_WRONG_STATE,
		        "job %s is running: too late to cancel it", a->id);
}

static void cancel_answered(struct task *t, int error)
{
	struct asker *a = (struct asker *) t;

	switch (error) {
	case 0:
		record_cancelled(a, a->query.job, false);
		break;
	case -EBUSY:
		cancel_queued(a);
		break;
	case -EALREADY:
		problem(&t->reply, PROBLEM_WRONG_STATE, "job %s is %s already", a->id,
		        outcome_name(a->query.outcome));
		break;
	default:
		asker_refuse(a, error);
		break;
	}
}

static void cancel_finish(struct task *t)
{
	asker_ask((struct asker *) t, QUERY_TAKE);
}

struct task *cancel_begin(const struct view *view, const struct request *request,
                          struct reply *reply)
{
	static const struct task_ops ops = {
		.finish = cancel_finish,
		.answered = cancel_answered,
		.take_back = asker_take_back,
		.free = asker_free,
	};
	return asker_create(view, &ops, sizeof(struct asker), id_of(request), reply);
}
