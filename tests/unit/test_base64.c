/* SPDX-License-Identifier: Apache-2.0 */
/* base64.h: each run of bytes has one text, and nothing else is taken. */
#include "base/base64.h"

#include "base/random.h"
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void test_texts_of_rfc_4648(void)
{
	static const char *const cases[][2] = {
		{ "", "" },         { "f", "Zg==" },         { "fo", "Zm8=" },
		{ "foo", "Zm9v" },  { "foob", "Zm9vYg==" },  { "fooba", "Zm9vYmE=" },
		{ "foobar", "Zm9vYmFy" }, { "\xfb\xff", "+/8=" },
	};
	struct buf b = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		buf_clear(&b);
		buf_add_str(&b, ">");
		base64_add(&b, cases[i][0], strlen(cases[i][0]));
		CU_ASSERT_EQUAL(b.len, 1 + strlen(cases[i][1]));
		CU_ASSERT_EQUAL(memcmp(b.data + 1, cases[i][1], b.len - 1), 0);

		buf_clear(&b);
		buf_add_str(&b, ">");
		CU_ASSERT_EQUAL(base64_decode(cases[i][1], strlen(cases[i][1]), &b), 0);
		CU_ASSERT_EQUAL(b.len, 1 + strlen(cases[i][0]));
		CU_ASSERT_EQUAL(memcmp(b.data + 1, cases[i][0], b.len - 1), 0);
	}
	buf_done(&b);
}

static void test_anything_else_is_refused(void)
{
	static const char *const cases[] = {
		"Z", "Zg", "Zg=", "Zg===", "=", "==", "===", "====", "Z===", "Zg=a", "Zg==Zg==",
		"Zm9=", "Zh==", "Zm9vZh==", " Zg==", "Zg== ", "Zg==\n", "Zm9v\r\n", "Zm\n9v", "Zm-_", "Zm9-",
		"-m9v", "Zm9\xc3", "\n\n\n\n", "Zm9v----",
	};
	struct buf b = { 0 };

	buf_add_str(&b, "kept");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int r = base64_decode(cases[i], strlen(cases[i]), &b);
		if (r != -EINVAL)
			(void) printf("\n\"%s\" was taken\n", cases[i]);
		CU_ASSERT_EQUAL(r, -EINVAL);
		CU_ASSERT_TRUE(b.len == 4 && memcmp(b.data, "kept", 4) == 0);
	}
	CU_ASSERT_EQUAL(base64_decode("Zg\0=", 4, &b), -EINVAL);
	buf_done(&b);
}

/* Also beyond what goes through libcrypto at a time. */
static void test_bytes_come_back(void)
{
	static const size_t sizes[] = { 1, 2, 3, 1000, 786431, 786432, 786433, 2000000 };
	struct random random = { .state = 1 };
	struct buf text = { 0 }, again = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		char *data = malloc(sizes[i]);
		CU_ASSERT_PTR_NOT_NULL_FATAL(data);
		for (size_t j = 0; j < sizes[i]; j++)
			data[j] = (char) random_up_to(&random, 255);
		buf_clear(&text);
		buf_clear(&again);
		base64_add(&text, data, sizes[i]);
		CU_ASSERT_EQUAL(text.len, (sizes[i] + 2) / 3 * 4);
		CU_ASSERT_EQUAL(base64_decode(text.data, text.len, &again), 0);
		CU_ASSERT_EQUAL(again.len, sizes[i]);
		CU_ASSERT_EQUAL(memcmp(again.data, data, sizes[i]), 0);
		free(data);
	}
	buf_done(&text);
	buf_done(&again);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "texts of RFC 4648", test_texts_of_rfc_4648 },
		{ "anything else is refused", test_anything_else_is_refused },
		{ "bytes come back, many of them as well", test_bytes_come_back },
		CU_TEST_INFO_NULL,
	};

	return unit_run("base64", tests);
}
