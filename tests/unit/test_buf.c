/* SPDX-License-Identifier: Apache-2.0 */
/* buf.h: appending, and JSON strings that jansson reads back. */
#include "base/buf.h"

#include "seed.h"
#include "unit.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define REPLACEMENT "\xef\xbf\xbd"

static bool holds(const struct buf *b, const char *text)
{
	return !b->failed && b->len == strlen(text) && memcmp(b->data, text, b->len) == 0;
}

/* --- appending ------------------------------------------------------------------------ */

static void test_letters_become_lower_case(void)
{
	struct buf b = { 0 };

	buf_add_str(&b, "A");
	buf_add_lower(&b, "@AZ[`az{ \xc3\x84-9");
	CU_ASSERT_EQUAL(b.len, 14);
	CU_ASSERT_EQUAL(memcmp(b.data, "A@az[`az{ \xc3\x84-9", b.len), 0);
	buf_done(&b);
}

static void test_what_is_appended_stands_there_in_order(void)
{
	struct random r = seeded();
	char expected[5000];
	size_t len = 0;
	struct buf b = { 0 };

	while (len < sizeof(expected)) {
		size_t n = below(&r, 300);
		n = n < sizeof(expected) - len ? n : sizeof(expected) - len;
		for (size_t i = 0; i < n; i++)
			expected[len + i] = (char) random_up_to(&r, 255);
		buf_add(&b, expected + len, n);
		len += n;
		CU_ASSERT_EQUAL_FATAL(b.len, len);
	}
	CU_ASSERT_FALSE(b.failed);
	CU_ASSERT_EQUAL(memcmp(b.data, expected, len), 0);
	buf_done(&b);
}

static void test_nothing_appended_allocates_nothing(void)
{
	struct buf b = { 0 };

	buf_add(&b, "", 0);
	buf_add_str(&b, "");
	CU_ASSERT_PTR_NULL(b.data);
	CU_ASSERT_EQUAL(b.len, 0);
	buf_done(&b);
}

static void test_texts_characters_and_formats_are_appended(void)
{
	struct buf b = { 0 };

	buf_add_str(&b, "a");
	buf_add_char(&b, '\n');
	buf_printf(&b, "%s-%03d", "x", 7);
	buf_printf(&b, "%s", "");
	buf_printf(&b, "%*d", 600, 5); /* longer than the first allocation */
	CU_ASSERT_EQUAL_FATAL(b.len, 2 + 5 + 600);
	CU_ASSERT_EQUAL(memcmp(b.data, "a\nx-007   ", 10), 0);
	CU_ASSERT_EQUAL(b.data[b.len - 1], '5');
	buf_done(&b);
}

static void test_clearing_keeps_the_memory_and_done_gives_it_back(void)
{
	struct buf b = { 0 };

	buf_add_str(&b, "text");
	const char *data = b.data;
	size_t size = b.size;
	buf_clear(&b);
	CU_ASSERT_EQUAL(b.len, 0);
	CU_ASSERT_PTR_EQUAL(b.data, data);
	CU_ASSERT_EQUAL(b.size, size);
	buf_done(&b);
	CU_ASSERT_PTR_NULL(b.data);
	CU_ASSERT_EQUAL(b.size, 0);
	buf_done(&b);
}

static void test_reserved_room_needs_no_further_allocation(void)
{
	struct buf b = { 0 };

	CU_ASSERT_EQUAL(buf_reserve(&b, 10000), 0);
	const char *data = b.data;
	CU_ASSERT_TRUE(b.size >= 10000);
	for (int i = 0; i < 10000; i++)
		buf_add_char(&b, 'x');
	CU_ASSERT_PTR_EQUAL(b.data, data);
	CU_ASSERT_EQUAL(buf_reserve(&b, 0), 0);
	buf_done(&b);
}

static void test_a_failed_buffer_stays_failed_until_it_is_cleared(void)
{
	struct buf b = { 0 };

	buf_add_str(&b, "before");
	CU_ASSERT_EQUAL(buf_reserve(&b, SIZE_MAX), -ENOMEM);
	CU_ASSERT_TRUE(b.failed);
	CU_ASSERT_EQUAL(buf_reserve(&b, 1), -ENOMEM);
	buf_add_str(&b, "after");
	buf_add_u64(&b, 1);
	buf_add_seconds(&b, 1);
	buf_printf(&b, "%d", 1);
	buf_add_json_str(&b, "after");
	CU_ASSERT_TRUE(b.failed);
	CU_ASSERT_EQUAL(b.len, strlen("before"));

	buf_clear(&b);
	CU_ASSERT_FALSE(b.failed);
	buf_add_str(&b, "again");
	CU_ASSERT_TRUE(holds(&b, "again"));
	CU_ASSERT_EQUAL(buf_reserve(&b, SIZE_MAX), -ENOMEM);
	buf_done(&b);
	CU_ASSERT_FALSE(b.failed);
}

/* --- numbers -------------------------------------------------------------------------- */

static void expect_u64(uint64_t value)
{
	char text[32];
	struct buf b = { 0 };

	(void) snprintf(text, sizeof(text), "%" PRIu64, value);
	buf_add_u64(&b, value);
	CU_ASSERT_TRUE(holds(&b, text));
	buf_done(&b);
}

static void expect_i64(int64_t value)
{
	char text[32];
	struct buf b = { 0 };

	(void) snprintf(text, sizeof(text), "%" PRId64, value);
	buf_add_i64(&b, value);
	CU_ASSERT_TRUE(holds(&b, text));
	buf_done(&b);
}

static void test_integers_are_written_like_printf_does(void)
{
	static const uint64_t edges[] = { 0,   1,         9,         10,         99,
		                          100, INT32_MAX, INT64_MAX, UINT32_MAX, UINT64_MAX };
	struct random r = seeded();

	for (size_t i = 0; i < ARRAY_LEN(edges); i++)
		expect_u64(edges[i]);
	for (uint64_t power = 1; power <= UINT64_MAX / 10; power *= 10) {
		expect_u64(power - 1);
		expect_u64(power * 10);
		expect_i64(-(int64_t) power);
	}
	expect_i64(INT64_MIN);
	expect_i64(INT64_MIN + 1);
	expect_i64(INT64_MAX);
	expect_i64(-1);
	expect_i64(0);
	for (int i = 0; i < 2000 / UNIT_STRIDE; i++) {
		uint64_t value = random_up_to(&r, UINT64_MAX) >> below(&r, 64);
		expect_u64(value);
		expect_i64((int64_t) value);
		expect_i64((int64_t) (0 - value));
	}
}

static void test_seconds_always_have_six_decimals(void)
{
	static const struct {
		uint64_t us;
		const char *text;
	} cases[] = {
		{ 0, "0.000000" },
		{ 1, "0.000001" },
		{ 999999, "0.999999" },
		{ 1000000, "1.000000" },
		{ 1234567, "1.234567" },
		{ 100500, "0.100500" },
		{ UINT64_MAX, "18446744073709.551615" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf b = { 0 };
		buf_add_seconds(&b, cases[i].us);
		CU_ASSERT_TRUE(holds(&b, cases[i].text));
		buf_done(&b);
	}
}

/* --- JSON strings --------------------------------------------------------------------- */

static void test_a_null_pointer_is_null(void)
{
	struct buf b = { 0 };

	buf_add_json_str(&b, NULL);
	buf_add_json_str(&b, "");
	buf_add_json(&b, "", 0);
	buf_add_json_str(&b, "a");
	CU_ASSERT_TRUE(holds(&b, "null\"\"\"\"\"a\""));
	buf_done(&b);
}

static void test_every_ascii_character_is_escaped_as_rfc_8259_says(void)
{
	static const char *const shorts[128] = {
		['"'] = "\\\"", ['\\'] = "\\\\", ['\b'] = "\\b", ['\f'] = "\\f",
		['\n'] = "\\n", ['\r'] = "\\r",  ['\t'] = "\\t",
	};

	for (unsigned c = 0; c < 128; c++) {
		char text[16];
		struct buf b = { 0 };

		if (shorts[c])
			(void) snprintf(text, sizeof(text), "\"%s\"", shorts[c]);
		else if (c < 0x20)
			(void) snprintf(text, sizeof(text), "\"\\u%04x\"", c);
		else
			(void) snprintf(text, sizeof(text), "\"%c\"", (int) c);
		buf_add_json(&b, &(char) { (char) c }, 1);
		CU_ASSERT_TRUE(holds(&b, text));
		buf_done(&b);
	}
}

static void test_bytes_that_are_no_utf8_are_replaced_one_by_one(void)
{
	static const struct {
		const char *bytes;
		const char *text;
	} cases[] = {
		{ "a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80",
		  "a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80" },
		{ "\x80", REPLACEMENT },
		{ "\xff"
		  "a",
		  REPLACEMENT "a" },
		{ "\xc3", REPLACEMENT }, /* cut short */
		{ "\xe2\x82", REPLACEMENT REPLACEMENT },
		{ "\xf0\x9f\x98", REPLACEMENT REPLACEMENT REPLACEMENT },
		{ "\xc3\"", REPLACEMENT "\\\"" }, /* the next still counts */
		{ "\xe2\x82\xc3\xa4", REPLACEMENT REPLACEMENT "\xc3\xa4" },
		{ "\xc0\x80", REPLACEMENT REPLACEMENT }, /* overlong */
		{ "\xc1\xbf", REPLACEMENT REPLACEMENT },
		{ "\xe0\x9f\xbf", REPLACEMENT REPLACEMENT REPLACEMENT },
		{ "\xf0\x8f\xbf\xbf", REPLACEMENT REPLACEMENT REPLACEMENT REPLACEMENT },
		{ "\xed\xa0\x80", REPLACEMENT REPLACEMENT REPLACEMENT }, /* a surrogate */
		{ "\xed\x9f\xbf\xee\x80\x80", "\xed\x9f\xbf\xee\x80\x80" },
		{ "\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf" },
		{ "\xf4\x90\x80\x80", REPLACEMENT REPLACEMENT REPLACEMENT REPLACEMENT },
		{ "\xf5\x80\x80\x80", REPLACEMENT REPLACEMENT REPLACEMENT REPLACEMENT },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char expected[64];
		struct buf b = { 0 };

		(void) snprintf(expected, sizeof(expected), "\"%s\"", cases[i].text);
		buf_add_json_str(&b, cases[i].bytes);
		CU_ASSERT_TRUE(holds(&b, expected));
		buf_done(&b);
	}
}

/* Appends a code point in UTF-8, also one that must not be. */
static void add_utf8(struct buf *b, uint32_t c)
{
	if (c >= 0x10000) {
		buf_add_char(b, (char) (0xf0 | (c >> 18)));
		buf_add_char(b, (char) (0x80 | ((c >> 12) & 0x3f)));
	} else if (c >= 0x800) {
		buf_add_char(b, (char) (0xe0 | (c >> 12)));
	}
	if (c >= 0x800)
		buf_add_char(b, (char) (0x80 | ((c >> 6) & 0x3f)));
	else if (c >= 0x80)
		buf_add_char(b, (char) (0xc0 | (c >> 6)));
	buf_add_char(b, (char) (c < 0x80 ? c : 0x80 | (c & 0x3f)));
}

/* The code point that 'n' bytes encode by the bit pattern of RFC 3629, or -1. */
static int64_t decode(const unsigned char *p, size_t n)
{
	static const unsigned lead[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
	static const int64_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	int64_t c = 0;

	if (n == 1)
		return p[0] < 0x80 ? p[0] : -1;
	if ((p[0] & (0xff00U >> (n + 1) & 0xff)) != lead[n])
		return -1;
	c = p[0] & (0x7f >> n);
	for (size_t i = 1; i < n; i++) {
		if (p[i] >> 6 != 2)
			return -1;
		c = c << 6 | (p[i] & 0x3f);
	}
	return c < least[n] || c > 0x10ffff || c >> 11 == 0x1b ? -1 : c;
}

/* What a reader of the JSON string has to see. */
static void add_repaired(struct buf *b, const struct buf *raw)
{
	const unsigned char *p = (const unsigned char *) raw->data;

	for (size_t i = 0; i < raw->len;) {
		size_t n = 1;
		while (n <= 4 && (i + n > raw->len || decode(p + i, n) < 0))
			n++;
		if (n <= 4)
			buf_add(b, p + i, n);
		else
			buf_add_str(b, REPLACEMENT);
		i += n <= 4 ? n : 1;
	}
}

static void expect_round_trip(const struct buf *raw)
{
	struct buf text = { 0 }, repaired = { 0 };

	buf_add_json(&text, raw->data, raw->len);
	add_repaired(&repaired, raw);
	json_t *json = json_loadb(text.data, text.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	CU_ASSERT_TRUE_FATAL(json_is_string(json));
	CU_ASSERT_EQUAL_FATAL(json_string_length(json), repaired.len);
	if (repaired.len > 0)
		CU_ASSERT_EQUAL(memcmp(json_string_value(json), repaired.data, repaired.len), 0);
	json_decref(json);
	buf_done(&text);
	buf_done(&repaired);
}

static void test_every_byte_is_seen_wherever_it_stands(void)
{
	char bytes[25];
	struct buf raw = { .data = bytes, .len = sizeof(bytes) };

	for (unsigned c = 0; c < 256; c++) {
		for (size_t at = 0; at < sizeof(bytes); at++) {
			memset(bytes, 'x', sizeof(bytes));
			bytes[at] = (char) c;
			expect_round_trip(&raw);
		}
	}
}

static void test_jansson_reads_every_code_point_back(void)
{
	struct buf raw = { 0 };

	for (uint32_t c = 0; c <= 0x10ffff; c++) {
		if (c < 0xd800 || c > 0xdfff)
			add_utf8(&raw, c);
		if (c % 0x4000 == 0x3fff) {
			expect_round_trip(&raw);
			buf_clear(&raw);
		}
	}
	expect_round_trip(&raw);
	buf_done(&raw);
}

static void test_jansson_reads_random_bytes_back(void)
{
	struct random r = seeded();
	struct buf raw = { 0 };

	for (int i = 0; i < 20000 / UNIT_STRIDE; i++) {
		size_t pieces = below(&r, 24);
		buf_clear(&raw);
		for (size_t n = 0; n < pieces; n++) {
			switch (below(&r, 5)) {
			case 0:
				buf_add_char(&raw, (char) random_up_to(&r, 255));
				break;
			case 1: /* well-formed, if it is no surrogate or too large */
				add_utf8(&raw,
				         (uint32_t) random_up_to(&r, 0x1fffff) >> below(&r, 15));
				break;
			case 2: /* cut short */
				add_utf8(&raw, (uint32_t) random_up_to(&r, 0x10ffff));
				raw.len--;
				break;
			case 3:
				buf_add_char(&raw, "\"\\/\b\f\n\r\t\x7f"[below(&r, 10)]);
				break;
			default:
				buf_add_str(&raw, "plain");
				break;
			}
		}
		expect_round_trip(&raw);
	}
	buf_done(&raw);
}

static void test_what_is_measured_is_what_is_appended(void)
{
	char all[128 + 9];
	struct buf b = { 0 };
	size_t len = 0;

	for (int i = 0; i < 128; i++)
		all[i] = (char) i;
	memcpy(all + 128, "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 9);
	for (size_t n = 0; n <= sizeof(all); n++) {
		bool whole = n != 129 && n != 131 && n != 132 && (n < 134 || n == sizeof(all));
		CU_ASSERT_EQUAL(buf_measure_json(all, n, &len), whole);
		buf_clear(&b);
		buf_add_json(&b, all, n);
		if (whole)
			CU_ASSERT_EQUAL(len, b.len);
	}
	buf_done(&b);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "letters become lower case", test_letters_become_lower_case },
		{ "what is appended stands there in order",
		  test_what_is_appended_stands_there_in_order },
		{ "nothing appended allocates nothing", test_nothing_appended_allocates_nothing },
		{ "texts, characters and formats are appended",
		  test_texts_characters_and_formats_are_appended },
		{ "clearing keeps the memory, and done gives it back",
		  test_clearing_keeps_the_memory_and_done_gives_it_back },
		{ "reserved room needs no further allocation",
		  test_reserved_room_needs_no_further_allocation },
		{ "a failed buffer stays failed until it is cleared",
		  test_a_failed_buffer_stays_failed_until_it_is_cleared },
		{ "integers are written like printf does",
		  test_integers_are_written_like_printf_does },
		{ "seconds always have six decimals", test_seconds_always_have_six_decimals },
		{ "a null pointer is null", test_a_null_pointer_is_null },
		{ "every ASCII character is escaped as RFC 8259 says",
		  test_every_ascii_character_is_escaped_as_rfc_8259_says },
		{ "bytes that are no UTF-8 are replaced one by one",
		  test_bytes_that_are_no_utf8_are_replaced_one_by_one },
		{ "every byte is seen wherever it stands", test_every_byte_is_seen_wherever_it_stands },
		{ "jansson reads every code point back", test_jansson_reads_every_code_point_back },
		{ "jansson reads random bytes back", test_jansson_reads_random_bytes_back },
		{ "what is measured is what is appended", test_what_is_measured_is_what_is_appended },
		CU_TEST_INFO_NULL,
	};
	return unit_run("buf", tests);
}
