/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/unix_http.h"

#include "base/log.h"
#include "cli/cli.h"

#include <curl/curl.h>
#include <errno.h>
#include <grp.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { TICK_MS = 200 };

struct unix_http {
	const char *path;
	struct unix_http_watch watch;
	CURLM *multi;
	CURL *easy; /* lent to 'multi' for the time of a request */

	const struct unix_http_request *request; /* under way; NULL: none is */
	struct curl_slist *headers;              /* its */
	struct unix_http_answer answer;
	bool has_answer;
};

/* --- the answer -------------------------------------------------------------------- */

static void read_head(struct unix_http *http)
{
	static const char ndjson[] = "application/x-ndjson";
	const char *type = NULL;
	curl_off_t retry_after_s = 0;

	http->has_answer = true;
	http->answer = (struct unix_http_answer) { 0 };
	(void) curl_easy_getinfo(http->easy, CURLINFO_RESPONSE_CODE, &http->answer.status);
	if (curl_easy_getinfo(http->easy, CURLINFO_CONTENT_TYPE, &type) == CURLE_OK && type)
		http->answer.is_ndjson = strncasecmp(type, ndjson, sizeof(ndjson) - 1) == 0;
	if (curl_easy_getinfo(http->easy, CURLINFO_RETRY_AFTER, &retry_after_s) == CURLE_OK &&
	    retry_after_s > 0)
		http->answer.retry_after_s = (uint64_t) retry_after_s;
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	struct unix_http *http = arg;
	const struct unix_http_request *request = http->request;

	if (!http->has_answer)
		read_head(http);
	bool goes_on = !request->on_body ||
	               request->on_body(request->arg, &http->answer, data, size * n);
	return goes_on ? size * n : 0;
}

/* Not every libcurl says why a UNIX socket could not be connected to. */
static int error_of(CURL *easy, const char *path, CURLcode code)
{
	long os_error = 0;

	switch ((int) code) {
	case CURLE_OK:
		return 0;
	case CURLE_COULDNT_CONNECT:
		(void) curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &os_error);
		return os_error > 0 ? (int) -os_error : access(path, W_OK) < 0 ? -errno : -ECONNREFUSED;
	case CURLE_OPERATION_TIMEDOUT:
		return -ETIMEDOUT;
	case CURLE_GOT_NOTHING:
	case CURLE_PARTIAL_FILE:
	case CURLE_RECV_ERROR:
	case CURLE_SEND_ERROR:
		return -ECONNRESET;
	case CURLE_OUT_OF_MEMORY:
	case CURLE_WRITE_ERROR: /* on_body() */
		return -ENOMEM;
	default:
		return -EIO;
	}
}

/* --- requests ---------------------------------------------------------------------- */

/* Whatever a request before it has set is set anew.  One with a body has a connection of its
 * own: on one that breaks, libcurl would make the request a second time without a word. */
static bool set_request(CURL *easy, const struct unix_http_request *request, const char *url,
                        struct curl_slist *headers)
{
	return curl_easy_setopt(easy, CURLOPT_URL, url) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L) == CURLE_OK &&
	       (!request->body ||
	        (curl_easy_setopt(easy, CURLOPT_POST, 1L) == CURLE_OK &&
	         curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body) == CURLE_OK &&
	         curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
	                          (curl_off_t) request->body_len) == CURLE_OK)) &&
	       curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, request->body ? 1L : 0L) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, request->body ? 1L : 0L) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long) request->timeout_ms) == CURLE_OK;
}

/* "Expect: 100-continue" would cost a round trip. */
static struct curl_slist *make_headers(const struct unix_http_request *request)
{
	struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
	char text[128];

	if (!headers || !request->type)
		return headers;
	(void) snprintf(text, sizeof(text), "Content-Type: %s", request->type);
	struct curl_slist *more = curl_slist_append(headers, text);
	if (!more)
		curl_slist_free_all(headers);
	return more;
}

void unix_http_cancel(struct unix_http *http)
{
	if (!http->request)
		return;
	(void) curl_multi_remove_handle(http->multi, http->easy);
	curl_slist_free_all(http->headers);
	http->headers = NULL;
	http->request = NULL;
}

int unix_http_begin(struct unix_http *http, const struct unix_http_request *request)
{
	char *url = NULL;

	if (strlen(http->path) >= sizeof(((struct sockaddr_un *) NULL)->sun_path))
		return -ENAMETOOLONG;
	if (asprintf(&url, "http://localhost%s", request->target) < 0)
		return -ENOMEM;

	http->request = request;
	http->has_answer = false;
	http->headers = make_headers(request);
	bool ok = http->headers && set_request(http->easy, request, url, http->headers) &&
	          curl_multi_add_handle(http->multi, http->easy) == CURLM_OK;
	free(url);
	if (!ok)
		unix_http_cancel(http);
	return ok ? 0 : -ENOMEM;
}

int unix_http_continue(struct unix_http *http, struct unix_http_answer *ret_answer)
{
	int running = 0, left = 0, r = -EIO;

	if (curl_multi_perform(http->multi, &running) == CURLM_OK) {
		const CURLMsg *message = curl_multi_info_read(http->multi, &left);
		if (!message || message->msg != CURLMSG_DONE)
			return -EINPROGRESS;
		r = error_of(http->easy, http->path, message->data.result);
	}
	if (r == 0 && !http->has_answer)
		read_head(http);
	if (r == 0)
		*ret_answer = http->answer;
	unix_http_cancel(http);
	return r;
}

int unix_http_wait(struct unix_http *http, struct pollfd *fds, size_t n, int timeout_ms)
{
	struct curl_waitfd extra[UNIX_HTTP_MAX_FDS];

	for (size_t i = 0; i < n; i++)
		extra[i] = (struct curl_waitfd) { .fd = fds[i].fd, .events = CURL_WAIT_POLLIN };
	if (curl_multi_poll(http->multi, extra, (unsigned) n, timeout_ms, NULL) != CURLM_OK)
		return -EIO;
	for (size_t i = 0; i < n; i++)
		fds[i].revents = extra[i].revents & CURL_WAIT_POLLIN ? POLLIN : 0;
	return 0;
}

/* Waits until the request can go on.  Returns 0, -ECANCELED or -EIO. */
static int await(struct unix_http *http)
{
	struct pollfd stop = { .fd = http->watch.stop_fd };

	if (http->watch.tick)
		http->watch.tick(http->watch.arg);
	int r = unix_http_wait(http, &stop, stop.fd >= 0, TICK_MS);
	return r == 0 && stop.revents != 0 ? -ECANCELED : r;
}

int unix_http_perform(struct unix_http *http, const struct unix_http_request *request,
                      struct unix_http_answer *ret_answer)
{
	int r = unix_http_begin(http, request);

	while (r == 0 && (r = unix_http_continue(http, ret_answer)) == -EINPROGRESS)
		r = await(http);
	unix_http_cancel(http);
	return r;
}

bool unix_http_collect(void *arg, const struct unix_http_answer *head, const char *data, size_t n)
{
	struct buf *body = arg;

	(void) head;
	buf_add(body, data, n);
	return !body->failed;
}

int unix_http_ask(struct unix_http *http, const char *target, long *ret_status, struct buf *body)
{
	const struct unix_http_request request = {
		.target = target,
		.timeout_ms = UNIX_HTTP_TIMEOUT_MS,
		.on_body = unix_http_collect,
		.arg = body,
	};
	struct unix_http_answer answer;

	int r = unix_http_perform(http, &request, &answer);
	if (r == 0)
		*ret_status = answer.status;
	return r;
}

int unix_http_get(const char *path, const char *target, long *ret_status, struct buf *body)
{
	const struct unix_http_watch nothing = { .stop_fd = -1 };

	struct unix_http *http = unix_http_open(path, &nothing);
	if (!http)
		return -ENOMEM;
	int r = unix_http_ask(http, target, ret_status, body);
	unix_http_close(http);
	return r;
}

/* --- the connection ---------------------------------------------------------------- */

static bool set_options(struct unix_http *http)
{
	CURL *easy = http->easy;

	return curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, http->path) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_PROXY, "") == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_WRITEDATA, http) == CURLE_OK;
}

struct unix_http *unix_http_open(const char *path, const struct unix_http_watch *watch)
{
	struct unix_http *http = malloc(sizeof(*http));
	if (!http)
		return NULL;

	*http = (struct unix_http) {
		.path = path,
		.watch = *watch,
		.multi = curl_multi_init(),
		.easy = curl_easy_init(),
	};
	bool too_long = strlen(path) >= sizeof(((struct sockaddr_un *) NULL)->sun_path);
	if (!http->multi || !http->easy || (!too_long && !set_options(http)))
		return unix_http_close(http);
	return http;
}

struct unix_http *unix_http_close(struct unix_http *http)
{
	if (http) {
		unix_http_cancel(http);
		curl_easy_cleanup(http->easy);
		(void) curl_multi_cleanup(http->multi);
		free(http);
	}
	return NULL;
}

/* --- words ------------------------------------------------------------------------- */

static void say_no_permission(const char *path)
{
	struct stat st;
	bool may_join = stat(path, &st) == 0 && (st.st_mode & S_IWGRP);
	const struct group *group = may_join ? getgrgid(st.st_gid) : NULL;

	log_error("%s: permission denied: you may not talk to the daemon; join the socket's group%s%s, "
	          "or ask as root", path, group ? ", " : "", group ? group->gr_name : "");
}

int unix_http_log_error(const char *path, int error)
{
	switch (error) {
	case -ENOENT:
	case -ECONNREFUSED:
		log_error("%s: no daemon answers; start penstockd, or say where its socket is: "
		          "--socket PATH", path);
		return EXIT_UNAVAILABLE;
	case -EACCES:
	case -EPERM:
		say_no_permission(path);
		return EXIT_UNAVAILABLE;
	case -ETIMEDOUT:
		log_error("%s: the daemon does not answer within its time; look at its log", path);
		return EXIT_UNAVAILABLE;
	case -ECONNRESET:
		log_error("%s: the daemon broke off; if it is not stopping, look at its log", path);
		return EXIT_UNAVAILABLE;
	case -ENOMEM:
		log_error("out of memory");
		return EXIT_INTERNAL;
	default:
		log_error("%s: the daemon cannot be asked: %s", path, strerror(-error));
		return EXIT_UNAVAILABLE;
	}
}

void unix_http_add_problem(long status, const struct buf *body, struct buf *text)
{
	json_auto_t *problem = body->data ? json_loadb(body->data, body->len, 0, NULL) : NULL;
	const char *detail = json_string_value(json_object_get(problem, "detail"));

	if (detail)
		buf_add_str(text, detail);
	else
		buf_printf(text, "the daemon answers with HTTP status %ld", status);
}
