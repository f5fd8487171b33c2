/* SPDX-License-Identifier: Apache-2.0 */
#include "source/schedule.h"

#include "base/clock.h"
#include "base/random.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

/*
 * Rounds are planned on a grid: the n-th at n × every_ns after the start, each
 * late by its own part of the jitter.  So neither jitter nor slow rounds add up.
 */
struct schedule {
	struct source source;
	char *name;   /* owned */
	char **lines; /* owned, and each; all of them can be parsed */
	size_t n_lines;
	size_t next_line; /* of this round; n_lines once it is complete */
	uint64_t every_ns;
	uint64_t jitter_ns;
	uint64_t planned_ns; /* the next round, on the grid (CLOCK_MONOTONIC) */
	uint64_t due_ns;     /* the same with its jitter; the timer is set to it */
	int timer_fd;
	struct random random;
	struct url_parser *parser;
	struct buf why; /* a line's complaint; kept for its memory */
	bool ended;
};

/* --- rounds ------------------------------------------------------------------------- */

static int set_timer(struct schedule *s)
{
	const struct itimerspec at = { .it_value = clock_timespec(s->due_ns) };

	return timerfd_settime(s->timer_fd, TFD_TIMER_ABSTIME, &at, NULL) < 0 ? -errno : 0;
}

/* Plans the round after the one that begins 'late_ns' after it was due. */
static int plan_next_round(struct schedule *s, uint64_t late_ns)
{
	/* What should have begun in the meantime is this round, too. */
	uint64_t missed_ns = late_ns - late_ns % s->every_ns;

	s->planned_ns = clock_after(clock_after(s->planned_ns, missed_ns), s->every_ns);
	s->due_ns = clock_after(s->planned_ns, random_up_to(&s->random, s->jitter_ns));
	atomic_store_explicit(&s->source.lag, s->due_ns, memory_order_relaxed);
	return set_timer(s);
}

/* Waits until a round is due, and begins it. */
static int begin_round(struct schedule *s)
{
	struct pollfd fds[] = {
		{ .fd = s->source.stop_fd, .events = POLLIN },
		{ .fd = s->timer_fd, .events = POLLIN },
	};

	do {
		int r = source_poll(fds, ARRAY_LEN(fds), -1);
		if (r < 0)
			return r;
	} while (fds[1].revents == 0);

	/* Setting the timer anew also makes it unreadable again. */
	uint64_t now = clock_now_ns();
	int r = plan_next_round(s, now > s->due_ns ? now - s->due_ns : 0);
	if (r == 0)
		s->next_line = 0;
	return r;
}

/* Makes the job of the next line of this round. */
static int take_line(struct schedule *s, struct job **ret_job)
{
	const char *line = s->lines[s->next_line];

	buf_clear(&s->why);
	int r = job_parse(s->parser, line, strlen(line), ret_job, &s->why);
	if (r < 0)
		return r;
	(*ret_job)->source = s->source.name;
	s->next_line++;
	return 0;
}

static int read_batch(struct schedule *s, struct job **jobs, size_t max, size_t *n)
{
	int r = 0;

	if (s->next_line == s->n_lines)
		r = begin_round(s);
	while (r == 0 && *n < max && s->next_line < s->n_lines) {
		r = take_line(s, &jobs[*n]);
		if (r == 0)
			++*n;
	}

	/* With jobs to hand over, the line is tried again by the next call. */
	return *n > 0 ? 0 : r;
}

static int schedule_read(struct source *source, struct job **ret_jobs, size_t max, size_t *ret_n)
{
	struct schedule *s = (struct schedule *) source;
	size_t n = 0;

	assert(max > 0);
	if (s->ended)
		return -ENODATA;

	int r = source_poll(&(struct pollfd) { .fd = source->stop_fd, .events = POLLIN }, 1, 0);
	if (r == 0)
		r = read_batch(s, ret_jobs, max, &n);
	if (r < 0) {
		s->ended = r != -ECANCELED;
		return r;
	}
	atomic_fetch_add_explicit(&source->jobs, n, memory_order_relaxed);
	*ret_n = n;
	return 0;
}

/* --- lifecycle ---------------------------------------------------------------------- */

static void schedule_free(struct source *source)
{
	struct schedule *s = (struct schedule *) source;

	for (size_t i = 0; i < s->n_lines; i++)
		free(s->lines[i]);
	free(s->lines);
	if (s->timer_fd >= 0)
		(void) close(s->timer_fd);
	url_parser_free(s->parser);
	buf_done(&s->why);
	free(s->name);
	free(s);
}

static const struct source_ops schedule_ops = { .read = schedule_read, .free = schedule_free };

static void complain(struct schedule *s, size_t entry)
{
	struct buf text = { 0 };

	buf_printf(&text, "entry %zu: %.*s", entry, (int) s->why.len, s->why.data);
	buf_add_char(&text, '\0');
	source_complain(&s->source, 0, text.failed ? "an entry is no job" : text.data);
	buf_done(&text);
}

/* Copies the lines that are jobs. */
static int copy_lines(struct schedule *s, const char *const *lines, size_t n)
{
	s->lines = calloc(n, sizeof(*s->lines));
	if (!s->lines)
		return -ENOMEM;

	for (size_t i = 0; i < n; i++) {
		struct job *job = NULL;
		buf_clear(&s->why);
		int r = job_parse(s->parser, lines[i], strlen(lines[i]), &job, &s->why);
		if (r == -ENOMEM)
			return r;
		if (r < 0) {
			complain(s, i + 1);
			continue;
		}
		job_free(job);

		char *copy = strdup(lines[i]);
		if (!copy)
			return -ENOMEM;
		s->lines[s->n_lines++] = copy;
	}
	return 0;
}

/* Fills in a zeroed schedule; on failure schedule_free() takes back what was done. */
static int fill_in(struct schedule *s, const struct schedule_options *options)
{
	s->name = strdup(options->name);
	if (!s->name)
		return -ENOMEM;
	s->source.name = s->name;

	int r = url_parser_create(&s->parser);
	if (r == 0)
		r = copy_lines(s, options->urls, options->n_urls);
	if (r < 0)
		return r;
	s->next_line = s->n_lines;
	s->ended = s->n_lines == 0;

	s->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (s->timer_fd < 0)
		return -errno;
	s->planned_ns = clock_now_ns();
	s->due_ns = s->planned_ns;
	atomic_store_explicit(&s->source.lag, s->due_ns, memory_order_relaxed);
	return set_timer(s);
}

int schedule_create(const struct schedule_options *options, struct source **ret_source)
{
	if (options->every_ns == 0 || options->n_urls == 0)
		return -EINVAL;

	struct schedule *s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->source.ops = &schedule_ops;
	s->source.lag_of = SOURCE_LAG_DUE;
	s->source.stop_fd = options->stop_fd;
	s->source.listener = options->listener;
	s->every_ns = options->every_ns;
	s->jitter_ns = options->jitter_ns;
	s->random = (struct random) { .state = options->seed };
	s->timer_fd = -1;

	int r = fill_in(s, options);
	if (r < 0) {
		schedule_free(&s->source);
		return r;
	}
	*ret_source = &s->source;
	return 0;
}
