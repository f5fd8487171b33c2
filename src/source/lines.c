/* SPDX-License-Identifier: Apache-2.0 */
#include "source/lines.h"

#include "job/job.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char byte_order_mark[] = { '\xef', '\xbb', '\xbf' };

enum {
	/* Lines up to this long cost no growth when a read ends inside them. */
	EDGE_BYTES = 16 * 1024,
	SMALL_BYTES = EDGE_BYTES + LINES_READ_BYTES,

	/* An unfinished line of more bytes cannot become a job, whatever comes. */
	PENDING_MAX_BYTES = (int) sizeof(byte_order_mark) + JOB_MAX_LINE_BYTES + 1 /* CR */,
	LARGE_BYTES = PENDING_MAX_BYTES + LINES_READ_BYTES,
};

int lines_init(struct lines *l)
{
	char *data = malloc(SMALL_BYTES);
	if (!data)
		return -ENOMEM;
	*l = (struct lines) { .data = data, .size = SMALL_BYTES };
	return 0;
}

void lines_done(struct lines *l)
{
	free(l->data);
	*l = (struct lines) { 0 };
}

int lines_room(struct lines *l, char **ret_room)
{
	size_t size = l->size;

	assert(l->start == 0 && l->end <= PENDING_MAX_BYTES);
	while (size - l->end < LINES_READ_BYTES)
		size = size * 2 < LARGE_BYTES ? size * 2 : LARGE_BYTES;
	if (size > l->size) {
		char *grown = realloc(l->data, size);
		if (!grown)
			return -ENOMEM;
		l->data = grown;
		l->size = size;
	}
	*ret_room = l->data + l->end;
	return 0;
}

void lines_fed(struct lines *l, size_t n) { l->end += n; }

/* Moves the unfinished line to the front, and gives back what it does not need. */
static void tidy(struct lines *l)
{
	size_t rest = l->end - l->start;

	if (l->start > 0)
		memmove(l->data, l->data + l->start, rest);
	l->start = 0;
	l->seen = rest;
	l->end = rest;

	if (l->size > SMALL_BYTES && rest <= EDGE_BYTES) {
		char *shrunk = realloc(l->data, SMALL_BYTES);
		if (shrunk) {
			l->data = shrunk;
			l->size = SMALL_BYTES;
		}
	}
}

/* Counts a line that ends, and judges its 'len' bytes at 'text'. */
static enum line_kind finish(struct lines *l, const char *text, size_t len, const char **ret_text,
                             size_t *ret_len)
{
	l->number++;
	if (len > 0 && text[len - 1] == '\r')
		len--;
	if (l->number == 1 && len >= sizeof(byte_order_mark) &&
	    memcmp(text, byte_order_mark, sizeof(byte_order_mark)) == 0) {
		text += sizeof(byte_order_mark);
		len -= sizeof(byte_order_mark);
	}
	if (len > JOB_MAX_LINE_BYTES)
		return LINE_TOO_LONG;

	*ret_text = text;
	*ret_len = len;
	return LINE_WHOLE;
}

/* The end of the buffer was reached inside a line. */
static enum line_kind leave_unfinished(struct lines *l)
{
	bool too_long = l->end - l->start > PENDING_MAX_BYTES;

	if (too_long) {
		l->skipping = true;
		l->number++;
	}
	if (l->skipping)
		l->start = l->end;
	tidy(l);
	return too_long ? LINE_TOO_LONG : LINE_NONE;
}

enum line_kind lines_next(struct lines *l, const char **ret_text, size_t *ret_len)
{
	for (;;) {
		const char *newline = memchr(l->data + l->seen, '\n', l->end - l->seen);
		if (!newline)
			return leave_unfinished(l);

		const char *text = l->data + l->start;
		l->start = (size_t) (newline - l->data) + 1;
		l->seen = l->start;
		if (!l->skipping)
			return finish(l, text, (size_t) (newline - text), ret_text, ret_len);
		l->skipping = false;
	}
}

enum line_kind lines_last(struct lines *l, const char **ret_text, size_t *ret_len)
{
	const char *text = l->data + l->start;
	size_t len = l->end - l->start;

	l->skipping = false;
	l->start = l->end;
	l->seen = l->end;
	return len > 0 ? finish(l, text, len, ret_text, ret_len) : LINE_NONE;
}

void lines_restart(struct lines *l) { lines_restart_behind(l, 0, false); }

void lines_restart_behind(struct lines *l, uint64_t number, bool skipping)
{
	l->start = l->end;
	l->number = number;
	l->skipping = skipping;
	tidy(l);
}
