/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The checks of `penstock audit`.  Each accepted job is either waiting or has exactly one
 * record; records are numbered 1, 2, 3… in the order in which they were committed to the
 * database, and stand in the log under these numbers.  Not thread-safe.
 */
#ifndef PENSTOCK_CLI_AUDIT_CHECK_H
#define PENSTOCK_CLI_AUDIT_CHECK_H

#include "base/attr.h"
#include "cli/audit_bodies.h"
#include "cli/audit_db.h"
#include "cli/audit_log.h"
#include "cli/audit_report.h"
#include "cli/seq_set.h"

#include <stdbool.h>
#include <stdint.h>

struct audit_check {
	struct audit_report *report;
	struct audit_db *db;
	struct audit_bodies *bodies; /* NULL: they are not looked for */
	struct audit_totals totals;
	bool in_use;                 /* the log may be ahead of the snapshot */

	struct seq_set seqs;         /* of the log's records, those ahead left out */
	uint64_t outcomes[OUTCOMES]; /* of the same */
	struct audit_range pending;  /* records that are in the database only, and may be */

	struct audit_range twice;    /* on successive lines, and not said yet: where, */
	const char *twice_path;      /* in which file, */
	uint64_t twice_line;         /* and up to which line */
	uint64_t ahead;
	uint64_t matched;            /* records that the database has too */
};

NONNULL(1) void audit_check_done(struct audit_check *c);

/* Compares the figures that the database keeps with each other and with its rows.  Returns
 * 0 or what the database says. */
NODISCARD NONNULL(1) int audit_check_books(struct audit_check *c);

/* Takes a line of the log: for audit_file_read().  Returns 0, -ENOMEM, -E2BIG (too many
 * gaps to go on), or what the database says. */
NODISCARD NONNULL(1, 2)
int audit_check_line(void *check, struct audit_file *file, const char *text, size_t len);

/* Whether the log has the last record of the snapshot, and all others since the first that
 * it has. */
NONNULL(1) bool audit_check_is_whole(const struct audit_check *c);

/* After all lines: names what the log lacks, and compares its outcomes with the figures.
 * Records that a daemon has had no time to write before it was killed are no fault: its next
 * start does.  Returns 0 or what the database says. */
NODISCARD NONNULL(1) int audit_check_log(struct audit_check *c);

/* After that: whether what stands behind the last line of a file is the beginning of the
 * first of those records, which the next start completes.  Returns 1, 0 or what the database
 * says. */
NODISCARD NONNULL(1, 2)
int audit_check_is_begun(const struct audit_check *c, const struct audit_file *file);

#endif
