/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the loader share.  Private to this folder. */
#ifndef PENSTOCK_CONFIG_LOAD_H
#define PENSTOCK_CONFIG_LOAD_H

#include "base/attr.h"
#include "base/buf.h"
#include "config/config.h"

#include <stdbool.h>
#include <stddef.h>

struct config_block;

/* Where a value that is not a default comes from. */
struct config_origin {
	const char *path; /* "queue.capacity", "sources[0].path" */
	const char *text; /* "penstock.conf:12", "--set" */
};

struct config {
	struct config_block *blocks;   /* all memory that loaded values point to */
	struct config_origin *origins; /* sorted by path once loading is over */
	size_t n_origins;
	size_t n_sorted;     /* the first ones, in which paths are looked up */
	size_t origins_size; /* room at 'origins' */
	const char **files;  /* that were read, without those that they include */
	size_t n_files;
};

/*
 * One run of config_load().  Its parts report what they find and go on; whoever
 * started them looks at the counts at the end, and drops the values if there are
 * any.  So none of them returns an error.
 */
struct loading {
	struct config *config; /* owns what is loaded */
	struct buf *errors;
	const char *override; /* what overrides are called in messages and as an origin: "--set" */
	size_t n_problems;
	size_t text_bytes; /* of the files that were read so far */
	bool no_memory; /* an allocation failed: what was read is not whole */
};

/* What a problem is about. */
struct place {
	const char *where; /* "penstock.conf:12", "--set queue.capacity=x" */
	const char *path;  /* of the key, or NULL if 'where' says it */
};

/* Appends one line, "WHERE: PATH: " and the text; characters that would break or
 * hide a line become '?'. */
PRINTF_LIKE(3, 4)
void config_problem(struct loading *l, const struct place *place, const char *format, ...);

/* 'n' * 'size' zeroed bytes for any type, owned by the config; NULL if there is no memory. */
void *config_alloc(struct loading *l, size_t n, size_t size);

/* A text owned by the config, never NULL: "" if there is no memory. */
const char *config_copy(struct loading *l, const char *text, size_t n);
PRINTF_LIKE(2, 3) const char *config_format(struct loading *l, const char *format, ...);

/* Notes where the value of 'path' comes from; both texts are owned by the config, or
 * constant.  To be followed by config_sort_origins(); a path may be noted once before that, and
 * is replaced after it. */
void config_add_origin(struct loading *l, const char *path, const char *text);
void config_sort_origins(struct config *c);

/* NULL if nothing is known of the path. */
struct config_origin *config_find_origin(const struct config *c, const char *path);

/* Both of the above; needs sorted origins. */
void config_set_origin(struct loading *l, const char *path, const char *text);

/* What is noted of elements of 'list' is: that of element i is of i + 'n' now, or of none. */
void config_shift_origins(struct loading *l, const char *list, size_t n);
void config_drop_origins(struct config *c, const char *list);

#endif
