/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/hop.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

/* --- headers ----------------------------------------------------------------------- */

static bool is_one_of(const char *header, const char *const *names, size_t n)
{
	size_t len = strcspn(header, ":;");

	for (size_t i = 0; i < n; i++)
		if (strlen(names[i]) == len && strncasecmp(header, names[i], len) == 0)
			return true;
	return false;
}

static bool is_left_out(const struct hop *hop, const char *header)
{
	static const char *const content[] = { "Content-Type", "Content-Encoding",
		                               "Content-Language", "Content-Location" };
	static const char *const secret[] = { "Authorization", "Cookie", "Proxy-Authorization" };

	return (hop->without_content && is_one_of(header, content, ARRAY_LEN(content))) ||
	       (hop->without_secrets && is_one_of(header, secret, ARRAY_LEN(secret)));
}

static int add_headers(const struct hop *hop, struct handle *h)
{
	for (const char *at = hop->headers; at && *at != '\0'; at += strlen(at) + 1) {
		if (is_left_out(hop, at))
			continue;
		struct curl_slist *grown = curl_slist_append(h->headers, at);
		if (!grown)
			return -ENOMEM;
		h->headers = grown;
	}
	return 0;
}

/* --- setting up -------------------------------------------------------------------- */

static bool takes_content(const char *method)
{
	return strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 ||
	       strcmp(method, "PATCH") == 0;
}

static bool is_plain(const struct hop *hop)
{
	return !hop->headers && !hop->body && strcmp(hop->method, "GET") == 0;
}

/* Sets what a plain GET does not have; the handle is reset before its next loan. */
static CURLcode modify(const struct hop *hop, struct handle *h)
{
	CURLcode c = CURLE_OK;

	h->modified = true;
#define SET(option, value) (c = c ? c : curl_easy_setopt(h->easy, option, value))
	if (h->headers)
		SET(CURLOPT_HTTPHEADER, h->headers);
	if (hop->body || takes_content(hop->method)) {
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) hop->body_bytes);
		SET(CURLOPT_POSTFIELDS, hop->body ? hop->body : "");
		SET(CURLOPT_CUSTOMREQUEST, hop->method);
	} else if (strcmp(hop->method, "HEAD") == 0) {
		SET(CURLOPT_NOBODY, 1L);
	} else if (strcmp(hop->method, "GET") != 0) {
		SET(CURLOPT_CUSTOMREQUEST, hop->method);
	}
#undef SET
	return c;
}

/* Takes back what the origin is logged in with; the handle is reset before its next loan. */
static CURLcode withhold_login(struct handle *h)
{
	CURLcode c = CURLE_OK;

	h->modified = true;
#define SET(option, value) (c = c ? c : curl_easy_setopt(h->easy, option, value))
	SET(CURLOPT_USERPWD, NULL);
	SET(CURLOPT_XOAUTH2_BEARER, NULL);
	SET(CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
#undef SET
	return c;
}

int hop_prepare(const struct hop *hop, struct handle *h)
{
	if (curl_easy_setopt(h->easy, CURLOPT_URL, hop->url) != CURLE_OK)
		return -ENOMEM;
	if (hop->without_secrets && (h->profile->login || h->profile->bearer) &&
	    withhold_login(h) != CURLE_OK)
		return -ENOMEM;
	if (is_plain(hop))
		return 0;
	if (add_headers(hop, h) < 0 || modify(hop, h) != CURLE_OK)
		return -ENOMEM;
	return 0;
}

/* --- redirects --------------------------------------------------------------------- */

static bool becomes_get(const struct hop *hop, long status)
{
	if (status == 303)
		return strcmp(hop->method, "HEAD") != 0 && strcmp(hop->method, "GET") != 0;
	return (status == 301 || status == 302) && strcmp(hop->method, "POST") == 0;
}

static void become_get(struct hop *hop)
{
	hop->method = "GET";
	hop->body = NULL;
	hop->body_bytes = 0;
	hop->without_content = true;
}

void hop_redirect(struct hop *hop, long status, const char *url, const struct url_origin *origin)
{
	if (becomes_get(hop, status))
		become_get(hop);
	/* Once credentials were left out they stay out, also on the way back. */
	if (strcmp(hop->origin.text, origin->text) != 0)
		hop->without_secrets = true;
	hop->url = url;
	hop->origin = *origin;
}

void hop_resume(struct hop *hop, const struct job_hop *from)
{
	if (from->becomes_get)
		become_get(hop);
	hop->without_secrets = from->without_secrets;
	hop->url = from->url;
	hop->origin = from->origin;
}
