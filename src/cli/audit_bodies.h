/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of bodies, as `penstock audit` checks them: each that a record names must be there,
 * as long as the record says.  Not thread-safe.
 */
#ifndef PENSTOCK_CLI_AUDIT_BODIES_H
#define PENSTOCK_CLI_AUDIT_BODIES_H

#include "base/attr.h"
#include "cli/audit_report.h"

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

struct audit_bodies {
	struct audit_report *report;
	const char *base; /* what a relative path in a record begins behind: "" or "FOLDER/" */
	uint64_t *names;  /* 64 bits of each digest that was seen; owned */
	size_t n, size;
};

NONNULL(1) void audit_bodies_done(struct audit_bodies *b);

/* Checks the member "body" of the record 'seq', if it has one.  Returns 0 or -ENOMEM. */
NODISCARD NONNULL(1, 3)
int audit_bodies_take(struct audit_bodies *b, uint64_t seq, const char *id, const json_t *body);

/* Says how many were checked, and how many files in 'dir' none of them was; that is no problem:
 * their records may be in files that were not read, or were never written. */
NONNULL(1, 2) void audit_bodies_end(struct audit_bodies *b, const char *dir);

#endif
