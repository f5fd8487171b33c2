/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sends the lines in requests of some thousands.  A request is kept until each of its
 * lines has its receipt, and is repeated for those that have none; so the memory does not depend
 * on the input, which need not be readable twice.
 */
#include "base/clock.h"
#include "base/log.h"
#include "cli/cli.h"
#include "cli/submit.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define QUICK_NS (200 * NS_PER_MS)
#define SLOW_NS  (1000 * NS_PER_MS)

/* How long the daemon may wait for room, for each batch that it makes of a request: of so many bytes
 * at least, as it reads them while there are more. */
#define WAIT_SECONDS UINT64_C(30)
enum { BATCH_BYTES = 16 * 1024 };

enum {
	FIRST_LINES = 500,
	FEWEST_LINES = 100,
	MAX_REFUSALS_SHOWN = 20,
	MAX_PROBLEM_BYTES = 64 * 1024,
};

uint64_t submit_receipts(const struct submit *s)
{
	return s->totals.accepted + s->totals.known + s->totals.refused;
}

/* The answer to a request. */
struct answer {
	struct submit *s;
	struct unix_http_answer head;
	struct buf problem; /* what came in the place of receipts */
	size_t n_receipts;
	int error;          /* of the receipts */
};

/* --- receipts ---------------------------------------------------------------------- */

static void say_refused(struct submit *s, const struct upload_place *place, const char *why)
{
	if (s->totals.refused++ < MAX_REFUSALS_SHOWN)
		log_warning("%s:%llu: %s", job_lines_name(&s->lines, place->file),
		            (unsigned long long) place->number, why);
}

static void check_written(struct submit *s, const char *what, int n)
{
	if (n >= 0)
		return;
	log_error("%s cannot be written: %s", what, strerror(errno));
	s->output_failed = true;
}

static void take_id(struct submit *s, const struct upload_place *place, const char *id)
{
	if (s->args.ids && !s->output_failed)
		check_written(s, "standard output", printf("%s\n", id));
	if (s->wait_for && !s->output_failed)
		check_written(s, "the temporary file of ids",
		              fprintf(s->wait_for, "%zu %llu %s\n", place->file,
		                      (unsigned long long) place->number, id));
}

/* A line whose receipt was lost is known when it is sent again, though nobody knew the id that
 * was made for it. */
static void on_receipt(void *arg, const struct upload_line *line,
                       const struct upload_receipt *receipt)
{
	struct answer *a = arg;
	struct submit *s = a->s;

	a->n_receipts++;
	if (!line->settled) {
		buf_clear(&s->refusal);
		buf_add_str(&s->refusal, receipt->error);
	} else if (receipt->status == UPLOAD_REFUSED) {
		say_refused(s, &line->place, receipt->error);
	} else {
		bool ours = line->made_id && line->repeated;
		s->totals.accepted += receipt->status == UPLOAD_ACCEPTED || ours;
		s->totals.known += receipt->status == UPLOAD_KNOWN && !ours;
		take_id(s, &line->place, receipt->id);
	}
}

/* --- one request ------------------------------------------------------------------- */

static bool on_body(void *arg, const struct unix_http_answer *head, const char *data, size_t n)
{
	struct answer *a = arg;

	if (!head->is_ndjson) {
		if (a->problem.len + n <= MAX_PROBLEM_BYTES)
			buf_add(&a->problem, data, n);
		return !a->problem.failed;
	}
	a->error = upload_take_receipts(&a->s->upload, data, n, on_receipt, a);
	return a->error == 0;
}

/* Many lines a request save time; few have receipts come soon, which is what is left
 * to do again if it breaks off. */
static void adapt(struct submit *s, uint64_t took_ns)
{
	if (took_ns < QUICK_NS && s->max_lines < UPLOAD_MAX_LINES)
		s->max_lines = s->max_lines * 2 < UPLOAD_MAX_LINES ? s->max_lines * 2 : UPLOAD_MAX_LINES;
	else if (took_ns > SLOW_NS && s->max_lines > FEWEST_LINES)
		s->max_lines = s->max_lines / 2 > FEWEST_LINES ? s->max_lines / 2 : FEWEST_LINES;
}

/* When a daemon that works must have answered. */
static unsigned answer_ms(const struct submit *s)
{
	uint64_t batches = 1 + s->upload.text.len / BATCH_BYTES;
	uint64_t ms = s->args.timeout_ns / NS_PER_MS + batches * WAIT_SECONDS * 1000;

	return ms < INT_MAX ? (unsigned) ms : INT_MAX;
}

static int post(struct submit *s, struct answer *a)
{
	const struct unix_http_request request = {
		.method = "POST",
		.target = "/v1/jobs?wait=30s" /* WAIT_SECONDS */,
		.type = "application/x-ndjson",
		.body = s->upload.text.data,
		.body_len = s->upload.text.len,
		.timeout_ms = answer_ms(s),
		.on_body = on_body,
		.arg = a,
	};
	uint64_t start_ns = clock_now_ns();

	int r = unix_http_perform(s->http, &request, &a->head);
	if (r == 0)
		adapt(s, clock_now_ns() - start_ns);
	if (a->error == 0 && r == 0 && a->head.is_ndjson && a->n_receipts < s->upload.n)
		a->error = -EPROTO;
	return a->error < 0 ? a->error : r;
}

static void say_problem(struct submit *s, long status, const struct buf *problem)
{
	struct buf text = { 0 };

	unix_http_add_problem(status, problem, &text);
	log_error("%s: %.*s", s->path, (int) text.len, text.data ? text.data : "");
	buf_done(&text);
}

/* What an answer without receipts means. */
static int judge_problem(struct submit *s, struct answer *a)
{
	long status = a->head.status;

	if (status != 429 && status != 503 && status != 507 && status != 500) {
		say_problem(s, status, &a->problem);
		return EXIT_UNAVAILABLE;
	}
	buf_clear(&s->refusal);
	unix_http_add_problem(status, &a->problem, &s->refusal);
	return EXIT_OK;
}

static int pause_refused(struct submit *s, const struct answer *a)
{
	char why[256];

	(void) snprintf(why, sizeof(why), "%.*s", (int) s->refusal.len,
	                s->refusal.data ? s->refusal.data : "");
	return patience_refused(&s->patience, why, a->head.retry_after_s);
}

/* Makes sense of what came of a request.  Returns EXIT_OK if what is left of the upload
 * is to be sent again, or the exit code to end with. */
static int judge(struct submit *s, struct answer *a, int r)
{
	bool rewarded = s->upload.settled > 0;

	upload_compact(&s->upload);
	if (r == 0 || r == -EPROTO || rewarded)
		patience_answered(&s->patience);
	if (r == -EPROTO) {
		log_error("%s: the answer is no list of receipts; is it penstockd's socket?", s->path);
		return EXIT_UNAVAILABLE;
	}
	if (rewarded)
		patience_rewarded(&s->patience);
	if (r < 0)
		return patience_failed(&s->patience, r);
	int code = a->head.is_ndjson ? EXIT_OK : judge_problem(s, a);
	if (code != EXIT_OK || s->upload.n == 0)
		return code;
	return pause_refused(s, a);
}

/* Sends until every line has its receipt. */
static int deliver(struct submit *s)
{
	int code = EXIT_OK;

	while (code == EXIT_OK && s->upload.n > 0) {
		struct answer a = { .s = s };
		int r = post(s, &a);
		code = judge(s, &a, r);
		buf_done(&a.problem);
	}
	if (s->args.ids && !s->output_failed && fflush(stdout) != 0) {
		log_error("standard output cannot be written: %s", strerror(errno));
		s->output_failed = true;
	}
	return code == EXIT_OK && s->output_failed ? EXIT_IO : code;
}

/* --- all of them ------------------------------------------------------------------- */

static int take_line(struct submit *s, int event, const char *text, size_t len)
{
	const struct upload_place place = {
		.file = s->lines.file,
		.number = job_lines_number(&s->lines),
		.serial = job_lines_serial(&s->lines),
	};
	struct buf why = { 0 };

	int r = event == JOB_LINES_TOO_LONG
	                ? -EMSGSIZE
	                : upload_add(&s->upload, text, len, &place, s->args.prefix, &why);
	buf_add_char(&why, '\0');
	if (r == -EMSGSIZE || r == -EINVAL) {
		say_refused(s, &place, r == -EMSGSIZE ? "longer than 1 MiB" : why.failed ? "" : why.data);
		s->totals.refused_here++;
		r = 0;
	}
	buf_done(&why);
	return r < 0 ? r : 0;
}

static int say_unreadable(struct submit *s, int error)
{
	if (error == -ECANCELED)
		return EXIT_UNFINISHED;
	if (error == -ENOMEM) {
		log_error("out of memory");
		return EXIT_INTERNAL;
	}
	log_error("%s: cannot be read: %s", job_lines_name(&s->lines, s->lines.file),
	          strerror(-error));
	return EXIT_IO;
}

/* Reads as many lines as a request may have, or as there are now. */
static int fill(struct submit *s, bool *ret_end)
{
	const char *text = NULL;
	size_t len = 0;
	int r = 0;

	*ret_end = false;
	while (r >= 0 && !upload_is_full(&s->upload, s->max_lines)) {
		r = job_lines_next(&s->lines, s->upload.n == 0, &text, &len);
		*ret_end = r == JOB_LINES_END;
		if (r == JOB_LINES_END || r == JOB_LINES_PAUSE)
			break;
		if (r >= 0)
			r = take_line(s, r, text, len);
	}
	return r < 0 ? say_unreadable(s, r) : EXIT_OK;
}

int submit_send(struct submit *s)
{
	bool end = false;
	int code = EXIT_OK;

	s->max_lines = FIRST_LINES;
	while (code == EXIT_OK && !end) {
		code = fill(s, &end);
		if (code == EXIT_OK)
			code = deliver(s);
	}
	if (s->totals.refused > MAX_REFUSALS_SHOWN)
		log_warning("%llu more lines were refused",
		            (unsigned long long) (s->totals.refused - MAX_REFUSALS_SHOWN));
	return code;
}
