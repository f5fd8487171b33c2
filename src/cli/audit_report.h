/* SPDX-License-Identifier: Apache-2.0 */
/* What `penstock audit` writes: what it has found, and how often.  Not thread-safe. */
#ifndef PENSTOCK_CLI_AUDIT_REPORT_H
#define PENSTOCK_CLI_AUDIT_REPORT_H

#include "base/attr.h"
#include "base/buf.h"

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
	AUDIT_BODY,    /* a file that a record names, and that is not there as it should be */
	AUDIT_KINDS,
};

/* Of each kind so many lines are written; the others are counted. */
enum { AUDIT_MAX_SHOWN = 20 };

struct audit_report {
	FILE *out;
	bool quiet;                   /* only problems */
	uint64_t found[AUDIT_KINDS];  /* lines, whether written or not */
	uint64_t hidden[AUDIT_KINDS]; /* problems on lines that were not written */
};

/* Records with successive numbers, which are named on one line; zero is none. */
struct audit_range {
	uint64_t n;
	uint64_t first, last;
	struct buf ids;               /* of the first ones, ", " between them */
};

/* Writes a line, unless quiet; characters that could play with a terminal come out as "?". */
NONNULL(1) PRINTF_LIKE(2, 3) void audit_say(struct audit_report *r, const char *format, ...);

/* Writes and counts a problem. */
NONNULL(1) PRINTF_LIKE(3, 4)
void audit_problem(struct audit_report *r, enum audit_kind kind, const char *format, ...);

/* Adds the next one, 'last' + 1 unless it is the first; 'id' is NULL if nobody knows it. */
NONNULL(1) void audit_range_add(struct audit_range *range, uint64_t seq, const char *id);

NONNULL(1) void audit_range_done(struct audit_range *range);

/* Writes and counts a range, unless it is none, as a problem: "WHEREseq 3 to 1803, 1801 records
 * (ids a, b, c, …)WHAT".  It is none then. */
NONNULL(1, 3, 4, 5)
void audit_problem_range(struct audit_report *r, enum audit_kind kind, struct audit_range *range,
                         const char *where, const char *what);

/* Writes how many were not written, and returns the number of problems: lines, had all been
 * written. */
NONNULL(1) uint64_t audit_report_end(struct audit_report *r);

#endif
