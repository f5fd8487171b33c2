/* SPDX-License-Identifier: Apache-2.0 */
/* fetch.h: a redirect to another origin is asked about, can end the fetch there, and a later
 * fetch goes on as if it had been one. */
#include "fetch/fetch.h"

#include "job_maker.h"
#include "origin_process.h"
#include "wire_stage.h"

#define SHORT NS_PER_S /* which a busy machine may need to ask */
#define SLACK (5 * NS_PER_S)

/* Two servers, which are two origins. */
static struct origin_process here, there;

/* --- helpers ----------------------------------------------------------------------- */

/* Who says whether a hop may be made, and notes what it was asked about. */
struct gate {
	int answer;
	struct buf asked; /* names of origins, each with a blank behind it */
};

static int answer_hop(void *arg, const struct url_origin *origin)
{
	struct gate *gate = arg;

	buf_add_str(&gate->asked, origin->text);
	buf_add_char(&gate->asked, ' ');
	return gate->answer;
}

/* Whether it was asked about these ports of 127.0.0.1 since the last call; 0 ends them. */
static bool gate_was_asked(struct gate *gate, const unsigned ports[])
{
	struct buf expected = { 0 };

	for (; *ports != 0; ports++)
		buf_printf(&expected, "http://127.0.0.1:%u ", *ports);
	bool same = expected.len == gate->asked.len &&
	            (expected.len == 0 ||
	             memcmp(expected.data, gate->asked.data, expected.len) == 0);
	buf_done(&expected);
	buf_clear(&gate->asked);
	return same;
}

/* Writes and reads the next hop, as a restart would, to the job. */
static void keep_hop(struct job_maker *m, struct job *job, const struct response *response)
{
	struct buf text = { 0 };

	job_write_hop(&response->next, &text);
	CU_ASSERT_EQUAL_FATAL(job_read_hop(job, m->parser, text.data, text.len), 0);
	buf_done(&text);
}

/* Makes every hop to another origin by a fetch of its own.  Returns what the last one does. */
static int fetch_in_pieces(struct stage *s, const struct fetch_request *whole, unsigned *ret_pieces)
{
	struct gate gate = { .answer = -EAGAIN };
	struct job_maker m;
	int r = -EXDEV;

	job_maker_init(&m);
	struct job *job = make_job(&m, whole->url);
	for (*ret_pieces = 0; r == -EXDEV; ++*ret_pieces) {
		struct fetch_request req = *whole;
		req.from = job->hop;
		req.enter = answer_hop;
		req.arg = &gate;
		r = stage_fetch(s, &req);
		if (r == -EXDEV)
			keep_hop(&m, job, &s->response);
	}
	job_free(job);
	job_maker_done(&m);
	buf_done(&gate.asked);
	return r;
}

/* A hop to 'url', after 'spent_us'. */
static struct job_hop hop_to(struct stage *s, const char *url, uint64_t spent_us)
{
	struct job_hop hop = { .url = url, .redirects = 1, .spent_us = spent_us };
	const char *why = NULL;

	CU_ASSERT_EQUAL_FATAL(url_parse(s->parser, url, &hop.origin, &why), 0);
	return hop;
}

/* Goes on at 'hop' with a parser of its own, because stage_fetch() uses the stage's. */
static int go_on(struct stage *s, const char *url, uint64_t spent_us)
{
	struct stage other;

	stage_init(&other);
	const struct job_hop hop = hop_to(&other, url, spent_us);
	int r = stage_fetch(s, &(struct fetch_request) { .url = "http://127.0.0.1:1/", .from = &hop });
	stage_done(&other);
	return r;
}

static const struct fetch_request secret_post = {
	.method = "POST",
	.headers = "Authorization: secret\0X-Kept: yes\0Content-Type: a/b\0",
	.body = "hello",
	.body_bytes = 5,
};

/* --- asking ------------------------------------------------------------------------ */

static void test_only_other_origins_are_asked_about(void)
{
	struct gate gate = { 0 };
	struct wire_stage s;

	wire_begin(&s);
	const unsigned a = s.a.port, b = s.b.port;
	struct fetch_request req = { .url = s.url, .enter = answer_hop, .arg = &gate };
	CU_ASSERT_EQUAL(stage_fetch(&s.fetch, &req), 0);
	CU_ASSERT_TRUE(gate_was_asked(&gate, (const unsigned[]) { 0 }));

	wire_redirect(&s.a, 302, &s.a, "/2");
	wire_redirect(&s.a, 302, &s.b, "/3");
	wire_redirect(&s.b, 302, &s.b, "/4");
	wire_redirect(&s.b, 302, &s.a, "/5"); /* the way back, too */
	CU_ASSERT_EQUAL(stage_fetch(&s.fetch, &req), 0);
	CU_ASSERT_EQUAL(s.fetch.response.redirects, 4);
	CU_ASSERT_TRUE(gate_was_asked(&gate, (const unsigned[]) { b, a, 0 }));
	wire_end(&s);
	buf_done(&gate.asked);
}

static void test_the_origin_of_a_hop_is_where_it_goes_on(void)
{
	struct gate gate = { 0 };
	struct wire_stage s;
	char url[64];

	wire_begin(&s);
	(void) snprintf(url, sizeof(url), "http://127.0.0.1:%u/2", (unsigned) s.b.port);
	struct stage other;
	stage_init(&other);
	const struct job_hop from = hop_to(&other, url, 0);
	struct fetch_request req = {
		.url = s.url, .from = &from, .enter = answer_hop, .arg = &gate
	};
	wire_redirect(&s.b, 302, &s.b, "/3");
	wire_redirect(&s.b, 302, &s.a, "/4");
	CU_ASSERT_EQUAL(stage_fetch(&s.fetch, &req), 0);
	CU_ASSERT_TRUE(gate_was_asked(&gate, (const unsigned[]) { s.a.port, 0 }));
	CU_ASSERT_TRUE(wire_came(&s, &s.a, HEAD_OF("GET", "/4") "\r\n"));
	stage_done(&other);
	wire_end(&s);
	buf_done(&gate.asked);
}

static void test_a_hop_that_may_not_be_made_is_kept(void)
{
	static const struct {
		int status;
		bool becomes_get;
	} cases[] = { { 301, true }, { 302, true }, { 303, true }, { 307, false }, { 308, false } };
	struct gate gate = { .answer = -EAGAIN };
	struct wire_stage s;
	char url[64];

	wire_begin(&s);
	(void) snprintf(url, sizeof(url), "http://127.0.0.1:%u/y?q", (unsigned) s.b.port);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct fetch_request req = secret_post;
		const struct job_hop *next = &s.fetch.response.next;
		req.url = s.url;
		req.enter = answer_hop;
		req.arg = &gate;
		wire_redirect(&s.a, cases[i].status, &s.b, "/y?q");
		CU_ASSERT_EQUAL(stage_fetch(&s.fetch, &req), -EXDEV);
		CU_ASSERT_STRING_EQUAL(s.fetch.response.reason,
		                       "redirected to an origin that may not be asked now");
		CU_ASSERT_EQUAL(s.fetch.response.status, cases[i].status);
		CU_ASSERT_STRING_EQUAL(next->url, url);
		CU_ASSERT_EQUAL(strncmp(url, next->origin.text, strlen(next->origin.text)), 0);
		CU_ASSERT_STRING_EQUAL(next->origin.host, "127.0.0.1");
		CU_ASSERT_EQUAL(next->origin.port, s.b.port);
		CU_ASSERT_FALSE(next->origin.tls);
		CU_ASSERT_EQUAL(next->redirects, 1);
		CU_ASSERT_TRUE(next->spent_us >= s.fetch.response.starttransfer_us);
		CU_ASSERT_TRUE(next->spent_us <= s.fetch.response.total_us);
		CU_ASSERT_EQUAL(next->becomes_get, cases[i].becomes_get);
		CU_ASSERT_TRUE(next->without_secrets);
	}
	CU_ASSERT_EQUAL(atomic_load(&s.b.connections), 0);
	CU_ASSERT_EQUAL(stage_get(&s.fetch, "%s", s.url), 0);
	CU_ASSERT_PTR_NULL(s.fetch.response.next.url); /* forgotten */
	wire_end(&s);
	buf_done(&gate.asked);
}

static void test_without_memory_to_enter_the_fetch_fails(void)
{
	struct gate gate = { .answer = -ENOMEM };
	struct wire_stage s;

	wire_begin(&s);
	wire_redirect(&s.a, 302, &s.b, "/2");
	struct fetch_request req = { .url = s.url, .enter = answer_hop, .arg = &gate };
	CU_ASSERT_EQUAL(stage_fetch(&s.fetch, &req), -ENOMEM);
	CU_ASSERT_STRING_EQUAL(s.fetch.response.reason, "out of memory");
	CU_ASSERT_PTR_NULL(s.fetch.response.next.url);
	CU_ASSERT_EQUAL(atomic_load(&s.b.connections), 0);
	wire_end(&s);
	buf_done(&gate.asked);
}

/* --- going on ---------------------------------------------------------------------- */

static void test_a_post_goes_on_as_a_get(void)
{
	struct wire_stage s;
	struct fetch_request req = secret_post;
	unsigned pieces = 0;

	wire_begin(&s);
	req.url = s.url;
	wire_redirect(&s.a, 303, &s.b, "/y");
	CU_ASSERT_EQUAL(fetch_in_pieces(&s.fetch, &req, &pieces), 0);
	CU_ASSERT_EQUAL(pieces, 2);
	CU_ASSERT_TRUE(wire_came(&s, &s.b, HEAD_OF("GET", "/y") "X-Kept: yes\r\n\r\n"));
	wire_end(&s);
}

static void test_a_post_goes_on_with_its_body_and_without_credentials(void)
{
	struct wire_stage s;
	struct fetch_request req = secret_post;
	unsigned pieces = 0;

	wire_begin(&s);
	req.url = s.url;
	wire_redirect(&s.a, 307, &s.b, "/y");
	wire_redirect(&s.b, 308, &s.a, "/z");
	CU_ASSERT_EQUAL(fetch_in_pieces(&s.fetch, &req, &pieces), 0);
	CU_ASSERT_EQUAL(pieces, 3);
	CU_ASSERT_TRUE(wire_came(&s, &s.b,
	                         HEAD_OF("POST", "/y") "X-Kept: yes\r\nContent-Type: a/b\r\n"
	                                               "Content-Length: 5\r\n\r\nhello"));
	CU_ASSERT_TRUE(wire_came(&s, &s.a,
	                         HEAD_OF("POST", "/x") "Authorization: secret\r\nX-Kept: yes\r\n"
	                                               "Content-Type: a/b\r\n"
	                                               "Content-Length: 5\r\n\r\nhello"
	                         HEAD_OF("POST", "/z") "X-Kept: yes\r\nContent-Type: a/b\r\n"
	                                               "Content-Length: 5\r\n\r\nhello"));
	wire_end(&s);
}

/* What a fetch has sent and brought. */
struct account {
	struct buf a, b; /* what has come to each server */
	struct buf effective;
	long status;
	unsigned redirects;
};

static void settle(struct wire_stage *s, struct account *account)
{
	const struct response *response = &s->fetch.response;

	wire_take(&s->a, &account->a);
	wire_take(&s->b, &account->b);
	buf_clear(&account->effective);
	buf_add(&account->effective, response->effective.data, response->effective.len);
	buf_add_char(&account->effective, '\0');
	account->status = response->status;
	account->redirects = response->redirects;
}

static void account_done(struct account *account)
{
	buf_done(&account->a);
	buf_done(&account->b);
	buf_done(&account->effective);
}

/* a, b twice, a twice, b; the statuses take turns. */
static void put_chain_in_line(struct wire_stage *s, int first, int second)
{
	wire_redirect(&s->a, first, &s->b, "/2");
	wire_redirect(&s->b, second, &s->b, "/3");
	wire_redirect(&s->b, first, &s->a, "/4");
	wire_redirect(&s->a, second, &s->a, "/5");
	wire_redirect(&s->a, first, &s->b, "/6");
}

static void compare_ways(struct wire_stage *s, struct fetch_request *req, int first, int second)
{
	struct account at_once = { 0 }, in_pieces = { 0 };
	unsigned pieces = 0;

	put_chain_in_line(s, first, second);
	CU_ASSERT_EQUAL(stage_fetch(&s->fetch, req), 0);
	settle(s, &at_once);
	put_chain_in_line(s, first, second);
	CU_ASSERT_EQUAL(fetch_in_pieces(&s->fetch, req, &pieces), 0);
	settle(s, &in_pieces);

	CU_ASSERT_EQUAL(pieces, 4);
	CU_ASSERT_STRING_EQUAL(in_pieces.a.data, at_once.a.data);
	CU_ASSERT_STRING_EQUAL(in_pieces.b.data, at_once.b.data);
	CU_ASSERT_STRING_EQUAL(in_pieces.effective.data, at_once.effective.data);
	CU_ASSERT_EQUAL(in_pieces.status, at_once.status);
	CU_ASSERT_EQUAL(in_pieces.redirects, at_once.redirects);
	CU_ASSERT_EQUAL(in_pieces.redirects, 5);
	account_done(&at_once);
	account_done(&in_pieces);
}

static void test_the_same_is_sent_in_pieces_as_at_once(void)
{
	static const char *const methods[] = { "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH" };
	static const int statuses[] = { 301, 302, 303, 307, 308 };
	struct wire_stage s;

	wire_begin(&s);
	for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
		struct fetch_request req = secret_post;
		req.url = s.url;
		req.method = methods[i];
		if (i < 2)
			req.body = NULL, req.body_bytes = 0;
		for (size_t j = 0; j < ARRAY_LEN(statuses); j++)
			for (size_t k = 0; k < ARRAY_LEN(statuses); k++)
				compare_ways(&s, &req, statuses[j], statuses[k]);
	}
	struct fetch_request plain = { .url = s.url };
	compare_ways(&s, &plain, 302, 307);
	CU_ASSERT_EQUAL(atomic_load(&s.a.connections), 1); /* whichever way */
	CU_ASSERT_EQUAL(atomic_load(&s.b.connections), 1);
	wire_end(&s);
}

/* --- limits ------------------------------------------------------------------------ */

static void test_the_limit_of_redirects_holds_over_all(void)
{
	struct wire_stage s;
	unsigned pieces = 0;

	wire_begin(&s);
	struct fetch_request req = { .url = s.url };
	for (int i = 0; i < 3; i++) {
		wire_redirect(&s.a, 302, &s.b, "/b");
		wire_redirect(&s.b, 302, &s.a, "/a");
	}
	CU_ASSERT_EQUAL(fetch_in_pieces(&s.fetch, &req, &pieces), -ELOOP);
	CU_ASSERT_EQUAL(pieces, 6);
	CU_ASSERT_EQUAL(s.fetch.response.redirects, 5);
	CU_ASSERT_STRING_EQUAL(s.fetch.response.reason, "more than 5 redirects");
	wire_end(&s);
}

/* Gets a redirect from 'here' to a URL of so many bytes at 'target'. */
static int redirect_to_long_url(struct stage *s, const struct origin_process *target, size_t bytes)
{
	struct buf url = { 0 };

	buf_printf(&url, "http://127.0.0.1:%u/redirect-to?url=", (unsigned) here.port);
	size_t target_at = url.len;
	buf_printf(&url, "http://127.0.0.1:%u/ok?", (unsigned) target->port);
	while (url.len - target_at < bytes)
		buf_add_char(&url, 'x');
	buf_add_char(&url, '\0');
	int r = stage_fetch(s, &(struct fetch_request) { .url = url.data });
	buf_done(&url);
	return r;
}

static void test_a_long_url_stays_within_its_origin(void)
{
	struct stage s;

	stage_init(&s);
	stage_create(&s);
	CU_ASSERT_EQUAL(redirect_to_long_url(&s, &there, JOB_MAX_HOP_URL_BYTES), 0);
	CU_ASSERT_EQUAL(s.response.redirects, 1);
	CU_ASSERT_EQUAL(redirect_to_long_url(&s, &here, JOB_MAX_HOP_URL_BYTES + 1), 0);
	CU_ASSERT_EQUAL(s.response.redirects, 1);
	CU_ASSERT_EQUAL(redirect_to_long_url(&s, &there, JOB_MAX_HOP_URL_BYTES + 1), -EINVAL);
	CU_ASSERT_STRING_EQUAL(s.response.reason,
	                       "redirect refused: the URL is longer than 8 KiB");
	CU_ASSERT_EQUAL(s.response.curl_code, CURLE_URL_MALFORMAT);
	CU_ASSERT_EQUAL(s.response.redirects, 0);
	stage_done(&s);
}

static void test_what_is_spent_counts_for_the_timeout(void)
{
	const uint64_t spent_us = (PLENTY - SHORT) / NS_PER_US;
	struct stage s;
	char url[64];

	stage_init(&s);
	stage_create(&s);
	(void) snprintf(url, sizeof(url), "http://127.0.0.1:%u/stall", (unsigned) here.port);
	CU_ASSERT_EQUAL(go_on(&s, url, spent_us), -ETIMEDOUT);
	CU_ASSERT_STRING_EQUAL(s.response.reason, "timeout: waiting for the response");
	CU_ASSERT_TRUE(s.took_ns >= SHORT && s.took_ns < SHORT + SLACK);
	CU_ASSERT_TRUE(s.response.total_us >= PLENTY / NS_PER_US);
	CU_ASSERT_TRUE(s.response.total_us < (PLENTY + SLACK) / NS_PER_US);
	stage_done(&s);
}

static void test_nothing_is_asked_once_all_is_spent(void)
{
	static const uint64_t spent_us[] = { PLENTY / NS_PER_US, PLENTY / NS_PER_US + 1, INT64_MAX,
		                             UINT64_MAX - PLENTY / NS_PER_US };
	struct wire_stage s;

	wire_begin(&s);
	for (size_t i = 0; i < ARRAY_LEN(spent_us); i++) {
		CU_ASSERT_EQUAL(go_on(&s.fetch, s.url, spent_us[i]), -ETIMEDOUT);
		CU_ASSERT_STRING_EQUAL(s.fetch.response.reason, "timeout: redirected");
		CU_ASSERT_EQUAL(s.fetch.response.curl_code, CURLE_OPERATION_TIMEDOUT);
		CU_ASSERT_EQUAL(s.fetch.response.redirects, 1);
		CU_ASSERT_TRUE(s.fetch.response.total_us >= spent_us[i]);
	}
	CU_ASSERT_EQUAL(atomic_load(&s.a.connections), 0);
	CU_ASSERT_EQUAL(go_on(&s.fetch, s.url, PLENTY / NS_PER_US / 2), 0);
	CU_ASSERT_EQUAL(s.fetch.response.redirect_us, PLENTY / NS_PER_US / 2);
	wire_end(&s);
}

static void test_times_count_from_the_beginning_of_the_attempt(void)
{
	const uint64_t spent_us = PLENTY / NS_PER_US / 2;
	struct stage s;
	char url[64];

	stage_init(&s);
	stage_create(&s);
	(void) snprintf(url, sizeof(url), "http://localhost:%u/ok", (unsigned) here.port);
	CU_ASSERT_EQUAL(go_on(&s, url, spent_us), 0);
	CU_ASSERT_TRUE(s.response.namelookup_us >= spent_us);
	CU_ASSERT_TRUE(s.response.connect_us >= s.response.namelookup_us);
	CU_ASSERT_TRUE(s.response.starttransfer_us >= s.response.connect_us);
	CU_ASSERT_TRUE(s.response.total_us >= s.response.starttransfer_us);
	CU_ASSERT_TRUE(s.response.total_us <= spent_us + s.took_ns / NS_PER_US);
	CU_ASSERT_EQUAL(s.response.appconnect_us, 0); /* did not happen */
	stage_done(&s);
}

/* Each piece adds what it took, and the waits in between do not count. */
static void test_pieces_add_up(void)
{
	struct gate gate = { .answer = -EAGAIN };
	struct wire_stage s;
	struct job_maker m;

	wire_begin(&s);
	job_maker_init(&m);
	struct job *job = make_job(&m, s.url);
	wire_redirect(&s.a, 302, &s.b, "/2");
	wire_redirect(&s.b, 302, &s.a, "/3");
	uint64_t took_us = 0, spent_us = 0;
	for (unsigned i = 1; i <= 2; i++) {
		struct fetch_request req = {
			.url = s.url, .from = job->hop, .enter = answer_hop, .arg = &gate
		};
		CU_ASSERT_EQUAL(stage_fetch(&s.fetch, &req), -EXDEV);
		took_us += s.fetch.took_ns / NS_PER_US + 1;
		CU_ASSERT_EQUAL(job_set_hop(job, &s.fetch.response.next), 0);
		CU_ASSERT_EQUAL(job->hop->redirects, i);
		CU_ASSERT_TRUE(job->hop->spent_us > spent_us);
		CU_ASSERT_TRUE(job->hop->spent_us <= took_us);
		spent_us = job->hop->spent_us;
	}
	job_free(job);
	job_maker_done(&m);
	wire_end(&s);
	buf_done(&gate.asked);
}

/* --- names ------------------------------------------------------------------------- */

static void test_busy_names_mean_that_nothing_was_attempted_since(void)
{
	struct stage s;

	stage_init(&s);
	s.options.resolver.max_waiters = 0;
	stage_create(&s);
	CU_ASSERT_EQUAL(go_on(&s, "http://busy.test/", 0), -EBUSY);
	CU_ASSERT_EQUAL(s.response.redirects, 1);
	CU_ASSERT_EQUAL(stage_get(&s, "http://127.0.0.1:%u/redirect-to?url=http://busy2.test/",
	                          (unsigned) here.port),
	                -EIO);
	stage_done(&s);
}

static int run_all(void)
{
	static CU_TestInfo tests[] = {
		{ "only other origins are asked about, also on the way back",
		  test_only_other_origins_are_asked_about },
		{ "the origin of a hop is where it goes on",
		  test_the_origin_of_a_hop_is_where_it_goes_on },
		{ "a hop that may not be made is kept", test_a_hop_that_may_not_be_made_is_kept },
		{ "without memory to enter the fetch fails",
		  test_without_memory_to_enter_the_fetch_fails },
		{ "a POST goes on as a GET without its body", test_a_post_goes_on_as_a_get },
		{ "a POST goes on with its body and without credentials",
		  test_a_post_goes_on_with_its_body_and_without_credentials },
		{ "the same is sent in pieces as at once",
		  test_the_same_is_sent_in_pieces_as_at_once },
		{ "the limit of redirects holds over all",
		  test_the_limit_of_redirects_holds_over_all },
		{ "a long URL stays within its origin", test_a_long_url_stays_within_its_origin },
		{ "what is spent counts for the timeout",
		  test_what_is_spent_counts_for_the_timeout },
		{ "nothing is asked once all is spent", test_nothing_is_asked_once_all_is_spent },
		{ "times count from the beginning of the attempt",
		  test_times_count_from_the_beginning_of_the_attempt },
		{ "pieces add up", test_pieces_add_up },
		{ "busy names mean that nothing was attempted since",
		  test_busy_names_mean_that_nothing_was_attempted_since },
		CU_TEST_INFO_NULL,
	};
	return unit_run("fetch: hops", tests);
}

int main(void)
{
	if (!origin_is_there())
		return ORIGIN_SKIP;
	stage_begin_all();
	if (!origin_start(&here))
		return EXIT_FAILURE;
	if (!origin_start(&there)) {
		(void) origin_stop(&here);
		return EXIT_FAILURE;
	}
	int status = run_all();
	bool ended = origin_stop(&here);
	return origin_stop(&there) && ended ? status : EXIT_FAILURE;
}
