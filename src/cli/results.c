/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `penstock results`: records as the daemon has them, and as they come.
 *
 * Whole lines only are written, and the number of the last one is known: so when the daemon is
 * restarted, the reading goes on behind it.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/units.h"
#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/patience.h"
#include "cli/safe_text.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

typedef unsigned long long ull; /* for %llu */

enum { OPT_SINCE = ASK_OPTIONS, OPT_FROM, OPT_OUTCOME };

enum { MAX_PROBLEM_BYTES = 64 * 1024 };

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
	"  -f, --follow        go on with what is recorded, also after a restart of the daemon;\n"
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
	"69 no daemon answers, 70 internal, 74 cannot write.\n";

struct results_command {
	struct ask ask;
	bool follows;
	const char *last, *outcome;
	char since[CLOCK_TEXT_SIZE]; /* "": none */
	const char *from;

	int stop_fd;          /* readable once a signal has come, or standard output has no reader */
	struct patience patience;
	bool is_placed;       /* 'next_seq' says where to go on */
	uint64_t next_seq;
	bool got_on;          /* this request has brought records */
	struct buf lines;     /* whole ones, and the beginning of one */
	struct buf problem;   /* an answer that is none, or the last line of one that was cut */
	bool missed;          /* some records were not there any more */
	int write_error;
};

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

/* --- what comes ---------------------------------------------------------------------- */

/* A record begins with its number; an empty line says that the daemon is there. */
static void take_line(struct results_command *c, const char *line, size_t len)
{
	static const char record[] = "{\"seq\":";
	const size_t n = sizeof(record) - 1;

	if (len > n && memcmp(line, record, n) == 0) {
		c->next_seq = strtoull(line + n, NULL, 10) + 1;
		c->is_placed = c->got_on = true;
		if (fwrite(line, 1, len, stdout) != len)
			c->write_error = errno;
	} else if (len > 1 && len <= MAX_PROBLEM_BYTES) {
		buf_clear(&c->problem);
		buf_add(&c->problem, line, len);
	}
}

static void take_lines(struct results_command *c)
{
	const char *at = c->lines.data, *end = NULL;
	size_t left = c->lines.len;

	while (c->write_error == 0 && (end = memchr(at, '\n', left))) {
		size_t len = (size_t) (end + 1 - at);
		take_line(c, at, len);
		at += len;
		left -= len;
	}
	memmove(c->lines.data, at, left);
	c->lines.len = left;
	if (fflush(stdout) != 0 && c->write_error == 0)
		c->write_error = errno;
}

static bool on_body(void *arg, const struct unix_http_answer *head, const char *data, size_t n)
{
	struct results_command *c = arg;

	patience_answered(&c->patience);
	if (head->status != 200) {
		if (c->problem.len + n <= MAX_PROBLEM_BYTES)
			buf_add(&c->problem, data, n);
		return !c->problem.failed;
	}
	buf_add(&c->lines, data, n);
	if (!c->lines.failed && memchr(data, '\n', n))
		take_lines(c);
	return !c->lines.failed && c->write_error == 0;
}

/* --- one request ----------------------------------------------------------------------- */

static void add_target(const struct results_command *c, struct buf *b)
{
	char separator = '?';

	buf_add_str(b, "/v1/results");
	if (c->follows)
		buf_printf(b, "%cfollow", separator), separator = '&';
	if (c->is_placed)
		buf_printf(b, "%cfrom=%llu", separator, (ull) c->next_seq), separator = '&';
	else if (c->from)
		buf_printf(b, "%cfrom=%s", separator, c->from), separator = '&';
	if (c->last && !c->is_placed)
		buf_printf(b, "%clast=%s", separator, c->last), separator = '&';
	if (c->since[0] != '\0' && !c->is_placed)
		buf_printf(b, "%csince=%s", separator, c->since), separator = '&';
	if (c->outcome)
		buf_printf(b, "%coutcome=%s", separator, c->outcome);
	buf_add_char(b, '\0');
}

static int request(struct results_command *c, struct unix_http_answer *ret_answer)
{
	struct buf target = { 0 };

	add_target(c, &target);
	buf_clear(&c->lines); /* a line that broke off comes once more */
	buf_clear(&c->problem);
	c->got_on = false;
	const struct unix_http_request request = {
		.target = target.data, .on_body = on_body, .arg = c };
	int r = target.failed ? -ENOMEM : unix_http_perform(c->ask.http, &request, ret_answer);
	buf_done(&target);
	return r;
}

/* From now on: from which record on is that?  So that none is missed if the daemon is restarted
 * before the first one comes. */
static int find_now(struct results_command *c)
{
	json_t *status = NULL;

	int code = ask_daemon(&c->ask, "/v1/status", NULL, NULL, &status);
	if (code != EXIT_OK)
		return code;
	const json_t *last = json_object_get(json_object_get(status, "results"), "last_seq");
	c->is_placed = json_is_integer(last);
	c->next_seq = (uint64_t) json_integer_value(last) + 1;
	json_decref(status);
	return c->is_placed ? EXIT_OK : ask_misunderstood(&c->ask);
}

/* --- the end, or not --------------------------------------------------------------------- */

static bool has_no_reader(void)
{
	struct pollfd set = { .fd = STDOUT_FILENO };

	return poll(&set, 1, 0) == 1 && (set.revents & (POLLERR | POLLHUP));
}

static void say(const struct results_command *c, const struct buf *text)
{
	struct buf safe = { 0 };

	safe_text_add(&safe, text->failed ? "" : text->data);
	log_error("%s: %.*s", c->ask.path, (int) safe.len, safe.data ? safe.data : "");
	buf_done(&safe);
}

/* What was missed is missed: goes on with the oldest that is there. */
static int go_on_behind(struct results_command *c, const struct buf *why, uint64_t next_seq)
{
	say(c, why);
	c->missed = true;
	if (!c->follows)
		return EXIT_SOME_FAILED;
	c->next_seq = next_seq;
	return EXIT_OK;
}

/* An answer that holds no records. */
static int judge_refusal(struct results_command *c, const struct unix_http_answer *answer)
{
	struct buf why = { 0 };
	int code = EXIT_UNAVAILABLE;

	unix_http_add_problem(answer->status, &c->problem, &why);
	buf_add_char(&why, '\0');
	if ((answer->status == 410 || answer->status == 404) && c->is_placed)
		code = go_on_behind(c, &why, 0);
	else if (answer->status == 503 && c->follows && !why.failed)
		code = patience_refused(&c->patience, why.data, answer->retry_after_s);
	else {
		say(c, &why);
		code = answer->status == 400                             ? EXIT_USAGE
		       : answer->status == 404 || answer->status == 410 ? EXIT_SOME_FAILED
		                                                         : EXIT_UNAVAILABLE;
	}
	buf_done(&why);
	return code;
}

/* The daemon has ended it with a line that says why. */
static int judge_cut(struct results_command *c)
{
	json_auto_t *line = json_loadb(c->problem.data, c->problem.len, 0, NULL);
	const char *text = json_string_value(json_object_get(line, "error"));
	const json_t *next = json_object_get(line, "next_seq");
	struct buf why = { 0 };
	int code = EXIT_UNAVAILABLE;

	buf_add_str(&why, text ? text : "a line is no record; is it penstockd's socket?");
	buf_add_char(&why, '\0');
	if (json_is_integer(next))
		code = go_on_behind(c, &why, (uint64_t) json_integer_value(next));
	else if (text && c->follows && !why.failed)
		code = patience_refused(&c->patience, why.data, 0);
	else
		say(c, &why);
	buf_done(&why);
	return code;
}

/* Returns EXIT_OK with '*ret_ends' false if it goes on. */
static int judge(struct results_command *c, int r, const struct unix_http_answer *answer,
                 bool *ret_ends)
{
	*ret_ends = true;
	if (c->write_error != 0 && c->write_error != EPIPE) {
		log_error("standard output cannot be written: %s", strerror(c->write_error));
		return EXIT_IO;
	}
	if (c->write_error == EPIPE || (r == -ECANCELED && has_no_reader()))
		return EXIT_OK; /* whoever reads has had enough */
	if (r == -ECANCELED)
		return c->follows ? EXIT_OK : EXIT_UNFINISHED;
	if (r == 0 && answer->status == 200 && c->problem.len == 0 && !c->follows)
		return EXIT_OK;
	*ret_ends = !c->follows;
	if (r == 0 && answer->status != 200)
		return judge_refusal(c, answer);
	if (r == 0 && c->problem.len > 0)
		return judge_cut(c);
	if (c->got_on && (r == 0 || r == -ECONNRESET)) { /* it has stopped, or whoever reads is slow */
		*ret_ends = false;
		return EXIT_OK;
	}
	if (!c->follows)
		return unix_http_log_error(c->ask.path, r);
	int code = patience_failed(&c->patience, r == 0 ? -ECONNRESET : r);
	*ret_ends = code != EXIT_OK;
	return code == EXIT_UNFINISHED ? EXIT_OK : code; /* interrupted */
}

static int read_records(struct results_command *c)
{
	struct unix_http_answer answer = { 0 };
	bool ends = false;
	int code = EXIT_OK;

	if (c->follows && !c->from && !c->last && c->since[0] == '\0')
		code = find_now(c);
	while (code == EXIT_OK && !ends) {
		int r = request(c, &answer);
		c->patience.was_there |= r == 0;
		code = judge(c, r, &answer, &ends);
	}
	return code == EXIT_OK && c->missed ? EXIT_SOME_FAILED : code;
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
			code = read_records(c);
		else
			log_error("out of memory");
	}
	if (c->stop_fd >= 0)
		(void) close(c->stop_fd);
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
