/* SPDX-License-Identifier: Apache-2.0
 *
 * Compiler attributes, one spelling each, and the way back from a member to its struct. */
#ifndef ORIGIN_ATTR_H
#define ORIGIN_ATTR_H

#include <stddef.h>

#define NODISCARD    __attribute__((warn_unused_result))
#define NONNULL(...) __attribute__((nonnull(__VA_ARGS__)))

/* The 'type' whose 'member' is '*ptr'. */
#define CONTAINER_OF(ptr, type, member) \
	((type *) (void *) ((char *) (ptr) - offsetof(type, member)))

#endif
