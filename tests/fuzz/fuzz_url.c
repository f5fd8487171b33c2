/* SPDX-License-Identifier: Apache-2.0 */
/* url.h: the origin of a URL is a URL of the same origin, has no user in it, and is printable. */
#include "job/url.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
	if (!holds)
		abort();
}

static void check(struct url_parser *parser, const char *url, const struct url_origin *origin)
{
	struct url_origin same;
	const char *why = NULL;
	struct buf text = { 0 }, expected = { 0 };

	buf_printf(&expected, "%s://%s:%u", origin->tls ? "https" : "http", origin->host,
	           (unsigned) origin->port);
	buf_add_char(&expected, '\0');
	require(strcmp(expected.data, origin->text) == 0);
	require(*origin->host != '\0' && origin->port != 0);
	require(strpbrk(origin->host, "@/?# \t\r\n\\") == NULL);
	for (const char *at = origin->text; *at != '\0'; at++)
		require(*at > ' ' && *at <= '~' && !(*at >= 'A' && *at <= 'Z'));

	/* 'origin' lives in the parser until its next call. */
	require(url_parse(parser, expected.data, &same, &why) == 0);
	require(strcmp(same.text, expected.data) == 0);

	/* A URL as it stands in JSON, without its quotes, asks for the same server. */
	url_add_json(&text, url);
	require(text.len >= 2 && text.data[0] == '"' && text.data[text.len - 1] == '"');
	if (!memchr(text.data, '\\', text.len)) {
		text.data[text.len - 1] = '\0';
		require(url_parse(parser, text.data + 1, &same, &why) == 0);
		require(strcmp(same.text, expected.data) == 0);
	}
	buf_done(&text);
	buf_done(&expected);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct url_parser *parser;
	struct url_origin origin;
	const char *why = NULL;
	char *url = malloc(size + 1);
	struct buf redacted = { 0 };

	require(url && (parser || url_parser_create(&parser) == 0));
	memcpy(url, data, size);
	url[size] = '\0';
	url_add_redacted(&redacted, url);
	if (url_parse(parser, url, &origin, &why) == 0)
		check(parser, url, &origin);
	else
		require(why != NULL);
	buf_done(&redacted);
	free(url);
	return 0;
}
