/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waits for jobs in the order in which they were accepted.  Most of them are settled by
 * the time it comes to them, so this is one quick question each.
 */
#include "base/clock.h"
#include "base/log.h"
#include "cli/cli.h"
#include "cli/submit.h"

#include <curl/curl.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_PAUSE_NS (20 * NS_PER_MS)
#define LAST_PAUSE_NS  (1000 * NS_PER_MS)

enum { MAX_UNSETTLED_SHOWN = 20 };

/* Where a job is, as far as it matters here. */
enum whereabouts { UNKNOWN, UNSETTLED, DONE, DEAD, CANCELLED, FORGOTTEN };

/* A job that is waited for. */
struct awaited {
	const char *id;
	size_t file;        /* where its line is */
	uint64_t number;
	const char *target; /* what to ask for */
	json_t *answer;     /* about it, once there is a good one; owned */
};

static enum whereabouts read_state(const json_t *answer)
{
	const char *state = json_string_value(json_object_get(answer, "state"));

	if (!state)
		return UNKNOWN;
	return strcmp(state, "done") == 0        ? DONE
	       : strcmp(state, "dead") == 0      ? DEAD
	       : strcmp(state, "cancelled") == 0 ? CANCELLED
	                                         : UNSETTLED;
}

static const char *results_name(const struct submit *s)
{
	return s->results == stdout ? "standard output" : s->args.results;
}

/* The record as it is in the log: the last member of the answer, up to the end of that. */
static int write_record(struct submit *s, const struct buf *answer)
{
	static const char member[] = ", \"result\": ", end[] = "}\n";
	const size_t n = sizeof(member) - 1, end_len = sizeof(end) - 1;
	const char *at = memmem(answer->data, answer->len, member, n); /* quotes in texts have a "\" */
	const char *last = answer->data + answer->len - end_len;

	if (!at || at + n > last || memcmp(last, end, end_len) != 0) {
		log_error("%s: the answer is not understood; is it penstockd's socket?", s->path);
		return EXIT_UNAVAILABLE;
	}
	at += n;
	if (fwrite(at, 1, (size_t) (last - at), s->results) == (size_t) (last - at) &&
	    putc('\n', s->results) != EOF)
		return EXIT_OK;
	log_error("%s cannot be written: %s", results_name(s), strerror(errno));
	return EXIT_IO;
}

/* Asks once.  Returns EXIT_OK with UNKNOWN if it is to be asked again. */
static int ask(struct submit *s, struct awaited *job, enum whereabouts *ret_where)
{
	struct buf body = { 0 }, text = { 0 };
	long status = 0;
	int code = EXIT_OK;

	*ret_where = UNKNOWN;
	int r = unix_http_ask(s->http, job->target, &status, &body);
	if (r < 0) {
		code = patience_failed(&s->patience, r);
		goto done;
	}
	patience_answered(&s->patience);
	json_decref(job->answer);
	job->answer = status == 200 && body.data ? json_loadb(body.data, body.len, 0, NULL) : NULL;
	if (status == 200)
		*ret_where = read_state(job->answer);
	else if (status == 404)
		*ret_where = FORGOTTEN;
	if (s->results && status == 200 && *ret_where > UNSETTLED)
		code = write_record(s, &body);
	if (*ret_where != UNKNOWN)
		goto done;

	unix_http_add_problem(status, &body, &text);
	buf_add_char(&text, '\0');
	const char *why = text.failed ? "" : text.data;
	if (status == 503 || status == 500) {
		code = patience_refused(&s->patience, why, 0);
	} else {
		log_error("%s: cannot be waited for: %s", job->target, why);
		code = EXIT_UNAVAILABLE;
	}
done:
	buf_done(&text);
	buf_done(&body);
	return code;
}

/* Of a URL only the origin: more could be long, or secret. */
static void add_origin(struct buf *b, const char *url)
{
	char *scheme = NULL, *host = NULL, *port = NULL;
	CURLU *parts = curl_url();

	if (url && parts && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK &&
	    curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
	    curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK) {
		(void) curl_url_get(parts, CURLUPART_PORT, &port, 0);
		buf_printf(b, " (%s://%s%s%s)", scheme, host, port ? ":" : "", port ? port : "");
	}
	curl_free(scheme);
	curl_free(host);
	curl_free(port);
	curl_url_cleanup(parts);
}

static void say_not_done(const struct submit *s, const struct awaited *job, enum whereabouts where)
{
	const json_t *result = json_object_get(job->answer, "result");
	const char *reason = json_string_value(json_object_get(job->answer, "reason"));
	struct buf b = { 0 };

	buf_add_str(&b, where == DEAD        ? "dead"
	                : where == CANCELLED ? "cancelled"
	                                     : "settled, and forgotten since");
	if (where == DEAD && reason)
		buf_printf(&b, ": %s", reason);
	add_origin(&b, json_string_value(json_object_get(result, "url")));
	buf_add_char(&b, '\0');
	log_warning("%s:%llu: %s: %s", job_lines_name(&s->lines, job->file),
	            (unsigned long long) job->number, job->id, b.failed ? "not done" : b.data);
	buf_done(&b);
}

static void count(struct submit *s, const struct awaited *job, enum whereabouts where)
{
	struct submit_totals *t = &s->totals;

	t->done += where == DONE;
	t->dead += where == DEAD;
	t->cancelled += where == CANCELLED;
	t->forgotten += where == FORGOTTEN;
	if (where != DONE && t->dead + t->cancelled + t->forgotten <= MAX_UNSETTLED_SHOWN)
		say_not_done(s, job, where);
}

static int await_job(struct submit *s, struct awaited *job)
{
	enum whereabouts where = UNKNOWN;
	uint64_t pause_ns = FIRST_PAUSE_NS;

	for (;;) {
		int code = ask(s, job, &where);
		if (code != EXIT_OK)
			return code;
		if (where > UNSETTLED)
			break;
		if (where == UNSETTLED) {
			if (s->results)
				(void) fflush(s->results); /* what goes wrong is seen at the end */
			if (patience_pause(&s->patience, pause_ns) < 0)
				return EXIT_UNFINISHED;
			pause_ns = pause_ns * 3 / 2 < LAST_PAUSE_NS ? pause_ns * 3 / 2 : LAST_PAUSE_NS;
		}
	}
	patience_rewarded(&s->patience);
	count(s, job, where);
	return EXIT_OK;
}

/* 'text' is as submit_send() has written it. */
static int await_line(struct submit *s, const char *text)
{
	char *end = NULL;
	struct awaited job = { .file = strtoull(text, &end, 10) };

	job.number = strtoull(end, &end, 10);
	job.id = end + 1;
	char *escaped = curl_easy_escape(NULL, job.id, 0);
	char *target = NULL;
	if (!escaped || asprintf(&target, "/v1/jobs/%s", escaped) < 0) {
		curl_free(escaped);
		log_error("out of memory");
		return EXIT_INTERNAL;
	}
	job.target = target;
	int code = await_job(s, &job);
	json_decref(job.answer);
	free(target);
	curl_free(escaped);
	return code;
}

int submit_wait(struct submit *s)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t len = 0;
	int code = EXIT_OK;

	s->waiting = true;
	s->drawn_lines = 0;
	rewind(s->wait_for);
	while (code == EXIT_OK && (len = getline(&line, &size, s->wait_for)) > 0) {
		line[len - 1] = '\0';
		code = await_line(s, line);
	}
	if (code == EXIT_OK && ferror(s->wait_for)) {
		log_error("the temporary file of ids cannot be read: %s", strerror(errno));
		code = EXIT_IO;
	}
	if (s->results && (fflush(s->results) != 0 || ferror(s->results)) && code != EXIT_IO) {
		log_error("%s cannot be written: %s", results_name(s), strerror(errno));
		code = EXIT_IO;
	}
	free(line);
	return code;
}
