/* SPDX-License-Identifier: Apache-2.0 */
#include "queue/queue.h"

#include "base/sync.h"
#include "base/wake.h"
#include "queue/lanes.h"
#include "queue/parts.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* --- levers -------------------------------------------------------------------------------- */

void queue_dismiss(struct queue *q, unsigned n)
{
	queue_lock(q);
	q->dismissals = n;
	queue_release(q);
}

int queue_set_capacity(struct queue *q, size_t capacity_jobs, size_t capacity_bytes)
{
	if (capacity_jobs == 0 || capacity_bytes == 0)
		return -EINVAL;

	queue_lock(q);
	q->capacity_jobs = capacity_jobs;
	q->capacity_bytes = capacity_bytes;
	/* What was enough depends on the capacity: let all look again. */
	q->pushing.enough = q->asking.enough = 1;
	wake_all(&q->pushing.wake);
	wake_all(&q->asking.wake);
	queue_release(q);
	return 0;
}

/* Copies rules and their strings.  NULL: no memory. */
static struct lane_rules *copy_rules(const struct lane_rule *rules, size_t n)
{
	size_t text_bytes = 0;
	for (size_t i = 0; i < n; i++)
		text_bytes += strlen(rules[i].match) + 1;

	struct lane_rules *copy = malloc(sizeof(*copy) + n * sizeof(copy->rules[0]) + text_bytes);
	if (!copy)
		return NULL;
	copy->n = n;
	char *text = (char *) &copy->rules[n];
	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(rules[i].match) + 1;
		copy->rules[i] = (struct lane_rule){ text, rules[i].limits };
		memcpy(text, rules[i].match, len);
		text += len;
	}
	return copy;
}

int queue_set_rules(struct queue *q, const struct lane_rule *rules, size_t n)
{
	struct lane_rules *copy = copy_rules(rules, n);
	if (!copy)
		return -ENOMEM;

	queue_lock(q);
	lanes_set_rules(&q->lanes, copy);
	queue_release(q);
	return 0;
}

static int pause_lane(struct queue *q, const char *origin, struct job_list *to) REQUIRES(q->lock)
{
	struct lane *lane = lanes_find(&q->lanes, origin);

	if (lane && lane->state.paused)
		return 0;
	if (q->lanes.paused >= QUEUE_MAX_PAUSED_LANES)
		return -ENOSPC;
	lane = lane ? lane : lanes_obtain(&q->lanes, origin);
	if (!lane)
		return -ENOMEM;

	lane->state.paused = true;
	q->lanes.paused++;
	q->stops++;
	queue_evict_lane(q, lane, to);
	return 0;
}

int queue_pause(struct queue *q, const char *origin, struct job_list *ret_evicted)
{
	int r = 0;

	queue_lock(q);
	if (origin)
		r = pause_lane(q, origin, ret_evicted);
	else
		q->paused = true;
	queue_release(q);
	return r;
}

static bool resume_lane(struct queue *q, const char *origin) REQUIRES(q->lock)
{
	struct lane *lane = lanes_find(&q->lanes, origin);
	if (!lane)
		return false;

	if (lane->state.paused)
		q->lanes.paused--;
	bool was_stopped = lane_resume(lane->limits, &lane->state, lanes_now_ns(&q->lanes));
	lanes_settle(&q->lanes, lane);
	return was_stopped;
}

bool queue_resume(struct queue *q, const char *origin)
{
	bool was_paused = false;

	queue_lock(q);
	if (origin) {
		was_paused = resume_lane(q, origin);
	} else {
		was_paused = q->paused;
		q->paused = false;
	}
	queue_release(q);
	return was_paused;
}

void queue_close(struct queue *q)
{
	queue_lock(q);
	q->closed = true;
	lanes_ignore_pauses(&q->lanes);
	queue_release(q); /* each wakes the next */
}

void queue_evict(struct queue *q, struct job_list *ret_jobs)
{
	queue_lock(q);
	for (struct lane *lane = NULL; (lane = lanes_any_with_jobs(&q->lanes));)
		queue_evict_lane(q, lane, ret_jobs);
	queue_release(q);
}

uint64_t queue_stops(struct queue *q)
{
	mutex_lock(&q->lock);
	uint64_t stops = q->stops;
	mutex_unlock(&q->lock);
	return stops;
}

static struct lane *find_stopped(struct queue *q) REQUIRES(q->lock)
{
	struct lane *lane = NULL;

	while ((lane = lanes_next(&q->lanes, lane)))
		if (lane->queued.len > 0 && queue_is_stopped(q, lane))
			return lane;
	return NULL;
}

/* Begins anew after each, as evicting may free the lane. */
void queue_evict_stopped(struct queue *q, struct job_list *ret_evicted)
{
	queue_lock(q);
	for (struct lane *lane = NULL; (lane = find_stopped(q));)
		queue_evict_lane(q, lane, ret_evicted);
	queue_release(q);
}

struct job *queue_remove(struct queue *q, uint64_t number)
{
	struct job *job = NULL;

	queue_lock(q);
	for (struct lane *lane = NULL; (lane = lanes_next(&q->lanes, lane));) {
		job = job_list_remove(&lane->queued, number);
		if (job) {
			queue_count_out(q, job);
			lanes_settle(&q->lanes, lane);
			break;
		}
	}
	queue_release(q);
	return job;
}

size_t queue_take_expired(struct queue *q, int64_t wall_us, size_t room, struct job **ret_jobs,
                          int64_t *ret_next_wall_us)
{
	size_t n = 0;

	queue_lock(q);
	while (n < room && q->deadlines.len > 0 && heap_key(&q->deadlines) <= (uint64_t) wall_us) {
		struct job *job = HEAP_MEMBER(heap_first(&q->deadlines), struct job, deadline_at);
		struct lane *lane = lanes_find(&q->lanes, job_lane_origin(job)->text);
		job_list_unlink(&lane->queued, job);
		queue_count_out(q, job);
		lanes_settle(&q->lanes, lane);
		ret_jobs[n++] = job;
	}
	*ret_next_wall_us = q->deadlines.len > 0 ? (int64_t) heap_key(&q->deadlines) : INT64_MAX;
	queue_release(q);
	return n;
}

/* --- figures ------------------------------------------------------------------------------- */

bool queue_find(struct queue *q, uint64_t number, size_t *ret_ahead)
{
	const struct job *job = NULL;
	size_t ahead = 0;

	queue_lock(q);
	for (struct lane *lane = NULL; !job && (lane = lanes_next(&q->lanes, lane));) {
		ahead = 0;
		for (job = lane->queued.first; job && job->number != number; job = job->next)
			ahead++;
	}
	queue_release(q);

	if (job)
		*ret_ahead = ahead;
	return job != NULL;
}

static struct lane_obstacle obstacle_of(struct queue *q, const struct lane *lane) REQUIRES(q->lock)
{
	if (queue_is_paused(q))
		return (struct lane_obstacle){ WAIT_PAUSED, NEVER };
	if (!lane)
		return (struct lane_obstacle){ WAIT_WORKER, 0 };
	return lanes_look(&q->lanes, lane);
}

static struct queue_lane figures_of(struct queue *q, const struct lane *lane) REQUIRES(q->lock)
{
	return (struct queue_lane){
		.queued = lane->queued.len,
		.running = lane->running,
		.obstacle = obstacle_of(q, lane),
		.limits = *lane->limits,
		.failures = lane->state.failures,
	};
}

void queue_lane(struct queue *q, const char *origin, struct queue_lane *ret_lane)
{
	queue_lock(q);
	const struct lane *lane = lanes_find(&q->lanes, origin);
	if (lane)
		*ret_lane = figures_of(q, lane);
	else
		*ret_lane = (struct queue_lane){
			.obstacle = obstacle_of(q, NULL),
			.limits = *lanes_limits(&q->lanes, origin),
		};
	queue_release(q);
}

/* Whether 'a' is listed before 'b': more jobs and workers, then stopped ones, then by name. */
static bool is_before(const struct lane *a, const struct lane *b)
{
	size_t in_a = a->queued.len + a->running, in_b = b->queued.len + b->running;
	if (in_a != in_b)
		return in_a > in_b;
	if (a->place != b->place && (a->place == LANE_IDLE || b->place == LANE_IDLE))
		return b->place == LANE_IDLE;
	return strcmp(a->name, b->name) < 0;
}

/* Keeps the first 'max' of all lanes, in order, in 'top'.  Returns how many they are. */
static size_t find_top(const struct lanes *l, const struct lane **top, size_t max)
{
	size_t n = 0;

	for (const struct lane *lane = NULL; (lane = lanes_next(l, lane));) {
		if (n == max && !is_before(lane, top[n - 1]))
			continue;
		size_t at = n < max ? n++ : n - 1;
		for (; at > 0 && is_before(lane, top[at - 1]); at--)
			top[at] = top[at - 1];
		top[at] = lane;
	}
	return n;
}

size_t queue_list(struct queue *q, struct queue_lane *lanes, size_t max, struct buf *names,
                  size_t *ret_all)
{
	const struct lane **top = reallocarray(NULL, max + 1, sizeof(struct lane *));
	size_t n = 0;

	queue_lock(q);
	*ret_all = q->lanes.len;
	if (top && max > 0)
		n = find_top(&q->lanes, top, max);
	for (size_t i = 0; i < n; i++) {
		lanes[i] = figures_of(q, top[i]);
		lanes[i].origin_at = names->len;
		buf_add(names, top[i]->name, strlen(top[i]->name) + 1);
	}
	queue_release(q);

	names->failed = names->failed || !top;
	free(top);
	return names->failed ? 0 : n;
}

/* Queued jobs by what keeps them.  Those that are ready are not walked through. */
static void count_reasons(struct queue *q, size_t by_reason[WAIT_REASONS]) REQUIRES(q->lock)
{
	struct lanes *l = &q->lanes;
	size_t kept = 0;

	if (queue_is_paused(q)) {
		by_reason[WAIT_PAUSED] = q->depth;
		return;
	}
	for (const struct lane *lane = l->parked.first; lane; lane = lane->after) {
		by_reason[lane->why] += lane->queued.len;
		kept += lane->queued.len;
	}
	for (size_t i = 0; i < l->timed.len; i++) {
		const struct lane *lane =
			HEAP_MEMBER(l->timed.entries[i].at, const struct lane, heap_at);
		by_reason[lanes_look(l, lane).why] += lane->queued.len;
		kept += lane->queued.len;
	}
	by_reason[WAIT_WORKER] += q->depth - kept;
}

void queue_stats(struct queue *q, struct queue_stats *ret_stats)
{
	queue_lock(q);
	*ret_stats = (struct queue_stats){
		.depth_jobs = q->depth,
		.depth_bytes = q->bytes,
		.capacity_jobs = q->capacity_jobs,
		.capacity_bytes = q->capacity_bytes,
		.high_water_jobs = q->high_water_jobs,
		.high_water_bytes = q->high_water_bytes,
		.lanes = q->lanes.busy,
		.idle_lanes = q->lanes.idle.len,
		.paused_lanes = q->lanes.paused,
		.paused = q->paused,
		.pushed = q->pushed,
		.popped = q->popped,
		.producers_blocked_ns = wake_waited_ns(&q->pushing.wake) +
		                        wake_waited_ns(&q->asking.wake),
		.consumers_idle_ns = wake_waited_ns(&q->consumers) + wake_waited_ns(&q->timer),
		.producers_blocked = q->pushing.wake.waiters + q->asking.wake.waiters,
		.consumers_idle = q->consumers.waiters + q->timer.waiters,
	};
	count_reasons(q, ret_stats->by_reason);
	queue_release(q);
}
