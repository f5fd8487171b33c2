/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/feeder.h"

#include "base/clock.h"
#include "base/sync.h"
#include "base/thread.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

enum { FEEDER_BATCH = 64 };

struct feeder {
	struct feeder_options options;
	pthread_t thread;
	bool joined;
	struct pulse pulse;

	struct mutex lock;
	struct cond changed; /* ready || stopping */
	bool ready GUARDED_BY(lock); /* the backlog may have something new since the last take */
	bool stopping GUARDED_BY(lock);
};

void feeder_wake(struct feeder *f)
{
	mutex_lock(&f->lock);
	if (!f->ready) {
		f->ready = true;
		cond_signal(&f->changed);
	}
	mutex_unlock(&f->lock);
}

/* Waits for something new or for 'due_ns'.  Returns false once stopping. */
static bool wait_ready(struct feeder *f, uint64_t due_ns)
{
	bool in_time = true;

	mutex_lock(&f->lock);
	while (!f->ready && !f->stopping && in_time)
		in_time = cond_wait(&f->changed, &f->lock, due_ns);
	f->ready = false; /* whatever is submitted after this is noticed again */
	bool go_on = !f->stopping;
	mutex_unlock(&f->lock);
	return go_on;
}

/* Gives back what the queue did not take, last first, so that the order stays. */
static void give_back(struct feeder *f, struct job *const *jobs, size_t n)
{
	struct verdict verdicts[FEEDER_BATCH];

	for (size_t i = 0; i < n; i++)
		verdicts[i] = (struct verdict) { .job = jobs[n - 1 - i], .kind = VERDICT_RETURN };
	ledger_move(f->options.ledger, LEDGER_QUEUED, LEDGER_WAITING, n);
	if (backlog_settle(f->options.backlog, verdicts, n) < 0)
		abort(); /* that needs nothing that can fail */
}

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

static void *run(void *arg)
{
	struct feeder *f = arg;
	const struct feeder_options *o = &f->options;
	struct job *jobs[FEEDER_BATCH];
	uint64_t due_ns = 0;
	size_t room = 0;
	int r = 0;

	for (;;) {
		pulse_set(&f->pulse, "waiting for room", NEVER);
		r = queue_wait_room(o->queue, FEEDER_BATCH, NEVER, &room);
		if (r < 0)
			break;

		pulse_set(&f->pulse, "taking jobs", clock_now_ns() + PULSE_STEP_NS);
		size_t n = backlog_take(o->backlog, clock_now_ns(), smaller(room, FEEDER_BATCH),
		                        jobs, &due_ns);
		if (n == 0) {
			pulse_set(&f->pulse, "idle", NEVER);
			if (!wait_ready(f, due_ns))
				break;
			continue;
		}

		/* Booked first: a worker may have a job before queue_push() returns, which
		 * waits only if the jobs are too large for the room they have. */
		ledger_move(o->ledger, LEDGER_WAITING, LEDGER_QUEUED, n);
		size_t pushed = 0;
		pulse_set(&f->pulse, "waiting for room", NEVER);
		r = queue_push(o->queue, jobs, n, NEVER, &pushed);
		assert(r != -EMSGSIZE); /* queue.max_bytes is never below JOB_MAX_BYTES */
		if (r < 0) {
			give_back(f, jobs + pushed, n - pushed);
			break;
		}
	}
	pulse_set(&f->pulse, "ended", NEVER);
	return NULL;
}

int feeder_create(const struct feeder_options *options, struct feeder **ret_feeder)
{
	struct feeder *f = malloc(sizeof(*f));
	if (!f)
		return -ENOMEM;
	*f = (struct feeder) { .options = *options };

	int r = mutex_init(&f->lock);
	if (r < 0)
		goto free_feeder;
	r = cond_init(&f->changed);
	if (r < 0)
		goto destroy_lock;
	r = thread_start(&f->thread, "feeder", THREAD_STACK_PARSER, run, f);
	if (r < 0)
		goto destroy_changed;

	*ret_feeder = f;
	return 0;

destroy_changed:
	cond_destroy(&f->changed);
destroy_lock:
	mutex_destroy(&f->lock);
free_feeder:
	free(f);
	return r;
}

const struct pulse *feeder_pulse(const struct feeder *f) { return &f->pulse; }

void feeder_stop(struct feeder *f)
{
	mutex_lock(&f->lock);
	f->stopping = true;
	cond_signal(&f->changed);
	mutex_unlock(&f->lock);
}

void feeder_join(struct feeder *f)
{
	if (!f->joined)
		thread_join(f->thread);
	f->joined = true;
}

struct feeder *feeder_free(struct feeder *f)
{
	if (f) {
		feeder_stop(f);
		feeder_join(f);
		cond_destroy(&f->changed);
		mutex_destroy(&f->lock);
		free(f);
	}
	return NULL;
}
