/* SPDX-License-Identifier: Apache-2.0 */
/* `penstock results`: what it was asked for, and how far it has got. */
#ifndef PENSTOCK_CLI_RESULTS_H
#define PENSTOCK_CLI_RESULTS_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/clock.h"
#include "cli/ask.h"
#include "cli/patience.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct results_command {
	struct ask ask;
	bool follows;
	const char *last, *outcome;
	char since[CLOCK_TEXT_SIZE]; /* "": none */
	const char *from;

	int stop_fd;          /* readable once a signal has come, or standard output has no reader */
	struct patience patience;
	json_t *daemon;       /* the status that was given last; owned */
	bool is_placed;       /* 'next_seq' says where to go on */
	uint64_t next_seq;
	bool asked;           /* this request is one for records… */
	bool got_on;          /* …and has brought some */
	struct buf lines;     /* whole ones, and the beginning of one */
	struct buf problem;   /* an answer that is none, or the last line of one that was cut */
	bool missed;          /* some records were not there any more */
	int write_error;
};

/* Writes the records.  Returns the exit code, after what is wrong was said. */
NODISCARD NONNULL(1) int results_read(struct results_command *c);

#endif
