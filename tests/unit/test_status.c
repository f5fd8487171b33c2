/* SPDX-License-Identifier: Apache-2.0 */
/* status_text.h and socket_path.h: what `penstock status` shows, and whom it asks. */
#include "cli/status_text.h"

#include "cli/cli.h"
#include "cli/socket_path.h"
#include "unit.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

static const char busy[] =
	"{\"version\": \"1.2.3\", \"state\": \"running\", \"pid\": 77,"
	" \"paused\": true, \"paused_lanes\": 2, \"lanes\": {\"active\": 12, \"idle\": 34},"
	" \"waiting_by_reason\": {\"retry\": 30, \"rate\": 15, \"x\\u001b\": 5},"
	" \"started_at\": \"2026-01-01T00:00:00.000000Z\", \"uptime_seconds\": 75.0,"
	" \"queue\": {\"jobs\": 250, \"bytes\": 1024, \"capacity_jobs\": 1000,"
	"  \"capacity_bytes\": 4194304, \"high_water_jobs\": 1000, \"producers_blocked\": 0,"
	"  \"consumers_idle\": 1},"
	" \"ledger\": {\"accepted\": 500, \"waiting\": 20, \"delayed\": 30, \"queued\": 250,"
	"  \"running\": 3, \"done\": 150, \"dead\": 40, \"cancelled\": 7},"
	" \"backlog\": {\"held_jobs\": 303, \"held_bytes\": 2048, \"max_jobs\": 303,"
	"  \"max_bytes\": 4194304, \"submitters_blocked\": 1, \"free_bytes\": 1048576,"
	"  \"min_free_bytes\": 67108864, \"error\": \"Input/output error\"},"
	" \"workers\": {\"wanted\": 4, \"alive\": 4},"
	" \"fetch\": {\"attempts\": 220, \"failed\": 70, \"body_bytes\": 3145728,"
	"  \"idle_connections\": 2, \"insecure_origins\": 1, \"dns\": {\"lookups\": 9, \"hits\": 8, \"failures\": 1}},"
	" \"sources\": [{\"name\": \"a\\u001b[2Jb\\u0085\\u00e9\", \"jobs\": 400, \"bad_lines\": 2,"
	"   \"blocked_seconds\": 12.0, \"ended\": false},"
	"  {\"name\": \"old\", \"jobs\": 100, \"blocked_seconds\": 0.0, \"ended\": true}],"
	" \"results\": {\"path\": \"r.jsonl\", \"recorded\": 190, \"recorded_bytes\": 2048,"
	"  \"pending\": 1, \"blocked_seconds\": 0.0, \"error\": \"No space left on device\"},"
	" \"blocked\": \"backlog full of jobs that may not run now\"}";

static json_t *parse(const char *text)
{
	json_t *json = json_loads(text, 0, NULL);

	CU_ASSERT_PTR_NOT_NULL_FATAL(json);
	return json;
}

static char *page_of(const json_t *status, struct status_rates rates)
{
	struct buf b = { 0 };

	status_text_add_page(&b, status, &rates);
	buf_add_char(&b, '\0');
	CU_ASSERT_FALSE_FATAL(b.failed);
	return b.data;
}

static void expect_line(const char *page, const char *line)
{
	if (strstr(page, line))
		return;
	printf("\n%s\nhas not: %s", page, line);
	CU_FAIL("a line is missing");
}

static void test_the_page_says_what_matters(void)
{
	json_t *status = parse(busy);
	char *page = page_of(status, (struct status_rates) { 0 });

	expect_line(page, "penstockd 1.2.3: running, up 1m 15s, process 77\n");
	expect_line(page, "\npaused:   everything, until penstock resume\n"
	                  "paused:   2 origins; see penstock lanes --sort state\n");
	expect_line(page, "\nwaiting   30 retry, 15 rate, 5 x?\n"
	                  "lanes     12 with jobs, 34 idle\n");
	expect_line(page, "\nblocked:  backlog full of jobs that may not run now\n");
	expect_line(page, "\nqueue     [#####...............]  250 of 1000 jobs, 1.0 KiB of 4.0 MiB; "
	                  "at most so far 1000\n");
	expect_line(page, "\nbacklog   [####################]  303 of 303 jobs, 2.0 KiB of 4.0 MiB; "
	                  "full, sources waiting: 1\n"
	                  "          CANNOT BE WRITTEN: Input/output error\n"
	                  "          TAKES NO JOBS: its disk has 1.0 MiB free, less than "
	                  "backlog.min_free, 64.0 MiB\n");
	expect_line(page, "\njobs      500 accepted = 20 waiting + 30 delayed + 250 queued + 3 running"
	                  " + 150 done + 40 dead + 7 cancelled\n");
	expect_line(page, "\nworkers   3 busy, 1 idle\n");
	expect_line(page, "\nfetches   220 made, 70 failed, 3.0 MiB received, 2 connections kept\n");
	expect_line(page, "\ninsecure  certificates are not checked, by 1 of the groups in origins\n");
	expect_line(page, "\nnames     9 lookups, 8 from the cache, 1 failed, 0 waiting\n");
	expect_line(page, "\nresults   r.jsonl: 190 recorded, 2.0 KiB, 1 pending; workers waited ");
	expect_line(page, "\n          CANNOT BE WRITTEN: No space left on device\n");
	expect_line(page, ": 400 jobs, 2 bad lines, waited 12.0s for room; "
	                  "waiting for room in the backlog\n");
	expect_line(page, "\n          old: 100 jobs, waited 0s for room; ended\n");
	CU_ASSERT_PTR_NULL(strstr(page, "rates"));
	free(page);
	json_decref(status);
}

/* Who waits, but for a disk or the end of a pause, is not told that something empty is full. */
static void test_nothing_is_full_of_nothing(void)
{
	json_t *status = parse(busy), *queue = json_object_get(status, "queue");

	(void) json_object_set_new(json_object_get(status, "backlog"), "held_jobs", json_integer(0));
	(void) json_object_set_new(queue, "jobs", json_integer(0));
	(void) json_object_set_new(queue, "producers_blocked", json_integer(1));
	(void) json_object_del(status, "blocked");
	char *page = page_of(status, (struct status_rates) { 0 });

	expect_line(page, "KiB of 4.0 MiB; sources waiting: 1\n");
	CU_ASSERT_PTR_NULL(strstr(page, "full"));
	free(page);
	json_decref(status);
}

static void test_names_cannot_play_with_the_terminal(void)
{
	json_t *status = parse(busy);
	char *page = page_of(status, (struct status_rates) { 0 });

	expect_line(page, "\nsources   a?[2Jb?\xc3\xa9: 400 jobs");
	CU_ASSERT_PTR_NULL(strchr(page, '\033'));
	free(page);
	json_decref(status);
}

static void test_missing_members_are_zero(void)
{
	json_t *status = parse("{\"sources\": {}, \"queue\": [], \"pid\": -1}");
	char *page = page_of(status, (struct status_rates) { 0 });

	expect_line(page, "queue     [....................]  0 of 0 jobs");
	expect_line(page, "jobs      0 accepted =");
	expect_line(page, "sources   none\n");
	free(page);
	json_decref(status);
}

static void test_rates_come_from_two_answers(void)
{
	json_t *before = parse(busy), *now = parse(busy);

	CU_ASSERT_EQUAL(status_rates_between(NULL, now).seconds, 0);
	CU_ASSERT_EQUAL(status_rates_between(before, now).seconds, 0); /* no time has passed */

	CU_ASSERT_EQUAL(json_object_set_new(now, "uptime_seconds", json_real(77)), 0);
	json_t *ledger = json_object_get(now, "ledger");
	CU_ASSERT_EQUAL(json_object_set_new(ledger, "accepted", json_integer(520)), 0);
	CU_ASSERT_EQUAL(json_object_set_new(ledger, "done", json_integer(153)), 0);
	CU_ASSERT_EQUAL(json_object_set_new(ledger, "dead", json_integer(42)), 0);
	CU_ASSERT_EQUAL(json_object_set_new(json_object_get(now, "fetch"), "body_bytes",
	                                    json_integer(3145728 + 4096)),
	                0);
	struct status_rates rates = status_rates_between(before, now);
	CU_ASSERT_DOUBLE_EQUAL(rates.seconds, 2, 1e-9);
	char *page = page_of(now, rates);
	expect_line(page, "\nrates     10.0 jobs/s accepted, 2.5 jobs/s settled, 2.0 KiB/s received\n");
	free(page);

	/* Another daemon's answer is none to compare with. */
	CU_ASSERT_EQUAL(json_object_set_new(now, "started_at", json_string("later")), 0);
	CU_ASSERT_EQUAL(status_rates_between(before, now).seconds, 0);
	json_decref(before);
	json_decref(now);
}

static void test_the_gist_is_one_line(void)
{
	json_t *status = parse(busy);
	struct buf b = { 0 };

	status_text_add_line(&b, status,
	                     &(struct status_rates) { .seconds = 1, .settled = 2.5, .bytes = 1536 });
	buf_add_char(&b, '\0');
	CU_ASSERT_STRING_EQUAL(b.data, "running, paused  up 1m 15s  queue 250/1000  waiting 20  delayed 30  "
	                               "running 3  done 150  dead 40  2.5/s  1.5 KiB/s  "
	                               "blocked: backlog full of jobs that may not run now\n");
	buf_done(&b);
	json_decref(status);
}

static void expect_path(const char *given, const char *expected)
{
	char *path = socket_path(given);

	CU_ASSERT_PTR_NOT_NULL_FATAL(path);
	CU_ASSERT_STRING_EQUAL(path, expected);
	free(path);
}

static void test_the_socket_is_the_one_named_most_directly(void)
{
	(void) unsetenv("RUNTIME_DIRECTORY");
	(void) setenv("PENSTOCK_SOCKET", "", 1);
	expect_path(NULL, PENSTOCK_RUNSTATEDIR "/penstock/control.sock");
	(void) setenv("RUNTIME_DIRECTORY", "/run/a:/run/b", 1);
	expect_path(NULL, "/run/a/control.sock");
	(void) setenv("PENSTOCK_SOCKET", "/tmp/my.sock", 1);
	expect_path(NULL, "/tmp/my.sock");
	expect_path("here.sock", "here.sock");
}

static int run_status(const char *argument)
{
	char name[] = "status", option[64];
	char *argv[] = { name, option, NULL };

	(void) snprintf(option, sizeof(option), "%s", argument);
	optind = 0; /* getopt_long() starts anew */
	return cli_status(2, argv);
}

static void test_wrong_usage_and_missing_daemons_have_their_exit_codes(void)
{
	CU_ASSERT_EQUAL(run_status("--socket=/nowhere/control.sock"), EXIT_UNAVAILABLE);
	CU_ASSERT_EQUAL(run_status("--watch=0"), EXIT_USAGE);
	CU_ASSERT_EQUAL(run_status("--watch=x"), EXIT_USAGE);
	CU_ASSERT_EQUAL(run_status("--watch="), EXIT_USAGE);
	CU_ASSERT_EQUAL(run_status("--watch=99999999999999999999999999999999999"), EXIT_USAGE);
	CU_ASSERT_EQUAL(run_status("--unknown"), EXIT_USAGE);
	CU_ASSERT_EQUAL(run_status("argument"), EXIT_USAGE);
	CU_ASSERT_EQUAL(run_status("--help"), EXIT_OK);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "the page says what matters", test_the_page_says_what_matters },
		{ "nothing is full of nothing", test_nothing_is_full_of_nothing },
		{ "names cannot play with the terminal", test_names_cannot_play_with_the_terminal },
		{ "missing members are zero", test_missing_members_are_zero },
		{ "rates come from two answers", test_rates_come_from_two_answers },
		{ "the gist is one line", test_the_gist_is_one_line },
		{ "the socket is the one named most directly",
		  test_the_socket_is_the_one_named_most_directly },
		{ "wrong usage and missing daemons have their exit codes",
		  test_wrong_usage_and_missing_daemons_have_their_exit_codes },
		CU_TEST_INFO_NULL,
	};
	return unit_run("status", tests);
}
