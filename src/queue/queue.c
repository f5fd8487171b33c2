/* SPDX-License-Identifier: Apache-2.0 */
#include "queue/queue.h"

#include "base/clock.h"
#include "base/sync.h"
#include "base/wake.h"
#include "queue/lanes.h"
#include "queue/parts.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- waking -------------------------------------------------------------------------------- */

void queue_lock(struct queue *q)
{
	mutex_lock(&q->lock);
	lanes_begin(&q->lanes);
}

static bool is_drained(const struct queue *q) REQUIRES(q->lock)
{
	return q->closed && q->depth == 0;
}

/* Whether there is something to do for any consumer. */
static bool has_work(const struct queue *q) REQUIRES(q->lock)
{
	return (q->lanes.ready.len > 0 && !queue_is_paused(q)) || q->dismissals > 0 ||
	       is_drained(q);
}

static bool needs_timer(const struct queue *q) REQUIRES(q->lock)
{
	return q->lanes.timed.len > 0 && !queue_is_paused(q);
}

static void wake_consumers(struct queue *q) REQUIRES(q->lock)
{
	if (q->consumers.waiters + q->timer.waiters == 0)
		return;
	bool is_late = needs_timer(q) && lanes_next_ns(&q->lanes) < q->timer_ns;

	if (q->consumers.waiters > 0) {
		if (has_work(q) || (needs_timer(q) && q->timer.waiters == 0))
			wake_one(&q->consumers);
		else if (is_late)
			wake_one(&q->timer);
	} else if (is_late || has_work(q)) {
		wake_one(&q->timer);
	}
}

static size_t room(const struct queue *q) REQUIRES(q->lock)
{
	if (q->bytes >= q->capacity_bytes || q->depth >= q->capacity_jobs)
		return 0;
	return q->capacity_jobs - q->depth;
}

/* An empty queue always wakes: bytes may stand in the way of jobs that there is room for. */
static void wake_producers(struct queue *q) REQUIRES(q->lock)
{
	if (q->pushing.wake.waiters + q->asking.wake.waiters == 0)
		return;
	if (room(q) >= q->pushing.enough || q->depth == 0 || q->closed)
		wake_one(&q->pushing.wake);
	if ((room(q) >= q->asking.enough || q->depth == 0 || q->closed) && !queue_is_paused(q))
		wake_one(&q->asking.wake);
}

void queue_release(struct queue *q)
{
	wake_consumers(q);
	wake_producers(q);
	bool tells = q->lanes.opened_first && !q->told_opened;
	q->told_opened = q->lanes.opened_first != NULL;
	mutex_unlock(&q->lock);

	if (tells && q->opened)
		q->opened(q->arg);
}

/* --- life ---------------------------------------------------------------------------------- */

/* Makes all of them or none. */
static int init_wakes(struct wake *const wakes[], size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int r = wake_init(wakes[i]);
		if (r < 0) {
			while (i-- > 0)
				wake_destroy(wakes[i]);
			return r;
		}
	}
	return 0;
}

/* Nobody else knows the queue yet. */
static int init(struct queue *q, const struct queue_options *options) UNCHECKED_LOCKING
{
	struct wake *wakes[] = { &q->consumers, &q->timer, &q->pushing.wake, &q->asking.wake };

	*q = (struct queue){
		.opened = options->opened,
		.arg = options->arg,
		.capacity_jobs = options->capacity_jobs,
		.capacity_bytes = options->capacity_bytes,
	};
	int r = mutex_init(&q->lock);
	if (r < 0)
		return r;
	r = lanes_init(&q->lanes, options->now_ns ? options->now_ns : clock_now_ns);
	if (r < 0)
		goto destroy_lock;
	r = init_wakes(wakes, ARRAY_LEN(wakes));
	if (r < 0)
		goto free_lanes;
	return 0;

free_lanes:
	lanes_done(&q->lanes);
destroy_lock:
	mutex_destroy(&q->lock);
	return r;
}

int queue_create(const struct queue_options *options, struct queue **ret_queue)
{
	if (options->capacity_jobs == 0 || options->capacity_bytes == 0)
		return -EINVAL;

	struct queue *q = malloc(sizeof(*q));
	if (!q)
		return -ENOMEM;
	int r = init(q, options);
	if (r < 0) {
		free(q);
		return r;
	}
	*ret_queue = q;
	return 0;
}

struct queue *queue_free(struct queue *q)
{
	if (!q)
		return NULL;

	mutex_lock(&q->lock);
	assert(q->depth == 0 && q->deadlines.len == 0);
	heap_done(&q->deadlines);
	lanes_done(&q->lanes);
	wake_destroy(&q->asking.wake);
	wake_destroy(&q->pushing.wake);
	wake_destroy(&q->timer);
	wake_destroy(&q->consumers);
	mutex_unlock(&q->lock);
	mutex_destroy(&q->lock);
	free(q);
	return NULL;
}

/* --- producers ----------------------------------------------------------------------------- */

static bool has_room_for(const struct queue *q, const struct job *job) REQUIRES(q->lock)
{
	return room(q) > 0 && job->bytes <= q->capacity_bytes - q->bytes;
}

/* How much room is worth waking a producer of 'n' jobs for: all it needs, or a
 * quarter of the queue, so that it is not woken for each single place. */
static size_t enough(const struct queue *q, size_t n) REQUIRES(q->lock)
{
	size_t quarter = q->capacity_jobs / 4;
	return n < quarter ? n : quarter > 0 ? quarter : 1;
}

static bool wait_for_room(struct queue *q, struct queue_producers *producers, size_t n,
                          uint64_t deadline_ns) REQUIRES(q->lock)
{
	size_t least = enough(q, n);

	if (producers->wake.waiters == 0 || least < producers->enough)
		producers->enough = least;
	bool in_time = wake_wait(&producers->wake, &q->lock, deadline_ns);
	lanes_begin(&q->lanes);
	return in_time;
}

/* Appends the job to its lane, which often is that of the job before it; returns the lane. */
static struct lane *append(struct queue *q, struct job *job, struct lane *lane) REQUIRES(q->lock)
{
	const char *origin = job_lane_origin(job)->text;

	if (job_deadline(job) != 0 && heap_reserve(&q->deadlines, q->deadlines.len + 1) < 0)
		return NULL;
	if (!lane || strcmp(lane->name, origin) != 0)
		lane = lanes_obtain(&q->lanes, origin);
	if (!lane)
		return NULL;

	lanes_append(&q->lanes, lane, job);
	if (job_deadline(job) != 0)
		heap_add(&q->deadlines, &job->deadline_at, (uint64_t) job_deadline(job));
	q->depth++;
	q->bytes += job->bytes;
	q->pushed++;
	if (q->depth > q->high_water_jobs)
		q->high_water_jobs = q->depth;
	if (q->bytes > q->high_water_bytes)
		q->high_water_bytes = q->bytes;
	return lane;
}

int queue_push(struct queue *q, struct job *const *jobs, size_t n, uint64_t deadline_ns,
               size_t *ret_pushed)
{
	struct lane *lane = NULL;
	size_t pushed = 0;
	bool in_time = deadline_ns > 0;
	int r = 0;

	queue_lock(q);
	while (pushed < n && r == 0) {
		if (q->closed) {
			r = -EPIPE;
		} else if (jobs[pushed]->bytes > q->capacity_bytes) {
			r = -EMSGSIZE;
		} else if (has_room_for(q, jobs[pushed])) {
			lane = append(q, jobs[pushed], lane);
			if (lane)
				pushed++;
			else
				r = -ENOMEM;
		} else if (in_time && !q->nudged) {
			wake_consumers(q); /* what is in is theirs while this one waits */
			in_time = wait_for_room(q, &q->pushing, n - pushed, deadline_ns);
			lane = NULL; /* it may be gone */
		} else {
			r = q->nudged ? -EINTR : -ETIMEDOUT;
			q->nudged = false;
		}
	}
	queue_release(q);

	*ret_pushed = pushed;
	return r;
}

int queue_wait_room(struct queue *q, size_t n, uint64_t deadline_ns, size_t *ret_room)
{
	bool in_time = deadline_ns > 0;

	queue_lock(q);
	while (!q->closed && in_time && !q->nudged && (q->paused || room(q) < enough(q, n)))
		in_time = wait_for_room(q, &q->asking, n, deadline_ns);
	size_t found = q->paused ? 0 : room(q);
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

/* --- consumers ----------------------------------------------------------------------------- */

static int take(struct queue *q, struct job **ret_job, struct lane **ret_lane) REQUIRES(q->lock)
{
	if (q->dismissals > 0) {
		q->dismissals--;
		return -ECANCELED;
	}
	if (is_drained(q))
		return -EPIPE;
	if (queue_is_paused(q))
		return -ETIMEDOUT;
	lanes_promote(&q->lanes);
	if (q->lanes.ready.len == 0)
		return -ETIMEDOUT;

	struct job *job = lanes_take(&q->lanes, ret_lane);
	queue_count_out(q, job);
	q->popped++;
	*ret_job = job;
	return 0;
}

/* Waits until there may be work, as the timer if there is none.  Returns false once the deadline
 * has passed. */
static bool wait_for_work(struct queue *q, uint64_t deadline_ns) REQUIRES(q->lock)
{
	bool in_time = true;

	if (needs_timer(q) && q->timer.waiters == 0) {
		uint64_t next_ns = lanes_next_ns(&q->lanes);
		q->timer_ns = next_ns < deadline_ns ? next_ns : deadline_ns;
		in_time = wake_wait(&q->timer, &q->lock, q->timer_ns) || next_ns < deadline_ns;
	} else {
		in_time = wake_wait(&q->consumers, &q->lock, deadline_ns);
	}
	lanes_begin(&q->lanes);
	return in_time;
}

int queue_pop(struct queue *q, uint64_t deadline_ns, struct job **ret_job, struct lane **ret_lane)
{
	bool in_time = deadline_ns > 0;
	int r = 0;

	queue_lock(q);
	while ((r = take(q, ret_job, ret_lane)) == -ETIMEDOUT && in_time)
		in_time = wait_for_work(q, deadline_ns);
	queue_release(q);
	return r;
}

int queue_enter(struct queue *q, const char *origin, struct lane **ret_lane)
{
	struct lane *lane = NULL;
	int r = 0;

	queue_lock(q);
	if (queue_is_paused(q))
		r = -EAGAIN;
	else if (!(lane = lanes_obtain(&q->lanes, origin)))
		r = -ENOMEM;
	else if (lanes_look(&q->lanes, lane).why != WAIT_WORKER)
		r = -EAGAIN; /* never of a new one, which would have to be settled */
	else
		lanes_start(&q->lanes, lane);
	queue_release(q);

	if (r == 0)
		*ret_lane = lane;
	return r;
}

void queue_evict_lane(struct queue *q, struct lane *lane, struct job_list *to)
{
	for (const struct job *job = lane->queued.first; job; job = job->next)
		queue_count_out(q, job);
	lanes_evict(lane, to);
	lanes_settle(&q->lanes, lane);
}

bool queue_is_stopped(struct queue *q, const struct lane *lane)
{
	struct lane_obstacle obstacle = lanes_look(&q->lanes, lane);

	return obstacle.why == WAIT_RETRY_AFTER || obstacle.why == WAIT_PAUSED ||
	       (obstacle.why == WAIT_BREAKER && obstacle.until_ns != NEVER); /* not for a probe */
}

void queue_leave(struct queue *q, struct lane *lane, enum lane_outcome outcome, uint64_t cool_ns,
                 struct job_list *ret_evicted)
{
	if (outcome != LANE_FAILED && cool_ns == 0 && lanes_leave_quickly(lane))
		return;

	queue_lock(q);
	lanes_leave(&q->lanes, lane, outcome);
	if (cool_ns > 0)
		lane_cool(&lane->state, clock_after(lanes_now_ns(&q->lanes), cool_ns));
	if (!lane->state.paused && queue_is_stopped(q, lane)) {
		q->stops++;
		queue_evict_lane(q, lane, ret_evicted);
	} else {
		lanes_settle(&q->lanes, lane);
	}
	queue_release(q);
}
