/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the commands share that ask a daemon something, once or a few times: how their options
 * are read, one request with its answer, and what is said if it is a problem.
 */
#ifndef PENSTOCK_CLI_ASK_H
#define PENSTOCK_CLI_ASK_H

#include "base/attr.h"
#include "base/buf.h"
#include "cli/unix_http.h"

#include <getopt.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* Values for getopt_long(); a command's own begin with ASK_OPTIONS. */
enum { ASK_SOCKET = 256, ASK_JSON, ASK_OPTIONS };

/* For the table of every such command, and for its help. */
#define ASK_LONG_OPTIONS \
	{ "socket", required_argument, NULL, ASK_SOCKET }, { "help", no_argument, NULL, 'h' }
#define ASK_JSON_OPTION { "json", no_argument, NULL, ASK_JSON }
#define ASK_HELP_SOCKET \
	"      --socket PATH   the daemon's control socket; else $PENSTOCK_SOCKET, else\n" \
	"                      control.sock in $RUNTIME_DIRECTORY, else\n" \
	"                      " PENSTOCK_RUNSTATEDIR "/penstock/control.sock\n"
#define ASK_HELP_JSON "      --json          the daemon's own answer\n"
#define ASK_HELP_HELP "  -h, --help          print this and exit\n\n"

/* The head of a command's own struct. */
struct ask {
	/* What the command is; to be set before ask_run(). */
	char *command;                /* "penstock pause" */
	const char *short_options;    /* for getopt(3); NULL: "h" */
	const struct option *options; /* its end is a zeroed one */
	const char *help;
	/* Takes an option of its own, with optarg.  Returns 0, or -EINVAL after it has said what is
	 * wrong; NULL if there are none. */
	int (*take)(struct ask *a, int option);
	/* Looks at all of it, likewise; may be NULL. */
	int (*check)(const struct ask *a);
	/* Says what is wrong, in a->body, and returns the exit code; NULL: as ask_daemon() says. */
	int (*refused)(struct ask *a, long status);
	/* Returns the exit code. */
	int (*perform)(struct ask *a);

	/* What the command line says. */
	const char *socket;
	bool json;
	char **names; /* what is no option */
	size_t n_names;

	/* While it is performed. */
	char *path; /* of the socket; owned */
	int stop_fd; /* readable once a signal has come */
	struct unix_http *http;
	struct buf body; /* of the last answer */
};

/* The whole command.  Returns the exit code. */
NONNULL(1, 3) int ask_run(struct ask *a, int argc, char **argv);

/* --- for 'perform' ----------------------------------------------------------------- */

/*
 * Makes a request; 'question' is its body, JSON, or NULL without one.
 *
 * Returns EXIT_OK, with the answer in '*ret_answer', the caller's.  Otherwise what was wrong
 * has been said, of a problem with 'about' in front: EXIT_SOME_FAILED (404, 409), EXIT_USAGE
 * (400), EXIT_UNFINISHED, EXIT_UNAVAILABLE or EXIT_INTERNAL.
 */
NODISCARD NONNULL(1, 2, 5)
int ask_daemon(struct ask *a, const char *target, const struct buf *question, const char *about,
               json_t **ret_answer);

/* The answer lacks something.  Returns EXIT_UNAVAILABLE. */
NONNULL(1) int ask_misunderstood(const struct ask *a);

/* Performs it for each name, also after EXIT_SOME_FAILED, which it returns at the end then. */
NODISCARD NONNULL(1, 2) int ask_each(struct ask *a, int (*one)(struct ask *a, const char *name));

/* Writes to standard output.  Returns EXIT_OK, or EXIT_IO or EXIT_INTERNAL after it was said. */
NODISCARD NONNULL(1) int ask_print(const struct buf *text);

/* The same for the last answer as it came. */
NODISCARD NONNULL(1) int ask_print_answer(const struct ask *a);

#endif
