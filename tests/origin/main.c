/* SPDX-License-Identifier: Apache-2.0
 *
 * penstock-origin: the web server that penstock's tests, demos and benchmarks fetch from.
 *
 * It serves HTTP/1.1 on loopback only, quickly, and can misbehave in every way a fetch daemon has
 * to survive.  One thread, one epoll loop.  The files, from the bottom up:
 *
 *     attr, clock            compiler attributes; the time
 *     text, buf              slices of text and their parsers; growing runs of bytes
 *     timers, loop           a heap of timers; the event loop
 *     input, request, body   reading a request: its bytes, its head, its body
 *     answer                 what is sent: bytes, pace, ending
 *     tally, origin          counts by name; everything remembered across requests
 *     routes                 path -> handler, which routes_sound, _faulty, _report hold
 *     conn                   one connection: requests in, answers out
 *     server                 the listener, signals, start and stop
 *     main                   the command line
 */
#include "answer.h"
#include "server.h"
#include "text.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_USAGE = 64 }; /* EX_USAGE of sysexits.h */

static const char usage[] =
	"Usage: penstock-origin [OPTION]...\n"
	"Serves HTTP test answers on loopback; prints its port on stdout once it listens.\n"
	"\n"
	"  --address ADDRESS   listen there: one of 127.0.0.0/8, all of them by that name,\n"
	"                      or ::1 (default 127.0.0.1)\n"
	"  --port N            listen on this port (default 0: any free one)\n"
	"  --backlog N         connections that may wait to be accepted (default 4096)\n"
	"  --seed N            seed of random delays (default 1)\n"
	"  --remember          remember requests by target, for /_path\n"
	"  --exit-with-stdin   end when stdin ends\n"
	"  --help              print this\n"
	"\n"
	"SIGTERM and SIGINT end it.  Exit status: 0; 1 for a failure; 64 for wrong usage.\n";

static void print_port(uint16_t port)
{
	(void) printf("%u\n", (unsigned) port);
	(void) fflush(stdout);
}

/* Reads the number of an option, or complains. */
static int read_number(const char *name, const char *text, uint64_t max, uint64_t *ret_number)
{
	int r = text_number(slice_of(text), max, ret_number);
	if (r < 0)
		(void) fprintf(stderr,
			       "penstock-origin: --%s needs a number up to %llu, not '%s'\n",
			       name, (unsigned long long) max, text);
	return r;
}

static const struct option long_options[] = {
	{ "address", required_argument, NULL, 'a' },
	{ "port", required_argument, NULL, 'p' },
	{ "backlog", required_argument, NULL, 'b' },
	{ "seed", required_argument, NULL, 's' },
	{ "remember", no_argument, NULL, 'r' },
	{ "exit-with-stdin", no_argument, NULL, 'x' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

/* Applies one option, whose name is its entry's in 'long_options'. */
static int apply_option(int letter, const char *name, struct server_options *options)
{
	uint64_t number = 0;
	int r = 0;

	switch (letter) {
	case 'a':
		options->address = optarg;
		break;
	case 'p':
		r = read_number(name, optarg, UINT16_MAX, &number);
		options->port = (uint16_t) number;
		break;
	case 'b':
		r = read_number(name, optarg, INT32_MAX, &number);
		options->backlog = (int) number;
		break;
	case 's':
		r = read_number(name, optarg, UINT64_MAX, &options->seed);
		break;
	case 'r':
		options->remembers = true;
		break;
	case 'x':
		options->exits_with_stdin = true;
		break;
	default:
		r = -EINVAL; /* getopt_long() has said why */
	}
	return r;
}

/* Returns 0, -EINVAL after a complaint, or -ECANCELED when only --help was wanted. */
static int read_options(int argc, char *argv[], struct server_options *options)
{
	int index = 0;

	for (int c; (c = getopt_long(argc, argv, "", long_options, &index)) != -1;) {
		if (c == 'h') {
			(void) fputs(usage, stdout);
			return -ECANCELED;
		}
		if (apply_option(c, long_options[index].name, options) < 0)
			return -EINVAL;
	}
	if (optind < argc) {
		(void) fprintf(stderr, "penstock-origin: unexpected argument '%s'\n", argv[optind]);
		return -EINVAL;
	}
	return 0;
}

/* Explains why the server ended, and returns the exit status. */
static int report(int error, const struct server_options *options)
{
	if (error == 0)
		return EXIT_SUCCESS;
	if (error == -EINVAL) {
		(void) fprintf(stderr, "penstock-origin: '%s' is not a loopback address; use "
				       "127.0.0.0/8 or ::1\n", options->address);
		return EXIT_USAGE;
	}
	if (error == -EPERM && options->exits_with_stdin) {
		(void) fputs("penstock-origin: --exit-with-stdin needs a pipe or a terminal\n",
			     stderr);
		return EXIT_USAGE;
	}
	(void) fprintf(stderr, "penstock-origin: cannot serve on %s port %u: %s\n",
		       options->address, (unsigned) options->port, strerror(-error));
	return EXIT_FAILURE;
}

int main(int argc, char *argv[])
{
	struct server_options options = {
		.address = "127.0.0.1",
		.backlog = 4096,
		.seed = 1,
	};

	int r = read_options(argc, argv, &options);
	if (r < 0)
		return r == -ECANCELED ? EXIT_SUCCESS : EXIT_USAGE;
	answer_prepare_filling();
	return report(server_run(&options, print_port), &options);
}
