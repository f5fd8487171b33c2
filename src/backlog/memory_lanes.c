/* SPDX-License-Identifier: Apache-2.0 */
#include "backlog/memory_lanes.h"

#include "base/random.h"
#include "base/sync.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_SIZE = 16 };

static struct memory_lane *lane_of(const struct job *job)
{
	return (struct memory_lane *) (uintptr_t) job->lane;
}

static void list_append(struct lane_list *list, struct memory_lane *lane)
{
	lane->next = NULL;
	lane->before = list->last;
	if (list->last)
		list->last->next = lane;
	else
		list->first = lane;
	list->last = lane;
	list->len++;
}

static void list_remove(struct lane_list *list, struct memory_lane *lane)
{
	if (lane->before)
		lane->before->next = lane->next;
	else
		list->first = lane->next;
	if (lane->next)
		lane->next->before = lane->before;
	else
		list->last = lane->before;
	list->len--;
}

/* --- the table --------------------------------------------------------------------- */

/* FNV-1a from a random start, as the names come from strangers. */
static uint64_t hash_of(const struct memory_lanes *l, const char *name)
{
	uint64_t hash = l->seed;

	for (; *name != '\0'; name++)
		hash = (hash ^ (unsigned char) *name) * UINT64_C(0x100000001b3);
	return hash ^ hash >> 32;
}

static struct memory_lane *find(const struct memory_lanes *l, const char *name, uint64_t hash)
{
	if (l->n_buckets == 0)
		return NULL;
	struct memory_lane *lane = l->buckets[hash & (l->n_buckets - 1)];
	while (lane && (lane->hash != hash || strcmp(lane->name, name) != 0))
		lane = lane->in_bucket;
	return lane;
}

static int grow_buckets(struct memory_lanes *l)
{
	size_t n = l->n_buckets > 0 ? 2 * l->n_buckets : FIRST_SIZE;
	struct memory_lane **buckets = calloc(n, sizeof(struct memory_lane *));
	if (!buckets)
		return -ENOMEM;

	for (size_t i = 0; i < l->n_buckets; i++) {
		for (struct memory_lane *lane = l->buckets[i], *next; lane; lane = next) {
			next = lane->in_bucket;
			struct memory_lane **bucket = &buckets[lane->hash & (n - 1)];
			lane->in_bucket = *bucket;
			*bucket = lane;
		}
	}
	free(l->buckets);
	l->buckets = buckets;
	l->n_buckets = n;
	return 0;
}

/* NULL: no memory. */
static struct memory_lane *create(struct memory_lanes *l, const char *name, uint64_t hash)
{
	if (l->len == l->n_buckets && grow_buckets(l) < 0)
		return NULL;
	if (heap_reserve(&l->rests, l->len + 1) < 0)
		return NULL;

	size_t name_size = strlen(name) + 1;
	struct memory_lane *lane = malloc(sizeof(*lane) + name_size);
	if (!lane)
		return NULL;
	struct memory_lane **bucket = &l->buckets[hash & (l->n_buckets - 1)];
	*lane = (struct memory_lane) { .in_bucket = *bucket, .hash = hash };
	memcpy(lane->name, name, name_size);
	*bucket = lane;
	l->len++;
	return lane;
}

static struct memory_lane *find_or_create(struct memory_lanes *l, const char *name)
{
	uint64_t hash = hash_of(l, name);
	struct memory_lane *lane = find(l, name, hash);

	return lane ? lane : create(l, name, hash);
}

static void destroy(struct memory_lanes *l, struct memory_lane *lane)
{
	struct memory_lane **at = &l->buckets[lane->hash & (l->n_buckets - 1)];

	while (*at != lane)
		at = &(*at)->in_bucket;
	*at = lane->in_bucket;
	l->len--;
	free(lane);
}

void memory_lanes_init(struct memory_lanes *l, int64_t ageing_us)
{
	*l = (struct memory_lanes) { .ageing_us = ageing_us, .seed = random_seed() };
}

void memory_lanes_done(struct memory_lanes *l)
{
	for (size_t i = 0; i < l->n_buckets; i++) {
		for (struct memory_lane *lane = l->buckets[i], *next; lane; lane = next) {
			next = lane->in_bucket;
			for (size_t k = 0; k < LANE_LISTS; k++)
				job_list_done(&lane->waiting[k]);
			free(lane);
		}
	}
	free(l->buckets);
	heap_done(&l->rests);
	*l = (struct memory_lanes) { 0 };
}

/* --- jobs -------------------------------------------------------------------------- */

static void add_job(struct memory_lanes *l, struct memory_lane *lane, struct job *job)
{
	l->with_jobs += lane->jobs == 0;
	lane->jobs++;
	job->lane = (uintptr_t) lane;
}

static void remove_job(struct memory_lanes *l, struct memory_lane *lane)
{
	assert(lane->jobs > lane->waiting_jobs);
	lane->jobs--;
	l->with_jobs -= lane->jobs == 0;
}

static void destroy_if_unused(struct memory_lanes *l, struct memory_lane *lane)
{
	if (lane->jobs == 0 && lane->away == 0)
		destroy(l, lane);
}

/* The lane of the job's own origin: there, wherever the job is. */
static struct memory_lane *home_of(const struct memory_lanes *l, const struct job *job)
{
	struct memory_lane *lane = lane_of(job);
	const char *name = job->origin.text;

	if (strcmp(lane->name, name) != 0)
		lane = find(l, name, hash_of(l, name));
	assert(lane);
	return lane;
}

int memory_lanes_enter(struct memory_lanes *l, struct job *job)
{
	struct memory_lane *lane = find_or_create(l, job->origin.text);

	if (!lane)
		return -ENOMEM;
	add_job(l, lane, job);
	return 0;
}

void memory_lanes_leave(struct memory_lanes *l, const struct job *job)
{
	struct memory_lane *lane = lane_of(job), *home = home_of(l, job);

	remove_job(l, lane);
	if (home != lane) {
		home->away--;
		destroy_if_unused(l, home);
	}
	destroy_if_unused(l, lane);
}

int memory_lanes_move(struct memory_lanes *l, struct job *job)
{
	struct memory_lane *from = lane_of(job), *home = home_of(l, job);
	const char *name = job_lane_origin(job)->text;

	if (strcmp(from->name, name) == 0)
		return 0;
	struct memory_lane *to = find_or_create(l, name);
	if (!to)
		return -ENOMEM;

	home->away += from == home;
	home->away -= to == home;
	add_job(l, to, job);
	remove_job(l, from);
	destroy_if_unused(l, from);
	return 0;
}

static struct job_list *list_of(const struct job *job)
{
	return &lane_of(job)->waiting[job->hop ? (size_t) LANE_HOPS : (size_t) job_priority(job)];
}

/* Of a job that now stands in one of its lists. */
static void count_waiting(struct memory_lanes *l, struct memory_lane *lane)
{
	l->waiting++;
	if (lane->resting)
		l->resting_jobs[lane->rest.why]++;
	if (lane->waiting_jobs++ == 0)
		list_append(&l->ring, lane);
}

void memory_lanes_append(struct memory_lanes *l, struct job *job)
{
	job_list_append(list_of(job), job);
	count_waiting(l, lane_of(job));
}

void memory_lanes_prepend(struct memory_lanes *l, struct job *job)
{
	job_list_prepend(list_of(job), job);
	count_waiting(l, lane_of(job));
}

/* The lane is in no list afterwards. */
static void end_rest(struct memory_lanes *l, struct memory_lane *lane)
{
	if (lane->rest.until_ns != NEVER)
		heap_remove(&l->rests, &lane->rests_at);
	list_remove(&l->resting, lane);
	l->resting_jobs[lane->rest.why] -= lane->waiting_jobs;
	lane->resting = false;
}

void memory_lanes_pull(struct memory_lanes *l, struct job *job)
{
	struct memory_lane *lane = lane_of(job);

	job_list_unlink(list_of(job), job);
	l->waiting--;
	if (lane->resting)
		l->resting_jobs[lane->rest.why]--;
	if (--lane->waiting_jobs > 0)
		return;
	if (lane->resting)
		end_rest(l, lane);
	else
		list_remove(&l->ring, lane);
}

/* --- visits ------------------------------------------------------------------------ */

struct memory_lane *memory_lanes_next(struct memory_lanes *l)
{
	struct memory_lane *lane = l->ring.first;

	assert(lane && lane->waiting_jobs > 0 && !lane->resting);
	list_remove(&l->ring, lane);
	return lane;
}

/* When the job would have been accepted had it the normal priority. */
static int64_t rank_of(const struct memory_lanes *l, const struct job *job)
{
	static const int64_t classes[JOB_PRIORITIES] = {
		[JOB_PRIORITY_HIGH] = -1, [JOB_PRIORITY_NORMAL] = 0, [JOB_PRIORITY_LOW] = 1,
	};
	return job->accepted_wall_us + classes[job_priority(job)] * l->ageing_us;
}

/* The list whose first job is next; all are empty without one. */
static struct job_list *next_list(const struct memory_lanes *l, struct memory_lane *lane)
{
	struct job_list *best = &lane->waiting[0];

	for (size_t i = 1; i < LANE_LISTS; i++) {
		struct job_list *list = &lane->waiting[i];
		if (list->first &&
		    (!best->first || rank_of(l, list->first) < rank_of(l, best->first)))
			best = list;
	}
	return best;
}

size_t memory_lanes_hand_out(struct memory_lanes *l, struct memory_lane *lane, size_t max, struct job **ret_jobs)
{
	size_t n = 0;

	for (struct job *job; n < max && (job = job_list_take(next_list(l, lane)));)
		ret_jobs[n++] = job;
	l->waiting -= n;
	lane->waiting_jobs -= n;
	if (lane->waiting_jobs > 0)
		list_append(&l->ring, lane);
	return n;
}

/* --- rests ------------------------------------------------------------------------- */

void memory_lanes_rest(struct memory_lanes *l, struct memory_lane *lane, const struct lane_rest *rest)
{
	assert(lane->waiting_jobs > 0 && rest->why < WAIT_REASONS);
	lane->resting = true;
	lane->rest = *rest;
	l->resting_jobs[rest->why] += lane->waiting_jobs;
	list_append(&l->resting, lane);
	if (rest->until_ns != NEVER)
		heap_add(&l->rests, &lane->rests_at, rest->until_ns);
}

static void wake(struct memory_lanes *l, struct memory_lane *lane)
{
	end_rest(l, lane);
	list_append(&l->ring, lane);
}

uint64_t memory_lanes_next_ns(const struct memory_lanes *l) { return heap_key(&l->rests); }

void memory_lanes_wake(struct memory_lanes *l, uint64_t now_ns)
{
	while (l->rests.len > 0 && heap_key(&l->rests) <= now_ns)
		wake(l, HEAP_MEMBER(heap_first(&l->rests), struct memory_lane, rests_at));
}

bool memory_lanes_open(struct memory_lanes *l, const char *origin)
{
	if (origin) {
		struct memory_lane *lane = find(l, origin, hash_of(l, origin));
		if (!lane || !lane->resting)
			return false;
		wake(l, lane);
		return true;
	}

	bool any = l->resting.len > 0;
	while (l->resting.first)
		wake(l, l->resting.first);
	return any;
}

/* --- figures ----------------------------------------------------------------------- */

/* Sorts 'lane' into the first 'n' of 'max' places, unless each has as many jobs.  Returns how
 * many are taken then.  Few lanes get that far: they come in no order. */
static size_t sort_in(const struct memory_lane **lanes, size_t n, size_t max,
                      const struct memory_lane *lane)
{
	if (n == max) {
		if (n == 0 || lane->jobs <= lanes[n - 1]->jobs)
			return n;
		n--;
	}
	size_t at = n;
	for (; at > 0 && lanes[at - 1]->jobs < lane->jobs; at--)
		lanes[at] = lanes[at - 1];
	lanes[at] = lane;
	return n + 1;
}

static struct backlog_lane describe(const struct memory_lane *lane, struct buf *names)
{
	struct backlog_lane described = { .origin_at = names->len, .jobs = lane->jobs,
		                          .waiting = lane->waiting_jobs };

	buf_add(names, lane->name, strlen(lane->name) + 1);
	for (size_t i = 0; i < LANE_LISTS; i++) {
		const struct job *job = lane->waiting[i].first;
		if (job && (described.oldest_wall_us == 0 ||
		            job->accepted_wall_us < described.oldest_wall_us))
			described.oldest_wall_us = job->accepted_wall_us;
	}
	return described;
}

int memory_lanes_list(const struct memory_lanes *l, struct query *q)
{
	size_t n = 0, max = q->max_lanes < l->with_jobs ? q->max_lanes : l->with_jobs;
	const struct memory_lane **lanes = calloc(max + 1, sizeof(struct memory_lane *));
	if (!lanes)
		return -ENOMEM;

	for (size_t i = 0; i < l->n_buckets && max > 0; i++)
		for (const struct memory_lane *lane = l->buckets[i]; lane; lane = lane->in_bucket)
			if (lane->jobs > 0)
				n = sort_in(lanes, n, max, lane);
	for (size_t i = 0; i < n; i++)
		q->lanes[i] = describe(lanes[i], &q->line);
	free(lanes);
	if (q->line.failed)
		return -ENOMEM;
	q->n_lanes = n;
	q->all_lanes = l->with_jobs;
	return 0;
}
