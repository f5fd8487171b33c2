/* SPDX-License-Identifier: Apache-2.0 */
/* A fetch in progress, and the fetcher; private to fetch.c, failure.c, lend.c and answer.c. */
#ifndef PENSTOCK_FETCH_TRANSFER_H
#define PENSTOCK_FETCH_TRANSFER_H

#include "base/attr.h"
#include "base/sync.h"
#include "fetch/fetch.h"
#include "fetch/handle.h"
#include "fetch/head.h"
#include "fetch/hop.h"
#include "fetch/pool.h"

struct fetcher {
	struct handle_options handle_options;
	struct resolver *resolver;
	struct pool *pool;
	int cancel_fd; /* an eventfd; readable for ever once fetcher_cancel() was called */

	struct mutex lock;
	struct fetch_rules *rules GUARDED_BY(lock); /* a reference */
};

/* A fetch in progress, over all its hops. */
struct transfer {
	struct fetcher *f;
	const struct fetch_request *req;
	struct hop hop;
	struct response *response;
	uint64_t start_ns;
	uint64_t deadline_ns;
	uint64_t spent_us;     /* before start_ns, by what 'req' goes on from */
	uint64_t hop_start_us; /* as transfer_elapsed_us() */
	bool has_asked;        /* some hop has got as far as a request */

	/* Of the hop. */
	struct handle *handle;
	struct head head;
	bool redirects;        /* its answer leads on, so its body is dropped */
	bool body_too_big;

	/* The target of the last redirect, which 'hop' points into. */
	struct url_parser *parser; /* of its origin; NULL on the first hop */
	struct buf url;
};

/* Microseconds since the attempt began. */
NONNULL(1) uint64_t transfer_elapsed_us(const struct transfer *t);

/* --- failure.c: each sets the response's reason and curl_code, and returns what fetch() shall */

PRINTF_LIKE(4, 5) NONNULL(1)
int transfer_fail(struct transfer *t, int r, CURLcode code, const char *format, ...);

NONNULL(1) int transfer_fail_memory(struct transfer *t);

/* The time was up before the redirect's target could be asked. */
NONNULL(1) int transfer_fail_redirected(struct transfer *t);

/* The time was up while 'h' was at it. */
NONNULL(1, 2) int transfer_fail_timeout(struct transfer *t, const struct handle *h);

/* libcurl's verdict as ours (libcurl-errors(3)), or that of an answer without a whole head, which
 * libcurl takes for one without a body. */
NONNULL(1, 2) int transfer_fail_curl(struct transfer *t, const struct handle *h, CURLcode code);

/* What resolver_lookup() has returned and said. */
NONNULL(1, 3) int transfer_fail_lookup(struct transfer *t, int r, const char *why);

/* --- lend.c ------------------------------------------------------------------------ */

/* Finds the addresses of the hop's host, and a handle that connects to them: an idle one, or a
 * new one.  Returns 0 or as fetch() does. */
NODISCARD NONNULL(1, 2) int transfer_lend(struct transfer *t, struct handle **ret_handle);

/* A handle goes back to the pool unless its connection is of no more use. */
NONNULL(1, 2) void transfer_give_back(struct transfer *t, struct handle *h, bool healthy);

/* --- answer.c ---------------------------------------------------------------------- */

/* Whether a status leads to another URL, if there is a Location (RFC 9110, section 15.4). */
bool transfer_is_redirect(long status);

/* Takes a line of a head: a CURLOPT_HEADERFUNCTION(3). */
size_t transfer_on_header(char *line, size_t size, size_t count, void *arg);

/* Takes a piece of a body: a CURLOPT_WRITEFUNCTION(3). */
size_t transfer_on_body(char *data, size_t size, size_t count, void *arg);

/* Copies what is known of the hop's exchange, whole or not. */
NONNULL(1, 2) void transfer_collect(struct transfer *t, struct handle *h);

#endif
