/* SPDX-License-Identifier: Apache-2.0 */
/* One request of a fetch, and what the next one is if the answer redirects. */
#ifndef PENSTOCK_FETCH_HOP_H
#define PENSTOCK_FETCH_HOP_H

#include "base/attr.h"
#include "fetch/handle.h"
#include "fetch/upload.h"
#include "job/job.h"
#include "job/url.h"

#include <stdbool.h>
#include <stddef.h>

struct hop {
	const char *url;
	struct url_origin origin;
	const char *method;
	const char *headers;  /* as in struct job_extra; NULL for none */
	const char *body;
	size_t body_bytes;
	struct upload *upload; /* in place of 'body'; NULL for none */
	bool without_content; /* the request lost its body: leave out the headers about it */
	bool without_secrets; /* it left its first origin: leave out credentials, also
	                       * those that the origin's profile has */
};

/* Sets 'hop' up in the handle.  Returns 0 or -ENOMEM. */
NODISCARD NONNULL(1, 2) int hop_prepare(const struct hop *hop, struct handle *h);

/*
 * Changes 'hop' as a redirect with 'status' to 'url' says (RFC 9110, section
 * 15.4; where that leaves a choice, as the Fetch standard, section 4.4): 303, and
 * 301 or 302 after a POST, go on with GET.  'url' and 'origin' are borrowed.
 */
NONNULL(1, 3, 4)
void hop_redirect(struct hop *hop, long status, const char *url, const struct url_origin *origin);

/* Changes 'hop', a fetch's first request, to what redirects had made of it at 'from', whose
 * strings are borrowed. */
NONNULL(1, 2) void hop_resume(struct hop *hop, const struct job_hop *from);

#endif
