/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sqlite.h on a disk that fails: at every single write, sync and truncation of a life of
 * the backlog in turn.  What fails has changed nothing and succeeds when it is repeated;
 * and files that are not the backlog's are refused and left alone.
 */
#include "sqlite_stage.h"

#include "faulty_vfs.h"

#include <fcntl.h>
#include <sys/stat.h>

/* --- failures ---------------------------------------------------------------------------- */

static void expect_disk_error(int r)
{
	CU_ASSERT_TRUE(r == -ENOSPC || r == -EIO);
}

/* Any commit ends the second that submissions are refused for after a failure. */
static void mend(struct stage *s)
{
	int r;

	while ((r = backlog_mark(s->b, 0, "mended")) < 0)
		expect_disk_error(r);
	CU_ASSERT_EQUAL(stage_stats(s).error, 0);
}

static void open_in_the_end(struct stage *s)
{
	struct buf why = { 0 };
	int r;

	while ((r = sqlite_backlog_open(&s->options, &s->b, &why)) < 0) {
		expect_disk_error(r);
		CU_ASSERT_TRUE(why.len > 0);
		CU_ASSERT_TRUE_FATAL(faults.failed > 0);
	}
	buf_done(&why);
}

static void submit_in_the_end(struct stage *s, const char *cursor, size_t held)
{
	static const char *const lines[] = { "{\"url\":\"http://a/\",\"id\":\"x\"}", "http://b/",
		                             ("{\"url\":\"http://c/\",\"not_before\":"
		                              "\"2099-01-01T00:00:00Z\"}") };
	struct job *jobs[3];
	struct receipt receipts[3];
	struct submission sub = { .jobs = jobs, .n = 3, .receipts = receipts, .source = "s",
		                  .cursor = cursor };
	int r;

	for (size_t i = 0; i < 3; i++)
		jobs[i] = make_job(&s->maker, lines[i]);
	while ((r = backlog_submit_and_wait(s->b, &sub)) < 0) {
		expect_disk_error(r);
		CU_ASSERT_EQUAL(stage_stats(s).held_jobs, held);
		mend(s);
	}
	CU_ASSERT_EQUAL(receipts[0].kind, held > 0 ? RECEIPT_KNOWN : RECEIPT_ACCEPTED);
	CU_ASSERT_EQUAL(receipts[1].kind, RECEIPT_ACCEPTED);
}

static void settle_in_the_end(struct stage *s, const struct verdict *v, size_t n)
{
	struct backlog_stats before = stage_stats(s);
	int r;

	while ((r = backlog_settle(s->b, v, n)) < 0) {
		struct backlog_stats now = stage_stats(s);
		expect_disk_error(r);
		CU_ASSERT_EQUAL(now.error, r);
		CU_ASSERT_EQUAL(now.last_seq, before.last_seq);
		CU_ASSERT_EQUAL(now.held_jobs, before.held_jobs);
		CU_ASSERT_EQUAL(now.waiting, before.waiting);
		CU_ASSERT_EQUAL(now.delayed, before.delayed);
	}
}

static void requeue_in_the_end(struct stage *s)
{
	struct asked a;
	int r;

	while ((r = stage_ask(s, &a, QUERY_REQUEUE, NULL)) < 0) {
		expect_disk_error(r);
		CU_ASSERT_EQUAL(a.query.requeued, 0);
		asked_free(&a);
		mend(s);
	}
	CU_ASSERT_EQUAL(a.query.requeued, 1);
	asked_free(&a);
}

static void expect_history(struct stage *s, uint64_t records)
{
	struct buf b = { 0 };
	uint64_t last = 0;

	CU_ASSERT_EQUAL(backlog_history(s->b, 0, &b, &last), 0);
	CU_ASSERT_EQUAL(last, records);
	CU_ASSERT_EQUAL(b.len, 2 * records);
	buf_done(&b);
}

/* One life of a backlog, with the n-th call and those after it failing. */
static void live(struct stage *s)
{
	struct job *jobs[2];

	open_in_the_end(s);
	submit_in_the_end(s, "1", 0);
	submit_in_the_end(s, "2", 3);
	stage_expect(s, 3, 2, 5);
	CU_ASSERT_EQUAL_FATAL(stage_take(s, jobs, 2), 2);
	struct verdict v[2] = {
		{ .job = jobs[0], .kind = VERDICT_FINAL, .outcome = OUTCOME_DEAD, .seq = 1, .line = "1\n",
		  .line_len = 2 },
		{ .job = jobs[1], .kind = VERDICT_RETRY, .due_ns = clock_now_ns() + 3600 * NS_PER_S },
	};
	settle_in_the_end(s, v, 2);
	stage_expect(s, 1, 3, 4);
	requeue_in_the_end(s);
	stage_expect(s, 2, 3, 5);
	stage_close(s); /* which may fail to shorten the log, and cannot say so */

	open_in_the_end(s);
	stage_expect(s, 2, 3, 5);
	expect_history(s, 1);
	CU_ASSERT_EQUAL_FATAL(stage_take(s, jobs, 2), 2);
	for (size_t i = 0; i < 2; i++)
		v[i] = (struct verdict) { .job = jobs[i], .kind = VERDICT_FINAL, .seq = 2 + i,
			                  .line = "2\n", .line_len = 2 };
	settle_in_the_end(s, v, 2);
	stage_close(s);

	open_in_the_end(s);
	stage_expect(s, 0, 3, 3);
	expect_history(s, 3);
	CU_ASSERT_EQUAL(stage_stats(s).accepted, 6);
}

static void fail_everywhere(int code, long times)
{
	long n = 0;

	do {
		struct stage s;
		stage_init(&s);
		faults_arm(++n, times, code);
		live(&s);
		faults_end();
		stage_done(&s);
	} while (faults.failed > 0);
	CU_ASSERT_TRUE(n > 40); /* there are as many calls at least */
}

static void test_a_full_disk_leaves_nothing_half_done(void) { fail_everywhere(SQLITE_FULL, 1); }

static void test_a_failing_disk_leaves_nothing_half_done(void)
{
	fail_everywhere(SQLITE_IOERR_WRITE, 1);
	fail_everywhere(SQLITE_IOERR_FSYNC, 2);
}

static void test_a_submission_that_waits_gets_over_a_failing_disk(void)
{
	struct stage s;

	stage_init(&s);
	stage_open(&s);
	faults_arm(1, 1, SQLITE_FULL);
	CU_ASSERT_EQUAL(stage_submit_many(&s, 5, true), 0);
	CU_ASSERT_EQUAL(faults.failed, 1);
	CU_ASSERT_EQUAL(s.trouble_calls, 2);
	CU_ASSERT_EQUAL(s.trouble, 0);
	CU_ASSERT_EQUAL(s.accepted, 5);
	CU_ASSERT_TRUE(stage_stats(&s).submitters_blocked_ns > 0);
	stage_done(&s);
}

static void test_others_are_refused_while_the_disk_fails(void)
{
	struct stage s;
	struct asked a;

	stage_init(&s);
	stage_open(&s);
	stage_submit_line(&s, "http://a/");
	struct job *job = stage_take_one(&s);
	faults_arm(1, 1000000, SQLITE_IOERR_FSYNC);
	CU_ASSERT_EQUAL(stage_submit_many(&s, 1, false), -EIO);
	CU_ASSERT_EQUAL(stage_stats(&s).error, -EIO);
	CU_ASSERT_EQUAL(stage_submit_many(&s, 1, false), -EIO);
	CU_ASSERT_EQUAL(stage_try_final(&s, job, OUTCOME_DONE), -EIO);
	CU_ASSERT_EQUAL(stage_ask(&s, &a, QUERY_FIND, "p-1"), 0); /* reading goes on */
	CU_ASSERT_EQUAL(a.query.state, JOB_OUT);
	asked_free(&a);
	CU_ASSERT_EQUAL(s.trouble_calls, 1);
	stage_settle(&s, job, VERDICT_RETURN, 0); /* never fails */
	job = stage_take_one(&s);
	faults_end();
	stage_final(&s, job, OUTCOME_DONE);
	while (s.trouble != 0)
		(void) sched_yield();
	CU_ASSERT_EQUAL(stage_submit_many(&s, 1, false), 0);
	stage_done(&s);
}

struct patient {
	struct submission sub;
	struct job *job;
	atomic_int answers;
};

static void count_answer(struct submission *sub, int error)
{
	((struct patient *) sub)->answers++;
	expect_disk_error(error);
}

static void test_a_withdrawal_holds_though_the_disk_fails(void)
{
	struct stage s;

	stage_init(&s);
	stage_open(&s);
	for (int i = 0; i < 100; i++) {
		struct patient p = { .job = make_job(&s.maker, "http://a/") };
		p.sub = (struct submission) {
			.jobs = &p.job, .n = 1, .waits = true, .done = count_answer,
		};
		faults_arm(1, 1000000, SQLITE_FULL);
		backlog_submit(s.b, &p.sub);
		for (int yields = i % 8; yields > 0; yields--)
			(void) sched_yield();

		/* Either it is back, or it is told; never does it go on waiting. */
		if (!backlog_withdraw(s.b, &p.sub))
			while (p.answers == 0)
				(void) sched_yield();
		else
			CU_ASSERT_EQUAL(p.answers, 0);
		job_free(p.job);
		faults_end();
		mend(&s);
	}
	stage_expect(&s, 0, 0, 0);
	stage_done(&s);
}

/* --- files ------------------------------------------------------------------------------------ */

static void write_file(const char *path, const void *data, size_t n, off_t at)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	CU_ASSERT_TRUE_FATAL(fd >= 0);
	CU_ASSERT_EQUAL(pwrite(fd, data, n, at), (ssize_t) n);
	(void) close(fd);
}

static off_t size_of(const char *path)
{
	struct stat st = { 0 };

	return stat(path, &st) == 0 ? st.st_size : -1;
}

static void fill_and_close(struct stage *s)
{
	stage_open(s);
	CU_ASSERT_EQUAL(stage_submit_many(s, 500, false), 0);
	stage_close(s);
}

static void test_a_backlog_has_one_owner(void)
{
	struct stage s;

	stage_init(&s);
	stage_open(&s);
	stage_fail_to_open(&s, -EWOULDBLOCK, "another process owns");
	stage_submit_line(&s, "http://a/"); /* which is none the worse for it */
	stage_reopen(&s);
	stage_expect(&s, 1, 0, 1);
	stage_done(&s);
}

static void test_a_bound_of_nothing_is_refused(void)
{
	struct stage s;

	stage_init(&s);
	s.options.max_jobs = 0;
	stage_fail_to_open(&s, -EINVAL, "bound");
	s.options.max_jobs = 1;
	s.options.max_bytes = 0;
	stage_fail_to_open(&s, -EINVAL, "bound");
	stage_done(&s);
}

static void test_a_directory_that_is_not_there_is_refused(void)
{
	struct stage s;

	stage_init(&s);
	(void) snprintf(s.path, sizeof(s.path), "%s/none/backlog.db", s.directory);
	stage_fail_to_open(&s, -ENOENT, "No such file");
	stage_done(&s);
}

static void test_a_file_that_is_no_database_is_left_alone(void)
{
	static const char text[] = "to be, or not to be; that is the question, and it goes on so";
	char big[8192], read_back[8192];
	struct stage s;

	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = text[i % strlen(text)];
	stage_init(&s);
	write_file(s.path, big, sizeof(big), 0);
	stage_fail_to_open(&s, -EUCLEAN, "not a database");
	int fd = open(s.path, O_RDONLY | O_CLOEXEC);
	CU_ASSERT_EQUAL(read(fd, read_back, sizeof(read_back)), (ssize_t) sizeof(big));
	CU_ASSERT_EQUAL(memcmp(big, read_back, sizeof(big)), 0);
	(void) close(fd);
	stage_done(&s);
}

static void test_the_database_of_another_program_is_left_alone(void)
{
	struct stage s;

	stage_init(&s);
	stage_sql(&s, "CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)");
	stage_fail_to_open(&s, -EUCLEAN, "another program");
	stage_sql(&s, "INSERT INTO theirs SELECT x + 1 FROM theirs");
	stage_done(&s);
}

static void test_a_newer_database_is_refused(void)
{
	struct stage s;

	stage_init(&s);
	fill_and_close(&s);
	stage_sql(&s, "PRAGMA user_version = 2");
	stage_fail_to_open(&s, -EPROTO, "newer penstock");
	stage_sql(&s, "PRAGMA user_version = 1");
	stage_open(&s);
	stage_expect(&s, 500, 0, 500);
	stage_done(&s);
}

static void test_a_damaged_database_is_refused_and_never_made_anew(void)
{
	static const char zeros[4096];
	struct stage s;

	stage_init(&s);
	fill_and_close(&s);
	off_t size = size_of(s.path);
	CU_ASSERT_EQUAL(truncate(s.path, size / 2), 0);
	stage_fail_to_open(&s, -EUCLEAN, "");
	CU_ASSERT_EQUAL(size_of(s.path), size / 2);

	CU_ASSERT_EQUAL(unlink(s.path), 0);
	fill_and_close(&s);
	write_file(s.path, zeros, 100, 0);
	stage_fail_to_open(&s, -EUCLEAN, "not a database");
	CU_ASSERT_EQUAL(unlink(s.path), 0);
	fill_and_close(&s);
	for (off_t at = 4096; at < size; at += 4096)
		write_file(s.path, zeros, sizeof(zeros), at);
	stage_fail_to_open(&s, -EUCLEAN, "");
	CU_ASSERT_EQUAL(size_of(s.path), size);
	stage_done(&s);
}

static void test_accounts_that_do_not_balance_are_refused(void)
{
	struct stage s;

	stage_init(&s);
	fill_and_close(&s);
	stage_sql(&s, "DELETE FROM job WHERE number = 7");
	stage_fail_to_open(&s, -EUCLEAN, "accepted 500 jobs and settled 0, but holds 499");
	stage_done(&s);
}

static void test_a_log_without_its_database_is_not_thrown_away(void)
{
	struct stage s;
	char wal[128];

	stage_init(&s);
	stage_file(&s, "-wal", wal, sizeof(wal));
	write_file(wal, "jobs", 4, 0);
	stage_fail_to_open(&s, -EUCLEAN, "is gone");
	CU_ASSERT_EQUAL(size_of(wal), 4);
	stage_done(&s);
}

static void test_only_the_owner_may_read_it(void)
{
	struct stage s;
	static const char *const suffixes[] = { "", "-wal", "-shm", ".lock" };

	stage_init(&s);
	stage_open(&s);
	stage_submit_line(&s, "http://a/");
	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		struct stat st = { 0 };
		char path[128];
		stage_file(&s, suffixes[i], path, sizeof(path));
		CU_ASSERT_EQUAL(stat(path, &st), 0);
		CU_ASSERT_EQUAL(st.st_mode & 077, 0);
	}
	stage_done(&s);
}

/* A row that cannot be read must neither be handed out nor stop the others. */
static void test_a_damaged_row_does_not_stop_the_others(void)
{
	struct stage s;
	struct job *jobs[4];
	uint64_t due = 0;
	size_t n = 0;

	stage_init(&s);
	stage_open(&s);
	CU_ASSERT_EQUAL(stage_submit_many(&s, 4, false), 0);
	stage_close(&s);
	stage_sql(&s, "UPDATE job SET spec = x'2121' WHERE number = 2");
	stage_open(&s);
	for (int i = 0; i < 3; i++)
		n += backlog_take(s.b, clock_now_ns(), 4 - n, jobs + n, &due);
	CU_ASSERT_EQUAL_FATAL(n, 3);
	CU_ASSERT_TRUE(s.trouble_calls > 0);
	CU_ASSERT_EQUAL(jobs[0]->number, 1);
	CU_ASSERT_EQUAL(jobs[1]->number, 3);
	CU_ASSERT_EQUAL(jobs[2]->number, 4);
	for (size_t i = 0; i < 3; i++)
		stage_final(&s, jobs[i], OUTCOME_DONE);
	stage_expect(&s, 1, 0, 1);
	stage_done(&s);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "a full disk leaves nothing half done", test_a_full_disk_leaves_nothing_half_done },
		{ "a failing disk leaves nothing half done",
		  test_a_failing_disk_leaves_nothing_half_done },
		{ "a submission that waits gets over a failing disk",
		  test_a_submission_that_waits_gets_over_a_failing_disk },
		{ "others are refused while the disk fails",
		  test_others_are_refused_while_the_disk_fails },
		{ "a withdrawal holds though the disk fails",
		  test_a_withdrawal_holds_though_the_disk_fails },
		{ "a backlog has one owner", test_a_backlog_has_one_owner },
		{ "a bound of nothing is refused", test_a_bound_of_nothing_is_refused },
		{ "a directory that is not there is refused",
		  test_a_directory_that_is_not_there_is_refused },
		{ "a file that is no database is left alone",
		  test_a_file_that_is_no_database_is_left_alone },
		{ "the database of another program is left alone",
		  test_the_database_of_another_program_is_left_alone },
		{ "a newer database is refused", test_a_newer_database_is_refused },
		{ "a damaged database is refused, and never made anew",
		  test_a_damaged_database_is_refused_and_never_made_anew },
		{ "accounts that do not balance are refused",
		  test_accounts_that_do_not_balance_are_refused },
		{ "a log without its database is not thrown away",
		  test_a_log_without_its_database_is_not_thrown_away },
		{ "only the owner may read it", test_only_the_owner_may_read_it },
		{ "a damaged row does not stop the others",
		  test_a_damaged_row_does_not_stop_the_others },
		CU_TEST_INFO_NULL,
	};

	(void) alarm(600); /* a hang is a failure */
	faults_install();
	return unit_run("sqlite_faults", tests);
}
