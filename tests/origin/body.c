/* SPDX-License-Identifier: Apache-2.0 */
#include "body.h"

#include <errno.h>

void body_begin(struct body *b, const struct request *req, bool is_kept)
{
	buf_clear(&b->kept);
	b->is_chunked = req->is_chunked;
	b->is_kept = is_kept;
	b->has_digits = false;
	b->total = 0;
	b->left = req->content_length;
	b->state = req->is_chunked          ? BODY_SIZE
		   : req->content_length > 0 ? BODY_DATA
					     : BODY_COMPLETE;
}

void body_done(struct body *b)
{
	buf_done(&b->kept);
}

/* Takes as much of the data as there is.  Returns the bytes used. */
static size_t take_data(struct body *b, struct slice bytes)
{
	if (bytes.len > b->left)
		bytes.len = (size_t) b->left;
	b->left -= bytes.len;
	b->total += bytes.len;
	if (b->left == 0)
		b->state = b->is_chunked ? BODY_DATA_CR : BODY_COMPLETE;

	size_t used = bytes.len;
	if (bytes.len > BODY_KEPT_MAX - b->kept.len)
		bytes.len = BODY_KEPT_MAX - b->kept.len;
	if (b->is_kept)
		buf_put(&b->kept, bytes);
	return used;
}

static int take_size(struct body *b, char c)
{
	int digit = text_hex_digit(c);

	if (digit >= 0) {
		if (b->left >> 56 != 0)
			return -EBADMSG;
		b->left = b->left * 16 + (uint64_t) digit;
		b->has_digits = true;
		return 0;
	}
	if (!b->has_digits || (c != '\r' && c != ';' && c != ' ' && c != '\t'))
		return -EBADMSG;
	b->state = c == '\r' ? BODY_SIZE_LF : BODY_EXTENSION;
	return 0;
}

/* Moves on to 'next' if 'c' is the byte that has to come here. */
static int expect(struct body *b, char c, char expected, enum body_state next)
{
	if (c != expected)
		return -EBADMSG;
	b->state = next;
	return 0;
}

static int take_framing(struct body *b, char c)
{
	switch (b->state) {
	case BODY_SIZE:
		return take_size(b, c);
	case BODY_EXTENSION:
		if (c == '\r')
			b->state = BODY_SIZE_LF;
		return c == '\n' ? -EBADMSG : 0;
	case BODY_SIZE_LF:
		return expect(b, c, '\n', b->left > 0 ? BODY_DATA : BODY_TRAILER);
	case BODY_DATA_CR:
		return expect(b, c, '\r', BODY_DATA_LF);
	case BODY_DATA_LF:
		b->has_digits = false;
		return expect(b, c, '\n', BODY_SIZE);
	case BODY_TRAILER:
		b->state = c == '\r' ? BODY_END_LF : BODY_TRAILER_LINE;
		return 0;
	case BODY_TRAILER_LINE:
		if (c == '\n')
			b->state = BODY_TRAILER;
		return 0;
	case BODY_END_LF:
		return expect(b, c, '\n', BODY_COMPLETE);
	case BODY_DATA:
	case BODY_COMPLETE:
		break;
	}
	return -EBADMSG;
}

int body_feed(struct body *b, struct slice bytes, size_t *ret_used)
{
	size_t used = 0;
	int r = 0;

	while (r == 0 && used < bytes.len && b->state != BODY_COMPLETE) {
		if (b->state == BODY_DATA)
			used += take_data(b, (struct slice) { bytes.at + used, bytes.len - used });
		else
			r = take_framing(b, bytes.at[used++]);
	}
	*ret_used = used;
	if (r < 0)
		return r;
	return b->state == BODY_COMPLETE ? 0 : -EAGAIN;
}
