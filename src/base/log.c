/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include "base/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 2048, PATIENCE_MS = 100 };

static log_sink_fn plain_sink;

const char *const log_level_names[] = {
	[LOG_LEVEL_ERROR] = "error", [LOG_LEVEL_WARNING] = "warning", [LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_DEBUG] = "debug", NULL
};

/* Set before any other thread starts, except what is atomic. */
static struct {
	const char *program;
	_Atomic enum log_level level;
	log_sink_fn *sink;
	atomic_bool redrawn;
} log_state = { .program = "penstock", .level = LOG_LEVEL_WARNING, .sink = plain_sink };

void log_open(const char *program, enum log_level level)
{
	log_state.program = program;
	log_set_level(level);
}

void log_set_level(enum log_level level)
{
	atomic_store_explicit(&log_state.level, level, memory_order_relaxed);
}

enum log_level log_get_level(void)
{
	return atomic_load_explicit(&log_state.level, memory_order_relaxed);
}

void log_set_sink(log_sink_fn *sink) { log_state.sink = sink; }
void log_set_redrawn_line(bool redrawn) { atomic_store(&log_state.redrawn, redrawn); }

/* Writes the line with one call, so that lines of several threads do not mix. */
PRINTF_LIKE(1, 2) static void write_line(const char *format, ...)
{
	char line[LINE_MAX_BYTES + 64];
	va_list args;

	va_start(args, format);
	int n = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	size_t len = n < 0 ? 0 : (size_t) n < sizeof(line) ? (size_t) n : sizeof(line) - 1;
	if (len == sizeof(line) - 1)
		line[len - 1] = '\n';

	/* A reader that does not read must not hold up who logs, the main loop above
	 * all; and there is nobody to tell that stderr is gone. */
	struct pollfd out = { .fd = STDERR_FILENO, .events = POLLOUT };
	if (poll(&out, 1, PATIENCE_MS) == 1) {
		ssize_t written = write(STDERR_FILENO, line, len);
		(void) written;
	}
}

static void plain_sink(enum log_level level, const struct log_fields *fields, const char *text)
{
	static const char *const names[] = { "error: ", "warning: ", "", "debug: " };

	(void) fields;
	write_line("%s%s: %s%s\n", atomic_exchange(&log_state.redrawn, false) ? "\r\033[K" : "",
	           log_state.program, names[level], text);
}

void log_prefixed_sink(enum log_level level, const struct log_fields *fields, const char *text)
{
	static const char priorities[] = { '3', '4', '6', '7' };

	(void) fields;
	write_line("<%c>%s\n", priorities[level], text);
}

/* A message may quote input, which must neither end the line nor steer a terminal. */
static void blank_controls(char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char) *text < 0x20 || *text == 0x7f)
			*text = ' ';
}

PRINTF_LIKE(3, 0)
static void log_text(enum log_level level, const struct log_fields *fields, const char *format,
                     va_list args)
{
	char text[LINE_MAX_BYTES];
	int saved = errno;

	if (!log_shows(level))
		return;
	if (vsnprintf(text, sizeof(text), format, args) >= 0) {
		blank_controls(text);
		log_state.sink(level, fields, text);
	}
	errno = saved;
}

void log_about(enum log_level level, const struct log_fields *fields, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_text(level, fields, format, args);
	va_end(args);
}

void log_event(enum log_level level, enum log_event event, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_text(level, &(struct log_fields) { .event = event }, format, args);
	va_end(args);
}

#define DEFINE_LOG(name, level)                                                                    \
	void name(const char *format, ...)                                                         \
	{                                                                                          \
		va_list args;                                                                      \
		va_start(args, format);                                                            \
		log_text(level, &(struct log_fields) { 0 }, format, args);                                                      \
		va_end(args);                                                                      \
	}
DEFINE_LOG(log_error, LOG_LEVEL_ERROR)
DEFINE_LOG(log_warning, LOG_LEVEL_WARNING)
DEFINE_LOG(log_info, LOG_LEVEL_INFO)
DEFINE_LOG(log_debug, LOG_LEVEL_DEBUG)

void log_error_lines(const char *text, size_t n)
{
	while (n > 0) {
		const char *end = memchr(text, '\n', n);
		size_t len = end ? (size_t) (end - text) : n;
		log_error("%.*s", (int) len, text);
		text += len + (end != NULL);
		n -= len + (end != NULL);
	}
}

bool log_allowed(struct log_limit *limit, uint64_t now_ns)
{
	if (now_ns - limit->window_ns >= NS_PER_S) {
		limit->window_ns = now_ns;
		limit->shown = 0;
	}
	if (limit->shown >= LOG_LIMIT_PER_SECOND) {
		limit->held_back++;
		return false;
	}
	limit->shown++;
	return true;
}

uint64_t log_take_held_back(struct log_limit *limit)
{
	uint64_t n = limit->held_back;
	limit->held_back = 0;
	return n;
}
