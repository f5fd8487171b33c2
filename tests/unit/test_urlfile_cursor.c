/* SPDX-License-Identifier: Apache-2.0 */
/* urlfile.h: going on where an earlier source left off. */
#include "seed.h"
#include "source_stage.h"

/* What a restart is told. */
static struct buf kept;

static void open_at(struct stage *s, bool follow, const char *cursor)
{
	const struct urlfile_options options = {
		.path = s->path,
		.follow = follow,
		.resumes = true,
		.cursor = cursor,
		.stop_fd = s->stop_fd,
		.listener = stage_listener(s),
	};
	CU_ASSERT_EQUAL_FATAL(urlfile_create(&options, &s->source), 0);
}

/* Keeps the position, and opens the path anew with it. */
static void restart(struct stage *s, bool follow)
{
	keep_position(s, &kept);
	s->source = source_free(s->source);
	open_at(s, follow, kept.data);
}

static void begin(struct stage *s, const char *text, bool follow)
{
	stage_init(s);
	put(s->path, text);
	open_at(s, follow, NULL);
}

static void done(struct stage *s)
{
	stage_done(s);
	buf_done(&kept);
}

/* Reads until the end; batches may be empty. */
static void read_rest(struct stage *s)
{
	int r;
	while ((r = read_batch(s, 64)) >= 0)
		;
	CU_ASSERT_EQUAL(r, -ENODATA);
}

/* --- going on --------------------------------------------------------------------------- */

static void test_reading_goes_on_behind_the_last_batch(void)
{
	static const char text[] = "\xef\xbb\xbfhttp://a/1\r\nhttp://a/2\n{\nhttp://a/3\n{\n";
	struct source_stats stats;
	struct stage s;

	begin(&s, text, false);
	CU_ASSERT_EQUAL(read_batch(&s, 1), 1);
	restart(&s, false);
	source_stats(s.source, &stats);
	CU_ASSERT_EQUAL(stats.bytes_total, strlen(text) - 15);
	CU_ASSERT_EQUAL(stats.bytes_read, 0);
	CU_ASSERT_EQUAL(read_batch(&s, 2), 2);
	restart(&s, false);
	expect_urls(&s, "http://a/1\nhttp://a/2\nhttp://a/3\n");
	buf_clear(&s.complaints);
	read_rest(&s);

	/* Lines are counted on. */
	CU_ASSERT_TRUE(s.complaints.len > 3 && memcmp(s.complaints.data, "5: ", 3) == 0);
	buf_clear(&s.complaints);
	restart(&s, false);
	CU_ASSERT_EQUAL(read_batch(&s, 64), -ENODATA);
	CU_ASSERT_EQUAL(read_batch(&s, 64), -ENODATA);
	expect_complaints(&s, "");
	expect_notices(&s, "");
	CU_ASSERT_EQUAL(s.urls.len, 0);
	done(&s);
}

static void test_a_file_that_has_grown_is_read_on(void)
{
	struct stage s;

	begin(&s, "http://a/1\n", false);
	read_rest(&s);
	keep_position(&s, &kept);
	s.source = source_free(s.source);
	append(s.path, "http://a/2\n");
	open_at(&s, false, kept.data);
	read_rest(&s);
	expect_urls(&s, "http://a/1\nhttp://a/2\n");
	expect_notices(&s, "");
	done(&s);
}

static void test_positions_are_kept_while_there_are_no_jobs(void)
{
	struct buf text = { 0 };
	struct buf first = { 0 };
	struct stage s;
	int n = 0, empty = 0;

	for (unsigned i = 0; i < 4 * 1024 * 1024 / 32; i++)
		buf_add_str(&text, "# a comment; a line of 32 bytes\n");
	buf_add_char(&text, '\0');
	begin(&s, text.data, false);
	keep_position(&s, &first);
	while ((n = read_batch(&s, 64)) == 0) {
		keep_position(&s, &kept);
		CU_ASSERT_STRING_NOT_EQUAL(kept.data, first.data);
		empty++;
	}
	CU_ASSERT_EQUAL(n, -ENODATA);
	CU_ASSERT_TRUE(empty >= 4 && empty <= 5);

	/* Who does not ask for them is not bothered. */
	s.source = source_free(s.source);
	stage_open(&s, false);
	CU_ASSERT_EQUAL(read_batch(&s, 64), -ENODATA);
	keep_position(&s, &kept);
	CU_ASSERT_STRING_EQUAL(kept.data, "");
	buf_done(&text);
	buf_done(&first);
	done(&s);
}

static void test_the_rest_of_a_line_that_is_too_long_is_skipped(void)
{
	struct buf text = { 0 };
	struct stage s;

	buf_add_str(&text, "http://a/1\n");
	add_long_job(&text, 5 * JOB_MAX_LINE_BYTES);
	buf_add_str(&text, "\nhttp://a/2\n{");
	buf_add_char(&text, '\0');
	begin(&s, text.data, false);
	while (read_batch(&s, 1) >= 0)
		restart(&s, false);
	expect_urls(&s, "http://a/1\nhttp://a/2\n");
	buf_add_char(&s.complaints, '\0');
	CU_ASSERT_PTR_EQUAL(strstr(s.complaints.data, "2: line is longer than 1 MiB\n4: "),
	                    s.complaints.data);
	buf_done(&text);
	done(&s);
}

/* --- other files ------------------------------------------------------------------------- */

/* Reads two of three lines, lets 'change' happen, and expects this from a restart. */
static void expect_after(bool (*change)(const struct stage *s), const char *urls,
                         const char *notices)
{
	struct stage s;

	begin(&s, "http://a/1\nhttp://a/2\nhttp://a/3\n", false);
	CU_ASSERT_EQUAL(read_batch(&s, 2), 2);
	buf_clear(&s.urls);
	keep_position(&s, &kept);
	s.source = source_free(s.source);
	CU_ASSERT_TRUE(change(&s));
	open_at(&s, false, kept.data);
	read_rest(&s);
	expect_urls(&s, urls);
	expect_notices(&s, notices);
	expect_complaints(&s, "");
	CU_ASSERT_EQUAL(s.source->bad_lines, 0);
	done(&s);
}

static bool replace(const struct stage *s)
{
	return try_put(s->other, O_CREAT, "http://a/1\nhttp://a/2\nhttp://a/3\n", 33) &&
	       rename(s->other, s->path) == 0;
}

static bool truncate_it(const struct stage *s) { return truncate(s->path, 11) == 0; }

static bool rewrite(const struct stage *s)
{
	return try_put(s->path, O_TRUNC, "http://b/1\nhttp://b/2\nhttp://b/3\n", 33);
}

/* As logrotate's copytruncate does, when new lines have come since. */
static bool rewrite_behind_the_place(const struct stage *s)
{
	return try_put(s->path, 0, "http://a/1\nhttp://a/2\nhttp://b/3\nhttp://b/4\n", 44);
}

static bool rename_it(const struct stage *s)
{
	return rename(s->path, s->other) == 0 && rename(s->other, s->path) == 0;
}

static void test_another_file_is_read_from_its_start(void)
{
	expect_after(replace, "http://a/1\nhttp://a/2\nhttp://a/3\n",
	             "has been replaced; is read from its start\n");
	expect_after(truncate_it, "http://a/1\n", "was truncated; is read from its start\n");
	expect_after(rewrite, "http://b/1\nhttp://b/2\nhttp://b/3\n",
	             "was rewritten; is read from its start\n");
	expect_after(rewrite_behind_the_place, "http://b/3\nhttp://b/4\n", "");
	expect_after(rename_it, "http://a/3\n", "");
}

static void test_only_the_first_bytes_are_compared(void)
{
	struct buf text = { 0 };
	struct stage s;

	for (unsigned i = 0; i < 200; i++)
		buf_printf(&text, "http://a/%03u\n", i); /* 13 bytes each */
	buf_add_char(&text, '\0');
	for (unsigned at = 0; at < 200; at += 7) {
		bool noticed = at < 79; /* 79 × 13 = 1027 */
		char letter = 'b';

		begin(&s, text.data, false);
		while (s.urls.len < 150 * 13)
			CU_ASSERT_EQUAL(read_batch(&s, 50), 50);
		keep_position(&s, &kept);
		s.source = source_free(s.source);
		int fd = open(s.path, O_WRONLY | O_CLOEXEC);
		CU_ASSERT_EQUAL(pwrite(fd, &letter, 1, 13 * at + 7), 1);
		CU_ASSERT_EQUAL(close(fd), 0);
		open_at(&s, false, kept.data);
		expect_notices(&s, noticed ? "was rewritten; is read from its start\n" : "");
		done(&s);
	}
	buf_done(&text);
}

static void test_a_damaged_cursor_is_named(void)
{
	static const char *const damaged[] = { "",
		                               "none",
		                               "file ",
		                               "directory none",
		                               "file 1 2 3 4 5",
		                               "file 1 2 3 4 0 00000000000000ff x",
		                               "file 1 2 99999999999999999999 4 0 0" };

	for (size_t i = 0; i < ARRAY_LEN(damaged); i++) {
		struct stage s;
		stage_init(&s);
		put(s.path, "http://a/1\n");
		open_at(&s, false, damaged[i]);
		read_rest(&s);
		expect_urls(&s, "http://a/1\n");
		CU_ASSERT_TRUE(s.notices.len > 0);
		done(&s);
	}
}

static void test_what_is_no_file_has_no_position(void)
{
	struct stage s;

	stage_init(&s);
	make_fifo(s.path);
	open_at(&s, true, NULL);
	int writer = open_writer(s.path);
	say(writer, "http://a/1\n");
	expect_urls(&s, "http://a/1\n");
	keep_position(&s, &kept);
	CU_ASSERT_STRING_EQUAL(kept.data, "");
	CU_ASSERT_EQUAL(close(writer), 0);
	CU_ASSERT_EQUAL(unlink(s.path), 0);

	/* A file that is not there yet has none either, */
	s.source = source_free(s.source);
	open_at(&s, true, NULL);
	keep_position(&s, &kept);
	CU_ASSERT_STRING_EQUAL(kept.data, "");

	/* and tells of one when it comes. */
	put(s.path, "");
	CU_ASSERT_EQUAL(read_batch(&s, 64), 0);
	keep_position(&s, &kept);
	CU_ASSERT_STRING_NOT_EQUAL(kept.data, "");
	done(&s);
}

/* --- followed files ---------------------------------------------------------------------- */

static void test_a_renamed_file_is_read_to_its_end_first(void)
{
	struct stage s;

	begin(&s, "http://a/1\nhttp://a/2\nhttp://a/3\nhttp://a/unfinished", true);
	CU_ASSERT_EQUAL(read_batch(&s, 1), 1);
	keep_position(&s, &kept);
	s.source = source_free(s.source);
	CU_ASSERT_EQUAL(rename(s.path, s.other), 0);

	/* Also while its name leads to nothing. */
	open_at(&s, true, kept.data);
	CU_ASSERT_EQUAL(read_batch(&s, 1), 1);
	restart(&s, true);
	put(s.path, "http://b/1\n");
	while (s.urls.len < strlen("http://a/1\n") * 4 + strlen("http://a/unfinished\n")) {
		CU_ASSERT_TRUE(read_batch(&s, 1) >= 0);
		restart(&s, true);
	}
	expect_urls(&s, "http://a/1\nhttp://a/2\nhttp://a/3\nhttp://a/unfinished\nhttp://b/1\n");
	expect_notices(&s, "");
	expect_complaints(&s, "");
	append(s.path, "http://b/2\n");
	expect_urls(&s, "http://b/2\n");
	done(&s);
}

static void test_a_file_that_is_gone_is_told_of(void)
{
	struct stage s;

	begin(&s, "http://a/1\nhttp://a/2\n", true);
	CU_ASSERT_EQUAL(read_batch(&s, 1), 1);
	buf_clear(&s.urls);
	keep_position(&s, &kept);
	s.source = source_free(s.source);
	CU_ASSERT_EQUAL(unlink(s.path), 0);
	put(s.path, "http://b/1\n");
	open_at(&s, true, kept.data);
	expect_notices(&s, "has been replaced; is read from its start, and what came behind line 1 "
	                   "of the old file was not read\n");
	expect_urls(&s, "http://b/1\n");
	done(&s);
}

static void test_the_position_follows_a_file_that_changes(void)
{
	struct stage s;

	begin(&s, "http://a/1\nhttp://a/2\n", true);
	CU_ASSERT_EQUAL(read_batch(&s, 64), 2);
	put(s.path, "");
	CU_ASSERT_EQUAL(read_batch(&s, 64), 0);
	restart(&s, true);
	append(s.path, "http://b/1\n");
	CU_ASSERT_EQUAL(read_batch(&s, 64), 1);
	restart(&s, true);
	put(s.other, "http://c/1\nhttp://c/2\n");
	CU_ASSERT_EQUAL(rename(s.other, s.path), 0);
	CU_ASSERT_EQUAL(read_batch(&s, 64), 0);
	restart(&s, true);
	CU_ASSERT_EQUAL(read_batch(&s, 1), 1);
	restart(&s, true);
	CU_ASSERT_EQUAL(read_batch(&s, 1), 1);
	expect_urls(&s, "http://a/1\nhttp://a/2\nhttp://b/1\nhttp://c/1\nhttp://c/2\n");
	expect_notices(&s, "");
	done(&s);
}

/* --- any text, any restarts -------------------------------------------------------------- */

static void add_random_line(struct buf *b, struct random *r)
{
	static const char *const pieces[] = {
		"# c", "", "\t", "{", "http://b/\r", "ftp://d/", "\r"
	};

	if (below(r, 200) == 0)
		add_long_job(b, (JOB_MAX_LINE_BYTES - 100) * (1 + below(r, 3)));
	else if (below(r, 2) == 0)
		buf_add_str(b, pieces[below(r, ARRAY_LEN(pieces))]);
	else
		buf_printf(b, "http://a/%zu", below(r, 1000));
}

/* Reads the text with restarts: those between a batch and its acceptance forget the batch. */
static void read_with_restarts(struct stage *s, struct random *r)
{
	int n = 0;

	buf_clear(&kept);
	buf_add_char(&kept, '\0');
	while (n >= 0) {
		size_t before = s->urls.len;
		n = read_batch(s, 1 + below(r, 20));
		bool accepted = below(r, 3) > 0;
		bool lives = accepted && below(r, 3) > 0;
		if (n >= 0 && accepted)
			keep_position(s, &kept);
		if (n >= 0 && !accepted)
			s->urls.len = before;
		if (lives)
			continue;
		s->source = source_free(s->source);
		open_at(s, false, kept.len > 1 ? kept.data : NULL);
		n = 0;
	}
	CU_ASSERT_EQUAL(n, -ENODATA);
}

static void test_any_restarts_read_every_line_once(void)
{
	struct random r = seeded();

	for (unsigned i = 0; i < 100; i++) {
		struct buf text = { 0 }, expected = { 0 };
		struct stage s;

		for (size_t lines = below(&r, 300); lines > 0; lines--) {
			add_random_line(&text, &r);
			buf_add_str(&text, lines > 1 || below(&r, 2) == 0 ? "\n" : "");
		}
		stage_init(&s);
		read_contents(&s, text.data ? text.data : "", text.len);
		buf_add(&expected, s.urls.data, s.urls.len);
		buf_clear(&s.urls);
		s.source = source_free(s.source);
		open_at(&s, false, NULL);
		read_with_restarts(&s, &r);
		CU_ASSERT_TRUE(s.urls.len == expected.len &&
		               (expected.len == 0 ||
		                memcmp(s.urls.data, expected.data, expected.len) == 0));
		expect_notices(&s, "");
		buf_done(&text);
		buf_done(&expected);
		done(&s);
	}
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "reading goes on behind the last batch",
		  test_reading_goes_on_behind_the_last_batch },
		{ "a file that has grown is read on", test_a_file_that_has_grown_is_read_on },
		{ "positions are kept while there are no jobs",
		  test_positions_are_kept_while_there_are_no_jobs },
		{ "the rest of a line that is too long is skipped",
		  test_the_rest_of_a_line_that_is_too_long_is_skipped },
		{ "another file is read from its start", test_another_file_is_read_from_its_start },
		{ "only the first bytes are compared", test_only_the_first_bytes_are_compared },
		{ "a damaged cursor is named", test_a_damaged_cursor_is_named },
		{ "what is no file has no position", test_what_is_no_file_has_no_position },
		{ "a renamed file is read to its end first",
		  test_a_renamed_file_is_read_to_its_end_first },
		{ "a file that is gone is told of", test_a_file_that_is_gone_is_told_of },
		{ "the position follows a file that changes",
		  test_the_position_follows_a_file_that_changes },
		{ "any restarts read every line once", test_any_restarts_read_every_line_once },
		CU_TEST_INFO_NULL,
	};
	return unit_run("urlfile_cursor", tests);
}
