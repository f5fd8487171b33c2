/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fails each allocation in turn, ours and then the libraries', until a call gets by
 * without a failure: it must report each one, leave nothing behind and work the next time.
 */
#include "backlog_calls.h"
#include "base/buf.h"
#include "failing_malloc.h"
#include "fetch/guard.h"
#include "job/job.h"
#include "queue/queue.h"
#include "stub_jobs.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Runs 'attempt' with its first allocation failing, then its second, and so on, until
 * no more is made.  Returns how many there were. */
static unsigned fail_each(int (*attempt)(void *arg), void *arg, bool other_errors)
{
	unsigned n = 0;

	do {
		faults_arm(++n, 1, 1);
		int r = attempt(arg);
		faults_end();
		bool right = faults.failed > 0 ? r == -ENOMEM || (other_errors && r == -EINVAL) : r == 0;
		if (!right)
			(void) printf("\nallocation %u: %d ", n, r);
		CU_ASSERT_TRUE(right);
	} while (faults.failed > 0);
	return n - 1;
}

static int make_queue(void *arg)
{
	struct queue *q = NULL;
	int r = queue_create(
		&(struct queue_options) { .capacity_jobs = 10, .capacity_bytes = 10 }, &q);

	(void) arg;
	queue_free(q);
	return r;
}

static void test_queues(void) { CU_ASSERT_TRUE(fail_each(make_queue, NULL, false) > 0); }

enum { MANY_LANES = 40 }; /* more than a first allocation has room for */

/* 100 jobs, likewise; freed with free_jobs(). */
static void jobs_of_many_lanes(struct job **ret_jobs)
{
	static char names[MANY_LANES][32];

	for (size_t i = 0; i < 100; i++) {
		char *name = names[i % MANY_LANES];
		(void) snprintf(name, sizeof(names[0]), "http://%zu:80", i % MANY_LANES);
		ret_jobs[i] = stub_job_at(name, 1);
	}
}

static size_t count_lanes(struct backlog *b)
{
	struct query q = { .kind = QUERY_LANES };

	CU_ASSERT_EQUAL(backlog_query_and_wait(b, &q), 0);
	return q.all_lanes;
}

static int make_backlog(void *arg)
{
	struct job *jobs[100];
	struct backlog *b = NULL;
	long planned = faults.broken;

	(void) arg;
	faults_end();
	jobs_of_many_lanes(jobs);
	faults.broken = planned;
	int r = create_memory_backlog(1000, 1000, &b);
	if (r == 0)
		r = submit_jobs(b, jobs, ARRAY_LEN(jobs));
	faults_end();
	if (b)
		CU_ASSERT_EQUAL(count_lanes(b), r == 0 ? MANY_LANES : 0);
	if (r < 0)
		free_jobs(jobs, ARRAY_LEN(jobs)); /* they are still ours */
	backlog_free(b);
	return r;
}

static void test_backlogs(void)
{
	CU_ASSERT_TRUE(fail_each(make_backlog, NULL, false) > MANY_LANES);
}

/* All are out at first: a lane that no job waits in is still there for those that come back. */
static void test_settling_takes_no_memory(void)
{
	struct job *jobs[100], *taken[100];
	struct backlog *b = NULL;
	uint64_t due_ns = 0;

	jobs_of_many_lanes(jobs);
	CU_ASSERT_EQUAL_FATAL(create_memory_backlog(1000, 100000, &b), 0);
	CU_ASSERT_EQUAL(submit_jobs(b, jobs, ARRAY_LEN(jobs)), 0);
	CU_ASSERT_EQUAL(take_jobs(b, 0, ARRAY_LEN(jobs), taken, &due_ns), ARRAY_LEN(jobs));
	for (int kind = VERDICT_RETRY; kind <= VERDICT_RETURN; kind++) {
		for (uint64_t due = 0; due < 2; due++) {
			faults_arm(1, 1000, 1);
			for (size_t i = 0; i < ARRAY_LEN(jobs); i++)
				settle_jobs(b, &(struct verdict) { .job = taken[i], .due_ns = due,
					                           .kind = (enum verdict_kind) kind }, 1);
			CU_ASSERT_EQUAL(take_jobs(b, 1, ARRAY_LEN(jobs), taken, &due_ns),
			                ARRAY_LEN(jobs));
			faults_end();
			CU_ASSERT_EQUAL(faults.failed, 0);
		}
	}
	for (size_t i = 0; i < ARRAY_LEN(jobs); i++)
		settle_jobs(b, &(struct verdict) { .job = jobs[i], .kind = VERDICT_FINAL }, 1);
	CU_ASSERT_EQUAL(count_lanes(b), 0);
	backlog_free(b);
}

static void test_a_hop_without_memory_is_forgotten(void)
{
	const struct job_hop hop = { .url = "http://x/",
		                     .origin = { .text = "http://x:80", .host = "x" } };
	struct job *job = stub_job(0, 1);
	struct backlog *b = NULL;
	struct backlog_stats stats;
	uint64_t due_ns = 0;

	CU_ASSERT_EQUAL_FATAL(create_memory_backlog(10, 1000, &b), 0);
	CU_ASSERT_EQUAL(submit_jobs(b, &job, 1), 0);
	CU_ASSERT_EQUAL(take_jobs(b, 0, 1, &job, &due_ns), 1);
	CU_ASSERT_EQUAL_FATAL(job_set_hop(job, &hop), 0);

	faults_arm(1, 1, 1);
	settle_jobs(b, &(struct verdict) { .job = job, .kind = VERDICT_HOP }, 1);
	faults_end();
	CU_ASSERT_EQUAL(faults.failed, 1);
	CU_ASSERT_PTR_NULL(job->hop);
	backlog_stats(b, &stats);
	CU_ASSERT_EQUAL(stats.delayed, 1);
	CU_ASSERT_EQUAL(stats.held_bytes, 1);
	CU_ASSERT_EQUAL(take_jobs(b, job->due_ns, 1, &job, &due_ns), 1);
	settle_jobs(b, &(struct verdict) { .job = job, .kind = VERDICT_FINAL }, 1);
	CU_ASSERT_EQUAL(count_lanes(b), 0);
	backlog_free(b);
}

static int list_lanes(void *arg)
{
	struct backlog_lane lanes[2];
	struct query q = { .kind = QUERY_LANES, .lanes = lanes, .max_lanes = ARRAY_LEN(lanes) };
	int r = backlog_query_and_wait(arg, &q);

	CU_ASSERT_EQUAL(q.n_lanes, r == 0 ? ARRAY_LEN(lanes) : 0);
	buf_done(&q.line);
	return r;
}

static void test_lanes_that_are_listed(void)
{
	struct job *jobs[100];
	struct backlog *b = NULL;

	jobs_of_many_lanes(jobs);
	CU_ASSERT_EQUAL_FATAL(create_memory_backlog(1000, 1000, &b), 0);
	CU_ASSERT_EQUAL(submit_jobs(b, jobs, ARRAY_LEN(jobs)), 0);
	CU_ASSERT_TRUE(fail_each(list_lanes, b, false) > 1);
	backlog_free(b);
}

static int told; /* what the submission was told; 1: nothing yet */

static void on_done(struct submission *s, int error)
{
	(void) s;
	told = error;
}

/* Nobody might come to try again: its wait must not go on. */
static void test_a_wait_ends_without_memory(void)
{
	struct job *first = stub_job(0, 1), *many[100];
	struct submission waiting = { .jobs = many, .n = ARRAY_LEN(many), .waits = true,
		                      .done = on_done };
	struct backlog *b = NULL;
	uint64_t due_ns = 0;

	stub_jobs(many, ARRAY_LEN(many), 1);
	CU_ASSERT_EQUAL_FATAL(create_memory_backlog(ARRAY_LEN(many), 1000, &b), 0);
	CU_ASSERT_EQUAL(submit_jobs(b, &first, 1), 0);
	told = 1;
	backlog_submit(b, &waiting);
	CU_ASSERT_EQUAL(told, 1);
	CU_ASSERT_EQUAL(take_jobs(b, 0, 1, &first, &due_ns), 1);

	faults_arm(1, 1, 1);
	settle_jobs(b, &(struct verdict) { .job = first, .kind = VERDICT_FINAL }, 1);
	faults_end();
	CU_ASSERT_EQUAL(faults.failed, 1);
	CU_ASSERT_EQUAL(told, -ENOMEM);
	free_jobs(many, ARRAY_LEN(many)); /* they are still ours */
	backlog_free(b);
}

static int make_parser(void *arg)
{
	struct url_parser *p = NULL;
	int r = url_parser_create(&p);

	(void) arg;
	url_parser_free(p);
	return r;
}

static void test_url_parsers(void)
{
	in_libraries = true;
	CU_ASSERT_TRUE(fail_each(make_parser, NULL, false) > 0);
	in_libraries = false;
}

/* Makes a guard and has it leave out one of two addresses. */
static int make_guard(void *arg)
{
	const char *const deny[] = { "private", "192.0.2.1" }, *const allow[] = { "127.0.0.1" };
	struct addresses *found = arg, *allowed = NULL;
	struct guard_refusal refusal;
	struct guard *g = NULL;

	int r = guard_create(&(struct guard_list) { deny, 2 }, &(struct guard_list) { allow, 1 }, &g);
	if (r == 0)
		r = guard_filter(g, found, &allowed, &refusal);
	CU_ASSERT_TRUE(r < 0 || (allowed->n == 1 && found->n == 2));
	addresses_unref(allowed);
	guard_free(g);
	return r;
}

static void test_guards(void)
{
	struct addresses *found = addresses_create();

	CU_ASSERT_PTR_NOT_NULL_FATAL(found);
	(void) snprintf(found->text[0], sizeof(found->text[0]), "127.0.0.1");
	(void) snprintf(found->text[1], sizeof(found->text[1]), "127.0.0.2");
	found->n = 2;
	CU_ASSERT_TRUE(fail_each(make_guard, found, false) > 3);
	addresses_unref(found);
}

struct line {
	struct url_parser *parser;
	const char *text;
};

static int parse_line(void *arg)
{
	const struct line *line = arg;
	struct job *job = NULL;
	struct buf why = { 0 };
	int r = job_parse(line->parser, line->text, strlen(line->text), &job, &why);

	CU_ASSERT_TRUE(r < 0 || job);
	CU_ASSERT_TRUE(r == 0 || !job);
	job_free(job);
	buf_done(&why);
	return r;
}

static const char full_job[] =
        "{\"url\":\"http://a/\",\"id\":\"x\",\"method\":\"put\",\"headers\":{\"A\":\"b\"},"
        "\"body\":\"c\",\"timeout\":\"1s\",\"retry\":true,\"meta\":{\"a\":[1,2.5,\"\\u00e4\"]},"
        "\"priority\":\"low\",\"not_before\":\"2026-11-23T15:04:05Z\",\"requeued_from\":\"p-1\"}";

static const struct {
	const char *text;
	bool vague; /* for some of its failures the library has other words */
} lines[] = {
	{ "http://example.com/a?b", true },
	{ "http://example.com/\xff", true },
	{ "https://user:pw@example.com:8443/%20?q#f", true },
	{ "{\"url\":\"http://a/\"}", true },
	{ full_job, true },
	{ "{\"url\":\"http://a/\",\"headers\":{\"A\":[\"b\",\"c\"]},\"body_base64\":\"AP8=\"}", true },
	{ "{\"url\":\"http://a/\",\"body_file\":\"a\",\"max_body\":\"1M\",\"max_redirects\":3}", true },
};

static void test_jobs(void)
{
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		struct line line = { .text = lines[i].text };
		CU_ASSERT_EQUAL_FATAL(url_parser_create(&line.parser), 0);
		CU_ASSERT_TRUE(fail_each(parse_line, &line, false) > 0);
		url_parser_free(line.parser);
	}
}

static void test_jobs_with_a_library_that_fails(void)
{
	in_libraries = true;
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		struct line line = { .text = lines[i].text };
		CU_ASSERT_EQUAL_FATAL(url_parser_create(&line.parser), 0);
		CU_ASSERT_TRUE(fail_each(parse_line, &line, lines[i].vague) > 5);

		/* The first failure of all is always called by its name. */
		faults_arm(1, 1, 1);
		CU_ASSERT_EQUAL(parse_line(&line), -ENOMEM);
		faults_end();
		url_parser_free(line.parser);
	}
	in_libraries = false;
}

/* Of a job that only has to be written as JSON. */
static int write_job(void *arg)
{
	struct job job = *(const struct job *) arg;
	struct buf b = { 0 };

	job.id = "x";
	job_write(&job, &b);
	int r = b.failed ? -ENOMEM : 0;
	buf_done(&b);
	return r;
}

static void test_jobs_that_are_written(void)
{
	struct url_parser *parser = NULL;

	CU_ASSERT_EQUAL_FATAL(url_parser_create(&parser), 0);
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		struct buf why = { 0 };
		struct job *job = NULL;
		const char *text = lines[i].text;
		CU_ASSERT_EQUAL_FATAL(job_parse(parser, text, strlen(text), &job, &why), 0);
		CU_ASSERT_TRUE(fail_each(write_job, job, false) > 0);
		job_free(job);
		buf_done(&why);
	}
	url_parser_free(parser);
}

static void test_a_plain_url_takes_one_allocation(void)
{
	struct line line = { .text = "http://example.com/a?b" };
	struct job job = { .url = line.text };
	struct buf b = { 0 };

	CU_ASSERT_EQUAL_FATAL(url_parser_create(&line.parser), 0);
	faults_arm(3, 1, 1);
	CU_ASSERT_EQUAL(parse_line(&line), 0); /* two: the job's, and of the parser what it keeps */
	faults_end();
	CU_ASSERT_EQUAL(faults.failed, 0);

	/* From the second on it remembers origins, or not: the table, or the origin's place. */
	for (long n = 1; n <= 2; n++) {
		faults_arm(n, 1, 1);
		CU_ASSERT_EQUAL(parse_line(&line), 0);
		faults_end();
		CU_ASSERT_EQUAL(faults.failed, 1);
	}
	CU_ASSERT_EQUAL(parse_line(&line), 0);
	CU_ASSERT_EQUAL(fail_each(parse_line, &line, false), 1);
	url_parser_free(line.parser);

	CU_ASSERT_EQUAL_FATAL(buf_reserve(&b, strlen(line.text)), 0);
	faults_arm(1, 1, 1);
	job_write(&job, &b);
	faults_end();
	CU_ASSERT_EQUAL(b.len, strlen(line.text));
	buf_done(&b);
}

static int write_text(void *arg)
{
	struct buf b = { 0 };

	(void) arg;
	for (int i = 0; i < 100; i++) {
		buf_add_json_str(&b, "a\"b\xff");
		buf_printf(&b, "%d", i);
	}
	int r = b.failed ? -ENOMEM : 0;
	buf_done(&b);
	return r;
}

static void test_texts(void) { CU_ASSERT_TRUE(fail_each(write_text, NULL, false) > 2); }

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "a queue is made whole or not at all", test_queues },
		{ "a backlog accepts all or nothing", test_backlogs },
		{ "settling takes no memory", test_settling_takes_no_memory },
		{ "a hop without memory is forgotten", test_a_hop_without_memory_is_forgotten },
		{ "lanes are listed whole or not at all", test_lanes_that_are_listed },
		{ "a wait for room ends without memory", test_a_wait_ends_without_memory },
		{ "a parser of URLs is made whole or not at all", test_url_parsers },
		{ "a guard is made whole or not at all", test_guards },
		{ "a job is made whole or not at all", test_jobs },
		{ "a job is made whole or not at all when a library fails",
		  test_jobs_with_a_library_that_fails },
		{ "a plain URL takes one allocation", test_a_plain_url_takes_one_allocation },
		{ "a job is written whole, or known not to be", test_jobs_that_are_written },
		{ "a text that is not whole is known as such", test_texts },
		CU_TEST_INFO_NULL,
	};

	if (!failing_malloc_install())
		return 77; /* skipped: not linked as it must be */
	int status = unit_run("no_memory", tests);
	curl_global_cleanup();
	return status;
}
