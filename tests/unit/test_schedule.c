/* SPDX-License-Identifier: Apache-2.0 */
/* schedule.h.  Times are only ever compared with a lower bound. */
#include "source/schedule.h"

#include "base/clock.h"
#include "base/random.h"
#include "base/sync.h"
#include "source_stage.h"

enum { MANY = 64 };

static const char *const two_urls[] = { "http://a/1", " {\"url\": \"http://a/2\"}" };
#define TWO_URLS "http://a/1\nhttp://a/2\n"

static void stage_schedule(struct stage *s, struct schedule_options options)
{
	options.name = options.name ? options.name : "timer";
	options.stop_fd = s->stop_fd;
	options.listener = (struct source_listener) { .complain = on_complaint, .arg = s };
	CU_ASSERT_EQUAL_FATAL(schedule_create(&options, &s->source), 0);
}

static void expect_round(struct stage *s)
{
	CU_ASSERT_EQUAL(read_some(s, MANY), 2);
	CU_ASSERT_TRUE(is_text(&s->urls, TWO_URLS));
	buf_clear(&s->urls);
}

static void test_empty_intervals_and_lists_are_refused(void)
{
	struct schedule_options options = { .name = "x", .every_ns = 1, .urls = two_urls };
	struct source *untouched = NULL;

	options.stop_fd = -1;
	CU_ASSERT_EQUAL(schedule_create(&options, &untouched), -EINVAL);
	options.n_urls = 1;
	options.every_ns = 0;
	CU_ASSERT_EQUAL(schedule_create(&options, &untouched), -EINVAL);
	CU_ASSERT_PTR_NULL(untouched);
}

static void test_the_first_round_is_due_at_once(void)
{
	char name[] = "timer", url[] = "http://a/1";
	const char *urls[] = { url };
	struct source_stats stats;
	struct stage s;

	stage_init(&s);
	stage_schedule(&s, (struct schedule_options) { .name = name,
	                                              .every_ns = NEVER,
	                                              .jitter_ns = NEVER,
	                                              .urls = urls,
	                                              .n_urls = 1 });
	name[0] = url[0] = '?'; /* both were copied */
	CU_ASSERT_EQUAL(read_some(&s, MANY), 1);
	CU_ASSERT_TRUE(is_text(&s.urls, "http://a/1\n"));
	CU_ASSERT_STRING_EQUAL(s.source->name, "timer");
	source_stats(s.source, &stats);
	CU_ASSERT_EQUAL(stats.jobs, 1);
	CU_ASSERT_EQUAL(stats.bytes_read, 0);
	CU_ASSERT_EQUAL(stats.bytes_total, 0);
	stage_done(&s);
}

static void test_a_round_comes_every_interval(void)
{
	const uint64_t every = NS_PER_MS;
	uint64_t start = clock_now_ns();
	struct stage s;

	stage_init(&s);
	stage_schedule(
	        &s, (struct schedule_options) { .every_ns = every, .urls = two_urls, .n_urls = 2 });
	for (unsigned i = 0; i < 10; i++) {
		expect_round(&s);
		CU_ASSERT_TRUE(clock_now_ns() >= start + i * every);
	}
	stage_done(&s);
}

static void test_each_round_is_late_by_its_own_jitter(void)
{
	const uint64_t every = NS_PER_MS / 10, jitter = 3 * NS_PER_MS;
	uint64_t start = clock_now_ns(), late = 0;
	struct random random = { .state = 42 };
	struct stage s;

	stage_init(&s);
	stage_schedule(&s, (struct schedule_options) { .every_ns = every,
	                                              .jitter_ns = jitter,
	                                              .urls = two_urls,
	                                              .n_urls = 2,
	                                              .seed = 42 });
	for (unsigned i = 0; i < 10; i++) {
		expect_round(&s);
		CU_ASSERT_TRUE(clock_now_ns() >= start + i * every + late);
		late = random_up_to(&random, jitter);
	}
	stage_done(&s);
}

static void test_missed_rounds_coalesce_into_one(void)
{
	const uint64_t every = NS_PER_MS / 5;
	uint64_t start = clock_now_ns();
	struct stage s;

	stage_init(&s);
	stage_schedule(
	        &s, (struct schedule_options) { .every_ns = every, .urls = two_urls, .n_urls = 2 });
	while (clock_now_ns() < start + 40 * every)
		;
	uint64_t late = clock_now_ns();
	expect_round(&s);

	/* The next one is in step again, within one interval; none is made up for. */
	for (unsigned i = 0; i < 10; i++) {
		expect_round(&s);
		CU_ASSERT_TRUE(clock_now_ns() >= late + i * every);
	}
	stage_done(&s);
}

static void test_a_round_may_take_several_batches(void)
{
	static const char *const urls[] = { "http://a/1", "http://a/2", "http://a/3", "http://a/4",
		                            "http://a/5" };
	struct stage s;

	stage_init(&s);
	stage_schedule(&s, (struct schedule_options) { .every_ns = 1, .urls = urls, .n_urls = 5 });
	for (int round = 0; round < 3; round++) {
		CU_ASSERT_EQUAL(read_some(&s, 2), 2);
		CU_ASSERT_EQUAL(read_some(&s, 2), 2);
		CU_ASSERT_EQUAL(read_some(&s, 2), 1);
		CU_ASSERT_TRUE(is_text(&s.urls, "http://a/1\nhttp://a/2\nhttp://a/3\nhttp://a/4\n"
		                                "http://a/5\n"));
		buf_clear(&s.urls);
	}
	stage_done(&s);
}

static void test_what_is_no_job_is_named_once_and_left_out(void)
{
	static const char *const urls[] = { "http://a/1", "ftp://a/", "http://a/2", "{" };
	struct source_stats stats;
	struct stage s;

	stage_init(&s);
	stage_schedule(&s, (struct schedule_options) { .every_ns = 1, .urls = urls, .n_urls = 4 });
	for (int i = 0; i < 3; i++)
		expect_round(&s);
	buf_add_char(&s.complaints, '\0');
	CU_ASSERT_PTR_EQUAL(strstr(s.complaints.data, "0: entry 2: "), s.complaints.data);
	CU_ASSERT_PTR_NOT_NULL(strstr(s.complaints.data, "\n0: entry 4: "));
	source_stats(s.source, &stats);
	CU_ASSERT_EQUAL(stats.bad_lines, 2);
	CU_ASSERT_EQUAL(stats.jobs, 6);
	stage_done(&s);
}

static void test_without_any_job_it_is_at_its_end(void)
{
	static const char *const urls[] = { "ftp://a/", "" };
	struct stage s;

	stage_init(&s);
	stage_schedule(&s, (struct schedule_options) { .every_ns = 1, .urls = urls, .n_urls = 2 });
	CU_ASSERT_EQUAL(read_some(&s, MANY), -ENODATA);
	CU_ASSERT_EQUAL(read_some(&s, MANY), -ENODATA);
	CU_ASSERT_EQUAL(s.source->bad_lines, 2);
	stage_done(&s);
}

static void test_a_stop_ends_the_wait(void)
{
	struct stage s;

	stage_init(&s);
	stage_schedule(&s, (struct schedule_options) {
	                           .every_ns = 3600 * NS_PER_S, .urls = two_urls, .n_urls = 2 });
	CU_ASSERT_EQUAL(read_some(&s, 1), 1);

	/* Also in the middle of a round. */
	CU_ASSERT_EQUAL(eventfd_write(s.stop_fd, 1), 0);
	CU_ASSERT_EQUAL(read_some(&s, 1), -ECANCELED);
	eventfd_t ignored;
	CU_ASSERT_EQUAL(eventfd_read(s.stop_fd, &ignored), 0);

	CU_ASSERT_EQUAL(read_some(&s, 1), 1);
	stop_while_reading(&s);
	stage_done(&s);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "empty intervals and lists are refused",
		  test_empty_intervals_and_lists_are_refused },
		{ "the first round is due at once", test_the_first_round_is_due_at_once },
		{ "a round comes every interval", test_a_round_comes_every_interval },
		{ "each round is late by its own jitter",
		  test_each_round_is_late_by_its_own_jitter },
		{ "missed rounds coalesce into one", test_missed_rounds_coalesce_into_one },
		{ "a round may take several batches", test_a_round_may_take_several_batches },
		{ "what is no job is named once and left out",
		  test_what_is_no_job_is_named_once_and_left_out },
		{ "without any job it is at its end", test_without_any_job_it_is_at_its_end },
		{ "a stop ends the wait", test_a_stop_ends_the_wait },
		CU_TEST_INFO_NULL,
	};
	return unit_run("schedule", tests);
}
