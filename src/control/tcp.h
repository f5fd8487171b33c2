/* SPDX-License-Identifier: Apache-2.0 */
/* The listeners of TCP, and what a browser that was led there may not have. */
#ifndef PENSTOCK_CONTROL_TCP_H
#define PENSTOCK_CONTROL_TCP_H

#include "base/attr.h"
#include "base/endpoint.h"
#include "config/config.h"

#include <stdbool.h>

/*
 * Binds 'wanted' and listens.  'ret_bound' is the same with the port that the kernel chose, if
 * that is 0.  Returns the descriptor, non-blocking and close-on-exec, which the caller closes;
 * or -EADDRINUSE, -EADDRNOTAVAIL (no interface has this address), -EACCES (a port below 1024)
 * or what else bind(2) and its like say.
 */
NODISCARD NONNULL(1, 2)
int control_tcp_open(const struct endpoint *wanted, struct endpoint *ret_bound);

/*
 * Whether the Host field of a request (RFC 9110, section 7.2), "" for none, names us: by an
 * address, as localhost, as this machine is called, or by one of 'names'.  Any other name may be
 * one that a page's owner has let resolve to us, so that his page could read what we answer
 * (DNS rebinding).
 */
NODISCARD NONNULL(1) bool control_tcp_is_host(const char *host, const struct config_strings *names);

#endif
