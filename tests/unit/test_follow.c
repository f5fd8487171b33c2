/* SPDX-License-Identifier: Apache-2.0 */
/* urlfile.h: files and FIFOs that are followed. */
#include "source_stage.h"

static void test_a_followed_fifo_outlives_its_writers(void)
{
	struct stage s;

	stage_init(&s);
	make_fifo(s.path);
	stage_open(&s, true);
	expect_urls_after(&s, "http://a/1\nhttp://a/unfinished",
	                  "http://a/1\nhttp://a/unfinished\n");
	for (int i = 0; i < 20; i++) {
		int writer = open_writer(s.path);
		say(writer, "http://a/next\n{\n");
		CU_ASSERT_EQUAL(close(writer), 0);
		expect_urls(&s, "http://a/next\n");
	}
	expect_urls_after(&s, "http://a/last\n", "http://a/last\n");

	/* Lines of one FIFO are counted on. */
	buf_add_char(&s.complaints, '\0');
	CU_ASSERT_PTR_NOT_NULL(strstr(s.complaints.data, "\n42: "));
	stage_done(&s);
}

/* --- following -------------------------------------------------------------------------- */

static void test_a_followed_file_goes_on(void)
{
	struct stage s;

	stage_init(&s);
	put(s.path, "http://a/1\nhttp://a/");
	stage_open(&s, true);
	CU_ASSERT_EQUAL(s.source->bytes_total, 0);
	CU_ASSERT_EQUAL(read_some(&s, 64), 1);
	append(s.path, "2\nhttp://a/3\n");
	expect_urls(&s, "http://a/1\nhttp://a/2\nhttp://a/3\n");
	for (int i = 0; i < 20; i++)
		expect_urls_after(&s, "# c\n\nhttp://a/more\n", "http://a/more\n");
	expect_complaints(&s, "");
	stage_done(&s);
}

static void test_a_truncated_file_is_read_from_its_start(void)
{
	struct stage s;

	stage_init(&s);
	put(s.path, "http://a/1\n\n\n\n\nhttp://a/unfinished");
	stage_open(&s, true);
	CU_ASSERT_EQUAL(read_some(&s, 64), 1);
	put(s.path, "http://b/1\n");
	expect_urls(&s, "http://a/1\nhttp://a/unfinished\nhttp://b/1\n");
	append(s.path, "{\nhttp://b/2\n");
	expect_urls(&s, "http://b/2\n");

	/* The lines are counted anew. */
	CU_ASSERT_TRUE(s.complaints.len > 3 && memcmp(s.complaints.data, "2: ", 3) == 0);
	stage_done(&s);
}

static void test_a_replaced_file_is_read_to_its_end_first(void)
{
	struct stage s;

	stage_init(&s);
	put(s.path, "\xef\xbb\xbfhttp://a/1\n");
	stage_open(&s, true);
	expect_urls(&s, "http://a/1\n");
	for (int i = 0; i < 20; i++) {
		append(s.path, "http://a/2\nhttp://a/unfinished");
		put(s.other, "\xef\xbb\xbfhttp://b/1\nhttp://b/2\n\n");
		CU_ASSERT_EQUAL(rename(s.other, s.path), 0);
		expect_urls(&s, "http://a/2\nhttp://a/unfinished\nhttp://b/1\nhttp://b/2\n");
	}
	append(s.path, "{\nhttp://b/3\n");
	expect_urls(&s, "http://b/3\n");
	CU_ASSERT_TRUE(s.complaints.len > 3 && memcmp(s.complaints.data, "4: ", 3) == 0);
	stage_done(&s);
}

static bool act_rename(const struct helper *h) { return rename(h->text, h->path) == 0; }

static void test_a_waiting_reader_notices_a_new_file(void)
{
	struct stage s;

	stage_init(&s);
	put(s.path, "http://a/1\n");
	stage_open(&s, true);
	expect_urls(&s, "http://a/1\n");
	for (int i = 0; i < 20; i++) {
		struct helper h = { .path = s.path, .text = s.other };
		put(s.other, "http://b/1\n");
		helper_start(&h, act_rename);
		expect_urls(&s, "http://b/1\n");
		helper_join(&h);
	}
	stage_done(&s);
}

static void test_a_deleted_file_may_come_again(void)
{
	struct stage s;

	stage_init(&s);
	put(s.path, "http://a/1\n");
	stage_open(&s, true);
	expect_urls(&s, "http://a/1\n");

	/* The open file is still followed while its name is gone. */
	int writer = open(s.path, O_WRONLY | O_APPEND | O_CLOEXEC);
	CU_ASSERT_EQUAL(unlink(s.path), 0);
	say(writer, "http://a/2\n");
	expect_urls(&s, "http://a/2\n");
	say(writer, "http://a/3\n");
	put(s.path, "http://b/1\n");
	expect_urls(&s, "http://a/3\nhttp://b/1\n");
	CU_ASSERT_EQUAL(close(writer), 0);

	/* The folder may go and come, too. */
	CU_ASSERT_EQUAL(unlink(s.path) | rmdir(s.folder), 0);
	CU_ASSERT_EQUAL(mkdir(s.folder, 0700), 0);
	put(s.path, "http://c/1\n");
	expect_urls(&s, "http://c/1\n");
	stage_done(&s);
}

static bool act_create(const struct helper *h)
{
	return try_put(h->path, O_CREAT | O_EXCL, h->text, strlen(h->text)) &&
	       try_put(h->path, O_APPEND, "\n", 1);
}

static void test_a_followed_file_need_not_be_there(void)
{
	struct stage s;

	stage_init(&s);
	stage_open(&s, true);
	struct helper h = { .path = s.path, .text = "http://a/1\nhttp://a/2" };
	helper_start(&h, act_create);
	expect_urls(&s, "http://a/1\nhttp://a/2\n");
	helper_join(&h);
	expect_complaints(&s, "");
	stage_done(&s);
}

static bool act_replace_folder(const struct helper *h)
{
	return rmdir(h->path) == 0 && try_put(h->path, O_CREAT, h->text, strlen(h->text));
}

static void test_what_cannot_be_followed_is_named_once(void)
{
	struct stage s;

	stage_init(&s);
	put(s.path, "http://a/1\n");
	stage_open(&s, true);
	CU_ASSERT_EQUAL(unlink(s.path) | mkdir(s.path, 0700), 0);
	expect_urls(&s, "http://a/1\n");
	while (s.complaints.len == 0)
		stop_while_reading(&s);

	put(s.other, "makes it look again");
	struct helper h = { .path = s.path, .text = "http://b/1\n" };
	helper_start(&h, act_replace_folder);
	expect_urls(&s, "http://b/1\n");
	helper_join(&h);
	expect_complaints(&s, "0: cannot be opened: Is a directory\n");
	stage_done(&s);
}

static void test_a_followed_fifo_may_be_replaced(void)
{
	struct stage s;

	stage_init(&s);
	make_fifo(s.path);
	stage_open(&s, true);
	int writer = open_writer(s.path); /* stays: the FIFO has no end */
	say(writer, "http://a/1\nhttp://a/unfinished");
	expect_urls(&s, "http://a/1\n");
	put(s.other, "http://b/1\n");
	struct helper h = { .path = s.path, .text = s.other };
	helper_start(&h, act_rename);
	expect_urls(&s, "http://a/unfinished\nhttp://b/1\n");
	helper_join(&h);
	CU_ASSERT_EQUAL(close(writer), 0);
	stage_done(&s);
}

static void test_a_followed_fifo_may_go_and_come(void)
{
	struct stage s;

	stage_init(&s);
	make_fifo(s.path);
	stage_open(&s, true);
	int writer = open_writer(s.path);
	say(writer, "http://a/unfinished");
	CU_ASSERT_EQUAL(unlink(s.path) | close(writer), 0);
	expect_urls(&s, "http://a/unfinished\n");
	make_fifo(s.path);
	expect_urls_after(&s, "http://b/1\n", "http://b/1\n");
	expect_complaints(&s, "");
	stage_done(&s);
}

static void test_a_symbolic_link_is_followed_to_another_file(void)
{
	char second[80], link[80];
	struct stage s;

	stage_init(&s);
	(void) snprintf(second, sizeof(second), "%s/second", s.folder);
	(void) snprintf(link, sizeof(link), "%s/link", s.folder);
	put(s.other, "http://a/1\n");
	put(second, "http://b/1\n");
	CU_ASSERT_EQUAL(symlink("other", s.path) | symlink("second", link), 0);
	stage_open(&s, true);
	expect_urls(&s, "http://a/1\n");
	append(s.other, "http://a/2\n");
	CU_ASSERT_EQUAL(rename(link, s.path), 0);
	expect_urls(&s, "http://a/2\nhttp://b/1\n");
	expect_urls_after(&s, "http://b/2\n", "http://b/2\n");
	CU_ASSERT_EQUAL(unlink(second), 0);
	stage_done(&s);
}

/* --- while it is read ------------------------------------------------------------------- */

enum { ROTATIONS = 300 };

/* Writes "http://a/ROTATION/LINE\n" to the file at the path, and replaces it again and
 * again: once the reader has come to the new file, since one that is replaced before
 * it was ever seen is lost. */
struct rotator {
	const char *path, *other;
	int seen_fd; /* counts the files that the reader has come to */
	bool ok;
};

static bool write_line(const char *path, int flags, unsigned rotation, unsigned line)
{
	char text[64];
	int n = snprintf(text, sizeof(text), "http://a/%u/%u\n", rotation, line);

	return try_put(path, flags, text, (size_t) n);
}

static void *rotate(void *arg)
{
	struct rotator *r = arg;
	eventfd_t ignored;

	r->ok = true;
	for (unsigned i = 1; i <= ROTATIONS; i++) {
		r->ok &= write_line(r->other, O_CREAT | O_TRUNC, i, 0);
		r->ok &= rename(r->other, r->path) == 0;
		r->ok &= eventfd_read(r->seen_fd, &ignored) == 0;
		for (unsigned line = 1; line <= 3; line++)
			r->ok &= write_line(r->path, O_APPEND, i, line);
	}
	return NULL;
}

static void test_nothing_is_lost_by_replacing_a_file_that_is_read(void)
{
	struct rotator r = { .ok = false };
	pthread_t thread;
	struct stage s;

	stage_init(&s);
	put(s.path, "");
	stage_open(&s, true);
	r.path = s.path;
	r.other = s.other;
	r.seen_fd = eventfd(0, EFD_CLOEXEC);
	CU_ASSERT_EQUAL_FATAL(thread_start(&thread, "rotate", THREAD_STACK_SMALL, rotate, &r), 0);

	for (unsigned i = 1; i <= ROTATIONS; i++) {
		for (unsigned line = 0; line <= 3; line++) {
			char expected[64];
			(void) snprintf(expected, sizeof(expected), "http://a/%u/%u\n", i, line);
			CU_ASSERT_EQUAL(read_some(&s, 1), 1);
			CU_ASSERT_TRUE(is_text(&s.urls, expected));
			buf_clear(&s.urls);
			if (line == 0)
				CU_ASSERT_EQUAL(eventfd_write(r.seen_fd, 1), 0);
		}
	}
	thread_join(thread);
	CU_ASSERT_TRUE(r.ok);
	CU_ASSERT_EQUAL(close(r.seen_fd), 0);
	stage_done(&s);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "a followed FIFO outlives its writers",
		  test_a_followed_fifo_outlives_its_writers },
		{ "a followed file goes on", test_a_followed_file_goes_on },
		{ "a truncated file is read from its start",
		  test_a_truncated_file_is_read_from_its_start },
		{ "a replaced file is read to its end first",
		  test_a_replaced_file_is_read_to_its_end_first },
		{ "a waiting reader notices a new file", test_a_waiting_reader_notices_a_new_file },
		{ "a deleted file may come again", test_a_deleted_file_may_come_again },
		{ "a followed file need not be there", test_a_followed_file_need_not_be_there },
		{ "what cannot be followed is named once",
		  test_what_cannot_be_followed_is_named_once },
		{ "a symbolic link is followed to another file",
		  test_a_symbolic_link_is_followed_to_another_file },
		{ "a followed FIFO may be replaced", test_a_followed_fifo_may_be_replaced },
		{ "a followed FIFO may go and come", test_a_followed_fifo_may_go_and_come },
		{ "nothing is lost by replacing a file that is read",
		  test_nothing_is_lost_by_replacing_a_file_that_is_read },
		CU_TEST_INFO_NULL,
	};
	return unit_run("follow", tests);
}
