/* SPDX-License-Identifier: Apache-2.0 */
/* One worker's job, from the queue to the recorder. */
#include "engine/worker.h"

#include "base/clock.h"
#include "base/crash.h"
#include "engine/attempt_log.h"
#include "engine/deadline.h"
#include "engine/give_back.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* How much longer than its timeout a fetch may take before its worker counts as stuck. */
#define GRACE_NS (10 * NS_PER_S)

/* --- lanes ------------------------------------------------------------------------- */

/* What stood in the lane behind a job that has brought it to a rest waits in the backlog. */
static void leave_lane(struct worker *worker, enum lane_outcome outcome, uint64_t cool_ns)
{
	const struct workers_options *options = &worker->crew->options;
	struct job_list evicted = { 0 };

	queue_leave(options->queue, worker->lane, outcome, cool_ns, &evicted);
	worker->lane = NULL;
	give_back(options->backlog, options->ledger, &evicted);
}

/* Of a worker that will pop its next job soon: it may leave its lane with that. */
static void leave_with_next_pop(struct worker *worker, enum lane_outcome outcome, uint64_t cool_ns)
{
	if (queue_may_leave_later(worker->lane, outcome, cool_ns)) {
		worker->left = worker->lane;
		worker->lane = NULL;
	} else {
		leave_lane(worker, outcome, cool_ns);
	}
}

/* Goes over to the lane that a redirect leads to, if it may run now. */
static int enter_lane(void *arg, const struct url_origin *origin)
{
	struct worker *worker = arg;
	struct lane *next = NULL;

	int r = queue_enter(worker->crew->options.queue, origin->text, &next);
	if (r < 0)
		return r;
	leave_lane(worker, LANE_ANSWERED, 0);
	worker->lane = next;
	return 0;
}

/* What the attempt says of the origin that was asked last. */
static enum lane_outcome lane_outcome(int error, const struct response *response,
                                      const struct judgement *j)
{
	if (j->transport_failed)
		return LANE_FAILED;
	return error == 0 || response->status > 0 || error == -EKEYREJECTED ? LANE_ANSWERED
	                                                                     : LANE_UNUSED;
}

/* --- bodies ------------------------------------------------------------------------ */

static void set_fetching(struct worker *worker, uint64_t until_ns)
{
	pulse_set(&worker->pulse, "fetching", clock_after(until_ns, GRACE_NS));
}

/* A disk may take longer than the attempt has, which is nobody's fault. */
static void set_keeping(struct worker *worker)
{
	pulse_set(&worker->pulse, "keeping a body", NEVER);
}

static int begin_body(void *arg, uint64_t bytes, uint64_t deadline_ns)
{
	struct worker *worker = arg;

	set_keeping(worker);
	int error = body_begin(worker->body, bytes, deadline_ns);
	set_fetching(worker, deadline_ns);
	return error;
}

static int take_body(void *arg, const char *data, size_t n)
{
	struct worker *worker = arg;

	set_keeping(worker);
	int error = body_take(worker->body, data, n);
	set_fetching(worker, atomic_load_explicit(&worker->until_ns, memory_order_relaxed));
	return error;
}

/* Says of the response why its body is not kept. */
static void note_unkept(struct response *response, int error)
{
	response->body_error = error;
	(void) snprintf(response->reason, sizeof(response->reason), "the body cannot be kept: %s",
	                strerror(-error));
}

/* What is fetched while nothing can be kept would have to be fetched again.  Returns 0, or as
 * fetch() does. */
static int admit_body(struct worker *worker)
{
	if (!worker->body)
		return 0;
	pulse_set(&worker->pulse, "waiting to keep a body", NEVER);
	int error = body_admit(worker->body);
	if (error == 0)
		return 0;
	response_clear(&worker->response);
	note_unkept(&worker->response, error);
	return error == -ECANCELED ? error : -ENOSPC;
}

/* Keeps the body of a response that is final; if that cannot be done, the job is not. */
static void keep_body(struct worker *worker, struct job *job, struct judgement *j)
{
	int error = body_finish(worker->body, worker->response.truncated);

	if (error == 0)
		return;
	note_unkept(&worker->response, error);
	job->attempts--; /* judged anew */
	retry_judge(&worker->policy.retry, job, -ENOSPC, deadline_left_ns(job), &worker->response,
	            &worker->random, j);
}

static void add_body(const void *body, struct buf *b) { body_add_json(body, b); }

/* --- one job ----------------------------------------------------------------------- */

/* What the job says itself.  It can lower the bound of the answer's body, which is there for the
 * sake of all, and not raise it. */
static void apply(const struct job_extra *extra, struct fetch_request *req)
{
	req->headers = extra->headers;
	req->body = extra->body;
	req->body_bytes = extra->body_bytes;
	req->body_file = extra->body_file;
	if (extra->timeout_ns > 0)
		req->timeout_ns = extra->timeout_ns;
	if (extra->has_max_redirects)
		req->max_redirects = extra->max_redirects;
	if (extra->max_body_bytes > 0 && extra->max_body_bytes < req->max_body_bytes)
		req->max_body_bytes = extra->max_body_bytes;
}

static int attempt(struct worker *worker, const struct job *job, uint64_t deadline_ns)
{
	const struct workers_options *options = &worker->crew->options;
	const struct job_extra *extra = job->extra;
	struct fetch_request req = {
		.url = job->url,
		.origin = &job->origin,
		.method = job_method(job),
		.timeout_ns = worker->policy.timeout_ns,
		.max_redirects = worker->policy.max_redirects,
		.max_body_bytes = worker->policy.max_body_bytes,
		.truncates = worker->policy.truncates,
		.least_speed = worker->policy.least_speed,
		.speed_span_ns = worker->policy.speed_span_ns,
		.begin_body = worker->body ? begin_body : NULL,
		.take_body = worker->body ? take_body : NULL,
		.body_arg = worker,
		.once = !job_may_retry(job),
		.from = job->hop,
		.enter = enter_lane,
		.arg = worker,
	};

	if (extra)
		apply(extra, &req);
	uint64_t until_ns = clock_after(clock_now_ns(), req.timeout_ns);
	if (deadline_ns != NEVER)
		req.deadline_ns = deadline_ns;
	if (deadline_ns < until_ns)
		until_ns = deadline_ns;
	atomic_store_explicit(&worker->until_ns, until_ns, memory_order_relaxed);
	set_fetching(worker, until_ns);
	return fetch(options->fetcher, &req, &worker->response);
}

static void count(struct workers *w, const struct job *job, int error,
                  const struct response *response, const struct judgement *j)
{
	bool success = j->kind == VERDICT_FINAL && j->outcome == OUTCOME_DONE;

	if (j->kind == VERDICT_RETURN)
		return; /* not an attempt */
	(void) atomic_fetch_add_explicit(&w->attempts, 1, memory_order_relaxed);
	(void) atomic_fetch_add_explicit(&w->body_bytes, response->download_bytes, memory_order_relaxed);
	if (job->attempts > 1)
		(void) atomic_fetch_add_explicit(&w->retries, 1, memory_order_relaxed);
	if (!success)
		(void) atomic_fetch_add_explicit(&w->failed, 1, memory_order_relaxed);
	tally_attempt(&w->tally, error, response, j);
}

/* Takes over the crew's policy if it has changed. */
static void refresh_policy(struct worker *worker)
{
	struct workers *w = worker->crew;

	if (atomic_load_explicit(&w->policy_version, memory_order_acquire) == worker->policy_version)
		return;
	mutex_lock(&w->lock);
	worker->policy = w->policy;
	worker->policy_version = atomic_load_explicit(&w->policy_version, memory_order_relaxed);
	mutex_unlock(&w->lock);
}

/* One huge record shall not keep its memory for good. */
static void release_large(struct buf *b)
{
	if (b->size > WORKER_KEEPS_BYTES)
		buf_done(b);
}

/* Says what the worker has at hand, to who asks and, should it crash, to the next process. */
static void set_work(struct worker *worker, uint64_t number, uint64_t now_ns)
{
	atomic_store_explicit(&worker->started_ns, now_ns, memory_order_relaxed);
	atomic_store_explicit(&worker->number, number, memory_order_release);
	crash_set_work(number);
}

/* The record of a job that is final, with the body of a response that is whole. */
static void write_record(struct worker *worker, const struct job *job, const struct judgement *j,
                         int64_t started_wall_us, uint64_t started_ns)
{
	const struct workers_options *options = &worker->crew->options;
	const struct result result = {
		.job = job,
		.outcome = j->outcome,
		.reason = j->reason,
		.response = &worker->response,
		.started_wall_us = started_wall_us,
		.finished_wall_us = clock_wall_us(),
		.queued_us = (started_ns - job->ready_ns) / NS_PER_US,
		.add_body = worker->body && worker->response.complete &&
		                            worker->response.body_error == 0 ? add_body : NULL,
		.body = worker->body,
	};

	result_add_members(&result, &worker->line);
	if (j->outcome == OUTCOME_DEAD && options->dead)
		options->dead(options->arg, job, j->reason);
}

/* The job goes on in another lane, if there is memory to remember where. */
static int hop(struct worker *worker, struct job *job)
{
	int error = job_set_hop(job, &worker->response.next);

	if (error < 0)
		return error;
	leave_with_next_pop(worker, LANE_ANSWERED, 0);
	(void) atomic_fetch_add_explicit(&worker->crew->hops, 1, memory_order_relaxed);
	return 0;
}

static void judge(struct worker *worker, struct job *job, int error, struct judgement *ret_j)
{
	refresh_policy(worker);
	retry_judge(&worker->policy.retry, job, error, deadline_left_ns(job), &worker->response,
	            &worker->random, ret_j);
	enum lane_outcome outcome = lane_outcome(error, &worker->response, ret_j);

	if (worker->body) { /* its lane need not wait for the disk */
		leave_lane(worker, outcome, ret_j->cool_ns);
		if (error == 0 && ret_j->kind == VERDICT_FINAL)
			keep_body(worker, job, ret_j);
	} else {
		leave_with_next_pop(worker, outcome, ret_j->cool_ns);
	}
	count(worker->crew, job, error, &worker->response, ret_j);
}

/* What the attempt's answer took, once it is the recorder's or of no use. */
static void clear_work(struct worker *worker)
{
	release_large(&worker->line);
	if (worker->body)
		body_drop(worker->body);
}

/* Returns what is to become of the job, which is fetched as far as it may be. */
static struct judgement fetch_job(struct worker *worker, struct job *job, uint64_t deadline_ns)
{
	struct judgement j = { .kind = VERDICT_HOP };

	int error = admit_body(worker);
	if (error == 0)
		error = attempt(worker, job, deadline_ns);
	pulse_set(&worker->pulse, "handing over", NEVER); /* a log or disk that stalls is not its fault */
	if (error == -EXDEV)
		error = hop(worker, job);
	if (worker->lane)
		judge(worker, job, error, &j);
	attempt_log(job, &worker->response, &j, worker->policy.logs_queries);
	return j;
}

/* It stood in the queue for too long. */
static struct judgement give_up(struct worker *worker, const struct job *job)
{
	struct judgement j = { .kind = VERDICT_FINAL, .outcome = OUTCOME_DEAD };

	(void) snprintf(j.reason, sizeof(j.reason), "%s", deadline_reason(job));
	response_clear(&worker->response);
	leave_lane(worker, LANE_UNUSED, 0);
	return j;
}

void worker_run(struct worker *worker, struct job *job)
{
	uint64_t started_ns = clock_now_ns(), left_ns = deadline_left_ns(job);
	int64_t started_wall_us = left_ns > 0 ? clock_wall_us() : 0;

	if (started_ns >= job->ready_ns)
		histogram_add(&worker->crew->tally.queue_wait, started_ns - job->ready_ns);
	refresh_policy(worker);
	set_work(worker, job->number, started_ns);
	struct judgement j = left_ns > 0 ? fetch_job(worker, job, clock_after(started_ns, left_ns))
	                                 : give_up(worker, job);

	buf_clear(&worker->line);
	struct verdict verdict = { .job = job, .kind = j.kind, .why = j.why };
	if (j.kind == VERDICT_FINAL)
		write_record(worker, job, &j, started_wall_us, started_ns);
	else if (j.delay_ns > 0 || j.kind == VERDICT_RETRY)
		verdict.due_ns = clock_after(clock_now_ns(), j.delay_ns);
	set_work(worker, 0, 0);
	recorder_put(worker->crew->options.recorder, &verdict, j.outcome, &worker->line);
	clear_work(worker);
}
