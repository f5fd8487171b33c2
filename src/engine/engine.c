/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's state, and how it stops; start.c starts it. */
#include "engine/engine.h"

#include "base/clock.h"
#include "base/event.h"
#include "base/thread.h"
#include "engine/give_back.h"
#include "engine/parts.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

int engine_start(const struct engine_options *options, struct engine **ret_engine,
                 struct buf *errors)
{
	struct engine *e = calloc(1, sizeof(*e));
	if (!e)
		return -ENOMEM;

	e->event_fd = -1;
	e->options = *options;

	int r = engine_start_parts(e, options, errors);
	if (r < 0) {
		engine_free(e);
		return r;
	}
	*ret_engine = e;
	return 0;
}

/* --- state ------------------------------------------------------------------------- */

static bool all_final(struct engine *e)
{
	struct ledger_balance b;

	ledger_balance(e->ledger, &b);
	return b.accepted ==
	       b.jobs[LEDGER_DONE] + b.jobs[LEDGER_DEAD] + b.jobs[LEDGER_CANCELLED];
}

bool engine_is_finished(struct engine *e)
{
	return intake_has_ended(e->intake) && all_final(e);
}

int engine_event_fd(const struct engine *e) { return e->event_fd; }

/* Every worker has left, and what they handed to the recorder is settled. */
static bool is_stopped(struct engine *e)
{
	struct ledger_balance b;

	ledger_balance(e->ledger, &b);
	return atomic_load(&e->workers_left) && !atomic_load(&e->cancelling) &&
	       b.jobs[LEDGER_RUNNING] == 0;
}

void engine_state(struct engine *e, struct engine_state *ret_state)
{
	event_clear(e->event_fd); /* first: whatever changes after this raises it again */

	bool stopping = atomic_load(&e->stopping);
	bool ended = stopping ? is_stopped(e) : engine_is_finished(e);
	*ret_state = (struct engine_state) {
		.phase = ended ? ENGINE_ENDED : stopping ? ENGINE_STOPPING : ENGINE_RUNNING,
		.finished = intake_is_complete(e->intake) && all_final(e),
		.record_error = atomic_load(&e->record_error),
		.stalled = atomic_load(&e->trouble),
		.bodies_error = e->bodies ? bodies_error(e->bodies) : 0,
		.source_failed = atomic_load(&e->source_failed),
		.draining = atomic_load(&e->draining),
		.drained = atomic_load(&e->draining) && engine_is_finished(e),
	};
}

void engine_stats(struct engine *e, struct engine_stats *ret_stats)
{
	ret_stats->backlog_type = e->backlog->type;
	ret_stats->durable = e->backlog->durable;
	ledger_balance(e->ledger, &ret_stats->ledger);
	queue_stats(e->queue, &ret_stats->queue);
	backlog_stats(e->backlog, &ret_stats->backlog);
	intake_stats(e->intake, &ret_stats->intake);
	workers_stats(e->workers, &ret_stats->workers);
	recorder_stats(e->recorder, &ret_stats->recorder);
	ret_stats->bodies = (struct bodies_stats) { .mode = BODIES_NONE };
	if (e->bodies)
		bodies_stats(e->bodies, &ret_stats->bodies);
	fetch_stats(e->fetcher, &ret_stats->fetch);
}

void engine_tally(struct engine *e, struct tally_figures *ret_figures)
{
	workers_tally(e->workers, ret_figures);
}

int engine_apply(struct engine *e, struct fetch_rules *rules)
{
	const struct settings *s = e->options.settings;
	const struct workers_policy policy = engine_policy(s);

	workers_set_policy(e->workers, &policy);
	fetcher_set_rules(e->fetcher, rules);
	int r = engine_set_limits(e);
	feeder_open(e->feeder, NULL); /* what they rest for may hold no longer */
	if (r < 0)
		return r;
	if (queue_set_capacity(e->queue, s->queue.capacity, s->queue.max_bytes) < 0)
		abort(); /* neither can be 0: the table of keys says so */
	return workers_resize(e->workers, (unsigned) s->workers);
}

bool engine_is_healthy(struct engine *e, struct buf *why)
{
	uint64_t now_ns = clock_now_ns();
	const char *doing = NULL;
	struct workers_stuck stuck;

	if (!workers_are_healthy(e->workers, now_ns, &stuck))
		buf_printf(why, "%u workers are stuck, %s past their bound", stuck.n, stuck.doing);
	else if ((doing = pulse_overdue(recorder_pulse(e->recorder), now_ns)))
		buf_printf(why, "the recorder is stuck, %s", doing);
	else if ((doing = pulse_overdue(feeder_pulse(e->feeder), now_ns)))
		buf_printf(why, "the feeder is stuck, %s", doing);
	else
		return true;
	return false;
}

uint64_t engine_stuck_job(struct engine *e)
{
	struct workers_stuck stuck;

	return workers_are_healthy(e->workers, clock_now_ns(), &stuck) ? 0 : stuck.number;
}

void engine_each_source(struct engine *e,
                        void (*visit)(void *arg, const struct intake_source *source), void *arg)
{
	intake_each(e->intake, visit, arg);
}

/* --- for the control socket -------------------------------------------------------- */

void engine_submit(struct engine *e, struct submission *s) { backlog_submit(e->backlog, s); }

bool engine_withdraw(struct engine *e, struct submission *s)
{
	return backlog_withdraw(e->backlog, s);
}

void engine_query(struct engine *e, struct query *q) { backlog_query(e->backlog, q); }

struct job *engine_unqueue(struct engine *e, uint64_t number)
{
	return queue_remove(e->queue, number);
}

int engine_cancel(struct engine *e, struct job *job, bool unqueued, const char *reason)
{
	const struct verdict give_back = { .job = job, .kind = VERDICT_RETURN };

	ledger_move(e->ledger, unqueued ? LEDGER_QUEUED : LEDGER_WAITING, LEDGER_RUNNING, 1);
	if (engine_record_unfetched(e, job, OUTCOME_CANCELLED, reason, false))
		return 0;
	ledger_move(e->ledger, LEDGER_RUNNING, LEDGER_WAITING, 1);
	if (backlog_settle(e->backlog, &give_back, 1) < 0)
		abort(); /* that needs nothing that can fail */
	return -EAGAIN;
}

/* --- levers ------------------------------------------------------------------------ */

int engine_pause(struct engine *e, const char *origin)
{
	struct job_list evicted = { 0 };
	int r = queue_pause(e->queue, origin, &evicted);

	give_back(e->backlog, e->ledger, &evicted);
	if (r == 0 && origin)
		feeder_open(e->feeder, origin); /* it may rest for another reason so far */
	return r;
}

void engine_resume(struct engine *e, const char *origin)
{
	(void) queue_resume(e->queue, origin);
	if (origin)
		feeder_open(e->feeder, origin);
}

void engine_drain(struct engine *e)
{
	if (atomic_exchange(&e->draining, true))
		return;
	intake_stop(e->intake);
	backlog_close(e->backlog);
	event_raise(e->event_fd); /* there may be nothing to wait for */
}

const char *engine_refuses(const struct engine *e, const struct job *job)
{
	if (job->extra && job->extra->body_file && *e->options.settings->fetch.body_dir == '\0')
		return "\"body_file\" is not allowed here: fetch.body_dir is not set";
	return NULL;
}

bool engine_is_draining(const struct engine *e) { return atomic_load(&e->draining); }

/* --- stopping ---------------------------------------------------------------------- */

/* Gives what stands in the queue back to the backlog. */
static void evict_queue(struct engine *e)
{
	struct job_list jobs = { 0 };

	queue_evict(e->queue, &jobs);
	give_back(e->backlog, e->ledger, &jobs);
}

bool engine_record_unfetched(struct engine *e, struct job *job, enum outcome outcome,
                             const char *reason, bool waits)
{
	const struct response none = { 0 };
	uint64_t now_ns = clock_now_ns();
	const struct verdict verdict = { .job = job, .kind = VERDICT_FINAL };
	const struct result result = {
		.job = job,
		.outcome = outcome,
		.reason = reason,
		.response = &none,
		.finished_wall_us = clock_wall_us(),
		.queued_us = job->ready_ns < now_ns ? (now_ns - job->ready_ns) / NS_PER_US : 0,
	};
	struct buf line = { 0 };
	bool recorded = true;

	result_add_members(&result, &line);
	if (waits)
		recorder_put(e->recorder, &verdict, outcome, &line);
	else
		recorded = recorder_offer(e->recorder, &verdict, outcome, &line);
	buf_done(&line);
	return recorded;
}

/* A thread of its own, because the recorder's inlet may be full for long.  Once
 * results cannot be written, the recorder gives back whatever it gets. */
static void *run_canceller(void *arg)
{
	struct engine *e = arg;
	struct job *jobs[64];
	uint64_t due_ns = 0;
	size_t n = 1;

	feeder_join(e->feeder); /* which may still hold some */
	while (n > 0 && atomic_load(&e->record_error) == 0) {
		n = backlog_take(e->backlog, NEVER - 1, ARRAY_LEN(jobs), NULL, jobs, &due_ns);
		ledger_move(e->ledger, LEDGER_WAITING, LEDGER_RUNNING, n);
		for (size_t i = 0; i < n; i++)
			(void) engine_record_unfetched(e, jobs[i], OUTCOME_CANCELLED,
			                               e->cancel_reason, true);
	}
	atomic_store(&e->cancelling, false);
	event_raise(e->event_fd);
	return NULL;
}

int engine_cancel_left(struct engine *e, const char *reason)
{
	e->cancel_reason = reason;
	atomic_store(&e->cancelling, true);
	int r = thread_start(&e->canceller, "canceller", THREAD_STACK_SMALL, run_canceller, e);
	e->has_canceller = r == 0;
	if (r < 0)
		atomic_store(&e->cancelling, false);
	return r;
}

/* Upstream first.  Parts may be missing if the start has failed half-way. */
void engine_stop(struct engine *e)
{
	if (atomic_exchange(&e->stopping, true))
		return;

	if (e->intake)
		intake_stop(e->intake);
	if (e->backlog)
		backlog_close(e->backlog);
	if (e->feeder)
		feeder_stop(e->feeder);
	if (e->queue) {
		queue_close(e->queue);
		evict_queue(e);
	}
}

void engine_abort(struct engine *e)
{
	if (e->bodies)
		bodies_cancel(e->bodies);
	fetcher_cancel(e->fetcher);
	results_cancel(e->options.results);
	if (e->recorder)
		recorder_abandon(e->recorder);
}

struct tail *engine_tail(struct engine *e) { return e->tail; }

struct engine *engine_free(struct engine *e)
{
	if (!e)
		return NULL;

	engine_stop(e);
	if (e->workers && !is_stopped(e))
		engine_abort(e);
	workers_free(e->workers);
	if (e->has_canceller)
		thread_join(e->canceller);
	if (e->feeder)
		feeder_join(e->feeder); /* the last who takes, and who records */
	recorder_free(e->recorder);
	tail_free(e->tail);
	intake_free(e->intake); /* jobs name their source until they are recorded */
	backlog_free(e->backlog);
	feeder_free(e->feeder); /* until then the backlog's thread may call it */
	queue_free(e->queue);
	fetcher_free(e->fetcher);
	bodies_close(e->bodies);
	ledger_free(e->ledger);
	free(e->complaints);
	if (e->event_fd >= 0)
		(void) close(e->event_fd);
	free(e);
	return NULL;
}
