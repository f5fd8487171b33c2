/* SPDX-License-Identifier: Apache-2.0 */
/* `penstock requeue`: has the daemon make new jobs of dead ones. */
#include "base/log.h"
#include "cli/cli.h"
#include "cli/interrupt.h"
#include "cli/socket_path.h"
#include "cli/unix_http.h"

#include <curl/curl.h>
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OPT_SOCKET = 256, OPT_ALL };

static const struct option long_options[] = {
	{ "socket", required_argument, NULL, OPT_SOCKET },
	{ "all", no_argument, NULL, OPT_ALL },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

struct requeue {
	const char *given; /* --socket */
	bool all;
	char **ids;
	size_t n_ids;
	char *path;        /* of the socket; owned */
	int stop_fd;
	struct unix_http *http;
	bool some_failed;
};

/* --- options ----------------------------------------------------------------------- */

static void print_help(void)
{
	(void) printf(
		"Usage: penstock requeue [OPTION]... ID...\n"
		"       penstock requeue [OPTION]... --all\n"
		"Make new jobs of dead ones, and write the new ids.  A dead job is requeued once.\n\n"
		"      --socket PATH  the daemon's control socket; else $PENSTOCK_SOCKET, else\n"
		"                     control.sock in $RUNTIME_DIRECTORY, else\n"
		"                     %s\n"
		"      --all          all dead jobs that the daemon remembers\n"
		"  -h, --help         print this and exit\n\n"
		"Exit status: 0, 1 some could not be requeued, 7 interrupted, 64 usage,\n"
		"69 no daemon answers, 70 internal, 74 cannot write.\n",
		PENSTOCK_RUNSTATEDIR "/penstock/control.sock");
}

static int take_option(struct requeue *q, int option)
{
	switch (option) {
	case OPT_SOCKET:
		q->given = optarg;
		return 0;
	case OPT_ALL:
		q->all = true;
		return 0;
	case 'h':
		print_help();
		return 1;
	default: /* getopt_long() has said what is wrong */
		log_error("see penstock requeue --help");
		return -EINVAL;
	}
}

/* Returns 0, 1 if --help was asked for, or -EINVAL after the problem was said. */
static int read_options(struct requeue *q, int argc, char **argv)
{
	static char name[] = "penstock requeue";
	int option = 0, r = 0;

	argv[0] = name; /* what getopt_long() puts in front of its messages */
	while (r == 0 && (option = getopt_long(argc, argv, "h", long_options, NULL)) != -1)
		r = take_option(q, option);
	q->ids = argv + optind;
	q->n_ids = (size_t) (argc - optind);
	if (r == 0 && q->all == (q->n_ids > 0)) {
		log_error("name the jobs, or give --all; see penstock requeue --help");
		r = -EINVAL;
	}
	return r;
}

/* --- asking ------------------------------------------------------------------------ */

/* 'about' is the id, or what stands for all. */
static int say_problem(struct requeue *q, const char *about, long status, const struct buf *body)
{
	struct buf text = { 0 };

	unix_http_add_problem(status, body, &text);
	log_error("%s: %.*s", about, (int) text.len, text.data ? text.data : "");
	buf_done(&text);
	if (status != 404 && status != 409)
		return EXIT_UNAVAILABLE;
	q->some_failed = true;
	return EXIT_OK;
}

static int say_requeued(const struct requeue *q, const char *id, const struct buf *body)
{
	json_auto_t *answer = body->data ? json_loadb(body->data, body->len, 0, NULL) : NULL;
	const json_t *n = json_object_get(answer, "requeued");
	const char *new_id = json_string_value(json_object_get(answer, "id"));

	if (!json_is_integer(n) || (id && !new_id)) {
		log_error("%s: the answer is not understood; is it penstockd's socket?", q->path);
		return EXIT_UNAVAILABLE;
	}
	int r = id ? printf("%s requeued as %s\n", id, new_id)
	           : printf("%lld requeued\n", (long long) json_integer_value(n));
	if (r >= 0 && fflush(stdout) == 0)
		return EXIT_OK;
	log_error("standard output cannot be written: %s", strerror(errno));
	return EXIT_IO;
}

/* 'id' is NULL for all. */
static int requeue(struct requeue *q, const char *id)
{
	struct buf question = { 0 }, body = { 0 };
	struct unix_http_answer answer;
	int code = EXIT_OK;

	buf_add_str(&question, id ? "{\"id\": " : "{\"all\": true");
	if (id)
		buf_add_json_str(&question, id);
	buf_add_char(&question, '}');
	const struct unix_http_request request = {
		.method = "POST",
		.target = "/v1/control/requeue",
		.type = "application/json",
		.body = question.data,
		.body_len = question.len,
		.on_body = unix_http_collect,
		.arg = &body,
	};
	int r = question.failed ? -ENOMEM : unix_http_perform(q->http, &request, &answer);
	if (r == -ECANCELED)
		code = EXIT_UNFINISHED;
	else if (r < 0)
		code = unix_http_log_error(q->path, r);
	else if (answer.status == 200)
		code = say_requeued(q, id, &body);
	else
		code = say_problem(q, id ? id : "--all", answer.status, &body);
	buf_done(&question);
	buf_done(&body);
	return code;
}

/* --- the command ------------------------------------------------------------------- */

static int perform(struct requeue *q)
{
	q->stop_fd = interrupt_open();
	if (q->stop_fd < 0) {
		log_error("signals cannot be waited for: %s", strerror(-q->stop_fd));
		return EXIT_INTERNAL;
	}
	const struct unix_http_watch watch = { .stop_fd = q->stop_fd };
	q->path = socket_path(q->given);
	q->http = q->path ? unix_http_open(q->path, &watch) : NULL;
	if (!q->http) {
		log_error("out of memory");
		return EXIT_INTERNAL;
	}

	int code = q->all ? requeue(q, NULL) : EXIT_OK;
	for (size_t i = 0; code == EXIT_OK && i < q->n_ids; i++)
		code = requeue(q, q->ids[i]);
	return code == EXIT_OK && q->some_failed ? EXIT_SOME_FAILED : code;
}

int cli_requeue(int argc, char **argv)
{
	struct requeue q = { .stop_fd = -1 };

	int r = read_options(&q, argc, argv);
	if (r != 0)
		return r > 0 ? EXIT_OK : EXIT_USAGE;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		log_error("libcurl cannot be initialised");
		return EXIT_INTERNAL;
	}
	int code = perform(&q);
	unix_http_close(q.http);
	curl_global_cleanup();
	if (q.stop_fd >= 0)
		(void) close(q.stop_fd);
	free(q.path);
	return code;
}
