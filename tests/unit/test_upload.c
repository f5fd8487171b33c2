/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/upload.h"

#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* --- lines ------------------------------------------------------------------------- */

static int add(struct upload *u, uint64_t serial, const char *line)
{
	const struct upload_place place = { .file = 1, .number = serial + 10, .serial = serial };
	struct buf why = { 0 };

	int r = upload_add(u, line, strlen(line), &place, "x", &why);
	CU_ASSERT_EQUAL(why.len > 0, r == -EINVAL);
	buf_done(&why);
	return r;
}

static void check_text(const struct upload *u, const char *expected)
{
	CU_ASSERT_EQUAL(u->text.len, strlen(expected));
	CU_ASSERT(u->text.len == strlen(expected) && memcmp(u->text.data, expected, u->text.len) == 0);
}

static void a_line_without_an_id_gets_one(void)
{
	static const struct {
		const char *line, *sent;
		bool made_id;
	} cases[] = {
		{ "http://h/", "{\"id\":\"x-1\",\"url\":\"http://h/\"}\n", true },
		{ " \thttp://h/\"\\ \r", "{\"id\":\"x-1\",\"url\":\"http://h/\\\"\\\\\"}\n", true },
		{ "{\"url\": \"http://h/\"}", "{\"id\":\"x-1\",\"url\": \"http://h/\"}\n", true },
		{ "{ }", "{\"id\":\"x-1\" }\n", true },
		{ "{\"meta\":{\"id\":1}}", "{\"id\":\"x-1\",\"meta\":{\"id\":1}}\n", true },
		{ "{\"n\":1.0e400}", "{\"n\":1.0e400}\n", false }, /* no number for jansson */
		{ "{\"url\":\"\\u0000\"}", "{\"id\":\"x-1\",\"url\":\"\\u0000\"}\n", true },
		{ "{\"id\":\"own\"}", "{\"id\":\"own\"}\n", false },
		{ "{\"id\":null}", "{\"id\":null}\n", false },
		{ "{\"url\":", "{\"url\":\n", false },
		{ "[1]", "{\"id\":\"x-1\",\"url\":\"[1]\"}\n", true },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct upload u = { 0 };
		CU_ASSERT_EQUAL(add(&u, 1, cases[i].line), 1);
		check_text(&u, cases[i].sent);
		CU_ASSERT_EQUAL(u.n, 1);
		CU_ASSERT_EQUAL(u.lines[0].made_id, cases[i].made_id);
		upload_done(&u);
	}
}

static void what_holds_no_job_is_left_out(void)
{
	static const char *const lines[] = { "", " \t\r", "#", "  # http://h/" };
	struct upload u = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		CU_ASSERT_EQUAL(add(&u, 1, lines[i]), 0);
	CU_ASSERT_EQUAL(add(&u, 1, "http://h/\xc3"), -EINVAL);
	CU_ASSERT_EQUAL(u.n, 0);
	CU_ASSERT_EQUAL(u.text.len, 0);
	upload_done(&u);
}

static void it_is_full_by_lines_or_bytes(void)
{
	static char large[1024 * 1024 + 1];
	struct upload u = { 0 };

	for (uint64_t i = 1; i <= 3; i++) {
		CU_ASSERT_FALSE(upload_is_full(&u, 3));
		CU_ASSERT_EQUAL(add(&u, i, "http://h/"), 1);
	}
	CU_ASSERT(upload_is_full(&u, 3));
	memset(large, 'x', sizeof(large) - 1);
	for (uint64_t i = 4; i <= 7; i++) {
		CU_ASSERT_FALSE(upload_is_full(&u, 100));
		CU_ASSERT_EQUAL(add(&u, i, large), 1);
	}
	CU_ASSERT(upload_is_full(&u, 100));
	upload_done(&u);
}

/* --- receipts ---------------------------------------------------------------------- */

struct heard {
	char text[1024];
	size_t len;
};

static void listen(void *arg, const struct upload_line *line, const struct upload_receipt *receipt)
{
	static const char *const names[] = { "accepted", "known", "refused" };
	struct heard *h = arg;

	h->len += (size_t) snprintf(h->text + h->len, sizeof(h->text) - h->len, "%d %s %s%s%s%s;",
	                            (int) line->place.serial, names[receipt->status],
	                            receipt->id ? receipt->id : "-",
	                            receipt->status == UPLOAD_REFUSED ? " " : "",
	                            receipt->status == UPLOAD_REFUSED ? receipt->error : "",
	                            line->settled ? "" : " again");
}

static void add_five(struct upload *u)
{
	for (uint64_t i = 1; i <= 5; i++)
		CU_ASSERT_EQUAL(add(u, i, "http://h/"), 1);
}

static const char receipts[] =
	"{\"line\":1,\"id\":\"x-1\",\"status\":\"accepted\"}\n"
	"{\"line\":2,\"id\":null,\"status\":\"refused\",\"code\":429,\"error\":\"full\"}\n"
	"{\"line\":3,\"id\":\"x-3\",\"status\":\"refused\",\"code\":409,\"error\":\"taken\"}\n"
	"{\"line\":5,\"id\":\"x-5\",\"status\":\"known\"}\n"
	"{\"line\":4,\"id\":null,\"status\":\"refused\",\"code\":503}\n";

static void receipts_come_in_pieces_of_any_size(void)
{
	for (size_t piece = 1; piece < sizeof(receipts); piece++) {
		struct upload u = { 0 };
		struct heard h = { .len = 0 };
		add_five(&u);
		for (size_t at = 0; at < sizeof(receipts) - 1; at += piece) {
			size_t n = sizeof(receipts) - 1 - at;
			CU_ASSERT_EQUAL(upload_take_receipts(&u, receipts + at, n < piece ? n : piece,
			                                     listen, &h), 0);
		}
		CU_ASSERT_STRING_EQUAL(h.text, "1 accepted x-1;2 refused - full again;"
		                               "3 refused x-3 taken;5 known x-5;"
		                               "4 refused - refused again;");
		CU_ASSERT_EQUAL(u.settled, 3);
		upload_done(&u);
	}
}

static void what_has_no_final_receipt_is_sent_again(void)
{
	struct upload u = { 0 };
	struct heard h = { .len = 0 };

	add_five(&u);
	CU_ASSERT_EQUAL(upload_take_receipts(&u, receipts, sizeof(receipts) - 10, listen, &h), 0);
	upload_compact(&u);
	check_text(&u, "{\"id\":\"x-2\",\"url\":\"http://h/\"}\n{\"id\":\"x-4\",\"url\":\"http://h/\"}\n");
	CU_ASSERT_EQUAL(u.n, 2);
	CU_ASSERT_EQUAL(u.settled, 0);
	CU_ASSERT(u.lines[0].repeated && u.lines[1].repeated);
	CU_ASSERT_EQUAL(u.lines[1].place.number, 14);

	/* What came of the last receipt before is forgotten; the lines are numbered anew. */
	static const char more[] = "{\"line\":2,\"id\":\"x-4\",\"status\":\"known\"}\n";
	h.len = 0;
	CU_ASSERT_EQUAL(upload_take_receipts(&u, more, sizeof(more) - 1, listen, &h), 0);
	CU_ASSERT_STRING_EQUAL(h.text, "4 known x-4;");
	upload_compact(&u);
	check_text(&u, "{\"id\":\"x-2\",\"url\":\"http://h/\"}\n");
	upload_done(&u);
}

static void what_is_no_receipt_is_refused(void)
{
	static const char *const bad[] = {
		"\n", "null\n", "{}\n", "not json\n",
		"{\"line\":0,\"id\":\"x\",\"status\":\"accepted\"}\n",
		"{\"line\":6,\"id\":\"x\",\"status\":\"accepted\"}\n",
		"{\"line\":1,\"id\":\"x\",\"status\":\"lost\"}\n",
		"{\"line\":1,\"id\":\"x\"}\n",
		"{\"line\":1,\"status\":\"accepted\"}\n",
		"{\"line\":1,\"id\":\"x\",\"status\":\"known\"}\n{\"line\":1,\"id\":\"x\",\"status\":\"known\"}\n",
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct upload u = { 0 };
		struct heard h = { .len = 0 };
		add_five(&u);
		CU_ASSERT_EQUAL(upload_take_receipts(&u, bad[i], strlen(bad[i]), listen, &h), -EPROTO);
		upload_done(&u);
	}
}

static void a_receipt_without_end_is_refused(void)
{
	struct upload u = { 0 };
	struct heard h = { .len = 0 };
	char piece[4096];
	int r = 0;

	memset(piece, ' ', sizeof(piece));
	add_five(&u);
	for (int i = 0; r == 0 && i < 1000; i++)
		r = upload_take_receipts(&u, piece, sizeof(piece), listen, &h);
	CU_ASSERT_EQUAL(r, -EPROTO);
	upload_done(&u);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "a line without an id gets one", a_line_without_an_id_gets_one },
		{ "what holds no job is left out", what_holds_no_job_is_left_out },
		{ "it is full by lines or bytes", it_is_full_by_lines_or_bytes },
		{ "receipts come in pieces of any size", receipts_come_in_pieces_of_any_size },
		{ "what has no final receipt is sent again", what_has_no_final_receipt_is_sent_again },
		{ "what is no receipt is refused", what_is_no_receipt_is_refused },
		{ "a receipt without end is refused", a_receipt_without_end_is_refused },
		CU_TEST_INFO_NULL,
	};

	return unit_run("upload", tests);
}
