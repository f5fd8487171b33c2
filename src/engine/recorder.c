/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/recorder.h"

#include "base/clock.h"
#include "base/sync.h"
#include "base/thread.h"
#include "base/wake.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* After a batch the thread lets so much time pass before it looks for the next
 * one, unless the inlet is half full: a wakeup and a write for each single record
 * would cost more than the record. */
#define LINGER_NS (2 * NS_PER_MS)

/* How long a record may be in the log before that is made durable. */
#define SYNC_NS (1 * NS_PER_S)

struct batch {
	struct buf lines;
	struct verdict verdicts[RECORDER_MAX_RECORDS];
	size_t n;
	size_t finals[OUTCOMES]; /* how many of the verdicts are final, by outcome */
};

struct recorder {
	struct recorder_options options;
	pthread_t thread;

	struct mutex lock;
	struct wake thread_wake;  /* inlet->n > 0, later is_due(inlet); or closed */
	struct wake workers_wake; /* has_room(inlet) */
	struct batch *inlet GUARDED_BY(lock);
	uint64_t seq GUARDED_BY(lock); /* of the last record put in */
	uint64_t recorded GUARDED_BY(lock);
	uint64_t recorded_bytes GUARDED_BY(lock);
	bool closed GUARDED_BY(lock);
	bool abandoned GUARDED_BY(lock); /* a stall shall end */
	bool idle GUARDED_BY(lock);      /* it waits for the first record of a batch */

	/* The thread's own. */
	struct batch *outgoing;
	int error;             /* why nothing more can be settled for good; 0 if it can */
	int log_error;         /* the same of the log, where the backlog keeps the records */
	uint64_t appended_seq; /* of the last record in the log */
	uint64_t sync_at_ns;   /* when the log shall be made durable; NEVER if it is */
	bool sync_failed;      /* of this file: what it has lost then, nobody knows */
	struct pulse pulse;
	_Atomic uint64_t busy_ns;
	struct histogram appends, syncs;

	struct batch batches[2];
};

/* --- inlet ------------------------------------------------------------------------- */

/* A line of any length fits into an empty batch. */
static bool has_room(const struct recorder *r, size_t len) REQUIRES(r->lock)
{
	const struct batch *b = r->inlet;
	return b->n < RECORDER_MAX_RECORDS &&
	       (b->lines.len == 0 || b->lines.len + len <= RECORDER_MAX_BYTES);
}

static bool is_due(const struct recorder *r) REQUIRES(r->lock)
{
	return r->inlet->n >= RECORDER_MAX_RECORDS / 2 ||
	       r->inlet->lines.len >= RECORDER_MAX_BYTES / 2;
}

static void add(struct recorder *r, const struct verdict *verdict, enum outcome outcome,
                const struct buf *line) REQUIRES(r->lock)
{
	struct batch *b = r->inlet;

	struct verdict *v = &b->verdicts[b->n++];
	size_t start = b->lines.len;

	*v = *verdict;
	if (verdict->kind != VERDICT_FINAL)
		return;
	b->finals[outcome]++;
	v->outcome = outcome;
	v->seq = ++r->seq;
	buf_add_str(&b->lines, "{\"seq\":");
	buf_add_u64(&b->lines, v->seq);
	buf_add_char(&b->lines, ',');
	buf_add(&b->lines, line->data, line->len);
	b->lines.failed = b->lines.failed || line->failed;
	v->line_len = b->lines.len - start;
}

/* To wait for a record is healthy however long it takes; to leave one in the inlet is not.  So
 * who ends the wait sets the bound, as the thread does not if it hangs. */
static void end_idle(struct recorder *r) REQUIRES(r->lock)
{
	if (r->idle)
		pulse_set(&r->pulse, "taking records", clock_now_ns() + PULSE_STEP_NS);
	r->idle = false;
}

static void add_and_wake(struct recorder *r, const struct verdict *verdict, enum outcome outcome,
                         const struct buf *line) REQUIRES(r->lock)
{
	add(r, verdict, outcome, line);
	end_idle(r);
	if (r->inlet->n == 1 || is_due(r))
		wake_one(&r->thread_wake);
	if (has_room(r, 0))
		wake_one(&r->workers_wake);
}

bool recorder_offer(struct recorder *r, const struct verdict *verdict, enum outcome outcome,
                    const struct buf *line)
{
	mutex_lock(&r->lock);
	bool room = has_room(r, line->len);
	if (room)
		add_and_wake(r, verdict, outcome, line);
	mutex_unlock(&r->lock);
	return room;
}

void recorder_put(struct recorder *r, const struct verdict *verdict, enum outcome outcome,
                  const struct buf *line)
{
	mutex_lock(&r->lock);
	while (!has_room(r, line->len))
		(void) wake_wait(&r->workers_wake, &r->lock, NEVER);
	add_and_wake(r, verdict, outcome, line);
	mutex_unlock(&r->lock);
}

/* --- waiting ----------------------------------------------------------------------- */

/* Waits for a batch and swaps it out; it is empty if the log is to be synced before one
 * comes.  Returns false once closed and empty. */
static bool take_batch(struct recorder *r, uint64_t last_ns)
{
	bool in_time = true;

	mutex_lock(&r->lock);
	if (r->inlet->n == 0)
		pulse_set(&r->pulse, "idle", NEVER);
	r->idle = r->inlet->n == 0;
	while (r->inlet->n == 0 && !r->closed && in_time)
		in_time = wake_wait(&r->thread_wake, &r->lock, r->sync_at_ns);
	end_idle(r);
	while (in_time && !is_due(r) && !r->closed)
		in_time = wake_wait(&r->thread_wake, &r->lock, last_ns + LINGER_NS);

	struct batch *full = r->inlet;
	bool go_on = full->n > 0 || !r->closed;
	r->inlet = r->outgoing;
	r->outgoing = full;
	wake_one(&r->workers_wake);
	mutex_unlock(&r->lock);
	return go_on;
}

/* Whether what fails for now is worth another try: lets a second pass.  Returns false once
 * the recorder is abandoned. */
static bool wait_out(struct recorder *r, int error)
{
	uint64_t until_ns = clock_now_ns() + NS_PER_S;

	if (!r->options.stalls || error == -EPIPE || error == -ECANCELED)
		return false;
	mutex_lock(&r->lock);
	while (!r->abandoned && wake_wait(&r->thread_wake, &r->lock, until_ns))
		;
	bool go_on = !r->abandoned;
	mutex_unlock(&r->lock);
	return go_on;
}

/* --- the log ----------------------------------------------------------------------- */

int recorder_mark(struct backlog *b, uint64_t seq, const struct results_position *position)
{
	struct buf text = { 0 };

	results_position_write(position, &text);
	buf_add_char(&text, '\0');
	int error = text.failed ? -ENOMEM : backlog_mark(b, seq, text.data);
	buf_done(&text);
	return error;
}

static int mark(struct recorder *r, const struct results_position *position)
{
	return recorder_mark(r->options.backlog, r->appended_seq, position);
}

/* A log that was rotated is marked before it gets its first record: what is missing after
 * a crash is looked for in the right file then. */
static int turn(struct recorder *r)
{
	struct results_position position;

	int error = results_turn(r->options.results, &position);
	if (error != 1 || !r->options.backlog->durable)
		return error < 0 ? error : 0;
	r->sync_failed = false;
	do
		error = mark(r, &position);
	while (error < 0 && wait_out(r, error));
	return error;
}

static int append_once(struct recorder *r, const struct buf *lines)
{
	int error = turn(r);
	if (error < 0)
		return error;

	uint64_t start_ns = clock_now_ns();
	error = results_append(r->options.results, lines->data, lines->len);
	histogram_add(&r->appends, clock_now_ns() - start_ns);
	return error;
}

/* Appends, and if that fails and is worth it, again and again. */
static int append_lines(struct recorder *r, const struct buf *lines)
{
	int error = append_once(r, lines);
	bool told = error < 0 && error != -EPIPE && error != -ECANCELED && r->options.stalls;

	if (told)
		r->options.trouble(r->options.arg, error);
	while (error < 0 && wait_out(r, error))
		error = append_once(r, lines);
	if (told && error == 0)
		r->options.trouble(r->options.arg, 0);
	return error;
}

/* What cannot be marked now is marked with the next records, or in a second: nothing depends
 * on it but how much is compared after a crash.  After a sync that failed the next one may
 * succeed though pages are lost (fsync(2)), so the mark stays until the log is rotated. */
static void sync_log(struct recorder *r)
{
	struct results_position position;
	uint64_t start_ns = clock_now_ns();

	pulse_set(&r->pulse, "syncing", NEVER);
	r->sync_at_ns = NEVER;
	r->sync_failed = r->sync_failed || results_sync(r->options.results, &position) < 0;
	histogram_add(&r->syncs, clock_now_ns() - start_ns);
	if (!r->sync_failed && mark(r, &position) < 0)
		r->sync_at_ns = clock_after(clock_now_ns(), SYNC_NS);
}

/* --- settling ---------------------------------------------------------------------- */

/* Turns final verdicts into returns: to wait until 'due_ns'. */
static void give_back_finals(struct batch *b, uint64_t due_ns)
{
	for (size_t i = 0; i < b->n; i++)
		if (b->verdicts[i].kind == VERDICT_FINAL)
			b->verdicts[i] = (struct verdict) { .job = b->verdicts[i].job,
				                            .kind = VERDICT_RETURN,
				                            .why = WAIT_RETRY,
				                            .due_ns = due_ns };
	memset(b->finals, 0, sizeof(b->finals));
}

static size_t count_finals(const struct batch *b)
{
	size_t n = 0;

	for (size_t i = 0; i < OUTCOMES; i++)
		n += b->finals[i];
	return n;
}

/* Settles before booking: who sees in the ledger that nothing is running any more may
 * rely on every job being back.  A job that is taken again at once waits in
 * ledger_move() until it is booked; so that comes next, and not after a log that may stall. */
static void book_returns(struct recorder *r, const struct batch *b)
{
	ledger_move(r->options.ledger, LEDGER_RUNNING, LEDGER_WAITING, b->n - count_finals(b));
}

static void book_finals(struct recorder *r, const struct batch *b)
{
	static const enum ledger_account accounts[OUTCOMES] = {
		[OUTCOME_DONE] = LEDGER_DONE,
		[OUTCOME_DEAD] = LEDGER_DEAD,
		[OUTCOME_CANCELLED] = LEDGER_CANCELLED,
	};

	/* First: who sees in the ledger that all is final may rely on these. */
	mutex_lock(&r->lock);
	r->recorded += count_finals(b);
	r->recorded_bytes += r->error == 0 ? b->lines.len : 0;
	mutex_unlock(&r->lock);

	for (size_t i = 0; i < OUTCOMES; i++)
		ledger_move(r->options.ledger, LEDGER_RUNNING, accounts[i], b->finals[i]);
	r->options.settled(r->options.arg, r->error);
}

static void point_to_lines(struct batch *b)
{
	const char *at = b->lines.data;

	for (size_t i = 0; i < b->n; i++) {
		if (b->verdicts[i].kind != VERDICT_FINAL)
			continue;
		b->verdicts[i].line = at;
		at += b->verdicts[i].line_len;
	}
}

/* Those who follow the results get what is settled, and no sooner. */
static void tell_readers(struct recorder *r, const struct batch *b)
{
	if (r->options.tail && count_finals(b) > 0)
		tail_add(r->options.tail, b->verdicts, b->n);
}

/* The record, then the settling.  What could not be recorded is not final, but has been
 * fetched: it goes back to wait, not to be fetched again. */
static void record_and_settle(struct recorder *r, struct batch *b)
{
	pulse_set(&r->pulse, "writing", NEVER); /* a disk takes as long as it takes */
	if (r->error == 0 && b->lines.failed)
		r->error = -ENOMEM;
	if (r->error == 0 && b->lines.len > 0)
		r->error = append_lines(r, &b->lines);
	if (r->error < 0) {
		/* Told first: once the jobs are booked, whoever watches may take that for the end. */
		r->options.settled(r->options.arg, r->error);
		give_back_finals(b, NEVER);
	}
	point_to_lines(b);
	pulse_set(&r->pulse, "settling", clock_now_ns() + PULSE_STEP_NS);
	if (backlog_settle(r->options.backlog, b->verdicts, b->n) < 0)
		abort(); /* a backlog that is not durable never refuses */
	book_returns(r, b);
	tell_readers(r, b);
}

/* The bodies first: a record that is on disk shall not name one that is not. */
static int settle_durably(struct recorder *r, const struct batch *b)
{
	int error = r->options.bodies && count_finals(b) > 0 ? bodies_sync(r->options.bodies) : 0;

	return error < 0 ? error : backlog_settle(r->options.backlog, b->verdicts, b->n);
}

/* Settles with a durable backlog, again and again if its disk fails.  What it cannot take in the
 * end was not fetched, as far as anybody will know after the next start. */
static void commit(struct recorder *r, struct batch *b)
{
	int error = r->error < 0 ? r->error : b->lines.failed ? -ENOMEM : 0;

	point_to_lines(b);
	if (error == 0)
		do
			error = settle_durably(r, b);
		while (error < 0 && wait_out(r, error));
	if (error == 0)
		return;

	r->error = error;
	r->options.settled(r->options.arg, error);
	for (size_t i = 0; i < b->n; i++)
		b->verdicts[i] = (struct verdict) { .job = b->verdicts[i].job,
			                            .kind = VERDICT_RETURN };
	memset(b->finals, 0, sizeof(b->finals));
	buf_clear(&b->lines);
	if (backlog_settle(r->options.backlog, b->verdicts, b->n) < 0)
		abort(); /* that needs no disk */
}

/* The settling, then the record.  One that cannot be appended is appended at the next
 * start, as those that follow it then are: none may come before it. */
static void settle_and_record(struct recorder *r, struct batch *b)
{
	pulse_set(&r->pulse, "committing", NEVER);
	commit(r, b);
	book_returns(r, b);
	tell_readers(r, b);
	if (r->log_error < 0 || b->lines.len == 0)
		return;
	pulse_set(&r->pulse, "writing", NEVER);
	r->log_error = append_lines(r, &b->lines);
	if (r->log_error < 0) {
		r->options.settled(r->options.arg, r->log_error);
		return;
	}
	for (size_t i = 0; i < OUTCOMES; i++)
		r->appended_seq += b->finals[i];
	if (r->sync_at_ns == NEVER)
		r->sync_at_ns = clock_after(clock_now_ns(), SYNC_NS);
}

/* --- thread ------------------------------------------------------------------------ */

static void empty_batch(struct batch *b)
{
	if (b->lines.size > 2 * RECORDER_MAX_BYTES)
		buf_done(&b->lines); /* one huge record shall not keep its memory for good */
	buf_clear(&b->lines);
	b->n = 0;
	memset(b->finals, 0, sizeof(b->finals));
}

static void *run(void *arg)
{
	struct recorder *r = arg;
	bool durable = r->options.backlog->durable;
	uint64_t last_ns = 0;

	while (take_batch(r, last_ns)) {
		struct batch *b = r->outgoing;
		uint64_t start_ns = clock_now_ns();
		if (b->n > 0) {
			durable ? settle_and_record(r, b) : record_and_settle(r, b);
			book_finals(r, b);
			empty_batch(b);
		}
		if (clock_now_ns() >= r->sync_at_ns)
			sync_log(r);
		last_ns = clock_now_ns();
		atomic_fetch_add_explicit(&r->busy_ns, last_ns - start_ns, memory_order_relaxed);
		pulse_set(&r->pulse, "taking records", last_ns + PULSE_STEP_NS);
	}
	if (r->sync_at_ns != NEVER)
		sync_log(r);
	return NULL;
}

/* --- lifecycle --------------------------------------------------------------------- */

int recorder_create(const struct recorder_options *options, struct recorder **ret_recorder)
{
	struct recorder *r = malloc(sizeof(*r));
	if (!r)
		return -ENOMEM;
	*r = (struct recorder) {
		.options = *options,
		.inlet = &r->batches[0],
		.outgoing = &r->batches[1],
		.seq = options->last_seq,
		.appended_seq = options->last_seq,
		.sync_at_ns = NEVER,
	};

	int err = mutex_init(&r->lock);
	if (err < 0)
		goto free_recorder;
	err = wake_init(&r->thread_wake);
	if (err < 0)
		goto destroy_lock;
	err = wake_init(&r->workers_wake);
	if (err < 0)
		goto destroy_thread_wake;
	err = thread_start(&r->thread, "recorder", THREAD_STACK_SMALL, run, r);
	if (err < 0)
		goto destroy_workers_wake;

	*ret_recorder = r;
	return 0;

destroy_workers_wake:
	wake_destroy(&r->workers_wake);
destroy_thread_wake:
	wake_destroy(&r->thread_wake);
destroy_lock:
	mutex_destroy(&r->lock);
free_recorder:
	free(r);
	return err;
}

void recorder_abandon(struct recorder *r)
{
	mutex_lock(&r->lock);
	r->abandoned = true;
	wake_all(&r->thread_wake);
	mutex_unlock(&r->lock);
}

struct recorder *recorder_free(struct recorder *r)
{
	if (!r)
		return NULL;

	mutex_lock(&r->lock);
	r->closed = true;
	wake_all(&r->thread_wake);
	mutex_unlock(&r->lock);
	thread_join(r->thread);

	buf_done(&r->batches[0].lines);
	buf_done(&r->batches[1].lines);
	wake_destroy(&r->workers_wake);
	wake_destroy(&r->thread_wake);
	mutex_destroy(&r->lock);
	free(r);
	return NULL;
}

const struct pulse *recorder_pulse(const struct recorder *r) { return &r->pulse; }

void recorder_stats(struct recorder *r, struct recorder_stats *ret_stats)
{
	mutex_lock(&r->lock);
	*ret_stats = (struct recorder_stats) {
		.pending = r->inlet->n,
		.recorded = r->recorded,
		.recorded_bytes = r->recorded_bytes,
		.workers_blocked_ns = wake_waited_ns(&r->workers_wake),
		.busy_ns = atomic_load_explicit(&r->busy_ns, memory_order_relaxed),
	};
	mutex_unlock(&r->lock);
	histogram_read(&r->appends, &ret_stats->appends);
	histogram_read(&r->syncs, &ret_stats->syncs);
}
