/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One libcurl transfer at a time, driven to its end by the calling thread.
 *
 * Each handle is an easy handle in a multi handle of its own (libcurl-multi(3)).  Against
 * curl_easy_perform() that gives deadlines that are exactly ours, lets another thread end the
 * wait at once, and has no wait end each second for nothing.  libcurl waits itself,
 * curl_multi_wait(3): to be told of its sockets, as by curl_multi_socket_action(3), it needs a
 * table of 29 KiB for each multi handle, to save one poll(2) of a slow answer.  The multi handle
 * also keeps the handle's live connection, so a handle is good for one origin.
 *
 * A handle belongs to one thread at a time.
 */
#ifndef PENSTOCK_FETCH_HANDLE_H
#define PENSTOCK_FETCH_HANDLE_H

#include "base/attr.h"
#include "fetch/decode.h"
#include "fetch/guard.h"
#include "fetch/resolver.h"
#include "fetch/rules.h"
#include "fetch/speed.h"
#include "fetch/target.h"
#include "job/result.h"
#include "job/url.h"

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

struct handle {
	CURL *easy;
	CURLM *multi;
	struct target target;
	struct curl_slist *pins;    /* CURLOPT_RESOLVE; must outlive the easy handle's use of it */

	/* CURLOPT_HTTPHEADER of a plain request: User-Agent and Accept-Encoding, as far as there
	 * are such.  What has options of its own, CURLOPT_USERAGENT and CURLOPT_ACCEPT_ENCODING,
	 * libcurl formats twice: 2000 and 4600 instructions more a request. */
	struct curl_slist *usual;
	struct curl_slist *headers; /* and of the current request, if it is not plain */
	char error[CURL_ERROR_SIZE];

	struct speed speed; /* of the current transfer */
	uint64_t trim_ns;   /* when it is a slow one, and the stack is trimmed; NEVER after that */
	const struct handle_limits *limits; /* the same, borrowed */

	bool is_tls;
	bool once;      /* the request must not go out again, if no answer comes on a kept connection */
	bool has_asked; /* it has gone out */
	bool in_head;   /* and the end of its answer's head has not come; kept by on_header */
	bool needs_reset; /* before the next loan: it has options of more than a plain GET, or has
	                   * repeated a request */
	bool decodes;   /* the current request says which encodings of the body it takes */
	struct response_tls tls; /* of the live connection; all zero without TLS */
	const struct ssl_st *ssl; /* of the connection that was asked last; it may have gone */
	bool has_unread; /* bytes behind the last answer were decrypted already */
	char remote_ip[RESOLVER_ADDRESS_SIZE]; /* of the live connection; "" if there is none */
	struct curl_slist *tunnel;             /* CURLOPT_CONNECT_TO; NULL without a tunnel to… */
	char tunnel_ip[RESOLVER_ADDRESS_SIZE]; /* …this address, which the proxy is asked for */
	curl_socket_t quiet_socket; /* its socket, if the server may not speak unasked: HTTP/1 */

	struct guard_refusal refusal; /* of an address, by 'rules', in the current request */

	struct fetch_rules *rules; /* that it was made by; a reference */
	const struct fetch_profile *profile; /* of its origin, in 'rules' */

	/* For the pool: the origin it is good for, and its places in two lists.  The profile goes
	 * with origin and rules, so these also tell proxies and identities apart. */
	char *origin;
	struct handle *bucket_next, *bucket_prev;
	struct handle *older, *newer;
};

struct handle_options {
	const char *user_agent;
	uint64_t connect_timeout_ns;

	/* A directory of CA certificates by hash, read as needed; NULL: libcurl's bundle.
	 * A bundle is parsed for each handle: 34 ms and 1 MB were measured. */
	const char *ca_path;

	/* Each line of a head is given to 'on_body', too, and before libcurl takes it; at
	 * handle->in_head.  Until 8.2 libcurl forgets to forget where the last header of an answer
	 * was: if the next one's begin with a continued line, it writes to freed memory, and not
	 * even curl_easy_reset(3) helps (curl's issue 11101).  So that line must not get there.  A
	 * new easy handle for each request would do, too, but costs 15000 instructions. */
	bool previews_heads;

	/* Their last argument is handle_perform()'s 'arg'. */
	curl_write_callback on_header, on_body;
};

/*
 * Creates a handle for 'origin' that keeps to 'rules', of which it gets a reference, and
 * connects to none but 'addresses' (NULL if the host is an address itself): those of the
 * origin, or of the proxy that its profile has; and to no origin that the rules deny.  Returns 0
 * or -ENOMEM.
 */
NODISCARD NONNULL(1, 2, 3, 5)
int handle_create(const struct handle_options *options, struct fetch_rules *rules,
                  const struct url_origin *origin, const struct addresses *addresses,
                  struct handle **ret_handle);

/* Has the proxy asked for a tunnel to 'address' and not to the host's name, which TLS and
 * requests keep to.  Before the first request.  Returns 0 or -ENOMEM. */
NODISCARD NONNULL(1, 2) int handle_tunnel_to(struct handle *h, const char *address);

/* Sets the options that all requests have.  Returns 0 or -ENOMEM.  For handle.c. */
NODISCARD NONNULL(1, 2)
int handle_configure(struct handle *h, const struct handle_options *options);

/* Closes the connection.  Ignores NULL, returns NULL. */
struct handle *handle_free(struct handle *h);

/* What libcurl may keep of an exchange until the next one: its URL and headers. */
enum { HANDLE_KEEPS_BYTES = 16 * 1024 };

/* Takes back every option of the last request; the connection stays.  'anew': with a new easy
 * handle, so that nothing else is kept. */
NODISCARD NONNULL(1, 2)
int handle_reset(struct handle *h, const struct handle_options *options, bool anew);

struct handle_limits {
	uint64_t deadline_ns;   /* CLOCK_MONOTONIC */
	int cancel_fd;          /* ends it once it is readable */
	uint64_t least_speed;   /* in bytes a second, within... */
	uint64_t speed_span_ns; /* ...so long; 0: any will do */
};

/*
 * Performs the request that is set up in h->easy.  Returns 0 with libcurl's verdict in
 * '*ret_code', -ETIMEDOUT at the deadline, -ECANCELED, or -ETIME if it is too slow.  An address
 * that the rules deny is CURLE_COULDNT_CONNECT, with h->refusal.
 */
NODISCARD NONNULL(1, 3, 4)
int handle_perform(struct handle *h, void *arg, const struct handle_limits *limits,
                   CURLcode *ret_code);

/* Whether the request that is being performed was cancelled. */
NODISCARD NONNULL(1) bool handle_is_cancelled(const struct handle *h);

/* Whether the idle connection is still good.  It is not if there is something to
 * read: its end, or bytes behind the last answer, which libcurl would take for the
 * next one. */
NODISCARD NONNULL(1) bool handle_is_quiet(const struct handle *h);

#endif
