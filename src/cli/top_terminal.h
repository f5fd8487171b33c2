/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The terminal while penstock top has it: taken over as a whole, and given back as it was,
 * whatever ends the program but SIGKILL.  There is one in a process.
 */
#ifndef PENSTOCK_CLI_TOP_TERMINAL_H
#define PENSTOCK_CLI_TOP_TERMINAL_H

#include "base/attr.h"

#include <stdbool.h>

struct top_terminal {
	int signal_fd;    /* readable when the terminal has changed: see top_terminal_changed() */
	bool is_ascii;    /* it shows no UTF-8 */
	bool has_colours; /* TOP_… are pairs that differ */
	void *screen;
};

/* Pairs for COLOR_PAIR(); without colours all look the same. */
enum top_colour { TOP_PLAIN, TOP_GOOD, TOP_WARNING, TOP_BAD, TOP_TITLE };

/* Whether standard input and output are a terminal that can do it.  Returns EXIT_OK, or EXIT_USAGE
 * after it has said what is wrong. */
NODISCARD int top_terminal_check(void);

/*
 * Takes it over, in the user's locale; and catches SIGWINCH, SIGTSTP and SIGCONT from now on, and
 * until it is closed the signals that dump core.  Returns EXIT_OK, or EXIT_INTERNAL after it has
 * said what is wrong.
 */
NODISCARD NONNULL(1) int top_terminal_open(struct top_terminal *t);

/* Gives it back.  Harmless unless it was opened. */
NONNULL(1) void top_terminal_close(struct top_terminal *t);

/*
 * Does what signal_fd has: goes on in the size that the terminal has now; or stops the program,
 * with the terminal as it was, and returns when it goes on.  All is to be drawn again then.
 */
NONNULL(1) void top_terminal_changed(struct top_terminal *t);

/* Whether it has gone for good, as it does when its window is closed. */
NODISCARD bool top_terminal_is_gone(void);

#endif
