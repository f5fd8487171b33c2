/* SPDX-License-Identifier: Apache-2.0 */
/* sparkline.h: heights, cells, what is not known; and top_history.h, where the samples are from. */
#include "cli/sparkline.h"

#include "base/attr.h"
#include "cli/top_history.h"
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void check(const struct sparkline *s, size_t n, const double samples[], const char *wanted)
{
	struct buf b = { 0 };

	sparkline_add(&b, s, n, samples);
	buf_add_char(&b, '\0');
	CU_ASSERT_FALSE_FATAL(b.failed);
	if (strcmp(b.data, wanted) != 0)
		printf("\n\"%s\" is not \"%s\"\n", b.data, wanted);
	CU_ASSERT_STRING_EQUAL(b.data, wanted);
	buf_done(&b);
}

static void heights_go_from_nothing_to_the_maximum(void)
{
	static const double samples[] = { 0, 1, 2, 3, 4, 5, 6, 7 };
	struct sparkline s = { .width = 8, .per_cell = 1 };

	check(&s, ARRAY_LEN(samples), samples, "▁▃▄▅▅▆▇█");
	s.is_ascii = true;
	check(&s, ARRAY_LEN(samples), samples, "_:-==+*#");
	s.max = 70; /* what is not 0 is never the lowest */
	check(&s, ARRAY_LEN(samples), samples, "_.....::");
	s.max = 2; /* more than the maximum is no more than full */
	check(&s, ARRAY_LEN(samples), samples, "_=######");
}

static void zeros_are_low_and_no_samples_are_blank(void)
{
	static const double samples[] = { 0, 0 };
	const struct sparkline s = { .width = 4, .per_cell = 1 };

	check(&s, 2, samples, "  ▁▁");
	check(&s, 0, samples, "    ");
}

static void only_the_newest_are_shown(void)
{
	static const double samples[] = { 9, 9, 9, 0, 1 };

	check(&(struct sparkline) { .width = 2, .per_cell = 1 }, ARRAY_LEN(samples), samples, "▁█");
}

/* Each cell begins at a multiple of three, whichever sample is the first that is kept. */
static void a_cell_keeps_its_samples_while_time_goes_on(void)
{
	static const double samples[] = { 8, 8, 8, 0, 0, 0, 4, 4, 4, 8 };
	struct sparkline s = { .width = 4, .per_cell = 3, .max = 8, .is_ascii = true };

	check(&s, 9, samples, " #_=");
	check(&s, 10, samples, "#_=#");
	s.first = 1;
	check(&s, 9, samples + 1, "#_=#");
	s.first = 3;
	check(&s, 7, samples + 3, " _=#");
}

static void what_is_not_known_is_left_out(void)
{
	static const double samples[] = { -1, 4, -1, -1, 2, 2 };

	check(&(struct sparkline) { .width = 3, .per_cell = 2, .max = 4, .is_ascii = true },
	      ARRAY_LEN(samples), samples, "# =");
}

/* --- where they are from ----------------------------------------------------------- */

static int take(struct top_history *h, const char *text)
{
	json_t *answer = json_loads(text, 0, NULL);
	CU_ASSERT_PTR_NOT_NULL_FATAL(answer);
	int r = top_history_take(h, answer);
	json_decref(answer);
	return r;
}

/* An answer with 'n' samples, of which each has its number in all series. */
static void make_answer(struct buf *b, uint64_t first, size_t n)
{
	static const char *const names[] = { "queue_jobs", "running",  "waiting", "settled", "dead",
		                             "attempts",   "failures", "blocked", "received_bytes" };

	buf_clear(b);
	buf_printf(b, "{\"period\": 1, \"first\": %llu, \"series\": {", (unsigned long long) first);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		buf_printf(b, "%s\"%s\": [", i > 0 ? ", " : "", names[i]);
		for (size_t k = 0; k < n; k++)
			buf_printf(b, "%s%llu", k > 0 ? "," : "", (unsigned long long) (first + k));
		buf_add_char(b, ']');
	}
	buf_add_str(b, "}}");
	buf_add_char(b, '\0');
	CU_ASSERT_FALSE_FATAL(b->failed);
}

static void check_history(const struct top_history *h, uint64_t first, size_t n)
{
	CU_ASSERT_EQUAL(h->first, first);
	CU_ASSERT_EQUAL_FATAL(h->n, n);
	for (size_t k = 0; k < n; k++)
		for (size_t i = 0; i < TOP_SERIES; i++)
			CU_ASSERT_EQUAL(h->values[i][k], (double) (first + k));
}

static void answers_are_joined(void)
{
	struct top_history h = { 0 };
	struct buf b = { 0 };
	static const struct {
		uint64_t first; /* of the answer */
		size_t n;
		uint64_t kept_first;
		size_t kept;
	} steps[] = {
		{ 50, 10, 50, 10 },   { 60, 1, 50, 11 },     { 61, 0, 50, 11 }, { 58, 5, 50, 13 },
		{ 70, 2, 70, 2 },     { 72, 600, 72, 600 },  { 672, 1, 73, 600 },
		{ 1, 3, 1, 3 },       /* another daemon's */
	};

	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		make_answer(&b, steps[i].first, steps[i].n);
		CU_ASSERT_EQUAL(take(&h, b.data), 0);
		check_history(&h, steps[i].kept_first, steps[i].kept);
	}
	buf_done(&b);
}

static void counts_are_rates_and_null_is_not_known(void)
{
	struct top_history h = { 0 };

	CU_ASSERT_EQUAL(take(&h, "{\"period\": 2, \"first\": 0, \"series\": {\"queue_jobs\": [null, 3], "
	                         "\"running\": [0, 0], \"waiting\": [0, 0], \"settled\": [8, 6], "
	                         "\"dead\": [0, 0], \"failures\": [0, 0], "
	                         "\"received_bytes\": [0, 0]}}"), 0);
	CU_ASSERT(h.values[TOP_QUEUE_JOBS][0] < 0);
	CU_ASSERT_EQUAL(h.values[TOP_QUEUE_JOBS][1], 3);
	CU_ASSERT_EQUAL(h.values[TOP_SETTLED][0], 4);
	CU_ASSERT_EQUAL(h.values[TOP_SETTLED][1], 3);
}

static void no_such_answer_changes_nothing(void)
{
	struct top_history h = { 0 };
	struct buf b = { 0 };

	make_answer(&b, 5, 2);
	CU_ASSERT_EQUAL(take(&h, b.data), 0);
	CU_ASSERT_EQUAL(take(&h, "[]"), -EPROTO);
	CU_ASSERT_EQUAL(take(&h, "{\"period\": 1, \"first\": 7, \"series\": {}}"), -EPROTO);
	make_answer(&b, 7, 1);
	*strstr(b.data, "1") = '0'; /* no time between samples */
	CU_ASSERT_EQUAL(take(&h, b.data), -EPROTO);
	make_answer(&b, 7, 1);
	memcpy(strstr(b.data, "[7]"), "[ ]", 3); /* a series shorter than the others */
	CU_ASSERT_EQUAL(take(&h, b.data), -EPROTO);
	check_history(&h, 5, 2);
	buf_done(&b);
}

static json_t *status(const char *started_at, double uptime, int n)
{
	json_t *json = json_pack("{s:s, s:f, s:{s:i}, s:{s:i, s:i, s:i, s:i}, s:{s:i, s:i}}",
	                         "started_at", started_at, "uptime_seconds", uptime,
	                         "queue", "jobs", n, "ledger", "running", n, "waiting", n,
	                         "done", n, "dead", n, "fetch", "failed", n, "body_bytes", 4 * n);
	CU_ASSERT_PTR_NOT_NULL_FATAL(json);
	return json;
}

static void a_status_and_the_next_are_a_sample(void)
{
	struct top_history h = { 0 };
	json_t *before = status("a", 10, 2), *now = status("a", 12, 6), *other = status("b", 14, 9);

	top_history_observe(&h, before, now, 2);
	CU_ASSERT_EQUAL_FATAL(h.n, 1);
	CU_ASSERT_EQUAL(h.values[TOP_QUEUE_JOBS][0], 6);
	CU_ASSERT_EQUAL(h.values[TOP_WAITING][0], 6);
	CU_ASSERT_EQUAL(h.values[TOP_SETTLED][0], 4); /* done and dead */
	CU_ASSERT_EQUAL(h.values[TOP_DEAD][0], 2);
	CU_ASSERT_EQUAL(h.values[TOP_FAILURES][0], 2);
	CU_ASSERT_EQUAL(h.values[TOP_RECEIVED_BYTES][0], 8);
	top_history_observe(&h, now, now, 2);
	top_history_observe(&h, now, other, 2);
	CU_ASSERT_EQUAL(h.n, 1);
	json_decref(before);
	json_decref(now);
	json_decref(other);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "heights go from nothing to the maximum", heights_go_from_nothing_to_the_maximum },
		{ "zeros are low and no samples are blank", zeros_are_low_and_no_samples_are_blank },
		{ "only the newest are shown", only_the_newest_are_shown },
		{ "a cell keeps its samples while time goes on",
		  a_cell_keeps_its_samples_while_time_goes_on },
		{ "what is not known is left out", what_is_not_known_is_left_out },
		{ "answers are joined", answers_are_joined },
		{ "counts are rates and null is not known", counts_are_rates_and_null_is_not_known },
		{ "no such answer changes nothing", no_such_answer_changes_nothing },
		{ "a status and the next are a sample", a_status_and_the_next_are_a_sample },
		CU_TEST_INFO_NULL,
	};

	return unit_run("sparkline", tests);
}
