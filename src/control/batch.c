/* SPDX-License-Identifier: Apache-2.0 */
#include "control/batch.h"

#include "control/problem.h"
#include "control/receipts.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

bool batch_is_full(const struct batch *b)
{
	return b->n_lines == BATCH_MAX_LINES || b->bytes >= BATCH_MAX_BYTES;
}

static int add_line(struct batch *b, uint64_t number, const struct batch_refusal *refusal,
                    const char *id, const char *why, size_t len)
{
	assert(!batch_is_full(b));
	size_t at = b->texts.len;
	buf_add_str(&b->texts, id ? id : "");
	size_t id_len = b->texts.len - at;
	buf_add(&b->texts, why, len);
	if (b->texts.failed)
		return -ENOMEM;

	b->lines[b->n_lines++] = (struct batch_line) {
		.number = number,
		.is_job = !refusal,
		.refusal = refusal ? *refusal : (struct batch_refusal) { 0 },
		.text_at = (uint32_t) at,
		.id_len = (uint32_t) id_len,
		.why_len = (uint32_t) len,
	};
	b->bytes += 2 * (id_len + len); /* a buffer that grows has up to twice as much */
	return 0;
}

int batch_add_job(struct batch *b, uint64_t line, struct job *job)
{
	/* The id is kept apart, for an accepted job may be gone before its receipt is written. */
	int r = add_line(b, line, NULL, job->id, "", 0);
	if (r < 0)
		return r;
	b->jobs[b->n_jobs++] = job;
	b->bytes += job->bytes;
	return 0;
}

int batch_refuse(struct batch *b, uint64_t line, const struct batch_refusal *refusal,
                 const char *id, const char *why, size_t len)
{
	return add_line(b, line, refusal, id, why, len);
}

void batch_settle(struct batch *b, size_t n, int error)
{
	for (size_t i = 0; i < n; i++) {
		size_t at = b->n_settled++;
		b->errors[at] = error;
		if (error < 0)
			job_free(b->jobs[at]);
	}
}

/* --- receipts ---------------------------------------------------------------------- */

/* The words for an error, which are the same for all jobs of a batch that have it. */
struct refusal {
	int error;
	enum problem_kind kind;
	struct buf why;
};

static const struct refusal *refusal_of(struct engine *engine, int error, struct refusal *known)
{
	if (known->error != error) {
		buf_clear(&known->why);
		known->error = error;
		known->kind = problem_of(engine, error, &known->why);
	}
	return known;
}

static void add_refused(struct buf *out, enum problem_kind kind, const char *why, size_t len)
{
	buf_printf(out, ",\"status\":\"refused\",\"code\":%u,\"error\":", problem_status(kind));
	buf_add_json(out, why, len);
	buf_printf(out, ",\"type\":\"" PROBLEM_TYPE "%s\"", problem_name(kind));
}

static void add_id(struct buf *out, const struct batch *b, const struct batch_line *line,
                   uint64_t number)
{
	buf_add_str(out, ",\"id\":");
	if (line->id_len > 0)
		buf_add_json(out, b->texts.data + line->text_at, line->id_len);
	else if (number > 0)
		buf_printf(out, "\"p-%llu\"", (unsigned long long) number);
	else
		buf_add_str(out, "null");
}

static void count(struct batch_tally *tally, unsigned refused)
{
	tally->lines++;
	tally->taken += refused == 0;
	if (tally->first_refusal == 0)
		tally->first_refusal = refused;
}

static void answer_job(struct batch *b, size_t at, const struct batch_line *line,
                       const struct refusal *refusal, struct buf *out, struct batch_tally *tally)
{
	static const char conflict[] = PROBLEM_TEXT_CONFLICT;
	const struct receipt *receipt = &b->receipts[at];
	bool accepted = !refusal && receipt->kind != RECEIPT_CONFLICT;

	add_id(out, b, line, accepted ? receipt->number : 0);
	if (refusal)
		add_refused(out, refusal->kind, refusal->why.data, refusal->why.len);
	else if (!accepted)
		add_refused(out, PROBLEM_ID_CONFLICT, conflict, sizeof(conflict) - 1);
	else
		buf_add_str(out, receipt->kind == RECEIPT_KNOWN ? ",\"status\":\"known\""
		                                                : ",\"status\":\"accepted\"");
	count(tally, accepted  ? 0
	             : refusal ? problem_status(refusal->kind)
	                       : problem_status(PROBLEM_ID_CONFLICT));
}

static void answer_refused(struct batch *b, const struct batch_line *line, struct buf *out,
                           struct batch_tally *tally)
{
	const struct batch_refusal *refusal = &line->refusal;

	add_id(out, b, line, 0);
	add_refused(out, refusal->kind, b->texts.data + line->text_at + line->id_len, line->why_len);
	if (refusal->column > 0)
		buf_printf(out, ",\"column\":%d", refusal->column);
	count(tally, problem_status(refusal->kind));
}

static void empty(struct batch *b)
{
	b->n_lines = b->n_jobs = b->n_settled = b->bytes = 0;
	b->lines_answered = b->jobs_answered = 0;
}

bool batch_answer(struct batch *b, struct engine *engine, struct buf *receipts,
                  struct batch_tally *tally)
{
	struct refusal known = { 0 };

	assert(b->n_settled == b->n_jobs);
	while (b->lines_answered < b->n_lines && receipts->len < RECEIPTS_MEMORY_BYTES) {
		const struct batch_line *line = &b->lines[b->lines_answered++];
		buf_add_str(receipts, "{\"line\":");
		buf_add_u64(receipts, line->number);
		if (line->is_job) {
			size_t at = b->jobs_answered++;
			const struct refusal *refusal =
				b->errors[at] < 0 ? refusal_of(engine, b->errors[at], &known) : NULL;
			answer_job(b, at, line, refusal, receipts, tally);
		} else {
			answer_refused(b, line, receipts, tally);
		}
		buf_add_str(receipts, "}\n");
	}
	buf_done(&known.why);
	if (b->lines_answered < b->n_lines && !receipts->failed)
		return true;
	empty(b);
	if (b->texts.size > BATCH_KEPT_BYTES)
		buf_done(&b->texts);
	buf_clear(&b->texts);
	return false;
}

void batch_done(struct batch *b)
{
	for (; b->n_settled < b->n_jobs; b->n_settled++)
		job_free(b->jobs[b->n_settled]);
	empty(b);
	buf_done(&b->texts);
}
