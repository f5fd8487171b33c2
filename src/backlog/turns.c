/* SPDX-License-Identifier: Apache-2.0 */
#include "backlog/turns.h"

#include "base/sync.h"

#include <assert.h>
#include <stdlib.h>

enum { FIRST_SIZE = 64 };

/* --- the table ------------------------------------------------------------------------ */

static size_t bucket_of(uint64_t lane, size_t size)
{
	/* Ids are counted up, so their low bits spread them. */
	return (size_t) lane & (size - 1);
}

struct turn *turns_find(const struct turns *t, uint64_t lane)
{
	if (t->size == 0)
		return NULL;
	struct turn *turn = t->buckets[bucket_of(lane, t->size)];
	while (turn && turn->lane != lane)
		turn = turn->bucket_next;
	return turn;
}

static void insert(struct turn **buckets, size_t size, struct turn *turn)
{
	struct turn **bucket = &buckets[bucket_of(turn->lane, size)];

	turn->bucket_next = *bucket;
	*bucket = turn;
}

static bool grow(struct turns *t)
{
	size_t size = t->size > 0 ? 2 * t->size : FIRST_SIZE;
	struct turn **buckets = calloc(size, sizeof(struct turn *));
	if (!buckets)
		return false;

	for (size_t i = 0; i < t->size; i++) {
		for (struct turn *turn = t->buckets[i], *next; turn; turn = next) {
			next = turn->bucket_next;
			insert(buckets, size, turn);
		}
	}
	free(t->buckets);
	t->buckets = buckets;
	t->size = size;
	return true;
}

struct turn *turns_get(struct turns *t, uint64_t lane)
{
	struct turn *turn = turns_find(t, lane);
	if (turn)
		return turn;
	if (t->len >= t->size && !grow(t))
		return NULL;
	turn = malloc(sizeof(*turn));
	if (!turn)
		return NULL;

	*turn = (struct turn) { .lane = lane, .next = place_first, .earliest = place_none };
	insert(t->buckets, t->size, turn);
	t->len++;
	return turn;
}

void turns_forget(struct turns *t, struct turn *turn)
{
	bool idle = turn->state == TURN_EXHAUSTED || turn->state == TURN_UNKNOWN;

	if (turn->out > 0 || turn->pinned || !idle)
		return;
	struct turn **at = &t->buckets[bucket_of(turn->lane, t->size)];
	while (*at != turn)
		at = &(*at)->bucket_next;
	*at = turn->bucket_next;
	t->len--;
	free(turn);
}

void turns_done(struct turns *t)
{
	for (size_t i = 0; i < t->size; i++) {
		for (struct turn *turn = t->buckets[i], *next; turn; turn = next) {
			next = turn->bucket_next;
			free(turn);
		}
	}
	free(t->buckets);
	*t = (struct turns) { 0 };
}

/* --- the list of those whose turn comes ------------------------------------------------ */

static void list(struct turns *t, struct turn *turn)
{
	turn->state = TURN_LISTED;
	turn->list_next = NULL;
	if (t->last)
		t->last->list_next = turn;
	else
		t->first = turn;
	t->last = turn;
	t->listed++;
}

struct turn *turns_next(struct turns *t)
{
	struct turn *turn = t->first;

	assert(turn);
	t->first = turn->list_next;
	if (!t->first)
		t->last = NULL;
	t->listed--;
	turn->state = TURN_VISITED;
	return turn;
}

bool turns_available(struct turns *t, uint64_t lane, struct place place)
{
	struct turn *turn = turns_find(t, lane);

	if (!turn && t->listed < TURNS_MAX_LISTED)
		turn = turns_get(t, lane);
	if (!turn) {
		t->scan = true;
		return true;
	}
	if (place_before(place, turn->earliest))
		turn->earliest = place;
	turn->heard = t->take;
	if (turn->state == TURN_EXHAUSTED || turn->state == TURN_UNKNOWN)
		list(t, turn);
	return turn->state != TURN_RESTING;
}

struct turn *turns_visit(struct turns *t, uint64_t lane, bool *ret_no_memory)
{
	struct turn *turn = turns_find(t, lane);

	/* One that is exhausted was so before the scan's snapshot, or is listed by now. */
	*ret_no_memory = false;
	if (turn && turn->state != TURN_UNKNOWN)
		return NULL;
	turn = turns_get(t, lane);
	*ret_no_memory = !turn;
	if (turn)
		turn->state = TURN_VISITED;
	return turn;
}

void turns_leave(struct turns *t, struct turn *turn, struct place next, bool more, bool looked)
{
	assert(turn->state == TURN_VISITED);
	turn->next = next;
	if (more || place_before(turn->earliest, place_none)) {
		list(t, turn);
	} else {
		turn->state = looked ? TURN_EXHAUSTED : TURN_UNKNOWN;
		turns_forget(t, turn);
	}
}

/* --- resting ---------------------------------------------------------------------------- */

static void set_unwritten(struct turns *t, struct turn *turn)
{
	turn->unwritten = true;
	turn->unwritten_prev = NULL;
	turn->unwritten_next = t->unwritten;
	if (t->unwritten)
		t->unwritten->unwritten_prev = turn;
	t->unwritten = turn;
	t->n_unwritten++;
	t->n_urgent += turn->why == WAIT_RETRY_AFTER;
}

static void clear_unwritten(struct turns *t, struct turn *turn)
{
	if (!turn->unwritten)
		return;
	turn->unwritten = false;
	if (turn->unwritten_prev)
		turn->unwritten_prev->unwritten_next = turn->unwritten_next;
	else
		t->unwritten = turn->unwritten_next;
	if (turn->unwritten_next)
		turn->unwritten_next->unwritten_prev = turn->unwritten_prev;
	t->n_unwritten--;
	t->n_urgent -= turn->why == WAIT_RETRY_AFTER;
}

void turns_rest(struct turns *t, struct turn *turn, enum wait_reason why, uint64_t until_ns)
{
	assert(turn->state == TURN_VISITED);
	turn->state = TURN_RESTING;
	turn->why = why;
	turn->until_ns = until_ns;
	if (until_ns == NEVER)
		return;
	if (t->n_unwritten == 0 || until_ns < t->unwritten_ns)
		t->unwritten_ns = until_ns;
	set_unwritten(t, turn);
}

void turns_open(struct turns *t, struct turn *turn)
{
	if (turn->state != TURN_RESTING)
		return;
	clear_unwritten(t, turn);
	list(t, turn);
}

void turns_open_all(struct turns *t)
{
	for (size_t i = 0; i < t->size; i++)
		for (struct turn *turn = t->buckets[i]; turn; turn = turn->bucket_next)
			turns_open(t, turn);
}

struct turn *turns_unwritten(const struct turns *t, const struct turn *turn)
{
	return turn ? turn->unwritten_next : t->unwritten;
}

uint64_t turns_open_due(struct turns *t, uint64_t now_ns)
{
	uint64_t next_ns = NEVER;

	if (t->n_unwritten == 0)
		return NEVER;
	if (now_ns < t->unwritten_ns)
		return t->unwritten_ns;
	for (struct turn *turn = t->unwritten, *after; turn; turn = after) {
		after = turn->unwritten_next;
		if (turn->until_ns <= now_ns)
			turns_open(t, turn);
		else if (turn->until_ns < next_ns)
			next_ns = turn->until_ns;
	}
	t->unwritten_ns = next_ns;
	return next_ns;
}

void turns_written(struct turns *t, struct turn *turn)
{
	assert(turn->state == TURN_RESTING && turn->unwritten);
	clear_unwritten(t, turn);
	turn->state = TURN_UNKNOWN;
	turns_forget(t, turn);
}

void turns_end(struct turns *t, struct turn *turn)
{
	turn->pinned = false;
	if (turn->state == TURN_RESTING) {
		clear_unwritten(t, turn);
		turn->state = TURN_UNKNOWN;
	}
	turns_forget(t, turn);
}

void turns_count(const struct turns *t, size_t by_reason[WAIT_REASONS])
{
	for (size_t i = 0; i < t->size; i++)
		for (const struct turn *turn = t->buckets[i]; turn; turn = turn->bucket_next)
			if (turn->state == TURN_RESTING && turn->rows > turn->out)
				by_reason[turn->why] += turn->rows - turn->out;
}
