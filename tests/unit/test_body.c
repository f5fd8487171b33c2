/* SPDX-License-Identifier: Apache-2.0 */
/* body.h and bodies.h: bodies that go into records, and the memory that they share. */
#include "sink/body.h"

#include "base/random.h"
#include "base/thread.h"
#include "body_stage.h"

#include <pthread.h>
#include <sched.h>

#define EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define ABC_SHA256   "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

/* --- what records say -------------------------------------------------------------- */

static const char *text_of(const json_t *record, const char *member)
{
	return json_string_value(json_object_get(record, member));
}

/* Keeps a body; it must be said by this member, with this text and so many bytes. */
static void expect(struct stage *s, const char *data, size_t n, const char *member,
                   const char *text, uint64_t bytes)
{
	CU_ASSERT_EQUAL(keep(s->body, data, n), 0);
	json_t *record = say(s->body);
	CU_ASSERT_EQUAL(json_object_size(record), 4);
	const char *said = text_of(record, member);
	CU_ASSERT_PTR_NOT_NULL_FATAL(said);
	CU_ASSERT_STRING_EQUAL(said, text);
	CU_ASSERT_EQUAL((uint64_t) json_integer_value(json_object_get(record, "bytes")), bytes);
	CU_ASSERT_EQUAL(json_is_true(json_object_get(record, "truncated")), n > 16);
	CU_ASSERT_EQUAL(strlen(text_of(record, "sha256")), 64);
	json_decref(record);
	body_drop(s->body);
	CU_ASSERT_EQUAL(stats_of(s).memory_bytes, 0);
}

static void test_text_is_text_and_other_bytes_are_base64(void)
{
	struct stage s;

	stage_init(&s, BODIES_INLINE);
	stage_open(&s);
	expect(&s, "", 0, "text", "", 0);
	expect(&s, "abc", 3, "text", "abc", 3);
	expect(&s, "\"a\"\n{}\\\t", 8, "text", "\"a\"\n{}\\\t", 8);
	expect(&s, "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 9, "text",
	       "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 9);
	expect(&s, "\xff\xfe", 2, "base64", "//4=", 2);
	expect(&s, "ab\xc3", 3, "base64", "YWLD", 3); /* whole, so it is not cut off */
	expect(&s, "\1\2\3", 3, "base64", "AQID", 3);
	expect(&s, "a\1bcdefgh", 9, "text", "a\1bcdefgh", 9);
	stage_done(&s);
}

static void test_what_is_too_long_is_cut_off(void)
{
	struct stage s;

	stage_init(&s, BODIES_INLINE);
	stage_open(&s);
	expect(&s, "0123456789abcdef", 16, "text", "0123456789abcdef", 16);
	expect(&s, "0123456789abcdefg", 17, "text", "0123456789abcdef", 16);
	expect(&s, "0123456789abcde\xc3\xa4", 17, "text", "0123456789abcde", 15);
	expect(&s, "0123456789abc\xf0\x9f\x98\x80", 17, "text", "0123456789abc", 13);
	expect(&s, "0123456789ab\xf0\x9f\x98\x80!", 17, "text", "0123456789ab\xf0\x9f\x98\x80", 16);
	expect(&s, "\xff""123456789abcde\xc3\xa4", 17, "base64", "/zEyMzQ1Njc4OWFiY2Rlww==", 16);
	stage_done(&s);
}

static void test_pieces_make_no_difference(void)
{
	static const char data[] = "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80 end";
	struct stage s;

	stage_init(&s, BODIES_INLINE);
	stage_open(&s);
	for (size_t piece = 1; piece < sizeof(data); piece++) {
		CU_ASSERT_EQUAL(take(s.body, data, sizeof(data) - 1, piece), 0);
		CU_ASSERT_EQUAL(body_finish(s.body, false), 0);
		json_t *record = say(s.body);
		CU_ASSERT_STRING_EQUAL(text_of(record, "text"), data);
		json_decref(record);
	}
	stage_done(&s);
}

static void test_the_hash_is_of_what_was_kept(void)
{
	struct stage s;

	stage_init(&s, BODIES_INLINE);
	s.options.max_inline = 3;
	stage_open(&s);
	static const char *const bodies[] = { "abc", "abcd", "" };
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		CU_ASSERT_EQUAL(keep(s.body, bodies[i], strlen(bodies[i])), 0);
		json_t *record = say(s.body);
		CU_ASSERT_STRING_EQUAL(text_of(record, "sha256"), i < 2 ? ABC_SHA256 : EMPTY_SHA256);
		json_decref(record);
	}
	body_drop(s.body);

	/* One that was never begun is empty, and the fetch may have cut a body off as well. */
	CU_ASSERT_EQUAL(body_finish(s.body, false), 0);
	json_t *record = say(s.body);
	CU_ASSERT_STRING_EQUAL(text_of(record, "sha256"), EMPTY_SHA256);
	json_decref(record);
	CU_ASSERT_EQUAL(take(s.body, "ab", 2, 2), 0);
	CU_ASSERT_EQUAL(body_finish(s.body, true), 0);
	record = say(s.body);
	CU_ASSERT_TRUE(json_is_true(json_object_get(record, "truncated")));
	json_decref(record);
	CU_ASSERT_EQUAL(stats_of(&s).kept, 5);
	CU_ASSERT_EQUAL(stats_of(&s).kept_bytes, 8);
	stage_done(&s);
}

/* --- memory ------------------------------------------------------------------------ */

static void test_only_what_is_announced_is_drawn(void)
{
	struct stage s;

	stage_init(&s, BODIES_INLINE);
	stage_open(&s);
	CU_ASSERT_EQUAL(body_begin(s.body, 5, 0), 0);
	CU_ASSERT_EQUAL(stats_of(&s).memory_bytes, 5);
	CU_ASSERT_EQUAL(body_begin(s.body, 1000, 0), 0); /* in place of the other */
	CU_ASSERT_EQUAL(stats_of(&s).memory_bytes, 16);
	CU_ASSERT_EQUAL(body_begin(s.body, UINT64_MAX, 0), 0);
	CU_ASSERT_EQUAL(stats_of(&s).memory_bytes, 16);
	body_drop(s.body);
	body_drop(s.body);
	CU_ASSERT_EQUAL(stats_of(&s).memory_bytes, 0);
	stage_done(&s);
}

static void test_a_wait_ends_with_its_deadline(void)
{
	struct body *others[4];
	struct stage s;

	stage_init(&s, BODIES_INLINE);
	stage_open(&s);
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		CU_ASSERT_EQUAL_FATAL(body_create(s.store, &others[i]), 0);
		CU_ASSERT_EQUAL(body_begin(others[i], UINT64_MAX, 0), 0);
	}
	CU_ASSERT_EQUAL(body_begin(s.body, 1, 0), -ETIMEDOUT);
	CU_ASSERT_EQUAL(body_begin(s.body, 1, clock_now_ns() + 20 * NS_PER_MS), -ETIMEDOUT);
	CU_ASSERT_TRUE(stats_of(&s).waited_ns >= 20 * NS_PER_MS);
	CU_ASSERT_EQUAL(stats_of(&s).memory_bytes, 64);
	body_drop(others[2]);
	CU_ASSERT_EQUAL(body_begin(s.body, UINT64_MAX, 0), 0);
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		others[i] = body_free(others[i]);
	stage_done(&s);
}

static void *begin_for_ever(void *arg)
{
	struct stage *s = arg;
	struct body *body = NULL;
	int r = body_create(s->store, &body);

	if (r == 0)
		r = body_begin(body, UINT64_MAX, NEVER);
	body_free(body);
	return r == -ECANCELED ? s : NULL;
}

static void test_a_cancellation_ends_every_wait(void)
{
	pthread_t threads[3];
	void *result = NULL;
	struct stage s;

	stage_init(&s, BODIES_INLINE);
	s.options.inline_memory = 16;
	stage_open(&s);
	CU_ASSERT_EQUAL(body_begin(s.body, UINT64_MAX, 0), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, begin_for_ever, &s), 0);
	while (stats_of(&s).waiting < ARRAY_LEN(threads))
		(void) sched_yield();
	bodies_cancel(s.store);
	bodies_cancel(s.store);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
		CU_ASSERT_EQUAL(pthread_join(threads[i], &result), 0);
		CU_ASSERT_PTR_EQUAL(result, &s);
	}
	CU_ASSERT_EQUAL(body_begin(s.body, UINT64_MAX, NEVER), -ECANCELED); /* from now on, too */
	stage_done(&s);
}

/* --- many at once ------------------------------------------------------------------ */

enum { THREADS = 8, ROUNDS = 2000 };

struct taker {
	struct stage *stage;
	pthread_t thread;
	uint64_t seed;
	unsigned kept;
	bool exceeded;
};

static void *take_many(void *arg)
{
	struct taker *t = arg;
	struct random random = { .state = t->seed };
	struct body *body = NULL;

	if (body_create(t->stage->store, &body) < 0)
		return NULL;
	for (int i = 0; i < ROUNDS; i++) {
		uint64_t n = random_up_to(&random, 30);
		int r = body_begin(body, random_up_to(&random, 1) ? n : UINT64_MAX, NEVER);
		t->exceeded = t->exceeded || stats_of(t->stage).memory_bytes > 24;
		if (r == 0 && n > 0)
			r = body_take(body, "012345678901234567890123456789", n);
		if (r == 0 && random_up_to(&random, 9) > 0)
			r = body_finish(body, false);
		t->kept += r == 0;
		if (random_up_to(&random, 3) == 0)
			(void) sched_yield();
		body_drop(body);
	}
	body_free(body);
	return NULL;
}

/* A budget for one and a half of them: nearly all wait, none for ever. */
static void test_many_share_a_small_budget(void)
{
	struct taker takers[THREADS];
	struct stage s;

	stage_init(&s, BODIES_INLINE);
	s.options.inline_memory = 24;
	stage_open(&s);
	for (size_t i = 0; i < THREADS; i++) {
		takers[i] = (struct taker) { .stage = &s, .seed = i + 1 };
		CU_ASSERT_EQUAL_FATAL(pthread_create(&takers[i].thread, NULL, take_many, &takers[i]), 0);
	}
	for (size_t i = 0; i < THREADS; i++) {
		CU_ASSERT_EQUAL(pthread_join(takers[i].thread, NULL), 0);
		CU_ASSERT_EQUAL(takers[i].kept, ROUNDS);
		CU_ASSERT_FALSE(takers[i].exceeded);
	}
	CU_ASSERT_EQUAL(stats_of(&s).memory_bytes, 0);
	CU_ASSERT_EQUAL(stats_of(&s).waiting, 0);
	stage_done(&s);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "text is text, and other bytes are base64",
		  test_text_is_text_and_other_bytes_are_base64 },
		{ "what is too long is cut off", test_what_is_too_long_is_cut_off },
		{ "pieces make no difference", test_pieces_make_no_difference },
		{ "the hash is of what was kept", test_the_hash_is_of_what_was_kept },
		{ "only what is announced is drawn", test_only_what_is_announced_is_drawn },
		{ "a wait ends with its deadline", test_a_wait_ends_with_its_deadline },
		{ "a cancellation ends every wait", test_a_cancellation_ends_every_wait },
		{ "many share a small budget", test_many_share_a_small_budget },
		CU_TEST_INFO_NULL,
	};
	return unit_run("body", tests);
}
