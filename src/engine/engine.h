/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine: sources, backlog, feeder, queue, workers and recorder put together,
 * and the order in which they start and stop.
 *
 *     running ──the sources ended, every job is final──► finished
 *        │
 *        └──engine_stop()──► stopping ──the last worker left──► stopped
 *                               │                                  ▲
 *                               └──engine_abort()─────────────────┘ at once
 *
 * One thread owns the engine and calls its functions; engine_stats() and what else
 * says so may be called from any.
 */
#ifndef PENSTOCK_ENGINE_ENGINE_H
#define PENSTOCK_ENGINE_ENGINE_H

#include "backlog/backlog.h"
#include "base/attr.h"
#include "engine/intake.h"
#include "engine/ledger.h"
#include "engine/recorder.h"
#include "engine/settings.h"
#include "engine/tail.h"
#include "engine/workers.h"
#include "fetch/fetch.h"
#include "queue/queue.h"
#include "sink/bodies.h"
#include "sink/results.h"

#include <stdbool.h>
#include <stddef.h>

struct engine_options {
	const struct settings *settings; /* borrowed, with its strings, for the engine's life */
	const struct source_settings *sources; /* borrowed for the call */
	size_t n_sources;
	struct results *results; /* borrowed for the engine's life */
	const char *bodies_dir;  /* for results.bodies = "files"; borrowed for the engine's life */
	const char *database;    /* of a durable backlog; NULL: jobs wait in memory.  Borrowed for the call */
	uint64_t blamed;         /* for a durable backlog: the job that the last process crashed with; 0: none */

	bool is_read; /* the newest records are kept in memory, for who reads them: engine_tail() */
	bool stalls; /* when the disk fails, wait until it is well again (recorder.h) */

	/* Told of each job that is dead, by its worker or the feeder, which it must not hold up;
	 * may be NULL. */
	void (*dead)(void *arg, const struct job *job, const char *reason);
	void *arg;
};

struct engine;

/*
 * Starts everything, downstream first.
 *
 * Returns 0; or, with one line a problem appended to 'errors' and nothing left
 * running, -ENOMEM, -EAGAIN (no more threads), -EMFILE, -EINVAL (a setting),
 * -ENXIO (a source cannot be opened), -EBADFD (the database or the log), or -ENOTDIR (the
 * folder for bodies).  Free with engine_free().
 */
NODISCARD NONNULL(1, 2, 3)
int engine_start(const struct engine_options *options, struct engine **ret_engine,
                 struct buf *errors);

/* Readable when the state may have changed: read engine_state() then. */
NONNULL(1) int engine_event_fd(const struct engine *e);

enum engine_phase { ENGINE_RUNNING, ENGINE_STOPPING, ENGINE_ENDED };

struct engine_state {
	enum engine_phase phase; /* ENGINE_ENDED: finished or stopped */
	bool finished;           /* every source is at its own end and every job final */
	int record_error;        /* why results cannot be written for good; 0 if they can */
	int stalled;             /* why they cannot be written now; 0 if they can */
	int bodies_error;        /* why bodies cannot be written now; 0 if they can */
	bool source_failed;      /* a source ended by an error, which was logged */
	bool draining;           /* engine_drain() was called */
	bool drained;            /* …and every job that was accepted is final */
};

/* The state now; makes the event descriptor unreadable until the next change. */
NONNULL(1, 2) void engine_state(struct engine *e, struct engine_state *ret_state);

/* Takes in nothing more, gives the queued jobs back to the backlog, and lets the
 * workers finish what they have at hand.  Does not wait.  Idempotent. */
NONNULL(1) void engine_stop(struct engine *e);

/* Makes of settings what fetches keep to, with the files that they name as these are now, and
 * warns of what is unsafe.  Returns 0 and a reference; -EINVAL with one line a problem, each
 * ended by '\n', appended to 'errors'; or -ENOMEM. */
NODISCARD NONNULL(1, 2, 3)
int engine_make_rules(const struct settings *s, struct fetch_rules **ret_rules,
                      struct buf *errors);

/* Whether that can be made; logs why not.  systemd's credentials are left out where there are none,
 * with a warning. */
NODISCARD NONNULL(1) bool engine_check_rules(const struct settings *s);

/* Puts those settings in force that can change while the engine runs: the workers'
 * number, the queue's capacity, the origins' limits, timeouts and retries; and 'rules', which
 * were made of them and get a reference.  'settings' must be the struct that engine_start() was
 * given, changed in place by the calling thread.  Returns 0, or -EAGAIN or -ENOMEM if not all
 * workers could be started. */
NODISCARD NONNULL(1, 2) int engine_apply(struct engine *e, struct fetch_rules *rules);

/* After ENGINE_ENDED was reached by a stop, if jobs wait in memory: records every job that is left as
 * cancelled, for 'reason', which is borrowed.  Does not wait: ENGINE_ENDED is reached
 * once more.  Returns 0, or -EAGAIN or -ENOMEM if the thread for it cannot be started. */
NODISCARD NONNULL(1, 2) int engine_cancel_left(struct engine *e, const char *reason);

/* Whether each worker, the feeder and the recorder are within their own bounds;
 * otherwise appends to 'why' which is not.  Sources have none: they wait for input.  Safe from any thread. */
NODISCARD NONNULL(1, 2) bool engine_is_healthy(struct engine *e, struct buf *why);

/* The number of a job that a worker is stuck with, past its bound; 0 if there is none. */
NODISCARD NONNULL(1) uint64_t engine_stuck_job(struct engine *e);

/* After engine_stop(): aborts what the workers have at hand, and a write of
 * results that blocks or is stalled.  Does not wait.  Idempotent. */
NONNULL(1) void engine_abort(struct engine *e);

/* Stops and aborts what still runs, waits for every thread, and frees the engine
 * and the jobs that are left.  Ignores NULL, returns NULL. */
struct engine *engine_free(struct engine *e);

/* --- for the control socket; safe from any thread, and none of these blocks ---------- */

/* The backlog's own, see backlog.h. */
NONNULL(1, 2) void engine_submit(struct engine *e, struct submission *s);
NODISCARD NONNULL(1, 2) bool engine_withdraw(struct engine *e, struct submission *s);
NONNULL(1, 2) void engine_query(struct engine *e, struct query *q);

/* Takes a job out of the queue; NULL if it is not there.  The caller owns it, and must
 * hand it to engine_cancel(). */
NODISCARD NONNULL(1) struct job *engine_unqueue(struct engine *e, uint64_t number);

/* The newest records, for those who follow them.  Borrowed for the engine's life; there are none
 * but with engine_options.is_read. */
NODISCARD NONNULL(1) struct tail *engine_tail(struct engine *e);

/*
 * Records a job as cancelled that came from engine_unqueue() or QUERY_TAKE ('unqueued'
 * says which).  The record is written soon after.  Returns 0 and owns the job in any
 * case; -EAGAIN: nothing can be recorded now, and the job goes on as if never taken.
 */
NODISCARD NONNULL(1, 2, 4)
int engine_cancel(struct engine *e, struct job *job, bool unqueued, const char *reason);

/* --- levers; safe from any thread, and none of these blocks -------------------------- */

/*
 * Pauses the lane 'origin' ("http://host:port"), or everything if that is NULL: nothing starts
 * there any more, what runs goes on.  Whoever wants it to outlive the process asks
 * QUERY_PAUSE besides.  Returns 0, -ENOSPC (QUEUE_MAX_PAUSED_LANES) or -ENOMEM.
 */
NODISCARD NONNULL(1) int engine_pause(struct engine *e, const char *origin);

/* Ends that; of a lane also its Retry-After and its breaker's pause. */
NONNULL(1) void engine_resume(struct engine *e, const char *origin);

/* Takes in nothing more, for good, and goes on until every accepted job is final; see struct
 * engine_state.  Idempotent. */
NONNULL(1) void engine_drain(struct engine *e);
NODISCARD NONNULL(1) bool engine_is_draining(const struct engine *e);

/* Why such a job could never be fetched, as the settings are: a text with static lifetime.  NULL
 * if it may be.  Safe from any thread. */
NODISCARD NONNULL(1, 2) const char *engine_refuses(const struct engine *e, const struct job *job);

/* --- lanes and reasons (lanes.c, explain.c); safe from any thread, none of these blocks -- */

/* The queue's own, see queue.h. */
NONNULL(1, 2, 3)
void engine_lane(struct engine *e, const char *origin, struct queue_lane *ret_lane);
NODISCARD NONNULL(1, 2, 4, 5)
size_t engine_list_lanes(struct engine *e, struct queue_lane *lanes, size_t max,
                         struct buf *names, size_t *ret_all);

/* What the backlog has written down of a lane's rest is its obstacle, too: after a restart the
 * queue knows nothing of it yet. */
NONNULL(1, 2) void engine_lane_adopt(struct queue_lane *lane, const struct lane_rest *rest);

/* Where a job is that the backlog calls JOB_OUT, as far as that can be seen. */
enum engine_place {
	ENGINE_BETWEEN, /* two places, for a moment: taken and not queued yet, or not yet settled */
	ENGINE_QUEUED,
	ENGINE_FETCHING,
};

struct engine_whereabouts {
	enum engine_place place;
	uint64_t since_ns; /* ENGINE_FETCHING: when the attempt began (CLOCK_MONOTONIC)… */
	uint64_t bound_ns; /* …and when it will be over at the latest */
};

/* Why a job is where it is, for programs and for people. */
struct explanation {
	const char *code; /* wait_reason_name(), "running", "recording", "recorder_stalled", or an
	                   * outcome: "done", "dead", "cancelled" */
	struct buf text;  /* one sentence, NUL-terminated, without a URL; buf_done() is the caller's */
	struct engine_whereabouts at; /* of a job that is out: where it was seen */
};

/* Explains the answer to a QUERY_FIND that has succeeded. */
NONNULL(1, 2, 3)
void engine_explain(struct engine *e, const struct query *found, struct explanation *ret);

struct engine_stats {
	const char *backlog_type; /* "memory", "sqlite" */
	bool durable;
	struct ledger_balance ledger;
	struct queue_stats queue;
	struct backlog_stats backlog;
	struct intake_stats intake;
	struct workers_stats workers;
	struct recorder_stats recorder;
	struct bodies_stats bodies;
	struct fetch_stats fetch;
};
NONNULL(1, 2) void engine_stats(struct engine *e, struct engine_stats *ret_stats);
NONNULL(1, 2) void engine_tally(struct engine *e, struct tally_figures *ret_figures);

/* Calls 'visit' with the counters of each source.  Safe from any thread. */
NONNULL(1, 2)
void engine_each_source(struct engine *e,
                        void (*visit)(void *arg, const struct intake_source *source), void *arg);

#endif
