/* SPDX-License-Identifier: Apache-2.0 */
/* What the control socket hands to the owner of the engine, which answers from a thread of
 * its own: the test's. */
#include "control/control.h"

#include "control_mock.h"

#define SET    "/v1/control/set"
#define RELOAD "/v1/control/reload"

static struct stage stage;

/* One order at a time. */
static struct {
	struct mutex lock;
	struct cond changed;
	struct control_order *order GUARDED_BY(lock);
} owner;

static void on_order(void *arg, struct control_order *order)
{
	CU_ASSERT_PTR_EQUAL(arg, &owner);
	mutex_lock(&owner.lock);
	CU_ASSERT_PTR_NULL(owner.order);
	owner.order = order;
	cond_broadcast(&owner.changed);
	mutex_unlock(&owner.lock);
}

static struct control_order *take_order(void)
{
	mutex_lock(&owner.lock);
	while (!owner.order)
		(void) cond_wait(&owner.changed, &owner.lock, NEVER);
	struct control_order *order = owner.order;
	owner.order = NULL;
	mutex_unlock(&owner.lock);
	return order;
}

static void answer(struct control_order *order, unsigned status, const char *text)
{
	buf_add_str(&order->answer, text);
	order->status = status;
	order->done(order);
}

static void begin(void)
{
	stage_init(&stage, NULL, 0, (struct control_options) { .order = on_order, .arg = &owner });
}

static void end(void) { stage_done(&stage); }

/* The order sets these, "KEY=VALUE" with blanks between. */
static void expect_settings(const struct control_order *order, const char *wanted)
{
	struct buf b = { 0 };

	CU_ASSERT_EQUAL(order->kind, CONTROL_SET);
	for (size_t i = 0; i < order->n_settings; i++)
		buf_printf(&b, "%s%s", i > 0 ? " " : "", order->settings[i]);
	buf_add_char(&b, '\0');
	CU_ASSERT_STRING_EQUAL(b.data, wanted);
	buf_done(&b);
}

static void test_settings_are_handed_over_and_the_answer_comes_back(void)
{
	begin();
	struct wire w = wire_open();
	wire_post(&w, SET, ONE, "{\"workers\": 7, \"retry.base\": \"2s\", \"a[b=c\": true}");
	expect_heard(&w, 400, "a[b=c: a key has no");
	wire_post(&w, SET, ONE, "{\"workers\": 7, \"retry.base\": \"2s\", \"x\": true, \"y\": false,"
	                        " \"origins[http://[::1]:80].rate\": \"a=b\", \"z\": -3}");
	struct control_order *order = take_order();
	expect_settings(order, "workers=7 retry.base=2s x=true y=false "
	                       "origins[http://[::1]:80].rate=a=b z=-3");
	answer(order, 200, "{\"changed\": []}\n");
	expect_body(&w, 200, "{\"changed\": []}\n");

	/* The same connection serves on. */
	wire_post(&w, SET, ONE, "{\"workers\": \"0\"}");
	order = take_order();
	expect_settings(order, "workers=0");
	answer(order, 400, "one\ntwo\n");
	expect_heard(&w, 400, "\"detail\": \"one\\ntwo\"}");
	wire_post(&w, SET, ONE, "{\"workers\": \"0\"}");
	answer(take_order(), 409, "results.path: needs a restart\n");
	expect_heard(&w, 409, "\"type\": \"urn:penstock:problem:settings-conflict\"");
	wire_close(&w);
	end();
}

static void test_a_reload_takes_no_settings(void)
{
	begin();
	struct wire w = wire_open();
	wire_post(&w, RELOAD, ONE, "");
	struct control_order *order = take_order();
	CU_ASSERT_EQUAL(order->kind, CONTROL_RELOAD);
	CU_ASSERT_EQUAL(order->n_settings, 0);
	answer(order, 400, "penstock.conf:1: no\n");
	expect_heard(&w, 400, "\"detail\": \"penstock.conf:1: no\"}");
	wire_post(&w, RELOAD, ONE, "{\"workers\": 7}");
	expect_heard(&w, 400, "a reload takes no settings");
	wire_post(&w, RELOAD, ONE, "{\n  \"a\" 1}");
	expect_heard(&w, 400, "\"line\": 2, \"column\": 7}");
	wire_close(&w);
	CU_ASSERT_EQUAL(status_of(RELOAD), 405);
	end();
}

static void test_bodies_that_set_nothing_are_refused(void)
{
	static const struct {
		const char *body;
		const char *words;
	} cases[] = {
		{ "{}", "the body must be {" },
		{ "[]", "the body must be {" },
		{ "[\"workers=7\"]", "the body must be {" },
		{ "", "the body is no JSON" },
		{ "{\"workers\": 7", "the body is no JSON" },
		{ "{\"workers\": 7, \"workers\": 8}", "the body is no JSON: duplicate" },
		{ "{\"workers\": 7.5}", "workers: a key has no" },
		{ "{\"ok\": 1, \"workers\": null}", "workers: a key has no" },
		{ "{\"workers\": [7]}", "workers: a key has no" },
	};
	static char large[4 * 1024 + 64];

	begin();
	struct wire w = wire_open();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		wire_post(&w, SET, ONE, cases[i].body);
		expect_heard(&w, 400, cases[i].words);
	}
	memset(large, ' ', sizeof(large) - 1);
	wire_post(&w, SET, ONE, large);
	expect_heard(&w, 413, "at most 4 KiB");
	wire_close(&w);
	end();
}

/* Who is still owed an answer gets it, though the serving has ended meanwhile. */
static void *answer_late(void *arg)
{
	answer(arg, 503, CONTROL_ORDER_TOO_LATE);
	return NULL;
}

static void test_the_end_waits_for_the_owner_s_answer(void)
{
	pthread_t thread;

	begin();
	struct wire w = wire_open();
	wire_post(&w, SET, ONE, "{\"workers\": 7}");
	struct control_order *order = take_order();
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, answer_late, order), 0);
	stage.control = control_free(stage.control);
	CU_ASSERT_EQUAL(pthread_join(thread, NULL), 0);
	expect_heard(&w, 503, "the daemon is stopping; its settings");
	wire_close(&w);
	end();
}

static void test_without_an_owner_nothing_is_set(void)
{
	stage_init(&stage, NULL, 0, (struct control_options) { 0 });
	struct wire w = wire_open();
	wire_post(&w, SET, ONE, "{\"workers\": 7}");
	expect_heard(&w, 501, "settings cannot be changed here");
	wire_close(&w);
	end();
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "settings are handed over, and the answer comes back",
		  test_settings_are_handed_over_and_the_answer_comes_back },
		{ "a reload takes no settings", test_a_reload_takes_no_settings },
		{ "bodies that set nothing are refused", test_bodies_that_set_nothing_are_refused },
		{ "the end waits for the owner's answer", test_the_end_waits_for_the_owner_s_answer },
		{ "without an owner nothing is set", test_without_an_owner_nothing_is_set },
		CU_TEST_INFO_NULL,
	};
	if (!mock_init() || mutex_init(&owner.lock) < 0 || cond_init(&owner.changed) < 0)
		return EXIT_FAILURE;
	return run_in_directory("control_orders", tests);
}
