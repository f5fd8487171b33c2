/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include "base/clock.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

/* Set before any other thread starts, except 'redrawn', which is atomic. */
static struct {
	const char *program;
	enum log_level level;
	atomic_bool redrawn;
} log_state = { .program = "penstock", .level = LOG_LEVEL_WARNING };

void log_open(const char *program, enum log_level level)
{
	log_state.program = program;
	log_state.level = level;
}

void log_set_redrawn_line(bool redrawn) { atomic_store(&log_state.redrawn, redrawn); }

/* Writes the line with one call, so that lines of several threads do not mix. */
PRINTF_LIKE(2, 0) static void log_line(enum log_level level, const char *format, va_list args)
{
	static const char *const names[] = { "error: ", "warning: ", "", "debug: " };
	char line[2048];

	if (level > log_state.level)
		return;

	int saved = errno;
	const char *wipe = atomic_exchange(&log_state.redrawn, false) ? "\r\033[K" : "";
	int n = snprintf(line, sizeof(line), "%s%s: %s", wipe, log_state.program, names[level]);
	size_t len = n > 0 ? (size_t) n : 0;
	n = vsnprintf(line + len, sizeof(line) - len, format, args);
	len += n > 0 ? (size_t) n : 0;
	if (len > sizeof(line) - 1)
		len = sizeof(line) - 1;
	line[len++] = '\n';

	/* There is nobody to tell that stderr is gone. */
	ssize_t written = write(STDERR_FILENO, line, len);
	(void) written;
	errno = saved;
}

#define DEFINE_LOG(name, level)                                                                    \
	void name(const char *format, ...)                                                         \
	{                                                                                          \
		va_list args;                                                                      \
		va_start(args, format);                                                            \
		log_line(level, format, args);                                                     \
		va_end(args);                                                                      \
	}
DEFINE_LOG(log_error, LOG_LEVEL_ERROR)
DEFINE_LOG(log_warning, LOG_LEVEL_WARNING)
DEFINE_LOG(log_info, LOG_LEVEL_INFO)
DEFINE_LOG(log_debug, LOG_LEVEL_DEBUG)

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
