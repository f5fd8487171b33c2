/* SPDX-License-Identifier: Apache-2.0 */
#include "control/results.h"

#include "base/units.h"
#include "control/asker.h"
#include "control/problem.h"
#include "control/text.h"

#include <errno.h>
#include <string.h>

#define HEARTBEAT_NS (15 * NS_PER_S)

struct reader {
	struct asker base; /* a page is in its query.line */
	LIST_ENTRY(reader) entry;
	struct record_range range;
	bool durable;
	bool follows;
	bool seeks;  /* its search is yet to be made */
	bool asked;  /* the backlog… */
	bool idle;   /* …or it waits for news */
	bool over;   /* nothing comes behind this page */
	int error;   /* of the last page */
	size_t sent; /* of the page */
};

static struct buf *page_of(struct reader *f) { return &f->base.query.line; }

static struct tail *tail_of(const struct reader *f)
{
	return engine_tail(f->base.task.desk->engine);
}

/* --- pages ------------------------------------------------------------------------- */

static void ask(struct reader *f, enum query_kind kind)
{
	f->asked = true;
	f->base.query.range = &f->range;
	asker_ask(&f->base, kind);
}

static void empty_page(struct reader *f)
{
	buf_clear(page_of(f));
	f->sent = 0;
}

/* Fills the page.  Returns 1 once something of it may be there, 0 if there is nothing now,
 * -EINPROGRESS if the backlog was asked, or what is wrong. */
static int turn_page(struct reader *f)
{
	empty_page(f);
	if (record_range_is_over(&f->range))
		return 0;
	bool from_oldest = f->durable && f->range.next_seq == 0; /* which the tail does not know */
	int r = from_oldest ? -ENOENT : tail_read(tail_of(f), &f->range, page_of(f));
	/* What is committed is in the tail a moment later; who reads to an end does not wait for it. */
	if (!f->durable || (r != -ENOENT && (r != 0 || f->follows)))
		return r;
	ask(f, QUERY_RECORDS);
	return -EINPROGRESS;
}

/* With no records wanted behind those that there are, the end has been reached. */
static bool is_at_end(const struct reader *f)
{
	return record_range_is_over(&f->range) || !f->follows || f->base.task.desk->closing;
}

static void wait_for_news(struct reader *f)
{
	struct task *t = &f->base.task;

	f->idle = task_wait(t, HEARTBEAT_NS);
	if (f->idle)
		LIST_INSERT_HEAD(&t->desk->readers.idle, f, entry);
}

static void end_wait(struct reader *f)
{
	if (f->idle)
		LIST_REMOVE(f, entry);
	f->idle = false;
}

void results_news(struct desk *desk)
{
	struct reader *f = NULL;

	tail_event_clear(engine_tail(desk->engine));
	while ((f = LIST_FIRST(&desk->readers.idle))) {
		end_wait(f);
		f->base.task.until_ns = NEVER; /* its answer is on its way */
		inbox_put(&desk->inbox, &f->base.task, 0);
	}
}

/* --- what is wrong ------------------------------------------------------------------- */

static void add_why(struct reader *f, int error, struct buf *why)
{
	if (error == -ENOENT)
		buf_printf(why, "record %llu is not there any more; those from %llu on are",
		           (unsigned long long) f->range.next_seq,
		           (unsigned long long) f->range.first_seq);
	else
		(void) problem_of(f->base.task.desk->engine, error, why);
}

/* The last line of a stream that cannot go on: no record, for that begins with "seq". */
static void tell(struct reader *f, int error)
{
	struct buf *page = page_of(f), why = { 0 };

	add_why(f, error, &why);
	buf_add_char(&why, '\0');
	empty_page(f);
	buf_add_str(page, "{\"error\": ");
	buf_add_json_str(page, why.failed ? "out of memory" : why.data);
	if (error == -ENOENT)
		buf_printf(page, ", \"missed_seq\": %llu, \"next_seq\": %llu",
		           (unsigned long long) f->range.next_seq,
		           (unsigned long long) f->range.first_seq);
	buf_add_str(page, "}\n");
	buf_done(&why);
	f->over = true;
}

static void refuse(struct reader *f, int error)
{
	struct reply *reply = &f->base.task.reply;
	struct buf why = { 0 };

	add_why(f, error, &why);
	if (error != -ENOENT)
		problem_reply(reply, f->base.task.desk->engine, error);
	else if (why.failed)
		reply->body.failed = true;
	else
		problem(reply, PROBLEM_FORGOTTEN, "%.*s", (int) why.len, why.data);
	buf_done(&why);
}

/* --- the task -------------------------------------------------------------------------- */

/* The search, and the first page, which says whether there is anything to be had. */
static void finish(struct task *t)
{
	struct reader *f = (struct reader *) t;
	int r = f->error;

	if (r == 0 && f->seeks) {
		f->seeks = false;
		if (f->durable) {
			ask(f, QUERY_SEEK);
			return;
		}
		tail_seek(tail_of(f), &f->range);
	}
	if (r == 0 && page_of(f)->len == 0)
		r = turn_page(f);
	if (r == -EINPROGRESS)
		return;
	if (r < 0) {
		refuse(f, r);
		return;
	}
	if (f->follows && page_of(f)->len == 0)
		buf_add_char(page_of(f), '\n'); /* that it follows now is seen at once */
	t->reply.status = 200;
	t->reply.type = "application/x-ndjson";
	t->reply.streams = true;
}

static void answered(struct task *t, int error)
{
	struct reader *f = (struct reader *) t;
	bool asked = f->asked;

	f->asked = false;
	end_wait(f);
	if (asked)
		f->error = error;
	else if (error == -ETIMEDOUT)
		buf_add_char(page_of(f), '\n'); /* whoever is gone is noticed only so */
}

/* What was asked is answered soon then, also if it is a long search. */
static bool take_back(struct task *t)
{
	struct reader *f = (struct reader *) t;

	if (f->asked)
		atomic_store_explicit(&f->range.given_up, true, memory_order_relaxed);
	return f->idle;
}

static ssize_t send_page(struct reader *f, char *to, size_t max)
{
	const struct buf *page = page_of(f);
	size_t n = page->len - f->sent < max ? page->len - f->sent : max;

	memcpy(to, page->data + f->sent, n);
	f->sent += n;
	return (ssize_t) n;
}

/* A record of which a piece was sent cannot be followed by a line of ours. */
static ssize_t break_off(struct reader *f, int error, char *to, size_t max)
{
	if (f->range.offset > 0)
		return TASK_BROKEN;
	if (f->base.task.desk->closing)
		return TASK_END;
	tell(f, error);
	return page_of(f)->failed ? TASK_BROKEN : send_page(f, to, max);
}

static ssize_t read_on(struct task *t, char *to, size_t max)
{
	struct reader *f = (struct reader *) t;
	int r = f->error;

	while (r >= 0 && f->sent == page_of(f)->len) {
		if (f->over)
			return TASK_END;
		r = turn_page(f);
		if (r == -EINPROGRESS)
			return 0;
		if (r == 0 && is_at_end(f))
			return TASK_END;
		if (r == 0) {
			wait_for_news(f);
			return 0;
		}
	}
	f->error = 0;
	return r < 0 ? break_off(f, r, to, max) : send_page(f, to, max);
}

static void free_reader(struct task *t)
{
	t->desk->readers.n--;
	asker_free(t);
}

/* --- the request ------------------------------------------------------------------------ */

/* Names with commas between them. */
static bool read_outcomes(const char *text, unsigned *ret_outcomes)
{
	unsigned outcomes = 0;

	for (const char *end = NULL; text; text = *end == ',' ? end + 1 : NULL) {
		unsigned before = outcomes;
		end = strchrnul(text, ',');
		for (enum outcome o = 0; o < OUTCOMES; o++)
			if (strlen(outcome_name(o)) == (size_t) (end - text) &&
			    strncmp(outcome_name(o), text, (size_t) (end - text)) == 0)
				outcomes |= 1U << o;
		if (outcomes == before)
			return false;
	}
	*ret_outcomes = outcomes;
	return true;
}

/* Returns what is wrong with the request, or NULL. */
static const char *read_request(struct reader *f, const struct request *request)
{
	struct record_range *range = &f->range;

	f->follows = request->follow;
	if (request->from && !text_number(request->from, &range->next_seq))
		return "from= takes the number of a record, its \"seq\"; 0 is the oldest that there is";
	if (request->limit && (!text_number(request->limit, &range->left) || range->left == 0))
		return "limit= takes a number of records, 1 at least";
	if (request->last && (!text_number(request->last, &range->newest) || range->newest == 0))
		return "last= takes a number of records, 1 at least";
	if (request->since && clock_parse(request->since, &range->since_us) < 0)
		return "since= takes a time such as 2026-11-23T15:04:05Z (RFC 3339)";
	if (request->outcome && !read_outcomes(request->outcome, &range->outcomes))
		return "outcome= takes done, dead, cancelled, or some of them with commas between them";
	f->seeks = request->last || request->since;
	return NULL;
}

static void begin_reader(struct reader *f, const struct request *request, struct reply *reply)
{
	struct engine_stats stats;

	uint64_t tail_seq = tail_last_seq(tail_of(f));
	engine_stats(f->base.task.desk->engine, &stats);
	uint64_t last_seq = stats.backlog.last_seq > tail_seq ? stats.backlog.last_seq : tail_seq;
	f->durable = stats.durable;
	f->range.outcomes = (1U << OUTCOMES) - 1;
	f->range.left = UINT64_MAX;
	f->range.page_bytes = TAIL_PAGE_BYTES;

	const char *wrong = read_request(f, request);
	if (wrong) {
		problem(reply, PROBLEM_BAD_PARAMETER, "%s", wrong);
		return;
	}
	if (f->range.next_seq > last_seq + 1) {
		problem(reply, PROBLEM_UNKNOWN_RECORD, "there is no record %llu yet: the last one is %llu",
		        (unsigned long long) f->range.next_seq, (unsigned long long) last_seq);
		return;
	}
	f->range.until_seq = f->follows ? UINT64_MAX : last_seq;
	if (f->follows && !request->from && !f->seeks)
		f->range.next_seq = tail_seq + 1;
}

struct task *results_begin(const struct view *view, const struct request *request,
                           struct reply *reply)
{
	static const struct task_ops ops = {
		.finish = finish,
		.answered = answered,
		.take_back = take_back,
		.read = read_on,
		.free = free_reader,
	};
	if (view->desk->readers.n >= TAIL_MAX_READERS) {
		problem(reply, PROBLEM_BUSY, "%d readers of results are there, which is the limit; try "
		        "again when one has ended", TAIL_MAX_READERS);
		return NULL;
	}
	struct task *t = asker_create(view, &ops, sizeof(struct reader), NULL, reply);
	if (!t)
		return NULL;
	view->desk->readers.n++;
	begin_reader((struct reader *) t, request, reply);
	if (reply->status == 0)
		return t;
	free_reader(t);
	return NULL;
}
