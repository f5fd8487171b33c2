/* SPDX-License-Identifier: Apache-2.0 */
/* Histograms, and what the attempts of all workers came to. */
#include "engine/tally.h"

#include "base/clock.h"
#include "unit.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static const struct judgement done = { .kind = VERDICT_FINAL, .outcome = OUTCOME_DONE };
static const struct judgement dead = { .kind = VERDICT_FINAL, .outcome = OUTCOME_DEAD };
static const struct judgement again = { .kind = VERDICT_RETRY };

static void test_bounds_rise_and_are_what_their_text_says(void)
{
	for (unsigned i = 0; i < HISTOGRAM_BOUNDS; i++) {
		const struct histogram_bound *bound = &histogram_bounds[i];
		CU_ASSERT_TRUE(i == 0 || bound->ns > histogram_bounds[i - 1].ns);
		CU_ASSERT_DOUBLE_EQUAL(strtod(bound->seconds, NULL) * 1e9, (double) bound->ns, 1e-3);
		CU_ASSERT_PTR_NOT_NULL(strchr(bound->seconds, '.'));
	}
}

static void test_a_bound_belongs_to_its_own_bucket(void)
{
	for (unsigned i = 0; i < HISTOGRAM_BOUNDS; i++) {
		struct histogram h = { 0 };
		struct histogram_figures f;
		histogram_add(&h, histogram_bounds[i].ns);
		histogram_add(&h, histogram_bounds[i].ns + 1);
		histogram_read(&h, &f);
		CU_ASSERT_EQUAL(f.counts[i], 1);
		CU_ASSERT_EQUAL(f.counts[i + 1], 1);
		CU_ASSERT_EQUAL(f.sum_ns, 2 * histogram_bounds[i].ns + 1);
	}
}

enum { THREADS = 4, ADDS = 20000 };

static void *add_many(void *arg)
{
	for (uint64_t i = 0; i < ADDS; i++)
		histogram_add(arg, i * NS_PER_US);
	return NULL;
}

static void test_nothing_is_lost_between_threads(void)
{
	struct histogram h = { 0 };
	struct histogram_figures f;
	pthread_t threads[THREADS];
	uint64_t n = 0;

	for (int i = 0; i < THREADS; i++)
		CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, add_many, &h), 0);
	for (int i = 0; i < THREADS; i++)
		CU_ASSERT_EQUAL_FATAL(pthread_join(threads[i], NULL), 0);
	histogram_read(&h, &f);
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		n += f.counts[i];
	CU_ASSERT_EQUAL(n, THREADS * ADDS);
	CU_ASSERT_EQUAL(f.sum_ns, THREADS * NS_PER_US * ((uint64_t) ADDS * (ADDS - 1) / 2));
}

static void test_each_attempt_counts_once(void)
{
	static const struct {
		int error;
		long status;
		int body_error;
		const struct judgement *j;
		int class;      /* of a response; 0: there was none */
		int why;        /* enum failure; -1: it was a success */
	} cases[] = {
		{ 0, 200, 0, &done, 2, -1 },
		{ 0, 304, 0, &done, 3, -1 },
		{ 0, 404, 0, &dead, 4, FAILURE_HTTP_4XX },
		{ 0, 404, 0, &done, 4, -1 }, /* fetch.success has it */
		{ 0, 503, 0, &again, 5, FAILURE_HTTP_5XX },
		{ 0, 204, 0, &dead, 2, FAILURE_HTTP_OTHER },
		{ 0, 600, 0, &dead, 0, FAILURE_HTTP_OTHER },
		{ -ETIMEDOUT, 200, 0, &again, 0, FAILURE_TIMEOUT }, /* a body that did not end */
		{ -ETIME, 0, 0, &dead, 0, FAILURE_DEADLINE },
		{ -ENOENT, 0, 0, &dead, 0, FAILURE_NAME },
		{ -ECONNREFUSED, 0, 0, &again, 0, FAILURE_CONNECT },
		{ -ECONNRESET, 0, 0, &again, 0, FAILURE_RESET },
		{ -EKEYREJECTED, 0, 0, &dead, 0, FAILURE_TLS },
		{ -EPROTO, 0, 0, &again, 0, FAILURE_PROTOCOL },
		{ -ELOOP, 302, 0, &dead, 0, FAILURE_REDIRECT },
		{ -EPROTONOSUPPORT, 302, 0, &dead, 0, FAILURE_REDIRECT },
		{ -EFBIG, 200, 0, &dead, 0, FAILURE_TOO_LARGE },
		{ -EACCES, 0, 0, &dead, 0, FAILURE_GUARD },
		{ -ENODATA, 0, 0, &dead, 0, FAILURE_BODY },
		{ -ENOSPC, 200, -ETIMEDOUT, &again, 0, FAILURE_BODY },
		{ 0, 200, -ENOSPC, &dead, 2, FAILURE_BODY }, /* whole, but not kept */
		{ -EIO, 0, 0, &again, 0, FAILURE_OTHER },
		{ -ENOMEM, 0, 0, &again, 0, FAILURE_OTHER },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct response response = { .status = cases[i].status,
			                           .body_error = cases[i].body_error };
		struct tally t = { 0 };
		struct tally_figures f;

		tally_attempt(&t, cases[i].error, &response, cases[i].j);
		tally_read(&t, &f);
		for (int c = 0; c < STATUS_CLASSES; c++)
			CU_ASSERT_EQUAL(f.responses[c], c + 1 == cases[i].class);
		for (int why = 0; why < FAILURES; why++) {
			CU_ASSERT_EQUAL(f.failures[why], why == cases[i].why);
			CU_ASSERT_EQUAL(f.retried[why],
			                why == cases[i].why && cases[i].j->kind == VERDICT_RETRY);
		}
		CU_ASSERT_EQUAL(f.duration.counts[0], 1);
	}
}

static void expect_phases(const struct response *response, const uint64_t us[static PHASES],
                          unsigned taken)
{
	struct tally t = { 0 };
	struct tally_figures f;

	tally_attempt(&t, 0, response, &done);
	tally_read(&t, &f);
	for (int phase = 0; phase < PHASES; phase++) {
		uint64_t n = 0;
		for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
			n += f.phases[phase].counts[i];
		CU_ASSERT_EQUAL(n, taken >> phase & 1);
		CU_ASSERT_EQUAL(f.phases[phase].sum_ns, us[phase] * NS_PER_US);
	}
	CU_ASSERT_EQUAL(f.duration.sum_ns, response->total_us * NS_PER_US);
}

static void test_steps_count_that_were_taken(void)
{
	/* All of them, behind a redirect; on a kept connection; and one that broke. */
	expect_phases(&(struct response) { .status = 200, .complete = true, .redirect_us = 1000,
	                                   .namelookup_us = 1010, .connect_us = 1210,
	                                   .appconnect_us = 2210, .pretransfer_us = 2211,
	                                   .starttransfer_us = 2711, .total_us = 2714 },
	              (uint64_t[PHASES]) { 10, 200, 1000, 500, 3 }, 0x1f);
	expect_phases(&(struct response) { .status = 200, .complete = true, .pretransfer_us = 5,
	                                   .starttransfer_us = 25, .total_us = 30 },
	              (uint64_t[PHASES]) { 0, 0, 0, 20, 5 }, 0x18);
	expect_phases(&(struct response) { .redirect_us = 900, .namelookup_us = 7, .connect_us = 1000,
	                                   .pretransfer_us = 1001, .total_us = 5000 },
	              (uint64_t[PHASES]) { 0, 100, 0, 0, 0 }, 0x2);
}

static void test_every_name_is_another(void)
{
	for (int i = 0; i < FAILURES; i++)
		for (int j = 0; j < i; j++)
			CU_ASSERT_STRING_NOT_EQUAL(failure_name((enum failure) i),
			                           failure_name((enum failure) j));
	for (int i = 0; i < PHASES; i++)
		for (int j = 0; j < i; j++)
			CU_ASSERT_STRING_NOT_EQUAL(fetch_phase_name((enum fetch_phase) i),
			                           fetch_phase_name((enum fetch_phase) j));
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "bounds rise, and are what their text says",
		  test_bounds_rise_and_are_what_their_text_says },
		{ "a bound belongs to its own bucket", test_a_bound_belongs_to_its_own_bucket },
		{ "nothing is lost between threads", test_nothing_is_lost_between_threads },
		{ "each attempt counts once", test_each_attempt_counts_once },
		{ "steps count that were taken", test_steps_count_that_were_taken },
		{ "every name is another", test_every_name_is_another },
		CU_TEST_INFO_NULL,
	};
	return unit_run("tally", tests);
}
