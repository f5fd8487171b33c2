/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection to the backlog's database: opening, the schema, the statements, and
 * SQLite's codes as -Exxx.  Not thread-safe.
 *
 * Schema 3; one of 2, which knew no deadlines, is brought up to it.  Times are wall-clock
 * microseconds.
 *   job      one row for each job that is not settled.  It never says whether the job is out.
 *   lane     one row for each origin that has such jobs, or rests; with their numbers
 *   paused   the lanes that shall be paused at the next start; "" is every lane
 *   settled  one row for each record, by 'seq'; a row keeps its 'spec' if it has an id of
 *            its own (to know the same job again) or is dead (to be requeued).
 *   cursor   how far each source has come
 *   state    one row: what was ever accepted and settled, and the results log's mark
 */
#ifndef PENSTOCK_BACKLOG_SQLITE_DB_H
#define PENSTOCK_BACKLOG_SQLITE_DB_H

#include "base/attr.h"
#include "base/buf.h"

#include <sqlite3.h>
#include <stddef.h>
#include <stdint.h>

enum {
	DB_APPLICATION_ID = 0x70656e73, /* "pens": what file(1) and sqlite3(1) tell the database by */
	DB_SCHEMA_VERSION = 3,
	DB_PAGE_BYTES = 4096,
	DB_PATIENCE_MS = 1000, /* for somebody else's lock: a person with sqlite3(1) */
	DB_ROWS = 8,           /* that DB_ADD_JOBS and DB_SETTLE_ROWS insert */
};

/* job.state */
enum row_state {
	ROW_WAITING,
	ROW_DELAYED, /* until 'ready', for the reason 'delay' */
	ROW_ASIDE,   /* blamed for too many crashes */
};

enum db_statement {
	/* The writer's. */
	DB_BEGIN,
	DB_COMMIT,
	DB_ROLLBACK,
	DB_PAGES,
	DB_FREE_PAGES,
	DB_STATE,
	DB_SET_STATE,
	DB_SET_MARK,
	DB_COUNT_WAITING,
	DB_COUNT_DELAYED,
	DB_COUNT_ASIDE,
	DB_COUNT_RESTING,
	DB_FIND_LANE,
	DB_ADD_LANE,
	DB_CHANGE_LANE,
	DB_DELETE_LANE,
	DB_DELETE_LANES,
	DB_REST_LANE,
	DB_OPEN_LANE,
	DB_OPEN_LANES,
	DB_OPEN_AT_START,
	DB_DUE_LANES,
	DB_NEXT_LANE,
	DB_LANES,
	DB_COUNT_LANES,
	DB_OLDEST_IN_LANE,
	DB_AHEAD,
	DB_PAUSE,
	DB_RESUME,
	DB_ADD_JOB,
	DB_ADD_JOBS,
	DB_KNOWN_JOB,
	DB_KNOWN_SETTLED,
	DB_SET_CURSOR,
	DB_BLAME,
	DB_SETTLE,
	DB_SETTLE_ROWS,
	DB_RUN,
	DB_DELETE_RUN,
	DB_ROW,
	DB_SPEC,
	DB_DELAY_JOB,
	DB_MOVE_JOB,
	DB_NEXT_DUE,
	DB_DUE_JOBS,
	DB_WAKE_JOB,
	DB_OLDEST,
	DB_FINISHED,
	DB_FORGET,
	DB_JOB_NUMBER,
	DB_SETTLED_BY_ID,
	DB_SETTLED_BY_NUMBER,
	DB_DEAD,
	DB_SET_REQUEUED,
	/* The taker's. */
	DB_BEGIN_READ,
	DB_END_READ,
	DB_SAME_RANK,
	DB_LATER_RANKS,
	DB_LANES_AFTER,
	DB_LANE_OF,
	DB_EXPIRED,
	DB_NEXT_DEADLINE,
	/* The writer's and the taker's. */
	DB_JOB,
	DB_LANE,
	/* The asker's. */
	DB_CURSOR,
	DB_MARKED,
	DB_HISTORY,
	DB_RECORDS,
	DB_RECORDS_BACK,
	DB_NEXT_ASIDE,
	DB_PAUSED,
	DB_STATEMENTS,
};

enum db_role {
	DB_WRITER = 1,
	DB_TAKER = 2,
	DB_ASKER = 4,
};

struct db {
	sqlite3 *handle;
	sqlite3_stmt *statements[DB_STATEMENTS]; /* those of its role */
	char text[256];                          /* about the last error, for a person */
};

/*
 * Opens the database at 'path' for one role; the writer goes first, makes it if there
 * is none, and switches it to WAL.  Close with db_close(), whatever it returns.
 *
 * Returns 0; or, with db->text, -EUCLEAN (damaged, no database, or not the backlog's),
 * -EPROTO (a newer schema), or what is wrong with the disk.
 */
NODISCARD NONNULL(1, 2) int db_open(struct db *db, const char *path, enum db_role role);

/* Lets closing write: until then, a database that turns out to be unsound stays as it is. */
NONNULL(1) void db_trust(struct db *db);

/* Idempotent. */
NONNULL(1) void db_close(struct db *db);

/* Keeps a text of its own about an error, and returns 'error'. */
NONNULL(1, 3) PRINTF_LIKE(3, 4) int db_fail(struct db *db, int error, const char *format, ...);

/* The -Exxx for a code that SQLite has just returned, whose text is kept. */
NONNULL(1) int db_error(struct db *db, int code);

/* --- statements: bind, run or read, and end what was read ------------------------------ */

NONNULL(1) void db_bind_i64(struct db *db, enum db_statement which, int at, int64_t value);
NONNULL(1) void db_bind_u64(struct db *db, enum db_statement which, int at, uint64_t value);

/* Borrowed until the statement has ended; NULL for NULL. */
NONNULL(1) void db_bind_text(struct db *db, enum db_statement which, int at, const char *text);
NONNULL(1)
void db_bind_bytes(struct db *db, enum db_statement which, int at, const void *data, size_t n);

/* Runs a statement that gives no row, and ends it. */
NODISCARD NONNULL(1) int db_run(struct db *db, enum db_statement which);

/* Goes on to the next row.  Returns 1; or 0 if there is none, or -Exxx, and has ended it. */
NODISCARD NONNULL(1) int db_next(struct db *db, enum db_statement which);

NONNULL(1) void db_end(struct db *db, enum db_statement which);

/* Columns of the row, from 0. */
NONNULL(1) int64_t db_i64(struct db *db, enum db_statement which, int column);
NONNULL(1) uint64_t db_u64(struct db *db, enum db_statement which, int column);

/* NULL for NULL; valid until the statement goes on or ends. */
NONNULL(1) const char *db_text(struct db *db, enum db_statement which, int column);
NONNULL(1, 4)
const void *db_bytes(struct db *db, enum db_statement which, int column, size_t *ret_n);

#endif
