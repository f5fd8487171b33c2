/* SPDX-License-Identifier: Apache-2.0 */
/* sqlite.h and files that are not what they should be: refused, and left as they are. */
#include "sqlite_stage.h"

#include <fcntl.h>
#include <sys/stat.h>

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
	stage_sql(&s, "PRAGMA user_version = 4");
	stage_fail_to_open(&s, -EPROTO, "newer penstock");
	stage_sql(&s, "PRAGMA user_version = 1");
	stage_fail_to_open(&s, -EPROTO, "before its first release");
	stage_sql(&s, "PRAGMA user_version = 3");
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
		n += backlog_take(s.b, clock_now_ns(), 4 - n, NULL, jobs + n, &due);
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
	return unit_run("sqlite_files", tests);
}
