/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the SQLite backlog share.
 *
 *     submit, query ─► lists ─► writer: one round = one transaction ─► commit ─► tell
 *     settle, mark  ─►   "                                             (no lock held)
 *     take ◄── the taker's own snapshot, minus claims, lane after lane (turns.h)
 *
 * A round: gather() moves what waits to it (sqlite_round.c), sqlite_commit() applies it
 * (sqlite_write.c, sqlite_add.c, sqlite_settle.c, sqlite_lanes.c), and finish() makes it known
 * (sqlite_writer.c).
 */
#ifndef PENSTOCK_BACKLOG_SQLITE_PARTS_H
#define PENSTOCK_BACKLOG_SQLITE_PARTS_H

#include "backlog/claims.h"
#include "backlog/sqlite.h"
#include "backlog/sqlite_db.h"
#include "backlog/submissions.h"
#include "backlog/turns.h"
#include "base/clock.h"
#include "base/sync.h"
#include "job/url.h"

#include <pthread.h>

/* How long a disk that fails is left alone. */
#define RETRY_NS NS_PER_S

/* Work for one transaction, so that whoever comes next does not wait for long. */
enum {
	ROUND_MAX_ROWS = 4096,
	ROUND_MAX_BYTES = 16 * 1024 * 1024,
	ROUND_MAX_WOKEN = 1024,   /* jobs that fell due */
	ROUND_MAX_LANES = 256,    /* that begin to rest, or whose rest is over */
	ROUND_MIN_RESTS = 64,     /* that are worth a round, if none is urgent */
	ROUND_MAX_FORGOTTEN = 256, /* settled rows */
	ROUND_MAX_REQUEUED = 256,
	ROUND_MAX_GONE = 64,       /* rows whose deletion is put off */
};

/* What 'bytes' of jobs may add to the files: once in the log, once in the database, and
 * in the log also pages that they only touch. */
static inline uint64_t disk_bytes(uint64_t bytes) { return 2 * bytes + 8 * DB_PAGE_BYTES; }

/* Claims are not in the database: giving one back is a matter of memory. */
static inline bool is_mere_return(const struct verdict *v)
{
	return v->kind == VERDICT_RETURN && v->due_ns == 0;
}

/* A thread that waits for the writer: with verdicts, or with a mark. */
struct request {
	const struct verdict *verdicts;
	size_t n;
	const char *mark; /* NULL: verdicts */
	uint64_t mark_seq;

	bool ended;
	int error;
	struct request *next;
};

/* What the database says of itself, as far as it is committed. */
struct totals {
	uint64_t last_number;
	uint64_t accepted;
	uint64_t settled[OUTCOMES];
	uint64_t last_seq;
	uint64_t mark_seq;
	uint64_t remembered_seq; /* the oldest settled row; 0: none */
	uint64_t last_lane;      /* id */
	size_t jobs;             /* rows */
	size_t delayed[WAIT_REASONS]; /* rows that are not due, by reason */
	size_t resting[WAIT_REASONS]; /* rows in state 0 whose lane rests, by reason */
};

static inline size_t totals_delayed(const struct totals *t)
{
	size_t n = 0;

	for (enum wait_reason why = 0; why < WAIT_REASONS; why++)
		n += wait_is_delay(why) ? t->delayed[why] : 0;
	return n;
}

/* A job's row that has fallen due, and its lane. */
struct woken {
	uint64_t lane;
	struct place place;
};

/* A lane that begins to rest. */
struct rest {
	uint64_t lane;
	enum wait_reason why;
	uint64_t until_ns;
};

/* Lanes whose rest is over. */
struct lane_ids {
	bool all;
	size_t n;
	uint64_t ids[ROUND_MAX_LANES];
};

/* What a round does to one lane's row. */
struct lane_change {
	uint64_t lane;
	int64_t jobs, waiting;
	struct place accepted; /* the earliest of its new jobs that are not delayed */
	bool deleted;          /* the row is gone */
};

struct lane_changes {
	struct lane_change *all;
	size_t n, size;
	uint32_t *index;    /* a hash table: at + 1 in 'all'; 0: empty */
	size_t index_size;  /* a power of two, at least twice 'size' */
};

/* A job's row that is yet to be written.  The names are the job's, which is there until then. */
struct new_row {
	struct place place;
	enum row_state state;
	uint64_t lane;
	int64_t ready_us, accepted_us, deadline_us; /* the last 0: none */
	size_t bytes;
	const char *source, *id; /* or NULL */
	size_t spec_at, spec_len;
};

/* The ids of some lanes by name, so that not every job looks for its own; by hash.  Of 1,000 lanes
 * four in five have a place to themselves. */
enum { LANE_NAMES = 4096 };
struct lane_name {
	char *origin; /* owned; NULL: empty */
	uint64_t lane;
};

/* FIFOs. */
struct query_list {
	struct query *first, *last;
};

struct request_list {
	struct request *first, *last;
};

static inline void query_list_append(struct query_list *list, struct query *query)
{
	query->next = NULL;
	if (list->last)
		list->last->next = query;
	else
		list->first = query;
	list->last = query;
}

static inline struct query *query_list_take(struct query_list *list)
{
	struct query *query = list->first;

	if (query)
		list->first = query->next;
	if (!list->first)
		list->last = NULL;
	return query;
}

struct round {
	struct submission_list accepted; /* they fit, and are written */
	struct submission_list refused;
	struct request_list requests;
	struct query_list queries;
	bool timer; /* a time has come: due jobs, forgetting, the disk again */

	uint64_t now_ns;
	int64_t wall_us;
	size_t jobs, bytes, rows; /* of what is accepted, for the bounds */

	struct totals totals;
	size_t added;             /* new jobs */
	size_t forgotten;
	bool changed;             /* the database */
	int64_t deadline_us;      /* the first of the new jobs'; 0: none has one */
	bool ready;               /* something can be taken that could not before */
	bool expiring;            /* the listener is to be told so */
	bool rests_due;           /* the rests are worth the round */
	size_t rests_n;
	size_t woken_n;
	size_t opened_n;          /* lanes whose time has come */

	/* Of these the numbers above say what counts. */
	struct lane_ids opens;
	struct rest rests[ROUND_MAX_LANES];
	struct woken woken[ROUND_MAX_WOKEN];
	uint64_t opened[ROUND_MAX_LANES];
};

/* Whose trouble with the disk. */
enum trouble { TROUBLE_WRITE, TROUBLE_CHECKPOINT, TROUBLE_READ, TROUBLES };

struct source_name {
	struct source_name *next;
	char text[];
};

struct sqlite_backlog {
	struct backlog base;
	struct sqlite_backlog_options options; /* immutable */
	char *path;
	char *wal_path;
	int lock_fd;

	/* The writer's (before it starts, the opener's). */
	struct db db;
	struct url_parser *parser;
	struct buf why;          /* of the job at hand */
	struct new_row new[DB_ROWS]; /* rows of this round that are yet to be written… */
	size_t new_n;
	struct buf specs;        /* …and what their jobs are */
	const struct verdict *records[DB_ROWS]; /* those that are yet to be written… */
	size_t records_n;
	uint64_t gone[ROUND_MAX_GONE]; /* …and rows yet to be deleted */
	size_t gone_n;
	struct round *round;
	struct totals before;    /* this round */
	uint64_t used_pages;     /* of the database, as committed */
	uint64_t wal_bytes;      /* the log's file, which keeps its length when it begins anew */
	uint64_t wal_pages;      /* in the log after the last commit */
	uint64_t copied_pages;   /* of them, when last asked, into the database */
	uint64_t checkpoint_pages; /* how many more are worth it */
	uint64_t checkpoint_after_ns;
	uint64_t forget_after_ns;
	int64_t next_due_us;     /* INT64_MAX: no job is delayed, and no lane rests */
	struct lane_changes changes;
	struct lane_name names[LANE_NAMES];
	pthread_t writer;

	/* The taker's: one thread at a time. */
	struct db taker;
	struct url_parser *taker_parser;
	bool scanning;       /* it looks for lanes that are not listed… */
	uint64_t scanned;    /* …behind this one */

	/* Whoever has 'asking'. */
	struct db asker;

	pthread_t reader;

	struct mutex lock;
	struct cond work;     /* of the writer: gather() finds something, or stopping */
	struct cond answered; /* request.ended of some request */
	struct cond asked;    /* !asking */
	struct cond reading;  /* of the reader: 'reads' has something, or stopping */

	struct submission_list submissions GUARDED_BY(lock);
	struct request_list requests GUARDED_BY(lock);
	struct query_list queries GUARDED_BY(lock);
	struct query_list reads GUARDED_BY(lock); /* those for the reader */
	bool closed GUARDED_BY(lock);
	bool stopping GUARDED_BY(lock);
	bool asking GUARDED_BY(lock);

	struct claims claims GUARDED_BY(lock);
	struct turns turns GUARDED_BY(lock);
	struct lane_ids opens GUARDED_BY(lock); /* for the writer: they rest no more */
	uint64_t told GUARDED_BY(lock);         /* the last number that 'accepted' was told of */
	bool out_full GUARDED_BY(lock);         /* a take has stopped at max_out_bytes… */
	bool expired_wait GUARDED_BY(lock);     /* …one of expired jobs, too */
	int64_t expires_us GUARDED_BY(lock); /* no job in it expires earlier; INT64_MAX: none does */
	bool expiring GUARDED_BY(lock);      /* that has become earlier, and is to be told */
	struct source_name *sources GUARDED_BY(lock);

	struct totals totals GUARDED_BY(lock);
	uint64_t held_bytes GUARDED_BY(lock);
	uint64_t free_bytes GUARDED_BY(lock);
	uint64_t looked_ns GUARDED_BY(lock); /* when that was so; 0: look again */
	uint64_t retry_ns GUARDED_BY(lock);  /* the next attempt at a disk that fails; 0: it works */
	uint64_t commits GUARDED_BY(lock);
	struct histogram commit_times; /* needs no lock */
	int errors[TROUBLES] GUARDED_BY(lock);
	unsigned blocked GUARDED_BY(lock);
	uint64_t blocked_ns GUARDED_BY(lock); /* ended waits, minus the start of each that goes on */
};

/* --- sqlite.c ------------------------------------------------------------------------- */

extern const struct backlog_ops sqlite_ops;

NONNULL(1) void sqlite_notify_ready(struct sqlite_backlog *q);

NONNULL(1) void sqlite_notify_expiring(struct sqlite_backlog *q);

/* A job is in that has this deadline; 0: it has none. */
NONNULL(1) void sqlite_expect(struct sqlite_backlog *q, int64_t deadline_us) REQUIRES(q->lock);

/* Whether the listener is to be told, which it is to be once. */
NODISCARD NONNULL(1) bool sqlite_is_expiring(struct sqlite_backlog *q) REQUIRES(q->lock);

/* Keeps what is (0: no longer) wrong.  Returns whether it is the first failure or the end of
 * all, which is to be told. */
NODISCARD NONNULL(1)
bool sqlite_set_trouble(struct sqlite_backlog *q, enum trouble which, int error) REQUIRES(q->lock);
NONNULL(1, 3) void sqlite_tell_trouble(struct sqlite_backlog *q, int error, const char *text);

/* Both. */
NONNULL(1, 4)
void sqlite_trouble(struct sqlite_backlog *q, enum trouble which, int error, const char *text);

/* A name that lives as long as the backlog; NULL for NULL, and without memory. */
NONNULL(1) const char *sqlite_intern(struct sqlite_backlog *q, const char *source);

/* The job of a row that DB_JOB has found.  Returns 0, -ENOMEM or -EUCLEAN (with db->text). */
NODISCARD NONNULL(1, 2, 3, 5)
int sqlite_read_job(struct sqlite_backlog *q, struct db *db, struct url_parser *parser,
                    uint64_t number, struct job **ret_job);

/* The claim on the job of the row that DB_JOB has found. */
NONNULL(1) struct claim sqlite_claim_on(struct db *db, uint64_t number);

/* A job is out, or no more.  The first returns 0 or -ENOMEM; the second, whether a take had
 * stopped because too much was out. */
NODISCARD NONNULL(1, 2)
int sqlite_claim(struct sqlite_backlog *q, const struct claim *wanted) REQUIRES(q->lock);
NONNULL(1, 2)
bool sqlite_release_claim(struct sqlite_backlog *q, struct claim *claim) REQUIRES(q->lock);

/* Whether lanes' rests shall be written down now, and not only when there is a round. */
static inline bool sqlite_rests_are_due(const struct sqlite_backlog *q) REQUIRES(q->lock)
{
	return q->turns.n_urgent > 0 || q->turns.n_unwritten >= ROUND_MIN_RESTS;
}

/* Has the writer note that the lane rests no more. */
NONNULL(1) void sqlite_ask_to_open(struct sqlite_backlog *q, uint64_t lane) REQUIRES(q->lock);

/* Enters a request and waits for its end; returns its error. */
NODISCARD NONNULL(1, 2) int sqlite_request(struct sqlite_backlog *q, struct request *request);

/* --- sqlite_open.c ---------------------------------------------------------------------- */

/* Frees all but the threads. */
NONNULL(1) void sqlite_release(struct sqlite_backlog *q);

/* --- sqlite_round.c: what goes into a round ---------------------------------------------- */

/* Waits for work and gathers it.  Returns false if the writer shall stop. */
NODISCARD NONNULL(1, 2) bool sqlite_gather(struct sqlite_backlog *q, struct round *r);

/* How many pages of the database are in use.  In a transaction, which has the locks for it: alone
 * each question would take and give them.  Returns 0, or an error with db->text. */
NODISCARD NONNULL(1, 2) int sqlite_count_pages(struct sqlite_backlog *q, uint64_t *ret_pages);

/* Measures files and disk, with q->used_pages. */
NONNULL(1) void sqlite_measure(struct sqlite_backlog *q);

/* Puts submissions that waited back to the front of the line after a failure; the others
 * stay in 'list'. */
NONNULL(1, 2) void sqlite_put_back(struct sqlite_backlog *q, struct submission_list *list)
	REQUIRES(q->lock);

/* The submission waits no more. */
NONNULL(1, 2) void sqlite_unblock(struct sqlite_backlog *q, struct submission *s) REQUIRES(q->lock);

/* Is there room for 'n' more jobs of 'bytes', beside what the round has taken?  0 or why not. */
NODISCARD NONNULL(1, 2)
int sqlite_room(const struct sqlite_backlog *q, const struct round *r, size_t n, size_t bytes)
	REQUIRES(q->lock);

/* --- sqlite_write.c: the transaction ------------------------------------------------------ */

/* Applies the round and commits it.  Returns 0, or -Exxx (with db->text) and nothing has
 * changed. */
NODISCARD NONNULL(1, 2) int sqlite_commit(struct sqlite_backlog *q, struct round *r);

/* --- sqlite_add.c: new jobs, in the transaction -------------------------------------------- */

/* Adds the jobs of a submission to the round's figures and, some of them later, to the table. */
NODISCARD NONNULL(1, 2, 3)
int sqlite_apply_submission(struct sqlite_backlog *q, struct round *r, const struct submission *s);

/* Adds one job, and writes it and all rows that are yet to be written. */
NODISCARD NONNULL(1, 2, 3)
int sqlite_add_job(struct sqlite_backlog *q, struct round *r, const struct job *job);

/* Writes the rows that are yet to be written, or drops them. */
NODISCARD NONNULL(1) int sqlite_flush_jobs(struct sqlite_backlog *q);
NONNULL(1) void sqlite_forget_jobs(struct sqlite_backlog *q);

/* --- sqlite_lanes.c: the rows of lanes, in the transaction -------------------------------- */

/* The id of a lane, with a row made for it if there is none. */
NODISCARD NONNULL(1, 2, 3, 4)
int sqlite_lane(struct sqlite_backlog *q, struct round *r, const char *origin, uint64_t *ret_lane);

/* What the round does to this lane; NULL, with db->text, if there is no memory. */
NODISCARD NONNULL(1) struct lane_change *sqlite_change_lane(struct sqlite_backlog *q, uint64_t lane);

/* Writes down which lanes rest, and which no more. */
NODISCARD NONNULL(1, 2) int sqlite_turn_lanes(struct sqlite_backlog *q, struct round *r);

/* Writes the changes down, and removes rows of lanes that have no jobs any more. */
NODISCARD NONNULL(1, 2) int sqlite_flush_lanes(struct sqlite_backlog *q, struct round *r);

/* After a round; with 'failed' also what was learned in it is forgotten. */
NONNULL(1) void sqlite_clear_lanes(struct sqlite_backlog *q, bool failed);
NONNULL(1) void sqlite_free_lanes(struct sqlite_backlog *q);

/* --- sqlite_settle.c: verdicts, marks and time, in the transaction ------------------------ */

NODISCARD NONNULL(1, 2, 3)
int sqlite_apply_request(struct sqlite_backlog *q, struct round *r, const struct request *w);
NODISCARD NONNULL(1, 2) int sqlite_wake_due(struct sqlite_backlog *q, struct round *r);

/* When a verdict's job falls due again; 0: at once. */
NONNULL(1, 2) int64_t sqlite_due_us(const struct round *r, const struct verdict *v);

/* A time of CLOCK_MONOTONIC as the round's wall clock has it. */
static inline int64_t sqlite_wall_us(const struct round *r, uint64_t ns)
{
	uint64_t left_ns = ns > r->now_ns ? ns - r->now_ns : 0;
	return r->wall_us + (int64_t) ((left_ns + NS_PER_US - 1) / NS_PER_US);
}

/* Copies the log into the database if it has grown long.  Returns whether it tried.  Before
 * the first time, prepare. */
NONNULL(1) void sqlite_prepare_checkpoints(struct sqlite_backlog *q);
NONNULL(1) bool sqlite_checkpoint(struct sqlite_backlog *q);

/* --- sqlite_writer.c: the thread ----------------------------------------------------------- */

void *sqlite_writer_run(void *arg);

/* --- sqlite_query.c ------------------------------------------------------------------------ */

/* In the transaction: QUERY_REQUEUE.  Its own failures go to query->error; returns what fails the
 * round. */
NODISCARD NONNULL(1, 2, 3)
int sqlite_requeue(struct sqlite_backlog *q, struct round *r, struct query *query);

/* In the transaction: QUERY_PAUSE and QUERY_RESUME. */
NODISCARD NONNULL(1, 2) int sqlite_remember_pause(struct sqlite_backlog *q, const struct query *query);

/* After it: the other kinds. */
NONNULL(1, 2) int sqlite_answer(struct sqlite_backlog *q, struct query *query);

void sqlite_query(struct backlog *b, struct query *query);

/* Does the query change the database? */
static inline bool query_writes(const struct query *query)
{
	return query->kind == QUERY_REQUEUE || query->kind == QUERY_PAUSE ||
	       query->kind == QUERY_RESUME;
}

/* --- sqlite_reader.c: the thread that reads records ------------------------------------------ */

NODISCARD NONNULL(1) int sqlite_reader_start(struct sqlite_backlog *q);

/* Sets q->stopping, and waits for its end.  No query may be under way. */
NONNULL(1) void sqlite_reader_join(struct sqlite_backlog *q);

/* Is the query the reader's? */
static inline bool query_reads(const struct query *query)
{
	return query->kind == QUERY_RECORDS || query->kind == QUERY_SEEK;
}

/* --- sqlite_history.c ---------------------------------------------------------------------- */

/* One asks at a time, with no lock held; may wait for whoever does. */
NODISCARD NONNULL(1) struct db *sqlite_begin_asking(struct sqlite_backlog *q);
NONNULL(1) void sqlite_end_asking(struct sqlite_backlog *q);

int sqlite_cursor(struct backlog *b, const char *source, struct buf *cursor);
int sqlite_history(struct backlog *b, uint64_t after_seq, struct buf *lines,
                   uint64_t *ret_last_seq);
int sqlite_mark(struct backlog *b, uint64_t seq, const char *text);
int sqlite_marked(struct backlog *b, uint64_t *ret_seq, struct buf *text);
int sqlite_paused(struct backlog *b, struct buf *origins);

/* --- sqlite_take.c ------------------------------------------------------------------------- */

size_t sqlite_take(struct backlog *b, uint64_t now_ns, size_t room,
                   const struct backlog_gate *gate, struct job **ret_jobs,
                   uint64_t *ret_next_due_ns);
void sqlite_open_lane(struct backlog *b, const char *origin);

/* Takes the job with this number, unless that is larger than 'told', in a read transaction of the
 * taker, between claims_begin_take() and claims_end_take().  Returns 1; or 0 if it is out or for
 * later, -EDQUOT if so much is out already, or, with q->taker.text, -EUCLEAN or another error. */
NODISCARD NONNULL(1, 4)
int sqlite_take_job(struct sqlite_backlog *q, uint64_t told, uint64_t number, struct job **ret_job);

/* --- sqlite_expire.c ------------------------------------------------------------------------ */

size_t sqlite_take_expired(struct backlog *b, int64_t wall_us, size_t room,
                           struct job **ret_jobs, int64_t *ret_next_wall_us);

#endif
