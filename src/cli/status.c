/* SPDX-License-Identifier: Apache-2.0 */
/* `penstock status`: asks the daemon, and says what it answers. */
#include "base/clock.h"
#include "base/log.h"
#include "cli/cli.h"
#include "cli/interval.h"
#include "cli/socket_path.h"
#include "cli/status_text.h"
#include "cli/unix_http.h"

#include <curl/curl.h>
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { OPT_SOCKET = 256, OPT_JSON, OPT_WATCH };

static const struct option long_options[] = {
	{ "socket", required_argument, NULL, OPT_SOCKET },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "watch", optional_argument, NULL, OPT_WATCH },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

struct status_command {
	const char *given;    /* --socket */
	char *path;           /* the one in use; owned */
	bool json;
	bool redraws;         /* the page is drawn over the one before */
	uint64_t interval_ns; /* 0: once */
	json_t *before;       /* the last answer; owned */
};

/* --- options ----------------------------------------------------------------------- */

static void print_help(void)
{
	(void) printf(
		"Usage: penstock status [OPTION]...\n"
		"Say what the daemon is doing: its queue, where every accepted job is, its sources.\n\n"
		"      --socket PATH      the daemon's control socket; else $PENSTOCK_SOCKET, else\n"
		"                         control.sock in $RUNTIME_DIRECTORY, else\n"
		"                         %s\n"
		"      --json             the daemon's own answer\n"
		"      --watch[=SECONDS]  again and again, with rates, until Ctrl-C (1)\n"
		"  -h, --help             print this and exit\n\n"
		"Exit status: 0, 64 usage, 69 no daemon answers, 70 internal, 74 cannot write.\n",
		PENSTOCK_RUNSTATEDIR "/penstock/control.sock");
}

static int take_option(struct status_command *c, int option)
{
	switch (option) {
	case OPT_SOCKET:
		c->given = optarg;
		return 0;
	case OPT_JSON:
		c->json = true;
		return 0;
	case OPT_WATCH:
		c->interval_ns = NS_PER_S;
		if (!optarg || interval_parse(optarg, &c->interval_ns) == 0)
			return 0;
		log_error("--watch=%s: give seconds, at least 0.1, such as --watch=2", optarg);
		return -EINVAL;
	case 'h':
		print_help();
		return 1;
	default: /* getopt_long() has said what is wrong */
		log_error("see penstock status --help");
		return -EINVAL;
	}
}

/* Returns 0, 1 if --help was asked for, or -EINVAL after the problem was said. */
static int read_options(struct status_command *c, int argc, char **argv)
{
	static char name[] = "penstock status";
	int option = 0, r = 0;

	argv[0] = name; /* what getopt_long() puts in front of its messages */
	while (r == 0 && (option = getopt_long(argc, argv, "h", long_options, NULL)) != -1)
		r = take_option(c, option);
	if (r == 0 && optind < argc) {
		log_error("%s: penstock status takes no such argument; see penstock status --help",
		          argv[optind]);
		r = -EINVAL;
	}
	return r;
}

/* --- asking ------------------------------------------------------------------------ */

/* Appends the daemon's answer to 'body'. */
static int ask(const struct status_command *c, struct buf *body)
{
	long status = 0;

	int r = unix_http_get(c->path, "/v1/status", &status, body);
	if (r < 0)
		return unix_http_log_error(c->path, r);
	if (status != 200) {
		log_error("%s: the answer is HTTP status %ld: %.*s", c->path, status, (int) body->len,
		          body->data ? body->data : "");
		return EXIT_UNAVAILABLE;
	}
	return EXIT_OK;
}

/* --- showing ----------------------------------------------------------------------- */

static int print(const struct buf *text)
{
	if (text->failed) {
		log_error("out of memory");
		return EXIT_INTERNAL;
	}
	if (fwrite(text->data, 1, text->len, stdout) != text->len || fflush(stdout) != 0) {
		log_error("standard output cannot be written: %s", strerror(errno));
		return EXIT_IO;
	}
	return EXIT_OK;
}

/* Draws over the page before, line by line, so that nothing flickers. */
static int redraw(const struct buf *page)
{
	struct buf screen = { 0 };

	buf_add_str(&screen, "\033[H");
	for (size_t i = 0; i < page->len; i++) {
		if (page->data[i] == '\n')
			buf_add_str(&screen, "\033[K");
		buf_add_char(&screen, page->data[i]);
	}
	buf_add_str(&screen, "\033[J");
	int code = print(&screen);
	buf_done(&screen);
	return code;
}

static int show(struct status_command *c, const struct buf *body)
{
	json_error_t error;
	json_t *now = json_loadb(body->data, body->len, 0, &error);
	struct buf text = { 0 };

	if (!now) {
		log_error("%s: the answer is no JSON (%s); is it penstockd's socket?", c->path, error.text);
		return EXIT_UNAVAILABLE;
	}
	const struct status_rates rates = status_rates_between(c->before, now);
	if (c->interval_ns > 0 && !c->redraws)
		status_text_add_line(&text, now, &rates);
	else
		status_text_add_page(&text, now, &rates);
	json_decref(c->before);
	c->before = now;

	int code = c->redraws && !text.failed ? redraw(&text) : print(&text);
	buf_done(&text);
	return code;
}

static int ask_and_show(struct status_command *c)
{
	struct buf body = { 0 };

	int code = ask(c, &body);
	if (code == EXIT_OK)
		code = c->json ? print(&body) : show(c, &body);
	buf_done(&body);
	return code;
}

/* --- the command ------------------------------------------------------------------- */

/* Whatever it interrupts, everything that was to be seen has been written. */
static void on_interrupt(int signal_number)
{
	(void) signal_number;
	_exit(EXIT_OK);
}

static int watch(struct status_command *c)
{
	const struct sigaction end = { .sa_handler = on_interrupt };
	uint64_t next_ns = clock_now_ns();

	(void) sigaction(SIGINT, &end, NULL);
	(void) sigaction(SIGTERM, &end, NULL);
	c->redraws = !c->json && isatty(STDOUT_FILENO);
	if (c->redraws)
		(void) fputs("\033[2J", stdout);
	for (;;) {
		int code = ask_and_show(c);
		if (code != EXIT_OK)
			return code;

		/* Every interval, and none twice after one that was missed. */
		uint64_t now_ns = clock_now_ns();
		next_ns = clock_after(next_ns, c->interval_ns);
		next_ns = next_ns < now_ns ? now_ns : next_ns;
		const struct timespec until = clock_timespec(next_ns);
		while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
			;
	}
}

static int perform(struct status_command *c)
{
	c->path = socket_path(c->given);
	if (!c->path || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		log_error("out of memory");
		return EXIT_INTERNAL;
	}
	int code = c->interval_ns > 0 ? watch(c) : ask_and_show(c);
	curl_global_cleanup();
	return code;
}

int cli_status(int argc, char **argv)
{
	struct status_command c = { 0 };

	int r = read_options(&c, argc, argv);
	int code = r == 0 ? perform(&c) : r > 0 ? EXIT_OK : EXIT_USAGE;
	json_decref(c.before);
	free(c.path);
	return code;
}
