/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/audit_report.h"

#include <stdarg.h>
#include <stdlib.h>

typedef unsigned long long ull; /* for %llu */

PRINTF_LIKE(2, 0) static void write_line(FILE *out, const char *format, va_list args)
{
	char *text = NULL;

	if (vasprintf(&text, format, args) < 0)
		return;
	for (char *p = text; *p != '\0'; p++)
		if ((unsigned char) *p < 0x20 || *p == 0x7f)
			*p = '?';
	(void) fprintf(out, "%s\n", text);
	free(text);
}

void audit_say(struct audit_report *r, const char *format, ...)
{
	va_list args;

	if (r->quiet)
		return;
	va_start(args, format);
	write_line(r->out, format, args);
	va_end(args);
}

void audit_problem(struct audit_report *r, enum audit_kind kind, const char *format, ...)
{
	va_list args;

	if (r->found[kind]++ >= AUDIT_MAX_SHOWN) {
		r->hidden[kind]++;
		return;
	}
	va_start(args, format);
	write_line(r->out, format, args);
	va_end(args);
}

/* --- ranges ------------------------------------------------------------------------ */

enum { MAX_IDS_SHOWN = 3 };

void audit_range_done(struct audit_range *range)
{
	buf_done(&range->ids);
	*range = (struct audit_range) { 0 };
}

void audit_range_add(struct audit_range *range, uint64_t seq, const char *id)
{
	if (range->n == 0)
		range->first = seq;
	if (id && range->n <= MAX_IDS_SHOWN) {
		buf_add_str(&range->ids, range->n > 0 ? ", " : "");
		buf_add_str(&range->ids, range->n < MAX_IDS_SHOWN ? id : "…");
	}
	range->last = seq;
	range->n++;
}

void audit_problem_range(struct audit_report *r, enum audit_kind kind, struct audit_range *range,
                         const char *where, const char *what)
{
	struct buf b = { 0 };

	if (range->n == 0)
		return;
	buf_printf(&b, "seq %llu", (ull) range->first);
	if (range->n > 1)
		buf_printf(&b, " to %llu, %llu records", (ull) range->last, (ull) range->n);
	if (range->ids.len > 0)
		buf_printf(&b, " (%s%.*s)", range->n > 1 ? "ids " : "", (int) range->ids.len,
		           range->ids.data);
	buf_add_char(&b, '\0');
	if (r->found[kind] >= AUDIT_MAX_SHOWN)
		r->hidden[kind] += range->n - 1; /* one counts below */
	audit_problem(r, kind, "%s%s%s", where, b.failed ? "" : b.data, what);
	buf_done(&b);
	audit_range_done(range);
}

/* --- the end ----------------------------------------------------------------------- */

uint64_t audit_report_end(struct audit_report *r)
{
	static const char *const what[AUDIT_KINDS] = {
		[AUDIT_BOOKS] = "figures that do not agree",
		[AUDIT_ROW] = "rows of the database that should not be so",
		[AUDIT_LINE] = "lines that are no records",
		[AUDIT_TWICE] = "records that come twice",
		[AUDIT_DIFFERS] = "records that differ from the database",
		[AUDIT_MISSING] = "missing records",
		[AUDIT_BODY] = "bodies that are not there as they should be",
	};
	uint64_t all = 0;

	for (size_t i = 0; i < AUDIT_KINDS; i++) {
		all += r->found[i];
		if (r->hidden[i] > 0)
			(void) fprintf(r->out, "and %llu more %s\n", (ull) r->hidden[i], what[i]);
	}
	return all;
}
