/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One blocking HTTP fetch: resolve, connect, ask, follow redirects, read the
 * body, all within one deadline.  Knows libcurl; knows nothing of queues, retries
 * or results files.
 *
 * A redirect may lead to an origin that its caller cannot ask at once.  Then the fetch
 * ends there, and a later one goes on where it has ended, as if it were still the same.
 */
#ifndef PENSTOCK_FETCH_FETCH_H
#define PENSTOCK_FETCH_FETCH_H

#include "base/attr.h"
#include "fetch/resolver.h"
#include "fetch/rules.h"
#include "job/job.h"
#include "job/result.h"
#include "job/url.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fetch_options {
	uint64_t connect_timeout_ns; /* TCP and TLS, of one hop */
	const char *user_agent;      /* borrowed for the fetcher's life */
	size_t max_idle;             /* connections kept for later, all origins together */
	struct fetch_rules *rules;   /* gets a reference */
	struct resolver_options resolver;
};

/* The resolver, the idle connections, and the way to stop: shared by all workers. */
struct fetcher;

/* Returns 0, -ENOMEM, -EMFILE, or what resolver_create() returns.  Free with fetcher_free(). */
NODISCARD NONNULL(1, 2)
int fetcher_create(const struct fetch_options *options, struct fetcher **ret_fetcher);

/* No thread may be inside fetch().  Ignores NULL, returns NULL. */
struct fetcher *fetcher_free(struct fetcher *f);

/* Replaces the rules, for all hops that begin from now on; 'rules' gets a reference.  Safe from
 * any thread. */
NONNULL(1, 2) void fetcher_set_rules(struct fetcher *f, struct fetch_rules *rules);

/* Ends every fetch, now and from now on, with -ECANCELED.  Idempotent. */
NONNULL(1) void fetcher_cancel(struct fetcher *f);

struct fetch_request {
	const char *url;
	const struct url_origin *origin; /* of 'url' */
	const char *method;              /* upper case */
	const char *headers;             /* as in struct job_extra; NULL for none */
	const char *body;                /* NULL for none */
	size_t body_bytes;
	uint64_t timeout_ns;             /* for everything: names, hops, body */
	unsigned max_redirects;          /* 0: a redirect is the response */
	uint64_t max_body_bytes;         /* a longer body fails with -EFBIG… */
	bool truncates;                  /* …or is cut off, and the answer counts as whole */
	bool once;                       /* fail rather than send it again on a new connection */

	/* Takes the body of the answer that the fetch ends with, piece by piece; bodies of
	 * answers that redirect are dropped.  Returns 0, or -Exxx, which ends the fetch with
	 * -ENOSPC.  NULL: the body is only counted. */
	int (*take_body)(void *body_arg, const char *data, size_t n);
	void *body_arg;

	/* Where an earlier fetch of this request has ended with -EXDEV: its response->next,
	 * in memory of the caller's own.  NULL: begin at 'url'. */
	const struct job_hop *from;

	/* Asked before each hop to another origin than the one before, the way back included:
	 * 0, -EAGAIN (not now) or -ENOMEM.  The origin is borrowed for the call.  NULL: always 0. */
	int (*enter)(void *arg, const struct url_origin *origin);
	void *arg;
};

/*
 * Performs 'req' on the calling thread, and fills 'response', which the caller
 * reuses for its next fetch.  What went before 'from' counts for the redirects, the
 * timeout and all times of the response.
 *
 * Returns 0 for any complete HTTP exchange, whatever its status.  Otherwise
 * 'reason' says why:
 *   -ECANCELED        fetcher_cancel()
 *   -EXDEV            redirected to an origin that 'enter' said -EAGAIN of: go on at
 *                     response->next
 *   -EBUSY            too many threads wait for names: nothing was attempted by this call
 *   -ETIMEDOUT        the timeout, or the time to connect, has passed
 *   -ENOENT           there is no such host
 *   -EPROTONOSUPPORT  redirected to something that is neither http nor https
 *   -EINVAL           a redirect to no URL, or at another origin to a URL of more than
 *                     JOB_MAX_HOP_URL_BYTES; or a request libcurl refuses
 *   -ELOOP            more than max_redirects redirects
 *   -EFBIG            more than max_body_bytes
 *   -ENOSPC           take_body() has failed: response->body_error
 *   -EKEYREJECTED     the server's certificate is not trusted
 *   -ECONNREFUSED     could not connect
 *   -ECONNRESET       the connection broke
 *   -EPROTO           what came is not valid HTTP
 *   -EIO              anything else, a failing name server included
 *   -ENOMEM
 * Safe from any thread.
 */
NODISCARD NONNULL(1, 2, 3)
int fetch(struct fetcher *f, const struct fetch_request *req, struct response *response);

struct fetch_stats {
	size_t idle_connections;
	struct resolver_stats resolver;
};
NONNULL(1, 2) void fetch_stats(struct fetcher *f, struct fetch_stats *ret_stats);

#endif
