/* SPDX-License-Identifier: Apache-2.0 */
/* `penstock submit`: what its parts share.  Private to this command. */
#ifndef PENSTOCK_CLI_SUBMIT_H
#define PENSTOCK_CLI_SUBMIT_H

#include "base/attr.h"
#include "cli/job_lines.h"
#include "cli/patience.h"
#include "cli/unix_http.h"
#include "cli/upload.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* What the command line says. */
struct submit_args {
	const char *socket;
	const char *results; /* where records go; NULL: nowhere */
	const char *prefix; /* of the ids that are made; NULL: a random one */
	bool ids;
	bool wait;
	bool quiet;
	uint64_t timeout_ns;
	char **files;
	size_t n_files;
};

/* Where lines with a final receipt have come to, and the jobs that were waited for. */
struct submit_totals {
	uint64_t accepted, known, refused;
	uint64_t refused_here; /* of those: never sent */
	uint64_t done, dead, cancelled, forgotten;
};

struct submit {
	struct submit_args args;
	char prefix[24];            /* the random one */
	char *path;                 /* of the socket; owned */
	int stop_fd;
	struct unix_http *http;
	struct job_lines lines;
	struct upload upload;
	size_t max_lines;           /* of the next request; follows how fast they are answered */
	struct patience patience;
	struct submit_totals totals;
	FILE *wait_for;             /* "FILE LINE ID" of the jobs to wait for; unlinked */
	FILE *results;              /* owned, unless it is stdout; NULL: no records are wanted */
	bool waiting;               /* everything is submitted */
	bool output_failed;         /* of --ids or 'wait_for'; was said */

	struct buf refusal;         /* what the daemon said of a line that it may yet accept */
	uint64_t retry_after_s;

	bool draws;                 /* a progress line is wanted and can be seen */
	uint64_t start_ns, drawn_ns;
	uint64_t drawn_lines;
	double rate;                /* receipts, or settled jobs, a second; smoothed */
};

/* Submits every line.  Returns an exit code: EXIT_OK also if some were refused. */
NODISCARD NONNULL(1) int submit_send(struct submit *s);

/* Waits until every job of 's->wait_for' is settled.  Returns an exit code: EXIT_OK
 * whatever came of them. */
NODISCARD NONNULL(1) int submit_wait(struct submit *s);

/* Lines with a final receipt. */
NONNULL(1) uint64_t submit_receipts(const struct submit *s);

#endif
