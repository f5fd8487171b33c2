/* SPDX-License-Identifier: Apache-2.0 */
/* The commands of penstock(1), and what they share. */
#ifndef PENSTOCK_CLI_CLI_H
#define PENSTOCK_CLI_CLI_H

#include "base/attr.h"

/* Exit codes: sysexits.h(3head), and two of our own. */
enum exit_code {
	EXIT_OK = 0,
	EXIT_SOME_FAILED = 1,  /* a job is dead or unknown, or a line was no job; or it does not balance */
	EXIT_UNFINISHED = 7,   /* stopped before everything was done */
	EXIT_USAGE = 64,
	EXIT_NO_INPUT = 66,
	EXIT_UNAVAILABLE = 69, /* no daemon answers */
	EXIT_INTERNAL = 70,
	EXIT_CANNOT_CREATE = 73,
	EXIT_IO = 74,
	EXIT_CONFIG = 78,
};

/* `penstock fetch`: argv[0] is "fetch".  Returns the exit code. */
NONNULL(2) int cli_fetch(int argc, char **argv);

/* The other commands, likewise. */
NONNULL(2) int cli_audit(int argc, char **argv);
NONNULL(2) int cli_drain(int argc, char **argv);
NONNULL(2) int cli_lanes(int argc, char **argv);
NONNULL(2) int cli_log_level(int argc, char **argv);
NONNULL(2) int cli_pause(int argc, char **argv);
NONNULL(2) int cli_reload(int argc, char **argv);
NONNULL(2) int cli_requeue(int argc, char **argv);
NONNULL(2) int cli_results(int argc, char **argv);
NONNULL(2) int cli_resume(int argc, char **argv);
NONNULL(2) int cli_set(int argc, char **argv);
NONNULL(2) int cli_status(int argc, char **argv);
NONNULL(2) int cli_submit(int argc, char **argv);
NONNULL(2) int cli_top(int argc, char **argv);
NONNULL(2) int cli_why(int argc, char **argv);

#endif
