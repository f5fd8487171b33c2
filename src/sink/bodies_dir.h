/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The folder of kept bodies: files that are named after the SHA-256 of what is in them,
 * "ab/cdef…", in folders named after its first two digits.  Several processes may use it.
 *
 * A file is written before it has a name (O_TMPFILE, open(2)), and gets it when it is whole;
 * so whatever has a name is whole, and a crash leaves nothing behind.  Where the file system
 * cannot do that, it has a name that begins with BODIES_DIR_NEW until then; what a crash has
 * left of those is removed by the next process that opens the folder while no other has it.
 */
#ifndef PENSTOCK_SINK_BODIES_DIR_H
#define PENSTOCK_SINK_BODIES_DIR_H

#include "base/attr.h"
#include "base/sync.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BODIES_DIR_NEW ".new-"

enum { BODIES_DIR_HEX = 64, BODIES_DIR_FOLDERS = 256 };

struct bodies_dir {
	int fd;
	bool unnamed; /* it can have files without names */
	bool durable; /* a body is on disk when it is published, and its name after a sync */
	_Atomic uint64_t named; /* files with names of their own so far */

	struct mutex lock;
	bool known[BODIES_DIR_FOLDERS] GUARDED_BY(lock);   /* folders that are there */
	bool touched[BODIES_DIR_FOLDERS] GUARDED_BY(lock); /* …that have names not yet on disk */
};

/* A file that is written, not published yet. */
struct bodies_file {
	int fd; /* -1: there is none */
	char name[48]; /* "": it has none */
};

/* Opens the folder, makes it if it is not there, and takes care of what a crash has left.
 * Returns 0, -ENOMEM, or what mkdir(2) or open(2) say: -ENOENT, -EACCES, -ENOTDIR, -EROFS. */
NODISCARD NONNULL(1, 2) int bodies_dir_open(struct bodies_dir *d, const char *path, bool durable);
NONNULL(1) void bodies_dir_close(struct bodies_dir *d);

/* What follows may be called from any thread; a file belongs to one. */

/* Begins a file.  Returns 0, or what open(2) says. */
NODISCARD NONNULL(1, 2) int bodies_dir_create(struct bodies_dir *d, struct bodies_file *ret_file);

/* Appends.  Returns 0, or what write(2) says. */
NODISCARD NONNULL(1) int bodies_file_write(const struct bodies_file *f, const char *data, size_t n);

/* Gives the file, of 'size' bytes, its name of BODIES_DIR_HEX digits, and closes it.  Returns 0;
 * 1 if the same content was there already; or what open(2), fdatasync(2), link(2) or rename(2)
 * say, and then it is still there to be discarded. */
NODISCARD NONNULL(1, 2, 3)
int bodies_dir_publish(struct bodies_dir *d, struct bodies_file *f, const char *hex, uint64_t size);

/* Removes a file that was not published, if there is one. */
NONNULL(1, 2) void bodies_dir_discard(struct bodies_dir *d, struct bodies_file *f);

/* Whether a file can be written, by trying.  Returns 0, or why not. */
NODISCARD NONNULL(1) int bodies_dir_try(struct bodies_dir *d);

/* Makes the names durable of what was published before the call.  Returns 0, or what open(2) or
 * fsync(2) say; then the next call tries again. */
NODISCARD NONNULL(1) int bodies_dir_sync(struct bodies_dir *d);

#endif
