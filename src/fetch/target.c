/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/target.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool ends_with(const char *text, size_t n, const char *end)
{
	size_t len = strlen(end);

	return n > len && memcmp(text + n - len, end, len) == 0;
}

/* The length of an origin without a port that goes without saying. */
static size_t prefix_length(const char *origin)
{
	size_t n = strlen(origin);

	if (strncmp(origin, "http:", 5) == 0 && ends_with(origin, n, ":80"))
		return n - strlen(":80");
	if (strncmp(origin, "https:", 6) == 0 && ends_with(origin, n, ":443"))
		return n - strlen(":443");
	return n;
}

int target_init(struct target *t, const char *origin)
{
	*t = (struct target) {
		.prefix = strndup(origin, prefix_length(origin)),
		.parts = curl_url(),
	};
	if (t->prefix && t->parts &&
	    curl_url_set(t->parts, CURLUPART_URL, t->prefix, 0) == CURLUE_OK)
		return 0;
	target_done(t);
	return -ENOMEM; /* an origin is a URL */
}

void target_done(struct target *t)
{
	free(t->prefix);
	curl_url_cleanup(t->parts);
	*t = (struct target) { 0 };
}

void target_forget(struct target *t)
{
	(void) curl_url_set(t->parts, CURLUPART_PATH, NULL, 0); /* which cannot fail */
}

/* --- which URLs -------------------------------------------------------------------- */

/* Spaces and what is no ASCII libcurl may refuse or encode, of what is encoded it may change the
 * case, and a fragment it is not told. */
static bool is_left_alone(char c)
{
	return c > ' ' && c < 0x7f && c != '%' && c != '#';
}

/* Paths that go up, or stay, with dots are written otherwise (RFC 3986, section 5.2.4), and an
 * empty query is left out. */
bool target_is_canonical(const struct target *t, const char *url)
{
	size_t n = strlen(t->prefix);
	const char *at = url + n;

	if (strncmp(url, t->prefix, n) != 0 || *at != '/')
		return false;
	for (; is_left_alone(*at); at++)
		if ((at[0] == '/' && at[1] == '.') || (at[0] == '?' && at[1] == '\0'))
			return false;
	return *at == '\0';
}

/* --- telling libcurl --------------------------------------------------------------- */

#define SET(option, value) (c = c ? c : curl_easy_setopt(easy, option, value))

/* Without its fragment, behind which libcurl 7.88 puts a redirect to "?query". */
static CURLcode set_whole(CURL *easy, const char *url)
{
	char *text = NULL;
	CURLcode c = curl_easy_setopt(easy, CURLOPT_CURLU, NULL);

	if (!strchr(url, '#'))
		return SET(CURLOPT_URL, url);
	CURLU *parts = curl_url();
	if (!parts || curl_url_set(parts, CURLUPART_URL, url, 0) != CURLUE_OK ||
	    curl_url_set(parts, CURLUPART_FRAGMENT, NULL, 0) != CURLUE_OK ||
	    curl_url_get(parts, CURLUPART_URL, &text, 0) != CURLUE_OK)
		c = CURLE_OUT_OF_MEMORY;
	SET(CURLOPT_URL, text);
	curl_free(text);
	curl_url_cleanup(parts);
	return c;
}

CURLcode target_set(struct target *t, CURL *easy, const char *url)
{
	CURLcode c = CURLE_OK;

	if (!target_is_canonical(t, url))
		return set_whole(easy, url);
	/* With the query, which would be put there with printf() one byte after the other. */
	if (curl_url_set(t->parts, CURLUPART_PATH, url + strlen(t->prefix), 0) != CURLUE_OK)
		return CURLE_OUT_OF_MEMORY;
	SET(CURLOPT_URL, url); /* or libcurl would put it together of the parts */
	SET(CURLOPT_CURLU, t->parts);
	return c;
}
