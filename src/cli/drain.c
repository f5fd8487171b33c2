/* SPDX-License-Identifier: Apache-2.0 */
/* `penstock drain`: has the daemon work off what it has, and waits for that. */
#include "base/clock.h"
#include "base/log.h"
#include "base/units.h"
#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/patience.h"
#include "cli/progress.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define LOOK_NS (200 * NS_PER_MS)

enum { OPT_NO_WAIT = ASK_OPTIONS, OPT_TIMEOUT };

static const struct option long_options[] = {
	ASK_LONG_OPTIONS,
	{ "no-wait", no_argument, NULL, OPT_NO_WAIT },
	{ "timeout", required_argument, NULL, OPT_TIMEOUT },
	{ NULL, 0, NULL, 0 },
};

static char name[] = "penstock drain";
static const char help[] =
	"Usage: penstock drain [OPTION]...\n"
	"Have the daemon take no more jobs, for good, and work off those that it has; wait until\n"
	"none is left.  It runs on then, and can be stopped with nothing lost.\n\n"
	ASK_HELP_SOCKET
	"      --no-wait       do not wait\n"
	"      --timeout TIME  wait no longer than this, such as 10m\n"
	ASK_HELP_HELP
	"Exit status: 0, 7 interrupted, or the time is up, 64 usage, 69 no daemon answers,\n"
	"70 internal, 74 cannot write.\n";

struct drain {
	struct ask ask;
	bool no_wait;
	uint64_t timeout_ns; /* NEVER: none */
	uint64_t until_ns;
	bool draws;
	bool said_paused;
	json_t *before;      /* the ledger as it was; owned */
};

/* --- options ----------------------------------------------------------------------- */

static int take(struct ask *a, int option)
{
	struct drain *d = (struct drain *) a;

	if (option == OPT_NO_WAIT)
		d->no_wait = true;
	else if (units_parse_duration(optarg, &d->timeout_ns) < 0) {
		log_error("--timeout %s: give a time with a unit, such as 10m", optarg);
		return -EINVAL;
	}
	return 0;
}

static int check(const struct ask *a)
{
	if (a->n_names == 0)
		return 0;
	log_error("%s: penstock drain takes no such argument; see penstock drain --help",
	          a->names[0]);
	return -EINVAL;
}

/* --- watching ---------------------------------------------------------------------- */

static long long count(const json_t *object, const char *member)
{
	return (long long) json_integer_value(json_object_get(object, member));
}

static long long count_left(const json_t *ledger)
{
	return count(ledger, "accepted") - count(ledger, "done") - count(ledger, "dead") -
	       count(ledger, "cancelled");
}

static void say_paused(struct drain *d, const json_t *status)
{
	long long lanes = count(status, "paused_lanes");

	if (d->said_paused)
		return;
	d->said_paused = true;
	if (json_is_true(json_object_get(status, "paused")))
		log_warning("everything is paused: nothing is worked off until penstock resume");
	else if (lanes > 0)
		log_warning("lanes that are paused: %lld; their jobs wait until penstock resume ORIGIN", lanes);
	else
		d->said_paused = false;
}

static void draw(const struct drain *d, const json_t *ledger)
{
	struct buf line = { 0 };

	if (!d->draws)
		return;
	buf_printf(&line, "draining: %lld jobs left, %lld of them running", count_left(ledger),
	           count(ledger, "running"));
	if (!line.failed)
		progress_show(line.data, line.len);
	buf_done(&line);
}

static int say_drained(const struct drain *d, const json_t *ledger)
{
	static const char *const outcomes[] = { "done", "dead", "cancelled" };
	struct buf text = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(outcomes); i++)
		buf_printf(&text, "%s%lld %s", i > 0 ? ", " : "drained: ",
		           count(ledger, outcomes[i]) - count(d->before, outcomes[i]), outcomes[i]);
	buf_add_char(&text, '\n');
	int code = ask_print(&text);
	buf_done(&text);
	return code;
}

/* Waits a moment.  Returns EXIT_OK, or EXIT_UNFINISHED after a signal or at the end of the time. */
static int pause_watch(const struct drain *d)
{
	const struct patience patience = { .watch = { .stop_fd = d->ask.stop_fd } };
	uint64_t now_ns = clock_now_ns();
	uint64_t left_ns = d->until_ns > now_ns ? d->until_ns - now_ns : 0;

	if (left_ns == 0)
		return EXIT_UNFINISHED;
	return patience_pause(&patience, left_ns < LOOK_NS ? left_ns : LOOK_NS) < 0 ? EXIT_UNFINISHED
	                                                                            : EXIT_OK;
}

/* Looks once.  Stores whether it is over. */
static int look(struct drain *d, bool *ret_over)
{
	json_t *status = NULL;
	int code = ask_daemon(&d->ask, "/v1/status", NULL, NULL, &status);
	const json_t *ledger = json_object_get(status, "ledger");
	const char *state = json_string_value(json_object_get(status, "state"));

	if (code == EXIT_OK && !state) {
		code = ask_misunderstood(&d->ask);
	} else if (code == EXIT_OK && strcmp(state, "drained") == 0) {
		*ret_over = true;
		if (d->draws)
			progress_wipe();
		code = say_drained(d, ledger);
	} else if (code == EXIT_OK && strcmp(state, "stopping") == 0) {
		log_error("the daemon is stopped, with %lld jobs left", count_left(ledger));
		code = EXIT_UNAVAILABLE;
	} else if (code == EXIT_OK) {
		say_paused(d, status);
		draw(d, ledger);
	}
	json_decref(status);
	return code;
}

static int watch(struct drain *d)
{
	bool over = false;
	int code = EXIT_OK;

	d->draws = isatty(STDERR_FILENO);
	d->until_ns = d->timeout_ns == NEVER ? NEVER : clock_after(clock_now_ns(), d->timeout_ns);
	while (code == EXIT_OK && !over) {
		code = look(d, &over);
		if (code == EXIT_OK && !over)
			code = pause_watch(d);
	}
	if (d->draws)
		progress_wipe();
	if (code == EXIT_UNFINISHED)
		log_info("not waited for any longer; the daemon goes on draining");
	return code;
}

/* --- the command ------------------------------------------------------------------- */

static int begin(struct drain *d)
{
	struct buf question = { 0 };
	json_t *answer = NULL;

	buf_add_str(&question, "{}");
	int code = ask_daemon(&d->ask, "/v1/control/drain", &question, NULL, &answer);
	if (code == EXIT_OK && !json_is_true(json_object_get(answer, "draining")))
		code = ask_misunderstood(&d->ask);
	json_decref(answer);
	buf_done(&question);
	return code;
}

static int perform(struct ask *a)
{
	struct drain *d = (struct drain *) a;
	json_t *status = NULL;

	int code = ask_daemon(a, "/v1/status", NULL, NULL, &status);
	d->before = json_incref(json_object_get(status, "ledger"));
	json_decref(status);
	if (code == EXIT_OK)
		code = begin(d);
	if (code == EXIT_OK && !d->no_wait)
		code = watch(d);
	return code;
}

int cli_drain(int argc, char **argv)
{
	struct drain d = { .ask = { .command = name, .options = long_options, .help = help,
		                    .take = take, .check = check, .perform = perform },
		           .timeout_ns = NEVER };

	int code = ask_run(&d.ask, argc, argv);
	json_decref(d.before);
	return code;
}
