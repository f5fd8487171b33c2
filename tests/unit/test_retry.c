/* SPDX-License-Identifier: Apache-2.0 */
/* retry.h: what each answer and each failure means for a job, and when it is tried again. */
#include "engine/retry.h"

#include "base/clock.h"
#include "base/sync.h"
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* --- helpers ----------------------------------------------------------------------- */

static struct retry_policy policy_of(uint64_t max_attempts)
{
	struct retry_policy p = {
		.max_attempts = max_attempts,
		.base_ns = 1 * NS_PER_S,
		.max_ns = 60 * NS_PER_S,
		.max_retry_after_ns = 100 * NS_PER_S,
	};

	CU_ASSERT_EQUAL_FATAL(status_set_add(&p.success, "200-399"), 0);
	return p;
}

static struct job *job_of(const char *line)
{
	struct url_parser *parser = NULL;
	struct buf why = { 0 };
	struct job *job = NULL;

	CU_ASSERT_EQUAL_FATAL(url_parser_create(&parser), 0);
	CU_ASSERT_EQUAL_FATAL(job_parse(parser, line, strlen(line), &job, &why), 0);
	parser = url_parser_free(parser);
	buf_done(&why);
	return job;
}

static struct random dice = { .state = 1 };
static uint64_t left_ns = NEVER; /* until the jobs' deadline */

/* Judges an attempt of a job made of 'line', with 'before' attempts behind it. */
static struct judgement judge(const struct retry_policy *p, const char *line, unsigned before,
                              int error, const struct response *response, unsigned *ret_attempts)
{
	struct job *job = job_of(line);
	struct judgement j;

	job->attempts = before;
	retry_judge(p, job, error, left_ns, response, &dice, &j);
	*ret_attempts = job->attempts;
	job = job_free(job);
	return j;
}

static struct judgement judge_status(uint64_t max_attempts, const char *line, unsigned before,
                                     long status)
{
	const struct response response = { .status = status, .complete = true };
	const struct retry_policy p = policy_of(max_attempts);
	unsigned attempts = 0;

	struct judgement j = judge(&p, line, before, 0, &response, &attempts);
	CU_ASSERT_EQUAL(attempts, before + 1);
	return j;
}

static void expect_dead(const struct judgement *j, const char *reason)
{
	CU_ASSERT_EQUAL(j->kind, VERDICT_FINAL);
	CU_ASSERT_EQUAL(j->outcome, OUTCOME_DEAD);
	CU_ASSERT_STRING_EQUAL(j->reason, reason);
}

#define URL "http://a.test/"

/* --- status sets ------------------------------------------------------------------- */

static void test_status_sets(void)
{
	static const char *const bad[] = { "",        "2",    "20",          "2000", "99",
		                           "600",     "abc",  "200-",        "-200", "300-200",
		                           "200-600", "200 ", "200-300-400", "2xx",  "0200" };
	struct status_set set = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		CU_ASSERT_EQUAL(status_set_add(&set, bad[i]), -EINVAL);
		for (long status = 0; status < 1000; status++)
			CU_ASSERT_FALSE(status_set_has(&set, status));
	}
	CU_ASSERT_EQUAL(status_set_add(&set, "100"), 0);
	CU_ASSERT_EQUAL(status_set_add(&set, "163-164"), 0);
	CU_ASSERT_EQUAL(status_set_add(&set, "404-404"), 0);
	CU_ASSERT_EQUAL(status_set_add(&set, "598-599"), 0);
	for (long status = -700; status < 1000; status++)
		CU_ASSERT_EQUAL(status_set_has(&set, status),
		                status == 100 || status == 163 || status == 164 || status == 404 ||
		                        status == 598 || status == 599);
	CU_ASSERT_EQUAL(status_set_add(&set, "100-599"), 0);
	for (long status = -700; status < 1000; status++)
		CU_ASSERT_EQUAL(status_set_has(&set, status), status >= 100 && status <= 599);
}

/* --- answers ----------------------------------------------------------------------- */

static bool is_passing(long status)
{
	static const long passing[] = { 408, 425, 429, 500, 502, 503, 504 };

	for (size_t i = 0; i < ARRAY_LEN(passing); i++)
		if (passing[i] == status)
			return true;
	return false;
}

static void test_every_status_has_its_meaning(void)
{
	char reason[32];

	for (long status = 100; status <= 599; status++) {
		struct judgement j = judge_status(5, URL, 0, status);
		if (status >= 200 && status <= 399) {
			CU_ASSERT_EQUAL(j.kind, VERDICT_FINAL);
			CU_ASSERT_EQUAL(j.outcome, OUTCOME_DONE);
			CU_ASSERT_STRING_EQUAL(j.reason, "");
		} else if (is_passing(status)) {
			CU_ASSERT_EQUAL(j.kind, VERDICT_RETRY);
			CU_ASSERT_EQUAL(j.why, WAIT_RETRY);
			CU_ASSERT_STRING_EQUAL(j.reason, "");
		} else {
			(void) snprintf(reason, sizeof(reason), "http %ld", status);
			expect_dead(&j, reason);
		}
		CU_ASSERT_FALSE(j.transport_failed);
		CU_ASSERT_EQUAL(j.cool_ns, 0);
	}
}

static void test_what_counts_as_success_can_be_chosen(void)
{
	struct retry_policy p = policy_of(5);
	unsigned attempts = 0;

	p.success = (struct status_set) { 0 };
	CU_ASSERT_EQUAL(status_set_add(&p.success, "503"), 0);
	struct judgement j = judge(&p, URL, 0, 0, &(struct response) { .status = 503 }, &attempts);
	CU_ASSERT_EQUAL(j.kind, VERDICT_FINAL);
	CU_ASSERT_EQUAL(j.outcome, OUTCOME_DONE);
	j = judge(&p, URL, 0, 0, &(struct response) { .status = 200 }, &attempts);
	expect_dead(&j, "http 200");
}

static void test_every_error_has_its_meaning(void)
{
	static const struct {
		int error;
		enum verdict_kind kind;
		bool counts, transport_failed;
	} cases[] = {
		{ -ETIMEDOUT, VERDICT_RETRY, true, true },
		{ -ECONNREFUSED, VERDICT_RETRY, true, true },
		{ -ECONNRESET, VERDICT_RETRY, true, true },
		{ -EPROTO, VERDICT_RETRY, true, true },
		{ -EIO, VERDICT_RETRY, true, true },
		{ -ENOMEM, VERDICT_RETRY, true, false },
		{ -ENOENT, VERDICT_FINAL, true, false },
		{ -EPROTONOSUPPORT, VERDICT_FINAL, true, false },
		{ -EINVAL, VERDICT_FINAL, true, false },
		{ -EACCES, VERDICT_FINAL, true, false },
		{ -ELOOP, VERDICT_FINAL, true, false },
		{ -EFBIG, VERDICT_FINAL, true, false },
		{ -ENODATA, VERDICT_FINAL, true, false },
		{ -EKEYREJECTED, VERDICT_FINAL, true, false },
		{ -EBUSY, VERDICT_RETURN, false, false },
		{ -ECANCELED, VERDICT_RETURN, false, false },
	};
	/* A status that came with a failure says nothing, not even a good one. */
	const struct response response = { .status = 200, .reason = "what it was" };
	const struct retry_policy p = policy_of(5);

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		unsigned attempts = 0;
		struct judgement j = judge(&p, URL, 2, cases[i].error, &response, &attempts);
		CU_ASSERT_EQUAL(j.kind, cases[i].kind);
		CU_ASSERT_EQUAL(attempts, cases[i].counts ? 3u : 2u);
		CU_ASSERT_EQUAL(j.transport_failed, cases[i].transport_failed);
		if (j.kind == VERDICT_RETRY)
			CU_ASSERT_EQUAL(j.why, WAIT_RETRY);
		if (j.kind == VERDICT_FINAL)
			expect_dead(&j, "what it was");
		else
			CU_ASSERT_STRING_EQUAL(j.reason, "");
	}
}

static void test_what_was_not_attempted_comes_back(void)
{
	const struct response response = { .reason = "x" };
	const struct retry_policy p = policy_of(1);
	unsigned attempts = 0;

	/* Also at the last attempt, and a POST: nothing was sent. */
	struct judgement j = judge(&p, "{\"url\":\"" URL "\",\"body\":\"x\"}", 0, -EBUSY, &response,
	                           &attempts);
	CU_ASSERT_EQUAL(j.kind, VERDICT_RETURN);
	CU_ASSERT_TRUE(j.delay_ns > 0 && j.delay_ns <= NS_PER_S); /* not a busy loop */
	CU_ASSERT_EQUAL(j.why, WAIT_NAMES);
	j = judge(&p, URL, 0, -ECANCELED, &response, &attempts);
	CU_ASSERT_EQUAL(j.kind, VERDICT_RETURN);
	CU_ASSERT_EQUAL(j.delay_ns, 0);
	CU_ASSERT_EQUAL(attempts, 0);
}

static void test_what_cannot_be_kept_is_fetched_again(void)
{
	const char *post = "{\"url\":\"" URL "\",\"body\":\"x\"}";
	const struct response asked = { .status = 200, .body_error = -ENOSPC, .reason = "x" };
	const struct response large = { .status = 200, .body_error = -EFBIG, .reason = "x" };
	const struct response unasked = { .body_error = -EIO, .reason = "x" };
	const struct retry_policy p = policy_of(1);
	unsigned attempts = 0;

	struct judgement j = judge(&p, URL, 0, -ENOSPC, &asked, &attempts);
	CU_ASSERT_EQUAL(j.kind, VERDICT_RETURN);
	CU_ASSERT_EQUAL(j.why, WAIT_BODIES);
	CU_ASSERT_TRUE(j.delay_ns > 0 && j.delay_ns <= 10 * NS_PER_S);
	CU_ASSERT_FALSE(j.transport_failed);
	CU_ASSERT_EQUAL(attempts, 0);
	j = judge(&p, post, 0, -ENOSPC, &unasked, &attempts);
	CU_ASSERT_EQUAL(j.kind, VERDICT_RETURN);
	CU_ASSERT_EQUAL(attempts, 0);
	j = judge(&p, post, 0, -ENOSPC, &asked, &attempts);
	expect_dead(&j, "x");
	CU_ASSERT_EQUAL(attempts, 1);
	j = judge(&p, URL, 0, -ENOSPC, &large, &attempts);
	expect_dead(&j, "x");
}

/* It is an attempt, for others may have had the memory because they were quicker. */
static void test_a_wait_for_memory_is_nobody_s_fault(void)
{
	const struct response response = { .status = 200, .body_error = -ETIMEDOUT, .reason = "x" };
	const struct retry_policy p = policy_of(2);
	unsigned attempts = 0;

	struct judgement j = judge(&p, URL, 0, -ENOSPC, &response, &attempts);
	CU_ASSERT_EQUAL(j.kind, VERDICT_RETRY);
	CU_ASSERT_EQUAL(j.why, WAIT_RETRY);
	CU_ASSERT_FALSE(j.transport_failed);
	CU_ASSERT_EQUAL(attempts, 1);
	j = judge(&p, URL, 1, -ENOSPC, &response, &attempts);
	expect_dead(&j, "retries exhausted: x");
}

/* --- attempts ---------------------------------------------------------------------- */

static void test_attempts_are_limited(void)
{
	const struct response lost = { .reason = "connection lost" };
	const struct retry_policy p = policy_of(3);
	unsigned attempts = 0;

	CU_ASSERT_EQUAL(judge_status(3, URL, 0, 503).kind, VERDICT_RETRY);
	CU_ASSERT_EQUAL(judge_status(3, URL, 1, 503).kind, VERDICT_RETRY);
	struct judgement j = judge_status(3, URL, 2, 503);
	expect_dead(&j, "retries exhausted: http 503");
	j = judge(&p, URL, 2, -ECONNRESET, &lost, &attempts);
	expect_dead(&j, "retries exhausted: connection lost");
	j = judge_status(3, URL, 2, 404);
	expect_dead(&j, "http 404");
	CU_ASSERT_EQUAL(judge_status(3, URL, 2, 200).outcome, OUTCOME_DONE);
	j = judge_status(1, URL, 0, 503);
	expect_dead(&j, "http 503"); /* there were no retries to exhaust */
}

static void test_only_what_may_be_repeated_is(void)
{
	static const struct {
		const char *line;
		bool repeated;
	} cases[] = {
		{ URL, true },
		{ "{\"url\":\"" URL "\",\"method\":\"HEAD\"}", true },
		{ "{\"url\":\"" URL "\",\"method\":\"PUT\",\"body\":\"x\"}", true },
		{ "{\"url\":\"" URL "\",\"method\":\"DELETE\"}", true },
		{ "{\"url\":\"" URL "\",\"method\":\"POST\"}", false },
		{ "{\"url\":\"" URL "\",\"body\":\"x\"}", false },
		{ "{\"url\":\"" URL "\",\"method\":\"PATCH\",\"body\":\"x\"}", false },
		{ "{\"url\":\"" URL "\",\"method\":\"POST\",\"retry\":true}", true },
		{ "{\"url\":\"" URL "\",\"retry\":true}", true },
		{ "{\"url\":\"" URL "\",\"retry\":false}", false },
	};
	struct judgement j;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		j = judge_status(5, cases[i].line, 0, 503);
		if (cases[i].repeated)
			CU_ASSERT_EQUAL(j.kind, VERDICT_RETRY);
		if (!cases[i].repeated)
			expect_dead(&j, "not retried: http 503");
	}
	j = judge_status(5, "{\"url\":\"" URL "\",\"body\":\"x\"}", 0, 404);
	expect_dead(&j, "http 404"); /* would not have been retried anyway */
}

/* --- back-off ---------------------------------------------------------------------- */

/* Delays after attempt 'n' lie between 0 and 'bound', and fill that span. */
static void expect_back_off(const struct retry_policy *p, unsigned n, uint64_t bound_ns)
{
	enum { SAMPLES = 2000 };
	uint64_t least = UINT64_MAX, most = 0, sum = 0;
	unsigned attempts = 0;

	for (int i = 0; i < SAMPLES; i++) {
		struct judgement j = judge(p, URL, n - 1, -EIO, &(struct response) { 0 }, &attempts);
		CU_ASSERT_EQUAL_FATAL(j.kind, VERDICT_RETRY);
		least = j.delay_ns < least ? j.delay_ns : least;
		most = j.delay_ns > most ? j.delay_ns : most;
		sum += j.delay_ns / SAMPLES;
	}
	CU_ASSERT_TRUE(most <= bound_ns);
	CU_ASSERT_TRUE(most > bound_ns / 100 * 98);
	CU_ASSERT_TRUE(least < bound_ns / 50);
	CU_ASSERT_TRUE(sum > bound_ns / 100 * 45 && sum < bound_ns / 100 * 55);
}

static void test_the_back_off_doubles_up_to_its_bound(void)
{
	static const uint64_t bounds_s[] = { 1, 2, 4, 8, 16, 32, 60, 60, 60 };
	struct retry_policy p = policy_of(1000);

	dice.state = 1;
	for (unsigned n = 1; n <= ARRAY_LEN(bounds_s); n++)
		expect_back_off(&p, n, bounds_s[n - 1] * NS_PER_S);
	expect_back_off(&p, 900, 60 * NS_PER_S); /* no overflow */
	p.max_ns = p.base_ns;
	expect_back_off(&p, 1, 1 * NS_PER_S);
	expect_back_off(&p, 5, 1 * NS_PER_S);
	p.max_ns = UINT64_MAX / 2;
	expect_back_off(&p, 900, UINT64_MAX / 2);
}

static void test_the_jitter_follows_the_random_numbers(void)
{
	const struct retry_policy p = policy_of(5);
	struct random expected = { .state = 7 };
	unsigned attempts = 0;

	dice.state = 7;
	for (int i = 0; i < 10; i++) {
		struct judgement j = judge(&p, URL, 1, -EIO, &(struct response) { 0 }, &attempts);
		CU_ASSERT_EQUAL(j.delay_ns, random_up_to(&expected, 2 * NS_PER_S));
	}
}

static void test_retry_after_is_kept_to(void)
{
	const struct retry_policy p = policy_of(5);
	unsigned attempts = 0;

	for (int i = 0; i < 100; i++) {
		struct judgement j = judge(&p, URL, 0, 0,
		                           &(struct response) { .status = 503, .retry_after_s = 10 },
		                           &attempts);
		CU_ASSERT_EQUAL(j.kind, VERDICT_RETRY);
		CU_ASSERT_EQUAL(j.delay_ns, 10 * NS_PER_S); /* the back-off is up to 1 s only */
	}
	const struct retry_policy many = policy_of(100);
	bool longer = false;
	for (int i = 0; i < 100; i++) {
		struct judgement j = judge(&many, URL, 20, 0,
		                           &(struct response) { .status = 429, .retry_after_s = 1 },
		                           &attempts);
		CU_ASSERT_TRUE(j.delay_ns >= NS_PER_S);
		longer = longer || j.delay_ns > NS_PER_S;
	}
	CU_ASSERT_TRUE(longer); /* it is a lower bound, no more */
}

static void test_too_long_a_retry_after_is_death(void)
{
	const struct retry_policy p = policy_of(5);
	unsigned attempts = 0;

	struct judgement j = judge(&p, URL, 0, 0,
	                           &(struct response) { .status = 503, .retry_after_s = 100 },
	                           &attempts);
	CU_ASSERT_EQUAL(j.kind, VERDICT_RETRY);
	CU_ASSERT_EQUAL(j.delay_ns, 100 * NS_PER_S);
	j = judge(&p, URL, 0, 0, &(struct response) { .status = 503, .retry_after_s = 101 },
	          &attempts);
	expect_dead(&j, "retry-after is longer than retry.max_retry_after: http 503");
	j = judge(&p, URL, 0, 0, &(struct response) { .status = 503, .retry_after_s = INT64_MAX },
	          &attempts);
	expect_dead(&j, "retry-after is longer than retry.max_retry_after: http 503");
	j = judge(&p, URL, 0, 0, &(struct response) { .status = 200, .retry_after_s = 101 },
	          &attempts);
	CU_ASSERT_EQUAL(j.outcome, OUTCOME_DONE);
}

/* --- origins ----------------------------------------------------------------------- */

static struct judgement judge_pause(const char *line, int error, long status, int64_t retry_after_s)
{
	struct retry_policy p = policy_of(2);
	const struct response response = {
		.status = status, .retry_after_s = retry_after_s, .reason = "x"
	};
	unsigned attempts = 0;

	CU_ASSERT_EQUAL_FATAL(status_set_add(&p.success, "503"), 0);
	return judge(&p, line, 0, error, &response, &attempts);
}

static void test_a_pause_that_an_origin_asks_for_is_known(void)
{
	static const struct {
		int error;
		long status;
		int64_t retry_after_s;
		uint64_t cool_s;
	} cases[] = {
		{ 0, 429, 0, 0 },
		{ 0, 429, 7, 7 },
		{ 0, 503, 7, 7 }, /* a success here */
		{ 0, 503, 100, 100 },
		{ 0, 503, 101, 100 },
		{ 0, 503, INT64_MAX, 100 },
		{ 0, 429, 101, 100 },           /* the job dies of it */
		{ -ECONNRESET, 429, 7, 7 },     /* within the body */
		{ -EFBIG, 503, 7, 7 },
		{ 0, 200, 7, 0 },
		{ 0, 301, 7, 0 },
		{ 0, 500, 7, 0 },
		{ 0, 504, 7, 0 },
		{ -ECONNRESET, 0, 0, 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct judgement j = judge_pause(URL, cases[i].error, cases[i].status,
		                                 cases[i].retry_after_s);
		CU_ASSERT_EQUAL(j.cool_ns, cases[i].cool_s * NS_PER_S);
	}
}

static void test_a_pause_is_kept_to_whatever_becomes_of_the_job(void)
{
	struct judgement j = judge_pause(URL, 0, 503, 7);
	CU_ASSERT_EQUAL(j.outcome, OUTCOME_DONE);
	CU_ASSERT_EQUAL(j.cool_ns, 7 * NS_PER_S);

	j = judge_pause("{\"url\":\"" URL "\",\"body\":\"x\"}", 0, 429, 7);
	expect_dead(&j, "not retried: http 429");
	CU_ASSERT_EQUAL(j.cool_ns, 7 * NS_PER_S);

	j = judge_pause(URL, 0, 429, 101);
	expect_dead(&j, "retry-after is longer than retry.max_retry_after: http 429");
	CU_ASSERT_EQUAL(j.cool_ns, 100 * NS_PER_S);
}

/* --- deadlines ---------------------------------------------------------------------- */

static void test_no_attempt_begins_after_the_deadline(void)
{
	const struct response asked = { .status = 503, .complete = true, .retry_after_s = 20 };
	const struct response refused = { .reason = "connect failed" };
	const struct retry_policy p = policy_of(5);
	unsigned attempts = 0;

	left_ns = 20 * NS_PER_S;
	struct judgement j = judge(&p, URL, 1, 0, &asked, &attempts);
	expect_dead(&j, "deadline before the next attempt: http 503");
	CU_ASSERT_EQUAL(j.cool_ns, 20 * NS_PER_S); /* the others are to know */
	CU_ASSERT_EQUAL(attempts, 2);
	left_ns = 20 * NS_PER_S + 1;
	j = judge(&p, URL, 1, 0, &asked, &attempts);
	CU_ASSERT_EQUAL(j.kind, VERDICT_RETRY);
	CU_ASSERT_EQUAL(j.delay_ns, 20 * NS_PER_S);

	left_ns = 0;
	j = judge(&p, URL, 0, -ECONNREFUSED, &refused, &attempts);
	expect_dead(&j, "deadline before the next attempt: connect failed");
	CU_ASSERT_TRUE(j.transport_failed);

	/* What is the end anyway is called so. */
	j = judge(&p, URL, 4, -ECONNREFUSED, &refused, &attempts);
	expect_dead(&j, "retries exhausted: connect failed");
	j = judge(&p, URL, 0, 0, &(struct response) { .status = 200 }, &attempts);
	CU_ASSERT_EQUAL(j.outcome, OUTCOME_DONE);
	left_ns = NEVER;
}

static void test_what_the_deadline_has_ended_is_dead_and_blames_nobody(void)
{
	const struct response response = { .reason = "deadline: connecting" };
	const struct retry_policy p = policy_of(5);
	unsigned attempts = 0;

	left_ns = 0;
	struct judgement j = judge(&p, URL, 0, -ETIME, &response, &attempts);
	expect_dead(&j, "deadline: connecting");
	CU_ASSERT_FALSE(j.transport_failed);
	CU_ASSERT_EQUAL(attempts, 1);
	left_ns = NEVER;
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "a set of statuses holds what was added", test_status_sets },
		{ "every status has its meaning", test_every_status_has_its_meaning },
		{ "what counts as success can be chosen",
		  test_what_counts_as_success_can_be_chosen },
		{ "every error has its meaning", test_every_error_has_its_meaning },
		{ "what was not attempted comes back uncounted",
		  test_what_was_not_attempted_comes_back },
		{ "what cannot be kept is fetched again", test_what_cannot_be_kept_is_fetched_again },
		{ "a wait for memory is nobody's fault", test_a_wait_for_memory_is_nobody_s_fault },
		{ "attempts are limited", test_attempts_are_limited },
		{ "only what may be repeated is", test_only_what_may_be_repeated_is },
		{ "the back-off doubles up to its bound, with full jitter",
		  test_the_back_off_doubles_up_to_its_bound },
		{ "the jitter follows the random numbers",
		  test_the_jitter_follows_the_random_numbers },
		{ "a Retry-After is kept to", test_retry_after_is_kept_to },
		{ "too long a Retry-After is death", test_too_long_a_retry_after_is_death },
		{ "a pause that an origin asks for is known",
		  test_a_pause_that_an_origin_asks_for_is_known },
		{ "a pause is kept to whatever becomes of the job",
		  test_a_pause_is_kept_to_whatever_becomes_of_the_job },
		{ "no attempt begins after the deadline",
		  test_no_attempt_begins_after_the_deadline },
		{ "what the deadline has ended is dead and blames nobody",
		  test_what_the_deadline_has_ended_is_dead_and_blames_nobody },
		CU_TEST_INFO_NULL,
	};
	return unit_run("retry", tests);
}
