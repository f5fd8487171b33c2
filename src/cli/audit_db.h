/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The backlog's database as `penstock audit` sees it: one snapshot, read-only, while a
 * daemon may work on.  The schema is that of backlog/sqlite_db.h.  Not thread-safe.
 */
#ifndef PENSTOCK_CLI_AUDIT_DB_H
#define PENSTOCK_CLI_AUDIT_DB_H

#include "base/attr.h"
#include "base/buf.h"
#include "job/result.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct audit_db;

struct audit_totals {
	/* As the database keeps them. */
	uint64_t last_number;
	uint64_t accepted;
	uint64_t settled[OUTCOMES];
	uint64_t last_seq;
	uint64_t mark_seq;          /* the log has all up to here for good; a start adds the others */

	/* As its rows are counted. */
	uint64_t jobs;              /* waiting */
	uint64_t greatest_number;   /* of jobs and settled ones */
	uint64_t rows;              /* settled ones that are remembered */
	uint64_t first_row, last_row; /* their sequence numbers; 0: there are none */
	uint64_t row_outcomes[OUTCOMES];
};

/* A settled job.  Strings are valid until the next call. */
struct audit_row {
	uint64_t seq;
	uint64_t number;
	const char *id; /* NULL: made from the number */
	int outcome;
	const char *line;
	size_t line_len;
};

/* Appends the id of a row. */
NONNULL(1, 2) void audit_row_add_id(const struct audit_row *row, struct buf *b);

/*
 * Opens it and takes the snapshot.  Close with audit_db_close().
 *
 * Returns 0; or, with one line for a person appended to 'errors', -ENOENT, -EPROTO (made by a
 * newer penstock), -EUCLEAN (damaged, or no backlog's database), -EISDIR, -ENOMEM, -EACCES or
 * -EIO.
 */
NODISCARD NONNULL(1, 2, 3)
int audit_db_open(const char *path, struct audit_db **ret_db, struct buf *errors);

/* Ignores NULL, returns NULL. */
struct audit_db *audit_db_close(struct audit_db *db);

/* Whether a daemon had the database when it was opened, and whether one has it now. */
NONNULL(1) bool audit_db_was_in_use(const struct audit_db *db);
NONNULL(1) bool audit_db_is_in_use(const struct audit_db *db);

/* Those below return 0 or 1 as they say; or, with audit_db_error(), -EUCLEAN, -ENOMEM or -EIO. */

/* Counts. */
NODISCARD NONNULL(1, 2) int audit_db_totals(struct audit_db *db, struct audit_totals *ret_totals);

/* Finds the first settled row at or behind 'seq': 1, or 0 if there is none.  Quick if that is
 * the row that the last call has given, or the next one. */
NODISCARD NONNULL(1, 3)
int audit_db_row_from(struct audit_db *db, uint64_t seq, struct audit_row *ret_row);

enum audit_flaw {
	AUDIT_WAITING_AND_SETTLED, /* the row of a job that is waiting as well */
	AUDIT_ROW_MISSING,         /* a gap in the remembered rows, from 'seq' to 'number' */
	AUDIT_NUMBER_MISSING,      /* a gap in the jobs' numbers, likewise, if no row is forgotten */
	AUDIT_FLAWS,
};

/* Calls 'found' for each row, or gap, with such a flaw.  Returns 0. */
NODISCARD NONNULL(1, 3)
int audit_db_find(struct audit_db *db, enum audit_flaw flaw,
                  void (*found)(void *arg, const struct audit_row *row), void *arg);

/* What went wrong, for a person. */
NONNULL(1) const char *audit_db_error(const struct audit_db *db);

#endif
