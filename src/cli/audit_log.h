/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The results log as `penstock audit` reads it: the file itself and those that rotation has
 * put beside it, line by line in bounded memory, also while it grows.  Not thread-safe.
 */
#ifndef PENSTOCK_CLI_AUDIT_LOG_H
#define PENSTOCK_CLI_AUDIT_LOG_H

#include "base/attr.h"
#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct audit_file {
	char *path;          /* owned */
	int fd;
	uint64_t device, inode;
	uint64_t lines;      /* whole ones so far */
	struct buf rest;     /* what is read of the line behind them */
	uint64_t last_seq;   /* whoever takes the lines may keep the last record's here */
	bool skips;          /* that line is too long, and is dropped as it comes */
	uint64_t first_seq;  /* what its first line begins with; UINT64_MAX if that is no number */
};

struct audit_log {
	struct audit_file *files; /* by their first records */
	size_t n;
	struct buf unread;   /* names of compressed files, ", " between them */
};

/* A record's lines may be some times as long as a job's. */
enum { AUDIT_LOG_MAX_LINE_BYTES = 32 * 1024 * 1024 };

/*
 * Opens the log at 'path' and every file in its folder whose name is that of the log
 * with "." or "-" and more behind it: or, if 'alone', just the file at 'path'.  Files that
 * are open already are left as they are, so it may be called again for what a rotation has
 * brought.  '*log' is zero-initialised before the first call.
 *
 * Returns 0, also if there is no file at all unless 'alone'; -EISDIR, or -EINVAL if 'path' is
 * another thing than a regular file; -ENOMEM, or what open(2) or opendir(3) say about
 * '*ret_failed' (owned by the caller, NULL if memory is out).
 */
NODISCARD NONNULL(1, 2, 4)
int audit_log_open(struct audit_log *log, const char *path, bool alone, char **ret_failed);
NONNULL(1) void audit_log_close(struct audit_log *log);

/* Takes a line without its LF; 'text' is NULL if it was too long.  Returns 0, or an error
 * that ends the reading. */
typedef int audit_line_fn(void *arg, struct audit_file *file, const char *text, size_t len);

/* Reads what is new in a file.  Returns 0, what the function returned, -ENOMEM or what
 * read(2) says. */
NODISCARD NONNULL(1, 2)
int audit_file_read(struct audit_file *file, audit_line_fn *take, void *arg);

#endif
