/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/top_ask.h"

#include "base/clock.h"
#include "base/sync.h"
#include "cli/safe_text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	DEEPEST = 100, /* so many lanes are asked for if the daemon's own order will do */
	NEWEST = 10,   /* and so many failures */
};

/* Of a round, in their order; an order comes before it. */
enum question { NOTHING, ORDER, STATUS, LANES, HISTORY, FAILURES };

void top_data_done(struct top_data *d)
{
	json_decref(d->status);
	json_decref(d->before);
	json_decref(d->lanes_answer);
	json_decref(d->failures);
	free(d->lanes);
	buf_done(&d->problem);
	buf_done(&d->message);
}

void top_ask_done(struct top_ask *t)
{
	buf_done(&t->target);
	buf_done(&t->body);
	buf_done(&t->answer);
	free(t->origin);
}

/* --- answers ----------------------------------------------------------------------- */

/* It is another daemon now, and may be another version. */
static void start_anew(struct top_ask *t, struct top_data *d)
{
	json_decref(d->before);
	d->before = NULL;
	d->history = (struct top_history) { 0 };
	t->history = t->failures = TOP_MAY_HAVE;
	t->dead = 0;
}

static bool take_status(struct top_ask *t, struct top_data *d, json_t *answer)
{
	if (!json_is_object(json_object_get(answer, "ledger")))
		return false;
	json_decref(d->before);
	d->before = d->status;
	if (d->before && !json_equal(json_object_get(answer, "started_at"),
	                             json_object_get(d->before, "started_at")))
		start_anew(t, d);
	d->status = json_incref(answer);
	if (t->history == TOP_LACKS && d->before)
		top_history_observe(&d->history, d->before, d->status,
		                    (double) t->interval_ns / (double) NS_PER_S);
	return true;
}

static bool take_lanes(struct top_ask *t, struct top_data *d, json_t *answer)
{
	json_t *list = json_object_get(answer, "lanes");
	size_t n = json_array_size(list);
	json_t **lanes = json_is_array(list) ? calloc(n + 1, sizeof(json_t *)) : NULL;

	if (!lanes)
		return false;
	json_int_t all = json_integer_value(json_object_get(answer, "total"));
	json_decref(d->lanes_answer);
	free(d->lanes);
	d->lanes_answer = json_incref(answer);
	d->lanes = lanes;
	d->n_lanes = n;
	d->all_lanes = all > (json_int_t) n ? (size_t) all : n;
	for (size_t i = 0; i < n; i++)
		lanes[i] = json_array_get(list, i);
	qsort(lanes, n, sizeof(json_t *), t->order->order);
	return true;
}

/* Records, one a line. */
static bool take_failures(struct top_ask *t, struct top_data *d)
{
	json_t *list = json_array();

	for (size_t at = 0; list && at < t->answer.len;) {
		const char *line = t->answer.data + at;
		const char *end = memchr(line, '\n', t->answer.len - at);
		size_t len = end ? (size_t) (end - line) : t->answer.len - at;
		json_t *record = json_loadb(line, len, 0, NULL);
		if (json_is_string(json_object_get(record, "reason")))
			(void) json_array_insert(list, 0, record);
		json_decref(record);
		at += len + 1;
	}
	json_decref(d->failures);
	d->failures = list;
	return list;
}

static bool take_order(struct top_ask *t, struct top_data *d, const json_t *answer)
{
	static const char *const done[][2] = {
		{ "pause", "paused " }, { "resume", "resumed " }, { "drain", "draining " }
	};
	const char *origin = json_string_value(json_object_get(answer, "origin"));

	buf_clear(&d->message);
	for (size_t i = 0; i < ARRAY_LEN(done); i++)
		if (strcmp(t->given, done[i][0]) == 0)
			buf_add_str(&d->message, done[i][1]);
	safe_text_add(&d->message, origin ? origin : "everything");
	if (strcmp(t->given, "pause") == 0 && !json_is_true(json_object_get(answer, "durable")))
		buf_add_str(&d->message, ", until the daemon ends");
	return true;
}

/* Returns whether it is understood. */
static bool take_answer(struct top_ask *t, struct top_data *d, json_t *answer)
{
	switch ((enum question) t->question) {
	case ORDER:
		return take_order(t, d, answer);
	case STATUS:
		return take_status(t, d, answer);
	case LANES:
		return take_lanes(t, d, answer);
	case HISTORY:
		t->history = TOP_HAS;
		return top_history_take(&d->history, answer) == 0;
	case FAILURES:
		t->failures = TOP_HAS;
		return take_failures(t, d);
	case NOTHING:
		break;
	}
	return false;
}

/* An answer that is an error; not all daemons have history and failures. */
static void take_problem(struct top_ask *t, struct top_data *d, long status)
{
	struct buf *said = t->question == ORDER ? &d->message : &d->problem;
	struct buf text = { 0 };

	if (status == 404 && t->question == HISTORY)
		t->history = TOP_LACKS;
	if (status == 404 && t->question == FAILURES)
		t->failures = TOP_LACKS;
	if (t->question == HISTORY || t->question == FAILURES)
		return;
	unix_http_add_problem(status, &t->answer, &text);
	buf_add_char(&text, '\0');
	buf_clear(said);
	if (t->question == ORDER)
		buf_printf(said, "%s: ", t->given);
	if (!text.failed)
		safe_text_add(said, text.data);
	buf_done(&text);
}

/* --- questions --------------------------------------------------------------------- */

static void write_order(struct top_ask *t)
{
	t->given = t->lever;
	t->lever = NULL;
	buf_printf(&t->target, "/v1/control/%s", t->given);
	buf_add_char(&t->body, '{');
	if (t->origin) {
		buf_add_str(&t->body, "\"origin\": ");
		buf_add_json_str(&t->body, t->origin);
	}
	buf_add_char(&t->body, '}');
}

static json_int_t count_dead(const struct top_data *d)
{
	return json_integer_value(json_object_get(json_object_get(d->status, "ledger"), "dead"));
}

static void write_question(struct top_ask *t, const struct top_data *d)
{
	switch ((enum question) t->question) {
	case ORDER:
		write_order(t);
		break;
	case STATUS:
		buf_add_str(&t->target, "/v1/status");
		break;
	case LANES:
		buf_printf(&t->target, "/v1/lanes?limit=%d",
		           t->order == &lane_orders[LANE_BY_DEPTH] ? DEEPEST : LANE_MAX_LIMIT);
		break;
	case HISTORY:
		buf_printf(&t->target, "/v1/history?since=%llu",
		           (unsigned long long) (d->history.first + d->history.n));
		break;
	case FAILURES:
		t->dead = count_dead(d);
		buf_printf(&t->target, "/v1/results?outcome=dead&last=%d", NEWEST);
		break;
	case NOTHING:
		break;
	}
	buf_add_char(&t->target, '\0');
}

static int begin(struct top_ask *t, const struct top_data *d, int question)
{
	buf_clear(&t->target);
	buf_clear(&t->body);
	buf_clear(&t->answer);
	t->question = question;
	write_question(t, d);
	if (t->target.failed || t->body.failed)
		return -ENOMEM;
	bool is_order = question == ORDER;
	t->request = (struct unix_http_request) {
		.method = is_order ? "POST" : "GET",
		.target = t->target.data,
		.type = is_order ? "application/json" : NULL,
		.body = is_order ? t->body.data : NULL,
		.body_len = t->body.len,
		.timeout_ms = UNIX_HTTP_TIMEOUT_MS,
		.on_body = unix_http_collect,
		.arg = &t->answer,
	};
	return unix_http_begin(t->http, &t->request);
}

/* What is to be asked after this one. */
static int next_question(const struct top_ask *t, const struct top_data *d)
{
	if (t->lever)
		return ORDER;
	if (t->question == NOTHING)
		return clock_now_ns() >= t->next_ns ? STATUS : NOTHING;
	if (t->question < LANES)
		return t->question + 1; /* after an order the status shows what it did */
	if (t->question < HISTORY && t->history != TOP_LACKS)
		return HISTORY;
	if (t->question < FAILURES && t->failures != TOP_LACKS && count_dead(d) != t->dead)
		return FAILURES;
	return NOTHING;
}

/* --- rounds ------------------------------------------------------------------------ */

/* An order that may have arrived is not given again. */
static void give_up(struct top_ask *t, struct top_data *d, int error)
{
	if (t->question == ORDER) {
		buf_clear(&d->message);
		buf_printf(&d->message, "%s: no answer", t->given);
	}
	d->error = error;
	t->question = NOTHING;
	t->next_ns = clock_after(clock_now_ns(), t->interval_ns);
}

static void take(struct top_ask *t, struct top_data *d, long status)
{
	d->error = 0;
	d->answered_ns = clock_now_ns();
	if (t->question == STATUS)
		buf_clear(&d->problem);
	if (status != 200) {
		take_problem(t, d, status);
		return;
	}
	json_t *answer = t->answer.data ? json_loadb(t->answer.data, t->answer.len, 0, NULL) : NULL;
	if (!take_answer(t, d, answer)) {
		buf_clear(&d->problem);
		buf_add_str(&d->problem, "an answer is not understood; is it penstockd's socket?");
	}
	json_decref(answer);
}

/* Looks for an answer.  Returns 0 when there is one, -EINPROGRESS or why there will be none. */
static int await(struct top_ask *t, struct top_data *d)
{
	struct unix_http_answer head;

	int r = unix_http_continue(t->http, &head);
	if (r == 0)
		take(t, d, head.status);
	return r;
}

/* Begins what is to be asked next, if anything. */
static int begin_next(struct top_ask *t, const struct top_data *d)
{
	int next = next_question(t, d);

	if (next == STATUS)
		t->next_ns = clock_after(clock_now_ns(), t->interval_ns);
	if (next == NOTHING) {
		t->question = NOTHING;
		return 0;
	}
	return begin(t, d, next);
}

bool top_ask_continue(struct top_ask *t, struct top_data *d)
{
	bool is_news = false;
	int r = 0;

	do {
		bool was_idle = t->question == NOTHING;
		r = was_idle ? 0 : await(t, d);
		if (r == -EINPROGRESS)
			break;
		if (r == 0)
			r = begin_next(t, d);
		if (r < 0)
			give_up(t, d, r);
		is_news |= !was_idle || r < 0;
	} while (t->question != NOTHING);
	return is_news;
}

uint64_t top_ask_next_ns(const struct top_ask *t)
{
	return t->question != NOTHING ? NEVER : t->lever ? 0 : t->next_ns;
}

int top_ask_order(struct top_ask *t, const char *lever, const char *origin)
{
	char *copy = origin ? strdup(origin) : NULL;

	if (origin && !copy)
		return -ENOMEM;
	free(t->origin);
	t->origin = copy;
	t->lever = lever;
	return 0;
}

void top_ask_sort(struct top_ask *t, struct top_data *d, const struct lane_order_name *order)
{
	t->order = order;
	t->next_ns = 0; /* there may be others to show */
	if (d->n_lanes > 0)
		qsort(d->lanes, d->n_lanes, sizeof(json_t *), order->order);
}
