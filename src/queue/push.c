/* SPDX-License-Identifier: Apache-2.0 */
/* What producers do: they push jobs, and wait for room. */
#include "queue/queue.h"

#include "base/sync.h"
#include "base/wake.h"
#include "queue/lanes.h"
#include "queue/parts.h"

#include <errno.h>
#include <string.h>

/* As many jobs as the feeder has at a time; a push of more takes the lock several times. */
enum { PUSH_AT_ONCE = 64 };

static size_t at_least_1(size_t n) { return n > 0 ? n : 1; }

/* How much room is worth waking who asks for that of 'n' jobs: all that, or a quarter of the
 * queue, so that it is not woken for each single place. */
static size_t enough_to_ask(const struct queue *q, size_t n) REQUIRES(q->lock)
{
	size_t quarter = at_least_1(q->capacity_jobs / 4);

	return n < quarter ? n : quarter;
}

/* The same of who pushes: it has run into a full queue, and will again.  Meanwhile the consumers
 * have the other half. */
static size_t enough_to_push(const struct queue *q) REQUIRES(q->lock)
{
	return at_least_1(q->capacity_jobs / 2);
}

static bool wait_for_room(struct queue *q, struct queue_producers *producers, size_t least,
                          uint64_t deadline_ns) REQUIRES(q->lock)
{
	if (producers->wake.waiters == 0 || least < producers->enough)
		producers->enough = least;
	bool in_time = wake_wait(&producers->wake, &q->lock, deadline_ns);
	lanes_begin(&q->lanes);
	return in_time;
}

/* Jobs of one lane that come one after the other. */
struct run {
	struct job_list jobs;
	size_t bytes;
	size_t deadlines; /* of them; how many have one */
};

static void run_append(struct run *run, struct job *job)
{
	job_list_append(&run->jobs, job);
	run->bytes += job->bytes;
	run->deadlines += job_deadline(job) != 0;
}

static bool is_same_lane(const struct job *a, const struct job *b)
{
	return strcmp(job_lane_origin(a)->text, job_lane_origin(b)->text) == 0;
}

/* Done before the lock is taken, so that with it there is little to do, however many they are.
 * Returns the number of runs. */
static size_t make_runs(struct job *const *jobs, size_t n, struct run runs[static PUSH_AT_ONCE])
{
	size_t n_runs = 0;

	for (size_t i = 0; i < n; i++) {
		if (i == 0 || !is_same_lane(jobs[i - 1], jobs[i]))
			runs[n_runs++] = (struct run){ 0 };
		run_append(&runs[n_runs - 1], jobs[i]);
	}
	return n_runs;
}

static bool has_room_for(const struct queue *q, size_t jobs, size_t bytes) REQUIRES(q->lock)
{
	return queue_room(q) >= jobs && bytes <= q->capacity_bytes - q->bytes;
}

/* Takes off the run what there is room for now: all, or its first job. */
static struct run take_fitting(const struct queue *q, struct run *run) REQUIRES(q->lock)
{
	struct run taken = { 0 };

	if (has_room_for(q, run->jobs.len, run->bytes)) {
		taken = *run;
		*run = (struct run){ 0 };
	} else if (has_room_for(q, 1, run->jobs.first->bytes)) {
		run_append(&taken, job_list_take(&run->jobs));
		run->bytes -= taken.bytes;
		run->deadlines -= taken.deadlines;
	}
	return taken;
}

/* Returns 0 or -ENOMEM. */
static int append(struct queue *q, struct run *run) REQUIRES(q->lock)
{
	struct lane *lane = NULL;

	if (run->deadlines > 0 &&
	    heap_reserve(&q->deadlines, q->deadlines.len + run->deadlines) < 0)
		return -ENOMEM;
	lane = lanes_obtain(&q->lanes, job_lane_origin(run->jobs.first)->text);
	if (!lane)
		return -ENOMEM;

	for (struct job *job = run->deadlines > 0 ? run->jobs.first : NULL; job; job = job->next)
		if (job_deadline(job) != 0)
			heap_add(&q->deadlines, &job->deadline_at, (uint64_t) job_deadline(job));
	q->depth += run->jobs.len;
	q->bytes += run->bytes;
	q->pushed += run->jobs.len;
	if (q->depth > q->high_water_jobs)
		q->high_water_jobs = q->depth;
	if (q->bytes > q->high_water_bytes)
		q->high_water_bytes = q->bytes;
	lanes_append(&q->lanes, lane, &run->jobs);
	return 0;
}

/* Pushes what there is room for.  Returns 0 if that is all, -EAGAIN if more has to wait, or as
 * queue_push(). */
static int push_run(struct queue *q, struct run *run, size_t *pushed) REQUIRES(q->lock)
{
	while (run->jobs.len > 0) {
		if (q->closed)
			return -EPIPE;
		if (run->jobs.first->bytes > q->capacity_bytes)
			return -EMSGSIZE;
		struct run fitting = take_fitting(q, run);
		size_t n = fitting.jobs.len;
		if (n == 0)
			return -EAGAIN;
		int r = append(q, &fitting);
		if (r < 0)
			return r;
		*pushed += n;
	}
	return 0;
}

/* Waits for room.  Returns 0 once there may be some, or as queue_push(). */
static int await_room(struct queue *q, uint64_t deadline_ns, bool *in_time) REQUIRES(q->lock)
{
	if (q->nudged || !*in_time) {
		int r = q->nudged ? -EINTR : -ETIMEDOUT;
		q->nudged = false;
		return r;
	}
	queue_wake_consumer(q); /* what is in is theirs while this one waits */
	*in_time = wait_for_room(q, &q->pushing, enough_to_push(q), deadline_ns);
	return 0;
}

/* Pushes the run, waiting for room as often as needed.  Returns as queue_push(). */
static int push_all(struct queue *q, struct run *run, uint64_t deadline_ns, bool *in_time,
                    size_t *pushed) REQUIRES(q->lock)
{
	int r = 0;

	while ((r = push_run(q, run, pushed)) == -EAGAIN)
		if ((r = await_room(q, deadline_ns, in_time)) < 0)
			break;
	return r;
}

int queue_push(struct queue *q, struct job *const *jobs, size_t n, uint64_t deadline_ns,
               size_t *ret_pushed)
{
	struct run runs[PUSH_AT_ONCE];
	bool in_time = deadline_ns > 0;
	size_t pushed = 0;
	int r = 0;

	while (pushed < n && r == 0) {
		size_t left = n - pushed;
		size_t n_runs = make_runs(jobs + pushed,
		                          left < PUSH_AT_ONCE ? left : PUSH_AT_ONCE, runs);

		queue_lock(q);
		for (size_t i = 0; i < n_runs && r == 0; i++)
			r = push_all(q, &runs[i], deadline_ns, &in_time, &pushed);
		queue_release(q);
	}
	*ret_pushed = pushed;
	return r;
}

int queue_wait_room(struct queue *q, size_t n, uint64_t deadline_ns, size_t *ret_room)
{
	bool in_time = deadline_ns > 0;

	queue_lock(q);
	while (!q->closed && in_time && !q->nudged &&
	       (q->paused || queue_room(q) < enough_to_ask(q, n)))
		in_time = wait_for_room(q, &q->asking, enough_to_ask(q, n), deadline_ns);
	size_t found = q->paused ? 0 : queue_room(q);
	int r = q->closed ? -EPIPE : found > 0 ? 0 : q->nudged ? -EINTR : -ETIMEDOUT;
	q->nudged = false;
	queue_release(q); /* the room is still there for another */

	if (r == 0)
		*ret_room = found;
	return r;
}

void queue_nudge(struct queue *q)
{
	queue_lock(q);
	q->nudged = true;
	wake_all(&q->asking.wake);
	wake_all(&q->pushing.wake);
	queue_release(q);
}

size_t queue_lane_room(struct queue *q, const char *origin, struct lane_obstacle *ret)
{
	queue_lock(q);
	size_t n = lanes_room(&q->lanes, origin, ret);
	queue_release(q);
	return n;
}

size_t queue_take_opened(struct queue *q, struct buf *origins)
{
	size_t n = 0;

	queue_lock(q);
	for (const struct lane *lane = NULL; (lane = q->lanes.opened_first); n++) {
		buf_add(origins, lane->name, strlen(lane->name) + 1);
		if (origins->failed)
			break; /* told_opened stays: the caller knows that it has to come again */
		lanes_take_opened(&q->lanes);
	}
	queue_release(q);
	return n;
}
