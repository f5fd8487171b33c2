/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/unix_http.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	struct buf *body = arg;

	buf_add(body, data, size * n);
	return body->failed ? 0 : size * n;
}

static bool set_options(CURL *curl, const char *path, const char *url, struct buf *body)
{
	return curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, path) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_URL, url) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_PROXY, "") == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long) UNIX_HTTP_TIMEOUT_MS) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_WRITEDATA, body) == CURLE_OK;
}

static int error_of(CURL *curl, CURLcode code)
{
	long os_error = 0;

	switch ((int) code) {
	case CURLE_OK:
		return 0;
	case CURLE_COULDNT_CONNECT:
		(void) curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &os_error);
		return os_error > 0 ? (int) -os_error : -ECONNREFUSED;
	case CURLE_OPERATION_TIMEDOUT:
		return -ETIMEDOUT;
	case CURLE_GOT_NOTHING:
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

int unix_http_get(const char *path, const char *target, long *ret_status, struct buf *body)
{
	char *url = NULL;

	if (strlen(path) >= sizeof(((struct sockaddr_un *) NULL)->sun_path))
		return -ENAMETOOLONG;
	if (asprintf(&url, "http://localhost%s", target) < 0)
		return -ENOMEM;

	CURL *curl = curl_easy_init();
	int r = -ENOMEM;
	if (curl && set_options(curl, path, url, body))
		r = error_of(curl, curl_easy_perform(curl));
	if (r == 0)
		(void) curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, ret_status);
	curl_easy_cleanup(curl);
	free(url);
	return r;
}
