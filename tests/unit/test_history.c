/* SPDX-License-Identifier: Apache-2.0 */
/* history.h: samples of figures and times that are made up here, and how they are asked for. */
#include "control/history.h"

#include "base/clock.h"
#include "control_stage.h"

#include <jansson.h>

#define STARTED (7 * NS_PER_S + 1)

static struct history history; /* too large for the stack */

/* Samples begin half a second after the start, with counters that are not 0. */
static struct history_figures begin(void)
{
	struct history_figures figures = {
		.of = { [HISTORY_ATTEMPTS] = 1000 },
		.failed = { [FAILURE_TIMEOUT] = 77 },
	};

	history_init(&history, STARTED, STARTED + NS_PER_S / 2, &figures);
	return figures;
}

/* Takes the sample that is due then. */
static void add_at(uint64_t second, const struct history_figures *figures)
{
	history_add(&history, STARTED + second * NS_PER_S, figures);
}

static json_t *ask_history(uint64_t since)
{
	struct buf b = { 0 };

	history_write(&history, since, 0, &b);
	CU_ASSERT_FALSE_FATAL(b.failed);
	CU_ASSERT_PTR_EQUAL(memchr(b.data, '\n', b.len), b.data + b.len - 1);
	json_t *json = json_loadb(b.data, b.len, JSON_REJECT_DUPLICATES, NULL);
	CU_ASSERT_PTR_NOT_NULL_FATAL(json);
	CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(json, "started_at")),
	                       "1970-01-01T00:00:00.000000Z");
	CU_ASSERT_EQUAL(json_integer_value(json_object_get(json, "period")), 1);
	buf_done(&b);
	return json;
}

/* Whether all from 'since' on is so much as this: {"first": 1, "attempts": [2, null]}. */
static void expect(uint64_t since, const char *group, const char *expected)
{
	json_t *json = ask_history(since), *wanted = json_loads(expected, 0, NULL);
	json_t *series = json_object_get(json, group), *value = NULL;
	json_t *first = json_object_get(wanted, "first");
	const char *name = NULL;

	CU_ASSERT_PTR_NOT_NULL_FATAL(first);
	CU_ASSERT_TRUE(json_equal(json_object_get(json, "first"), first));
	(void) json_object_del(wanted, "first");
	json_object_foreach(wanted, name, value)
		CU_ASSERT_TRUE(json_equal(json_object_get(series, name), value));
	json_decref(wanted);
	json_decref(json);
}

static void test_there_is_nothing_at_first(void)
{
	(void) begin();
	expect(0, "series", "{\"first\": 1, \"attempts\": [], \"queue_jobs\": []}");
	expect(77, "series", "{\"first\": 1, \"attempts\": []}");
	CU_ASSERT_EQUAL(history_next_ns(&history), STARTED + NS_PER_S);
}

static void test_levels_are_of_a_moment_and_counts_of_a_second(void)
{
	struct history_figures figures = begin();

	figures.of[HISTORY_ATTEMPTS] += 5;
	figures.of[HISTORY_RUNNING] = 3;
	add_at(1, &figures);
	figures.of[HISTORY_ATTEMPTS] += 7;
	figures.of[HISTORY_RUNNING] = 2;
	add_at(2, &figures);
	expect(0, "series", "{\"first\": 1, \"attempts\": [5, 7], \"running\": [3, 2]}");
	expect(2, "series", "{\"first\": 2, \"attempts\": [7], \"running\": [2]}");
	expect(3, "series", "{\"first\": 3, \"attempts\": [], \"running\": []}");
	expect(UINT64_MAX, "series", "{\"first\": 3, \"attempts\": []}");
}

static void test_a_second_has_one_sample(void)
{
	struct history_figures figures = begin();

	figures.of[HISTORY_ATTEMPTS] += 1;
	history_add(&history, STARTED + NS_PER_S - 1, &figures);
	expect(0, "series", "{\"first\": 1, \"attempts\": []}");
	add_at(1, &figures);
	figures.of[HISTORY_ATTEMPTS] += 1;
	history_add(&history, STARTED + 2 * NS_PER_S - 1, &figures);
	CU_ASSERT_EQUAL(history_next_ns(&history), STARTED + 2 * NS_PER_S);
	expect(0, "series", "{\"first\": 1, \"attempts\": [1]}");
	add_at(2, &figures);
	expect(0, "series", "{\"first\": 1, \"attempts\": [1, 1]}");
}

static void test_missed_seconds_have_no_levels_and_share_what_was_counted(void)
{
	struct history_figures figures = begin();

	figures.of[HISTORY_RUNNING] = 3;
	figures.waiting[WAIT_RATE] = 9;
	add_at(1, &figures);
	figures.of[HISTORY_ATTEMPTS] += 11;
	figures.failed[FAILURE_TIMEOUT] += 5;
	add_at(5, &figures);
	CU_ASSERT_EQUAL(history_next_ns(&history), STARTED + 6 * NS_PER_S);
	expect(0, "series", "{\"first\": 1, \"attempts\": [0, 3, 3, 3, 2],"
	                    " \"running\": [3, null, null, null, 3]}");
	expect(0, "waiting_by_reason", "{\"first\": 1, \"rate\": [9, null, null, null, 9]}");
	expect(3, "waiting_by_reason", "{\"first\": 3, \"rate\": [null, null, 9]}");
	expect(0, "failures_by_reason", "{\"first\": 1, \"timeout\": [0, 2, 1, 1, 1]}");
}

static void test_only_reasons_that_there_were_are_told(void)
{
	struct history_figures figures = begin();

	figures.waiting[WAIT_RATE] = 1;
	add_at(1, &figures);
	figures.waiting[WAIT_RATE] = 0;
	add_at(2, &figures);
	json_t *json = ask_history(0);
	CU_ASSERT_EQUAL(json_object_size(json_object_get(json, "waiting_by_reason")), 1);
	json_decref(json);
	expect(0, "waiting_by_reason", "{\"first\": 1, \"rate\": [1, 0]}");
	json = ask_history(2);
	CU_ASSERT_EQUAL(json_object_size(json_object_get(json, "waiting_by_reason")), 0);
	json_decref(json);
}

static void test_ten_minutes_are_kept(void)
{
	struct history_figures figures = begin();

	for (uint64_t second = 1; second <= HISTORY_SAMPLES + 3; second++) {
		figures.of[HISTORY_QUEUE_JOBS] = second;
		add_at(second, &figures);
	}
	json_t *json = ask_history(0);
	json_t *depths = json_object_get(json_object_get(json, "series"), "queue_jobs");
	CU_ASSERT_EQUAL(json_integer_value(json_object_get(json, "first")), 4);
	CU_ASSERT_EQUAL_FATAL(json_array_size(depths), HISTORY_SAMPLES);
	for (size_t i = 0; i < HISTORY_SAMPLES; i++)
		CU_ASSERT_EQUAL(json_integer_value(json_array_get(depths, i)), (json_int_t) i + 4);
	json_decref(json);
}

static void test_a_gap_longer_than_that_leaves_its_end(void)
{
	struct history_figures figures = begin();

	figures.of[HISTORY_ATTEMPTS] += UINT64_C(10) * 1000000;
	figures.of[HISTORY_RUNNING] = 8;
	add_at(1000000, &figures);
	expect(0, "waiting_by_reason", "{\"first\": 999401}");
	expect(999999, "series", "{\"first\": 999999, \"attempts\": [10, 10], \"running\": [null, 8]}");
	json_t *json = ask_history(0);
	CU_ASSERT_EQUAL(json_array_size(json_object_get(json_object_get(json, "series"), "attempts")),
	                HISTORY_SAMPLES);
	json_decref(json);
}

/* --- over the socket ------------------------------------------------------------------ */

static void expect_bad(const char *target)
{
	struct answer a = get(target);

	CU_ASSERT_EQUAL(a.status, 400);
	CU_ASSERT_STRING_EQUAL(a.type, "application/problem+json");
	CU_ASSERT_PTR_NOT_NULL(strstr(a.body.data, " must be the number of a sample"));
	buf_done(&a.body);
}

static void test_the_socket_tells_it(void)
{
	const struct control_options options = { .started_wall_us = clock_wall_us() };
	struct stage s;

	stage_init(&s, NULL, 0, options);
	struct answer a = get("/v1/history?since=0");
	CU_ASSERT_EQUAL(a.status, 200);
	CU_ASSERT_STRING_EQUAL(a.type, "application/json");
	json_t *json = json_loads(a.body.data, 0, NULL);
	CU_ASSERT_EQUAL(json_object_size(json_object_get(json, "series")), HISTORY_SERIES);
	CU_ASSERT_TRUE(json_integer_value(json_object_get(json, "first")) >= 1);
	json_decref(json);
	buf_done(&a.body);
	CU_ASSERT_EQUAL(status_of("/v1/history"), 200);

	expect_bad("/v1/history?since=");
	expect_bad("/v1/history?since=-1");
	expect_bad("/v1/history?since=1x");
	expect_bad("/v1/history?since=18446744073709551616");
	stage_done(&s);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "there is nothing at first", test_there_is_nothing_at_first },
		{ "levels are of a moment and counts of a second",
		  test_levels_are_of_a_moment_and_counts_of_a_second },
		{ "a second has one sample", test_a_second_has_one_sample },
		{ "missed seconds have no levels and share what was counted",
		  test_missed_seconds_have_no_levels_and_share_what_was_counted },
		{ "only reasons that there were are told", test_only_reasons_that_there_were_are_told },
		{ "ten minutes are kept", test_ten_minutes_are_kept },
		{ "a gap longer than that leaves its end", test_a_gap_longer_than_that_leaves_its_end },
		{ "the socket tells it", test_the_socket_tells_it },
		CU_TEST_INFO_NULL,
	};
	return run_in_directory("history", tests);
}
