/* SPDX-License-Identifier: Apache-2.0 */
/* The crew and its workers; private to workers.c and worker.c. */
#ifndef PENSTOCK_ENGINE_WORKER_H
#define PENSTOCK_ENGINE_WORKER_H

#include "base/pulse.h"
#include "base/sync.h"
#include "engine/workers.h"
#include "sink/body.h"

#include <pthread.h>
#include <stdatomic.h>

/* A thread of the crew. */
struct worker {
	struct workers *crew;
	struct worker *next; /* in crew->all */
	pthread_t thread;
	bool has_left;       /* guarded by crew->lock */
	struct pulse pulse;
	_Atomic uint64_t number;     /* of the job at hand; 0: none */
	_Atomic uint64_t started_ns; /* with it */
	_Atomic uint64_t until_ns;   /* when its attempt is over at the latest */
	struct random random;

	struct workers_policy policy; /* a copy of the crew's… */
	uint64_t policy_version;      /* …as of this version */

	struct lane *lane; /* of the origin that it asks; NULL: in none */
	struct lane *left; /* it is done with this one, and leaves it with the next pop; or NULL */

	/* Reused from job to job. */
	struct response response;
	struct buf line;
	struct body *body; /* NULL: it is only counted */
};

struct workers {
	struct workers_options options;

	struct mutex lock;
	unsigned wanted GUARDED_BY(lock);
	unsigned alive GUARDED_BY(lock);
	uint64_t started GUARDED_BY(lock); /* ever */
	struct worker *all GUARDED_BY(lock); /* those that left included, until they are joined */

	struct workers_policy policy GUARDED_BY(lock);
	_Atomic uint64_t policy_version; /* changed under 'lock' */

	_Atomic uint64_t attempts, retries, hops, failed, body_bytes;
	struct tally tally;
};

/* Fetches the job, which was popped with worker->lane, and hands it to the recorder.  For the
 * worker's own thread. */
NONNULL(1, 2) void worker_run(struct worker *worker, struct job *job);

#endif
