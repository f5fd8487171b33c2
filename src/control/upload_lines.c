/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many jobs, a line each, in bounded memory:
 *
 *     part of the body ─► lines ─► batch ──full──► backlog ─► receipts ─► the reply
 *                                    │                ▲
 *                                    └── body ended ──┘
 *
 * While a batch is at the backlog nothing is read: whoever sends has to wait.  It owns
 * at most one batch, a line of up to 1 MiB and 64 KiB of receipts.
 */
#include "control/upload.h"

#include "control/batch.h"
#include "control/clients.h"
#include "control/problem.h"
#include "control/receipts.h"
#include "control/text.h"
#include "job/job.h"
#include "source/lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

struct upload {
	struct submitter base;
	struct lines lines;
	struct batch batch;
	size_t n_sent;     /* jobs of the batch that are at the backlog */
	size_t most;       /* jobs that can be submitted together, as far as is known */
	size_t next;       /* so many are tried next */
	size_t stuck;      /* the first so many of what is left have no room together; 0: unknown */
	uint64_t left;     /* of the body; BODY_UNKNOWN, or less, if nobody has said how long it is */
	bool is_last;      /* the body is whole, and its last line taken */
	struct receipts receipts;
	struct batch_tally tally;
	struct buf why;    /* kept for its memory */
	int error;         /* receipts cannot be kept: nothing more is submitted */
};

/* The body is still to be read, for an answer cannot begin before its end. */
static void fail(struct upload *u, int error)
{
	if (u->error == 0)
		u->error = error;
}

/* --- batches ----------------------------------------------------------------------- */

static void answer_batch(struct upload *u)
{
	u->base.is_late = false; /* each batch has its own time */
	for (bool more = true; more;) {
		more = batch_answer(&u->batch, u->base.task.desk->engine, &u->receipts.memory,
		                    &u->tally);
		int r = receipts_spill(&u->receipts, u->base.task.desk->work_folder);
		if (r < 0) {
			fail(u, r);
			buf_clear(&u->receipts.memory); /* nobody will see them */
		}
	}
}

/* Submits what is left of the batch; once nothing is, writes its receipts. */
static void submit(struct upload *u)
{
	struct batch *b = &u->batch;
	size_t at = b->n_settled;
	size_t left = b->n_jobs - at;

	if (left == 0) {
		answer_batch(u);
		return;
	}
	u->n_sent = left < u->next ? left : u->next;
	submitter_submit(&u->base, b->jobs + at, u->n_sent, b->receipts + at);
}

static bool is_full(int error) { return error == -EAGAIN || error == -EDQUOT; }

static size_t half_of(size_t n) { return n > 1 ? n / 2 : 1; }

/* Halves until the last job is found that has room: what is taken has no gap. */
static void accept_sent(struct upload *u)
{
	batch_settle(&u->batch, u->n_sent, 0);
	if (u->stuck > 0) {
		u->stuck -= u->n_sent;
		u->next = half_of(u->stuck);
	} else {
		u->next = u->next < u->most / 2 ? 2 * u->next : u->most;
	}
}

static void try_fewer(struct upload *u, int error)
{
	u->next = u->n_sent / 2;
	if (error == -EMSGSIZE)
		u->most = u->next;
	else
		u->stuck = u->n_sent;
}

/* How many of the jobs that are left an error concerns that the first of them has. */
static size_t count_refused(const struct upload *u, int error)
{
	const struct batch *b = &u->batch;
	struct job *const *jobs = b->jobs + b->n_settled;
	size_t left = b->n_jobs - b->n_settled, n = 1;

	if (error == -EMSGSIZE)
		return 1;
	if (error != -EDQUOT)
		return left;
	while (n < left && jobs[n]->bytes >= jobs[0]->bytes)
		n++;
	return n;
}

/* After halving, a full backlog is asked about no more than a job, until that has room. */
static void give_up(struct upload *u, int error)
{
	batch_settle(&u->batch, count_refused(u, error), error);
	u->stuck = 0;
}

/* --- lines ------------------------------------------------------------------------- */

static void refuse(struct upload *u, enum problem_kind kind, int column, const char *id,
                   const char *why, size_t len)
{
	const struct batch_refusal refusal = { .kind = kind, .column = column };
	int r = batch_refuse(&u->batch, u->lines.number, &refusal, id, why, len);
	if (r < 0)
		fail(u, r);
}

static int parse(struct upload *u, const char *text, size_t len, struct job **ret_job)
{
	buf_clear(&u->why);
	if (memchr(text, '\0', len)) {
		buf_add_str(&u->why, "line holds a NUL byte");
		return -EINVAL;
	}
	struct job *job = NULL;
	int r = job_parse(u->base.task.desk->parser, text, len, &job, &u->why);
	const char *refusal = r == 0 ? engine_refuses(u->base.task.desk->engine, job) : NULL;
	if (refusal) {
		buf_add_str(&u->why, refusal);
		job = job_free(job);
		r = -EINVAL;
	}
	if (r == 0)
		*ret_job = job;
	return r < 0 && u->why.failed ? -ENOMEM : r;
}

static void take_text(struct upload *u, const char *text, size_t len)
{
	struct job *job = NULL;

	while (len > 0 && (*text == ' ' || *text == '\t' || *text == '\r')) {
		text++;
		len--;
	}
	if (len == 0 || *text == '#')
		return;

	int r = parse(u, text, len, &job);
	if (r == 0) {
		job->source = UPLOAD_SOURCE;
		r = batch_add_job(&u->batch, u->lines.number, job);
		if (r < 0)
			job_free(job);
	} else if (r != -ENOMEM) {
		struct text_place place;
		char *id = text_find_id(text, len, &place);
		refuse(u, place.line > 0 ? PROBLEM_BAD_JSON : PROBLEM_BAD_JOB, place.column, id,
		       u->why.data, u->why.len);
		free(id);
		return;
	}
	if (r < 0)
		fail(u, r);
}

static void take_line(struct upload *u, enum line_kind kind, const char *text, size_t len)
{
	static const char too_long[] = "line is longer than 1 MiB";

	if (kind == LINE_WHOLE)
		take_text(u, text, len);
	else if (kind == LINE_TOO_LONG)
		refuse(u, PROBLEM_BODY_TOO_LARGE, 0, NULL, too_long, sizeof(too_long) - 1);
}

/* Jobs that come slowly are not held until there are many.  While these are at the backlog the
 * socket's buffer fills, so who sends fast is soon given large batches.  At the end of the body
 * finish() is next, which may have one more line.  Of a chunked body libmicrohttpd may have some
 * chunks more than the socket, which then make batches of their own. */
static bool has_to_wait_for_more(const struct upload *u)
{
	int bytes = 0;

	if (u->left == 0)
		return false;
	return ioctl(u->base.task.client->fd, FIONREAD, &bytes) < 0 || bytes == 0;
}

/* Takes the lines that are there, until the task waits or none is left. */
static void take_lines(struct upload *u)
{
	const char *text = NULL;
	size_t len = 0;

	while (!u->base.task.waits && u->error == 0) {
		enum line_kind kind = lines_next(&u->lines, &text, &len);
		take_line(u, kind, text, len);
		if (batch_is_full(&u->batch) ||
		    (kind == LINE_NONE && u->batch.n_lines > 0 && has_to_wait_for_more(u)))
			submit(u);
		if (kind == LINE_NONE)
			return;
	}
}

static void answered(struct task *t, int error)
{
	struct upload *u = (struct upload *) t;

	if (submitter_tries_again(&u->base, error))
		return;
	if (error == 0)
		accept_sent(u);
	else if (u->n_sent > 1 && (error == -EMSGSIZE || is_full(error)))
		try_fewer(u, error);
	else
		give_up(u, error);
	submit(u);
	take_lines(u); /* those that came together with the batch's last */
}

/* --- the body ---------------------------------------------------------------------- */

/* Copies some of it to where lines are made of it. */
static size_t feed(struct upload *u, const char *data, size_t n)
{
	char *room = NULL;
	int r = lines_room(&u->lines, &room);

	if (r < 0) {
		fail(u, r);
		return n;
	}
	n = n < LINES_READ_BYTES ? n : LINES_READ_BYTES;
	memcpy(room, data, n);
	lines_fed(&u->lines, n);
	u->left -= n;
	return n;
}

static size_t take(struct task *t, const char *data, size_t n)
{
	struct upload *u = (struct upload *) t;
	size_t taken = 0;

	while (!t->waits && u->error == 0 && taken < n) {
		taken += feed(u, data + taken, n - taken);
		take_lines(u);
	}
	return t->waits ? taken : n;
}

static void make_reply(struct upload *u)
{
	struct task *t = &u->base.task;
	int r = u->error < 0 ? u->error
	                     : receipts_finish(&u->receipts, t->desk->work_folder, &t->reply);

	if (r < 0) {
		problem(&t->reply, r == -ENOSPC ? PROBLEM_DISK_FULL : PROBLEM_RECEIPTS_LOST,
		        "the receipts cannot be kept: %s; some of the jobs may have been accepted: "
		        "submit them again with ids of their own",
		        strerrordesc_np(-r));
		return;
	}
	if (u->tally.lines == 0) {
		problem(&t->reply, PROBLEM_BAD_BODY, "there is no job in the body; each line is one");
		return;
	}
	t->reply.status = u->tally.taken > 0 ? 202 : u->tally.first_refusal;
	t->reply.type = "application/x-ndjson";
	t->reply.retries = t->reply.status == 429 || t->reply.status == 503;
}

static void finish(struct task *t)
{
	struct upload *u = (struct upload *) t;
	const char *text = NULL;
	size_t len = 0;

	if (u->error == 0 && !u->is_last) {
		enum line_kind kind = lines_last(&u->lines, &text, &len);
		take_line(u, kind, text, len);
		u->is_last = true;
	}
	if (u->error == 0 && u->batch.n_lines > 0)
		submit(u);
	if (!t->waits)
		make_reply(u);
}

static void free_task(struct task *t)
{
	struct upload *u = (struct upload *) t;

	submitter_done(&u->base);
	lines_done(&u->lines);
	batch_done(&u->batch);
	receipts_done(&u->receipts);
	buf_done(&u->why);
	free(u);
}

struct submitter *upload_lines_create(uint64_t body_bytes)
{
	static const struct task_ops ops = {
		.take = take,
		.finish = finish,
		.answered = answered,
		.take_back = submitter_take_back,
		.free = free_task,
	};
	struct upload *u = calloc(1, sizeof(*u));

	if (!u)
		return NULL;
	if (lines_init(&u->lines) < 0) {
		free(u);
		return NULL;
	}
	u->base.task.ops = &ops;
	u->left = body_bytes;
	u->most = u->next = BATCH_MAX_LINES;
	return &u->base;
}
