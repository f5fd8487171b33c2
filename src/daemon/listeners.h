/* SPDX-License-Identifier: Apache-2.0 */
/* The listeners of those who may look and not touch: control.stats_socket, control.listen. */
#ifndef PENSTOCK_DAEMON_LISTENERS_H
#define PENSTOCK_DAEMON_LISTENERS_H

#include "base/attr.h"
#include "control/control.h"
#include "control/socket.h"
#include "engine/settings.h"

struct listeners {
	struct control_socket stats;
	struct control_reader items[CONTROL_MAX_READERS];
	size_t n;
};

#define LISTENERS_NONE { .stats = { .listen_fd = -1, .lock_fd = -1 } }

/* Opens them.  Returns DAEMON_OK, or after it has logged why not, an exit code.  'listeners' is
 * LISTENERS_NONE before, and needs listeners_close() in any case. */
NODISCARD NONNULL(1, 2) int listeners_open(const struct settings *s, struct listeners *listeners);
NONNULL(1) void listeners_close(struct listeners *listeners);

/* What they and the control socket need. */
NONNULL(1) struct settings_others listeners_needs(const struct settings *s);

#endif
