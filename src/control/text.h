/* SPDX-License-Identifier: Apache-2.0 */
/* Names from outside, such as paths, in formats that hold nothing but UTF-8. */
#ifndef PENSTOCK_CONTROL_TEXT_H
#define PENSTOCK_CONTROL_TEXT_H

#include "base/attr.h"

#include <jansson.h>

/* A JSON string of 'text', in which bytes that are not UTF-8 are replaced by U+FFFD;
 * null for NULL.  Returns NULL if there is no memory. */
NODISCARD json_t *text_json(const char *text);

#endif
