/* SPDX-License-Identifier: Apache-2.0 */
/* directory.h: which files are taken, and what becomes of them. */
#include "directory_stage.h"

#include <sys/socket.h>
#include <sys/un.h>

/* --- taking ------------------------------------------------------------------------------ */

static void test_the_oldest_file_comes_first(void)
{
	struct drops d;

	drops_init(&d);
	drop(&d, "b", "http://b/1\nhttp://b/2");
	drop(&d, "a", "http://a/1\n");
	drop(&d, "d", "http://d/1\n");
	drop(&d, "c", "http://c/1\n");
	set_time(&d, "b", 1000);
	set_time(&d, "d", 1000);
	set_time(&d, "c", 1000);
	set_time(&d, "a", 1001);
	open_drops(&d);
	expect_drops(&d, "http://b/1\nhttp://b/2\nhttp://c/1\nhttp://d/1\nhttp://a/1\n");
	CU_ASSERT_STRING_EQUAL(d.s.source->name, "incoming");
	CU_ASSERT_EQUAL(d.s.source->jobs, 5);
	CU_ASSERT_EQUAL(d.s.source->bytes_read, 54);
	CU_ASSERT_TRUE(holds(&d, "done/b", "http://b/1\nhttp://b/2"));
	CU_ASSERT_EQUAL(count(&d, "done"), 4);
	CU_ASSERT_EQUAL(count(&d, "failed"), 0);
	CU_ASSERT_EQUAL(count(&d, "."), 0);
	expect_complaints(&d.s, "");
	expect_notices(&d.s, "");
	drops_done(&d);
}

static void test_what_is_not_a_whole_file_is_ignored(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct drops d;

	drops_init(&d);
	put(in(&d, ".hidden"), "http://a/1\n");
	put(in(&d, "a.tmp"), "http://a/2\n");
	put(in(&d, "b.part"), "http://a/3\n");
	CU_ASSERT_EQUAL(symlink("a.tmp", in(&d, "link")), 0);
	CU_ASSERT_EQUAL(symlink("nothing", in(&d, "dangling")), 0);
	CU_ASSERT_EQUAL(mkdir(in(&d, "folder"), 0700), 0);
	make_fifo(in(&d, "fifo"));
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	(void) snprintf(address.sun_path, sizeof(address.sun_path), "%s", in(&d, "socket"));
	CU_ASSERT_EQUAL(bind(fd, (struct sockaddr *) &address, sizeof(address)) | close(fd), 0);
	open_drops(&d);
	read_until_idle(&d);
	CU_ASSERT_EQUAL(symlink("a.tmp", in(&d, ".link")), 0);
	CU_ASSERT_EQUAL(rename(in(&d, ".link"), in(&d, "link2")), 0);
	CU_ASSERT_EQUAL(rename(in(&d, "folder"), in(&d, "folder2")), 0);
	read_until_idle(&d);
	CU_ASSERT_EQUAL(count(&d, "done") + count(&d, "failed"), 0);
	CU_ASSERT_EQUAL(d.s.urls.len, 0);

	CU_ASSERT_EQUAL(rename(in(&d, ".hidden"), in(&d, "hidden")), 0);
	CU_ASSERT_EQUAL(rename(in(&d, "a.tmp"), in(&d, "a")), 0);
	CU_ASSERT_EQUAL(rename(in(&d, "b.part"), in(&d, "b.part.txt")), 0);
	expect_drops(&d, "http://a/1\nhttp://a/2\nhttp://a/3\n");
	expect_complaints(&d.s, "");
	drops_done(&d);
}

static bool act_drop(const struct helper *h)
{
	return try_put(h->text, O_CREAT, "http://a/1\n", 11) && rename(h->text, h->path) == 0;
}

static bool act_write(const struct helper *h)
{
	return try_put(h->path, O_CREAT, h->text, strlen(h->text));
}

static void test_a_waiting_source_notices_what_comes(void)
{
	struct drops d;

	drops_init(&d);
	open_drops(&d);
	for (unsigned i = 0; i < 20; i++) {
		struct helper h = { .path = in(&d, "renamed"), .text = in(&d, ".new") };
		helper_start(&h, act_drop);
		expect_drops(&d, "http://a/1\n");
		helper_join(&h);
		h = (struct helper){ .path = in(&d, "written"), .text = "http://a/2\n" };
		helper_start(&h, act_write);
		expect_drops(&d, "http://a/2\n");
		helper_join(&h);
	}
	CU_ASSERT_EQUAL(count(&d, "done"), 40);
	drops_done(&d);
}

static void test_a_file_that_is_being_written_waits_for_its_end(void)
{
	struct drops d;

	drops_init(&d);
	int writer = open(in(&d, "a"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	say(writer, "http://a/1\nhttp://");
	drop(&d, "b", "http://b/1\n");
	open_drops(&d);
	expect_drops(&d, "http://b/1\n");
	read_until_idle(&d);
	CU_ASSERT_EQUAL(d.s.urls.len, 0);
	say(writer, "a/2\n");
	CU_ASSERT_EQUAL(close(writer), 0);
	expect_drops(&d, "http://a/1\nhttp://a/2\n");
	expect_complaints(&d.s, "");
	drops_done(&d);
}

static void test_what_comes_behind_an_end_is_read_too(void)
{
	struct drops d;

	drops_init(&d);
	open_drops(&d);
	drop(&d, "a", "http://a/1\n");
	CU_ASSERT_EQUAL(read_batch(&d.s, 64), 1);
	append(in(&d, "a"), "http://a/2\n");
	CU_ASSERT_EQUAL(source_accepted(d.s.source), 0);
	CU_ASSERT_EQUAL(count(&d, "done"), 0);
	CU_ASSERT_EQUAL(read_batch(&d.s, 64), 1);
	put(in(&d, "a"), "http://b/1\n");
	CU_ASSERT_EQUAL(source_accepted(d.s.source), 0);
	CU_ASSERT_EQUAL(count(&d, "done"), 0);
	expect_notices(&d.s, "a: was truncated; is read from its start\n");
	expect_drops(&d, "http://a/1\nhttp://a/2\nhttp://b/1\n");
	CU_ASSERT_EQUAL(count(&d, "done"), 1);
	drops_done(&d);
}

static void test_a_file_that_replaces_the_one_in_work_is_not_lost(void)
{
	struct drops d;

	drops_init(&d);
	open_drops(&d);
	drop(&d, "a", "http://a/1\n{\n");
	CU_ASSERT_EQUAL(read_batch(&d.s, 64), 1);
	drop(&d, "a", "http://b/1\n");
	CU_ASSERT_EQUAL(source_accepted(d.s.source), 0);
	CU_ASSERT_TRUE(exists(&d, "a"));
	CU_ASSERT_TRUE(exists(&d, "failed/a.report"));
	expect_drops(&d, "http://a/1\nhttp://b/1\n");
	CU_ASSERT_TRUE(holds(&d, "done/a", "http://b/1\n"));

	/* Nor is it an error that one is deleted. */
	drop(&d, "c", "http://c/1\n");
	CU_ASSERT_EQUAL(read_batch(&d.s, 64), 1);
	CU_ASSERT_EQUAL(unlink(in(&d, "c")), 0);
	CU_ASSERT_EQUAL(source_accepted(d.s.source), 0);
	drop(&d, "d", "http://d/1\n");
	expect_drops(&d, "http://c/1\nhttp://d/1\n");
	CU_ASSERT_EQUAL(count(&d, "done"), 2);
	expect_notices(&d.s, "");
	drops_done(&d);
}

/* --- what becomes of them ---------------------------------------------------------------- */

static void test_bad_lines_are_reported(void)
{
	struct drops d;

	drops_init(&d);
	drop(&d, "a", "http://a/1\n{\nhttp://a/2\nx\n");
	CU_ASSERT_TRUE(try_put(in(&d, "b"), O_CREAT, "# c\nx\0y\n\nx\0y", 12));
	drop(&d, "c", "http://c/1\n");
	set_time(&d, "a", 1000);
	set_time(&d, "b", 1001);
	open_drops(&d);
	expect_drops(&d, "http://a/1\nhttp://a/2\nhttp://c/1\n");
	CU_ASSERT_TRUE(exists(&d, "failed/a"));
	CU_ASSERT_TRUE(holds(&d, "failed/b.report",
	                     "2: line holds a NUL byte\n4: line holds a NUL byte\n"));
	CU_ASSERT_TRUE(exists(&d, "failed/b"));
	CU_ASSERT_TRUE(exists(&d, "done/c"));
	CU_ASSERT_EQUAL(count(&d, "failed"), 4);
	CU_ASSERT_FALSE(exists(&d, "failed/.report"));
	CU_ASSERT_EQUAL(d.s.source->bad_lines, 4);
	buf_add_char(&d.s.complaints, '\0');
	CU_ASSERT_PTR_EQUAL(strstr(d.s.complaints.data, "a:2: "), d.s.complaints.data);
	CU_ASSERT_PTR_NOT_NULL(strstr(d.s.complaints.data, "\nb:2: line holds a NUL byte\nb:4: "));
	drops_done(&d);
}

static void test_names_that_are_taken_get_a_number(void)
{
	struct drops d;
	char name[256];

	drops_init(&d);
	open_drops(&d);
	for (unsigned i = 0; i < 12; i++) {
		drop(&d, "a", "http://a/1\n");
		expect_drops(&d, "http://a/1\n");
		drop(&d, "b", "http://b/1\n{");
		expect_drops(&d, "http://b/1\n");
	}
	CU_ASSERT_TRUE(exists(&d, "done/a") && exists(&d, "done/a.1") && exists(&d, "done/a.11"));
	CU_ASSERT_TRUE(exists(&d, "failed/b.11") && exists(&d, "failed/b.11.report"));
	CU_ASSERT_EQUAL(count(&d, "failed"), 24);

	/* Also the longest ones, which are cut for it. */
	memset(name, 'x', 255);
	name[255] = '\0';
	for (unsigned i = 0; i < 2; i++) {
		drop(&d, name, "http://a/1\n{");
		expect_drops(&d, "http://a/1\n");
		CU_ASSERT_FALSE(exists(&d, name));
	}
	CU_ASSERT_EQUAL(count(&d, "failed"), 28);
	expect_notices(&d.s, "");
	drops_done(&d);
}

static void test_what_cannot_be_opened_has_failed(void)
{
	struct drops d;
	bool root = geteuid() == 0; /* for whom nothing is forbidden */

	drops_init(&d);
	if (root)
		CU_ASSERT_EQUAL(chown(d.s.folder, 65534, 65534) | seteuid(65534), 0);
	drop(&d, "a", "http://a/1\n");
	CU_ASSERT_EQUAL(chmod(in(&d, "a"), 0), 0);
	drop(&d, "b", "http://b/1\n");
	open_drops(&d);
	expect_drops(&d, "http://b/1\n");
	CU_ASSERT_TRUE(exists(&d, "failed/a"));
	CU_ASSERT_TRUE(holds(&d, "failed/a.report", "0: cannot be opened: Permission denied\n"));
	expect_complaints(&d.s, "a:0: cannot be opened: Permission denied\n");

	/* As well if that was all that was told before a restart. */
	drop(&d, "c", "http://c/1\n");
	CU_ASSERT_EQUAL(chmod(in(&d, "c"), 0), 0);
	while (read_batch(&d.s, 64) == 0 && d.s.complaints.len == 0)
		CU_ASSERT_EQUAL(source_accepted(d.s.source), 0);
	keep_position(&d.s, &d.cursor);
	d.s.source = source_free(d.s.source);
	open_drops(&d);
	drop(&d, "d", "http://d/1\n");
	expect_drops(&d, "http://d/1\n");
	CU_ASSERT_TRUE(holds(&d, "failed/c.report", "0: cannot be opened: Permission denied\n"));
	expect_complaints(&d.s, "c:0: cannot be opened: Permission denied\n");
	if (root)
		CU_ASSERT_EQUAL(seteuid(0), 0);
	drops_done(&d);
}

static void test_a_file_that_cannot_be_moved_is_not_read_again(void)
{
	struct drops d;

	drops_init(&d);
	open_drops(&d);
	CU_ASSERT_EQUAL(rmdir(in(&d, "done")) | symlink("/proc/self", in(&d, "done")), 0);
	drop(&d, "a", "http://a/1\n");
	drop(&d, "b", "http://b/1\n");
	expect_drops(&d, "http://a/1\n");
	for (unsigned i = 0; i < 2; i++) {
		while (d.s.notices.len == 0)
			read_until_idle(&d);
		expect_notices(&d.s, "a: cannot be moved to done/: Invalid cross-device link; "
		                     "is tried again\n");
		read_until_idle(&d);
		expect_notices(&d.s, "");
		d.s.source = source_free(d.s.source);
		open_drops(&d);
	}
	CU_ASSERT_EQUAL(d.s.urls.len, 0);

	CU_ASSERT_EQUAL(unlink(in(&d, "done")), 0);
	expect_drops(&d, "http://b/1\n");
	CU_ASSERT_EQUAL(count(&d, "done"), 2);
	expect_complaints(&d.s, "");
	drops_done(&d);
}

static void test_what_is_no_directory_is_refused(void)
{
	struct source *untouched = NULL;
	struct drops d;

	drops_init(&d);
	struct directory_options options = { .name = "x", .path = in(&d, "x"), .stop_fd = -1 };
	CU_ASSERT_EQUAL(directory_create(&options, &untouched), -ENOENT);
	put(in(&d, "x"), "");
	CU_ASSERT_EQUAL(directory_create(&options, &untouched), -ENOTDIR);
	CU_ASSERT_EQUAL(rename(in(&d, "x"), in(&d, "done")), 0);
	options.path = d.s.folder;
	CU_ASSERT_EQUAL(directory_create(&options, &untouched), -ENOTDIR);
	CU_ASSERT_PTR_NULL(untouched);
	drops_done(&d);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "the oldest file comes first", test_the_oldest_file_comes_first },
		{ "what is not a whole file is ignored", test_what_is_not_a_whole_file_is_ignored },
		{ "a waiting source notices what comes", test_a_waiting_source_notices_what_comes },
		{ "a file that is being written waits for its end",
		  test_a_file_that_is_being_written_waits_for_its_end },
		{ "what comes behind an end is read too",
		  test_what_comes_behind_an_end_is_read_too },
		{ "a file that replaces the one in work is not lost",
		  test_a_file_that_replaces_the_one_in_work_is_not_lost },
		{ "bad lines are reported", test_bad_lines_are_reported },
		{ "names that are taken get a number", test_names_that_are_taken_get_a_number },
		{ "what cannot be opened has failed", test_what_cannot_be_opened_has_failed },
		{ "a file that cannot be moved is not read again",
		  test_a_file_that_cannot_be_moved_is_not_read_again },
		{ "what is no directory is refused", test_what_is_no_directory_is_refused },
		CU_TEST_INFO_NULL,
	};
	return unit_run("directory", tests);
}
