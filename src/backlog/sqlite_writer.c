/* SPDX-License-Identifier: Apache-2.0 */
/* The writer thread: round after round. */
#include "backlog/sqlite_parts.h"

#include "base/clock.h"

#include <assert.h>
#include <errno.h>

/* --- making a round known, under the lock ------------------------------------------------ */

static void make_available(struct sqlite_backlog *q, struct round *r, uint64_t lane,
                           struct place place) REQUIRES(q->lock)
{
	if (turns_available(&q->turns, lane, place))
		r->ready = true;
}

/* The row already says what the verdict made of the job; the claim on it ends. */
static void end_claim(struct sqlite_backlog *q, struct round *r, const struct verdict *v)
	REQUIRES(q->lock)
{
	struct claim *claim = claims_find(&q->claims, v->job->number);
	assert(claim);
	struct place place = { claim->rank, claim->number };

	bool delayed = is_mere_return(v) ? claim->delayed : sqlite_due_us(r, v) > 0;
	if (v->kind != VERDICT_FINAL && !delayed)
		make_available(q, r, v->job->lane, place);
	if (v->kind != VERDICT_FINAL)
		sqlite_expect(q, claim->deadline_us);
	if (sqlite_release_claim(q, claim))
		r->ready = true;
}

static void publish_lanes(struct sqlite_backlog *q, struct round *r) REQUIRES(q->lock)
{
	for (size_t i = 0; i < q->changes.n; i++) {
		const struct lane_change *change = &q->changes.all[i];
		struct turn *turn = turns_find(&q->turns, change->lane);
		if (turn)
			turn->rows += (size_t) change->waiting;
	}
	for (size_t i = 0; i < r->opened_n; i++)
		make_available(q, r, r->opened[i], place_first);
	for (size_t i = 0; i < r->opens.n; i++)
		make_available(q, r, r->opens.ids[i], place_first);
	if (r->opens.all)
		q->turns.scan = r->ready = true;
}

/* Their ids never come again, so nothing else would end their turns.  After the claims. */
static void publish_deletions(struct sqlite_backlog *q) REQUIRES(q->lock)
{
	for (size_t i = 0; i < q->changes.n; i++) {
		const struct lane_change *change = &q->changes.all[i];
		struct turn *turn = change->deleted ? turns_find(&q->turns, change->lane) : NULL;
		if (turn)
			turns_end(&q->turns, turn);
	}
}

/* What was written may have been opened meanwhile: then that is to be written, too. */
static void publish_rests(struct sqlite_backlog *q, struct round *r) REQUIRES(q->lock)
{
	for (size_t i = 0; i < r->rests_n; i++) {
		const struct rest *rest = &r->rests[i];
		struct turn *turn = turns_find(&q->turns, rest->lane);
		if (turn && turn->unwritten && turn->until_ns == rest->until_ns)
			turns_written(&q->turns, turn);
		else
			sqlite_ask_to_open(q, rest->lane);
	}
}

static void publish(struct sqlite_backlog *q, struct round *r) REQUIRES(q->lock)
{
	publish_rests(q, r);
	publish_lanes(q, r);
	for (const struct request *w = r->requests.first; w; w = w->next)
		for (size_t i = 0; i < w->n; i++)
			end_claim(q, r, &w->verdicts[i]);
	for (size_t i = 0; i < r->woken_n; i++) {
		struct claim *claim = claims_find(&q->claims, r->woken[i].place.number);
		if (claim && claim->delayed) {
			claim->delayed = false;
			q->claims.delayed--;
		} else {
			make_available(q, r, r->woken[i].lane, r->woken[i].place);
		}
	}
	publish_deletions(q);
	q->totals = r->totals;
	q->retry_ns = 0;
	q->commits += r->changed;
}

static void end_requests(struct sqlite_backlog *q, struct round *r, int error) REQUIRES(q->lock)
{
	for (struct request *w = r->requests.first, *next; w; w = next) {
		next = w->next; /* its thread may be gone as soon as the lock is free */
		w->error = error;
		w->ended = true;
	}
	if (r->requests.first)
		cond_broadcast(&q->answered);
}

static void put_back_opens(struct sqlite_backlog *q, const struct round *r) REQUIRES(q->lock)
{
	q->opens.all = q->opens.all || r->opens.all;
	for (size_t i = 0; i < r->opens.n; i++)
		sqlite_ask_to_open(q, r->opens.ids[i]);
}

static void finish(struct sqlite_backlog *q, struct round *r, int error)
{
	mutex_lock(&q->lock);
	if (error == 0) {
		publish(q, r);
	} else {
		q->retry_ns = clock_now_ns() + RETRY_NS;
		sqlite_put_back(q, &r->accepted);
		put_back_opens(q, r);
	}
	bool news = sqlite_set_trouble(q, TROUBLE_WRITE, error);
	end_requests(q, r, error);
	mutex_unlock(&q->lock);
	if (news)
		sqlite_tell_trouble(q, error, q->db.text);
}

/* --- telling, with no lock held ------------------------------------------------------------ */

/* Only now may a take find the new jobs: whoever counts them has been told. */
static void tell_accepted(struct sqlite_backlog *q, struct round *r)
{
	const struct backlog_listener *l = &q->base.listener;

	if (r->added > 0 && l->accepted)
		l->accepted(l->arg, r->added);
	mutex_lock(&q->lock);
	q->told = r->totals.last_number;
	for (size_t i = 0; i < q->changes.n; i++) {
		const struct lane_change *change = &q->changes.all[i];
		if (place_before(change->accepted, place_none))
			make_available(q, r, change->lane, change->accepted);
	}
	sqlite_expect(q, r->deadline_us);
	r->expiring = sqlite_is_expiring(q);
	mutex_unlock(&q->lock);
}

/* Under the lock, as withdraw() looks through the list. */
static struct submission *take_written(struct sqlite_backlog *q, struct round *r)
{
	mutex_lock(&q->lock);
	struct submission *s = submission_list_take(&r->accepted);
	mutex_unlock(&q->lock);
	return s;
}

static void tell_submitters(struct sqlite_backlog *q, struct round *r, int error)
{
	struct submission *s;

	while ((s = take_written(q, r))) {
		for (size_t i = 0; error == 0 && i < s->n; i++)
			job_free(s->jobs[i]);
		s->done(s, error);
	}
	while ((s = submission_list_take(&r->refused)))
		s->done(s, s->error);
}

/* A requeue of all dead jobs goes on in the next round until none is left. */
static bool goes_on(struct query *query, int error)
{
	if (query->kind != QUERY_REQUEUE)
		return false;
	if (error == 0)
		query->requeued += query->pending;
	else if (query->error == 0 || query->error == -EINPROGRESS)
		query->error = error;
	return query->error == -EINPROGRESS;
}

static void answer_queries(struct sqlite_backlog *q, struct round *r, int error)
{
	struct query *query;

	while ((query = query_list_take(&r->queries))) {
		if (goes_on(query, error)) {
			mutex_lock(&q->lock);
			query_list_append(&q->queries, query);
			mutex_unlock(&q->lock);
			continue;
		}
		int answer = query->kind == QUERY_REQUEUE ? query->error
		             : query_writes(query)        ? error
		                                          : sqlite_answer(q, query);
		query->done(query, answer);
	}
}

/* --- the thread ------------------------------------------------------------------------------ */

static bool writes(const struct round *r)
{
	if (r->accepted.first || r->requests.first || r->timer || r->opens.all || r->opens.n > 0 ||
	    r->rests_due)
		return true;
	for (const struct query *query = r->queries.first; query; query = query->next)
		if (query_writes(query))
			return true;
	return false;
}

static void do_round(struct sqlite_backlog *q, struct round *r)
{
	int error = 0;

	if (writes(r)) {
		error = sqlite_commit(q, r);
		finish(q, r, error);
		if (error == 0)
			tell_accepted(q, r);
		sqlite_clear_lanes(q, false);
	}
	tell_submitters(q, r, error);
	answer_queries(q, r, error);
	if (r->ready)
		sqlite_notify_ready(q);
	if (r->expiring)
		sqlite_notify_expiring(q);
	sqlite_measure(q);
	if (sqlite_checkpoint(q))
		sqlite_measure(q);
}

void *sqlite_writer_run(void *arg)
{
	struct sqlite_backlog *q = arg;

	while (sqlite_gather(q, q->round))
		do_round(q, q->round);
	return NULL;
}
