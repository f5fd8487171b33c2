/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Steps of a durable backlog's life while something fails now and then: each is attempted
 * until it succeeds, and whenever it fails nothing has changed.
 */
#ifndef PENSTOCK_TESTS_SQLITE_STEPS_H
#define PENSTOCK_TESTS_SQLITE_STEPS_H

#include "sqlite_stage.h"

/* The test's own part. */
static struct {
	bool (*may_be)(int error); /* is this how a fault shows? */

	/* Around each attempt, if not NULL; 'step' counts the calls of the functions below. */
	void (*before)(size_t step);
	void (*after)(size_t step, bool succeeded);

	size_t step;
	uint64_t mark; /* the last that was set, and its text */
	const char *mark_text;
} steps;

static inline void steps_begin_life(void)
{
	steps.step = 0;
	steps.mark = 0;
	steps.mark_text = "";
}

static inline void step_attempt(void)
{
	if (steps.before)
		steps.before(steps.step);
}

/* Is another attempt due, as the last one gave 'r'? */
static inline bool step_again(int r)
{
	if (steps.after)
		steps.after(steps.step, r == 0);
	if (r == 0) {
		steps.step++;
		return false;
	}
	if (!steps.may_be(r))
		(void) printf("\n  step %zu: %d\n", steps.step, r);
	CU_ASSERT_TRUE_FATAL(steps.may_be(r));
	return true;
}

/* Any commit ends the second that submissions are refused for after a failure. */
static inline void step_mend(struct stage *s)
{
	int r;

	while ((r = backlog_mark(s->b, steps.mark, steps.mark_text)) < 0)
		CU_ASSERT_TRUE_FATAL(steps.may_be(r));
}

static inline void step_expect_unchanged(struct stage *s, const struct backlog_stats *before)
{
	struct backlog_stats now = stage_stats(s);

	CU_ASSERT_EQUAL(now.accepted, before->accepted);
	CU_ASSERT_EQUAL(now.last_seq, before->last_seq);
	CU_ASSERT_EQUAL(now.held_jobs, before->held_jobs);
	CU_ASSERT_EQUAL(now.waiting, before->waiting);
	CU_ASSERT_EQUAL(now.delayed, before->delayed);
}

static inline void step_open(struct stage *s)
{
	struct buf why = { 0 };
	int r;

	do {
		buf_done(&why);
		step_attempt();
		r = sqlite_backlog_open(&s->options, &s->b, &why);
		/* Only who has no memory left has no words. */
		CU_ASSERT_TRUE(r == 0 || why.failed || why.len > 0);
	} while (step_again(r));
	buf_done(&why);
}

/* Submits jobs of source "s". */
static inline void step_submit(struct stage *s, const char *const *lines, size_t n,
                               const char *cursor, struct receipt *receipts)
{
	struct backlog_stats before = stage_stats(s);
	struct job *jobs[8];
	struct submission sub = { .jobs = jobs, .n = n, .receipts = receipts, .source = "s",
		                  .cursor = cursor };

	for (size_t i = 0; i < n; i++) {
		jobs[i] = make_job(&s->maker, lines[i]);
		jobs[i]->source = "s";
	}
	for (;;) {
		step_attempt();
		if (!step_again(backlog_submit_and_wait(s->b, &sub)))
			break;
		step_expect_unchanged(s, &before);
		step_mend(s);
	}
}

static inline void step_settle(struct stage *s, const struct verdict *v, size_t n)
{
	struct backlog_stats before = stage_stats(s);

	for (;;) {
		step_attempt();
		if (!step_again(backlog_settle(s->b, v, n)))
			break;
		CU_ASSERT_TRUE(stage_stats(s).error < 0);
		step_expect_unchanged(s, &before);
	}
}

/* Asks until the answer is 'answer'; asked_free() is the caller's. */
static inline void step_ask(struct stage *s, struct asked *a, enum query_kind kind, const char *id,
                            int answer)
{
	struct backlog_stats before = stage_stats(s);

	for (;;) {
		step_attempt();
		int r = stage_ask(s, a, kind, id);
		if (!step_again(r == answer ? 0 : r))
			break;
		CU_ASSERT_EQUAL(a->query.requeued, 0);
		CU_ASSERT_PTR_NULL(a->query.job);
		asked_free(a);
		step_expect_unchanged(s, &before);
		if (kind == QUERY_REQUEUE)
			step_mend(s);
	}
}

#endif
