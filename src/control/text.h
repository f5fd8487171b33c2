/* SPDX-License-Identifier: Apache-2.0 */
/* What comes from outside as text: paths in formats that hold nothing but UTF-8, ids in what is no
 * job, numbers. */
#ifndef PENSTOCK_CONTROL_TEXT_H
#define PENSTOCK_CONTROL_TEXT_H

#include "base/attr.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A JSON string of 'text', in which bytes that are not UTF-8 are replaced by U+FFFD;
 * null for NULL.  Returns NULL if there is no memory. */
NODISCARD json_t *text_json(const char *text);

/* The id that a line names which is no job: the string "id" of a JSON object, if it is no
 * longer than a job's may be; otherwise NULL.  The caller frees it.  '*ret_place' says
 * where it ceases to be JSON; its line is 0 if it is JSON, or a URL. */
struct text_place {
	int line, column; /* from 1 */
};
NODISCARD NONNULL(1, 3)
char *text_find_id(const char *line, size_t len, struct text_place *ret_place);

/* Reads digits, and nothing else.  Returns false for other texts, and for what is too large. */
NODISCARD NONNULL(1, 2) bool text_number(const char *text, uint64_t *ret_value);

#endif
