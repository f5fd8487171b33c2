/* SPDX-License-Identifier: Apache-2.0 */
/* main() of penstockd(8): reads the command line and runs the daemon in the foreground. */
#include "config.h"

#include "base/log.h"
#include "base/process.h"
#include "daemon/daemon.h"
#include "daemon/journal.h"
#include "daemon/paths.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { OPT_CHECK = 256, OPT_SET };

static const struct option long_options[] = {
	{ "config", required_argument, NULL, 'c' },
	{ "set", required_argument, NULL, OPT_SET },
	{ "check", no_argument, NULL, OPT_CHECK },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 },
};

static void print_help(void)
{
	(void) printf("Usage: penstockd [OPTION]...\n"
	              "Fetch what the configured sources bring, in the foreground, until it is told to stop.\n\n"
	              "  -c, --config FILE    settings; see penstock.conf(5)\n"
	              "      --set KEY=VALUE  one setting, such as workers=16\n"
	              "      --check          print the settings in force and what follows from them\n"
	              "  -h, --help           print this and exit\n"
	              "  -V, --version        print the version and exit\n\n"
	              "Signals: HUP reads the settings again, TERM and INT stop (twice: now), USR1 opens\n"
	              "the results file anew, USR2 logs the state. See penstockd(8).\n");
}

/* Returns -1 to go on, or an exit code. */
static int read_options(int argc, char **argv, struct daemon_options *options, char **overrides)
{
	int option = 0;

	while ((option = getopt_long(argc, argv, "c:hV", long_options, NULL)) != -1) {
		switch (option) {
		case 'c':
			options->config_path = optarg;
			break;
		case OPT_SET:
			overrides[options->n_overrides++] = optarg;
			break;
		case OPT_CHECK:
			options->check = true;
			break;
		case 'h':
			print_help();
			return DAEMON_OK;
		case 'V':
			(void) printf("penstockd %s\n", PACKAGE_VERSION);
			return DAEMON_OK;
		default: /* getopt_long() has said what is wrong */
			log_error("see penstockd --help");
			return DAEMON_USAGE;
		}
	}
	if (optind < argc) {
		log_error("%s: penstockd takes no arguments; sources stand in the configuration",
		          argv[optind]);
		return DAEMON_USAGE;
	}
	return -1;
}

int main(int argc, char **argv)
{
	struct daemon_options options = { 0 };
	char *preset_path = NULL;
	char **overrides = calloc((size_t) argc, sizeof(char *));

	process_prepare();
	log_open("penstockd", LOG_LEVEL_INFO);
	journal_choose_sink();

	int code = overrides ? read_options(argc, argv, &options, overrides) : DAEMON_INTERNAL;
	if (code < 0 && !options.config_path)
		options.config_path = preset_path = paths_config();
	if (code < 0 && preset_path && access(preset_path, F_OK) < 0 && errno == ENOENT) {
		log_error("%s: there are no settings; name a file of them: -c FILE", preset_path);
		code = DAEMON_CONFIG;
	}
	if (code < 0) {
		options.overrides = overrides;
		code = options.config_path ? daemon_run(&options) : DAEMON_INTERNAL;
	}
	free(preset_path);
	free(overrides);
	return code;
}
