/* SPDX-License-Identifier: Apache-2.0 */
/* The SQLite backlog as its callers see it: entering the lists, figures, the end. */
#include "backlog/sqlite_parts.h"

#include "base/clock.h"
#include "base/thread.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* --- what is told, with no lock held --------------------------------------------------- */

void sqlite_notify_ready(struct sqlite_backlog *q)
{
	const struct backlog_listener *l = &q->base.listener;
	if (l->ready)
		l->ready(l->arg);
}

void sqlite_notify_expiring(struct sqlite_backlog *q)
{
	const struct backlog_listener *l = &q->base.listener;
	if (l->expiring)
		l->expiring(l->arg);
}

void sqlite_expect(struct sqlite_backlog *q, int64_t deadline_us)
{
	if (deadline_us != 0 && deadline_us < q->expires_us) {
		q->expires_us = deadline_us;
		q->expiring = true;
	}
}

bool sqlite_is_expiring(struct sqlite_backlog *q)
{
	bool expiring = q->expiring;

	q->expiring = false;
	return expiring;
}

static int worst_trouble(const struct sqlite_backlog *q) REQUIRES(q->lock)
{
	for (int i = 0; i < TROUBLES; i++)
		if (q->errors[i] < 0)
			return q->errors[i];
	return 0;
}

bool sqlite_set_trouble(struct sqlite_backlog *q, enum trouble which, int error)
{
	int before = worst_trouble(q);
	q->errors[which] = error;
	return (before < 0) != (worst_trouble(q) < 0);
}

void sqlite_tell_trouble(struct sqlite_backlog *q, int error, const char *text)
{
	const struct backlog_listener *l = &q->base.listener;
	if (l->trouble)
		l->trouble(l->arg, error, error < 0 ? text : "");
}

void sqlite_trouble(struct sqlite_backlog *q, enum trouble which, int error, const char *text)
{
	mutex_lock(&q->lock);
	bool news = sqlite_set_trouble(q, which, error);
	mutex_unlock(&q->lock);
	if (news)
		sqlite_tell_trouble(q, error, text);
}

const char *sqlite_intern(struct sqlite_backlog *q, const char *source)
{
	struct source_name *name = NULL;

	if (!source)
		return NULL;
	mutex_lock(&q->lock);
	for (name = q->sources; name && strcmp(name->text, source) != 0; name = name->next)
		;
	size_t size = strlen(source) + 1;
	if (!name && (name = malloc(sizeof(*name) + size)) != NULL) {
		memcpy(name->text, source, size);
		name->next = q->sources;
		q->sources = name;
	}
	mutex_unlock(&q->lock);
	return name ? name->text : NULL;
}

/* --- entering ------------------------------------------------------------------------- */

static bool can_never_fit(const struct sqlite_backlog *q, const struct submission *s)
{
	/* Settled rows are forgotten once the files reach three quarters of max_bytes, so
	 * a quarter of it becomes free for certain. */
	return s->n > q->options.max_jobs || disk_bytes(s->bytes) > q->options.max_bytes / 4;
}

static void submit(struct backlog *b, struct submission *s)
{
	struct sqlite_backlog *q = (struct sqlite_backlog *) b;
	int r = 0;

	s->bytes = 0;
	s->since_ns = 0;
	s->withdrawn = false;
	for (size_t i = 0; i < s->n; i++)
		s->bytes += s->jobs[i]->bytes;

	if (can_never_fit(q, s)) {
		r = -EMSGSIZE;
	} else {
		mutex_lock(&q->lock);
		r = q->closed ? -EPIPE : 0;
		if (r == 0) {
			submission_list_append(&q->submissions, s);
			cond_signal(&q->work);
		}
		mutex_unlock(&q->lock);
	}
	if (r < 0)
		s->done(s, r);
}

static bool withdraw(struct backlog *b, struct submission *s)
{
	struct sqlite_backlog *q = (struct sqlite_backlog *) b;

	mutex_lock(&q->lock);
	bool waited = submission_list_remove(&q->submissions, s);
	if (waited) {
		sqlite_unblock(q, s);
		cond_signal(&q->work); /* those behind it may have room */
	} else {
		/* If it is being written and that fails, it must not wait again.  Whoever is not in
		 * this list may be gone already. */
		struct submission *writing = q->round->accepted.first;
		while (writing && writing != s)
			writing = writing->next;
		if (writing)
			writing->withdrawn = true;
	}
	mutex_unlock(&q->lock);
	return waited;
}

int sqlite_request(struct sqlite_backlog *q, struct request *request)
{
	mutex_lock(&q->lock);
	if (q->requests.last)
		q->requests.last->next = request;
	else
		q->requests.first = request;
	q->requests.last = request;
	cond_signal(&q->work);
	while (!request->ended)
		(void) cond_wait(&q->answered, &q->lock, NEVER);
	mutex_unlock(&q->lock);
	return request->error;
}

/* --- settling ------------------------------------------------------------------------- */

static bool needs_the_disk(const struct verdict *verdicts, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!is_mere_return(&verdicts[i]))
			return true;
	return false;
}

bool sqlite_release_claim(struct sqlite_backlog *q, struct claim *claim)
{
	struct turn *turn = turns_find(&q->turns, claim->lane);
	assert(turn && turn->out > 0);
	bool was_full = q->out_full;

	turn->out--;
	turns_forget(&q->turns, turn);
	claims_release(&q->claims, claim);
	q->out_full = false;
	if (q->expired_wait)
		sqlite_expect(q, 1);
	q->expired_wait = false;
	return was_full;
}

struct claim sqlite_claim_on(struct db *db, uint64_t number)
{
	return (struct claim) {
		.number = number,
		.lane = db_u64(db, DB_JOB, 8),
		.rank = db_i64(db, DB_JOB, 1),
		.bytes = (size_t) db_u64(db, DB_JOB, 5),
		.delayed = db_i64(db, DB_JOB, 0) == ROW_DELAYED,
		.deadline_us = db_i64(db, DB_JOB, 11), /* 0 of NULL */
	};
}

int sqlite_claim(struct sqlite_backlog *q, const struct claim *wanted)
{
	struct turn *turn = turns_get(&q->turns, wanted->lane);
	int err = turn ? claims_add(&q->claims, wanted) : -ENOMEM;

	if (err == 0)
		turn->out++;
	else if (turn)
		turns_forget(&q->turns, turn);
	return err;
}

void sqlite_ask_to_open(struct sqlite_backlog *q, uint64_t lane)
{
	if (q->opens.n < ROUND_MAX_LANES)
		q->opens.ids[q->opens.n++] = lane;
	else
		q->opens.all = true; /* those whose time has not come are asked again, and rest again */
	cond_signal(&q->work);
}

static void return_jobs(struct sqlite_backlog *q, const struct verdict *verdicts, size_t n)
{
	bool ready = false;

	mutex_lock(&q->lock);
	for (size_t i = 0; i < n; i++) {
		struct claim *claim = claims_find(&q->claims, verdicts[i].job->number);
		assert(claim);
		struct place place = { claim->rank, claim->number };
		bool found = !claim->delayed && turns_available(&q->turns, claim->lane, place);
		sqlite_expect(q, claim->deadline_us);
		ready = sqlite_release_claim(q, claim) || found || ready;
	}
	bool expiring = sqlite_is_expiring(q);
	mutex_unlock(&q->lock);
	if (ready)
		sqlite_notify_ready(q);
	if (expiring)
		sqlite_notify_expiring(q);
}

static int settle(struct backlog *b, const struct verdict *verdicts, size_t n)
{
	struct sqlite_backlog *q = (struct sqlite_backlog *) b;
	int r = 0;

	if (needs_the_disk(verdicts, n))
		r = sqlite_request(q, &(struct request) { .verdicts = verdicts, .n = n });
	else
		return_jobs(q, verdicts, n);
	if (r == 0)
		for (size_t i = 0; i < n; i++)
			job_free(verdicts[i].job);
	return r;
}

/* --- the rest --------------------------------------------------------------------------- */

static void close_backlog(struct backlog *b)
{
	struct sqlite_backlog *q = (struct sqlite_backlog *) b;

	mutex_lock(&q->lock);
	q->closed = true;
	cond_signal(&q->work);
	mutex_unlock(&q->lock);
}

/* Rows of resting lanes may be out for a moment, so the parts are kept within the whole. */
static void count_reasons(const struct sqlite_backlog *q, struct backlog_stats *s) REQUIRES(q->lock)
{
	size_t left = s->waiting;

	for (int i = 0; i < WAIT_REASONS; i++)
		s->by_reason[i] = q->totals.resting[i];
	turns_count(&q->turns, s->by_reason);
	for (int i = 0; i < WAIT_REASONS; i++) {
		if (s->by_reason[i] > left)
			s->by_reason[i] = left;
		left -= s->by_reason[i];
	}
	s->by_reason[WAIT_QUEUE] += left;

	left = s->delayed;
	for (enum wait_reason why = 0; why < WAIT_REASONS; why++) {
		if (!wait_is_delay(why))
			continue;
		s->by_reason[why] = q->totals.delayed[why] < left ? q->totals.delayed[why] : left;
		left -= s->by_reason[why];
	}
}

static void stats(struct backlog *b, struct backlog_stats *ret_stats)
{
	struct sqlite_backlog *q = (struct sqlite_backlog *) b;
	uint64_t now_ns = clock_now_ns();

	mutex_lock(&q->lock);
	const struct totals *t = &q->totals;
	size_t delayed = totals_delayed(t) - q->claims.delayed;
	*ret_stats = (struct backlog_stats) {
		.waiting = t->jobs - q->claims.jobs - delayed,
		.delayed = delayed,
		.held_jobs = t->jobs,
		.held_bytes = q->held_bytes,
		.max_jobs = q->options.max_jobs,
		.max_bytes = q->options.max_bytes,
		.submitters_blocked = q->blocked,
		.submitters_blocked_ns = q->blocked_ns + q->blocked * now_ns,
		.accepted = t->accepted,
		.last_seq = t->last_seq,
		.remembered_seq = t->remembered_seq,
		.commits = q->commits,
		.free_bytes = q->free_bytes,
		.min_free_bytes = q->options.min_free_bytes,
		.error = worst_trouble(q),
	};
	for (int i = 0; i < OUTCOMES; i++)
		ret_stats->settled[i] = t->settled[i];
	count_reasons(q, ret_stats);
	mutex_unlock(&q->lock);
	histogram_read(&q->commit_times, &ret_stats->commit_times);
}

static void free_backlog(struct backlog *b)
{
	struct sqlite_backlog *q = (struct sqlite_backlog *) b;

	mutex_lock(&q->lock);
	assert(q->claims.jobs == 0);
	q->stopping = true;
	cond_signal(&q->work);
	mutex_unlock(&q->lock);
	sqlite_reader_join(q);
	thread_join(q->writer);
	db_trust(&q->db); /* not before: it makes SQLite prepare every statement anew */
	sqlite_release(q);
}

const struct backlog_ops sqlite_ops = {
	.submit = submit,
	.withdraw = withdraw,
	.take = sqlite_take,
	.take_expired = sqlite_take_expired,
	.open = sqlite_open_lane,
	.settle = settle,
	.close = close_backlog,
	.stats = stats,
	.free = free_backlog,
	.query = sqlite_query,
	.cursor = sqlite_cursor,
	.history = sqlite_history,
	.mark = sqlite_mark,
	.marked = sqlite_marked,
	.paused = sqlite_paused,
};
