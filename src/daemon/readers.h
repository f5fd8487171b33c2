/* SPDX-License-Identifier: Apache-2.0 */
/* The listeners of those who may look and not touch: control.stats_socket, control.listen. */
#ifndef PENSTOCK_DAEMON_READERS_H
#define PENSTOCK_DAEMON_READERS_H

#include "base/attr.h"
#include "control/control.h"
#include "control/socket.h"
#include "engine/settings.h"

struct readers {
	struct control_socket stats;
	struct control_reader items[CONTROL_MAX_READERS];
	size_t n;
};

#define READERS_NONE { .stats = { .listen_fd = -1, .lock_fd = -1 } }

/* Opens them.  Returns DAEMON_OK, or after it has logged why not, an exit code.  'readers' is
 * READERS_NONE before, and needs readers_close() in any case. */
NODISCARD NONNULL(1, 2) int readers_open(const struct settings *s, struct readers *readers);
NONNULL(1) void readers_close(struct readers *readers);

/* What they and the control socket need. */
NONNULL(1) struct settings_others readers_needs(const struct settings *s);

#endif
