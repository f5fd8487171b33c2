/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread that reads records for whoever asks for them: a page, or a step of a search, after
 * the other, in the order of the questions, each in a short transaction of the asker's.  A search
 * that goes on waits behind those who have come meanwhile.  Nobody waits for the thread, neither
 * the writer nor who settles.
 */
#include "backlog/sqlite_parts.h"

#include "base/thread.h"

#include <errno.h>

/* That are looked at in one transaction, wanted or not: while it lasts, the WAL grows. */
enum { READ_MAX_ROWS = 4096 };

/* --- a page ---------------------------------------------------------------------------- */

/* The oldest record there is; that which comes next, if none is left. */
static int find_first(struct db *db, uint64_t last_seq, uint64_t *ret_seq)
{
	db_bind_u64(db, DB_RECORDS, 1, 0);
	int err = db_next(db, DB_RECORDS);
	*ret_seq = err == 1 ? db_u64(db, DB_RECORDS, 0) : last_seq + 1;
	db_end(db, DB_RECORDS);
	return err < 0 ? err : 0;
}

/* A number that no release has written is taken for the first. */
static enum outcome outcome_at(struct db *db, enum db_statement which)
{
	int64_t outcome = db_i64(db, which, 1);

	return outcome >= 0 && outcome < OUTCOMES ? (enum outcome) outcome : OUTCOME_DONE;
}

/* Looks at the row that DB_RECORDS is on.  Returns 1 if there is room for more, 0 or -ENOENT. */
static int read_row(struct db *db, struct record_range *range, struct buf *page)
{
	enum outcome outcome = outcome_at(db, DB_RECORDS);
	uint64_t seq = db_u64(db, DB_RECORDS, 0);
	const char *line = NULL;
	size_t n = 0;

	if (range->next_seq == 0)
		range->next_seq = seq;
	if (seq != range->next_seq)
		return -ENOENT;
	if ((range->outcomes >> outcome) & 1U)
		line = db_bytes(db, DB_RECORDS, 2, &n);
	return record_range_add(range, outcome, line ? line : "", n, page);
}

static int read_rows(struct db *db, struct record_range *range, struct buf *page)
{
	int err = record_range_is_over(range) ? 0 : 1;

	db_bind_u64(db, DB_RECORDS, 1, range->next_seq);
	for (int rows = 0; err == 1 && rows < READ_MAX_ROWS; rows++)
		if ((err = db_next(db, DB_RECORDS)) == 1)
			err = read_row(db, range, page);
	db_end(db, DB_RECORDS);
	return err < 0 ? err : page->failed ? -ENOMEM : 0;
}

/* 'last_seq' was read before: there may be more by now, but not less, unless it is forgotten. */
static int read_page(struct db *db, uint64_t last_seq, struct record_range *range, struct buf *page)
{
	uint64_t start = range->next_seq;

	int err = read_rows(db, range, page);
	if (range->next_seq == 0)
		range->next_seq = last_seq + 1; /* there are none at all */
	if (err == 0 && (range->next_seq != start || page->len > 0 || start > last_seq ||
	                 record_range_is_over(range)))
		return 0;
	if (err < 0 && range->next_seq != start && !page->failed)
		return 0; /* this page is whole; the next one will find what is wrong */
	if (err < 0 && err != -ENOENT)
		return err;
	err = find_first(db, last_seq, &range->first_seq);
	return err < 0 ? err : -ENOENT;
}

/* --- a search --------------------------------------------------------------------------- */

/* Looks at some rows before the one that it has reached.  Returns 1 if it shall go on, 0 or
 * -Exxx. */
static int look_back(struct db *db, struct record_range *range)
{
	int err = 0;

	db_bind_u64(db, DB_RECORDS_BACK, 1, range->reached_seq);
	for (int rows = 0; rows < READ_MAX_ROWS && (err = db_next(db, DB_RECORDS_BACK)) == 1; rows++) {
		if (!record_range_reaches(range, outcome_at(db, DB_RECORDS_BACK),
		                          db_i64(db, DB_RECORDS_BACK, 2), &range->reached)) {
			err = 0;
			break;
		}
		range->reached_seq = db_u64(db, DB_RECORDS_BACK, 0);
	}
	db_end(db, DB_RECORDS_BACK);
	return err;
}

/* A step of it.  Returns as look_back() does. */
static int seek(struct db *db, uint64_t last_seq, struct record_range *range)
{
	if (atomic_load_explicit(&range->given_up, memory_order_relaxed))
		return -EPIPE;
	if (range->reached_seq == 0)
		range->reached_seq = (last_seq < range->until_seq ? last_seq : range->until_seq) + 1;
	int err = look_back(db, range);
	if (err == 0 && range->reached_seq > range->next_seq)
		range->next_seq = range->reached_seq;
	return err;
}

/* --- the thread --------------------------------------------------------------------------- */

/* Returns 1 if there is more to be done for it; otherwise it is answered. */
static int answer(struct sqlite_backlog *q, struct query *query, uint64_t last_seq)
{
	struct db *db = sqlite_begin_asking(q);

	int err = query->kind == QUERY_SEEK
	                  ? seek(db, last_seq, query->range)
	                  : read_page(db, last_seq, query->range, &query->line);
	sqlite_end_asking(q);
	if (err != 1)
		query->done(query, err);
	return err;
}

static void *run(void *arg)
{
	struct sqlite_backlog *q = arg;
	struct query *unfinished = NULL;

	for (;;) {
		mutex_lock(&q->lock);
		if (unfinished)
			query_list_append(&q->reads, unfinished);
		while (!q->reads.first && !q->stopping)
			(void) cond_wait(&q->reading, &q->lock, NEVER);
		struct query *query = query_list_take(&q->reads);
		uint64_t last_seq = q->totals.last_seq;
		mutex_unlock(&q->lock);
		if (!query)
			return NULL;
		unfinished = answer(q, query, last_seq) == 1 ? query : NULL;
	}
}

int sqlite_reader_start(struct sqlite_backlog *q)
{
	return thread_start(&q->reader, "reader", THREAD_STACK_PARSER, run, q);
}

void sqlite_reader_join(struct sqlite_backlog *q)
{
	mutex_lock(&q->lock);
	q->stopping = true;
	cond_signal(&q->reading);
	mutex_unlock(&q->lock);
	thread_join(q->reader);
}
