/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long, and with what pauses, a command goes on asking a daemon that does not
 * answer or cannot do what it is asked now.  Belongs to one thread.
 */
#ifndef PENSTOCK_CLI_PATIENCE_H
#define PENSTOCK_CLI_PATIENCE_H

#include "base/attr.h"
#include "cli/unix_http.h"

#include <stdbool.h>
#include <stdint.h>

struct patience {
	const char *path;              /* the socket; borrowed */
	struct unix_http_watch watch;  /* as that of the requests */
	uint64_t limit_ns;             /* without any answer */

	bool was_there;                /* ever: a daemon that never was is not waited for */
	uint64_t silent_since_ns;      /* 0: the last request was answered */
	uint64_t pause_ns;             /* the next one */
	uint64_t said_ns;              /* when it was last said why this takes so long */
};

/* There was an answer; ends a silence. */
NONNULL(1) void patience_answered(struct patience *p);

/* It brought something on: pauses begin anew. */
NONNULL(1) void patience_rewarded(struct patience *p);

/*
 * A request had no whole answer.  Says so, once for each silence.
 *
 * Returns EXIT_OK after a pause if it should be made again, EXIT_UNFINISHED if it was
 * interrupted, or, after it has said why, the exit code to end with.
 */
NODISCARD NONNULL(1) int patience_failed(struct patience *p, int error);

/*
 * The daemon cannot do it now, and says why.  Says so now and then, and pauses, at least
 * 'retry_after_s' unless that is very long.  Returns EXIT_OK or EXIT_UNFINISHED.
 */
NODISCARD NONNULL(1, 2)
int patience_refused(struct patience *p, const char *why, uint64_t retry_after_s);

/* Waits.  Returns 0 or -ECANCELED. */
NODISCARD NONNULL(1) int patience_pause(const struct patience *p, uint64_t span_ns);

#endif
