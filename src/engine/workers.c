/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/worker.h"

#include "base/clock.h"
#include "base/crash.h"
#include "base/thread.h"

#include <errno.h>
#include <stdlib.h>

static struct worker *worker_free(struct worker *worker)
{
	if (worker) {
		response_done(&worker->response);
		buf_done(&worker->line);
		body_free(worker->body);
		free(worker);
	}
	return NULL;
}

/* --- the thread -------------------------------------------------------------------- */

/* Takes the worker off the crew; a dismissed one only if there are too many. */
static bool leave(struct worker *worker, bool dismissed)
{
	struct workers *w = worker->crew;
	bool last = false;

	mutex_lock(&w->lock);
	bool leaves = !dismissed || w->alive > w->wanted;
	if (leaves) {
		worker->has_left = true;
		last = --w->alive == 0;
	}
	mutex_unlock(&w->lock);

	if (last)
		w->options.all_left(w->options.arg);
	return leaves;
}

static void work(struct worker *worker)
{
	const struct workers_options *options = &worker->crew->options;
	struct job *job = NULL;

	for (;;) {
		pulse_set(&worker->pulse, "idle", NEVER);
		int r = queue_leave_and_pop(options->queue, worker->left, NEVER, &job,
		                            &worker->lane);
		worker->left = NULL;
		if (r < 0) {
			if (leave(worker, r == -ECANCELED))
				return;
			continue;
		}
		ledger_move(options->ledger, LEDGER_QUEUED, LEDGER_RUNNING, 1);
		worker_run(worker, job);
	}
}

static void *run(void *arg)
{
	struct crash_stack stack;

	crash_enter(&stack);
	work(arg);
	crash_leave(&stack);
	return NULL;
}

/* --- the crew ---------------------------------------------------------------------- */

int workers_create(const struct workers_options *options, struct workers **ret_workers)
{
	struct workers *w = malloc(sizeof(*w));
	if (!w)
		return -ENOMEM;
	*w = (struct workers) { .options = *options, .policy = options->policy, .policy_version = 1 };

	int r = mutex_init(&w->lock);
	if (r < 0) {
		free(w);
		return r;
	}
	*ret_workers = w;
	return 0;
}

/* Joins the threads of those that have left, or of all. */
static void join(struct workers *w, bool all)
{
	struct worker *joined = NULL;

	mutex_lock(&w->lock);
	for (struct worker **at = &w->all, *worker; (worker = *at);) {
		if (!all && !worker->has_left) {
			at = &worker->next;
			continue;
		}
		*at = worker->next;
		worker->next = joined;
		joined = worker;
	}
	mutex_unlock(&w->lock);

	for (struct worker *next; joined; joined = next) {
		next = joined->next;
		thread_join(joined->thread);
		worker_free(joined);
	}
}

static int start_worker(struct workers *w)
{
	struct worker *worker = calloc(1, sizeof(*worker));
	if (!worker)
		return -ENOMEM;

	int r = w->options.bodies ? body_create(w->options.bodies, &worker->body) : 0;
	if (r < 0) {
		free(worker);
		return r;
	}

	mutex_lock(&w->lock);
	uint64_t number = ++w->started;
	w->alive++;
	mutex_unlock(&w->lock);
	worker->crew = w;
	worker->random.state = w->options.seed + number;
	r = thread_start(&worker->thread, "worker", THREAD_STACK_SMALL, run, worker);
	mutex_lock(&w->lock);
	if (r < 0) {
		w->alive--;
	} else {
		worker->next = w->all;
		w->all = worker;
	}
	mutex_unlock(&w->lock);
	if (r < 0)
		worker_free(worker);
	return r;
}

int workers_resize(struct workers *w, unsigned n)
{
	join(w, false);

	mutex_lock(&w->lock);
	w->wanted = n;
	unsigned alive = w->alive;
	mutex_unlock(&w->lock);

	/* A worker that was dismissed and has not left yet stays if it is wanted
	 * again: it looks at 'wanted' before it goes.  So a dismissal is a hint only. */
	queue_dismiss(w->options.queue, alive > n ? alive - n : 0);
	for (; alive < n; alive++) {
		int r = start_worker(w);
		if (r < 0)
			return r;
	}
	return 0;
}

struct workers *workers_free(struct workers *w)
{
	if (w) {
		join(w, true);
		mutex_destroy(&w->lock);
		free(w);
	}
	return NULL;
}

void workers_set_policy(struct workers *w, const struct workers_policy *policy)
{
	mutex_lock(&w->lock);
	w->policy = *policy;
	(void) atomic_fetch_add_explicit(&w->policy_version, 1, memory_order_release);
	mutex_unlock(&w->lock);
}

struct workers_policy workers_get_policy(struct workers *w)
{
	mutex_lock(&w->lock);
	struct workers_policy policy = w->policy;
	mutex_unlock(&w->lock);
	return policy;
}

bool workers_are_healthy(struct workers *w, uint64_t now_ns, struct workers_stuck *ret_stuck)
{
	struct workers_stuck stuck = { 0 };

	mutex_lock(&w->lock);
	for (const struct worker *worker = w->all; worker; worker = worker->next) {
		const char *doing = worker->has_left ? NULL : pulse_overdue(&worker->pulse, now_ns);
		if (doing) {
			stuck.doing = doing;
			stuck.number = atomic_load(&worker->number);
			stuck.n++;
		}
	}
	mutex_unlock(&w->lock);
	if (stuck.n > 0)
		*ret_stuck = stuck;
	return stuck.n == 0;
}

bool workers_find(struct workers *w, uint64_t number, uint64_t *ret_since_ns,
                  uint64_t *ret_bound_ns)
{
	bool found = false;

	mutex_lock(&w->lock);
	for (struct worker *worker = w->all; worker && !found; worker = worker->next) {
		found = atomic_load(&worker->number) == number;
		if (found) {
			*ret_since_ns = atomic_load(&worker->started_ns);
			*ret_bound_ns = atomic_load(&worker->until_ns);
		}
	}
	mutex_unlock(&w->lock);
	return found;
}

void workers_stats(struct workers *w, struct workers_stats *ret_stats)
{
	*ret_stats = (struct workers_stats) {
		.attempts = atomic_load_explicit(&w->attempts, memory_order_relaxed),
		.retries = atomic_load_explicit(&w->retries, memory_order_relaxed),
		.hops = atomic_load_explicit(&w->hops, memory_order_relaxed),
		.failed = atomic_load_explicit(&w->failed, memory_order_relaxed),
		.body_bytes = atomic_load_explicit(&w->body_bytes, memory_order_relaxed),
	};
	mutex_lock(&w->lock);
	ret_stats->wanted = w->wanted;
	ret_stats->alive = w->alive;
	mutex_unlock(&w->lock);
}

void workers_tally(struct workers *w, struct tally_figures *ret_figures)
{
	tally_read(&w->tally, ret_figures);
}
