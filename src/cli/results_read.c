/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `penstock results`: records as the daemon has them, and as they come.
 *
 * Whole lines only are written, and the number of the last one is known: so when the daemon is
 * restarted, the reading goes on behind it; or begins anew, if the numbers do.
 */
#include "cli/results.h"

#include "base/log.h"
#include "cli/cli.h"
#include "cli/safe_text.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef unsigned long long ull; /* for %llu */

enum { MAX_PROBLEM_BYTES = 64 * 1024 };

/* --- what comes ---------------------------------------------------------------------- */

/* A record begins with its number; an empty line says that the daemon is there. */
static void take_line(struct results_command *c, const char *line, size_t len)
{
	static const char record[] = "{\"seq\":";
	const size_t n = sizeof(record) - 1;

	if (len > n && memcmp(line, record, n) == 0) {
		c->next_seq = strtoull(line + n, NULL, 10) + 1;
		c->is_placed = c->got_on = true;
		patience_rewarded(&c->patience);
		if (fwrite(line, 1, len, stdout) != len)
			c->write_error = errno;
	} else if (len > 1 && len <= MAX_PROBLEM_BYTES) {
		buf_clear(&c->problem);
		buf_add(&c->problem, line, len);
	}
}

static void take_lines(struct results_command *c)
{
	const char *at = c->lines.data, *end = NULL;
	size_t left = c->lines.len;

	while (c->write_error == 0 && (end = memchr(at, '\n', left))) {
		size_t len = (size_t) (end + 1 - at);
		take_line(c, at, len);
		at += len;
		left -= len;
	}
	memmove(c->lines.data, at, left);
	c->lines.len = left;
	if (fflush(stdout) != 0 && c->write_error == 0)
		c->write_error = errno;
}

static bool on_body(void *arg, const struct unix_http_answer *head, const char *data, size_t n)
{
	struct results_command *c = arg;

	patience_answered(&c->patience);
	if (head->status != 200) {
		if (c->problem.len + n <= MAX_PROBLEM_BYTES)
			buf_add(&c->problem, data, n);
		return !c->problem.failed;
	}
	buf_add(&c->lines, data, n);
	if (!c->lines.failed && memchr(data, '\n', n))
		take_lines(c);
	return !c->lines.failed && c->write_error == 0;
}

/* --- one request ----------------------------------------------------------------------- */

static void add_target(const struct results_command *c, struct buf *b)
{
	char separator = '?';

	buf_add_str(b, "/v1/results");
	if (c->follows)
		buf_printf(b, "%cfollow", separator), separator = '&';
	if (c->is_placed)
		buf_printf(b, "%cfrom=%llu", separator, (ull) c->next_seq), separator = '&';
	else if (c->from)
		buf_printf(b, "%cfrom=%s", separator, c->from), separator = '&';
	if (c->last && !c->is_placed)
		buf_printf(b, "%clast=%s", separator, c->last), separator = '&';
	if (c->since[0] != '\0' && !c->is_placed)
		buf_printf(b, "%csince=%s", separator, c->since), separator = '&';
	if (c->outcome)
		buf_printf(b, "%coutcome=%s", separator, c->outcome);
	buf_add_char(b, '\0');
}

static int request(struct results_command *c, struct unix_http_answer *ret_answer)
{
	struct buf target = { 0 };

	add_target(c, &target);
	buf_clear(&c->lines); /* a line that broke off comes once more */
	buf_clear(&c->problem);
	c->asked = true;
	c->got_on = false;
	const struct unix_http_request request = {
		.target = target.data, .on_body = on_body, .arg = c };
	int r = target.failed ? -ENOMEM : unix_http_perform(c->ask.http, &request, ret_answer);
	buf_done(&target);
	return r;
}

/* --- whom it follows --------------------------------------------------------------------- */

static const char *text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));
	return text ? text : "";
}

/* Without a database the numbers begin anew with each daemon. */
static bool begins_anew(const struct results_command *c, const json_t *status)
{
	return c->daemon &&
	       strcmp(text_of(c->daemon, "started_at"), text_of(status, "started_at")) != 0 &&
	       strcmp(text_of(json_object_get(status, "backlog"), "type"), "memory") == 0;
}

static bool says_where(const struct results_command *c)
{
	return c->from || c->last || c->since[0] != '\0';
}

/* From now on: from which record on is that?  So that none is missed if the daemon is restarted
 * before the first one comes. */
static void take_status(struct results_command *c, json_t *status)
{
	const json_t *last = json_object_get(json_object_get(status, "results"), "last_seq");

	if (begins_anew(c, status)) {
		log_warning("%s: it is another daemon, without a database: its results begin anew",
		            c->ask.path);
		c->is_placed = true;
		c->next_seq = 0;
	} else if (!c->is_placed && !says_where(c)) {
		c->is_placed = true;
		c->next_seq = (uint64_t) json_integer_value(last) + 1;
	}
	json_decref(c->daemon);
	c->daemon = json_incref(status);
}

/* Asks who it is.  Its answer, unless it is taken, is in 'problem'. */
static int look(struct results_command *c, struct unix_http_answer *ret_answer)
{
	const struct unix_http_request request = {
		.target = "/v1/status",
		.timeout_ms = UNIX_HTTP_TIMEOUT_MS,
		.on_body = unix_http_collect,
		.arg = &c->problem,
	};

	c->asked = c->got_on = false;
	buf_clear(&c->problem);
	int r = unix_http_perform(c->ask.http, &request, ret_answer);
	if (r < 0 || ret_answer->status != 200)
		return r;
	json_auto_t *status = json_loadb(c->problem.data, c->problem.len, 0, NULL);
	if (!json_is_object(json_object_get(status, "results")))
		return -EPROTO;
	take_status(c, status);
	return 0;
}

/* --- the end, or not --------------------------------------------------------------------- */

static bool has_no_reader(void)
{
	struct pollfd set = { .fd = STDOUT_FILENO };

	return poll(&set, 1, 0) == 1 && (set.revents & (POLLERR | POLLHUP));
}

static void say(const struct results_command *c, const struct buf *text)
{
	struct buf safe = { 0 };

	safe_text_add(&safe, text->failed ? "" : text->data);
	log_error("%s: %.*s", c->ask.path, (int) safe.len, safe.data ? safe.data : "");
	buf_done(&safe);
}

/* What was missed is missed: goes on with the oldest that is there. */
static int go_on_behind(struct results_command *c, const struct buf *why, uint64_t next_seq)
{
	say(c, why);
	c->missed = true;
	if (!c->follows)
		return EXIT_SOME_FAILED;
	c->next_seq = next_seq;
	return EXIT_OK;
}

/* An answer that holds no records. */
static int judge_refusal(struct results_command *c, const struct unix_http_answer *answer)
{
	struct buf why = { 0 };
	int code = EXIT_UNAVAILABLE;

	unix_http_add_problem(answer->status, &c->problem, &why);
	buf_add_char(&why, '\0');
	if ((answer->status == 410 || answer->status == 404) && c->is_placed && c->asked)
		code = go_on_behind(c, &why, 0);
	else if ((answer->status == 503 || answer->status == 500) && c->follows && !why.failed)
		code = patience_refused(&c->patience, why.data, answer->retry_after_s);
	else {
		say(c, &why);
		code = answer->status == 400                             ? EXIT_USAGE
		       : answer->status == 404 || answer->status == 410 ? EXIT_SOME_FAILED
		                                                         : EXIT_UNAVAILABLE;
	}
	buf_done(&why);
	return code;
}

/* The daemon has ended it with a line that says why. */
static int judge_cut(struct results_command *c)
{
	json_auto_t *line = json_loadb(c->problem.data, c->problem.len, 0, NULL);
	const char *text = json_string_value(json_object_get(line, "error"));
	const json_t *next = json_object_get(line, "next_seq");
	struct buf why = { 0 };
	int code = EXIT_UNAVAILABLE;

	buf_add_str(&why, text ? text : "a line is no record; is it penstockd's socket?");
	buf_add_char(&why, '\0');
	if (json_is_integer(next))
		code = go_on_behind(c, &why, (uint64_t) json_integer_value(next));
	else if (text && c->follows && !why.failed)
		code = patience_refused(&c->patience, why.data, 0);
	else
		say(c, &why);
	buf_done(&why);
	return code;
}

/* Returns EXIT_OK with '*ret_ends' false if it goes on. */
static int judge(struct results_command *c, int r, const struct unix_http_answer *answer,
                 bool *ret_ends)
{
	*ret_ends = true;
	if (c->write_error != 0 && c->write_error != EPIPE) {
		log_error("standard output cannot be written: %s", strerror(c->write_error));
		return EXIT_IO;
	}
	if (c->write_error == EPIPE || (r == -ECANCELED && has_no_reader()))
		return EXIT_OK; /* whoever reads has had enough */
	if (r == -ECANCELED)
		return c->follows ? EXIT_OK : EXIT_UNFINISHED;
	if (r == 0 && answer->status == 200 && c->problem.len == 0 && !c->follows)
		return EXIT_OK;
	if (r == -EPROTO)
		return ask_misunderstood(&c->ask);
	*ret_ends = !c->follows;
	if (r == 0 && answer->status != 200)
		return judge_refusal(c, answer);
	if (r == 0 && c->problem.len > 0)
		return judge_cut(c);
	if (c->got_on && (r == 0 || r == -ECONNRESET)) { /* it has stopped, or whoever reads is slow */
		*ret_ends = false;
		return EXIT_OK;
	}
	if (!c->follows)
		return unix_http_log_error(c->ask.path, r);
	int code = patience_failed(&c->patience, r == 0 ? -ECONNRESET : r);
	*ret_ends = code != EXIT_OK;
	return code == EXIT_UNFINISHED ? EXIT_OK : code; /* interrupted */
}

int results_read(struct results_command *c)
{
	struct unix_http_answer answer = { 0 };
	bool ends = false;
	int code = EXIT_OK;

	while (code == EXIT_OK && !ends) {
		int r = c->follows ? look(c, &answer) : 0;
		c->patience.was_there |= r == 0;
		if (r == 0 && (!c->follows || answer.status == 200))
			r = request(c, &answer);
		code = judge(c, r, &answer, &ends);
	}
	return code == EXIT_OK && c->missed ? EXIT_SOME_FAILED : code;
}
