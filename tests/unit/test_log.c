/* SPDX-License-Identifier: Apache-2.0 */
/* log.h.  Standard error is a pipe that keeps each write apart from the next. */
#include "base/log.h"

#include "base/clock.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The longest message, and more than a whole line takes. */
enum { MESSAGE_MAX = 2047, LINE_SIZE = 4096 };

struct capture {
	int saved; /* the real standard error */
	int out;   /* reads one write(2) at a time; pipe(2), O_DIRECT */
};

static void capture_start(struct capture *c)
{
	int fds[2];

	CU_ASSERT_EQUAL_FATAL(pipe2(fds, O_CLOEXEC | O_DIRECT | O_NONBLOCK), 0);
	c->saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	CU_ASSERT_TRUE_FATAL(c->saved >= 0);
	CU_ASSERT_EQUAL_FATAL(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
	(void) close(fds[1]);
	c->out = fds[0];
}

static void capture_stop(struct capture *c)
{
	char left;

	CU_ASSERT_EQUAL(read(c->out, &left, 1), -1);
	CU_ASSERT_EQUAL(dup2(c->saved, STDERR_FILENO), STDERR_FILENO);
	(void) close(c->saved);
	(void) close(c->out);
}

/* Reads what one write(2) has written, as a text; empty if there was none. */
static const char *one_write(const struct capture *c)
{
	static char text[LINE_SIZE];
	ssize_t n = read(c->out, text, sizeof(text) - 1);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

static void log_one_of_each(void)
{
	log_error("%s %d", "e", 1);
	log_warning("%s %d", "w", 2);
	log_info("%s %d", "i", 3);
	log_debug("%s %d", "d", 4);
}

static void test_only_what_is_important_enough_is_shown(void)
{
	static const char *const lines[] = { "prog: error: e 1\n", "prog: warning: w 2\n",
		                             "prog: i 3\n", "prog: debug: d 4\n" };
	struct capture c;

	capture_start(&c);
	for (int level = LOG_LEVEL_ERROR; level <= LOG_LEVEL_DEBUG; level++) {
		log_open("prog", (enum log_level) level);
		log_one_of_each();
		for (int i = 0; i <= level; i++)
			CU_ASSERT_STRING_EQUAL(one_write(&c), lines[i]);
		CU_ASSERT_STRING_EQUAL(one_write(&c), "");
	}
	capture_stop(&c);
}

static void test_the_name_in_front_is_what_was_given(void)
{
	struct capture c;

	capture_start(&c);
	log_open("other", LOG_LEVEL_INFO);
	log_info("%s", "");
	CU_ASSERT_STRING_EQUAL(one_write(&c), "other: \n");
	capture_stop(&c);
}

static void expect_cut(const struct capture *c, size_t message)
{
	static char text[LINE_SIZE];
	const size_t head = strlen("prog: error: ");
	size_t kept = message < MESSAGE_MAX ? message : MESSAGE_MAX;

	memset(text, 'x', message);
	text[message] = '\0';
	log_error("%s", text);

	const char *line = one_write(c);
	CU_ASSERT_EQUAL_FATAL(strlen(line), head + kept + 1);
	CU_ASSERT_EQUAL(strspn(line + head, "x"), kept);
	CU_ASSERT_EQUAL(line[head + kept], '\n');
}

static void test_a_line_that_is_too_long_is_cut(void)
{
	struct capture c;

	capture_start(&c);
	log_open("prog", LOG_LEVEL_ERROR);
	for (size_t message = MESSAGE_MAX - 32; message < MESSAGE_MAX + 32; message++)
		expect_cut(&c, message);
	expect_cut(&c, LINE_SIZE - 1);
	capture_stop(&c);
}

static void test_what_a_message_quotes_cannot_end_the_line(void)
{
	struct capture c;

	capture_start(&c);
	log_open("prog", LOG_LEVEL_ERROR);
	log_error("bad: %s", "http://a/\nprog: error: forged\r\033[2J\x7f\xc3\xa4");
	CU_ASSERT_STRING_EQUAL(one_write(&c),
	                       "prog: error: bad: http://a/ prog: error: forged  [2J \xc3\xa4\n");
	capture_stop(&c);
}

static void test_a_redrawn_line_is_wiped_once(void)
{
	struct capture c;

	capture_start(&c);
	log_open("prog", LOG_LEVEL_WARNING);
	log_set_redrawn_line(true);
	log_info("not shown, wipes nothing");
	log_warning("first");
	log_warning("second");
	log_set_redrawn_line(true);
	log_set_redrawn_line(false);
	log_warning("third");
	CU_ASSERT_STRING_EQUAL(one_write(&c), "\r\033[Kprog: warning: first\n");
	CU_ASSERT_STRING_EQUAL(one_write(&c), "prog: warning: second\n");
	CU_ASSERT_STRING_EQUAL(one_write(&c), "prog: warning: third\n");
	capture_stop(&c);
}

static void test_nobody_waits_long_for_a_reader_that_does_not_read(void)
{
	struct capture c;

	capture_start(&c);
	log_open("prog", LOG_LEVEL_ERROR);
	(void) fcntl(c.out, F_SETPIPE_SZ, 4096); /* one page: one line */
	for (int i = 0; i < 3; i++) {
		errno = EPROTO;
		log_error("line %d", i);
		CU_ASSERT_EQUAL(errno, EPROTO); /* as it was, whatever happened */
	}
	CU_ASSERT_STRING_EQUAL(one_write(&c), "prog: error: line 0\n");
	log_error("read again");
	CU_ASSERT_STRING_EQUAL(one_write(&c), "prog: error: read again\n");
	capture_stop(&c);
}

static void test_errors_that_were_collected_are_a_line_each(void)
{
	struct capture c;

	capture_start(&c);
	log_open("prog", LOG_LEVEL_ERROR);
	log_error_lines("one\n\nthree\nunfinished, not ended", strlen("one\n\nthree\nunfinished"));
	log_error_lines("", 0);
	CU_ASSERT_STRING_EQUAL(one_write(&c), "prog: error: one\n");
	CU_ASSERT_STRING_EQUAL(one_write(&c), "prog: error: \n");
	CU_ASSERT_STRING_EQUAL(one_write(&c), "prog: error: three\n");
	CU_ASSERT_STRING_EQUAL(one_write(&c), "prog: error: unfinished\n");
	capture_stop(&c);
}

/* --- sinks ----------------------------------------------------------------------------- */

/* What the sink below got last. */
static struct {
	unsigned calls;
	enum log_level level;
	struct log_fields fields;
	char text[64];
} got;

static void keep(enum log_level level, const struct log_fields *fields, const char *text)
{
	got.calls++;
	got.level = level;
	got.fields = *fields;
	(void) snprintf(got.text, sizeof(got.text), "%s", text);
}

static void test_a_sink_gets_the_message_and_what_it_is_about(void)
{
	const struct log_fields fields = { .job = "p-1", .origin = "http://a:80" };
	struct capture c;

	capture_start(&c);
	log_open("prog", LOG_LEVEL_INFO);
	log_set_sink(keep);
	log_about(LOG_LEVEL_WARNING, &fields, "%s\nb", "a");
	CU_ASSERT_EQUAL(got.level, LOG_LEVEL_WARNING);
	CU_ASSERT_PTR_EQUAL(got.fields.job, fields.job);
	CU_ASSERT_PTR_EQUAL(got.fields.origin, fields.origin);
	CU_ASSERT_PTR_NULL(got.fields.source);
	CU_ASSERT_STRING_EQUAL(got.text, "a b");

	log_info("plain");
	CU_ASSERT_EQUAL(got.level, LOG_LEVEL_INFO);
	CU_ASSERT_PTR_NULL(got.fields.job);
	CU_ASSERT_STRING_EQUAL(got.text, "plain");
	CU_ASSERT_EQUAL(got.calls, 2);
	log_debug("not shown");
	log_about(LOG_LEVEL_DEBUG, &fields, "not shown");
	CU_ASSERT_EQUAL(got.calls, 2);

	log_set_level(LOG_LEVEL_DEBUG);
	CU_ASSERT_TRUE(log_shows(LOG_LEVEL_DEBUG));
	log_event(LOG_LEVEL_DEBUG, LOG_EVENT_READY, "now");
	CU_ASSERT_EQUAL(got.calls, 3);
	CU_ASSERT_EQUAL(got.fields.event, LOG_EVENT_READY);
	capture_stop(&c); /* with nothing on stderr */
}

/* The last one that uses stderr: there is no way back to the plain sink. */
static void test_a_service_manager_gets_priorities(void)
{
	static const char *const lines[] = { "<3>e 1\n", "<4>w 2\n", "<6>i 3\n", "<7>d 4\n" };
	struct capture c;

	capture_start(&c);
	log_open("prog", LOG_LEVEL_DEBUG);
	log_set_sink(log_prefixed_sink);
	log_one_of_each();
	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		CU_ASSERT_STRING_EQUAL(one_write(&c), lines[i]);
	capture_stop(&c);
}

/* --- limits ---------------------------------------------------------------------------- */

static unsigned allowed(struct log_limit *limit, unsigned tries, uint64_t now_ns)
{
	unsigned n = 0;

	for (unsigned i = 0; i < tries; i++)
		n += log_allowed(limit, now_ns);
	return n;
}

static void test_a_second_has_room_for_so_many_messages(void)
{
	const uint64_t t = 1000 * NS_PER_S;
	struct log_limit limit = { 0 };

	CU_ASSERT_EQUAL(allowed(&limit, LOG_LIMIT_PER_SECOND, t), LOG_LIMIT_PER_SECOND);
	CU_ASSERT_EQUAL(log_take_held_back(&limit), 0);
	CU_ASSERT_EQUAL(allowed(&limit, 5, t), 0);
	CU_ASSERT_EQUAL(allowed(&limit, 5, t + NS_PER_S - 1), 0);
	CU_ASSERT_EQUAL(log_take_held_back(&limit), 10);
	CU_ASSERT_EQUAL(log_take_held_back(&limit), 0);
	CU_ASSERT_EQUAL(allowed(&limit, 30, t + NS_PER_S), LOG_LIMIT_PER_SECOND);
	CU_ASSERT_EQUAL(log_take_held_back(&limit), 30 - LOG_LIMIT_PER_SECOND);

	/* However long nothing happened, no more has gathered. */
	CU_ASSERT_EQUAL(allowed(&limit, 100, t + 100 * NS_PER_S), LOG_LIMIT_PER_SECOND);
}

static void test_a_zeroed_limit_is_ready_right_after_boot(void)
{
	struct log_limit limit = { 0 };

	CU_ASSERT_EQUAL(allowed(&limit, 100, 1), LOG_LIMIT_PER_SECOND);
	CU_ASSERT_EQUAL(allowed(&limit, 100, NS_PER_S), LOG_LIMIT_PER_SECOND);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "only what is important enough is shown",
		  test_only_what_is_important_enough_is_shown },
		{ "the name in front is what was given", test_the_name_in_front_is_what_was_given },
		{ "a line that is too long is cut", test_a_line_that_is_too_long_is_cut },
		{ "what a message quotes cannot end the line",
		  test_what_a_message_quotes_cannot_end_the_line },
		{ "a redrawn line is wiped once", test_a_redrawn_line_is_wiped_once },
		{ "nobody waits long for a reader that does not read",
		  test_nobody_waits_long_for_a_reader_that_does_not_read },
		{ "errors that were collected are a line each",
		  test_errors_that_were_collected_are_a_line_each },
		{ "a sink gets the message, and what it is about",
		  test_a_sink_gets_the_message_and_what_it_is_about },
		{ "a service manager gets priorities", test_a_service_manager_gets_priorities },
		{ "a second has room for so many messages",
		  test_a_second_has_room_for_so_many_messages },
		{ "a zeroed limit is ready right after boot",
		  test_a_zeroed_limit_is_ready_right_after_boot },
		CU_TEST_INFO_NULL,
	};
	return unit_run("log", tests);
}
