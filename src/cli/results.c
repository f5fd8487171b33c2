/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/results.h"

#include "base/log.h"
#include "base/units.h"
#include "cli/cli.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { OPT_SINCE = ASK_OPTIONS, OPT_FROM, OPT_OUTCOME };

static const struct option long_options[] = {
	ASK_LONG_OPTIONS,
	{ "follow", no_argument, NULL, 'f' },
	{ "last", required_argument, NULL, 'n' },
	{ "since", required_argument, NULL, OPT_SINCE },
	{ "from", required_argument, NULL, OPT_FROM },
	{ "outcome", required_argument, NULL, OPT_OUTCOME },
	{ NULL, 0, NULL, 0 },
};

static char name[] = "penstock results";
static const char help[] =
	"Usage: penstock results [OPTION]...\n"
	"Write the records that the daemon remembers, one JSON object a line, oldest first.\n\n"
	"  -f, --follow        go on with what is recorded, however often the daemon is restarted;\n"
	"                      without -n, --since and --from only with what is recorded from now on\n"
	"  -n, --last N        begin with the newest N\n"
	"      --since TIME    begin with what was recorded since then: a time such as\n"
	"                      2026-11-23T15:04:05Z, or how long ago, such as 10m\n"
	"      --from SEQ      begin with the record that has this \"seq\"; 0 is the oldest\n"
	"      --outcome WHAT  only those that are done, dead or cancelled; or several, as in\n"
	"                      dead,cancelled\n"
	ASK_HELP_SOCKET
	ASK_HELP_HELP
	"Exit status: 0, 1 some are not remembered any more, 7 interrupted without -f, 64 usage,\n"
	"69 no daemon answers (-f: at the beginning), 70 internal, 74 cannot write.\n";

/* --- options ----------------------------------------------------------------------- */

static int take_since(struct results_command *c)
{
	uint64_t ago_ns = 0;
	int64_t wall_us = 0;

	if (units_parse_duration(optarg, &ago_ns) == 0)
		wall_us = clock_wall_us() - (int64_t) (ago_ns / NS_PER_US);
	else if (clock_parse(optarg, &wall_us) < 0) {
		log_error("--since %s: give a time such as 2026-11-23T15:04:05Z, or how long ago, such "
		          "as 10m", optarg);
		return -EINVAL;
	}
	clock_format(wall_us > 0 ? wall_us : 0, c->since);
	return 0;
}

static bool is_number(const char *text)
{
	return *text != '\0' && strspn(text, "0123456789") == strlen(text) && strlen(text) < 20;
}

static int take_number(const char *option, const char **ret_text)
{
	*ret_text = optarg;
	if (is_number(optarg))
		return 0;
	log_error("%s %s: give a number", option, optarg);
	return -EINVAL;
}

static int take(struct ask *a, int option)
{
	struct results_command *c = (struct results_command *) a;

	switch (option) {
	case 'f':
		c->follows = true;
		return 0;
	case 'n':
		return take_number("-n", &c->last);
	case OPT_FROM:
		return take_number("--from", &c->from);
	case OPT_SINCE:
		return take_since(c);
	default:
		c->outcome = optarg;
		if (*optarg != '\0' && strspn(optarg, "abcdefghijklmnopqrstuvwxyz,") == strlen(optarg))
			return 0;
		log_error("--outcome %s: give done, dead or cancelled", optarg);
		return -EINVAL;
	}
}

static int check(const struct ask *a)
{
	if (a->n_names == 0)
		return 0;
	log_error("%s: there is nothing to name; see penstock results --help", a->names[0]);
	return -EINVAL;
}

/* --- the command ------------------------------------------------------------------------- */

/* Standard output is watched for the end of its reader, which only what can end has: epoll(7)
 * takes no regular files. */
static int watch(struct results_command *c)
{
	struct epoll_event stop = { .events = EPOLLIN }, out = { .events = 0 };

	c->stop_fd = epoll_create1(EPOLL_CLOEXEC);
	if (c->stop_fd < 0 || epoll_ctl(c->stop_fd, EPOLL_CTL_ADD, c->ask.stop_fd, &stop) < 0)
		return -errno;
	(void) epoll_ctl(c->stop_fd, EPOLL_CTL_ADD, STDOUT_FILENO, &out);
	return 0;
}

static int perform(struct ask *a)
{
	struct results_command *c = (struct results_command *) a;
	int code = EXIT_INTERNAL;

	int r = watch(c);
	if (r < 0) {
		log_error("signals cannot be waited for: %s", strerror(-r));
	} else {
		const struct unix_http_watch watch = { .stop_fd = c->stop_fd };
		c->patience = (struct patience) {
			.path = a->path, .watch = watch, .limit_ns = UINT64_MAX };
		unix_http_close(a->http);
		a->http = unix_http_open(a->path, &watch);
		if (a->http)
			code = results_read(c);
		else
			log_error("out of memory");
	}
	if (c->stop_fd >= 0)
		(void) close(c->stop_fd);
	json_decref(c->daemon);
	buf_done(&c->lines);
	buf_done(&c->problem);
	return code;
}

int cli_results(int argc, char **argv)
{
	struct results_command c = {
		.ask = { .command = name, .short_options = "hfn:", .options = long_options,
		         .help = help, .take = take, .check = check, .perform = perform },
	};

	return ask_run(&c.ask, argc, argv);
}
