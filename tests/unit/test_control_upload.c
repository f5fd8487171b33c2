/* SPDX-License-Identifier: Apache-2.0 */
/* POST /v1/jobs on the control socket: what is answered, and what suspends whom. */
#include "control/batch.h"
#include "control/control.h"

#include "control_mock.h"

#include <fcntl.h>
#include <jansson.h>

static const struct control_options usual = { .work_folder = "." };
static struct stage stage;

static void begin_with(struct control_options options)
{
	stage_init(&stage, NULL, 0, options);
	mock_begin();
}

static void begin(void) { begin_with(usual); }

static void end(void)
{
	mock_end();
	stage_done(&stage);
}

#define LINE(id) "{\"url\":\"" NOBODY "\",\"id\":\"" id "\"}\n"

/* --- one job -------------------------------------------------------------------------- */

static void test_a_job_is_acknowledged_once_it_is_taken(void)
{
	begin();
	struct wire w = wire_open();
	wire_post(&w, "/v1/jobs", ONE, "{\n  \"url\": \"" NOBODY "\",\n  \"id\": \"a b/\xc3\xbc\"\n}\n");
	struct submission *s = mock_take();
	CU_ASSERT_EQUAL(s->n, 1);
	CU_ASSERT_FALSE(s->waits);
	CU_ASSERT_STRING_EQUAL(s->jobs[0]->source, "socket");
	struct pollfd set = { .fd = w.fd, .events = POLLIN };
	CU_ASSERT_EQUAL(poll(&set, 1, 0), 0);
	mock_accept(s, NULL);
	expect_heard(&w, 202, "Location: /v1/jobs/a%20b%2F%C3%BC\r\n");

	wire_post(&w, "/v1/jobs?wait=30s", "text/plain", " " NOBODY "\r\n");
	s = mock_take();
	CU_ASSERT_TRUE(s->waits);
	mock_accept(s, NULL);
	expect_body(&w, 202, "{\"id\": \"p-2\", \"status\": \"accepted\"}\n");
	wire_close(&w);
	end();
}

static void test_a_known_id_is_said_to_be_known(void)
{
	const struct receipt known = { .kind = RECEIPT_KNOWN, .number = 9 };
	const struct receipt conflict = { .kind = RECEIPT_CONFLICT, .number = 9 };

	begin();
	struct wire w = wire_open();
	wire_post(&w, "/v1/jobs", ONE, LINE("x"));
	mock_accept(mock_take(), &known);
	expect_body(&w, 200, "{\"id\": \"x\", \"status\": \"known\"}\n");
	wire_post(&w, "/v1/jobs", ONE, LINE("x"));
	mock_accept(mock_take(), &conflict);
	expect_heard(&w, 409, "a job with this id and other content was accepted before");
	wire_close(&w);
	end();
}

/* What the backlog may say, what becomes of it, and whether to try again. */
static const struct {
	int error;
	int status;
	bool retries;
	const char *words;
} refusals[] = {
	{ -EAGAIN, 429, true, "the backlog is full: 12 jobs of backlog.max_jobs, 12," },
	{ -EDQUOT, 429, true, "backlog.max_bytes, 4.0 KiB, are taken" },
	{ -EMSGSIZE, 413, false, "the job is larger than backlog.max_bytes, 4.0 KiB" },
	{ -ENOSPC, 507, false, "has 1.0 KiB free, of which backlog.min_free, 2.0 KiB" },
	{ -EIO, 503, true, "the backlog's database cannot be used: Input/output error" },
	{ -EROFS, 503, true, "the backlog's database cannot be used: Read-only file system" },
	{ -EPIPE, 503, true, "the daemon is stopping and takes no more jobs" },
	{ -ENOMEM, 503, true, "out of memory" },
};

static void test_each_refusal_has_its_status_and_its_words(void)
{
	begin();
	struct wire w = wire_open();
	for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
		wire_post(&w, "/v1/jobs", ONE, LINE("x"));
		struct submission *s = mock_take();
		s->done(s, refusals[i].error);
		struct heard h = wire_hear(&w);
		CU_ASSERT_EQUAL(h.status, refusals[i].status);
		CU_ASSERT_PTR_NOT_NULL_FATAL(h.head);
		CU_ASSERT_EQUAL(strstr(h.head, "Retry-After: 1\r\n") != NULL, refusals[i].retries);
		CU_ASSERT_PTR_NOT_NULL(strstr(h.body, refusals[i].words));
		heard_done(&h);
	}
	wire_close(&w);
	end();
}

static void test_who_comes_after_others_that_wait_is_told_so(void)
{
	static const struct {
		int error;
		const char *words;
	} cases[] = {
		{ -EAGAIN, "\"3 submissions wait for room in the backlog before this one: "
		           "7 jobs of backlog.max_jobs, 12, are not settled\"" },
		{ -EDQUOT, "\"3 submissions wait for room in the backlog before this one: "
		           "1.0 KiB of backlog.max_bytes, 4.0 KiB, are taken\"" },
	};

	begin();
	mutex_lock(&mock.lock);
	mock.figures.submitters_blocked = 3;
	mock.figures.held_jobs = 7;
	mock.figures.held_bytes = 1024;
	mutex_unlock(&mock.lock);
	struct wire w = wire_open();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		wire_post(&w, "/v1/jobs", ONE, LINE("x"));
		struct submission *s = mock_take();
		s->done(s, cases[i].error);
		expect_heard(&w, 429, cases[i].words);
	}
	wire_close(&w);
	end();
}

static void test_what_is_no_job_is_refused(void)
{
	static const struct {
		const char *target, *type, *body;
		int status;
		const char *words;
	} cases[] = {
		{ "/v1/jobs", ONE, "", 400, "the body is empty" },
		{ "/v1/jobs", ONE, " \n", 400, "empty" },
		{ "/v1/jobs", ONE, "{\"url\": \"ftp://x/\"}", 400, "only http and https" },
		{ "/v1/jobs", ONE, "{\"urn\": \"x\"}", 400, "unknown key \\\"urn\\\"" },
		{ "/v1/jobs", ONE, "no url", 400, "not an absolute http or https URL" },
		{ "/v1/jobs", "", NOBODY "\n" NOBODY "\n", 400, "many jobs go as application/x-ndjson" },
		{ "/v1/jobs", "", NOBODY "#a" NOBODY "b c", 400, "with curl by --data-binary" },
		{ "/v1/jobs", "", "{\"url\":\"https://x/\"}{\"url\":\"http://x/\"}", 400,
		  "with curl by --data-binary" },
		{ "/v1/jobs", "", NOBODY "a b", 400, "Bad path: " NOBODY "a b\"" },
		{ "/v1/jobs?wait=2h", ONE, "x", 400, "wait=2h must be a time of up to 1h" },
		{ "/v1/jobs?wait=", ONE, "x", 400, "wait= must be a time" },
		{ "/v1/jobs", ONE, "{\n\"url\": \"" NOBODY "\",,}", 400,
		  "\"line\": 2, \"column\": 30}" },
		{ "/v1/jobs", NDJSON, "\n{\"id\":}\n", 400,
		  "\"type\":\"urn:penstock:problem:bad-json\",\"column\":7}" },
		{ "/v1/jobs", NDJSON, "", 400, "there is no job in the body" },
		{ "/v1/jobs", NDJSON, "\n# none\n\n", 400, "there is no job in the body" },
	};

	begin();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct wire w = wire_open();
		wire_post(&w, cases[i].target, cases[i].type, cases[i].body);
		expect_heard(&w, cases[i].status, cases[i].words);
		wire_close(&w);
	}
	end();
}

static void test_a_large_body_is_not_a_job(void)
{
	static char body[JOB_MAX_LINE_BYTES + 2];
	struct question q = { .method = "POST", .body = body, .header = "Content-Type: text/plain" };

	begin();
	memset(body, 'x', sizeof(body) - 1);
	struct answer a = ask("/v1/jobs", q);
	CU_ASSERT_EQUAL(a.status, 413);
	buf_done(&a.body);
	q.header = "Transfer-Encoding: chunked"; /* it is not known before it has come */
	a = ask("/v1/jobs", q);
	CU_ASSERT_EQUAL(a.status, 413);
	buf_done(&a.body);
	body[sizeof(body) - 2] = '\0';
	a = ask("/v1/jobs", q);
	CU_ASSERT_EQUAL(a.status, 400); /* as long as a job may be, and no URL */
	buf_done(&a.body);
	end();
}

/* --- many jobs ------------------------------------------------------------------------ */

static void test_each_line_has_its_receipt_in_order(void)
{
	static const struct receipt receipts[] = {
		{ .kind = RECEIPT_ACCEPTED, .number = 1 }, { .kind = RECEIPT_KNOWN, .number = 5 },
		{ .kind = RECEIPT_CONFLICT, .number = 6 }, { .kind = RECEIPT_ACCEPTED, .number = 2 },
	};

	begin();
	struct wire w = wire_open();
	wire_post(&w, "/v1/jobs", "Application/X-NDJSON; charset=utf-8",
	          NOBODY "\r\n\n  # a comment\n" LINE("k\\\"") "no job\n" LINE("c") "  " NOBODY);
	struct submission *s = mock_take();
	CU_ASSERT_EQUAL(s->n, 4);
	mock_accept(s, receipts);
	expect_body(&w, 202,
	            "{\"line\":1,\"id\":\"p-1\",\"status\":\"accepted\"}\n"
	            "{\"line\":4,\"id\":\"k\\\"\",\"status\":\"known\"}\n"
	            "{\"line\":5,\"id\":null,\"status\":\"refused\",\"code\":400,\"error\":"
	            "\"not an absolute http or https URL: no job\","
	            "\"type\":\"urn:penstock:problem:bad-job\"}\n"
	            "{\"line\":6,\"id\":\"c\",\"status\":\"refused\",\"code\":409,\"error\":"
	            "\"a job with this id and other content was accepted before; give this one "
	            "another id\",\"type\":\"urn:penstock:problem:id-conflict\"}\n"
	            "{\"line\":7,\"id\":\"p-2\",\"status\":\"accepted\"}\n");
	wire_close(&w);
	end();
}

static void test_the_status_is_of_the_first_refusal_if_nothing_was_taken(void)
{
	begin();
	struct wire w = wire_open();
	for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
		wire_post(&w, "/v1/jobs", NDJSON, LINE("a") "no job\n");
		struct submission *s = mock_take();
		s->done(s, refusals[i].error);
		struct heard h = wire_hear(&w);
		CU_ASSERT_EQUAL(h.status, refusals[i].status);
		CU_ASSERT_PTR_NOT_NULL_FATAL(h.head);
		CU_ASSERT_PTR_NOT_NULL(strstr(h.head, "Content-Type: application/x-ndjson\r\n"));
		CU_ASSERT_PTR_NOT_NULL(strstr(h.body, refusals[i].words));
		CU_ASSERT_PTR_NOT_NULL(strstr(h.body, "\n{\"line\":2,\"id\":null,"));
		heard_done(&h);
	}
	wire_post(&w, "/v1/jobs", NDJSON, "no job\nno job either");
	expect_heard(&w, 400, "{\"line\":2,");
	wire_close(&w);
	end();
}

/* So many jobs are asked about, and this is said of them. */
struct step {
	size_t n;
	int error;
};

static void go_through(const struct step *steps, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct submission *s = mock_take();
		CU_ASSERT_EQUAL_FATAL(s->n, steps[i].n);
		if (steps[i].error == 0)
			mock_accept(s, NULL);
		else
			s->done(s, steps[i].error);
	}
}

static void test_a_batch_that_never_fits_is_split(void)
{
	static const struct step steps[] = {
		{ 5, -EMSGSIZE }, { 2, -EMSGSIZE }, { 1, 0 }, { 1, -EMSGSIZE },
		{ 1, -EMSGSIZE }, { 1, 0 },         { 1, 0 },
	};

	begin();
	struct wire w = wire_open();
	wire_post(&w, "/v1/jobs", NDJSON, LINE("a") LINE("b") LINE("c") LINE("d") NOBODY);
	go_through(steps, ARRAY_LEN(steps));
	struct heard h = wire_hear(&w);
	CU_ASSERT_EQUAL(h.status, 202);
	CU_ASSERT_PTR_NOT_NULL(strstr(h.body, "{\"line\":1,\"id\":\"a\",\"status\":\"accepted\"}"));
	CU_ASSERT_PTR_NOT_NULL(strstr(h.body, "\"id\":\"b\",\"status\":\"refused\",\"code\":413"));
	CU_ASSERT_PTR_NOT_NULL(strstr(h.body, "\"id\":\"c\",\"status\":\"refused\",\"code\":413"));
	CU_ASSERT_PTR_NOT_NULL(strstr(h.body, "{\"line\":4,\"id\":\"d\",\"status\":\"accepted\"}"));
	CU_ASSERT_PTR_NOT_NULL(strstr(h.body, "{\"line\":5,\"id\":\"p-3\",\"status\":\"accepted\"}"));
	heard_done(&h);
	wire_close(&w);
	end();
}

/* The upload has these receipts: '+' for one that was taken, otherwise its code's last digit. */
static void expect_receipts(struct wire *w, int status, const char *codes)
{
	struct heard h = wire_hear(w);
	const char *at = h.body;
	struct buf seen = { 0 };

	CU_ASSERT_EQUAL_FATAL(h.status, status);
	for (unsigned line = 1; *at != '\0'; line++) {
		json_t *receipt = json_loads(at, JSON_DISABLE_EOF_CHECK, NULL);
		json_int_t code = json_integer_value(json_object_get(receipt, "code"));
		CU_ASSERT_EQUAL(json_integer_value(json_object_get(receipt, "line")), line);
		buf_add_char(&seen, code == 0 ? '+' : "0123456789"[code % 10]);
		json_decref(receipt);
		at = strchr(at, '\n') + 1;
	}
	buf_add_char(&seen, '\0');
	CU_ASSERT_STRING_EQUAL(seen.data, codes);
	buf_done(&seen);
	heard_done(&h);
}

static void test_what_has_room_is_taken_and_the_rest_refused(void)
{
	enum { FULL = BATCH_MAX_LINES, LINES = FULL + 500, PIECES = 40, HALVINGS = 13 };
	static const size_t rooms[] = { 0, 1, 2, 199, FULL - 1, FULL, FULL + 1, LINES - 1, LINES,
		                        2 * LINES };
	static char codes[LINES + 1];
	struct buf lines = { 0 };

	for (int i = 0; i < LINES; i++)
		buf_add_str(&lines, NOBODY "\n");
	buf_add_char(&lines, '\0');
	begin();
	for (size_t i = 0; i < ARRAY_LEN(rooms); i++) {
		struct wire w = wire_open();
		size_t taken = rooms[i] < LINES ? rooms[i] : LINES;
		memset(codes, '+', taken);
		memset(codes + taken, '9', LINES - taken);
		mock_limit(rooms[i]);
		wire_post(&w, "/v1/jobs", NDJSON, lines.data);
		expect_receipts(&w, taken > 0 ? 202 : 429, codes);
		CU_ASSERT_TRUE(mock_count_asked() <= PIECES + HALVINGS);
		wire_close(&w);
	}
	end();
	buf_done(&lines);
}

static void test_a_full_backlog_is_asked_about_one_job_until_there_is_room(void)
{
	enum { FULL = BATCH_MAX_LINES };
	static const struct step steps[] = {
		{ 1, 0 },
		{ FULL, -EAGAIN }, { FULL / 2, -EAGAIN }, { FULL / 4, -EAGAIN },
		{ 512, -EAGAIN }, { 256, -EAGAIN }, { 128, -EAGAIN }, { 64, -EAGAIN },
		{ 32, -EAGAIN },  { 16, -EAGAIN },  { 8, -EAGAIN },   { 4, -EAGAIN },
		{ 2, -EAGAIN },   { 1, -EAGAIN },   { 1, -EAGAIN },   { 1, 0 },
		{ 2, 0 },         { 4, 0 },         { 8, -EAGAIN },   { 4, 0 },
		{ 2, -EAGAIN },   { 1, 0 },         { 1, 0 },         { 1, 0 },
		{ 2, 0 },         { 4, 0 },         { 1, 0 },
	};
	static char codes[1 + 2 * FULL + 21 + 1];
	struct buf lines = { 0 };

	for (size_t i = 0; i < sizeof(codes) - 1; i++)
		buf_add_str(&lines, NOBODY "\n");
	buf_add_char(&lines, '\0');
	memset(codes, '+', sizeof(codes) - 1);
	memset(codes + 1, '9', 2 * FULL);
	begin();
	struct wire w = wire_open();
	wire_post_lines(&w, "/v1/jobs", lines.data);
	go_through(steps, ARRAY_LEN(steps));
	expect_receipts(&w, 202, codes);
	wire_close(&w);
	end();
	buf_done(&lines);
}

static void test_a_smaller_job_may_have_room_behind_a_larger_one(void)
{
	static const struct step steps[] = {
		{ 6, -EDQUOT }, { 3, -EDQUOT }, { 1, 0 }, { 1, -EDQUOT }, { 1, -EDQUOT }, { 1, 0 },
	};

	begin();
	struct wire w = wire_open();
	wire_post(&w, "/v1/jobs", NDJSON,
	          NOBODY "\n" NOBODY "long\n" NOBODY "longer\n" NOBODY "long\n" NOBODY "a\n" NOBODY);
	go_through(steps, ARRAY_LEN(steps));
	expect_receipts(&w, 202, "+9999+");
	wire_close(&w);
	end();
}

static void test_what_is_wrong_with_the_disk_is_so_for_a_whole_batch(void)
{
	static const struct step steps[] = { { 5, -EAGAIN }, { 2, 0 }, { 1, -EIO } };
	static const struct step next[] = { { 2, -EIO } };

	begin();
	struct wire w = wire_open();
	wire_post(&w, "/v1/jobs", NDJSON, LINE("a") LINE("b") LINE("c") LINE("d") NOBODY);
	go_through(steps, ARRAY_LEN(steps));
	expect_receipts(&w, 202, "++333");
	wire_post(&w, "/v1/jobs", NDJSON, LINE("a") LINE("b"));
	go_through(next, ARRAY_LEN(next));
	expect_receipts(&w, 503, "33");
	wire_close(&w);
	end();
}

static void test_a_refused_line_keeps_its_id(void)
{
	static const struct {
		const char *line;
		const char *id; /* as in the receipt */
	} cases[] = {
		{ "{\"id\":\"x\"}", "\"x\"" },
		{ "  {\"urn\": [1,2], \"id\": \"\u00fc\\\"\" }\r", "\"\u00fc\\\"\"" },
		{ "{\"url\":\"" NOBODY "\",\"id\":\"p-1\"}", "\"p-1\"" },
		{ "{\"id\":5}", "null" },
		{ "{\"id\":\"\"}", "null" },
		{ "{\"id\":\"x\",\"id\":\"y\"}", "null" },
		{ "{\"id\":\"a\\u0000b\"}", "null" },
		{ "{\"id\":\"x\"", "null" },
		{ "[\"id\",\"x\"]", "null" },
	};

	begin();
	struct wire w = wire_open();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char receipt[64];
		(void) snprintf(receipt, sizeof(receipt),
		                "{\"line\":1,\"id\":%s,\"status\":\"refused\",\"code\":400,", cases[i].id);
		wire_post(&w, "/v1/jobs", NDJSON, cases[i].line);
		expect_heard(&w, 400, receipt);
	}
	wire_close(&w);
	end();
}

static void test_ids_that_take_much_memory_are_left_out(void)
{
	struct buf b = { 0 };

	for (int i = 0; i < 2; i++) {
		buf_add_str(&b, "{\"id\":\"");
		for (int k = 0; k < 256 + i; k++)
			buf_add_char(&b, 'x');
		buf_add_str(&b, "\"}\n");
	}
	buf_add_str(&b, "{\"id\":\"x\",\"meta\":[0");
	for (int i = 0; i < JOB_MAX_VALUES; i++)
		buf_add_str(&b, ",0");
	buf_add_str(&b, "]}");
	buf_add_char(&b, '\0');
	begin();
	struct wire w = wire_open();
	wire_post(&w, "/v1/jobs", NDJSON, b.data);
	struct heard h = wire_hear(&w);
	CU_ASSERT_EQUAL_FATAL(h.status, 400);
	CU_ASSERT_PTR_NOT_NULL(strstr(h.body, "{\"line\":1,\"id\":\"xxx"));
	CU_ASSERT_PTR_NOT_NULL(strstr(h.body, "{\"line\":2,\"id\":null"));
	CU_ASSERT_PTR_NOT_NULL(strstr(h.body, "{\"line\":3,\"id\":null"));
	heard_done(&h);
	wire_close(&w);
	end();
	buf_done(&b);
}

/* Sends as much as goes without waiting; returns how much of it that is. */
static size_t pump(int fd, const char *data, size_t n)
{
	size_t sent = 0;

	for (;;) {
		ssize_t r = send(fd, data + sent, n - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (r <= 0)
			return sent;
		sent += (size_t) r;
	}
}

static void expect_numbered(const struct heard *h, unsigned n)
{
	const char *at = h->body;

	for (unsigned i = 1; i <= n; i++) {
		char expected[96];
		int len = snprintf(expected, sizeof(expected),
		                   "{\"line\":%u,\"id\":\"p-%u\",\"status\":\"accepted\"}\n", i, i);
		CU_ASSERT_EQUAL_FATAL(strncmp(at, expected, (size_t) len), 0);
		at += len;
	}
	CU_ASSERT_EQUAL(*at, '\0');
}

static void test_nothing_is_read_while_a_batch_is_at_the_backlog(void)
{
	enum { LINES = 60000 };
	struct buf lines = { 0 }, head = { 0 };
	size_t sent = 0, in_all = 0;

	for (int i = 0; i < LINES; i++)
		buf_add_str(&lines, NOBODY "\n");
	buf_printf(&head, "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: " NDJSON
	                  "\r\nContent-Length: %zu\r\n\r\n%c", lines.len, '\0');
	begin();
	struct wire w = wire_open();
	send_text(w.fd, head.data);
	while (in_all < LINES) {
		sent += pump(w.fd, lines.data + sent, lines.len - sent);
		struct submission *s = mock_take();
		/* What the socket's buffers hold, and no more. */
		CU_ASSERT_TRUE(sent < (in_all + s->n) * strlen(NOBODY "\n") + 2 * 1024 * 1024);
		CU_ASSERT_TRUE_FATAL(s->n <= BATCH_MAX_LINES);
		in_all += s->n;
		mock_accept(s, NULL);
	}
	struct heard h = wire_hear(&w);
	CU_ASSERT_EQUAL(h.status, 202);
	expect_numbered(&h, LINES); /* more than fits in memory: from a file */
	heard_done(&h);
	wire_close(&w);
	end();
	buf_done(&lines);
	buf_done(&head);
}

static void test_chunks_may_be_as_small_as_they_like(void)
{
	enum { LINES = 1500 };
	struct buf b = { 0 };
	unsigned at = 0;

	buf_add_str(&b, "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: " NDJSON
	                "\r\nTransfer-Encoding: chunked\r\n\r\n");
	for (size_t i = 0; i < LINES * strlen(NOBODY "\n"); at++) {
		size_t n = at % 3 + 1;
		buf_printf(&b, "%zx\r\n", n);
		for (size_t k = 0; k < n; k++, i++)
			buf_add_char(&b, i < LINES * strlen(NOBODY "\n") ? (NOBODY "\n")[i % strlen(NOBODY "\n")]
			                                                  : '\n');
		buf_add_str(&b, "\r\n");
	}
	buf_add_str(&b, "0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
	begin();
	struct wire w = wire_open();
	for (size_t sent = 0, in_all = 0; in_all < LINES;) {
		sent += pump(w.fd, b.data + sent, b.len - sent);
		struct submission *s = mock_take();
		in_all += s->n;
		mock_accept(s, NULL);
		CU_ASSERT_TRUE(in_all < LINES || sent == b.len);
	}
	struct heard h = wire_hear(&w);
	CU_ASSERT_EQUAL(h.status, 202);
	expect_numbered(&h, LINES);
	heard_done(&h);
	expect_body(&w, 200, "ok\n"); /* and the next request is where it should be */
	wire_close(&w);
	end();
	buf_done(&b);
}

static void test_what_has_come_is_not_held(void)
{
	static const size_t batches[] = { 1, BATCH_MAX_LINES, 3 };
	struct buf lines = { 0 };

	for (int i = 0; i < BATCH_MAX_LINES + 3; i++)
		buf_add_str(&lines, NOBODY "\n");
	buf_add_char(&lines, '\0');
	begin();
	struct wire w = wire_open();
	send_text(w.fd, "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: " NDJSON
	                "\r\nContent-Length: 9999999\r\n\r\n" NOBODY "\n");
	mock_await_held(1);
	send_text(w.fd, lines.data);
	for (size_t i = 0; i < ARRAY_LEN(batches); i++) {
		struct submission *s = mock_take();
		CU_ASSERT_EQUAL(s->n, batches[i]);
		mock_accept(s, NULL);
	}
	wire_close(&w);
	end();
	buf_done(&lines);
}

static void test_lines_have_their_limits(void)
{
	struct buf b = { 0 };

	buf_add_str(&b, NOBODY "a\n");
	for (int i = 0; i < JOB_MAX_LINE_BYTES + 1; i++)
		buf_add_char(&b, 'x');
	buf_add_str(&b, "\n" NOBODY "b\n{\"url\": \"" NOBODY "\", \"meta\": \"");
	for (int i = 0; i < BATCH_MAX_BYTES - 200; i++)
		buf_add_char(&b, 'm'); /* it fills the batch */
	buf_add_str(&b, "\"}\n" NOBODY "c\n");
	buf_add_char(&b, '\0');
	begin();
	mock_limit(4);
	struct wire w = wire_open();
	wire_post(&w, "/v1/jobs", NDJSON, b.data);
	expect_body(&w, 202,
	            "{\"line\":1,\"id\":\"p-1\",\"status\":\"accepted\"}\n"
	            "{\"line\":2,\"id\":null,\"status\":\"refused\",\"code\":413,\"error\":"
	            "\"line is longer than 1 MiB\",\"type\":"
	            "\"urn:penstock:problem:body-too-large\"}\n"
	            "{\"line\":3,\"id\":\"p-2\",\"status\":\"accepted\"}\n"
	            "{\"line\":4,\"id\":\"p-3\",\"status\":\"accepted\"}\n"
	            "{\"line\":5,\"id\":\"p-4\",\"status\":\"accepted\"}\n");
	wire_close(&w);
	end();
	buf_done(&b);
}

/* --- requests in a row ---------------------------------------------------------------- */

static void test_requests_in_one_piece_are_answered_in_order(void)
{
	begin();
	struct wire w = wire_open();
	send_text(w.fd, "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n" NOBODY "a"
	                "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n" NOBODY "b"
	                "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
	struct submission *s = mock_take();
	CU_ASSERT_STRING_EQUAL(s->jobs[0]->url, NOBODY "a");
	mock_accept(s, NULL);
	expect_heard(&w, 202, "\"p-1\"");
	s = mock_take();
	CU_ASSERT_STRING_EQUAL(s->jobs[0]->url, NOBODY "b");
	mock_accept(s, NULL);
	expect_heard(&w, 202, "\"p-2\"");
	expect_body(&w, 200, "ok\n");
	wire_close(&w);
	end();
}

static void test_who_asks_before_sending_is_told_to_go_on(void)
{
	begin();
	struct wire w = wire_open();
	send_text(w.fd, "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
	                "Content-Length: 19\r\n\r\n");
	struct heard h = wire_hear(&w);
	CU_ASSERT_EQUAL(h.status, 100);
	heard_done(&h);
	send_text(w.fd, NOBODY);
	mock_accept(mock_take(), NULL);
	expect_heard(&w, 202, "\"p-1\"");

	/* And not, where the head is enough to refuse it. */
	send_text(w.fd, "POST /v1/jobs?wait=x HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
	                "Content-Length: 19\r\n\r\n");
	expect_heard(&w, 400, "Connection: close\r\n");
	wire_close(&w);
	w = wire_open();
	send_text(w.fd, "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
	                "Content-Length: 1048577\r\n\r\n");
	expect_heard(&w, 413, "a job has at most 1 MiB");
	wire_close(&w);
	end();
}

static void test_so_many_uploads_and_no_more(void)
{
	struct wire wires[CONTROL_MAX_UPLOADS];

	begin();
	for (size_t i = 0; i < ARRAY_LEN(wires); i++) {
		wires[i] = wire_open();
		wire_post(&wires[i], "/v1/jobs", NDJSON, NOBODY);
	}
	mock_await_held(ARRAY_LEN(wires));
	struct wire w = wire_open();
	wire_post(&w, "/v1/jobs", NDJSON, NOBODY);
	expect_heard(&w, 503, "16 uploads are under way, which is the limit");
	wire_close(&w);
	w = wire_open();
	wire_post(&w, "/v1/jobs", ONE, NOBODY); /* a small one always goes */
	mock_await_held(ARRAY_LEN(wires) + 1);

	for (size_t i = 0; i < ARRAY_LEN(wires); i++) {
		mock_accept(mock_take(), NULL);
		wire_close(&wires[i]); /* some before their answer */
	}
	mock_accept(mock_take(), NULL);
	expect_heard(&w, 202, "accepted");
	/* There is room again, once those have been noticed. */
	for (int status = 503; status == 503;) {
		struct wire next = wire_open();
		wire_post(&next, "/v1/jobs", NDJSON, "no job");
		struct heard h = wire_hear(&next);
		status = h.status;
		CU_ASSERT_TRUE_FATAL(status == 503 || status == 400);
		heard_done(&h);
		wire_close(&next);
	}
	wire_close(&w);
	end();
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "a job is acknowledged once it is taken", test_a_job_is_acknowledged_once_it_is_taken },
		{ "a known id is said to be known", test_a_known_id_is_said_to_be_known },
		{ "each refusal has its status and its words",
		  test_each_refusal_has_its_status_and_its_words },
		{ "who comes after others that wait is told so",
		  test_who_comes_after_others_that_wait_is_told_so },
		{ "what is no job is refused", test_what_is_no_job_is_refused },
		{ "a large body is not a job", test_a_large_body_is_not_a_job },
		{ "each line has its receipt, in order", test_each_line_has_its_receipt_in_order },
		{ "the status is of the first refusal if nothing was taken",
		  test_the_status_is_of_the_first_refusal_if_nothing_was_taken },
		{ "a batch that never fits is split", test_a_batch_that_never_fits_is_split },
		{ "what has room is taken and the rest refused",
		  test_what_has_room_is_taken_and_the_rest_refused },
		{ "a full backlog is asked about one job until there is room",
		  test_a_full_backlog_is_asked_about_one_job_until_there_is_room },
		{ "a smaller job may have room behind a larger one",
		  test_a_smaller_job_may_have_room_behind_a_larger_one },
		{ "what is wrong with the disk is so for a whole batch",
		  test_what_is_wrong_with_the_disk_is_so_for_a_whole_batch },
		{ "a refused line keeps its id", test_a_refused_line_keeps_its_id },
		{ "ids that take much memory are left out", test_ids_that_take_much_memory_are_left_out },
		{ "nothing is read while a batch is at the backlog",
		  test_nothing_is_read_while_a_batch_is_at_the_backlog },
		{ "chunks may be as small as they like", test_chunks_may_be_as_small_as_they_like },
		{ "what has come is not held", test_what_has_come_is_not_held },
		{ "lines have their limits", test_lines_have_their_limits },
		{ "requests in one piece are answered in order",
		  test_requests_in_one_piece_are_answered_in_order },
		{ "who asks before sending is told to go on",
		  test_who_asks_before_sending_is_told_to_go_on },
		{ "so many uploads and no more", test_so_many_uploads_and_no_more },
		CU_TEST_INFO_NULL,
	};
	return mock_init() ? run_in_directory("control_upload", tests) : EXIT_FAILURE;
}
