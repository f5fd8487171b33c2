/* SPDX-License-Identifier: Apache-2.0 */
/* What was: records, marks, places of sources, pauses; on the asker's connection, whose thread
 * may wait for the disk. */
#include "backlog/sqlite_parts.h"

#include <errno.h>

enum { HISTORY_BYTES = 256 * 1024 };

/* One asks at a time; the database is read with no lock held. */
struct db *sqlite_begin_asking(struct sqlite_backlog *q)
{
	mutex_lock(&q->lock);
	while (q->asking)
		(void) cond_wait(&q->asked, &q->lock, NEVER);
	q->asking = true;
	mutex_unlock(&q->lock);
	return &q->asker;
}

void sqlite_end_asking(struct sqlite_backlog *q)
{
	mutex_lock(&q->lock);
	q->asking = false;
	cond_signal(&q->asked);
	mutex_unlock(&q->lock);
}

int sqlite_cursor(struct backlog *b, const char *source, struct buf *cursor)
{
	struct sqlite_backlog *q = (struct sqlite_backlog *) b;
	struct db *db = sqlite_begin_asking(q);

	db_bind_text(db, DB_CURSOR, 1, source);
	int err = db_next(db, DB_CURSOR);
	if (err == 1) {
		buf_add_str(cursor, db_text(db, DB_CURSOR, 0));
		db_end(db, DB_CURSOR);
		err = cursor->failed ? -ENOMEM : 0;
	}
	sqlite_end_asking(q);
	return err;
}

int sqlite_marked(struct backlog *b, uint64_t *ret_seq, struct buf *text)
{
	struct sqlite_backlog *q = (struct sqlite_backlog *) b;
	struct db *db = sqlite_begin_asking(q);

	int err = db_next(db, DB_MARKED);
	if (err == 1) {
		buf_add_str(text, db_text(db, DB_MARKED, 1));
		*ret_seq = db_u64(db, DB_MARKED, 0);
		db_end(db, DB_MARKED);
		err = text->failed ? -ENOMEM : 0;
	}
	sqlite_end_asking(q);
	return err;
}

int sqlite_paused(struct backlog *b, struct buf *origins)
{
	struct sqlite_backlog *q = (struct sqlite_backlog *) b;
	struct db *db = sqlite_begin_asking(q);
	int err = 0;

	while ((err = db_next(db, DB_PAUSED)) == 1) {
		buf_add_str(origins, db_text(db, DB_PAUSED, 0));
		buf_add_char(origins, '\0');
	}
	sqlite_end_asking(q);
	return err < 0 ? err : origins->failed ? -ENOMEM : 0;
}

int sqlite_mark(struct backlog *b, uint64_t seq, const char *text)
{
	return sqlite_request((struct sqlite_backlog *) b,
	                      &(struct request) { .mark = text, .mark_seq = seq });
}

/* The statement that gives the rows is open all the while, so 'last_seq' is of the same
 * moment.  Stores the last record's number; 'after_seq' if there is none. */
static int read_history(struct db *db, uint64_t after_seq, struct buf *lines, uint64_t *ret_last_seq)
{
	size_t start = lines->len;
	uint64_t last = after_seq;
	int err = 0;

	db_bind_u64(db, DB_HISTORY, 1, after_seq);
	while (lines->len - start < HISTORY_BYTES && (err = db_next(db, DB_HISTORY)) == 1) {
		size_t n = 0;
		const void *line = db_bytes(db, DB_HISTORY, 1, &n);
		if (db_u64(db, DB_HISTORY, 0) != last + 1) {
			err = last == after_seq ? -ENOENT : -EUCLEAN;
			break;
		}
		buf_add(lines, line, n);
		last++;
	}
	db_end(db, DB_HISTORY);
	if (err < 0 || lines->failed)
		return err < 0 ? err : -ENOMEM;
	*ret_last_seq = last;
	return 0;
}

int sqlite_history(struct backlog *b, uint64_t after_seq, struct buf *lines,
                   uint64_t *ret_last_seq)
{
	struct sqlite_backlog *q = (struct sqlite_backlog *) b;
	size_t start = lines->len;
	uint64_t last = after_seq;

	/* Before the rows: it may be too small by then, but never too large. */
	mutex_lock(&q->lock);
	uint64_t last_seq = q->totals.last_seq;
	mutex_unlock(&q->lock);

	int err = read_history(sqlite_begin_asking(q), after_seq, lines, &last);
	sqlite_end_asking(q);
	if (err == 0 && last == after_seq && after_seq < last_seq)
		err = -ENOENT;
	if (err < 0) {
		lines->len = start;
		return err;
	}
	*ret_last_seq = last;
	return 0;
}

uint64_t sqlite_backlog_poisoned(struct backlog *b, uint64_t after)
{
	struct sqlite_backlog *q = (struct sqlite_backlog *) b;
	struct db *db = sqlite_begin_asking(q);
	uint64_t number = 0;

	db_bind_u64(db, DB_NEXT_ASIDE, 1, after);
	if (db_next(db, DB_NEXT_ASIDE) == 1) {
		number = db_u64(db, DB_NEXT_ASIDE, 0);
		db_end(db, DB_NEXT_ASIDE);
	}
	sqlite_end_asking(q);
	return number;
}
