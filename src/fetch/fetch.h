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
	const char *body_dir;        /* where bodies may be read from; NULL: nowhere */
	struct resolver_options resolver;
};

/* The resolver, the idle connections, and the way to stop: shared by all workers. */
struct fetcher;

/* Returns 0, -ENOMEM, -EMFILE, what resolver_create() returns, or, if 'body_dir' is no directory
 * that can be opened, -ENOENT, -ENOTDIR, -EACCES or -ELOOP.  Free with fetcher_free(). */
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
	const char *body_file;           /* a file in 'body_dir', in place of 'body'; NULL for none */
	uint64_t timeout_ns;             /* for everything: names, hops, body */
	uint64_t deadline_ns;            /* the same by CLOCK_MONOTONIC, if earlier; 0: none */
	unsigned max_redirects;          /* 0: a redirect is the response */
	uint64_t max_body_bytes;         /* decoded; a longer body fails with -EFBIG… */
	bool truncates;                  /* …or is cut off, and the answer counts as whole */
	bool once;                       /* fail rather than send it again on a new connection */

	/* Bytes a second, of each hop once it is connected: if fewer go and come within
	 * 'speed_span_ns', the fetch ends with -ETIMEDOUT.  0: any speed will do. */
	uint64_t least_speed;
	uint64_t speed_span_ns;

	/* Takes the body of the answer that the fetch ends with, decoded, piece by piece; bodies of
	 * answers that redirect are dropped.  Returns 0, or -Exxx, which ends the fetch with
	 * -ENOSPC.  NULL: the body is only counted.
	 *
	 * Before the first piece, begin_body() is called if there is one.  It may wait until the
	 * deadline, and is told the body's length, UINT64_MAX if the answer does not say it.
	 * Returns as take_body() does; -ETIMEDOUT: it has waited in vain for memory, -ECANCELED:
	 * the fetch shall end as fetcher_cancel() has it. */
	int (*begin_body)(void *body_arg, uint64_t bytes, uint64_t deadline_ns);
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
 *   -ETIMEDOUT        the timeout, or the time to connect, has passed; or it was too slow
 *   -ETIME            the deadline has passed before the timeout
 *   -ENOENT           there is no such host
 *   -EPROTONOSUPPORT  redirected to something that is neither http nor https
 *   -EINVAL           a redirect to no URL, or at another origin to a URL of more than
 *                     JOB_MAX_HOP_URL_BYTES; or a request libcurl refuses
 *   -ELOOP            more than max_redirects redirects
 *   -EFBIG            more than max_body_bytes, decoded or, give or take a little, encoded
 *   -ENODATA          the request's body_file cannot be read: the origin has no part in it
 *   -ENOSPC           the body could not be taken: response->body_error
 *   -EKEYREJECTED     the server's certificate is not trusted
 *   -EACCES           the guard denies the addresses of the host, or the proxy does not let the
 *                     request through
 *   -ECONNREFUSED     could not connect, or the proxy could not, or wants another login
 *   -ECONNRESET       the connection broke
 *   -EPROTO           what came is not valid HTTP, or not of the encoding that it is said to be
 *   -EIO              anything else, a failing name server included
 *   -ENOMEM
 * Safe from any thread.
 */
NODISCARD NONNULL(1, 2, 3)
int fetch(struct fetcher *f, const struct fetch_request *req, struct response *response);

struct fetch_stats {
	size_t idle_connections;
	size_t insecure_profiles; /* of the rules in force */
	struct resolver_stats resolver;
};
NONNULL(1, 2) void fetch_stats(struct fetcher *f, struct fetch_stats *ret_stats);

#endif
