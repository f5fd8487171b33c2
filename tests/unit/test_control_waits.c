/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that wait for the backlog: for how long, and what ends them otherwise. */
#include "control/batch.h"
#include "control/control.h"

#include "control/receipts.h"
#include "control_mock.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

static const struct control_options usual = { .work_folder = "." };
static struct stage stage;

static void begin_with(struct control_options options)
{
	stage_init(&stage, NULL, 0, options);
	mock_begin();
}

static void end(void)
{
	mock_end();
	stage_done(&stage);
}

/* Posts one job and waits until it is at the backlog. */
static struct wire post_and_wait(const char *target, const char *type)
{
	struct wire w = wire_open();

	wire_post(&w, target, type, NOBODY);
	mock_await_held(1);
	return w;
}

/* --- waiting for room ----------------------------------------------------------------- */

static void test_a_wait_in_vain_ends_with_a_last_attempt(void)
{
	begin_with(usual);
	struct wire w = post_and_wait("/v1/jobs?wait=1ms", ONE);
	mock_await_withdrawn(1);
	struct submission *s = mock_take(); /* once more, to learn why */
	CU_ASSERT_FALSE(s->waits);
	s->done(s, -ENOSPC);
	expect_heard(&w, 507, "backlog.min_free");

	wire_post(&w, "/v1/jobs?wait=1ms", NDJSON, NOBODY "\n" NOBODY "\n");
	mock_await_withdrawn(2);
	s = mock_take();
	CU_ASSERT_FALSE(s->waits);
	s->done(s, -EAGAIN);
	s = mock_take(); /* half of it, for which there is no time left */
	CU_ASSERT_EQUAL(s->n, 1);
	CU_ASSERT_FALSE(s->waits);
	s->done(s, -EAGAIN);
	expect_heard(&w, 429, "{\"line\":2,\"id\":null,\"status\":\"refused\",\"code\":429,");
	wire_close(&w);
	end();
}

static void test_each_batch_waits_anew(void)
{
	struct buf body = { 0 };

	for (int i = 0; i < 1 + BATCH_MAX_LINES + 1; i++)
		buf_add_str(&body, NOBODY "\n");
	buf_add_char(&body, '\0');
	begin_with(usual);
	struct wire w = wire_open();
	wire_post_lines(&w, "/v1/jobs?wait=1ms", body.data);
	mock_await_withdrawn(1);
	mock_accept(mock_take(), NULL);
	mock_await_withdrawn(2);
	for (size_t n = BATCH_MAX_LINES; n > 0; n /= 2) {
		struct submission *s = mock_take();
		CU_ASSERT_EQUAL(s->n, n);
		CU_ASSERT_FALSE(s->waits);
		s->done(s, -EAGAIN);
	}
	mock_await_withdrawn(3);
	struct submission *s = mock_take();
	CU_ASSERT_FALSE(s->waits);
	mock_accept(s, NULL);
	expect_heard(&w, 202, "{\"line\":4098,\"id\":\"p-2\",\"status\":\"accepted\"}");
	wire_close(&w);
	end();
	buf_done(&body);
}

static void test_what_cannot_be_withdrawn_is_waited_for(void)
{
	begin_with(usual);
	mock_set_withdraws(false);
	struct wire w = post_and_wait("/v1/jobs?wait=1ms", ONE);
	mock_await_withdrawn(1);
	struct submission *s = mock_take();
	CU_ASSERT_TRUE(s->waits); /* still the first */
	mock_accept(s, NULL);
	expect_heard(&w, 202, "accepted");
	wire_close(&w);
	end();
}

static void test_a_backlog_that_does_not_answer_is_not_waited_for(void)
{
	begin_with((struct control_options) { .total_ns = NS_PER_S / 5 });
	struct wire w = wire_open();
	wire_post(&w, "/v1/jobs", ONE, NOBODY);
	expect_heard(&w, 503, "the backlog does not answer");
	wire_post(&w, "/v1/jobs", NDJSON, NOBODY);
	expect_heard(&w, 503, "the backlog does not answer");
	wire_close(&w);
	end();
}

/* --- hanging up ----------------------------------------------------------------------- */

static void test_who_hangs_up_while_waiting_leaves_nothing_behind(void)
{
	begin_with(usual);
	for (int i = 0; i < 4; i++) {
		struct wire w = post_and_wait("/v1/jobs?wait=1h", i % 2 ? ONE : NDJSON);
		wire_close(&w);
		struct submission *s = mock_take();
		if (i < 2)
			mock_accept(s, NULL);
		else
			s->done(s, -EAGAIN);
		CU_ASSERT_EQUAL(status_of("/healthz"), 200);
	}

	/* In the middle of a body. */
	struct wire w = wire_open();
	send_text(w.fd, "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: " NDJSON
	                "\r\nContent-Length: 999\r\n\r\n" NOBODY "\n" NOBODY);
	mock_accept(mock_take(), NULL);
	CU_ASSERT_EQUAL(status_of("/healthz"), 200);
	wire_close(&w);
	CU_ASSERT_EQUAL(status_of("/healthz"), 200);
	end();
}

/* --- time ----------------------------------------------------------------------------- */

static void test_who_drips_and_never_ends_a_line_is_cut_off(void)
{
	const uint64_t total_ns = NS_PER_S / 2;
	uint64_t start_ns = clock_now_ns();
	char byte = 0;

	begin_with((struct control_options) { .total_ns = total_ns });
	struct wire w = wire_open();
	send_text(w.fd, "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: " NDJSON
	                "\r\nContent-Length: 9999999\r\n\r\n");
	for (;;) {
		struct pollfd set = { .fd = w.fd, .events = POLLIN };
		if (send(w.fd, "x", 1, MSG_NOSIGNAL) != 1 || poll(&set, 1, 10) > 0)
			break;
	}
	CU_ASSERT_TRUE(clock_now_ns() >= start_ns + total_ns);
	expect_heard(&w, 408, "urn:penstock:problem:too-slow");
	CU_ASSERT_TRUE(recv(w.fd, &byte, 1, 0) <= 0);
	wire_close(&w);
	end();
}

/* Sends a line at a time for much longer than a request may take.  Returns false if
 * this thread was held up for so long that it proves nothing. */
static bool upload_slowly(const uint64_t total_ns)
{
	uint64_t start_ns = clock_now_ns(), last_ns = start_ns, longest_ns = 0;
	unsigned lines = 0;

	begin_with((struct control_options) { .total_ns = total_ns });
	mock_end(); /* the engine's own backlog takes them */
	struct wire w = wire_open();
	send_text(w.fd, "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: " NDJSON
	                "\r\nTransfer-Encoding: chunked\r\n\r\n");
	while (last_ns < start_ns + 4 * total_ns) {
		static const char chunk[] = "14\r\n" NOBODY "\n\r\n";
		struct pollfd set = { .fd = w.fd, .events = POLLIN };
		if (send(w.fd, chunk, sizeof(chunk) - 1, MSG_NOSIGNAL) < 0 || poll(&set, 1, 5) > 0)
			break;
		uint64_t now_ns = clock_now_ns();
		longest_ns = now_ns - last_ns > longest_ns ? now_ns - last_ns : longest_ns;
		last_ns = now_ns;
		lines++;
	}
	bool proves = longest_ns < total_ns / 4;
	(void) send(w.fd, "0\r\n\r\n", 5, MSG_NOSIGNAL);
	struct heard h = wire_hear(&w);
	if (proves) {
		CU_ASSERT_EQUAL_FATAL(h.status, 202);
		unsigned receipts = 0;
		for (const char *p = h.body; (p = strchr(p, '\n')); p++)
			receipts++;
		CU_ASSERT_EQUAL(receipts, lines);
	}
	heard_done(&h);
	wire_close(&w);
	stage_done(&stage);
	return proves;
}

static void test_a_slow_upload_that_goes_on_is_not_cut_off(void)
{
	uint64_t total_ns = NS_PER_S / 4;

	while (!upload_slowly(total_ns))
		total_ns *= 2;
}

/* --- the end -------------------------------------------------------------------------- */

static void test_the_end_takes_back_what_it_can(void)
{
	begin_with(usual);
	struct wire one = post_and_wait("/v1/jobs?wait=1h", ONE);
	struct wire many = wire_open();
	struct buf body = { 0 };
	for (int i = 0; i < 1500; i++) /* several batches: what follows is not even asked */
		buf_add_str(&body, NOBODY "\n");
	buf_add_char(&body, '\0');
	wire_post(&many, "/v1/jobs?wait=1h", NDJSON, body.data);
	mock_await_held(2);
	stage.control = control_free(stage.control);
	expect_heard(&one, 503, "the daemon is stopping");
	expect_heard(&many, 503, "{\"line\":1500,\"id\":null,\"status\":\"refused\",\"code\":503,");
	buf_done(&body);
	wire_close(&one);
	wire_close(&many);
	end();
}

static void *answer_late(void *arg)
{
	(void) arg;
	mock_await_withdrawn(2); /* in vain */
	for (int i = 0; i < 2; i++)
		mock_accept(mock_take(), NULL);
	struct query *q = mock_take_query();
	q->state = JOB_WAITING;
	q->done(q, 0);
	return NULL;
}

static void test_the_end_waits_for_what_is_on_its_way_to_disk(void)
{
	pthread_t thread;

	begin_with(usual);
	mock_set_withdraws(false);
	struct wire one = post_and_wait("/v1/jobs", ONE);
	struct wire many = wire_open();
	wire_post(&many, "/v1/jobs", NDJSON, NOBODY "\n" NOBODY "\n");
	mock_await_held(2);
	struct wire broken = wire_open(); /* its batch is there, its body not whole */
	send_text(broken.fd, "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: " NDJSON
	                     "\r\nContent-Length: 9999999\r\n\r\n");
	send_text(broken.fd, NOBODY "\n");
	mock_await_held(3);
	struct wire asks = wire_open();
	send_text(asks.fd, "GET /v1/jobs/x HTTP/1.1\r\nHost: x\r\n\r\n");

	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, answer_late, NULL), 0);
	struct submission *s = NULL;
	mutex_lock(&mock.lock);
	while (!mock.query)
		mock_wait("a question");
	s = mock.held[--mock.n_held];
	mutex_unlock(&mock.lock);
	mock_accept(s, NULL);
	stage.control = control_free(stage.control);
	CU_ASSERT_EQUAL(pthread_join(thread, NULL), 0);
	expect_heard(&one, 202, "accepted");
	expect_heard(&many, 202, "{\"line\":2,");
	expect_heard(&asks, 200, "\"waiting\"");
	struct heard h = wire_hear(&broken);
	CU_ASSERT_EQUAL(h.status, 0); /* without receipts: the client will ask again */
	heard_done(&h);
	wire_close(&one), wire_close(&many), wire_close(&broken), wire_close(&asks);
	end();
}

static void test_a_stopping_daemon_takes_no_jobs(void)
{
	begin_with(usual);
	control_set_phase(stage.control, CONTROL_STOPPING);
	struct wire w = wire_open();
	wire_post(&w, "/v1/jobs", NDJSON, NOBODY);
	expect_heard(&w, 503, "the daemon is stopping and takes no more jobs");
	wire_close(&w);
	end();
}

/* --- receipts ------------------------------------------------------------------------- */

static void add_bytes(struct receipts *r, size_t n)
{
	for (size_t i = 0; i < n; i++)
		buf_add_char(&r->memory, (char) ('a' + i % 26));
}

static void test_receipts_are_kept_in_a_file_once_they_are_many(void)
{
	static const char *const folders[] = { ".", NULL, "no/such/folder" };

	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		struct receipts r = { 0 };
		struct reply reply = { 0 };
		add_bytes(&r, RECEIPTS_MEMORY_BYTES - 26);
		CU_ASSERT_EQUAL(receipts_spill(&r, folders[i]), 0);
		CU_ASSERT_EQUAL(r.file_bytes, 0);
		add_bytes(&r, 26);
		CU_ASSERT_EQUAL(receipts_spill(&r, folders[i]), 0);
		CU_ASSERT_EQUAL(r.file_bytes, RECEIPTS_MEMORY_BYTES);
		CU_ASSERT_EQUAL(r.memory.len, 0);
		add_bytes(&r, 3);
		CU_ASSERT_EQUAL(receipts_finish(&r, folders[i], &reply), 0);
		CU_ASSERT_EQUAL(reply.file_bytes, RECEIPTS_MEMORY_BYTES + 3);
		char last[4] = "";
		CU_ASSERT_EQUAL(pread(reply.file, last, 4, (off_t) reply.file_bytes - 3), 3);
		CU_ASSERT_STRING_EQUAL(last, "abc");
		reply_done(&reply);
		receipts_done(&r);
	}
}

static void test_receipts_that_cannot_be_kept_are_an_error(void)
{
	const struct rlimit small = { 4096, RLIM_INFINITY }, none = { RLIM_INFINITY, RLIM_INFINITY };
	struct receipts r = { 0 };

	(void) signal(SIGXFSZ, SIG_IGN);
	CU_ASSERT_EQUAL(setrlimit(RLIMIT_FSIZE, &small), 0);
	add_bytes(&r, RECEIPTS_MEMORY_BYTES);
	CU_ASSERT_EQUAL(receipts_spill(&r, "."), -EFBIG);
	receipts_done(&r);

	/* The upload is read to its end all the same, and says so. */
	begin_with(usual);
	struct wire w = wire_open();
	struct buf body = { 0 };
	for (int i = 0; i < 3000; i++)
		buf_add_str(&body, "no job\n");
	buf_add_char(&body, '\0');
	wire_post(&w, "/v1/jobs", NDJSON, body.data);
	expect_heard(&w, 503, "the receipts cannot be kept: File too large");
	CU_ASSERT_EQUAL(setrlimit(RLIMIT_FSIZE, &none), 0);
	wire_close(&w);
	buf_done(&body);
	end();
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "a wait in vain ends with a last attempt", test_a_wait_in_vain_ends_with_a_last_attempt },
		{ "each batch waits anew", test_each_batch_waits_anew },
		{ "what cannot be withdrawn is waited for", test_what_cannot_be_withdrawn_is_waited_for },
		{ "a backlog that does not answer is not waited for",
		  test_a_backlog_that_does_not_answer_is_not_waited_for },
		{ "who hangs up while waiting leaves nothing behind",
		  test_who_hangs_up_while_waiting_leaves_nothing_behind },
		{ "who drips and never ends a line is cut off",
		  test_who_drips_and_never_ends_a_line_is_cut_off },
		{ "a slow upload that goes on is not cut off",
		  test_a_slow_upload_that_goes_on_is_not_cut_off },
		{ "the end takes back what it can", test_the_end_takes_back_what_it_can },
		{ "the end waits for what is on its way to disk",
		  test_the_end_waits_for_what_is_on_its_way_to_disk },
		{ "a stopping daemon takes no jobs", test_a_stopping_daemon_takes_no_jobs },
		{ "receipts are kept in a file once they are many",
		  test_receipts_are_kept_in_a_file_once_they_are_many },
		{ "receipts that cannot be kept are an error",
		  test_receipts_that_cannot_be_kept_are_an_error },
		CU_TEST_INFO_NULL,
	};
	return mock_init() ? run_in_directory("control_waits", tests) : EXIT_FAILURE;
}
