/* SPDX-License-Identifier: Apache-2.0 */
/* Why a job is where it is: what the backlog knows of it, and what queue, workers and recorder
 * show at this moment. */
#include "engine/parts.h"

#include "base/clock.h"
#include "base/units.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* What sentences are made of. */
struct scene {
	struct engine *engine;
	const struct query *job;
	const char *origin; /* of its lane */
	struct queue_lane lane;
	struct queue_stats queue;
	size_t ahead;       /* jobs in its lane before it; at least so many, if it is not queued */
	bool queued;
	uint64_t now_ns;
	int64_t now_wall_us;
	struct buf *text;
};

/* --- pieces of text ---------------------------------------------------------------- */

/* RFC 3339 without a fraction. */
static void add_date(struct buf *b, int64_t wall_us)
{
	char text[CLOCK_TEXT_SIZE];

	clock_format(wall_us, text);
	buf_add(b, text, strlen("2026-11-23T15:04:05"));
	buf_add_char(b, 'Z');
}

/* The time of the day if that is today's, in UTC. */
static void add_moment(const struct scene *s, uint64_t at_ns)
{
	enum { DATE_LEN = sizeof("2026-11-23T") - 1, TIME_LEN = sizeof("15:04:05") - 1 };
	char now[CLOCK_TEXT_SIZE], then[CLOCK_TEXT_SIZE];
	uint64_t left_ns = at_ns > s->now_ns ? at_ns - s->now_ns : 0;
	int64_t then_us = s->now_wall_us + (int64_t) (left_ns / NS_PER_US);

	clock_format(s->now_wall_us, now);
	clock_format(then_us, then);
	if (memcmp(now, then, DATE_LEN) != 0) {
		add_date(s->text, then_us);
		return;
	}
	buf_add(s->text, then + DATE_LEN, TIME_LEN);
	buf_add_str(s->text, " UTC");
}

static void add_span(struct buf *b, uint64_t from_ns, uint64_t to_ns)
{
	units_add_duration_rough(b, to_ns > from_ns ? to_ns - from_ns : 0);
}

static void add_time_left(const struct scene *s)
{
	int64_t left_us = s->job->due_wall_us - s->now_wall_us;
	units_add_duration_rough(s->text, left_us > 0 ? (uint64_t) left_us * NS_PER_US : 0);
}

static void add_ahead(const struct scene *s)
{
	if (s->ahead == 0)
		buf_add_str(s->text, "no job ahead");
	else
		buf_printf(s->text, "%s%zu job%s ahead", s->queued ? "" : "at least ", s->ahead,
		           s->ahead == 1 ? "" : "s");
}

/* --- a sentence for each reason ---------------------------------------------------- */

static void say_not_before(const struct scene *s)
{
	buf_add_str(s->text, "not before ");
	add_date(s->text, s->job->due_wall_us);
}

/* The limit may have been lowered since. */
static void say_retry(const struct scene *s)
{
	unsigned long long attempt = s->job->attempts + 1ULL;
	unsigned long long max = workers_get_policy(s->engine->workers).retry.max_attempts;

	buf_printf(s->text, "retry: attempt %llu of %llu in ", attempt, max > attempt ? max : attempt);
	add_time_left(s);
}

static void say_names(const struct scene *s)
{
	buf_add_str(s->text, "too many workers were waiting for names; again in ");
	add_time_left(s);
}

static void say_bodies(const struct scene *s)
{
	buf_add_str(s->text, "the body of its response could not be kept; again in ");
	add_time_left(s);
}

static void say_poison(const struct scene *s)
{
	buf_add_str(s->text, "it has crashed the daemon too often, and is set aside");
}

static void say_paused(const struct scene *s)
{
	if (s->queue.paused)
		buf_add_str(s->text, "everything is paused");
	else
		buf_printf(s->text, "lane %s is paused", s->origin);
}

static void say_retry_after(const struct scene *s)
{
	buf_printf(s->text, "lane %s: Retry-After until ", s->origin);
	add_moment(s, s->lane.obstacle.until_ns);
}

static void say_breaker(const struct scene *s)
{
	buf_printf(s->text, "lane %s: breaker %sopen after %u failures, ", s->origin,
	           s->lane.obstacle.until_ns == NEVER ? "half " : "", s->lane.failures);
	if (s->lane.obstacle.until_ns == NEVER) {
		buf_add_str(s->text, "a probe is under way");
		return;
	}
	buf_add_str(s->text, "next probe in ");
	add_span(s->text, s->now_ns, s->lane.obstacle.until_ns);
}

static void say_rate(const struct scene *s)
{
	const struct lane_limits *limits = &s->lane.limits;

	buf_printf(s->text, "lane %s is at its rate of ", s->origin);
	if (limits->interval_ns >= limits->gap_ns) {
		units_add_rate(s->text, limits->interval_ns);
	} else {
		buf_add_str(s->text, "one each ");
		units_add_duration_rough(s->text, limits->gap_ns);
	}
	buf_add_str(s->text, ", ");
	add_ahead(s);
}

static void say_concurrency(const struct scene *s)
{
	buf_printf(s->text, "lane %s runs %zu of %llu fetches, ", s->origin, s->lane.running,
	           (unsigned long long) s->lane.limits.concurrency);
	add_ahead(s);
}

static void say_queue(const struct scene *s)
{
	buf_add_str(s->text, "not queued yet, ");
	add_ahead(s);
	buf_printf(s->text, " in lane %s", s->origin);
	if (s->queue.producers_blocked > 0 || s->queue.depth_jobs >= s->queue.capacity_jobs)
		buf_add_str(s->text, "; the queue is full");
}

static void say_worker(const struct scene *s)
{
	struct workers_stats workers;

	workers_stats(s->engine->workers, &workers);
	buf_add_str(s->text, "queued, ");
	add_ahead(s);
	buf_printf(s->text, " in lane %s", s->origin);
	if (s->queue.consumers_idle == 0)
		buf_printf(s->text, "; all %u workers are busy", workers.alive);
}

static void say(const struct scene *s, enum wait_reason why, struct explanation *x)
{
	static void (*const sentences[WAIT_REASONS])(const struct scene *s) = {
		[WAIT_NOT_BEFORE] = say_not_before,
		[WAIT_RETRY] = say_retry,
		[WAIT_NAMES] = say_names,
		[WAIT_PAUSED] = say_paused,
		[WAIT_RETRY_AFTER] = say_retry_after,
		[WAIT_BREAKER] = say_breaker,
		[WAIT_RATE] = say_rate,
		[WAIT_CONCURRENCY] = say_concurrency,
		[WAIT_QUEUE] = say_queue,
		[WAIT_WORKER] = say_worker,
		[WAIT_POISON] = say_poison,
		[WAIT_BODIES] = say_bodies,
	};
	x->code = wait_reason_name(why);
	sentences[why](s);
}

/* --- one for each state ------------------------------------------------------------ */

/* What stands in the way of its lane; 'otherwise' if nothing does. */
static enum wait_reason obstacle(const struct scene *s, enum wait_reason otherwise)
{
	enum wait_reason why = s->queue.paused ? WAIT_PAUSED : s->lane.obstacle.why;
	return why == WAIT_WORKER ? otherwise : why;
}

static void explain_waiting(struct scene *s, struct explanation *x)
{
	engine_lane_adopt(&s->lane, &s->job->rest);
	s->ahead = s->job->ahead + s->lane.queued;
	say(s, obstacle(s, WAIT_QUEUE), x);
}

static void say_running(const struct scene *s, struct explanation *x)
{
	x->code = "running";
	buf_add_str(s->text, "running for ");
	add_span(s->text, x->at.since_ns, s->now_ns);
	buf_add_str(s->text, ", timeout in ");
	add_span(s->text, s->now_ns, x->at.bound_ns);
}

/* A job between two places has mostly been fetched and waits for its record. */
static void say_between(const struct scene *s, struct explanation *x)
{
	struct backlog_stats backlog;

	backlog_stats(s->engine->backlog, &backlog);
	int trouble = atomic_load(&s->engine->trouble);
	int error = trouble < 0 ? trouble : backlog.error;
	x->code = error < 0 ? "recorder_stalled" : "recording";
	if (error < 0)
		buf_printf(s->text, "recorder stalled: %s", strerrordesc_np(-error));
	else
		buf_add_str(s->text, "fetched, its record is being written");
}

static void explain_out(struct scene *s, struct explanation *x)
{
	struct engine *e = s->engine;

	s->queued = queue_find(e->queue, s->job->number, &s->ahead);
	if (s->queued) {
		x->at.place = ENGINE_QUEUED;
		say(s, obstacle(s, WAIT_WORKER), x);
	} else if (workers_find(e->workers, s->job->number, &x->at.since_ns, &x->at.bound_ns)) {
		x->at.place = ENGINE_FETCHING;
		say_running(s, x);
	} else {
		x->at.place = ENGINE_BETWEEN;
		say_between(s, x);
	}
}

/* Whatever it waits for ends with that. */
static void say_deadline(const struct scene *s)
{
	int64_t left_us = s->job->deadline_wall_us - s->now_wall_us;

	if (s->job->deadline_wall_us == 0)
		return;
	buf_add_str(s->text, left_us > 0 ? "; deadline in " : "; its deadline has passed");
	if (left_us > 0)
		units_add_duration_rough(s->text, (uint64_t) left_us * NS_PER_US);
}

static void explain_settled(const struct query *job, struct explanation *x)
{
	json_t *record = json_loadb(job->line.data ? job->line.data : "", job->line.len, 0, NULL);
	const char *reason = json_string_value(json_object_get(record, "reason"));

	x->code = outcome_name(job->outcome);
	buf_add_str(&x->text, x->code);
	if (reason)
		buf_printf(&x->text, ": %s", reason);
	json_decref(record);
}

static void explain_unsettled(struct engine *e, const struct query *job, struct explanation *x)
{
	struct scene s = {
		.engine = e,
		.job = job,
		.origin = job->lane.len > 0 ? job->lane.data : "",
		.now_ns = clock_now_ns(),
		.now_wall_us = clock_wall_us(),
		.text = &x->text,
	};

	queue_lane(e->queue, s.origin, &s.lane);
	queue_stats(e->queue, &s.queue);
	if (job->state == JOB_DELAYED)
		say(&s, job->why, x);
	else if (job->state == JOB_WAITING)
		explain_waiting(&s, x);
	else
		explain_out(&s, x);
	say_deadline(&s);
}

void engine_explain(struct engine *e, const struct query *found, struct explanation *ret)
{
	struct explanation x = { 0 };

	if (found->state == JOB_SETTLED)
		explain_settled(found, &x);
	else
		explain_unsettled(e, found, &x);
	buf_add_char(&x.text, '\0');
	*ret = x;
}
