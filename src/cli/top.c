/* SPDX-License-Identifier: Apache-2.0 */
/* `penstock top`: its options. */
#include "cli/top.h"

#include "base/clock.h"
#include "base/log.h"
#include "cli/cli.h"
#include "cli/interval.h"

#include <errno.h>

enum { OPT_INTERVAL = ASK_OPTIONS };

static const struct option long_options[] = {
	ASK_LONG_OPTIONS,
	{ "interval", required_argument, NULL, OPT_INTERVAL },
	{ NULL, 0, NULL, 0 },
};

static char name[] = "penstock top";
static const char help[] =
	"Usage: penstock top [OPTION]...\n"
	"Watch the daemon on a full screen: its queue and throughput in the last minutes, workers,\n"
	"sources, and lanes with what is in their way, which can be paused and resumed.  The keys are\n"
	"explained by the key h.\n\n"
	ASK_HELP_SOCKET
	"      --interval TIME  how often the daemon is asked, such as 0.5 or 500ms; default 1 second\n"
	ASK_HELP_HELP
	"Exit status: 0, 7 interrupted before anything was seen, 64 usage, or no terminal that can\n"
	"do it, 69 no daemon answers, 70 internal.\n";

static int take(struct ask *a, int option)
{
	struct top_command *c = (struct top_command *) a;

	(void) option;
	if (interval_parse(optarg, &c->interval_ns) == 0)
		return 0;
	log_error("--interval %s: give seconds, at least 0.1, such as 2", optarg);
	return -EINVAL;
}

static int check(const struct ask *a)
{
	if (a->n_names == 0)
		return 0;
	log_error("%s: penstock top takes no such argument; see penstock top --help", a->names[0]);
	return -EINVAL;
}

static int perform(struct ask *a) { return top_show((struct top_command *) a); }

int cli_top(int argc, char **argv)
{
	struct top_command c = { .ask = { .command = name, .options = long_options, .help = help,
		                          .take = take, .check = check, .perform = perform },
		                 .interval_ns = NS_PER_S };

	return ask_run(&c.ask, argc, argv);
}
