/* SPDX-License-Identifier: Apache-2.0 */
/* engine_explain(): the sentence for each place where a job can be.  To be linked with
 * -Wl,--wrap= for the functions below: queue and workers are what the test says. */
#include "base/clock.h"
#include "engine/parts.h"
#include "unit.h"

#include <errno.h>
#include <stdio.h>

#define ORIGIN "http://a.example:80"

static struct {
	struct queue_lane lane;
	struct queue_stats queue;
	bool is_queued, is_fetched;
	size_t ahead;
	uint64_t since_ns, bound_ns;
} seen;

/* The linker's names. */
void __wrap_queue_lane(struct queue *q, const char *origin, struct queue_lane *ret_lane);
void __wrap_queue_stats(struct queue *q, struct queue_stats *ret_stats);
bool __wrap_queue_find(struct queue *q, uint64_t number, size_t *ret_ahead);
bool __wrap_workers_find(struct workers *w, uint64_t number, uint64_t *ret_since_ns,
                         uint64_t *ret_bound_ns);
void __wrap_workers_stats(struct workers *w, struct workers_stats *ret_stats);
struct workers_policy __wrap_workers_get_policy(struct workers *w);

void __wrap_queue_lane(struct queue *q, const char *origin, struct queue_lane *ret_lane)
{
	(void) q;
	CU_ASSERT_STRING_EQUAL(origin, ORIGIN);
	*ret_lane = seen.lane;
}

void __wrap_queue_stats(struct queue *q, struct queue_stats *ret_stats)
{
	(void) q;
	*ret_stats = seen.queue;
}

bool __wrap_queue_find(struct queue *q, uint64_t number, size_t *ret_ahead)
{
	(void) q;
	CU_ASSERT_EQUAL(number, 7);
	*ret_ahead = seen.ahead;
	return seen.is_queued;
}

bool __wrap_workers_find(struct workers *w, uint64_t number, uint64_t *ret_since_ns,
                         uint64_t *ret_bound_ns)
{
	(void) w;
	CU_ASSERT_EQUAL(number, 7);
	if (!seen.is_fetched)
		return false;
	*ret_since_ns = seen.since_ns;
	*ret_bound_ns = seen.bound_ns;
	return true;
}

void __wrap_workers_stats(struct workers *w, struct workers_stats *ret_stats)
{
	(void) w;
	*ret_stats = (struct workers_stats) { .alive = 64 };
}

struct workers_policy __wrap_workers_get_policy(struct workers *w)
{
	(void) w;
	return (struct workers_policy) { .retry.max_attempts = 5 };
}

/* --- a stand-in for the rest --------------------------------------------------------- */

static int disk_error;

static void backlog_figures(struct backlog *b, struct backlog_stats *ret_stats)
{
	(void) b;
	*ret_stats = (struct backlog_stats) { .error = disk_error };
}

static const struct backlog_ops ops = { .stats = backlog_figures };
static struct backlog backlog = { .ops = &ops };
static char nobody_looks; /* into queue and workers */

#define AN_ENGINE \
	{ .backlog = &backlog, .queue = (void *) &nobody_looks, .workers = (void *) &nobody_looks }

static void reset(void)
{
	memset(&seen, 0, sizeof(seen));
	disk_error = 0;
	seen.lane.obstacle.why = WAIT_WORKER;
	seen.queue.consumers_idle = 1;
	seen.queue.capacity_jobs = 1000;
}

/* Explains; the code must be this, and the sentence a format with one "%s" for what stands
 * between 'before' and 'after'.  Returns that, to be freed. */
static char *explain_with(struct engine *e, struct query job, const char *code, const char *before,
                          const char *after)
{
	struct explanation x = { 0 };
	char *middle = NULL;

	job.number = 7;
	if (job.state != JOB_SETTLED)
		buf_add(&job.lane, ORIGIN, sizeof(ORIGIN));
	engine_explain(e, &job, &x);
	CU_ASSERT_STRING_EQUAL(x.code, code);
	CU_ASSERT_FALSE_FATAL(x.text.failed);
	size_t len = strlen(x.text.data), head = strlen(before), tail = strlen(after);
	bool fits = len >= head + tail && memcmp(x.text.data, before, head) == 0 &&
	            strcmp(x.text.data + len - tail, after) == 0;
	CU_ASSERT_TRUE(fits);
	if (!fits)
		printf("\n%s\nis not: %s…%s\n", x.text.data, before, after);
	middle = strndup(x.text.data + (fits ? head : 0), fits ? len - head - tail : 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(middle);
	buf_done(&x.text);
	buf_done(&job.lane);
	return middle;
}

static void expect_in(struct engine *e, struct query job, const char *code, const char *sentence)
{
	char *rest = explain_with(e, job, code, sentence, "");

	CU_ASSERT_STRING_EQUAL(rest, "");
	if (*rest != '\0')
		printf("\n%s… goes on: %s\n", sentence, rest);
	free(rest);
}

static void expect(struct query job, const char *code, const char *sentence)
{
	struct engine e = AN_ENGINE;
	expect_in(&e, job, code, sentence);
}

/* The middle is a span of time, of at most so many tenths of seconds and somewhat less. */
static void expect_span(struct query job, const char *code, const char *before, const char *after,
                        double most)
{
	struct engine e = AN_ENGINE;
	char unit = '\0';
	double span = 0;

	char *middle = explain_with(&e, job, code, before, after);
	CU_ASSERT_EQUAL(sscanf(middle, "%lf%c", &span, &unit), 2);
	CU_ASSERT_EQUAL(unit, 's');
	CU_ASSERT_TRUE(span > 0 && span <= most);
	free(middle);
}

/* --- delayed ------------------------------------------------------------------------- */

static void test_a_delayed_job_says_until_when(void)
{
	struct query job = { .state = JOB_DELAYED, .why = WAIT_NOT_BEFORE, .attempts = 2 };

	reset();
	CU_ASSERT_EQUAL(clock_parse("2999-11-28T12:00:00.5Z", &job.due_wall_us), 0);
	expect(job, "not_before", "not before 2999-11-28T12:00:00Z");

	job.why = WAIT_RETRY;
	job.due_wall_us = clock_wall_us() + 50000000;
	expect_span(job, "retry", "retry: attempt 3 of 5 in ", "", 50);
	job.attempts = 8; /* before the limit was lowered */
	expect_span(job, "retry", "retry: attempt 9 of 9 in ", "", 50);
	job.due_wall_us = 0;
	expect(job, "retry", "retry: attempt 9 of 9 in 0s");

	job.why = WAIT_NAMES;
	job.due_wall_us = clock_wall_us() + 50000000;
	expect_span(job, "names", "too many workers were waiting for names; again in ", "", 50);
	job.why = WAIT_BODIES;
	expect_span(job, "bodies", "the body of its response could not be kept; again in ", "", 50);
	job.why = WAIT_POISON;
	expect(job, "poison", "it has crashed the daemon too often, and is set aside");
}

static void test_a_deadline_is_said_whatever_a_job_waits_for(void)
{
	struct query job = { .state = JOB_DELAYED, .why = WAIT_NOT_BEFORE };

	reset();
	CU_ASSERT_EQUAL(clock_parse("2999-11-28T12:00:00.5Z", &job.due_wall_us), 0);
	job.deadline_wall_us = clock_wall_us() + 50000000;
	expect_span(job, "not_before", "not before 2999-11-28T12:00:00Z; deadline in ", "", 50);
	job.state = JOB_WAITING;
	expect_span(job, "queue", "not queued yet, no job ahead in lane " ORIGIN "; deadline in ", "",
	            50);
	job.state = JOB_OUT;
	seen.is_queued = true;
	expect_span(job, "worker", "queued, no job ahead in lane " ORIGIN "; deadline in ", "", 50);
	job.deadline_wall_us = 1;
	expect(job, "worker", "queued, no job ahead in lane " ORIGIN "; its deadline has passed");
}

/* --- waiting ------------------------------------------------------------------------- */

static void obstruct(enum wait_reason why, uint64_t until_ns)
{
	seen.lane.obstacle = (struct lane_obstacle) { why, until_ns };
}

static void test_a_waiting_job_names_what_is_in_the_way_of_its_lane(void)
{
	const struct query job = { .state = JOB_WAITING, .ahead = 200 };

	reset();
	seen.lane.queued = 12;
	obstruct(WAIT_PAUSED, NEVER);
	expect(job, "paused", "lane " ORIGIN " is paused");

	seen.lane.limits.interval_ns = NS_PER_S / 5;
	obstruct(WAIT_RATE, NEVER);
	expect(job, "rate", "lane " ORIGIN " is at its rate of 5/s, at least 212 jobs ahead");
	seen.lane.limits.gap_ns = 2 * NS_PER_S;
	expect(job, "rate", "lane " ORIGIN " is at its rate of one each 2.0s, at least 212 jobs ahead");

	seen.lane.limits.concurrency = 8;
	seen.lane.running = 8;
	obstruct(WAIT_CONCURRENCY, NEVER);
	expect(job, "concurrency", "lane " ORIGIN " runs 8 of 8 fetches, at least 212 jobs ahead");

	obstruct(WAIT_BREAKER, clock_now_ns() + 50 * NS_PER_S);
	seen.lane.failures = 5;
	expect_span(job, "breaker", "lane " ORIGIN ": breaker open after 5 failures, next probe in ", "",
	            50);
}

static void test_a_retry_after_has_its_time_of_day_or_its_date(void)
{
	const struct query job = { .state = JOB_WAITING };
	struct engine e = AN_ENGINE;
	int64_t until_us = 0;

	reset();
	obstruct(WAIT_RETRY_AFTER, clock_now_ns() + 3 * 86400 * NS_PER_S);
	char *date = explain_with(&e, job, "retry_after", "lane " ORIGIN ": Retry-After until ", "");
	CU_ASSERT_EQUAL(clock_parse(date, &until_us), 0);
	int64_t left_us = until_us - clock_wall_us();
	CU_ASSERT_TRUE(left_us > 2 * INT64_C(86400000000) && left_us <= 3 * INT64_C(86400000000));
	free(date);

	obstruct(WAIT_RETRY_AFTER, 0); /* over already: at this moment */
	char *time = explain_with(&e, job, "retry_after", "lane " ORIGIN ": Retry-After until ",
	                          " UTC");
	int hour = 0, minute = 0, second = 0;
	CU_ASSERT_EQUAL(sscanf(time, "%2d:%2d:%2d", &hour, &minute, &second), 3);
	CU_ASSERT_EQUAL(strlen(time), strlen("12:03:10"));
	free(time);
}

static void test_a_probe_is_not_taken_for_a_limit_of_fetches(void)
{
	const struct query job = { .state = JOB_WAITING };

	reset();
	seen.lane.failures = 6;
	obstruct(WAIT_BREAKER, NEVER);
	expect(job, "breaker",
	       "lane " ORIGIN ": breaker half open after 6 failures, a probe is under way");
}

static void test_a_rest_from_before_the_restart_is_known(void)
{
	struct query job = { .state = JOB_WAITING };

	reset();
	job.rest = (struct lane_rest) { WAIT_RETRY_AFTER, clock_now_ns() + 50 * NS_PER_S };
	struct engine e = AN_ENGINE;
	free(explain_with(&e, job, "retry_after", "lane " ORIGIN ": Retry-After until ", ""));
	obstruct(WAIT_PAUSED, NEVER); /* what the queue knows comes first */
	expect(job, "paused", "lane " ORIGIN " is paused");
}

static void test_a_pause_of_everything_comes_first(void)
{
	reset();
	seen.queue.paused = true;
	obstruct(WAIT_RATE, NEVER);
	expect((struct query) { .state = JOB_WAITING }, "paused", "everything is paused");
	seen.is_queued = true;
	expect((struct query) { .state = JOB_OUT }, "paused", "everything is paused");
	expect((struct query) { .state = JOB_DELAYED, .why = WAIT_RETRY }, "retry",
	       "retry: attempt 1 of 5 in 0s");
}

static void test_a_job_waits_for_its_turn_if_nothing_is_in_the_way(void)
{
	struct query job = { .state = JOB_WAITING, .ahead = 1 };

	reset();
	expect(job, "queue", "not queued yet, at least 1 job ahead in lane " ORIGIN);
	seen.queue.depth_jobs = 1000;
	job.ahead = 0;
	expect(job, "queue", "not queued yet, no job ahead in lane " ORIGIN "; the queue is full");
}

/* --- out ----------------------------------------------------------------------------- */

static void test_a_queued_job_says_what_it_waits_for(void)
{
	const struct query job = { .state = JOB_OUT };

	reset();
	seen.is_queued = true;
	seen.ahead = 3;
	expect(job, "worker", "queued, 3 jobs ahead in lane " ORIGIN);
	seen.queue.consumers_idle = 0;
	expect(job, "worker", "queued, 3 jobs ahead in lane " ORIGIN "; all 64 workers are busy");
	seen.lane.limits.interval_ns = NS_PER_S / 5;
	obstruct(WAIT_RATE, NEVER);
	expect(job, "rate", "lane " ORIGIN " is at its rate of 5/s, 3 jobs ahead");
}

static void test_a_running_job_says_how_long_it_has_and_how_long_it_may(void)
{
	reset();
	seen.is_fetched = true;
	seen.since_ns = clock_now_ns();
	seen.bound_ns = seen.since_ns + 50 * NS_PER_S;
	struct engine e = AN_ENGINE;
	char *rest = explain_with(&e, (struct query) { .state = JOB_OUT }, "running", "running for ",
	                          "s");
	CU_ASSERT_PTR_NOT_NULL(strstr(rest, ", timeout in "));
	free(rest);
	seen.since_ns = seen.bound_ns = 0; /* over, and not seen yet */
	seen.bound_ns = 1;
	free(explain_with(&e, (struct query) { .state = JOB_OUT }, "running", "running for ",
	                  ", timeout in 0s"));
}

static void test_a_job_between_two_places_is_being_recorded(void)
{
	const struct query job = { .state = JOB_OUT };
	struct engine e = AN_ENGINE;

	reset();
	expect(job, "recording", "fetched, its record is being written");
	disk_error = -EROFS;
	expect(job, "recorder_stalled", "recorder stalled: Read-only file system");
	atomic_store(&e.trouble, -ENOSPC);
	expect_in(&e, job, "recorder_stalled", "recorder stalled: No space left on device");
}

static void test_where_a_job_was_seen_goes_with_why(void)
{
	struct query job = { .state = JOB_OUT, .number = 7 };
	struct engine e = AN_ENGINE;
	struct explanation x;

	reset();
	buf_add(&job.lane, ORIGIN, sizeof(ORIGIN));
	engine_explain(&e, &job, &x);
	CU_ASSERT_EQUAL(x.at.place, ENGINE_BETWEEN);
	buf_done(&x.text);
	seen.is_fetched = true;
	seen.since_ns = 5;
	seen.bound_ns = 6;
	engine_explain(&e, &job, &x);
	CU_ASSERT_EQUAL(x.at.place, ENGINE_FETCHING);
	CU_ASSERT_EQUAL(x.at.since_ns, 5);
	CU_ASSERT_EQUAL(x.at.bound_ns, 6);
	buf_done(&x.text);
	seen.is_queued = true;
	engine_explain(&e, &job, &x);
	CU_ASSERT_EQUAL(x.at.place, ENGINE_QUEUED);
	buf_done(&x.text);
	buf_done(&job.lane);
}

/* --- settled ------------------------------------------------------------------------- */

static void expect_settled(enum outcome outcome, const char *record, const char *code,
                           const char *sentence)
{
	struct query job = { .state = JOB_SETTLED, .outcome = outcome };

	buf_add_str(&job.line, record);
	expect(job, code, sentence);
	buf_done(&job.line);
}

static void test_a_settled_job_has_its_outcome_and_reason(void)
{
	reset();
	expect_settled(OUTCOME_DONE, "{\"seq\":1,\"reason\":null}\n", "done", "done");
	expect_settled(OUTCOME_DEAD, "{\"seq\":1,\"reason\":\"http 404\"}\n", "dead", "dead: http 404");
	expect_settled(OUTCOME_CANCELLED, "{\"reason\":\"cancelled by request\"}", "cancelled",
	               "cancelled: cancelled by request");
	expect_settled(OUTCOME_DEAD, "", "dead", "dead");
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "a delayed job says until when", test_a_delayed_job_says_until_when },
		{ "a deadline is said whatever a job waits for",
		  test_a_deadline_is_said_whatever_a_job_waits_for },
		{ "a waiting job names what is in the way of its lane",
		  test_a_waiting_job_names_what_is_in_the_way_of_its_lane },
		{ "a Retry-After has its time of day, or its date",
		  test_a_retry_after_has_its_time_of_day_or_its_date },
		{ "a rest from before the restart is known", test_a_rest_from_before_the_restart_is_known },
		{ "a probe is not taken for a limit of fetches",
		  test_a_probe_is_not_taken_for_a_limit_of_fetches },
		{ "a pause of everything comes first", test_a_pause_of_everything_comes_first },
		{ "a job waits for its turn if nothing is in the way",
		  test_a_job_waits_for_its_turn_if_nothing_is_in_the_way },
		{ "a queued job says what it waits for", test_a_queued_job_says_what_it_waits_for },
		{ "a running job says how long it has, and how long it may",
		  test_a_running_job_says_how_long_it_has_and_how_long_it_may },
		{ "a job between two places is being recorded",
		  test_a_job_between_two_places_is_being_recorded },
		{ "where a job was seen goes with why", test_where_a_job_was_seen_goes_with_why },
		{ "a settled job has its outcome and reason",
		  test_a_settled_job_has_its_outcome_and_reason },
		CU_TEST_INFO_NULL,
	};
	return unit_run("explain", tests);
}
