/* SPDX-License-Identifier: Apache-2.0 */
/* fetch.h: answers, redirects, and everything that can be wrong with an answer. */
#include "fetch/fetch.h"

#include "fetch_stage.h"
#include "origin_process.h"

#include <CUnit/Basic.h>
#include <poll.h>

static struct origin_process origin;

static void begin(struct stage *s)
{
	stage_init(s);
	stage_create(s);
}

static int get(struct stage *s, const char *target)
{
	return stage_get(s, "http://127.0.0.1:%u%s", (unsigned) origin.port, target);
}

/* --- answers ----------------------------------------------------------------------- */

static void test_an_answer_is_collected(void)
{
	struct stage s;
	char url[64];

	begin(&s);
	(void) snprintf(url, sizeof(url), "http://127.0.0.1:%u/bytes/1234", (unsigned) origin.port);
	CU_ASSERT_EQUAL(get(&s, "/bytes/1234"), 0);
	CU_ASSERT_EQUAL(s.response.status, 200);
	CU_ASSERT_EQUAL(s.response.body_bytes, 1234);
	CU_ASSERT_EQUAL(s.response.http_version, 11);
	CU_ASSERT_EQUAL(s.response.redirects, 0);
	CU_ASSERT_EQUAL(s.response.retry_after_s, 0);
	CU_ASSERT_STRING_EQUAL(s.response.remote_ip, "127.0.0.1");
	CU_ASSERT_TRUE(holds(&s.response.effective, url));
	CU_ASSERT_TRUE(holds(&s.response.content_type, "text/plain"));
	CU_ASSERT_EQUAL(s.response.error.len, 0);
	CU_ASSERT_EQUAL(s.response.namelookup_us, 0);
	CU_ASSERT_EQUAL(s.response.appconnect_us, 0);
	CU_ASSERT_TRUE(s.response.connect_us > 0);
	CU_ASSERT_TRUE(s.response.starttransfer_us >= s.response.connect_us);
	CU_ASSERT_TRUE(s.response.total_us >= s.response.starttransfer_us);
	CU_ASSERT_TRUE(s.response.total_us <= s.took_ns / NS_PER_US);
	stage_done(&s);
}

static void test_every_status_is_an_answer(void)
{
	static const long statuses[] = { 200, 204, 304, 400, 404, 418, 500, 503, 599 };
	struct stage s;

	begin(&s);
	for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
		char target[32];
		(void) snprintf(target, sizeof(target), "/status/%ld", statuses[i]);
		CU_ASSERT_EQUAL(get(&s, target), 0);
		CU_ASSERT_EQUAL(s.response.status, statuses[i]);
	}
	CU_ASSERT_EQUAL(get(&s, "/status/503?retry_after=17"), 0);
	CU_ASSERT_EQUAL(s.response.retry_after_s, 17);
	stage_done(&s);
}

static void test_bodies_come_in_every_framing(void)
{
	static const char *const targets[] = { "/bytes/70000", "/chunked/70000",
		                               "/no-length/70000" };
	struct stage s;

	begin(&s);
	for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
		CU_ASSERT_EQUAL(get(&s, targets[i]), 0);
		CU_ASSERT_EQUAL(s.response.body_bytes, 70000);
	}
	CU_ASSERT_EQUAL(get(&s, "/bytes/0"), 0);
	CU_ASSERT_EQUAL(s.response.body_bytes, 0);
	stage_done(&s);
}

static void test_a_response_forgets_the_last_one(void)
{
	struct stage s;

	begin(&s);
	CU_ASSERT_EQUAL(get(&s, "/redirect/2"), 0);
	CU_ASSERT_EQUAL(get(&s, "/status/503?retry_after=17"), 0);
	CU_ASSERT_EQUAL(get(&s, "/close"), -ECONNRESET);
	CU_ASSERT_EQUAL(s.response.status, 0);
	CU_ASSERT_EQUAL(s.response.retry_after_s, 0);
	CU_ASSERT_EQUAL(s.response.redirects, 0);
	CU_ASSERT_EQUAL(s.response.content_type.len, 0);
	CU_ASSERT_EQUAL(get(&s, "/ok"), 0);
	CU_ASSERT_STRING_EQUAL(s.response.reason, "");
	CU_ASSERT_EQUAL(s.response.error.len, 0);
	stage_done(&s);
}

static void test_a_body_has_a_limit(void)
{
	static const char *const longer[] = { "/bytes/1001", "/chunked/1001", "/no-length/1001",
		                              "/bytes/10000000" };
	struct stage s;

	stage_init(&s);
	s.usual.max_body_bytes = 1000;
	stage_create(&s);
	CU_ASSERT_EQUAL(get(&s, "/bytes/1000"), 0);
	for (size_t i = 0; i < ARRAY_LEN(longer); i++) {
		CU_ASSERT_EQUAL(get(&s, longer[i]), -EFBIG);
		CU_ASSERT_STRING_EQUAL(s.response.reason, "body larger than 1000 bytes");
		CU_ASSERT_EQUAL(s.response.curl_code, CURLE_FILESIZE_EXCEEDED);
		CU_ASSERT_EQUAL(s.response.status, 200);
		CU_ASSERT_TRUE(s.response.body_bytes <= 1000);
	}
	CU_ASSERT_EQUAL(get(&s, "/chunked/1000"), 0);
	CU_ASSERT_EQUAL(s.response.body_bytes, 1000);
	stage_done(&s);
}

struct taken {
	size_t bytes, pieces;
	int error; /* that it returns once it has had a piece */
};

static int take(void *arg, const char *data, size_t n)
{
	struct taken *taken = arg;

	(void) data;
	taken->bytes += n;
	return taken->pieces++ > 0 ? taken->error : 0;
}

static int fetch_taking(struct stage *s, const char *path, bool truncates, struct taken *taken)
{
	char url[128];

	(void) snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", (unsigned) origin.port, path);
	return stage_fetch(s, &(struct fetch_request) {
				      .url = url,
				      .truncates = truncates,
				      .take_body = take,
				      .body_arg = taken,
			      });
}

static void test_a_body_is_taken_piece_by_piece(void)
{
	struct taken taken = { 0 };
	struct stage s;

	begin(&s);
	CU_ASSERT_EQUAL(fetch_taking(&s, "/bytes/100000", false, &taken), 0);
	CU_ASSERT_EQUAL(taken.bytes, 100000);
	CU_ASSERT_TRUE(taken.pieces > 1);
	CU_ASSERT_EQUAL(s.response.body_bytes, 100000);

	taken = (struct taken) { 0 }; /* that of a redirect is not */
	CU_ASSERT_EQUAL(fetch_taking(&s, "/redirect/2", false, &taken), 0);
	CU_ASSERT_EQUAL(taken.bytes, s.response.body_bytes);

	taken = (struct taken) { .error = -EIO };
	CU_ASSERT_EQUAL(fetch_taking(&s, "/bytes/100000", false, &taken), -ENOSPC);
	CU_ASSERT_EQUAL(s.response.body_error, -EIO);
	CU_ASSERT_EQUAL(taken.pieces, 2);
	CU_ASSERT_STRING_EQUAL(s.response.reason, "the body cannot be kept: Input/output error");
	stage_done(&s);
}

struct begun {
	struct taken taken; /* the first member: take() gets the same pointer */
	unsigned times;
	uint64_t announced;
	int error;
};

static int begin_body(void *arg, uint64_t bytes, uint64_t deadline_ns)
{
	struct begun *begun = arg;

	CU_ASSERT_EQUAL(begun->taken.pieces, 0);
	CU_ASSERT_TRUE(deadline_ns > clock_now_ns());
	begun->times++;
	begun->announced = bytes;
	return begun->error;
}

static int fetch_beginning(struct stage *s, const char *path, struct begun *begun)
{
	char url[128];

	(void) snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", (unsigned) origin.port, path);
	return stage_fetch(s, &(struct fetch_request) {
				      .url = url,
				      .begin_body = begin_body,
				      .take_body = take,
				      .body_arg = begun,
			      });
}

static void test_a_body_is_announced_once(void)
{
	static const struct {
		const char *path;
		unsigned times;
		uint64_t announced;
	} cases[] = {
		{ "/bytes/100000", 1, 100000 },
		{ "/chunked/100000", 1, UINT64_MAX },
		{ "/no-length/100000", 1, UINT64_MAX },
		{ "/bytes/0", 0, 0 },
		{ "/redirect/2", 1, 128 },
	};
	struct stage s;

	begin(&s);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct begun begun = { 0 };
		CU_ASSERT_EQUAL(fetch_beginning(&s, cases[i].path, &begun), 0);
		CU_ASSERT_EQUAL(begun.times, cases[i].times);
		CU_ASSERT_EQUAL(begun.announced, cases[i].announced);
		CU_ASSERT_EQUAL(begun.taken.bytes, s.response.body_bytes);
	}
	stage_done(&s);
}

static void test_a_body_may_be_refused(void)
{
	static const struct {
		int error, result;
		const char *reason;
	} cases[] = {
		{ -ETIMEDOUT, -ENOSPC, "timeout: waiting for memory for the body" },
		{ -ECANCELED, -ECANCELED, "aborted" },
		{ -ENOMEM, -ENOSPC, "the body cannot be kept: Cannot allocate memory" },
	};
	struct stage s;

	begin(&s);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct begun begun = { .error = cases[i].error };
		CU_ASSERT_EQUAL(fetch_beginning(&s, "/bytes/100000", &begun), cases[i].result);
		CU_ASSERT_EQUAL(begun.times, 1);
		CU_ASSERT_EQUAL(begun.taken.pieces, 0);
		CU_ASSERT_EQUAL(s.response.body_error, cases[i].error);
		CU_ASSERT_STRING_EQUAL(s.response.reason, cases[i].reason);
	}
	stage_done(&s);
}

/* There is no memory until it is too late. */
static int begin_too_late(void *arg, uint64_t bytes, uint64_t deadline_ns)
{
	(void) arg;
	(void) bytes;
	while (clock_now_ns() < deadline_ns)
		(void) poll(NULL, 0, clock_poll_ms(deadline_ns));
	return -ETIMEDOUT;
}

static void test_a_deadline_may_pass_while_a_body_waits(void)
{
	struct stage s;
	char url[64];

	begin(&s);
	(void) snprintf(url, sizeof(url), "http://127.0.0.1:%u/bytes/10", (unsigned) origin.port);
	struct fetch_request req = {
		.url = url,
		.deadline_ns = clock_now_ns() + 500 * NS_PER_MS,
		.begin_body = begin_too_late,
		.take_body = take,
	};
	CU_ASSERT_EQUAL(stage_fetch(&s, &req), -ETIME);
	CU_ASSERT_STRING_EQUAL(s.response.reason, "deadline: waiting for memory for the body");
	CU_ASSERT_EQUAL(s.response.status, 200);
	stage_done(&s);
}

static void test_a_long_body_can_be_cut_off(void)
{
	static const char *const longer[] = { "/bytes/1001", "/chunked/1001", "/no-length/1001",
		                              "/bytes/10000000" };
	struct stage s;

	stage_init(&s);
	s.usual.max_body_bytes = 1000;
	stage_create(&s);
	for (size_t i = 0; i < ARRAY_LEN(longer); i++) {
		struct taken taken = { 0 };
		CU_ASSERT_EQUAL(fetch_taking(&s, longer[i], true, &taken), 0);
		CU_ASSERT_EQUAL(taken.bytes, 1000);
		CU_ASSERT_EQUAL(s.response.body_bytes, 1000);
		CU_ASSERT_TRUE(s.response.truncated);
		CU_ASSERT_EQUAL(s.response.error.len, 0);
	}
	struct taken taken = { 0 };
	CU_ASSERT_EQUAL(fetch_taking(&s, "/bytes/1000", true, &taken), 0);
	CU_ASSERT_EQUAL(taken.bytes, 1000);
	CU_ASSERT_FALSE(s.response.truncated);
	stage_done(&s);
}

/* --- redirects --------------------------------------------------------------------- */

static void test_redirects_are_followed(void)
{
	static const int codes[] = { 301, 302, 303, 307, 308 };
	struct stage s;
	char text[64];

	begin(&s);
	for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
		(void) snprintf(text, sizeof(text), "/redirect/3?code=%d", codes[i]);
		CU_ASSERT_EQUAL(get(&s, text), 0);
		CU_ASSERT_EQUAL(s.response.status, 200);
		CU_ASSERT_EQUAL(s.response.redirects, 3);
		(void) snprintf(text, sizeof(text), "http://127.0.0.1:%u/redirect/0?code=%d",
		                (unsigned) origin.port, codes[i]);
		CU_ASSERT_TRUE(holds(&s.response.effective, text));
	}
	stage_done(&s);
}

static void test_a_redirect_may_lead_to_another_origin(void)
{
	struct stage s;
	unsigned port = origin.port;
	char text[64];

	begin(&s);
	CU_ASSERT_EQUAL(
	        stage_get(&s, "http://127.0.0.1:%u/redirect-to?url=http://localhost:%u/status/404",
	                  port, port),
	        0);
	CU_ASSERT_EQUAL(s.response.status, 404);
	CU_ASSERT_EQUAL(s.response.redirects, 1);
	CU_ASSERT_TRUE(s.response.namelookup_us > 0);
	CU_ASSERT_TRUE(s.response.starttransfer_us >= s.response.namelookup_us);
	(void) snprintf(text, sizeof(text), "http://localhost:%u/status/404", port);
	CU_ASSERT_TRUE(holds(&s.response.effective, text));

	struct fetch_stats stats;
	fetch_stats(s.fetcher, &stats);
	CU_ASSERT_EQUAL(stats.idle_connections, 2); /* one for each origin */
	stage_done(&s);
}

static void test_redirects_have_a_limit(void)
{
	struct stage s;

	begin(&s);
	CU_ASSERT_EQUAL(get(&s, "/redirect/5"), 0);
	CU_ASSERT_EQUAL(s.response.redirects, 5);
	CU_ASSERT_EQUAL(get(&s, "/redirect/6"), -ELOOP);
	CU_ASSERT_STRING_EQUAL(s.response.reason, "more than 5 redirects");
	CU_ASSERT_EQUAL(s.response.curl_code, CURLE_TOO_MANY_REDIRECTS);
	CU_ASSERT_EQUAL(s.response.redirects, 5);
	CU_ASSERT_EQUAL(s.response.status, 302);
	CU_ASSERT_EQUAL(get(&s, "/redirect-loop"), -ELOOP);
	CU_ASSERT_EQUAL(s.response.redirects, 5);
	stage_done(&s);
}

static void test_a_redirect_can_be_the_answer(void)
{
	struct stage s;

	stage_init(&s);
	s.usual.max_redirects = 0;
	stage_create(&s);
	CU_ASSERT_EQUAL(get(&s, "/redirect/1"), 0);
	CU_ASSERT_EQUAL(s.response.status, 302);
	CU_ASSERT_EQUAL(s.response.redirects, 0);
	stage_done(&s);

	begin(&s); /* and so it is without a Location, or with a status that leads nowhere */
	CU_ASSERT_EQUAL(get(&s, "/status/302"), 0);
	CU_ASSERT_EQUAL(s.response.status, 302);
	CU_ASSERT_EQUAL(get(&s, "/redirect/1?code=300"), 0);
	CU_ASSERT_EQUAL(s.response.status, 300);
	CU_ASSERT_EQUAL(get(&s, "/redirect/1?code=304"), 0);
	CU_ASSERT_EQUAL(s.response.status, 304);
	stage_done(&s);
}

static void test_a_bad_target_of_a_redirect_is_refused(void)
{
	static const struct {
		const char *target;
		int err;
	} cases[] = {
		{ "ftp://127.0.0.1/x", -EPROTONOSUPPORT },
		{ "file:///etc/passwd", -EPROTONOSUPPORT },
		{ "gopher://127.0.0.1/", -EPROTONOSUPPORT },
		{ "http://", -EINVAL },
		{ "http://[::1/", -EINVAL },
		{ "http://a%20b/", -EINVAL },
		{ "http://127.0.0.1:99999/", -EINVAL },
	};
	struct stage s;
	char target[128];

	begin(&s);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		(void) snprintf(target, sizeof(target), "/redirect-to?url=%s", cases[i].target);
		int r = get(&s, target);
		CU_ASSERT_EQUAL(r, cases[i].err);
		CU_ASSERT_EQUAL(strncmp(s.response.reason, "redirect refused: ", 18), 0);
		CU_ASSERT_EQUAL(s.response.status, 302);
		if (r != cases[i].err)
			(void) fprintf(stderr, "%s: %d %s\n", cases[i].target, r,
			               s.response.reason);
	}
	stage_done(&s);
}

/* --- failures ---------------------------------------------------------------------- */

static void test_each_broken_answer_has_its_error(void)
{
	static const struct {
		const char *target;
		int err;
		const char *reason;
	} cases[] = {
		{ "/short/100", -ECONNRESET, "connection closed within the body" },
		{ "/reset-body/1000", -ECONNRESET, "connection lost" },
		{ "/reset", -ECONNRESET, "connection lost" },
		{ "/close", -ECONNRESET, "connection closed without an answer" },
		{ "/garbage", -EPROTO, "bad response: not http" },
		{ "/bad-length", -EPROTO, "bad response" },
		{ "/bad-chunk", -EPROTO, "bad response" },
		{ "/big-headers/1000000", -EPROTO, "bad response: headers of more than 256 KiB", },
	};
	struct stage s;

	begin(&s);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int r = get(&s, cases[i].target);
		CU_ASSERT_EQUAL(r, cases[i].err);
		CU_ASSERT_STRING_EQUAL(s.response.reason, cases[i].reason);
		/* libcurl has nothing to say of what is our own verdict. */
		CU_ASSERT_EQUAL(s.response.error.len > 0, !strstr(cases[i].reason, "256 KiB"));
		if (r != cases[i].err || strcmp(s.response.reason, cases[i].reason) != 0)
			(void) fprintf(stderr, "%s: %d %d %s; %.*s\n", cases[i].target, r,
			               s.response.curl_code, s.response.reason,
			               (int) s.response.error.len, s.response.error.data);
		CU_ASSERT_EQUAL(get(&s, "/ok"), 0); /* no trace is left */
	}
	stage_done(&s);
}

static void test_nobody_listens(void)
{
	struct stage s;
	struct origin_process gone;

	CU_ASSERT_TRUE_FATAL(origin_start(&gone));
	CU_ASSERT_TRUE_FATAL(origin_stop(&gone));
	begin(&s);
	CU_ASSERT_EQUAL(stage_get(&s, "http://127.0.0.1:%u/", (unsigned) gone.port), -ECONNREFUSED);
	CU_ASSERT_STRING_EQUAL(s.response.reason, "connect failed");
	CU_ASSERT_EQUAL(s.response.status, 0);
	stage_done(&s);
}

static void test_tls_needs_a_tls_server(void)
{
	struct stage s;

	begin(&s);
	CU_ASSERT_EQUAL(stage_get(&s, "https://127.0.0.1:%u/ok", (unsigned) origin.port),
	                -ECONNRESET);
	CU_ASSERT_STRING_EQUAL(s.response.reason, "tls: handshake failed: wrong version number");
	stage_done(&s);
}

static void test_options_are_checked(void)
{
	struct stage s;

	stage_init(&s);
	s.options.resolver.servers = "no address";
	CU_ASSERT_EQUAL(fetcher_create(&s.options, &s.fetcher), -EINVAL);
	CU_ASSERT_PTR_NULL(s.fetcher);
	CU_ASSERT_PTR_NULL(fetcher_free(NULL));
	stage_done(&s);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "an answer is collected", test_an_answer_is_collected },
		{ "every status is an answer", test_every_status_is_an_answer },
		{ "bodies come in every framing", test_bodies_come_in_every_framing },
		{ "a response forgets the last one", test_a_response_forgets_the_last_one },
		{ "a body has a limit", test_a_body_has_a_limit },
		{ "a body is taken piece by piece", test_a_body_is_taken_piece_by_piece },
		{ "a body is announced once", test_a_body_is_announced_once },
		{ "a body may be refused", test_a_body_may_be_refused },
		{ "a deadline may pass while a body waits",
		  test_a_deadline_may_pass_while_a_body_waits },
		{ "a long body can be cut off", test_a_long_body_can_be_cut_off },
		{ "redirects are followed", test_redirects_are_followed },
		{ "a redirect may lead to another origin",
		  test_a_redirect_may_lead_to_another_origin },
		{ "redirects have a limit", test_redirects_have_a_limit },
		{ "a redirect can be the answer", test_a_redirect_can_be_the_answer },
		{ "a bad target of a redirect is refused",
		  test_a_bad_target_of_a_redirect_is_refused },
		{ "each broken answer has its error", test_each_broken_answer_has_its_error },
		{ "nobody listens", test_nobody_listens },
		{ "tls needs a tls server", test_tls_needs_a_tls_server },
		{ "options are checked", test_options_are_checked },
		CU_TEST_INFO_NULL,
	};

	if (!origin_is_there())
		return ORIGIN_SKIP;
	stage_begin_all();
	if (!origin_start(&origin))
		return EXIT_FAILURE;
	int status = unit_run("fetch", tests);
	return origin_stop(&origin) ? status : EXIT_FAILURE;
}
