/* SPDX-License-Identifier: Apache-2.0 */
/* What is kept: the backlog and what it tells, the ledger, the log that is made whole from it at
 * the start, and bodies. */
#include "engine/parts.h"

#include "backlog/memory.h"
#include "backlog/sqlite.h"
#include "base/clock.h"
#include "base/crash.h"
#include "base/event.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- what the backlog tells -------------------------------------------------------- */

static void on_ready(void *arg)
{
	struct engine *e = arg;
	struct feeder *feeder = atomic_load(&e->feeder);

	if (feeder)
		feeder_wake(feeder);
}

static void on_expiring(void *arg)
{
	struct engine *e = arg;
	struct feeder *feeder = atomic_load(&e->feeder);

	if (feeder)
		feeder_expire(feeder);
}

static void on_accepted(void *arg, size_t n)
{
	struct engine *e = arg;

	ledger_accept(e->ledger, n);
}

static void on_backlog_trouble(void *arg, int error, const char *text)
{
	(void) arg;
	if (error < 0)
		log_event(LOG_LEVEL_ERROR, LOG_EVENT_BACKLOG_FAILING,
		          "the backlog cannot be written: %s; nothing accepted is lost, new jobs wait or are "
		          "refused", text);
	else
		log_event(LOG_LEVEL_INFO, LOG_EVENT_BACKLOG_WELL, "the backlog can be written again");
}

/* --- the backlog and the ledger ---------------------------------------------------- */

static int open_backlog(struct engine *e, struct buf *errors)
{
	const struct settings *s = e->options.settings;
	const struct backlog_listener listener = {
		.ready = on_ready,
		.expiring = on_expiring,
		.accepted = on_accepted,
		.trouble = on_backlog_trouble,
		.arg = e,
	};
	const struct memory_backlog_options memory = {
		.max_jobs = settings_max_jobs(s),
		.max_bytes = settings_max_backlog_bytes(s),
		.ageing_ns = s->backlog.ageing_ns,
		.listener = listener,
	};
	const struct sqlite_backlog_options sqlite = {
		.path = e->options.database,
		.max_jobs = settings_max_jobs(s),
		.max_bytes = settings_max_backlog_bytes(s),
		.min_free_bytes = s->backlog.min_free,
		.max_out_bytes = settings_max_out_bytes(s),
		.remember_ns = s->results.remember_ns,
		.ageing_ns = s->backlog.ageing_ns,
		.blamed = e->options.blamed,
		.listener = listener,
	};

	if (!e->options.database)
		return memory_backlog_create(&memory, &e->backlog);
	int r = sqlite_backlog_open(&sqlite, &e->backlog, errors);
	if (r == 0)
		crash_pardon(); /* the database has taken note, whatever becomes of this start */
	return r == 0 || r == -ENOMEM ? r : -EBADFD;
}

static int open_ledger(struct engine *e)
{
	struct backlog_stats stats;
	struct ledger_balance balance;

	backlog_stats(e->backlog, &stats);
	if (stats.held_jobs > 0)
		log_info("%zu %s of the last run", stats.held_jobs,
		         stats.held_jobs == 1 ? "job goes on" : "jobs go on");
	balance = (struct ledger_balance) {
		.accepted = stats.accepted,
		.jobs = {
			[LEDGER_WAITING] = stats.held_jobs,
			[LEDGER_DONE] = stats.settled[OUTCOME_DONE],
			[LEDGER_DEAD] = stats.settled[OUTCOME_DEAD],
			[LEDGER_CANCELLED] = stats.settled[OUTCOME_CANCELLED],
		},
	};
	return ledger_create(&balance, &e->ledger);
}

/* --- the log ----------------------------------------------------------------------- */

static int next_records(void *arg, uint64_t after_seq, struct buf *lines, uint64_t *ret_last_seq)
{
	struct engine *e = arg;

	return backlog_history(e->backlog, after_seq, lines, ret_last_seq);
}

static int keep_position(void *arg, uint64_t seq, const struct results_position *position)
{
	struct engine *e = arg;

	return recorder_mark(e->backlog, seq, position);
}

static int recover_log(struct engine *e, struct results_recovery *ret_found)
{
	const struct results_store store = { .next = next_records, .keep = keep_position, .arg = e };
	struct results_position position;
	struct buf text = { 0 };
	uint64_t seq = 0;

	int r = backlog_marked(e->backlog, &seq, &text);
	buf_add_char(&text, '\0');
	if (r == 0 && text.failed)
		r = -ENOMEM;
	bool known = r == 0 && results_position_read(text.data, &position) == 0;
	if (r == 0)
		r = results_recover(e->options.results, known ? &position : NULL, seq, &store,
		                    ret_found);
	buf_done(&text);
	return r;
}

static int make_log_whole(struct engine *e, struct buf *errors)
{
	struct results_recovery found;

	int r = recover_log(e, &found);
	if (r < 0) {
		buf_printf(errors, "the results cannot be brought up to the backlog: %s\n",
		           strerror(-r));
		return -EBADFD;
	}
	if (found.lost)
		log_warning("the results are not as the last run left them: the file was truncated, "
		            "replaced or removed; penstock audit says what is missing");
	if (found.cut_bytes > 0)
		log_warning("%llu bytes at the end of the results were no records, and were cut off",
		            (unsigned long long) found.cut_bytes);
	if (found.missing > 0)
		log_info("%llu records that the last run could not write were added to the results",
		         (unsigned long long) found.missing);
	return 0;
}

int engine_open_store(struct engine *e, struct buf *errors)
{
	int r = open_backlog(e, errors);
	if (r == 0)
		r = open_ledger(e);
	if (r == 0 && e->backlog->durable)
		r = make_log_whole(e, errors);
	return r;
}

/* --- bodies ------------------------------------------------------------------------ */

static void on_bodies_trouble(void *arg, int error)
{
	struct engine *e = arg;

	if (error < 0)
		log_event(LOG_LEVEL_ERROR, LOG_EVENT_BODIES_FAILING, "%s: bodies cannot be kept: %s%s",
		          e->options.bodies_dir, strerror(-error),
		          e->options.stalls ? "; nothing is lost, fetching waits until they can" : "");
	else
		log_event(LOG_LEVEL_INFO, LOG_EVENT_BODIES_WELL, "%s: bodies can be kept again",
		          e->options.bodies_dir);
	event_raise(e->event_fd);
}

int engine_open_bodies(struct engine *e, struct buf *errors)
{
	const struct settings *s = e->options.settings;
	const struct bodies_options options = {
		.mode = (enum bodies_mode) s->results.bodies,
		.max_inline = s->results.max_inline,
		.inline_memory = s->results.inline_memory,
		.dir = e->options.bodies_dir,
		.durable = e->backlog->durable,
		.trouble = on_bodies_trouble,
		.arg = e,
	};

	if (options.mode == BODIES_NONE)
		return 0;
	int r = bodies_open(&options, &e->bodies);
	if (r == 0 || r == -ENOMEM)
		return r;
	buf_printf(errors, "%s: bodies cannot be kept here: %s\n", options.dir, strerror(-r));
	return -ENOTDIR;
}

/* --- poison ------------------------------------------------------------------------ */

static void set_aside(struct engine *e, uint64_t number)
{
	struct query q = { .kind = QUERY_TAKE, .number = number };

	if (backlog_query_and_wait(e->backlog, &q) < 0)
		return; /* if the disk fails, there is a next start */
	const struct log_fields about = {
		.event = LOG_EVENT_JOB_POISONED,
		.origin = q.job->origin.text,
	};
	log_about(LOG_LEVEL_ERROR, &about, "job number %llu crashed the daemon %d times: it is dead now",
	          (unsigned long long) number, SQLITE_BACKLOG_MAX_CRASHES);
	ledger_move(e->ledger, LEDGER_WAITING, LEDGER_RUNNING, 1);
	(void) engine_record_unfetched(e, q.job, OUTCOME_DEAD,
	                               "poison: the daemon crashed while fetching it", true);
}

void engine_set_aside_poisoned(struct engine *e)
{
	uint64_t number = 0;

	while (e->backlog->durable && (number = sqlite_backlog_poisoned(e->backlog, number)) > 0)
		set_aside(e, number);
}
