/* SPDX-License-Identifier: Apache-2.0 */
/* One job, which is the whole body. */
#include "control/upload.h"

#include "control/body.h"
#include "control/problem.h"
#include "control/text.h"
#include "job/job.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct upload_job {
	struct submitter base;
	struct body body;
	struct job *job;    /* owned until it is accepted */
	char *id;           /* its own, as long as the receipt may need it; NULL: it has none */
	struct receipt receipt;
};

static size_t take(struct task *t, const char *data, size_t n)
{
	struct upload_job *u = (struct upload_job *) t;

	body_add(&u->body, data, n, JOB_MAX_LINE_BYTES);
	return n;
}

/* --- the answer -------------------------------------------------------------------- */

/* The id as one segment of a path (RFC 3986, section 3.3). */
static void add_location(struct buf *b, const char *id, size_t len)
{
	buf_add_str(b, "/v1/jobs/");
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char) id[i];
		bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
		             (c >= 'a' && c <= 'z') || (c < 0x80 && strchr("-._~", c));
		if (plain)
			buf_add_char(b, (char) c);
		else
			buf_printf(b, "%%%02X", c);
	}
	buf_add_char(b, '\0');
}

static void say_taken(struct upload_job *u)
{
	struct reply *reply = &u->base.task.reply;
	bool known = u->receipt.kind == RECEIPT_KNOWN;
	struct buf id = { 0 };

	if (u->id)
		buf_add_str(&id, u->id);
	else
		buf_printf(&id, "p-%llu", (unsigned long long) u->receipt.number);
	if (id.failed) {
		reply->body.failed = true;
		return;
	}
	reply->status = known ? 200 : 202;
	reply->type = "application/json";
	buf_add_str(&reply->body, "{\"id\": ");
	buf_add_json(&reply->body, id.data, id.len);
	buf_printf(&reply->body, ", \"status\": \"%s\"}\n", known ? "known" : "accepted");
	add_location(&reply->location, id.data, id.len);
	buf_done(&id);
}

static void answered(struct task *t, int error)
{
	struct upload_job *u = (struct upload_job *) t;

	if (submitter_tries_again(&u->base, error))
		return;
	if (error < 0) {
		problem_reply(&t->reply, t->desk->engine, error);
		return;
	}
	u->job = NULL; /* the backlog's */
	if (u->receipt.kind == RECEIPT_CONFLICT)
		problem(&t->reply, PROBLEM_ID_CONFLICT, PROBLEM_TEXT_CONFLICT);
	else
		say_taken(u);
}

/* --- the body ---------------------------------------------------------------------- */

/* Returns what follows the beginning of the first URL in the text; NULL if there is none. */
static const char *skip_scheme(const char *text, const char *end)
{
	while ((text = memmem(text, (size_t) (end - text), "http", 4))) {
		text += 4;
		const char *rest = text + (text < end && *text == 's');
		if (end - rest >= 3 && memcmp(rest, "://", 3) == 0)
			return rest + 3;
	}
	return NULL;
}

/* Lines, or what curl's -d, which drops line ends, has made of them. */
static bool is_many(const struct buf *body)
{
	const char *end = body->data + body->len;

	if (body->len == 0)
		return false;
	if (*body->data != '{' && memchr(body->data, '\n', body->len - 1))
		return true;
	const char *next = skip_scheme(body->data, end);
	return next && skip_scheme(next, end);
}

static void refuse(struct upload_job *u, int error, const struct buf *why)
{
	static const char hint[] = "; many jobs go as application/x-ndjson, with curl by "
	                           "--data-binary (-d drops the line ends)";

	struct reply *reply = &u->base.task.reply;
	const struct buf *text = &u->body.text;
	struct text_place place = { 0 };

	if (error == -ENOMEM || why->failed) {
		problem_reply(reply, u->base.task.desk->engine, -ENOMEM);
		return;
	}
	if (text->len > 0)
		free(text_find_id(text->data, text->len, &place));
	problem(reply, place.line > 0 ? PROBLEM_BAD_JSON : PROBLEM_BAD_JOB, "%.*s%s",
	        (int) why->len, why->data, is_many(text) ? hint : "");
	if (place.line > 0)
		problem_at(reply, place.line, place.column);
}

/* Returns whether it is a job; otherwise the reply says why not. */
static bool parse(struct upload_job *u)
{
	const struct buf *body = &u->body.text;
	struct buf why = { 0 };
	int r = -EINVAL;

	if (body->len == 0)
		buf_add_str(&why, "the body is empty; send a URL, or a JSON object with a url");
	else
		r = job_parse(u->base.task.desk->parser, body->data, body->len, &u->job, &why);
	const char *refusal = r == 0 ? engine_refuses(u->base.task.desk->engine, u->job) : NULL;
	if (refusal) {
		buf_add_str(&why, refusal);
		r = -EINVAL;
	}
	if (r == 0 && u->job->id && !(u->id = strdup(u->job->id)))
		r = -ENOMEM;
	if (r < 0)
		refuse(u, r, &why);
	else
		u->job->source = UPLOAD_SOURCE;
	buf_done(&why);
	return r == 0;
}

static void finish(struct task *t)
{
	struct upload_job *u = (struct upload_job *) t;

	if (u->body.error < 0) {
		body_refuse(&u->body, UPLOAD_TOO_LARGE, &t->reply, t->desk->engine);
		return;
	}
	bool is_job = parse(u);
	body_done(&u->body);
	if (is_job)
		submitter_submit(&u->base, &u->job, 1, &u->receipt);
}

static void free_task(struct task *t)
{
	struct upload_job *u = (struct upload_job *) t;

	submitter_done(&u->base);
	body_done(&u->body);
	job_free(u->job);
	free(u->id);
	free(u);
}

struct submitter *upload_job_create(void)
{
	static const struct task_ops ops = {
		.take = take,
		.finish = finish,
		.answered = answered,
		.take_back = submitter_take_back,
		.free = free_task,
	};
	struct upload_job *u = calloc(1, sizeof(*u));

	if (!u)
		return NULL;
	u->base.task.ops = &ops;
	return &u->base;
}
