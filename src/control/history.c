/* SPDX-License-Identifier: Apache-2.0 */
#include "control/history.h"

#include "base/clock.h"
#include "control/problem.h"
#include "control/status.h"
#include "control/task.h"
#include "control/text.h"

#include <stdlib.h>
#include <string.h>

#define PERIOD_NS NS_PER_S

static const struct {
	const char *name;
	bool is_counter;
} series[HISTORY_SERIES] = {
	[HISTORY_QUEUE_JOBS] = { "queue_jobs", false },
	[HISTORY_WAITING] = { "waiting", false },
	[HISTORY_DELAYED] = { "delayed", false },
	[HISTORY_RUNNING] = { "running", false },
	[HISTORY_BLOCKED] = { "blocked", false },
	[HISTORY_ACCEPTED] = { "accepted", true },
	[HISTORY_SETTLED] = { "settled", true },
	[HISTORY_DEAD] = { "dead", true },
	[HISTORY_ATTEMPTS] = { "attempts", true },
	[HISTORY_FAILURES] = { "failures", true },
	[HISTORY_RECEIVED_BYTES] = { "received_bytes", true },
};

/* --- taking samples ------------------------------------------------------------------ */

void history_read(struct engine *engine, struct history_figures *ret)
{
	struct engine_stats stats;
	struct tally_figures tally;

	engine_stats(engine, &stats);
	engine_tally(engine, &tally);
	const uint64_t *jobs = stats.ledger.jobs;
	struct waiting waiting = status_waiting(&stats);
	*ret = (struct history_figures) {
		.of = {
			[HISTORY_QUEUE_JOBS] = stats.queue.depth_jobs,
			[HISTORY_WAITING] = waiting.now,
			[HISTORY_DELAYED] = waiting.delayed,
			[HISTORY_RUNNING] = jobs[LEDGER_RUNNING],
			[HISTORY_BLOCKED] = stats.backlog.submitters_blocked +
			                    stats.queue.producers_blocked,
			[HISTORY_ACCEPTED] = stats.ledger.accepted,
			[HISTORY_SETTLED] = jobs[LEDGER_DONE] + jobs[LEDGER_DEAD] + jobs[LEDGER_CANCELLED],
			[HISTORY_DEAD] = jobs[LEDGER_DEAD],
			[HISTORY_ATTEMPTS] = stats.workers.attempts,
			[HISTORY_FAILURES] = stats.workers.failed,
			[HISTORY_RECEIVED_BYTES] = stats.workers.body_bytes,
		},
	};
	status_waiting_by_reason(&stats, ret->waiting);
	memcpy(ret->failed, tally.failures, sizeof(ret->failed));
}

void history_init(struct history *h, uint64_t started_ns, uint64_t now_ns,
                  const struct history_figures *now)
{
	h->started_ns = started_ns;
	h->last = (now_ns - started_ns) / PERIOD_NS;
	h->n = 0;
	h->totals = *now;
}

uint64_t history_next_ns(const struct history *h)
{
	return h->started_ns + (h->last + 1) * PERIOD_NS;
}

/* The i-th of 'n' parts, counted from 0, which sum up to 'total'. */
static uint64_t part_of(uint64_t total, uint64_t i, uint64_t n)
{
	return total / n + (i < total % n);
}

/* The i-th of the 'n' seconds that have passed, of which only the last was looked at. */
static struct history_sample make_sample(const struct history *h, const struct history_figures *now,
                                         uint64_t i, uint64_t n)
{
	struct history_sample sample = { .missed = i < n - 1, .is = *now };

	for (size_t k = 0; k < HISTORY_SERIES; k++)
		if (series[k].is_counter)
			sample.is.of[k] = part_of(now->of[k] - h->totals.of[k], i, n);
	for (enum failure why = 0; why < FAILURES; why++)
		sample.is.failed[why] = part_of(now->failed[why] - h->totals.failed[why], i, n);
	return sample;
}

void history_add(struct history *h, uint64_t now_ns, const struct history_figures *now)
{
	uint64_t number = (now_ns - h->started_ns) / PERIOD_NS;
	uint64_t n = number - h->last;

	for (uint64_t i = n > HISTORY_SAMPLES ? n - HISTORY_SAMPLES : 0; i < n; i++) {
		h->ring[(h->last + 1 + i) % HISTORY_SAMPLES] = make_sample(h, now, i, n);
		h->n += h->n < HISTORY_SAMPLES;
	}
	if (n == 0)
		return;
	h->last = number;
	h->totals = *now;
}

/* --- the answer ---------------------------------------------------------------------- */

static const struct history_sample *sample_at(const struct history *h, uint64_t number)
{
	return &h->ring[number % HISTORY_SAMPLES];
}

static uint64_t value_of(const struct history_sample *sample, size_t at)
{
	uint64_t value;

	memcpy(&value, (const char *) &sample->is + at, sizeof(value));
	return value;
}

static void add_value(struct buf *b, bool first, bool missed, uint64_t value)
{
	if (!first)
		buf_add_char(b, ',');
	if (missed)
		buf_add_str(b, "null");
	else
		buf_add_u64(b, value);
}

/* The values of one member of each sample, 'at' its offset in struct history_figures. */
static void add_array(struct buf *b, const struct history *h, uint64_t first, size_t at,
                      bool is_counter)
{
	buf_add_char(b, '[');
	for (uint64_t i = first; i <= h->last; i++) {
		const struct history_sample *sample = sample_at(h, i);
		add_value(b, i == first, sample->missed && !is_counter, value_of(sample, at));
	}
	buf_add_char(b, ']');
}

static void add_series(struct buf *b, const struct history *h, uint64_t first)
{
	buf_add_str(b, "\"series\": {");
	for (size_t k = 0; k < HISTORY_SERIES; k++) {
		buf_printf(b, "%s\"%s\": ", k > 0 ? ", " : "", series[k].name);
		add_array(b, h, first, offsetof(struct history_figures, of[k]), series[k].is_counter);
	}
	buf_add_char(b, '}');
}

static bool is_used(const struct history *h, uint64_t first, size_t at)
{
	for (uint64_t i = first; i <= h->last; i++)
		if (value_of(sample_at(h, i), at) > 0)
			return true;
	return false;
}

/* Of reasons, of which most are rare: only if there was any. */
static void add_if_used(struct buf *b, const struct history *h, uint64_t first, const char *name,
                        size_t at, bool is_counter, const char **separator)
{
	if (!is_used(h, first, at))
		return;
	buf_printf(b, "%s\"%s\": ", *separator, name);
	*separator = ", ";
	add_array(b, h, first, at, is_counter);
}

static void add_reasons(struct buf *b, const struct history *h, uint64_t first)
{
	const char *separator = "";

	buf_add_str(b, "\"waiting_by_reason\": {");
	for (enum wait_reason why = 0; why < WAIT_REASONS; why++)
		add_if_used(b, h, first, wait_reason_name(why),
		            offsetof(struct history_figures, waiting[why]), false, &separator);
	separator = "";
	buf_add_str(b, "}, \"failures_by_reason\": {");
	for (enum failure why = 0; why < FAILURES; why++)
		add_if_used(b, h, first, failure_name(why),
		            offsetof(struct history_figures, failed[why]), true, &separator);
	buf_add_char(b, '}');
}

void history_write(const struct history *h, uint64_t since, int64_t started_wall_us,
                   struct buf *b)
{
	uint64_t oldest = h->last + 1 - h->n;
	uint64_t first = since > oldest ? since : oldest;
	char started_at[CLOCK_TEXT_SIZE];

	if (first > h->last + 1)
		first = h->last + 1;
	clock_format(started_wall_us, started_at);
	buf_printf(b, "{\"started_at\": \"%s\", \"period\": 1, \"first\": %llu, ", started_at,
	           (unsigned long long) first);
	add_series(b, h, first);
	buf_add_str(b, ", ");
	add_reasons(b, h, first);
	buf_add_str(b, "}\n");
}

/* --- the question -------------------------------------------------------------------- */

/* Made at once; a task only so that few of these large answers are under way. */
struct recall {
	struct task base;
	const struct history *history;
	uint64_t since;
	int64_t started_wall_us;
};

static void finish(struct task *t)
{
	struct recall *r = (struct recall *) t;

	t->reply.status = 200;
	t->reply.type = "application/json";
	history_write(r->history, r->since, r->started_wall_us, &t->reply.body);
}

static void free_recall(struct task *t)
{
	t->desk->lists--;
	reply_done(&t->reply);
	free(t);
}

struct task *history_begin(const struct view *view, const struct request *request,
                           struct reply *reply)
{
	static const struct task_ops ops = { .finish = finish, .free = free_recall };
	uint64_t since = 0;

	if (request->since && !text_number(request->since, &since)) {
		problem(reply, PROBLEM_BAD_PARAMETER,
		        "since=%s must be the number of a sample", request->since);
		return NULL;
	}
	if (!lists_have_room(view, reply))
		return NULL;
	struct recall *r = calloc(1, sizeof(*r));
	if (!r) {
		reply->body.failed = true;
		return NULL;
	}
	*r = (struct recall) {
		.base = { .ops = &ops, .desk = view->desk },
		.history = view->history,
		.since = since,
		.started_wall_us = view->options->started_wall_us,
	};
	view->desk->lists++;
	return &r->base;
}
