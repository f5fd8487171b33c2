/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request that takes more than one step: its body comes in parts, or the backlog
 * or the engine's owner is asked on the way and answers later, from a thread of its own.
 *
 *     begin ──► take, take, … ──► finish ──► there is a reply
 *                 │    ▲            │  ▲
 *                 ▼    │            ▼  │
 *               waits, its connection suspended: not a byte is read, and neither
 *               a timeout nor a hang-up is noticed
 *
 * The socket's thread calls everything here, except for inbox_put().
 */
#ifndef PENSTOCK_CONTROL_TASK_H
#define PENSTOCK_CONTROL_TASK_H

#include "base/attr.h"
#include "base/clock.h"
#include "control/inbox.h"
#include "control/reply.h"
#include "control/results.h"
#include "engine/engine.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

struct lookup;
TAILQ_HEAD(lookup_list, lookup);

/* Who asks where a job is.  The answer may have a record, which may be large: so only some are
 * asked at once, and the others wait for their turn. */
struct lookups {
	unsigned n;                 /* whose turn it is, up to SETTINGS_MAX_RECORDS */
	struct lookup_list waiting; /* the one that came first before the others */
};

/* What all tasks share. */
struct desk {
	struct engine *engine;
	const char *work_folder; /* as in struct control_options */
	struct url_parser *parser;
	uint64_t bound_ns;       /* for what the backlog should answer at once */
	unsigned uploads;        /* large bodies that are under way */
	unsigned lists;          /* long answers, likewise: ask lists_have_room() */
	struct readers readers;  /* of results */
	struct lookups lookups;
	bool closing;            /* serving ends: the backlog is asked nothing more */
	struct inbox inbox;
};

struct task;

enum {
	TASK_END = -1,
	TASK_BROKEN = -2, /* the connection is closed, which says that something is missing */
};

struct task_ops {
	/* Takes a part of the body.  Returns how many bytes of it; all, unless it waits now.
	 * NULL where the route takes no body: there is none then. */
	size_t (*take)(struct task *t, const char *data, size_t n);

	/* The body is whole.  Called again after each wait, until there is a reply. */
	void (*finish)(struct task *t);

	/* Where the reply streams: gives up to 'max' bytes of its body.  Returns how many; 0 if it
	 * waits now; TASK_END or TASK_BROKEN. */
	ssize_t (*read)(struct task *t, char *to, size_t max);

	/* The backlog has answered; -ETIMEDOUT or -EPIPE if it was not waited for any longer. */
	void (*answered)(struct task *t, int error);

	/* Takes the question back.  False: that is too late, the answer will come. */
	bool (*take_back)(struct task *t);

	/* Not while it waits. */
	void (*free)(struct task *t);
};

struct task {
	const struct task_ops *ops;
	struct desk *desk;
	struct reply reply;
	struct client *client; /* whose request it is */
	bool waits;            /* for the backlog's answer, which comes by the inbox */
	uint64_t until_ns;     /* when the question shall be taken back */

	/* The inbox's. */
	struct task *next;
	int error;
};

/* To be called before the backlog is asked.  False: serving ends, it must not be asked
 * any more, and -EPIPE is the answer. */
NODISCARD NONNULL(1) static inline bool task_wait(struct task *t, uint64_t span_ns)
{
	t->waits = true;
	t->until_ns = t->desk->closing ? 0 : clock_after(clock_now_ns(), span_ns);
	if (t->desk->closing)
		inbox_put(&t->desk->inbox, t, -EPIPE);
	return !t->desk->closing;
}

/* Whether one more long answer may begin, which desk->lists then counts; else makes the reply. */
NODISCARD NONNULL(1, 2) bool lists_have_room(const struct view *view, struct reply *reply);

/* --- those that there are; each begins one, or makes the reply and returns NULL --------- */

NODISCARD NONNULL(1, 2, 3)
struct task *upload_begin(const struct view *view, const struct request *request,
                          struct reply *reply);
NODISCARD NONNULL(1, 2, 3)
struct task *lookup_begin(const struct view *view, const struct request *request,
                          struct reply *reply);
NODISCARD NONNULL(1, 2, 3)
struct task *cancel_begin(const struct view *view, const struct request *request,
                          struct reply *reply);
NODISCARD NONNULL(1, 2, 3)
struct task *requeue_begin(const struct view *view, const struct request *request,
                           struct reply *reply);
NODISCARD NONNULL(1, 2, 3)
struct task *results_begin(const struct view *view, const struct request *request,
                           struct reply *reply);
NODISCARD NONNULL(1, 2, 3)
struct task *lanes_begin(const struct view *view, const struct request *request,
                         struct reply *reply);
NODISCARD NONNULL(1, 2, 3)
struct task *history_begin(const struct view *view, const struct request *request,
                           struct reply *reply);
NODISCARD NONNULL(1, 2, 3)
struct task *pause_begin(const struct view *view, const struct request *request,
                         struct reply *reply);
NODISCARD NONNULL(1, 2, 3)
struct task *resume_begin(const struct view *view, const struct request *request,
                          struct reply *reply);
NODISCARD NONNULL(1, 2, 3)
struct task *drain_begin(const struct view *view, const struct request *request,
                         struct reply *reply);
NODISCARD NONNULL(1, 2, 3)
struct task *set_begin(const struct view *view, const struct request *request, struct reply *reply);
NODISCARD NONNULL(1, 2, 3)
struct task *reload_begin(const struct view *view, const struct request *request,
                          struct reply *reply);

#endif
