/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/upload.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* No receipt comes near this. */
enum { MAX_RECEIPT_BYTES = 1024 * 1024 };

void upload_done(struct upload *u)
{
	buf_done(&u->text);
	buf_done(&u->rest);
	free(u->lines);
	*u = (struct upload) { 0 };
}

bool upload_is_full(const struct upload *u, size_t max_lines)
{
	return u->n >= max_lines || u->text.len >= UPLOAD_MAX_BYTES;
}

/* --- lines ------------------------------------------------------------------------- */

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

static int reserve(struct upload *u)
{
	size_t size = u->size > 0 ? u->size * 2 : 512;

	if (u->n < u->size)
		return 0;
	struct upload_line *grown = realloc(u->lines, size * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	u->lines = grown;
	u->size = size;
	return 0;
}

static void add_id_member(struct buf *b, const char *prefix, uint64_t serial)
{
	struct buf id = { 0 };

	buf_printf(&id, "%s-%llu", prefix, (unsigned long long) serial);
	buf_add_str(b, "\"id\":");
	buf_add_json(b, id.data, id.len);
	b->failed |= id.failed;
	buf_done(&id);
}

/* Puts an id in front of the other members of an object that has none.  What is no
 * object, the daemon refuses with better words than could be found here. */
static bool add_object(struct buf *b, const char *text, size_t len, const char *prefix,
                       uint64_t serial)
{
	json_auto_t *object = json_loadb(text, len, JSON_ALLOW_NUL, NULL);
	bool lacks_id = object && !json_object_get(object, "id");

	if (!lacks_id) {
		buf_add(b, text, len);
		return false;
	}
	buf_add_char(b, '{');
	add_id_member(b, prefix, serial);
	if (json_object_size(object) > 0)
		buf_add_char(b, ',');
	buf_add(b, text + 1, len - 1);
	return true;
}

/* JSON can hold nothing else. */
static bool is_utf8(const char *text, size_t len)
{
	bool ascii = true;

	for (size_t i = 0; i < len; i++)
		ascii = ascii && (unsigned char) text[i] < 0x80;
	json_auto_t *string = ascii ? NULL : json_stringn(text, len);
	return ascii || string;
}

static void add_url(struct buf *b, const char *text, size_t len, const char *prefix,
                    uint64_t serial)
{
	buf_add_char(b, '{');
	add_id_member(b, prefix, serial);
	buf_add_str(b, ",\"url\":");
	buf_add_json(b, text, len);
	buf_add_char(b, '}');
}

int upload_add(struct upload *u, const char *text, size_t len, const struct upload_place *place,
               const char *prefix, struct buf *why)
{
	size_t before = u->text.len;
	bool made_id = true;

	for (; len > 0 && is_blank(*text); len--)
		text++;
	while (len > 0 && is_blank(text[len - 1]))
		len--;
	if (len == 0 || *text == '#')
		return 0;
	if (reserve(u) < 0)
		return -ENOMEM;
	if (*text == '{') {
		made_id = add_object(&u->text, text, len, prefix, place->serial);
	} else if (is_utf8(text, len)) {
		add_url(&u->text, text, len, prefix, place->serial);
	} else {
		buf_add_str(why, "the URL is not UTF-8: percent-encode its bytes");
		return -EINVAL;
	}
	buf_add_char(&u->text, '\n');
	if (u->text.failed) {
		u->text.failed = false;
		u->text.len = before;
		return -ENOMEM;
	}
	u->lines[u->n++] = (struct upload_line) {
		.place = *place,
		.end = u->text.len,
		.made_id = made_id,
	};
	return 1;
}

void upload_compact(struct upload *u)
{
	size_t kept = 0, to = 0, from = 0;

	for (size_t i = 0; i < u->n; i++) {
		struct upload_line line = u->lines[i];
		size_t len = line.end - from;
		if (!line.settled) {
			memmove(u->text.data + to, u->text.data + from, len);
			to += len;
			u->lines[kept++] = (struct upload_line) {
				.place = line.place,
				.end = to,
				.made_id = line.made_id,
				.repeated = true,
			};
		}
		from = line.end;
	}
	u->n = kept;
	u->settled = 0;
	u->text.len = to;
	buf_clear(&u->rest);
}

/* --- receipts ---------------------------------------------------------------------- */

/* What passes: full, a disk that fails, a daemon that stops. */
static bool may_pass(int code) { return code == 429 || code >= 500; }

static bool read_receipt(const json_t *json, struct upload_receipt *ret_receipt)
{
	const char *status = json_string_value(json_object_get(json, "status"));
	struct upload_receipt receipt = {
		.id = json_string_value(json_object_get(json, "id")),
		.error = json_string_value(json_object_get(json, "error")),
		.code = (int) json_integer_value(json_object_get(json, "code")),
	};

	if (!status)
		return false;
	if (strcmp(status, "accepted") == 0)
		receipt.status = UPLOAD_ACCEPTED;
	else if (strcmp(status, "known") == 0)
		receipt.status = UPLOAD_KNOWN;
	else if (strcmp(status, "refused") == 0)
		receipt.status = UPLOAD_REFUSED;
	else
		return false;
	if (receipt.status != UPLOAD_REFUSED && !receipt.id)
		return false;
	if (!receipt.error)
		receipt.error = "refused";
	*ret_receipt = receipt;
	return true;
}

static int take_receipt(struct upload *u, const char *text, size_t len, upload_listener *listener,
                        void *arg)
{
	struct upload_receipt receipt;
	json_auto_t *json = json_loadb(text, len, 0, NULL);
	json_int_t number = json_integer_value(json_object_get(json, "line"));

	if (number < 1 || (uint64_t) number > u->n || !read_receipt(json, &receipt))
		return -EPROTO;
	struct upload_line *line = &u->lines[number - 1];
	if (line->settled)
		return -EPROTO;
	line->settled = receipt.status != UPLOAD_REFUSED || !may_pass(receipt.code);
	u->settled += line->settled;
	listener(arg, line, &receipt);
	return 0;
}

int upload_take_receipts(struct upload *u, const char *data, size_t n, upload_listener *listener,
                         void *arg)
{
	const char *newline = NULL;
	int r = 0;

	while (r == 0 && (newline = memchr(data, '\n', n)) != NULL) {
		size_t len = (size_t) (newline - data);
		if (u->rest.len > 0) {
			buf_add(&u->rest, data, len);
			r = u->rest.failed ? -ENOMEM
			                   : take_receipt(u, u->rest.data, u->rest.len, listener, arg);
			buf_clear(&u->rest);
		} else {
			r = take_receipt(u, data, len, listener, arg);
		}
		data += len + 1;
		n -= len + 1;
	}
	if (r == 0 && u->rest.len + n > MAX_RECEIPT_BYTES)
		return -EPROTO;
	if (r == 0)
		buf_add(&u->rest, data, n);
	return r == 0 && u->rest.failed ? -ENOMEM : r;
}
