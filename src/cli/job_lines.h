/* SPDX-License-Identifier: Apache-2.0 */
/* The lines of several files, one after the other, in bounded memory.  Belongs to one thread. */
#ifndef PENSTOCK_CLI_JOB_LINES_H
#define PENSTOCK_CLI_JOB_LINES_H

#include "base/attr.h"
#include "source/input.h"
#include "source/lines.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct job_lines {
	char *const *paths; /* borrowed; "-" is standard input */
	size_t n_paths;
	int stop_fd;        /* borrowed; readable: stop */
	size_t file;        /* index of the file that is read */
	bool is_open;
	bool at_end;        /* of the file: only an unfinished line may be left */
	struct input input;
	struct lines lines;
	uint64_t before;    /* lines of the files before this one */
	uint64_t bytes;     /* read so far */
	uint64_t bytes_total; /* of all files; 0 if that cannot be known */
};

enum job_lines_event {
	JOB_LINES_END,
	JOB_LINES_LINE,
	JOB_LINES_TOO_LONG, /* a line longer than JOB_MAX_LINE_BYTES, without its text */
	JOB_LINES_PAUSE,    /* nothing is there now; only if asked not to wait */
};

/*
 * Looks whether each file can be read, and prepares to.
 *
 * Returns 0, -ENOMEM, or, with the file in '*ret_failed', -EISDIR or what access(2) says.
 */
NODISCARD NONNULL(1, 2, 5)
int job_lines_open(struct job_lines *l, char *const *paths, size_t n, int stop_fd,
                   size_t *ret_failed);
NONNULL(1) void job_lines_close(struct job_lines *l);

/*
 * Takes the next line, valid until the next call, without its line ending.  'waits'
 * says whether to wait for more of a pipe or terminal.
 *
 * Returns an event, -ECANCELED once the stop descriptor is readable, -ENOMEM, or what
 * open(2), read(2) or poll(2) says about file 'l->file'.
 */
NODISCARD NONNULL(1, 3, 4)
int job_lines_next(struct job_lines *l, bool waits, const char **ret_text, size_t *ret_len);

/* The number of the line taken last, in its file and in all of them. */
NONNULL(1) uint64_t job_lines_number(const struct job_lines *l);
NONNULL(1) uint64_t job_lines_serial(const struct job_lines *l);

/* What messages call a file: its path, or "standard input". */
NONNULL(1) const char *job_lines_name(const struct job_lines *l, size_t file);

#endif
