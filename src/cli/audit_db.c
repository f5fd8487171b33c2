/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/audit_db.h"

#include "backlog/sqlite_db.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct audit_db {
	char *path;
	bool was_in_use;
	sqlite3 *handle;
	sqlite3_stmt *rows;  /* settled rows in their order */
	uint64_t gap_seq;    /* from here on, up to the row that it stands on, there are none */
	uint64_t at_seq;     /* the row that it stands on; 0: none yet, UINT64_MAX: at the end */
	char error[256];
};

static const char rows_sql[] =
	"SELECT seq, number, id, outcome, line FROM settled WHERE seq >= ?1 ORDER BY seq";

static const char *const flaws_sql[AUDIT_FLAWS] = {
	[AUDIT_WAITING_AND_SETTLED] =
		"SELECT s.seq, s.number, s.id, s.outcome, s.line FROM job j JOIN settled s "
		"ON s.number = j.number UNION ALL "
		"SELECT s.seq, s.number, s.id, s.outcome, s.line FROM job j JOIN settled s "
		"ON s.id = j.id WHERE j.id IS NOT NULL AND s.number <> j.number",
	[AUDIT_ROW_MISSING] =
		"SELECT s.seq + 1, (SELECT coalesce(min(seq) - 1, (SELECT last_seq FROM state)) "
		" FROM settled WHERE seq > s.seq + 1), NULL, 0, x'' FROM settled s "
		"WHERE s.seq < (SELECT last_seq FROM state) AND NOT EXISTS "
		"(SELECT 1 FROM settled t WHERE t.seq = s.seq + 1) ORDER BY s.seq",
	[AUDIT_NUMBER_MISSING] =
		"SELECT n + 1, min((SELECT coalesce(min(number) - 1, last_number) FROM job "
		"  WHERE number > n + 1),"
		" (SELECT coalesce(min(number) - 1, last_number) FROM settled WHERE number > n + 1)),"
		" NULL, 0, x'' FROM (SELECT 0 AS n UNION ALL SELECT number FROM job UNION ALL "
		" SELECT number FROM settled), state "
		"WHERE n < last_number AND NOT EXISTS (SELECT 1 FROM job WHERE number = n + 1) "
		"AND NOT EXISTS (SELECT 1 FROM settled WHERE number = n + 1)",
};

/* --- errors ------------------------------------------------------------------------ */

const char *audit_db_error(const struct audit_db *db) { return db->error; }

static int fail(struct audit_db *db, int code)
{
	(void) snprintf(db->error, sizeof(db->error), "%s",
	                db->handle ? sqlite3_errmsg(db->handle) : sqlite3_errstr(code));
	switch (code & 0xff) {
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_FORMAT:
	case SQLITE_ERROR: /* a table or column that is not there */
		return -EUCLEAN;
	case SQLITE_PERM:
	case SQLITE_AUTH:
	case SQLITE_READONLY: /* its shared memory cannot be made */
		return -EACCES;
	default:
		return -EIO;
	}
}

PRINTF_LIKE(3, 4) static int fail_with(struct audit_db *db, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void) vsnprintf(db->error, sizeof(db->error), format, args);
	va_end(args);
	return error;
}

/* --- opening ----------------------------------------------------------------------- */

static char *beside(const struct audit_db *db, const char *suffix)
{
	char *path = NULL;
	return asprintf(&path, "%s%s", db->path, suffix) < 0 ? NULL : path;
}

/* The daemon holds an exclusive lock on PATH.lock for as long as it runs. */
bool audit_db_is_in_use(const struct audit_db *db)
{
	struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET };
	char *path = beside(db, ".lock");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY) : -1;
	bool held = fd >= 0 && fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;

	if (fd >= 0)
		(void) close(fd);
	free(path);
	return held;
}

bool audit_db_was_in_use(const struct audit_db *db) { return db->was_in_use; }

/* Whether there is a write-ahead log that says more than the database itself. */
static bool has_wal(const struct audit_db *db)
{
	char *path = beside(db, "-wal");
	struct stat st;
	bool has = !path || (stat(path, &st) == 0 && st.st_size > 0);

	free(path);
	return has;
}

/* "file:" and the path, with what has a meaning in a URI encoded. */
static char *make_uri(const struct audit_db *db, bool immutable)
{
	struct buf b = { 0 };

	buf_add_str(&b, "file:");
	for (const char *p = db->path; *p != '\0'; p++) {
		if (strchr("%?#", *p))
			buf_printf(&b, "%%%02X", (unsigned) *p);
		else
			buf_add_char(&b, *p);
	}
	buf_add_str(&b, immutable ? "?mode=ro&immutable=1" : "?mode=ro");
	buf_add_char(&b, '\0');
	if (b.failed)
		buf_done(&b);
	return b.data;
}

static int number_of(struct audit_db *db, const char *sql, uint64_t *ret_value)
{
	sqlite3_stmt *s = NULL;
	int code = sqlite3_prepare_v2(db->handle, sql, -1, &s, NULL);

	if (code == SQLITE_OK)
		code = sqlite3_step(s);
	int r = code == SQLITE_ROW ? 0 : fail(db, code);
	if (r == 0)
		*ret_value = (uint64_t) sqlite3_column_int64(s, 0);
	(void) sqlite3_finalize(s);
	return r;
}

/* The snapshot begins with the first thing that is read. */
static int begin(struct audit_db *db)
{
	uint64_t application = 0, version = 0;

	int code = sqlite3_exec(db->handle, "PRAGMA query_only = ON; PRAGMA cache_size = -8192; BEGIN",
	                        NULL, NULL, NULL);
	int r = code == SQLITE_OK ? 0 : fail(db, code);
	if (r == 0)
		r = number_of(db, "PRAGMA application_id", &application);
	if (r == 0)
		r = number_of(db, "PRAGMA user_version", &version);
	if (r < 0)
		return r;
	if (application != DB_APPLICATION_ID)
		return fail_with(db, -EUCLEAN, "this is not a backlog's database");
	if (version != DB_SCHEMA_VERSION)
		return fail_with(db, -EPROTO, "it was made by another version of penstock (schema %" PRIu64
		                 ", not %d)", version, DB_SCHEMA_VERSION);
	code = sqlite3_prepare_v2(db->handle, rows_sql, -1, &db->rows, NULL);
	return code == SQLITE_OK ? 0 : fail(db, code);
}

/*
 * Without a daemon, and without a log that says more, the file is read as one that never
 * changes: SQLite then makes no files beside it, which the daemon's user could not write to
 * later.
 */
static int connect_to(struct audit_db *db)
{
	db->was_in_use = audit_db_is_in_use(db);
	char *uri = make_uri(db, !db->was_in_use && !has_wal(db));
	if (!uri)
		return fail_with(db, -ENOMEM, "out of memory");

	int code = sqlite3_open_v2(uri, &db->handle,
	                           SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX |
	                                   SQLITE_OPEN_EXRESCODE, NULL);
	free(uri);
	if (code != SQLITE_OK)
		return fail(db, code);
	(void) sqlite3_busy_timeout(db->handle, 5000);
	return begin(db);
}

static int check_file(struct audit_db *db)
{
	struct stat st;

	if (stat(db->path, &st) == 0 && S_ISDIR(st.st_mode))
		return fail_with(db, -EISDIR, "is a directory; name the database in it");
	if (access(db->path, R_OK) == 0)
		return 0;
	int err = errno;
	return fail_with(db, -err, "%s%s", strerror(err),
	                 err == EACCES ? "; ask as root, or as the user that penstockd runs as" : "");
}

int audit_db_open(const char *path, struct audit_db **ret_db, struct buf *errors)
{
	struct audit_db *db = calloc(1, sizeof(*db));
	if (db)
		db->path = strdup(path);
	if (!db || !db->path) {
		free(db);
		buf_add_str(errors, "out of memory\n");
		return -ENOMEM;
	}

	int r = check_file(db);
	if (r == 0)
		r = connect_to(db);
	if (r < 0) {
		buf_printf(errors, "%s: %s\n", path, db->error);
		audit_db_close(db);
		return r;
	}
	*ret_db = db;
	return 0;
}

struct audit_db *audit_db_close(struct audit_db *db)
{
	if (db) {
		(void) sqlite3_finalize(db->rows);
		(void) sqlite3_close(db->handle);
		free(db->path);
		free(db);
	}
	return NULL;
}

/* --- counting ---------------------------------------------------------------------- */

struct question {
	const char *sql;
	uint64_t *answer;
};

int audit_db_totals(struct audit_db *db, struct audit_totals *ret_totals)
{
	struct audit_totals t = { 0 };
	const struct question questions[] = {
		{ "SELECT last_number FROM state", &t.last_number },
		{ "SELECT accepted FROM state", &t.accepted },
		{ "SELECT done FROM state", &t.settled[OUTCOME_DONE] },
		{ "SELECT dead FROM state", &t.settled[OUTCOME_DEAD] },
		{ "SELECT cancelled FROM state", &t.settled[OUTCOME_CANCELLED] },
		{ "SELECT last_seq FROM state", &t.last_seq },
		{ "SELECT mark_seq FROM state", &t.mark_seq },
		{ "SELECT count(*) FROM job", &t.jobs },
		{ "SELECT max(coalesce((SELECT max(number) FROM job), 0), "
		  "coalesce((SELECT max(number) FROM settled), 0))", &t.greatest_number },
		{ "SELECT count(*) FROM settled", &t.rows },
		{ "SELECT coalesce(min(seq), 0) FROM settled", &t.first_row },
		{ "SELECT coalesce(max(seq), 0) FROM settled", &t.last_row },
		{ "SELECT count(*) FROM settled WHERE outcome = 0", &t.row_outcomes[OUTCOME_DONE] },
		{ "SELECT count(*) FROM settled WHERE outcome = 1", &t.row_outcomes[OUTCOME_DEAD] },
		{ "SELECT count(*) FROM settled WHERE outcome = 2", &t.row_outcomes[OUTCOME_CANCELLED] },
	};

	for (size_t i = 0; i < ARRAY_LEN(questions); i++) {
		int r = number_of(db, questions[i].sql, questions[i].answer);
		if (r < 0)
			return r;
	}
	*ret_totals = t;
	return 0;
}

/* --- rows -------------------------------------------------------------------------- */

void audit_row_add_id(const struct audit_row *row, struct buf *b)
{
	if (row->id)
		buf_add_str(b, row->id);
	else
		buf_printf(b, "p-%llu", (unsigned long long) row->number);
}

static void read_row(sqlite3_stmt *s, struct audit_row *ret_row)
{
	*ret_row = (struct audit_row) {
		.seq = (uint64_t) sqlite3_column_int64(s, 0),
		.number = (uint64_t) sqlite3_column_int64(s, 1),
		.id = (const char *) sqlite3_column_text(s, 2),
		.outcome = sqlite3_column_int(s, 3),
		.line = sqlite3_column_blob(s, 4),
		.line_len = (size_t) sqlite3_column_bytes(s, 4),
	};
}

static int step(struct audit_db *db, uint64_t gap_seq)
{
	int code = sqlite3_step(db->rows);

	db->gap_seq = gap_seq;
	db->at_seq = code == SQLITE_ROW ? (uint64_t) sqlite3_column_int64(db->rows, 0) : UINT64_MAX;
	return code == SQLITE_ROW || code == SQLITE_DONE ? 0 : fail(db, code);
}

int audit_db_row_from(struct audit_db *db, uint64_t seq, struct audit_row *ret_row)
{
	bool stands_on = db->at_seq > 0 && db->gap_seq <= seq && seq <= db->at_seq;
	int r = 0;

	if (!stands_on) {
		if (db->at_seq == 0 || db->at_seq + 1 != seq) {
			(void) sqlite3_reset(db->rows);
			(void) sqlite3_bind_int64(db->rows, 1, (sqlite3_int64) seq);
		}
		r = step(db, seq);
	}
	if (r < 0 || db->at_seq == UINT64_MAX)
		return r;
	read_row(db->rows, ret_row);
	return 1;
}

int audit_db_find(struct audit_db *db, enum audit_flaw flaw,
                  void (*found)(void *arg, const struct audit_row *row), void *arg)
{
	struct audit_row row;
	sqlite3_stmt *s = NULL;
	int code = sqlite3_prepare_v2(db->handle, flaws_sql[flaw], -1, &s, NULL);

	while (code == SQLITE_OK || code == SQLITE_ROW) {
		code = sqlite3_step(s);
		if (code != SQLITE_ROW)
			break;
		read_row(s, &row);
		found(arg, &row);
	}
	int r = code == SQLITE_DONE ? 0 : fail(db, code);
	(void) sqlite3_finalize(s);
	return r;
}
