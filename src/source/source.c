/* SPDX-License-Identifier: Apache-2.0 */
#include "source/source.h"

#include <errno.h>

static uint64_t load(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

void source_stats(struct source *s, struct source_stats *ret_stats)
{
	*ret_stats = (struct source_stats) {
		.jobs = load(&s->jobs),
		.bad_lines = load(&s->bad_lines),
		.bytes_read = load(&s->bytes_read),
		.bytes_total = load(&s->bytes_total),
		.lag_of = s->lag_of,
		.lag = load(&s->lag),
	};
}

void source_complain(struct source *s, uint64_t line, const char *why)
{
	source_complain_of(s, NULL, line, why);
}

void source_complain_of(struct source *s, const char *file, uint64_t line, const char *why)
{
	const struct source_complaint complaint = {
		.source = s->name,
		.file = file,
		.line = line,
		.why = why,
	};

	atomic_fetch_add_explicit(&s->bad_lines, 1, memory_order_relaxed);
	if (s->listener.complain)
		s->listener.complain(s->listener.arg, &complaint);
}

void source_notice(struct source *s, const char *file, const char *why)
{
	const struct source_complaint notice = { .source = s->name, .file = file, .why = why };

	if (s->listener.notice)
		s->listener.notice(s->listener.arg, &notice);
}

int source_poll(struct pollfd *fds, nfds_t n, int timeout_ms)
{
	if (poll(fds, n, timeout_ms) < 0) {
		if (errno != EINTR)
			return -errno;
		for (nfds_t i = 0; i < n; i++)
			fds[i].revents = 0;
	}
	return fds[0].revents != 0 ? -ECANCELED : 0;
}
