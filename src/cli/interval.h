/* SPDX-License-Identifier: Apache-2.0 */
/* How often a command asks again, as people write it. */
#ifndef PENSTOCK_CLI_INTERVAL_H
#define PENSTOCK_CLI_INTERVAL_H

#include "base/attr.h"

#include <stdint.h>

/* Reads "2" or "0.5", seconds, or with a unit, "500ms".  Returns 0, or -EINVAL or -ERANGE if it is
 * no such text or less than 0.1 s. */
NODISCARD NONNULL(1, 2) int interval_parse(const char *text, uint64_t *ret_ns);

#endif
