/* SPDX-License-Identifier: Apache-2.0 */
/* URLs as they stand in messages, records and JSON. */
#include "job/url.h"

#include <curl/curl.h>
#include <string.h>

/* --- without secrets --------------------------------------------------------------- */

enum { SHOWN = 200 };
static const char hidden[] = "***";

/* 'absent' is what libcurl says if it is not there; without memory to tell, it is. */
static bool has_part(CURLU *parts, CURLUPart part, CURLUcode absent)
{
	char *text = NULL;
	bool has = curl_url_get(parts, part, &text, 0) != absent;

	curl_free(text);
	return has;
}

static bool has_user(CURLU *parts)
{
	return has_part(parts, CURLUPART_USER, CURLUE_NO_USER) ||
	       has_part(parts, CURLUPART_PASSWORD, CURLUE_NO_PASSWORD);
}

/* Hides the user and the password, and what follows the path.  Tokens are given as users, too. */
static CURLUcode hide(CURLU *parts, bool with_query)
{
	CURLUcode c = CURLUE_OK;

	if (has_user(parts)) {
		c = curl_url_set(parts, CURLUPART_PASSWORD, NULL, 0);
		c = c ? c : curl_url_set(parts, CURLUPART_USER, hidden, 0);
	}
	if (c == CURLUE_OK && !with_query && has_part(parts, CURLUPART_QUERY, CURLUE_NO_QUERY))
		c = curl_url_set(parts, CURLUPART_QUERY, hidden, 0);
	if (c == CURLUE_OK && !with_query)
		c = curl_url_set(parts, CURLUPART_FRAGMENT, NULL, 0);
	return c;
}

/* For curl_url_cleanup(); NULL if it is no URL. */
static CURLU *parse(const char *url)
{
	CURLU *parts = curl_url();

	if (parts && curl_url_set(parts, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) != CURLUE_OK) {
		curl_url_cleanup(parts);
		parts = NULL;
	}
	return parts;
}

/* Appends the beginning of a URL without its secrets; returns whether that could be done. */
static bool add_hidden(struct buf *b, CURLU *parts, bool with_query, size_t max)
{
	char *text = NULL;

	if (parts && hide(parts, with_query) == CURLUE_OK)
		(void) curl_url_get(parts, CURLUPART_URL, &text, 0);
	if (!text)
		return false;
	buf_add(b, text, strnlen(text, max));
	curl_free(text);
	return true;
}

/* The length of "http://", however many slashes of either kind there are; else 0. */
static size_t scheme_length(const char *text)
{
	size_t n = strncasecmp(text, "https:", 6) == 0 ? 6 : strncasecmp(text, "http:", 5) == 0 ? 5 : 0;

	return n > 0 ? n + strspn(text + n, "/\\") : 0;
}

/* What is no URL may be nearly one: all before its last '@' may be a password, also if that
 * has characters that would end it. */
static void add_no_url(struct buf *b, const char *text)
{
	size_t end = strcspn(text, "?#");
	const char *at = strrchr(text, '@');

	if (at) {
		buf_add(b, text, scheme_length(text));
		buf_add_str(b, hidden);
		if (at > text + end)
			return;
		end -= (size_t) (at - text);
		text = at;
	}
	buf_add(b, text, end < SHOWN ? end : SHOWN);
	if (text[end] != '\0')
		buf_printf(b, "%c%s", text[end], hidden);
}

void url_add_redacted(struct buf *b, const char *url, bool with_query)
{
	CURLU *parts = parse(url);

	if (!add_hidden(b, parts, with_query, SHOWN))
		add_no_url(b, url);
	curl_url_cleanup(parts);
}

/* --- as JSON ----------------------------------------------------------------------- */

/* The same of a whole URL, as it was given if it has no user. */
static void add_without_user(struct buf *b, const char *url)
{
	CURLU *parts = parse(url);

	if (parts && !has_user(parts))
		buf_add_str(b, url);
	else if (!add_hidden(b, parts, true, SIZE_MAX))
		add_no_url(b, url);
	curl_url_cleanup(parts);
}

void url_add_json_redacted(struct buf *b, const char *url, size_t n)
{
	struct buf copy = { 0 }, shown = { 0 };

	if (!memchr(url, '@', n)) {
		buf_add_json(b, url, n);
		return;
	}
	buf_add(&copy, url, n);
	buf_add_char(&copy, '\0');
	if (!copy.failed)
		add_without_user(&shown, copy.data);
	buf_add_json(b, shown.data, shown.len);
	b->failed = b->failed || copy.failed || shown.failed;
	buf_done(&copy);
	buf_done(&shown);
}

/* The length of the character that 'text' begins with; 0 for a byte that is not UTF-8. */
static size_t character_length(const char *text, size_t n)
{
	return (unsigned char) *text < 0x80 ? 1 : buf_utf8_length(text, n);
}

/* RFC 3986, section 2.1, for the bytes that are not UTF-8. */
static void percent_encode(struct buf *b, const char *text, size_t n)
{
	while (n > 0) {
		size_t len = character_length(text, n);
		if (len > 0) {
			buf_add(b, text, len);
		} else {
			buf_printf(b, "%%%02X", (unsigned char) *text);
			len = 1;
		}
		text += len;
		n -= len;
	}
}

void url_add_json(struct buf *b, const char *url)
{
	size_t n = strlen(url);
	struct buf encoded = { 0 };

	if (buf_is_utf8(url, n)) {
		buf_add_json(b, url, n);
		return;
	}
	percent_encode(&encoded, url, n);
	buf_add_json(b, encoded.data, encoded.len);
	b->failed = b->failed || encoded.failed;
	buf_done(&encoded);
}
