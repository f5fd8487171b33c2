/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/fetch_args.h"

#include "base/log.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPT_TIMEOUT = 256, OPT_MAX_ATTEMPTS, OPT_SET, OPT_CHECK, OPT_FOLLOW,
       OPT_PER_ORIGIN, OPT_RATE, OPT_BODIES, OPT_INLINE };

static const struct option long_options[] = {
	{ "config", required_argument, NULL, 'c' },
	{ "output", required_argument, NULL, 'o' },
	{ "workers", required_argument, NULL, 'w' },
	{ "queue", required_argument, NULL, 'q' },
	{ "timeout", required_argument, NULL, OPT_TIMEOUT },
	{ "max-attempts", required_argument, NULL, OPT_MAX_ATTEMPTS },
	{ "per-origin", required_argument, NULL, OPT_PER_ORIGIN },
	{ "rate", required_argument, NULL, OPT_RATE },
	{ "bodies", required_argument, NULL, OPT_BODIES },
	{ "inline", no_argument, NULL, OPT_INLINE },
	{ "set", required_argument, NULL, OPT_SET },
	{ "follow", no_argument, NULL, OPT_FOLLOW },
	{ "quiet", no_argument, NULL, 's' },
	{ "check", no_argument, NULL, OPT_CHECK },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

/* The options that are short for a key. */
static const struct {
	int option;
	const char *key;
} keys[] = {
	{ 'o', "results.path" },
	{ 'w', "workers" },
	{ 'q', "queue.capacity" },
	{ OPT_TIMEOUT, "fetch.timeout" },
	{ OPT_MAX_ATTEMPTS, "retry.max_attempts" },
	{ OPT_PER_ORIGIN, "origins[*].concurrency" },
	{ OPT_RATE, "origins[*].rate" },
};

static void print_help(void)
{
	(void) printf(
		"Usage: penstock fetch [OPTION]... [FILE|-]...\n"
		"Fetch the URLs in FILEs, or in standard input, and write a JSON object for each.\n"
		"A line is a URL, or a JSON job such as {\"url\": \"http://…\", \"method\": \"POST\"}.\n\n"
		"  -o, --output FILE       append results to FILE, not to standard output\n"
		"  -w, --workers N         fetches at the same time (64)\n"
		"  -q, --queue N           jobs that stand ready for them (1000)\n"
		"      --timeout TIME      of one attempt, such as 30s\n"
		"      --max-attempts N    1: no retries (5)\n"
		"      --per-origin N      fetches at the same time of one server, or 0: all (0)\n"
		"      --rate RATE         fetches that begin of one server, such as 5/s (no limit)\n"
		"      --bodies DIR        keep the responses' bodies, as files in DIR\n"
		"      --inline            keep them in the results, up to 64K of each\n"
		"      --follow            wait for more lines at the end of FILE, as tail -F\n"
		"  -s, --quiet             no progress line and no summary\n"
		"  -c, --config FILE       settings; see penstock.conf(5)\n"
		"      --set KEY=VALUE     any setting, such as queue.max_bytes=64M\n"
		"      --check             print the settings in force and what follows from them\n"
		"  -h, --help              print this and exit\n\n"
		"Exit status: 0 all done, 1 some jobs failed, 7 stopped before the end,\n"
		"64 usage, 66 no input, 70 internal, 73 cannot create the output, 74 cannot write it,\n"
		"78 settings.\n");
}

/* Adds "key=value", or 'value' alone if 'key' is NULL. */
static int add_override(struct fetch_args *args, const char *key, const char *value)
{
	char *text = NULL;

	if ((key ? asprintf(&text, "%s=%s", key, value) : asprintf(&text, "%s", value)) < 0)
		return -ENOMEM;
	args->overrides[args->n_overrides++] = text;
	return 0;
}

static int take_option(struct fetch_args *args, int option)
{
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (keys[i].option == option)
			return add_override(args, keys[i].key, optarg);

	switch (option) {
	case 'c':
		args->config_path = optarg;
		return 0;
	case OPT_SET:
		return add_override(args, NULL, optarg);
	case OPT_BODIES:
		if (add_override(args, NULL, "results.bodies=files") < 0)
			return -ENOMEM;
		return add_override(args, "results.bodies_dir", optarg);
	case OPT_INLINE:
		return add_override(args, NULL, "results.bodies=inline");
	case OPT_FOLLOW:
		args->follow = true;
		return 0;
	case 's':
		args->quiet = true;
		return 0;
	case OPT_CHECK:
		args->check = true;
		return 0;
	case 'h':
		print_help();
		return 1;
	default: /* getopt_long() has said what is wrong */
		log_error("see penstock fetch --help");
		return -EINVAL;
	}
}

int fetch_args_parse(int argc, char **argv, struct fetch_args *ret_args)
{
	int option = 0, r = 0;
	static char name[] = "penstock fetch";

	/* An argument makes two overrides at most. */
	*ret_args = (struct fetch_args) { .overrides = calloc(2 * (size_t) argc, sizeof(char *)) };
	if (!ret_args->overrides)
		return -ENOMEM;

	argv[0] = name; /* what getopt_long() puts in front of its messages */
	while (r == 0 && (option = getopt_long(argc, argv, "c:o:w:q:sh", long_options, NULL)) != -1)
		r = take_option(ret_args, option);
	ret_args->files = argv + optind;
	ret_args->n_files = (size_t) (argc - optind);
	return r;
}

void fetch_args_done(struct fetch_args *args)
{
	for (size_t i = 0; i < args->n_overrides; i++)
		free(args->overrides[i]);
	free(args->overrides);
	*args = (struct fetch_args) { 0 };
}
