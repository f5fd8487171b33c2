/* SPDX-License-Identifier: Apache-2.0 */
#include "input.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

void input_clear(struct input *in)
{
	in->head_len = 0;
	in->scanned = 0;
	in->len = 0;
}

void input_init(struct input *in)
{
	in->is_readable = false;
	in->has_ended = false;
	input_clear(in);
}

/* A short recv() has emptied the socket, so the next edge is still to come (epoll(7)); except
 * that the end of the stream has had its edge already. */
int input_read(struct input *in, int fd, uint64_t *count)
{
	if (!in->is_readable)
		return -EAGAIN;

	size_t room = INPUT_LEN - in->len;
	ssize_t n = recv(fd, in->bytes + in->len, room, 0);
	if (n == 0)
		return -EPIPE;
	if (n < 0) {
		in->is_readable = errno != EAGAIN;
		return -errno;
	}
	in->is_readable = (size_t) n == room || in->has_ended;
	in->len += (size_t) n;
	*count += (uint64_t) n;
	return 0;
}

/* Drops 'len' bytes at 'from' and moves the rest down. */
static void drop(struct input *in, size_t from, size_t len)
{
	in->len -= len;
	if (len > 0 && in->len > from)
		memmove(in->bytes + from, in->bytes + from + len, in->len - from);
}

/* Drops the empty lines that may precede a request (RFC 9112, section 2.2). */
static void drop_empty_lines(struct input *in)
{
	size_t len = 0;

	while (len + 2 <= in->len && memcmp(in->bytes + len, "\r\n", 2) == 0)
		len += 2;
	if (len > 0)
		in->scanned = 0;
	drop(in, 0, len);
}

static bool can_become_http(const struct input *in)
{
	if (in->len == 0)
		return true;
	char first = in->bytes[0];
	return first == '\r' || (first > ' ' && first <= '~');
}

int input_find_head(struct input *in)
{
	static const char empty_line[] = "\r\n\r\n";
	const size_t mark_len = sizeof(empty_line) - 1;

	drop_empty_lines(in);
	const char *end = memmem(in->bytes + in->scanned, in->len - in->scanned,
				 empty_line, mark_len);
	if (!end) {
		in->scanned = in->len >= mark_len ? in->len - (mark_len - 1) : 0;
		if (!can_become_http(in))
			return -EBADMSG;
		return in->len < INPUT_HEAD_MAX ? -EAGAIN : -EMSGSIZE;
	}

	size_t head_len = (size_t) (end - in->bytes) + mark_len;
	if (head_len > INPUT_HEAD_MAX)
		return -EMSGSIZE;
	in->head_len = head_len;
	return 0;
}

struct slice input_head(const struct input *in)
{
	return (struct slice) { .at = in->bytes, .len = in->head_len };
}

struct slice input_rest(const struct input *in)
{
	return (struct slice) { .at = in->bytes + in->head_len, .len = in->len - in->head_len };
}

void input_use(struct input *in, size_t len)
{
	drop(in, in->head_len, len);
}

void input_next(struct input *in)
{
	drop(in, 0, in->head_len);
	in->head_len = 0;
	in->scanned = 0;
}
