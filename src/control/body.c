/* SPDX-License-Identifier: Apache-2.0 */
#include "control/body.h"

#include "control/problem.h"

#include <errno.h>

void body_add(struct body *b, const char *data, size_t n, size_t max)
{
	if (b->error < 0)
		return;
	if (n > max - b->text.len)
		b->error = -EMSGSIZE;
	else
		buf_add(&b->text, data, n);
	if (b->text.failed)
		b->error = -ENOMEM;
	if (b->error < 0)
		buf_done(&b->text);
}

void body_refuse(const struct body *b, const char *too_large, struct reply *reply,
                 struct engine *engine)
{
	if (b->error == -EMSGSIZE)
		problem(reply, PROBLEM_BODY_TOO_LARGE, "%s", too_large);
	else
		problem_reply(reply, engine, b->error);
}

void body_done(struct body *b) { buf_done(&b->text); }
