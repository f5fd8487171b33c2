/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/feeder.h"

#include "base/clock.h"
#include "base/sync.h"
#include "base/thread.h"
#include "engine/deadline.h"
#include "engine/give_back.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { FEEDER_BATCH = 64, MAX_TO_OPEN_BYTES = 64 * 1024 };

/* The wall clock may be set at any time. */
#define EXPIRY_LOOK_NS (60 * NS_PER_S)

struct feeder {
	struct feeder_options options;
	pthread_t thread;
	bool joined;
	struct pulse pulse;
	uint64_t expiry_ns;    /* its own: when the next job expires… */
	atomic_bool expiring;  /* …unless that is earlier now */

	struct mutex lock;
	struct cond changed; /* ready || stopping */
	bool ready GUARDED_BY(lock); /* the backlog may have something new since the last take */
	bool stopping GUARDED_BY(lock);
	struct buf to_open GUARDED_BY(lock); /* names of lanes, each NUL-terminated… */
	bool open_all GUARDED_BY(lock);      /* …or all of them */
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

void feeder_expire(struct feeder *f)
{
	atomic_store(&f->expiring, true);
	feeder_wake(f);
	queue_nudge(f->options.queue); /* it may wait there for room, for long */
}

void feeder_open(struct feeder *f, const char *origin)
{
	mutex_lock(&f->lock);
	if (origin && f->to_open.len < MAX_TO_OPEN_BYTES)
		buf_add(&f->to_open, origin, strlen(origin) + 1);
	else
		f->open_all = true;
	f->open_all = f->open_all || f->to_open.failed;
	f->ready = true;
	cond_signal(&f->changed);
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

/* Lets a second pass in which memory may become free. */
static void wait_for_memory(struct feeder *f)
{
	uint64_t until_ns = clock_now_ns() + NS_PER_S;

	pulse_set(&f->pulse, "waiting for memory", NEVER);
	mutex_lock(&f->lock);
	while (!f->stopping && cond_wait(&f->changed, &f->lock, until_ns))
		;
	mutex_unlock(&f->lock);
}

/* --- lanes ------------------------------------------------------------------------- */

static size_t lane_room_of(void *arg, const char *origin, struct lane_rest *ret_rest)
{
	struct feeder *f = arg;
	struct lane_obstacle obstacle;
	size_t room = queue_lane_room(f->options.queue, origin, &obstacle);

	if (room == 0)
		*ret_rest = (struct lane_rest) { obstacle.why, obstacle.until_ns };
	return room;
}

static void open_names(struct feeder *f, const struct buf *names)
{
	for (const char *at = names->data, *end = at + names->len; at < end; at += strlen(at) + 1)
		backlog_open(f->options.backlog, at);
}

static void open_asked_for(struct feeder *f)
{
	mutex_lock(&f->lock);
	struct buf names = f->to_open;
	bool all = f->open_all;
	f->to_open = (struct buf) { 0 };
	f->open_all = false;
	mutex_unlock(&f->lock);

	if (all)
		backlog_open(f->options.backlog, NULL);
	else if (names.len > 0)
		open_names(f, &names);
	buf_done(&names);
}

/* Lets the lanes take part again that have room in the queue again. */
static void open_lanes(struct feeder *f, struct buf *names)
{
	open_asked_for(f);
	do {
		buf_clear(names);
		while (queue_take_opened(f->options.queue, names) == 0 && names->failed) {
			buf_done(names);
			wait_for_memory(f);
		}
		if (names->len > 0)
			open_names(f, names);
	} while (names->len > 0);
}

/* --- deadlines --------------------------------------------------------------------- */

/* When to look for a job with this deadline. */
static uint64_t expiry_of(int64_t deadline_us, int64_t wall_us)
{
	uint64_t most_us = EXPIRY_LOOK_NS / NS_PER_US;
	uint64_t left_us = deadline_us > wall_us ? (uint64_t) (deadline_us - wall_us) : 0;

	if (deadline_us == INT64_MAX)
		return NEVER;
	return clock_after(clock_now_ns(), (left_us < most_us ? left_us : most_us) * NS_PER_US);
}

static void expect(struct feeder *f, uint64_t expiry_ns)
{
	if (expiry_ns < f->expiry_ns)
		f->expiry_ns = expiry_ns;
}

/* Before the jobs are pushed. */
static void expect_queued(struct feeder *f, struct job *const *jobs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (job_deadline(jobs[i]) != 0)
			expect(f, expiry_of(job_deadline(jobs[i]), clock_wall_us()));
}

static void record_expired(struct feeder *f, struct job *const *jobs, size_t n,
                           enum ledger_account from)
{
	ledger_move(f->options.ledger, from, LEDGER_RUNNING, n);
	pulse_set(&f->pulse, "recording expired jobs", NEVER);
	for (size_t i = 0; i < n; i++)
		f->options.expired(f->options.arg, jobs[i]);
}

/* Whatever its lane rests for, and though the queue is full or paused.  A batch at a time: others
 * are to be fetched meanwhile. */
static void expire(struct feeder *f)
{
	struct job *jobs[FEEDER_BATCH];
	int64_t wall_us = clock_wall_us(), next_us = 0;

	atomic_store(&f->expiring, false); /* first: what is told later comes next time */
	pulse_set(&f->pulse, "taking expired jobs", clock_now_ns() + PULSE_STEP_NS);
	size_t n = queue_take_expired(f->options.queue, wall_us, FEEDER_BATCH, jobs, &next_us);
	f->expiry_ns = expiry_of(next_us, wall_us);
	record_expired(f, jobs, n, LEDGER_QUEUED);

	pulse_set(&f->pulse, "taking expired jobs", clock_now_ns() + PULSE_STEP_NS);
	n = backlog_take_expired(f->options.backlog, wall_us, FEEDER_BATCH, jobs, &next_us);
	expect(f, expiry_of(next_us, wall_us));
	record_expired(f, jobs, n, LEDGER_WAITING);
}

/* The same of jobs that find no room in the queue; returns how many are left. */
static size_t expire_unpushed(struct feeder *f, struct job **jobs, size_t n)
{
	struct job *expired[FEEDER_BATCH];
	size_t n_expired = 0, left = 0;

	for (size_t i = 0; i < n; i++) {
		if (deadline_left_ns(jobs[i]) == 0)
			expired[n_expired++] = jobs[i];
		else
			jobs[left++] = jobs[i];
	}
	record_expired(f, expired, n_expired, LEDGER_QUEUED);
	expect_queued(f, jobs, left);
	return left;
}

static bool is_expiring(const struct feeder *f)
{
	return atomic_load(&f->expiring) || f->expiry_ns <= clock_now_ns();
}

/* --- feeding ----------------------------------------------------------------------- */

static void give_back_from(struct feeder *f, struct job *const *jobs, size_t n)
{
	struct job_list list = { 0 };

	for (size_t i = 0; i < n; i++)
		job_list_append(&list, jobs[i]);
	give_back(f->options.backlog, f->options.ledger, &list);
}

/* What came too late into a lane that has been stopped meanwhile goes back. */
static void give_back_stopped(struct feeder *f, uint64_t stops)
{
	struct job_list evicted = { 0 };

	if (queue_stops(f->options.queue) == stops)
		return;
	queue_evict_stopped(f->options.queue, &evicted);
	give_back(f->options.backlog, f->options.ledger, &evicted);
}

/* Returns false once the queue is closed. */
static bool push(struct feeder *f, struct job **jobs, size_t n)
{
	size_t pushed = 0;
	int r = 0;

	/* Booked first: a worker may have a job before queue_push() returns, which waits only if
	 * the jobs are too large for the room they have. */
	ledger_move(f->options.ledger, LEDGER_WAITING, LEDGER_QUEUED, n);
	expect_queued(f, jobs, n);
	for (;;) {
		pulse_set(&f->pulse, "waiting for room", NEVER);
		r = queue_push(f->options.queue, jobs, n, f->expiry_ns, &pushed);
		jobs += pushed;
		n -= pushed;
		if (r != -ETIMEDOUT && r != -EINTR)
			break;
		expire(f);
		n = expire_unpushed(f, jobs, n);
	}
	assert(r != -EMSGSIZE); /* queue.max_bytes is never below JOB_MAX_BYTES */
	if (r < 0)
		give_back_from(f, jobs, n);
	if (r == -ENOMEM)
		wait_for_memory(f);
	return r == 0 || r == -ENOMEM;
}

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

static void feed(struct feeder *f, struct buf *names)
{
	const struct feeder_options *o = &f->options;
	const struct backlog_gate gate = { .room = lane_room_of, .arg = f };
	struct job *jobs[FEEDER_BATCH];
	uint64_t due_ns = 0;
	size_t room = 0;
	bool go_on = true;

	while (go_on) {
		if (is_expiring(f))
			expire(f);
		pulse_set(&f->pulse, "waiting for room", NEVER);
		int r = queue_wait_room(o->queue, FEEDER_BATCH, f->expiry_ns, &room);
		if (r == -EPIPE)
			return;
		if (r < 0)
			continue;

		pulse_set(&f->pulse, "taking jobs", clock_now_ns() + PULSE_STEP_NS);
		open_lanes(f, names);
		uint64_t stops = queue_stops(o->queue);
		size_t n = backlog_take(o->backlog, clock_now_ns(), smaller(room, FEEDER_BATCH),
		                        &gate, jobs, &due_ns);
		if (n > 0) {
			go_on = push(f, jobs, n);
			give_back_stopped(f, stops);
		} else {
			pulse_set(&f->pulse, "idle", NEVER);
			go_on = wait_ready(f, due_ns < f->expiry_ns ? due_ns : f->expiry_ns);
		}
	}
}

static void *run(void *arg)
{
	struct feeder *f = arg;
	struct buf names = { 0 };

	feed(f, &names);
	buf_done(&names);
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
		buf_done(&f->to_open);
		cond_destroy(&f->changed);
		mutex_destroy(&f->lock);
		free(f);
	}
	return NULL;
}
