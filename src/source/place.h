/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A place between two lines of a file, and how to know that file again after a
 * restart: by inode, by birth time (an inode's number is given away again), and
 * by a hash of its first bytes (a file may be rewritten).  Not by its device: many
 * file systems get another number each time they are mounted.
 */
#ifndef PENSTOCK_SOURCE_PLACE_H
#define PENSTOCK_SOURCE_PLACE_H

#include "base/attr.h"
#include "base/buf.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* How much of a file's beginning is hashed at most. */
enum { PLACE_HEAD_BYTES = 1024 };

struct file_id {
	uint64_t inode;
	uint64_t born_ns; /* 0 where the file system does not say */
};

struct file_state {
	struct file_id id;
	mode_t type; /* S_IFREG, S_IFIFO, … */
	dev_t device;
	uint64_t size;
	int64_t modified_ns;
};

struct place {
	struct file_id file;
	uint64_t offset;
	uint64_t line;     /* that ends there; 0 at the start */
	bool in_long_line; /* that line was too long, was reported, and goes on */
	uint64_t hash;     /* of the first bytes, up to 'offset' and PLACE_HEAD_BYTES */
};

/* Looks at an open file (name ""), or at 'name' in 'dir_fd', where no symbolic link is
 * followed.  Returns 0 or what statx(2) says. */
NODISCARD NONNULL(2, 3)
int file_look(int dir_fd, const char *name, struct file_state *ret_state);

NONNULL(1, 2) bool file_is_same(const struct file_id *a, const struct file_id *b);

/* Looks for a regular file in the directory.  Returns 0, -ENOENT, -ENOMEM, or what
 * open(2) or readdir(3) says. */
NODISCARD NONNULL(2, 3)
int file_find(int dir_fd, const struct file_id *id, char ret_name[NAME_MAX + 1]);

/* FNV-1a, 64 bits. */
NONNULL(1) uint64_t place_hash(const void *head, size_t n);

/* Appends the place as text; reads it back from the start of a text, and stores what follows
 * it.  Returns 0, or -EINVAL if it is no such text. */
NONNULL(1, 2) void place_write(const struct place *p, struct buf *b);
NODISCARD NONNULL(1, 2, 3)
int place_parse(const char *text, struct place *ret_place, const char **ret_rest);

enum place_match {
	PLACE_HOLDS,
	PLACE_REPLACED,  /* it is another file */
	PLACE_TRUNCATED,
	PLACE_REWRITTEN,
};

/* Whether the place is in this open file; stores the file's first bytes, up to the
 * place's offset.  Returns an enum place_match, or what statx(2) or pread(2) says. */
NODISCARD NONNULL(1, 3)
int place_check(const struct place *p, int fd, unsigned char ret_head[PLACE_HEAD_BYTES]);

/* For a notice: "was truncated; is read from its start". */
const char *place_match_text(enum place_match match);

#endif
