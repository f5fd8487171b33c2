/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A job: one URL to fetch, and everything that is known about it on its way.
 *
 * Ownership: exactly one holder at any time, in this order: the source that
 * read it, the backlog that accepted it, the queue, a worker, the recorder, and
 * the backlog again, which either keeps it for another attempt or frees it.  The
 * holder may write the fields; nobody else may read them.
 */
#ifndef PENSTOCK_JOB_JOB_H
#define PENSTOCK_JOB_JOB_H

#include "base/attr.h"
#include "base/buf.h"
#include "job/url.h"
#include "job/wait.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bounds of a single job: of the line it comes as, of the memory it takes, and of
 * the JSON values in its line, each of which takes memory while it is read. */
enum {
	JOB_MAX_LINE_BYTES = 1024 * 1024,
	JOB_MAX_BYTES = 4 * 1024 * 1024,
	JOB_MAX_VALUES = 10000,
};

/* A job of a lower class runs before one of a higher class that was accepted at least
 * the backlog's ageing time later. */
enum job_priority {
	JOB_PRIORITY_NORMAL,
	JOB_PRIORITY_HIGH,
	JOB_PRIORITY_LOW,
	JOB_PRIORITIES,
};

/* What goes beyond a plain GET; absent in most jobs. */
struct job_extra {
	const char *method;      /* upper case; NULL: GET, or POST with a body */
	const char *body;        /* NULL without; any bytes */
	size_t body_bytes;
	const char *body_file;   /* a path below fetch.body_dir, in place of 'body'; NULL without */
	const char *headers;     /* "Name: value\0Name: value\0\0"; NULL without */
	const char *meta;        /* compact JSON, carried into the result; NULL without */
	uint64_t timeout_ns;     /* of one attempt; 0: as configured */
	uint64_t max_body_bytes; /* of the answer; 0: as configured, which it can only lower */
	bool has_max_redirects;
	unsigned max_redirects;  /* if it has; otherwise as configured */
	signed char retry;       /* 1: though not idempotent; -1: though it is; 0: as usual */
	enum job_priority priority;
	int64_t not_before_wall_us; /* never negative; 0: at once */
	int64_t deadline_wall_us;   /* when it is given up, wherever it is; 0: never */
	const char *requeued_from;  /* the id of the dead job that this one repeats; NULL without */
};

/* Where a redirect to another origin has taken an attempt: what is asked next, in place of
 * the job's own URL.  One allocation with its strings. */
struct job_hop {
	const char *url;
	struct url_origin origin;
	unsigned redirects;      /* of this attempt, so far */
	uint64_t spent_us;       /* of the attempt's timeout, so far; waits between hops excluded */
	bool becomes_get;        /* method and body were lost on the way (RFC 9110, section 15.4) */
	bool without_secrets;    /* it has left its first origin: credentials stay out */
};

/* What "max_redirects" and fetch.max_redirects may be at most. */
enum { JOB_MAX_REDIRECTS = 50 };

/* A hop to a longer URL is refused. */
enum { JOB_MAX_HOP_URL_BYTES = 8192 };

struct job {
	struct job *next;        /* these two link it in the holder's list */
	struct job *before;      /* not of the first one */

	/* What was asked for; immutable.  All strings live in the job's own memory. */
	const char *url;         /* as given */
	struct url_origin origin;
	const char *id;          /* as given; NULL: made from 'number' */
	const struct job_extra *extra; /* NULL for a plain GET */
	size_t bytes;            /* memory of the job; what it counts for in every bound */

	/* Where it has come to. */
	const char *source;      /* which source brought it; borrowed from the source */
	uint64_t number;         /* 1, 2, 3… in the order of acceptance; 0 before */
	int64_t accepted_wall_us;
	uint64_t ready_ns;       /* since when it could run: accepted, or fell due (CLOCK_MONOTONIC) */
	uint64_t due_ns;         /* delayed until then; 0 if not */
	uint32_t attempts;       /* that counted */
	enum wait_reason why;    /* the backlog's own: what it is delayed for */
	struct job_hop *hop;     /* of the attempt under way, which goes on from there; NULL: at its own
	                          * URL.  Owned; counted in 'bytes' */
	uint64_t lane;           /* the backlog's own */
	size_t held_bytes;       /* the backlog's own: what it counts for there; see 'bytes' */
	size_t due_at, deadline_at; /* the backlog's or the queue's own: places in heaps */
};

/*
 * Makes a job of one line: a URL, or a JSON object with "url" and any of "id",
 * "method", "headers", one of "body", "body_base64" and "body_file", "timeout",
 * "max_redirects", "max_body", "retry", "meta", "priority" ("high", "normal", "low"),
 * "not_before" and "deadline" (RFC 3339), "requeued_from".  Leading and trailing blanks are
 * ignored.
 *
 * Stores the job in '*ret_job'; free it with job_free().  On failure appends the
 * reason for a person to 'why' and returns -EINVAL, -EPROTONOSUPPORT (neither
 * http nor https) or -ENOMEM.
 */
NODISCARD NONNULL(1, 2, 4, 5)
int job_parse(struct url_parser *parser, const char *line, size_t len, struct job **ret_job,
              struct buf *why);

/* Whether it is a token, as methods and names of header fields are (RFC 9110, section 5.6.2). */
NONNULL(1) bool job_is_token(const char *text);

/*
 * Makes the job again that job_write() was given.  Text of one's own only: it may be longer
 * than a line and hold more values, above all once "requeued_from" was added.
 */
NODISCARD NONNULL(1, 2, 4, 5)
int job_read(struct url_parser *parser, const char *text, size_t len, struct job **ret_job,
             struct buf *why);

/*
 * Appends the line, without a line end, that job_parse() makes the same job of: the URL
 * alone where that says it all, otherwise JSON.  Equal for two jobs if and only if they
 * ask for the same under the same id; headers and the members of "meta" in another
 * order are not the same.  A body is written as text if it is UTF-8, else as base64.
 *
 * Bytes of a URL that are not UTF-8 cannot stand in JSON, and are percent-encoded there:
 * that concerns only jobs that were not parsed, but copied and given an id or an extra.
 */
NONNULL(1, 2) void job_write(const struct job *job, struct buf *b);

/* Ignores NULL, returns NULL. */
struct job *job_free(struct job *job);

/* The origin that the job's next request goes to, which is its lane: of its hop, or its own. */
NONNULL(1) static inline const struct url_origin *job_lane_origin(const struct job *job)
{
	return job->hop ? &job->hop->origin : &job->origin;
}

/*
 * Sends the job on to a copy of 'hop', in place of an earlier one, which 'hop' may be; NULL:
 * back to its own URL.  Changes job->bytes by what that takes.  Returns 0 or -ENOMEM, which
 * changes nothing; 0 for NULL.
 */
NODISCARD NONNULL(1) int job_set_hop(struct job *job, const struct job_hop *hop);
NONNULL(1) void job_clear_hop(struct job *job);

/* Appends the hop as a JSON object, for job_read_hop(); its URL as url_add_json() does. */
NONNULL(1, 2) void job_write_hop(const struct job_hop *hop, struct buf *b);

/* Sets the hop that job_write_hop() has written.  Returns 0, or -EINVAL (it is no such text) or
 * -ENOMEM, which change nothing.  libcurl may take a want of memory for a bad URL. */
NODISCARD NONNULL(1, 2, 3)
int job_read_hop(struct job *job, struct url_parser *parser, const char *text, size_t len);

/* Appends the job's id: the given one, or "p-NUMBER".  Given ids never begin with "p-". */
NONNULL(1, 2) void job_add_id(const struct job *job, struct buf *b);

/* JOB_PRIORITY_NORMAL and 0 unless the job says otherwise. */
NONNULL(1) enum job_priority job_priority(const struct job *job);
NONNULL(1) int64_t job_not_before(const struct job *job);
NONNULL(1) static inline int64_t job_deadline(const struct job *job)
{
	return job->extra ? job->extra->deadline_wall_us : 0;
}

/* Whether its request has a body, which may be empty. */
NONNULL(1) bool job_has_body(const struct job *job);

/* The request method, upper case. */
NONNULL(1) const char *job_method(const struct job *job);

/* Whether a request may be made twice to the effect of one (RFC 9110, section 9.2.2); in
 * upper or lower case. */
NONNULL(1) bool job_is_idempotent(const char *method);

/* Whether a failed attempt may be made again: idempotent methods, or what the
 * job itself says. */
NONNULL(1) bool job_may_retry(const struct job *job);

/* A FIFO of jobs, linked through job->next and job->before. */
struct job_list {
	struct job *first;
	struct job *last;
	size_t len;
};

NONNULL(1, 2) static inline void job_list_append(struct job_list *list, struct job *job)
{
	job->next = NULL;
	job->before = list->last;
	if (list->last)
		list->last->next = job;
	else
		list->first = job;
	list->last = job;
	list->len++;
}

NONNULL(1, 2) void job_list_prepend(struct job_list *list, struct job *job);

/* Removes the first job; NULL if there is none. */
NONNULL(1) static inline struct job *job_list_take(struct job_list *list)
{
	struct job *job = list->first;
	if (!job)
		return NULL;

	list->first = job->next; /* whose 'before' nobody reads: it need not be fetched for that */
	if (!list->first)
		list->last = NULL;
	list->len--;
	job->next = NULL;
	return job;
}

/* Moves all jobs of 'from' to the end of 'to'. */
NONNULL(1, 2) void job_list_move(struct job_list *from, struct job_list *to);

/* Removes a job that is in the list. */
NONNULL(1, 2) void job_list_unlink(struct job_list *list, struct job *job);

/* Removes the job with this number; NULL if there is none. */
NONNULL(1) struct job *job_list_remove(struct job_list *list, uint64_t number);

/* Frees every job in the list. */
NONNULL(1) void job_list_done(struct job_list *list);

#endif
