/* SPDX-License-Identifier: Apache-2.0 */
/* Who changes what: a line in the log for each change that the socket is asked for. */
#ifndef PENSTOCK_CONTROL_CHANGE_H
#define PENSTOCK_CONTROL_CHANGE_H

#include "base/attr.h"
#include "control/task.h"

/* Logs the text, with " by uid U (pid P)" behind it: who has connected (SO_PEERCRED, unix(7)).
 * 'job' and 'origin' are what it is about, for sinks that can be searched; each may be NULL. */
NONNULL(1, 4) PRINTF_LIKE(4, 5)
void change_log(const struct task *t, const char *job, const char *origin, const char *format,
                ...);

#endif
