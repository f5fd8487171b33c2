/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket: HTTP/1.1 on a UNIX stream socket, one thread.  The same thread serves
 * the listeners of those who may look and not touch; each has places of its own, so that
 * nobody takes those of another.
 *
 *     GET /            a page that shows what goes on, for people with a browser
 *     GET /v1/status   everything there is to know, as JSON
 *     GET /metrics     Prometheus text 0.0.4; OpenMetrics 1.0 if Accept asks for it
 *     GET /healthz     200 as long as the daemon is alive and its threads are
 *     GET /readyz      200 while it takes jobs, 503 while it starts, drains or stops, or
 *                      its database cannot be written; a full backlog is no reason
 *
 *     POST /v1/jobs[?wait=TIME]  takes jobs: one, or as application/x-ndjson any number,
 *                                with a receipt for each line.  A job is acknowledged once
 *                                it is the backlog's (on disk, where that is durable).  TIME
 *                                is how long each batch may wait for room: "30s", up to 1h
 *     GET /v1/jobs/ID            where a job is, why it is there, and its result
 *     DELETE /v1/jobs/ID         cancels one that has not started
 *     GET /v1/results  the records of settled jobs, as application/x-ndjson: see results.h
 *                      ?from=SEQ       those from this one on; 0: the oldest that there is
 *                      ?since=TIME     those that were settled since (RFC 3339)
 *                      ?last=N         the newest N
 *                      ?outcome=dead   or done, cancelled; some with commas between them
 *                      ?limit=N        ends after so many
 *                      ?follow         goes on with what is recorded; without from, since and
 *                                      last from now on.  Without it, it ends at the last one
 *     GET /v1/lanes[?limit=N]    the lanes with most jobs, their limits and what is in their
 *                                way; N up to 1000, by default 100
 *     GET /v1/history[?since=N]  the last ten minutes, a sample a second
 *     POST /v1/control/requeue   makes new jobs of dead ones
 *     POST /v1/control/pause     nothing starts any more: in the lane {"origin": "…"}, or {}
 *     POST /v1/control/resume    ends that
 *     POST /v1/control/drain     takes no more jobs, for good, and works off those it has
 *     POST /v1/control/set       puts settings in force, {"KEY": "VALUE", …}, until the next
 *                                reload, and says which have changed
 *     POST /v1/control/reload    reads the settings again, all or nothing
 *                                both with ?dry_run=true: only says what would change
 *
 * Errors are problem+json (RFC 9457).  Handlers never block: what the backlog is asked
 * suspends its connection, so does what the daemon's main thread is, and each figure is read
 * from its owner at the moment of the request.
 */
#ifndef PENSTOCK_CONTROL_CONTROL_H
#define PENSTOCK_CONTROL_CONTROL_H

#include "base/attr.h"
#include "engine/engine.h"
#include "job/url_known.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

/* Limits: each refuses with its own message. */
enum {
	CONTROL_MAX_CONNECTIONS = 256,
	CONTROL_MAX_TARGET_BYTES = 4096,
	CONTROL_TOTAL_SECONDS = 60,  /* for a request and its answer, however slowly they go; of
	                              * an upload for each batch, without the backlog's time;
	                              * and between two requests */

	/* Connections beyond the limit that are held, briefly, to be told so. */
	CONTROL_SPARE_CONNECTIONS = 32,
	CONTROL_MAX_UPLOADS = 16, /* large request bodies under way at once */
	/* Readers of /v1/results: TAIL_MAX_READERS. */
	CONTROL_MAX_LISTS = 16,   /* answers of /v1/lanes and /v1/history, likewise */

	/* All that the socket needs at most, besides listen_fd: receipts are files. */
	CONTROL_DESCRIPTORS = CONTROL_MAX_CONNECTIONS + CONTROL_SPARE_CONNECTIONS +
	                      CONTROL_MAX_UPLOADS + 6,

	/* And of memory, besides the records that the engine counts: of each connection the heads and
	 * an answer; of an upload a line and its job, which is like a source's, and a batch (batch.h);
	 * those who read results have the tail, and a page each, which may have grown to twice its
	 * size.  One parser reads all their URLs. */
	CONTROL_CONNECTION_BYTES = 144 * 1024,
	CONTROL_BATCH_BYTES = 1344 * 1024,
	CONTROL_UPLOAD_BYTES = 2 * JOB_MAX_LINE_BYTES + JOB_MAX_BYTES + CONTROL_BATCH_BYTES,
	CONTROL_LIST_BYTES = 512 * 1024,
	CONTROL_BYTES = CONTROL_CONNECTION_BYTES *
	                        (CONTROL_MAX_CONNECTIONS + CONTROL_SPARE_CONNECTIONS) +
	                CONTROL_MAX_UPLOADS * CONTROL_UPLOAD_BYTES +
	                CONTROL_MAX_LISTS * CONTROL_LIST_BYTES + TAIL_MAX_BYTES +
	                2 * TAIL_MAX_READERS * TAIL_PAGE_BYTES + URL_KNOWN_BYTES,

	CONTROL_MAX_READERS = 9, /* listeners: control.stats_socket, and eight of control.listen */
	CONTROL_READER_CONNECTIONS = 32, /* of each… */
	CONTROL_READER_SPARE = 8,        /* …and to be told so */
	CONTROL_READER_LISTS = 8,        /* of CONTROL_MAX_LISTS, for all of them */
	CONTROL_READER_RECORDS = 4,      /* of SETTINGS_MAX_RECORDS, likewise */

	/* All that one of them needs at most, its own descriptor included. */
	CONTROL_READER_DESCRIPTORS = CONTROL_READER_CONNECTIONS + CONTROL_READER_SPARE + 4,
	CONTROL_READER_BYTES = (CONTROL_READER_CONNECTIONS + CONTROL_READER_SPARE) *
	                       CONTROL_CONNECTION_BYTES,
};

/* What may be asked by which listener; each may what those after it may. */
enum control_reach {
	CONTROL_ALL,     /* the control socket: every view and every lever */
	CONTROL_VIEWS,   /* control.stats_socket: whatever only looks, jobs and results as well */
	CONTROL_FIGURES, /* control.listen: how it goes, but no job and no result */
};

struct control_reader {
	int listen_fd; /* a listening stream socket; stays the caller's, made non-blocking */
	enum control_reach reach;
};

enum control_phase {
	CONTROL_STARTING,
	CONTROL_READY,
	CONTROL_DRAINING, /* from here on no jobs are taken */
	CONTROL_DRAINED,  /* and none is left */
	CONTROL_STOPPING,
};

/* What only the owner of the engine can do. */
enum control_order_kind { CONTROL_SET, CONTROL_RELOAD };

struct control_order {
	enum control_order_kind kind;
	const char *const *settings; /* CONTROL_SET: "KEY=VALUE" */
	size_t n_settings;
	bool dry_run; /* says only what would change */

	/* The owner's. */
	STAILQ_ENTRY(control_order) entry;
	unsigned status;   /* HTTP; 503 if it is too late, 500 without memory */
	struct buf answer; /* 200: a JSON object; else what is wrong, for people */

	/* Hands the answer over; the order is not to be touched any more. */
	void (*done)(struct control_order *order);
};

/* What is answered, with 503, when it is too late for an order. */
#define CONTROL_ORDER_TOO_LATE "the daemon is stopping; its settings do not change any more"

struct control_options {
	int listen_fd;         /* a listening AF_UNIX stream socket; stays the caller's, made non-blocking */
	const struct control_reader *readers; /* borrowed for the call; at most CONTROL_MAX_READERS */
	size_t n_readers;
	const struct config_strings *host_names; /* control.host_names; NULL: none */
	struct engine *engine; /* borrowed until control_free() */
	const char *version;   /* these strings are borrowed likewise */
	const char *results_path;
	const char *work_folder; /* for the receipts of long uploads, without names; NULL: memory */
	int64_t started_wall_us;

	/* What /healthz says: false with a reason in 'why', of 'size' bytes, NUL-terminated.
	 * Called by the socket's thread, which it must not hold up.  NULL: always healthy. */
	bool (*healthy)(void *arg, char *why, size_t size);

	/* Takes an order; its done() is called once, at any time and from any thread, and
	 * control_free() waits for that.  Called by the socket's thread.  NULL: there are none. */
	void (*order)(void *arg, struct control_order *order);
	void *arg;

	uint64_t total_ns; /* instead of CONTROL_TOTAL_SECONDS, if not 0 */
};

struct control;

/* Starts serving, in phase CONTROL_STARTING.  Returns 0, -ENOMEM, -EMFILE, -EAGAIN
 * (no more threads) or -EIO (libmicrohttpd said no more).  Free with control_free(). */
NODISCARD NONNULL(1, 2)
int control_start(const struct control_options *options, struct control **ret_control);

/* What /readyz and "state" say; CONTROL_READY is CONTROL_DRAINING as soon as the engine drains.
 * Safe from any thread. */
NONNULL(1) void control_set_phase(struct control *c, enum control_phase phase);

/* Why results cannot be written now, a negative errno; 0 if they can: whoever owns
 * the engine learns it from engine_state().  Safe from any thread. */
NONNULL(1) void control_set_results_error(struct control *c, int error);

/* Stops serving; answers that take more than a moment are cut off.  Ignores NULL, returns NULL. */
struct control *control_free(struct control *c);

#endif
