/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/audit_report.h"

#include <stdarg.h>
#include <stdlib.h>

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

	if (r->found[kind]++ >= AUDIT_MAX_SHOWN)
		return;
	va_start(args, format);
	write_line(r->out, format, args);
	va_end(args);
}

uint64_t audit_report_end(struct audit_report *r)
{
	static const char *const what[AUDIT_KINDS] = {
		[AUDIT_BOOKS] = "figures that do not agree",
		[AUDIT_ROW] = "rows of the database that should not be so",
		[AUDIT_LINE] = "lines that are no records",
		[AUDIT_TWICE] = "records that come twice",
		[AUDIT_DIFFERS] = "records that differ from the database",
		[AUDIT_MISSING] = "lines about missing records",
	};
	uint64_t all = 0;

	for (size_t i = 0; i < AUDIT_KINDS; i++) {
		all += r->found[i];
		if (r->found[i] > AUDIT_MAX_SHOWN)
			(void) fprintf(r->out, "and %llu more %s\n",
			               (unsigned long long) (r->found[i] - AUDIT_MAX_SHOWN), what[i]);
	}
	return all;
}
