/* SPDX-License-Identifier: Apache-2.0 */
/* How far a run has come: the line that is redrawn on a terminal, and the summary. */
#ifndef PENSTOCK_CLI_PROGRESS_H
#define PENSTOCK_CLI_PROGRESS_H

#include "base/attr.h"
#include "engine/engine.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PROGRESS_INTERVAL_MS = 200 };

struct progress {
	uint64_t start_ns;
	uint64_t last_ns;    /* of the last line drawn */
	uint64_t last_final; /* jobs done or dead then */
	uint64_t last_bytes; /* received then */
	double jobs_rate;    /* a second; smoothed */
	double bytes_rate;
};

NONNULL(1) void progress_start(struct progress *p, uint64_t now_ns);

/* Redraws the line on stderr. */
NONNULL(1, 2)
void progress_draw(struct progress *p, const struct engine_stats *stats, uint64_t now_ns);

/* Logs the same as a line of its own, and how long the sources have waited for room. */
NONNULL(1, 2)
void progress_log(struct progress *p, const struct engine_stats *stats, uint64_t now_ns);

/* Redraws the line with any text, cut to the terminal's width. */
NONNULL(1) void progress_show(const char *text, size_t len);

/* Wipes the line. */
void progress_wipe(void);

/* Logs what came of the run. */
NONNULL(1, 2)
void progress_summarise(const struct progress *p, const struct engine_stats *stats,
                        uint64_t now_ns);

#endif
