/* SPDX-License-Identifier: Apache-2.0 */
/* A flag that poll(2) can wait for: an eventfd(2). */
#ifndef PENSTOCK_BASE_EVENT_H
#define PENSTOCK_BASE_EVENT_H

#include "base/attr.h"

/* Returns a descriptor, not readable, or -EMFILE, -ENFILE, -ENOMEM.  Close with close(2). */
NODISCARD int event_create(void);

/* Makes it readable.  Idempotent; safe from any thread. */
void event_raise(int fd);

/* Makes it unreadable until it is raised again. */
void event_clear(int fd);

#endif
