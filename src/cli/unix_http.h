/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to a daemon's control socket, for the commands that talk to it. */
#ifndef PENSTOCK_CLI_UNIX_HTTP_H
#define PENSTOCK_CLI_UNIX_HTTP_H

#include "base/attr.h"
#include "base/buf.h"

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { UNIX_HTTP_TIMEOUT_MS = 10000 };

/* A connection that is kept from one request to the next.  Belongs to one thread. */
struct unix_http;

/* What may happen during a request; zero is nothing. */
struct unix_http_watch {
	int stop_fd;               /* a request ends once this is readable; -1 for none */
	void (*tick)(void *arg);   /* called while it lasts, some times a second */
	void *arg;
};

/* The head of an answer. */
struct unix_http_answer {
	long status;
	bool is_ndjson;        /* its type is application/x-ndjson */
	uint64_t retry_after_s; /* 0 without */
};

struct unix_http_request {
	const char *method; /* NULL: GET */
	const char *target; /* "/v1/status" */
	const char *type;   /* of the body */
	const char *body;   /* NULL without; borrowed for the call */
	size_t body_len;
	unsigned timeout_ms; /* 0: it may take as long as it likes */

	/* Takes the answer's body piece by piece; false ends the request with -ENOMEM. */
	bool (*on_body)(void *arg, const struct unix_http_answer *head, const char *data, size_t n);
	void *arg;
};

/* For on_body: appends all of it to the struct buf 'arg'. */
bool unix_http_collect(void *arg, const struct unix_http_answer *head, const char *data, size_t n);

/*
 * Prepares requests over the UNIX socket 'path', without connecting.  Both are
 * borrowed.  curl_global_init() must have been called.  Returns NULL if memory is out.
 */
NODISCARD NONNULL(1, 2)
struct unix_http *unix_http_open(const char *path, const struct unix_http_watch *watch);

/* Ignores NULL, returns NULL. */
struct unix_http *unix_http_close(struct unix_http *http);

/*
 * Makes a request.  A connection that the daemon has closed since is replaced.
 *
 * Returns 0 with the answer's head; or -ENOENT, -ECONNREFUSED (no daemon there),
 * -EACCES, -ENAMETOOLONG, -ETIMEDOUT, -ECONNRESET (it broke off, maybe after part of the
 * answer), -ECANCELED (stop_fd), -ENOMEM, -EIO, or what else connect(2) says.
 */
NODISCARD NONNULL(1, 2, 3)
int unix_http_perform(struct unix_http *http, const struct unix_http_request *request,
                      struct unix_http_answer *ret_answer);

/*
 * The same in steps, for a loop that waits for other things, too.  begin() returns 0,
 * -ENAMETOOLONG or -ENOMEM; the request is borrowed until it is over, and none may be under
 * way.  continue() goes on as far as it can without waiting, and returns -EINPROGRESS, or, once
 * it is over, what unix_http_perform() does.  cancel() ends it, if there is one.
 */
NODISCARD NONNULL(1, 2)
int unix_http_begin(struct unix_http *http, const struct unix_http_request *request);
NODISCARD NONNULL(1, 2)
int unix_http_continue(struct unix_http *http, struct unix_http_answer *ret_answer);
NONNULL(1) void unix_http_cancel(struct unix_http *http);

/* Waits until the request can go on, one of the 'n' descriptors is readable (which is all that
 * is told of them), or the time is up.  Returns 0 or -EIO. */
enum { UNIX_HTTP_MAX_FDS = 4 };
NODISCARD NONNULL(1, 2)
int unix_http_wait(struct unix_http *http, struct pollfd *fds, size_t n, int timeout_ms);

/* unix_http_perform() for a request without a body that is answered within UNIX_HTTP_TIMEOUT_MS:
 * appends the answer's body to 'body', and stores its status. */
NODISCARD NONNULL(1, 2, 3, 4)
int unix_http_ask(struct unix_http *http, const char *target, long *ret_status,
                  struct buf *body);

/* The same on a connection of its own. */
NODISCARD NONNULL(1, 2, 3, 4)
int unix_http_get(const char *path, const char *target, long *ret_status, struct buf *body);

/* Logs what an error of these means for a person, and returns the exit code that goes
 * with it: EXIT_UNAVAILABLE or EXIT_INTERNAL. */
NONNULL(1) int unix_http_log_error(const char *path, int error);

/* Appends what an answer that is an error says: the "detail" of its problem (RFC 9457), or its
 * status alone. */
NONNULL(2, 3) void unix_http_add_problem(long status, const struct buf *body, struct buf *text);

#endif
