/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configuration: libconfig files, read by a table that says of each key what
 * it is.  This folder knows no key; the table is the caller's.
 *
 * Values come, in this order, from the table's defaults, the file, its drop-ins, and
 * overrides ("queue.capacity=10").  All of them are checked; every error is reported with
 * its place, not only the first.
 */
#ifndef PENSTOCK_CONFIG_CONFIG_H
#define PENSTOCK_CONFIG_CONFIG_H

#include "base/attr.h"
#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum config_type {
	CONFIG_COUNT,    /* whole number             → uint64_t, at most INT64_MAX */
	CONFIG_SIZE,     /* "64M", or 4096 (bytes)   → uint64_t */
	CONFIG_DURATION, /* "30s", nanoseconds       → uint64_t */
	CONFIG_RATE,     /* "5/s", nanoseconds from one to the next, 0: no rate → uint64_t */
	CONFIG_BOOL,     /* true, false              → bool */
	CONFIG_STRING,   /*                          → const char * (owned by the config; never NULL) */
	CONFIG_CHOICE,   /* one of 'choices'         → int, its index */
	CONFIG_STRINGS,  /* a list; one string will do → struct config_strings */
	CONFIG_GROUPS,   /* a list of groups         → struct config_groups */
};

struct config_strings {
	const char *const *items; /* owned by the config */
	size_t n;
};

struct config_groups {
	const void *items; /* n elements of the element table's 'size', owned by the config */
	size_t n;
};

struct config_table;

struct config_key {
	const char *path;           /* "queue.capacity"; inside an element: "path" */
	enum config_type type;
	size_t offset;              /* of the value in the caller's struct */
	const char *preset;         /* the default as it would be written for --set; NULL: must be given.
	                             * CONFIG_STRINGS: comma separated; CONFIG_GROUPS: "" (empty) only */
	uint64_t min, max;          /* COUNT, SIZE, DURATION: the range, ends included; max 0: no limit */
	const char *const *choices; /* CONFIG_CHOICE; NULL-terminated */
	const struct config_table *element; /* CONFIG_GROUPS */
	const char *name_key;  /* CONFIG_GROUPS of the table itself: the CONFIG_STRING in 'element' by
	                        * which elements are told apart; its other keys all have presets */
	const char *last_name; /* with a name_key: an element so named is always there, as the last */
	bool (*fits)(const char *name, const char *other); /* with a name_key: whether the element
	                        * 'name' has held for what 'other' means.  NULL: never */
	bool reloads;               /* a change takes effect without a restart */
	const char *unit;           /* for people: "jobs", "bytes", "time"; "" for none */
	const char *help;           /* one line: what it is, and why one would change it */
};

struct config_table {
	const struct config_key *keys;
	size_t n;
	size_t size; /* of the struct that the offsets point into */
};

/* The strings of loaded values, and where each value came from. */
struct config;

/*
 * Reads 'path' (NULL: no file; @include "NAME" starts from the folder of the file
 * that it stands in), then the drop-ins in the folder 'drop_ins' (NULL, or not there: none),
 * which are its files "*.conf" in the order of their names, hidden ones apart, and then
 * 'overrides', and fills the struct of table->size bytes at 'ret_values', whose strings live as
 * long as '*ret_config'; free that with config_free().
 *
 * A value replaces that of an earlier file; so does a list of strings.  Elements of a list of
 * groups are added behind those of earlier files; an empty list drops these.  In a list with
 * names, an element that there is already has those keys replaced that a later file gives, and
 * new ones go before the others.
 *
 * Returns 0; or -EINVAL, -ENOENT, -EACCES, -EIO, -ENOMEM with one line a problem,
 * each ended by '\n', appended to 'errors': "penstock.conf:12: queue.capacty: unknown
 * key; did you mean queue.capacity?".  Nothing is stored then.
 *
 * An override of an element of a list with names is "origins[NAME].rate=5/s", or has an index
 * for the name; one that is not there is put before the others, and has for the rest the values
 * of the first that fits, or the defaults.
 */
NODISCARD NONNULL(1, 6, 7, 8)
int config_load(const struct config_table *table, const char *path, const char *drop_ins,
                const char *const *overrides, size_t n_overrides, void *ret_values,
                struct config **ret_config, struct buf *errors);

/*
 * The same, but in place of the defaults and a file there are the 'values' that were loaded
 * as 'config' or changed since: what follows is 'overrides' only, whose messages and origins
 * say 'name'.  Copies everything.
 */
NODISCARD NONNULL(1, 2, 3, 6, 7, 8, 9)
int config_amend(const struct config_table *table, const void *values, const struct config *config,
                 const char *const *overrides, size_t n_overrides, const char *name,
                 void *ret_values, struct config **ret_config, struct buf *errors);

/* For whoever has loaded a list and wants it otherwise, before anyone else sees it: overwrites
 * its element 'i', of 'size' bytes. */
NONNULL(1, 3)
void config_store_element(const struct config_groups *groups, size_t i, const void *element,
                          size_t size);

/* Ignores NULL, returns NULL. */
struct config *config_free(struct config *c);

/* Appends the effective configuration as a file that reads back as the same
 * values, after comments that name the files that were read, if there are drop-ins.  Each line
 * has a comment that says where its value comes from: "default", "penstock.conf:12" or "--set".
 * Without memory b->failed is set. */
NONNULL(1, 2, 3, 4)
void config_print(const struct config_table *table, const struct config *c, const void *values,
                  struct buf *b);

/* One difference between two sets of values. */
struct config_difference {
	const struct config_key *key; /* of the table */
	const char *path;   /* "queue.capacity"; in a list with names "origins[NAME].rate",
	                     * "origins[NAME]" for all of an element, "origins" for their order */
	const char *before; /* as text on one line, of an element what differs from the defaults;
	                     * "none" for an element that was, or is, not there */
	const char *after;
};

/* Calls 'visit' with each difference.  Returns their number. */
NONNULL(1, 2, 3, 4)
size_t config_compare(const struct config_table *table, const void *current, const void *fresh,
                      void (*visit)(void *arg, const struct config_difference *d), void *arg);

/*
 * Brings 'current' up to what was loaded anew as 'fresh': calls 'visit' as config_compare()
 * does, and copies the values of all keys that reload.  Strings are not copied: those of
 * the keys that reload are afterwards of fresh's config, so that the config of an earlier
 * change may be freed.  Returns the number of differences.
 */
NONNULL(1, 2, 3, 4)
size_t config_change(const struct config_table *table, void *current, const void *fresh,
                     void (*visit)(void *arg, const struct config_difference *d), void *arg);

/* Where the value of 'key_path' ("queue.capacity", "sources[0].path") comes from, as
 * config_print() shows it; "default" for a path that there is not. */
NONNULL(1, 2) const char *config_origin_of(const struct config *c, const char *key_path);

#endif
