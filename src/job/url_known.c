/* SPDX-License-Identifier: Apache-2.0 */
#include "job/url_known.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct url_known {
	struct url_origin origin;
	size_t begin_len;
	char text[]; /* the beginning, then the strings of 'origin' */
};

_Static_assert(sizeof(struct url_known) + 2 * sizeof(void *) <= URL_KNOWN_STRUCT_BYTES,
               "URL_KNOWN_BYTES has room for it");

/* How a URL begins: "https://host:port". */
struct begin {
	size_t len; /* 0: it is in another form, or has a user */
	size_t slot;
};

/* The authority ends where libcurl has it end (RFC 3986, section 3.2).  With more or fewer slashes
 * before it, it is left to libcurl. */
static struct begin begin_of(const char *url)
{
	size_t scheme = strncasecmp(url, "http://", 7) == 0    ? 7
	                : strncasecmp(url, "https://", 8) == 0 ? 8
	                                                       : 0;
	const unsigned char *p = (const unsigned char *) url + scheme;
	uint32_t hash = (uint32_t) scheme;

	for (; *p != '\0' && *p != '/' && *p != '?' && *p != '#'; p++) {
		if (*p == '@')
			return (struct begin) { 0 };
		hash = (hash ^ *p) * 0x9e3779b1U;
	}
	size_t len = (size_t) ((const char *) p - url);
	return (struct begin) { scheme > 0 && len > scheme ? len : 0, (hash >> 16) % URL_KNOWN_MAX };
}

static bool is_printable(const char *text)
{
	while (*text > ' ' && *text <= '~')
		text++;
	return *text == '\0';
}

const struct url_origin *url_known_find(const struct url_known_table *t, const char *url)
{
	if (!t->slots)
		return NULL;
	struct begin begin = begin_of(url);
	const struct url_known *k = t->slots[begin.slot];

	return begin.len > 0 && k && k->begin_len == begin.len &&
	                       memcmp(k->text, url, begin.len) == 0 && is_printable(url + begin.len)
	               ? &k->origin
	               : NULL;
}

void url_known_add(struct url_known_table *t, const char *url, const struct url_origin *origin)
{
	struct begin begin = begin_of(url);
	size_t text_size = strlen(origin->text) + 1, host_size = strlen(origin->host) + 1;

	if (begin.len == 0 || begin.len > URL_KNOWN_MAX_BEGIN)
		return;
	if (!t->slots)
		t->slots = calloc(URL_KNOWN_MAX, sizeof(*t->slots));
	struct url_known *k = t->slots ? malloc(sizeof(*k) + begin.len + text_size + host_size) : NULL;
	if (!k)
		return;

	char *text = k->text + begin.len, *host = text + text_size;
	memcpy(k->text, url, begin.len);
	memcpy(text, origin->text, text_size);
	memcpy(host, origin->host, host_size);
	k->begin_len = begin.len;
	k->origin = *origin;
	k->origin.text = text;
	k->origin.host = host;
	free(t->slots[begin.slot]);
	t->slots[begin.slot] = k;
}

void url_known_done(struct url_known_table *t)
{
	for (size_t i = 0; t->slots && i < URL_KNOWN_MAX; i++)
		free(t->slots[i]);
	free(t->slots);
	t->slots = NULL;
}
