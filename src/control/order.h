/* SPDX-License-Identifier: Apache-2.0 */
/* POST /v1/control/…: a small JSON object says what to do, which may take an answer of the
 * backlog, or of the engine's owner. */
#ifndef PENSTOCK_CONTROL_ORDER_H
#define PENSTOCK_CONTROL_ORDER_H

#include "base/attr.h"
#include "control/asker.h"
#include "control/body.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct order;

struct order_kind {
	/* Takes the body, which is any JSON value.  Makes the reply, or asks: the backlog with
	 * asker_ask(), or somebody else after task_wait(). */
	void (*act)(struct order *o, json_t *body);
	/* There is an answer; NULL if nobody is ever asked. */
	void (*answered)(struct order *o, int error);
	/* Releases what the task's own struct owns; NULL if it owns nothing. */
	void (*free)(struct order *o);
	bool may_be_empty; /* a body of no bytes is {} */
};

/* The head of such a task's own struct. */
struct order {
	struct asker base;
	const struct order_kind *kind;
	struct body body;
};

/* Makes a task of 'size' zeroed bytes; NULL if the reply says why not. */
NODISCARD NONNULL(1, 2, 3, 5)
struct task *order_begin(const struct view *view, const struct request *request,
                         const struct order_kind *kind, size_t size, struct reply *reply);

#endif
