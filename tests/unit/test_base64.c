/* SPDX-License-Identifier: Apache-2.0 */
/* base64.h: the vectors of RFC 4648, section 10, and what is longer than a piece. */
#include "base/base64.h"

#include "unit.h"

#include <string.h>

static void expect(const char *data, size_t n, const char *text)
{
	struct buf b = { 0 };

	base64_add(&b, data, n);
	CU_ASSERT_FALSE(b.failed);
	CU_ASSERT_EQUAL_FATAL(b.len, strlen(text));
	CU_ASSERT_TRUE(b.len == 0 || memcmp(b.data, text, b.len) == 0);
	buf_done(&b);
}

static void test_the_vectors_of_the_rfc_hold(void)
{
	expect("", 0, "");
	expect("f", 1, "Zg==");
	expect("fo", 2, "Zm8=");
	expect("foo", 3, "Zm9v");
	expect("foob", 4, "Zm9vYg==");
	expect("fooba", 5, "Zm9vYmE=");
	expect("foobar", 6, "Zm9vYmFy");
	expect("\xff\xef\xbe\x00", 4, "/+++AA==");
}

static void test_what_is_long_has_its_padding_at_the_end_only(void)
{
	const size_t n = 7 << 20; /* one more than can be divided by 3 */
	char *zeros = calloc(n, 1);
	struct buf b = { 0 };

	CU_ASSERT_PTR_NOT_NULL_FATAL(zeros);
	buf_add_str(&b, "x");
	base64_add(&b, zeros, n);
	CU_ASSERT_EQUAL_FATAL(b.len, 1 + (n + 2) / 3 * 4);
	CU_ASSERT_TRUE(strspn(b.data + 1, "A") == b.len - 3);
	CU_ASSERT_TRUE(memcmp(b.data + b.len - 2, "==", 2) == 0);
	buf_done(&b);
	free(zeros);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "the vectors of the RFC hold", test_the_vectors_of_the_rfc_hold },
		{ "what is long has its padding at the end only",
		  test_what_is_long_has_its_padding_at_the_end_only },
		CU_TEST_INFO_NULL,
	};
	return unit_run("base64", tests);
}
