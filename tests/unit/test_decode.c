/* SPDX-License-Identifier: Apache-2.0 */
/* decode.h: what was encoded comes out whole, in any pieces; what is broken is noticed, and a
 * bomb goes no further than its taker lets it. */
#include "fetch/decode.h"

#include "seed.h"
#include "unit.h"

#include <CUnit/Basic.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define HELLO "hello, hello, hello, hello"

/* HELLO, by brotli(1) and zstd(1) --no-check. */
#define HELLO_BR                                                                                   \
	"\x1b\x19\x00\xf8\x8d\x94\x6e\xde\x44\x09\x52\x86\x96\x6c\x2c\x6f\x31\x4f\x24\xb0\xe3\x00"
#define HELLO_ZSTD                                                                                 \
	"\x28\xb5\x2f\xfd\x00\x58\x6d\x00\x00\x38\x68\x65\x6c\x6c\x6f\x2c\x20\x01\x00\x4a\x8a\x11"

/* 16 MiB of zeros, by brotli(1) --lgwin=24. */
#define BOMB_BR "\xcf\xff\xff\x7f\xf8\x27\x00\xe2\xb1\x40\x20\xf7\xfe\x7f"

struct sink {
	char data[1024 * 1024];
	size_t len, pieces;
	size_t max; /* returns 1 once it has so many */
};

static struct sink sink;

static int take(void *arg, const char *data, size_t n)
{
	struct sink *s = arg;

	if (n > sizeof(s->data) - s->len)
		n = sizeof(s->data) - s->len;
	memcpy(s->data + s->len, data, n);
	s->len += n;
	s->pieces++;
	return s->max > 0 && s->len >= s->max;
}

/* Encodes with zlib; the window's bits say in which form. */
static size_t deflated(const char *text, size_t n, int window_bits, char *out, size_t size)
{
	z_stream z = { .next_in = (Bytef *) (uintptr_t) text, .avail_in = (unsigned) n };

	CU_ASSERT_EQUAL_FATAL(deflateInit2(&z, 9, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_out = (Bytef *) out;
	z.avail_out = (unsigned) size;
	CU_ASSERT_EQUAL_FATAL(deflate(&z, Z_FINISH), Z_STREAM_END);
	(void) deflateEnd(&z);
	return z.total_out;
}

/* Feeds all in pieces of 'step'; stores whether it is whole then. */
static int decode_in_steps(const char *coding, const char *data, size_t n, size_t step,
                           bool *ret_whole)
{
	struct decoder *d = NULL;
	int r = 0;

	sink.len = sink.pieces = 0;
	CU_ASSERT_EQUAL_FATAL(decoder_create(coding, strlen(coding), &d), 0);
	for (size_t at = 0; r == 0 && at < n; at += step)
		r = decoder_feed(d, data + at, n - at < step ? n - at : step, take, &sink);
	*ret_whole = decoder_is_whole(d);
	decoder_free(d);
	return r;
}

struct sample {
	const char *coding;
	char data[256];
	size_t n;
};

enum { SAMPLES = 6 };

static void make_samples(struct sample samples[static SAMPLES])
{
	static const struct {
		const char *coding;
		int window_bits;
	} made[] = { { "gzip", 31 }, { "x-gzip", 31 }, { "deflate", 15 }, { "deflate", -15 } };

	for (size_t i = 0; i < ARRAY_LEN(made); i++) {
		samples[i].coding = made[i].coding;
		samples[i].n = deflated(HELLO, strlen(HELLO), made[i].window_bits, samples[i].data,
		                        sizeof(samples[i].data));
	}
	samples[4] = (struct sample) { .coding = "br", .n = sizeof(HELLO_BR) - 1 };
	memcpy(samples[4].data, HELLO_BR, sizeof(HELLO_BR));
	samples[5] = (struct sample) { .coding = "zstd", .n = sizeof(HELLO_ZSTD) - 1 };
	memcpy(samples[5].data, HELLO_ZSTD, sizeof(HELLO_ZSTD));
}

static bool holds_hello(size_t times)
{
	if (sink.len != times * strlen(HELLO))
		return false;
	for (size_t i = 0; i < times; i++)
		if (memcmp(sink.data + i * strlen(HELLO), HELLO, strlen(HELLO)) != 0)
			return false;
	return true;
}

static void test_each_coding_is_undone_in_any_pieces(void)
{
	struct sample samples[SAMPLES];
	bool whole = false;

	make_samples(samples);
	for (size_t i = 0; i < SAMPLES; i++) {
		for (size_t step = 1; step <= samples[i].n; step++) {
			CU_ASSERT_EQUAL(decode_in_steps(samples[i].coding, samples[i].data,
			                                samples[i].n, step, &whole), 0);
			CU_ASSERT_TRUE(whole);
			CU_ASSERT_TRUE(holds_hello(1));
		}
	}
}

static void test_names_of_codings_have_no_case(void)
{
	static const char *const unknown[] = { "", "gzip ", "gzi", "gzipp", "compress", "identity", "*" };
	struct decoder *d = NULL;

	CU_ASSERT_EQUAL(decoder_create("GZip", 4, &d), 0);
	CU_ASSERT_FALSE(decoder_is_whole(d));
	CU_ASSERT_PTR_NULL(decoder_free(d));
	CU_ASSERT_EQUAL(decoder_create("br, x", 2, &d), 0);
	CU_ASSERT_PTR_NULL(decoder_free(d));
	for (size_t i = 0; i < ARRAY_LEN(unknown); i++)
		CU_ASSERT_EQUAL(decoder_create(unknown[i], strlen(unknown[i]), &d), -EOPNOTSUPP);
	CU_ASSERT_PTR_NULL(decoder_free(NULL));
}

static void test_what_is_cut_short_is_not_whole(void)
{
	struct sample samples[SAMPLES];
	bool whole = true;

	make_samples(samples);
	for (size_t i = 0; i < SAMPLES; i++) {
		for (size_t n = 0; n < samples[i].n; n++) {
			CU_ASSERT_EQUAL(decode_in_steps(samples[i].coding, samples[i].data, n, n + 1,
			                                &whole), 0);
			CU_ASSERT_FALSE(whole);
		}
	}
}

static void test_what_follows_the_end(void)
{
	struct sample samples[SAMPLES];
	char twice[512];
	bool whole = false;

	make_samples(samples);
	for (size_t i = 0; i < SAMPLES; i++) {
		const struct sample *s = &samples[i];
		bool repeats = strstr(s->coding, "gzip") || strcmp(s->coding, "zstd") == 0;
		memcpy(twice, s->data, s->n);
		memcpy(twice + s->n, s->data, s->n);
		for (size_t step = 1; step <= 2 * s->n; step++) {
			int r = decode_in_steps(s->coding, twice, 2 * s->n, step, &whole);
			CU_ASSERT_EQUAL(r, repeats ? 0 : -EPROTO);
			CU_ASSERT_EQUAL(holds_hello(2), repeats);
			CU_ASSERT_TRUE(whole || !repeats);
		}
		twice[s->n] = 'x'; /* neither a member nor a frame begins so */
		CU_ASSERT_EQUAL(decode_in_steps(s->coding, twice, 2 * s->n, 2 * s->n, &whole), -EPROTO);
	}
}

/* Whatever comes, it ends; libraries and decoder keep to their memory (under a sanitizer). */
static void test_damage_is_survived(void)
{
	struct sample samples[SAMPLES];
	struct random r = seeded();
	bool whole = false;

	make_samples(samples);
	for (int i = 0; i < 20000 / UNIT_STRIDE; i++) {
		struct sample s = samples[below(&r, SAMPLES)];
		for (uint64_t n = 1 + below(&r, 3); n > 0; n--)
			s.data[below(&r, s.n)] = (char) random_up_to(&r, 255);
		int e = decode_in_steps(s.coding, s.data, s.n, 1 + below(&r, s.n), &whole);
		CU_ASSERT_TRUE(e == 0 || e == -EPROTO || e == -ENOMEM);
	}
	CU_ASSERT_EQUAL(decode_in_steps("gzip", "hello", 5, 5, &whole), -EPROTO);
	CU_ASSERT_EQUAL(decode_in_steps("zstd", "hello", 5, 5, &whole), -EPROTO);
	CU_ASSERT_EQUAL(decode_in_steps("br", "\xff\xff\xff", 3, 3, &whole), -EPROTO);
}

static void test_a_check_sum_must_be_right(void)
{
	struct sample samples[SAMPLES];
	bool whole = false;

	make_samples(samples);
	for (size_t i = 0; i < 3; i++) { /* a bare deflate, and these others, have none */
		samples[i].data[samples[i].n - (i == 2 ? 1 : 5)] ^= 1;
		CU_ASSERT_EQUAL(decode_in_steps(samples[i].coding, samples[i].data, samples[i].n, 7,
		                                &whole), -EPROTO);
	}
}

static void expect_bomb_stops(const char *coding, const char *data, size_t n)
{
	bool whole = true;

	sink.max = 100000;
	CU_ASSERT_EQUAL(decode_in_steps(coding, data, n, n, &whole), 1);
	CU_ASSERT_TRUE(sink.len >= sink.max);
	CU_ASSERT_TRUE(sink.len < sink.max + 64 * 1024);
	CU_ASSERT_FALSE(whole);
	sink.max = 0;
}

static void test_a_bomb_stops_where_its_taker_says(void)
{
	enum { ZEROS = 16 * 1024 * 1024, ROOM = 64 * 1024 };
	char *zeros = calloc(1, ZEROS), *bomb = malloc(ROOM);

	CU_ASSERT_TRUE_FATAL(zeros && bomb);
	expect_bomb_stops("gzip", bomb, deflated(zeros, ZEROS, 31, bomb, ROOM));
	expect_bomb_stops("deflate", bomb, deflated(zeros, ZEROS, 15, bomb, ROOM));
	expect_bomb_stops("br", BOMB_BR, sizeof(BOMB_BR) - 1);

	/* zstd: blocks of 128 KiB that repeat one byte (RFC 8878, section 3.1.1.2.3). */
	static const char head[] = "\x28\xb5\x2f\xfd\x00\x58", block[] = "\x02\x00\x10\x00";
	size_t n = sizeof(head) - 1;
	memcpy(bomb, head, n);
	for (int i = 0; i < 1000; i++, n += sizeof(block) - 1)
		memcpy(bomb + n, block, sizeof(block) - 1);
	expect_bomb_stops("zstd", bomb, n);
	free(zeros);
	free(bomb);
}

/* A window of 128 MiB (RFC 8878, section 3.1.1.1.2), and one of 8 MiB. */
static void test_a_window_can_be_too_large(void)
{
	static const char large[] = "\x28\xb5\x2f\xfd\x00\x88", fits[] = "\x28\xb5\x2f\xfd\x00\x68";
	static const char rest[] = "\x01\x00\x00"; /* an empty last block */
	char frame[16];
	bool whole = false;

	memcpy(frame, large, 6);
	memcpy(frame + 6, rest, 3);
	CU_ASSERT_EQUAL(decode_in_steps("zstd", frame, 9, 9, &whole), -EPROTO);
	memcpy(frame, fits, 6);
	CU_ASSERT_EQUAL(decode_in_steps("zstd", frame, 9, 9, &whole), 0);
	CU_ASSERT_TRUE(whole);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "each coding is undone, in any pieces", test_each_coding_is_undone_in_any_pieces },
		{ "names of codings have no case", test_names_of_codings_have_no_case },
		{ "what is cut short is not whole", test_what_is_cut_short_is_not_whole },
		{ "behind the end there may be more gzip or zstd, and nothing else",
		  test_what_follows_the_end },
		{ "damage is survived", test_damage_is_survived },
		{ "a check sum must be right", test_a_check_sum_must_be_right },
		{ "a bomb stops where its taker says", test_a_bomb_stops_where_its_taker_says },
		{ "a window can be too large", test_a_window_can_be_too_large },
		CU_TEST_INFO_NULL,
	};
	return unit_run("decode", tests);
}
