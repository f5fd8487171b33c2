/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The workers: threads that each pop one job, fetch it, and hand the outcome to
 * the recorder, again and again.  Their number can change while they run.
 *
 * A worker is in the lane of the origin that it asks; a redirect to another one leads it
 * there if that may run now, and otherwise the job waits there for its turn.
 */
#ifndef PENSTOCK_ENGINE_WORKERS_H
#define PENSTOCK_ENGINE_WORKERS_H

#include "base/attr.h"
#include "engine/ledger.h"
#include "engine/recorder.h"
#include "engine/retry.h"
#include "engine/tally.h"
#include "fetch/fetch.h"
#include "queue/queue.h"
#include "sink/bodies.h"

#include <stdbool.h>
#include <stdint.h>

/* What a worker keeps of its buffers between two jobs, at most. */
enum { WORKER_KEEPS_BYTES = 64 * 1024 };

/* What an attempt keeps to; can be changed while workers run. */
struct workers_policy {
	struct retry_policy retry;
	uint64_t timeout_ns; /* this and what follows: unless the job says otherwise */
	unsigned max_redirects;
	uint64_t max_body_bytes;
	bool truncates;
	uint64_t least_speed; /* in bytes a second, within… */
	uint64_t speed_span_ns; /* …so long; 0: any will do */
	bool logs_queries; /* in messages about attempts */
};

/* What workers work with; all borrowed for the workers' life. */
struct workers_options {
	struct queue *queue;
	struct backlog *backlog; /* of jobs whose lane may not run any more */
	struct fetcher *fetcher;
	struct recorder *recorder;
	struct ledger *ledger;
	struct bodies *bodies;   /* NULL: bodies are only counted */
	struct workers_policy policy;
	uint64_t seed; /* of the back-off's jitter */

	/* Called by the last worker that leaves, and, if it is not NULL, by a worker
	 * whose job is dead, before it hands it on.  Neither may block for long. */
	void (*all_left)(void *arg);
	void (*dead)(void *arg, const struct job *job, const char *reason);
	void *arg;
};

struct workers;

/* Creates an empty crew.  Returns 0 or -ENOMEM.  Free with workers_free(). */
NODISCARD NONNULL(1, 2)
int workers_create(const struct workers_options *options, struct workers **ret_workers);

/*
 * Waits until all have left, which they do once the queue is drained.  Ignores
 * NULL, returns NULL.
 */
struct workers *workers_free(struct workers *w);

/*
 * Makes the crew 'n' (>= 1) strong: starts workers, or lets as many leave, each
 * after the job it has at hand.  Does not wait for them.  Returns 0, or -EAGAIN or
 * -ENOMEM if not all could be started; those that were go on.
 */
NODISCARD NONNULL(1) int workers_resize(struct workers *w, unsigned n);

/* Changes the policy for all attempts that begin, or are judged, from now on. */
NONNULL(1, 2) void workers_set_policy(struct workers *w, const struct workers_policy *policy);
NONNULL(1) struct workers_policy workers_get_policy(struct workers *w);

/* Those that are past their bound. */
struct workers_stuck {
	unsigned n;
	const char *doing; /* what one of them is… */
	uint64_t number;   /* …with which job */
};

/* Whether no worker is past its bound at 'now_ns'; otherwise stores what is. */
NONNULL(1, 3)
bool workers_are_healthy(struct workers *w, uint64_t now_ns, struct workers_stuck *ret_stuck);

/* Whether a worker has the job with this number at hand; then since when, and when its
 * attempt will be over at the latest (CLOCK_MONOTONIC). */
NODISCARD NONNULL(1, 3, 4)
bool workers_find(struct workers *w, uint64_t number, uint64_t *ret_since_ns,
                  uint64_t *ret_bound_ns);

struct workers_stats {
	unsigned wanted;
	unsigned alive;        /* those that are leaving included */
	uint64_t attempts;     /* fetches that have ended */
	uint64_t retries;      /* attempts that were not the first of their jobs */
	uint64_t hops;         /* redirects that had to wait for another origin's lane */
	uint64_t failed;       /* attempts without an HTTP response or with one that is no success */
	uint64_t body_bytes;   /* received, as they came over the wire */
};
NONNULL(1, 2) void workers_stats(struct workers *w, struct workers_stats *ret_stats);
NONNULL(1, 2) void workers_tally(struct workers *w, struct tally_figures *ret_figures);

#endif
