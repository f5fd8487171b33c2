/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /: a page for people that shows what the daemon does, live, from /v1/history, /v1/status and
 * /v1/lanes.  It is static, its files (page/) are part of the program, and it may load nothing
 * else.
 */
#ifndef PENSTOCK_CONTROL_PAGE_H
#define PENSTOCK_CONTROL_PAGE_H

#include "base/attr.h"
#include "control/reply.h"

#include <stddef.h>

struct page_file {
	const char *name;
	const unsigned char *data;
	size_t size;
};

/* Made by embed.sh; ends with a file without a name. */
extern const struct page_file page_files[];

/* Answers "/", which is index.html, and "/page/NAME". */
NONNULL(1, 2, 3)
void page_answer(const struct view *view, const struct request *request, struct reply *reply);

#endif
