/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The same jobs again and again: a list of URLs (or JSON jobs) every interval,
 * plus a random jitter.  The first round is due at once.  Rounds that were missed
 * because there was no room are not made up for: they coalesce into one.
 */
#ifndef PENSTOCK_SOURCE_SCHEDULE_H
#define PENSTOCK_SOURCE_SCHEDULE_H

#include "source/source.h"

struct schedule_options {
	const char *name;        /* copied */
	uint64_t every_ns;       /* > 0 */
	uint64_t jitter_ns;      /* each round is late by a uniform part of it */
	const char *const *urls; /* lines as in job.h; copied */
	size_t n_urls;           /* >= 1 */
	uint64_t seed;           /* of the jitter */
	int stop_fd;
	struct source_listener listener;
};

/*
 * Returns 0, -EINVAL if an interval or list is empty, -ENOMEM, or what
 * timerfd_create(2) says.  A URL that is no job is complained of once, here, and
 * left out; if none is left the source is at its end at once.
 */
NODISCARD NONNULL(1, 2)
int schedule_create(const struct schedule_options *options, struct source **ret_source);

#endif
