/* SPDX-License-Identifier: Apache-2.0 */
/* What a daemon's /v1/status says, for people. */
#ifndef PENSTOCK_CLI_STATUS_TEXT_H
#define PENSTOCK_CLI_STATUS_TEXT_H

#include "base/attr.h"
#include "base/buf.h"

#include <jansson.h>
#include <stdint.h>

/* The rates between two answers. */
struct status_rates {
	double seconds;  /* between them; 0: there is only one, and no rates */
	double accepted; /* jobs a second, as the next */
	double settled;
	double bytes;    /* received, a second */
};

/* The rates since 'before' (NULL: there was none), which may be another daemon's:
 * then there are none. */
NONNULL(2) struct status_rates status_rates_between(const json_t *before, const json_t *now);

/*
 * Appends the whole picture, many lines; or the gist of it, one line.  Members that
 * are missing count as 0.  Control characters in names come out as "?", so that a
 * name cannot play with the terminal.
 */
NONNULL(1, 2, 3)
void status_text_add_page(struct buf *b, const json_t *status, const struct status_rates *rates);
NONNULL(1, 2, 3)
void status_text_add_line(struct buf *b, const json_t *status, const struct status_rates *rates);

#endif
