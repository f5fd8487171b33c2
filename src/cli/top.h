/* SPDX-License-Identifier: Apache-2.0 */
/* What `penstock top` does once its options have been read: with ncurses, or without. */
#ifndef PENSTOCK_CLI_TOP_H
#define PENSTOCK_CLI_TOP_H

#include "base/attr.h"
#include "cli/ask.h"

#include <stdint.h>

struct top_command {
	struct ask ask;
	uint64_t interval_ns;
};

/* Shows the daemon until the person, or a signal, ends it.  Returns the exit code. */
NODISCARD NONNULL(1) int top_show(struct top_command *c);

#endif
