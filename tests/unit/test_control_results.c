/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control/results.h: those who read results, those who are slow, and those who stop.  The test
 * is the recorder: it adds records to the tail of an engine without jobs.
 */
#include "control_stage.h"

#include "base/clock.h"

#include <errno.h>

enum { PATIENCE_MS = 60000, MANY = 30 };

static const struct control_options usual = { 0 };
static struct stage stage;
static uint64_t seq; /* of the last record */

static void begin_with(struct control_options options)
{
	seq = 0;
	stage_init(&stage, NULL, 0, options);
}

static void end(void) { stage_done(&stage); }

/* A record that is padded to some length. */
static void add_record(enum outcome outcome, size_t len)
{
	struct buf line = { 0 };

	buf_printf(&line, "{\"seq\":%llu,\"outcome\":\"%s\",\"pad\":\"", (unsigned long long) ++seq,
	           outcome_name(outcome));
	while (line.len + 3 < len)
		buf_add_char(&line, 'x');
	buf_add_str(&line, "\"}\n");
	CU_ASSERT_FALSE_FATAL(line.failed);
	const struct verdict verdict = { .kind = VERDICT_FINAL, .outcome = outcome, .seq = seq,
		                         .line = line.data, .line_len = line.len };
	tail_add(engine_tail(stage.engine), &verdict, 1);
	buf_done(&line);
}

static void add_records(unsigned n, size_t len)
{
	for (unsigned i = 0; i < n; i++)
		add_record(OUTCOME_DONE, len);
}

/* --- a reader in pieces -------------------------------------------------------------- */

struct reading {
	int fd;
	struct buf in;    /* as it came */
	struct buf lines; /* of the body, without its chunks */
	size_t taken;     /* of the lines */
	bool closed;      /* the connection… */
	bool ended;       /* …and the body, with its last chunk */
};

static bool receive(struct reading *r)
{
	struct pollfd set = { .fd = r->fd, .events = POLLIN };
	char part[4096];

	CU_ASSERT_EQUAL_FATAL(poll(&set, 1, PATIENCE_MS), 1);
	ssize_t n = recv(r->fd, part, sizeof(part), 0);
	if (n > 0)
		buf_add(&r->in, part, (size_t) n);
	r->closed = n <= 0;
	return n > 0;
}

static void drop(struct buf *b, size_t n)
{
	memmove(b->data, b->data + n, b->len - n);
	b->len -= n;
}

/* Moves one whole chunk (RFC 9112, 7.1) to the lines.  Returns false if there is none. */
static bool take_chunk(struct reading *r)
{
	const char *eol = r->in.len > 0 ? memmem(r->in.data, r->in.len, "\r\n", 2) : NULL;
	if (!eol)
		return false;

	size_t size = strtoul(r->in.data, NULL, 16), head = (size_t) (eol - r->in.data) + 2;
	if (r->in.len < head + size + 2)
		return false;
	buf_add(&r->lines, r->in.data + head, size);
	r->ended = size == 0;
	drop(&r->in, head + size + 2);
	return true;
}

/* Asks, and reads the head, whose status must be this. */
static struct reading read_with(const char *method, const char *target, int status)
{
	struct reading r = { .fd = connect_to(SOCKET_NAME) };
	struct buf text = { 0 };
	const char *end = NULL;

	buf_printf(&text, "%s %s HTTP/1.1\r\nHost: x\r\n\r\n", method, target);
	buf_add_char(&text, '\0');
	send_text(r.fd, text.data);
	buf_done(&text);
	while (!end) {
		CU_ASSERT_TRUE_FATAL(receive(&r));
		end = memmem(r.in.data, r.in.len, "\r\n\r\n", 4);
	}
	CU_ASSERT_EQUAL(strtol(r.in.data + strlen("HTTP/1.1 "), NULL, 10), status);
	drop(&r.in, (size_t) (end - r.in.data) + 4);
	return r;
}

static struct reading read_from(const char *target, int status)
{
	return read_with("GET", target, status);
}

/* The next line that is not empty, NUL-terminated in the place of its end; NULL once there is
 * none. */
static char *next_line(struct reading *r)
{
	for (;;) {
		size_t left = r->lines.len - r->taken;
		char *at = r->lines.data ? r->lines.data + r->taken : NULL;
		char *eol = left > 0 ? memchr(at, '\n', left) : NULL;
		if (eol) {
			*eol = '\0';
			r->taken += (size_t) (eol + 1 - at);
			if (eol > at)
				return at;
			continue;
		}
		if (r->taken > 0) {
			drop(&r->lines, r->taken);
			r->taken = 0;
		}
		if (!take_chunk(r) && (r->ended || !receive(r)))
			return NULL;
	}
}

static void expect_record(struct reading *r, uint64_t number)
{
	char start[32];
	const char *line = next_line(r);

	(void) snprintf(start, sizeof(start), "{\"seq\":%llu,", (unsigned long long) number);
	CU_ASSERT_PTR_NOT_NULL_FATAL(line);
	CU_ASSERT_EQUAL_FATAL(strncmp(line, start, strlen(start)), 0);
}

static void expect_end(struct reading *r)
{
	CU_ASSERT_PTR_NULL(next_line(r));
	CU_ASSERT_TRUE(r->ended);
}

static void close_reading(struct reading *r)
{
	(void) close(r->fd);
	buf_done(&r->in);
	buf_done(&r->lines);
}

/* Reads it to its end: these records, and no others. */
static void expect_records(const char *target, const uint64_t *numbers, size_t n)
{
	struct reading r = read_from(target, 200);

	for (size_t i = 0; i < n; i++)
		expect_record(&r, numbers[i]);
	expect_end(&r);
	close_reading(&r);
}

#define EXPECT_RECORDS(target, ...) \
	expect_records(target, (uint64_t[]) { __VA_ARGS__ }, \
	               ARRAY_LEN(((uint64_t[]) { __VA_ARGS__ })))

static void expect_refusal(const char *target, long status, const char *words)
{
	struct answer a = get(target);

	CU_ASSERT_EQUAL(a.status, status);
	CU_ASSERT_STRING_EQUAL(a.type, "application/problem+json");
	CU_ASSERT_PTR_NOT_NULL(strstr(a.body.data, words));
	buf_done(&a.body);
}

/* --- reading once ---------------------------------------------------------------------- */

static void test_what_is_there_is_read_once(void)
{
	begin_with(usual);
	expect_records("/v1/results", NULL, 0);
	for (int i = 1; i <= 6; i++)
		add_record(i % 3 == 0 ? OUTCOME_DEAD : OUTCOME_DONE, 64);
	EXPECT_RECORDS("/v1/results", 1, 2, 3, 4, 5, 6);
	EXPECT_RECORDS("/v1/results?from=5", 5, 6);
	EXPECT_RECORDS("/v1/results?from=0&limit=2", 1, 2);
	EXPECT_RECORDS("/v1/results?last=2", 5, 6);
	EXPECT_RECORDS("/v1/results?outcome=dead", 3, 6);
	EXPECT_RECORDS("/v1/results?outcome=dead&last=1", 6);
	EXPECT_RECORDS("/v1/results?outcome=dead,done&from=6", 6);
	EXPECT_RECORDS("/v1/results?since=2001-01-01T00:00:00Z&limit=1", 1);
	expect_records("/v1/results?since=9001-01-01T00:00:00Z", NULL, 0);
	expect_records("/v1/results?from=7", NULL, 0);
	expect_records("/v1/results?outcome=cancelled", NULL, 0);
	end();
}

static void test_who_asks_for_the_head_gets_no_chunk(void)
{
	begin_with(usual);
	add_record(OUTCOME_DONE, 64);
	struct reading r = read_with("HEAD", "/v1/results", 200);
	while (r.in.len == 0 && receive(&r))
		;
	CU_ASSERT_EQUAL(r.in.len, 0);
	CU_ASSERT_TRUE(r.closed);
	close_reading(&r);
	end();
}

static void test_what_makes_no_sense_is_refused(void)
{
	begin_with(usual);
	add_records(2, 64);
	expect_refusal("/v1/results?from=x", 400, "from=");
	expect_refusal("/v1/results?from=-1", 400, "from=");
	expect_refusal("/v1/results?from=99999999999999999999999", 400, "from=");
	expect_refusal("/v1/results?limit=0", 400, "limit=");
	expect_refusal("/v1/results?last=", 400, "last=");
	expect_refusal("/v1/results?since=yesterday", 400, "since=");
	expect_refusal("/v1/results?outcome=lost", 400, "outcome=");
	expect_refusal("/v1/results?outcome=dead,", 400, "outcome=");
	expect_refusal("/v1/results?from=4", 404, "the last one is 2");
	struct answer a = ask("/v1/results?follow", (struct question) { .method = "HEAD" });
	CU_ASSERT_EQUAL(a.status, 200);
	buf_done(&a.body);
	end();
}

static void test_what_is_gone_is_told_before_anything_is_sent(void)
{
	begin_with(usual);
	add_records(TAIL_MAX_RECORDS + 1, 64);
	expect_refusal("/v1/results?from=1&follow", 410, "record 1 is not there any more; those from");
	EXPECT_RECORDS("/v1/results?limit=1", 2);
	end();
}

/* --- following ------------------------------------------------------------------------- */

static void test_who_follows_gets_what_comes(void)
{
	begin_with(usual);
	add_records(2, 64);
	struct reading now = read_from("/v1/results?follow", 200);
	struct reading all = read_from("/v1/results?follow=1&from=0", 200);
	struct reading dead = read_from("/v1/results?follow&outcome=dead&limit=2", 200);
	expect_record(&all, 1);
	expect_record(&all, 2);
	for (uint64_t round = 3; round < 100; round += 2) { /* one at a time: nobody is forgotten */
		add_record(OUTCOME_DONE, 64);
		expect_record(&now, round);
		expect_record(&all, round);
		add_record(OUTCOME_DEAD, 64);
		expect_record(&now, round + 1);
		expect_record(&all, round + 1);
	}
	expect_record(&dead, 4);
	expect_record(&dead, 6);
	expect_end(&dead);
	close_reading(&now);
	close_reading(&all);
	close_reading(&dead);
	end();
}

static void test_who_follows_is_told_at_once_that_it_does(void)
{
	begin_with(usual);
	struct reading r = read_from("/v1/results?follow", 200);
	while (!take_chunk(&r))
		CU_ASSERT_TRUE_FATAL(receive(&r));
	CU_ASSERT_TRUE(r.lines.len == 1 && r.lines.data[0] == '\n');
	close_reading(&r);
	end();
}

static void test_who_goes_on_behind_the_last_one_misses_nothing(void)
{
	char target[64];

	begin_with(usual);
	for (unsigned round = 0; round < 20; round++) {
		add_records(5, 64);
		(void) snprintf(target, sizeof(target), "/v1/results?follow&from=%u", 3 * round + 1);
		struct reading r = read_from(target, 200);
		for (unsigned i = 1; i <= 3; i++)
			expect_record(&r, 3 * round + i);
		close_reading(&r);
	}
	end();
}

static void test_a_record_longer_than_a_page_comes_whole(void)
{
	begin_with(usual);
	add_record(OUTCOME_DONE, 5 * TAIL_PAGE_BYTES + 7);
	add_record(OUTCOME_DONE, 64);
	struct reading r = read_from("/v1/results?from=1&follow", 200);
	const char *line = next_line(&r);
	CU_ASSERT_PTR_NOT_NULL_FATAL(line);
	CU_ASSERT_EQUAL(strlen(line), 5 * TAIL_PAGE_BYTES + 6);
	expect_record(&r, 2);
	close_reading(&r);
	end();
}

/* --- being slow ------------------------------------------------------------------------- */

/* Reads on: every record up to one that was missed, which is told; then nothing. */
static void expect_cut(struct reading *r)
{
	uint64_t next = 1;
	char told[128];

	for (const char *line = NULL; (line = next_line(r)); next++) {
		CU_ASSERT_PTR_NOT_NULL_FATAL(line);
		if (strncmp(line, "{\"seq\":", 7) != 0) {
			(void) snprintf(told, sizeof(told), ", \"missed_seq\": %llu, \"next_seq\": %llu}",
			                (unsigned long long) next,
			                (unsigned long long) (seq + 1 - TAIL_MAX_RECORDS));
			CU_ASSERT_PTR_NOT_NULL(strstr(line, told));
			CU_ASSERT_EQUAL(strncmp(line, "{\"error\": \"record ", 18), 0);
			expect_end(r);
			return;
		}
		CU_ASSERT_EQUAL_FATAL(strtoull(line + 7, NULL, 10), next);
	}
	CU_FAIL("it was not cut");
}

/* Nobody reads while far more is recorded than there is room for anywhere: that ends all the
 * same, and everybody is told where the hole is. */
static void test_many_who_do_not_read_hold_up_nobody_and_are_told(void)
{
	struct reading slow[MANY];

	begin_with(usual);
	for (int i = 0; i < MANY; i++)
		slow[i] = read_from("/v1/results?follow", 200);
	struct reading quick = read_from("/v1/results?follow", 200);
	for (uint64_t i = 1; i <= 4 * TAIL_MAX_RECORDS; i++) {
		add_record(OUTCOME_DONE, 128);
		expect_record(&quick, i);
	}
	for (int i = 0; i < MANY; i++)
		expect_cut(&slow[i]);
	for (int i = 0; i < MANY; i++)
		close_reading(&slow[i]);
	close_reading(&quick);
	end();
}

/* Adds until the reader's socket is full; it has not read for its time, then. */
static void test_who_stops_reading_is_cut_off(void)
{
	begin_with((struct control_options) { .total_ns = NS_PER_S / 5 });
	struct reading stopped = read_from("/v1/results?follow", 200);
	add_records(TAIL_MAX_RECORDS, 512);
	struct pollfd set = { .fd = stopped.fd, .events = POLLRDHUP };
	CU_ASSERT_EQUAL_FATAL(poll(&set, 1, PATIENCE_MS), 1);
	uint64_t n = 0;
	while (next_line(&stopped))
		n++;
	CU_ASSERT_TRUE(n > 0 && n < TAIL_MAX_RECORDS);
	CU_ASSERT_FALSE(stopped.ended); /* a body without its last chunk is not whole */
	CU_ASSERT_TRUE(stopped.closed);
	close_reading(&stopped);

	/* Who reads, though there is nothing to read for longer than that, is not. */
	struct reading waits = read_from("/v1/results?follow", 200);
	struct reading other = read_from("/v1/results?follow&from=0", 200);
	struct pollfd cut = { .fd = other.fd, .events = POLLRDHUP };
	CU_ASSERT_EQUAL_FATAL(poll(&cut, 1, PATIENCE_MS), 1);
	add_record(OUTCOME_DONE, 64);
	expect_record(&waits, seq);
	close_reading(&waits);
	close_reading(&other);
	end();
}

static void test_there_is_a_limit_on_readers(void)
{
	struct reading all[TAIL_MAX_READERS];

	begin_with(usual);
	for (int i = 0; i < TAIL_MAX_READERS; i++)
		all[i] = read_from("/v1/results?follow", 200);
	expect_refusal("/v1/results", 503, "64 readers of results are there");
	CU_ASSERT_EQUAL(status_of("/v1/status"), 200);
	add_records(1, 64);
	for (int i = 0; i < TAIL_MAX_READERS; i++) {
		expect_record(&all[i], 1);
		close_reading(&all[i]);
	}
	end();
}

/* --- the end ---------------------------------------------------------------------------- */

static void test_streams_end_when_serving_ends(void)
{
	begin_with(usual);
	add_records(3, 64);
	struct reading idle = read_from("/v1/results?follow", 200);
	struct reading behind = read_from("/v1/results?follow&from=1", 200);
	expect_record(&behind, 1);
	stage.control = control_free(stage.control);
	expect_record(&behind, 2);
	expect_record(&behind, 3);
	expect_end(&behind);
	expect_end(&idle);
	close_reading(&idle);
	close_reading(&behind);
	end();
}

int main(void)
{
	CU_TestInfo tests[] = {
		{ "what is there is read once", test_what_is_there_is_read_once },
		{ "who asks for the head gets no chunk", test_who_asks_for_the_head_gets_no_chunk },
		{ "what makes no sense is refused", test_what_makes_no_sense_is_refused },
		{ "what is gone is told before anything is sent",
		  test_what_is_gone_is_told_before_anything_is_sent },
		{ "who follows gets what comes", test_who_follows_gets_what_comes },
		{ "who follows is told at once that it does",
		  test_who_follows_is_told_at_once_that_it_does },
		{ "who goes on behind the last one misses nothing",
		  test_who_goes_on_behind_the_last_one_misses_nothing },
		{ "a record longer than a page comes whole", test_a_record_longer_than_a_page_comes_whole },
		{ "many who do not read hold up nobody, and are told",
		  test_many_who_do_not_read_hold_up_nobody_and_are_told },
		{ "who stops reading is cut off", test_who_stops_reading_is_cut_off },
		{ "there is a limit on readers", test_there_is_a_limit_on_readers },
		{ "streams end when serving ends", test_streams_end_when_serving_ends },
		CU_TEST_INFO_NULL,
	};

	return run_in_directory("control: results", tests);
}
