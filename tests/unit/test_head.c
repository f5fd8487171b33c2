/* SPDX-License-Identifier: Apache-2.0 */
/* head.h: what is wrong with the head of an answer, line by line. */
#include "fetch/head.h"

#include "unit.h"

#include <stdio.h>
#include <string.h>

/* Takes lines up to the end of the text; returns whether all were taken. */
static bool take(struct head *head, const char *text, bool tls)
{
	bool taken = true;

	for (const char *end; taken && *text != '\0'; text = end) {
		end = strchr(text, '\n') + 1;
		taken = head_take(head, text, (size_t) (end - text), tls);
	}
	CU_ASSERT_EQUAL(taken, head->fault == NULL);
	return taken;
}

/* The fault of an answer over plain TCP; "" if it has none. */
static const char *fault(const char *text)
{
	struct head head = { 0 };

	(void) take(&head, text, false);
	return head.fault ? head.fault : "";
}

#define OK "HTTP/1.1 200 OK\r\n"
#define END "\r\n"

static void test_a_head_ends_with_a_blank_line(void)
{
	static const struct {
		const char *text;
		bool complete;
	} cases[] = {
		{ OK, false },
		{ OK "A: b\r\n", false },
		{ OK "A: b\r\n" END, true },
		{ "http/1.0 404 \nA: b\n\n", true },
		{ "HTTP/1.1 100 Continue\r\n" END, false },
		{ "HTTP/1.1 103 Hints\r\nA: b\r\n" END OK, false },
		{ "HTTP/1.1 103 Hints\r\nA: b\r\n" END OK END, true },
		{ OK END "Trailer: a\r\n", true },
		{ "HTTP/1.1\r\n" END, true },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct head head = { 0 };
		CU_ASSERT_TRUE(take(&head, cases[i].text, false));
		CU_ASSERT_EQUAL(head.is_complete, cases[i].complete);
	}
}

static void test_a_length_is_one_number(void)
{
	static const char *const good[] = { "5", "0", "\t 5 ", "5, 5", "5,5 ,\t5", "005",
		                            "18446744073709551615" };
	static const char *const bad[] = { "", " ", "-5", "+5", "0x5", "5.0", "5e0", "5 5", "five",
		                           "5,", ",5", "5;5", "18446744073709551616", "\v5" };
	char text[128];

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		(void) snprintf(text, sizeof(text), OK "Content-Length:%s\r\n" END, good[i]);
		CU_ASSERT_STRING_EQUAL(fault(text), "");
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		(void) snprintf(text, sizeof(text), OK "content-length:%s\r\n" END, bad[i]);
		CU_ASSERT_STRING_EQUAL(fault(text), "Content-Length is no number");
	}
}

static void test_lengths_that_differ(void)
{
	static const char *const bad[] = {
		OK "Content-Length: 5, 6\r\n",
		OK "Content-Length: 5\r\nContent-Length: 6\r\n",
		OK "Content-Length: 0\r\nContent-Length: 5\r\n",
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CU_ASSERT_STRING_EQUAL(fault(bad[i]), "Content-Length has several values");
	CU_ASSERT_STRING_EQUAL(fault(OK "Content-Length: 5\r\nContent-Length: 5\r\n" END), "");
	/* Those of another head, and of trailers, do not count. */
	CU_ASSERT_STRING_EQUAL(fault("HTTP/1.1 103 Hints\r\nContent-Length: 7\r\n" END OK
	                             "Content-Length: 5\r\n" END), "");
	CU_ASSERT_STRING_EQUAL(fault(OK END "Content-Length: five\r\n"), "");
}

static void test_nothing_that_was_not_asked_for(void)
{
	static const char version[] = "a version that was not asked for";
	static const char protocol[] = "another protocol that was not asked for";
	struct head head = { 0 };

	CU_ASSERT_STRING_EQUAL(fault("HTTP/2 200\r\n"), version);
	CU_ASSERT_STRING_EQUAL(fault("HTTP/3 200 OK\r\n"), version);
	CU_ASSERT_STRING_EQUAL(fault("HTTP/11 200 OK\r\n"), version);
	CU_ASSERT_STRING_EQUAL(fault("HTTP/1.1 101 Switching\r\n"), protocol);
	CU_ASSERT_TRUE(take(&head, "HTTP/2 200 \r\nA: b\r\n\r\n", true));
	CU_ASSERT_TRUE(head.is_complete);
}

static void test_heads_have_a_bound(void)
{
	char line[1001];
	struct head head = { 0 };
	size_t n = 0;

	memset(line, 'x', sizeof(line));
	while (head_take(&head, line, 1000, false))
		n++;
	CU_ASSERT_EQUAL(n, HEAD_MAX_BYTES / (1000 + HEAD_LINE_COST));
	CU_ASSERT_STRING_EQUAL(head.fault, "headers of more than 256 KiB");

	/* Many short lines cost memory, too; so do answers before the answer. */
	head = (struct head) { 0 };
	for (n = 0; take(&head, "HTTP/1.1 100 \r\n\r\n", false); n++)
		;
	CU_ASSERT_TRUE(n > 1000 && n < HEAD_MAX_BYTES / 64);
}

static void test_fields_have_a_bound(void)
{
	struct head head = { 0 };
	unsigned n = 0;

	CU_ASSERT_TRUE(take(&head, "HTTP/1.1 103 Hints\r\nA: b\r\n" END OK "A: b\r\n", false));
	for (n = 2; take(&head, n % 2 > 0 ? "A: b\r\n" : " c\r\n", false); n++)
		;
	CU_ASSERT_EQUAL(n, HEAD_MAX_FIELDS);
	CU_ASSERT_STRING_EQUAL(head.fault, "more than 512 lines of headers");
}

/* --- before a line is taken --------------------------------------------------------- */

static bool preview(struct head *head, const char *piece)
{
	bool is_good = head_preview(head, piece, strlen(piece));

	CU_ASSERT_EQUAL(is_good, head->fault == NULL);
	return is_good;
}

static void test_a_first_line_continues_none(void)
{
	static const char *const before[] = {
		OK,
		"HTTP/1.1 100 Continue\r\n" END OK,
		"HTTP/1.1 103 Hints\r\nA: b\r\n" END OK,
	};
	static const char *const continued[] = { " a: b\r\n", "\ta: b\r\n", " ", " \r\n" };

	for (size_t i = 0; i < ARRAY_LEN(before); i++) {
		for (size_t k = 0; k < ARRAY_LEN(continued); k++) {
			struct head head = { 0 };
			CU_ASSERT_TRUE(take(&head, before[i], false));
			CU_ASSERT_FALSE(preview(&head, continued[k]));
			CU_ASSERT_STRING_EQUAL(head.fault, "the first header continues none");
		}
	}
}

static void test_others_may_be_continued_and_come_in_pieces(void)
{
	struct head head = { 0 };

	CU_ASSERT_TRUE(preview(&head, "HTTP/1.1 200"));
	CU_ASSERT_TRUE(preview(&head, " OK\r\n"));
	CU_ASSERT_TRUE(take(&head, OK, false));
	CU_ASSERT_TRUE(preview(&head, "A:"));
	CU_ASSERT_TRUE(preview(&head, " b\r\n"));
	CU_ASSERT_TRUE(take(&head, "A: b\r\n", false));
	CU_ASSERT_TRUE(preview(&head, " c\r\n"));
	CU_ASSERT_TRUE(take(&head, " c\r\n", false));
}

static void test_codings_are_not_overlooked(void)
{
	static const struct {
		const char *text;
		bool has;
	} cases[] = {
		{ OK "Content-Length: 1\r\nContent-Encodings: gzip\r\nTE: gzip\r\n" END, false },
		{ OK "A: Content-Encoding: gzip\r\n" END, false },
		{ OK "Content-Encoding: gzip\r\n" END, true },
		{ OK "content-encoding:\r\n gzip\r\n" END, true },
		{ OK "TRANSFER-ENCODING:gzip\r\n" END, true },
		{ OK "A: b\r\ntransfer-encoding: chunked\r\n" END, true },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct head head = { 0 };
		CU_ASSERT_TRUE(take(&head, cases[i].text, false));
		CU_ASSERT_EQUAL(head.has_codings, cases[i].has);
	}
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "a head ends with a blank line", test_a_head_ends_with_a_blank_line },
		{ "a length is one number", test_a_length_is_one_number },
		{ "lengths that differ", test_lengths_that_differ },
		{ "nothing that was not asked for", test_nothing_that_was_not_asked_for },
		{ "heads have a bound", test_heads_have_a_bound },
		{ "fields have a bound", test_fields_have_a_bound },
		{ "a first line continues none", test_a_first_line_continues_none },
		{ "others may be continued, and come in pieces",
		  test_others_may_be_continued_and_come_in_pieces },
		{ "codings are not overlooked", test_codings_are_not_overlooked },
		CU_TEST_INFO_NULL,
	};
	return unit_run("head", tests);
}
