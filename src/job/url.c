/* SPDX-License-Identifier: Apache-2.0 */
#include "job/url.h"

#include "base/buf.h"
#include "job/url_known.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct url_parser {
	struct buf text; /* the origin's strings: "https://host:port\0host\0" */
	bool is_used; /* it has found an origin: a redirect's parser finds one only */
	struct url_known_table known;
};

int url_parser_create(struct url_parser **ret_parser)
{
	struct url_parser *p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;

	*ret_parser = p;
	return 0;
}

struct url_parser *url_parser_free(struct url_parser *p)
{
	if (p) {
		buf_done(&p->text);
		url_known_done(&p->known);
		free(p);
	}
	return NULL;
}

static void curl_url_cleanupp(CURLU **url)
{
	curl_url_cleanup(*url);
}

static int fail(CURLUcode code, const char **ret_why)
{
	*ret_why = curl_url_strerror(code);
	return code == CURLUE_OUT_OF_MEMORY ? -ENOMEM : -EINVAL;
}

/* A port from libcurl, which has checked that it is one. */
static int read_port(const char *text, uint16_t *ret_port, const char **ret_why)
{
	unsigned long port = strtoul(text, NULL, 10);
	if (port < 1 || port > UINT16_MAX) {
		*ret_why = "the port must be 1 to 65535";
		return -EINVAL;
	}
	*ret_port = (uint16_t) port;
	return 0;
}

/* The parts of a URL that make its origin; owned. */
struct parts {
	char *scheme;
	char *host;
	char *port;
};

static void parts_done(struct parts *parts)
{
	curl_free(parts->scheme);
	curl_free(parts->host);
	curl_free(parts->port);
}

static int read_host_and_port(CURLU *parsed, struct parts *parts, const char **ret_why)
{
	CURLUcode c = curl_url_get(parsed, CURLUPART_HOST, &parts->host, CURLU_PUNYCODE);
	if (c == CURLUE_OUT_OF_MEMORY) {
		/* libcurl 7.88 says so of every host that libidn2 refuses, too. */
		*ret_why = "the host is no international domain name";
		return -EINVAL;
	}
	if (c == CURLUE_OK && strlen(parts->host) > URL_MAX_HOST_BYTES) {
		*ret_why = "the host name is longer than 255 characters";
		return -EINVAL;
	}
	if (c == CURLUE_OK)
		c = curl_url_get(parsed, CURLUPART_PORT, &parts->port, CURLU_DEFAULT_PORT);
	return c == CURLUE_OK ? 0 : fail(c, ret_why);
}

static int read_parts(const char *url, struct parts *parts, const char **ret_why)
{
	/* A CURLU that holds a URL already would read the next as relative to it: a
	 * fresh one for each. */
	CURLU *parsed CLEANUP(curl_url_cleanupp) = curl_url();
	if (!parsed)
		return fail(CURLUE_OUT_OF_MEMORY, ret_why);

	/* Schemes that libcurl was built without are to be named as such, too. */
	CURLUcode c = curl_url_set(parsed, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME);
	if (c == CURLUE_BAD_SCHEME || c == CURLUE_NO_HOST || c == CURLUE_MALFORMED_INPUT) {
		*ret_why = "not an absolute http or https URL";
		return -EINVAL;
	}
	if (c == CURLUE_OK)
		c = curl_url_get(parsed, CURLUPART_SCHEME, &parts->scheme, 0);
	if (c != CURLUE_OK)
		return fail(c, ret_why);
	if (strcmp(parts->scheme, "https") != 0 && strcmp(parts->scheme, "http") != 0) {
		*ret_why = "only http and https are fetched";
		return -EPROTONOSUPPORT;
	}
	return read_host_and_port(parsed, parts, ret_why);
}

static int make_origin(struct url_parser *p, const struct parts *parts,
                       struct url_origin *ret_origin, const char **ret_why)
{
	struct url_origin origin = { .tls = strcmp(parts->scheme, "https") == 0 };

	int r = read_port(parts->port, &origin.port, ret_why);
	if (r < 0)
		return r;

	buf_clear(&p->text);
	buf_add_str(&p->text, parts->scheme);
	buf_add_str(&p->text, "://");
	buf_add_lower(&p->text, parts->host);
	buf_add_char(&p->text, ':');
	buf_add_u64(&p->text, origin.port);
	buf_add_char(&p->text, '\0');
	size_t host_at = p->text.len;
	buf_add_lower(&p->text, parts->host);
	buf_add_char(&p->text, '\0');
	if (p->text.failed)
		return fail(CURLUE_OUT_OF_MEMORY, ret_why);

	origin.text = p->text.data;
	origin.host = p->text.data + host_at;
	*ret_origin = origin;
	return 0;
}

int url_parse(struct url_parser *p, const char *url, struct url_origin *ret_origin,
              const char **ret_why)
{
	const struct url_origin *known = url_known_find(&p->known, url);
	struct parts parts = { 0 };
	struct url_origin origin = { 0 };

	if (known) {
		*ret_origin = *known;
		return 0;
	}
	int r = read_parts(url, &parts, ret_why);
	if (r == 0)
		r = make_origin(p, &parts, &origin, ret_why);
	if (r == 0) {
		*ret_origin = origin;
		if (p->is_used)
			url_known_add(&p->known, url, &origin);
		p->is_used = true;
	}
	parts_done(&parts);
	return r;
}

/* --- redirects --------------------------------------------------------------------- */

/* Gives 'to' this part of 'from', as it stands there, unless it has one. */
static CURLUcode inherit(CURLU *to, CURLU *from, CURLUPart part, CURLUcode absent)
{
	char *own = NULL, *theirs = NULL;

	CURLUcode c = curl_url_get(to, part, &own, 0);
	if (c == absent) {
		c = curl_url_get(from, part, &theirs, 0);
		c = c == absent ? CURLUE_OK : c == CURLUE_OK ? curl_url_set(to, part, theirs, 0) : c;
	}
	curl_free(own);
	curl_free(theirs);
	return c;
}

static bool has_user(CURLU *parts)
{
	char *user = NULL;
	bool has = curl_url_get(parts, CURLUPART_USER, &user, 0) == CURLUE_OK;

	curl_free(user);
	return has;
}

void url_inherit(struct buf *url, const char *from, bool same_origin)
{
	CURLU *old CLEANUP(curl_url_cleanupp) = NULL, *new CLEANUP(curl_url_cleanupp) = NULL;
	char *text = NULL;

	if (!strpbrk(from, "#@"))
		return; /* as nearly always: there is nothing to inherit */
	old = curl_url();
	new = curl_url();
	CURLUcode c = old && new ? CURLUE_OK : CURLUE_OUT_OF_MEMORY;
	c = c ? c : curl_url_set(old, CURLUPART_URL, from, 0);
	c = c ? c : curl_url_set(new, CURLUPART_URL, url->data, 0);
	c = c ? c : inherit(new, old, CURLUPART_FRAGMENT, CURLUE_NO_FRAGMENT);
	if (c == CURLUE_OK && same_origin && !has_user(new)) {
		c = inherit(new, old, CURLUPART_USER, CURLUE_NO_USER);
		c = c ? c : inherit(new, old, CURLUPART_PASSWORD, CURLUE_NO_PASSWORD);
	}
	c = c ? c : curl_url_get(new, CURLUPART_URL, &text, 0);
	if (c == CURLUE_OK) {
		buf_clear(url);
		buf_add(url, text, strlen(text) + 1);
	}
	curl_free(text);
	url->failed = url->failed || c != CURLUE_OK; /* both were parsed before */
}
