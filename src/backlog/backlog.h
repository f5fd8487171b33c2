/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The backlog: where accepted jobs wait, and where they come back to.
 *
 *     submit ──► waiting ──take──► out (queue, worker, recorder) ──settle──► gone
 *                   ▲                                              │
 *                   └── delayed until due ◄── RETRY, RETURN, HOP ──┘
 *
 * take_expired() gets jobs out of both whose deadline has passed.
 *
 * Waiting jobs stand in lanes, one for each origin; take() serves the lanes in turn, and
 * asks of each how many jobs may come.  A lane that may have none rests: it costs nothing
 * until its time has come or it is opened.
 *
 * A job holds its place (one job, its bytes) from its acceptance to its final
 * verdict, so settling never needs room and nothing downstream can lock up.
 * backlog_submit() is the only way in.
 *
 * One interface, two implementations: memory.h, and sqlite.h, which is durable.
 * Every call is safe from any thread unless it says otherwise.
 */
#ifndef PENSTOCK_BACKLOG_BACKLOG_H
#define PENSTOCK_BACKLOG_BACKLOG_H

#include "backlog/records.h"
#include "base/attr.h"
#include "base/buf.h"
#include "base/histogram.h"
#include "job/job.h"
#include "job/result.h"
#include "job/wait.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct backlog;

/* --- submitting -------------------------------------------------------------------- */

enum receipt_kind {
	RECEIPT_ACCEPTED,
	RECEIPT_KNOWN,    /* a job with this id and the same content was accepted before */
	RECEIPT_CONFLICT, /* the id was used for other content: this job is not accepted */
};

struct receipt {
	enum receipt_kind kind;
	uint64_t number; /* the job's; the earlier one's for RECEIPT_KNOWN and RECEIPT_CONFLICT */
};

/*
 * A batch on its way in: all of it or nothing.  The caller's, and not to be touched
 * from backlog_submit() to 'done'.
 */
struct submission {
	struct job *const *jobs;
	size_t n;                 /* may be 0 if there is a cursor */
	struct receipt *receipts; /* n of them, filled before 'done' reports 0; NULL: not wanted */
	const char *source;       /* whose 'cursor' is remembered together with the jobs; */
	const char *cursor;       /* NULL for none.  Ignored by what is not durable */
	bool waits;               /* for room, and for a disk that works again; or is refused */

	/*
	 * Called once, with no lock held, by backlog_submit() or later by a thread of the
	 * backlog, which it must not hold up.  0: the jobs are the backlog's, and durable
	 * where it is.  Otherwise they are still the caller's:
	 *   -EPIPE     closed
	 *   -EMSGSIZE  so many, or so large, that they can never fit together: split them
	 *   -EAGAIN    max_jobs is reached          (these only if it does not wait)
	 *   -EDQUOT    max_bytes is reached
	 *   -ENOSPC    the disk has less free than it shall keep, or is full
	 *   -EIO, -EROFS, -EUCLEAN  the database cannot be written, or is damaged
	 *   -ENOMEM
	 */
	void (*done)(struct submission *s, int error);

	/* The backlog's own. */
	struct submission *next;
	size_t bytes;
	uint64_t since_ns;
	bool withdrawn;
	int error;
};

/* --- taking ------------------------------------------------------------------------ */

/* Why a lane may have no job, and until when. */
struct lane_rest {
	enum wait_reason why;
	uint64_t until_ns; /* CLOCK_MONOTONIC; NEVER: until backlog_open() */
};

/* Who says which lanes may have jobs. */
struct backlog_gate {
	/* How many more jobs of this lane may come; 0, with '*ret_rest': none for now.  Called
	 * with no lock held, by the thread that takes. */
	size_t (*room)(void *arg, const char *origin, struct lane_rest *ret_rest);
	void *arg;
};

/* --- settling ---------------------------------------------------------------------- */

enum verdict_kind {
	VERDICT_FINAL,  /* settled for good; the job's place is free again */
	VERDICT_RETRY,  /* make another attempt, not before 'due_ns', from its own URL on */
	VERDICT_RETURN, /* not attempted, or aborted by a stop: back to the front, or at 'due_ns' */
	VERDICT_HOP,    /* redirected: goes on at job->hop, in that origin's lane, at once */
};

struct verdict {
	struct job *job;
	enum verdict_kind kind;
	uint64_t due_ns; /* CLOCK_MONOTONIC; 0: at once.  Of VERDICT_RETRY and VERDICT_RETURN */
	enum wait_reason why; /* of a due_ns: WAIT_RETRY, WAIT_NAMES or WAIT_BODIES */

	/* Of VERDICT_FINAL; for a durable backlog, which keeps them. */
	enum outcome outcome;
	uint64_t seq;     /* of its record: 1, 2, 3… without a gap, in the order of settling */
	const char *line; /* the record, "{"seq":…}\n"; borrowed for the call */
	size_t line_len;
};

/* --- asking ------------------------------------------------------------------------ */

enum query_kind {
	QUERY_FIND,    /* where is it? */
	QUERY_TAKE,    /* hand it out, though it is not due: the caller settles it */
	QUERY_REQUEUE, /* make a new job of a dead one; of all dead ones without an id */
	QUERY_LANES,   /* which lanes have jobs?  Every backlog can */
	QUERY_PAUSE,   /* remember for the next start that the lane 'id' is paused, or without an id
	                * that everything is… */
	QUERY_RESUME,  /* …or no longer */

	/* Read beside all others, by a thread that nobody waits for: */
	QUERY_RECORDS, /* a page of records, into 'line'; 'range' says which, and goes on */
	QUERY_SEEK,    /* where the search in 'range' begins: moves its next_seq there */
};

/* A lane in the answer to QUERY_LANES. */
struct backlog_lane {
	size_t origin_at;       /* its name begins there in query->line, NUL-terminated */
	size_t jobs;            /* all, those that are out or delayed included */
	size_t waiting;         /* could be taken as far as they are concerned */
	int64_t oldest_wall_us; /* when the first of the waiting was accepted; 0: none waits */
	struct lane_rest rest;  /* as in struct query */
};

enum job_state {
	JOB_WAITING, /* could be taken now */
	JOB_DELAYED, /* until due_wall_us; WAIT_POISON: for good */
	JOB_OUT,     /* taken: in the queue, with a worker or the recorder */
	JOB_SETTLED,
};

/* No more than so many are counted. */
enum { QUERY_MAX_AHEAD = 10000 };

/* The caller's, and not to be touched from backlog_query() to 'done'. */
struct query {
	enum query_kind kind;
	const char *id;  /* as in results; borrowed */
	uint64_t number; /* QUERY_FIND, QUERY_TAKE without an id: by this; and part of the answer */

	/*
	 * Called as submission.done is.  0, or -ENOENT (no such job, or no longer
	 * remembered), -EBUSY (QUERY_TAKE: it is out), -EALREADY (QUERY_TAKE: it is
	 * settled), -EINVAL (QUERY_REQUEUE: it is not dead, or was requeued before),
	 * -EOPNOTSUPP (this backlog cannot), -EPIPE (closed), -ENOMEM, or what is wrong with the
	 * disk.
	 */
	void (*done)(struct query *q, int error);

	/* The answer; up to 'attempts' also with -EBUSY and -EALREADY.  Its texts are released by
	 * query_done(). */
	enum job_state state;
	int64_t accepted_wall_us;
	int64_t due_wall_us;  /* JOB_DELAYED */
	enum wait_reason why; /* JOB_DELAYED */
	size_t ahead;         /* JOB_WAITING: in its lane before it, at least (QUERY_MAX_AHEAD) */
	int64_t deadline_wall_us; /* not JOB_SETTLED: job_deadline() */
	struct lane_rest rest; /* JOB_WAITING: of its lane until a time, maybe since before this start;
	                        * until_ns 0: none that outlives the process */
	struct buf lane;      /* not JOB_SETTLED: its lane's name, NUL-terminated */
	uint32_t attempts;
	enum outcome outcome; /* JOB_SETTLED */
	struct buf line;      /* JOB_SETTLED: its record */
	struct job *job;      /* QUERY_TAKE: the caller's */
	uint64_t requeued;    /* QUERY_REQUEUE: new jobs */
	uint64_t new_number;  /* QUERY_REQUEUE with an id: the new job's */

	struct record_range *range; /* QUERY_RECORDS, QUERY_SEEK: the caller's.  -ENOENT: the record is
	                             * no longer remembered, and range->first_seq says which is */

	/* QUERY_LANES: the caller's array, filled with those that have most jobs, most first. */
	struct backlog_lane *lanes;
	size_t max_lanes;
	size_t n_lanes;       /* in the array */
	size_t all_lanes;     /* that there are */

	/* The backlog's own. */
	struct query *next;
	int error;
	uint64_t up_to_seq; /* of all dead jobs: those up to this record */
	uint64_t pending;   /* requeued, but not committed yet */
};

/* --- figures ----------------------------------------------------------------------- */

struct backlog_stats {
	size_t waiting;     /* could be taken now */
	size_t delayed;     /* not due yet */
	size_t by_reason[WAIT_REASONS]; /* both; what nothing is in the way of is WAIT_QUEUE */
	size_t held_jobs;   /* all that hold a place: waiting, delayed and out */
	uint64_t held_bytes; /* of memory, or of the database's files */
	size_t max_jobs;
	uint64_t max_bytes;
	uint64_t submitters_blocked_ns; /* summed over submissions, those that wait now included */
	unsigned submitters_blocked;    /* submissions that wait now */

	/* Of a durable backlog, since its first start. */
	uint64_t accepted;
	uint64_t settled[OUTCOMES];
	uint64_t last_seq;        /* of the newest record */
	uint64_t remembered_seq;  /* the oldest record that is still known; 0: none */
	uint64_t commits;         /* since this start… */
	struct histogram_figures commit_times; /* …and how long each took to be on disk */
	uint64_t free_bytes;      /* of its disk */
	uint64_t min_free_bytes;
	int error;                /* why it cannot be written now; 0 if it can */
};

/* Whether submissions wait, and none of the jobs that are there may run now.  With none there it is
 * the disk that they wait for. */
static inline bool backlog_is_blocked(const struct backlog_stats *s)
{
	return s->submitters_blocked > 0 && s->held_jobs > 0 && s->by_reason[WAIT_QUEUE] == 0 &&
	       s->waiting + s->delayed == s->held_jobs;
}

/* What is called, outside of every lock, by whichever thread brings it about. */
struct backlog_listener {
	/* backlog_take() may have something that it had not before. */
	void (*ready)(void *arg);
	/* The same of backlog_take_expired(), or will earlier than it has said. */
	void (*expiring)(void *arg);
	/* 'n' jobs have been accepted: told before 'done', and before ready(). */
	void (*accepted)(void *arg, size_t n);
	/* The disk: 'error' < 0 once it fails, with words about it; 0 once it works again. */
	void (*trouble)(void *arg, int error, const char *text);
	void *arg;
};

/* --- the interface ----------------------------------------------------------------- */

/* One implementation; the functions below say what each must do. */
struct backlog_ops {
	void (*submit)(struct backlog *b, struct submission *s);
	bool (*withdraw)(struct backlog *b, struct submission *s);
	size_t (*take)(struct backlog *b, uint64_t now_ns, size_t room,
	               const struct backlog_gate *gate, struct job **ret_jobs,
	               uint64_t *ret_next_due_ns);
	size_t (*take_expired)(struct backlog *b, int64_t wall_us, size_t room,
	                       struct job **ret_jobs, int64_t *ret_next_wall_us);
	void (*open)(struct backlog *b, const char *origin);
	int (*settle)(struct backlog *b, const struct verdict *verdicts, size_t n);
	void (*close)(struct backlog *b);
	void (*stats)(struct backlog *b, struct backlog_stats *ret_stats);
	void (*free)(struct backlog *b);

	void (*query)(struct backlog *b, struct query *q);

	/* NULL where it is not durable. */
	int (*cursor)(struct backlog *b, const char *source, struct buf *cursor);
	int (*history)(struct backlog *b, uint64_t after_seq, struct buf *lines,
	               uint64_t *ret_last_seq);
	int (*mark)(struct backlog *b, uint64_t seq, const char *text);
	int (*marked)(struct backlog *b, uint64_t *ret_seq, struct buf *text);
	int (*paused)(struct backlog *b, struct buf *origins);
};

/* The head of every implementation's own struct. */
struct backlog {
	const struct backlog_ops *ops;
	const char *type; /* "memory", "sqlite" */
	bool durable;     /* accepted jobs outlive the process, and a verdict keeps its line */
	struct backlog_listener listener; /* from its creation on; each may be NULL */
};

/*
 * Submits a batch; see struct submission.  Numbers the accepted jobs, dates them, and
 * delays those that have a not_before.  Does not block.  Submissions that wait are
 * served in their order.
 */
static inline void backlog_submit(struct backlog *b, struct submission *s)
{
	b->ops->submit(b, s);
}

/* Takes back a submission that waits.  Returns false if it waits no longer: 'done' was
 * or will be called.  Otherwise it will not. */
static inline bool backlog_withdraw(struct backlog *b, struct submission *s)
{
	return b->ops->withdraw(b, s);
}

/* Submits a batch, waits for 'done' (which it sets) and returns its error.  The only
 * call here that blocks for room. */
NODISCARD NONNULL(1, 2) int backlog_submit_and_wait(struct backlog *b, struct submission *s);

/*
 * Hands out up to 'room' jobs that are due at 'now_ns': from one lane after the other, each
 * once at most, as many as 'gate' has room for; within a lane by priority and age.  A lane whose room
 * is 0 rests until its time has come or it is opened.  Without a gate every lane has room,
 * those that rest included, but for those whose rest a durable backlog has written down: for
 * the end of a backlog in memory, when all is to be taken out.
 *
 * Returns their number, and in '*ret_next_due_ns' when to look again although ready() was
 * not called (NEVER if not at all).  Never waits for room or for a writer; a durable one reads
 * its disk.  Called by one thread at a time.
 */
NODISCARD static inline size_t backlog_take(struct backlog *b, uint64_t now_ns, size_t room,
                                            const struct backlog_gate *gate,
                                            struct job **ret_jobs, uint64_t *ret_next_due_ns)
{
	return b->ops->take(b, now_ns, room, gate, ret_jobs, ret_next_due_ns);
}

/*
 * Hands out up to 'room' jobs whose deadline has passed at 'wall_us', in the order of their
 * deadlines: wherever they stand, whatever their lanes rest for, and though they are not due.
 *
 * Returns their number, and in '*ret_next_wall_us' when the next deadline passes (INT64_MAX:
 * none), unless expiring() is called before.  Waits and is called as backlog_take() is, and
 * by the same thread.
 */
NODISCARD static inline size_t backlog_take_expired(struct backlog *b, int64_t wall_us, size_t room,
                                                    struct job **ret_jobs,
                                                    int64_t *ret_next_wall_us)
{
	return b->ops->take_expired(b, wall_us, room, ret_jobs, ret_next_wall_us);
}

/* Ends the rest of the lane 'origin', or of every lane if that is NULL: the next take asks
 * the gate again.  Called by the thread that takes. */
static inline void backlog_open(struct backlog *b, const char *origin)
{
	b->ops->open(b, origin);
}

/*
 * Takes back the jobs of 'n' verdicts and acts on each, all together.
 *
 * Returns 0 once that is durable where the backlog is: it may wait for the disk.
 * Otherwise nothing has changed, and the jobs are still the caller's: -ENOSPC, -EIO,
 * -EROFS, -EUCLEAN or -ENOMEM.  Never fails and never waits if it is not durable, or if every
 * verdict is VERDICT_RETURN without a due time.  A hop that there is no memory left for within
 * the bounds is forgotten: its attempt begins again at the job's own URL, a second later.
 */
NODISCARD static inline int backlog_settle(struct backlog *b, const struct verdict *verdicts,
                                           size_t n)
{
	return b->ops->settle(b, verdicts, n);
}

/* Refuses further jobs; submissions that wait are refused too.  Jobs can still be
 * taken and settled.  Idempotent. */
static inline void backlog_close(struct backlog *b) { b->ops->close(b); }

static inline void backlog_stats(struct backlog *b, struct backlog_stats *ret_stats)
{
	b->ops->stats(b, ret_stats);
}

/* Frees the backlog and every job in it; none may be out, and no submission or query
 * may be under way.  Ignores NULL, returns NULL. */
static inline struct backlog *backlog_free(struct backlog *b)
{
	if (b)
		b->ops->free(b);
	return NULL;
}

/* Releases the text of an answer, but no job.  Idempotent. */
static inline void query_done(struct query *q)
{
	buf_done(&q->line);
	buf_done(&q->lane);
}

/* Asks; see struct query.  Does not block. */
NONNULL(1, 2) void backlog_query(struct backlog *b, struct query *q);

/* Asks, waits for 'done' (which it sets) and returns its error. */
NODISCARD NONNULL(1, 2) int backlog_query_and_wait(struct backlog *b, struct query *q);

/* Appends the cursor that was last submitted for 'source', or nothing.  Blocks for the
 * disk.  Returns 0 or what is wrong with the disk. */
NODISCARD NONNULL(1, 2, 3) int backlog_cursor(struct backlog *b, const char *source, struct buf *cursor);

/*
 * Appends the records that follow 'after_seq', in their order, up to some 256 KiB of
 * them, and stores the last one's number; 'after_seq' if there are none.  Blocks for the disk.
 * Returns 0, -ENOENT (the next one is no longer remembered), -ENOMEM or what is wrong
 * with the disk.
 */
NODISCARD NONNULL(1, 3, 4)
int backlog_history(struct backlog *b, uint64_t after_seq, struct buf *lines,
                    uint64_t *ret_last_seq);

/* Remembers that the results log has every record up to 'seq' for good, and a text
 * about where it is.  Records are remembered at least until they are marked.  Blocks
 * for the disk.  Returns 0 or what is wrong with it; 0 where it is not durable. */
NODISCARD NONNULL(1, 3) int backlog_mark(struct backlog *b, uint64_t seq, const char *text);

/* Appends the names of the lanes that QUERY_PAUSE has remembered, each NUL-terminated; "" is
 * every lane.  Blocks for the disk.  Returns 0 or what is wrong with it; 0 and none where it is
 * not durable. */
NODISCARD NONNULL(1, 2) int backlog_paused(struct backlog *b, struct buf *origins);

/* The last mark; 0 and no text before the first. */
NODISCARD NONNULL(1, 2, 3)
int backlog_marked(struct backlog *b, uint64_t *ret_seq, struct buf *text);

#endif
