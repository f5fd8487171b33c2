/* SPDX-License-Identifier: Apache-2.0 */
#include "queue/lanes.h"

#include "base/random.h"
#include "base/sync.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	FIRST_SIZE = 64,
	PROMOTE_AT_ONCE = 2, /* more than are taken, so that those that are due get fewer */
	FORGET_AT_ONCE = 2,  /* the same for idle ones */
};

uint64_t lanes_now_ns(struct lanes *l)
{
	if (l->now_ns == 0)
		l->now_ns = l->clock_ns();
	return l->now_ns;
}

/* The time, if anything in this lane depends on it. */
static uint64_t now_for(struct lanes *l, const struct lane *lane)
{
	return lane_is_timed(lane->limits, &lane->state) ? lanes_now_ns(l) : 0;
}

/* --- lists ------------------------------------------------------------------------------- */

static void list_append(struct lane_list *list, struct lane *lane)
{
	lane->before = list->last;
	lane->after = NULL;
	*(list->last ? &list->last->after : &list->first) = lane;
	list->last = lane;
	list->len++;
}

static void list_remove(struct lane_list *list, struct lane *lane)
{
	*(lane->before ? &lane->before->after : &list->first) = lane->after;
	*(lane->after ? &lane->after->before : &list->last) = lane->before;
	list->len--;
}

static struct lane_list *list_of(struct lanes *l, enum lane_place place)
{
	return place == LANE_READY ? &l->ready : place == LANE_PARKED ? &l->parked : &l->idle;
}

/* Moves a lane to the end of 'place'; 'at_ns' is for LANE_TIMED.  One that is there stays where
 * it is, but for the time. */
static void move_to(struct lanes *l, struct lane *lane, enum lane_place place, uint64_t at_ns)
{
	if (lane->place == place) {
		if (place == LANE_TIMED)
			heap_move(&l->timed, &lane->heap_at, at_ns);
		return;
	}

	if (lane->place == LANE_TIMED)
		heap_remove(&l->timed, &lane->heap_at);
	else if (lane->place != LANE_NOWHERE)
		list_remove(list_of(l, lane->place), lane);

	lane->place = place;
	if (place == LANE_TIMED)
		heap_add(&l->timed, &lane->heap_at, at_ns);
	else if (place != LANE_NOWHERE)
		list_append(list_of(l, place), lane);
}

/* --- the table --------------------------------------------------------------------------- */

/* Mixes in eight bytes after the other; the seed is secret, and each multiplication carries
 * what differs to the bits above, the shift to those below. */
static uint64_t hash_name(uint64_t seed, const char *name, size_t len)
{
	const uint64_t odd = UINT64_C(0x9e3779b97f4a7c15);
	uint64_t hash = seed ^ len, word = 0;

	for (; len >= sizeof(word); name += sizeof(word), len -= sizeof(word)) {
		memcpy(&word, name, sizeof(word));
		hash = (hash ^ word) * odd;
		hash ^= hash >> 32;
	}
	word = 0;
	memcpy(&word, name, len);
	hash = (hash ^ word) * odd;
	hash = (hash ^ hash >> 32) * odd;
	return hash ^ hash >> 32;
}

static struct lane **bucket_of(const struct lanes *l, uint64_t hash)
{
	return &l->buckets[hash & (l->size - 1)];
}

/* Longer chains are slower, not wrong: without memory the table stays as it is. */
static void grow(struct lanes *l)
{
	size_t old_size = l->size;
	struct lane **old = l->buckets, **grown = calloc(old_size * 2, sizeof(struct lane *));
	if (!grown)
		return;

	l->buckets = grown;
	l->size = old_size * 2;
	for (size_t i = 0; i < old_size; i++) {
		for (struct lane *lane = old[i], *next = NULL; lane; lane = next) {
			struct lane **bucket = bucket_of(l, lane->hash);
			next = lane->same_bucket;
			lane->same_bucket = *bucket;
			*bucket = lane;
		}
	}
	free(old);
}

static struct lane *make(struct lanes *l, const char *origin, size_t len, uint64_t hash)
{
	if (heap_reserve(&l->timed, l->len + 1) < 0)
		return NULL;
	struct lane *lane = malloc(sizeof(*lane) + len + 1);
	if (!lane)
		return NULL;
	if (l->len >= l->size)
		grow(l);

	struct lane **bucket = bucket_of(l, hash);
	*lane = (struct lane){ .same_bucket = *bucket,
		               .hash = hash,
		               .limits = lanes_limits(l, origin) };
	memcpy(lane->name, origin, len + 1);
	*bucket = lane;
	l->len++;
	return lane;
}

static void drop(struct lanes *l, struct lane *lane)
{
	struct lane **link = bucket_of(l, lane->hash);

	move_to(l, lane, LANE_NOWHERE, 0);
	while (*link != lane)
		link = &(*link)->same_bucket;
	*link = lane->same_bucket;
	l->len--;
	free(lane);
}

static bool is_forgettable(struct lanes *l, const struct lane *lane)
{
	uint64_t forget_ns = lane_forget_ns(lane->limits, &lane->state);

	return forget_ns == 0 || forget_ns <= lanes_now_ns(l);
}

/* An idle lane whose time is over is there no more, though none may have cleared it away yet. */
static struct lane *find(struct lanes *l, const char *origin, uint64_t hash)
{
	struct lane *lane = *bucket_of(l, hash);

	while (lane && (lane->hash != hash || strcmp(lane->name, origin) != 0))
		lane = lane->same_bucket;
	if (lane && lane->place == LANE_IDLE && is_forgettable(l, lane)) {
		drop(l, lane);
		lane = NULL;
	}
	return lane;
}

struct lane *lanes_find(struct lanes *l, const char *origin)
{
	return find(l, origin, hash_name(l->seed, origin, strlen(origin)));
}

struct lane *lanes_obtain(struct lanes *l, const char *origin)
{
	size_t len = strlen(origin);
	uint64_t hash = hash_name(l->seed, origin, len);
	struct lane *lane = find(l, origin, hash);

	return lane ? lane : make(l, origin, len, hash);
}

struct lane *lanes_next(const struct lanes *l, const struct lane *lane)
{
	if (lane && lane->same_bucket)
		return lane->same_bucket;
	for (size_t i = lane ? (lane->hash & (l->size - 1)) + 1 : 0; i < l->size; i++)
		if (l->buckets[i])
			return l->buckets[i];
	return NULL;
}

int lanes_init(struct lanes *l, uint64_t (*clock_ns)(void))
{
	*l = (struct lanes){ .clock_ns = clock_ns, .size = FIRST_SIZE, .seed = random_seed() };
	l->buckets = calloc(FIRST_SIZE, sizeof(struct lane *));
	return l->buckets ? 0 : -ENOMEM;
}

void lanes_done(struct lanes *l)
{
	for (struct lane *lane = NULL; (lane = lanes_next(l, NULL));) {
		assert(lane->queued.len == 0 && lane->running == 0);
		drop(l, lane);
	}
	heap_done(&l->timed);
	free(l->rules);
	free(l->buckets);
	*l = (struct lanes){ 0 };
}

/* --- settling ---------------------------------------------------------------------------- */

struct lane_obstacle lanes_look(struct lanes *l, const struct lane *lane)
{
	uint64_t now_ns = now_for(l, lane);

	if (lane->state.paused && l->ignores_pauses) {
		struct lane_state unpaused = lane->state;
		unpaused.paused = false;
		return lane_look(lane->limits, &unpaused, lane->running, now_ns);
	}
	return lane_look(lane->limits, &lane->state, lane->running, now_ns);
}

static void place(struct lanes *l, struct lane *lane)
{
	if (lane->queued.len == 0) {
		if (lane->place != LANE_IDLE)
			move_to(l, lane, LANE_NOWHERE, 0);
		return;
	}

	struct lane_obstacle obstacle = lanes_look(l, lane);
	lane->why = obstacle.why;
	if (obstacle.why == WAIT_WORKER)
		move_to(l, lane, LANE_READY, 0);
	else if (obstacle.until_ns == NEVER)
		move_to(l, lane, LANE_PARKED, 0);
	else
		move_to(l, lane, LANE_TIMED, obstacle.until_ns);
}

/* Whether the feeder would be told something else now than that there is no room.  Not for each
 * single place; a lane that has run low will do, which every lane with room comes to. */
static bool has_news(struct lanes *l, const struct lane *lane)
{
	struct lane_obstacle obstacle;

	if (lane_room(lane->limits, &lane->state, lane->running, lane->queued.len,
	              now_for(l, lane), &obstacle) == 0)
		return obstacle.until_ns != NEVER;
	return lane_is_low(lane->limits, lane->queued.len);
}

static void open(struct lanes *l, struct lane *lane)
{
	lane->is_wanted = false;
	if (lane->is_opened)
		return;
	lane->is_opened = true;
	lane->opened_after = NULL;
	*(l->opened_last ? &l->opened_last->opened_after : &l->opened_first) = lane;
	l->opened_last = lane;
}

/* Forgets a lane that nobody needs, or remembers it as the last of the idle ones. */
static void retire(struct lanes *l, struct lane *lane)
{
	if (is_forgettable(l, lane))
		drop(l, lane);
	else
		move_to(l, lane, LANE_IDLE, 0);

	if (l->idle.len > QUEUE_MAX_IDLE_LANES)
		drop(l, l->idle.first);
	for (int i = 0; i < FORGET_AT_ONCE && l->idle.first; i++) {
		if (!is_forgettable(l, l->idle.first))
			break;
		drop(l, l->idle.first);
	}
}

static void update_plain(struct lane *lane)
{
	bool is_plain = lane->limits->concurrency == 0 && !lane->state.paused &&
	                lane->state.failures == 0 && !lane_is_timed(lane->limits, &lane->state);

	if (is_plain != lane_is_plain(lane)) /* it is read by workers of other processors */
		atomic_store_explicit(&lane->is_plain, is_plain, memory_order_relaxed);
}

void lanes_settle(struct lanes *l, struct lane *lane)
{
	bool is_busy = lane->queued.len > 0 || lane->running > 0;

	update_plain(lane);
	if (is_busy != lane->is_busy) {
		lane->is_busy = is_busy;
		l->busy += is_busy ? 1 : SIZE_MAX; /* less one */
	}
	place(l, lane);
	if (lane->is_wanted && has_news(l, lane))
		open(l, lane);

	if (!is_busy && !lane->state.paused && !lane->is_wanted && !lane->is_opened)
		retire(l, lane);
	else if (lane->place == LANE_IDLE)
		move_to(l, lane, LANE_NOWHERE, 0);
}

/* --- jobs -------------------------------------------------------------------------------- */

void lanes_append(struct lanes *l, struct lane *lane, struct job_list *jobs)
{
	bool had_none = lane->queued.len == 0;

	job_list_move(jobs, &lane->queued);
	if (had_none) /* otherwise it stands where it belongs */
		lanes_settle(l, lane);
}

/* There must be one. */
static struct lane *first_timed(const struct lanes *l)
{
	return HEAP_MEMBER(heap_first(&l->timed), struct lane, heap_at);
}

void lanes_promote(struct lanes *l)
{
	for (int i = 0; l->timed.len > 0 && (i < PROMOTE_AT_ONCE || l->ready.len == 0); i++) {
		if (lanes_next_ns(l) > lanes_now_ns(l))
			break;
		place(l, first_timed(l));
	}
}

void lanes_start(struct lanes *l, struct lane *lane)
{
	lane->has_overlapped = lane->running++ > 0;
	if (lane_goes_on(lane)) {
		lane->state.started_ns = 0; /* which is all that lane_start() does to a plain one */
		return;
	}
	lane_start(lane->limits, &lane->state, now_for(l, lane));
	lanes_settle(l, lane);
}

void lanes_leave(struct lanes *l, struct lane *lane, enum lane_outcome outcome)
{
	switch (outcome) {
	case LANE_ANSWERED:
		lane_answered(&lane->state);
		break;
	case LANE_FAILED:
		(void) lane_failed(lane->limits, &lane->state, lanes_now_ns(l));
		break;
	case LANE_UNUSED:
		lane_unstart(lane->limits, &lane->state, !lane->has_overlapped);
		break;
	}
	lane->running--;
}

struct job *lanes_take(struct lanes *l, struct lane **ret_lane)
{
	struct lane *lane = l->ready.first;
	struct job *job = job_list_take(&lane->queued);

	lanes_start(l, lane);
	if (lane->place == LANE_READY && lane->after) { /* others are next */
		list_remove(&l->ready, lane);
		list_append(&l->ready, lane);
	}
	*ret_lane = lane;
	return job;
}

struct lane *lanes_any_with_jobs(const struct lanes *l)
{
	if (l->ready.first)
		return l->ready.first;
	return l->timed.len > 0 ? first_timed(l) : l->parked.first;
}

/* --- the feeder -------------------------------------------------------------------------- */

size_t lanes_room(struct lanes *l, const char *origin, struct lane_obstacle *ret)
{
	static const struct lane_state unknown;
	struct lane *lane = lanes_find(l, origin);

	if (!lane)
		return lane_room(lanes_limits(l, origin), &unknown, 0, 0, lanes_now_ns(l), ret);

	size_t room = lane_room(lane->limits, &lane->state, lane->running, lane->queued.len,
	                        now_for(l, lane), ret);
	lane->is_wanted = room == 0 && ret->until_ns == NEVER;
	return room;
}

void lanes_take_opened(struct lanes *l)
{
	struct lane *lane = l->opened_first;

	l->opened_first = lane->opened_after;
	if (!l->opened_first)
		l->opened_last = NULL;
	lane->is_opened = false;
	lane->is_wanted = false; /* the feeder asks anew */
	lanes_settle(l, lane);
}

/* --- rules and pauses -------------------------------------------------------------------- */

const struct lane_limits *lanes_limits(const struct lanes *l, const char *origin)
{
	return lane_find_limits(l->rules ? l->rules->rules : NULL, l->rules ? l->rules->n : 0, origin);
}

/* What was to be forgotten shall not come back because the new rules remember for longer. */
static void drop_forgettable(struct lanes *l)
{
	for (struct lane *lane = l->idle.first, *next = NULL; lane; lane = next) {
		next = lane->after;
		if (is_forgettable(l, lane))
			drop(l, lane);
	}
}

/* Settles no idle ones, so that none is freed on the way. */
void lanes_set_rules(struct lanes *l, struct lane_rules *rules)
{
	struct lane_rules *old = l->rules;

	drop_forgettable(l);
	l->rules = rules;
	for (struct lane *lane = NULL; (lane = lanes_next(l, lane));) {
		lane->limits = lanes_limits(l, lane->name);
		lane_adopt(lane->limits, &lane->state, lanes_now_ns(l));
		if (lane->place != LANE_IDLE)
			lanes_settle(l, lane);
	}
	free(old);
}

void lanes_ignore_pauses(struct lanes *l)
{
	l->ignores_pauses = true;
	for (struct lane *lane = l->parked.first, *next = NULL; lane; lane = next) {
		next = lane->after;
		lanes_settle(l, lane); /* it has jobs, so it stays */
	}
}
