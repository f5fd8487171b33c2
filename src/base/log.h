/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages for people, one line each, on stderr: "penstock: warning: …", or
 * wherever the sink that was set takes them.
 *
 * A function either returns an error or logs it, never both; low folders
 * return, high ones log.  Safe from any thread, not from a signal handler, and
 * never called with a lock held.
 */
#ifndef PENSTOCK_BASE_LOG_H
#define PENSTOCK_BASE_LOG_H

#include "base/attr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Their names, "error" to "debug", ended by NULL. */
extern const char *const log_level_names[];

/* The name in front of each line (borrowed), and the least important level shown. */
void log_open(const char *program, enum log_level level);

/* Changes the level, at any time, from any thread. */
void log_set_level(enum log_level level);
enum log_level log_get_level(void);

/* Whether such a message would be shown: for what is costly to put together. */
static inline bool log_shows(enum log_level level) { return level <= log_get_level(); }

/* Says that the cursor stands in a line that is redrawn (a progress line), which
 * the next message has to wipe. */
void log_set_redrawn_line(bool redrawn);

/* What has happened, of what an operator may search for or be woken by. */
enum log_event {
	LOG_EVENT_NONE,
	LOG_EVENT_READY,
	LOG_EVENT_STOPPING,
	LOG_EVENT_DRAINING,
	LOG_EVENT_DRAINED,
	LOG_EVENT_RELOADED,
	LOG_EVENT_RELOAD_REFUSED,
	LOG_EVENT_RESTART_NEEDED,
	LOG_EVENT_RESULTS_FAILING,
	LOG_EVENT_RESULTS_WELL,
	LOG_EVENT_RESULTS_REOPENED,
	LOG_EVENT_BACKLOG_FAILING,
	LOG_EVENT_BACKLOG_WELL,
	LOG_EVENT_BODIES_FAILING,
	LOG_EVENT_BODIES_WELL,
	LOG_EVENT_SOURCE_FAILED,
	LOG_EVENT_LINE_SKIPPED,
	LOG_EVENT_JOB_DEAD,
	LOG_EVENT_JOB_POISONED,
	LOG_EVENT_UNHEALTHY,
	LOG_EVENT_CHANGED,
	LOG_EVENTS,
};

/* What a message is about, for sinks that can be searched; zeroed, it is about nothing. */
struct log_fields {
	enum log_event event;
	const char *job; /* this and what follows may be NULL */
	const char *origin;
	const char *source;
	const char *peer_uid; /* who has asked for it; as numbers */
	const char *peer_pid;
};

/* Takes messages in the place of stderr: 'text' is the message alone, without a
 * newline.  Called by any thread.  Set before other threads start. */
typedef void log_sink_fn(enum log_level level, const struct log_fields *fields, const char *text);
void log_set_sink(log_sink_fn *sink);

/* A sink that writes "<N>message" to stderr, N as in syslog(3), for a service
 * manager that reads it (sd-daemon(3)). */
log_sink_fn log_prefixed_sink;

PRINTF_LIKE(3, 4)
void log_about(enum log_level level, const struct log_fields *fields, const char *format, ...);

PRINTF_LIKE(3, 4)
void log_event(enum log_level level, enum log_event event, const char *format, ...);

/* Logs each line of 'n' bytes of text as an error; for errors that were collected. */
void log_error_lines(const char *text, size_t n);

PRINTF_LIKE(1, 2) void log_error(const char *format, ...);
PRINTF_LIKE(1, 2) void log_warning(const char *format, ...);
PRINTF_LIKE(1, 2) void log_info(const char *format, ...);
PRINTF_LIKE(1, 2) void log_debug(const char *format, ...);

/* Lets a burst of messages through, then so many a second: for what input or a
 * peer can trigger.  One owner thread; zero-initialised is ready. */
struct log_limit {
	uint64_t window_ns; /* start of the current second */
	unsigned shown;     /* in this second */
	uint64_t held_back; /* since the last message that was shown */
};

enum { LOG_LIMIT_PER_SECOND = 20 };

/* Whether a message may be shown at 'now_ns'; counts it as held back if not. */
bool log_allowed(struct log_limit *limit, uint64_t now_ns);

/* Takes the number of messages held back since the last call. */
uint64_t log_take_held_back(struct log_limit *limit);

#endif
