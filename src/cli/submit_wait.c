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

static enum whereabouts read_state(const struct buf *body)
{
	json_auto_t *job = body->data ? json_loadb(body->data, body->len, 0, NULL) : NULL;
	const char *state = json_string_value(json_object_get(job, "state"));

	if (!state)
		return UNKNOWN;
	return strcmp(state, "done") == 0        ? DONE
	       : strcmp(state, "dead") == 0      ? DEAD
	       : strcmp(state, "cancelled") == 0 ? CANCELLED
	                                         : UNSETTLED;
}

/* Asks once.  Returns EXIT_OK with UNKNOWN if it is to be asked again. */
static int ask(struct submit *s, const char *target, enum whereabouts *ret_where)
{
	struct buf body = { 0 }, text = { 0 };
	long status = 0;
	int code = EXIT_OK;

	*ret_where = UNKNOWN;
	int r = unix_http_ask(s->http, target, &status, &body);
	if (r < 0) {
		code = patience_failed(&s->patience, r);
		goto done;
	}
	patience_answered(&s->patience);
	if (status == 200)
		*ret_where = read_state(&body);
	else if (status == 404)
		*ret_where = FORGOTTEN;
	if (*ret_where != UNKNOWN)
		goto done;

	unix_http_add_problem(status, &body, &text);
	buf_add_char(&text, '\0');
	const char *why = text.failed ? "" : text.data;
	if (status == 503 || status == 500) {
		code = patience_refused(&s->patience, why, 0);
	} else {
		log_error("%s: cannot be waited for: %s", target, why);
		code = EXIT_UNAVAILABLE;
	}
done:
	buf_done(&text);
	buf_done(&body);
	return code;
}

static void count(struct submit *s, const char *id, enum whereabouts where)
{
	struct submit_totals *t = &s->totals;

	t->done += where == DONE;
	t->dead += where == DEAD;
	t->cancelled += where == CANCELLED;
	t->forgotten += where == FORGOTTEN;
	if (where == DONE || t->dead + t->cancelled + t->forgotten > MAX_UNSETTLED_SHOWN)
		return;
	log_warning("%s: %s", id, where == DEAD        ? "dead"
	                          : where == CANCELLED ? "cancelled"
	                                               : "settled, and forgotten since");
}

static int await_job(struct submit *s, const char *id, const char *target)
{
	enum whereabouts where = UNKNOWN;
	uint64_t pause_ns = FIRST_PAUSE_NS;

	for (;;) {
		int code = ask(s, target, &where);
		if (code != EXIT_OK)
			return code;
		if (where > UNSETTLED)
			break;
		if (where == UNSETTLED) {
			if (patience_pause(&s->patience, pause_ns) < 0)
				return EXIT_UNFINISHED;
			pause_ns = pause_ns * 3 / 2 < LAST_PAUSE_NS ? pause_ns * 3 / 2 : LAST_PAUSE_NS;
		}
	}
	patience_rewarded(&s->patience);
	count(s, id, where);
	return EXIT_OK;
}

static int await_id(struct submit *s, const char *id)
{
	char *escaped = curl_easy_escape(NULL, id, 0);
	char *target = NULL;

	if (!escaped || asprintf(&target, "/v1/jobs/%s", escaped) < 0) {
		curl_free(escaped);
		log_error("out of memory");
		return EXIT_INTERNAL;
	}
	int code = await_job(s, id, target);
	free(target);
	curl_free(escaped);
	return code;
}

int submit_wait(struct submit *s)
{
	char *id = NULL;
	size_t size = 0;
	ssize_t len = 0;
	int code = EXIT_OK;

	s->waiting = true;
	s->drawn_lines = 0;
	rewind(s->wait_for);
	while (code == EXIT_OK && (len = getline(&id, &size, s->wait_for)) > 0) {
		id[len - 1] = '\0';
		code = await_id(s, id);
	}
	if (code == EXIT_OK && ferror(s->wait_for)) {
		log_error("the temporary file of ids cannot be read: %s", strerror(errno));
		code = EXIT_IO;
	}
	free(id);
	return code;
}
