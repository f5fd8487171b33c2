/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /v1/results: records, to those who read them once and to those who follow.
 *
 *     ──► search, first page ──► 200 ──► page, page, … ──► end
 *                                  ▲          │   ▲
 *                                  │          ▼   │
 *                                  │      waits for the backlog's reader, or for news;
 *                                  │      each 15 s without any an empty line is sent
 *                                  └── no further page before the last one has been read
 *
 * A page comes from the engine's tail as long as the reader keeps up, and else from the backlog,
 * if that remembers results.  All of it belongs to the socket's thread.
 */
#ifndef PENSTOCK_CONTROL_RESULTS_H
#define PENSTOCK_CONTROL_RESULTS_H

#include "base/attr.h"

#include <sys/queue.h>

struct reader;

/* Those who read records. */
struct readers {
	unsigned n;                         /* all */
	LIST_HEAD(reader_list, reader) idle; /* wait for news */
};

struct desk;

/* What the engine's tail has to say when its event is raised: has the readers go on who wait
 * for news; their answers come by the inbox. */
NONNULL(1) void results_news(struct desk *desk);

#endif
