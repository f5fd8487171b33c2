/* SPDX-License-Identifier: Apache-2.0 */
/* The settings in force, and how they change while the daemon runs.  The main thread's. */
#ifndef PENSTOCK_DAEMON_LIVE_H
#define PENSTOCK_DAEMON_LIVE_H

#include "base/attr.h"
#include "base/buf.h"
#include "daemon/daemon.h"
#include "engine/engine.h"

#include <stdbool.h>
#include <stddef.h>

struct live {
	const struct daemon_options *options;
	struct settings settings; /* in force */
	size_t n_sources;         /* that the daemon started with */
	struct config *first;     /* holds the strings of 'settings'… */
	struct config *changed;   /* …and those of the keys that reload, since the last change */
};

/* Reads the settings for the first time.  Returns whether they can be used; otherwise it has
 * logged why not.  Needs live_done() in any case. */
NODISCARD NONNULL(1, 2) bool live_init(struct live *live, const struct daemon_options *options);
NONNULL(1) void live_done(struct live *live);

/*
 * Reads the file and the command line again, all or nothing; an error changes nothing.  The
 * changes are logged; what needs a restart is too, and stays as it is.  Refusals are not
 * logged, except that there are too few descriptors.
 *
 * Returns 200 with {"changed": [{"key", "before", "after"}, …]} appended to 'answer', and with
 * "needs_restart": ["KEY", …] in it if there are such; or another status (HTTP), with the
 * reasons as lines.  What is in force then holds until the next of these calls.
 *
 * A dry run gives the same answer with "dry_run": true in it, and changes nothing.
 */
NODISCARD NONNULL(1, 2, 4)
unsigned live_reload(struct live *live, struct engine *engine, bool dry_run, struct buf *answer);

/* The same for "KEY=VALUE", on top of what is in force: the file is not read, and a key that
 * needs a restart refuses all of them. */
NODISCARD NONNULL(1, 2, 3, 6)
unsigned live_set(struct live *live, struct engine *engine, const char *const *settings, size_t n,
                  bool dry_run, struct buf *answer);

#endif
