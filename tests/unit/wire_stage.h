/* SPDX-License-Identifier: Apache-2.0 */
/* The stage for the tests of what fetch.h sends: two servers that keep what they are sent. */
#ifndef PENSTOCK_TESTS_WIRE_STAGE_H
#define PENSTOCK_TESTS_WIRE_STAGE_H

#include "fetch_stage.h"
#include "wire_server.h"

struct wire_stage {
	struct stage fetch;
	struct wire_server a, b;
	struct buf wire;
	char url[64]; /* of server a */
};

static inline void wire_begin(struct wire_stage *s)
{
	stage_init(&s->fetch);
	stage_create(&s->fetch);
	wire_start(&s->a);
	wire_start(&s->b);
	s->wire = (struct buf) { 0 };
	(void) snprintf(s->url, sizeof(s->url), "http://127.0.0.1:%u/x", (unsigned) s->a.port);
}

static inline void wire_end(struct wire_stage *s)
{
	stage_done(&s->fetch);
	wire_stop(&s->a);
	wire_stop(&s->b);
	buf_done(&s->wire);
}

/* Whether exactly these requests have come to 'server', whose "127.0.0.1:PORT" is "@". */
static inline bool wire_came(struct wire_stage *s, struct wire_server *server, const char *expected)
{
	struct buf text = { 0 };

	for (; *expected != '\0'; expected++) {
		if (*expected == '@')
			buf_printf(&text, "127.0.0.1:%u", (unsigned) server->port);
		else
			buf_add_char(&text, *expected);
	}
	buf_add_char(&text, '\0');
	wire_take(server, &s->wire);
	bool same = strcmp(s->wire.data, text.data) == 0;
	if (!same)
		(void) fprintf(stderr, "came:\n%s\nexpected:\n%s\n", s->wire.data, text.data);
	buf_done(&text);
	return same;
}

#define HEAD_OF(method, target)                                                                    \
	method " " target " HTTP/1.1\r\nHost: @\r\nAccept: */*\r\nUser-Agent: test/1\r\n"

/* Puts a redirect to 'path' at 'target' in line at 'from'. */
static inline void wire_redirect(struct wire_server *from, int status,
                                 const struct wire_server *target, const char *path)
{
	char answer[WIRE_ANSWER_SIZE];

	(void) snprintf(answer, sizeof(answer),
	                "HTTP/1.1 %d Go\r\nLocation: http://127.0.0.1:%u%s\r\n"
	                "Content-Length: 0\r\n\r\n",
	                status, (unsigned) target->port, path);
	wire_answer_next(from, answer);
}

#endif
