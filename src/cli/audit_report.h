/* SPDX-License-Identifier: Apache-2.0 */
/* What `penstock audit` writes: what it has found, and how often.  Not thread-safe. */
#ifndef PENSTOCK_CLI_AUDIT_REPORT_H
#define PENSTOCK_CLI_AUDIT_REPORT_H

#include "base/attr.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum audit_kind {
	AUDIT_BOOKS,   /* figures that should be equal are not */
	AUDIT_ROW,     /* a row of the database that should not be, or not so */
	AUDIT_LINE,    /* a line of the log that is no record */
	AUDIT_TWICE,   /* a record that the log has already had */
	AUDIT_DIFFERS, /* a record that the database has otherwise, or not at all */
	AUDIT_MISSING, /* a record that the log lacks */
	AUDIT_KINDS,
};

/* Of each kind so many are written; the others are counted. */
enum { AUDIT_MAX_SHOWN = 1000 };

struct audit_report {
	FILE *out;
	bool quiet;                   /* only problems */
	uint64_t found[AUDIT_KINDS];
};

/* Writes a line, unless quiet; characters that could play with a terminal come out as "?". */
NONNULL(1) PRINTF_LIKE(2, 3) void audit_say(struct audit_report *r, const char *format, ...);

/* Writes and counts a problem. */
NONNULL(1) PRINTF_LIKE(3, 4)
void audit_problem(struct audit_report *r, enum audit_kind kind, const char *format, ...);

/* Writes how many were not written, and returns the number of problems. */
NONNULL(1) uint64_t audit_report_end(struct audit_report *r);

#endif
