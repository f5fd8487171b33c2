/* SPDX-License-Identifier: Apache-2.0 */
/* A fetch in progress, and the fetcher; private to fetch.c, failure.c, lend.c, content.c and
 * answer.c. */
#ifndef PENSTOCK_FETCH_TRANSFER_H
#define PENSTOCK_FETCH_TRANSFER_H

#include "base/attr.h"
#include "base/sync.h"
#include "fetch/decode.h"
#include "fetch/fetch.h"
#include "fetch/handle.h"
#include "fetch/head.h"
#include "fetch/hop.h"
#include "fetch/pool.h"
#include "fetch/upload.h"

struct fetcher {
	struct handle_options handle_options;
	struct resolver *resolver;
	struct pool *pool;
	int body_dir;  /* -1: none */
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
	uint64_t deadline_ns;  /* when it ends… */
	bool has_deadline;     /* …which is the request's, not the timeout's end */
	uint64_t spent_us;     /* before start_ns, by what 'req' goes on from */
	uint64_t hop_start_us; /* as transfer_elapsed_us() */
	bool has_asked;        /* some hop has got as far as a request */
	struct upload upload;  /* the request's body_file */

	/* Of the hop. */
	struct handle *handle;
	struct head head;
	bool has_body;         /* a piece of it has come */
	bool redirects;        /* its answer leads on, so its body is dropped */
	struct decoder *decoder; /* of its body; NULL: it needs none */
	int refusal;           /* why transfer_on_body() has ended it: -EFBIG, -ENOSPC, -EPROTO,
	                        * -ETIMEDOUT or -ENOMEM */
	const char *fault;     /* after -EPROTO: what is wrong */

	/* What 'hop' points into after a redirect. */
	struct url_parser *parser; /* of its origin; NULL on the first hop */
	struct buf url;

	struct buf target; /* where its answer leads on to; NUL-terminated */
};

/* Microseconds since the attempt began. */
NONNULL(1) uint64_t transfer_elapsed_us(const struct transfer *t);

/* --- failure.c: each sets the response's reason and curl_code, and returns what fetch() shall */

PRINTF_LIKE(4, 5) NONNULL(1)
int transfer_fail(struct transfer *t, int r, CURLcode code, const char *format, ...);

NONNULL(1) int transfer_fail_memory(struct transfer *t);

/* The time was up before the redirect's target could be asked. */
NONNULL(1) int transfer_fail_redirected(struct transfer *t);

/* The body was refused by transfer_on_body(). */
NONNULL(1, 2) int transfer_fail_body(struct transfer *t, const struct handle *h);

/* It was slower than the request allows. */
NONNULL(1) int transfer_fail_slow(struct transfer *t);

/* The time was up while 'h' was at it. */
NONNULL(1, 2) int transfer_fail_timeout(struct transfer *t, const struct handle *h);

/* The guard denies an address. */
NONNULL(1, 2)
int transfer_fail_refused(struct transfer *t, const struct guard_refusal *refusal);

/* libcurl's verdict as ours (libcurl-errors(3)), or that of an answer without a whole head, which
 * libcurl takes for one without a body. */
NONNULL(1, 2) int transfer_fail_curl(struct transfer *t, const struct handle *h, CURLcode code);

/* What resolver_lookup() has returned and said of a host that is the origin's or, as 'whose' says
 * in front of the reason, not. */
NONNULL(1, 3, 4)
int transfer_fail_lookup(struct transfer *t, int r, const char *whose, const char *why);

/* Whether an answer is not the origin's but its proxy's, which wants another login. */
NODISCARD NONNULL(1, 2)
bool transfer_is_proxy_login(const struct transfer *t, const struct handle *h);

/* The proxy has answered with 'status' in the origin's place. */
NONNULL(1, 2) int transfer_fail_proxy(struct transfer *t, const struct handle *h, long status);

/* --- lend.c ------------------------------------------------------------------------ */

/* Finds the addresses of the hop's host: a reference, or NULL if it is an address itself.
 * Returns 0 or as fetch() does. */
NODISCARD NONNULL(1, 2) int transfer_resolve(struct transfer *t, struct addresses **ret_found);

/* Finds the addresses of the hop's host, and a handle that connects to them: an idle one, or a
 * new one.  Returns 0 or as fetch() does. */
NODISCARD NONNULL(1, 2) int transfer_lend(struct transfer *t, struct handle **ret_handle);

/* A handle goes back to the pool unless its connection is of no more use. */
NONNULL(1, 2) void transfer_give_back(struct transfer *t, struct handle *h, bool healthy);

/* --- content.c --------------------------------------------------------------------- */

/* Whether a status leads to another URL, if there is a Location (RFC 9110, section 15.4). */
bool transfer_is_redirect(long status);

/* Takes a line of a head: a CURLOPT_HEADERFUNCTION(3). */
size_t transfer_on_header(char *line, size_t size, size_t count, void *arg);

/* Takes a piece of a body: a CURLOPT_WRITEFUNCTION(3). */
size_t transfer_on_body(char *data, size_t size, size_t count, void *arg);

/* Looks at what libcurl takes for whole: an encoding must have come to its end, too.  Returns
 * 0 or as fetch() does. */
NODISCARD NONNULL(1) int transfer_finish_body(struct transfer *t);

/* --- answer.c ---------------------------------------------------------------------- */

/* Forgets what the last hop's answer was. */
NONNULL(1) void transfer_forget(struct transfer *t);

/* Copies what is known of the hop's exchange, whole or not. */
NONNULL(1, 2) void transfer_collect(struct transfer *t, struct handle *h);

#endif
