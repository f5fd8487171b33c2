/* SPDX-License-Identifier: Apache-2.0 */
/* arrivals.h: the names of many files, and of those that come. */
#include "directory_stage.h"
#include "source/arrivals.h"

enum { MANY = 40000 }; /* more than are held at a time */

static void expect_name(struct arrivals *a, const char *expected)
{
	char name[NAME_MAX + 1] = "";
	bool closed = false;

	CU_ASSERT_EQUAL(arrivals_next(a, name, &closed), 1);
	CU_ASSERT_STRING_EQUAL(name, expected);
}

static void expect_none(struct arrivals *a)
{
	char name[NAME_MAX + 1] = "";
	bool closed = false;

	CU_ASSERT_EQUAL(arrivals_next(a, name, &closed), 0);
	CU_ASSERT_STRING_EQUAL(name, "");
}

static void touch(const struct drops *d, const char *name)
{
	CU_ASSERT_TRUE(try_put(in(d, name), O_CREAT, "", 0));
}

static void open_arrivals(struct drops *d, struct arrivals *a)
{
	CU_ASSERT_EQUAL_FATAL(arrivals_open(a, d->s.folder, d->s.stop_fd), 0);
}

static void test_many_files_come_in_order_and_few_are_held(void)
{
	struct arrivals a;
	struct drops d;
	char name[32];

	drops_init(&d);
	for (unsigned i = 0; i < MANY; i++) {
		unsigned shuffled = (unsigned) ((uint64_t) i * 7919 % MANY);
		(void) snprintf(name, sizeof(name), "%05u", shuffled);
		touch(&d, name);
		set_time(&d, name, 1000 + shuffled / 3);
	}
	open_arrivals(&d, &a);
	for (unsigned i = 0; i < MANY; i++) {
		(void) snprintf(name, sizeof(name), "%05u", i);
		expect_name(&a, name);
		CU_ASSERT_TRUE(a.n <= 16384);
		if (i % 2 == 0) /* Those that stay are not found twice. */
			CU_ASSERT_EQUAL(unlink(in(&d, name)), 0);
	}
	expect_none(&a);
	arrivals_look_again(&a);
	for (unsigned i = 1; i < MANY; i += 2) {
		(void) snprintf(name, sizeof(name), "%05u", i);
		expect_name(&a, name);
	}
	expect_none(&a);
	arrivals_close(&a);
	drops_done(&d);
}

static void test_too_many_events_make_it_look_again(void)
{
	struct arrivals a;
	struct drops d;
	unsigned limit = 0, seen = 0;
	char name[NAME_MAX + 1] = "";
	bool closed;

	FILE *file = fopen("/proc/sys/fs/inotify/max_queued_events", "re");
	if (!file || fscanf(file, "%u", &limit) != 1 || limit > 100000) {
		(void) printf("(not here: the queue has no known end) ");
		if (file)
			(void) fclose(file);
		return;
	}
	(void) fclose(file);

	drops_init(&d);
	open_arrivals(&d, &a);
	expect_none(&a);
	for (unsigned i = 0; i <= limit; i++)
		touch(&d, i % 2 == 0 ? "a" : "b");
	touch(&d, "late");
	while (arrivals_next(&a, name, &closed) == 1)
		seen += strcmp(name, "late") == 0;
	CU_ASSERT_EQUAL(seen, 1);
	arrivals_close(&a);
	drops_done(&d);
}

static void test_it_goes_over_to_another_directory(void)
{
	struct arrivals a;
	struct drops d;

	drops_init(&d);
	CU_ASSERT_EQUAL(mkdir(in(&d, "in"), 0700), 0);
	CU_ASSERT_EQUAL_FATAL(arrivals_open(&a, in(&d, "in"), d.s.stop_fd), 0);
	touch(&d, "in/a");
	expect_name(&a, "a");
	CU_ASSERT_EQUAL(arrivals_check(&a), 0);
	expect_name(&a, "a"); /* its event */
	expect_none(&a);
	CU_ASSERT_EQUAL(rename(in(&d, "in"), in(&d, "old")), 0);
	a.path = in(&d, "in");
	CU_ASSERT_EQUAL(arrivals_check(&a), -ENOENT);
	touch(&d, "old/b");
	expect_name(&a, "b");
	CU_ASSERT_EQUAL(mkdir(in(&d, "in"), 0700), 0);
	touch(&d, "in/c");
	CU_ASSERT_EQUAL(arrivals_check(&a), 0);
	expect_name(&a, "c");
	touch(&d, "in/d");
	expect_name(&a, "d");
	expect_none(&a);
	arrivals_close(&a);
	drops_done(&d);
}

static void test_without_events_it_looks_each_time(void)
{
	struct arrivals a;
	struct drops d;

	drops_init(&d);
	open_arrivals(&d, &a);
	CU_ASSERT_EQUAL(close(a.notify_fd), 0);
	a.notify_fd = -1;
	expect_none(&a);
	touch(&d, "a");
	expect_none(&a);
	CU_ASSERT_EQUAL(arrivals_check(&a), 0);
	expect_name(&a, "a");
	expect_none(&a);
	arrivals_close(&a);
	drops_done(&d);
}

static void test_a_stop_ends_a_long_look(void)
{
	char name[NAME_MAX + 1];
	struct arrivals a;
	struct drops d;
	bool closed;

	drops_init(&d);
	for (unsigned i = 0; i < 2000; i++) {
		(void) snprintf(name, sizeof(name), "%05u", i);
		touch(&d, name);
	}
	open_arrivals(&d, &a);
	CU_ASSERT_EQUAL(eventfd_write(d.s.stop_fd, 1), 0);
	CU_ASSERT_EQUAL(arrivals_next(&a, name, &closed), -ECANCELED);
	arrivals_close(&a);
	drops_done(&d);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "many files come in order, and few are held",
		  test_many_files_come_in_order_and_few_are_held },
		{ "too many events make it look again", test_too_many_events_make_it_look_again },
		{ "it goes over to another directory", test_it_goes_over_to_another_directory },
		{ "without events it looks each time", test_without_events_it_looks_each_time },
		{ "a stop ends a long look", test_a_stop_ends_a_long_look },
		CU_TEST_INFO_NULL,
	};
	return unit_run("arrivals", tests);
}
