/* SPDX-License-Identifier: Apache-2.0 */
#include "backlog/sqlite_db.h"

#include "job/result.h"
#include "job/wait.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Numbers in the database outlive every release. */
static_assert(OUTCOME_DONE == 0 && OUTCOME_DEAD == 1 && OUTCOME_CANCELLED == 2, "on disk");
static_assert(ROW_WAITING == 0 && ROW_DELAYED == 1 && ROW_ASIDE == 2, "on disk");
static_assert(WAIT_NOT_BEFORE == 0 && WAIT_RETRY == 1 && WAIT_NAMES == 2 && WAIT_PAUSED == 3 &&
              WAIT_RETRY_AFTER == 4 && WAIT_BREAKER == 5 && WAIT_RATE == 6 &&
              WAIT_CONCURRENCY == 7 && WAIT_BODIES == 11, "on disk");

#define JOB_DEADLINE_INDEX \
	"CREATE INDEX job_deadline ON job (deadline) WHERE deadline IS NOT NULL;"

static const char schema[] =
	"CREATE TABLE job ("
	" number INTEGER PRIMARY KEY,"
	" state INTEGER NOT NULL,"
	" delay INTEGER NOT NULL," /* enum wait_reason */
	" lane INTEGER NOT NULL,"
	" rank INTEGER NOT NULL,"
	" ready INTEGER NOT NULL,"
	" accepted INTEGER NOT NULL,"
	" attempts INTEGER NOT NULL,"
	" crashes INTEGER NOT NULL,"
	" bytes INTEGER NOT NULL,"
	" source TEXT,"
	" id TEXT,"
	" spec BLOB NOT NULL,"
	" hop TEXT,"
	" deadline INTEGER) STRICT;"
	"CREATE INDEX job_waiting ON job (lane, rank) WHERE state = 0;"
	"CREATE INDEX job_delayed ON job (ready, delay) WHERE state = 1;"
	"CREATE INDEX job_aside ON job (state) WHERE state = 2;"
	"CREATE UNIQUE INDEX job_id ON job (id) WHERE id IS NOT NULL;"
	JOB_DEADLINE_INDEX

	"CREATE TABLE lane ("
	" id INTEGER PRIMARY KEY,"
	" origin TEXT NOT NULL UNIQUE,"
	" jobs INTEGER NOT NULL,"    /* rows of it */
	" waiting INTEGER NOT NULL," /* of them, in state 0 */
	" opens INTEGER NOT NULL,"   /* when its rest is over; 0: it does not rest */
	" why INTEGER NOT NULL) STRICT;" /* enum wait_reason */
	"CREATE INDEX lane_open ON lane (id) WHERE waiting > 0 AND opens = 0;"
	"CREATE INDEX lane_resting ON lane (opens) WHERE opens > 0;"

	"CREATE TABLE paused (origin TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;"

	"CREATE TABLE settled ("
	" seq INTEGER PRIMARY KEY,"
	" number INTEGER NOT NULL,"
	" outcome INTEGER NOT NULL," /* enum outcome */
	" finished INTEGER NOT NULL,"
	" accepted INTEGER NOT NULL,"
	" attempts INTEGER NOT NULL,"
	" requeued INTEGER,"         /* number of the job that repeats it */
	" source TEXT,"
	" id TEXT,"
	" spec BLOB,"
	" line BLOB NOT NULL) STRICT;"
	"CREATE UNIQUE INDEX settled_number ON settled (number);"
	"CREATE UNIQUE INDEX settled_id ON settled (id) WHERE id IS NOT NULL;"
	"CREATE INDEX settled_dead ON settled (seq) WHERE outcome = 1 AND requeued IS NULL;"

	"CREATE TABLE cursor (source TEXT PRIMARY KEY, text TEXT NOT NULL) STRICT, WITHOUT ROWID;"

	"CREATE TABLE state ("
	" one INTEGER PRIMARY KEY CHECK (one = 1),"
	" last_number INTEGER NOT NULL,"
	" last_lane INTEGER NOT NULL,"
	" accepted INTEGER NOT NULL,"
	" done INTEGER NOT NULL,"
	" dead INTEGER NOT NULL,"
	" cancelled INTEGER NOT NULL,"
	" last_seq INTEGER NOT NULL,"
	" mark_seq INTEGER NOT NULL,"
	" mark_text TEXT NOT NULL) STRICT;"
	"INSERT INTO state VALUES (1, 0, 0, 0, 0, 0, 0, 0, 0, '');";

static const char from_schema_2[] =
	"ALTER TABLE job ADD COLUMN deadline INTEGER;"
	JOB_DEADLINE_INDEX;

/* Most of what an INSERT costs, such as the cursors of all indexes, it costs once, for however many
 * rows.  OR FAIL, and no function calls: else SQLite copies each page before it is changed, so that
 * it could take back the rows before one that fails; we then take back the whole transaction. */
#define EIGHT(row) row "," row "," row "," row "," row "," row "," row "," row
static_assert(DB_ROWS == 8, "EIGHT");
#define NEW_JOB "(?, ?, 0, ?, ?, ?, ?, 0, 0, ?, ?, ?, ?, NULL, ?)"
#define SETTLED "(?, ?, ?, ?, ?, ?, NULL, ?, ?, ?, ?)"

static const struct {
	unsigned roles;
	const char *sql;
} statements[DB_STATEMENTS] = {
	[DB_BEGIN] = { DB_WRITER, "BEGIN IMMEDIATE" },
	[DB_COMMIT] = { DB_WRITER, "COMMIT" },
	[DB_ROLLBACK] = { DB_WRITER, "ROLLBACK" },
	[DB_PAGES] = { DB_WRITER, "PRAGMA page_count" },
	[DB_FREE_PAGES] = { DB_WRITER, "PRAGMA freelist_count" },
	[DB_STATE] = { DB_WRITER, "SELECT last_number, accepted, done, dead, cancelled, last_seq, "
	                          "mark_seq, last_lane FROM state" },
	[DB_SET_STATE] = { DB_WRITER, "UPDATE state SET last_number = ?1, accepted = ?2, done = ?3, "
	                              "dead = ?4, cancelled = ?5, last_seq = ?6, last_lane = ?7" },
	[DB_SET_MARK] = { DB_WRITER, "UPDATE state SET mark_seq = ?1, mark_text = ?2" },
	[DB_COUNT_WAITING] = { DB_WRITER, "SELECT count(*) FROM job WHERE state = 0" },
	[DB_COUNT_DELAYED] = { DB_WRITER, "SELECT delay, count(*) FROM job WHERE state = 1 "
	                                  "GROUP BY delay" },
	[DB_COUNT_ASIDE] = { DB_WRITER, "SELECT count(*) FROM job WHERE state = 2" },
	[DB_COUNT_RESTING] = { DB_WRITER, "SELECT why, sum(waiting) FROM lane WHERE opens > 0 "
	                                  "GROUP BY why" },

	[DB_FIND_LANE] = { DB_WRITER, "SELECT id FROM lane WHERE origin = ?1" },
	[DB_ADD_LANE] = { DB_WRITER, "INSERT INTO lane VALUES (?1, ?2, 0, 0, 0, 0)" },
	[DB_CHANGE_LANE] = { DB_WRITER, "UPDATE lane SET jobs = jobs + ?2, waiting = waiting + ?3 "
	                                "WHERE id = ?1" },
	[DB_DELETE_LANE] = { DB_WRITER, "DELETE FROM lane WHERE id = ?1" },
	[DB_DELETE_LANES] = { DB_WRITER, "DELETE FROM lane WHERE jobs = 0 AND opens = 0" },
	[DB_REST_LANE] = { DB_WRITER, "UPDATE lane SET opens = ?2, why = ?3 "
	                              "WHERE id = ?1 AND opens = 0 RETURNING waiting" },
	[DB_OPEN_LANE] = { DB_WRITER, "UPDATE lane SET opens = 0 WHERE id = ?1 AND opens > 0 "
	                              "RETURNING jobs, waiting, why" },
	[DB_OPEN_LANES] = { DB_WRITER, "UPDATE lane SET opens = 0 WHERE opens > 0" },
	[DB_OPEN_AT_START] = { DB_WRITER, "UPDATE lane SET opens = 0 WHERE opens > 0 AND why <> ?1" },
	[DB_DUE_LANES] = { DB_WRITER, "SELECT id FROM lane WHERE opens > 0 AND opens <= ?1 "
	                              "ORDER BY opens LIMIT ?2" },
	[DB_NEXT_LANE] = { DB_WRITER, "SELECT opens FROM lane WHERE opens > 0 ORDER BY opens LIMIT 1" },
	[DB_LANES] = { DB_WRITER, "SELECT id, origin, jobs, waiting, opens, why FROM lane "
	                          "WHERE jobs > 0 "
	                          "ORDER BY jobs DESC, id LIMIT ?1" },
	[DB_COUNT_LANES] = { DB_WRITER, "SELECT count(*) FROM lane WHERE jobs > 0" },
	[DB_OLDEST_IN_LANE] = { DB_WRITER, "SELECT accepted FROM job WHERE state = 0 AND lane = ?1 "
	                                   "ORDER BY rank, number LIMIT 1" },
	[DB_AHEAD] = { DB_WRITER, "SELECT count(*) FROM (SELECT 1 FROM job WHERE state = 0 "
	                          "AND lane = ?1 AND (rank, number) < (?2, ?3) LIMIT ?4)" },
	[DB_PAUSE] = { DB_WRITER, "INSERT INTO paused VALUES (?1) ON CONFLICT DO NOTHING" },
	[DB_RESUME] = { DB_WRITER, "DELETE FROM paused WHERE origin = ?1" },

	[DB_ADD_JOB] = { DB_WRITER, "INSERT INTO job VALUES " NEW_JOB },
	[DB_ADD_JOBS] = { DB_WRITER, "INSERT OR FAIL INTO job VALUES " EIGHT(NEW_JOB) },
	[DB_KNOWN_JOB] = { DB_WRITER, "SELECT number, spec FROM job WHERE id = ?1" },
	[DB_KNOWN_SETTLED] = { DB_WRITER, "SELECT number, spec FROM settled WHERE id = ?1" },
	[DB_SET_CURSOR] = { DB_WRITER, "INSERT INTO cursor VALUES (?1, ?2) "
	                               "ON CONFLICT (source) DO UPDATE SET text = ?2" },
	[DB_BLAME] = { DB_WRITER, "UPDATE job SET attempts = attempts + 1, crashes = crashes + 1, "
	                          "state = CASE WHEN crashes + 1 >= ?2 THEN 2 ELSE state END "
	                          "WHERE number = ?1" },
	[DB_SETTLE] = { DB_WRITER, "INSERT INTO settled VALUES " SETTLED },
	[DB_SETTLE_ROWS] = { DB_WRITER, "INSERT OR FAIL INTO settled VALUES " EIGHT(SETTLED) },
	[DB_RUN] = { DB_WRITER, "SELECT number, state, lane, delay FROM job "
	                        "WHERE number BETWEEN ?1 AND ?2 ORDER BY number" },
	[DB_DELETE_RUN] = { DB_WRITER, "DELETE FROM job WHERE number BETWEEN ?1 AND ?2" },
	[DB_ROW] = { DB_WRITER, "SELECT state, lane, delay FROM job WHERE number = ?1" },
	[DB_SPEC] = { DB_WRITER, "SELECT spec FROM job WHERE number = ?1" },
	[DB_DELAY_JOB] = { DB_WRITER, "UPDATE job SET state = ?2, ready = ?3, attempts = ?4, delay = ?5 "
	                              "WHERE number = ?1" },
	[DB_MOVE_JOB] = { DB_WRITER, "UPDATE job SET lane = ?2, hop = ?3 WHERE number = ?1" },
	[DB_NEXT_DUE] = { DB_WRITER, "SELECT ready FROM job WHERE state = 1 ORDER BY ready LIMIT 1" },
	[DB_DUE_JOBS] = { DB_WRITER, "SELECT number, rank, lane, delay FROM job "
	                             "WHERE state = 1 AND ready <= ?1 "
	                             "ORDER BY ready LIMIT ?2" },
	[DB_WAKE_JOB] = { DB_WRITER, "UPDATE job SET state = 0 WHERE number = ?1" },
	[DB_OLDEST] = { DB_WRITER, "SELECT seq FROM settled ORDER BY seq LIMIT 1" },
	[DB_FINISHED] = { DB_WRITER, "SELECT finished FROM settled WHERE seq = ?1" },
	[DB_FORGET] = { DB_WRITER, "DELETE FROM settled WHERE seq = ?1" },
	[DB_JOB_NUMBER] = { DB_WRITER, "SELECT number FROM job WHERE id = ?1" },
	[DB_SETTLED_BY_ID] = { DB_WRITER, "SELECT seq, number, outcome, accepted, attempts, requeued, "
	                                  "source, id, spec, line FROM settled WHERE id = ?1" },
	[DB_SETTLED_BY_NUMBER] = { DB_WRITER, "SELECT seq, number, outcome, accepted, attempts, "
	                                      "requeued, source, id, spec, line FROM settled "
	                                      "WHERE number = ?1" },
	[DB_DEAD] = { DB_WRITER, "SELECT seq, number, outcome, accepted, attempts, requeued, source, "
	                         "id, spec, line FROM settled "
	                         "WHERE outcome = 1 AND requeued IS NULL AND seq <= ?1 "
	                         "ORDER BY seq LIMIT 1" },
	[DB_SET_REQUEUED] = { DB_WRITER, "UPDATE settled SET requeued = ?2 WHERE seq = ?1" },
	[DB_BEGIN_READ] = { DB_TAKER, "BEGIN" },
	[DB_END_READ] = { DB_TAKER, "COMMIT" },
	[DB_SAME_RANK] = { DB_TAKER, "SELECT rank, number FROM job WHERE state = 0 AND lane = ?3 "
	                             "AND rank = ?1 AND number >= ?2 ORDER BY number" },
	[DB_LATER_RANKS] = { DB_TAKER, "SELECT rank, number FROM job WHERE state = 0 AND lane = ?2 "
	                               "AND rank > ?1 ORDER BY rank, number" },
	[DB_LANES_AFTER] = { DB_TAKER, "SELECT id FROM lane INDEXED BY lane_open "
	                               "WHERE waiting > 0 AND opens = 0 AND id > ?1 ORDER BY id" },
	[DB_LANE_OF] = { DB_TAKER, "SELECT id, opens FROM lane WHERE origin = ?1" },
	[DB_EXPIRED] = { DB_TAKER, "SELECT number FROM job "
	                           "WHERE deadline IS NOT NULL AND deadline <= ?1 AND state <> 2 "
	                           "ORDER BY deadline, number" },
	[DB_NEXT_DEADLINE] = { DB_TAKER, "SELECT deadline FROM job "
	                                 "WHERE deadline IS NOT NULL AND deadline > ?1 "
	                                 "ORDER BY deadline LIMIT 1" },
	[DB_JOB] = { DB_WRITER | DB_TAKER, "SELECT state, rank, ready, accepted, attempts, bytes, "
	                                   "source, spec, lane, hop, delay, deadline FROM job "
	                                   "WHERE number = ?1" },
	[DB_LANE] = { DB_WRITER | DB_TAKER, "SELECT origin, waiting, opens, why, jobs FROM lane "
	                                    "WHERE id = ?1" },
	[DB_CURSOR] = { DB_ASKER, "SELECT text FROM cursor WHERE source = ?1" },
	[DB_MARKED] = { DB_ASKER, "SELECT mark_seq, mark_text FROM state" },
	[DB_HISTORY] = { DB_ASKER, "SELECT seq, line FROM settled WHERE seq > ?1 ORDER BY seq" },
	[DB_RECORDS] = { DB_ASKER, "SELECT seq, outcome, line FROM settled WHERE seq >= ?1 "
	                           "ORDER BY seq" },
	[DB_RECORDS_BACK] = { DB_ASKER, "SELECT seq, outcome, finished FROM settled WHERE seq < ?1 "
	                                "ORDER BY seq DESC" },
	[DB_NEXT_ASIDE] = { DB_ASKER, "SELECT number FROM job WHERE state = 2 AND number > ?1 "
	                               "ORDER BY number LIMIT 1" },
	[DB_PAUSED] = { DB_ASKER, "SELECT origin FROM paused" },
};

/* --- errors --------------------------------------------------------------------------- */

int db_fail(struct db *db, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void) vsnprintf(db->text, sizeof(db->text), format, args);
	va_end(args);
	return error;
}

/* The last error of one of the database's files; 0 for none. */
static int file_errno(struct db *db, int which)
{
	sqlite3_file *file = NULL;
	int err = 0;

	if (sqlite3_file_control(db->handle, "main", which, &file) != SQLITE_OK || !file ||
	    !file->pMethods ||
	    file->pMethods->xFileControl(file, SQLITE_FCNTL_LAST_ERRNO, &err) != SQLITE_OK)
		return 0;
	return err;
}

/* A COMMIT that fails does not set what sqlite3_system_errno() gives: the log and the
 * database know it themselves. */
static int system_errno(struct db *db)
{
	int err = db->handle ? sqlite3_system_errno(db->handle) : 0;

	if (err == 0 && db->handle)
		err = file_errno(db, SQLITE_FCNTL_JOURNAL_POINTER);
	if (err == 0 && db->handle)
		err = file_errno(db, SQLITE_FCNTL_FILE_POINTER);
	return err;
}

/* What the system said, where SQLite only knows that it said no.  It may be something old,
 * so it is believed only where it makes sense. */
static int system_error(struct db *db, bool opening)
{
	int err = system_errno(db);

	if (err == ENOSPC || err == EDQUOT)
		return -ENOSPC;
	return err == EROFS || (opening && err != 0) ? -err : -EIO;
}

static int convert(struct db *db, int code)
{
	switch (code & 0xff) {
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_FORMAT:
	case SQLITE_SCHEMA:
	case SQLITE_CONSTRAINT:
	case SQLITE_ERROR: /* a table or column that is not there */
		return -EUCLEAN;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return -EACCES;
	case SQLITE_IOERR:
		return code == SQLITE_IOERR_NOMEM ? -ENOMEM : system_error(db, false);
	case SQLITE_CANTOPEN:
		return system_error(db, true);
	default: /* SQLITE_BUSY: somebody else writes to it */
		return -EIO;
	}
}

int db_error(struct db *db, int code)
{
	int err = convert(db, code);
	const char *words = db->handle ? sqlite3_errmsg(db->handle) : sqlite3_errstr(code);

	if (err == -ENOMEM)
		return db_fail(db, err, "out of memory");
	if ((code & 0xff) == SQLITE_IOERR || (code & 0xff) == SQLITE_CANTOPEN)
		return db_fail(db, err, "%s: %s (SQLite %d)", words, strerror(-err), code);
	return db_fail(db, err, "%s (SQLite %d)", words, code);
}

/* --- opening -------------------------------------------------------------------------- */

static int execute(struct db *db, const char *sql)
{
	int code = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);
	return code == SQLITE_OK ? 0 : db_error(db, code);
}

/* The number that a PRAGMA or a SELECT gives. */
static int ask_number(struct db *db, const char *sql, int64_t *ret_value)
{
	sqlite3_stmt *s = NULL;
	int code = sqlite3_prepare_v2(db->handle, sql, -1, &s, NULL);

	if (code == SQLITE_OK)
		code = sqlite3_step(s);
	int r = code == SQLITE_ROW ? 0 : db_error(db, code);
	if (r == 0)
		*ret_value = sqlite3_column_int64(s, 0);
	(void) sqlite3_finalize(s);
	return r;
}

/* All or nothing, so that after a crash it is tried again. */
static int write_schema(struct db *db, const char *sql)
{
	char numbers[96];

	(void) snprintf(numbers, sizeof(numbers), "PRAGMA application_id = %d; PRAGMA user_version = %d",
	                DB_APPLICATION_ID, DB_SCHEMA_VERSION);
	int r = execute(db, "BEGIN IMMEDIATE");
	if (r == 0)
		r = execute(db, sql);
	if (r == 0)
		r = execute(db, numbers);
	if (r == 0)
		r = execute(db, "COMMIT");
	return r;
}

/* Whose database is it, and how old? */
static int check_schema(struct db *db)
{
	int64_t application = 0, version = 0, tables = 0;

	int r = ask_number(db, "PRAGMA application_id", &application);
	if (r == 0)
		r = ask_number(db, "PRAGMA user_version", &version);
	if (r == 0)
		r = ask_number(db, "SELECT count(*) FROM sqlite_schema", &tables);
	if (r < 0)
		return r;

	if (application == 0 && version == 0 && tables == 0)
		return write_schema(db, schema);
	if (application != DB_APPLICATION_ID)
		return db_fail(db, -EUCLEAN, "it is another program's database");
	if (version > DB_SCHEMA_VERSION)
		return db_fail(db, -EPROTO, "it was made by a newer penstock (schema %lld, not %d)",
		               (long long) version, DB_SCHEMA_VERSION);
	if (version == 2)
		return write_schema(db, from_schema_2);
	if (version < DB_SCHEMA_VERSION)
		return db_fail(db, -EPROTO, "it was made by a penstock before its first release (schema "
		                            "%lld, not %d): let that one finish its jobs, then remove it",
		               (long long) version, DB_SCHEMA_VERSION);
	return 0;
}

/* Where it cannot (no shared memory), SQLite stays with the old mode and says so. */
static int switch_to_wal(struct db *db)
{
	sqlite3_stmt *s = NULL;
	int code = sqlite3_prepare_v2(db->handle, "PRAGMA journal_mode = WAL", -1, &s, NULL);

	if (code == SQLITE_OK)
		code = sqlite3_step(s);
	int r = code == SQLITE_ROW ? 0 : db_error(db, code);
	if (r == 0 && strcmp((const char *) sqlite3_column_text(s, 0), "wal") != 0)
		r = db_fail(db, -EIO, "its file system cannot hold a write-ahead log");
	(void) sqlite3_finalize(s);
	return r;
}

static int set_up_writer(struct db *db)
{
	/* Nothing is written before this has read page 1 and knows the file for ours. */
	int r = check_schema(db);
	if (r < 0)
		return r;

	/* Checkpoints are made by the writer, after those who wait for a commit have been told. */
	r = switch_to_wal(db);
	if (r == 0)
		r = execute(db, "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;"
		                "PRAGMA temp_store = MEMORY; PRAGMA cache_size = -8192");
	return r;
}

static int prepare(struct db *db, enum db_role role)
{
	for (int i = 0; i < DB_STATEMENTS; i++) {
		if ((statements[i].roles & role) == 0)
			continue;
		int code = sqlite3_prepare_v3(db->handle, statements[i].sql, -1,
		                              SQLITE_PREPARE_PERSISTENT, &db->statements[i], NULL);
		if (code != SQLITE_OK)
			return db_error(db, code);
	}
	return 0;
}

int db_open(struct db *db, const char *path, enum db_role role)
{
	int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE | SQLITE_OPEN_READWRITE;

	*db = (struct db) { 0 };
	int code = sqlite3_open_v2(path, &db->handle,
	                           flags | (role == DB_WRITER ? SQLITE_OPEN_CREATE : 0), NULL);
	if (code != SQLITE_OK)
		return db_error(db, code);

	(void) sqlite3_busy_timeout(db->handle, DB_PATIENCE_MS);
	(void) sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	(void) sqlite3_db_config(db->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	int r = role == DB_WRITER ? set_up_writer(db)
	                          : execute(db, "PRAGMA query_only = ON; PRAGMA cache_size = -1024");
	return r < 0 ? r : prepare(db, role);
}

void db_trust(struct db *db)
{
	(void) sqlite3_db_config(db->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
}

void db_close(struct db *db)
{
	for (int i = 0; i < DB_STATEMENTS; i++)
		(void) sqlite3_finalize(db->statements[i]);
	(void) sqlite3_close(db->handle);
	*db = (struct db) { 0 };
}

/* --- statements ----------------------------------------------------------------------- */

/* Binding borrows and allocates nothing, so it fails by our own mistakes only. */
static void must(int code)
{
	assert(code == SQLITE_OK);
	(void) code;
}

void db_bind_i64(struct db *db, enum db_statement which, int at, int64_t value)
{
	must(sqlite3_bind_int64(db->statements[which], at, value));
}

void db_bind_u64(struct db *db, enum db_statement which, int at, uint64_t value)
{
	must(sqlite3_bind_int64(db->statements[which], at, (int64_t) value));
}

void db_bind_text(struct db *db, enum db_statement which, int at, const char *text)
{
	must(sqlite3_bind_text(db->statements[which], at, text, -1, SQLITE_STATIC));
}

void db_bind_bytes(struct db *db, enum db_statement which, int at, const void *data, size_t n)
{
	/* An empty value is no NULL. */
	must(sqlite3_bind_blob64(db->statements[which], at, n > 0 ? data : "", n, SQLITE_STATIC));
}

int db_run(struct db *db, enum db_statement which)
{
	int r = db_next(db, which);
	if (r > 0)
		db_end(db, which);
	return r < 0 ? r : 0;
}

int db_next(struct db *db, enum db_statement which)
{
	int code = sqlite3_step(db->statements[which]);
	if (code == SQLITE_ROW)
		return 1;

	int r = code == SQLITE_DONE ? 0 : db_error(db, code);
	db_end(db, which);
	return r;
}

void db_end(struct db *db, enum db_statement which)
{
	(void) sqlite3_reset(db->statements[which]);
}

int64_t db_i64(struct db *db, enum db_statement which, int column)
{
	return sqlite3_column_int64(db->statements[which], column);
}

uint64_t db_u64(struct db *db, enum db_statement which, int column)
{
	return (uint64_t) sqlite3_column_int64(db->statements[which], column);
}

const char *db_text(struct db *db, enum db_statement which, int column)
{
	return (const char *) sqlite3_column_text(db->statements[which], column);
}

const void *db_bytes(struct db *db, enum db_statement which, int column, size_t *ret_n)
{
	/* The pointer first: asking for it may change the length (sqlite3_column_bytes(3)). */
	const void *data = sqlite3_column_blob(db->statements[which], column);
	*ret_n = (size_t) sqlite3_column_bytes(db->statements[which], column);
	return data;
}
