/* SPDX-License-Identifier: Apache-2.0 */
/* Errors as people and programs can read them: application/problem+json (RFC 9457). */
#ifndef PENSTOCK_CONTROL_PROBLEM_H
#define PENSTOCK_CONTROL_PROBLEM_H

#include "base/attr.h"
#include "control/reply.h"

/* Makes the empty 'reply' a problem; the detail says what is wrong and what to do.
 * Bytes of it that are not UTF-8 are replaced. */
NONNULL(1, 3) PRINTF_LIKE(3, 4)
void problem(struct reply *reply, unsigned status, const char *detail, ...);

#endif
