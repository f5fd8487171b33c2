/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A backlog behind the control socket that answers when, and what, the test says; and a
 * client that sends and reads in pieces.
 *
 * To be linked with -Wl,--wrap= for the engine's functions below.  What the socket asks
 * goes to the engine until mock_begin().
 */
#ifndef PENSTOCK_TESTS_CONTROL_MOCK_H
#define PENSTOCK_TESTS_CONTROL_MOCK_H

#include "base/clock.h"
#include "base/sync.h"
#include "control_stage.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { MOCK_MAX = 80, MOCK_LANES = 8, MOCK_PATIENCE_S = 60 };

static struct {
	struct mutex lock;
	struct cond changed; /* something was submitted, asked or withdrawn */
	bool on;
	struct submission *held[MOCK_MAX]; /* in their order */
	size_t n_held;
	unsigned withdrawn; /* times that a submission was asked back for */
	bool withdraws;     /* whether it is given */
	uint64_t last_number; /* that was given out */
	bool limited;       /* it answers by itself: it has room for so many jobs */
	size_t room;
	unsigned asked;     /* submissions that it answered so */
	struct query *query;

	struct engine_whereabouts at; /* of any job that is out; explanations have the code "code"
	                               * and the text "it is so" */
	struct job *queued; /* what engine_unqueue() finds */
	int cancel_error;
	unsigned cancelled, cancelled_unqueued;
	struct backlog_stats figures;

	struct buf levers;  /* what was moved: "pause http://a:80\n", "resume everything\n", … */
	int pause_error;
	bool paused;        /* as a whole */
	bool draining;
	struct queue_lane lanes[MOCK_LANES]; /* that the queue has… */
	const char *origins[MOCK_LANES];     /* …and their names */
	size_t n_lanes;
} mock;

/* The linker's names. */
void __wrap_engine_submit(struct engine *e, struct submission *s);
bool __wrap_engine_withdraw(struct engine *e, struct submission *s);
void __wrap_engine_query(struct engine *e, struct query *q);
void __wrap_engine_explain(struct engine *e, const struct query *found, struct explanation *ret);
void __wrap_engine_lane(struct engine *e, const char *origin, struct queue_lane *ret_lane);
size_t __wrap_engine_list_lanes(struct engine *e, struct queue_lane *lanes, size_t max,
                                struct buf *names, size_t *ret_all);
int __wrap_engine_pause(struct engine *e, const char *origin);
void __wrap_engine_resume(struct engine *e, const char *origin);
void __wrap_engine_drain(struct engine *e);
bool __wrap_engine_is_draining(const struct engine *e);
struct job *__wrap_engine_unqueue(struct engine *e, uint64_t number);
int __wrap_engine_cancel(struct engine *e, struct job *job, bool unqueued, const char *reason);
void __wrap_engine_stats(struct engine *e, struct engine_stats *ret_stats);
void __real_engine_submit(struct engine *e, struct submission *s);
bool __real_engine_withdraw(struct engine *e, struct submission *s);
void __real_engine_query(struct engine *e, struct query *q);
void __real_engine_stats(struct engine *e, struct engine_stats *ret_stats);

static inline bool mock_is_on(void)
{
	mutex_lock(&mock.lock);
	bool on = mock.on;
	mutex_unlock(&mock.lock);
	return on;
}

/* Answers a submission with 0: every job is accepted unless a receipt says something else. */
static inline void mock_accept(struct submission *s, const struct receipt *receipts)
{
	mutex_lock(&mock.lock);
	uint64_t number = mock.last_number;
	mock.last_number += s->n;
	mutex_unlock(&mock.lock);
	for (size_t i = 0; i < s->n; i++) {
		s->receipts[i] = receipts ? receipts[i]
		                          : (struct receipt) { .kind = RECEIPT_ACCEPTED,
		                                               .number = ++number };
		job_free(s->jobs[i]); /* fetched already: nobody may look at it any more */
	}
	s->done(s, 0);
}

/* Answers it if it is to answer by itself. */
static inline bool mock_answers(struct submission *s)
{
	mutex_lock(&mock.lock);
	bool limited = mock.limited, fits = s->n <= mock.room;
	mock.asked += limited;
	mock.room -= limited && fits ? s->n : 0;
	mutex_unlock(&mock.lock);
	if (limited && fits)
		mock_accept(s, NULL);
	else if (limited)
		s->done(s, -EAGAIN);
	return limited;
}

void __wrap_engine_submit(struct engine *e, struct submission *s)
{
	if (!mock_is_on()) {
		__real_engine_submit(e, s);
		return;
	}
	if (mock_answers(s))
		return;
	mutex_lock(&mock.lock);
	if (mock.n_held == MOCK_MAX)
		abort();
	mock.held[mock.n_held++] = s;
	cond_broadcast(&mock.changed);
	mutex_unlock(&mock.lock);
}

bool __wrap_engine_withdraw(struct engine *e, struct submission *s)
{
	bool found = false;

	if (!mock_is_on())
		return __real_engine_withdraw(e, s);
	mutex_lock(&mock.lock);
	mock.withdrawn++;
	for (size_t i = 0; mock.withdraws && i < mock.n_held; i++) {
		found = found || mock.held[i] == s;
		if (found && i + 1 < mock.n_held)
			mock.held[i] = mock.held[i + 1];
	}
	mock.n_held -= found;
	cond_broadcast(&mock.changed);
	mutex_unlock(&mock.lock);
	return found;
}

void __wrap_engine_query(struct engine *e, struct query *q)
{
	if (!mock_is_on()) {
		__real_engine_query(e, q);
		return;
	}
	mutex_lock(&mock.lock);
	mock.query = q;
	cond_broadcast(&mock.changed);
	mutex_unlock(&mock.lock);
}

void __wrap_engine_explain(struct engine *e, const struct query *found, struct explanation *ret)
{
	(void) e, (void) found;
	*ret = (struct explanation) { .code = "code" };
	buf_add(&ret->text, "it is so", sizeof("it is so"));
	mutex_lock(&mock.lock);
	ret->at = mock.at;
	mutex_unlock(&mock.lock);
}

/* One that is not there has a burst of 1 and nothing else. */
void __wrap_engine_lane(struct engine *e, const char *origin, struct queue_lane *ret_lane)
{
	(void) e;
	*ret_lane = (struct queue_lane) { .obstacle.why = WAIT_WORKER, .limits.burst = 1 };
	mutex_lock(&mock.lock);
	for (size_t i = 0; i < mock.n_lanes; i++)
		if (strcmp(mock.origins[i], origin) == 0)
			*ret_lane = mock.lanes[i];
	mutex_unlock(&mock.lock);
}

size_t __wrap_engine_list_lanes(struct engine *e, struct queue_lane *lanes, size_t max,
                                struct buf *names, size_t *ret_all)
{
	size_t n = 0;

	(void) e;
	mutex_lock(&mock.lock);
	for (; n < mock.n_lanes && n < max; n++) {
		lanes[n] = mock.lanes[n];
		lanes[n].origin_at = names->len;
		buf_add(names, mock.origins[n], strlen(mock.origins[n]) + 1);
	}
	*ret_all = mock.n_lanes;
	mutex_unlock(&mock.lock);
	return n;
}

int __wrap_engine_pause(struct engine *e, const char *origin)
{
	(void) e;
	mutex_lock(&mock.lock);
	int error = mock.pause_error;
	buf_printf(&mock.levers, "pause %s\n", origin ? origin : "everything");
	mutex_unlock(&mock.lock);
	return error;
}

void __wrap_engine_resume(struct engine *e, const char *origin)
{
	(void) e;
	mutex_lock(&mock.lock);
	buf_printf(&mock.levers, "resume %s\n", origin ? origin : "everything");
	mutex_unlock(&mock.lock);
}

void __wrap_engine_drain(struct engine *e)
{
	(void) e;
	mutex_lock(&mock.lock);
	mock.draining = true;
	mutex_unlock(&mock.lock);
}

bool __wrap_engine_is_draining(const struct engine *e)
{
	(void) e;
	mutex_lock(&mock.lock);
	bool draining = mock.draining;
	mutex_unlock(&mock.lock);
	return draining;
}

struct job *__wrap_engine_unqueue(struct engine *e, uint64_t number)
{
	(void) e, (void) number;
	mutex_lock(&mock.lock);
	struct job *job = mock.queued;
	mock.queued = NULL;
	mutex_unlock(&mock.lock);
	return job;
}

int __wrap_engine_cancel(struct engine *e, struct job *job, bool unqueued, const char *reason)
{
	(void) e, (void) reason;
	job_free(job);
	mutex_lock(&mock.lock);
	mock.cancelled++;
	mock.cancelled_unqueued += unqueued;
	int error = mock.cancel_error;
	mutex_unlock(&mock.lock);
	return error;
}

void __wrap_engine_stats(struct engine *e, struct engine_stats *ret_stats)
{
	__real_engine_stats(e, ret_stats);
	mutex_lock(&mock.lock);
	if (mock.on) {
		ret_stats->backlog = mock.figures;
		ret_stats->backlog_type = "sqlite";
		ret_stats->durable = true;
		ret_stats->queue.paused = mock.paused;
	}
	mutex_unlock(&mock.lock);
}

/* --- what the test says ----------------------------------------------------------------- */

/* Once in a program. */
static inline bool mock_init(void)
{
	return mutex_init(&mock.lock) == 0 && cond_init(&mock.changed) == 0;
}

static inline void mock_begin(void)
{
	mutex_lock(&mock.lock);
	mock.on = true;
	mock.withdraws = true;
	mock.withdrawn = mock.cancelled = mock.cancelled_unqueued = 0;
	mock.cancel_error = 0;
	mock.last_number = 0;
	mock.limited = false;
	mock.at = (struct engine_whereabouts) { 0 };
	mock.pause_error = 0;
	mock.paused = mock.draining = false;
	mock.n_lanes = 0;
	mock.figures = (struct backlog_stats) {
		.held_jobs = 12, .max_jobs = 12, .max_bytes = 4096,
		.free_bytes = 1024, .min_free_bytes = 2048,
	};
	mutex_unlock(&mock.lock);
}

static inline void mock_end(void)
{
	mutex_lock(&mock.lock);
	CU_ASSERT_EQUAL(mock.n_held, 0);
	CU_ASSERT_PTR_NULL(mock.query);
	CU_ASSERT_EQUAL(mock.levers.len, 0);
	mock.on = mock.draining = false;
	mutex_unlock(&mock.lock);
}

static inline void mock_set_withdraws(bool withdraws)
{
	mutex_lock(&mock.lock);
	mock.withdraws = withdraws;
	mutex_unlock(&mock.lock);
}

static inline void mock_wait(const char *what) REQUIRES(mock.lock)
{
	if (!cond_wait(&mock.changed, &mock.lock, clock_after(clock_now_ns(), MOCK_PATIENCE_S * NS_PER_S))) {
		(void) fprintf(stderr, "in vain: %s\n", what);
		abort();
	}
}

/* The levers were moved so since this was last asked. */
static inline void expect_moved(const char *levers)
{
	mutex_lock(&mock.lock);
	buf_add_char(&mock.levers, '\0');
	CU_ASSERT_STRING_EQUAL(mock.levers.data, levers);
	buf_clear(&mock.levers);
	mutex_unlock(&mock.lock);
}

/* From now on it answers by itself, with room for so many jobs. */
static inline void mock_limit(size_t room)
{
	mutex_lock(&mock.lock);
	mock.limited = true;
	mock.room = room;
	mock.asked = 0;
	mutex_unlock(&mock.lock);
}

static inline unsigned mock_count_asked(void)
{
	mutex_lock(&mock.lock);
	unsigned n = mock.asked;
	mutex_unlock(&mock.lock);
	return n;
}

/* Waits until so many submissions are at the backlog. */
static inline void mock_await_held(size_t n)
{
	mutex_lock(&mock.lock);
	while (mock.n_held < n)
		mock_wait("a submission");
	mutex_unlock(&mock.lock);
}

static inline void mock_await_withdrawn(unsigned n)
{
	mutex_lock(&mock.lock);
	while (mock.withdrawn < n)
		mock_wait("a submission asked back for");
	mutex_unlock(&mock.lock);
}

/* Takes the first submission at the backlog; the test answers it. */
static inline struct submission *mock_take(void)
{
	mock_await_held(1);
	mutex_lock(&mock.lock);
	struct submission *s = mock.held[0];
	mock.n_held--;
	memmove(mock.held, mock.held + 1, mock.n_held * sizeof(mock.held[0]));
	mutex_unlock(&mock.lock);
	return s;
}

static inline struct query *mock_take_query(void)
{
	mutex_lock(&mock.lock);
	while (!mock.query)
		mock_wait("a question");
	struct query *q = mock.query;
	mock.query = NULL;
	mutex_unlock(&mock.lock);
	return q;
}

/* --- a client in pieces ------------------------------------------------------------------ */

struct wire {
	int fd;
	struct buf in; /* what has come and was not taken yet */
};

/* An answer as it came. */
struct heard {
	int status; /* 0: the connection was closed first */
	char *head; /* NUL-terminated, as the body; owned */
	char *body;
	size_t body_len;
};

static inline struct wire wire_open(void) { return (struct wire) { .fd = connect_to(SOCKET_NAME) }; }

static inline void wire_close(struct wire *w)
{
	(void) close(w->fd);
	buf_done(&w->in);
}

static inline void heard_done(struct heard *h)
{
	free(h->head);
	free(h->body);
}

/* Reads until there are 'n' bytes; returns false at the end. */
static inline bool wire_fill(struct wire *w, size_t n)
{
	char part[16384];

	while (w->in.len < n) {
		struct pollfd set = { .fd = w->fd, .events = POLLIN };
		if (poll(&set, 1, MOCK_PATIENCE_S * 1000) != 1)
			abort();
		ssize_t got = recv(w->fd, part, sizeof(part), 0);
		if (got <= 0)
			return false;
		buf_add(&w->in, part, (size_t) got);
	}
	return true;
}

static inline void wire_drop(struct wire *w, size_t n)
{
	memmove(w->in.data, w->in.data + n, w->in.len - n);
	w->in.len -= n;
}

/* Reads one answer. */
static inline struct heard wire_hear(struct wire *w)
{
	struct heard h = { 0 };
	char *end = NULL;

	while (!(end = w->in.len > 0 ? memmem(w->in.data, w->in.len, "\r\n\r\n", 4) : NULL))
		if (!wire_fill(w, w->in.len + 1))
			return h;
	size_t head_len = (size_t) (end - w->in.data) + 4;
	h.head = strndup(w->in.data, head_len);
	wire_drop(w, head_len);
	CU_ASSERT_EQUAL_FATAL(sscanf(h.head, "HTTP/1.1 %d ", &h.status), 1);
	const char *length = strstr(h.head, "Content-Length: ");
	h.body_len = length ? strtoul(length + 16, NULL, 10) : 0;
	if (!wire_fill(w, h.body_len)) {
		heard_done(&h);
		return (struct heard) { 0 };
	}
	h.body = strndup(h.body_len > 0 ? w->in.data : "", h.body_len);
	wire_drop(w, h.body_len);
	return h;
}

/* Sends a request with a body. */
static inline void wire_post(struct wire *w, const char *target, const char *type, const char *body)
{
	struct buf b = { 0 };

	buf_printf(&b, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n",
	           target, type, strlen(body));
	buf_add_str(&b, body);
	buf_add_char(&b, '\0');
	send_text(w->fd, b.data);
	buf_done(&b);
}

#define NDJSON "application/x-ndjson"
#define ONE    "application/json"

/* The first line is a batch of its own, and at the backlog until the others have been sent, for
 * what has come makes the next batch.  They must fit into the socket's buffer. */
static inline void wire_post_lines(struct wire *w, const char *target, const char *lines)
{
	struct buf b = { 0 };
	size_t first = strcspn(lines, "\n") + 1;

	buf_printf(&b, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: " NDJSON
	               "\r\nContent-Length: %zu\r\n\r\n%.*s",
	           target, strlen(lines), (int) first, lines);
	buf_add_char(&b, '\0');
	send_text(w->fd, b.data);
	buf_done(&b);
	mock_await_held(1);
	send_text(w->fd, lines + first);
}

/* The next answer has this status and these words in head or body. */
static inline void expect_heard(struct wire *w, int status, const char *words)
{
	struct heard h = wire_hear(w);

	CU_ASSERT_EQUAL(h.status, status);
	bool found = h.status != 0 && (strstr(h.head, words) || strstr(h.body, words));
	CU_ASSERT_TRUE(found);
	if (!found || h.status != status)
		printf("\n%d, not %d with %s: %s%s\n", h.status, status, words, h.head ? h.head : "",
		       h.body ? h.body : "");
	heard_done(&h);
}

static inline void expect_body(struct wire *w, int status, const char *body)
{
	struct heard h = wire_hear(w);

	CU_ASSERT_EQUAL(h.status, status);
	CU_ASSERT_STRING_EQUAL_FATAL(h.body ? h.body : "", body);
	heard_done(&h);
}

#endif
