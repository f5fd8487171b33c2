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

/* Whether the job says one of these itself. */
static bool says_one_of(const struct hop *hop, const char *const *names, size_t n)
{
	for (const char *at = hop->headers; at && *at != '\0'; at += strlen(at) + 1)
		if (is_one_of(at, names, n))
			return true;
	return false;
}

/* A request that has one of these deals with encodings itself; a range of an encoded body can
 * not be decoded (as in the Fetch standard, section 4.6). */
static bool has_coding_of_its_own(const struct hop *hop)
{
	static const char *const names[] = { "Accept-Encoding", "Range" };

	return says_one_of(hop, names, ARRAY_LEN(names));
}

/* Whether the request has this one of the two usual headers. */
static bool has_usual(const struct hop *hop, const struct handle *h, const char *usual)
{
	static const char *const names[] = { "User-Agent" };

	return is_one_of(usual, names, 1) ? !says_one_of(hop, names, 1) : h->decodes;
}

static bool is_left_out(const struct hop *hop, const char *header)
{
	static const char *const content[] = { "Content-Type", "Content-Encoding",
		                               "Content-Language", "Content-Location" };
	static const char *const secret[] = { "Authorization", "Cookie", "Proxy-Authorization" };

	return (hop->without_content && is_one_of(header, content, ARRAY_LEN(content))) ||
	       (hop->without_secrets && is_one_of(header, secret, ARRAY_LEN(secret)));
}

static int add_header(struct handle *h, const char *line)
{
	struct curl_slist *grown = curl_slist_append(h->headers, line);

	if (!grown)
		return -ENOMEM;
	h->headers = grown;
	return 0;
}

static int add_headers(const struct hop *hop, struct handle *h)
{
	int r = 0;

	for (const struct curl_slist *u = h->usual; r == 0 && u; u = u->next)
		if (has_usual(hop, h, u->data))
			r = add_header(h, u->data);
	for (const char *at = hop->headers; r == 0 && at && *at != '\0'; at += strlen(at) + 1)
		if (!is_left_out(hop, at))
			r = add_header(h, at);
	return r;
}

static bool has_content_type(const struct hop *hop)
{
	static const char *const names[] = { "Content-Type" };

	for (const char *at = hop->headers; at && *at != '\0'; at += strlen(at) + 1)
		if (is_one_of(at, names, 1) && !is_left_out(hop, at))
			return true;
	return false;
}

/* Whether the request has content, if only of no length (RFC 9110, section 8.6). */
static bool has_content(const struct hop *hop)
{
	return hop->body || hop->upload || strcmp(hop->method, "POST") == 0 ||
	       strcmp(hop->method, "PUT") == 0 || strcmp(hop->method, "PATCH") == 0;
}

/* libcurl would take what it posts for a form, and would ask whether it may send much, which
 * costs a second with a server that does not answer that. */
static int add_silence(const struct hop *hop, struct handle *h)
{
	if (!has_content(hop))
		return 0;
	if (!has_content_type(hop) && add_header(h, "Content-Type:") < 0)
		return -ENOMEM;
	return add_header(h, "Expect:");
}

/* --- setting up -------------------------------------------------------------------- */

static bool is_plain(const struct hop *hop)
{
	return !hop->headers && !hop->body && !hop->upload && strcmp(hop->method, "GET") == 0;
}

#define SET(option, value) (c = c ? c : curl_easy_setopt(h->easy, option, value))
static CURLcode set_upload(struct upload *upload, struct handle *h)
{
	CURLcode c = CURLE_OK;

	upload->at = 0;
	SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) upload->bytes);
	SET(CURLOPT_POST, 1L);
	SET(CURLOPT_READFUNCTION, upload_read);
	SET(CURLOPT_READDATA, upload);
	SET(CURLOPT_SEEKFUNCTION, upload_seek);
	SET(CURLOPT_SEEKDATA, upload);
	return c;
}

/* Sets what a plain GET does not have; the handle is reset before its next loan. */
static CURLcode modify(const struct hop *hop, struct handle *h)
{
	CURLcode c = CURLE_OK;

	h->needs_reset = true;
	SET(CURLOPT_HTTPHEADER, h->headers);
	if (hop->upload && hop->upload->bytes > 0) {
		c = c ? c : set_upload(hop->upload, h);
		SET(CURLOPT_CUSTOMREQUEST, hop->method);
	} else if (has_content(hop)) {
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) hop->body_bytes);
		SET(CURLOPT_POSTFIELDS, hop->body ? hop->body : "");
		SET(CURLOPT_CUSTOMREQUEST, hop->method);
	} else if (strcmp(hop->method, "HEAD") == 0) {
		SET(CURLOPT_NOBODY, 1L);
	} else if (strcmp(hop->method, "GET") != 0) {
		SET(CURLOPT_CUSTOMREQUEST, hop->method);
	}
	return c;
}

/* Takes back what the origin is logged in with; the handle is reset before its next loan. */
static CURLcode withhold_login(struct handle *h)
{
	CURLcode c = CURLE_OK;

	h->needs_reset = true;
	SET(CURLOPT_USERPWD, NULL);
	SET(CURLOPT_XOAUTH2_BEARER, NULL);
	SET(CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
#undef SET
	return c;
}

int hop_prepare(const struct hop *hop, struct handle *h)
{
	if (target_set(&h->target, h->easy, hop->url) != CURLE_OK)
		return -ENOMEM;
	h->decodes = fetch_rules_accept(h->rules) && !has_coding_of_its_own(hop);
	if (hop->without_secrets && (h->profile->login || h->profile->bearer) &&
	    withhold_login(h) != CURLE_OK)
		return -ENOMEM;
	if (is_plain(hop))
		return 0;
	if (add_headers(hop, h) < 0 || add_silence(hop, h) < 0 || modify(hop, h) != CURLE_OK)
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
	hop->upload = NULL;
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
