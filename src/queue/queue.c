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

/* The one to wake among those who wait for work, if any. */
static struct wake *claim_consumer(struct queue *q) REQUIRES(q->lock)
{
	struct wake *wake = NULL;

	bool is_late = needs_timer(q) && lanes_next_ns(&q->lanes) < q->timer_ns;

	if (q->consumers.waiters > 0) {
		if (has_work(q) || (needs_timer(q) && q->timer.waiters == 0))
			wake = &q->consumers;
		else if (is_late)
			wake = &q->timer;
	} else if (is_late || has_work(q)) {
		wake = &q->timer;
	}
	return wake && wake_claim(wake) ? wake : NULL;
}

/* The same of producers of one kind. */
static struct wake *claim_producer(struct queue_producers *producers, bool may_go_on)
{
	return may_go_on && wake_claim(&producers->wake) ? &producers->wake : NULL;
}

static bool has_enough_room(const struct queue *q, const struct queue_producers *producers)
	REQUIRES(q->lock)
{
	return queue_room(q) >= producers->enough || q->closed;
}

/* Workers without work wait for no more than any room. */
static bool is_starving(const struct queue *q) REQUIRES(q->lock)
{
	return q->lanes.ready.len == 0 && queue_room(q) > 0;
}

void queue_wake_consumer(struct queue *q)
{
	struct wake *consumer = claim_consumer(q);

	if (consumer)
		wake_send(consumer);
}

/* Whoever is woken wants the lock, which is free by then. */
void queue_release(struct queue *q)
{
	struct wake *consumer = NULL, *pushing = NULL, *asking = NULL;

	if (q->consumers.waiters + q->timer.waiters > 0)
		consumer = claim_consumer(q);
	if (q->pushing.wake.waiters > 0)
		pushing = claim_producer(&q->pushing,
		                         has_enough_room(q, &q->pushing) || is_starving(q));
	if (q->asking.wake.waiters > 0)
		asking = claim_producer(&q->asking,
		                        has_enough_room(q, &q->asking) && !queue_is_paused(q));
	bool tells = q->lanes.opened_first && !q->told_opened;
	q->told_opened = q->lanes.opened_first != NULL;
	mutex_unlock(&q->lock);

	if (consumer)
		wake_send(consumer);
	if (pushing)
		wake_send(pushing);
	if (asking)
		wake_send(asking);
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
	if (q->lanes.timed.len > 0)
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
	return queue_leave_and_pop(q, NULL, deadline_ns, ret_job, ret_lane);
}

int queue_leave_and_pop(struct queue *q, struct lane *left, uint64_t deadline_ns,
                        struct job **ret_job, struct lane **ret_lane)
{
	bool in_time = deadline_ns > 0;
	int r = 0;

	queue_lock(q);
	if (left)
		lanes_let_go(&q->lanes, left);
	while ((r = take(q, ret_job, ret_lane)) == -ETIMEDOUT && in_time) {
		if (left) { /* others wait for what that has changed; then there may be work */
			queue_release(q);
			queue_lock(q);
			left = NULL;
		} else {
			in_time = wait_for_work(q, deadline_ns);
		}
	}
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
	job_list_move(&lane->queued, to);
	lanes_settle(&q->lanes, lane);
}

bool queue_is_stopped(struct queue *q, const struct lane *lane)
{
	struct lane_obstacle obstacle = lanes_look(&q->lanes, lane);

	return obstacle.why == WAIT_RETRY_AFTER || obstacle.why == WAIT_PAUSED ||
	       (obstacle.why == WAIT_BREAKER && obstacle.until_ns != NEVER); /* not for a probe */
}

bool queue_may_leave_later(const struct lane *lane, enum lane_outcome outcome, uint64_t cool_ns)
{
	return outcome != LANE_FAILED && cool_ns == 0 && lane_is_plain(lane);
}

void queue_leave(struct queue *q, struct lane *lane, enum lane_outcome outcome, uint64_t cool_ns,
                 struct job_list *ret_evicted)
{
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
