/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/intake.h"

#include "base/clock.h"
#include "base/event.h"
#include "base/thread.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

enum { INTAKE_MAX_BATCH = 512 };

/* One source and its thread. */
struct inlet {
	struct intake *in;
	struct inlet *next;
	struct source *source;
	pthread_t thread;
	bool started;
	struct buf cursor; /* the thread's own */
	atomic_bool ended;
	atomic_bool complete;              /* at its own end */
	_Atomic int64_t read_wall_us;
	_Atomic uint64_t blocked_ns;       /* in submits that have ended, minus the start of one that
	                                    * goes on (modulo 2^64), which makes it "negative" */
};

struct intake {
	struct intake_options options;
	int stop_fd; /* an eventfd; readable for ever once stopped */
	struct inlet *inlets; /* immutable after intake_start() */
};

/* --- one source -------------------------------------------------------------------- */

static int submit(struct inlet *inlet, struct job *const *jobs, size_t n, const char *cursor)
{
	struct submission s = {
		.jobs = jobs,
		.n = n,
		.source = inlet->source->name,
		.cursor = cursor,
		.waits = true,
	};

	(void) atomic_fetch_sub(&inlet->blocked_ns, clock_now_ns());
	int r = backlog_submit_and_wait(inlet->in->options.backlog, &s);
	(void) atomic_fetch_add(&inlet->blocked_ns, clock_now_ns());
	return r;
}

/* Submits what cannot be submitted together one by one, the cursor with the last; what is too
 * large even alone is no job. */
static int submit_singly(struct inlet *inlet, struct job **jobs, size_t n, const char *cursor)
{
	int r = 0;

	for (size_t i = 0; i < n; i++) {
		bool last = i == n - 1;
		if (r == 0)
			r = submit(inlet, &jobs[i], 1, last ? cursor : NULL);
		if (r < 0)
			job_free(jobs[i]);
		if (r != -EMSGSIZE)
			continue;
		source_complain(inlet->source, 0, "a job is too large for backlog.max_bytes");
		r = last && cursor ? submit(inlet, NULL, 0, cursor) : 0;
	}
	return r;
}

static int submit_batch(struct inlet *inlet, struct job **jobs, size_t n, const char *cursor)
{
	for (size_t i = 0; i < n; i++)
		jobs[i]->source = inlet->source->name;

	int r = submit(inlet, jobs, n, cursor);
	if (r == -EMSGSIZE)
		return submit_singly(inlet, jobs, n, cursor);
	for (size_t i = 0; r < 0 && i < n; i++)
		job_free(jobs[i]);
	return r;
}

static int hand_over(struct inlet *inlet, struct job **jobs, size_t n)
{
	struct buf *cursor = &inlet->cursor;

	if (n > 0)
		atomic_store(&inlet->read_wall_us, clock_wall_us());
	buf_clear(cursor);
	if (inlet->in->options.backlog->durable)
		source_position(inlet->source, cursor);
	if (cursor->len > 0)
		buf_add_char(cursor, '\0');
	if (cursor->failed)
		buf_done(cursor); /* without it, lines are read again at worst after a crash */
	int r = n > 0 || cursor->len > 0
	                ? submit_batch(inlet, jobs, n, cursor->len > 0 ? cursor->data : NULL)
	                : 0;
	return r < 0 ? r : source_accepted(inlet->source);
}

static void *run(void *arg)
{
	struct inlet *inlet = arg;
	const struct intake_options *o = &inlet->in->options;
	struct job *jobs[INTAKE_MAX_BATCH];
	size_t max = o->max_batch < INTAKE_MAX_BATCH ? o->max_batch : INTAKE_MAX_BATCH;
	int r = 0;

	while (r == 0) {
		size_t n = 0;
		r = source_read(inlet->source, jobs, max, &n);
		if (r == 0)
			r = hand_over(inlet, jobs, n);
	}
	atomic_store(&inlet->complete, r == -ENODATA);
	bool regular = r == -ENODATA || r == -ECANCELED || r == -EPIPE;
	atomic_store(&inlet->ended, true);
	o->ended(o->arg, inlet->source->name, regular ? 0 : r);
	return NULL;
}

/* --- all of them ------------------------------------------------------------------- */

int intake_create(const struct intake_options *options, struct intake **ret_intake)
{
	struct intake *in = malloc(sizeof(*in));
	if (!in)
		return -ENOMEM;

	*in = (struct intake) {
		.options = *options,
		.stop_fd = event_create(),
	};
	if (in->stop_fd < 0) {
		int r = in->stop_fd;
		free(in);
		return r;
	}
	*ret_intake = in;
	return 0;
}

int intake_stop_fd(const struct intake *in) { return in->stop_fd; }

int intake_add(struct intake *in, struct source *source)
{
	struct inlet *inlet = calloc(1, sizeof(*inlet));
	if (!inlet) {
		source_free(source);
		return -ENOMEM;
	}
	inlet->in = in;
	inlet->source = source;
	struct inlet **end = &in->inlets;
	while (*end)
		end = &(*end)->next;
	*end = inlet;
	return 0;
}

int intake_start(struct intake *in)
{
	for (struct inlet *inlet = in->inlets; inlet; inlet = inlet->next) {
		int r = thread_start(&inlet->thread, "source", THREAD_STACK_PARSER, run, inlet);
		if (r < 0)
			return r;
		inlet->started = true;
	}
	return 0;
}

void intake_stop(struct intake *in)
{
	event_raise(in->stop_fd);
}

struct intake *intake_free(struct intake *in)
{
	if (!in)
		return NULL;

	intake_stop(in);
	for (struct inlet *inlet = in->inlets, *next; inlet; inlet = next) {
		next = inlet->next;
		if (inlet->started)
			thread_join(inlet->thread);
		source_free(inlet->source);
		buf_done(&inlet->cursor);
		free(inlet);
	}
	(void) close(in->stop_fd);
	free(in);
	return NULL;
}

bool intake_has_ended(struct intake *in)
{
	for (struct inlet *inlet = in->inlets; inlet; inlet = inlet->next)
		if (!atomic_load(&inlet->ended))
			return false;
	return true;
}

bool intake_is_complete(struct intake *in)
{
	for (struct inlet *inlet = in->inlets; inlet; inlet = inlet->next)
		if (!atomic_load(&inlet->complete))
			return false;
	return true;
}

/* Never less than it was: the time belongs to the value if that is the same before and after. */
static uint64_t blocked_ns(struct inlet *inlet)
{
	uint64_t before = 0, after = atomic_load(&inlet->blocked_ns), now_ns = 0;

	do {
		before = after;
		now_ns = clock_now_ns();
		after = atomic_load(&inlet->blocked_ns);
	} while (before != after);
	return (int64_t) after < 0 ? after + now_ns : after;
}

static void read_inlet(struct inlet *inlet, struct intake_source *ret_source)
{
	*ret_source = (struct intake_source) {
		.name = inlet->source->name,
		.blocked_ns = blocked_ns(inlet),
		.ended = atomic_load(&inlet->ended),
		.read_wall_us = atomic_load(&inlet->read_wall_us),
	};
	source_stats(inlet->source, &ret_source->stats);
}

void intake_each(struct intake *in, void (*visit)(void *arg, const struct intake_source *source),
                 void *arg)
{
	for (struct inlet *inlet = in->inlets; inlet; inlet = inlet->next) {
		struct intake_source source;
		read_inlet(inlet, &source);
		visit(arg, &source);
	}
}

static void add_source(void *arg, const struct intake_source *source)
{
	struct intake_stats *sum = arg;

	sum->sources.jobs += source->stats.jobs;
	sum->sources.bad_lines += source->stats.bad_lines;
	sum->sources.bytes_read += source->stats.bytes_read;
	sum->sources.bytes_total += source->stats.bytes_total;
	sum->reading += !source->ended;
	sum->unmeasured += source->stats.bytes_total == 0;
	sum->blocked_ns += source->blocked_ns;
}

void intake_stats(struct intake *in, struct intake_stats *ret_stats)
{
	*ret_stats = (struct intake_stats) { 0 };
	intake_each(in, add_source, ret_stats);
}
