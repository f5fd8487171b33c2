/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of `penstock fetch`. */
#ifndef PENSTOCK_CLI_FETCH_ARGS_H
#define PENSTOCK_CLI_FETCH_ARGS_H

#include "base/attr.h"

#include <stdbool.h>
#include <stddef.h>

struct fetch_args {
	const char *config_path;  /* NULL: none */
	char **overrides;         /* "key=value"; owned */
	size_t n_overrides;
	char *const *files;       /* points into argv */
	size_t n_files;
	bool follow;
	bool quiet;
	bool check;
};

/*
 * Reads argv[1..], where argv[0] is "fetch".  Options that have a key are turned
 * into overrides.
 *
 * Returns 0; 1 if --help was asked for, and printed; -EINVAL after the problem was
 * said; or -ENOMEM.  Release with fetch_args_done() in every case.
 */
NODISCARD NONNULL(2, 3) int fetch_args_parse(int argc, char **argv, struct fetch_args *ret_args);

NONNULL(1) void fetch_args_done(struct fetch_args *args);

#endif
