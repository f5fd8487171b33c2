/* SPDX-License-Identifier: Apache-2.0 */
/* The signals that end a command, as something that poll(2) can wait for. */
#ifndef PENSTOCK_CLI_INTERRUPT_H
#define PENSTOCK_CLI_INTERRUPT_H

#include "base/attr.h"

#include <signal.h>

/*
 * Adds a signal unless it is ignored: nohup(1), and a shell's "&", have a program ignore one,
 * and a blocked one would still come by the signalfd (signal(7)).
 */
NONNULL(1) void interrupt_add_unless_ignored(sigset_t *set, int number);

/*
 * Blocks SIGINT, SIGTERM and SIGHUP.  Returns a descriptor that is readable, and stays
 * so, once one of them has come; or -EMFILE, -ENFILE, -ENOMEM.  Close with close(2).
 */
NODISCARD int interrupt_open(void);

#endif
