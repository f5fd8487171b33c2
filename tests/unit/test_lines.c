/* SPDX-License-Identifier: Apache-2.0 */
/* lines.h, and urlfile.h against a simpler reader. */
#include "source/lines.h"

#include "base/random.h"
#include "source_stage.h"

/* Takes the lines that are there, and feeds 'n' bytes of 'c'; returns the size of the
 * buffer that it took. */
static size_t feed(struct lines *l, char c, size_t n)
{
	const char *text = NULL;
	size_t len = 0;

	while (n > 0) {
		char *room = NULL;
		size_t some = n < LINES_READ_BYTES ? n : LINES_READ_BYTES;
		while (lines_next(l, &text, &len) != LINE_NONE)
			;
		CU_ASSERT_EQUAL_FATAL(lines_room(l, &room), 0);
		memset(room, c, some);
		lines_fed(l, some);
		n -= some;
	}
	return l->size;
}

static void test_the_longest_line_may_come_with_a_mark_and_a_carriage_return(void)
{
	const char *text = NULL;
	size_t len = 0;
	struct lines l;

	CU_ASSERT_EQUAL_FATAL(lines_init(&l), 0);
	(void) feed(&l, '\xef', 1);
	(void) feed(&l, '\xbb', 1);
	(void) feed(&l, '\xbf', 1);
	(void) feed(&l, 'x', JOB_MAX_LINE_BYTES);
	(void) feed(&l, '\r', 1);
	CU_ASSERT_EQUAL(lines_next(&l, &text, &len), LINE_NONE);
	(void) feed(&l, '\n', 1);
	CU_ASSERT_EQUAL(lines_next(&l, &text, &len), LINE_WHOLE);
	CU_ASSERT_EQUAL(len, JOB_MAX_LINE_BYTES);
	CU_ASSERT_EQUAL(text[0], 'x');

	/* Without its line ending it is told from a longer one only by its end. */
	(void) feed(&l, 'x', JOB_MAX_LINE_BYTES);
	(void) feed(&l, '\r', 1);
	CU_ASSERT_EQUAL(lines_next(&l, &text, &len), LINE_NONE);
	CU_ASSERT_EQUAL(lines_last(&l, &text, &len), LINE_WHOLE);
	CU_ASSERT_EQUAL(len, JOB_MAX_LINE_BYTES);
	lines_done(&l);
}

static void test_the_buffer_is_bounded_and_given_back(void)
{
	const char *text = NULL;
	size_t len = 0;
	struct lines l;

	CU_ASSERT_EQUAL_FATAL(lines_init(&l), 0);
	size_t small = l.size;
	CU_ASSERT_EQUAL(feed(&l, 'x', 10), small);
	CU_ASSERT_EQUAL(lines_next(&l, &text, &len), LINE_NONE);

	size_t large = feed(&l, 'x', JOB_MAX_LINE_BYTES - 10);
	CU_ASSERT_TRUE(large >= JOB_MAX_LINE_BYTES && large <= JOB_MAX_LINE_BYTES + 128 * 1024);
	CU_ASSERT_EQUAL(lines_next(&l, &text, &len), LINE_NONE);
	(void) feed(&l, '\n', 1);
	CU_ASSERT_EQUAL(lines_next(&l, &text, &len), LINE_WHOLE);
	CU_ASSERT_EQUAL(len, JOB_MAX_LINE_BYTES);
	CU_ASSERT_EQUAL(lines_next(&l, &text, &len), LINE_NONE);
	CU_ASSERT_EQUAL(l.size, small);

	CU_ASSERT_EQUAL(feed(&l, 'x', 8 * JOB_MAX_LINE_BYTES), small);
	CU_ASSERT_EQUAL(lines_next(&l, &text, &len), LINE_NONE);
	CU_ASSERT_EQUAL(l.number, 2);
	(void) feed(&l, '\n', 3);
	CU_ASSERT_EQUAL(lines_next(&l, &text, &len), LINE_WHOLE);
	CU_ASSERT_EQUAL(l.number, 3);
	CU_ASSERT_EQUAL(len, 0);
	lines_done(&l);
}

/* --- against a simpler reader ------------------------------------------------------------ */

static size_t draw(struct random *r, size_t below) { return (size_t) random_up_to(r, below - 1); }

static void add_random_line(struct buf *b, struct random *r, bool with_long)
{
	static const char *const pieces[] = { "http://a/",
		                              "http://b/?x=%20",
		                              "#",
		                              " ",
		                              "\r",
		                              "\t",
		                              "{\"url\":\"http://c/\"}",
		                              "x",
		                              "\xef\xbb\xbf",
		                              "ftp://d/" };

	if (with_long && draw(r, 8) == 0)
		add_long_job(b, JOB_MAX_LINE_BYTES - 3 + draw(r, 8));
	else if (draw(r, 50) == 0)
		add_long_job(b, 1 + draw(r, 50000));
	for (size_t n = draw(r, 4); n > 0; n--) {
		const char *piece = pieces[draw(r, ARRAY_LEN(pieces))];
		buf_add_str(b, piece);
	}
	if (draw(r, 20) == 0)
		buf_add_char(b, '\0');
	if (draw(r, 3) == 0)
		buf_add_char(b, '\r');
}

/* The same as urlfile.h says, of one line in memory. */
static void expect_line(struct url_parser *parser, uint64_t number, const char *line, size_t len,
                        struct stage *expected)
{
	struct job *job = NULL;
	struct buf why = { 0 };
	size_t blank = 0;

	if (len > 0 && line[len - 1] == '\r')
		len--;
	if (number == 1 && len >= 3 && memcmp(line, "\xef\xbb\xbf", 3) == 0) {
		line += 3;
		len -= 3;
	}
	while (blank < len && strchr(" \t\r", line[blank]) && line[blank] != '\0')
		blank++;

	if (len > JOB_MAX_LINE_BYTES)
		buf_add_str(&why, "line is longer than 1 MiB");
	else if (blank == len || line[blank] == '#')
		goto done;
	else if (memchr(line, '\0', len))
		buf_add_str(&why, "line holds a NUL byte");
	else if (job_parse(parser, line, len, &job, &why) == 0)
		buf_printf(&expected->urls, "%s\n", job->url);
	if (why.len > 0)
		buf_printf(&expected->complaints, "%llu: %.*s\n", (unsigned long long) number,
		           (int) why.len, why.data);
done:
	job_free(job);
	buf_done(&why);
}

static void expect_contents(const struct buf *text, struct stage *expected)
{
	struct url_parser *parser = NULL;
	uint64_t number = 0;

	CU_ASSERT_EQUAL_FATAL(url_parser_create(&parser), 0);
	for (size_t at = 0; at < text->len;) {
		size_t end = at;
		while (end < text->len && text->data[end] != '\n')
			end++;
		expect_line(parser, ++number, text->data + at, end - at, expected);
		at = end + 1;
	}
	url_parser_free(parser);
}

/* Writes the text to a FIFO in pieces of random sizes. */
struct dribbler {
	const struct buf *text;
	const char *path;
	struct random random;
	bool ok;
};

static void *dribble(void *arg)
{
	struct dribbler *d = arg;
	int fd = open(d->path, O_WRONLY | O_CLOEXEC);
	size_t at = 0;

	while (fd >= 0 && at < d->text->len) {
		size_t most = draw(&d->random, 4) == 0 ? 100000 : 300;
		size_t n = 1 + draw(&d->random, most);
		n = n < d->text->len - at ? n : d->text->len - at;
		ssize_t done = write(fd, d->text->data + at, n);
		if (done <= 0)
			break;
		at += (size_t) done;
	}
	d->ok = fd >= 0 && close(fd) == 0 && at == d->text->len;
	return NULL;
}

static bool is_same(const struct buf *a, const struct buf *b)
{
	return a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

static bool check_random_text(uint64_t seed, bool with_long)
{
	struct random r = { .state = seed };
	struct buf text = { 0 };
	struct stage s, expected = { 0 };
	pthread_t thread;
	int n;

	for (size_t lines = 1 + draw(&r, with_long ? 12 : 400); lines > 0; lines--) {
		add_random_line(&text, &r, with_long);
		if (lines > 1 || draw(&r, 2) == 0)
			buf_add_char(&text, '\n');
	}
	expect_contents(&text, &expected);

	stage_init(&s);
	make_fifo(s.path);
	stage_open(&s, false);
	struct dribbler d = { .text = &text, .path = s.path, .random = { .state = ~seed } };
	CU_ASSERT_EQUAL_FATAL(thread_start(&thread, "dribble", THREAD_STACK_SMALL, dribble, &d),
	                      0);
	while ((n = read_some(&s, 1 + draw(&r, 64))) > 0)
		;
	thread_join(thread);
	CU_ASSERT_TRUE(d.ok);
	CU_ASSERT_EQUAL(n, -ENODATA);
	bool same = is_same(&s.urls, &expected.urls) &&
	            is_same(&s.complaints, &expected.complaints);

	s.source = source_free(s.source);
	CU_ASSERT_EQUAL(unlink(s.path), 0);
	buf_clear(&s.urls);
	buf_clear(&s.complaints);
	read_contents(&s, text.data ? text.data : "", text.len);
	same = same && is_same(&s.urls, &expected.urls) &&
	       is_same(&s.complaints, &expected.complaints);

	stage_done(&s);
	buf_done(&expected.urls);
	buf_done(&expected.complaints);
	buf_done(&text);
	return same;
}

static void test_any_text_in_any_pieces_reads_the_same(void)
{
	const char *given = getenv("PENSTOCK_TEST_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 0) : random_seed();

	printf("\n    PENSTOCK_TEST_SEED=%llu ", (unsigned long long) seed);
	for (unsigned i = 0; i < 150; i += UNIT_STRIDE)
		CU_ASSERT_TRUE(check_random_text(seed + i, i % 10 == 8));
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "the buffer is bounded and given back",
		  test_the_buffer_is_bounded_and_given_back },
		{ "any text in any pieces reads the same",
		  test_any_text_in_any_pieces_reads_the_same },
		{ "the longest line may come with a mark and a carriage return",
		  test_the_longest_line_may_come_with_a_mark_and_a_carriage_return },
		CU_TEST_INFO_NULL,
	};
	return unit_run("lines", tests);
}
