/* SPDX-License-Identifier: Apache-2.0 */
/* workers.h: a crew that fetches from a queue, and that grows and shrinks meanwhile. */
#include "engine/workers.h"

#include "base/clock.h"
#include "engine_stage.h"
#include "origin_process.h"

#include <curl/curl.h>
#include <errno.h>

static struct origin_process origin;

/* --- helpers ----------------------------------------------------------------------- */

struct crew {
	struct stage stage;
	struct queue *queue;
	struct fetcher *fetcher;
	struct workers *workers;
	atomic_uint left; /* calls of all_left() */
	atomic_uint dead; /* calls of dead() */
};

static void on_all_left(void *arg)
{
	struct crew *c = arg;

	(void) atomic_fetch_add(&c->left, 1);
}

static void on_dead(void *arg, const struct job *job, const char *reason)
{
	struct crew *c = arg;

	(void) job;
	if (strcmp(reason, "http 404") == 0)
		(void) atomic_fetch_add(&c->dead, 1);
}

static struct workers_policy policy_of(uint64_t timeout_ns)
{
	struct workers_policy policy = {
		.retry = { .max_attempts = 3, .base_ns = 1, .max_ns = 1 },
		.timeout_ns = timeout_ns,
		.max_redirects = 5,
		.max_body_bytes = 1024 * 1024,
	};

	CU_ASSERT_EQUAL_FATAL(status_set_add(&policy.retry.success, "200-399"), 0);
	return policy;
}

static void begin(struct crew *c)
{
	struct fetch_options fetch_options = {
		.connect_timeout_ns = 60 * NS_PER_S,
		.user_agent = "test/1",
		.max_idle = 8,
		.resolver = { .max_waiters = 1, .max_cached = 8 },
	};
	static const struct queue_options queue_options = {
		.capacity_jobs = 1000, .capacity_bytes = 16 << 20,
	};

	stage_init(&c->stage, NULL);
	atomic_store(&c->left, 0);
	atomic_store(&c->dead, 0);
	CU_ASSERT_EQUAL_FATAL(queue_create(&queue_options, &c->queue), 0);
	CU_ASSERT_EQUAL_FATAL(fetch_rules_create(&(struct fetch_rules_options) { 0 },
	                                         &fetch_options.rules), 0);
	CU_ASSERT_EQUAL_FATAL(fetcher_create(&fetch_options, &c->fetcher), 0);
	fetch_rules_unref(fetch_options.rules);
	const struct workers_options options = {
		.queue = c->queue,
		.backlog = c->stage.backlog,
		.fetcher = c->fetcher,
		.recorder = c->stage.recorder,
		.ledger = c->stage.ledger,
		.policy = policy_of(60 * NS_PER_S),
		.seed = 1,
		.all_left = on_all_left,
		.dead = on_dead,
		.arg = c,
	};
	CU_ASSERT_EQUAL_FATAL(workers_create(&options, &c->workers), 0);
}

/* Lets the workers leave, and ends everything. */
static void end(struct crew *c)
{
	queue_close(c->queue);
	c->workers = workers_free(c->workers);
	c->queue = queue_free(c->queue);
	c->fetcher = fetcher_free(c->fetcher);
	stage_flush(&c->stage);
}

static void push_to(struct crew *c, unsigned port, const char *target, unsigned n)
{
	char url[128];

	(void) snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", port, target);
	for (unsigned i = 0; i < n; i++) {
		size_t pushed = 0;
		submit_job(&c->stage, url);
		struct job *job = take_job(&c->stage, LEDGER_QUEUED);
		CU_ASSERT_PTR_NOT_NULL_FATAL(job);
		CU_ASSERT_EQUAL_FATAL(queue_push(c->queue, &job, 1, NEVER, &pushed), 0);
	}
}

static void push(struct crew *c, const char *target, unsigned n)
{
	push_to(c, origin.port, target, n);
}

/* The lane of this port at 'host'. */
static struct queue_lane lane_of(struct crew *c, const char *host, unsigned port)
{
	struct queue_lane lane;
	char name[64];

	(void) snprintf(name, sizeof(name), "http://%s:%u", host, port);
	queue_lane(c->queue, name, &lane);
	return lane;
}

/* Ends the jobs that wait in the backlog; returns how many. */
static unsigned settle_waiting(struct crew *c)
{
	unsigned n = 0;

	for (struct job *job; (job = take_job(&c->stage, LEDGER_RUNNING)); n++) {
		const struct verdict verdict = { .job = job, .kind = VERDICT_FINAL };
		settle_jobs(c->stage.backlog, &verdict, 1);
	}
	return n;
}

static void resize(struct crew *c, unsigned n)
{
	struct workers_stats stats;

	CU_ASSERT_EQUAL_FATAL(workers_resize(c->workers, n), 0);
	workers_stats(c->workers, &stats);
	CU_ASSERT_EQUAL(stats.wanted, n);
	CU_ASSERT_TRUE(stats.alive >= n);
}

static void await_alive(struct crew *c, unsigned n)
{
	struct workers_stats stats;

	while (workers_stats(c->workers, &stats), stats.alive != n)
		(void) sched_yield();
}

static void await_booked(struct crew *c, enum ledger_account account, uint64_t n)
{
	while (booked(&c->stage, account) != n)
		(void) sched_yield();
}

/* --- tests ------------------------------------------------------------------------- */

static void test_every_job_is_fetched_once(void)
{
	struct crew c;
	struct workers_stats stats;

	begin(&c);
	push(&c, "/bytes/100", 50);
	push(&c, "/status/404", 10);
	resize(&c, 4);
	await_booked(&c, LEDGER_DONE, 50);
	await_booked(&c, LEDGER_DEAD, 10);
	workers_stats(c.workers, &stats);
	CU_ASSERT_EQUAL(stats.attempts, 60);
	CU_ASSERT_EQUAL(stats.retries, 0);
	CU_ASSERT_EQUAL(stats.failed, 10);
	CU_ASSERT_EQUAL(stats.body_bytes, 50 * 100 + 10 * 128);
	CU_ASSERT_EQUAL(atomic_load(&c.dead), 10);
	CU_ASSERT_EQUAL(atomic_load(&c.left), 0);
	end(&c);
	CU_ASSERT_EQUAL(atomic_load(&c.left), 1);
	CU_ASSERT_EQUAL(read_log(c.stage.path, NULL, NULL), 60);
	stage_done(&c.stage);
}

static void test_a_passing_failure_goes_back_to_the_backlog(void)
{
	struct crew c;

	begin(&c);
	push(&c, "/status/503", 3);
	resize(&c, 2);
	await_booked(&c, LEDGER_WAITING, 3);
	end(&c);
	CU_ASSERT_EQUAL(booked(&c.stage, LEDGER_DONE) + booked(&c.stage, LEDGER_DEAD), 0);
	struct job *job = take_job(&c.stage, LEDGER_RUNNING);
	CU_ASSERT_PTR_NOT_NULL_FATAL(job);
	CU_ASSERT_EQUAL(job ? job->attempts : 0, 1);
	const struct verdict verdict = { .job = job, .kind = VERDICT_FINAL };
	settle_jobs(c.stage.backlog, &verdict, 1);
	stage_done(&c.stage);
}

static void test_the_crew_shrinks_and_grows(void)
{
	static const unsigned sizes[] = { 8, 1, 5, 2, 9, 3 };
	struct crew c;

	begin(&c);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		resize(&c, sizes[i]);
		await_alive(&c, sizes[i]); /* idle workers leave without a job */
	}
	push(&c, "/ok", 20);
	await_booked(&c, LEDGER_DONE, 20);
	end(&c);
	stage_done(&c.stage);
}

static void test_resizing_under_load_loses_no_job(void)
{
	enum { ROUNDS = 60, JOBS = 10 };
	struct crew c;
	struct random random = { .state = random_seed() };

	begin(&c);
	for (int i = 0; i < ROUNDS; i++) {
		push(&c, "/ok", JOBS);
		resize(&c, 1 + (unsigned) random_up_to(&random, 11));
	}
	resize(&c, 3);
	await_booked(&c, LEDGER_DONE, (uint64_t) ROUNDS * JOBS);
	await_alive(&c, 3);
	CU_ASSERT_EQUAL(atomic_load(&c.left), 0);
	end(&c);
	CU_ASSERT_EQUAL(atomic_load(&c.left), 1);
	CU_ASSERT_EQUAL(read_log(c.stage.path, NULL, NULL), ROUNDS * JOBS);
	stage_done(&c.stage);
}

static void test_a_dismissed_worker_finishes_its_job(void)
{
	struct crew c;
	struct workers_stats stats;

	begin(&c);
	push(&c, "/stall", 4);
	resize(&c, 4);
	await_booked(&c, LEDGER_RUNNING, 4);
	resize(&c, 1);
	workers_stats(c.workers, &stats);
	CU_ASSERT_EQUAL(stats.alive, 4);
	resize(&c, 4); /* changed our mind: nobody has left yet, so nobody is started */
	workers_stats(c.workers, &stats);
	CU_ASSERT_EQUAL(stats.alive, 4);
	resize(&c, 1);
	fetcher_cancel(c.fetcher);
	await_alive(&c, 1);
	await_booked(&c, LEDGER_WAITING, 4); /* aborted, not lost */
	workers_stats(c.workers, &stats);
	CU_ASSERT_EQUAL(stats.attempts, 0);
	end(&c);
	stage_done(&c.stage);
}

static void test_what_is_queued_at_the_close_is_still_fetched(void)
{
	struct crew c;

	begin(&c);
	push(&c, "/ok", 30);
	queue_close(c.queue);
	CU_ASSERT_EQUAL(workers_resize(c.workers, 2), 0); /* who may have left already */
	end(&c);
	CU_ASSERT_EQUAL(booked(&c.stage, LEDGER_DONE), 30);
	stage_done(&c.stage);
}

static void test_a_new_policy_holds_for_the_next_attempt(void)
{
	struct crew c;
	struct workers_policy policy = policy_of(60 * NS_PER_S);

	begin(&c);
	resize(&c, 1);
	push(&c, "/ok", 1);
	await_booked(&c, LEDGER_DONE, 1);
	policy.retry.max_attempts = 1;
	policy.timeout_ns = 100 * NS_PER_MS;
	workers_set_policy(c.workers, &policy);
	push(&c, "/status/503", 1);
	push(&c, "/stall", 1);
	await_booked(&c, LEDGER_DEAD, 2);
	end(&c);
	stage_done(&c.stage);
}

static void test_an_overdue_worker_is_noticed(void)
{
	struct crew c;
	struct workers_stuck stuck = { 0 };
	uint64_t since_ns = 0, bound_ns = 0, number = 0;

	begin(&c);
	resize(&c, 2);
	origin_await_in_flight(&origin, 0); /* what earlier tests have left */
	push(&c, "/stall", 1);
	origin_await_in_flight(&origin, 1);
	CU_ASSERT_TRUE(workers_are_healthy(c.workers, clock_now_ns(), &stuck));
	CU_ASSERT_EQUAL(stuck.n, 0);
	CU_ASSERT_FALSE(
	        workers_are_healthy(c.workers, clock_now_ns() + 3600 * NS_PER_S, &stuck));
	CU_ASSERT_EQUAL(stuck.n, 1); /* the other one is idle, which is no fault */
	CU_ASSERT_STRING_EQUAL(stuck.doing, "fetching");
	number = stuck.number;
	CU_ASSERT_TRUE(workers_find(c.workers, number, &since_ns, &bound_ns));
	CU_ASSERT_TRUE(since_ns > 0 && since_ns <= clock_now_ns() && bound_ns > since_ns);
	CU_ASSERT_FALSE(workers_find(c.workers, number + 1, &since_ns, &bound_ns));
	fetcher_cancel(c.fetcher);
	end(&c);
	stage_done(&c.stage);
}

/* --- lanes ------------------------------------------------------------------------- */

static void test_an_origin_that_fails_is_left_alone_and_its_jobs_come_back(void)
{
	static const struct lane_rule rules[] = {
		{ "*", { .burst = 1, .breaker = 2, .breaker_pause_ns = 3600 * NS_PER_S,
		         .breaker_max_ns = 3600 * NS_PER_S } },
	};
	struct workers_stats stats;
	struct crew c;

	begin(&c);
	CU_ASSERT_EQUAL(queue_set_rules(c.queue, rules, 1), 0);
	push_to(&c, 1, "/", 6); /* nobody listens there */
	push(&c, "/bytes/1", 3);
	resize(&c, 1);
	await_booked(&c, LEDGER_WAITING, 6);
	CU_ASSERT_EQUAL(lane_of(&c, "127.0.0.1", 1).obstacle.why, WAIT_BREAKER);
	CU_ASSERT_EQUAL(lane_of(&c, "127.0.0.1", 1).failures, 2);
	await_booked(&c, LEDGER_DONE, 3); /* the others go on */
	workers_stats(c.workers, &stats);
	CU_ASSERT_EQUAL(stats.attempts, 5);
	end(&c);
	CU_ASSERT_EQUAL(settle_waiting(&c), 6);
	stage_done(&c.stage);
}

static void test_a_retry_after_holds_for_the_whole_lane(void)
{
	struct workers_policy policy = policy_of(60 * NS_PER_S);
	struct workers_stats stats;
	struct crew c;

	begin(&c);
	policy.retry.max_retry_after_ns = 3600 * NS_PER_S;
	workers_set_policy(c.workers, &policy);
	push(&c, "/status/429?retry_after=1000", 5);
	resize(&c, 1);
	await_booked(&c, LEDGER_WAITING, 5);
	CU_ASSERT_EQUAL(lane_of(&c, "127.0.0.1", origin.port).obstacle.why, WAIT_RETRY_AFTER);
	workers_stats(c.workers, &stats);
	CU_ASSERT_EQUAL(stats.attempts, 1);
	end(&c);
	CU_ASSERT_EQUAL(settle_waiting(&c), 5);
	stage_done(&c.stage);
}

static void push_redirect(struct crew *c, const char *host)
{
	char target[128];

	(void) snprintf(target, sizeof(target), "/redirect-to?url=http://%s:%u/bytes/7", host,
	                (unsigned) origin.port);
	push(c, target, 1);
}

static void test_a_redirect_to_a_lane_that_may_run_is_followed_at_once(void)
{
	struct workers_stats stats;
	struct crew c;

	begin(&c);
	push_redirect(&c, "localhost");
	resize(&c, 1);
	await_booked(&c, LEDGER_DONE, 1);
	workers_stats(c.workers, &stats);
	CU_ASSERT_EQUAL(stats.attempts, 1);
	CU_ASSERT_EQUAL(stats.hops, 0);
	CU_ASSERT_EQUAL(lane_of(&c, "localhost", origin.port).running, 0);
	CU_ASSERT_EQUAL(lane_of(&c, "127.0.0.1", origin.port).running, 0);
	end(&c);
	stage_done(&c.stage);
}

static void test_a_redirect_to_a_lane_that_may_not_run_waits_there(void)
{
	struct job_list none = { 0 };
	struct workers_stats stats;
	char other[64];
	size_t pushed = 0;
	struct crew c;

	begin(&c);
	(void) snprintf(other, sizeof(other), "http://localhost:%u", (unsigned) origin.port);
	CU_ASSERT_EQUAL(queue_pause(c.queue, other, &none), 0);
	push_redirect(&c, "localhost");
	resize(&c, 1);
	await_booked(&c, LEDGER_WAITING, 1);
	struct job *job = take_job(&c.stage, LEDGER_QUEUED);
	CU_ASSERT_PTR_NOT_NULL_FATAL(job);
	CU_ASSERT_STRING_EQUAL(job_lane_origin(job)->text, other);
	CU_ASSERT_EQUAL(job->attempts, 0);
	CU_ASSERT_EQUAL(job->hop->redirects, 1);

	CU_ASSERT_TRUE(queue_resume(c.queue, other));
	CU_ASSERT_EQUAL(queue_push(c.queue, &job, 1, NEVER, &pushed), 0);
	await_booked(&c, LEDGER_DONE, 1);
	workers_stats(c.workers, &stats);
	CU_ASSERT_EQUAL(stats.attempts, 1);
	CU_ASSERT_EQUAL(stats.hops, 1);
	CU_ASSERT_EQUAL(stats.body_bytes, 7);
	end(&c);
	CU_ASSERT_EQUAL(read_log(c.stage.path, NULL, NULL), 1);
	stage_done(&c.stage);
}

/* --- deadlines --------------------------------------------------------------------- */

/* Pushes a job that has so much time. */
static void push_until(struct crew *c, const char *target, int64_t left_us)
{
	char text[CLOCK_TEXT_SIZE], line[256];
	size_t pushed = 0;

	clock_format(clock_wall_us() + left_us, text);
	(void) snprintf(line, sizeof(line), "{\"url\":\"http://127.0.0.1:%u%s\",\"deadline\":\"%s\"}",
	                (unsigned) origin.port, target, text);
	submit_job(&c->stage, line);
	struct job *job = take_job(&c->stage, LEDGER_QUEUED);
	CU_ASSERT_PTR_NOT_NULL_FATAL(job);
	CU_ASSERT_EQUAL_FATAL(queue_push(c->queue, &job, 1, NEVER, &pushed), 0);
}

static void expect_reason(void *arg, json_t *record)
{
	const char *reason = json_string_value(json_object_get(record, "reason"));

	CU_ASSERT_PTR_NOT_NULL_FATAL(reason);
	CU_ASSERT_STRING_EQUAL(reason, arg);
}

static void test_a_job_that_expires_in_the_queue_is_not_fetched(void)
{
	char reason[] = "deadline: waiting to be fetched";
	struct workers_stats stats;
	struct crew c;

	begin(&c);
	long long requests = origin_counter(&origin, "requests");
	push_until(&c, "/ok", -1000000);
	resize(&c, 1);
	await_booked(&c, LEDGER_DEAD, 1);
	CU_ASSERT_EQUAL(origin_counter(&origin, "requests"), requests);
	workers_stats(c.workers, &stats);
	CU_ASSERT_EQUAL(stats.attempts, 0);
	CU_ASSERT_EQUAL(lane_of(&c, "127.0.0.1", origin.port).running, 0);
	end(&c);
	CU_ASSERT_EQUAL(read_log(c.stage.path, expect_reason, reason), 1);
	stage_done(&c.stage);
}

static void test_a_deadline_ends_an_attempt_and_blames_nobody(void)
{
	static const struct lane_rule rules[] = {
		{ "*", { .burst = 1, .breaker = 1, .breaker_pause_ns = 3600 * NS_PER_S,
		         .breaker_max_ns = 3600 * NS_PER_S } },
	};
	char reason[] = "deadline: waiting for the response";
	struct crew c;

	begin(&c);
	CU_ASSERT_EQUAL(queue_set_rules(c.queue, rules, 1), 0);
	push_until(&c, "/stall", 1500000); /* a busy machine needs that to ask */
	resize(&c, 1);
	await_booked(&c, LEDGER_DEAD, 1);
	CU_ASSERT_EQUAL(lane_of(&c, "127.0.0.1", origin.port).failures, 0);
	CU_ASSERT_EQUAL(lane_of(&c, "127.0.0.1", origin.port).obstacle.why, WAIT_WORKER);
	end(&c);
	CU_ASSERT_EQUAL(read_log(c.stage.path, expect_reason, reason), 1);
	stage_done(&c.stage);
}

static void test_a_retry_after_the_deadline_is_not_waited_for(void)
{
	char reason[] = "deadline before the next attempt: http 503";
	struct workers_policy policy = policy_of(60 * NS_PER_S);
	struct crew c;

	begin(&c);
	policy.retry.max_retry_after_ns = 7200 * NS_PER_S;
	workers_set_policy(c.workers, &policy);
	push_until(&c, "/status/503?retry_after=7000", INT64_C(3600) * 1000000);
	resize(&c, 1);
	await_booked(&c, LEDGER_DEAD, 1);
	end(&c);
	CU_ASSERT_EQUAL(read_log(c.stage.path, expect_reason, reason), 1);
	stage_done(&c.stage);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "every job is fetched once", test_every_job_is_fetched_once },
		{ "a passing failure goes back to the backlog",
		  test_a_passing_failure_goes_back_to_the_backlog },
		{ "the crew shrinks and grows", test_the_crew_shrinks_and_grows },
		{ "resizing under load loses no job", test_resizing_under_load_loses_no_job },
		{ "a dismissed worker finishes its job", test_a_dismissed_worker_finishes_its_job },
		{ "what is queued at the close is still fetched",
		  test_what_is_queued_at_the_close_is_still_fetched },
		{ "a new policy holds for the next attempt",
		  test_a_new_policy_holds_for_the_next_attempt },
		{ "an overdue worker is noticed", test_an_overdue_worker_is_noticed },
		{ "an origin that fails is left alone, and its jobs come back",
		  test_an_origin_that_fails_is_left_alone_and_its_jobs_come_back },
		{ "a Retry-After holds for the whole lane",
		  test_a_retry_after_holds_for_the_whole_lane },
		{ "a redirect to a lane that may run is followed at once",
		  test_a_redirect_to_a_lane_that_may_run_is_followed_at_once },
		{ "a redirect to a lane that may not run waits there",
		  test_a_redirect_to_a_lane_that_may_not_run_waits_there },
		{ "a job that expires in the queue is not fetched",
		  test_a_job_that_expires_in_the_queue_is_not_fetched },
		{ "a deadline ends an attempt and blames nobody",
		  test_a_deadline_ends_an_attempt_and_blames_nobody },
		{ "a retry after the deadline is not waited for",
		  test_a_retry_after_the_deadline_is_not_waited_for },
		CU_TEST_INFO_NULL,
	};

	if (!origin_is_there())
		return ORIGIN_SKIP;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || !origin_start(&origin))
		return EXIT_FAILURE;
	int status = unit_run("workers", tests);
	return origin_stop(&origin) ? status : EXIT_FAILURE;
}
