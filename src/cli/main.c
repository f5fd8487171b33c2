/* SPDX-License-Identifier: Apache-2.0 */
/* main() of penstock(1): finds the command and runs it. */
#include "config.h"

#include "base/log.h"
#include "base/process.h"
#include "cli/cli.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help;
} commands[] = {
	{ "fetch", cli_fetch, "fetch a list of URLs; results go to standard output as JSON Lines" },
	{ "submit", cli_submit, "hand the jobs in files over to the daemon; may wait for them" },
	{ "results", cli_results, "write the results that the daemon has, and follow them" },
	{ "requeue", cli_requeue, "make new jobs of dead ones" },
	{ "audit", cli_audit, "prove from the files that every accepted job is accounted for" },
	{ "status", cli_status, "say what the daemon is doing, and how deep its queue is" },
	{ "top", cli_top, "watch the daemon on a full screen; pause and resume its lanes" },
	{ "why", cli_why, "say why a job is where it is" },
	{ "lanes", cli_lanes, "list the origins with most jobs, and what is in their way" },
	{ "pause", cli_pause, "let no fetch start, to an origin or at all" },
	{ "resume", cli_resume, "end a pause" },
	{ "drain", cli_drain, "have the daemon take no more jobs, and wait until it has none" },
	{ "set", cli_set, "change settings of the daemon while it runs" },
	{ "reload", cli_reload, "have the daemon read its settings again" },
	{ "log-level", cli_log_level, "say how much the daemon logs, or change it" },
};

static void print_help(FILE *out)
{
	(void) fprintf(out, "Usage: penstock COMMAND [OPTION]...\n"
	                    "Fetch URLs with backpressure: bounded memory whatever the input.\n\n"
	                    "Commands:\n");
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		(void) fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].help);
	(void) fprintf(out, "\n"
	                    "  -h, --help     print this and exit\n"
	                    "  -V, --version  print the version and exit\n\n"
	                    "penstock COMMAND --help tells more; so does the manual page penstock(1).\n");
}

static int print_version(void)
{
	const curl_version_info_data *curl = curl_version_info(CURLVERSION_NOW);

	(void) printf("penstock %s (libcurl %s, %s)\n", PACKAGE_VERSION, curl->version,
	              curl->ssl_version ? curl->ssl_version : "without TLS");
	return EXIT_OK;
}

int main(int argc, char **argv)
{
	static char help_option[] = "--help";

	process_prepare();
	log_open("penstock", LOG_LEVEL_INFO);

	if (argc < 2) {
		print_help(stderr);
		return EXIT_USAGE;
	}
	if (strcmp(argv[1], "help") == 0 && argc > 2) { /* help COMMAND: as COMMAND --help */
		argv[1] = argv[2];
		argv[2] = help_option;
	}
	if (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0 ||
	    strcmp(argv[1], "help") == 0) {
		print_help(stdout);
		return EXIT_OK;
	}
	if (strcmp(argv[1], "-V") == 0 || strcmp(argv[1], "--version") == 0)
		return print_version();

	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].run(argc - 1, argv + 1);
	log_error("there is no command \"%s\"; see penstock --help", argv[1]);
	return EXIT_USAGE;
}
