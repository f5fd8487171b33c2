/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes from a file, standard input or a FIFO: waits for them, notices a stop,
 * and can follow a path as urlfile.h describes it.  Belongs to one thread.
 */
#ifndef PENSTOCK_SOURCE_INPUT_H
#define PENSTOCK_SOURCE_INPUT_H

#include "base/attr.h"
#include "source/place.h"
#include "source/watch.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct input_file {
	int fd;      /* -1 for none */
	mode_t type; /* S_IFREG, S_IFIFO, … */
	dev_t device;
	struct file_id id;
};

struct input {
	const char *path; /* borrowed; NULL is standard input */
	int stop_fd;      /* borrowed */
	bool follow;
	struct input_file now;  /* none while the followed file is not there */
	struct input_file next; /* what has replaced it, until 'now' is read to its end */
	off_t offset;           /* in 'now', if it was opened here */
	bool idle;              /* nothing to do until something happens */
	int trouble;            /* -Exxx: the path cannot be opened, as was reported; or 0 */
	struct watch watch;     /* if 'follow' */
};

enum input_event {
	INPUT_NONE,     /* nothing yet: call again */
	INPUT_BYTES,
	INPUT_BREAK,    /* an unfinished line ends here */
	INPUT_NEW_FILE, /* the same, and a file begins */
	INPUT_TROUBLE,  /* the followed path cannot be opened, see 'trouble'; goes on trying */
	INPUT_END,
};

/* Opens 'path' (NULL: standard input, which is not followed).  Returns 0, -ENOMEM,
 * -EISDIR, or what open(2) says; a followed path need not exist. */
NODISCARD NONNULL(1)
int input_open(struct input *in, const char *path, bool follow, int stop_fd);
NONNULL(1) void input_close(struct input *in);

/*
 * Right after input_open(): goes on at this place, if the file is still the one it is in
 * and holds it.  A followed file that was renamed within its folder is looked for there, and
 * is read to its end before the one that has its name now.
 *
 * Stores the file's first bytes with PLACE_HOLDS; otherwise nothing has changed.  Returns an
 * enum place_match, -ENOMEM, or what open(2), statx(2), pread(2) or lseek(2) says.
 */
NODISCARD NONNULL(1, 2, 3)
int input_go_on(struct input *in, const struct place *place,
                unsigned char ret_head[PLACE_HEAD_BYTES]);

/* Whether what is read now is a file, so that there are places in it. */
NONNULL(1) bool input_has_places(const struct input *in);

/* Bytes between the position and the end of a regular file; 0 for anything else. */
NONNULL(1) uint64_t input_bytes_left(const struct input *in);

/*
 * Waits for the next event.  For INPUT_BYTES up to 'size' bytes are in 'data'.
 *
 * Returns an event, -ECANCELED once the stop descriptor is readable, or what
 * read(2), poll(2), fstat(2) or lseek(2) says.
 */
NODISCARD NONNULL(1, 2, 4)
int input_read(struct input *in, void *data, size_t size, size_t *ret_n);

#endif
