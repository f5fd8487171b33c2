/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/progress.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/units.h"

#include <sys/ioctl.h>
#include <unistd.h>

typedef unsigned long long ull; /* for %llu */

static uint64_t finals(const struct engine_stats *stats)
{
	return stats->ledger.jobs[LEDGER_DONE] + stats->ledger.jobs[LEDGER_DEAD];
}

void progress_start(struct progress *p, uint64_t now_ns)
{
	*p = (struct progress) { .start_ns = now_ns, .last_ns = now_ns };
}

/* --- the line ---------------------------------------------------------------------- */

/* Moves a rate towards what it was since the last line; a second is its memory. */
static double smooth(double rate, uint64_t n, double seconds)
{
	double weight = seconds / (seconds + 1);
	return rate == 0 ? (double) n / seconds : rate + weight * ((double) n / seconds - rate);
}

static void measure(struct progress *p, const struct engine_stats *stats, uint64_t now_ns)
{
	double seconds = (double) (now_ns - p->last_ns) / (double) NS_PER_S;
	if (seconds <= 0)
		return;

	p->jobs_rate = smooth(p->jobs_rate, finals(stats) - p->last_final, seconds);
	p->bytes_rate = smooth(p->bytes_rate, stats->workers.body_bytes - p->last_bytes, seconds);
	p->last_final = finals(stats);
	p->last_bytes = stats->workers.body_bytes;
	p->last_ns = now_ns;
}

/* How many jobs there will be: known once all sources have ended, guessed from
 * the part of their files that has been read, or 0. */
static uint64_t expected_jobs(const struct engine_stats *stats, bool *ret_exact)
{
	const struct source_stats *sources = &stats->intake.sources;

	*ret_exact = stats->intake.reading == 0;
	if (*ret_exact)
		return stats->ledger.accepted;
	if (stats->intake.unmeasured > 0 || sources->bytes_read == 0)
		return 0;
	double part = (double) sources->bytes_read / (double) sources->bytes_total;
	return part >= 1 ? stats->ledger.accepted : (uint64_t) ((double) stats->ledger.accepted / part);
}

static void add_time_left(struct buf *b, const struct progress *p, uint64_t left)
{
	if (p->jobs_rate < 0.1)
		return;
	buf_add_str(b, "  ETA ");
	units_add_duration_rough(b, (uint64_t) ((double) left / p->jobs_rate) * NS_PER_S);
}

static void compose(struct buf *b, const struct progress *p, const struct engine_stats *stats)
{
	bool exact = false;
	uint64_t final = finals(stats);
	uint64_t expected = expected_jobs(stats, &exact);

	buf_add_u64(b, final);
	if (expected > 0)
		buf_printf(b, "/%s%llu", exact ? "" : "~", (ull) expected);
	buf_printf(b, " done  %.0f/s  ", p->jobs_rate);
	units_add_size_rough(b, (uint64_t) p->bytes_rate);
	buf_printf(b, "/s  queue %zu/%zu  failed %llu", stats->queue.depth_jobs,
	           stats->queue.capacity_jobs,
	           (ull) (stats->ledger.jobs[LEDGER_DEAD] + stats->intake.sources.bad_lines));
	if (backlog_is_blocked(&stats->backlog))
		buf_add_str(b, "  blocked: backlog full of jobs that may not run now");
	else if (stats->backlog.delayed > 0)
		buf_printf(b, "  retrying %zu", stats->backlog.delayed);
	if (stats->backlog.by_reason[WAIT_RETRY_AFTER] > 0)
		buf_printf(b, "  held by Retry-After %zu", stats->backlog.by_reason[WAIT_RETRY_AFTER]);
	if (expected > final)
		add_time_left(b, p, expected - final);
}

static size_t terminal_width(void)
{
	struct winsize size = { 0 };

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
		return 80;
	return size.ws_col;
}

void progress_show(const char *text, size_t len)
{
	struct buf line = { 0 };
	size_t width = terminal_width();

	buf_add_str(&line, "\r\033[K");
	buf_add(&line, text, len < width ? len : width - 1);
	if (!line.failed) {
		log_set_redrawn_line(true);
		ssize_t written = write(STDERR_FILENO, line.data, line.len);
		(void) written; /* a line that is not seen is no loss */
	}
	buf_done(&line);
}

void progress_draw(struct progress *p, const struct engine_stats *stats, uint64_t now_ns)
{
	struct buf line = { 0 };

	measure(p, stats, now_ns);
	compose(&line, p, stats);
	if (!line.failed)
		progress_show(line.data, line.len);
	buf_done(&line);
}

void progress_log(struct progress *p, const struct engine_stats *stats, uint64_t now_ns)
{
	struct buf line = { 0 };

	measure(p, stats, now_ns);
	compose(&line, p, stats);
	buf_add_str(&line, "  sources waited ");
	units_add_duration_rough(&line, stats->intake.blocked_ns);
	buf_add_char(&line, '\0');
	if (!line.failed)
		log_info("%s", line.data);
	buf_done(&line);
}

void progress_wipe(void)
{
	ssize_t written = write(STDERR_FILENO, "\r\033[K", 4);
	(void) written;
	log_set_redrawn_line(false);
}

/* --- the summary ------------------------------------------------------------------- */

static const char *plural(uint64_t n) { return n == 1 ? "" : "s"; }

void progress_summarise(const struct progress *p, const struct engine_stats *stats, uint64_t now_ns)
{
	uint64_t span_ns = now_ns - p->start_ns;
	uint64_t retries = stats->workers.retries;
	struct buf b = { 0 };

	buf_printf(&b, "%llu job%s: %llu done, %llu dead", (ull) stats->ledger.accepted,
	           plural(stats->ledger.accepted), (ull) stats->ledger.jobs[LEDGER_DONE],
	           (ull) stats->ledger.jobs[LEDGER_DEAD]);
	if (stats->ledger.accepted > finals(stats))
		buf_printf(&b, ", %llu not finished", (ull) (stats->ledger.accepted - finals(stats)));
	if (retries > 0)
		buf_printf(&b, "; %llu retr%s", (ull) retries, retries == 1 ? "y" : "ies");
	if (stats->intake.sources.bad_lines > 0)
		buf_printf(&b, "; %llu bad line%s skipped",
		           (ull) stats->intake.sources.bad_lines,
		           plural(stats->intake.sources.bad_lines));
	buf_add_str(&b, "; ");
	units_add_size_rough(&b, stats->workers.body_bytes);
	buf_add_str(&b, " in ");
	units_add_duration_rough(&b, span_ns);
	if (span_ns > 0)
		buf_printf(&b, ", %.0f/s", (double) finals(stats) * (double) NS_PER_S / (double) span_ns);
	buf_add_char(&b, '\0');
	if (!b.failed)
		log_info("%s", b.data);
	buf_done(&b);
}
