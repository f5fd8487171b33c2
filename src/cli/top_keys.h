/* SPDX-License-Identifier: Apache-2.0 */
/* What the keys of penstock top do. */
#ifndef PENSTOCK_CLI_TOP_KEYS_H
#define PENSTOCK_CLI_TOP_KEYS_H

#include "base/attr.h"
#include "cli/top_ask.h"
#include "cli/top_view.h"

#include <stdbool.h>

struct top {
	struct top_terminal terminal;
	struct top_ask ask;
	struct top_data data;
	struct top_view view;
	bool ends;
};

/* Does what the key, of getch(), is for.  All is to be drawn again then.  Returns 0 or -ENOMEM. */
NODISCARD NONNULL(1) int top_press(struct top *t, int key);

#endif
