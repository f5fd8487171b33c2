/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of /metrics; private to metrics*.c. */
#ifndef PENSTOCK_CONTROL_METRICS_PARTS_H
#define PENSTOCK_CONTROL_METRICS_PARTS_H

#include "base/attr.h"
#include "control/exposition.h"
#include "control/reply.h"

/* metrics_jobs.c: where jobs are, and what holds them: ledger, queue, lanes, backlog. */
NONNULL(1, 2) void metrics_add_jobs(struct exposition *x, const struct engine_stats *stats);

/* metrics_results.c: the recorder, the log and the bodies. */
NONNULL(1, 2, 3)
void metrics_add_results(struct exposition *x, const struct view *view,
                         const struct engine_stats *stats);

/* metrics_fetch.c: workers, fetches and names. */
NONNULL(1, 2, 3)
void metrics_add_fetches(struct exposition *x, const struct engine_stats *stats,
                         struct engine *engine);

/* metrics_sources.c */
NONNULL(1, 2) void metrics_add_sources(struct exposition *x, struct engine *engine);

/* metrics_process.c: what Prometheus' own client libraries say of any process; what /proc does
 * not tell is left out. */
NONNULL(1) void metrics_add_process(struct exposition *x, int64_t started_wall_us);

#endif
