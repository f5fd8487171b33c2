/* SPDX-License-Identifier: Apache-2.0 */
/* urlfile.h: files, FIFOs and standard input that are read to their end. */
#include "source_stage.h"

static void test_lines_become_jobs(void)
{
	static const char text[] = "http://a/1\n\n# a comment\n  \t\n \t# another\n  http://a/2 \n"
	                           "{\"url\": \"http://a/3\"}\n#\nhttp://a/4\n";
	struct source_stats stats;
	struct stage s;

	stage_init(&s);
	put(s.path, text);
	stage_open(&s, false);
	source_stats(s.source, &stats);
	CU_ASSERT_EQUAL(stats.bytes_total, strlen(text));
	CU_ASSERT_EQUAL(stats.bytes_read, 0);

	read_all(&s);
	expect_urls(&s, "http://a/1\nhttp://a/2\nhttp://a/3\nhttp://a/4\n");
	expect_complaints(&s, "");
	CU_ASSERT_STRING_EQUAL(s.source->name, s.path);

	source_stats(s.source, &stats);
	CU_ASSERT_EQUAL(stats.jobs, 4);
	CU_ASSERT_EQUAL(stats.bad_lines, 0);
	CU_ASSERT_EQUAL(stats.bytes_read, strlen(text));
	stage_done(&s);
}

static void test_line_endings_and_mark_are_no_part_of_a_line(void)
{
	static const char text[] = "\xef\xbb\xbfhttp://a/1\r\n\r\nhttp://a/2\r\n# c\r\nhttp://a/3";
	struct stage s;

	stage_init(&s);
	read_contents(&s, text, strlen(text));
	expect_urls(&s, "http://a/1\nhttp://a/2\nhttp://a/3\n");
	expect_complaints(&s, "");
	stage_done(&s);
}

static void test_bad_lines_are_named_and_skipped(void)
{
	static const char text[] = "http://a/1\nhttp://b/\0c\n#\0\n\nftp://a/\nhttp://a/2\n"
	                           "\xef\xbb\xbfhttp://a/3\n{\"url\"";
	struct source_stats stats;
	struct stage s;

	stage_init(&s);
	read_contents(&s, text, sizeof(text) - 1);
	expect_urls(&s, "http://a/1\nhttp://a/2\n");
	buf_add_char(&s.complaints, '\0');
	CU_ASSERT_PTR_EQUAL(strstr(s.complaints.data, "2: line holds a NUL byte\n5: "),
	                    s.complaints.data);
	CU_ASSERT_PTR_NOT_NULL(strstr(s.complaints.data, "\n7: "));
	CU_ASSERT_PTR_NOT_NULL(strstr(s.complaints.data, "\n8: "));

	source_stats(s.source, &stats);
	CU_ASSERT_EQUAL(stats.jobs, 2);
	CU_ASSERT_EQUAL(stats.bad_lines, 4);
	stage_done(&s);
}

static void test_lines_up_to_the_bound_are_read(void)
{
	struct buf text = { 0 };
	struct stage s;

	stage_init(&s);
	buf_add_str(&text, "\xef\xbb\xbf");
	add_long_job(&text, JOB_MAX_LINE_BYTES);
	buf_add_str(&text, "\r\n");
	add_long_job(&text, JOB_MAX_LINE_BYTES + 1);
	buf_add_str(&text, "\r\nhttp://a/3\n");
	add_long_job(&text, 3 * JOB_MAX_LINE_BYTES);
	buf_add_str(&text, "\nhttp://a/5\n");
	add_long_job(&text, JOB_MAX_LINE_BYTES);
	buf_add_str(&text, "\n");
	add_long_job(&text, 2 * JOB_MAX_LINE_BYTES);

	read_contents(&s, text.data, text.len);
	expect_urls(&s, "http://long/\nhttp://a/3\nhttp://a/5\nhttp://long/\n");
	expect_complaints(&s, "2: line is longer than 1 MiB\n4: line is longer than 1 MiB\n"
	                      "7: line is longer than 1 MiB\n");
	buf_done(&text);
	stage_done(&s);
}

static void test_a_batch_holds_at_most_what_was_asked_for(void)
{
	struct stage s;

	stage_init(&s);
	put(s.path, "http://a/1\nhttp://a/2\nhttp://a/3\nhttp://a/4\nhttp://a/5");
	stage_open(&s, false);
	CU_ASSERT_EQUAL(read_some(&s, 2), 2);
	CU_ASSERT_EQUAL(read_some(&s, 1), 1);
	read_all(&s);
	expect_urls(&s, "http://a/1\nhttp://a/2\nhttp://a/3\nhttp://a/4\nhttp://a/5\n");
	stage_done(&s);
}

static void test_what_cannot_be_read_is_refused(void)
{
	struct source *untouched = NULL;
	struct stage s;

	stage_init(&s);
	struct urlfile_options options = { .path = s.path, .stop_fd = s.stop_fd };
	CU_ASSERT_EQUAL(urlfile_create(&options, &untouched), -ENOENT);
	options.path = s.folder;
	CU_ASSERT_EQUAL(urlfile_create(&options, &untouched), -EISDIR);
	options.follow = true;
	CU_ASSERT_EQUAL(urlfile_create(&options, &untouched), -EISDIR);
	CU_ASSERT_PTR_NULL(untouched);
	CU_ASSERT_PTR_NULL(source_free(NULL));
	stage_done(&s);
}

/* --- FIFOs, standard input, stopping -------------------------------------------------- */

static void test_a_fifo_waits_for_its_writer_and_ends_with_it(void)
{
	struct source_stats stats;
	struct stage s;

	stage_init(&s);
	make_fifo(s.path);
	stage_open(&s, false);
	expect_urls_after(&s, "http://a/1\nhttp://a/2", "http://a/1\nhttp://a/2\n");
	read_all(&s);
	source_stats(s.source, &stats);
	CU_ASSERT_EQUAL(stats.bytes_total, 0);
	CU_ASSERT_EQUAL(stats.bytes_read, 21);
	stage_done(&s);
}

static void test_what_is_there_is_handed_over_at_once(void)
{
	struct stage s;

	stage_init(&s);
	make_fifo(s.path);
	stage_open(&s, false);
	int writer = open_writer(s.path);
	say(writer, "http://a/1\nhttp://a/2\nhttp://");
	CU_ASSERT_EQUAL(read_some(&s, 64), 2);
	say(writer, "a/3\n");
	CU_ASSERT_EQUAL(read_some(&s, 64), 1);
	expect_urls(&s, "http://a/1\nhttp://a/2\nhttp://a/3\n");
	CU_ASSERT_EQUAL(close(writer), 0);
	read_all(&s);
	stage_done(&s);
}

static void test_standard_input_is_read(void)
{
	int ends[2];
	struct stage s;

	stage_init(&s);
	int saved = dup(STDIN_FILENO);
	CU_ASSERT_EQUAL_FATAL(pipe2(ends, O_CLOEXEC), 0);
	CU_ASSERT_EQUAL(dup2(ends[0], STDIN_FILENO), STDIN_FILENO);
	say(ends[1], "http://a/1\n");
	stage_open_path(&s, "-", true);
	CU_ASSERT_EQUAL(read_some(&s, 64), 1);
	say(ends[1], "http://a/2");
	CU_ASSERT_EQUAL(close(ends[1]), 0);
	read_all(&s);
	CU_ASSERT_STRING_EQUAL(s.source->name, "stdin");
	s.source = source_free(s.source);
	CU_ASSERT_TRUE(fcntl(STDIN_FILENO, F_GETFD) >= 0); /* not the source's to close */
	expect_urls(&s, "http://a/1\nhttp://a/2\n");

	put(s.path, "http://a/before\nhttp://a/after\n");
	int file = open(s.path, O_RDONLY | O_CLOEXEC);
	CU_ASSERT_EQUAL(lseek(file, 16, SEEK_SET), 16);
	CU_ASSERT_EQUAL(dup2(file, STDIN_FILENO), STDIN_FILENO);
	stage_open_path(&s, "-", false);
	CU_ASSERT_EQUAL(s.source->bytes_total, 15);
	read_all(&s);
	expect_urls(&s, "http://a/after\n");

	CU_ASSERT_EQUAL(dup2(saved, STDIN_FILENO), STDIN_FILENO);
	CU_ASSERT_EQUAL(close(saved) | close(file) | close(ends[0]), 0);
	stage_done(&s);
}

static void expect_stop(struct stage *s, bool follow)
{
	stage_open(s, follow);
	stop_while_reading(s);
	s->source = source_free(s->source);
}

static void test_a_stop_ends_every_wait(void)
{
	struct stage s;

	stage_init(&s);
	expect_stop(&s, true); /* nothing there */
	put(s.path, "http://unfinished");
	expect_stop(&s, true);
	CU_ASSERT_EQUAL(unlink(s.path), 0);
	make_fifo(s.path);
	expect_stop(&s, false); /* no writer yet */
	expect_stop(&s, true);
	stage_done(&s);
}

static void test_a_stop_ends_a_file_between_batches(void)
{
	struct stage s;

	stage_init(&s);
	put(s.path, "http://a/1\nhttp://a/2\n");
	stage_open(&s, false);
	CU_ASSERT_EQUAL(read_some(&s, 1), 1);
	CU_ASSERT_EQUAL(eventfd_write(s.stop_fd, 1), 0);
	CU_ASSERT_EQUAL(read_some(&s, 1), -ECANCELED);
	stage_done(&s);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "lines become jobs; blank lines and comments do not", test_lines_become_jobs },
		{ "line endings and a byte order mark are no part of a line",
		  test_line_endings_and_mark_are_no_part_of_a_line },
		{ "bad lines are named and skipped", test_bad_lines_are_named_and_skipped },
		{ "lines up to the bound are read, longer ones are named once",
		  test_lines_up_to_the_bound_are_read },
		{ "a batch holds at most what was asked for",
		  test_a_batch_holds_at_most_what_was_asked_for },
		{ "what cannot be read is refused", test_what_cannot_be_read_is_refused },
		{ "a FIFO waits for its writer and ends with it",
		  test_a_fifo_waits_for_its_writer_and_ends_with_it },
		{ "what is there is handed over at once",
		  test_what_is_there_is_handed_over_at_once },
		{ "standard input is read", test_standard_input_is_read },
		{ "a stop ends every wait", test_a_stop_ends_every_wait },
		{ "a stop ends a file between batches", test_a_stop_ends_a_file_between_batches },
		CU_TEST_INFO_NULL,
	};
	return unit_run("urlfile", tests);
}
