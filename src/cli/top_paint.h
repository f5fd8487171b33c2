/* SPDX-License-Identifier: Apache-2.0 */
/* Text onto the full screen of penstock top, which top_terminal.h has opened. */
#ifndef PENSTOCK_CLI_TOP_PAINT_H
#define PENSTOCK_CLI_TOP_PAINT_H

#include "base/attr.h"
#include "base/buf.h"
#include "cli/top_terminal.h"

#include <stdbool.h>

struct painter {
	bool is_ascii;    /* nothing else is shown */
	bool is_grey;     /* all is shown so, whatever it means: it is old */
	bool has_colours;
	int rows, columns; /* of the screen */
	struct buf text;   /* for those who paint */
};

/* How it looks; these are or-ed to a colour. */
enum { PAINT_BOLD = 0x100, PAINT_REVERSED = 0x200, PAINT_UNDERLINED = 0x400, PAINT_RIGHT = 0x800 };

/*
 * Puts p->text, which is UTF-8 and empty afterwards, into so many columns: what does not fit is
 * cut and marked, what is left over is blank, before it with PAINT_RIGHT.  Characters that take no
 * column become "?".  Nothing is put outside the screen.
 */
NONNULL(1) void paint(struct painter *p, int row, int column, int width, int look);

/* The same for a text. */
NONNULL(1, 6)
void paint_str(struct painter *p, int row, int column, int width, int look, const char *text);

#endif
